"""The named scores of a translation that the search found, for core.decoding.rerank.

copies: minus the number of words to be copied that are missing, or too many. Its weight lets it decide alone.

channel: how likely the source is as a translation of the hypothesis back, by the same network. Beam search alone
favours what is easy to say, also where that leaves something of the source out (Li and Jurafsky 2016, "mutual
information"; Yee et al. 2019, "noisy channel").

backward: how likely the hypothesis is to a decoder that writes from the last word to the first. That one has other
words behind it when it comes to a word, so it errs elsewhere (Liu et al. 2016, "agreement on target-bidirectional
neural machine translation").

The latter two are log-probabilities, divided by length ** length_penalty as the search's own score is: the length of
the source the one, of the hypothesis the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from core.decoding.hypothesis import Hypothesis
from core.decoding.score import token_logprobs
from core.decoding.stream import StepDecoder, with_words
from core.input.tokenizers import BOS, EOS, UNK, pad
from core.networks.attention import Memory
from core.networks.decoder import LSTMDecoder
from core.training.batches import batches_by_length
from demos.translation.data import COPY
from demos.translation.languages import Languages, tokens_of
from demos.translation.model import Translator


class LanguageDecoder(NamedTuple):
    """A decoder that writes one language only."""

    decoder: StepDecoder | LSTMDecoder
    tokens: tuple[int, ...]  # the numbers of its tokens in the whole vocabulary

    @classmethod
    def of(cls, decoder: LSTMDecoder, tokens: Sequence[int], fast: bool = True) -> "LanguageDecoder":
        """A decoder as it is now, with some of its tokens; none named: all. fast: for single steps."""
        words = torch.tensor(tokens) if tokens else None
        if words is not None and not fast:
            decoder = with_words(decoder, words)
        smaller = StepDecoder(decoder, words) if fast else decoder
        return cls(smaller, tuple(tokens) or tuple(range(decoder.config.vocab_size)))

    def memory(self, model: Translator, sources: Iterable[Sequence[int]]) -> Memory:
        """What this decoder reads of sources with their tags and <eos>."""
        return model.memory(pad(list(sources)), self.decoder)


class Candidates(NamedTuple):
    """What was found for a sentence."""

    source: list[int]  # tags, tokens, <eos>
    languages: tuple[str, str]  # source and target
    copies: int  # words to be copied
    hypotheses: list[Hypothesis]


class SequencePair(NamedTuple):
    """A sentence to read, and another whose log-probability is asked for."""

    read: list[int]  # tags, tokens, <eos>
    written: list[int]  # <bos>, tokens, <eos>


Flat = Sequence[tuple[Candidates, Hypothesis]]  # each hypothesis with the sentence that it translates


class Reranker:
    """Scores by a translator itself; decoders: its forward ones by language."""

    def __init__(
        self,
        model: Translator,
        tokenizer: PreTrainedTokenizerFast,
        languages: Languages,
        decoders: Mapping[str, LanguageDecoder],
    ):
        self.model, self.decoders = model, decoders
        self.backward_decoders = {
            language: LanguageDecoder.of(model.backward, tokens_of(languages, language), fast=False)
            for language in model.config.backward
        }
        self.copy = tokenizer.convert_tokens_to_ids(COPY)
        self.tags = {
            (source, target): tokenizer.convert_tokens_to_ids([f"<from-{source}>", f"<to-{target}>"])
            for source, target in model.config.pairs
        }
        self.scores = {"copies": self._copies, "channel": self._channel, "backward": self._backward}

    def scored(
        self, candidates: Sequence[Candidates], length_penalty: float, names: Iterable[str]
    ) -> list[list[Hypothesis]]:
        """The hypotheses of each sentence with those of the scores named that can be had for its languages."""
        flat = [(each, hypothesis) for each in candidates for hypothesis in each.hypotheses]
        columns = {name: self.scores[name](flat, length_penalty) for name in names}
        judged = iter(
            replace(hypothesis, scores={name: column[n] for name, column in columns.items() if n in column})
            for n, (_, hypothesis) in enumerate(flat)
        )
        return [[next(judged) for _ in each.hypotheses] for each in candidates]

    def _copies(self, flat: Flat, length_penalty: float) -> dict[int, float]:
        return {n: -float(abs(h.tokens.count(self.copy) - each.copies)) for n, (each, h) in enumerate(flat)}

    def _channel(self, flat: Flat, length_penalty: float) -> dict[int, float]:
        """Where the network knows the way back."""
        pairs = {
            n: (each.languages[0], way_back(hypothesis.tokens, each.source, self.tags[each.languages[::-1]]))
            for n, (each, hypothesis) in enumerate(flat)
            if each.languages[::-1] in self.tags
        }
        return self._logprobs(pairs, self.decoders, length_penalty)

    def _backward(self, flat: Flat, length_penalty: float) -> dict[int, float]:
        """Where there is a backward decoder for the language."""
        pairs = {
            n: (each.languages[1], backwards(hypothesis.tokens, each.source))
            for n, (each, hypothesis) in enumerate(flat)
            if each.languages[1] in self.backward_decoders
        }
        return self._logprobs(pairs, self.backward_decoders, length_penalty)

    def _logprobs(
        self,
        pairs: Mapping[int, tuple[str, SequencePair]],
        decoders: Mapping[str, LanguageDecoder],
        length_penalty: float,
    ) -> dict[int, float]:
        """{number: (language written, pair)} -> {number: log-probability by length}."""
        found: dict[int, float] = {}
        for language, decoder in decoders.items():
            chosen = {n: pair for n, (written, pair) in pairs.items() if written == language}
            logprobs = sequence_logprobs(self.model, decoder, list(chosen.values()))
            for (n, pair), logprob in zip(chosen.items(), logprobs, strict=True):
                found[n] = logprob / (len(pair.written) - 1) ** length_penalty
        return found


@torch.inference_mode()
def sequence_logprobs(
    model: Translator, writer: LanguageDecoder, pairs: Sequence[SequencePair], batch_tokens: int = 2048
) -> list[float]:
    """log P(written | read) of each pair, by teacher forcing.

    A token that the language is never written with counts as unknown, alike for all pairs.
    """
    number_of = {token: number for number, token in enumerate(writer.tokens)}
    logprobs = [0.0] * len(pairs)
    for batch in batches_by_length([(len(p.read), len(p.written)) for p in pairs], None, batch_tokens):
        memory = writer.memory(model, [pairs[n].read for n in batch])
        written = pad([[number_of.get(token, number_of[UNK]) for token in pairs[n].written] for n in batch])
        totals = token_logprobs(writer.decoder, memory, written).sum(1).tolist()
        for n, total in zip(batch, totals, strict=True):
            logprobs[n] = total
    return logprobs


def way_back(hypothesis: Sequence[int], source: Sequence[int], tags: Sequence[int]) -> SequencePair:
    """From a hypothesis, with or without <eos>, to its source, with its tags and <eos>; tags: of the way back."""
    return SequencePair([*tags, *_words(hypothesis), EOS], [BOS, *source[len(tags) :]])


def backwards(hypothesis: Sequence[int], source: Sequence[int]) -> SequencePair:
    """From a source, with its tags and <eos>, to a hypothesis from right to left."""
    return SequencePair(list(source), [BOS, *reversed(_words(hypothesis)), EOS])


def _words(hypothesis: Sequence[int]) -> list[int]:
    return [token for token in hypothesis if token != EOS]
