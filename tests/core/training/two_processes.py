"""A small training that one process or several can run: `test_training.py` compares their loss curves.

    python -m tests.core.training.two_processes FOLDER
    ACCELERATE_USE_CPU=true accelerate-launch --multi_gpu --num_processes 2 -m tests.core.training.two_processes FOLDER

(On CPUs, too, it is `--multi_gpu` that makes Accelerate start several processes; `--cpu` starts one, whatever
`--num_processes` says, unless MPI is there.) Writes rank-N.json for every process N, and what `train` writes.
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.utils.data import DataLoader

from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.training.loop import Loss, TrainingConfig, train

VOCAB, LENGTH, SENTENCES = 12, 7, 64


def sentences() -> Tensor:
    """(SENTENCES, LENGTH): each counts up in steps of its own. All of one length, so that a batch's mean over tokens
    is the mean of its halves' means."""
    generator = torch.Generator().manual_seed(3)
    start, step = torch.randint(VOCAB, (2, SENTENCES, 1), generator=generator)
    return (start + step * torch.arange(LENGTH)) % VOCAB


def next_token_loss(model: nn.Module, tokens: Tensor, carry: None) -> Loss:
    """Mean cross-entropy of each token after the first. The attention of a decoder without a photo stays unused."""
    logits = model(tokens[:, :-1]).logits
    return Loss(nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()))


def main(folder: Path) -> None:
    """Train for three epochs and say what this process knows at the end."""
    torch.manual_seed(0)
    model = LSTMDecoder(DecoderConfig(VOCAB, embed_dim=16, hidden_size=16, memory_dim=16, heads=2, dropout=0.0))
    seen = []

    def loss(model: nn.Module, tokens: Tensor, carry: None) -> Loss:
        seen.append(tokens.tolist())
        return next_token_loss(model, tokens, carry)

    def evaluate(model: nn.Module) -> dict[str, float]:
        return {"gain": -next_token_loss(model, sentences(), None).value.item()}

    loader = DataLoader(sentences(), batch_size=16, shuffle=True)
    config = TrainingConfig(epochs=3, learning_rate=0.05, warmup_steps=2, clip_norm=0.3, average=0.9, log_every=1)

    def save(model: nn.Module) -> None:
        (folder / f"saved-{PartialState().process_index}").touch()

    train(model, loader, loss, config, folder, evaluate, save)
    state = PartialState()
    facts = {"processes": state.num_processes, "backend": state.backend, "batches": seen}
    facts["weights"] = nn.utils.parameters_to_vector(model.parameters()).tolist()
    (folder / f"rank-{state.process_index}.json").write_text(json.dumps(facts))
    state.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
