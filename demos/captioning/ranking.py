"""What the word detector says of captions that a search found, as named scores for core.decoding.rerank.

Beam search favours what may be said of many photos: "a man in a red shirt" is hardly ever wrong. The captioner has a
second opinion, its word detector, which saw no caption, only the photo. Of each caption it tells how sure it is of the
words, and how many of them to expect on the photo (reranking by a detector of words, Fang et al. 2015). A word that is
said twice is on the photo once: "a red jacket is wearing a red jacket".

    sure      mean log-odds of the caption's words
    seen      how many of them are to be expected on the photo
    repeated  minus the number of words that have been said before
"""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor
from transformers import PreTrainedTokenizerFast

from core.decoding.hypothesis import Hypothesis
from core.input.tokenizers import UNK

FUNCTION_WORDS = frozenset(("a", "an", "the", "in", "on", "of", "with", "and", "to", "is", "are", "at"))


class DetectorScores:
    """Scores hypotheses by the word detector's logits. Function words, and tokens that it does not know, do not count.

    detected_words: the detector knows the tokens below that number.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, detected_words: int):
        tokens = range(UNK + 1, detected_words)
        words = tokenizer.convert_ids_to_tokens(list(tokens))
        self._counted = {t for t, word in zip(tokens, words, strict=True) if word not in FUNCTION_WORDS}

    def add(self, hypotheses: Sequence[Hypothesis], word_logits: Tensor) -> list[Hypothesis]:
        """The same hypotheses with their scores. word_logits: (V,) of the hypotheses' photo."""
        logits = word_logits.float()
        odds, chances = logits.tolist(), logits.sigmoid().tolist()

        def scores(tokens: Sequence[int]) -> dict[str, float]:
            said = [token for token in tokens if token in self._counted]
            words = set(said)
            if not words:  # it says nothing of the photo
                return {"sure": min(odds), "seen": 0.0, "repeated": 0.0}
            return {
                "sure": sum(odds[word] for word in words) / len(words),
                "seen": sum(chances[word] for word in words),
                "repeated": float(len(words) - len(said)),
            }

        return [replace(hypothesis, scores=scores(hypothesis.tokens)) for hypothesis in hypotheses]
