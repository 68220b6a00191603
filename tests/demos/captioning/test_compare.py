"""BLIP beside our captioner: a tiny one with random weights, made here, and the ways in which there is none."""

import time
from pathlib import Path

import gradio as gr
import pytest
from huggingface_hub import constants

from core.errors import InputError, ModelError
from core.fast.torchvision_import import import_torchvision
from demos.captioning.compare import BLIP, BlipCaption, caption_with_blip

CHEETAH = gr.media.get_image("cheetah1.jpg")
WORDS = ["a", "cat", "dog", "runs", "sits", "on", "the", "grass"]


@pytest.fixture(scope="module")
def tiny_blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in BLIP's format, with a vocabulary of a dozen words."""
    import_torchvision()
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor, BlipProcessor

    folder = tmp_path_factory.mktemp("blip")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *WORDS]))
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), bos_token="[DEC]")
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = size | {"vocab_size": len(tokenizer), "encoder_hidden_size": 32, "bos_token_id": 5, "sep_token_id": 3}
    config = BlipConfig(text_config=text, vision_config=size | {"image_size": 32, "patch_size": 8})
    BlipForConditionalGeneration(config).save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def test_a_photo_gets_a_caption_and_the_time_it_took(tiny_blip):
    answer = caption_with_blip(CHEETAH, tiny_blip, max_length=6)
    assert isinstance(answer, BlipCaption)
    assert set(answer.text.split()) <= set(WORDS)
    assert answer.seconds > 0


def test_what_is_no_photo_is_refused_before_anything_is_loaded(tmp_path):
    (tmp_path / "notes.jpg").write_text("no photo")
    with pytest.raises(InputError, match="not a photo"):
        caption_with_blip(tmp_path / "notes.jpg", "nobody/has-this")


def test_a_damaged_folder_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match=f"cannot be loaded from {tmp_path}"):
        caption_with_blip(CHEETAH, tmp_path)


def test_without_a_network_it_says_so_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(ModelError, match=f"{BLIP} from the Hugging Face Hub, which cannot be reached"):
        caption_with_blip(CHEETAH)
    assert time.monotonic() - start < 30
