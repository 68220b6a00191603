"""What the translator answers with."""

from collections.abc import Mapping, Sequence
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
    scores: Mapping[str, float] = field(default_factory=dict)  # see demos.translation.reranking; without it, none


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
                "scores": dict(each.scores),
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


def join(lines: Sequence[Sequence[Sequence[Translation]]]) -> tuple[Translation, ...]:
    """The translations of each sentence of each line, best first -> those of the whole text."""
    count = max(len(best) for line in lines for best in line)
    joined = []
    for n in range(count):
        chosen = [[best[min(n, len(best) - 1)] for best in line] for line in lines]
        flat = [each for line in chosen for each in line]
        scores: dict[str, float] = {}
        for name, score in (item for each in flat for item in each.scores.items()):
            scores[name] = scores.get(name, 0.0) + score
        joined.append(
            Translation(
                "\n".join(" ".join(each.text for each in line) for line in chosen),
                sum(each.logprob for each in flat),
                tuple(token for each in flat for token in each.tokens),
                tuple(alignment for each in flat for alignment in each.alignments),
                scores,
            )
        )
    return tuple(joined)


@dataclass(frozen=True)
class BeamTrace:
    """The beam as it grew over a sentence."""

    sentence: str
    steps: tuple[BeamStep, ...]
    words: tuple[tuple[str, ...], ...]  # (steps, k) the last token of each beam
    best: str
