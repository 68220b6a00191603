"""Translations of what a visitor typed: the one call behind tab, command line, API and tests."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer
from core.decoding.hypothesis import Hypothesis
from core.decoding.rerank import rank
from core.decoding.search import Beam, beam_search, beam_trace
from core.errors import InputError, check_number
from core.input.text import clean_text
from core.input.tokenizers import EOS, Token
from core.serving.shared import load_once
from core.training.batches import batches_by_length
from demos.translation.alignment import Alignment, align
from demos.translation.data import COPY, LANGUAGES, SOURCE_TAGS, encode_sources
from demos.translation.languages import Languages, LanguageWords, load_languages, tokens_of
from demos.translation.markup import put_back
from demos.translation.model import Translator
from demos.translation.reranking import Candidates, LanguageDecoder, Reranker
from demos.translation.results import BeamTrace, Translation, TranslationResult, join
from demos.translation.text import Source, alphabet_of, prepare, split_sentences

MAX_TEXT = 100_000  # characters at once
MAX_TOKENS = 120  # of a translated sentence
BATCH_TOKENS = 1600  # of the sources that are searched for together

Pair = tuple[str, str]  # source and target language


@dataclass(frozen=True)
class TranslationOptions:
    """How to search. Raises InputError for values that make no sense."""

    beam_size: int = 5  # 1 to 20
    length_penalty: float = 1.0  # alpha; a search ranks by logprob / length ** alpha
    rerank: bool = True  # ranks what was found by more than the search knows: demos.translation.reranking

    def __post_init__(self) -> None:
        check_number("beam_size", self.beam_size, 1, 20, whole=True)
        check_number("length_penalty", self.length_penalty, 0, 5)
        if not isinstance(self.rerank, bool):
            raise InputError(f"rerank must be true or false, not {self.rerank!r}.")

    def beam(self) -> Beam:
        """The same for the search."""
        return Beam(self.beam_size, self.length_penalty, max_length=MAX_TOKENS, early=True)


class Sentence(NamedTuple):
    """A sentence to translate."""

    source: Source
    languages: Pair


class TranslationPredictor:
    """A loaded translator. Holds no state between calls: threads may share it."""

    def __init__(self, model: Translator, tokenizer: PreTrainedTokenizerFast, languages: Languages | None = None):
        self.model, self.tokenizer, self.languages = model.eval(), tokenizer, languages or {}
        self._pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self._alphabet = alphabet_of(tokenizer)
        self._copy = tokenizer.convert_tokens_to_ids(COPY)
        self._decoders = {
            target: LanguageDecoder.of(model.decoder, tokens_of(self.languages, target))
            for target in sorted({pair[1] for pair in model.config.pairs})
        }
        self.weights = dict(model.config.rerank)
        self._reranker = Reranker(model, tokenizer, self.languages, self._decoders)

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "TranslationPredictor":
        """Load a checkpoint, by default the repository's own. Raises ModelError when it is missing or damaged."""
        source = folder_or_hub_id or checkpoint_folder("translation")
        model = Translator.from_pretrained(source).for_inference()
        return cls(model, load_tokenizer(source), load_languages(source, model.config.vocab_size))

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
            texts = [self.read(*request) for request in batch]
            sentences = [s for text in texts if not isinstance(text, InputError) for line in text for s in line]
            distinct = list(dict.fromkeys(sentences))  # one that comes again is translated once
            best = dict(zip(distinct, self._translate(distinct, options), strict=True))
            results = [t if isinstance(t, InputError) else join([[best[s] for s in line] for line in t]) for t in texts]
            seconds = round((time.perf_counter() - start) / len(batch), 4)
            for found in results:
                if isinstance(found, InputError):
                    yield found
                else:
                    yield TranslationResult(found[0].text, found[0].logprob, found, seconds)

    def trace(self, text: str, source: str, target: str, options: TranslationOptions | None = None) -> BeamTrace:
        """How the beam grew over the first sentence of a text that has a word to translate."""
        read = self.read(text, source, target)
        if isinstance(read, InputError):
            raise read
        sentences = [sentence for line in read for sentence in line]
        sentence = next((s for s in sentences if not s.source.only_copies), sentences[0])
        decoder = self._decoders[target]
        with torch.inference_mode():
            memory = decoder.memory(self.model, self._encode([sentence]))
        found, steps = beam_trace(decoder.decoder, memory, (options or TranslationOptions()).beam())
        words = tuple(tuple(self._pieces[decoder.tokens[n]] for n in step.tokens) for step in steps)
        best = self.translation(sentence, _renumbered(found[0], decoder.tokens))
        return BeamTrace(sentence.source.text, tuple(steps), words, best.text)

    # --- text in -----------------------------------------------------------------------------------------------------

    def read(self, text: Any, source: Any, target: Any) -> list[list[Sentence]] | InputError:
        """The sentences of each line of a text, or what is wrong with it."""
        try:
            pair = self.check_pair(source, target)
            lines = clean_text(text, MAX_TEXT, "text to translate").splitlines()
            translated = self.languages.get(source, LanguageWords()).translated
            sentences = [
                [prepare(s, source, self._alphabet, self._count_pieces, translated) for s in split_sentences(line)]
                for line in lines
            ]
            sentences = [[Sentence(s, pair) for s in line if s.text or s.elements] for line in sentences]
            if not any(sentences):
                raise InputError("The text to translate is empty: type a sentence.")
        except InputError as error:
            return error
        return sentences

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

    def _encode(self, sentences: Sequence[Sentence]) -> list[list[int]]:
        return encode_sources(self.tokenizer, [s.source.text for s in sentences], [s.languages for s in sentences])

    # --- search ------------------------------------------------------------------------------------------------------

    def search(self, sentences: Sequence[Sentence], options: TranslationOptions) -> list[list[Hypothesis]]:
        """What the beams find for each sentence, in the search's order, with the scores that it is to be reranked by.

        Nothing for a sentence without a word to translate.
        """
        sources = self._encode(sentences)
        found: list[list[Hypothesis]] = [[] for _ in sentences]
        for language, decoder in self._decoders.items():
            places = [n for n, s in enumerate(sentences) if s.languages[1] == language and not s.source.only_copies]
            for batch in batches_by_length([len(sources[n]) for n in places], None, BATCH_TOKENS):
                with torch.inference_mode():
                    memory = decoder.memory(self.model, [sources[places[n]] for n in batch])
                    hypotheses = beam_search(decoder.decoder, memory, options.beam())
                for n, best in zip(batch, hypotheses, strict=True):
                    found[places[n]] = [_renumbered(each, decoder.tokens) for each in best]
        if options.rerank:
            several = [n for n, hypotheses in enumerate(found) if len(hypotheses) > 1]
            candidates = [
                Candidates(sources[n], sentences[n].languages, len(sentences[n].source.copied), found[n])
                for n in several
            ]
            judged = self._reranker.scored(candidates, options.length_penalty, self.weights)
            for n, hypotheses in zip(several, judged, strict=True):
                found[n] = hypotheses
        return found

    def _translate(self, sentences: Sequence[Sentence], options: TranslationOptions) -> list[list[Translation]]:
        """The n best translations of each sentence."""
        return [
            [self.translation(sentence, hypothesis) for hypothesis in rank(found, self.weights)]
            if found
            else [unchanged(sentence.source)]
            for sentence, found in zip(sentences, self.search(sentences, options), strict=True)
        ]

    # --- text out ----------------------------------------------------------------------------------------------------

    def translation(self, sentence: Sentence, hypothesis: Hypothesis) -> Translation:
        """A hypothesis as text, with the copied words and the tags of its sentence in their places."""
        source, (ids,) = sentence.source, self._encode([sentence])
        weights = hypothesis.attention[:, :-1].numpy()  # (T, S), without the sentinel
        words = self._copied_words(source, ids, hypothesis.tokens, weights)
        copies = iter(words)
        pieces = [next(copies) if t == self._copy else self._pieces[t] for t in hypothesis.tokens]
        tokens = tuple(Token(*token) for token in zip(pieces, hypothesis.token_logprobs, strict=True))
        plain = [t for t in hypothesis.tokens if t != EOS]
        text = fill_copies(unescape(self.tokenizer.decode(plain)), words)  # Multi30k has &amp;
        copies = iter(source.copied)
        read = [next(copies) if t == self._copy else self._pieces[t] for t in ids[SOURCE_TAGS:-1]]
        alignment = align(read, pieces[: len(plain)], weights[: len(plain), SOURCE_TAGS : SOURCE_TAGS + len(read)])
        text = put_back(" ".join(text.split()), source.elements, alignment)
        return Translation(text, hypothesis.logprob, tokens, (alignment,), hypothesis.scores)

    def _copied_words(self, source: Source, ids: list[int], tokens: Sequence[int], weights: np.ndarray) -> list[str]:
        """For each COPY of a hypothesis the source's word that it looks at most, each word once while there are any."""
        places = [place for place, token in enumerate(ids) if token == self._copy]
        left, words = list(range(len(places))), []
        for row, token in enumerate(tokens):
            if token == self._copy:
                best = max(left, key=lambda n: weights[row, places[n]], default=None)
                words.append("" if best is None else source.copied[best])
                left = [n for n in left if n != best]
        return words


def _renumbered(hypothesis: Hypothesis, tokens: Sequence[int]) -> Hypothesis:
    """A language's own token numbers -> those of the whole vocabulary."""
    return replace(hypothesis, tokens=tuple(tokens[n] for n in hypothesis.tokens))


def fill_copies(text: str, words: Iterable[str]) -> str:
    """The text with these words, in order, in the places of COPY."""
    copies = iter(words)
    return "".join(next(copies) if c == COPY else c for c in text)


def unchanged(source: Source) -> Translation:
    """A sentence without a word to translate."""
    text = fill_copies(source.text, source.copied)
    words = tuple(text.split())
    alignment = Alignment(words, words, np.eye(len(words), dtype="float32"))
    return Translation(put_back(text, source.elements, alignment), 0.0, (Token(text, 0.0),), (alignment,))


@load_once
def get_predictor() -> TranslationPredictor:
    """The repository's translator, loaded when first needed, once, and shared."""
    return TranslationPredictor.from_pretrained()
