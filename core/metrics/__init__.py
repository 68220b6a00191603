"""The one place for measured figures: every number that the project quotes is computed here.

Text scores (BLEU, chrF, METEOR, ROUGE-L, CIDEr) are percentages, as they are published; error rates, accuracies and
ranking figures are fractions.
"""

from core.metrics.captions import CAPTION_METRICS, caption_scores, caption_scores_fast, java_available
from core.metrics.cider import CiderD
from core.metrics.classification import (
    accuracy,
    expected_calibration_error,
    macro_f1,
    soft_accuracy,
)
from core.metrics.ranking import r_precision, success_at_k
from core.metrics.text import Score, bleu, cer, chrf, wer

__all__ = [
    "CAPTION_METRICS",
    "CiderD",
    "Score",
    "accuracy",
    "bleu",
    "caption_scores",
    "caption_scores_fast",
    "cer",
    "chrf",
    "expected_calibration_error",
    "java_available",
    "macro_f1",
    "r_precision",
    "soft_accuracy",
    "success_at_k",
    "wer",
]
