"""Single steps made fast: those of the decoder itself, hence the same search."""

import pytest
import torch

from core.decoding import stream
from core.decoding.search import Beam, beam_search
from core.decoding.stream import StepDecoder, StepState, with_words
from core.fast import packed
from core.networks.decoder import DecoderConfig, LSTMDecoder

VOCAB, WIDTH, PLACES, SEQUENCES = 50, 32, 5, 3


def new_decoder(layers: int, memory: bool = True) -> LSTMDecoder:
    """Untrained, with weights that 16 bits hold, as a checkpoint's are."""
    torch.manual_seed(3)
    config = DecoderConfig(VOCAB, 24, WIDTH, layers, memory_dim=WIDTH if memory else None, heads=2)
    return LSTMDecoder(config).half().float().eval()


def memory_of(decoder: LSTMDecoder):
    return None if decoder.attention is None else decoder.project_memory(torch.randn(SEQUENCES, PLACES, WIDTH))


def steps(decoder, tokens, memory):
    """Logits and attention of tokens that are read one by one, and the state after them."""
    state, outputs = decoder.initial_state(len(tokens), memory), []
    for column in tokens.T:
        outputs.append(decoder(column[:, None], memory, state))
        state = outputs[-1].state
    attention = None if memory is None else torch.cat([output.attention for output in outputs], 1)
    return torch.cat([output.logits for output in outputs], 1), attention, state


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "not packed"])
@pytest.mark.parametrize("largest_table", [2048, 10], ids=["small vocabulary", "large vocabulary"])
@pytest.mark.parametrize("memory", [True, False], ids=["with memory", "without"])
@pytest.mark.parametrize("layers", [1, 2, 3])
@torch.inference_mode()
def test_steps_are_those_of_the_decoder(layers, memory, largest_table, packs, monkeypatch):
    if packs and not packed.can_pack():
        pytest.skip("this build of torch has no FBGEMM")
    monkeypatch.setattr(packed, "can_pack", lambda: packs)
    monkeypatch.setattr(stream, "LARGEST_TABLE", largest_table)
    decoder = new_decoder(layers, memory)
    memory, tokens = memory_of(decoder), torch.randint(4, VOCAB, (SEQUENCES, 6))
    logits, attention, state = steps(StepDecoder(decoder), tokens, memory)
    whole = decoder(tokens, memory)
    torch.testing.assert_close(logits, whole.logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(attention, whole.attention, atol=1e-4, rtol=1e-4)
    for ours, theirs in zip(state, whole.state, strict=True):
        torch.testing.assert_close(torch.stack(ours), theirs, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_several_steps_at_once_are_the_decoders_own_from_either_kind_of_state():
    decoder = new_decoder(2)
    fast, memory, tokens = StepDecoder(decoder), memory_of(decoder), torch.randint(4, VOCAB, (SEQUENCES, 6))
    whole = decoder(tokens, memory)
    torch.testing.assert_close(fast(tokens, memory).logits, whole.logits)
    first = fast(tokens[:, :1], memory)
    rest = fast(tokens[:, 1:], memory, first.state)
    torch.testing.assert_close(rest.logits, whole.logits[:, 1:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("largest_table", [2048, 10], ids=["small vocabulary", "large vocabulary"])
@torch.inference_mode()
def test_bfloat16_is_near(largest_table, monkeypatch):
    monkeypatch.setattr(stream, "LARGEST_TABLE", largest_table)
    decoder = new_decoder(2, memory=False)
    tokens = torch.randint(4, VOCAB, (SEQUENCES, 6))
    logits, _, _ = steps(StepDecoder(decoder, dtype=torch.bfloat16), tokens, None)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, decoder(tokens).logits, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("layers", [1, 2])
@torch.inference_mode()
def test_search_finds_the_same_among_all_words_and_among_some(layers):
    decoder, words = new_decoder(layers), torch.tensor([0, 1, 2, 3, *range(9, 30)])
    memory = memory_of(decoder)
    for plain, fast in (
        (decoder, StepDecoder(decoder)),
        (with_words(decoder, words), StepDecoder(decoder, words)),
    ):
        found = (beam_search(each, memory, Beam(3, max_length=7)) for each in (plain, fast))
        for ours, theirs in zip(*found, strict=True):
            assert [h.tokens for h in ours] == [h.tokens for h in theirs]
            assert [h.logprob for h in ours] == pytest.approx([h.logprob for h in theirs], abs=1e-3)


@torch.inference_mode()
def test_some_words_are_those_of_the_whole_vocabulary():
    decoder, words = new_decoder(2), torch.tensor([0, 1, 2, 3, 40, 9])
    tokens = torch.tensor([[1, 4, 5]])  # of the six
    memory = memory_of(decoder)[:1]
    logits = decoder(words[tokens], memory).logits[..., words]
    torch.testing.assert_close(with_words(decoder, words)(tokens, memory).logits, logits)
    torch.testing.assert_close(steps(StepDecoder(decoder, words), tokens, memory)[0], logits, atol=1e-4, rtol=1e-4)
    assert decoder.config.vocab_size == VOCAB  # untouched


def test_a_state_selects_its_sequences():
    state = StepState((torch.arange(6.0).view(3, 2),), (torch.arange(6.0, 12).view(3, 2),))
    chosen = state.select(torch.tensor([2, 0, 0]))
    assert chosen.hidden[0].tolist() == [[4, 5], [0, 1], [0, 1]]
    assert chosen.cell[0].tolist() == [[10, 11], [6, 7], [6, 7]]
