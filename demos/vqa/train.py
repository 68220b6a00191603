"""The recipe of the VQA network: from parts of the captioner, on people's and generated questions.

`python -m demos.vqa train --help` gives the exact command behind the shipped checkpoint.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate.utils import set_seed
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader
from transformers import PreTrainedTokenizerFast

from core.checkpoint import checkpoint_folder, load_tokenizer, read_tensors
from core.errors import InputError, check_number
from core.input.tokenizers import PAD, UNK, train_word_tokenizer
from core.networks.decoder import DecoderConfig
from core.serving.command_line import given
from core.training.augmentation import FreshStemMaps
from core.training.captioned_photos import read_collection
from core.training.feature_cache import stem_cache
from core.training.loop import Loss, TrainingConfig, best_precision, train
from demos.vqa.data import (
    PER_PHOTO,
    Collate,
    Question,
    QuestionedPhotos,
    balanced,
    generated_questions,
    read_daquar,
    read_yes_no,
)
from demos.vqa.evaluate import Look, dev_scores
from demos.vqa.frequent import FrequentAnswers
from demos.vqa.model import VQA, VQAConfig
from demos.vqa.text import mirror, normalise, normalise_answer
from demos.vqa.train_evidence import CONFIG as EVIDENCE
from demos.vqa.train_evidence import Regression, describe, read_described, word_loader, word_loss, word_score
from demos.vqa.train_frequent import (
    CONFIG,
    WholeStemMaps,
    adapted,
    answer_classes,
    class_accuracy,
    class_loader,
    class_loss,
    see,
    thin,
)

TYPE_WEIGHT = 0.1
SMOOTHING = 0.05
DEV_GENERATED = 1500  # of the dev photos' generated questions are answered after each epoch


def vqa_loss(model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
    """Label-smoothed cross-entropy of the answers' tokens, and the cross-entropy of the questions' types."""
    logits, types = model(batch["stem_maps"], batch["questions"], batch["answers"][:, :-1], batch["seen"])
    answers = nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), batch["answers"][:, 1:].flatten(),
        ignore_index=PAD, label_smoothing=SMOOTHING,
    )  # fmt: skip
    kinds = nn.functional.cross_entropy(types.float(), batch["types"])
    return Loss(answers + TYPE_WEIGHT * kinds, {"answers": answers.item(), "types": kinds.item()})


@dataclass(frozen=True)
class QuestionSet:
    """Questions about one collection's photos, and where the photos lie."""

    questions: dict[str, list[Question]]  # by split
    paths: dict[str, list[Path]]  # all photos of each split

    def look(self, split: str, model: VQA, folder: Path) -> Look:
        """Stem maps of a split's photos as a visitor's are, computed once and kept in `folder`."""
        paths = self.paths[split]
        row_of = {path: row for row, path in enumerate(paths)}
        cache = stem_cache(paths, model.encoder, folder, model.config.photo_size)
        return lambda photo: cache.map(row_of[photo])


def read_set(root: Path, phrasings: int, splits: Sequence[str] = ("train", "dev")) -> QuestionSet:
    """A folder of DAQUAR, COCO or Flickr8k. Training photos get each generated question in several phrasings."""
    if (root / "all_qa_pairs.txt").exists():
        questions = {split: found for split, found in read_daquar(root).items() if split in splits}
        return QuestionSet(questions, {s: list(dict.fromkeys(q.photo for q in qs)) for s, qs in questions.items()})
    collection = read_collection(root)
    questions = {s: generated_questions(collection[s]) for s in splits if s != "train"}
    if "train" in splits:
        questions["train"] = generated_questions(collection["train"], phrasings=phrasings, statements=True)
    if (root / "vqa_yes_no.train.tsv").exists():
        human = read_yes_no(root)
        human["train"] = balanced(human["train"])
        questions = {split: [*human[split], *found] for split, found in questions.items()}
    return QuestionSet(questions, {split: [photo.path for photo in collection[split]] for split in splits})


def new_model(
    questions: Sequence[Question], captioner: Path | str, min_count: int
) -> tuple[VQA, PreTrainedTokenizerFast]:
    """An untrained network and its tokenizer, with what the captioner has learnt about photos and words."""
    known = load_tokenizer(captioner).get_vocab()
    texts = [normalise(q.question) for q in questions] + [normalise_answer(a) for q in questions for a in q.answers]
    tokenizer = train_word_tokenizer([*texts, *[" ".join(list(known)[UNK + 1 :])] * min_count], min_count)
    config = VQAConfig(len(tokenizer), decoder=DecoderConfig(len(tokenizer), num_layers=1, dropout=0.4))
    model = VQA(config)
    start_from_captioner(model, tokenizer, captioner)
    return model, tokenizer


@torch.no_grad()
def start_from_captioner(model: VQA, tokenizer: PreTrainedTokenizerFast, captioner: Path | str) -> None:
    """Copy the captioner's CNN tail, memory, word detector and word embeddings."""
    for name in ("tail", "to_memory", "normalise"):
        tensors = read_tensors(captioner, f"{name}.")
        getattr(model, name).load_state_dict({k: t.float() if t.is_floating_point() else t for k, t in tensors.items()})
    model.place.copy_(read_tensors(captioner, "place")[""].flatten(0, 1))
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


@torch.no_grad()
def take_in(model: VQA, tokenizer: PreTrainedTokenizerFast, word: str, like: str) -> PreTrainedTokenizerFast:
    """The tokenizer with a new word in the place of its last one, the rarest; in `model` it starts as `like` is.

    Raises InputError when the word is known or `like` is not.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = content["model"]["vocab"]
    if word in vocabulary or like not in vocabulary:
        raise InputError(f"--word {word} {like}: the first has to be new to the network, the second one known.")
    rarest = max(vocabulary, key=vocabulary.get)
    token, known = vocabulary.pop(rarest), vocabulary[like]
    vocabulary[word] = token
    for rows in (model.decoder.embedding.weight, model.decoder.bias):
        rows[token] = rows[known]
    model.detector_word[token] = model.config.detected_words
    grown = Tokenizer.from_str(json.dumps(content))
    return PreTrainedTokenizerFast(tokenizer_object=grown, **tokenizer.special_tokens_map)


def save(tokenizer: PreTrainedTokenizerFast, folder: Path, model: VQA, eight_bits: bool = False) -> None:
    """A checkpoint in `folder`/best, ready to ship or to continue from."""
    model.save_pretrained(folder / "best", eight_bits=eight_bits)
    tokenizer.save_pretrained(folder / "best")


def training_loader(
    sets: Sequence[QuestionSet],
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    options: argparse.Namespace,
) -> DataLoader:
    """Batches over the training photos of all sets; those of set n come `options.repeats[n]` times an epoch."""
    stem_map, photos = FreshStemMaps(model.config.encoder), []
    for one, times in zip(sets, options.repeats, strict=True):
        photos += [QuestionedPhotos(one.questions["train"], stem_map, tokenizer)] * times
    collate = Collate(mirror(tokenizer), options.blind, options.per_photo)
    return DataLoader(ConcatDataset(photos), options.batch_size, shuffle=True, drop_last=True, collate_fn=collate)


def teach_classes(
    model: VQA,
    tokenizer: PreTrainedTokenizerFast,
    sets: Sequence[QuestionSet],
    config: TrainingConfig,
    options: argparse.Namespace,
) -> None:
    """The last stage: the network stays, and gets classes for frequent answers."""
    thinned = [{split: thin(found, options.seed) for split, found in one.questions.items()} for one in sets]
    questions = [q for found in thinned for q in found["train"]]
    model = model.rebuilt("frequent", frequent=answer_classes(questions, tokenizer, options.least))
    settings = given(options, ("wording", "test_size"))
    model.config = replace(model.config, **settings)
    whole = WholeStemMaps(model)
    trained = [see(model, tokenizer, found["train"], whole) for found in thinned]
    model.frequent.adapt(torch.stack([photo.places for found in trained for photo in found[::4]]))
    trained, repeats = adapted(model.frequent, trained), [*options.repeats]
    fresh = FreshStemMaps(model.config.encoder, model.config.test_size)
    for found, views, times in zip(thinned, options.views, options.repeats, strict=True):
        for number in range(views):
            view = see(model, tokenizer, found["train"], partial(fresh, mirrored=number % 2 == 1), number % 2 == 1)
            trained, repeats = trained + adapted(model.frequent, [view]), [*repeats, times]
    dev = [see(model, tokenizer, found["dev"], whole) for found in thinned]
    loader = class_loader(trained, repeats, options.blind)
    evaluate = partial(class_accuracy, dev=adapted(model.frequent, dev))

    def keep(classifier: FrequentAnswers) -> None:
        model.frequent.load_state_dict(classifier.state_dict())  # another object where weights are averaged
        save(tokenizer, options.out, model, eight_bits=True)

    train(model.frequent, loader, class_loss, config, options.out, evaluate, keep, resume=options.resume)


def teach_evidence(
    model: VQA, tokenizer: PreTrainedTokenizerFast, config: TrainingConfig, options: argparse.Namespace
) -> None:
    """The network stays, and learns from captions which words photos speak for."""
    model = model.rebuilt("evidence", evidence=options.only_evidence)
    look = WholeStemMaps(model)
    described = {
        split: describe(model, tokenizer, photos, look) for split, photos in read_described(options.data).items()
    }
    regression = Regression(described["train"])

    def keep(learnt: Regression) -> None:
        learnt.into(model.evidence, described["train"], tokenizer)
        save(tokenizer, options.out, model, eight_bits=True)

    evaluate = partial(word_score, dev=described["dev"])
    loader = word_loader(described["train"])
    train(regression, loader, word_loss, config, options.out, evaluate, keep, resume=options.resume)


# --- command line ------------------------------------------------------------------------------------------------

_RECIPE = """
the shipped checkpoint (the vocabulary was cut after the first stage, as its card says):
  python -m demos.vqa train --data coco daquar flickr8k --repeats 2 4 1 --minutes 50 --out runs/vqa
  python -m demos.vqa train --data coco daquar flickr8k --repeats 2 4 1 --minutes 40 --learning-rate 3e-4
      --start runs/vqa/best --out runs/vqa2
  python -m demos.vqa train --data coco daquar flickr8k --repeats 2 4 1 --minutes 15 --learning-rate 3e-4 --seed 2
      --start runs/vqa2/best --out runs/vqa3
  python -m demos.vqa train --data coco daquar flickr8k --repeats 2 4 1 --minutes 11 --learning-rate 3e-4 --seed 3
      --start runs/vqa3/best --word 0 1 --out runs/vqa4
  python -m demos.vqa train --data coco daquar flickr8k --repeats 2 4 1 --minutes 8 --learning-rate 3e-4 --seed 4
      --start runs/vqa4/best --average 0.99 --warmup-steps 50 --out runs/vqa5
  python -m demos.vqa train --data coco daquar flickr8k --repeats 2 4 1 --minutes 50 --learning-rate 4e-4 --seed 5
      --start runs/vqa5/best --out runs/vqa6
  python -m demos.vqa train --data coco daquar --repeats 1 1 --views 1 4 --start runs/vqa6/best --only-classes
      --wording 0.75 --test-size 288 --out runs/vqa7
  python -m demos.vqa train --data coco flickr8k --start runs/vqa7/best --only-evidence 0.5 --out runs/vqa8
"""
_CONFIG = TrainingConfig(epochs=6, learning_rate=6e-4, weight_decay=0.02, average=0.998, precision="no", patience=4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _RECIPE
    help_text = "folders of DAQUAR, COCO (captions and vqa_yes_no.*.tsv) or Flickr8k"
    parser.add_argument("--data", type=Path, nargs="+", required=True, help=help_text)
    parser.add_argument("--repeats", type=int, nargs="+", help="how often an epoch sees the photos of each folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the curve and the best checkpoint")
    parser.add_argument("--start", type=Path, help="VQA checkpoint to continue from (default: the captioner's parts)")
    help_text = "let --start learn a word in the place of its rarest one; it starts as another does that is known"
    parser.add_argument("--word", nargs=2, metavar=("NEW", "LIKE"), help=help_text)
    help_text = (
        "leave --start as it is and give it classes for frequent answers (4 epochs, learning rate 5e-3, float32, "
        "24 photos a batch: --batch-size, --per-photo and --precision do not count)"
    )
    parser.add_argument("--only-classes", action="store_true", default=None, help=help_text)
    parser.add_argument("--least", type=float, default=3, help="--only-classes: times that an answer has to be given")
    help_text = "--only-classes: share that is taken away of what the wording alone says of yes and no"
    parser.add_argument("--wording", type=float, help=help_text)
    help_text = "--only-classes: random views of the photos of each folder, beside the whole photo (default: one)"
    parser.add_argument("--views", type=int, nargs="+", help=help_text)
    help_text = (
        "leave --start as it is and learn from the captions of --data which words photos speak for (16 epochs); so "
        'many log-odds does "yes" get for each standard deviation'
    )
    parser.add_argument("--only-evidence", type=float, metavar="WEIGHT", help=help_text)
    help_text = "--only-classes: pixels a side at which photos are seen from now on"
    parser.add_argument("--test-size", type=int, help=help_text)
    parser.add_argument("--captioner", help="captioner to start from (default: the repository's own)")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in --out")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder for the dev photos' stem maps")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--minutes", type=float, help="train for so long, however many epochs that makes")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--batch-size", type=int, default=32, help="photos")
    parser.add_argument("--per-photo", type=int, default=PER_PHOTO, help="questions about each photo of a batch")
    parser.add_argument("--average", type=float, help="decay of the moving average of the weights; 0: none")
    parser.add_argument("--warmup-steps", type=int)
    parser.add_argument("--blind", type=float, default=0.15, help="share of photos that the network may not see")
    parser.add_argument("--phrasings", type=int, default=2, help="ways to ask for each generated answer")
    parser.add_argument("--min-count", type=int, default=3, help="rarer words are unknown")
    parser.add_argument("--precision", choices=["auto", "no", "bf16"], default="auto")
    parser.add_argument("--seed", type=int, default=1)


def check_stage(options: argparse.Namespace) -> None:
    """Raises InputError where the options of one stage do not go together."""
    late = [f"--{name.replace('_', '-')}" for name in given(options, ("only_classes", "only_evidence"))]
    if len(late) > 1:
        raise InputError(f"{' and '.join(late)} are a stage each: leave one out.")
    if late and not options.start:
        raise InputError(f"{late[0]} needs a network that answers: name its checkpoint with --start.")
    if late and options.word:
        raise InputError(f"{late[0]} leaves the network as it is, which can then learn no --word: leave one out.")
    if options.only_evidence is not None:
        check_number("--only-evidence", options.only_evidence, 0.01, 10)


def main(options: argparse.Namespace) -> None:
    """Train, and keep the checkpoint that does best on the dev questions."""
    options.repeats = options.repeats or [1] * len(options.data)
    options.views = options.views or [1] * len(options.data)
    check_stage(options)
    for name in ("repeats", "views"):
        if len(getattr(options, name)) != len(options.data):
            raise InputError(f"--{name} needs one number for each of the {len(options.data)} folders.")
    set_seed(options.seed)
    chosen = given(options, ("epochs", "minutes", "learning_rate", "average", "warmup_steps"))
    if options.only_evidence is not None:
        model, tokenizer = VQA.from_pretrained(options.start), load_tokenizer(options.start)
        teach_evidence(model, tokenizer, replace(EVIDENCE, seed=options.seed, **chosen), options)
        return
    sets = [read_set(root, options.phrasings) for root in options.data]
    if options.start:
        model, tokenizer = VQA.from_pretrained(options.start), load_tokenizer(options.start)
    else:
        questions = [q for one in sets for q in one.questions["train"]]
        model, tokenizer = new_model(questions, options.captioner or checkpoint_folder("captioning"), options.min_count)
    if options.only_classes:
        teach_classes(model, tokenizer, sets, replace(CONFIG, seed=options.seed, **chosen), options)
        return
    if model.config.frequent:  # they are for the network as it was
        model = model.rebuilt("frequent", frequent=())
    if options.word:
        tokenizer = take_in(model, tokenizer, *options.word)
    loader = training_loader(sets, model, tokenizer, options)
    precision = best_precision() if options.precision == "auto" else options.precision
    config = replace(_CONFIG, seed=options.seed, precision=precision, **chosen)
    judged = [one for one in sets if any(q.source != "generated" for q in one.questions["dev"])] or sets
    dev = [(one.questions["dev"], one.look("dev", model, options.cache)) for one in judged]
    evaluate = partial(dev_scores, tokenizer=tokenizer, sets=dev, generated=DEV_GENERATED)
    parameters = [{"params": [p for p in model.parameters() if p.requires_grad]}]
    train(
        model, loader, vqa_loss, config, options.out, evaluate, partial(save, tokenizer, options.out), parameters,
        options.resume,
    )  # fmt: skip
