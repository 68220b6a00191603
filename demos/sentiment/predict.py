"""Is a text positive or negative, and which words make it so: the one call behind tab, command line, API and tests."""

import bisect
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerFast

from core.checkpoint import CONFIG, checkpoint_folder, load_tokenizer
from core.errors import InputError, ModelError
from core.input.text import clean_text
from core.input.tokenizers import BOS, EOS
from core.serving.shared import load_once
from core.training.batches import batches_by_length
from demos.sentiment.data import cut_middle, padded, strip_html
from demos.sentiment.model import SentimentClassifier, log_odds_direction, positive_probability

LANGUAGES = ("english", "korean")
MAX_TEXT = 50_000  # characters
EXPLAINED_TOKENS = 40_000  # that explaining one text may cost: a long one is taken apart in groups of words
MOST_UNITS = 80


@dataclass(frozen=True)
class SentimentOptions:
    """What to do with a text. Raises InputError for values that make no sense."""

    language: str = "auto"  # by the script of the text, or "english" or "korean"
    explain: bool = False  # weigh each word by leaving it out, and judge after each word; takes a few times longer

    def __post_init__(self) -> None:
        if self.language not in ("auto", *LANGUAGES):
            raise InputError(f"language must be auto, english or korean, not {self.language!r}.")
        if not isinstance(self.explain, bool):
            raise InputError(f"explain must be true or false, not {self.explain!r}.")


@dataclass(frozen=True)
class Word:
    """A word of the text. `weight` above 0 speaks for "positive", below 0 for "negative", in log-odds: when explained,
    what leaving it out would change (erase-one, Li et al. 2016); otherwise its part in the pooled features."""

    text: str
    weight: float


@dataclass(frozen=True)
class SentimentResult:
    """What the network says of one text."""

    label: str  # "negative" or "positive"
    probability: float  # of the label
    language: str
    classes: dict[str, float]  # negative and positive
    fine: dict[str, float] | None  # from very negative to very positive; None where the network has two classes
    tokens: tuple[Word, ...]
    steps: tuple[float, ...] | None  # probability of "positive" after each word; None unless explained
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Network(NamedTuple):
    """A classifier with its tokenizer."""

    model: SentimentClassifier
    tokenizer: PreTrainedTokenizerFast


class EncodedText(NamedTuple):
    """A text ready for a network."""

    words: list[str]
    ids: list[int]  # of its tokens, from <bos> to <eos>
    word_of: list[int]  # the number of the word that each token belongs to; -1 for <bos> and <eos>


class SentimentPredictor:
    """Loaded networks, one per language. Holds no state between calls: threads may share it."""

    def __init__(self, networks: Mapping[str, Network]):
        self.networks = {name: Network(model.eval(), tokenizer) for name, (model, tokenizer) in networks.items()}

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path | None = None) -> "SentimentPredictor":
        """Load one checkpoint, or all of a folder; by default the repository's own.

        Raises ModelError when it is missing or damaged.
        """
        source = folder_or_hub_id or checkpoint_folder("sentiment")
        root = Path(source)
        single = not root.is_dir() or (root / CONFIG).exists()
        sources = [source] if single else [root / name for name in LANGUAGES if (root / name).is_dir()]
        if not sources:
            raise ModelError(f"{root} holds no checkpoint: name a folder with english/ or korean/, or train one.")
        networks = [Network(SentimentClassifier.from_pretrained(s), load_tokenizer(s)) for s in sources]
        return cls({network.model.config.language: network for network in networks})

    def __call__(self, text: str, options: SentimentOptions | None = None) -> SentimentResult:
        """Judge one text. Raises InputError when it has no words or is in a language that no network reads."""
        (result,) = self.stream([text], options)
        if isinstance(result, InputError):
            raise result
        return result

    def stream(
        self, texts: Iterable[Any], options: SentimentOptions | None = None, batch_size: int = 64
    ) -> Iterator[SentimentResult | InputError]:
        """Judge any number of texts in order; one that cannot be served yields its error.

        Texts of like length share a batch, so a few batches are read ahead. `seconds` is the text's share of the time.
        """
        options, texts = options or SentimentOptions(), iter(texts)
        while some := list(islice(texts, 16 * batch_size)):
            start = time.perf_counter()
            results: list[Any] = [_clean(text, options.language, self.networks) for text in some]
            for language, network in self.networks.items():
                rows = [n for n, c in enumerate(results) if isinstance(c, tuple) and c[0] == language]
                judged = self._judge(network, [results[row][1] for row in rows], options.explain, batch_size)
                for row, fields in zip(rows, judged, strict=True):
                    results[row] = fields
            seconds = round((time.perf_counter() - start) / len(some), 5)
            for result in results:
                yield result if isinstance(result, InputError) else SentimentResult(**result, seconds=seconds)

    @torch.inference_mode()
    def _judge(self, network: Network, texts: Sequence[str], explain: bool, batch_size: int) -> list[dict[str, Any]]:
        """The fields of each text's result, but for the seconds."""
        model, temperature = network.model, network.model.config.temperature
        encoded = encode_texts(network.tokenizer, texts, model.config.max_tokens)
        results: list[dict[str, Any]] = [{}] * len(encoded)
        for rows in batches_by_length([len(text.ids) for text in encoded], batch_size, 16384):
            output = model(**padded([encoded[row].ids for row in rows]))
            probabilities = (output.logits / temperature).softmax(1)
            parts = model.contributions(output, log_odds_direction(probabilities)) / temperature
            for row, p, part in zip(rows, probabilities.tolist(), parts.tolist(), strict=True):
                results[row] = _fields(model, encoded[row], p, part)
        if explain:
            for text, result in zip(encoded, results, strict=True):
                result["tokens"], result["steps"] = _explain(model, text, result["classes"]["positive"])
        return results


# --- text --------------------------------------------------------------------------------------------------------


def encode_texts(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], longest: int) -> list[EncodedText]:
    """Words, tokens and whose word each token is. Of a text with too many tokens the middle is left out."""
    if not texts:
        return []
    found = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    encoded = []
    for text, ids, offsets in zip(texts, found["input_ids"], found["offset_mapping"], strict=True):
        ends = [match.end() for match in re.finditer(r"\S+", text)]
        word_of = [bisect.bisect_left(ends, end) for _, end in offsets]  # a token may begin with the space before
        ids, word_of = [BOS, *ids, EOS], [-1, *word_of, -1]
        encoded.append(EncodedText(text.split(), cut_middle(ids, longest), cut_middle(word_of, longest)))
    return encoded


def detect_language(text: str) -> str:
    """ "english" or "korean", whichever script has more of the text; a Korean syllable counts for two letters.

    Raises InputError for a text without letters and digits, and for one in another script.
    """
    scripts = Counter(unicodedata.name(c, "unknown").split()[0] for c in text if c.isalpha())
    korean = 2 * (scripts.pop("HANGUL", 0) + scripts.pop("HALFWIDTH", 0))
    english = scripts.pop("LATIN", 0) + scripts.pop("FULLWIDTH", 0)
    others = scripts.most_common(1)
    if others and sum(scripts.values()) > korean + english:
        script = {"CJK": "Chinese or Japanese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}.get(
            others[0][0], others[0][0].capitalize()
        )
        raise InputError(f"The text is mostly in {script} script, which is not supported: English and Korean are.")
    if not korean + english and not any(c.isdigit() for c in text):
        raise InputError("The text has no words in it: write a sentence in English or Korean.")
    return "korean" if korean > english else "english"


def _clean(text: Any, language: str, networks: Mapping[str, Network]) -> tuple[str, str] | InputError:
    """(language, text as the network reads it), or what is wrong with it."""
    try:
        words = strip_html(clean_text(text, MAX_TEXT))
        if not words:
            raise InputError("The text has nothing but HTML tags in it: write a sentence in English or Korean.")
        detected = detect_language(words)
        language = detected if language == "auto" else language
        if language not in networks:
            raise InputError(f"There is no {language.capitalize()} network in this checkpoint.")
        return language, words
    except InputError as error:
        return error


# --- judgement ---------------------------------------------------------------------------------------------------


def _fields(
    model: SentimentClassifier, text: EncodedText, probabilities: list[float], contributions: list[float]
) -> dict[str, Any]:
    names = model.config.class_names
    positive = positive_probability(torch.tensor(probabilities)).item()
    weights = [0.0] * len(text.words)
    for word, part in zip(text.word_of, contributions, strict=False):  # of which there are more: at padding
        if word >= 0:
            weights[word] += part
    return {
        "label": "positive" if positive > 0.5 else "negative",
        "probability": max(positive, 1 - positive),
        "language": model.config.language,
        "classes": {"negative": 1 - positive, "positive": positive},
        "fine": dict(zip(names, probabilities, strict=True)) if len(names) > 2 else None,
        "tokens": tuple(map(Word, text.words, weights)),
        "steps": None,
    }


def _explain(
    model: SentimentClassifier, text: EncodedText, positive: float
) -> tuple[tuple[Word, ...], tuple[float, ...]]:
    """Erase-one weights, and the probability of "positive" after each word: all variants in one call.

    Words that share a group (in long texts) share its weight; words that were cut out of the middle have none.
    """
    read = sorted(set(text.word_of) - {-1})
    most = max(8, min(MOST_UNITS, EXPLAINED_TOKENS // (2 * len(text.ids))))
    size = -(-len(read) // most)
    groups = [read[start : start + size] for start in range(0, len(read), size)]
    variants = []
    for group in groups:
        last = max(place for place, word in enumerate(text.word_of) if word == group[-1])
        inside = set(group)
        variants.append([i for i, word in zip(text.ids, text.word_of, strict=True) if word not in inside])
        variants.append([*text.ids[: last + 1], EOS] if last + 2 < len(text.ids) else text.ids)
    logits = torch.cat([model(**padded(variants[n : n + 64])).logits for n in range(0, len(variants), 64)])
    found = positive_probability((logits / model.config.temperature).softmax(1)).double()
    erased, after = found[0::2], found[1::2].tolist()
    change = (torch.tensor(positive).double().logit(eps=1e-9) - erased.logit(eps=1e-9)).tolist()
    weights, steps, now = [0.0] * len(text.words), [], 0.5
    for group, weight, judged in zip(groups, change, after, strict=True):
        for word in group:
            weights[word] = weight / len(group)
        steps += [now] * (group[0] - len(steps)) + [judged] * (group[-1] + 1 - group[0])
        now = judged
    steps += [now] * (len(text.words) - len(steps))
    return tuple(map(Word, text.words, weights)), tuple(steps)


@load_once
def get_predictor() -> SentimentPredictor:
    """The repository's networks, loaded when first needed, once, and shared."""
    return SentimentPredictor.from_pretrained()
