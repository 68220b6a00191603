"""The recipe on eight drawn shapes: each stage learns what it is for, and nothing else changes."""

import copy
import gzip
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from core.checkpoint import load_tokenizer
from core.decoding.search import greedy_search
from core.input.tokenizers import BOS, EOS, PAD, encode, pad
from core.training.loop import TrainingConfig
from demos.captioning.__main__ import main
from demos.captioning.data import CAPTIONS_PER_PHOTO, CaptionedStems, Collate
from demos.captioning.model import Captioner
from demos.captioning.ranking import WEIGHTS
from demos.captioning.train import (
    SelfCriticalLoss,
    cross_entropy,
    reward_of,
    sample_captions,
    teacher_loss,
    train_language,
    train_on_photos,
)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return copy.deepcopy(module.state_dict())


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    """Names of the tensors that are not bit for bit what they were."""
    return {name for name, tensor in module.state_dict().items() if not torch.equal(tensor, before[name])}


def greedy_captions(model: Captioner, tokenizer, stem_maps: Tensor) -> list[str]:
    model.eval()
    with torch.inference_mode():
        memory, _ = model.memory(stem_maps)
    found = greedy_search(model.decoder, memory, max_length=6)
    return [tokenizer.decode(caption.tokens, skip_special_tokens=True) for caption in found]


@pytest.fixture
def batch(captioner, collections, tokenizer) -> dict[str, Tensor]:
    """All eight photos, whole and unmirrored, with five captions each."""
    stems = CaptionedStems(collections.photos[0]["dev"], collections.stems(0, "dev", captioner).map, tokenizer)
    return Collate(len(tokenizer), crop=False)([stems[row] for row in range(8)])


# --- the command line --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(toys, tmp_path_factory):
    """The three stages, each from the one before, at the shipped decoder's size. Folder of their outputs."""
    folder = tmp_path_factory.mktemp("runs")
    common = ["--data", str(toys), "--cache", str(folder / "cache"), "--precision", "no"]
    with gzip.open(folder / "captions.txt.gz", "wt") as file:
        file.write("A red square .\nA yellow circle .\nA purple elephant .\n" * 128)

    def stage(name: str, *arguments: str) -> None:
        assert main(["train", name, *common, "--out", str(folder / name), *arguments]) == 0

    stage("language", "--encoder", "efficientnet_lite0", "--text", str(folder / "captions.txt.gz"))
    small = ("--batch-size", "2")
    start = str(folder / "language" / "best")
    stage("teacher", "--start", start, "--epochs", "2", "--learning-rate", "0.003", *small)
    stage("self-critical", "--start", str(folder / "teacher" / "best"), "--epochs", "1", *small)
    yield folder
    shutil.rmtree(folder)  # half a gigabyte of optimiser states


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_stages_log_their_figures(runs):
    teacher = [record for record in read_log(runs / "teacher") if "loss" in record]
    assert [record["step"] for record in teacher] == [20, 40]  # forty photos, two at a time, twice
    for figure in ("loss", "captions", "words"):
        assert teacher[1][figure] < 0.9 * teacher[0][figure]
    judged = [record["dev"] for record in read_log(runs / "teacher") if "dev" in record]
    assert [list(dev) for dev in judged] == [["CIDEr", "BLEU-4", "ROUGE-L"]] * 2
    (critical,) = [record for record in read_log(runs / "self-critical") if "loss" in record]
    assert 0 <= critical["reward"] <= 10
    for stage in ("teacher", "self-critical"):
        with Image.open(runs / stage / "curve.png") as curve:
            assert min(curve.size) > 200


def test_the_ranking_is_chosen_and_the_weights_stay(runs, toys, tmp_path):
    start, out = runs / "teacher" / "best", tmp_path / "ranked"
    arguments = ["--data", str(toys), "--start", str(start), "--out", str(out)]
    assert main(["train", "ranking", *arguments, "--test-size", "200"]) == 0
    before, ranked = Captioner.from_pretrained(start), Captioner.from_pretrained(out / "best")
    assert set(asdict(ranked.config.ranking).values()) <= set(WEIGHTS)
    assert (before.config.test_size, ranked.config.test_size) == (None, 200)
    assert not changed(ranked, before.state_dict())
    assert load_tokenizer(out / "best").get_vocab() == load_tokenizer(start).get_vocab()


def test_photos_can_be_seen_anew_each_time(runs, toys, tmp_path):
    """With five times the photos, since they are never twice the same; the cache serves the dev photos alone."""
    start, cache = runs / "teacher" / "best", tmp_path / "cache"
    fresh = ("--fresh", "--start", str(start), "--epochs", "1", "--learning-rate", "0.002", "--batch-size", "4")
    arguments = ["--data", str(toys), "--cache", str(cache), "--precision", "no", "--out", str(tmp_path), *fresh]
    assert main(["train", "teacher", *arguments]) == 0
    assert len(list(cache.glob("*.npy"))) == 1
    figures = [record["dev"]["CIDEr"] for folder in (runs / "teacher", tmp_path) for record in read_log(folder)[-1:]]
    assert figures[1] > 0.8 * figures[0]


@pytest.mark.parametrize("stage", ["average", "ranking"])
def test_a_stage_that_needs_a_checkpoint_says_so(stage, toys, tmp_path, capsys):
    assert main(["train", stage, "--data", str(toys), "--out", str(tmp_path)]) == 2
    assert "--start" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["language", "teacher", "self-critical"])
def test_each_stage_leaves_a_checkpoint_that_answers_the_same_after_saving(runs, stage, batch, tmp_path):
    model, tokenizer = Captioner.from_pretrained(runs / stage / "best"), load_tokenizer(runs / stage / "best")
    assert (model.config.encoder, model.config.vocab_size) == ("efficientnet_lite0", len(tokenizer))
    model.save_pretrained(tmp_path, half=False)
    again = Captioner.from_pretrained(tmp_path)
    with torch.inference_mode():
        found, repeated = (
            greedy_search(network.decoder, network.memory(batch["stem_maps"])[0], max_length=6)
            for network in (model, again)
        )
    assert found == repeated


def test_the_language_stage_touches_the_decoder_only_and_self_criticism_not_the_tail(runs):
    language, teacher, critical = (
        Captioner.from_pretrained(runs / stage / "best") for stage in ("language", "teacher", "self-critical")
    )
    imagenet = language.encoder.tail.state_dict()
    for name, tensor in language.tail.state_dict().items():
        assert torch.equal(tensor, imagenet[name].half().to(tensor.dtype))  # as a checkpoint keeps it
    assert changed(teacher.tail, snapshot(language.tail))
    assert not changed(critical.tail, snapshot(teacher.tail))
    assert changed(critical.decoder, snapshot(teacher.decoder))


def test_resuming_a_finished_stage_trains_no_further(runs, toys):
    before = (runs / "teacher" / "log.jsonl").read_text()
    arguments = ["--data", str(toys), "--cache", str(runs / "cache"), "--precision", "no", "--batch-size", "2"]
    arguments += ["--start", str(runs / "language" / "best"), "--epochs", "2", "--out", str(runs / "teacher")]
    assert main(["train", "teacher", *arguments, "--resume"]) == 0
    assert (runs / "teacher" / "log.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["language"], "name a file with --text"),
        (["teacher", "--batch-size", "41"], "smaller batch size"),
    ],
)
def test_a_stage_that_lacks_something_says_so(toys, collections, tmp_path, capsys, arguments, message):
    places = ["--data", str(toys), "--cache", str(collections.cache_folder), "--out", str(tmp_path / "out")]
    assert main(["train", *arguments, *places, "--precision", "no", "--encoder", "efficientnet_lite0"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_a_folder_without_captions_is_named(tmp_path, capsys):
    assert main(["train", "teacher", "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert f"{tmp_path} holds neither" in capsys.readouterr().err


# --- the stages, with a small decoder ----------------------------------------------------------------------------


def test_language_stage_learns_word_order_in_the_decoder_alone(captioner, tokenizer, tmp_path):
    text = tmp_path / "captions.txt"
    text.write_text("\n".join(["A red square .", "A yellow circle ."] * 128 + ["A purple elephant ."] * 300))
    right, wrong = (pad(encode(tokenizer, [caption] * 2)) for caption in ("a red square", "square red a"))
    encoder, before = snapshot(captioner.encoder), snapshot(captioner)
    config = TrainingConfig(epochs=25, learning_rate=0.02, warmup_steps=3)
    train_language(captioner, tokenizer, text, config, tmp_path / "out", resume=False)
    captioner.eval()
    with torch.inference_mode():
        losses = [cross_entropy(captioner(None, tokens)[0], tokens, smoothing=0).item() for tokens in (right, wrong)]
    assert losses[0] < 0.5  # ln 2 for the colour, nothing for the other three
    assert losses[1] > 2
    assert {name.partition(".")[0] for name in changed(captioner, before)} == {"decoder"}
    assert not changed(captioner.encoder, encoder)
    saved = Captioner.from_pretrained(tmp_path / "out" / "best")
    assert not changed(saved.decoder, captioner.decoder.half().float().state_dict())


def test_teacher_forcing_recites_the_toy_set_with_a_frozen_cnn(captioner, collections, tokenizer, batch, tmp_path):
    expected = [f"a {photo.path.stem.replace('_', ' ')}" for photo in collections.photos[0]["dev"]]
    assert greedy_captions(captioner, tokenizer, batch["stem_maps"]) != expected
    encoder, tail = snapshot(captioner.encoder), snapshot(captioner.tail)
    config = TrainingConfig(epochs=12, learning_rate=0.01, warmup_steps=10, weight_decay=0.01, patience=99)
    records = train_on_photos(
        captioner, tokenizer, collections, teacher_loss, config, tmp_path, False, batch_size=8, tail_rate=0.0
    )
    assert greedy_captions(captioner, tokenizer, batch["stem_maps"]) == expected
    with torch.inference_mode():
        logits, words = captioner(batch["stem_maps"], batch["tokens"])
    assert cross_entropy(logits, batch["tokens"], smoothing=0).item() < 0.3
    assert torch.equal(words > 0, batch["words"] > 0)  # the words of each photo, detected
    cider = [record["dev"]["CIDEr"] for record in records if "dev" in record]
    assert max(cider) > 300 > cider[0]
    assert not changed(captioner.encoder, encoder)
    assert not changed(captioner.tail, tail)

    best = Captioner.from_pretrained(tmp_path / "best")
    assert greedy_captions(best, tokenizer, batch["stem_maps"]) == expected


def test_fine_tuning_moves_the_tail_but_no_statistics_and_not_the_stem(captioner, collections, tokenizer, tmp_path):
    encoder, before = snapshot(captioner.encoder), snapshot(captioner)
    config = TrainingConfig(epochs=1, learning_rate=0.01, warmup_steps=1)
    train_on_photos(
        captioner, tokenizer, collections, teacher_loss, config, tmp_path, False, batch_size=20, tail_rate=0.1
    )
    moved = changed(captioner, before)
    parameters = {name for name, parameter in captioner.named_parameters() if not name.startswith("encoder.")}
    assert moved == parameters  # every one of them, and no buffer: batch norm keeps ImageNet's statistics
    assert any("running_mean" in name for name in before if name.startswith("tail."))
    assert not changed(captioner.encoder, encoder)


# --- self-critical training --------------------------------------------------------------------------------------


class Share:
    """A reward that can be checked by hand: the share of a caption's tokens that are the wanted one."""

    def __init__(self, wanted: int | None, offset: float = 0.0):
        self.wanted, self.offset = wanted, offset

    def score(self, captions: list[tuple[int, ...]], photos: list[int]) -> np.ndarray:
        self.captions, self.photos = captions, photos
        shares = [caption.count(self.wanted) / len(caption) for caption in captions]
        self.rewards = torch.tensor(shares).view(-1, CAPTIONS_PER_PHOTO)
        return np.array(shares) + self.offset


def criticise(model: Captioner, batch: dict[str, Tensor], reward: Share) -> Tensor:
    """The loss for the samples that seed 0 draws, and its gradient on the model."""
    torch.manual_seed(0)
    model.zero_grad()
    value = SelfCriticalLoss(reward)(model.train(), batch, None).value
    value.backward()
    return value.detach()


def test_samples_and_photos_that_are_rewarded(captioner, batch):
    reward = Share(4)
    batch["photos"] += 30
    criticise(captioner, batch, reward)
    assert reward.photos == [photo for photo in range(30, 38) for _ in range(CAPTIONS_PER_PHOTO)]
    assert len(reward.captions) == len(reward.photos)
    for caption in reward.captions:
        assert not {PAD, BOS} & set(caption)
        assert EOS not in caption[:-1]  # it ends a caption, and is rewarded with it
    assert sum(caption[-1] == EOS for caption in reward.captions) > 20


def test_advantages_of_a_photo_sum_to_zero(captioner, batch):
    """So a reward that all samples get teaches nothing, and only differences count."""
    assert criticise(captioner, batch, Share(None, offset=7.0)) == 0
    assert all(p.grad.abs().max() == 0 for p in captioner.parameters() if p.grad is not None)
    wanted = batch["tokens"][0, 2].item()
    plain, shifted = (criticise(captioner, batch, Share(wanted, offset)) for offset in (0.0, 7.0))
    assert plain != 0
    torch.testing.assert_close(plain, shifted, atol=1e-5, rtol=1e-4)


def test_a_step_makes_better_samples_likelier_than_worse_ones(captioner, batch):
    reward = Share(batch["tokens"][0, 2].item())
    criticise(captioner, batch, reward)
    tokens = pad([[BOS, *caption] for caption in reward.captions])
    advantage = (reward.rewards - reward.rewards.mean(1, keepdim=True)).flatten()

    def agreement() -> float:
        """Sum of advantage times log-probability over the samples."""
        captioner.eval()
        with torch.inference_mode():
            logits, _ = captioner(batch["stem_maps"], tokens)
        logprobs = logits[:, :-1].log_softmax(2).gather(2, tokens[:, 1:].unsqueeze(2)).squeeze(2)
        return (advantage * (logprobs * (tokens[:, 1:] != PAD)).sum(1)).sum().item()

    before = agreement()
    with torch.no_grad():
        for parameter in captioner.parameters():
            if parameter.grad is not None:
                parameter -= 0.5 * parameter.grad
    assert agreement() > before


def test_self_critical_training_raises_its_reward(captioner, batch, tokenizer):
    """From random captions to captions full of the wanted word."""
    reward = Share(tokenizer.convert_tokens_to_ids("yellow"))
    optimizer = torch.optim.Adam(captioner.decoder.parameters(), lr=0.01)
    shares = []
    for step in range(8):
        torch.manual_seed(step)
        loss = SelfCriticalLoss(reward)(captioner.train(), batch, None)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        shares.append(loss.figures["reward"])
    assert shares[0] < 0.2
    assert np.mean(shares[-3:]) > 0.5


def test_sampling_keeps_the_mode_and_draws_five_captions_a_photo(captioner, batch):
    for mode in (True, False):
        captioner.train(mode)
        tokens = sample_captions(captioner, batch["stem_maps"])
        assert captioner.training is mode
        assert len(tokens) == 8 * CAPTIONS_PER_PHOTO
        assert (tokens[:, 0] == BOS).all()


def test_the_reward_knows_the_photos_in_training_order(collections, tokenizer):
    reward = reward_of(collections, tokenizer)
    photos = collections.photos[0]["train"]
    own = [tuple(encode(tokenizer, photo.captions[:1])[0][1:]) for photo in photos]
    scores = reward.score(own, range(len(photos)))
    assert scores == pytest.approx([10.0] * len(photos), abs=1e-6)  # the reference itself
    assert (reward.score(own[1:] + own[:1], range(len(photos))) < 8).all()
    assert (reward.score([caption[:-1] for caption in own], range(len(photos))) < 9).all()  # no <eos>
