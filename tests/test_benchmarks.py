import json
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
from benchmarks.report import DEMOS, QUALITY, ROOT, notes, quality, table

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


PAIR = {"Unrolled": {"p50": 0.1, "p95": 0.2}, "peer": {"p50": 1.0, "p95": 2.0}}
MEASURED = {  # what each benchmark prints with --json
    "captioning": {
        "seconds per photo": {"Unrolled, 10 hypotheses, 5 shown": PAIR["Unrolled"], "BLIP-base, greedy": PAIR["peer"]},
        "photos per second": {"one by one": 10.0, "folder": 14.0},
    },
    "vqa": {"seconds per question": PAIR},
    "translation": {"seconds per sentence": PAIR, "sentences per second": {"Unrolled": 90.0, "peer": 9.0}},
    "sentiment": {
        "one sentence": {"Unrolled": {"p50 ms": 100.0, "p95 ms": 200.0},
            "DistilBERT": {"p50 ms": 1000.0, "p95 ms": 1.0}},
        "sentences per second": {"Unrolled": 900.0, "DistilBERT": 90.0},
    },
    "generation": {"characters_per_second": {"Unrolled": 1000, "modules": 100}},
    "lipreading": {
        "rows": {
            "file to text, words": PAIR["Unrolled"], "our network alone": {"p50": 0.05},
            "network of LipNet's shape alone": {"p50": 0.5},
        }
    },
}  # fmt: skip
APP = {
    "seconds": {"first page": 3.0, "first answer": 8.0}, "import_s": {"app": 2.0},
    "resident_mb": {"page": 200.0, "captioning": 600.0, "vqa": 700.0},
}  # fmt: skip
LOAD = {
    "clients": 50, "minutes": 5.0, "answers": {"/vqa": 10}, "p50_s": 1.0, "p95_s": 2.0,
    "errors": {"queue is full": 3, "other": 2}, "memory_before_mb": 900, "memory_after_mb": 910,
    "temporary_files_after_the_clean_up": 0, "seconds_to_end_during_a_request": 1.5,
}  # fmt: skip


def test_the_report_has_a_line_per_demo_beside_its_peer() -> None:
    lines = table(MEASURED, APP).splitlines()
    assert len(lines) == 2 + len(DEMOS)
    assert len({line.count("|") for line in lines}) == 1
    for demo, line in zip(DEMOS, lines[2:], strict=True):
        assert line.startswith(f"| {demo} |")
        assert "| 0.100 |" in line
        assert line.endswith("| 10.0 |")
    assert "| 400 |" in lines[2]  # megabytes that the captioner added


def test_quality_is_what_the_checkpoints_say(tmp_path) -> None:
    assert set(QUALITY) == set(DEMOS)
    assert all("not measured" in quality(demo, tmp_path) for demo in DEMOS)
    entries = json.loads((ROOT / "checkpoints" / "captioning" / "metrics.json").read_text())["evaluations"]
    ranked = [e for e in entries if (e["data"], e["split"], e.get("rerank")) == ("Flickr8k", "test", True)]
    (bleu,) = [e["BLEU-4"] for e in ranked]  # as the app answers; without the word detector is measured beside it
    assert f"BLEU-4 {bleu:g} (24.4)" in quality("captioning")
    assert "nats 1.4" in quality("generation")


def test_what_the_app_costs_is_told_with_and_without_load() -> None:
    assert "700 MB resident" in notes(APP, None)
    told = notes(APP, LOAD)
    assert "3 times “the queue is full”, 2 other errors" in told
    assert "within 1.5 s of SIGTERM" in told
