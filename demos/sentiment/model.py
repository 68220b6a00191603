"""Networks that read reviews: a language model of them, and the classifier that starts from it (Dai and Le 2015).

Both hold a `TextEncoder`: one recurrent stack reads the text forwards, another backwards, as in ELMo (Peters et al.
2018). Because neither sees what lies ahead of it, the first can learn to predict the next token and the second the one
before, from text without labels. The classifier then continues from the same weights.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.checkpoint import Checkpoint
from core.networks.recurrent import RecurrentStack, reverse
from demos.sentiment.ngrams import HashedNgrams


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of a TextEncoder. All dropout is variational: one mask for a whole text (Gal and Ghahramani 2016)."""

    vocab_size: int
    embed_dim: int = 256
    hidden_size: int = 448  # of each direction
    num_layers: int = 1
    cell: str = "lstm"  # or "gru", "rnn_tanh", "rnn_relu"
    bidirectional: bool = True
    word_dropout: float = 0.1  # share of the vocabulary that a batch does not see (Merity et al. 2018)
    input_dropout: float = 0.3
    weight_dropout: float = 0.3  # on the recurrent weights (Merity et al. 2018)


class TextEncoder(nn.Module):
    """Tokens -> features of each, from the text before it (and the text after it)."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.embed_dim)
        nn.init.normal_(self.embedding.weight, std=config.embed_dim**-0.5)
        self.forwards = self._stack()
        self.backwards = self._stack() if config.bidirectional else None
        self.output_size = config.hidden_size * (2 if config.bidirectional else 1)

    def _stack(self) -> RecurrentStack:
        c = self.config
        return RecurrentStack(
            c.embed_dim, c.hidden_size, c.num_layers, c.cell, dropout=c.input_dropout, variational=True,
            weight_dropout=c.weight_dropout,
        )  # fmt: skip

    def forward(self, tokens: Tensor, lengths: Tensor, perturbation: Tensor | None = None) -> Tensor:
        """(B, T) tokens, (B,) lengths -> (B, T, output_size), forward features first. Padding holds anything.

        `perturbation` (B, T, E) is added to the embeddings.
        """
        vectors = self.embed(tokens) if perturbation is None else self.embed(tokens) + perturbation
        outputs = self.forwards(vectors).outputs
        if self.backwards is None:
            return outputs
        # Turned round within its length, a text never meets its padding first, so nothing needs packing.
        before = self.backwards(reverse(vectors, lengths)).outputs
        return torch.cat([outputs, reverse(before, lengths)], 2)

    def embed(self, tokens: Tensor) -> Tensor:
        """(B, T) -> (B, T, E); in training, some words of the vocabulary are missing from the whole batch."""
        weight, rate = self.embedding.weight, self.config.word_dropout
        if self.training and rate:
            kept = F.dropout(weight.new_ones(len(weight), 1), rate)
            return F.embedding(tokens, weight) * F.embedding(tokens, kept)
        return F.embedding(tokens, weight)


# --- language model ----------------------------------------------------------------------------------------------


class ReviewLanguageModel(nn.Module, Checkpoint):
    """Next token and token before, from the two halves of an encoder; output embeddings are the input ones."""

    Config = EncoderConfig

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        self.reader = TextEncoder(config)
        directions = 2 if config.bidirectional else 1
        self.readout = nn.ModuleList(nn.Linear(config.hidden_size, config.embed_dim) for _ in range(directions))
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.dropout = nn.Dropout1d(config.input_dropout)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T) chunks of text without padding -> vectors (N, E) and the tokens (N,) that each has to predict."""
        lengths = torch.full((len(tokens),), tokens.size(1))
        outputs = self.reader(tokens, lengths).split(self.config.hidden_size, 2)
        targets = (tokens[:, 1:], tokens[:, :-1])
        seen = (slice(None, -1), slice(1, None))  # forwards: all but the last step; backwards: all but the first
        vectors = [
            self.dropout(torch.tanh(readout(part[:, steps])).transpose(1, 2)).transpose(1, 2).flatten(0, 1)
            for readout, part, steps in zip(self.readout, outputs, seen[: len(outputs)], strict=True)
        ]
        return torch.cat(vectors), torch.cat([t.flatten() for t in targets[: len(vectors)]])

    def logits(self, vectors: Tensor) -> Tensor:
        """(N, E) vectors -> (N, V) logits."""
        return F.linear(vectors, self.reader.embedding.weight, self.bias)


# --- classifier --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SentimentConfig:
    """Everything needed to build a SentimentClassifier without its weights."""

    reader: EncoderConfig = field(default_factory=lambda: EncoderConfig(vocab_size=0))
    language: str = "english"
    class_names: tuple[str, ...] = ("negative", "positive")  # from worst to best
    dropout: float = 0.4  # before and after pooling
    max_tokens: int = 1024  # of longer texts the middle is left out
    temperature: float = 1.0  # the logits are divided by it (Guo et al. 2017)
    votes: int = 0  # entries of the table of n-grams; 0: none


class ClassifierOutput(NamedTuple):
    """Logits of B texts, and what they were pooled from."""

    logits: Tensor  # (B, C)
    outputs: Tensor  # (B, T, D) features of each token; at padding, anything
    argmax: Tensor  # (B, D) the token that each feature's largest value comes from
    attention: Tensor  # (B, T) sums to 1, 0 at padding
    ngrams: Tensor | None = None  # (B, T) what n-grams add to the log-odds of the better half of the classes


class SentimentClassifier(nn.Module, Checkpoint):
    """Encoder -> max pooling and attention pooling side by side -> one linear layer, to whose logits n-grams may add.

    Checkpoints call the encoder `reader` and the n-grams `votes`.
    """

    Config = SentimentConfig

    def __init__(self, config: SentimentConfig):
        super().__init__()
        self.config = config
        self.reader = TextEncoder(config.reader)
        self.attention = nn.Linear(self.reader.output_size, 1)
        self.classes = nn.Linear(2 * self.reader.output_size, len(config.class_names))
        self.dropout = nn.Dropout(config.dropout)
        self.votes = HashedNgrams(config.votes) if config.votes else None

    def forward(self, tokens: Tensor, lengths: Tensor, perturbation: Tensor | None = None) -> ClassifierOutput:
        """(B, T) tokens, (B,) lengths; padding changes nothing. `perturbation`: see TextEncoder."""
        outputs = self.reader(tokens, lengths, perturbation)
        outputs = F.dropout1d(outputs.transpose(1, 2), self.config.dropout / 2, self.training).transpose(1, 2)
        padding = torch.arange(tokens.size(1), device=tokens.device) >= lengths.to(tokens.device).unsqueeze(1)
        largest, argmax = outputs.masked_fill(padding.unsqueeze(2), float("-inf")).max(1)
        scores = self.attention(outputs).squeeze(2).masked_fill(padding, float("-inf"))
        attention = scores.softmax(1)
        mean = (attention.unsqueeze(1) @ outputs).squeeze(1)
        logits = self.classes(self.dropout(torch.cat([largest, mean], 1)))
        if self.votes is None:
            return ClassifierOutput(logits, outputs, argmax, attention)
        ngrams = self.votes(tokens, lengths)
        logits = logits + ngrams.sum(1, keepdim=True) * self.polarity_direction()
        return ClassifierOutput(logits, outputs, argmax, attention, ngrams)

    def polarity_direction(self) -> Tensor:
        """(C,) -1/2 for the worse half of the classes, 1/2 for the better: where n-grams move the logits."""
        classes = torch.arange(self.classes.out_features, device=self.classes.weight.device)
        return (classes - classes.float().mean()).sign() / 2

    def contributions(self, output: ClassifierOutput, direction: Tensor) -> Tensor:
        """How much each token gives to direction (B, C) @ logits: (B, T), which sums to all but the bias.

        Both poolings, the linear layer and n-grams only add up, so each part goes back to the token it came from.
        """
        to_largest, to_mean = (direction @ self.classes.weight).chunk(2, 1)  # (B, D) each
        largest = output.outputs.gather(1, output.argmax.unsqueeze(1)).squeeze(1)
        by_mean = output.attention * (output.outputs @ to_mean.unsqueeze(2)).squeeze(2)
        parts = by_mean.scatter_add(1, output.argmax, to_largest * largest)
        if output.ngrams is None:
            return parts
        return parts + output.ngrams * (direction @ self.polarity_direction()).unsqueeze(1)


# --- probabilities -----------------------------------------------------------------------------------------------


def positive_probability(probabilities: Tensor) -> Tensor:
    """(..., C) probabilities of the classes from worst to best -> (...,) that of the better half, neutral left out."""
    half = probabilities.size(-1) // 2
    worse, better = probabilities[..., :half].sum(-1), probabilities[..., -half:].sum(-1)
    return better / (worse + better)


def log_odds_direction(probabilities: Tensor) -> Tensor:
    """(B, C) -> (B, C): how the log-odds of "positive" change with each logit, the neutral one left out."""
    half = probabilities.size(1) // 2
    worse, better = probabilities[:, :half], probabilities[:, -half:]
    direction = torch.zeros_like(probabilities)
    direction[:, :half] = -worse / worse.sum(1, keepdim=True)
    direction[:, -half:] = better / better.sum(1, keepdim=True)
    return direction
