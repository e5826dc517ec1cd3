"""The two checkpoints' shapes, as transformers' own BLIP-2 modules."""

from __future__ import annotations

from transformers import Blip2Config, Blip2QFormerConfig, Blip2VisionConfig, OPTConfig

from training.data.image_processor import IMAGE_SIDE, PATCH_SIDE

WIDTH = 192
LAYERS = 6
HEADS = 6
VISION_WIDTH = 256  # 192 learned three artists' drawings by heart; both checkpoints stay below 40 MB with this
VISION_HEAD = 64  # width of a head: attention over 197 tokens costs half of what heads of 32 do
MLP = 768
QUERIES = 32
EMBEDDING = 64  # width of the space in which ITC compares image and text


def vision_config(width: int = VISION_WIDTH) -> Blip2VisionConfig:
    """ViT of 197 tokens (14 x 14 patches and CLS)."""
    return Blip2VisionConfig(
        hidden_size=width, intermediate_size=MLP, num_hidden_layers=LAYERS, num_attention_heads=width // VISION_HEAD,
        image_size=IMAGE_SIDE, patch_size=PATCH_SIDE, hidden_act="gelu", layer_norm_eps=1e-6, qkv_bias=True,
        attention_dropout=0.0, initializer_range=0.02,
    )  # fmt: skip


def qformer_config(vocab_size: int, with_text: bool) -> Blip2QFormerConfig:
    """Q-Former of width 192 that attends to the image in every second layer."""
    return Blip2QFormerConfig(
        vocab_size=vocab_size, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=MLP, hidden_act="gelu", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
        max_position_embeddings=64, layer_norm_eps=1e-12, pad_token_id=0, cross_attention_frequency=2,
        encoder_hidden_size=VISION_WIDTH, use_qformer_text_input=with_text,
    )  # fmt: skip


def language_config(vocab_size: int, newline_id: int) -> OPTConfig:
    """OPT decoder of width 192 that stops at the newline."""
    return OPTConfig(
        vocab_size=vocab_size, hidden_size=WIDTH, num_hidden_layers=LAYERS, ffn_dim=MLP, num_attention_heads=HEADS,
        max_position_embeddings=256, word_embed_proj_dim=WIDTH, do_layer_norm_before=True, activation_function="relu",
        dropout=0.0, attention_dropout=0.0, layerdrop=0.0, init_std=0.02,
        pad_token_id=1, bos_token_id=2, eos_token_id=newline_id, tie_word_embeddings=True,
    )  # fmt: skip


def checkpoint_config(
    language_vocab: int, newline_id: int, image_token_id: int, text_vocab: int, with_text: bool
) -> Blip2Config:
    """Config of *generate*, or with `with_text` of *retrieve*."""
    return Blip2Config(
        vision_config=vision_config().to_dict(),
        qformer_config=qformer_config(text_vocab, with_text).to_dict(),
        text_config=language_config(language_vocab, newline_id).to_dict(),
        num_query_tokens=QUERIES, image_text_hidden_size=EMBEDDING, image_token_index=image_token_id,
    )  # fmt: skip
