"""Noisy-channel reranking: the translation from which the source can best be told again comes first.

Beam search alone favours what is easy to say, also where that leaves something of the source out. The same network
translates the other way too, so a hypothesis is judged as well by how likely the source is as *its* translation (Li and
Jurafsky 2016, "mutual information"; Yee et al. 2019, "noisy channel").
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from core.decoder import LSTMDecoder
from core.text import BOS, EOS, PAD, UNK, pad
from demos.translation.model import Translator


class Pass(NamedTuple):
    """A hypothesis to translate back."""

    hypothesis: list[int]  # tags of the way back, tokens, <eos>
    source: list[int]  # <bos>, tokens, <eos>: what it should become


@torch.inference_mode()
def channel_logprobs(
    model: Translator, writer: tuple[LSTMDecoder, list[int]], passes: Sequence[Pass], batch_tokens: int = 2048
) -> list[float]:
    """log P(source | hypothesis) of each pass, by teacher forcing.

    writer: the decoder of the source's language and its tokens, as Translator.writer gives them. A token of the source
    that its language is never written with counts as unknown, alike for all hypotheses.
    """
    decoder, tokens = writer
    number_of = {token: number for number, token in enumerate(tokens)}
    unknown = number_of[UNK]
    logprobs = [0.0] * len(passes)
    order = sorted(range(len(passes)), key=lambda n: tuple(map(len, passes[n])))
    while order:
        size = 1
        while size < len(order) and (size + 1) * max(map(len, passes[order[size]])) <= batch_tokens:
            size += 1
        rows, order = order[:size], order[size:]
        target = pad([[number_of.get(token, unknown) for token in passes[n].source] for n in rows])
        read, wanted = target[:, :-1], target[:, 1:]
        logits = decoder(read, model.memory(pad([passes[n].hypothesis for n in rows]))).logits.float()
        told = logits.gather(2, wanted.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
        for n, total in zip(rows, told.masked_fill(wanted == PAD, 0.0).sum(1).tolist(), strict=True):
            logprobs[n] = total
    return logprobs


def way_back(hypothesis: Sequence[int], source: Sequence[int], tags: Sequence[int]) -> Pass:
    """The pass for a hypothesis, with or without <eos>, of a source, with its tags and <eos>; tags: of the way back."""
    told = [token for token in hypothesis if token != EOS]
    return Pass([*tags, *told, EOS], [BOS, *source[len(tags) :]])
