"""The log-probability of given tokens: what a decoder would have thought of a sequence that somebody else wrote."""

import torch
from torch import Tensor

from core.decoding.hypothesis import Decoder
from core.input.tokenizers import PAD
from core.networks.attention import Memory


def token_logprobs(decoder: Decoder, memory: Memory | None, tokens: Tensor) -> Tensor:
    """(B * k, T) tokens from <bos> on, k sequences for each of the B memories -> log-probability of each token after
    <bos>, (B * k, T - 1), 0 at padding. By teacher forcing; with gradients where they are wanted.
    """
    logits = decoder(tokens[:, :-1], memory, None).logits.float()
    targets = tokens[:, 1:]
    chosen = logits.gather(2, targets.unsqueeze(2)).squeeze(2) - logits.logsumexp(2)
    return chosen.masked_fill(targets == PAD, 0.0)


def short_logprobs(decoder: Decoder, memory: Memory, tokens: Tensor) -> Tensor:
    """(B * k, T) short sequences from <bos> to <eos>, k for each of the B memories -> their log-probabilities (B * k,).

    The same figures as the sums of `token_logprobs`, in fewer steps where there are many sequences of one or two words:
    all of a memory's share the step after <bos>, and each takes part in only as many further ones as it has words.
    """
    b = len(memory)
    k = len(tokens) // b
    rows = torch.arange(b, device=tokens.device).repeat_interleave(k)  # the memory of each sequence
    output = decoder(tokens[::k, :1], memory, decoder.initial_state(b, memory))
    state, logprobs = output.state, output.logits[:, -1].float().log_softmax(1)
    total = logprobs[rows].gather(1, tokens[:, 1:2])[:, 0]
    live, before = torch.arange(len(tokens), device=tokens.device), rows  # and the row of each one's state
    for place in range(2, tokens.size(1)):
        going = tokens[live, place] != PAD
        live, before = live[going], before[going]
        looked_at = memory if len(live) == len(tokens) else memory[rows[live]]
        output = decoder(tokens[live, place - 1, None], looked_at, state.select(before))
        state, before = output.state, torch.arange(len(live), device=tokens.device)
        logprobs = output.logits[:, -1].float().log_softmax(1)
        total[live] += logprobs.gather(1, tokens[live, place, None])[:, 0]
    return total
