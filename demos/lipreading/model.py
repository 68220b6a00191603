"""Networks that read lips: a small CNN looks at a few frames at once, a bidirectional recurrent stack reads over time.

Two readouts share everything below them:

    ctc    at every frame a word or the blank; a sentence comes out (Graves et al. 2006; LipNet, Assael et al. 2016).
    clip   one class for the whole clip: what every frame says, weighted by attention

What a frame shows depends on how it moves, so the CNN sees each frame with its neighbours as its channels
("early fusion", Chung and Zisserman 2016): motion for the price of one two-dimensional convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from core.checkpoint import Checkpoint
from core.errors import ModelError, check_number
from core.networks.encoders import create_encoder, fold_batch_norm
from core.networks.recurrent import RecurrentStack


@dataclass(frozen=True)
class LipreaderConfig:
    """Everything needed to build a Lipreader without its weights."""

    vocabulary: tuple[str, ...]  # what can be read; with the readout "ctc" the first is the blank
    readout: str = "ctc"  # or "clip"
    crop: str = "wide"  # what was cut out of the pictures, see demos.lipreading.mouth
    height: int = 48  # pixels of a crop
    width: int = 80
    fps: float = 25.0  # frames a second
    frame_stack: int = 5  # frames that the CNN sees at once, an odd number
    channels: tuple[int, ...] = (32, 64, 96, 128)  # of the convolutions, each of which halves the picture
    depth: int = 1  # convolutions of each size: more follow the one that halves the picture
    imagenet: str = ""  # instead of these: early blocks of this ImageNet encoder, which sees 3 frames
    frame_features: int = 256
    cell: str = "gru"
    hidden_size: int = 192  # of each direction
    num_layers: int = 2
    dropout: float = 0.3
    mirrored: bool = False  # answer with the mean over the clip and its mirror image
    other_depths: tuple[int, ...] = ()  # an ensemble: `depth` of each further network, otherwise of the same shape
    temperature: float = 1.0  # of the softmax: below 1 for networks that are less sure than they might be
    insertion_penalty: float = 0.0  # ctc: off the log-probability of each word in the search

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0.01, 100)


class LipreaderOutput(NamedTuple):
    """What the network makes of B clips of at most T frames, over C words (or phrases, or the blank)."""

    logits: Tensor  # ctc: (B, T, C); clip: (B, C)
    frame_logits: Tensor  # (B, T, C) of what is being said at every frame; at padding, anything
    attention: Tensor  # (B, T) weight of every frame in a clip's class; sums to 1, 0 at padding


class FrameEncoder(nn.Module):
    """Frames with their neighbours -> one vector each."""

    def __init__(self, config: LipreaderConfig):
        super().__init__()
        self.stack = 3 if config.imagenet else config.frame_stack
        self.convolutions = _imagenet_blocks(config.imagenet) if config.imagenet else _small_cnn(config)
        with torch.no_grad():
            maps = self.convolutions.eval()(torch.zeros(1, self.stack, config.height, config.width))
        self.drop = nn.Dropout(config.dropout)
        self.features = nn.Sequential(nn.Linear(maps[0].numel(), config.frame_features), nn.ReLU())
        self.train()

    def forward(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, H, W) -> (B, T, F); 0 at padding, which is not even looked at."""
        real = torch.arange(clips.size(1), device=clips.device) < lengths.to(clips.device).unsqueeze(1)
        stacks = self._with_neighbours(clips, lengths, *real.nonzero(as_tuple=True))
        maps = self.convolutions(stacks.contiguous(memory_format=torch.channels_last))
        vectors = self.features(self.drop(maps.flatten(1)))
        out = vectors.new_zeros(*real.shape, vectors.size(1))
        out[real] = vectors
        return out

    def _with_neighbours(self, clips: Tensor, lengths: Tensor, rows: Tensor, frames: Tensor) -> Tensor:
        """(B, T, H, W) -> (N, stack, H, W) of N frames in these rows; at its ends a clip repeats its first or last."""
        reach = torch.arange(self.stack, device=clips.device) - self.stack // 2
        last = lengths.to(clips.device)[rows].unsqueeze(1) - 1
        index = (frames.unsqueeze(1) + reach).clamp(min=0).minimum(last)  # (N, stack)
        return clips[rows.unsqueeze(1), index]


def _small_cnn(config: LipreaderConfig) -> nn.Module:
    """Convolutions that halve the picture at every layer."""
    layers, before = [], config.frame_stack
    for number, channels in enumerate(config.channels):
        size = 5 if number == 0 else 3
        layers += [
            nn.Conv2d(before, channels, size, stride=2, padding=size // 2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        ]
        for _ in range(config.depth - 1):
            layers += [nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
        before = channels
    return nn.Sequential(*layers)


def _imagenet_blocks(name: str) -> nn.Module:
    """Blocks down to a 16th of the size with ImageNet weights, to be fine-tuned; 3 frames take the place of colours."""
    return create_encoder(name).stem.requires_grad_(True)


class Lipreader(nn.Module, Checkpoint):
    """FrameEncoder -> recurrent stack -> one linear layer.

    With `config.other_depths` it is an ensemble: each network errs in its own way, and their mean less than any (Hansen
    and Salamon 1990). Its networks are trained one by one; `ensemble_of` joins them.
    """

    Config = LipreaderConfig

    def __init__(self, config: LipreaderConfig):
        super().__init__()
        self.config = config
        self.encoder = FrameEncoder(config)
        self.stack = RecurrentStack(
            config.frame_features, config.hidden_size, config.num_layers, config.cell, bidirectional=True,
            dropout=config.dropout,
        )  # fmt: skip
        self.drop = nn.Dropout(config.dropout)
        self.attention = nn.Linear(self.stack.output_size, 1) if config.readout == "clip" else None
        self.classes = nn.Linear(self.stack.output_size, len(config.vocabulary))
        single = replace(config, other_depths=())
        self.others = nn.ModuleList(Lipreader(replace(single, depth=depth)) for depth in config.other_depths)

    def forward(self, clips: Tensor, lengths: Tensor) -> LipreaderOutput:
        """(B, T, H, W) grey values from `normalise`, (B,) frames of each clip -> the mean over networks and views."""
        outputs = [network.mean_over_views(clips, lengths) for network in (self, *self.others)]
        logits, frame_logits, attention = (torch.stack(parts).mean(0) for parts in zip(*outputs, strict=True))
        temperature = self.config.temperature
        return LipreaderOutput(logits / temperature, frame_logits / temperature, attention)

    def for_inference(self) -> "Lipreader":
        """The same answers, faster: each batch norm becomes part of the convolution before it. Not to be saved."""
        for network in (self, *self.others):
            fold_batch_norm(network.encoder.convolutions)
        self.inference_only = True
        return self

    def mean_over_views(self, clips: Tensor, lengths: Tensor) -> LipreaderOutput:
        """Of this one network; the views are the clip and, where the config says so, its mirror image."""
        views = [clips, clips.flip(3)] if self.config.mirrored and not self.training else [clips]
        all_lengths = lengths.repeat(len(views))
        output = self.classify(self.encode(torch.cat(views), all_lengths), all_lengths)
        return LipreaderOutput(*(part.unflatten(0, (len(views), -1)).mean(0) for part in output))

    def encode(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, H, W) -> (B, T, 2 * hidden_size): what this one network has seen around every frame."""
        return self.drop(self.stack(self.encoder(clips, lengths), lengths).outputs)

    def classify(self, states: Tensor, lengths: Tensor) -> LipreaderOutput:
        """(B, T, 2 * hidden_size) from `encode` -> logits."""
        frame_logits = self.classes(states)
        lengths = lengths.to(states.device).unsqueeze(1)
        real = torch.arange(states.size(1), device=states.device) < lengths
        if self.attention is None:
            return LipreaderOutput(frame_logits, frame_logits, real / lengths)
        weights = self.attention(states).squeeze(2).masked_fill(~real, float("-inf")).softmax(1)
        return LipreaderOutput((weights.unsqueeze(1) @ frame_logits).squeeze(1), frame_logits, weights)


@torch.no_grad()
def ensemble_of(networks: Sequence[Lipreader], **settings: float) -> Lipreader:
    """One network that answers with the mean of these, which have the same config but for the depth of their CNNs.

    settings: of LipreaderConfig, such as `temperature`, that are the ensemble's own. Raises ModelError where the
    networks differ, or one is an ensemble itself.
    """
    first, *others = (network.config for network in networks)
    if first.other_depths or any(replace(other, depth=first.depth) != first for other in others):
        raise ModelError("An ensemble needs single networks of one and the same config.")
    joined = Lipreader(replace(first, other_depths=tuple(other.depth for other in others), **settings))
    prefixes = ["", *(f"others.{number}." for number in range(len(others)))]
    states = [(prefix, network.state_dict()) for prefix, network in zip(prefixes, networks, strict=True)]
    joined.load_state_dict({prefix + name: tensor for prefix, state in states for name, tensor in state.items()})
    return joined.eval()


def normalise(clips: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, H, W) grey values 0..255 -> mean 0, deviation 1 over each clip: the light does not matter."""
    real = torch.arange(clips.size(1), device=clips.device) < lengths.to(clips.device).unsqueeze(1)
    mask = real[:, :, None, None]
    clips = clips.float()
    count = (lengths.to(clips.device) * clips.shape[2] * clips.shape[3]).view(-1, 1, 1, 1)
    mean = (clips * mask).sum((1, 2, 3), keepdim=True) / count
    variance = ((clips - mean).square() * mask).sum((1, 2, 3), keepdim=True) / count
    return (clips - mean) / (variance.sqrt() + 4.0)  # 4: an even grey clip stays near 0 instead of becoming noise


@torch.inference_mode()
def outputs_of(model: Lipreader, clips: Sequence[np.ndarray], batch_size: int = 16) -> list[LipreaderOutput]:
    """(T, H, W) uint8 each -> what the network makes of it, without a batch dimension and without padding.

    On the CPU, in float32, without gradients.
    """
    found, device = [], next(model.parameters()).device
    for start in range(0, len(clips), batch_size):
        batch, lengths = pad_clips([torch.from_numpy(clip) for clip in clips[start : start + batch_size]])
        output = model(normalise(batch, lengths).to(device), lengths)
        logits, frame_logits, attention = (part.float().cpu() for part in output)
        for i, n in enumerate(lengths.tolist()):
            own = logits[i, :n] if model.config.readout == "ctc" else logits[i]
            found.append(LipreaderOutput(own, frame_logits[i, :n], attention[i, :n]))
    return found


def pad_clips(clips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Clips (T, H, W) of any lengths -> (B, T, H, W), padded with 0, and their lengths (B,)."""
    lengths = torch.tensor([len(clip) for clip in clips])
    return nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths
