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
    imagenet: str = (
        ""  # instead of these: the early blocks of this ImageNet encoder, which sees 3 frames
    )
    frame_features: int = 256
    cell: str = "gru"
    hidden_size: int = 192  # of each direction
    num_layers: int = 2
    dropout: float = 0.3
    mirrored: bool = False  # answer with the mean of what the clip and its mirror image say
    moved: int = 0  # pixels; and of what the clip says once it is moved up and down by so many
    others: int = 0  # and of what so many other networks of this shape say, which see no moved clips
    depths: tuple[int, ...] = ()  # `depth` of each of them; empty: the same
    temperature: float = 1.0  # of the softmax: below 1 for networks that are less sure than they might be
    insertion_penalty: float = 0.0  # ctc: off the log-probability of each word in the search

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, 0.01, 100)


class LipReading(NamedTuple):
    """What the network makes of B clips."""

    logits: Tensor  # ctc: (B, T, C); clip: (B, C)
    frames: Tensor  # (B, T, C) logits of what is being said at every frame; at padding, anything
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
    """Blocks down to a 16th of the size with ImageNet weights, to be fine-tuned: red, green and blue become three
    frames in a row."""
    return create_encoder(name).stem.requires_grad_(True)


class Lipreader(nn.Module, Checkpoint):
    """FrameEncoder -> recurrent stack -> one linear layer.

    With `config.others` it is a committee: each member errs in its own way, and their mean less than any (Hansen and
    Salamon 1990). Members are trained one by one; `together` joins them.
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
        single = replace(config, others=0, depths=(), moved=0)
        depths = config.depths or (config.depth,) * config.others
        self.others = nn.ModuleList(Lipreader(replace(single, depth=depth)) for depth in depths)

    def forward(self, clips: Tensor, lengths: Tensor) -> LipReading:
        """(B, T, H, W) grey values from `normalise`, (B,) frames of each clip -> LipReading."""
        readings = [member._answer(clips, lengths) for member in (self, *self.others)]
        logits, frames, attention = (torch.stack(parts).mean(0) for parts in zip(*readings, strict=True))
        return LipReading(logits / self.config.temperature, frames / self.config.temperature, attention)

    def for_inference(self) -> "Lipreader":
        """The same answers, faster: each batch norm becomes part of the convolution before it. Not to be saved."""
        for member in (self, *self.others):
            fold_batch_norm(member.encoder.convolutions)
        return self

    def _answer(self, clips: Tensor, lengths: Tensor) -> LipReading:
        """The mean of what this one network makes of each view."""
        views = [clips] if self.training else self._views(clips)
        seen, seen_lengths = torch.cat(views), lengths.repeat(len(views))
        reading = self.read(self.watch(seen, seen_lengths), seen_lengths)
        return LipReading(*(part.unflatten(0, (len(views), -1)).mean(0) for part in reading))

    def _views(self, clips: Tensor) -> list[Tensor]:
        """The clips, and as they might also have been cut out: no crop is quite like those of the training."""
        config, views = self.config, [clips]
        if config.mirrored:
            views.append(clips.flip(3))
        if config.moved:
            views += [clips.roll(pixels, 2) for pixels in (-config.moved, config.moved)]
        return views

    def watch(self, clips: Tensor, lengths: Tensor) -> Tensor:
        """(B, T, H, W) -> (B, T, 2 * hidden_size): what this one network has seen around every frame."""
        return self.drop(self.stack(self.encoder(clips, lengths), lengths).outputs)

    def read(self, outputs: Tensor, lengths: Tensor) -> LipReading:
        """What it makes of that."""
        frames = self.classes(outputs)
        lengths = lengths.to(outputs.device).unsqueeze(1)
        real = torch.arange(outputs.size(1), device=outputs.device) < lengths
        if self.attention is None:
            return LipReading(frames, frames, real / lengths)
        scores = self.attention(outputs).squeeze(2).masked_fill(~real, float("-inf"))
        weights = scores.softmax(1)
        return LipReading((weights.unsqueeze(1) @ frames).squeeze(1), frames, weights)


@torch.no_grad()
def together(members: Sequence[Lipreader]) -> Lipreader:
    """One network that answers with the mean of the members', which have the same config but for the depth of their
    CNNs, and no others yet.

    Only the first one goes on to see moved clips, if it does: each view takes as long as one more network.

    Raises ModelError where they differ.
    """
    first, *others = (member.config for member in members)
    if first.others or any(replace(other, moved=first.moved, depth=first.depth) != first for other in others):
        raise ModelError("A committee needs single networks of one and the same config.")
    joined = Lipreader(replace(first, others=len(others), depths=tuple(other.depth for other in others)))
    prefixes = ["", *(f"others.{number}." for number in range(len(members) - 1))]
    states = [(prefix, member.state_dict()) for prefix, member in zip(prefixes, members, strict=True)]
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


def pad_clips(clips: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Clips (T, H, W) of any lengths -> (B, T, H, W), padded with 0, and their lengths (B,)."""
    lengths = torch.tensor([len(clip) for clip in clips])
    return nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths
