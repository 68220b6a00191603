import pytest
import torch
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from core.input.tokenizers import (
    BOS,
    EOS,
    PAD,
    SPECIAL_TOKENS,
    UNK,
    encode,
    pad,
    train_bpe_tokenizer,
    train_word_tokenizer,
)

TEXTS = ["A dog 's bone .", "The café, 2 e-mails!", "a dog does n't bark", "low lower lowest\n\tnewest"] * 2


@pytest.fixture(scope="module", params=["word", "bpe"])
def tokenizer(request) -> PreTrainedTokenizerFast:
    return {
        "word": train_word_tokenizer,
        "bpe": lambda texts: train_bpe_tokenizer(texts, vocab_size=90),
    }[request.param](TEXTS)


def words(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    """The tokens between <bos> and <eos>."""
    (ids,) = encode(tokenizer, [text])
    return tokenizer.convert_ids_to_tokens(ids[1:-1])


# --- what all tokenizers have in common --------------------------------------------------------------------------


def test_special_tokens_have_the_same_ids_everywhere(tokenizer):
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert tokenizer.convert_ids_to_tokens([PAD, BOS, EOS, UNK]) == SPECIAL_TOKENS
    named = [tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id]
    assert named == [PAD, BOS, EOS, UNK]


def test_encode_frames_and_cuts(tokenizer):
    (whole,), (cut,), (empty,) = (encode(tokenizer, t, n) for t, n in ((["a dog"], None), (["a dog"], 1), ([""], None)))
    assert [whole[0], whole[-1]] == [BOS, EOS]
    assert not {PAD, BOS, EOS, UNK} & set(whole[1:-1])
    assert cut == [BOS, whole[1], EOS]
    assert empty == [BOS, EOS]
    assert encode(tokenizer, ["a", "dog"]) == encode(tokenizer, ["a"]) + encode(tokenizer, ["dog"])
    assert encode(tokenizer, []) == []


def test_a_special_token_in_a_text_is_only_text(tokenizer):
    """Or a visitor's "<eos>" would end the sentence, and "<pad>" would count as nothing."""
    for text in ("a <eos> dog", "<pad> a", "a <bos>"):
        (ids,) = encode(tokenizer, [text])
        assert not {PAD, BOS, EOS} & set(ids[1:-1])


def test_a_saved_tokenizer_is_the_same_tokenizer(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    texts = [*TEXTS, "un mot inconnu 99"]
    ids = encode(tokenizer, texts)
    assert encode(loaded, texts) == ids
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded.all_special_tokens == tokenizer.all_special_tokens
    for row in ids:
        assert loaded.decode(row, skip_special_tokens=True) == tokenizer.decode(row, skip_special_tokens=True)


def test_training_twice_gives_the_same_ids(tokenizer):
    train = {"WordLevel": train_word_tokenizer, "BPE": lambda texts: train_bpe_tokenizer(texts, vocab_size=90)}
    kind = type(tokenizer.backend_tokenizer.model).__name__
    assert train[kind](TEXTS).get_vocab() == tokenizer.get_vocab()


def test_pad():
    padded = pad([[BOS, 7, EOS], [BOS, EOS], [BOS, 5, 6, EOS]])
    assert padded.tolist() == [[BOS, 7, EOS, PAD], [BOS, EOS, PAD, PAD], [BOS, 5, 6, EOS]]
    assert padded.dtype == torch.long


# --- words -------------------------------------------------------------------------------------------------------


def test_words_are_lower_cased_without_punctuation():
    tokenizer = train_word_tokenizer(TEXTS)
    assert words(tokenizer, "A dog 's bone .") == ["a", "dog's", "bone"]
    assert words(tokenizer, 'The "CAFÉ", (2) e-mails!') == ["the", "café", "2", "e-mails"]
    assert words(tokenizer, "a dog does n't bark") == ["a", "dog", "doesn't", "bark"]
    assert words(tokenizer, "ｄｏｇ") == ["dog"]  # full-width letters, by NFKC
    assert words(tokenizer, " .,;!? \n") == []


def test_words_round_trip():
    tokenizer = train_word_tokenizer(TEXTS)
    (ids,) = encode(tokenizer, ["The dog's café, lowest ."])
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the dog's café lowest"
    assert tokenizer.decode(ids) == "<bos> the dog's café lowest <eos>"


def test_rare_and_unknown_words():
    texts = ["red red red blue blue green"]
    known = {count: set(train_word_tokenizer(texts, count).get_vocab()) - set(SPECIAL_TOKENS) for count in (1, 2, 3, 4)}
    assert known == {1: {"red", "blue", "green"}, 2: {"red", "blue"}, 3: {"red"}, 4: set()}
    tokenizer = train_word_tokenizer(texts, min_count=2)
    assert words(tokenizer, "red green purple blue") == ["red", "<unk>", "<unk>", "blue"]


# --- byte-pair encoding ------------------------------------------------------------------------------------------


def test_bpe_round_trips_what_it_can_spell():
    tokenizer = train_bpe_tokenizer(TEXTS, vocab_size=90)
    for text in ("A dog's bone!", "lowest newest", "bone  bone", "The café, 2 e-mails."):
        (ids,) = encode(tokenizer, [text])
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_bpe_merges_what_is_frequent_up_to_the_vocabulary_size():
    small, large = (train_bpe_tokenizer(["low lower lowest", "low lowest"] * 5, vocab_size=size) for size in (13, 19))
    assert (len(small), len(large)) == (13, 19)
    assert words(large, "low lowest") == ["▁low", "▁lowest"]
    assert words(small, "low lowest") == ["▁", "lo", "w", "▁", "lo", "w", "e", "s", "t"]
    assert words(large, "slow") == ["▁", "s", "lo", "w"]  # unseen, but spelt
    assert words(large, "lox") == ["▁lo", "<unk>"]


def test_bpe_splits_digits_and_punctuation():
    tokenizer = train_bpe_tokenizer(["in 1984, 1984, 1984 and 1984."] * 9, vocab_size=60)
    assert words(tokenizer, "1984.") == ["▁", "1", "9", "8", "4", "."]


def test_bpe_may_keep_contractions_and_normalise_otherwise():
    texts = ["It isn't bad, isn't it?"] * 3
    lower = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    whole = train_bpe_tokenizer(texts, 100, lower, contractions=True)
    assert whole.tokenize("Isn't") == ["▁isn't"]
    assert "▁isn't" not in train_bpe_tokenizer(texts, 100).get_vocab()
    jamo = train_bpe_tokenizer(["영화"] * 3, 6, normalizers.NFKD())
    assert "\u110b" in jamo.get_vocab()  # the consonant that 영 begins with
    assert "영" not in jamo.get_vocab()
