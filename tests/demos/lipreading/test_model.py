"""The networks: what must not matter does not, and they can learn."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.errors import InputError, ModelError
from demos.lipreading.augment import Augmentation, augment, fill_margins
from demos.lipreading.data import Clip
from demos.lipreading.evaluate import dev_scores
from demos.lipreading.examples import Examples, collate, splice
from demos.lipreading.model import FrameEncoder, Lipreader, LipreaderConfig, normalise, pad_clips, together
from demos.lipreading.train import Apprentice, clip_loss, new_sentence_reader, sentence_loss
from tests.demos.lipreading.conftest import SMALL


def model(readout: str = "ctc", **settings) -> Lipreader:
    torch.manual_seed(1)
    config = LipreaderConfig(("", "a", "b", "c"), readout, **{"height": 12, "width": 20, **SMALL, **settings})
    return Lipreader(config).eval()


@pytest.mark.parametrize("readout", ["ctc", "clip"])
def test_padding_changes_nothing(readout):
    clips = [torch.rand(n, 12, 20) for n in (9, 4, 6)]
    network = model(readout)
    batch, lengths = pad_clips(clips)
    padded = network(normalise(batch * 255, lengths), lengths)
    for i, clip in enumerate(clips):
        one, length = pad_clips([clip])
        alone = network(normalise(one * 255, length), length)
        assert torch.allclose(padded.frames[i, : len(clip)], alone.frames[0], atol=1e-4)
        assert padded.attention[i].sum().item() == pytest.approx(1, abs=1e-5)
        assert (padded.attention[i, len(clip) :] == 0).all()


def test_a_mirrored_reader_says_the_same_of_a_clip_and_its_mirror_image():
    network = model("clip", mirrored=True)
    clips, lengths = pad_clips([torch.rand(n, 12, 20) for n in (9, 4)])
    logits = network(clips, lengths).logits
    assert torch.allclose(logits, network(clips.flip(3), lengths).logits, atol=1e-5)
    assert not torch.allclose(logits, model("clip")(clips, lengths).logits, atol=1e-5)


def test_a_reader_of_moved_clips_takes_the_mean_of_three():
    network, plain = model("ctc", moved=1), model("ctc")
    clips, lengths = pad_clips([torch.rand(6, 12, 20)])
    moved = [clips, clips.roll(1, 2), clips.roll(-1, 2)]
    mean = torch.stack([plain(c, lengths).logits for c in moved]).mean(0)
    assert torch.allclose(network(clips, lengths).logits, mean, atol=1e-5)


@pytest.mark.parametrize("readout", ["ctc", "clip"])
def test_a_network_made_ready_for_inference_says_the_same(readout):
    torch.manual_seed(3)
    members = [model(readout, moved=1).train() for _ in range(2)]
    clips, lengths = pad_clips([torch.randn(9, 12, 20), torch.randn(6, 12, 20)])
    for member in members:
        member(clips, lengths)  # batch norms of their own
    network = together([member.eval() for member in members])
    with torch.inference_mode():
        before = network(clips, lengths)
        after = network.for_inference()(clips, lengths)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one[0], other[0], atol=1e-4, rtol=1e-4)


def test_a_committee_says_the_mean_of_its_members_and_survives_saving(tmp_path):
    first, second = model("clip", mirrored=True), model("clip", mirrored=True, depth=2)
    torch.nn.init.normal_(second.classes.weight)
    committee = together([first, second])
    clips, lengths = pad_clips([torch.rand(n, 12, 20) for n in (9, 4)])
    expected = (first(clips, lengths).logits + second(clips, lengths).logits) / 2
    assert torch.allclose(committee(clips, lengths).logits, expected, atol=1e-5)
    committee.save_pretrained(tmp_path, half=False)
    assert torch.equal(Lipreader.from_pretrained(tmp_path)(clips, lengths).logits, committee(clips, lengths).logits)


def test_a_lower_temperature_makes_surer_answers_and_changes_none():
    warm, cold = model("clip").eval(), model("clip", temperature=0.5).eval()
    cold.load_state_dict(warm.state_dict())
    clips, lengths = pad_clips([torch.rand(n, 12, 20) for n in (9, 4)])
    torch.testing.assert_close(cold(clips, lengths).logits, 2 * warm(clips, lengths).logits)
    torch.testing.assert_close(cold(clips, lengths).attention, warm(clips, lengths).attention)


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(InputError, match="temperature"):
        model("clip", temperature=0.0)


def test_only_the_first_of_a_committee_sees_moved_clips():
    torch.manual_seed(4)
    first, second = model(moved=1).eval(), model().eval()
    clips, lengths = pad_clips([torch.randn(6, 12, 20)])
    with torch.no_grad():
        together_ = together([first, second])(clips, lengths).logits
        apart = torch.stack([first(clips, lengths).logits, second(clips, lengths).logits]).mean(0)
    torch.testing.assert_close(together_, apart)


def test_a_committee_of_networks_that_differ_is_refused():
    for members in ([model("clip"), model("ctc")], [together([model("clip")] * 2)] * 2):
        with pytest.raises(ModelError, match="config"):
            together(members)


def test_a_spliced_clip_goes_on_as_the_other_one():
    first = Clip(
        "a", np.zeros((10, 2, 2), np.uint8), ("set", "red", "now"), ((1, 3), (3, 6), (7, 9)), "s", np.zeros((10, 4))
    )
    other = Clip(
        "b", np.ones((12, 2, 2), np.uint8), ("lay", "blue", "soon"), ((2, 5), (6, 8), (8, 11)), "s", np.ones((12, 4))
    )
    made = {}
    for seed in range(20):
        torch.manual_seed(seed)
        clip = splice(first, other)
        made[clip.words] = clip
        assert (clip.sound == clip.frames[:, :1, 0]).all()
        for number, (begin, end) in enumerate(clip.spans):
            own = clip.words[number] in first.words
            assert (clip.frames[begin:end] == (0 if own else 1)).all()
            assert end <= len(clip.frames)
    assert set(made) == {("set", "red", "soon"), ("set", "blue", "soon")}
    assert made["set", "blue", "soon"].spans == ((1, 3), (3, 5), (5, 8))
    stranger = Clip("c", other.frames, other.words, other.spans, "t")
    assert splice(first, stranger) is first


def test_a_frame_sees_its_neighbours_and_no_further():
    encoder = FrameEncoder(model().config).eval()
    clip = torch.rand(1, 9, 12, 20, requires_grad=True)
    encoder(clip, torch.tensor([9]))[0, 4].sum().backward()
    seen = clip.grad.abs().sum((0, 2, 3)) > 0
    assert seen.tolist() == [False, False, True, True, True, True, True, False, False]


def test_the_light_does_not_matter():
    clip, lengths = torch.rand(1, 5, 12, 20) * 100 + 50, torch.tensor([5])
    assert torch.allclose(normalise(clip, lengths), normalise(clip * 1.0 + 30, lengths), atol=1e-4)
    assert normalise(torch.full((1, 5, 12, 20), 90.0), lengths).abs().max() < 1e-3


def test_the_first_loss_is_that_of_not_knowing():
    network = new_sentence_reader(**SMALL)
    frames = torch.randint(0, 255, (20, 48, 80), dtype=torch.uint8)
    clip = Clip("x", frames.numpy(), ("bin", "blue"), ((2, 8), (8, 15)))
    batch = collate([Examples([clip], network.config.vocabulary, Augmentation())[0]] * 4)
    figures = sentence_loss(Apprentice(network), batch, None).figures
    assert figures["frames"] == pytest.approx(np.log(52), abs=0.4)


def moving_bars(direction: int, count: int = 10) -> np.ndarray:
    """(T, 12, 20): a bright bar that moves to one side; a single frame does not tell which."""
    frames = np.full((count, 12, 20), 60, np.uint8)
    for i in range(count):
        place = (i * 2 if direction > 0 else 18 - i * 2) % 20
        frames[i, :, place : place + 2] = 220
    return frames


def test_a_toy_set_is_learnt_and_motion_is_seen():
    network = model("clip", dropout=0.0).train()
    clips = [Clip(f"{i}/words/1/1", moving_bars(d), (w,)) for i, (d, w) in enumerate([(1, "a"), (-1, "b")])]
    examples = Examples(clips, network.config.vocabulary, Augmentation(0, 0, 0, 0, 0, 0, 0, 0))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    batch = collate([examples[0], examples[1]])
    for _ in range(60):
        loss = clip_loss(Apprentice(network), batch, None, smoothing=0.0).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2
    assert dev_scores(network.eval(), clips)["all"] == 1.0


def test_sentences_are_learnt_in_their_order():
    network = model("ctc", dropout=0.0).train()
    right, left = moving_bars(1), moving_bars(-1)
    clips = [
        Clip("1", np.concatenate([right, left]), ("a", "b"), ((0, 10), (10, 20))),
        Clip("2", np.concatenate([left, right]), ("b", "a"), ((0, 10), (10, 20))),
    ]
    examples = Examples(clips, network.config.vocabulary, Augmentation(0, 0, 0, 0, 0, 0, 0, 0))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    batch = collate([examples[0], examples[1]])
    for _ in range(120):
        loss = sentence_loss(Apprentice(network), batch, None).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert dev_scores(network.eval(), clips)["1 - wer"] == 1.0


def test_a_reader_learns_to_tell_what_would_be_heard_and_keeps_no_layer_for_it():
    network = model("ctc", dropout=0.0).train()
    apprentice = Apprentice(network, sound_features=2)
    sound = np.linspace(-1, 1, 20).reshape(10, 2)
    clips = [
        Clip("1", moving_bars(1), ("a",), ((0, 10),), sound=sound),
        Clip("2", moving_bars(-1), ("b",), ((0, 10),), sound=-sound),
    ]
    examples = Examples(clips, network.config.vocabulary, Augmentation(0, 0, 0, 0, 0, 0, 0, 0))
    batch = collate([examples[0], examples[1]])
    optimizer = torch.optim.Adam(apprentice.parameters(), 0.01)
    errors = []
    for _ in range(100):
        loss = sentence_loss(apprentice, batch, None)
        errors.append(loss.figures["sound"])
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    assert errors[-1] < 0.2 * errors[0]
    assert not any("sound" in name for name in network.state_dict())


def test_what_is_heard_moves_with_the_frames():
    frames = np.arange(40, dtype=np.uint8).reshape(40, 1, 1) * np.ones((1, 12, 20), np.uint8)
    clip = Clip("x", frames, ("a",), ((3, 20),), sound=np.arange(40.0).reshape(40, 1))
    shown, spoken, _, sound = Examples([clip], ("", "a"), Augmentation(light=0, hide=0))[0]
    assert torch.allclose(shown.mean((1, 2)), sound[:, 0], atol=0.5)
    assert torch.equal(spoken == 1, (sound[:, 0] >= 3) & (sound[:, 0] < 20))


def test_gaps_show_the_mean_frame_for_moments_only():
    clip = torch.arange(50, dtype=torch.uint8).view(50, 1, 1).expand(50, 12, 20).contiguous()
    how = Augmentation(0, 0, 0, 0, 0, 0, 0, 0, gaps=2, gap=3)
    counts = []
    for seed in range(20):
        changed, _ = augment(clip, how, torch.Generator().manual_seed(seed))
        hidden = (changed - clip.float()).abs().amax((1, 2)) > 0.6
        assert torch.allclose(changed[hidden], torch.full((), 24.5), atol=0.1)
        counts.append(int(hidden.sum()))
    assert 0 < max(counts) <= 12


def test_no_augmentation_leaves_the_clip_as_it_is():
    clip = torch.randint(0, 255, (7, 12, 20), dtype=torch.uint8)
    changed, source = augment(clip, Augmentation(0, 0, 0, 0, 0, 0, 0, 0))
    assert source.tolist() == list(range(7))
    assert torch.allclose(changed, clip.float(), atol=0.1)


def test_augmentation_keeps_what_is_said_with_the_frames():
    clip = torch.arange(40, dtype=torch.uint8).view(40, 1, 1).expand(40, 12, 20).contiguous()
    generator = torch.Generator().manual_seed(3)
    for _ in range(20):
        changed, source = augment(clip, Augmentation(light=0, hide=0), generator)
        assert 30 <= len(changed) == len(source) <= 50
        assert torch.allclose(changed.mean((1, 2)), source.float(), atol=0.5)
        assert (source.diff() >= 0).all()


def test_even_margins_are_filled_with_the_nearest_rows():
    clip = torch.randint(0, 255, (3, 10, 20), dtype=torch.uint8)
    padded = clip.clone()
    padded[:, :2], padded[:, 8:] = 70, 70
    filled = fill_margins(padded)
    assert torch.equal(filled[:, 2:8], clip[:, 2:8])
    assert torch.equal(filled[:, 0], clip[:, 2])
    assert torch.equal(filled[:, 9], clip[:, 7])
    assert torch.equal(fill_margins(torch.full((2, 10, 20), 70)), torch.full((2, 10, 20), 70))


def test_a_mirrored_clip_is_another_picture_of_the_same_word():
    clip = torch.zeros(2, 12, 20, dtype=torch.uint8)
    clip[:, :, :5] = 200
    how = Augmentation(0, 0, 0, 0, 0, 0, 0, mirror=1.0)
    assert torch.allclose(augment(clip, how)[0], clip.flip(2).float(), atol=0.1)


def test_gradients_reach_every_weight():
    network = model("ctc").train()
    batch, lengths = pad_clips([torch.randn(8, 12, 20), torch.randn(6, 12, 20)])
    reading = network(batch, lengths)
    loss = F.cross_entropy(reading.frames.flatten(0, 1), torch.ones(16, dtype=torch.long)) + reading.logits.sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_imagenet_blocks_may_look_at_the_frames_instead():
    network = model("ctc", imagenet="efficientnet_lite0", height=48, width=80).train()
    batch, lengths = pad_clips([torch.randn(5, 48, 80), torch.randn(3, 48, 80)])
    reading = network(batch, lengths)
    assert reading.logits.shape == (2, 5, 4)
    reading.logits.sum().backward()
    first = next(network.encoder.convolutions.parameters())
    assert first.grad.abs().sum() > 0
