import math
from itertools import islice

import pytest
import torch

from core.errors import InputError, ModelError
from demos.generation import predict
from demos.generation.data import tag_of
from demos.generation.predict import MAX_LENGTH, MAX_PROMPT, GenerationOptions, bounded

SHORT = GenerationOptions(length=50)


def test_the_same_seed_writes_the_same_text_and_another_does_not(predictor):
    first, again = (predictor("cats", "The ", SHORT) for _ in range(2))
    assert first.text == again.text
    assert len(first.tokens) == 50
    assert predictor("cats", "The ", GenerationOptions(length=50, seed=2)).text != first.text


def test_the_logprob_is_the_networks_own_whatever_the_temperature(predictor):
    result = predictor("cats", "The ", GenerationOptions(temperature=0.3, length=30))
    reading = predictor.read("cats", "The " + result.text)
    assert result.logprob == pytest.approx(sum(t.logprob for t in reading.tokens[4:]), abs=0.3)
    assert result.logprob == pytest.approx(sum(t.logprob for t in result.tokens))


def test_what_is_read_has_the_surprise_and_the_cells_of_the_network(predictor):
    reading = predictor.read("cats", "The cat")
    ids = torch.tensor([[predictor.index[piece] for piece in (tag_of("cats"), *"The cat")]])
    with torch.inference_mode():
        output = predictor.model(ids)
    own = output.logits[0].masked_fill(torch.from_numpy(~predictor._written["characters"]), -math.inf).log_softmax(1)
    assert [token.logprob for token in reading.tokens] == pytest.approx(own[range(7), ids[0, 1:]].tolist(), abs=1e-3)
    assert reading.cells.shape == (7, 64)
    assert reading.cells[-1] == pytest.approx(output.state.cell.flatten().tanh().numpy(), abs=1e-3)


def test_temperature_0_takes_the_likeliest(predictor):
    following = predictor.following("cats", "The cat", 1)[0][0]
    assert predictor("cats", "The cat", GenerationOptions(temperature=0, length=1)).text == following


def test_a_stream_can_be_left(predictor):
    chunks = predictor.stream("cats", "", GenerationOptions(length=MAX_LENGTH))
    assert sum(len(chunk) for chunk in islice(chunks, 2)) == 64
    chunks.close()


def test_no_tag_and_no_special_token_is_written(predictor):
    assert "<" not in predictor("cats", "", GenerationOptions(temperature=5, length=500)).text


def test_what_the_network_never_read_is_named_and_skipped(predictor):
    result = predictor("cats", "The €uro cat", SHORT)
    assert result.prompt == "The ro cat" or "€" not in result.prompt
    assert "'€'" in result.notes[0]


def test_a_long_prompt_and_a_great_length_are_bounded_and_said_so(predictor):
    pieces, notes = predictor.pieces("cats", "The cat sat.\n" * 8000)
    assert len(pieces) == MAX_PROMPT
    assert "last 5,000" in notes[0]
    assert "20,000" in bounded(GenerationOptions(length=1_000_000))[0]


def test_a_length_beyond_the_bound_is_cut_and_said_so(predictor, monkeypatch):
    monkeypatch.setattr(predict, "MAX_LENGTH", 70)
    result = predictor("cats", "", GenerationOptions(length=1_000_000))
    assert len(result.tokens) == 70
    assert result.notes == ("The length was bounded at 70 pieces.",)


def test_the_network_of_a_corpus_is_loaded_when_first_needed_and_once(model, tmp_path, monkeypatch):
    monkeypatch.setenv("UNROLLED_CHECKPOINTS", str(tmp_path))
    model.save_pretrained(tmp_path / "generation")
    predict.load.cache_clear()
    try:
        assert predict.get_predictor("cats") is predict.get_predictor()
        with pytest.raises(ModelError, match="generation/reviews"):  # another network, which is not there
            predict.get_predictor("reviews")
        with pytest.raises(InputError, match=r"no corpus 'klingon'\. Choose one of cats, folk, .*, reviews"):
            predict.get_predictor("klingon")
    finally:
        predict.load.cache_clear()


def test_tokens_of_tunes_need_no_exact_spaces(predictor):
    assert predictor.pieces("folk", "C D E")[0] == ["C ", "D ", "E "]
    assert predictor.pieces("folk", "M:4/4\nK:Cmaj\n|: C D :| \n\n")[0][-3:] == [":|", "\n", "\n"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1}, {"temperature": math.nan}, {"temperature": "hot"}, {"length": 0}, {"length": 2.5},
        {"top_k": -1}, {"top_p": 0}, {"top_p": 1.5}, {"seed": -1}, {"length": True},
    ],
)  # fmt: skip
def test_options_without_sense_get_a_sentence(wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be"):
        GenerationOptions(**wrong)


def test_bad_requests_get_a_sentence(predictor):
    with pytest.raises(InputError, match="Choose one of cats, folk"):
        predictor("klingon", "x")
    with pytest.raises(InputError, match="A prompt is text"):
        predictor("cats", 7)
    with pytest.raises(InputError, match="nothing to read"):
        predictor.read("cats", "")


def test_next_pieces_are_probabilities_best_first(predictor):
    found = predictor.following("cats", "The", 200)
    values = [p for _, p in found]
    assert values == sorted(values, reverse=True)
    assert sum(values) == pytest.approx(1, abs=1e-4)
