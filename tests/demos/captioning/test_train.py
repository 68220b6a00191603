"""Each kind of stage, with a small decoder on eight drawn shapes, learns what it is for, and nothing else changes."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from core.decoding.search import greedy_search
from core.input.tokenizers import BOS, EOS, PAD, encode, pad
from core.training.loop import TrainingConfig
from core.training.losses import next_token_loss
from core.training.recipes import StageRun
from demos.captioning.data import CAPTIONS_PER_PHOTO, CaptionedStems, Collate
from demos.captioning.model import Captioner
from demos.captioning.train import Language, SelfCriticalLoss, Teacher, reward_of, sample_captions


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


# --- the stages ----------------------------------------------------------------------------------------------------


def stage_in(folder: Path) -> StageRun:
    return StageRun(folder, folder, folder)


def test_language_stage_learns_word_order_in_the_decoder_alone(captioner, tokenizer, tmp_path):
    (tmp_path / "captions.txt").write_text(
        "\n".join(["A red square .", "A yellow circle ."] * 128 + ["A purple elephant ."] * 300)
    )
    right, wrong = (pad(encode(tokenizer, [caption] * 2)) for caption in ("a red square", "square red a"))
    encoder, before = snapshot(captioner.encoder), snapshot(captioner)
    config = TrainingConfig(epochs=25, learning_rate=0.02, warmup_steps=3)
    Language(text="captions.txt", training=config).train_network(captioner, tokenizer, stage_in(tmp_path))
    captioner.eval()
    with torch.inference_mode():
        losses = [next_token_loss(captioner(None, tokens)[0], tokens).item() for tokens in (right, wrong)]
    assert losses[0] < 0.5  # ln 2 for the colour, nothing for the other three
    assert losses[1] > 2
    assert {name.partition(".")[0] for name in changed(captioner, before)} == {"decoder"}
    assert not changed(captioner.encoder, encoder)
    saved = Captioner.from_pretrained(tmp_path / "best")
    assert not changed(saved.decoder, captioner.decoder.half().float().state_dict())


def test_teacher_forcing_recites_the_toy_set_with_a_frozen_cnn(captioner, collections, tokenizer, batch, tmp_path):
    expected = [f"a {photo.path.stem.replace('_', ' ')}" for photo in collections.photos[0]["dev"]]
    assert greedy_captions(captioner, tokenizer, batch["stem_maps"]) != expected
    encoder, tail = snapshot(captioner.encoder), snapshot(captioner.tail)
    config = TrainingConfig(epochs=12, learning_rate=0.01, warmup_steps=10, weight_decay=0.01, patience=99)
    stage = Teacher(batch_size=8, tail_rate=0.0, training=config)
    records = stage.train_network(captioner, tokenizer, collections, stage_in(tmp_path))
    assert greedy_captions(captioner, tokenizer, batch["stem_maps"]) == expected
    with torch.inference_mode():
        logits, words = captioner(batch["stem_maps"], batch["tokens"])
    assert next_token_loss(logits, batch["tokens"]).item() < 0.3
    assert torch.equal(words > 0, batch["words"] > 0)  # the words of each photo, detected
    cider = [record["dev"]["CIDEr"] for record in records if "dev" in record]
    assert max(cider) > 300 > cider[0]
    assert not changed(captioner.encoder, encoder)
    assert not changed(captioner.tail, tail)

    best = Captioner.from_pretrained(tmp_path / "best")
    assert greedy_captions(best, tokenizer, batch["stem_maps"]) == expected


def test_fine_tuning_moves_the_tail_but_no_statistics_and_not_the_stem(captioner, collections, tokenizer, tmp_path):
    encoder, before = snapshot(captioner.encoder), snapshot(captioner)
    stage = Teacher(batch_size=20, training=TrainingConfig(epochs=1, learning_rate=0.01, warmup_steps=1))
    stage.train_network(captioner, tokenizer, collections, stage_in(tmp_path))
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
