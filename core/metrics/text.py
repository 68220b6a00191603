"""Scores of hypotheses against references, both plain text: BLEU and chrF (translation), WER and CER (recognition)."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from core.errors import InputError


class Score(NamedTuple):
    """A percentage, with the signature of the settings that it was computed under."""

    value: float
    signature: str

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.signature})"


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    lowercase: bool = False,
    tokenize: str = "13a",
) -> Score:
    """Corpus BLEU by sacreBLEU (Papineni et al. 2002; Post 2018), from 0 to 100.

    `references[n]` lists the references of `hypotheses[n]`: one or more, not the same number for each. Raises
    InputError when a hypothesis has no reference.
    """
    from sacrebleu.metrics import BLEU

    return _corpus_score(BLEU(lowercase=lowercase, tokenize=tokenize), hypotheses, references)


def chrf(hypotheses: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool = False) -> Score:
    """Corpus chrF by sacreBLEU (Popović 2015), from 0 to 100. References and errors as in `bleu`."""
    from sacrebleu.metrics import CHRF

    return _corpus_score(CHRF(lowercase=lowercase), hypotheses, references)


def wer(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Word error rate: word edits that turn hypotheses into references, per reference word. 0 is best, 1 is no bound.

    Case and punctuation count: normalise both sides first if they should not.
    """
    import jiwer

    check_aligned(hypotheses, references)
    return float(jiwer.wer(list(references), list(hypotheses)))


def cer(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Character error rate: the same as `wer`, over characters (spaces between words included)."""
    import jiwer

    check_aligned(hypotheses, references)
    return float(jiwer.cer(list(references), list(hypotheses)))


def check_aligned(hypotheses: Sequence, references: Sequence) -> None:
    """Raise InputError unless there is one entry of references for each hypothesis, and at least one in all."""
    if len(hypotheses) != len(references) or not len(hypotheses):
        raise InputError(
            f"There are {len(hypotheses)} hypotheses and references for {len(references)}: "
            "a score needs at least one hypothesis, and references for each."
        )


def check_references(references: Sequence[Sequence[str]]) -> None:
    """Raise InputError when an entry is a bare string (a common slip) or has no reference."""
    for number, entry in enumerate(references, start=1):
        if isinstance(entry, str) or not entry:
            raise InputError(f"Hypothesis {number} needs a list of one or more references, not {entry!r}.")


def _corpus_score(metric, hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    check_aligned(hypotheses, references)
    check_references(references)
    streams = [list(stream) for stream in zip_longest(*references)]  # stream k: the k-th reference of each, or None
    value = metric.corpus_score(list(hypotheses), streams).score
    return Score(float(value), str(metric.get_signature()))
