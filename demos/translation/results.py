"""What the translator answers with."""

from dataclasses import dataclass, field
from typing import Any

from core.decoding.search import BeamStep
from core.input.tokenizers import Token
from demos.translation.alignment import Alignment


@dataclass(frozen=True)
class Translation:
    """One translation of a text: the joined translations of its sentences."""

    text: str
    logprob: float
    tokens: tuple[Token, ...]  # words or parts of them, the last of a sentence "<eos>"
    alignments: tuple[Alignment, ...] = field(default=(), repr=False)  # one per sentence
    channel_logprob: float | None = None  # of the source, as a translation of this; None: not translated back
    backward_logprob: float | None = None  # of this, written from right to left; None: no decoder does that


@dataclass(frozen=True)
class TranslationResult:
    """Translations of one text, best first. Of several sentences, the n-th consists of the n-th best of each."""

    text: str
    logprob: float
    hypotheses: tuple[Translation, ...]
    seconds: float

    @property
    def attention(self) -> tuple[Alignment, ...]:
        """The alignment of the best translation, sentence by sentence."""
        return self.hypotheses[0].alignments

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        hypotheses = [
            {
                "text": each.text,
                "logprob": each.logprob,
                "channel_logprob": each.channel_logprob,
                "backward_logprob": each.backward_logprob,
                "tokens": [{"text": token.text, "logprob": token.logprob} for token in each.tokens],
            }
            for each in self.hypotheses
        ]
        attention = [alignment.to_dict() for alignment in self.attention]
        return {
            "text": self.text,
            "logprob": self.logprob,
            "hypotheses": hypotheses,
            "attention": attention,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class BeamTrace:
    """The beam as it grew over a sentence."""

    sentence: str
    steps: tuple[BeamStep, ...]
    words: tuple[tuple[str, ...], ...]  # (steps, k) the last token of each beam
    best: str
