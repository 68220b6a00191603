"""The Transformers that a user would pick instead, in their published configuration but with random weights.

How long a network takes depends on its shape, not on its weights, so nothing is downloaded and only times may be
compared. The length of a caption would depend on the weights: it is fixed instead. Turning token ids into text is left
out, as it needs the vocabulary; it takes well under a millisecond.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from core.fast.torchvision_import import import_torchvision

import_torchvision()  # before transformers' image processors, which import it

from transformers import (  # noqa: E402
    BlipConfig,
    BlipForConditionalGeneration,
    BlipForQuestionAnswering,
    BlipImageProcessor,
    BlipTextConfig,
    BlipVisionConfig,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    VisionEncoderDecoderConfig,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessor,
)
from transformers.image_processing_utils import BaseImageProcessor  # noqa: E402


@dataclass(frozen=True)
class Peer:
    """A network with the preprocessing that belongs to it."""

    name: str  # of the published model whose configuration this is
    model: PreTrainedModel
    processor: BaseImageProcessor


def blip_base_config() -> BlipConfig:
    """config.json of Salesforce/blip-image-captioning-base (Li et al. 2022): 224 M parameters, embeddings tied."""
    vision = BlipVisionConfig(  # ViT-B/16 at 384 px: 577 tokens
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        image_size=384, patch_size=16, hidden_act="gelu", layer_norm_eps=1e-5, initializer_range=0.02,
    )  # fmt: skip
    text = BlipTextConfig(  # BERT-base with cross attention
        vocab_size=30524, hidden_size=768, encoder_hidden_size=768, intermediate_size=3072,
        num_hidden_layers=12, num_attention_heads=12, max_position_embeddings=512, hidden_act="gelu",
        layer_norm_eps=1e-12, bos_token_id=30522, eos_token_id=2, sep_token_id=102, pad_token_id=0,
        is_decoder=True, use_cache=True,
    )  # fmt: skip
    return BlipConfig(vision_config=vision, text_config=text, projection_dim=512, image_text_hidden_size=256)


def vit_gpt2_config() -> VisionEncoderDecoderConfig:
    """config.json of nlpconnect/vit-gpt2-image-captioning: 239 M parameters."""
    encoder = ViTConfig(  # ViT-B/16 at 224 px: 197 tokens
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12,
        image_size=224, patch_size=16, hidden_act="gelu", layer_norm_eps=1e-12, qkv_bias=True,
    )  # fmt: skip
    decoder = GPT2Config(  # GPT-2 small with cross attention
        vocab_size=50257, n_embd=768, n_layer=12, n_head=12, n_positions=1024, activation_function="gelu_new",
        bos_token_id=50256, eos_token_id=50256, add_cross_attention=True, is_decoder=True, use_cache=True,
    )  # fmt: skip
    config = VisionEncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id = config.pad_token_id = config.eos_token_id = 50256
    return config


def build_blip(config: BlipConfig | None = None) -> Peer:
    """BLIP with random weights: float32, eval mode. Without a config, BLIP-base for captioning."""
    model = BlipForConditionalGeneration(config or blip_base_config()).eval()
    size = model.config.vision_config.image_size
    # preprocessor_config.json: squash to 384 x 384, bicubic, CLIP's mean and standard deviation
    processor = BlipImageProcessor(size={"height": size, "width": size}, resample=Image.Resampling.BICUBIC)
    return Peer("Salesforce/blip-image-captioning-base", model, processor)


def build_vit_gpt2(config: VisionEncoderDecoderConfig | None = None) -> Peer:
    """ViT encoder and GPT-2 decoder with random weights: float32, eval mode. Without a config, ViT-GPT2."""
    model = VisionEncoderDecoderModel(config or vit_gpt2_config()).eval()
    size = model.config.encoder.image_size
    # preprocessor_config.json: squash to 224 x 224, bilinear, mean and standard deviation 0.5
    processor = ViTImageProcessor(size={"height": size, "width": size}, resample=Image.Resampling.BILINEAR)
    return Peer("nlpconnect/vit-gpt2-image-captioning", model, processor)


@torch.inference_mode()
def caption(peer: Peer, photo: str | Path, num_tokens: int = 12, num_beams: int = 1) -> Tensor:
    """Photo file -> preprocessing -> (T,) ids of a caption, `num_tokens` of them generated after the prompt.

    Greedy with one beam, as transformers does by default. `num_tokens` is both minimum and maximum, so that random
    weights do not decide the length; 12 is about that of a COCO caption (10.5 words) with its end.
    """
    with Image.open(photo) as image:
        pixels = peer.processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"]
    generated = peer.model.generate(
        pixel_values=pixels,
        min_new_tokens=num_tokens,
        max_new_tokens=num_tokens,
        num_beams=num_beams,
        do_sample=False,
    )
    return generated[0]


# --- visual question answering -----------------------------------------------------------------------------------


def build_blip_vqa(config: BlipConfig | None = None) -> Peer:
    """BLIP that answers questions, with random weights: float32, eval mode. Without a config, BLIP-base for VQA.

    Salesforce/blip-vqa-base shares the captioner's configuration, with a second text network: 361 M parameters, tied.
    """
    model = BlipForQuestionAnswering(config or blip_base_config()).eval()
    size = model.config.vision_config.image_size
    processor = BlipImageProcessor(size={"height": size, "width": size}, resample=Image.Resampling.BICUBIC)
    return Peer("Salesforce/blip-vqa-base", model, processor)


@torch.inference_mode()
def answer(peer: Peer, photo: str | Path, question: Tensor, num_tokens: int = 2) -> Tensor:
    """Photo file and (1, T) question ids -> (T',) ids of a greedy answer, `num_tokens` generated after the first.

    2 are an answer of one word with its end, as most are.
    """
    with Image.open(photo) as image:
        pixels = peer.processor(images=image.convert("RGB"), return_tensors="pt")["pixel_values"]
    generated = peer.model.generate(
        input_ids=question, pixel_values=pixels, attention_mask=torch.ones_like(question),
        min_new_tokens=num_tokens, max_new_tokens=num_tokens, num_beams=1, do_sample=False,
    )  # fmt: skip
    return generated[0]


# --- sentiment ---------------------------------------------------------------------------------------------------


def build_distilbert(config: DistilBertConfig | None = None) -> DistilBertForSequenceClassification:
    """distilbert-base-uncased-finetuned-sst-2-english (Sanh et al. 2019) with random weights: 67 M parameters.

    Without a config, that of its config.json: 6 layers of 768 with 12 heads, two labels.
    """
    return DistilBertForSequenceClassification(config or DistilBertConfig(num_labels=2)).eval()


@torch.inference_mode()
def classify(model: DistilBertForSequenceClassification, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """(B, T) token ids, (B, T) mask with 1 for tokens and 0 for padding -> (B, 2) probabilities."""
    return model(input_ids=tokens, attention_mask=mask).logits.softmax(1)


# --- translation -------------------------------------------------------------------------------------------------


def opus_mt_config() -> MarianConfig:
    """config.json of Helsinki-NLP/opus-mt-en-de (Junczys-Dowmunt et al. 2018): Transformer-base, 74 M parameters."""
    return MarianConfig(
        vocab_size=58101, d_model=512, encoder_layers=6, decoder_layers=6, encoder_attention_heads=8,
        decoder_attention_heads=8, encoder_ffn_dim=2048, decoder_ffn_dim=2048, max_position_embeddings=512,
        activation_function="swish", scale_embedding=True, pad_token_id=58100, eos_token_id=0,
        decoder_start_token_id=58100, forced_eos_token_id=0,
    )  # fmt: skip


def build_marian(config: MarianConfig | None = None) -> MarianMTModel:
    """Marian with random weights: float32, eval mode. Without a config, OPUS-MT's."""
    return MarianMTModel(config or opus_mt_config()).eval()


@torch.inference_mode()
def translate(model: MarianMTModel, tokens: Tensor, mask: Tensor, num_tokens: int, num_beams: int = 5) -> Tensor:
    """(B, S) token ids, (B, S) mask with 1 for tokens -> (B, 1 + num_tokens) ids of the best hypotheses.

    `num_tokens` is both minimum and maximum, so that random weights do not decide the length.
    """
    return model.generate(
        input_ids=tokens,
        attention_mask=mask,
        min_new_tokens=num_tokens,
        max_new_tokens=num_tokens,
        num_beams=num_beams,
        do_sample=False,
    )
