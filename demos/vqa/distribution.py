"""The probability of answers: decoder and classes as one mixture, and the photo's part of it told from the wording's.

    p(answer) = w p(its class) + (1 - w (1 - p(no class))) p(answer | decoder)

with the mixture weight w of the classes (see demos.vqa.classifier). Any answer that can be written has a probability,
and those of all answers add up to one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.decoding.hypothesis import Decoder
from core.decoding.score import short_logprobs
from core.decoding.search import Beam, beam_search
from core.input.tokenizers import BOS, EOS, pad
from core.networks.attention import Memory
from demos.vqa.classifier import Tokens


@dataclass(frozen=True)
class AnswerDistribution:
    """The distribution over answers for each of N questions."""

    decoder: Decoder
    memory: Memory  # of N photos, one a question
    classes: Mapping[Tokens, int]  # number of each answer that has a class
    log_weights: Tensor  # (N, classes + 1) log-probability of each class, and of the decoder

    def __len__(self) -> int:
        return len(self.log_weights)

    @torch.inference_mode()
    def logprobs(self, answers: Sequence[Sequence[Tokens]]) -> Tensor:
        """(N, k) log p of each question's k answers"""
        tokens = pad([[BOS, *answer, EOS] for row in answers for answer in row])
        written = short_logprobs(self.decoder, self.memory, tokens).view(len(answers), -1) + self.log_weights[:, -1:]
        numbers = torch.tensor([[self.classes.get(answer, -1) for answer in row] for row in answers])
        own = self.log_weights.gather(1, numbers.clamp(min=0))
        return torch.where(numbers >= 0, torch.logaddexp(own, written), written)

    def candidates(self, beam: Beam) -> list[list[Tokens]]:
        """Each question's likely answers: what beam search finds, and the likeliest classes, as many."""
        names = list(self.classes)
        tops = self.log_weights[:, :-1].topk(min(beam.size, len(names)), 1).indices.tolist()
        return [
            list(dict.fromkeys([*(_without_eos(h.tokens) for h in found), *(names[c] for c in top)]))
            for found, top in zip(beam_search(self.decoder, self.memory, beam), tops, strict=True)
        ]


class PairedLogprobs(NamedTuple):
    """Log-probabilities of k answers to each of N questions, of others with the photo than without it."""

    with_photo: Tensor  # (N, k)
    without_photo: Tensor  # (N, k)


@dataclass(frozen=True)
class PairedDistribution:
    """The distributions over answers to N questions with their photos and without: what shows how much of an answer was
    seen, and how much of it the wording suggests.

    What the wording alone says of "yes" against "no" is a language prior, of which both lose a share; what yes and no
    have together stays. Where each question is asked of photos with either answer, as in VQA v2, the prior can only
    mislead (Niu et al. 2021, "Counterfactual VQA"). Evidence from the photo is added.
    """

    with_photo: AnswerDistribution
    without_photo: AnswerDistribution
    yes_no: tuple[Tokens, ...] = ()  # "yes" and "no"; empty: they keep the network's probability
    language_prior: float = 0.0  # share of it that is taken away, from 0 to less than 1
    evidence: Tensor | float = 0.0  # (N,) log-odds that "yes" gets with the photo

    def logprobs(self, with_photo: list[list[Tokens]], without_photo: list[list[Tokens]]) -> PairedLogprobs:
        """log p of each question's answers with its photo, and of others without it; each of the 2 N lists has k."""
        rows = [[*row, *self.yes_no] for row in (*with_photo, *without_photo)]
        seeing, blind = self._joined().logprobs(rows).chunk(2)
        if not self.yes_no:
            return PairedLogprobs(seeing, blind)
        removed = self.language_prior * _odds(blind)
        seeing = self._with_odds(rows[: len(seeing)], seeing, _odds(seeing) - removed + self.evidence)
        blind = self._with_odds(rows[len(seeing) :], blind, _odds(blind) - removed)
        return PairedLogprobs(seeing[:, :-2], blind[:, :-2])

    def _with_odds(self, answers: list[list[Tokens]], logprobs: Tensor, odds: Tensor) -> Tensor:
        """(N, k + 2) logprobs, those of "yes" and "no" last -> the same with these log-odds (N,) of yes against no."""
        plain = logprobs[:, -2:]
        shifts = plain.logsumexp(1, keepdim=True) + nn.functional.logsigmoid(torch.stack([odds, -odds], 1)) - plain
        for answer, shift in zip(self.yes_no, shifts.unbind(1), strict=True):
            logprobs = logprobs + torch.tensor([[other == answer for other in row] for row in answers]) * shift[:, None]
        return logprobs

    def candidates(self, beam: Beam) -> tuple[list[list[Tokens]], list[list[Tokens]]]:
        """Each question's likely answers with its photo, and without it; yes and no are always among them."""
        found = [list(dict.fromkeys([*row, *self.yes_no])) for row in self._joined().candidates(beam)]
        return found[: len(self.with_photo)], found[len(self.with_photo) :]

    def best(self, beam: Beam) -> tuple[list[Tokens], list[Tokens]]:
        """Each question's likeliest answer with its photo, and without it."""
        found = self.candidates(beam)
        rows = _equally_many([*found[0], *found[1]])
        lists = rows[: len(found[0])], rows[len(found[0]) :]
        seeing, blind = (_likeliest(*pair) for pair in zip(lists, self.logprobs(*lists), strict=True))
        return seeing, blind

    def _joined(self) -> AnswerDistribution:
        """Both as one batch, which takes little more time than one of them."""
        one, other = self.with_photo, self.without_photo
        memory = Memory(
            torch.cat([one.memory.keys, other.memory.keys]),
            torch.cat([one.memory.values, other.memory.values]),
            None,
            torch.cat([one.memory.summary, other.memory.summary]),
        )
        return replace(one, memory=memory, log_weights=torch.cat([one.log_weights, other.log_weights]))


def _odds(logprobs: Tensor) -> Tensor:
    """(N, k + 2) logprobs, those of "yes" and "no" last -> (N,) log-odds of yes against no"""
    return logprobs[:, -2] - logprobs[:, -1]


def _equally_many(rows: list[list[Tokens]]) -> list[list[Tokens]]:
    """The same lists of answers, filled with their first one to the same length."""
    longest = max(map(len, rows))
    return [[*row, *[row[0]] * (longest - len(row))] for row in rows]


def _likeliest(answers: list[list[Tokens]], logprobs: Tensor) -> list[Tokens]:
    return [row[number] for row, number in zip(answers, logprobs.argmax(1).tolist(), strict=True)]


def _without_eos(tokens: Tokens) -> Tokens:
    return tokens[:-1] if tokens[-1:] == (EOS,) else tokens
