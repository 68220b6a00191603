"""Answers to a visitor's questions about a photo: the one call behind tab, command line, API and tests."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer
from core.decoding.search import Beam
from core.decoding.stream import StepDecoder
from core.errors import InputError, check_number
from core.input.image import load_image
from core.serving.shared import load_once
from demos.vqa.classifier import Tokens
from demos.vqa.distribution import AnswerDistribution, PairedDistribution
from demos.vqa.model import VQA, PairedQuestions, PhotoFeatures
from demos.vqa.text import ParsedText, QuestionParser, training_ids

MAX_CHOICES = 50
MAX_ANSWER = 6  # words


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
        self.decoder = StepDecoder(model.decoder)
        self.parser = QuestionParser(tokenizer)
        self._classes = {answer: number for number, answer in enumerate(model.config.classifier.answers)}
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
        (result,) = self.stream([(image, question, options or VQAOptions())])
        if isinstance(result, InputError):
            raise result
        return result

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
                parsed, choices = self.parser.question(question), self._choices(options.choices)
                if last is None or image != last:
                    last, photo = None, self.photo_features(load_image(image))
                    last = image if isinstance(image, str | Path) else None
                yield self._answer(photo, parsed, choices, options, start)
            except InputError as error:
                yield error

    @torch.inference_mode()
    def photo_features(self, photo: Image.Image) -> PhotoFeatures:
        """What there is to see on a loaded photo."""
        return self.model.features(self.model.grid(self.model.stem_maps([photo])))

    def distribution(self, encoded: PairedQuestions) -> PairedDistribution:
        """The probabilities of answers to encoded questions, with their photos and without."""
        config = self.model.config
        seeing, blind = (
            AnswerDistribution(self.decoder, one.memory, self._classes, one.log_weights) for one in encoded
        )
        yes_no = self._yes_no if config.language_prior or config.evidence else ()
        return PairedDistribution(seeing, blind, yes_no, config.language_prior, encoded.with_photo.evidence.sum(1))

    def _by_word(self, question: Sequence[int], evidence: torch.Tensor) -> dict[str, float]:
        """{word: its log-odds} of the words that count; those of a word that comes twice are added"""
        added: Counter[str] = Counter()
        for word, odds in zip(self.tokenizer.convert_ids_to_tokens(list(question)), evidence.tolist(), strict=True):
            added[word] += odds
        return {word: round(odds, 4) for word, odds in added.items() if odds}

    def _candidates(self, distribution: PairedDistribution, beam: Beam) -> dict[str, Tokens]:
        """{text: tokens} of what is likely with the photo or without it, for one question"""
        seeing, blind = distribution.candidates(beam)
        found = dict.fromkeys([*seeing[0], *blind[0]])
        return {self.tokenizer.decode(tokens, skip_special_tokens=True): tokens for tokens in found}

    def _choices(self, texts: Sequence[str]) -> dict[str, Tokens]:
        """{choice as typed: its tokens}; a choice that comes twice counts once."""
        choices: dict[str, Tokens] = {}
        for text in texts:
            tokens = self.parser.answer(text).ids
            if tokens not in choices.values():
                choices[text.strip()] = tokens
        return choices

    @torch.inference_mode()
    def _answer(
        self, photo: PhotoFeatures, parsed: ParsedText, choices: dict[str, Tokens], options: VQAOptions, start: float
    ) -> VQAResult:
        encoded = self.model.encode_pairs(photo, torch.tensor([parsed.ids]))
        distribution, seeing = self.distribution(encoded), encoded.with_photo
        beam = Beam(max(5, options.answers) + 3, max_length=MAX_ANSWER)
        answers = _scored(distribution, choices or self._candidates(distribution, beam), among=bool(choices))
        blind = max(answers, key=lambda answer: answer.blind_logprob).text
        if not choices:
            answers = tuple(sorted(answers, key=lambda answer: _says_twice(answer.text)))[: options.answers]
            answers = tuple(sorted(answers, key=lambda answer: -answer.logprob))
        hops = torch.cat(seeing.hops)  # (hops, P + 1)
        config = self.model.config
        kind = config.types[int(seeing.type_logits[0].argmax())]
        return VQAResult(
            answers[0].text, answers, blind, kind, parsed.read_as, parsed.unknown,
            config.language_prior if kind == "yes/no" else 0.0,
            self._by_word(parsed.ids, seeing.evidence[0]) if kind == "yes/no" else {},
            round(time.perf_counter() - start, 4),
            hops[:, :-1].reshape(-1, *self.model.encoder.config.grid).numpy(), tuple(hops[:, :-1].sum(1).tolist()),
        )  # fmt: skip


def _scored(distribution: PairedDistribution, candidates: dict[str, Tokens], among: bool) -> tuple[Answer, ...]:
    """Answers to one question with their log-probability given the photo, and without it, best first."""
    rows = [list(candidates.values())]
    logprobs = torch.cat(distribution.logprobs(rows, rows))  # (2, k)
    probabilities = logprobs.softmax(1) if among else logprobs.exp()
    columns = zip(candidates, *logprobs.tolist(), *probabilities.tolist(), strict=True)
    answers = [Answer(*column) for column in columns]
    return tuple(sorted(answers, key=lambda answer: -answer.logprob))


def _says_twice(answer: str) -> bool:
    """ "red and red": lists of things in its training answers taught it the form, and nobody answers so."""
    words = [word for word in answer.split() if word != "and"]
    return len(set(words)) < len(words)


@load_once
def get_predictor() -> VQAPredictor:
    """The repository's VQA network, loaded when first needed, once, and shared."""
    return VQAPredictor.from_pretrained()
