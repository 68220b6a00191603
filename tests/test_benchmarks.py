from collections.abc import Callable

import gradio
import pytest
import torch

from benchmarks.peers import (
    Peer,
    answer,
    blip_base_config,
    build_blip,
    build_blip_vqa,
    build_vit_gpt2,
    caption,
    vit_gpt2_config,
)

CHEETAH = gradio.media.get_image("cheetah1.jpg")


def tiny_blip(build: Callable[..., Peer] = build_blip) -> Peer:
    config = blip_base_config()
    for part in (config.vision_config, config.text_config):
        part.hidden_size, part.intermediate_size, part.num_hidden_layers = 24, 32, 1
    config.vision_config.image_size = 32
    config.text_config.encoder_hidden_size = 24
    return build(config)


def tiny_vit_gpt2() -> Peer:
    config = vit_gpt2_config()
    config.encoder.hidden_size, config.encoder.intermediate_size, config.encoder.num_hidden_layers = 24, 32, 1
    config.encoder.image_size = 32
    config.decoder.n_embd, config.decoder.n_layer = 24, 1
    return build_vit_gpt2(config)


@pytest.mark.parametrize("build", [tiny_blip, tiny_vit_gpt2])
@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_caption_has_exactly_the_tokens_asked_for(build: Callable[[], Peer], num_beams: int) -> None:
    torch.manual_seed(0)
    peer = build()
    assert {parameter.dtype for parameter in peer.model.parameters()} == {torch.float32}
    for num_tokens in (4, 12):
        tokens = caption(peer, CHEETAH, num_tokens, num_beams)
        assert tokens.shape == (1 + num_tokens,)  # the prompt is one token
        end = {102} if peer.model.config.model_type == "blip" else {50256}
        assert not end & set(tokens[1:-1].tolist())


def test_an_answer_has_exactly_the_tokens_asked_for() -> None:
    torch.manual_seed(0)
    question = torch.randint(1000, 20_000, (1, 8))
    for num_tokens in (1, 4):
        tokens = answer(tiny_blip(build_blip_vqa), CHEETAH, question, num_tokens)
        assert tokens.shape == (1 + num_tokens,)  # the start is one token


@pytest.mark.parametrize(
    ("build", "size", "parameters"),
    [(build_blip, 384, 223_971_644), (build_blip_vqa, 384, 361_230_140), (build_vit_gpt2, 224, 239_195_904)],
)
def test_size_is_that_of_the_published_model(build: Callable[[], Peer], size: int, parameters: int) -> None:
    with torch.device("meta"):  # shapes without memory
        peer = build()
    assert sum(parameter.numel() for parameter in peer.model.parameters()) == parameters
    with torch.inference_mode():
        pixels = peer.processor(images=torch.zeros(3, 50, 70, dtype=torch.uint8), return_tensors="pt")
    assert pixels["pixel_values"].shape == (1, 3, size, size)
