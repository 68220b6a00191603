"""How the VQA network is trained (recipes/vqa.toml): the stages of its recipe.

answers   the network itself, from parts of a captioner, on people's and generated questions
classes   an ensemble of classifiers over frequent answers, beside the network as it is
evidence  which words photos speak for, learnt from captions, beside the network as it is
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer, read_tensors
from core.input.tokenizers import UNK, train_word_tokenizer
from core.networks.decoder import DecoderConfig
from core.training.augmentation import FreshStemMaps
from core.training.feature_cache import stem_cache
from core.training.loop import Loss, TrainingConfig, train
from core.training.losses import next_token_loss
from core.training.recipes import StageRun
from demos.vqa.batches import Collate, QuestionedPhotos
from demos.vqa.data import Question, read_training_questions
from demos.vqa.evaluate import StemMap, dev_accuracies
from demos.vqa.model import VQA, VQAConfig
from demos.vqa.text import mirrored_tokens, normalise, normalise_answer
from demos.vqa.train_classes import Classes
from demos.vqa.train_evidence import Evidence

TYPE_WEIGHT = 0.1
SMOOTHING = 0.05


@dataclass(frozen=True)
class Answers:
    """The network itself. Dev's mean accuracy over the sources of questions chooses the epoch."""

    start: str = ""  # captioner whose CNN tail, word detector and embeddings it takes; "": the repository's own
    data: tuple[str, ...] = ("coco",)  # folders of COCO or Flickr8k; an epoch sees one that is named twice twice
    phrasings: int = 2  # ways to ask for each generated answer
    min_count: int = 3  # rarer words are unknown
    batch_size: int = 32  # photos
    per_photo: int = 8  # questions about each photo of a batch
    blind: float = 0.15  # share of photos that are kept from the network
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=6, learning_rate=6e-4, weight_decay=0.02, average=0.998, patience=4
        )
    )

    def run(self, stage: StageRun) -> None:
        """See core.training.recipes.Stage."""
        set_seed(self.training.seed)
        sets = {name: read_training_questions(stage.dataset(name), self.phrasings) for name in self.data}
        captioner = stage.checkpoint(self.start) if self.start else checkpoint_folder("captioning")
        questions = [question for found in sets.values() for question in found["train"]]
        model, tokenizer = new_model(questions, captioner, self.min_count)
        judged = [found["dev"] for found in sets.values()]
        judged = [found for found in judged if any(q.source != "generated" for q in found)] or judged
        dev = [(found, cached_stem_maps(found, model, stage.cache)) for found in judged]
        train(
            model,
            self.loader([sets[name]["train"] for name in self.data], model, tokenizer),
            answer_loss,
            self.training,
            stage.folder,
            partial(dev_accuracies, tokenizer=tokenizer, sets=dev),
            lambda best: (best.save_pretrained(stage.best), tokenizer.save_pretrained(stage.best)),
            [{"params": [p for p in model.parameters() if p.requires_grad]}],
            stage.resume,
        )

    def loader(self, sets: Sequence[Sequence[Question]], model: VQA, tokenizer: PreTrainedTokenizerFast) -> DataLoader:
        """Batches over the photos of all sets."""
        stem_map = FreshStemMaps(model.config.encoder)
        photos = ConcatDataset([QuestionedPhotos(found, stem_map, tokenizer) for found in sets])
        collate = Collate(mirrored_tokens(tokenizer), self.blind, self.per_photo)
        return DataLoader(photos, self.batch_size, shuffle=True, drop_last=True, collate_fn=collate)


STAGES = {"answers": Answers, "classes": Classes, "evidence": Evidence}


def answer_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of the answers' tokens, and the cross-entropy of the questions' types."""
    logits, types = model(batch["stem_maps"], batch["questions"], batch["answers"][:, :-1], batch["visible"])
    answers = next_token_loss(logits, batch["answers"], SMOOTHING)
    kinds = nn.functional.cross_entropy(types.float(), batch["types"])
    return Loss(answers + TYPE_WEIGHT * kinds, {"answers": answers.item(), "types": kinds.item()})


def cached_stem_maps(questions: Sequence[Question], model: VQA, folder: Path) -> StemMap:
    """Stem maps of the photos that are asked about, whole, computed once and kept in `folder`."""
    photos = sorted({question.photo for question in questions})
    row_of = {photo: row for row, photo in enumerate(photos)}
    cache = stem_cache(photos, model.encoder, folder, model.config.photo_size)
    return lambda photo: cache.map(row_of[photo])


def new_model(
    questions: Sequence[Question], captioner: Path | str, min_count: int
) -> tuple[VQA, PreTrainedTokenizerFast]:
    """An untrained network and its tokenizer, with what the captioner has learnt about photos and words."""
    known = load_tokenizer(captioner).get_vocab()
    texts = [normalise(q.question) for q in questions] + [normalise_answer(a) for q in questions for a in q.answers]
    tokenizer = train_word_tokenizer([*texts, *[" ".join(list(known)[UNK + 1 :])] * min_count], min_count)
    model = VQA(VQAConfig(len(tokenizer), decoder=DecoderConfig(len(tokenizer), num_layers=1, dropout=0.4)))
    model.start_from(captioner)
    copy_words(model, tokenizer, captioner)
    return model, tokenizer


@torch.no_grad()
def copy_words(model: VQA, tokenizer: PreTrainedTokenizerFast, captioner: Path | str) -> None:
    """Copy the captioner's word detector and word embeddings."""
    count = model.config.detected_words
    for name, tensor in read_tensors(captioner, "words.logits.").items():
        getattr(model.detector, name).copy_(tensor[:count])
    embedding = read_tensors(captioner, "decoder.embedding.")["weight"].float()
    known = load_tokenizer(captioner).get_vocab()
    for word, token in tokenizer.get_vocab().items():
        if word in known and known[word] > UNK:
            model.decoder.embedding.weight[token] = embedding[known[word]]
            if known[word] < count:
                model.detector_word[token] = known[word]
