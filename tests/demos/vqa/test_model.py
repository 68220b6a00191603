from dataclasses import replace

import torch

from core.input.tokenizers import BOS, EOS
from demos.vqa.model import VQA

PLACES, DIM = 49, 1280


def grids(count: int) -> torch.Tensor:
    return torch.randn(count, PLACES, DIM, generator=torch.Generator().manual_seed(1))


def test_shapes_and_gradients(network):
    questions, answers = torch.randint(4, 20, (6, 5)), torch.tensor([[BOS, 7, EOS]] * 6)
    maps = torch.randn(2, 112, 14, 14, generator=torch.Generator().manual_seed(1))
    logits, types = network(maps, questions, answers[:, :-1], torch.tensor([1.0, 0.0]))
    assert logits.shape == (6, 2, network.config.vocab_size)
    assert types.shape == (6, len(network.config.types))
    (logits.sum() + types.sum()).backward()
    trained = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.ne(0).any()}
    assert {"nothing", "place", "asked.weight", "decoder.embedding.weight"} <= trained
    assert not any(name.startswith(("encoder", "tail", "detector.")) for name in trained)


def test_the_blind_model_knows_nothing_of_the_photo(network):
    network.eval()
    questions = torch.randint(4, 20, (3, 5))
    photos = network.features(grids(3), torch.zeros(3))
    encoded = network.encode(photos, questions[:1].expand(3, -1))
    summary = encoded.memory.summary
    torch.testing.assert_close(summary[0], summary[1])
    seeing = network.encode(network.features(grids(3)), questions[:1].expand(3, -1)).memory.summary
    assert not torch.allclose(seeing[0], seeing[1])
    for hop in encoded.hops:
        torch.testing.assert_close(hop.sum(1), torch.ones(3))


def test_questions_about_one_photo_share_it(network):
    network.eval()
    questions = torch.randint(4, 20, (4, 5))
    together = network.encode(network.features(grids(2)), questions).memory.summary  # two questions a photo, in order
    photos = network.features(grids(2))
    for row in range(4):
        alone = network.encode(photos[torch.tensor([row // 2])], questions[row : row + 1]).memory.summary
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=1e-4)


def test_a_saved_network_answers_alike(network, tmp_path):
    network.eval().save_pretrained(tmp_path)
    loaded = VQA.from_pretrained(tmp_path).eval()
    questions = torch.randint(4, 20, (2, 5))
    before, after = (m.encode(m.features(grids(2)), questions).type_logits for m in (network, loaded))
    torch.testing.assert_close(before, after, atol=2e-2, rtol=2e-2)  # saved in half precision


@torch.no_grad()
def test_a_pair_is_the_question_with_its_photo_and_without(network):
    network.eval()
    photos, questions = network.features(grids(3)), torch.randint(4, 20, (3, 5))
    pair = network.encode_pairs(photos, questions)
    alone = network.encode(photos, questions), network.encode(network.features(grids(3), torch.zeros(3)), questions)
    for one, other in zip(pair, alone, strict=True):
        torch.testing.assert_close(one.memory.summary, other.memory.summary, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.log_weights, other.log_weights, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.hops, other.hops, atol=1e-5, rtol=1e-4)


def test_a_network_with_new_classes_stays_as_it_was(network):
    network.eval()
    classifier = replace(network.config.classifier, answers=((4,), (5,), (6, 7), (8,)))
    grown = network.with_untrained("frequent", classifier=classifier).eval()
    questions = torch.tensor([[5, 6, 7], [8, 9, 0]])
    with torch.no_grad():
        before, after = (m.encode(m.features(grids(2)), questions) for m in (network, grown))
    torch.testing.assert_close(after.memory.summary, before.memory.summary)
    assert before.log_weights.shape == (2, 4)
    assert after.log_weights.shape == (2, 5)
