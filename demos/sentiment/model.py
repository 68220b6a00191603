"""Networks that read reviews: a language model of them, and the classifier that starts from it (Dai and Le 2015).

Both hold a `Reader`: one recurrent stack reads the text forwards, another backwards, as in ELMo (Peters et al. 2018).
Because neither sees what lies ahead of it, the first can learn to predict the next token and the second the one
before, from text without labels. The classifier then continues from the same weights.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.checkpoint import Checkpoint
from core.networks.recurrent import RecurrentStack, reverse
from demos.sentiment.phrases import PhraseVotes


@dataclass(frozen=True)
class ReaderConfig:
    """Shape of a Reader. All dropout is variational: one mask for a whole text (Gal and Ghahramani 2016)."""

    vocab_size: int
    embed_dim: int = 256
    hidden_size: int = 320  # of each direction; in float32 its recurrent weights stay within 2 MB of cache
    num_layers: int = 1
    cell: str = "lstm"  # or "gru", "rnn_tanh", "rnn_relu"
    bidirectional: bool = True
    word_dropout: float = 0.1  # share of the vocabulary that a batch does not see (Merity et al. 2018)
    input_dropout: float = 0.3
    weight_dropout: float = 0.3  # on the recurrent weights (Merity et al. 2018)


class Reader(nn.Module):
    """Tokens -> what the network knows at each of them, from the text before (and the text after)."""

    def __init__(self, config: ReaderConfig):
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

    def forward(self, tokens: Tensor, lengths: Tensor, shift: Tensor | None = None) -> Tensor:
        """(B, T) tokens, (B,) lengths -> (B, T, output_size), forward features first. Padding holds anything.

        `shift` (B, T, E) is added to the embeddings.
        """
        vectors = self.embed(tokens) if shift is None else self.embed(tokens) + shift
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
    """Next token and token before, from the two halves of a Reader; output embeddings are the input ones."""

    Config = ReaderConfig

    def __init__(self, config: ReaderConfig):
        super().__init__()
        self.config = config
        self.reader = Reader(config)
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

    def logits(self, vectors: Tensor, tokens: Tensor | None = None) -> Tensor:
        """(N, E) vectors -> (N, V) logits, or those of the (K,) tokens only."""
        if tokens is None:
            return F.linear(vectors, self.reader.embedding.weight, self.bias)
        return F.linear(vectors, F.embedding(tokens, self.reader.embedding.weight), self.bias[tokens])


# --- classifier --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SentimentConfig:
    """Everything needed to build a SentimentClassifier without its weights."""

    reader: ReaderConfig = field(default_factory=lambda: ReaderConfig(vocab_size=0))
    language: str = "english"
    class_names: tuple[str, ...] = ("negative", "positive")  # from worst to best
    dropout: float = 0.4  # before and after pooling
    max_tokens: int = 1024  # of longer texts the middle is left out
    temperature: float = 1.0  # the logits are divided by it (Guo et al. 2017)
    votes: int = 0  # entries of a table of phrases that vote too; 0: none


class Reading(NamedTuple):
    """What the classifier makes of B texts."""

    logits: Tensor  # (B, C)
    outputs: Tensor  # (B, T, D) features of each step; at padding, anything
    places: Tensor  # (B, D) the step that each feature's largest value comes from
    attention: Tensor  # (B, T) sums to 1, 0 at padding
    votes: Tensor | None = None  # (B, T) what phrases add to the log-odds of the better half of the classes


class SentimentClassifier(nn.Module, Checkpoint):
    """Reader -> max pooling and attention pooling side by side -> one linear layer; phrases may vote beside it."""

    Config = SentimentConfig

    def __init__(self, config: SentimentConfig):
        super().__init__()
        self.config = config
        self.reader = Reader(config.reader)
        self.attention = nn.Linear(self.reader.output_size, 1)
        self.classes = nn.Linear(2 * self.reader.output_size, len(config.class_names))
        self.dropout = nn.Dropout(config.dropout)
        self.votes = PhraseVotes(config.votes) if config.votes else None

    def forward(self, tokens: Tensor, lengths: Tensor, shift: Tensor | None = None) -> Reading:
        """(B, T) tokens, (B,) lengths -> Reading; padding changes nothing. `shift`: see Reader."""
        outputs = self.reader(tokens, lengths, shift)
        outputs = F.dropout1d(outputs.transpose(1, 2), self.config.dropout / 2, self.training).transpose(1, 2)
        padding = torch.arange(tokens.size(1), device=tokens.device) >= lengths.to(tokens.device).unsqueeze(1)
        largest, places = outputs.masked_fill(padding.unsqueeze(2), float("-inf")).max(1)
        scores = self.attention(outputs).squeeze(2).masked_fill(padding, float("-inf"))
        attention = scores.softmax(1)
        mean = (attention.unsqueeze(1) @ outputs).squeeze(1)
        logits = self.classes(self.dropout(torch.cat([largest, mean], 1)))
        if self.votes is None:
            return Reading(logits, outputs, places, attention)
        votes = self.votes(tokens, lengths)
        return Reading(logits + votes.sum(1, keepdim=True) * self.stance(), outputs, places, attention, votes)

    def stance(self) -> Tensor:
        """(C,) -1/2 for the worse half of the classes, 1/2 for the better: where votes move the logits."""
        classes = torch.arange(self.classes.out_features, device=self.classes.weight.device)
        return (classes - classes.float().mean()).sign() / 2

    def shares(self, reading: Reading, direction: Tensor) -> Tensor:
        """How much each step gives to direction (B, C) @ logits: (B, T), which sums to all but the bias.

        Both poolings, the linear layer and votes only add up, so each part goes back to the step it came from.
        """
        to_largest, to_mean = (direction @ self.classes.weight).chunk(2, 1)  # (B, D) each
        largest = reading.outputs.gather(1, reading.places.unsqueeze(1)).squeeze(1)
        by_mean = reading.attention * (reading.outputs @ to_mean.unsqueeze(2)).squeeze(2)
        shares = by_mean.scatter_add(1, reading.places, to_largest * largest)
        return shares if reading.votes is None else shares + reading.votes * (direction @ self.stance()).unsqueeze(1)
