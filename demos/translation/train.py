"""The stages of the translator's recipe: a network for all directions, its backward decoder, and how both rank.

python -m demos.translation train --recipe recipes/translation.toml --data DATA
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from core.checkpoint import load_tokenizer
from core.decoding import rerank
from core.decoding.hypothesis import Hypothesis
from core.errors import InputError
from core.input.tokenizers import BOS, PAD, UNK, train_bpe_tokenizer
from core.metrics import bleu
from core.networks.decoder import DecoderConfig
from core.training.loop import Loss, TrainingConfig, train
from core.training.losses import next_token_loss
from core.training.recipes import StageRun
from demos.translation.back_translation import translate_captions, unused_captions
from demos.translation.data import COPY, PAIRS, TAGS, Rounds, SentencePair, multi30k_pairs, read_tatoeba
from demos.translation.evaluate import Sets, backward_scores, dev_scores, multi30k_sets, tatoeba_sets
from demos.translation.languages import Languages, learn_languages, load_languages, save_languages
from demos.translation.model import COPIES_DECIDE, Translator, TranslatorConfig, with_config
from demos.translation.predict import TranslationOptions, TranslationPredictor


class TranslationLoss:
    """Label-smoothed cross-entropy of the target; some of the words that the decoder reads are hidden (word dropout).

    A decoder that cannot rely on its last word has to look at the source (Bowman et al. 2016; Gal & Ghahramani 2016).
    `backward` teaches the decoder that writes from right to left.
    """

    def __init__(self, smoothing: float = 0.1, word_dropout: float = 0.05, backward: bool = False):
        self.smoothing, self.word_dropout, self.backward = smoothing, word_dropout, backward

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
        """{"source": (B, S), "target": (B, T)} -> Loss, a mean over target tokens"""
        target = right_to_left(batch["target"]) if self.backward else batch["target"]
        read = target[:, :-1]
        hidden = torch.rand(read.shape, device=read.device) < self.word_dropout
        logits = model(batch["source"], read.masked_fill(hidden & (read != BOS), UNK), self.backward)
        return Loss(next_token_loss(logits, target, self.smoothing))


def right_to_left(target: Tensor) -> Tensor:
    """(B, T) targets from <bos> to <eos>, padded at the end -> the same with the words between in reverse order."""
    last = (target != PAD).sum(1, keepdim=True) - 1  # place of <eos>
    place = torch.arange(target.size(1), device=target.device).expand_as(target)
    inside = (place > 0) & (place < last)
    return target.gather(1, torch.where(inside, last - place, place))


def new_translator(
    pairs: Sequence[SentencePair], vocab_size: int, dropout: float
) -> tuple[Translator, PreTrainedTokenizerFast]:
    """An untrained model, and the tokenizer of the training sentences; every distinct one counts once."""
    texts = sorted({text for pair in pairs for text in (pair.text, pair.translation)})
    tokenizer = train_bpe_tokenizer(texts, vocab_size, tags=TAGS, placeholder=COPY)
    decoder = DecoderConfig(len(tokenizer), heads=4, dropout=dropout)
    return Translator(TranslatorConfig(len(tokenizer), PAIRS, dropout=dropout, decoder=decoder)), tokenizer


def for_backward(model: Translator, languages: Sequence[str]) -> Translator:
    """The same network with a decoder that writes `languages` from right to left, all that there is to train."""
    model = with_config(model, backward=tuple(languages)).requires_grad_(False)
    model.backward.requires_grad_(True)
    model.decoder.embedding.requires_grad_(False)  # both decoders share it
    return model


def save(tokenizer: PreTrainedTokenizerFast, languages: Languages, folder: Path, model: Translator) -> None:
    """A checkpoint in `folder`, ready to ship or to start from."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_languages(languages, folder)


# --- stages ------------------------------------------------------------------------------------------------------


TRAINING = TrainingConfig(learning_rate=2e-3, warmup_steps=500, average=0.998, patience=40)


@dataclass(frozen=True)
class TranslatorStage:
    """Teaches the network all directions, or a decoder that writes from right to left."""

    multi30k: str = "multi30k"
    tatoeba: str = "tatoeba/fra.txt.gz"  # "": none
    captions: str = ""  # a stage of kind "captions"; its translations are learnt from, too
    start: str = ""  # a stage or a checkpoint; "": an untrained network
    backward: tuple[str, ...] = ()  # teach only a decoder for these languages; all else stays as it is
    directions: tuple[str, ...] = ()  # such as "fr-en"; (): all
    round_pairs: tuple[int, int, int] = (36000, 20000, 14000)  # of each corpus between two evaluations
    batch_tokens: int = 1536  # of the targets
    vocab_size: int = 8000
    dropout: float = 0.3
    dev_sentences: int = 200  # per direction, to choose the best by
    training: TrainingConfig = TRAINING

    def run(self, stage: StageRun) -> None:
        """Raises InputError when no sentence pair is left to learn from."""
        corpora = [multi30k_pairs(stage.dataset(self.multi30k), "train")]
        sets = multi30k_sets(stage.dataset(self.multi30k), "dev")
        tatoeba = read_tatoeba(stage.dataset(self.tatoeba)) if self.tatoeba else None
        corpora.append(tatoeba.pairs() if tatoeba else [])
        sets |= tatoeba_sets(tatoeba, "dev") if tatoeba else {}
        corpora.append(multi30k_pairs(Path(stage.checkpoint(self.captions)), "captions") if self.captions else [])
        everything = [pair for corpus in corpora for pair in corpus]
        set_seed(self.training.seed)
        start = stage.best if stage.resume and stage.best.is_dir() else self.start and stage.checkpoint(self.start)
        if start:
            model, tokenizer = Translator.from_pretrained(start), load_tokenizer(start)
            decoder = replace(model.config.decoder, dropout=self.dropout)
            model = with_config(model, dropout=self.dropout, decoder=decoder)
        else:
            model, tokenizer = new_translator(everything, self.vocab_size, self.dropout)
        if self.backward:
            model, languages = for_backward(model, self.backward), load_languages(start, len(tokenizer))
        else:
            languages = learn_languages(tokenizer, everything)
        chosen = [[pair for pair in corpus if self.teaches(pair.source, pair.target)] for corpus in corpora]
        kept = [(corpus, share) for corpus, share in zip(chosen, self.round_pairs, strict=True) if corpus and share]
        if not kept:
            raise InputError("No sentence pair is of the languages named: choose other directions or round_pairs.")
        rounds = Rounds(*zip(*kept, strict=True), tokenizer, self.batch_tokens, seed=self.training.seed)
        sets = {name: items[: self.dev_sentences] for name, items in sets.items() if self.teaches(*name[2])}
        scores = backward_scores if self.backward else dev_scores
        train(
            model,
            DataLoader(rounds, batch_size=1, collate_fn=itemgetter(0)),  # an item is a batch already
            TranslationLoss(backward=bool(self.backward)),
            self.training,
            stage.folder,
            partial(scores, tokenizer=tokenizer, languages=languages, sets=sets),
            partial(save, tokenizer, languages, stage.best),
            resume=stage.resume,
        )

    def teaches(self, source: str, target: str) -> bool:
        """Whether a direction is among those to learn."""
        named = not self.directions or f"{source}-{target}" in self.directions
        return named and (not self.backward or target in self.backward)


@dataclass(frozen=True)
class CaptionsStage:
    """Translates Flickr8k's captions, to learn from: see demos.translation.back_translation."""

    start: str = "translator"
    flickr8k: str = "flickr8k"
    multi30k: str = "multi30k"
    languages: tuple[str, ...] = ("fr", "de")
    n_best: int = 1  # translations of each caption
    limit: int = 1_000_000  # captions

    def run(self, stage: StageRun) -> None:
        """Leaves captions.en, captions.fr, ... where other stages leave a checkpoint."""
        captions = unused_captions(stage.dataset(self.flickr8k), stage.dataset(self.multi30k))[: self.limit]
        predictor = TranslationPredictor.from_pretrained(stage.checkpoint(self.start))
        translate_captions(predictor, captions, self.languages, self.n_best, stage.best)


@dataclass(frozen=True)
class RerankStage:
    """Chooses the weights of the scores by which translations are ranked, for the mean BLEU on dev."""

    start: str = "backward"
    multi30k: str = "multi30k"
    tatoeba: str = "tatoeba/fra.txt.gz"  # "": none
    dev_sentences: int = 300  # per direction
    channel: tuple[float, ...] = (0.0, 0.1, 0.2, 0.25, 0.3, 0.5)
    backward: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.5)

    def run(self, stage: StageRun) -> None:
        """The same network, with its weights in the config."""
        start = stage.checkpoint(self.start)
        model, tokenizer = Translator.from_pretrained(start), load_tokenizer(start)
        languages = load_languages(start, len(tokenizer))
        sets = multi30k_sets(stage.dataset(self.multi30k), "dev")
        sets |= tatoeba_sets(read_tatoeba(stage.dataset(self.tatoeba)), "dev") if self.tatoeba else {}
        sets = {name: items[: self.dev_sentences] for name, items in sets.items()}
        grid = [{"copies": (COPIES_DECIDE,)}, {"channel": self.channel}, {"backward": self.backward}]
        weights = tune_rerank(model, tokenizer, languages, sets, grid)
        print(f"weights {weights}", flush=True)
        save(tokenizer, languages, stage.best, with_config(model, rerank=tuple(weights.items())))


def tune_rerank(
    model: Translator,
    tokenizer: PreTrainedTokenizerFast,
    languages: Languages,
    sets: Sets,
    grid: Sequence[dict[str, tuple[float, ...]]],
) -> dict[str, float]:
    """The weights of the grid with the highest mean BLEU over the sets, of which texts of one sentence are used."""
    names = tuple((name, 0.0) for group in grid for name in group)
    predictor = TranslationPredictor(with_config(model, rerank=names), tokenizer, languages)
    read = [(name, item, predictor.read(item.text, *name[2])) for name, items in sets.items() for item in items]
    single = [(name, item, text[0][0]) for name, item, text in read if len(text) == len(text[0]) == 1]
    found = predictor.search([sentence for _, _, sentence in single], TranslationOptions())
    used = [(*each, hypotheses) for each, hypotheses in zip(single, found, strict=True) if hypotheses]
    texts = [{h.tokens: predictor.translation(s, h).text for h in hypotheses} for _, _, s, hypotheses in used]

    def quality(best: list[Hypothesis]) -> float:
        chosen = [known[hypothesis.tokens] for known, hypothesis in zip(texts, best, strict=True)]
        scores = []
        for name in sets:
            here = [(text, item.references) for text, (of, item, _, _) in zip(chosen, used, strict=True) if of == name]
            scores.append(bleu(*zip(*here, strict=True)).value)
        return sum(scores) / len(scores)

    return rerank.tune([hypotheses for *_, hypotheses in used], quality, grid)


STAGES = {"translator": TranslatorStage, "captions": CaptionsStage, "rerank": RerankStage}
