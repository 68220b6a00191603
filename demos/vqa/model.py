"""The answerer: a question read by an LSTM looks at the photo twice, and the shared LSTM decoder says the answer.

    photo -> CNN -> 81 places ------------------.  attention hops 1 and 2 (stacked attention, Yang et al. 2016)
    question -> bidirectional LSTM -> vector ---+-> product of what was asked and seen (Antol et al. 2015) -> decoder
    question as a bag of words -----------------+-> classes of frequent answers, if any (see demos.vqa.frequent)
    words of the question ----------------------+-> log-odds for "yes", if any (see demos.vqa.evidence)

While the LSTM reads the question it is told for every word how likely the photo shows it, by a word detector (the
"high-level concepts" of Wu et al. 2016). The same network answers without a photo: all places are then one learned
vector that means "nothing to see".
"""

import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from core.checkpoint import Checkpoint
from core.errors import check_number
from core.fast.precision import inference_dtype
from core.input.tokenizers import PAD
from core.networks.attention import Memory, SentinelAttention
from core.networks.decoder import DecoderConfig, LSTMDecoder
from core.networks.encoders import check_test_size, encoder_config, fold_batch_norm, shared_encoder, to_grid
from core.networks.recurrent import RecurrentStack
from demos.vqa.evidence import WordEvidence
from demos.vqa.frequent import Answering, FrequentAnswers, Tokens

DETECTOR_NOISE = 1.0  # standard deviation, in training, of the word detector's logits


@dataclass(frozen=True)
class VQAConfig:
    """Everything needed to build a VQA network without its weights."""

    vocab_size: int
    encoder: str = "efficientnet_lite2"
    photo_size: int = 224  # the training photos' stored size; a visitor's photo is squashed to it first
    test_size: int | None = None  # pixels a side at which photos are seen after training (see check_test_size)
    decoder: DecoderConfig = field(default_factory=lambda: DecoderConfig(vocab_size=0, num_layers=1))
    detected_words: int = 1024  # that the word detector knows
    frequent: tuple[Tokens, ...] = ()  # answers with a class of their own
    glances: int = 4  # how many small networks choose among them
    trust: float = 0.5  # share of the probability that such classes get at most, from 0 to less than 1
    wording: float = 0.0  # share that is taken away of what the wording alone says of yes and no, from 0 to less than 1
    evidence: float = 0.0  # log-odds that "yes" gets for each standard deviation of WordEvidence; 0: it has none
    hops: int = 2
    types: tuple[str, ...] = ("yes/no", "object", "number", "color", "location", "activity")
    dropout: float = 0.4

    def __post_init__(self) -> None:
        check_test_size(self.encoder, self.test_size)
        check_number("wording", self.wording, 0, 0.99)
        check_number("evidence", self.evidence, 0, 10)


@dataclass(frozen=True)
class Scene:
    """What there is to see on each of B photos."""

    places: Tensor  # (B, P, W)
    detected: Tensor  # (B, detected words + 1) probability of each word; the last is for words that it does not know
    seen: Tensor  # (B,) 1 with the photo, 0 without
    grids: Tensor  # (B, P, D) what the CNN makes of it

    def __getitem__(self, rows: Tensor) -> "Scene":
        """The scenes of some of the photos; one may come several times."""
        return Scene(self.places[rows], self.detected[rows], self.seen[rows], self.grids[rows])


@dataclass(frozen=True)
class Thought:
    """What the network made of N questions before it answers."""

    memory: Memory  # for the decoder; its summary (N, W) holds question and photo
    hops: tuple[Tensor, ...]  # (N, P + 1) attention of each hop, the sentinel last
    type_logits: Tensor  # (N, types)
    shares: Tensor  # (N, frequent answers + 1) log of the probability that each class has, and that the decoder has
    evidence: Tensor  # (N, T) log-odds that each word of the question adds to "yes", by what the photo shows


class VQA(nn.Module, Checkpoint):
    """Photo and question -> answer. The frozen stem is not part of the checkpoint; the tail is."""

    Config = VQAConfig
    unsaved_prefixes: ClassVar[tuple[str, ...]] = ("encoder.",)

    def __init__(self, config: VQAConfig):
        super().__init__()
        self.config = config
        facts = encoder_config(config.encoder)
        width, embed = config.decoder.memory_dim, config.decoder.embed_dim
        self.encoder = shared_encoder(config.encoder)
        self.tail = copy.deepcopy(self.encoder.tail)
        self.detector = nn.Linear(facts.feature_dim, config.detected_words)
        # of each token: the detector's word, or `detected_words` for "none"
        self.register_buffer("detector_word", torch.full((config.vocab_size,), config.detected_words))
        self.tail.requires_grad_(False)
        self.detector.requires_grad_(False)
        self.to_memory = nn.Sequential(nn.Linear(facts.feature_dim, width), nn.ReLU(), nn.Dropout(config.dropout))
        self.place = nn.Parameter(0.02 * torch.randn(facts.grid[0] * facts.grid[1], width))  # where on the photo
        self.normalise = nn.LayerNorm(width)
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
        self.class_of = {answer: number for number, answer in enumerate(config.frequent)}
        self.frequent = None
        if config.frequent:
            grid = facts.grid[0] * facts.grid[1]
            self.frequent = FrequentAnswers(facts.feature_dim, grid, len(config.frequent), config.glances)
        self.evidence = WordEvidence(facts.feature_dim, config.vocab_size) if config.evidence else None

    def train(self, mode: bool = True) -> "VQA":
        """The CNN's batch norm keeps its statistics, in training too."""
        super().train(mode)
        self.encoder.eval()
        self.tail.eval()
        return self

    def rebuilt(self, part: str, **settings: Any) -> "VQA":
        """The same network with other settings, and `part` of it untrained."""
        other = VQA(replace(self.config, **settings))
        kept = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith(f"{part}.")}
        other.load_state_dict(other.state_dict() | kept)
        return other

    def for_inference(self) -> "VQA":
        """This network made fast, in place, as Captioner.for_inference does: neither trained nor saved after that."""
        dtype = inference_dtype()
        self.encoder = shared_encoder(self.config.encoder, dtype)
        fold_batch_norm(self.tail).to(dtype)
        self.decoder.pack()
        return self.eval()

    def grid(self, stem_maps: Tensor) -> Tensor:
        """(B, C, h, w) stem maps -> (B, P, D) grid features"""
        return to_grid(self.tail(stem_maps)).to(self.place.dtype)

    def look(self, grids: Tensor, seen: Tensor | None = None) -> Scene:
        """(B, P, D) grid features -> Scene. `seen` (B,) is 0 where the photo is to be kept from the network."""
        seen = grids.new_ones(len(grids)) if seen is None else seen
        places = self.normalise(self.to_memory(grids) + self.place)
        mask = seen.view(-1, 1, 1).to(places.dtype)
        places = places * mask + self.nothing * (1 - mask)
        logits = self.detector(grids.mean(1)).float()
        if self.training:  # the detector knows the training photos too well: unreliable, as on other photos
            logits = logits + DETECTOR_NOISE * torch.randn_like(logits)
        detected = torch.sigmoid(logits) * seen.view(-1, 1)
        return Scene(places, nn.functional.pad(detected, (0, 1)), seen, grids)

    def think(self, scene: Scene, questions: Tensor) -> Thought:
        """B scenes and (B * k, T) questions, k a scene in order and padded at the end, -> Thought"""
        n, b = len(questions), len(scene.places)
        words = self.detector_word[questions].view(b, -1)  # (B, k T)
        likely = scene.detected.gather(1, words).view(n, -1, 1)  # (N, T, 1)
        known = (words < self.config.detected_words).view(n, -1, 1) * scene.seen.repeat_interleave(n // b).view(n, 1, 1)
        likelihood = (likely.clamp(min=1e-4).log() / 4 + 1) * known
        vectors = self.dropout(self.decoder.embedding(questions))
        outputs = self.reader(torch.cat([vectors, likely, likelihood], 2), (questions != PAD).sum(1))
        asked = outputs.state.hidden[-1].transpose(0, 1).flatten(1)  # (N, W): the last state of both directions
        query, glimpses, weights = asked, [], []
        for hop, normalise in zip(self.hops, self.after_hop, strict=True):
            memory = hop.project(scene.places, summary=query)
            glimpse, attention = hop(query[:, None], asked[:, None], memory)
            glimpses.append(glimpse[:, 0])
            weights.append(attention[:, 0])
            query = normalise(query + self.dropout(glimpse[:, 0]))
        concepts = self.concepts(scene.detected[:, :-1]).repeat_interleave(n // b, 0)
        product = torch.tanh(self.asked(asked)) * torch.tanh(
            self.seen(self.dropout(torch.cat([*glimpses, concepts], 1)))
        )
        summary = self.fused(self.dropout(product) + query)
        memory = self.decoder.project_memory(scene.places, summary=summary)
        shares, evidence = summary.new_zeros(n, 1), summary.new_zeros(questions.shape)  # all to the decoder, nothing
        rows = torch.arange(b, device=questions.device).repeat_interleave(n // b)
        if self.frequent is not None:
            shares = self.frequent.shares(questions, rows, scene.grids, scene.seen, self.config.trust)
        if self.evidence is not None:
            found = self.evidence(scene.grids, questions, rows) * scene.seen[rows, None]
            evidence = self.config.evidence * found
        return Thought(memory, tuple(weights), self.kind_of_question(asked), shares, evidence)

    def answering(self, thought: Thought) -> Answering:
        """How the questions that were thought about can be answered."""
        return Answering(self.decoder, thought.memory, self.class_of, thought.shares)

    def forward(self, stem_maps: Tensor, questions: Tensor, answers: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: (B, C, h, w) stem maps, (B * k, T) questions, (B * k, A) answers ->
        logits (B * k, A, V), type logits (B * k, types)."""
        thought = self.think(self.look(self.grid(stem_maps), seen), questions)
        return self.decoder(answers, thought.memory).logits, thought.type_logits
