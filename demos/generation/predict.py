"""Text that goes on from a visitor's beginning: the one call behind tab, command line, API and tests."""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from core.checkpoint import checkpoint_folder
from core.errors import InputError, check_number
from core.fast.packed import PackedLinear, can_pack
from core.fast.precision import inference_dtype
from core.input.tokenizers import SPECIAL_TOKENS, Token
from core.networks.decoder import DecoderState, LSTMDecoder
from demos.generation.data import known_pieces, tag_of
from demos.generation.model import TextGenerator
from demos.generation.sources import SOURCES
from demos.generation.whole_bars import Place, WholeBars

MAX_PROMPT = 5_000  # pieces that are read of a beginning: its last ones
MAX_LENGTH = 20_000  # pieces to write at most
BURST = 32  # pieces between two looks at the outside
TABLE = 2048  # pieces up to which the first layer's input products are kept


@dataclass(frozen=True)
class GenerationOptions:
    """How to write. Raises InputError for values that make no sense."""

    temperature: float = 0.7  # 0 always takes the likeliest; 1 samples as the network thinks
    top_k: int = 0  # only among so many of the likeliest pieces; 0: among all
    top_p: float = 1.0  # only among the likeliest pieces of this probability together (Holtzman et al. 2020)
    length: int = 600  # pieces: characters, ABC tokens, or words and marks
    seed: int = 1
    whole_bars: bool = True  # folk tunes only: sample within what lets every bar add up to the meter

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0, 5)
        check_number("top_k", self.top_k, 0, 10_000, whole=True)
        check_number("top_p", self.top_p, 0, 1)
        if self.top_p == 0:
            raise InputError("top_p must be more than 0: 1 samples among all pieces.")
        check_number("length", self.length, 1, 10**9, whole=True)
        check_number("seed", self.seed, 0, 2**63 - 1, whole=True)
        if not isinstance(self.whole_bars, bool):
            raise InputError(f"whole_bars must be true or false, not {self.whole_bars!r}.")


@dataclass(frozen=True)
class GenerationResult:
    """What was written after the prompt."""

    text: str  # without the prompt
    logprob: float
    prompt: str  # as it was read
    tokens: tuple[Token, ...]  # at temperature 1, among all pieces that the corpus may have
    notes: tuple[str, ...]  # what was skipped or bounded, a sentence each
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Reading:
    """What the network did while it read a text."""

    tokens: tuple[Token, ...]
    cells: np.ndarray  # (T, layers * H): tanh of every unit's cell after each piece


class GenerationPredictor:
    """A loaded network. Holds no state between calls: threads may share it."""

    def __init__(self, model: TextGenerator):
        self.model, self.vocabulary = model.eval(), model.config.vocabulary
        self.index = {piece: number for number, piece in enumerate(self.vocabulary)}
        self.corpora = {name: (title, kind, prompt) for name, title, kind, prompt in model.config.corpora}
        self.reserved = len(SPECIAL_TOKENS) + len(self.corpora)
        self._writer = Writer(model.decoder)
        text = np.arange(len(self.vocabulary)) >= self.reserved  # special tokens and tags are none
        single = np.array([len(piece) == 1 for piece in self.vocabulary])
        self._written = {"characters": text & single, "abc": text, "words": text, "prose": text}
        self._bars = WholeBars(self.vocabulary)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "GenerationPredictor":
        """Load a checkpoint, by default the repository's own. Raises ModelError when it is missing or damaged."""
        return cls(TextGenerator.from_pretrained(folder_or_hub_id or checkpoint_folder("generation")))

    def __call__(self, corpus: str, prompt: str = "", options: GenerationOptions | None = None) -> GenerationResult:
        """Write on after a prompt. Raises InputError for an unknown corpus."""
        start = time.perf_counter()
        options = options or GenerationOptions()
        pieces, notes = self.pieces(corpus, prompt)
        tokens = tuple(token for burst in self.stream(corpus, prompt, options) for token in burst)
        return GenerationResult(
            "".join(token.text for token in tokens),
            sum(token.logprob for token in tokens),
            "".join(pieces),
            tokens,
            (*notes, *bounded(options)),
            time.perf_counter() - start,
        )

    def stream(
        self, corpus: str, prompt: str = "", options: GenerationOptions | None = None
    ) -> Iterator[tuple[Token, ...]]:
        """The same in bursts, as they are written. Whoever stops asking stops the work."""
        options = options or GenerationOptions()
        pieces, _ = self.pieces(corpus, prompt)
        logits, state = self._read(corpus, pieces)
        kind = self.corpora[corpus][1]
        never, place, allowed = ~self._written[kind], Place(), None
        bars = self._bars if kind == "abc" and options.whole_bars else None
        if bars:
            place = reduce(bars.read, pieces, place)
        random, writer = np.random.default_rng(options.seed), self._writer
        hidden = [part[0].clone() for layer in zip(*state, strict=True) for part in layer]
        row, left = logits[-1].numpy().copy(), min(options.length, MAX_LENGTH)
        while left:
            burst = []
            with torch.inference_mode():
                for _ in range(min(BURST, left)):
                    row[never] = -np.inf
                    if bars:
                        allowed = bars.allowed(place)
                    token, logprob = choose(row, options, random, allowed)
                    if bars:
                        place = bars.read(place, self.vocabulary[token])
                    burst.append(Token(self.vocabulary[token], logprob))
                    row = writer.step(token, hidden)
            left -= len(burst)
            yield tuple(burst)

    def following(self, corpus: str, prompt: str, count: int = 12) -> list[tuple[str, float]]:
        """The likeliest next pieces and their probabilities."""
        logits, _ = self._read(corpus, self.pieces(corpus, prompt)[0])
        written = self._written[self.corpora[corpus][1]]
        logits[-1, torch.from_numpy(~written)] = -math.inf
        top = logits[-1].softmax(0).topk(min(count, int(written.sum())))
        return [(self.vocabulary[i], p) for i, p in zip(top.indices.tolist(), top.values.tolist(), strict=True)]

    def read(self, corpus: str, text: str) -> Reading:
        """The surprise at each piece of a text, and every unit's cell after it. Raises InputError for an empty text."""
        pieces, _ = self.pieces(corpus, text)
        if not pieces:
            raise InputError("There is nothing to read: give a text in characters that the network knows.")
        hidden, cells, tokens = self._writer.start(), [], []
        never = ~self._written[self.corpora[corpus][1]]
        with torch.inference_mode():
            row = self._writer.step(self.index[tag_of(corpus)], hidden)
            for piece in pieces:
                row[never], token = -np.inf, self.index[piece]
                tokens.append(Token(piece, float(row[token] - row.max() - np.log(np.exp(row - row.max()).sum()))))
                row = self._writer.step(token, hidden)
                cells.append(torch.cat(hidden[1::2]).tanh().numpy())
        return Reading(tuple(tokens), np.stack(cells))

    def pieces(self, corpus: str, text: str) -> tuple[list[str], tuple[str, ...]]:
        """What is read of a text, and a sentence for all that is not. Raises InputError for an unknown corpus."""
        if corpus not in self.corpora:
            raise InputError(f"There is no corpus {corpus!r}. Choose one of {', '.join(self.corpora)}.")
        if not isinstance(text, str):
            raise InputError(f"A prompt is text, not {type(text).__name__}.")
        notes = []
        kind = self.corpora[corpus][1]
        if len(text) > 20 * MAX_PROMPT:
            text = text[-20 * MAX_PROMPT :]
        text = text.replace("\r\n", "\n")
        found = known_pieces(text.rstrip(" ") if kind == "prose" else text, kind, self.index)
        if kind in ("abc", "words"):  # what somebody types may lack the space after a token, or have one too many
            found = [next((p for p in _spaced(f, after) if p in self.index), f) for f, after in pairwise([*found, ""])]
        written = self._written[kind]
        known = [piece for piece in found if piece in self.index and written[self.index[piece]]]
        if unknown := sorted(set(found) - set(known)):
            named = ", ".join(repr(piece) for piece in unknown[:12]) + (" and others" if len(unknown) > 12 else "")
            notes.append(f"Skipped, because the network never read it: {named}.")
        if len(known) > MAX_PROMPT:
            known = known[-MAX_PROMPT:]
            notes.append(f"The prompt is long: its last {MAX_PROMPT:,} pieces were read.")
        return known, tuple(notes)

    def _read(self, corpus: str, pieces: list[str]) -> tuple[Tensor, DecoderState]:
        """(T, V) logits after the corpus's tag and each piece, and the state after the last."""
        ids = torch.tensor([[self.index[piece] for piece in (tag_of(corpus), *pieces)]])
        with torch.inference_mode():
            output = self.model(ids)
        return output.logits[0].float().clone(), output.state


def bounded(options: GenerationOptions) -> tuple[str, ...]:
    """A sentence for each wish that was cut."""
    if options.length > MAX_LENGTH:
        return (f"The length was bounded at {MAX_LENGTH:,} pieces.",)
    return ()


def choose(
    row: np.ndarray, options: GenerationOptions, random: np.random.Generator, allowed: np.ndarray | None = None
) -> tuple[int, float]:
    """One of the (V,) logits by temperature, top-k and top-p, and its log-probability under the logits themselves.

    allowed: (V,) which may be chosen; None: all.
    """
    own = row = row - row.max()
    normaliser = math.log(np.exp(row).sum())
    if allowed is not None:
        row = np.where(allowed, row, -np.inf)
        row = row - row.max()
    if options.temperature < 1e-3:
        token = int(row.argmax())
        return token, float(own[token]) - normaliser
    p = np.exp(row / options.temperature)
    if 0 < options.top_k < len(p):
        p[p < np.partition(p, -options.top_k)[-options.top_k]] = 0
    if options.top_p < 1:
        order = np.argsort(-p)
        total = np.cumsum(p[order])
        p[order[1:][total[:-1] >= options.top_p * total[-1]]] = 0
    cumulative = np.cumsum(p)
    token = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    return token, float(own[token]) - normaliser


def _spaced(piece: str, after: str) -> tuple[str, ...]:
    """Ways to write a token, the best first: with a space unless a line ends, or as it is."""
    token = piece.rstrip(" ")
    return (piece,) if piece == "\n" else (token, token + " ") if after == "\n" else (token + " ", token)


class Writer:
    """The decoder's single step with as few operations as possible: what a stream of one text needs.

    The first layer's input products are looked up, unless the vocabulary is large; the other layers' two matrices are
    one. A step of one text is bound by reading the matrices, which therefore are in bfloat16, half the bytes, where the
    processor multiplies that fast, and packed where it does not (see core.fast.packed).
    """

    def __init__(self, decoder: LSTMDecoder, dtype: torch.dtype | None = None):
        dtype = dtype or inference_dtype()
        with torch.no_grad():
            first = decoder.first
            self.embedding = decoder.embedding.weight.detach()
            self.entry = (_matrix(first.weight_ih_l0, dtype), first.bias_ih_l0 + first.bias_hh_l0)
            small = len(self.embedding) <= TABLE
            self.table = self.embedding @ first.weight_ih_l0.T + self.entry[1] if small else None
            self.size = first.hidden_size
            self.first = _matrix(first.weight_hh_l0, dtype)
            self.upper = [
                (_matrix(torch.cat([m.weight_ih_l0, m.weight_hh_l0], 1), dtype), m.bias_ih_l0 + m.bias_hh_l0)
                for m in decoder.upper
            ]
            self.readout = (decoder.readout.weight.detach(), decoder.readout.bias.detach())
            self.output = (self.embedding if small else _matrix(self.embedding, dtype), decoder.bias.detach())

    def start(self) -> list[Tensor]:
        """The empty state, for `step`."""
        return [self.embedding.new_zeros(self.size) for _ in range(2 * len(self.upper) + 2)]

    def step(self, token: int, hidden: list[Tensor]) -> np.ndarray:
        """(V,) logits after a token; `hidden` holds h and c (H,) of layer after layer and is renewed in place."""
        outputs = _cell(self._entry(token) + _product(self.first, hidden[0]), hidden, 0)
        for number, (weight, bias) in enumerate(self.upper, 1):
            below = torch.cat([outputs, hidden[2 * number]])
            outputs = outputs + _cell(bias + _product(weight, below), hidden, number)
        vector = torch.addmv(self.readout[1], self.readout[0], outputs).tanh_()
        return (self.output[1] + _product(self.output[0], vector)).numpy()

    def _entry(self, token: int) -> Tensor:
        """What a token adds to the first layer's gates (4 H,)."""
        if self.table is not None:
            return self.table[token]
        return self.entry[1] + _product(self.entry[0], self.embedding[token])


def _matrix(weight: Tensor, dtype: torch.dtype) -> Tensor | PackedLinear:
    if dtype == torch.float32 and can_pack():
        return PackedLinear(weight, weight.new_zeros(len(weight)))
    return weight.detach().to(dtype)


def _product(weight: Tensor | PackedLinear, vector: Tensor) -> Tensor:
    if isinstance(weight, PackedLinear):
        return weight(vector.unsqueeze(0)).squeeze(0)
    # as a batch of one: torch.mv has no fast bfloat16 on processors without AMX and takes twice as long there
    return F.linear(vector.to(weight.dtype).unsqueeze(0), weight).squeeze(0).float()


def _cell(gates: Tensor, hidden: list[Tensor], number: int) -> Tensor:
    """The LSTM's output from its summed gates (4 H,)."""
    entry, forget, cell, out = gates.chunk(4)
    cell = torch.addcmul(forget.sigmoid() * hidden[2 * number + 1], entry.sigmoid(), cell.tanh())
    output = out.sigmoid() * cell.tanh()
    hidden[2 * number], hidden[2 * number + 1] = output, cell
    return output


_LOADING = threading.Lock()


@cache
def _load(checkpoint: str) -> GenerationPredictor:
    return GenerationPredictor.from_pretrained(checkpoint_folder(checkpoint))


def get_predictor(corpus: str = "") -> GenerationPredictor:
    """The repository's own network that has learnt a corpus, loaded when first needed, once, and shared.

    Raises InputError for a corpus that none has learnt, ModelError when a network cannot be had.
    """
    checkpoints = {source.name: source.checkpoint for source in SOURCES}
    with _LOADING:
        predictor = _load(checkpoints.get(corpus, "generation"))
    if corpus and corpus not in predictor.corpora:
        known = dict.fromkeys([*predictor.corpora, *checkpoints])
        raise InputError(f"There is no corpus {corpus!r}. Choose one of {', '.join(known)}.")
    return predictor
