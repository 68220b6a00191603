"""The recipes of the language models: stateful truncated back-propagation through time on one text or several.

`python -m demos.generation train --help` gives the exact commands, that of the shipped checkpoint among them.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.data import DataLoader

from core.errors import InputError
from core.networks.decoder import DecoderConfig, DecoderState
from core.serving.command_line import given
from core.training.loop import Loss, TrainingConfig, best_precision, train
from demos.generation.data import (
    READERS,
    TEXT_ENDS,
    Corpus,
    Lanes,
    build_vocabulary,
    read_corpora,
    read_text,
    split_text,
    tag_of,
    to_ids,
)
from demos.generation.evaluate import mean_loss
from demos.generation.model import GeneratorConfig, TextGenerator
from demos.generation.sources import Source

MOMENTS = "moments.json"  # samples of the same prompts as the training went on
SAMPLE = 300  # pieces of each
DEV_PIECES = 20_000  # of each corpus, read after every round

PROMPTS = {
    "tinyshakespeare": "ROMEO:\n",
    "shakespeare": "HAMLET:\n",
    "linux": "static int ",
    "latex": "\\begin{lemma}\n",
    "speeches": "Good morning, everybody. ",
    "war_and_peace": "Prince Andrew ",
    "folk": "M:4/4\nK:Cmaj\n",
    "reviews": "I went to see this film because",
    "ptb": "the company ",
}


@dataclass(frozen=True)
class Recipe:
    """Sizes of the network and of a batch."""

    layers: int = 2
    hidden_size: int = 512
    embed_dim: int = 256
    dropout: float = 0.1
    lanes: int = 64
    chunk: int = 128
    stretch: int = 16  # chunks that a lane reads in one go
    min_count: int = 5
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=40, learning_rate=3e-3, warmup_steps=60, patience=99)
    )
    stretches: int = 4  # per epoch
    largest: int | None = None  # pieces of the vocabulary
    negatives: int = 0  # others that the right piece is told from; 0: all


RECIPES = {
    "characters": Recipe(),
    # Two layers of 650 as Zaremba et al. (2014), "medium", with tied embeddings of 400 and AdamW.
    "ptb": Recipe(
        2, 650, 400, 0.5, 40, 70, 32, 1,
        TrainingConfig(epochs=76, learning_rate=2e-3, weight_decay=0.01, clip_norm=0.25, average=0.998, patience=99),
    ),
    # A constant learning rate and averaged weights: it may be ended at any time, and goes on at any time.
    "reviews": Recipe(
        2, 384, 192, 0.0, 32, 64, 16, 5,
        TrainingConfig(
            epochs=40, learning_rate=3e-3, schedule="constant", warmup_steps=100, average=0.99, patience=99
        ),
        stretches=24, largest=10_000, negatives=500,
    ),
}  # fmt: skip


def stateful_loss(model: Callable, batch: dict[str, Tensor], carry: DecoderState | None) -> Loss:
    """Cross-entropy of a chunk; the state goes on to the next one, unless the lanes begin afresh."""
    tokens = batch["tokens"]
    state = None if batch["fresh"].any() else carry
    output = model(tokens[:, :-1], state)
    state = DecoderState(*(part.float() for part in output.state))
    return Loss(F.cross_entropy(output.logits.flatten(0, 1).float(), tokens[:, 1:].flatten()), carry=state)


class SampledLoss:
    """The same over the chunk's own pieces and `count` others instead of the whole vocabulary (Jean et al. 2015).

    frequency: (V,) of the pieces in the training text. The others are drawn from frequency ** 0.75. Every logit is
    corrected by how likely its piece was to be among the candidates, so that the sum over them estimates the sum over
    the vocabulary. Of 10,000 pieces this takes half the time of a step.
    """

    def __init__(self, frequency: Tensor, count: int):
        self.share, self.count = frequency / frequency.sum(), count
        self.proposal = self.share**0.75 / (self.share**0.75).sum()

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: DecoderState | None) -> Loss:
        tokens = batch["tokens"]
        if isinstance(model, nn.parallel.DistributedDataParallel):  # it must see its own parameters used
            return stateful_loss(model, batch, carry)
        others = torch.multinomial(self.proposal, self.count, replacement=True).to(tokens.device)
        candidates, places = torch.cat([tokens.flatten(), others]).unique(return_inverse=True)
        expected = (tokens.numel() * self.share + self.count * self.proposal).to(tokens.device)[candidates]
        decoder = model.decoder
        few = {
            "decoder.embedding.weight": decoder.embedding.weight[candidates],
            "decoder.bias": decoder.bias[candidates] - (-torch.expm1(-expected)).log(),
        }
        places = places[: tokens.numel()].view_as(tokens)
        return stateful_loss(lambda *read: functional_call(model, few, read), {**batch, "tokens": places}, carry)


def new_generator(corpora: Sequence[Corpus], recipe: Recipe) -> TextGenerator:
    """An untrained network for these corpora."""
    vocabulary = build_vocabulary(corpora, recipe.min_count, recipe.largest)
    entries = tuple((c.name, c.title, c.kind, PROMPTS.get(c.name, _first_line(c.train))) for c in corpora)
    decoder = DecoderConfig(
        len(vocabulary), recipe.embed_dim, recipe.hidden_size, recipe.layers, memory_dim=None, dropout=recipe.dropout
    )
    return TextGenerator(GeneratorConfig(vocabulary, entries, decoder))


def going_on_from(start: TextGenerator, corpora: Sequence[Corpus], dropout: float) -> TextGenerator:
    """The network itself, or one of these corpora alone where it has learnt others too.

    Raises InputError for a corpus that it has not learnt.
    """
    known = set(start.config.vocabulary)
    unknown = [c.name for c in corpora if tag_of(c.name) not in known]
    if unknown:
        raise InputError(f"The network to start from has not learnt {', '.join(unknown)}: name its own corpora only.")
    if len(corpora) < len(start.config.corpora):
        pieces = [piece for piece in build_vocabulary(corpora, min_count=1) if piece in known]
        start = start.specialised([c.name for c in corpora], pieces)
    start.decoder.dropout.p = dropout
    start.config = replace(start.config, decoder=replace(start.config.decoder, dropout=dropout))
    return start


def _first_line(text: str) -> str:
    return next(line for line in text.split("\n") if line.strip())[:60] + "\n"


class Judge:
    """Dev loss of each corpus, and a sample of each recorded with its step and loss: "as it trained"."""

    def __init__(self, corpora: Sequence[Corpus], model: TextGenerator, folder: Path, steps: int):
        self.index = {piece: i for i, piece in enumerate(model.config.vocabulary)}
        self.texts = {c.name: to_ids(c.dev, c.kind, self.index)[:DEV_PIECES] for c in corpora}
        self.folder, self.steps = folder, steps
        file = folder / MOMENTS
        self.moments = json.loads(file.read_text()) if file.exists() else []

    def __call__(self, model: TextGenerator) -> dict[str, float]:
        """The mean log-probability of a piece first: it decides."""
        losses = {n: mean_loss(model, ids, self.index[tag_of(n)]) for n, ids in self.texts.items()}
        samples = {name: sample(model, name, SAMPLE) for name in losses}
        step = self.steps + (self.moments[-1]["step"] if self.moments else 0)
        self.moments.append({"step": step, "losses": {n: round(v, 4) for n, v in losses.items()}, "samples": samples})
        (self.folder / MOMENTS).write_text(json.dumps(self.moments))
        return {"logprob": -sum(losses.values()) / len(losses), **losses}


def sample(model: TextGenerator, corpus: str, length: int, temperature: float = 0.7, seed: int = 1) -> str:
    """The corpus's prompt and what the network writes after it."""
    entry = next(entry for entry in model.config.corpora if entry[0] == corpus)
    index = {piece: i for i, piece in enumerate(model.config.vocabulary)}
    tokens = torch.cat([torch.tensor([index[tag_of(corpus)]]), to_ids(entry[3], entry[2], index)])[None]
    generator, state, pieces = torch.Generator().manual_seed(seed), None, []
    device = model.decoder.bias.device
    for _ in range(length):
        output = model(tokens.to(device), state)
        logits = output.logits[:, -1].float().cpu() / temperature
        logits[:, : 4 + len(model.config.corpora)] = float("-inf")  # special tokens and tags are no text
        tokens, state = torch.multinomial(logits.softmax(1), 1, generator=generator), output.state
        pieces.append(model.config.vocabulary[tokens.item()])
    return entry[3] + "".join(pieces)


def four_moments(moments: list[dict]) -> list[dict]:
    """The first, the last, and two between them, each about as many times later as the one before."""
    last = len(moments)
    chosen = sorted({1, max(1, round(last ** (1 / 3))), max(1, round(last ** (2 / 3))), last})
    return [moments[number - 1] for number in chosen]


def train_generator(
    corpora: Sequence[Corpus], recipe: Recipe, folder: Path, resume: bool = False,
    start: TextGenerator | None = None, earlier: Sequence[dict] = (),
) -> list[dict]:  # fmt: skip
    """Train on the corpora and return the log; `folder`/best is the checkpoint.

    start: a network to go on from; of its corpora, the new one knows those given. earlier: the recorded moments of its
    training.
    """
    model = going_on_from(start, corpora, recipe.dropout) if start else new_generator(corpora, recipe)
    index = {piece: i for i, piece in enumerate(model.config.vocabulary)}
    texts = [to_ids(c.train, c.kind, index) for c in corpora]
    tags = [index[tag_of(c.name)] for c in corpora]
    seed = recipe.training.seed
    lanes = Lanes(
        texts, tags, [c.weight for c in corpora], recipe.lanes, recipe.chunk, recipe.stretch, recipe.stretches,
        line_end=index.get(TEXT_ENDS.get(corpora[0].kind, "\n")), seed=seed,
    )  # fmt: skip
    counts = torch.bincount(torch.cat(texts), minlength=len(index)).float() + 1
    loss = SampledLoss(counts, recipe.negatives) if recipe.negatives else stateful_loss
    if not start and not resume:
        model.decoder.bias.data = (counts / counts.sum()).log()  # where a model that knows no context would end up
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        (folder / MOMENTS).write_text(json.dumps(list(earlier)))
    judge = Judge(corpora, model, folder, len(lanes))

    def save(best: nn.Module) -> None:
        best.save_pretrained(folder / "best")
        (folder / "best" / MOMENTS).write_text(json.dumps(four_moments(judge.moments), indent=1, ensure_ascii=False))

    loader = DataLoader(lanes, batch_size=1, shuffle=False, collate_fn=lambda items: items[0])
    return train(model, loader, loss, recipe.training, folder, judge, save, resume=resume)


# --- command line ------------------------------------------------------------------------------------------------

_COMMANDS = r"""
the shipped networks: of the seven corpora, each stage going on from the one before,
  python -m demos.generation train --data corpora --out runs/generation --minutes 40
  python -m demos.generation train --data corpora --out runs/generation2 --start runs/generation/best --minutes 14 \
      --learning-rate 1.5e-3 --weights 2.5 1.5 2 1.5 1 1 4 --seed 2
  python -m demos.generation train --data corpora --out runs/generation3 --start runs/generation2/best --minutes 13 \
      --learning-rate 2e-3 --weights 2 1.5 2.5 2 1 1 3 --seed 3
  python -m demos.generation train --data corpora --out runs/generation4 --start runs/generation3/best --minutes 75 \
      --learning-rate 2e-3 --weights 2 1.5 2.5 2 1 1 3 --seed 4
  python -m demos.generation train --data corpora --out runs/generation5 --start runs/generation4/best --minutes 62 \
      --learning-rate 2e-3 --weights 1.5 1 2 2 1.5 4 2 --seed 5
  python -m demos.generation train --data corpora --out runs/generation6 --start runs/generation5/best --minutes 24 \
      --learning-rate 1.5e-3 --weights 1.5 1.5 2 3 2 3 2 --seed 6
of the speeches and of the folk tunes alone, which go on from it:
  python -m demos.generation train --data corpora --corpora speeches --start runs/generation6/best --minutes 30 \
      --learning-rate 2e-3 --dropout 0.2 --seed 7 --out runs/speeches
  python -m demos.generation train --data corpora --corpora folk --start runs/generation6/best --minutes 22 \
      --learning-rate 2e-3 --dropout 0.25 --seed 8 --out runs/folk
  python -m demos.generation train --data corpora --corpora folk --start runs/folk/best --minutes 17 \
      --learning-rate 1.5e-3 --dropout 0.45 --seed 10 --out runs/folk2
  python -m demos.generation train --data corpora --corpora folk --start runs/folk2/best --minutes 15 \
      --learning-rate 1.5e-3 --dropout 0.5 --seed 11 --out runs/folk3
and of the film reviews (without --epochs it goes on, with --resume from where it ended):
  python -m demos.generation train --preset reviews --data imdb --epochs 15 --out runs/reviews
a text of your own:
  python -m demos.generation train --text my.txt --out runs/my
Penn Treebank, two layers of 650 as Zaremba et al. (2014), "medium"; the measured run was interrupted after 19 epochs,
went on with more dropout, and was ended after 41:
  python -m demos.generation train --preset ptb --data corpora/ptb --dropout 0.45 --epochs 37 --out runs/ptb
  python -m demos.generation train --preset ptb --data corpora/ptb --minutes 122 --resume --out runs/ptb
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _COMMANDS
    parser.add_argument("--preset", choices=list(RECIPES), default="characters")
    parser.add_argument("--data", type=Path, help="folder of the corpora; of IMDB or Penn Treebank for that preset")
    parser.add_argument("--corpora", nargs="+", metavar="NAME", help="only these (default: all, one network for all)")
    parser.add_argument("--text", type=Path, help="a text file of your own, instead of --data")
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the curve and the best checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in --out")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, with a learning rate that starts anew")
    parser.add_argument("--minutes", type=float, help="train for so long, however many epochs that makes")
    parser.add_argument("--epochs", type=int, help="of 64 steps each (reviews: of 384)")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--weights", nargs="+", type=float, help="how much of each corpus to read, relatively")
    parser.add_argument("--batch-size", type=int, dest="lanes", help="lanes of text side by side")
    for name in ("layers", "hidden-size", "embed-dim", "chunk", "stretch"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--dropout", type=float)
    parser.add_argument("--precision", choices=["auto", "no", "bf16"], default="auto")
    parser.add_argument("--seed", type=int, default=1)


def main(options: argparse.Namespace) -> None:
    """Run a recipe."""
    set_seed(options.seed)
    if bool(options.data) == bool(options.text):
        raise InputError("Name the folder of the corpora with --data, or a text of your own with --text.")
    if options.text:
        name = "".join(c if c.isalnum() else "_" for c in options.text.stem)
        corpora = [split_text(Source(name, options.text.stem, ()), read_text(options.text))]
    elif options.preset in READERS:
        corpora = read_corpora(options.data, [options.preset])
    else:
        corpora = read_corpora(options.data, options.corpora)
    if options.weights:
        if len(options.weights) != len(corpora):
            raise InputError(f"--weights needs {len(corpora)} numbers, one for each corpus.")
        corpora = [replace(c, weight=w) for c, w in zip(corpora, options.weights, strict=True)]
    recipe = RECIPES[options.preset]
    sizes = ("layers", "hidden_size", "embed_dim", "dropout", "lanes", "chunk", "stretch")
    recipe = replace(recipe, **given(options, sizes))
    precision = best_precision() if options.precision == "auto" else options.precision
    chosen = given(options, ("epochs", "minutes", "learning_rate"))
    recipe = replace(recipe, training=replace(recipe.training, precision=precision, seed=options.seed, **chosen))
    start, earlier = None, []
    if options.start:
        start = TextGenerator.from_pretrained(options.start)
        files = (file for file in (options.start.parent / MOMENTS, options.start / MOMENTS) if file.exists())
        earlier = [moment for file in list(files)[:1] for moment in json.loads(file.read_text())]
    train_generator(corpora, recipe, options.out, options.resume, start, earlier)
