"""Train a captioner in a minute, from data to caption: made pictures, a frozen CNN and the shared LSTM decoder.

    python -m examples.train_a_captioner

Each part is one that the real captioner uses: ImageNet features as a memory, teacher forcing, beam search on pictures
that the network has not seen. Only the data and the sizes are toys.
"""

import random
import tempfile
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn
from torch.utils.data import DataLoader

from core.decoding.search import Beam, beam_search
from core.input.tokenizers import encode, pad, train_word_tokenizer
from core.networks.attention import Memory
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.networks.encoders import shared_encoder
from core.training.loop import Loss, TrainingConfig, train
from core.training.losses import next_token_loss

COLOURS = ("red", "green", "blue", "orange")
SHAPES = ("circle", "square")
PLACES = {"on the left": 56, "on the right": 168}  # of a picture of 224 pixels
WIDTH = 64  # of the memory and of the decoder


def draw(chance: random.Random) -> tuple[Image.Image, str]:
    """A picture of one shape, and its caption."""
    colour, shape, place = chance.choice(COLOURS), chance.choice(SHAPES), chance.choice(list(PLACES))
    picture = Image.new("RGB", (224, 224), chance.choice(("white", "lightgrey")))
    x, y, r = PLACES[place] + chance.randint(-12, 12), chance.randint(70, 150), chance.randint(28, 42)
    pen = ImageDraw.Draw(picture)
    (pen.ellipse if shape == "circle" else pen.rectangle)((x - r, y - r, x + r, y + r), fill=colour)
    return picture, f"a {colour} {shape} {place}"


class ToyCaptioner(nn.Module):
    """Grid features (B, P, 1280) -> memory (B, P, WIDTH) -> LSTM decoder with attention."""

    def __init__(self, vocab_size: int, features: int):
        super().__init__()
        self.to_memory = nn.Sequential(nn.Linear(features, WIDTH), nn.ReLU())
        self.place = nn.Parameter(0.02 * torch.randn(49, WIDTH))  # where on the picture
        self.decoder = LSTMDecoder(DecoderConfig(vocab_size, WIDTH, WIDTH, 1, memory_dim=WIDTH, heads=4, dropout=0.1))

    def memory(self, grid: Tensor) -> Memory:
        """What the decoder attends to."""
        return self.decoder.project_memory(self.to_memory(grid) + self.place)

    def forward(self, grid: Tensor, tokens: Tensor) -> Tensor:
        """Teacher forcing: (B, P, 1280) and (B, T) tokens -> (B, T, V) logits"""
        return self.decoder(tokens, self.memory(grid)).logits


def caption_loss(model: nn.Module, batch: tuple[Tensor, Tensor], carry: None) -> Loss:
    """Cross-entropy of every next word."""
    grid, tokens = batch
    return Loss(next_token_loss(model(grid, tokens), tokens))


def main(pictures: int = 240, epochs: int = 30, seed: int = 1) -> float:
    """Train, print captions of new pictures, and return the share of them that is right to the letter."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    drawn = [draw(chance) for _ in range(pictures + 40)]
    encoder = shared_encoder("efficientnet_lite0")  # ImageNet weights; frozen, so each picture is looked at once
    with torch.inference_mode():
        grids = torch.cat([encoder(encoder.preprocess([picture])) for picture, _ in drawn]).clone()
    captions = [caption for _, caption in drawn]
    tokenizer = train_word_tokenizer(captions[:pictures])
    tokens = pad(encode(tokenizer, captions))

    model = ToyCaptioner(len(tokenizer), grids.shape[2])
    examples = list(zip(grids[:pictures], tokens[:pictures], strict=True))
    loader = DataLoader(examples, batch_size=16, shuffle=True)
    config = TrainingConfig(epochs=epochs, learning_rate=4e-3, warmup_steps=20)
    with tempfile.TemporaryDirectory() as folder:
        train(model, loader, caption_loss, config, Path(folder))

    model.eval()
    with torch.inference_mode():
        found = beam_search(model.decoder, model.memory(grids[pictures:]), Beam(size=3, max_length=8))
    written = [tokenizer.decode(best[0].tokens, skip_special_tokens=True) for best in found]
    for ours, theirs in list(zip(written, captions[pictures:], strict=True))[:5]:
        print(f"{ours:32} (drawn: {theirs})")
    right = sum(a == b for a, b in zip(written, captions[pictures:], strict=True)) / len(written)
    print(f"{right:.0%} of {len(written)} new pictures captioned to the letter")
    return right


if __name__ == "__main__":
    main()
