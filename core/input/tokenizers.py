"""Tokenizers on Hugging Face `tokenizers`, saved as transformers' PreTrainedTokenizerFast.

The four special tokens have the same ids everywhere, so that decoders and search need no tokenizer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = range(4)
SPECIAL_TOKENS = ["<pad>", "<bos>", "<eos>", "<unk>"]


@dataclass(frozen=True)
class Token:
    """A piece of a text that a decoder wrote, and its log-probability (nats)."""

    text: str
    logprob: float


def train_word_tokenizer(texts: Iterable[str], min_count: int = 1) -> PreTrainedTokenizerFast:
    """Lower-cased words without punctuation; words seen less than `min_count` times become <unk>.

    "A dog 's bone ." -> a | dog's | bone
    """
    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS[UNK]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(" (?='s\\b|n't\\b)"), "")]
    )
    word = Regex("[\\p{L}\\p{N}]+(?:['’-][\\p{L}\\p{N}]+)*")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(word, behavior="removed", invert=True)
    trainer = trainers.WordLevelTrainer(min_frequency=min_count, special_tokens=SPECIAL_TOKENS, show_progress=False)
    return _train(tokenizer, trainer, texts)


def train_bpe_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    normalizer: normalizers.Normalizer | None = None,
    contractions: bool = False,
    tags: Sequence[str] = (),
    placeholder: str = "",
) -> PreTrainedTokenizerFast:
    """Byte-pair encoding (Sennrich et al. 2016), cased, over words that carry the space before them.

    normalizer: NFC by default; e.g. NFKC and lower case, or NFKD, which spells Korean in jamo, its single letters.
    contractions: keep the apostrophe within a word, so that "isn't" is one.
    tags: more special tokens; they get the ids from 4 on.
    placeholder: a character that is always a token by itself.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[UNK]))
    tokenizer.normalizer = normalizer or normalizers.NFC()
    punctuation = pre_tokenizers.Punctuation()
    if contractions:
        punctuation = pre_tokenizers.Split(Regex("[^\\p{L}\\p{M}\\p{N}▁']"), behavior="isolated")
    cuts = [pre_tokenizers.Metaspace(), punctuation, pre_tokenizers.Digits(individual_digits=True)]
    if placeholder:
        cuts.append(pre_tokenizers.Split(placeholder, behavior="isolated"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[*SPECIAL_TOKENS, *tags],
        initial_alphabet=list(placeholder),
        show_progress=False,
    )
    return _train(tokenizer, trainer, texts)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], max_length: int | None = None) -> list[list[int]]:
    """Token ids of each text between <bos> and <eos>, cut to `max_length` tokens of text.

    A special token written out in a text, "<eos>", is text like any other.
    """
    if not texts:
        return []
    batch = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    return [[BOS, *ids[:max_length], EOS] for ids in batch]


def pad(sequences: Sequence[Sequence[int]]) -> Tensor:
    """N lists of token ids -> (N, T), filled with <pad> at the end."""
    rows = [torch.tensor(s, dtype=torch.long) for s in sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)


def _train(tokenizer: Tokenizer, trainer: trainers.Trainer, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    tokenizer.train_from_iterator(texts, trainer)
    pad_token, bos, eos, unk = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad_token, bos_token=bos, eos_token=eos, unk_token=unk
    )
