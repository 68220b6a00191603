"""How well a language model knows held-out text, and how its folk tunes are: nats, bits, perplexity, bars, copies."""

import argparse
import lzma
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.checkpoint import checkpoint_folder
from core.errors import InputError
from core.metrics.records import report
from demos.generation.bars import check_bars
from demos.generation.data import Corpus, known_pieces, read_corpora, split_pieces, tag_of, to_ids
from demos.generation.dynamic import SEGMENTS, SHARES, DynamicEvaluation, choose_options, dynamic_loss
from demos.generation.folk import parses, tunes
from demos.generation.model import TextGenerator
from demos.generation.predict import GenerationOptions, GenerationPredictor, get_predictor
from demos.generation.sources import SOURCES

READ = 2048  # pieces at a time
TRIED = 10_000  # pieces of dev text by which dynamic evaluation's options are chosen
LEARNT = 100_000  # characters of training text: more than the usual size of gradients is estimated from
_WHOLE_TUNE = re.compile(r"(?:^|\n)(M:.+?)\n\s*\n", re.DOTALL)


def mean_loss(model: TextGenerator, ids: Tensor, tag: int) -> float:
    """Mean negative log-probability of a piece (nats) in a (T,) text read from its start to its end in one go."""
    device = model.decoder.bias.device
    tokens = torch.cat([ids.new_tensor([tag]), ids]).to(device)
    state, total = None, 0.0
    with torch.inference_mode():
        for at in range(0, len(ids), READ):
            chunk = tokens[at : at + READ + 1]
            output = model(chunk[None, :-1], state)
            state = output.state
            total += F.cross_entropy(output.logits[0].float(), chunk[1:], reduction="sum").item()
    return total / len(ids)


def text_scores(
    model: TextGenerator, corpus: Corpus, split: str, limit: int | None = None, dynamic: str | None = None
) -> dict[str, Any]:
    """Nats and bits per character, perplexity per piece; bits that `xz -9` needs per character of the whole corpus.

    `dynamic` adds the bits per character of a network that learns from what it has read (see demos.generation.dynamic),
    in the way that the corpus's dev text chose.
    A piece that the vocabulary lacks counts as <unk>, with that token's probability. Raises InputError for a corpus
    that the network has not learnt.
    """
    index = {piece: number for number, piece in enumerate(model.config.vocabulary)}
    if tag_of(corpus.name) not in index:
        raise InputError(f"The network has not learnt {corpus.name!r}: choose another corpus or checkpoint.")
    ids = to_ids(getattr(corpus, split), corpus.kind, index)[:limit]
    text = "".join(known_pieces(getattr(corpus, split), corpus.kind, index)[:limit])
    loss = mean_loss(model, ids, index[tag_of(corpus.name)])
    nats = loss * len(ids) / len(text)
    scores = {"pieces": len(ids), "characters": len(text), "perplexity": round(math.exp(loss), 3)}
    if corpus.kind == "prose":  # of words and marks, however many pieces each takes
        scores["perplexity_per_word"] = round(math.exp(loss * len(ids) / len(split_pieces(text, corpus.kind))), 3)
    scores |= {"nats_per_character": round(nats, 4), "bits_per_character": round(nats / math.log(2), 4)}
    if dynamic:
        loss, chosen = _dynamic_loss(model, corpus, ids, index, dynamic)
        bits = loss * len(ids) / len(text) / math.log(2)
        scores |= {"dynamic_perplexity": round(math.exp(loss), 3), "dynamic_bits_per_character": round(bits, 4)}
        scores |= {f"dynamic_{name}": getattr(chosen, name) for name in ("rate", "segment", "decay")}
    return scores | ({"xz_bits_per_character": round(xz_bits(corpus.whole), 4)} if corpus.whole else {})


def _dynamic_loss(
    model: TextGenerator, corpus: Corpus, ids: Tensor, index: dict[str, int], choose: str
) -> tuple[float, DynamicEvaluation]:
    """Nats per piece of a network that learns as it reads, and how it does; `choose`: "rate", or "all" of that."""
    train, dev = (to_ids(text, corpus.kind, index) for text in (corpus.train[:LEARNT], corpus.dev))
    alone = {"segments": SEGMENTS[:1], "shares": SHARES[:1]} if choose == "rate" else {}
    tag = index[tag_of(corpus.name)]
    chosen = choose_options(model, dev[:TRIED], train, tag, **alone)
    return dynamic_loss(model, ids, train, tag, chosen), chosen


def xz_bits(text: str) -> float:
    """Bits per character of a text compressed by `xz -9`."""
    return 8 * len(lzma.compress(text.encode(), preset=9)) / len(text)


def longest_copy(written: Sequence[Sequence[str]], corpus: Sequence[str]) -> int:
    """Length in pieces of the longest run of any of the `written` texts that stands in `corpus`."""

    # By doubling and halving: a run of n is there only if one of n - 1 is.
    def shared(n: int) -> bool:
        runs = {tuple(text[at : at + n]) for text in written for at in range(len(text) - n + 1)}
        return any(tuple(corpus[at : at + n]) in runs for at in range(len(corpus) - n + 1))

    low, high, longest = 0, 1, max(map(len, written), default=0)
    while high <= longest and shared(high):
        low, high = high, high * 2
    high = min(high, longest + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if shared(middle) else (low, middle)
    return low


def write_tunes(predictor: GenerationPredictor, count: int, temperature: float, whole_bars: bool = True) -> list[str]:
    """The first whole tune of each seed's text, "" where there is none.

    A training text may begin in the middle of a tune, so what comes before the first header is the end of another one.
    """
    found: list[str] = []
    for seed in range(count):
        text, whole = "", None
        options = GenerationOptions(temperature, length=2000, seed=seed, whole_bars=whole_bars)
        for chunk in predictor.stream("folk", "", options):
            text += "".join(token.text for token in chunk)
            if whole := _WHOLE_TUNE.search(text):
                break
        found.append(whole[1] if whole else "")
    return found


def tune_scores(
    predictor: GenerationPredictor, corpus: Corpus, count: int, temperature: float, whole_bars: bool = True
) -> dict[str, Any]:
    """Of sampled tunes, the share that music21 parses and whose bars are complete; the longest run that is a copy."""
    written = write_tunes(predictor, count, temperature, whole_bars)
    train = split_pieces(corpus.train, "abc")
    good = [check_bars(tune).complete and bool(tunes(tune)) for tune in written]
    read = [ok and parses(tune) for ok, tune in zip(good, written, strict=True)]
    pieces = [split_pieces(tune, "abc") for tune in written]
    real = tunes(corpus.dev)[:count]
    return {
        "tunes": count,
        "temperature": temperature,
        "whole_bars": whole_bars,
        "bars_complete": round(sum(good) / count, 4),
        "parse_and_complete": round(sum(read) / count, 4),
        "corpus_bars_complete": round(sum(check_bars(tune).complete for tune in real) / max(1, len(real)), 4),
        "longest_copied_run": longest_copy(pieces, train),
        "longest_tune": max(map(len, pieces)),
    }


# --- command line ------------------------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `evaluate`."""
    parser.add_argument("--data", type=Path, default=Path("data"), help="the folder that holds the data sets")
    parser.add_argument(
        "--corpora", nargs="+", metavar="NAME", help="only these (default: all; of --checkpoint, all its own)"
    )
    parser.add_argument("--split", choices=["dev", "test"], default="test")
    parser.add_argument("--limit", type=int, help="read only so many pieces of each corpus")
    help_text = (
        "also as a network that goes on learning from what it has read (3 s per 1,000 characters); dev text chooses "
        "its rate (the default), or all: its segment and decay too"
    )
    parser.add_argument("--dynamic", choices=["rate", "all"], nargs="?", const="rate", help=help_text)
    parser.add_argument("--tunes", type=int, help="sample so many folk tunes instead (needs music21)")
    parser.add_argument("--temperature", type=float, default=0.7, help="of the tunes (default: %(default)s)")
    parser.add_argument(
        "--whole-bars", action=argparse.BooleanOptionalAction, default=True,
        help="sample tunes within what lets every bar add up (default)",
    )  # fmt: skip
    parser.add_argument("--checkpoint", help="folder or Hugging Face id (default: the repository's own)")
    parser.add_argument("--save", action="store_true", help="also write the figures to the checkpoint's metrics.json")


def main(options: argparse.Namespace) -> None:
    """Print one JSON line of figures per corpus."""
    own = GenerationPredictor.from_pretrained(options.checkpoint) if options.checkpoint else None
    folders = {source.name: checkpoint_folder(source.checkpoint) for source in SOURCES}
    for corpus in read_corpora(options.data, ["folk"] if options.tunes else options.corpora or (own and own.corpora)):
        predictor = own or get_predictor(corpus.name)
        if options.tunes:
            split = "sampled tunes" if options.whole_bars else "sampled tunes, bars left to the network"
            figures = tune_scores(predictor, corpus, options.tunes, options.temperature, options.whole_bars)
        else:
            split = options.split
            figures = text_scores(predictor.model, corpus, split, options.limit, options.dynamic)
        folder = options.checkpoint or folders[corpus.name]
        report({"data": corpus.name, "split": split}, figures, folder if options.save else None)
