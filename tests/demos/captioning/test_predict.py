"""The shipped captioner on real photos that pip packages ship."""

import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import gradio.media
import pytest
import torch
from PIL import Image

from core.checkpoint import checkpoint_folder
from core.errors import InputError, ModelError
from core.input.image import load_image
from core.input.tokenizers import EOS
from demos.captioning.model import Captioner
from demos.captioning.predict import CaptioningOptions, CaptioningPredictor, CaptioningResult, get_predictor

CHEETAH, TOWER = (gradio.media.get_image(name) for name in ("cheetah1.jpg", "tower.jpg"))
SKIMAGE = Path(find_spec("skimage").origin).parent / "data"


@pytest.fixture(scope="module")
def predictor() -> CaptioningPredictor:
    return get_predictor()


def test_five_ranked_captions_with_log_probabilities_and_attention(predictor):
    result = predictor(CHEETAH)
    assert len(result.hypotheses) == 5
    assert (result.text, result.logprob) == (result.hypotheses[0].text, result.hypotheses[0].logprob)
    assert len({h.text for h in result.hypotheses}) == 5
    for h in result.hypotheses:
        assert h.text == " ".join(token.text for token in h.tokens[:-1])
        assert h.tokens[-1].text == "<eos>"
        assert h.logprob == pytest.approx(sum(token.logprob for token in h.tokens), abs=1e-3)
        assert h.attention.shape == (len(h.tokens), 9, 9)
        assert h.attention.sum((1, 2)) == pytest.approx(h.photo_share, abs=1e-5)
        assert all(0 <= share <= 1 for share in h.photo_share)


@pytest.mark.parametrize(
    ("photo", "word"),
    [(TOWER, "tower"), (SKIMAGE / "chelsea.png", "cat"), (SKIMAGE / "motorcycle_left.png", "motorcycle")],
    ids=["tower", "cat", "motorcycle"],
)
def test_it_sees_what_is_there(predictor, photo, word):
    assert all(word in h.text.split() for h in predictor(photo).hypotheses[:3])


def test_the_imagenet_head_alone_names_the_animal(predictor):
    labels = predictor.imagenet(CHEETAH)
    assert len(labels) == 5
    assert labels[0][0] == "cheetah"
    assert 0.4 < labels[0][1] < 0.7


def test_the_same_photo_in_any_form_gives_the_same_answer(predictor, tmp_path):
    expected = predictor(CHEETAH)
    with Image.open(CHEETAH) as photo:
        assert predictor(photo).hypotheses == expected.hypotheses
    with open(CHEETAH, "rb") as file:
        content = file.read()
    assert predictor(content).hypotheses == expected.hypotheses
    assert predictor(io.BytesIO(content)).hypotheses == expected.hypotheses


def test_a_wider_beam_never_scores_lower(predictor):
    options = [CaptioningOptions(size, length_penalty=0.0, rerank=False) for size in (1, 3, 10)]
    scores = [predictor(TOWER, option).logprob for option in options]
    assert scores[1] >= scores[0] - 1e-4
    assert scores[2] >= scores[0] - 1e-4


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_without_the_detector_the_log_probability_ranks(predictor, alpha):
    found = predictor(TOWER, CaptioningOptions(length_penalty=alpha, rerank=False)).hypotheses
    assert len(found) == 5
    scores = [h.logprob / len(h.tokens) ** alpha for h in found]
    assert scores == sorted(scores, reverse=True)


def test_the_detector_chooses_among_all_that_was_found(predictor):
    likeliest = [h.text for h in predictor(TOWER, CaptioningOptions(n_best=10, rerank=False)).hypotheses]
    chosen = [h.text for h in predictor(TOWER).hypotheses]
    assert (len(likeliest), len(chosen)) == (10, 5)
    assert set(chosen) <= set(likeliest)
    assert chosen != likeliest[:5]
    (found,) = predictor.search([load_image(TOWER)], CaptioningOptions())
    weights = dict(predictor.model.config.rerank)
    assert set(weights) == {"sure", "seen", "repeated"} == set(found[0].scores)
    best = max(found, key=lambda h: h.score + sum(weight * h.scores[name] for name, weight in weights.items()))
    assert chosen[0] == predictor.tokenizer.decode(best.tokens, skip_special_tokens=True)


def test_the_detector_sees_what_is_there(predictor):
    _, (odds,) = predictor.memory([load_image(TOWER)])
    vocabulary = predictor.tokenizer.get_vocab()
    assert odds[vocabulary["tower"]] > 0 > odds[vocabulary["dog"]]


def test_options_are_obeyed(predictor):
    result = predictor(CHEETAH, CaptioningOptions(n_best=3, max_length=4))
    assert len(result.hypotheses) == 3
    assert len(predictor(CHEETAH, CaptioningOptions(beam_size=2)).hypotheses) == 2  # no more than were found
    assert all(len(h.text.split()) <= 4 for h in result.hypotheses)


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_size": 0}, {"beam_size": 41}, {"n_best": 0}, {"n_best": 41},
        {"beam_size": 2.5}, {"beam_size": True}, {"beam_size": "5"},
        {"length_penalty": -1}, {"length_penalty": float("nan")}, {"max_length": 0}, {"max_length": 10_000},
        {"rerank": 1}, {"rerank": "yes"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_named(wrong):
    (name,) = wrong
    with pytest.raises(InputError, match=name):
        CaptioningOptions(**wrong)


def test_a_stream_equals_one_by_one_and_bad_photos_do_not_disturb_it(predictor, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    names = ("lion.jpg", "bus.png", "tower.jpg")
    photos = [CHEETAH, str(broken), *(gradio.media.get_image(name) for name in names)]
    results = list(predictor.stream(photos, batch_size=3))
    assert isinstance(results[1], InputError)
    for photo, result in zip(photos, results, strict=True):
        if photo != str(broken):
            alone = predictor(photo)
            assert isinstance(result, CaptioningResult)
            assert result.text == alone.text
            assert result.logprob == pytest.approx(alone.logprob, abs=1e-3)


def test_threads_share_the_model_without_mixing(predictor):
    photos = [CHEETAH, TOWER] * 4
    expected = {photo: predictor(photo).text for photo in (CHEETAH, TOWER)}
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda photo: predictor(photo).text, photos))
    assert texts == [expected[photo] for photo in photos]


def test_ranking_prefers_the_caption_that_fits(predictor):
    captions = ["a red bus is driving down a city street", "a cheetah", "a large animal is looking at the camera"]
    ranked = predictor.rank(CHEETAH, captions)
    assert ranked[-1].text == captions[0]
    assert {r.text for r in ranked} == set(captions)


def test_the_log_probability_of_a_typed_caption_is_that_of_search(predictor):
    best = predictor(TOWER).hypotheses[0]
    (ranked,) = predictor.rank(TOWER, [best.text.capitalize() + "."])
    assert ranked.logprob == pytest.approx(best.logprob, abs=0.1)  # the search may be in bfloat16
    assert [t.text for t in ranked.tokens] == [t.text for t in best.tokens]


def test_unknown_words_are_named(predictor):
    (ranked,) = predictor.rank(CHEETAH, ["a xyzzy sits near a plugh"])
    assert ranked.unknown == ("xyzzy", "plugh")


@pytest.mark.parametrize("captions", [[], [""], ["   "], ["!!! ..."], ["x" * 10_000], ["a cat"] * 1000, [None]])
def test_captions_that_cannot_be_ranked_get_a_sentence(predictor, captions):
    with pytest.raises(InputError):
        predictor.rank(CHEETAH, captions)


def test_results_are_plain_json(predictor):
    result = json.loads(json.dumps(predictor(CHEETAH).to_dict()))
    assert set(result) == {"text", "logprob", "hypotheses", "seconds"}
    assert set(result["hypotheses"][0]) == {"text", "logprob", "tokens"}
    assert set(result["hypotheses"][0]["tokens"][0]) == {"text", "logprob"}


def test_a_saved_copy_answers_bit_for_bit_the_same(predictor, tmp_path):
    Captioner.from_pretrained(checkpoint_folder("captioning")).save_pretrained(tmp_path)
    predictor.tokenizer.save_pretrained(tmp_path)
    copy = CaptioningPredictor.from_pretrained(tmp_path)
    assert copy(CHEETAH).hypotheses == predictor(CHEETAH).hypotheses


def test_a_damaged_checkpoint_is_named_with_its_remedy(tmp_path):
    shutil.copytree(checkpoint_folder("captioning"), tmp_path / "captioning")
    weights = tmp_path / "captioning" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    for damage in (content[:1000], bytes(content)):
        weights.write_bytes(damage)
        with pytest.raises(ModelError, match=r"model\.safetensors"):
            CaptioningPredictor.from_pretrained(tmp_path / "captioning")
    weights.unlink()
    with pytest.raises(ModelError, match="missing"):
        CaptioningPredictor.from_pretrained(tmp_path / "captioning")
    with pytest.raises(ModelError, match="nowhere"):
        CaptioningPredictor.from_pretrained(tmp_path / "nowhere")


def test_the_checkpoint_is_small_and_describes_itself():
    folder = checkpoint_folder("captioning")
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 40 * 2**20
    metrics = json.loads((folder / "metrics.json").read_text())
    wanted = {"data", "split", "photos", "CIDEr", "BLEU-4"}
    assert any(wanted <= set(evaluation) for evaluation in metrics["evaluations"])
    assert "Flickr8k" in (folder / "README.md").read_text()


def test_nothing_is_kept_on_the_model_between_requests(predictor):
    before = {name: set(vars(module)) for name, module in predictor.model.named_modules()}
    predictor(CHEETAH)
    assert {name: set(vars(module)) for name, module in predictor.model.named_modules()} == before
    assert not any(p.grad is not None for p in predictor.model.parameters())
    assert predictor.tokenizer.eos_token_id == EOS
    assert not torch.is_inference_mode_enabled()
