"""Which words of a question the photo speaks for: what decides a yes/no question about something seldom asked for.

People who are asked whether a photo shows a lesson or a conference use words of which no question teaches enough. But
people who describe photos use them, too, and a linear layer learns for every word of the vocabulary how the photos look
on whose captions it is (the "high-level concepts" of Wu et al. 2016). That cannot learn any question by heart.
"""

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from core.input.tokenizers import UNK
from demos.vqa.questions.lexicon import words

# Words that are in a question for its grammar, or that say of any photo what it is.
_GRAMMAR = words(
    """a an the this that these those there here it its is are was were be being been do does did can could would will
    should has have had any some you we i see seen look looks of in on at to for from with by or and as if not no yes
    picture pictures photo photos photograph image images what which who whose where when why how many much"""
)

# What follows these is known to be there: "Is the cat sleeping?" is about sleeping.
_DEFINITE = words("the this that these those his her its their")


class WordEvidence(nn.Module):
    """For each word of the vocabulary: how much more it is likely to be said of this photo than of others.

    usual: standard deviations that speak for nothing yet, since people ask for what might be there.
    """

    def __init__(self, feature_dim: int, vocab_size: int, usual: float):
        super().__init__()
        self.usual = usual
        self.scores = nn.Linear(feature_dim, vocab_size)  # in standard deviations over the training photos
        self.register_buffer("telling", torch.zeros(vocab_size))  # 1 for words that count
        self.register_buffer("definite", torch.zeros(vocab_size))  # 1 for words after which none does

    def forward(self, grid: Tensor, questions: Tensor, rows: Tensor) -> Tensor:
        """(B, P, D) grid features, (N, T) questions about photos `rows` (N,) -> (N, T) what each says of each word.

        A word that does not count has 0. Others are divided by the root of their number, so that their sum, which is
        what the photo says of the question, has one scale however long it is; each loses its share of what is usual.
        """
        scores = self.scores(grid.mean(1))
        known = nn.functional.pad(self.definite[questions[:, :-1]], (1, 0))
        tells = self.telling[questions] * (1 - known)
        tells = torch.where(tells.any(1, keepdim=True), tells, self.telling[questions])  # "Is this coffee?"
        count = tells.sum(1, keepdim=True).clamp(min=1)
        return (scores[rows[:, None], questions] / count.sqrt() - self.usual / count) * tells


def telling_words(tokenizer: PreTrainedTokenizerFast, known: Tensor) -> Tensor:
    """(V,) 1 for each word of content that is `known` (V,), 0 for the rest."""
    telling = (known > 0).float()
    telling[: UNK + 1] = 0
    for word, token in tokenizer.get_vocab().items():
        if word in _GRAMMAR or not any(map(str.isalpha, word)):
            telling[token] = 0
    return telling


def definite_words(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """(V,) 1 for each word that points at something known, 0 for the rest."""
    definite = torch.zeros(len(tokenizer))
    definite[[token for word, token in tokenizer.get_vocab().items() if word in _DEFINITE]] = 1
    return definite
