"""Text that goes on from a visitor's beginning: the one call behind tab, command line, API and tests."""

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.checkpoint import checkpoint_folder
from core.decoding.sampling import Sampling, draw
from core.decoding.stream import StepDecoder, StepState
from core.errors import InputError, check_number
from core.fast.precision import inference_dtype
from core.input.tokenizers import SPECIAL_TOKENS, Token
from core.networks.decoder import DecoderState
from core.serving.shared import load_once
from demos.generation.data import known_pieces, tag_of
from demos.generation.model import TextGenerator
from demos.generation.sources import SOURCES
from demos.generation.whole_bars import Place, WholeBars

MAX_PROMPT = 5_000  # pieces that are read of a beginning: its last ones
MAX_LENGTH = 20_000  # pieces to write at most
CHUNK = 32  # pieces that a stream yields at a time


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
        self._decoder = StepDecoder(model.decoder, dtype=inference_dtype())
        text = np.arange(len(self.vocabulary)) >= self.reserved  # special tokens and tags are none
        single = np.array([len(piece) == 1 for piece in self.vocabulary])
        self._written = {"characters": text & single, "abc": text, "prose": text}  # (V,) of each kind of text
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
        tokens = tuple(token for chunk in self.stream(corpus, prompt, options) for token in chunk)
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
        """The same in chunks of some pieces, as they are written. Whoever stops asking stops the work."""
        options = options or GenerationOptions()
        sampling = Sampling(temperature=options.temperature, top_k=options.top_k, top_p=options.top_p)
        pieces, _ = self.pieces(corpus, prompt)
        logprobs, state = self._after(corpus, pieces)
        bars = self._bars if self.corpora[corpus][1] == "abc" and options.whole_bars else None
        place = reduce(bars.read, pieces, Place()) if bars else Place()
        random, left = np.random.default_rng(options.seed), min(options.length, MAX_LENGTH)
        while left:
            chunk = []
            with torch.inference_mode():
                for uniform in random.random((min(CHUNK, left), 1)):
                    allowed = bars.allowed(place) if bars else None
                    drawn = logprobs if allowed is None else np.where(allowed, logprobs, -np.inf)
                    token = draw(drawn[None], sampling, uniform)
                    number = token.item()
                    chunk.append(Token(self.vocabulary[number], logprobs[number].item()))
                    if bars:
                        place = bars.read(place, chunk[-1].text)
                    logprobs, state = self._step(corpus, token, state)
            left -= len(chunk)
            yield tuple(chunk)

    def following(self, corpus: str, prompt: str, count: int = 12) -> list[tuple[str, float]]:
        """The likeliest next pieces and their probabilities."""
        logprobs, _ = self._after(corpus, self.pieces(corpus, prompt)[0])
        best = np.argsort(-logprobs)[: min(count, np.isfinite(logprobs).sum())]
        return [(self.vocabulary[number], math.exp(logprobs[number])) for number in best]

    def read(self, corpus: str, text: str) -> Reading:
        """The surprise at each piece of a text, and every unit's cell after it. Raises InputError for an empty text."""
        pieces, _ = self.pieces(corpus, text)
        if not pieces:
            raise InputError("There is nothing to read: give a text in characters that the network knows.")
        tokens, cells = [], []
        logprobs, state = self._after(corpus, [])
        with torch.inference_mode():
            for piece in pieces:
                number = self.index[piece]
                tokens.append(Token(piece, logprobs[number].item()))
                logprobs, state = self._step(corpus, np.array([number]), state)
                cells.append(torch.cat(state.cell, 1))
            return Reading(tuple(tokens), torch.cat(cells).tanh().numpy())

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
        if kind == "abc":  # what somebody types may lack the space after a token, or have one too many
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

    def _after(self, corpus: str, pieces: list[str]) -> tuple[np.ndarray, DecoderState]:
        """(V,) log-probabilities of what follows the corpus's tag and the pieces, and the state there."""
        ids = torch.tensor([[self.index[piece] for piece in (tag_of(corpus), *pieces)]])
        with torch.inference_mode():
            vectors, state, _ = self.model.decoder.vectors(ids)
            return self._logprobs(corpus, self.model.decoder.logits(vectors[0, -1])), state

    def _step(self, corpus: str, token: np.ndarray, state: DecoderState | StepState) -> tuple[np.ndarray, StepState]:
        """(V,) log-probabilities of what follows a token (1,) after a state, and the state after it."""
        output = self._decoder(torch.from_numpy(token[None]), None, state)
        return self._logprobs(corpus, output.logits[0, 0]), output.state

    def _logprobs(self, corpus: str, logits: Tensor) -> np.ndarray:
        """(V,) logits -> log-probabilities among the pieces that a text of the corpus can hold; of others -inf."""
        row = np.where(self._written[self.corpora[corpus][1]], logits.float().numpy(), -np.inf)
        row -= row.max()
        row -= math.log(np.exp(row).sum())
        return row


def bounded(options: GenerationOptions) -> tuple[str, ...]:
    """A sentence for each wish that was cut."""
    if options.length > MAX_LENGTH:
        return (f"The length was bounded at {MAX_LENGTH:,} pieces.",)
    return ()


def _spaced(piece: str, after: str) -> tuple[str, ...]:
    """Ways to write a token, the best first: with a space unless a line ends, or as it is."""
    token = piece.rstrip(" ")
    return (piece,) if piece == "\n" else (token, token + " ") if after == "\n" else (token + " ", token)


@load_once
def load(checkpoint: str) -> GenerationPredictor:
    """The repository's own network in checkpoints/CHECKPOINT, once for all. Raises ModelError when it is not there."""
    return GenerationPredictor.from_pretrained(checkpoint_folder(checkpoint))


def get_predictor(corpus: str = "") -> GenerationPredictor:
    """The repository's own network that has learnt a corpus, loaded when first needed, once, and shared.

    Raises InputError for a corpus that none has learnt, ModelError when a network cannot be had.
    """
    checkpoints = {source.name: source.checkpoint for source in SOURCES}
    predictor = load(checkpoints.get(corpus, "generation"))
    if corpus and corpus not in predictor.corpora:
        known = dict.fromkeys([*predictor.corpora, *checkpoints])
        raise InputError(f"There is no corpus {corpus!r}. Choose one of {', '.join(known)}.")
    return predictor
