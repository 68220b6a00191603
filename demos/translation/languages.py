"""What a network knows of each language besides its weights: languages.json, beside the tokenizer.

{"de": {"tokens": [0, 1, ...], "translated": ["abfälle", ...]}, ...}
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from core.checkpoint import find_folder, replace_file
from core.errors import ModelError
from core.input.tokenizers import BOS, EOS, PAD, UNK, encode
from demos.translation.data import COPY, SentencePair
from demos.translation.text import alphabet_of, prepare

LANGUAGES_FILE = "languages.json"


@dataclass(frozen=True)
class LanguageWords:
    """Of one language: the tokens to write it with, and the words not to copy.

    What a network has seen little of in one language it may else put in another that it knows better.
    """

    tokens: tuple[int, ...] = ()  # in order; none: all
    translated: frozenset[str] = frozenset()  # casefolded; they look like names or foreign, but have a translation


Languages = Mapping[str, LanguageWords]  # by language code; a language that is not there has no such lists


def tokens_of(languages: Languages, language: str) -> tuple[int, ...]:
    """The tokens to write a language with; none: all."""
    return languages[language].tokens if language in languages else ()


def learn_languages(
    tokenizer: PreTrainedTokenizerFast, pairs: Iterable[SentencePair], least_token: int = 3, least_word: int = 2
) -> dict[str, LanguageWords]:
    """The words of each language in training sentences.

    A token has to occur `least_token` times in the translations into a language; the special tokens and COPY belong to
    every one. A word has to occur `least_word` times in its sentences, and to stand unchanged in at most half of their
    translations: "T-shirt" is a name to look at, "rodéo" in so many pieces a foreign word.
    """
    alphabet, pieces = alphabet_of(tokenizer), cache(lambda word: len(tokenizer.tokenize(word)))
    translations, seen, unchanged = defaultdict(set), defaultdict(Counter), defaultdict(Counter)
    for pair in pairs:
        translations[pair.target].add(pair.translation)
        for word in prepare(pair.text, pair.source, alphabet, pieces).copied:
            seen[pair.source][word.casefold()] += 1
            unchanged[pair.source][word.casefold()] += word in pair.translation
    found = {}
    for language in sorted(translations.keys() | seen.keys()):
        counts = Counter(token for ids in encode(tokenizer, sorted(translations[language])) for token in ids)
        tokens = {token for token, count in counts.items() if count >= least_token}
        if tokens:
            tokens |= {PAD, BOS, EOS, UNK, tokenizer.convert_tokens_to_ids(COPY)}
        kept, same = seen[language], unchanged[language]
        translated = frozenset(word for word, count in kept.items() if count >= least_word and same[word] <= count / 2)
        found[language] = LanguageWords(tuple(sorted(tokens)), translated)
    return found


def save_languages(languages: Languages, folder: Path) -> None:
    """Write languages.json, a line for each list."""
    lists = [
        f'"{code}": {{"tokens": {_compact(words.tokens)},\n"translated": {_compact(sorted(words.translated))}}}'
        for code, words in sorted(languages.items())
    ]
    replace_file(folder / LANGUAGES_FILE, ("{" + ",\n".join(lists) + "}\n").encode())


def load_languages(folder_or_hub_id: str | Path, vocab_size: int) -> dict[str, LanguageWords]:
    """The content of a checkpoint's languages.json. Raises ModelError when it is missing or damaged."""
    file = find_folder(folder_or_hub_id) / LANGUAGES_FILE
    try:
        content = json.loads(file.read_bytes())
        return {language: _checked(lists, vocab_size) for language, lists in content.items()}
    except OSError as error:
        problem = "is missing" if not file.exists() else f"cannot be read ({error.strerror})"
        raise ModelError(f"{file} {problem}: copy the checkpoint anew, with all of its files.") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{file} is not the word lists of a translator, or was cut short: copy the checkpoint anew."
        ) from error


def _checked(lists: Mapping[str, Any], vocab_size: int) -> LanguageWords:
    """Raises ValueError or KeyError for what is no such list."""
    tokens, translated = lists["tokens"], lists["translated"]
    if tokens and not ({PAD, BOS, EOS, UNK} <= set(tokens) and min(tokens) >= 0 and max(tokens) < vocab_size):
        raise ValueError("tokens that the tokenizer does not have")
    if not all(isinstance(each, int) for each in tokens) or not all(isinstance(each, str) for each in translated):
        raise ValueError("other values than tokens and words")
    return LanguageWords(tuple(tokens), frozenset(translated))


def _compact(values: Iterable[Any]) -> str:
    return json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
