"""Translations of what a visitor typed: the one call behind tab, command line, API and tests."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer
from core.decoding.search import Beam, Hypothesis, beam_search, beam_trace
from core.errors import InputError, check_number
from core.input.text import clean_text
from core.input.tokenizers import EOS, Token, pad
from demos.translation.alignment import Alignment, align
from demos.translation.data import COPY, LANGUAGES, encode_sources
from demos.translation.markup import put_back
from demos.translation.model import Translator
from demos.translation.reranking import Choice, Reranker
from demos.translation.results import BeamTrace, Translation, TranslationResult
from demos.translation.text import Source, alphabet_of, prepare, split_sentences

MAX_TEXT = 100_000  # characters at once
MAX_TOKENS = 120  # of a translated sentence
_TAGS = 2  # tokens before a source's text

Pair = tuple[str, str]  # source and target language
Opinion = list[float] | None  # a log-probability for each hypothesis of a sentence; None: not asked


@dataclass(frozen=True)
class TranslationOptions:
    """How to search, and what ranks what was found. Raises InputError for values that make no sense.

    A translation's score is (logprob + backward_weight * backward_logprob) / length ** alpha
    + channel_weight * channel_logprob / source's length ** alpha.
    """

    beam_size: int = 5  # 1 to 20
    length_penalty: float = 1.0  # alpha; the dev set chose it
    channel_weight: float = 0.25  # 0 to 5; 0: nothing is translated back
    backward_weight: float = 0.2  # 0 to 5; 0: nothing is read from right to left

    def __post_init__(self) -> None:
        check_number("beam_size", self.beam_size, 1, 20, whole=True)
        check_number("length_penalty", self.length_penalty, 0, 5)
        check_number("channel_weight", self.channel_weight, 0, 5)
        check_number("backward_weight", self.backward_weight, 0, 5)

    def beam(self) -> Beam:
        """The same for the search."""
        return Beam(self.beam_size, self.length_penalty, max_length=MAX_TOKENS, early=True)


class TranslationPredictor:
    """A loaded translator. Holds no state between calls: threads may share it."""

    def __init__(self, model: Translator, tokenizer: PreTrainedTokenizerFast):
        self.model, self.tokenizer = model.eval(), tokenizer
        self._pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._alphabet = alphabet_of(tokenizer)
        self._known = {language: frozenset(words.split()) for language, words in model.config.known}
        self._copy = tokenizer.convert_tokens_to_ids(COPY)
        self._writers = {target: model.writer(target) for target in sorted({pair[1] for pair in model.config.pairs})}
        self._reranker = Reranker(model, tokenizer, self._writers)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "TranslationPredictor":
        """Load a checkpoint, by default the repository's own. Raises ModelError when it is missing or damaged."""
        source = folder_or_hub_id or checkpoint_folder("translation")
        return cls(Translator.from_pretrained(source).for_inference(), load_tokenizer(source))

    def __call__(
        self, text: str, source: str, target: str, options: TranslationOptions | None = None
    ) -> TranslationResult:
        """Translate a text of one or more sentences and lines between two languages, given by their codes.

        Raises InputError for a text that is empty or too long, and for languages that are not offered.
        """
        (result,) = self.stream([(text, source, target)], options)
        if isinstance(result, InputError):
            raise result
        return result

    def stream(
        self,
        requests: Iterable[tuple[Any, Any, Any]],
        options: TranslationOptions | None = None,
        batch_size: int = 512,
    ) -> Iterator[TranslationResult | InputError]:
        """Translate any number of (text, source, target) in order, `batch_size` texts at a time.

        A text that cannot be translated yields its error. `seconds` is the text's share of its batch.
        """
        options, requests = options or TranslationOptions(), iter(requests)
        while batch := list(islice(requests, batch_size)):
            start = time.perf_counter()
            texts = [self._read(*request) for request in batch]
            jobs = [(s, t.pair) for t in texts if isinstance(t, _Text) for line in t.lines for s in line]
            distinct = list(dict.fromkeys(jobs))  # a sentence that comes again is translated once
            best = dict(zip(distinct, self._translate(distinct, options), strict=True))
            found = (best[job] for job in jobs)
            results = [t if isinstance(t, InputError) else t.join(found) for t in texts]
            seconds = round((time.perf_counter() - start) / len(batch), 4)
            for result in results:
                yield result if isinstance(result, InputError) else TranslationResult(*result, seconds)

    def trace(self, text: str, source: str, target: str, options: TranslationOptions | None = None) -> BeamTrace:
        """How the beam grew over the first sentence of a text that has a word to translate."""
        read = self._read(text, source, target)
        if isinstance(read, InputError):
            raise read
        sentences = [s for line in read.lines for s in line]
        sentence = next((s for s in sentences if not s.only_copies), sentences[0])
        ids = encode_sources(self.tokenizer, [sentence.text], [read.pair])
        with torch.inference_mode():
            memory = self.model.memory(pad(ids))
        decoder, tokens = self._writers[target]
        found, steps = beam_trace(decoder, memory, (options or TranslationOptions()).beam())
        words = tuple(tuple(self._pieces[tokens[n]] for n in step.tokens) for step in steps)
        best = self._translation(sentence, ids[0], _renumbered(found[0], tokens))
        return BeamTrace(sentence.text, tuple(steps), words, best.text)

    # --- text in -----------------------------------------------------------------------------------------------------

    def _read(self, text: Any, source: Any, target: Any) -> "_Text | InputError":
        try:
            pair = self.check_pair(source, target)
            lines = clean_text(text, MAX_TEXT, "text to translate").splitlines()
            known = self._known.get(source, frozenset())
            sentences = [
                [prepare(s, source, self._alphabet, self._count_pieces, known) for s in split_sentences(x)]
                for x in lines
            ]
            sentences = [[s for s in line if s.text or s.elements] for line in sentences]
            if not any(sentences):
                raise InputError("The text to translate is empty: type a sentence.")
        except InputError as error:
            return error
        return _Text(pair, sentences)

    def check_pair(self, source: Any, target: Any) -> Pair:
        """The pair of languages. Raises InputError when it is not offered."""
        for code in (source, target):
            if not isinstance(code, str) or code not in LANGUAGES:
                offered = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
                raise InputError(f"The language {code!r} is not offered: choose from {offered}.")
        if source == target:
            raise InputError(f"Source and target are both {LANGUAGES[source]}: choose two different languages.")
        if (source, target) not in self.model.config.pairs:
            raise InputError(
                f"{LANGUAGES[source]} to {LANGUAGES[target]} is not offered: one of the two must be English."
            )
        return source, target

    def _count_pieces(self, word: str) -> int:
        return len(self.tokenizer.tokenize(word))

    # --- search ------------------------------------------------------------------------------------------------------

    def _translate(self, jobs: Sequence[tuple[Source, Pair]], options: TranslationOptions) -> list[list[Translation]]:
        """The n best translations of each sentence."""
        ids = encode_sources(self.tokenizer, [s.text for s, _ in jobs], [pair for _, pair in jobs])
        real = [n for n, (sentence, _) in enumerate(jobs) if not sentence.only_copies]
        found = self._search({n: (ids[n], jobs[n][1][1]) for n in real}, options.beam())
        choices = {n: Choice(ids[n], jobs[n][1], found[n]) for n in real if len(found[n]) > 1}
        channel = self._reranker.channel(choices) if options.channel_weight else {}
        backward = self._reranker.backward(choices) if options.backward_weight else {}
        return [
            self._ranked(sentence, ids[n], found[n], (channel.get(n), backward.get(n)), options)
            if n in found
            else [_unchanged(sentence)]
            for n, (sentence, _) in enumerate(jobs)
        ]

    @torch.inference_mode()
    def _search(
        self, sources: dict[int, tuple[list[int], str]], beam: Beam, batch_tokens: int = 1600
    ) -> dict[int, list[Hypothesis]]:
        """{number: (ids, target)} -> {number: hypotheses}. Neighbours in length, for one target language, share a batch
        so that little is padded."""
        found: dict[int, list[Hypothesis]] = {}
        for target, (decoder, tokens) in self._writers.items():
            order = sorted((n for n in sources if sources[n][1] == target), key=lambda n: len(sources[n][0]))
            while order:
                size = 1
                while size < len(order) and (size + 1) * len(sources[order[size]][0]) <= batch_tokens:
                    size += 1
                rows, order = order[:size], order[size:]
                memory = self.model.memory(pad([sources[n][0] for n in rows]))
                for n, hypotheses in zip(rows, beam_search(decoder, memory, beam), strict=True):
                    found[n] = [_renumbered(each, tokens) for each in hypotheses]
        return found

    # --- text out ----------------------------------------------------------------------------------------------------

    def _ranked(
        self, sentence: Source, ids: list[int], found: list[Hypothesis], opinions: tuple[Opinion, Opinion],
        options: TranslationOptions,
    ) -> list[Translation]:  # fmt: skip
        """Hypotheses that copy what is to be copied come first; otherwise by score, or without opinions as found.

        opinions: the channel's and the backward decoder's.
        """
        alpha, none = options.length_penalty, [None] * len(found)

        def rank(each: tuple[Hypothesis, float | None, float | None]) -> tuple[int, float]:
            hypothesis, channel, backward = each
            amiss = abs(hypothesis.tokens.count(self._copy) - len(sentence.copied))
            back = options.channel_weight * (channel or 0.0) / (len(ids) - _TAGS) ** alpha
            twice = options.backward_weight * (backward or 0.0) / len(hypothesis.tokens) ** alpha
            return amiss, -hypothesis.score - back - twice

        judged = zip(found, *(opinion or none for opinion in opinions), strict=True)
        return [
            replace(self._translation(sentence, ids, h), channel_logprob=channel, backward_logprob=backward)
            for h, channel, backward in sorted(judged, key=rank)
        ]

    def _translation(self, sentence: Source, ids: list[int], hypothesis: Hypothesis) -> Translation:
        weights = hypothesis.attention[:, :-1].numpy()  # (T, S), without the sentinel
        words = self._copied_words(sentence, ids, hypothesis.tokens, weights)
        copies = iter(words)
        pieces = [next(copies) if t == self._copy else self._pieces[t] for t in hypothesis.tokens]
        tokens = tuple(Token(*token) for token in zip(pieces, hypothesis.token_logprobs, strict=True))
        plain = [t for t in hypothesis.tokens if t != EOS]
        copies = iter(words)
        text = "".join(
            next(copies) if c == COPY else c for c in unescape(self.tokenizer.decode(plain))
        )  # Multi30k has &amp;
        copies = iter(sentence.copied)
        source = [next(copies) if t == self._copy else self._pieces[t] for t in ids[_TAGS:-1]]
        alignment = align(source, pieces[: len(plain)], weights[: len(plain), _TAGS : _TAGS + len(source)])
        text = put_back(" ".join(text.split()), sentence.elements, alignment)
        return Translation(text, hypothesis.logprob, tokens, (alignment,))

    def _copied_words(self, sentence: Source, ids: list[int], tokens: Sequence[int], weights: np.ndarray) -> list[str]:
        """For each COPY of a hypothesis the source's word that it looks at most, each word once while there are any."""
        places = [place for place, token in enumerate(ids) if token == self._copy]
        left, words = list(range(len(places))), []
        for row, token in enumerate(tokens):
            if token == self._copy:
                best = max(left, key=lambda n: weights[row, places[n]], default=None)
                words.append("" if best is None else sentence.copied[best])
                left = [n for n in left if n != best]
        return words


@dataclass(frozen=True)
class _Text:
    """A text that waits for its translation."""

    pair: Pair
    lines: list[list[Source]]

    def join(self, found: Iterator[list[Translation]]) -> tuple[str, float, tuple[Translation, ...]]:
        """The next translations of `found`, one per sentence, as those of the whole text."""
        lines = [[next(found) for _ in line] for line in self.lines]
        everything = [best for line in lines for best in line]
        count = max(map(len, everything))
        hypotheses = []
        for n in range(count):
            chosen = [[best[min(n, len(best) - 1)] for best in line] for line in lines]
            flat = [each for line in chosen for each in line]
            hypotheses.append(
                Translation(
                    "\n".join(" ".join(each.text for each in line) for line in chosen),
                    sum(each.logprob for each in flat),
                    tuple(token for each in flat for token in each.tokens),
                    tuple(alignment for each in flat for alignment in each.alignments),
                    _sum([each.channel_logprob for each in flat]),
                    _sum([each.backward_logprob for each in flat]),
                )
            )
        return hypotheses[0].text, hypotheses[0].logprob, tuple(hypotheses)


def _renumbered(hypothesis: Hypothesis, tokens: list[int]) -> Hypothesis:
    """A language's own token numbers -> those of the whole vocabulary."""
    return replace(hypothesis, tokens=tuple(tokens[n] for n in hypothesis.tokens))


def _sum(parts: Sequence[float | None]) -> float | None:
    """The sum of what there is; None if there is nothing."""
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _unchanged(sentence: Source) -> Translation:
    copies = iter(sentence.copied)
    text = "".join(next(copies) if c == COPY else c for c in sentence.text)
    words = tuple(text.split())
    alignment = Alignment(words, words, np.eye(len(words), dtype="float32"))
    return Translation(put_back(text, sentence.elements, alignment), 0.0, (Token(text, 0.0),), (alignment,))


_LOADING = threading.Lock()


def get_predictor() -> TranslationPredictor:
    """The repository's translator, loaded when first needed, once, and shared."""
    with _LOADING:
        return _load_once()


@lru_cache(maxsize=1)
def _load_once() -> TranslationPredictor:
    return TranslationPredictor.from_pretrained()
