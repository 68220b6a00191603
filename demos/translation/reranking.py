"""Two more opinions on what the search found.

The channel: the translation from which the source can best be told again comes first. Beam search alone favours what is
easy to say, also where that leaves something of the source out. The same network translates the other way too, so a
hypothesis is judged as well by how likely the source is as *its* translation (Li and Jurafsky 2016, "mutual
information"; Yee et al. 2019, "noisy channel").

Backwards: a decoder that writes from the last word to the first has other words behind it when it comes to a word, so
it errs elsewhere. What both find likely is more often right (Liu et al. 2016, "agreement on target-bidirectional
neural machine translation").
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from core.decoding.search import Hypothesis
from core.input.tokenizers import BOS, EOS, PAD, UNK, pad
from demos.translation.model import Translator, Writer


class Choice(NamedTuple):
    """What was found for a sentence."""

    source: list[int]  # tags, tokens, <eos>
    languages: tuple[str, str]  # source and target
    hypotheses: list[Hypothesis]


class Reranker:
    """Asks a translator itself, both ways; writers: its decoders by language."""

    def __init__(self, model: Translator, tokenizer: PreTrainedTokenizerFast, writers: Mapping[str, Writer]):
        self.model, self.writers = model, writers
        self.backward_writers = {language: model.writer(language, backward=True) for language in model.config.backward}
        self.tags = {
            (source, target): tokenizer.convert_tokens_to_ids([f"<from-{source}>", f"<to-{target}>"])
            for source, target in model.config.pairs
        }

    def channel(self, choices: Mapping[int, Choice]) -> dict[int, list[float]]:
        """The source's log-probability as a translation of each hypothesis, where the network knows the way back."""
        found: dict[int, list[float]] = {}
        for (source, target), tags in self.tags.items():
            here = {n: c for n, c in choices.items() if c.languages == (target, source)}
            passes = {n: [way_back(h.tokens, c.source, tags) for h in c.hypotheses] for n, c in here.items()}
            found |= self._told(self.writers[target], passes)
        return found

    def backward(self, choices: Mapping[int, Choice]) -> dict[int, list[float]]:
        """Each hypothesis' log-probability from right to left, where there is a decoder for its language."""
        found: dict[int, list[float]] = {}
        for language, writer in self.backward_writers.items():
            here = {n: c for n, c in choices.items() if c.languages[1] == language}
            passes = {n: [backwards(h.tokens, c.source) for h in c.hypotheses] for n, c in here.items()}
            found |= self._told(writer, passes)
        return found

    def _told(self, writer: Writer, passes: Mapping[int, list["Pass"]]) -> dict[int, list[float]]:
        logprobs = iter(told_logprobs(self.model, writer, [each for rows in passes.values() for each in rows]))
        return {n: [next(logprobs) for _ in rows] for n, rows in passes.items()}


class Pass(NamedTuple):
    """One sentence read, another told."""

    read: list[int]  # tags, tokens, <eos>
    told: list[int]  # <bos>, tokens, <eos>


@torch.inference_mode()
def told_logprobs(model: Translator, writer: Writer, passes: Sequence[Pass], batch_tokens: int = 2048) -> list[float]:
    """log P(told | read) of each pass, by teacher forcing, with the writer's decoder.

    A token that its language is never written with counts as unknown, alike for all passes.
    """
    number_of = {token: number for number, token in enumerate(writer.tokens)}
    unknown = number_of[UNK]
    logprobs = [0.0] * len(passes)
    order = sorted(range(len(passes)), key=lambda n: tuple(map(len, passes[n])))
    while order:
        size = 1
        while size < len(order) and (size + 1) * max(map(len, passes[order[size]])) <= batch_tokens:
            size += 1
        rows, order = order[:size], order[size:]
        target = pad([[number_of.get(token, unknown) for token in passes[n].told] for n in rows])
        known, wanted = target[:, :-1], target[:, 1:]
        memory = model.memory(pad([passes[n].read for n in rows]), writer.decoder)
        logits = writer.decoder(known, memory).logits.float()
        told = logits.gather(2, wanted.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
        for n, total in zip(rows, told.masked_fill(wanted == PAD, 0.0).sum(1).tolist(), strict=True):
            logprobs[n] = total
    return logprobs


def way_back(hypothesis: Sequence[int], source: Sequence[int], tags: Sequence[int]) -> Pass:
    """From a hypothesis, with or without <eos>, to its source, with its tags and <eos>; tags: of the way back."""
    return Pass([*tags, *_words(hypothesis), EOS], [BOS, *source[len(tags) :]])


def backwards(hypothesis: Sequence[int], source: Sequence[int]) -> Pass:
    """From a source, with its tags and <eos>, to a hypothesis from right to left."""
    return Pass(list(source), [BOS, *reversed(_words(hypothesis)), EOS])


def _words(hypothesis: Sequence[int]) -> list[int]:
    return [token for token in hypothesis if token != EOS]
