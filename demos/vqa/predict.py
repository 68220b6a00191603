"""Answers to a visitor's questions about a photo: the one call behind tab, command line, API and tests."""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer
from core.decoding.search import Beam
from core.errors import InputError, check_number
from core.input.image import load_image
from demos.vqa.frequent import Answering
from demos.vqa.model import VQA, Scene, Thought
from demos.vqa.text import Reader, ReadText, training_ids

MAX_CHOICES = 50
MAX_ANSWER = 6  # words
SEEING, BLIND = 0, 1  # the two rows of every batch: the same question with the photo and without


@dataclass(frozen=True)
class VQAOptions:
    """What to answer with. Raises InputError for choices that make no sense."""

    choices: tuple[str, ...] = ()  # rank these (multiple choice); empty: any answer (open-ended)
    answers: int = 5  # open-ended answers to return, 1 to 20

    def __post_init__(self) -> None:
        if isinstance(self.choices, str) or not isinstance(self.choices, Sequence):
            raise InputError(f"choices must be a list of answers, not {self.choices!r}.")
        if len(self.choices) > MAX_CHOICES:
            raise InputError(f"At most {MAX_CHOICES} choices can be ranked, not {len(self.choices)}.")
        check_number("answers", self.answers, 1, 20, whole=True)
        object.__setattr__(self, "choices", tuple(self.choices))


@dataclass(frozen=True)
class Answer:
    """One answer. Its log-probability is among all answers that can be written, also in multiple choice."""

    text: str
    logprob: float
    blind_logprob: float  # of the same network without the photo
    probability: float  # open-ended: among all answers; multiple choice: among the choices
    blind_probability: float


@dataclass(frozen=True)
class VQAResult:
    """Answers to one question about one photo, best first."""

    text: str
    answers: tuple[Answer, ...]
    blind_text: str  # what the network answers without the photo
    question_type: str  # what kind of question it takes this for
    read_as: dict[str, str]  # words of the question that it does not know, and what it took them for
    unknown: tuple[str, ...]  # words that it has nothing for
    wording: float  # share of what the wording alone says that was taken from yes and no; 0 for other questions
    evidence: dict[str, float]  # log-odds that each word of the question adds to "yes", by what the photo shows
    seconds: float
    hops: np.ndarray | None = field(default=None, repr=False, compare=False)  # (hops, h, w) attention over the photo
    looked: tuple[float, ...] = field(default=(), repr=False, compare=False)  # each hop's share on the photo

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the attention."""
        result = asdict(self)
        del result["hops"], result["looked"]
        return result


class VQAPredictor:
    """A loaded network, made fast (VQA.for_inference). Holds no state between calls: threads may share it."""

    def __init__(self, model: VQA, tokenizer: PreTrainedTokenizerFast):
        self.model, self.tokenizer = model.for_inference(), tokenizer
        self.reader = Reader(tokenizer)
        self._yes_no = tuple(tuple(ids) for ids in training_ids(tokenizer, ["yes", "no"]))

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "VQAPredictor":
        """Load a checkpoint, by default the repository's own. Raises ModelError when it is missing or damaged."""
        source = folder_or_hub_id or checkpoint_folder("vqa")
        return cls(VQA.from_pretrained(source), load_tokenizer(source))

    def __call__(self, image: Any, question: str, options: VQAOptions | None = None) -> VQAResult:
        """Answer one question about a photo: a path, bytes, a file or a PIL image.

        Raises InputError when it is no usable picture, or the question or a choice has no word in it.
        """
        start = time.perf_counter()
        options = options or VQAOptions()
        asked = self.reader.question(question)
        choices = self._choices(options.choices)
        scene = self.scene(load_image(image))
        return self._answer(scene, asked, choices, options, start)

    def stream(self, requests: Iterable[tuple[Any, str, VQAOptions | InputError]]) -> Iterator[VQAResult | InputError]:
        """Answer any number of requests in order; one that cannot be served yields its error.

        A request whose options are an InputError already (a line that could not be read) yields that. Neighbours about
        the same photo (path) share the work of looking at it; memory stays bounded.
        """
        last: Any = None
        for image, question, options in requests:
            start = time.perf_counter()
            try:
                if isinstance(options, InputError):
                    raise options
                asked, choices = self.reader.question(question), self._choices(options.choices)
                if last is None or image != last:
                    last, scene = None, self.scene(load_image(image))
                    last = image if isinstance(image, str | Path) else None
                yield self._answer(scene, asked, choices, options, start)
            except InputError as error:
                yield error

    @torch.inference_mode()
    def scene(self, photo: Image.Image) -> Scene:
        """What there is to see on a loaded photo, with it (row 0) and without it (row 1)."""
        config, encoder = self.model.config, self.model.encoder
        grid = self.model.grid(encoder.stem(encoder.preprocess([photo], config.photo_size, config.test_size)))
        return self.model.look(grid.expand(2, -1, -1), torch.tensor([1.0, 0.0]))

    def answering(self, thought: Thought) -> Answering:
        """How questions can be answered that were thought about with their photos, then in the same order without."""
        answering, config = self.model.answering(thought), self.model.config
        if not config.wording and not config.evidence:
            return answering
        return answering.without_wording(self._yes_no, config.wording, thought.evidence.sum(1))

    def _by_word(self, question: Sequence[int], evidence: torch.Tensor) -> dict[str, float]:
        """{word: its log-odds} of the words that count; those of a word that comes twice are added"""
        added: Counter[str] = Counter()
        for word, odds in zip(self.tokenizer.convert_ids_to_tokens(list(question)), evidence.tolist(), strict=True):
            added[word] += odds
        return {word: round(odds, 4) for word, odds in added.items() if odds}

    def _candidates(self, answering: Answering, beam: Beam) -> dict[str, tuple[int, ...]]:
        """{text: tokens} of what is likely with the photo or without it"""
        found = dict.fromkeys(tokens for row in answering.candidates(beam) for tokens in row)
        return {self.tokenizer.decode(tokens, skip_special_tokens=True): tokens for tokens in found}

    def _choices(self, texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """{choice as typed: its tokens}; a choice that comes twice counts once."""
        choices: dict[str, tuple[int, ...]] = {}
        for text in texts:
            tokens = self.reader.answer(text).ids
            if tokens not in choices.values():
                choices[text.strip()] = tokens
        return choices

    @torch.inference_mode()
    def _answer(
        self, scene: Scene, asked: ReadText, choices: dict[str, tuple[int, ...]], options: VQAOptions, start: float
    ) -> VQAResult:
        thought = self.model.think(scene, torch.tensor([asked.ids, asked.ids]))
        answering = self.answering(thought)
        candidates = choices or self._candidates(answering, Beam(max(5, options.answers) + 3, max_length=MAX_ANSWER))
        answers = _scored(answering, candidates, among=bool(choices))
        blind = max(answers, key=lambda answer: answer.blind_logprob).text
        if not choices:
            answers = tuple(sorted(answers, key=lambda answer: _says_twice(answer.text)))[: options.answers]
            answers = tuple(sorted(answers, key=lambda answer: -answer.logprob))
        grid = self.model.encoder.config.grid
        hops = torch.stack([attention[SEEING] for attention in thought.hops])  # (hops, P + 1)
        kind = self.model.config.types[int(thought.type_logits[SEEING].argmax())]
        return VQAResult(
            answers[0].text, answers, blind, kind, asked.read_as, asked.unknown,
            self.model.config.wording if kind == "yes/no" else 0.0,
            self._by_word(asked.ids, thought.evidence[SEEING]) if kind == "yes/no" else {},
            round(time.perf_counter() - start, 4), hops[:, :-1].reshape(-1, *grid).numpy(),
            tuple(hops[:, :-1].sum(1).tolist()),
        )  # fmt: skip


def _scored(answering: Answering, candidates: dict[str, tuple[int, ...]], among: bool) -> tuple[Answer, ...]:
    """Answers with their log-probability given the photo, and without it, best first."""
    logprobs = torch.tensor(answering.score([list(candidates.values())] * 2))  # rows SEEING and BLIND
    probabilities = logprobs.softmax(1) if among else logprobs.exp()
    columns = zip(candidates, *logprobs.tolist(), *probabilities.tolist(), strict=True)
    answers = [Answer(*column) for column in columns]
    return tuple(sorted(answers, key=lambda answer: -answer.logprob))


def _says_twice(answer: str) -> bool:
    """ "red and red": DAQUAR's lists teach the form, and nobody answers so."""
    words = [word for word in answer.split() if word != "and"]
    return len(set(words)) < len(words)


_LOADING = threading.Lock()


def get_predictor() -> VQAPredictor:
    """The repository's VQA network, loaded when first needed, once, and shared."""
    with _LOADING:
        return _load_once()


@lru_cache(maxsize=1)
def _load_once() -> VQAPredictor:
    return VQAPredictor.from_pretrained()
