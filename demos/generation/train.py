"""How the language models are trained: stateful truncated back-propagation through time on one text or several."""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from core.checkpoint import find_folder
from core.errors import InputError
from core.networks.decoder import DecoderConfig, DecoderState
from core.training.loop import Loss, TrainingConfig, train
from core.training.losses import SampledSoftmax
from core.training.recipes import StageRun
from demos.generation.data import (
    TEXT_ENDS,
    BpttBatches,
    BpttConfig,
    Corpus,
    build_vocabulary,
    read_corpora,
    read_text,
    split_text,
    tag_of,
    to_ids,
)
from demos.generation.evaluate import mean_loss
from demos.generation.model import GeneratorConfig, TextGenerator
from demos.generation.predict import GenerationOptions, GenerationPredictor
from demos.generation.sources import Source

MOMENTS = "moments.json"  # samples of the same prompts as the training went on
SAMPLE = 300  # pieces of each
DEV_PIECES = 20_000  # of each corpus, read after every epoch


@dataclass(frozen=True)
class LanguageModel:
    """A stage: a network that learns to write from some corpora, or from a text of one's own."""

    corpora: tuple[str, ...] = ()  # names of sources.py
    text: str = ""  # a text file, instead
    weights: tuple[float, ...] = ()  # how much of each corpus to read, relatively; none: as much of each
    layers: int = 2
    hidden_size: int = 512
    embed_dim: int = 256
    dropout: float = 0.1
    min_count: int = 5  # times that a piece occurs, to be in the vocabulary
    max_pieces: int = 100_000  # of the vocabulary
    negatives: int = 0  # pieces that the right one is told from (sampled softmax); 0: all
    bptt: BpttConfig = field(default_factory=BpttConfig)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=40, learning_rate=3e-3, warmup_steps=60, patience=99)
    )

    def run(self, stage: StageRun) -> None:
        """Train a new network. Raises InputError for corpora that cannot be had."""
        if bool(self.corpora) == bool(self.text):
            raise InputError("Name corpora, or a text of your own, as the setting `corpora` or `text`.")
        corpora = [own_text(stage.dataset(self.text))] if self.text else read_corpora(stage.data, self.corpora)
        if len(self.weights) not in (0, len(corpora)):
            raise InputError(f"The setting `weights` needs {len(corpora)} numbers, one for each corpus.")
        set_seed(self.training.seed)
        weights = self.weights or (1.0,) * len(corpora)
        fit(new_generator(corpora, self), corpora, weights, self.bptt, self.training, stage, self.negatives)


@dataclass(frozen=True)
class Specialise:
    """A stage: a network of several corpora that goes on with some of them alone, and forgets the others."""

    start: str = ""  # the checkpoint
    corpora: tuple[str, ...] = ()
    dropout: float = 0.2  # a corpus alone is little text
    bptt: BpttConfig = field(default_factory=BpttConfig)
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=20, learning_rate=2e-3, warmup_steps=60, patience=99)
    )

    def run(self, stage: StageRun) -> None:
        """Train. Raises InputError for a corpus that the network has not learnt."""
        corpora, start = read_corpora(stage.data, self.corpora), stage.checkpoint(self.start)
        model = specialise(TextGenerator.from_pretrained(start), corpora, self.dropout)
        fit(model, corpora, (1.0,) * len(corpora), self.bptt, self.training, stage, earlier=read_moments(start))


STAGES = {"language-model": LanguageModel, "specialise": Specialise}


# --- networks ----------------------------------------------------------------------------------------------------


def own_text(file: Path) -> Corpus:
    """A corpus of characters. Raises InputError for what is no text, or too short."""
    name = "".join(c if c.isalnum() else "_" for c in file.stem)
    return split_text(Source(name, file.stem, ()), read_text(file))


def new_generator(corpora: Sequence[Corpus], stage: LanguageModel) -> TextGenerator:
    """An untrained network for these corpora. Its bias is where a model that knows no context would end up."""
    vocabulary = build_vocabulary(corpora, stage.min_count, stage.max_pieces)
    sources = [corpus.source for corpus in corpora]
    prompts = [source.prompt or _first_line(corpus.train) for source, corpus in zip(sources, corpora, strict=True)]
    entries = tuple((s.name, s.title, s.kind, prompt) for s, prompt in zip(sources, prompts, strict=True))
    decoder = DecoderConfig(
        len(vocabulary), stage.embed_dim, stage.hidden_size, stage.layers, memory_dim=None, dropout=stage.dropout
    )
    model = TextGenerator(GeneratorConfig(vocabulary, entries, decoder))
    model.decoder.bias.data = shares(training_ids(corpora, vocabulary), len(vocabulary)).log()
    return model


def _first_line(text: str) -> str:
    return next(line for line in text.split("\n") if line.strip())[:60] + "\n"


def specialise(start: TextGenerator, corpora: Sequence[Corpus], dropout: float) -> TextGenerator:
    """A network that knows these of the corpora and pieces of another one. Raises InputError for one that it lacks."""
    known = set(start.config.vocabulary)
    if unknown := [corpus.name for corpus in corpora if tag_of(corpus.name) not in known]:
        raise InputError(f"The network to start from has not learnt {', '.join(unknown)}: name its own corpora only.")
    pieces = [piece for piece in build_vocabulary(corpora, min_count=1) if piece in known]
    model = start.specialised([corpus.name for corpus in corpora], pieces)
    model.decoder.dropout.p = dropout
    model.config = replace(model.config, decoder=replace(model.config.decoder, dropout=dropout))
    return model


def training_ids(corpora: Sequence[Corpus], vocabulary: Sequence[str]) -> list[Tensor]:
    """(T,) ids of each corpus's training text."""
    index = {piece: number for number, piece in enumerate(vocabulary)}
    return [to_ids(corpus.train, corpus.kind, index) for corpus in corpora]


def shares(texts: Sequence[Tensor], size: int) -> Tensor:
    """(V,) how frequent each piece of the vocabulary is, none 0."""
    counts = torch.bincount(torch.cat(list(texts)), minlength=size).float() + 1
    return counts / counts.sum()


# --- training ----------------------------------------------------------------------------------------------------


class BpttLoss:
    """Cross-entropy of a segment; the state goes on to the next one, unless the rows begin afresh.

    sampled: over a part of the vocabulary instead of the whole.
    """

    def __init__(self, sampled: SampledSoftmax | None = None):
        self.sampled = sampled

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: DecoderState | None) -> Loss:
        tokens, state = batch["tokens"], None if batch["fresh"].any() else carry
        # several processes exchange gradients of what the model itself computes: there, over the whole
        sampled = None if isinstance(model, nn.parallel.DistributedDataParallel) else self.sampled
        output = model(tokens[:, :-1], state, output_layer=sampled is None)
        found, targets = output.logits.flatten(0, 1).float(), tokens[:, 1:].flatten()
        if sampled:
            value = sampled(found, targets, model.decoder.embedding.weight, model.decoder.bias)
        else:
            value = F.cross_entropy(found, targets)
        return Loss(value, carry=DecoderState(*(part.float() for part in output.state)))


def fit(
    model: TextGenerator, corpora: Sequence[Corpus], weights: Sequence[float], bptt: BpttConfig,
    training: TrainingConfig, stage: StageRun, negatives: int = 0, earlier: Sequence[dict] = (),
) -> list[dict]:  # fmt: skip
    """Train a network and return the log; stage.best is the checkpoint. earlier: moments of its training before."""
    vocabulary = model.config.vocabulary
    index = {piece: number for number, piece in enumerate(vocabulary)}
    texts, tags = training_ids(corpora, vocabulary), [index[tag_of(corpus.name)] for corpus in corpora]
    line_end = index.get(TEXT_ENDS.get(corpora[0].kind, "\n"))
    batches = BpttBatches(texts, tags, weights, bptt, line_end, training.seed)
    sampled = SampledSoftmax(shares(texts, len(vocabulary)), negatives) if negatives else None
    kept = stage.folder / MOMENTS
    moments = json.loads(kept.read_text()) if stage.resume and kept.exists() else list(earlier)
    evaluate = DevEvaluation(corpora, model, kept, moments, len(batches))

    def save(best: nn.Module) -> None:
        best.save_pretrained(stage.best)
        (stage.best / MOMENTS).write_text(json.dumps(four_moments(moments), indent=1, ensure_ascii=False))

    loader = DataLoader(batches, batch_size=1, shuffle=False, collate_fn=lambda items: items[0])
    return train(model, loader, BpttLoss(sampled), training, stage.folder, evaluate, save, resume=stage.resume)


class DevEvaluation:
    """Dev loss of each corpus, and a sample of each, which is added with its step and losses to `moments`."""

    def __init__(self, corpora: Sequence[Corpus], model: TextGenerator, file: Path, moments: list[dict], steps: int):
        self.index = {piece: number for number, piece in enumerate(model.config.vocabulary)}
        self.texts = {corpus.name: to_ids(corpus.dev, corpus.kind, self.index)[:DEV_PIECES] for corpus in corpora}
        self.file, self.moments, self.steps = file, moments, steps

    def __call__(self, model: TextGenerator) -> dict[str, float]:
        """The mean log-probability of a piece first: it decides."""
        losses = {name: mean_loss(model, ids, self.index[tag_of(name)]) for name, ids in self.texts.items()}
        step = self.steps + (self.moments[-1]["step"] if self.moments else 0)
        rounded = {name: round(loss, 4) for name, loss in losses.items()}
        self.moments.append({"step": step, "losses": rounded, "samples": samples(model)})
        self.file.write_text(json.dumps(self.moments))
        return {"logprob": -sum(losses.values()) / len(losses), **losses}


def samples(model: TextGenerator) -> dict[str, str]:
    """The beginning of each corpus, and what the network as it is now writes after it, left to itself."""
    predictor = GenerationPredictor(copy.deepcopy(model).cpu())
    options = GenerationOptions(length=SAMPLE, whole_bars=False)
    prompts = {name: prompt for name, (_, _, prompt) in predictor.corpora.items()}
    return {name: prompt + predictor(name, prompt, options).text for name, prompt in prompts.items()}


def read_moments(folder_or_hub_id: str | Path) -> list[dict]:
    """The moments that a checkpoint keeps of its training."""
    file = find_folder(folder_or_hub_id) / MOMENTS
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def four_moments(moments: list[dict]) -> list[dict]:
    """The first, the last, and two between them, each about as many times later as the one before."""
    last = len(moments)
    chosen = sorted({1, max(1, round(last ** (1 / 3))), max(1, round(last ** (2 / 3))), last})
    return [moments[number - 1] for number in chosen]
