"""Stages of the sentiment networks' recipes, which continue from one another.

language: a language model of the reviews, forwards and backwards, without their labels (Dai and Le 2015).
classify: the classifier, from the language model's embeddings and recurrent weights, or from a classifier.
finish: the mean of classifiers' weights (Wortsman et al. 2022, "model soups"), n-grams beside it, calibration.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
from core.training.loop import Loss, LossFunction, TrainingConfig, average_weights, resolve_precision, train
from core.training.losses import SampledSoftmax
from core.training.recipes import StageRun
from demos.sentiment.contrasts import contrasts
from demos.sentiment.data import Batches, Corpus, Example, read_corpus, stream_chunks, token_ids
from demos.sentiment.evaluate import best_temperature, dev_scores, predict_logits
from demos.sentiment.model import EncoderConfig, ReviewLanguageModel, SentimentClassifier, SentimentConfig
from demos.sentiment.ngrams import train_ngrams

CHUNK = 128  # tokens that a language model reads at a time
NEGATIVES = 1024  # other tokens that the right one is told from
DEV_CHUNKS = 200

_LANGUAGE_TRAINING = TrainingConfig(epochs=5, warmup_steps=100, patience=99)
_CLASSIFIER_TRAINING = TrainingConfig(epochs=4, warmup_steps=100, weight_decay=0.01, average=0.998, patience=2)

# --- language model ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LanguageStage:
    """A language model of the data's training texts, and the tokenizer that it learns with."""

    data: tuple[str, ...] = ()  # folders of SST, IMDB or NSMC; all of one language
    vocab_size: int = 16000  # subwords
    embed_dim: int = 256
    hidden_size: int = 448  # of each direction
    batch_size: int = 64  # chunks
    training: TrainingConfig = _LANGUAGE_TRAINING

    def run(self, stage: StageRun) -> None:
        """Raises InputError when there is too little text."""
        corpora = read_corpora(stage, self.data)
        set_seed(self.training.seed)
        tokenizer = new_tokenizer(corpora, self.vocab_size)
        texts = [e.text for corpus in corpora for e in corpus.train]
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()
        chunks = stream_chunks(token_ids(tokenizer, [texts[i] for i in order], 10**6), CHUNK)
        dev = stream_chunks(token_ids(tokenizer, [e.text for c in corpora for e in c.dev[:300]], 10**6), CHUNK)
        if not len(dev) or len(chunks) < self.batch_size:
            least = f"{self.batch_size} x {CHUNK} tokens"
            raise InputError(f"There are too few texts for a language model: it reads {least} a step.")
        model = ReviewLanguageModel(
            # Few epochs see hardly anything twice: little dropout is enough.
            EncoderConfig(len(tokenizer), self.embed_dim, self.hidden_size,
                          word_dropout=0.0, input_dropout=0.1, weight_dropout=0.0)
        )  # fmt: skip
        frequency = torch.bincount(chunks.flatten(), minlength=len(tokenizer)).float() + 1
        model.bias.data = (frequency / frequency.sum()).log()  # where a model that knows no context would end up
        loader = DataLoader(chunks, self.batch_size, shuffle=True, drop_last=True)
        loss = language_loss(frequency, resolve_precision(self.training.precision))
        evaluate, keep = partial(perplexity, chunks=dev[:DEV_CHUNKS]), partial(save, tokenizer, stage.best)
        train(model, loader, loss, self.training, stage.folder, evaluate, keep, resume=stage.resume)


def language_loss(frequency: Tensor, precision: str) -> LossFunction:
    """Sampled softmax of a ReviewLanguageModel; frequency (V,): of the tokens in the training texts."""
    sampled = SampledSoftmax(frequency, NEGATIVES, torch.bfloat16 if precision == "bf16" else torch.float32)

    def loss(model: nn.Module, batch: Tensor, carry: None) -> Loss:
        vectors, targets = model(batch.long())
        model = getattr(model, "module", model)
        return Loss(sampled(vectors, targets, model.reader.embedding.weight, model.bias))

    return loss


def perplexity(model: ReviewLanguageModel, chunks: Tensor) -> dict[str, float]:
    """Mean log-probability of a token, both directions together, and perplexity; over the whole vocabulary."""
    total, count = 0.0, 0
    for batch in chunks.split(8):
        vectors, targets = model(batch.long())
        total += F.cross_entropy(model.logits(vectors), targets, reduction="sum").item()
        count += len(targets)
    return {"logprob": -total / count, "perplexity": math.exp(total / count)}


# --- classifier --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassifyStage:
    """A classifier of the data's texts, calibrated on their dev sets."""

    data: tuple[str, ...] = ()  # folders of SST, IMDB or NSMC; all of one language
    start: str = ""  # a language model, or a classifier without n-grams
    batch_size: int = 128  # texts
    longest: int = 320  # tokens of a text
    perturbation: float = 0.3  # size of an AdversarialLoss
    contrasts: int = 12_000  # texts made from SST in which "not" and "but" decide
    training: TrainingConfig = _CLASSIFIER_TRAINING

    def run(self, stage: StageRun) -> None:
        """Raises InputError for a start that does not fit the data."""
        corpora = read_corpora(stage, self.data)
        set_seed(self.training.seed)
        start = _start(stage, self.start)
        model, tokenizer = continued(start, corpora), load_tokenizer(start)
        made = [e for c in corpora if c.name == "SST" for e in contrasts(c, "train", self.contrasts)]
        train_classifier(
            model, tokenizer, corpora, self.training, stage.folder, stage.resume, self.batch_size, self.longest,
            self.perturbation, made,
        )  # fmt: skip
        calibrate(SentimentClassifier.from_pretrained(stage.best), tokenizer, corpora, stage.best)


def train_classifier(
    model: SentimentClassifier, tokenizer, corpora: Sequence[Corpus], config: TrainingConfig, folder: Path,
    resume: bool, batch_size: int, longest: int = 320, perturbation: float = 0.0, extra: Sequence[Example] = (),
) -> list[dict]:  # fmt: skip
    """Train on the corpora and `extra` examples, keep the best in `folder`/best, and return the log.

    Texts are cut to `longest` tokens; `perturbation` is the size of an AdversarialLoss.
    """
    examples: list[Example] = [e for c in corpora for e in chain(c.train, c.phrases)] + list(extra)
    ids = token_ids(tokenizer, [e.text for e in examples], longest)
    batches = Batches(ids, [e.classes for e in examples], len(model.config.class_names), batch_size, 32 * longest)
    loader = DataLoader(batches, batch_size=1, shuffle=True, collate_fn=lambda items: items[0])
    evaluate = partial(dev_scores, tokenizer=tokenizer, corpora=corpora)
    loss, keep = AdversarialLoss(perturbation), partial(save, tokenizer, folder / "best")
    return train(model, loader, loss, config, folder, evaluate, keep, resume=resume)


def set_loss(model: nn.Module, batch: dict[str, Tensor], perturbation: Tensor | None = None) -> Tensor:
    """-log of the probability that the class is one of those that the text may belong to, a mean over the texts."""
    logits = model(batch["tokens"], batch["lengths"], perturbation).logits.float()
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

        def adversarial() -> Tensor:  # the gradient of `shift` is there by now
            direction = F.normalize(shift.grad.flatten(1), dim=1, eps=1e-20).view_as(shift)
            return set_loss(model, batch, distance * direction)

        return Loss(set_loss(model, batch, shift), again=adversarial)


def new_classifier(encoder: EncoderConfig, corpora: Sequence[Corpus]) -> SentimentClassifier:
    """An untrained classifier for the classes of the corpora, all of one language."""
    return SentimentClassifier(SentimentConfig(encoder, corpora[0].language, corpora[0].class_names))


def continued(folder: Path | str, corpora: Sequence[Corpus]) -> SentimentClassifier:
    """The classifier in `folder`, or a new one that starts from the language model there.

    Raises InputError for a classifier of other classes, or with n-grams, which belong to its own weights.
    """
    if verify(find_folder(folder))["model_class"] == ReviewLanguageModel.__name__:
        start = ReviewLanguageModel.from_pretrained(folder)
        dropout = {"word_dropout": 0.1, "input_dropout": 0.3, "weight_dropout": 0.3}
        model = new_classifier(replace(start.config, **dropout), corpora)
        model.reader.load_state_dict(start.reader.state_dict())
        return model
    model = SentimentClassifier.from_pretrained(folder)
    if model.votes is not None:
        raise InputError(f"{folder} has n-grams: start from the classifier that they were learnt beside.")
    if model.config.class_names != corpora[0].class_names:
        raise InputError("The classifier to start from knows other classes than these data sets have.")
    model.config = replace(model.config, temperature=1.0)
    return model


# --- finish ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FinishStage:
    """The mean of classifiers of one origin, with n-grams that add to its logits, calibrated on the dev sets."""

    data: tuple[str, ...] = ()  # what the classifiers learnt from
    start: tuple[str, ...] = ()  # classifiers
    ngrams: int = 2**20  # entries of the table of n-grams; 0: none

    def run(self, stage: StageRun) -> None:
        """Raises InputError without a classifier to start from."""
        corpora = read_corpora(stage, self.data)
        folders = [_start(stage, start) for start in self.start or ("",)]
        model, tokenizer = SentimentClassifier.from_pretrained(folders[0]), load_tokenizer(folders[0])
        model = average_weights([model, *map(SentimentClassifier.from_pretrained, folders[1:])])
        if self.ngrams:
            table = train_ngrams(tokenizer, corpora, model.config.max_tokens, self.ngrams)
            model = with_ngrams(model, table, tokenizer, corpora)
        calibrate(model, tokenizer, corpora, stage.best)


def with_ngrams(model: SentimentClassifier, table: Tensor, tokenizer, corpora: Sequence[Corpus]) -> SentimentClassifier:
    """The same classifier with a table of n-grams, times the factor from 0 to 2 with the least loss on the dev sets."""
    both = SentimentClassifier(replace(model.config, votes=len(table))).eval()
    both.load_state_dict(model.state_dict() | {"votes.weight": table})
    texts = [[e.text for e in corpus.dev] for corpus in corpora]
    alone = [predict_logits(model, tokenizer, each) for each in texts]
    added = [predict_logits(both, tokenizer, each) - logits for each, logits in zip(texts, alone, strict=True)]

    def loss(factor: float) -> float:
        logits = [base + factor * ngrams for base, ngrams in zip(alone, added, strict=True)]
        return best_temperature(logits, corpora)[1]

    factor = min((step / 20 for step in range(41)), key=loss)
    print(f"n-grams count {factor:g} of what they learnt to")
    both.votes.weight.data *= factor
    return both


def calibrate(model: SentimentClassifier, tokenizer, corpora: Sequence[Corpus], folder: Path) -> None:
    """Choose the temperature on the dev sets, save into `folder`, and print the dev loss and figures."""
    logits = [predict_logits(model, tokenizer, [e.text for e in corpus.dev]) for corpus in corpora]
    temperature, loss = best_temperature(logits, corpora)
    print(f"dev loss {loss:.4f} at temperature {temperature}")
    model.config = replace(model.config, temperature=temperature)
    save(tokenizer, folder, model)
    print(dev_scores(model, tokenizer, corpora))


# --- what the stages share ---------------------------------------------------------------------------------------


def read_corpora(stage: StageRun, names: Sequence[str]) -> list[Corpus]:
    """The data sets of a stage. Raises InputError for none, and where their languages or classes differ."""
    corpora = [read_corpus(root) for root in stage.datasets(names)]
    if not corpora:
        raise InputError("This stage needs data: name folders of SST, IMDB or NSMC.")
    if len({(corpus.language, corpus.class_names) for corpus in corpora}) > 1:
        raise InputError("These data sets do not have the same classes: train English and Korean apart.")
    return corpora


def _start(stage: StageRun, start: str) -> Path | str:
    if not start:
        raise InputError("This stage continues from a checkpoint: name an earlier stage or a folder as its start.")
    return stage.checkpoint(start)


def new_tokenizer(corpora: Sequence[Corpus], vocab_size: int) -> PreTrainedTokenizerFast:
    """Byte-pair encoding of the training texts; of Korean over jamo, the letters that syllables are made of."""
    korean = corpora[0].language == "korean"
    form = [normalizers.NFKD() if korean else normalizers.NFKC(), normalizers.Lowercase()]
    texts = (e.text for corpus in corpora for e in corpus.train)
    return train_bpe_tokenizer(texts, vocab_size, normalizers.Sequence(form), contractions=not korean)


def save(tokenizer: PreTrainedTokenizerFast, folder: Path, model: nn.Module) -> None:
    """A checkpoint in `folder`, ready to ship or to continue from."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


STAGES = {"language": LanguageStage, "classify": ClassifyStage, "finish": FinishStage}
