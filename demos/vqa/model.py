"""The answerer: a question read by an LSTM looks at the photo twice, and the shared LSTM decoder says the answer.

    photo -> CNN -> 81 places ------------------.  attention hops 1 and 2 (stacked attention, Yang et al. 2016)
    question -> bidirectional LSTM -> vector ---+-> product of what was asked and seen (Antol et al. 2015) -> decoder
    question as a bag of words -----------------+-> classes of frequent answers, if any (see demos.vqa.classifier)
    words of the question ----------------------+-> log-odds for "yes", if any (see demos.vqa.evidence)

While the LSTM reads the question it is told for every word how likely the photo shows it, by a word detector (the
"high-level concepts" of Wu et al. 2016). The same network answers without a photo: all places are then one learned
vector that means "nothing to see".
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.errors import check_number
from core.input.tokenizers import PAD
from core.networks.attention import Memory, SentinelAttention
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.networks.encoders import check_test_size, encoder_config
from core.networks.photo import PhotoNetwork
from core.networks.recurrent import RecurrentStack
from demos.vqa.classifier import ClassifierConfig, ClassifierEnsemble
from demos.vqa.evidence import WordEvidence


@dataclass(frozen=True)
class VQAConfig:
    """Everything needed to build a VQA network without its weights."""

    vocab_size: int
    encoder: str = "efficientnet_lite2"
    photo_size: int = 224  # the training photos' stored size; a visitor's photo is squashed to it first
    test_size: int | None = None  # pixels a side at which photos are seen after training (see check_test_size)
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(vocab_size=0, num_layers=1))
    detected_words: int = 1024  # that the word detector knows
    detector_noise: float = 1.0  # standard deviation, in training, of the word detector's logits
    classifier: ClassifierConfig = field(default_factory=ClassifierConfig)
    language_prior: float = 0.0  # share of it that is taken away from yes and no, from 0 to less than 1
    evidence: float = 0.0  # log-odds that "yes" gets for each standard deviation of WordEvidence; 0: it has none
    usual_evidence: float = 1.5  # standard deviations that are usual: only more than that speaks for "yes"
    hops: int = 2
    types: tuple[str, ...] = ("yes/no", "object", "number", "color", "location", "activity")
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_test_size(self.encoder, self.test_size)
        check_number("language_prior", self.language_prior, 0, 0.99)
        check_number("evidence", self.evidence, 0, 10)


@dataclass(frozen=True)
class PhotoFeatures:
    """What there is to see on each of B photos."""

    places: Tensor  # (B, P, W)
    detected: Tensor  # (B, detected words + 1) probability of each word; the last is for words that it does not know
    visible: Tensor  # (B,) 1 with the photo, 0 where it is kept from the network
    grid: Tensor  # (B, P, D) what the CNN makes of it

    def __getitem__(self, rows: Tensor) -> "PhotoFeatures":
        """The features of some of the photos; one may come several times."""
        return PhotoFeatures(self.places[rows], self.detected[rows], self.visible[rows], self.grid[rows])


@dataclass(frozen=True)
class EncodedQuestions:
    """N questions after they were read and looked for on their photos: what answers are made from."""

    memory: Memory  # for the decoder; its summary (N, W) holds question and photo
    hops: tuple[Tensor, ...]  # (N, P + 1) attention of each hop, the sentinel last
    type_logits: Tensor  # (N, types)
    log_weights: Tensor  # (N, answer classes + 1) log-probability of each class, and of the decoder (mixture weights)
    evidence: Tensor  # (N, T) log-odds that each word of the question adds to "yes", by what the photo shows

    def __getitem__(self, rows: slice) -> "EncodedQuestions":
        """Some of the questions, where each has a memory of its own."""
        hops = tuple(attention[rows] for attention in self.hops)
        rest = self.type_logits[rows], self.log_weights[rows], self.evidence[rows]
        return EncodedQuestions(self.memory[rows], hops, *rest)


class PairedQuestions(NamedTuple):
    """The same N questions, encoded with their photos and without."""

    with_photo: EncodedQuestions
    without_photo: EncodedQuestions


class VQA(PhotoNetwork):
    """Photo and question -> answer. The frozen stem is not part of the checkpoint; the tail is.

    The names of its parts are those of the tensors in checkpoints.
    """

    Config = VQAConfig
    config: VQAConfig

    def __init__(self, config: VQAConfig):
        width, embed = config.decoder.memory_dim, config.decoder.embed_dim
        super().__init__(config, width, config.dropout)
        self.place = nn.Parameter(self.place.detach().flatten(0, 1))  # (P, W), as checkpoints hold it
        feature_dim = encoder_config(config.encoder).feature_dim
        self.detector = nn.Linear(feature_dim, config.detected_words)
        # of each token: the detector's word, or `detected_words` for "none"
        self.register_buffer("detector_word", torch.full((config.vocab_size,), config.detected_words))
        self.tail.requires_grad_(False)
        self.detector.requires_grad_(False)
        self.nothing = nn.Parameter(0.02 * torch.randn(width))  # instead of every place when there is no photo
        self.decoder = LSTMDecoder(config.decoder)
        self.reader = RecurrentStack(embed + 2, width // 2, bidirectional=True, dropout=0.0)
        self.hops = nn.ModuleList(
            SentinelAttention(width, width, width, config.decoder.heads) for _ in range(config.hops)
        )
        self.after_hop = nn.ModuleList(nn.LayerNorm(width) for _ in range(config.hops))
        self.concepts = nn.Linear(config.detected_words, width, bias=False)
        self.asked = nn.Linear(width, width)
        self.seen = nn.Linear((config.hops + 1) * width, width)
        self.fused = nn.LayerNorm(width)
        self.kind_of_question = nn.Linear(width, len(config.types))
        self.dropout = nn.Dropout(config.dropout)
        classes = config.classifier.answers
        self.frequent = ClassifierEnsemble(feature_dim, len(self.place), config.classifier) if classes else None
        self.evidence = None
        if config.evidence:
            self.evidence = WordEvidence(feature_dim, config.vocab_size, config.usual_evidence)

    def with_untrained(self, part: str, **settings: Any) -> "VQA":
        """The same network with other settings, and `part` of it untrained."""
        other = VQA(replace(self.config, **settings))
        kept = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(f"{part}.")}
        other.load_state_dict(other.state_dict() | kept)
        return other

    def for_inference(self) -> "VQA":
        """This network with a fast CNN, in place: it can neither be trained nor saved after that."""
        self.make_cnn_fast()
        return self.eval()

    def features(self, grid: Tensor, visible: Tensor | None = None) -> PhotoFeatures:
        """(B, P, D) grid features -> PhotoFeatures. `visible` (B,) is 0 where the photo is kept from the network."""
        visible = grid.new_ones(len(grid)) if visible is None else visible
        mask = visible.view(-1, 1, 1).to(self.place.dtype)
        places = self.places(grid) * mask + self.nothing * (1 - mask)
        logits = self.detector(grid.mean(1)).float()
        if self.training:  # the detector knows the training photos too well: unreliable, as on other photos
            logits = logits + self.config.detector_noise * torch.randn_like(logits)
        detected = torch.sigmoid(logits) * visible.view(-1, 1)
        return PhotoFeatures(places, nn.functional.pad(detected, (0, 1)), visible, grid)

    def encode(self, photos: PhotoFeatures, questions: Tensor) -> EncodedQuestions:
        """B photos and (B * k, T) questions, k a photo in order and padded at the end, -> EncodedQuestions"""
        n, b = len(questions), len(photos.places)
        rows = torch.arange(b, device=questions.device).repeat_interleave(n // b)
        asked = self._read(photos, questions)
        query, glimpses, weights = asked, [], []
        for hop, normalise in zip(self.hops, self.after_hop, strict=True):
            memory = hop.project(photos.places, summary=query)
            glimpse, attention = hop(query[:, None], asked[:, None], memory)
            glimpses.append(glimpse[:, 0])
            weights.append(attention[:, 0])
            query = normalise(query + self.dropout(glimpse[:, 0]))
        concepts = self.concepts(photos.detected[:, :-1]).repeat_interleave(n // b, 0)
        product = torch.tanh(self.asked(asked)) * torch.tanh(
            self.seen(self.dropout(torch.cat([*glimpses, concepts], 1)))
        )
        summary = self.fused(self.dropout(product) + query)
        memory = self.decoder.project_memory(photos.places, summary=summary)
        log_weights, evidence = summary.new_zeros(n, 1), summary.new_zeros(questions.shape)  # all to the decoder; none
        if self.frequent is not None:
            log_weights = self.frequent.log_weights(questions, rows, photos.grid, photos.visible)
        if self.evidence is not None:
            found = self.evidence(photos.grid, questions, rows) * photos.visible[rows, None]
            evidence = self.config.evidence * found
        return EncodedQuestions(memory, tuple(weights), self.kind_of_question(asked), log_weights, evidence)

    def encode_pairs(self, photos: PhotoFeatures, questions: Tensor) -> PairedQuestions:
        """N photos and (N, T) questions, one a photo -> encoded with the photos and without, as one batch."""
        n = len(questions)
        hidden = PhotoFeatures(
            self.nothing.expand_as(photos.places),
            torch.zeros_like(photos.detected),
            torch.zeros_like(photos.visible),
            photos.grid,
        )
        both = PhotoFeatures(
            *(torch.cat(parts) for parts in zip(vars(photos).values(), vars(hidden).values(), strict=True))
        )
        encoded = self.encode(both, questions.repeat(2, 1))
        return PairedQuestions(encoded[:n], encoded[n:])

    def _read(self, photos: PhotoFeatures, questions: Tensor) -> Tensor:
        """(B * k, T) questions -> (B * k, W): the last state of both directions of the LSTM that reads them."""
        n, b = len(questions), len(photos.places)
        words = self.detector_word[questions].view(b, -1)  # (B, k T)
        likely = photos.detected.gather(1, words).view(n, -1, 1)  # (N, T, 1)
        visible = photos.visible.repeat_interleave(n // b).view(n, 1, 1)
        known = (words < self.config.detected_words).view(n, -1, 1) * visible
        likelihood = (likely.clamp(min=1e-4).log() / 4 + 1) * known
        vectors = self.dropout(self.decoder.embedding(questions))
        outputs = self.reader(torch.cat([vectors, likely, likelihood], 2), (questions != PAD).sum(1))
        return outputs.state.hidden[-1].transpose(0, 1).flatten(1)

    def forward(self, stem_maps: Tensor, questions: Tensor, answers: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: (B, C, h, w) stem maps, (B * k, T) questions, (B * k, A) answers ->
        logits (B * k, A, V), type logits (B * k, types)."""
        encoded = self.encode(self.features(self.grid(stem_maps), visible), questions)
        return self.decoder(answers, encoded.memory).logits, encoded.type_logits
