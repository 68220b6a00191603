"""Answers with a class of their own: a classifier beside the decoder, and the two as one distribution.

Most questions have one of a few hundred answers, and a classifier over those learns faster what the photo has to do
with them than a decoder that spells answers word by word (Antol et al. 2015). It also says how likely the answer is
none of them; that share is the decoder's:

    p(answer) = p(its class) + p(no class) p(answer | decoder)

So any answer that can be written has a probability, and those of all answers add up to one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch import Tensor, nn

from core.attention import Memory
from core.decoder import LSTMDecoder
from core.search import Beam, beam_search
from core.text import BOS, EOS, PAD, pad

Tokens = tuple[int, ...]  # of an answer, without <bos> and <eos>
GROUP = 256  # answers that are scored at once


class FrequentAnswers(nn.Module):
    """What was asked decides which of what was seen matters, and that decides the class."""

    def __init__(self, asked_dim: int, seen_dim: int, classes: int, hidden_dim: int = 224, dropout: float = 0.5):
        super().__init__()
        self.asked = nn.Linear(asked_dim, hidden_dim)
        self.seen = nn.Linear(seen_dim, hidden_dim)
        self.classes = nn.Linear(hidden_dim, classes + 1)
        self.drop_input, self.drop_hidden = nn.Dropout(0.3), nn.Dropout(dropout)

    def forward(self, asked: Tensor, seen: Tensor) -> Tensor:
        """(N, asked) and (N, seen) -> (N, classes + 1) log-probabilities, float32; the last: none of the classes"""
        gate = 2 * torch.sigmoid(self.seen(self.drop_input(seen)))
        hidden = torch.relu(self.asked(self.drop_input(asked))) * gate
        return self.classes(self.drop_hidden(hidden)).float().log_softmax(1)


def frequent_answers(answers: Sequence[Tokens], weights: Sequence[float], count: int) -> tuple[Tokens, ...]:
    """The `count` answers of the greatest total weight, heaviest first."""
    total: Counter[Tokens] = Counter()
    for answer, weight in zip(answers, weights, strict=True):
        total[answer] += weight
    return tuple(answer for answer, _ in total.most_common(count))


@dataclass(frozen=True)
class Answering:
    """How the network can answer N questions: the decoder with its memory, and the classes."""

    decoder: LSTMDecoder
    memory: Memory  # of N photos, one a question
    classes: dict[Tokens, int]
    class_logprobs: Tensor  # (N, classes + 1); without classes the decoder has everything: (N, 1) zeros

    def score(self, rows: Sequence[int], answers: Sequence[Tokens]) -> Tensor:
        """log p of the nth answer to the question of the nth row, (len(answers),)"""
        parts = []
        for start in range(0, len(answers), GROUP):
            parts.append(self._score(list(rows[start : start + GROUP]), answers[start : start + GROUP]))
        return torch.cat(parts)

    def _score(self, rows: list[int], answers: Sequence[Tokens]) -> Tensor:
        written = score_answers(self.decoder, _of(self.memory, rows), pad([[BOS, *a, EOS] for a in answers]))
        chosen = self.class_logprobs[rows]
        written = written + chosen[:, -1]
        numbers = torch.tensor([self.classes.get(answer, -1) for answer in answers])
        own = chosen.gather(1, numbers.clamp(min=0).unsqueeze(1)).squeeze(1)
        return torch.where(numbers >= 0, torch.logaddexp(own, written), written)

    def best(self, beam: Beam, count: int) -> list[list[tuple[Tokens, float]]]:
        """Each question's `count` likeliest answers with their log p, best first.

        Candidates are what beam search finds and the likeliest classes, as many as the beam has.
        """
        names = list(self.classes)
        tops = self.class_logprobs[:, :-1].topk(min(beam.size, len(names)), 1).indices.tolist()
        candidates = [
            list(dict.fromkeys([*(_without_eos(h.tokens) for h in found), *(names[c] for c in top)]))
            for found, top in zip(beam_search(self.decoder, self.memory, beam), tops, strict=True)
        ]
        rows = [row for row, answers in enumerate(candidates) for _ in answers]
        scores = iter(self.score(rows, list(chain.from_iterable(candidates))).tolist())
        ranked = [sorted(((a, next(scores)) for a in answers), key=lambda pair: -pair[1]) for answers in candidates]
        return [answers[:count] for answers in ranked]


def score_answers(decoder: LSTMDecoder, memory: Memory, answers: Tensor) -> Tensor:
    """(B * k, A) answers, from <bos> to <eos>, k for each of the B memories -> the decoder's log-probabilities."""
    logits = decoder(answers, memory).logits[:, :-1].float()
    targets = answers[:, 1:]
    chosen = logits.gather(2, targets.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
    return chosen.masked_fill(targets == PAD, 0.0).sum(1)


def _of(memory: Memory, rows: list[int]) -> Memory:
    """The memory for one answer a row. Answers to one question share what is not its summary."""
    if len(set(rows)) == 1:
        one = memory[torch.tensor(rows[:1])]
        return replace(one, summary=one.summary.expand(len(rows), -1))
    return memory[torch.tensor(rows)]


def _without_eos(tokens: Tokens) -> Tokens:
    return tokens[:-1] if tokens[-1:] == (EOS,) else tokens
