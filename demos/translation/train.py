"""The recipe of the translator: one network for all directions, taught with the references' own words before it.

`python -m demos.translation train --help` gives the exact command behind the shipped checkpoint.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from operator import itemgetter
from pathlib import Path

import torch
from accelerate.utils import set_seed
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from core.checkpoint import load_tokenizer
from core.errors import InputError
from core.input.tokenizers import BOS, EOS, PAD, UNK, encode, train_bpe_tokenizer
from core.networks.decoder import DecoderConfig
from core.training.loop import Loss, TrainingConfig, best_precision, train
from demos.translation.data import (
    COPY,
    LANGUAGES,
    PAIRS,
    TAGS,
    Noise,
    Rounds,
    SentencePair,
    Tatoeba,
    multi30k_pairs,
    read_tatoeba,
)
from demos.translation.evaluate import backward_scores, dev_scores, multi30k_sets, tatoeba_sets
from demos.translation.model import Translator, TranslatorConfig, bit_set, with_config
from demos.translation.text import alphabet_of, prepare


class TranslationLoss:
    """Label-smoothed cross-entropy of the target; some of the words that the decoder reads are hidden (word dropout).

    A decoder that cannot rely on its last word has to look at the source (Bowman et al. 2016; Gal & Ghahramani 2016).
    `backward` teaches the decoder that writes from right to left.
    """

    def __init__(self, smoothing: float = 0.1, word_dropout: float = 0.05, backward: bool = False):
        self.smoothing, self.word_dropout, self.backward = smoothing, word_dropout, backward

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], carry: None) -> Loss:
        """{"source": (B, S), "target": (B, T)} -> Loss, a mean over target tokens"""
        target = right_to_left(batch["target"]) if self.backward else batch["target"]
        read, wanted = target[:, :-1], target[:, 1:]
        hidden = torch.rand(read.shape, device=read.device) < self.word_dropout
        logits = model(batch["source"], read.masked_fill(hidden & (read != BOS), UNK), self.backward)
        value = nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=PAD, label_smoothing=self.smoothing
        )
        return Loss(value)


def right_to_left(target: Tensor) -> Tensor:
    """(B, T) targets from <bos> to <eos>, padded at the end -> the same with the words between in reverse order."""
    last = (target != PAD).sum(1, keepdim=True) - 1  # place of <eos>
    place = torch.arange(target.size(1), device=target.device).expand_as(target)
    inside = (place > 0) & (place < last)
    return target.gather(1, torch.where(inside, last - place, place))


def new_translator(
    pairs: list[SentencePair], vocab_size: int, encoder_layers: int, dropout: float
) -> tuple[Translator, PreTrainedTokenizerFast]:
    """An untrained model, and the tokenizer of the training sentences; every distinct one counts once."""
    texts = sorted({text for pair in pairs for text in (pair.text, pair.translation)})
    tokenizer = train_bpe_tokenizer(texts, vocab_size, tags=TAGS, placeholder=COPY)
    decoder = DecoderConfig(len(tokenizer), heads=4, dropout=dropout)
    config = TranslatorConfig(len(tokenizer), PAIRS, encoder_layers=encoder_layers, dropout=dropout, decoder=decoder)
    return Translator(config), tokenizer


def with_dropout(model: Translator, dropout: float) -> Translator:
    """The same weights in a model of another dropout."""
    return with_config(model, dropout=dropout, decoder=replace(model.config.decoder, dropout=dropout))


def with_words(
    model: Translator, tokenizer: PreTrainedTokenizerFast, pairs: list[SentencePair], least: int = 3
) -> Translator:
    """The same weights in a model that writes each language with the tokens of its training translations only.

    A token has to occur `least` times. The special tokens and COPY belong to every language.
    """
    texts, words = defaultdict(set), {}
    for pair in pairs:
        texts[pair.target].add(pair.translation)
    for language, translations in sorted(texts.items()):
        counts = Counter(token for ids in encode(tokenizer, sorted(translations)) for token in ids)
        often = [token for token, count in counts.items() if count >= least]
        words[language] = bit_set([PAD, BOS, EOS, UNK, tokenizer.convert_tokens_to_ids(COPY), *often])
    return with_config(model, words=tuple(words.items()))


def with_known(
    model: Translator, tokenizer: PreTrainedTokenizerFast, pairs: list[SentencePair], least: int = 2
) -> Translator:
    """The same weights in a model that translates words which it would copy for their looks, but has learnt.

    Those occur `least` times in a language's training sentences, and stand unchanged in at most half of the
    translations: "T-shirt" is a name to look at, "rodéo" in so many pieces a foreign word.
    """
    alphabet, pieces = alphabet_of(tokenizer), cache(lambda word: len(tokenizer.tokenize(word)))
    seen, unchanged = defaultdict(Counter), defaultdict(Counter)
    for pair in pairs:
        for word in prepare(pair.text, pair.source, alphabet, pieces).copied:
            seen[pair.source][word.casefold()] += 1
            unchanged[pair.source][word.casefold()] += word in pair.translation
    known = {
        language: " ".join(sorted(w for w, n in words.items() if n >= least and unchanged[language][w] <= n / 2))
        for language, words in sorted(seen.items())
    }
    return with_config(model, known=tuple(known.items()))


def for_backward(model: Translator, languages: Sequence[str]) -> Translator:
    """The same network with a decoder that writes `languages` from right to left, all that there is to train."""
    model = with_config(model, backward=tuple(languages)).requires_grad_(False)
    model.backward.requires_grad_(True)
    model.decoder.embedding.requires_grad_(False)  # both decoders share it
    return model


def save(tokenizer: PreTrainedTokenizerFast, folder: Path, model: Translator) -> None:
    """A checkpoint in `folder`/best, ready to ship or to start from."""
    model.save_pretrained(folder / "best")
    tokenizer.save_pretrained(folder / "best")


# --- command line ------------------------------------------------------------------------------------------------

_RECIPE = r"""
the shipped checkpoint (data: see its model card); interrupt at any time, continue with --resume:
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --out runs/translation \
      --rounds 13 --batch-tokens 1536 --bpe-dropout 0
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --out runs/translation2 \
      --start runs/translation/best --rounds 11 --round-pairs 38000 26000 --batch-tokens 1536 --bpe-dropout 0 \
      --schedule linear --learning-rate 8e-4 --dropout 0.15 --seed 5
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --out runs/translation3 \
      --start runs/translation2/best --rounds 12 --round-pairs 36000 24000 --batch-tokens 1536 --bpe-dropout 0 \
      --schedule linear --learning-rate 1e-3 --dropout 0.15 --dev-sentences 100 --seed 7
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --out runs/translation4 \
      --start runs/translation3/best --rounds 11 --round-pairs 36000 26000 --batch-tokens 1536 --bpe-dropout 0 \
      --schedule linear --learning-rate 1e-3 --dropout 0.15 --dev-sentences 100 --seed 11
  python -m demos.translation captions --flickr8k flickr8k --multi30k multi30k --languages fr de \
      --checkpoint runs/translation4/best --out runs/captions
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --captions runs/captions \
      --out runs/translation5 --start runs/translation4/best --rounds 11 --round-pairs 26000 44000 \
      --round-captions 14000 --batch-tokens 1536 --bpe-dropout 0 --schedule linear --learning-rate 1e-3 \
      --dropout 0.15 --dev-sentences 100 --seed 13
  python -m demos.translation captions --flickr8k flickr8k --multi30k multi30k --languages fr --n-best 4 --own \
      --out runs/captions4
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --captions runs/captions4 \
      --start runs/translation5/best --backward en --directions fr-en --round-pairs 9000 11000 \
      --round-captions 12000 --batch-tokens 1536 --bpe-dropout 0 --schedule linear --learning-rate 2e-3 \
      --dropout 0.2 --minutes 84 --seed 31 --out runs/backward
  python -m demos.translation train --multi30k multi30k --tatoeba tatoeba/fra.txt.gz --captions runs/captions4 \
      --start runs/backward/best --backward en --directions fr-en --round-pairs 6000 20000 --round-captions 6000 \
      --batch-tokens 1536 --bpe-dropout 0 --schedule linear --learning-rate 1.2e-3 --dropout 0.2 --minutes 70 \
      --seed 41 --out runs/backward2
"""

_CONFIG = TrainingConfig(
    epochs=200, learning_rate=2e-3, schedule="inverse_sqrt", warmup_steps=500, average=0.998, patience=40
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    parser.formatter_class, parser.epilog = argparse.RawDescriptionHelpFormatter, _RECIPE
    parser.add_argument("--multi30k", type=Path, required=True, help="folder with train.en.gz, train.de.gz, ...")
    parser.add_argument("--tatoeba", type=Path, help="fra.txt or fra.txt.gz: English TAB French")
    parser.add_argument("--start", type=Path, help="checkpoint to continue from (default: an untrained network)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the log, the curve and the best checkpoint")
    parser.add_argument("--resume", action="store_true", help="continue an interrupted run in --out")
    help_text = "evaluations (default: %(default)s); 0 saves --start as it is, with its languages' words"
    parser.add_argument("--rounds", type=int, default=_CONFIG.epochs, help=help_text)
    parser.add_argument("--round-pairs", type=int, nargs=2, default=[36000, 20000], metavar=("MULTI30K", "TATOEBA"),
                        help="sentence pairs between two evaluations (default: %(default)s)")  # fmt: skip
    parser.add_argument("--captions", type=Path, help="folder that `captions` wrote: more sentences like Multi30k's")
    parser.add_argument("--round-captions", type=int, default=14000, help="pairs of these between two evaluations")
    help_text = "sentence pairs of these languages only, such as fr-en (default: all)"
    parser.add_argument("--directions", nargs="+", choices=["-".join(pair) for pair in PAIRS], help=help_text)
    help_text = "teach only a decoder that writes these languages from right to left; all else stays as it is"
    parser.add_argument("--backward", nargs="+", default=[], choices=list(LANGUAGES), help=help_text)
    parser.add_argument("--minutes", type=float, help="by the clock instead of --rounds")
    parser.add_argument("--learning-rate", type=float, default=_CONFIG.learning_rate)
    parser.add_argument("--schedule", choices=["inverse_sqrt", "linear", "cosine"], default=_CONFIG.schedule)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--batch-tokens", type=int, default=3072, help="target tokens a batch (default: %(default)s)")
    parser.add_argument("--bpe-dropout", type=float, default=Noise.bpe_dropout)
    parser.add_argument("--vocab-size", type=int, default=8000)
    parser.add_argument("--encoder-layers", type=int, default=2)
    parser.add_argument("--dev-sentences", type=int, default=200, help="per direction, to choose the best by")
    parser.add_argument("--precision", choices=["auto", "no", "bf16"], default="auto")
    parser.add_argument("--seed", type=int, default=1)


def main(options: argparse.Namespace) -> None:
    """Train one network for all directions, or its backward decoder."""
    if options.rounds < 0 or min(*options.round_pairs, options.round_captions) < 0 or not sum(options.round_pairs):
        raise InputError("Give no negative number, and at least one sentence pair a round (--rounds, --round-pairs).")
    if options.minutes is not None and options.minutes <= 0:
        raise InputError(f"--minutes must be more than 0, not {options.minutes:g}.")
    tatoeba = read_tatoeba(options.tatoeba) if options.tatoeba else None
    everything = _corpora(options, tatoeba)
    pairs = [pair for corpus, _ in everything for pair in corpus]
    set_seed(options.seed)
    best = options.out / "best"
    if options.start or (options.resume and best.is_dir()):
        start = options.start or best
        model, tokenizer = with_dropout(Translator.from_pretrained(start), options.dropout), load_tokenizer(start)
    else:
        model, tokenizer = new_translator(pairs, options.vocab_size, options.encoder_layers, options.dropout)
    if not options.backward:
        model = with_known(with_words(model, tokenizer, pairs), tokenizer, pairs)
    if not options.rounds:  # nothing to learn: --start as it is, for these data's words
        save(tokenizer, options.out, model)
        return
    if options.backward:
        model = for_backward(model, options.backward)
    corpora, shares = zip(*_wanted(everything, options), strict=True)
    rounds = Rounds(
        corpora, shares, tokenizer, options.batch_tokens, Noise(bpe_dropout=options.bpe_dropout), options.seed
    )
    precision = best_precision() if options.precision == "auto" else options.precision
    config = replace(
        _CONFIG, epochs=options.rounds, minutes=options.minutes, learning_rate=options.learning_rate,
        schedule=options.schedule, seed=options.seed, precision=precision,
    )  # fmt: skip
    sets = multi30k_sets(options.multi30k, "dev") | (tatoeba_sets(tatoeba, "dev") if tatoeba else {})
    sets = {name: items[: options.dev_sentences] for name, items in sets.items() if _is_wanted(name[2], options)}
    evaluate = partial(backward_scores if options.backward else dev_scores, tokenizer=tokenizer, sets=sets)
    loader = DataLoader(rounds, batch_size=1, collate_fn=itemgetter(0))  # an item is a batch already
    train(
        model, loader, TranslationLoss(backward=bool(options.backward)), config, options.out, evaluate,
        partial(save, tokenizer, options.out), resume=options.resume,
    )  # fmt: skip


Corpora = list[tuple[list[SentencePair], int]]  # sentence pairs, and how many of them a round has


def _corpora(options: argparse.Namespace, tatoeba: Tatoeba | None) -> Corpora:
    corpora = [(multi30k_pairs(options.multi30k, "train"), options.round_pairs[0])]
    if tatoeba:
        corpora.append((tatoeba.pairs(), options.round_pairs[1]))
    if options.captions:
        corpora.append((multi30k_pairs(options.captions, "captions"), options.round_captions))
    return corpora


def _wanted(corpora: Corpora, options: argparse.Namespace) -> Corpora:
    """The pairs of the directions to learn."""
    chosen = [([p for p in corpus if _is_wanted((p.source, p.target), options)], share) for corpus, share in corpora]
    kept = [(corpus, share) for corpus, share in chosen if corpus and share]
    if not kept:
        raise InputError("No sentence pair is of the languages named: choose others with --directions or --backward.")
    return kept


def _is_wanted(pair: tuple[str, str], options: argparse.Namespace) -> bool:
    named = not options.directions or "-".join(pair) in options.directions
    return named and (not options.backward or pair[1] in options.backward)
