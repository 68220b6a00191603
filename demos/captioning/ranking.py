"""Which of the captions that a search found comes first: the likeliest of those whose words are on the photo.

Beam search favours what may be said of many photos: "a man in a red shirt" is hardly ever wrong. The captioner has a
second opinion, its word detector, which saw no caption, only the photo. Of each caption it tells how sure it is of the
words, and how many of them to expect on the photo (reranking by a detector of words, Fang et al. 2015). A word that is
said twice is on the photo once: "a red jacket is wearing a red jacket". How much all that counts is chosen for the dev
sets' metrics themselves (minimum error rate training, Och 2003).
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product

from torch import Tensor
from transformers import PreTrainedTokenizerFast

from core.decoding.search import Hypothesis
from core.input.tokenizers import UNK

FUNCTION_WORDS = frozenset(("a", "an", "the", "in", "on", "of", "with", "and", "to", "is", "are", "at"))
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2)  # to choose from
SWEEPS = 2  # of the choice over all weights


@dataclass(frozen=True)
class DetectorWeights:
    """What the word detector adds to a caption's score, and what repetition takes from it."""

    sure: float = 0.0  # for the mean log-odds of the caption's words
    seen: float = 0.0  # for each of them that is to be expected on the photo
    repeated: float = 0.0  # against each word that has been said before

    def scaled(self, factor: float) -> "DetectorWeights":
        """All by a factor."""
        return DetectorWeights(*(factor * weight for weight in asdict(self).values()))


class WordJudge:
    """Ranks hypotheses by search's score and the word detector.

    detected_words: the detector knows the tokens below that number.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, detected_words: int):
        tokens = range(UNK + 1, detected_words)
        words = tokenizer.convert_ids_to_tokens(list(tokens))
        self._counted = {t for t, word in zip(tokens, words, strict=True) if word not in FUNCTION_WORDS}

    def rank(self, hypotheses: Sequence[Hypothesis], word_logits: Tensor, weights: DetectorWeights) -> list[Hypothesis]:
        """Best first. word_logits: (V,) of the hypotheses' photo."""
        logits = word_logits.float()
        odds, chances = logits.tolist(), logits.sigmoid().tolist()

        def score(hypothesis: Hypothesis) -> float:
            said = [token for token in hypothesis.tokens if token in self._counted]
            words = set(said)
            if not words:
                return hypothesis.score + weights.sure * min(odds)
            sure = sum(odds[word] for word in words) / len(words)
            seen = sum(chances[word] for word in words)
            again = len(said) - len(words)
            return hypothesis.score + weights.sure * sure + weights.seen * seen - weights.repeated * again

        return sorted(hypotheses, key=score, reverse=True)


def choose_weights(
    judge: WordJudge, found: Sequence[tuple[Sequence[Hypothesis], Tensor]], quality: Callable[[list[Hypothesis]], float]
) -> DetectorWeights:
    """The weights with which the first captions of all photos have the highest quality.

    The detector's two are tried together, in all pairs, then that of repetition, and all of it once more.
    found: the hypotheses of each photo and the word detector's logits (V,).
    """

    def reached(weights: DetectorWeights) -> float:
        return quality([judge.rank(*photo, weights)[0] for photo in found])

    chosen = DetectorWeights()
    for _ in range(SWEEPS):
        for names in (("sure", "seen"), ("repeated",)):
            tried = product(WEIGHTS, repeat=len(names))
            chosen = max((replace(chosen, **dict(zip(names, v, strict=True))) for v in tried), key=reached)
    return chosen
