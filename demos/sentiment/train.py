"""The recipe of the sentiment networks, in stages that continue from one another:

    language   a language model of the reviews, forwards and backwards, without their labels (Dai and Le 2015)
    classify   the classifier, from the language model's embeddings and recurrent weights, or from a classifier
    average    the mean of several checkpoints' weights (Wortsman et al. 2022, "model soups")
    votes      words and phrases that vote beside the classifier (Mesnil et al. 2015)

`python -m demos.sentiment train --help` gives the exact commands behind the shipped checkpoints.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import torch
from accelerate.utils import set_seed
from tokenizers import normalizers
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from core.checkpoint import find_folder, load_tokenizer, verify
from core.errors import InputError
from core.input.tokenizers import train_bpe_tokenizer
from core.serving.command_line import given
from core.training.loop import Loss, TrainingConfig, average_weights, best_precision, train
from demos.sentiment.contrasts import contrasts
from demos.sentiment.data import Batches, Corpus, Example, read_corpus, stream_chunks, token_ids
from demos.sentiment.evaluate import calibrate, dev_scores
from demos.sentiment.model import ReaderConfig, ReviewLanguageModel, SentimentClassifier, SentimentConfig
from demos.sentiment.train_votes import with_votes

CHUNK = 128  # tokens that a language model reads at a time
NEGATIVES = 1024  # other tokens that the right one is told from
DEV_CHUNKS = 200

# --- language model ----------------------------------------------------------------------------------------------


class SampledLoss:
    """Cross-entropy over the right token and some others (sampled softmax, Jean et al. 2015).

    The others are drawn once per batch from p ** 0.75, and every logit is corrected by how often its token is drawn, so
    that the sum over the few estimates the sum over the vocabulary. Where the right token is drawn too, its copies
    count as right: that adds a constant to the loss, which is left out.
    """

    def __init__(self, frequency: Tensor, count: int = NEGATIVES, precision: str = "no"):
        self.proposal = frequency**0.75
        self.log_expected = (self.proposal / self.proposal.sum() * count).log()
        self.count, self.dtype = count, torch.bfloat16 if precision == "bf16" else torch.float32

    def __call__(self, model: nn.Module, batch: Tensor, carry: None) -> Loss:
        vectors, targets = model(batch.long())  # (N, E), (N,)
        model = getattr(model, "module", model)
        weight, bias = model.reader.embedding.weight, model.bias - self.log_expected.to(batch.device)
        others = torch.multinomial(self.proposal, self.count, replacement=True).to(batch.device)
        # The large product may be in bf16; the gradients of frequent tokens are sums over thousands, and may not.
        wrong = F.linear(*(t.to(self.dtype) for t in (vectors, F.embedding(others, weight), bias[others])))
        right = (vectors.float() * F.embedding(targets, weight)).sum(1) + bias[targets]
        logits = torch.cat([right.to(self.dtype).unsqueeze(1), wrong], 1)  # (N, 1 + K)
        return Loss(F.cross_entropy(logits, torch.zeros_like(targets)))


def perplexity(model: ReviewLanguageModel, chunks: Tensor) -> dict[str, float]:
    """Mean log-probability of a token, both directions together, and perplexity; over the whole vocabulary."""
    total, count = 0.0, 0
    for batch in chunks.split(8):
        vectors, targets = model(batch.long())
        total += F.cross_entropy(model.logits(vectors), targets, reduction="sum").item()
        count += len(targets)
    return {"logprob": -total / count, "perplexity": math.exp(total / count)}


def train_language(
    corpora: Sequence[Corpus], tokenizer, reader: ReaderConfig, config: TrainingConfig, folder: Path, resume: bool,
    batch_size: int,
) -> list[dict]:  # fmt: skip
    """Stage 1; returns the log. Raises InputError when there is too little text."""
    texts = [e.text for corpus in corpora for e in corpus.train]
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()
    chunks = stream_chunks(token_ids(tokenizer, [texts[i] for i in order], 10**6), CHUNK)
    dev = stream_chunks(token_ids(tokenizer, [e.text for c in corpora for e in c.dev[:300]], 10**6), CHUNK)
    if not len(dev) or len(chunks) < batch_size:
        raise InputError(
            f"There are too few texts for a language model: it reads {batch_size} x {CHUNK} tokens a step."
        )
    model = ReviewLanguageModel(reader)
    frequency = torch.bincount(chunks.flatten(), minlength=reader.vocab_size).float() + 1
    model.bias.data = (frequency / frequency.sum()).log()  # where a model that knows no context would end up
    loader = DataLoader(chunks, batch_size, shuffle=True, drop_last=True)
    evaluate = partial(perplexity, chunks=dev[:DEV_CHUNKS])
    loss = SampledLoss(frequency, precision=config.precision)
    return train(model, loader, loss, config, folder, evaluate, partial(save, tokenizer, folder), resume=resume)


# --- classifier --------------------------------------------------------------------------------------------------


def set_loss(model: nn.Module, batch: dict[str, Tensor], shift: Tensor | None = None) -> Tensor:
    """-log of the probability that the class is one of those that the text may belong to, a mean over the texts."""
    logits = model(batch["tokens"], batch["lengths"], shift).logits.float()
    allowed = logits.log_softmax(1).masked_fill(~batch["targets"], float("-inf"))
    return -allowed.logsumexp(1).mean()


class AdversarialLoss:
    """`set_loss` of the texts as they are, then of embeddings moved where that loss grows fastest (Miyato et al. 2017).

    size: how far a text is moved, as a share of a word vector's mean length; 0: not at all.
    """

    def __init__(self, size: float):
        self.size = size

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
        if not self.size:
            return Loss(set_loss(model, batch))
        weight = getattr(model, "module", model).reader.embedding.weight
        shift = weight.new_zeros(*batch["tokens"].shape, weight.size(1)).requires_grad_()
        distance = self.size * weight.detach().norm(dim=1).mean()
        return Loss(set_loss(model, batch, shift), again=lambda: set_loss(model, batch, distance * uphill(shift)))


def uphill(shift: Tensor) -> Tensor:
    """The direction of the gradient of `shift` (B, T, E), of length 1 for each text."""
    return F.normalize(shift.grad.flatten(1), dim=1, eps=1e-20).view_as(shift)


def train_classifier(
    model: SentimentClassifier, tokenizer, corpora: Sequence[Corpus], config: TrainingConfig, folder: Path,
    resume: bool, batch_size: int, longest: int = 320, limit: int | None = None, adversary: float = 0.0,
    extra: Sequence[Example] = (),
) -> list[dict]:  # fmt: skip
    """Stage 2; returns the log. Texts are cut to `longest` tokens; `limit` keeps the first examples only; `adversary`
    is the size of an AdversarialLoss; `extra` examples join those of the corpora."""
    examples: list[Example] = [e for c in corpora for e in chain(c.train[:limit], c.phrases[:limit])] + list(extra)
    ids = token_ids(tokenizer, [e.text for e in examples], longest)
    batches = Batches(ids, [e.classes for e in examples], len(model.config.class_names), batch_size, 32 * longest)
    loader = DataLoader(batches, batch_size=1, shuffle=True, collate_fn=lambda items: items[0])
    evaluate = partial(dev_scores, tokenizer=tokenizer, corpora=corpora)
    loss, keep = AdversarialLoss(adversary), partial(save, tokenizer, folder)
    return train(model, loader, loss, config, folder, evaluate, keep, resume=resume)


def new_classifier(reader: ReaderConfig, language: str, corpora: Sequence[Corpus]) -> SentimentClassifier:
    """An untrained classifier for the classes of the corpora, which must be the same."""
    return SentimentClassifier(SentimentConfig(reader, language, class_names(corpora)))


def class_names(corpora: Sequence[Corpus]) -> tuple[str, ...]:
    """The classes of the corpora. Raises InputError where they differ."""
    names = {corpus.class_names for corpus in corpora}
    if len(names) != 1:
        raise InputError("These data sets do not have the same classes: train English and Korean apart.")
    return names.pop()


def new_tokenizer(corpora: Sequence[Corpus], language: str, vocab_size: int, units: str) -> PreTrainedTokenizerFast:
    """Byte-pair encoding of the training texts. units: "letters" or, for Korean, "jamo" that syllables are made of."""
    texts = (e.text for corpus in corpora for e in corpus.train)
    form = normalizers.NFKD() if units == "jamo" else normalizers.NFKC()
    parts = [form, normalizers.Lowercase()]
    return train_bpe_tokenizer(texts, vocab_size, normalizers.Sequence(parts), contractions=language == "english")


def save(tokenizer: PreTrainedTokenizerFast, folder: Path, model: nn.Module) -> None:
    """A checkpoint in `folder`/best, ready to ship or to continue from."""
    model.save_pretrained(folder / "best")
    tokenizer.save_pretrained(folder / "best")


# --- command line ------------------------------------------------------------------------------------------------

_RECIPE = r"""
the shipped checkpoints:
  python -m demos.sentiment train language --data sst imdb --epochs 5 --hidden-size 448 \
      --out runs/english-language
  python -m demos.sentiment train classify --data sst imdb --start runs/english-language/best --epochs 4 \
      --longest 400 --out runs/english
  python -m demos.sentiment train classify --data sst imdb --start runs/english/best --epochs 3 \
      --learning-rate 6e-4 --longest 512 --adversary 0.4 --seed 7 --out runs/english2
  python -m demos.sentiment train classify --data sst imdb --start runs/english/best --epochs 2 \
      --learning-rate 6e-4 --longest 400 --adversary 0.6 --seed 11 --out runs/english3
      # and again with --seed 13 --out runs/english4
  python -m demos.sentiment train votes --data sst imdb --start runs/english2/second runs/english3/best \
      runs/english4/best --out runs/english-votes                    # second: see the model card
  python -m demos.sentiment train language --data nsmc --language korean --vocab-size 12000 --epochs 6 \
      --hidden-size 448 --out runs/korean-language
  python -m demos.sentiment train classify --data nsmc --language korean --start runs/korean-language/best \
      --epochs 4 --adversary 0.5 --seed 2 --out runs/korean
  python -m demos.sentiment train votes --data nsmc --start runs/korean/best --out runs/korean-votes
"""

_STAGES = {  # defaults of each stage
    "language": TrainingConfig(epochs=2, learning_rate=1e-3, warmup_steps=100, patience=99),
    "classify": TrainingConfig(epochs=4, learning_rate=1e-3, weight_decay=0.01, average=0.998, patience=2),
}

_FINISHING = ("average", "votes")  # stages that start from classifiers

_DROPOUT = {  # a language model of a few epochs sees hardly anything twice; the classifier does
    "language": {"word_dropout": 0.0, "input_dropout": 0.1, "weight_dropout": 0.0},
    "classify": {"word_dropout": 0.1, "input_dropout": 0.3, "weight_dropout": 0.3},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _RECIPE
    parser.add_argument("stage", choices=[*_STAGES, *_FINISHING])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of SST, IMDB or NSMC")
    parser.add_argument("--language", choices=["english", "korean"], default="english")
    parser.add_argument("--start", type=Path, nargs="+",
                        help="language model or classifier to start from; average, votes: classifiers")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the curve and the best checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in --out")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--batch-size", type=int, help="default: 64 chunks, 128 texts")
    parser.add_argument("--vocab-size", type=int, default=16000, help="subwords (default: %(default)s)")
    parser.add_argument("--units", choices=["letters", "jamo"], help="what subwords are made of (Korean: jamo)")
    parser.add_argument("--embed-dim", type=int, default=256)
    parser.add_argument("--hidden-size", type=int, default=320, help="of each direction")
    parser.add_argument("--longest", type=int, default=320, help="tokens of a text to classify (default: %(default)s)")
    parser.add_argument("--adversary", type=float, default=0.3,
                        help="classify: how far texts are moved to make them hard (default: %(default)s)")  # fmt: skip
    help_text = "classify: texts made from SST in which `not` and `but` decide (default: %(default)s)"
    parser.add_argument("--contrasts", type=int, default=12_000, help=help_text)
    parser.add_argument("--votes", type=int, default=2**20, help="votes: entries of the table (default: %(default)s)")
    parser.add_argument("--penalty", type=float, default=5.0, help="votes: on their weights (default: %(default)s)")
    parser.add_argument("--precision", choices=["auto", "no", "bf16"], default="auto")
    parser.add_argument("--seed", type=int, default=1)


def main(options: argparse.Namespace) -> None:
    """Run one stage."""
    corpora = [read_corpus(root) for root in options.data]
    set_seed(options.seed)
    if options.stage in _FINISHING:
        if not options.start:
            raise InputError(f"The stage `{options.stage}` needs checkpoints: name them with --start.")
        tokenizer = load_tokenizer(options.start[0])
        model = average_weights([SentimentClassifier.from_pretrained(folder) for folder in options.start])
        if options.stage == "votes":
            model = with_votes(model, tokenizer, corpora, options.votes, options.penalty)
        finish(model, tokenizer, corpora, options.out)
        return
    chosen = given(options, ("epochs", "learning_rate"))
    precision = best_precision() if options.precision == "auto" else options.precision
    config = replace(_STAGES[options.stage], seed=options.seed, precision=precision, **chosen)
    if options.stage == "language" and options.start:
        raise InputError("The stage `language` starts from nothing: leave --start out.")
    if options.start:
        model, tokenizer = continued(options.start[0], options.language, corpora), load_tokenizer(options.start[0])
    else:
        units = options.units or ("jamo" if options.language == "korean" else "letters")
        tokenizer = new_tokenizer(corpora, options.language, options.vocab_size, units)
        reader = ReaderConfig(len(tokenizer), options.embed_dim, options.hidden_size, **_DROPOUT[options.stage])
        if options.stage == "language":
            size = options.batch_size or 64
            train_language(corpora, tokenizer, reader, config, options.out, options.resume, size)
            return
        model = new_classifier(reader, options.language, corpora)
    extra = [e for c in corpora if c.name == "SST" for e in contrasts(c, "train", options.contrasts)]
    train_classifier(
        model, tokenizer, corpora, config, options.out, options.resume, options.batch_size or 128, options.longest,
        adversary=options.adversary, extra=extra,
    )  # fmt: skip
    finish(SentimentClassifier.from_pretrained(options.out / "best"), tokenizer, corpora, options.out)


def continued(folder: Path, language: str, corpora: Sequence[Corpus]) -> SentimentClassifier:
    """The classifier in `folder`, or a new one that starts from the language model there.

    Raises InputError for a classifier of other classes, or with votes, which belong to its own weights.
    """
    if verify(find_folder(folder))["model_class"] == ReviewLanguageModel.__name__:
        start = ReviewLanguageModel.from_pretrained(folder)
        model = new_classifier(replace(start.config, **_DROPOUT["classify"]), language, corpora)
        model.reader.load_state_dict(start.reader.state_dict())
        return model
    model = SentimentClassifier.from_pretrained(folder)
    if model.votes is not None:
        raise InputError(f"{folder} has votes: start from the classifier that they were learnt beside.")
    if model.config.class_names != class_names(corpora):
        raise InputError("The classifier to start from knows other classes than these data sets have.")
    model.config = replace(model.config, temperature=1.0)
    return model


def finish(model: SentimentClassifier, tokenizer, corpora: Sequence[Corpus], out: Path) -> None:
    """Calibrate on the dev sets, save, and print the dev loss and figures."""
    temperature, loss = calibrate(model, tokenizer, corpora)
    print(f"dev loss {loss:.4f} at temperature {temperature}")
    model.config = replace(model.config, temperature=temperature)
    save(tokenizer, out, model)
    print(dev_scores(model, tokenizer, corpora, calibration=True))
