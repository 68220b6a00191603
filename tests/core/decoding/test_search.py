"""Search, in the spirit of neuraltalk2's test file: on an untrained decoder, whose distributions are nearly flat."""

import copy
import itertools

import pytest
import torch

from core.decoding.search import Beam, beam_search, beam_trace, greedy_search
from core.input.tokenizers import BOS, EOS
from core.networks.decoder import DecoderConfig, LSTMDecoder

VOCAB, WIDTH, PLACES = 17, 16, 5


@pytest.fixture(scope="module")
def decoder() -> LSTMDecoder:
    torch.manual_seed(0)
    config = DecoderConfig(VOCAB, embed_dim=WIDTH, hidden_size=WIDTH, memory_dim=WIDTH, heads=2)
    network = LSTMDecoder(config).eval()
    network.embedding.weight.data *= 6  # peaked enough that hypotheses differ
    return network


@pytest.fixture(scope="module")
def memory(decoder):
    return decoder.project_memory(torch.randn(4, PLACES, WIDTH, generator=torch.Generator().manual_seed(1)))


def one(memory, i):
    return memory[i : i + 1]


def test_beam_of_one_is_greedy_search_step_by_step(decoder, memory):
    for found, i in zip(greedy_search(decoder, memory, max_length=8), range(4), strict=True):
        state, token, tokens, logprobs = decoder.initial_state(1, one(memory, i)), BOS, [], []
        while len(tokens) < 8 and token != EOS:
            output = decoder(torch.tensor([[token]]), one(memory, i), state)
            scores = output.logits[0, 0].log_softmax(0)
            scores[[0, BOS, 3]] = float("-inf")
            if not tokens:
                scores[EOS] = float("-inf")
            token, state = scores.argmax().item(), output.state
            tokens.append(token)
            logprobs.append(scores[token].item())
        assert found.tokens[: len(tokens)] == tuple(tokens)
        assert found.token_logprobs[: len(tokens)] == pytest.approx(logprobs, abs=1e-5)


def test_batched_beams_equal_beams_one_by_one(decoder, memory):
    together = beam_search(decoder, memory, Beam(size=4, max_length=9))
    for i, hypotheses in enumerate(together):
        (alone,) = beam_search(decoder, one(memory, i), Beam(size=4, max_length=9))
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert [h.logprob for h in hypotheses] == pytest.approx([h.logprob for h in alone], abs=1e-4)
        for a, b in zip(hypotheses, alone, strict=True):
            torch.testing.assert_close(a.attention, b.attention)


def test_a_wider_beam_never_scores_lower_than_greedy(decoder, memory):
    greedy = greedy_search(decoder, memory, max_length=9)
    for size in (2, 5, 10):
        for best, base in zip(beam_search(decoder, memory, Beam(size=size, max_length=9)), greedy, strict=True):
            assert best[0].logprob >= base.logprob - 1e-5


def test_a_beam_as_wide_as_the_space_finds_the_exact_best(decoder, memory):
    words = [w for w in range(VOCAB) if w > 3]
    sequences = [(*s, EOS) for n in (1, 2) for s in itertools.product(words, repeat=n)]
    exact = sorted((score(decoder, one(memory, 2), s) for s in sequences), reverse=True)
    (found,) = beam_search(decoder, one(memory, 2), Beam(size=len(words) ** 2, max_length=2, n_best=5))
    assert [h.logprob for h in found] == pytest.approx(exact[:5], abs=1e-4)


def score(decoder, memory, tokens) -> float:
    """Total log-probability by teacher forcing."""
    with torch.inference_mode():
        logprobs = decoder(torch.tensor([[BOS, *tokens[:-1]]]), memory).logits[0].log_softmax(1)
    return sum(logprobs[t, w].item() for t, w in enumerate(tokens))


def test_hypotheses_carry_what_teacher_forcing_gives(decoder, memory):
    for i, hypotheses in enumerate(beam_search(decoder, memory, Beam(size=3, max_length=9))):
        for h in hypotheses:
            assert h.logprob == pytest.approx(sum(h.token_logprobs), abs=1e-4)
            with torch.inference_mode():
                output = decoder(torch.tensor([[BOS, *h.tokens[:-1]]]), one(memory, i))
            logprobs = output.logits[0].log_softmax(1)
            expected = [logprobs[t, w].item() for t, w in enumerate(h.tokens[:-1])]
            assert h.token_logprobs[:-1] == pytest.approx(expected, abs=1e-4)
            torch.testing.assert_close(h.attention, output.attention[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(h.attention.sum(1), torch.ones(len(h.tokens)))


def test_hypotheses_are_different_ranked_and_within_the_lengths(decoder, memory):
    for hypotheses in beam_search(decoder, memory, Beam(size=5, min_length=3, max_length=6)):
        assert len(hypotheses) == 5
        assert len({h.tokens for h in hypotheses}) == 5
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert all(4 <= len(h.tokens) <= 7 and h.tokens[-1] == EOS for h in hypotheses)


def test_length_penalty_prefers_longer_sequences(decoder, memory):
    def mean_length(alpha):
        found = beam_search(decoder, memory, Beam(size=8, max_length=9, length_penalty=alpha))
        return sum(len(best[0].tokens) for best in found) / len(found)

    assert mean_length(2.0) > mean_length(0.0)


# --- looking at a search -------------------------------------------------------------------------------------------


def test_the_trace_tells_the_same_story_as_the_search(decoder, memory):
    beam = Beam(size=3, max_length=9, length_penalty=0.7)
    found, steps = beam_trace(decoder, one(memory, 1), beam)
    (searched,) = beam_search(decoder, one(memory, 1), beam)
    assert [h.tokens for h in found] == [h.tokens for h in searched]
    best, total, before = found[0], 0.0, 0
    for step, token, logprob in zip(steps, best.tokens[:-1], best.token_logprobs, strict=False):
        total += logprob
        assert step.tokens[step.winner] == token
        assert step.parents[step.winner] == before
        assert step.logprobs[step.winner] == pytest.approx(total, abs=1e-4)
        before = step.winner
    end = steps[len(best.tokens) - 1]  # <eos> leaves the beam and is listed apart
    assert end.winner is None
    assert (before, pytest.approx(best.logprob, abs=1e-4)) in end.ended


def test_an_early_stop_takes_fewer_steps_and_the_best_that_had_ended(decoder, memory):
    terse = copy.deepcopy(decoder)
    terse.bias.data[EOS] = 3.0
    saved = 0
    for i in range(4):
        (found, steps), (patient_found, patient_steps) = (
            beam_trace(terse, one(memory, i), Beam(3, length_penalty=0.6, max_length=30, early=early))
            for early in (True, False)
        )
        saved += len(patient_steps) - len(steps)
        assert found[0].score <= patient_found[0].score
        assert any(found[0].logprob == pytest.approx(logprob) for step in steps for _, logprob in step.ended)
    assert saved > 0
