"""From a clip to words: Python and command line, with small untrained networks."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from core.errors import InputError, ModelError
from core.input.video import Video, load_video
from demos.lipreading.__main__ import main
from demos.lipreading.animator import speak
from demos.lipreading.figures import shown_words, time_line
from demos.lipreading.predict import (
    LipreadingOptions,
    LipreadingPredictor,
    decode,
    grid_grammar,
    moving_part,
)
from tests.demos.lipreading.conftest import person


@pytest.fixture(scope="module")
def predictor(untrained) -> LipreadingPredictor:
    return LipreadingPredictor.from_pretrained(untrained)


def test_a_word_with_its_alternatives(predictor, clip_file):
    result = predictor(clip_file)
    assert result.text in ("yes", "no", "well done")
    assert result.hypotheses[0].text == result.text
    assert sum(np.exp(h.logprob) for h in result.hypotheses) == pytest.approx(1, abs=1e-4)
    assert len(result.frames) == len(result.posteriors) == len(result.crops.mouths)
    left, top, right, bottom = result.frames[0]["box"]
    assert 0 < left < right < 360
    assert 60 < top < bottom < 200
    json.dumps(result.to_dict())


@pytest.mark.parametrize("grammar", [False, True])
def test_a_sentence_lies_in_time(predictor, grammar):
    clip = speak("place blue by f two now", 4).video
    result = predictor(clip, LipreadingOptions("animated", grammar=grammar, beam_size=30))
    assert [w.text for w in result.words] == result.text.split()
    edges = [edge for word in result.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert not edges or edges[-1] <= len(clip.frames) / 25 + 1e-6
    if grammar:
        model = predictor.model("animated")
        tokens = tuple(model.config.vocabulary.index(word) for word in result.text.split())
        assert grid_grammar(model.config.vocabulary).complete(tokens)


def test_readings_are_sorted_by_their_log_probability(predictor):
    result = predictor(speak("now", 4).video, LipreadingOptions("animated", n_best=4))
    assert result.insertion_penalty == predictor.model("animated").config.insertion_penalty > 0
    logprobs = [h.logprob - result.insertion_penalty * len(h.text.split()) for h in result.hypotheses]
    assert logprobs == sorted(logprobs, reverse=True)
    assert len({h.text for h in result.hypotheses}) == len(logprobs)


def test_the_same_clip_is_read_the_same(predictor, clip_file):
    first, again = predictor(clip_file), predictor(clip_file.read_bytes())
    assert first.text == again.text
    assert np.array_equal(first.posteriors, again.posteriors)


def test_saliency_lies_over_the_crops(predictor, clip_file):
    result = predictor(clip_file)
    heat = predictor.saliency(result)
    assert heat.shape == result.crops.mouths.shape
    assert 0 <= heat.min() < heat.max() == pytest.approx(1)


def test_the_figure_has_a_row_for_each_word_read(predictor):
    result = predictor(speak("place blue", 4).video, LipreadingOptions("animated"))
    rows = shown_words(result)
    assert [result.vocabulary[i] for i in rows][: len({w.text for w in result.words})] == list(
        dict.fromkeys(w.text for w in result.words)
    )
    buffer = io.BytesIO()
    time_line(result, predictor.saliency(result)).savefig(buffer, format="png")
    assert buffer.tell() > 10_000


def test_only_the_part_in_which_the_lips_move_is_read():
    random = np.random.default_rng(1)
    mouths = np.full((60, 8, 8), 100, np.uint8) + random.integers(0, 3, (60, 8, 8), dtype=np.uint8)
    mouths[25:40] = random.integers(0, 255, (15, 8, 8))
    first, end = moving_part(mouths, 30)
    assert 20 <= first <= 25
    assert 40 <= end <= 45
    assert moving_part(mouths[:10], 30) == (0, 10)
    long = random.integers(0, 255, (90, 8, 8), dtype=np.uint8)
    first, end = moving_part(long, 30)
    assert end - first == 30


def test_a_still_mouth_is_served_honestly(predictor):
    result = predictor(person(50, sway=0), LipreadingOptions("grid"))
    assert isinstance(result.text, str)
    config = predictor.model("grid").config
    nothing = torch.full((20, len(config.vocabulary)), -20.0)
    nothing[:, 0] = 20  # the blank, at every frame
    assert decode(config, nothing, LipreadingOptions("grid"))[0].text == ""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"model": "dogs"}, "words, grid, animated"), ({"beam_size": 0}, "beam_size"), ({"n_best": True}, "n_best"),
     ({"grammar": "yes"}, "grammar"), ({"insertion_penalty": -1}, "insertion_penalty"),
     ({"insertion_penalty": float("nan")}, "insertion_penalty")],
)  # fmt: skip
def test_options_that_cannot_work(options, sentence):
    with pytest.raises(InputError, match=sentence):
        LipreadingOptions(**options)


def test_a_missing_checkpoint_is_named(tmp_path, clip_file):
    with pytest.raises(ModelError, match="words"):
        LipreadingPredictor.from_pretrained(tmp_path)(clip_file)


def test_a_clip_that_is_too_short(predictor):
    short = Video(person(2).frames, (0.0, 0.01))
    with pytest.raises(InputError, match="too short"):
        predictor(short)


def test_the_command_line_reads_draws_and_goes_on_after_an_error(untrained, clip_file, tmp_path, capsys):
    drawn = tmp_path / "drawn.mp4"
    assert main(["draw", "lay red at p two soon", str(drawn), "--speaker", "9"]) == 0
    assert load_video(drawn).frames.shape[1:] == (96, 160, 3)
    requests = tmp_path / "requests.jsonl"
    lines = [
        {"video": str(drawn), "model": "animated"}, {"video": str(tmp_path / "none.mp4")}, {"video": 3},
        {"video": str(clip_file), "n_best": 2},
    ]  # fmt: skip
    requests.write_text("\n".join(map(json.dumps, lines)))
    assert main(["--jsonl", str(requests), "--checkpoint", str(untrained)]) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [("error" in answer) for answer in answers] == [False, True, True, False]
    assert answers[0]["model"] == "animated"
    assert len(answers[3]["hypotheses"]) == 2
    assert main([str(clip_file), "--checkpoint", str(untrained)]) == 0
    assert answers[3]["text"] in capsys.readouterr().out


def test_the_command_line_as_a_process(untrained, clip_file):
    command = [sys.executable, "-m", "demos.lipreading", str(clip_file), "--json", "--checkpoint", str(untrained)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["model"] == "words"


def test_nothing_to_read(capsys):
    assert main([]) == 2
    assert "Name a clip" in capsys.readouterr().err
