"""Answers with a class of their own: a classifier beside the decoder, and the two as one distribution.

Most questions have one of a few hundred answers. From few examples a classifier over those, which reads the question as
a bag of words and pairs of words (Zhou et al. 2015), learns better which answer fits the photo than a decoder that
spells answers word by word; of rare answers and of yes and no the decoder knows more. It sees the photo as the CNN
does, not as the network's hops do: those know the training questions by heart. Classes get up to `trust` of the
probability, less the share that the classifier itself leaves to other answers; the decoder has the rest:

    p(answer) = trust p(its class) + (1 - trust (1 - p(no class))) p(answer | decoder)

So any answer that can be written has a probability, and those of all answers add up to one.

What the wording alone suggests can be taken away, for yes and no: see Answering.without_wording.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.decoding.search import Beam, beam_search
from core.input.tokenizers import BOS, EOS, PAD, pad
from core.networks.attention import Memory
from core.networks.decoder import LSTMDecoder

Tokens = tuple[int, ...]  # of an answer, without <bos> and <eos>
FEATURES = 384  # of each place of a photo that the classifier sees
BUCKETS = 4096  # words and pairs share so many vectors, by a hash (Weinberger et al. 2009)


class Glance(nn.Module):
    """A small network that looks at the photo with eyes of its own and names a class.

    Two ways of looking add up. Attention of the question over the places opens a gate for what was asked. And a
    detector of every answer says whether the photo shows it anywhere: it learns which of all places holds the answer,
    though nobody tells it (multiple-instance learning with the log-sum-exp of Pinheiro and Collobert 2015).
    """

    def __init__(self, places: int, classes: int, hidden_dim: int = 256, heads: int = 4, dropout: float = 0.3):
        super().__init__()
        self.heads = heads
        self.words = nn.EmbeddingBag(BUCKETS + 1, hidden_dim, mode="sum", padding_idx=BUCKETS)
        nn.init.normal_(self.words.weight, std=0.05)
        self.asked = nn.Linear(hidden_dim, hidden_dim)
        self.seen = nn.Linear(FEATURES, hidden_dim)
        self.place = nn.Parameter(0.02 * torch.randn(places, hidden_dim))
        self.query, self.key, self.value, self.gate = (nn.Linear(hidden_dim, hidden_dim) for _ in range(4))
        self.classes = nn.Linear(hidden_dim, classes + 1)
        self.detector = nn.Linear(hidden_dim, classes)
        nn.init.constant_(self.detector.bias, -4.0)  # a place shows hardly any of them
        self.trust_detector = nn.Linear(hidden_dim, 1)
        self.drop_seen, self.drop = nn.Dropout(0.3), nn.Dropout(dropout)

    def forward(self, questions: Tensor, rows: Tensor, places: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T) questions about photos `rows` (N,) of the B whose places are (B, P, FEATURES), `seen` (B,) or not ->
        (N, classes + 1) logits, the last: none of the classes; (B, classes) logits of each being on the photo"""
        buckets = words_and_pairs(questions)
        question = self.drop(self.words(buckets) / (buckets != BUCKETS).sum(1, keepdim=True).clamp(min=1).sqrt())
        shown, there = self._perceive(places, seen)
        gate = torch.sigmoid(self.gate(self.drop(torch.relu(self._look(question, shown + self.place, rows)))))
        logits = self.classes(self.drop(torch.relu(self.asked(question))) * 1.5 * gate)
        evidence = nn.functional.softplus(self.trust_detector(question)) * nn.functional.logsigmoid(there)[rows]
        return logits + nn.functional.pad(evidence, (0, 1)), there

    def _perceive(self, places: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, FEATURES), (B,) -> (B, P, H) what each place shows; (B, classes) logits of each being on the photo.

        A photo that is not `seen` shows nothing, 0, everywhere. No time is lost on it.
        """
        rows = seen.nonzero()[:, 0]
        found = torch.relu(self.seen(self.drop_seen(places[rows])))
        shown = found.new_zeros(*places.shape[:2], found.size(2)).index_copy(0, rows, found)
        nowhere = (self.detector.bias + math.log(places.size(1))).expand(len(seen), -1)
        return shown, nowhere.index_copy(0, rows, self.detector(self.drop(found)).logsumexp(1))

    def _look(self, question: Tensor, places: Tensor, rows: Tensor) -> Tensor:
        """(N, H), (B, P, H) -> (N, H): the places' values as each head attends to them"""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1))
            for layer, x in ((self.query, question), (self.key, places), (self.value, places))
        )
        scores = torch.einsum("nhd,nphd->nph", query, key[rows]) / query.size(-1) ** 0.5
        return torch.einsum("nph,nphd->nhd", scores.softmax(1), value[rows]).flatten(1)


class FrequentAnswers(nn.Module):
    """The mean of several `Glance`s, each of which errs in its own way (Hansen and Salamon 1990)."""

    def __init__(self, feature_dim: int, places: int, classes: int, glances: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(feature_dim))
        self.register_buffer("axes", torch.zeros(FEATURES, feature_dim))
        self.glances = nn.ModuleList(Glance(places, classes) for _ in range(glances))

    @torch.no_grad()
    def adapt(self, grids: Tensor) -> None:
        """Choose the features that glances see: the main axes of these grid features (B, P, D), each at one scale."""
        sample = nn.functional.layer_norm(grids.flatten(0, 1).float(), grids.shape[-1:])
        self.mean.copy_(sample.mean(0))
        axes = torch.pca_lowrank(sample - self.mean, min(FEATURES, *sample.shape), center=False)[2]
        scale = ((sample - self.mean) @ axes).std(0)
        self.axes.zero_()[: axes.size(1)] = (axes / (scale + 0.3 * scale.mean())).T

    def features(self, grids: Tensor) -> Tensor:
        """(B, P, D) grid features -> (B, P, FEATURES)"""
        return (nn.functional.layer_norm(grids.float(), grids.shape[-1:]) - self.mean) @ self.axes.T

    def forward(self, questions: Tensor, rows: Tensor, places: Tensor, seen: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each glance says, from `features`."""
        return [glance(questions, rows, places, seen) for glance in self.glances]

    def shares(self, questions: Tensor, rows: Tensor, grids: Tensor, seen: Tensor, trust: float) -> Tensor:
        """(N, classes + 1) log of the probability that each class has, and that the decoder has"""
        looked = seen.nonzero()[:, 0]
        places = grids.new_zeros(*grids.shape[:2], FEATURES, dtype=torch.float)
        found = self(questions, rows, places.index_copy(0, looked, self.features(grids[looked])), seen)
        own = trust * torch.stack([logits.softmax(1) for logits, _ in found]).mean(0)
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
    yes_no: tuple[Tokens, ...] = ()  # "yes" and "no", if they get another probability than the network's
    wording: float = 0.0  # share that they lose of what the wording alone says
    evidence: Tensor | None = None  # (N,) log-odds that "yes" gets

    def without_wording(self, yes_no: tuple[Tokens, Tokens], share: float, evidence: Tensor) -> "Answering":
        """The same, with a share of what the wording alone says taken away from "yes" against "no", and (N,) `evidence`
        added.

        The N questions are N / 2 with their photos, then the same without. Both lose `share` of the log-odds of the
        latter, from 0 to less than 1; what yes and no have together stays. Where each question is asked of photos with
        either answer, as in VQA v2, the wording can only mislead (Niu et al. 2021, "Counterfactual VQA").
        """
        return replace(self, yes_no=yes_no, wording=share, evidence=evidence)

    @torch.inference_mode()
    def score(self, answers: Sequence[Sequence[Tokens]]) -> list[list[float]]:
        """log p of each question's answers, any number of them but at least one"""
        k = max(map(len, answers))
        filled = [[*row, *[row[0]] * (k - len(row)), *self.yes_no] for row in answers]
        tokens = pad([[BOS, *answer, EOS] for row in filled for answer in row])
        written = score_answers(self.decoder, self.memory, tokens).view(len(filled), -1) + self.shares[:, -1:]
        numbers = torch.tensor([[self.classes.get(answer, -1) for answer in row] for row in filled])
        own = self.shares.gather(1, numbers.clamp(min=0))
        scores = torch.where(numbers >= 0, torch.logaddexp(own, written), written)
        if self.yes_no:
            scores = self._fair(filled, scores)
        return [found[: len(row)] for found, row in zip(scores.tolist(), answers, strict=True)]

    def _fair(self, answers: list[list[Tokens]], scores: Tensor) -> Tensor:
        """(N, k + 2) scores, those of "yes" and "no" last -> the same without the wording's share, with the evidence"""
        plain = scores[:, -2:]
        odds = plain[:, 0] - plain[:, 1]
        odds = odds - self.wording * odds[len(odds) // 2 :].repeat(2) + self.evidence
        shifts = plain.logsumexp(1, keepdim=True) + nn.functional.logsigmoid(torch.stack([odds, -odds], 1)) - plain
        for answer, shift in zip(self.yes_no, shifts.unbind(1), strict=True):
            scores = scores + torch.tensor([[other == answer for other in row] for row in answers]) * shift[:, None]
        return scores

    def candidates(self, beam: Beam) -> list[list[Tokens]]:
        """Each question's likely answers: what beam search finds, the likeliest classes, as many, and yes and no."""
        names = list(self.classes)
        tops = self.shares[:, :-1].topk(min(beam.size, len(names)), 1).indices.tolist()
        return [
            list(dict.fromkeys([*(_without_eos(h.tokens) for h in found), *(names[c] for c in top), *self.yes_no]))
            for found, top in zip(beam_search(self.decoder, self.memory, beam), tops, strict=True)
        ]

    def best(self, beam: Beam, count: int) -> list[list[tuple[Tokens, float]]]:
        """Each question's `count` likeliest answers with their log p, best first."""
        candidates = self.candidates(beam)
        ranked = [
            sorted(zip(answers, scores, strict=True), key=lambda pair: -pair[1])
            for answers, scores in zip(candidates, self.score(candidates), strict=True)
        ]
        return [answers[:count] for answers in ranked]


def score_answers(decoder: LSTMDecoder, memory: Memory, answers: Tensor) -> Tensor:
    """(B * k, A) answers, from <bos> to <eos>, k for each of the B memories -> the decoder's log-probabilities.

    Answers of a memory share the step after <bos>, and take part in as many further ones as they have words.
    """
    b = len(memory)
    k = len(answers) // b
    rows = torch.arange(b, device=answers.device).repeat_interleave(k)  # the memory of each answer
    output = decoder(answers[::k, :1], memory, decoder.initial_state(b, memory))
    state, logprobs = output.state, output.logits[:, -1].float().log_softmax(1)
    total = logprobs[rows].gather(1, answers[:, 1:2])[:, 0]
    live, before = torch.arange(len(answers), device=answers.device), rows  # and the row of each one's state
    for place in range(2, answers.size(1)):
        going = answers[live, place] != PAD
        live, before = live[going], before[going]
        looked_at = memory if len(live) == len(answers) else memory[rows[live]]
        output = decoder(answers[live, place - 1, None], looked_at, state.select(before))
        state, before = output.state, torch.arange(len(live), device=answers.device)
        logprobs = output.logits[:, -1].float().log_softmax(1)
        total[live] += logprobs.gather(1, answers[live, place, None])[:, 0]
    return total


def _without_eos(tokens: Tokens) -> Tokens:
    return tokens[:-1] if tokens[-1:] == (EOS,) else tokens
