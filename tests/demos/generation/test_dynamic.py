"""A network that goes on learning from what it has read."""

import pytest
import torch

from core.networks.decoder import DecoderConfig
from demos.generation.dynamic import DynamicEvaluation, choose_options, dynamic_loss
from demos.generation.evaluate import mean_loss
from demos.generation.model import GeneratorConfig, TextGenerator

TAG = 4
OPTIONS = DynamicEvaluation(rate=0.01, decay=0.001, segment=20, statistics=10)


@pytest.fixture(scope="module")
def model() -> TextGenerator:
    torch.manual_seed(1)
    vocabulary = tuple("abcdefghijklmnop")
    decoder = DecoderConfig(16, embed_dim=16, hidden_size=32, num_layers=1, memory_dim=None, dropout=0.5)
    return TextGenerator(GeneratorConfig(vocabulary, decoder=decoder)).eval()


def text(length: int, seed: int) -> torch.Tensor:
    return torch.randint(5, 16, (length,), generator=torch.Generator().manual_seed(seed))


def test_the_first_segment_is_read_with_the_trained_weights(model):
    ids = text(20, 1)
    assert dynamic_loss(model, ids, text(200, 2), TAG, OPTIONS) == pytest.approx(mean_loss(model, ids, TAG), abs=1e-5)


def test_what_repeats_is_learnt_and_the_network_itself_stays(model):
    ids = torch.tensor([5, 9, 7, 12]).repeat(100)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    static = mean_loss(model, ids, TAG)
    assert dynamic_loss(model, ids, text(200, 2), TAG, OPTIONS) < 0.8 * static
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[name], rtol=0, atol=0)


def test_nothing_is_known_before_it_is_read(model):
    """Random text cannot be foretold, however much is learnt from it: the loss does not fall below chance."""
    assert dynamic_loss(model, text(2000, 3), text(200, 2), TAG, OPTIONS) > torch.tensor(11.0).log() - 0.02


def test_full_decay_goes_back_to_the_trained_weights(model):
    ids = torch.tensor([5, 9, 7, 12]).repeat(50)
    forgetful = DynamicEvaluation(rate=0.01, decay=1e9, segment=20, statistics=10)
    assert dynamic_loss(model, ids, text(200, 2), TAG, forgetful) == pytest.approx(mean_loss(model, ids, TAG), abs=1e-3)


def test_the_rate_that_foretells_dev_text_best_is_chosen(model):
    ids, train = torch.tensor([5, 9, 7, 12]).repeat(100), text(200, 2)
    assert choose_options(model, ids, train, TAG, (1e-9, 1e-2), (100,)).rate == 1e-2  # too slow to learn what repeats
    assert choose_options(model, ids, train, TAG, (1e-2, 10.0), (100,)).rate == 1e-2  # too fast to keep it


def test_the_segment_that_foretells_dev_text_best_is_chosen(model):
    ids, train = torch.tensor([5, 9, 7, 12]).repeat(50), text(200, 2)
    chosen = choose_options(model, ids, train, TAG, (1e-2,), (100, 50), (1.0,))
    assert (chosen.segment, chosen.rate, chosen.decay) == (50, 5e-3, 0.01)  # sooner, and as fast in all
    noise = text(100, 3)
    assert (
        choose_options(model, noise, train, TAG, (1e-2,), (200, 100), (1.0,)).segment == 200
    )  # learns from nothing in time


def test_a_text_of_one_kind_chooses_to_keep_what_it_learnt(model):
    ids, train = torch.tensor([5, 9, 7, 12]).repeat(50), text(200, 2)
    assert choose_options(model, ids, train, TAG, (1e-2,), (20,), (100.0, 1.0, 0.25)).decay == pytest.approx(0.001)
