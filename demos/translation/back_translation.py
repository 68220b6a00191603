"""More descriptions of photos to learn from: Flickr8k's captions, and the network's own translations of them.

Learning to translate those translations back gives the network more English to write (back-translation, Sennrich et al.
2016); learning to make them again from noisy input gives it more to read (self-training, He et al. 2020). Several
translations of each give it more ways of saying the same to read (data diversification, Nguyen et al. 2020).

Multi30k describes the photos of Flickr30k, which Flickr8k's belong to, with one of the five captions of each. So a
photo's other captions are used only where Multi30k trains on that photo: none of them tells of a photo of dev or test.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from core.errors import InputError
from core.training.captioned_photos import read_captions
from demos.translation.data import letters, normalise, read_multi30k
from demos.translation.predict import TranslationOptions, TranslationPredictor

HELD_OUT = ("dev", "test2016", "test2017")
_TOKENS = ((r"\s+([.,;:!?%)]|'s\b|n't\b)", r"\1"), (r"\(\s+", "("), (r'" ([^"]*?) "', r'"\1"'))


def unused_captions(flickr8k: Path, multi30k: Path) -> list[str]:
    """Captions of the photos that Multi30k trains on, without the one that it has; as one writes them, each once.

    Raises InputError when either collection cannot be read, or they share no photo.
    """
    held_out = {letters(line) for split in HELD_OUT for line in read_multi30k(multi30k, split)["en"]}
    trained = {letters(line) for line in read_multi30k(multi30k, "train")["en"]}
    found = []
    for captions in read_captions(flickr8k / "Flickr8k.token.txt").values():
        keys = [letters(caption) for caption in captions]
        if trained.intersection(keys) and not held_out.intersection(keys):
            found += [written(c) for c, key in zip(captions, keys, strict=True) if key and key not in trained]
    if not found:
        raise InputError(f"No photo of {flickr8k} is described in {multi30k}'s training sentences: name both folders.")
    return list(dict.fromkeys(found))


def written(caption: str) -> str:
    """Flickr8k's captions are cut into tokens, "a dog 's ball ." -> "A dog's ball." """
    text = normalise(caption)
    for pattern, replacement in _TOKENS:
        text = re.sub(pattern, replacement, text)
    text = text[:1].upper() + text[1:]
    return text if text[-1:] in ".!?" else text + "."


def translate_captions(
    predictor: TranslationPredictor, captions: Sequence[str], languages: Sequence[str], n_best: int, folder: Path
) -> None:
    """Write captions.en and n_best translations of each into captions.de, ..., aligned line by line like Multi30k."""
    texts = {"en": [caption for caption in captions for _ in range(n_best)]}
    options = TranslationOptions(beam_size=max(4, n_best))
    for language in languages:
        requests = ((caption, "en", language) for caption in captions)
        texts[language] = []
        for result in tqdm(predictor.stream(requests, options), language, len(captions), unit="caption"):
            hypotheses = () if isinstance(result, InputError) else result.hypotheses[:n_best]
            found = [" ".join(each.text.split()) for each in hypotheses]
            texts[language] += found + [""] * (n_best - len(found))  # training skips empty lines
    folder.mkdir(parents=True, exist_ok=True)
    for language, lines in texts.items():
        (folder / f"captions.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
