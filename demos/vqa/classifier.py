"""Answers with a class of their own: an ensemble of small classifiers beside the decoder.

Most questions have one of a few hundred answers. From few examples a classifier over those, which reads the question as
a bag of words and pairs of words (Zhou et al. 2015), learns better which answer fits the photo than a decoder that
spells answers word by word; of rare answers and of yes and no the decoder knows more. It sees the photo as the CNN
does, not as the network's hops do: those know the training questions by heart. See demos.vqa.distribution for how the
two are mixed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.input.tokenizers import PAD

Tokens = tuple[int, ...]  # of an answer, without <bos> and <eos>


@dataclass(frozen=True)
class ClassifierConfig:
    """Shape of a ClassifierEnsemble."""

    answers: tuple[Tokens, ...] = ()  # that have a class of their own; empty: there is no classifier
    members: int = 4
    weight: float = 0.5  # mixture weight of the classes, from 0 to less than 1
    features: int = 384  # numbers of each place of a photo that it sees
    buckets: int = 4096  # words and pairs share so many vectors, by a hash (Weinberger et al. 2009)
    hidden_dim: int = 256
    heads: int = 4
    dropout: float = 0.3


class PhotoAttentionClassifier(nn.Module):
    """Question and photo -> class of the answer.

    Two ways of looking add up. Attention of the question over the places opens a gate for what was asked. And a
    detector of every answer says whether the photo shows it anywhere: it learns which of all places holds the answer,
    though nobody tells it (multiple-instance learning with the log-sum-exp of Pinheiro and Collobert 2015).
    """

    def __init__(self, places: int, config: ClassifierConfig):
        super().__init__()
        self.config = config
        width, classes = config.hidden_dim, len(config.answers)
        self.words = nn.EmbeddingBag(config.buckets + 1, width, mode="sum", padding_idx=config.buckets)
        nn.init.normal_(self.words.weight, std=0.05)
        self.asked = nn.Linear(width, width)
        self.seen = nn.Linear(config.features, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        self.query, self.key, self.value, self.gate = (nn.Linear(width, width) for _ in range(4))
        self.classes = nn.Linear(width, classes + 1)
        self.detector = nn.Linear(width, classes)
        nn.init.constant_(self.detector.bias, -4.0)  # a place shows hardly any of them
        self.trust_detector = nn.Linear(width, 1)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, questions: Tensor, rows: Tensor, places: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T) questions about photos `rows` (N,) of the B whose places are (B, P, features), `visible` (B,) or not
        -> (N, classes + 1) logits, the last: none of the classes; (B, classes) logits of each being on the photo"""
        padding = self.config.buckets
        buckets = words_and_pairs(questions, padding)
        question = self.drop(self.words(buckets) / (buckets != padding).sum(1, keepdim=True).clamp(min=1).sqrt())
        shown, there = self._perceive(places, visible)
        gate = torch.sigmoid(self.gate(self.drop(torch.relu(self._attend(question, shown + self.place, rows)))))
        logits = self.classes(self.drop(torch.relu(self.asked(question))) * 1.5 * gate)
        evidence = nn.functional.softplus(self.trust_detector(question)) * nn.functional.logsigmoid(there)[rows]
        return logits + nn.functional.pad(evidence, (0, 1)), there

    def _perceive(self, places: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, features), (B,) -> (B, P, H) what each place shows; (B, classes) logits of each being on the photo.

        A photo that is not `visible` shows nothing, 0, everywhere. No time is lost on it.
        """
        rows = visible.nonzero()[:, 0]
        found = torch.relu(self.seen(self.drop(places[rows])))
        shown = found.new_zeros(*places.shape[:2], found.size(2)).index_copy(0, rows, found)
        nowhere = (self.detector.bias + math.log(places.size(1))).expand(len(visible), -1)
        return shown, nowhere.index_copy(0, rows, self.detector(self.drop(found)).logsumexp(1))

    def _attend(self, question: Tensor, places: Tensor, rows: Tensor) -> Tensor:
        """(N, H), (B, P, H) -> (N, H): the places' values as each head attends to them"""
        query, key, value = (
            layer(x).unflatten(-1, (self.config.heads, -1))
            for layer, x in ((self.query, question), (self.key, places), (self.value, places))
        )
        scores = torch.einsum("nhd,nphd->nph", query, key[rows]) / query.size(-1) ** 0.5
        return torch.einsum("nph,nphd->nhd", scores.softmax(1), value[rows]).flatten(1)


class ClassifierEnsemble(nn.Module):
    """The mean of several PhotoAttentionClassifiers, each of which errs in its own way (Hansen and Salamon 1990)."""

    def __init__(self, feature_dim: int, places: int, config: ClassifierConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(feature_dim))
        self.register_buffer("axes", torch.zeros(config.features, feature_dim))
        self.glances = nn.ModuleList(PhotoAttentionClassifier(places, config) for _ in range(config.members))

    @torch.no_grad()
    def fit_axes(self, grid: Tensor) -> None:
        """Choose the features that members see: the main axes of these grid features (B, P, D), each at one scale."""
        sample = nn.functional.layer_norm(grid.flatten(0, 1).float(), grid.shape[-1:])
        self.mean.copy_(sample.mean(0))
        axes = torch.pca_lowrank(sample - self.mean, min(self.config.features, *sample.shape), center=False)[2]
        scale = ((sample - self.mean) @ axes).std(0)
        self.axes.zero_()[: axes.size(1)] = (axes / (scale + 0.3 * scale.mean())).T

    def features(self, grid: Tensor) -> Tensor:
        """(B, P, D) grid features -> (B, P, features)"""
        return (nn.functional.layer_norm(grid.float(), grid.shape[-1:]) - self.mean) @ self.axes.T

    def forward(self, questions: Tensor, rows: Tensor, places: Tensor, visible: Tensor) -> list[tuple[Tensor, Tensor]]:
        """What each member says, from `features`: see PhotoAttentionClassifier.forward."""
        return [member(questions, rows, places, visible) for member in self.glances]

    def log_weights(self, questions: Tensor, rows: Tensor, grid: Tensor, visible: Tensor) -> Tensor:
        """(N, classes + 1) log of the probability that each class has, and that the decoder has.

        Classes get the config's mixture weight, less the share that the classifier itself leaves to other answers.
        """
        shown = visible.nonzero()[:, 0]
        places = grid.new_zeros(*grid.shape[:2], self.config.features, dtype=torch.float)
        found = self(questions, rows, places.index_copy(0, shown, self.features(grid[shown])), visible)
        weight = self.config.weight
        own = weight * torch.stack([logits.softmax(1) for logits, _ in found]).mean(0)
        return torch.cat([own[:, :-1], 1 - weight + own[:, -1:]], 1).log()


def words_and_pairs(questions: Tensor, buckets: int) -> Tensor:
    """(N, T) questions padded at the end -> (N, 2 T - 1) buckets of their words and of their pairs of neighbours;
    padding is bucket number `buckets`."""
    words = (questions * 15485863 % buckets).masked_fill(questions == PAD, buckets)
    pairs = (questions[:, :-1] * 7919 + questions[:, 1:] * 104729) % buckets
    return torch.cat([words, pairs.masked_fill(questions[:, 1:] == PAD, buckets)], 1)
