"""Answers with a class of their own: a classifier beside the decoder, and the two as one distribution.

Most questions have one of a few hundred answers. From few examples a classifier over those, which reads the question as
a bag of words and pairs of words (Zhou et al. 2015), learns better which answer fits what was seen than a decoder that
spells answers word by word; of rare answers and of yes and no the decoder knows more. Classes get up to `trust` of the
probability, less the share that the classifier itself leaves to other answers; the decoder has the rest:

    p(answer) = trust p(its class) + (1 - trust (1 - p(no class))) p(answer | decoder)

So any answer that can be written has a probability, and those of all answers add up to one.

What the wording alone suggests can be taken away, for yes and no: see Answering.without_wording.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from core.attention import Memory
from core.decoder import LSTMDecoder
from core.search import Beam, beam_search
from core.text import BOS, EOS, PAD, pad

Tokens = tuple[int, ...]  # of an answer, without <bos> and <eos>
BUCKETS = 1024  # words and pairs share so many vectors, by a hash (Weinberger et al. 2009)


class FrequentAnswers(nn.Module):
    """A gate that what was seen opens for what was asked, and a class for each frequent answer."""

    def __init__(self, seen_dim: int, classes: int, hidden_dim: int = 256, dropout: float = 0.5):
        super().__init__()
        self.asked = nn.EmbeddingBag(BUCKETS + 1, hidden_dim, mode="sum", padding_idx=BUCKETS)
        nn.init.normal_(self.asked.weight, std=0.05)
        self.bias = nn.Parameter(torch.zeros(hidden_dim))
        self.standard = nn.BatchNorm1d(seen_dim, affine=False)
        self.seen = nn.Linear(seen_dim, hidden_dim)
        self.classes = nn.Linear(hidden_dim, classes + 1)
        self.drop_seen, self.drop_hidden = nn.Dropout(0.3), nn.Dropout(dropout)

    def forward(self, questions: Tensor, seen: Tensor) -> Tensor:
        """(N, T) questions padded at the end, (N, S) seen -> (N, classes + 1) logits; the last: none of the classes"""
        length = (questions != PAD).sum(1, keepdim=True).clamp(min=1)
        asked = self.asked(words_and_pairs(questions)) / (2 * length).sqrt() + self.bias
        gate = 1.5 * torch.sigmoid(self.seen(self.drop_seen(self.standard(seen))))
        return self.classes(self.drop_hidden(torch.relu(asked) * gate))

    def shares(self, questions: Tensor, seen: Tensor, trust: float) -> Tensor:
        """(N, classes + 1) log of the probability that each class has, and that the decoder has"""
        own = trust * self(questions, seen).float().softmax(1)
        return torch.cat([own[:, :-1], 1 - trust + own[:, -1:]], 1).log()


def words_and_pairs(questions: Tensor) -> Tensor:
    """(N, T) questions padded at the end -> (N, 2 T - 1) buckets of their words and of their pairs of neighbours"""
    words = (questions * 15485863 % BUCKETS).masked_fill(questions == PAD, BUCKETS)
    pairs = (questions[:, :-1] * 7919 + questions[:, 1:] * 104729) % BUCKETS
    return torch.cat([words, pairs.masked_fill(questions[:, 1:] == PAD, BUCKETS)], 1)


def frequent_answers(weighted: Iterable[tuple[Tokens, float]], least: float) -> tuple[Tokens, ...]:
    """The answers whose weights add up to `least` or more, heaviest first."""
    total: Counter[Tokens] = Counter()
    for answer, weight in weighted:
        total[answer] += weight
    return tuple(answer for answer, weight in total.most_common() if weight >= least)


@dataclass(frozen=True)
class Answering:
    """How the network can answer N questions: the decoder with its memory, and the classes."""

    decoder: LSTMDecoder
    memory: Memory  # of N photos, one a question
    classes: dict[Tokens, int]
    shares: Tensor  # (N, classes + 1) log of the probability that each class has, and that the decoder has
    shifts: dict[Tokens, Tensor] = field(default_factory=dict)  # (N,) by how much an answer's log p is changed

    def without_wording(self, yes_no: tuple[Tokens, Tokens], share: float) -> "Answering":
        """The same, with a share of what the wording alone says taken away from "yes" against "no".

        The N questions are N / 2 with their photos, then the same without. Both lose `share` of the log-odds of the
        latter, from 0 to less than 1; what yes and no have together stays. Where each question is asked of photos with
        either answer, as in VQA v2, the wording can only mislead (Niu et al. 2021, "Counterfactual VQA").
        """
        scores = torch.tensor(self.score([yes_no] * len(self.shares)))  # (N, 2)
        odds = scores[:, 0] - scores[:, 1]
        fair = odds - share * odds[len(odds) // 2 :].repeat(2)
        split = nn.functional.logsigmoid(torch.stack([fair, -fair], 1))
        shifts = scores.logsumexp(1, keepdim=True) + split - scores
        return replace(self, shifts=dict(zip(yes_no, shifts.unbind(1), strict=True)))

    def score(self, answers: Sequence[Sequence[Tokens]]) -> list[list[float]]:
        """log p of each question's answers, any number of them but at least one"""
        k = max(map(len, answers))
        filled = [answer for row in answers for answer in (*row, *[row[0]] * (k - len(row)))]  # k a question
        memory = replace(self.memory, summary=self.memory.summary.repeat_interleave(k, 0))
        written = score_answers(self.decoder, memory, pad([[BOS, *a, EOS] for a in filled])).view(-1, k)
        written = written + self.shares[:, -1:]
        numbers = torch.tensor([self.classes.get(answer, -1) for answer in filled]).view(-1, k)
        own = self.shares.gather(1, numbers.clamp(min=0))
        scores = torch.where(numbers >= 0, torch.logaddexp(own, written), written)
        for answer, shift in self.shifts.items():
            asked = torch.tensor([other == answer for other in filled]).view(-1, k)
            scores = scores + asked * shift[:, None]
        scores = scores.tolist()
        return [found[: len(row)] for found, row in zip(scores, answers, strict=True)]

    def best(self, beam: Beam, count: int) -> list[list[tuple[Tokens, float]]]:
        """Each question's `count` likeliest answers with their log p, best first.

        Candidates are what beam search finds and the likeliest classes, as many as the beam has, and what was changed.
        """
        names = list(self.classes)
        tops = self.shares[:, :-1].topk(min(beam.size, len(names)), 1).indices.tolist()
        candidates = [
            list(dict.fromkeys([*(_without_eos(h.tokens) for h in found), *(names[c] for c in top), *self.shifts]))
            for found, top in zip(beam_search(self.decoder, self.memory, beam), tops, strict=True)
        ]
        ranked = [
            sorted(zip(answers, scores, strict=True), key=lambda pair: -pair[1])
            for answers, scores in zip(candidates, self.score(candidates), strict=True)
        ]
        return [answers[:count] for answers in ranked]


def score_answers(decoder: LSTMDecoder, memory: Memory, answers: Tensor) -> Tensor:
    """(B * k, A) answers, from <bos> to <eos>, k for each of the B memories -> the decoder's log-probabilities."""
    logits = decoder(answers, memory).logits[:, :-1].float()
    targets = answers[:, 1:]
    chosen = logits.gather(2, targets.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
    return chosen.masked_fill(targets == PAD, 0.0).sum(1)


def _without_eos(tokens: Tokens) -> Tokens:
    return tokens[:-1] if tokens[-1:] == (EOS,) else tokens
