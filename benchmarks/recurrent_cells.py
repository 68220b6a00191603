"""What the kind of recurrent layer is worth: the same classifier, texts and budget with an RNN, GRU, LSTM and BiLSTM.

    python -m benchmarks.recurrent_cells --data nsmc --out runs/cells [--texts 40000]

All start from random weights and see the same texts in the same order; `hidden_size` is that of one direction. The
dev set of --data gives the accuracy.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from accelerate.utils import set_seed

from core.training.loop import TrainingConfig
from demos.sentiment.data import read_corpus
from demos.sentiment.model import EncoderConfig
from demos.sentiment.train import new_classifier, new_tokenizer, train_classifier

ROWS = {  # name: (cell, both ways)
    "RNN": ("rnn_tanh", False),
    "GRU": ("gru", False),
    "LSTM": ("lstm", False),
    "BiLSTM": ("lstm", True),
}


def main() -> None:
    """Train the four and print their dev figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of SST, IMDB or NSMC")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=40_000, help="training texts (and phrases, in SST)")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--hidden-size", type=int, default=256)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    options = parser.parse_args()
    corpus = read_corpus(options.data)
    corpus = replace(corpus, train=corpus.train[: options.texts], phrases=corpus.phrases[: options.texts])
    tokenizer = new_tokenizer([corpus], options.vocab_size)
    config = TrainingConfig(options.epochs, weight_decay=0.01, average=0.99)
    for name in options.rows:
        cell, both = ROWS[name]
        set_seed(1)
        encoder = EncoderConfig(
            len(tokenizer), 256, options.hidden_size, cell=cell, bidirectional=both, weight_dropout=0.0
        )
        model = new_classifier(encoder, [corpus])
        start = time.perf_counter()
        records = train_classifier(model, tokenizer, [corpus], config, options.out / name, False, batch_size=64)
        dev = [record["dev"] for record in records if "dev" in record]
        best = max(dev, key=lambda figures: figures["mean accuracy"])
        row = {
            "layer": name,
            "recurrent parameters": sum(
                p.numel() for n, p in model.reader.named_parameters() if not n.startswith("embedding")
            ),
            "seconds": round(time.perf_counter() - start),
            **{figure: round(value, 2) for figure, value in best.items() if figure != "mean accuracy"},
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
