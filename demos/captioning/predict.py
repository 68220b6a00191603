"""Captions for a visitor's photos: the one call behind tab, command line, API and tests."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer
from core.decoding.hypothesis import Hypothesis
from core.decoding.rerank import rank
from core.decoding.score import token_logprobs
from core.decoding.search import Beam, beam_search
from core.decoding.stream import StepDecoder
from core.errors import InputError, check_number
from core.input.image import load_image
from core.input.text import clean_text
from core.input.tokenizers import UNK, Token, encode, pad
from core.networks.attention import Memory
from core.networks.encoders import imagenet_labels
from core.serving.shared import load_once
from demos.captioning.model import Captioner
from demos.captioning.ranking import DetectorScores

MAX_CAPTION = 500  # characters of a caption that a visitor types
MAX_CAPTIONS = 200  # captions to rank at once


@dataclass(frozen=True)
class CaptioningOptions:
    """How to search, and what ranks what was found. Raises InputError for values that make no sense."""

    beam_size: int = 10  # 1 to 40; hypotheses to search with
    n_best: int = 5  # 1 to 40; captions to return, no more than the beam size
    length_penalty: float = 1.0  # alpha: rank by logprob / length ** alpha; the dev sets chose it
    max_length: int = 20  # words
    rerank: bool = True  # whether the word detector has a say in the ranking (demos.captioning.ranking)

    def __post_init__(self) -> None:
        check_number("beam_size", self.beam_size, 1, 40, whole=True)
        check_number("n_best", self.n_best, 1, 40, whole=True)
        check_number("length_penalty", self.length_penalty, 0, 5)
        check_number("max_length", self.max_length, 1, 40, whole=True)
        if not isinstance(self.rerank, bool):
            raise InputError(f"rerank must be true or false, not {self.rerank!r}.")

    def beam(self) -> Beam:
        """The same for the search."""
        return Beam(self.beam_size, self.length_penalty, max_length=self.max_length, early=True)


@dataclass(frozen=True)
class Caption:
    """One caption of a photo. The last token is the end of the sentence, "<eos>"."""

    text: str
    logprob: float
    tokens: tuple[Token, ...]
    attention: np.ndarray | None = field(default=None, repr=False, compare=False)  # (len(tokens), h, w)
    photo_share: tuple[float, ...] = field(default=(), repr=False, compare=False)  # of the attention; rest: sentinel


@dataclass(frozen=True)
class CaptioningResult:
    """What the network says of one photo, best first."""

    text: str
    logprob: float
    hypotheses: tuple[Caption, ...]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the attention."""
        result = asdict(self)
        for hypothesis in result["hypotheses"]:
            del hypothesis["attention"], hypothesis["photo_share"]
        return result


@dataclass(frozen=True)
class RankedCaption:
    """A caption that somebody typed, and how likely the network finds it for the photo."""

    text: str
    logprob: float
    tokens: tuple[Token, ...]
    unknown: tuple[str, ...]  # its words that the network does not know


class CaptioningPredictor:
    """A loaded captioner, made fast. Holds no state between calls: threads may share it."""

    def __init__(self, model: Captioner, tokenizer: PreTrainedTokenizerFast):
        self.model, self.tokenizer = model.for_inference(), tokenizer
        self.decoder = StepDecoder(model.decoder)
        self.detector_scores = DetectorScores(tokenizer, model.config.detected_words)
        self._words = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "CaptioningPredictor":
        """Load a checkpoint, by default the repository's own. Raises ModelError when it is missing or damaged."""
        source = folder_or_hub_id or checkpoint_folder("captioning")
        return cls(Captioner.from_pretrained(source), load_tokenizer(source))

    def __call__(self, image: Any, options: CaptioningOptions | None = None) -> CaptioningResult:
        """Caption one photo: a path, bytes, a file or a PIL image. Raises InputError when it is no usable picture."""
        start = time.perf_counter()
        (found,) = self._best([load_image(image)], options or CaptioningOptions())
        return self._result(found, time.perf_counter() - start)

    def stream(
        self, images: Iterable[Any], options: CaptioningOptions | None = None, batch_size: int = 32
    ) -> Iterator[CaptioningResult | InputError]:
        """Caption any number of photos in order, a batch at a time; a photo that cannot be served yields its error.

        `seconds` is the photo's share of its batch.
        """
        options, images = options or CaptioningOptions(), iter(images)
        while batch := list(islice(images, batch_size)):
            start = time.perf_counter()
            loaded = [_load_or_error(image) for image in batch]
            photos = [photo for photo in loaded if isinstance(photo, Image.Image)]
            found = iter(self._best(photos, options) if photos else [])
            seconds = (time.perf_counter() - start) / len(batch)
            for photo in loaded:
                yield photo if isinstance(photo, InputError) else self._result(next(found), seconds)

    @torch.inference_mode()
    def memory(self, photos: Sequence[Image.Image]) -> tuple[Memory, Tensor]:
        """For B loaded photos what the decoder attends to, and the word detector's logits (B, V).

        Each photo is seen as it is and in the mirror, which is worth 1 CIDEr.
        """
        return self.model.memory(*self.model.stem_maps_with_mirrored(photos))

    @torch.inference_mode()
    def imagenet(self, image: Any, count: int = 5) -> list[tuple[str, float]]:
        """What the ImageNet CNN alone sees: its likeliest labels with their probabilities."""
        encoder = self.model.encoder
        pixels = encoder.preprocess([load_image(image)], self.model.config.photo_size)
        logits = encoder.classify(encoder.stem(pixels))
        best = logits[0].float().softmax(0).topk(count)
        return [(imagenet_labels()[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    @torch.inference_mode()
    def rank(self, image: Any, captions: Sequence[str]) -> list[RankedCaption]:
        """Captions by their log-probability given the photo, likeliest first.

        Raises InputError for captions that are empty or too many.
        """
        texts = [clean_text(caption, MAX_CAPTION, "caption") for caption in captions]
        if not 0 < len(texts) <= MAX_CAPTIONS:
            raise InputError(f"Give between 1 and {MAX_CAPTIONS} captions to rank, not {len(texts)}.")
        ids = encode(self.tokenizer, texts)
        for text, row in zip(texts, ids, strict=True):
            if len(row) == 2:
                raise InputError(f"The caption {text!r} has no word in it: write a sentence in English.")
        memory, _ = self.memory([load_image(image)])
        logprobs = token_logprobs(self.model.decoder, memory, pad(ids)).tolist()
        ranked = []
        for text, row, values in zip(texts, ids, logprobs, strict=True):
            tokens = tuple(Token(self._words[i], v) for i, v in zip(row[1:], values[: len(row) - 1], strict=True))
            unknown = tuple(w for w, i in zip(self._split(text), row[1:-1], strict=True) if i == UNK)
            ranked.append(RankedCaption(text, sum(values[: len(tokens)]), tokens, unknown))
        return sorted(ranked, key=lambda caption: -caption.logprob)

    def _split(self, text: str) -> list[str]:
        """The words of a text as the tokenizer cuts them, known or not."""
        backend = self.tokenizer.backend_tokenizer
        return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(backend.normalizer.normalize_str(text))]

    def search(self, photos: Sequence[Image.Image], options: CaptioningOptions) -> list[list[Hypothesis]]:
        """For each loaded photo the hypotheses as the search ranks them, with the word detector's scores."""
        memory, word_logits = self.memory(photos)
        found = beam_search(self.decoder, memory, options.beam())
        return [self.detector_scores.add(*of_photo) for of_photo in zip(found, word_logits, strict=True)]

    def _best(self, photos: Sequence[Image.Image], options: CaptioningOptions) -> list[list[Hypothesis]]:
        """The captions of each photo that are asked for, best first."""
        weights = dict(self.model.config.rerank) if options.rerank else {}
        return [rank(hypotheses, weights)[: options.n_best] for hypotheses in self.search(photos, options)]

    def _result(self, found: list[Hypothesis], seconds: float) -> CaptioningResult:
        captions = tuple(self._caption(hypothesis) for hypothesis in found)
        return CaptioningResult(captions[0].text, captions[0].logprob, captions, round(seconds, 4))

    def _caption(self, hypothesis: Hypothesis) -> Caption:
        tokens = tuple(
            Token(self._words[i], logprob)
            for i, logprob in zip(hypothesis.tokens, hypothesis.token_logprobs, strict=True)
        )
        grid = self.model.encoder.config.grid
        attention = hypothesis.attention[:, :-1]
        return Caption(
            " ".join(token.text for token in tokens[:-1]),
            hypothesis.logprob,
            tokens,
            attention.reshape(-1, *grid).numpy(),
            tuple(attention.sum(1).tolist()),
        )


def _load_or_error(image: Any) -> Image.Image | InputError:
    try:
        return load_image(image)
    except InputError as error:
        return error


@load_once
def get_predictor() -> CaptioningPredictor:
    """The repository's captioner, loaded when first needed, once, and shared."""
    return CaptioningPredictor.from_pretrained()
