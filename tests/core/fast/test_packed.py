"""Packed weights: the same steps, hence the same search, as with the weights themselves."""

import copy

import pytest
import torch

from core.decoding.search import Beam, beam_search
from core.fast.packed import can_pack
from core.networks.decoder import DecoderConfig, LSTMDecoder

pytestmark = pytest.mark.skipif(not can_pack(), reason="this build of torch has no FBGEMM")


@pytest.fixture(params=[1, 2], ids=["one layer", "two layers"])
def decoder(request) -> LSTMDecoder:
    """Untrained, with weights that 16 bits hold, as a checkpoint's are."""
    torch.manual_seed(3)
    config = DecoderConfig(50, embed_dim=24, hidden_size=32, num_layers=request.param, memory_dim=32, heads=2)
    return LSTMDecoder(config).half().float().eval()


def memory_of(decoder: LSTMDecoder):
    return decoder.project_memory(torch.randn(3, 5, 32))


@torch.inference_mode()
def test_steps_are_those_of_the_weights_themselves(decoder):
    memory, tokens = memory_of(decoder), torch.randint(4, 50, (3, 6))
    whole = decoder(tokens, memory)
    decoder.pack()
    state, logits = decoder.initial_state(3, memory), []
    for step in tokens.T:
        output = decoder(step[:, None], memory, state)
        state = output.state
        logits.append(output.logits)
    torch.testing.assert_close(torch.cat(logits, 1), whole.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(tuple(state), tuple(whole.state), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(decoder(tokens, memory).logits, whole.logits)  # several steps at once are as before


@torch.inference_mode()
def test_a_packed_decoder_writes_the_same_with_some_of_its_words_too(decoder):
    memory, words = memory_of(decoder), torch.tensor([0, 1, 2, 3, *range(9, 30)])
    packed = copy.copy(decoder)
    packed.pack()
    assert not decoder.cells
    for before, after in ((decoder, packed), (decoder.restrict(words), packed.restrict(words))):
        assert after.output is not None
        assert before.output is None
        found = (beam_search(each, memory, Beam(3, max_length=7)) for each in (before, after))
        for ours, theirs in zip(*found, strict=True):
            assert [h.tokens for h in ours] == [h.tokens for h in theirs]
            assert [h.logprob for h in ours] == pytest.approx([h.logprob for h in theirs], abs=1e-3)
