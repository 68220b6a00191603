import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from core.decoding.search import Beam, beam_search
from core.input.tokenizers import BOS, encode, pad
from core.networks.encoders import shared_encoder
from demos.captioning.data import CaptionedStems, Collate
from demos.captioning.model import Captioner
from demos.captioning.train import teacher_loss


@pytest.fixture
def batch(captioner, collections, tokenizer) -> dict[str, Tensor]:
    """All eight photos, whole and unmirrored, with five captions each."""
    stems = CaptionedStems(collections.photos[0]["dev"], collections.stems(0, "dev", captioner).map, tokenizer)
    return Collate(len(tokenizer), crop=False)([stems[row] for row in range(8)])


def captions(model: Captioner, stem_maps: Tensor) -> list:
    """All that beam search says, the numbers to the last bit."""
    model.eval()
    with torch.inference_mode():
        memory, _ = model.memory(stem_maps)
    return beam_search(model.decoder, memory, Beam(size=3, max_length=6))


def test_shapes(captioner, batch, tokenizer):
    maps, size = batch["stem_maps"], len(tokenizer)
    memory, words = captioner.memory(maps)
    assert (len(memory), memory.keys.shape[2], words.shape) == (8, 49, (8, size))
    logits, words = captioner(maps, batch["tokens"])
    assert logits.shape == (*batch["tokens"].shape, size)
    assert words.shape == (8, size)
    cropped, _ = captioner.memory(maps[:, :, 1:12, 2:14])
    assert cropped.keys.shape[2] == 6 * 6


def test_captions_of_several_photos_in_one_batch_are_those_of_each_alone(captioner, batch):
    captioner.eval()
    with torch.inference_mode():
        together, words = captioner(batch["stem_maps"], batch["tokens"])
        for n in range(8):
            rows = slice(5 * n, 5 * n + 5)
            alone, own = captioner(batch["stem_maps"][n : n + 1], batch["tokens"][rows])
            torch.testing.assert_close(together[rows], alone, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(words[n : n + 1], own, atol=1e-4, rtol=1e-4)


def test_without_a_photo_it_is_a_language_model(captioner, tokenizer):
    captioner.eval()
    tokens = pad(encode(tokenizer, ["a red circle", "a blue square"]))
    logits, words = captioner(None, tokens)
    assert words is None
    assert logits.shape == (2, 5, len(tokenizer))
    torch.testing.assert_close(logits[1:], captioner(None, tokens[1:])[0])


def test_the_photo_matters(captioner, batch):
    """The place, the grid and the words reach the logits."""
    captioner.eval()
    tokens = torch.full((8, 1), BOS)
    logits, _ = captioner(batch["stem_maps"], tokens)
    assert torch.cdist(logits[:, 0], logits[:, 0]).fill_diagonal_(1).min() > 1e-4


def test_training_mode_leaves_batch_norm_alone(captioner, batch):
    captioner.train()
    norms = [module for module in captioner.modules() if isinstance(module, nn.BatchNorm2d)]
    dropouts = [module for module in (*captioner.decoder.modules(), *captioner.to_memory) if type(module) is nn.Dropout]
    assert norms
    assert not any(module.training for module in norms)
    assert dropouts
    assert all(module.training for module in dropouts)
    assert not any(module.training for module in captioner.eval().modules())


def test_every_trained_parameter_gets_a_gradient_and_the_encoder_none(captioner, batch):
    captioner.train()
    teacher_loss(captioner, batch, None).value.backward()
    for name, parameter in captioner.named_parameters():
        if name.startswith("encoder."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    for part in (captioner.tail, captioner.words, captioner.to_memory, captioner.decoder):
        assert max(parameter.grad.abs().max().item() for parameter in part.parameters()) > 0


def test_a_saved_captioner_answers_bit_for_bit_the_same(captioner, batch, tmp_path):
    maps = batch["stem_maps"]
    with torch.no_grad():
        for parameter in captioner.tail.parameters():
            parameter.mul_(1.01)  # as if fine-tuned
    captioner.save_pretrained(tmp_path / "full", half=False)
    full = Captioner.from_pretrained(tmp_path / "full")
    assert captions(full, maps) == captions(captioner, maps)

    full.save_pretrained(tmp_path / "half")
    half = Captioner.from_pretrained(tmp_path / "half")
    half.save_pretrained(tmp_path / "again")
    again = Captioner.from_pretrained(tmp_path / "again")
    assert captions(again, maps) == captions(half, maps)
    assert captions(half, maps) != captions(full, maps)
    logprobs = [[best[0].logprob for best in captions(model, maps)] for model in (half, full)]
    assert logprobs[0] == pytest.approx(logprobs[1], abs=0.05)


def test_a_checkpoint_holds_the_tail_and_not_the_stem(captioner, tmp_path):
    captioner.save_pretrained(tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert any(name.startswith("tail.") for name in names)
    assert not any(name.startswith("encoder.") for name in names)
    assert Captioner.from_pretrained(tmp_path).encoder is shared_encoder("efficientnet_lite0")
