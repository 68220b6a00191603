"""What transfer learning gives: the same decoder, photos and budget on three encoders.

    python -m benchmarks.transfer_learning --data flickr8k --out runs/transfer [--photos 6000] [--epochs 2]

random, frozen       the CNN never saw anything
ImageNet, frozen     the CNN knows a thousand kinds of things
ImageNet, fine-tuned its last blocks also learn from the captions
"""

import argparse
import json
from pathlib import Path

from accelerate.utils import set_seed

from core.training.captioned_photos import read_collection
from core.training.loop import TrainingConfig
from core.training.recipes import StageRun
from demos.captioning.train import Collections, Teacher, new_captioner

ROWS = {  # name: (encoder weights, the tail's relative learning rate)
    "random, frozen": ("random", 0.0),
    "ImageNet, frozen": ("imagenet", 0.0),
    "ImageNet, fine-tuned": ("imagenet", 0.1),
}


def main() -> None:
    """Train the three and print their dev figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of Flickr8k or COCO captions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--photos", type=int, default=6000, help="training photos, each with five captions")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    collection = read_collection(options.data)
    collection["train"] = collection["train"][: options.photos]
    for name, (weights, tail_rate) in ROWS.items():
        data = Collections([collection], options.cache / weights if weights == "random" else options.cache)
        set_seed(1)
        model, tokenizer = new_captioner(data.captions(), "efficientnet_lite2", 4, weights)
        config = TrainingConfig(epochs=options.epochs, warmup_steps=50, weight_decay=0.01)
        stage = Teacher(batch_size=options.batch_size, tail_rate=tail_rate, training=config)
        run = StageRun(options.out / name.replace(", ", "-"), options.data, options.out)
        records = stage.train_network(model, tokenizer, data, run)
        dev = [r["dev"] for r in records if "dev" in r][-1]
        print(json.dumps({"encoder": name, **{k: round(v, 1) for k, v in dev.items()}}), flush=True)


if __name__ == "__main__":
    main()
