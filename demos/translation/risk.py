"""Minimum-risk training: the network's own translations, each taught as much as it is worth (Shen et al. 2016).

The references teach a network to say the next word of what a person wrote. What it is judged by is another thing: the
whole of what it writes itself. So it translates a sentence several ways, and their share of the probability moves to
those that are closest to a reference, by sentence-level BLEU (Edunov et al. 2018).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from core.search import Sampling, sample
from core.text import BOS, EOS, PAD, pad
from core.training import Loss, LossFunction
from demos.translation.model import Translator

ORDER = 4  # n-grams up to this length


class RiskLoss:
    """Expected 1 - BLEU among sampled translations, plus `teacher_weight` times another loss, which keeps the language.

    references: source tokens -> all its reference translations, as tokens with <bos> and <eos>.
    sharpness: a translation's share is softmax(sharpness x log-probability per token), as search ranks them.
    """

    def __init__(
        self, references: Mapping[tuple[int, ...], Sequence[Sequence[int]]], teacher: LossFunction,
        samples: int = 8, sharpness: float = 5.0, teacher_weight: float = 0.1, precision: str = "no",
    ):  # fmt: skip
        self.references, self.teacher, self.samples = references, teacher, samples
        self.sharpness, self.teacher_weight, self.precision = sharpness, teacher_weight, precision

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
        """{"source": (B, S), "target": (B, T)} -> Loss, a mean over sources"""
        source = batch["source"]
        with torch.autocast(source.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            found = translations(getattr(model, "module", model), source, self.samples, batch["target"].size(1) + 10)
        rows = [tuple(t for t in row if t != PAD) for row in source.tolist()]
        worth = torch.tensor(
            [[sentence_bleu(y, self.references[row]) for y in ys] for row, ys in zip(rows, found, strict=True)]
        ).to(source.device)  # (B, k)
        tokens = pad([[BOS, *y] for ys in found for y in ys]).to(source.device)  # (B * k, T)
        logits = model(source, tokens[:, :-1])
        chosen = -nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), tokens[:, 1:].flatten(), ignore_index=PAD, reduction="none"
        ).view(len(tokens), -1)
        score = chosen.sum(1) / (tokens[:, 1:] != PAD).sum(1)
        share = (self.sharpness * score.view_as(worth)).softmax(1)
        gain = (share * worth).sum(1).mean()
        taught = self.teacher(model, batch, carry).value
        figures = {"bleu": worth.mean().item(), "expected": gain.item(), "teacher": taught.item()}
        return Loss(-gain + self.teacher_weight * taught, figures)


@torch.no_grad()
def translations(model: Translator, source: Tensor, count: int, longest: int) -> list[list[tuple[int, ...]]]:
    """`count` random translations of each source (B, S), as tokens to <eos>."""
    training = model.training
    model.eval()
    options = Sampling(count, top_k=10, max_length=longest)
    groups = sample(model.decoder, model.memory(source), options)
    model.train(training)
    return [[hypothesis.tokens for hypothesis in group] for group in groups]


def sentence_bleu(tokens: Sequence[int], references: Iterable[Sequence[int]]) -> float:
    """BLEU of one sentence against its references, 0 to 1, with 1 added to the counts of longer n-grams (Lin and Och
    2004), since one without any would make the whole of it 0."""
    own = [t for t in tokens if t != EOS]
    others = [[t for t in reference if t not in (BOS, EOS)] for reference in references]
    if not own:
        return 0.0
    product = 1.0
    for n in range(1, ORDER + 1):
        counts, most = _ngrams(own, n), Counter()
        for other in others:
            most |= _ngrams(other, n)
        right, total = sum((counts & most).values()), max(len(own) - n + 1, 0)
        product *= right / total if n == 1 else (right + 1) / (total + 1)
    nearest = min((abs(len(other) - len(own)), len(other)) for other in others)[1]
    brevity = min(1.0, 2.718281828 ** (1 - nearest / len(own)))
    return brevity * product ** (1 / ORDER)


def _ngrams(tokens: Sequence[int], n: int) -> Counter:
    return Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
