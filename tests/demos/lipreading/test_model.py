"""The networks: what must not matter does not, and they can learn."""

import pytest
import torch
from torch.nn import functional as F

from core.errors import InputError, ModelError
from demos.lipreading.model import FrameEncoder, Lipreader, ensemble_of, normalise, pad_clips
from tests.demos.lipreading.conftest import small_lipreader as model


@pytest.mark.parametrize("readout", ["ctc", "clip"])
def test_padding_changes_nothing(readout):
    clips = [torch.rand(n, 12, 20) for n in (9, 4, 6)]
    network = model(readout)
    batch, lengths = pad_clips(clips)
    padded = network(normalise(batch * 255, lengths), lengths)
    for i, clip in enumerate(clips):
        one, length = pad_clips([clip])
        alone = network(normalise(one * 255, length), length)
        assert torch.allclose(padded.frame_logits[i, : len(clip)], alone.frame_logits[0], atol=1e-4)
        assert padded.attention[i].sum().item() == pytest.approx(1, abs=1e-5)
        assert (padded.attention[i, len(clip) :] == 0).all()


def test_a_mirrored_lipreader_says_the_same_of_a_clip_and_its_mirror_image():
    network = model("clip", mirrored=True)
    clips, lengths = pad_clips([torch.rand(n, 12, 20) for n in (9, 4)])
    logits = network(clips, lengths).logits
    assert torch.allclose(logits, network(clips.flip(3), lengths).logits, atol=1e-5)
    assert not torch.allclose(logits, model("clip")(clips, lengths).logits, atol=1e-5)


@pytest.mark.parametrize("readout", ["ctc", "clip"])
def test_a_network_made_ready_for_inference_says_the_same(readout):
    torch.manual_seed(3)
    networks = [model(readout, mirrored=True).train() for _ in range(2)]
    clips, lengths = pad_clips([torch.randn(9, 12, 20), torch.randn(6, 12, 20)])
    for network in networks:
        network(clips, lengths)  # batch norms of their own
    network = ensemble_of([network.eval() for network in networks])
    with torch.inference_mode():
        before = network(clips, lengths)
        after = network.for_inference()(clips, lengths)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one[0], other[0], atol=1e-4, rtol=1e-4)


def test_an_ensemble_says_the_mean_of_its_networks_and_survives_saving(tmp_path):
    first, second = model("clip", mirrored=True), model("clip", mirrored=True, depth=2)
    torch.nn.init.normal_(second.classes.weight)
    ensemble = ensemble_of([first, second])
    clips, lengths = pad_clips([torch.rand(n, 12, 20) for n in (9, 4)])
    expected = (first(clips, lengths).logits + second(clips, lengths).logits) / 2
    assert torch.allclose(ensemble(clips, lengths).logits, expected, atol=1e-5)
    ensemble.save_pretrained(tmp_path, half=False)
    assert torch.equal(Lipreader.from_pretrained(tmp_path)(clips, lengths).logits, ensemble(clips, lengths).logits)


def test_a_lower_temperature_makes_surer_answers_and_changes_none():
    warm, cold = model("clip").eval(), model("clip", temperature=0.5).eval()
    cold.load_state_dict(warm.state_dict())
    clips, lengths = pad_clips([torch.rand(n, 12, 20) for n in (9, 4)])
    torch.testing.assert_close(cold(clips, lengths).logits, 2 * warm(clips, lengths).logits)
    torch.testing.assert_close(cold(clips, lengths).attention, warm(clips, lengths).attention)


def test_a_temperature_of_nothing_is_refused():
    with pytest.raises(InputError, match="temperature"):
        model("clip", temperature=0.0)


def test_what_was_made_fast_for_inference_is_not_saved(tmp_path):
    with pytest.raises(ModelError, match="can no longer be saved"):
        model().for_inference().save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_settings_of_an_ensemble_are_its_own():
    ensemble = ensemble_of([model("clip")] * 2, temperature=0.5)
    clips, lengths = pad_clips([torch.rand(9, 12, 20)])
    torch.testing.assert_close(ensemble(clips, lengths).logits, 2 * model("clip")(clips, lengths).logits)


def test_an_ensemble_of_networks_that_differ_is_refused():
    for networks in ([model("clip"), model("ctc")], [ensemble_of([model("clip")] * 2)] * 2):
        with pytest.raises(ModelError, match="config"):
            ensemble_of(networks)


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


def test_gradients_reach_every_weight():
    network = model("ctc").train()
    batch, lengths = pad_clips([torch.randn(8, 12, 20), torch.randn(6, 12, 20)])
    output = network(batch, lengths)
    loss = F.cross_entropy(output.frame_logits.flatten(0, 1), torch.ones(16, dtype=torch.long)) + output.logits.sum()
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_imagenet_blocks_may_look_at_the_frames_instead():
    network = model("ctc", imagenet="efficientnet_lite0", height=48, width=80).train()
    batch, lengths = pad_clips([torch.randn(5, 48, 80), torch.randn(3, 48, 80)])
    output = network(batch, lengths)
    assert output.logits.shape == (2, 5, 4)
    output.logits.sum().backward()
    first = next(network.encoder.convolutions.parameters())
    assert first.grad.abs().sum() > 0
