"""Writes small random retrieval checkpoints and what transformers computes for them.

    python test/parity/golden/make/retrieval_checkpoints.py     # writes test/parity/golden/<case>/

Blip2ForImageTextRetrieval: query embeddings, ITC's unit vectors of images and texts, ITM's logits, for
several texts of different length over several images; each text is computed alone, without padding. The
case "resized" takes images of another size than its position embedding was made for; `golden/positions`
has what becomes of the embedding alone, for grids that grow and shrink.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import Blip2Config, Blip2ForImageTextRetrieval, Blip2VisionConfig
from transformers.models.blip_2.modeling_blip_2 import Blip2VisionEmbeddings

from golden_files import GOLDEN, empty_folder, write_json, write_tensors
from random_models import random_values

TEXTS = 5
GRIDS = ((4, 6), (3, 13), (7, 2), (16, 26), (5, 4))  # patches a side: as learned, as wanted
POSITION_WIDTH = 3
CASES = {
    "match": dict(
        dtype=torch.float32, shard="1GB", queries=7, images=3, side=28, itc=19,
        vision=dict(hidden_size=48, intermediate_size=70, num_hidden_layers=2, num_attention_heads=3,
                    image_size=28, patch_size=7),
        qformer=dict(hidden_size=42, intermediate_size=52, num_hidden_layers=4, num_attention_heads=3,
                     cross_attention_frequency=3, max_position_embeddings=23, vocab_size=61),
    ),
    "match-bf16": dict(
        dtype=torch.bfloat16, shard="60KB", queries=5, images=2, side=42, itc=11,
        vision=dict(hidden_size=54, intermediate_size=66, num_hidden_layers=2, num_attention_heads=9,
                    image_size=42, patch_size=14, qkv_bias=False, layer_norm_eps=1e-5),
        qformer=dict(hidden_size=36, intermediate_size=58, num_hidden_layers=3, num_attention_heads=2,
                     cross_attention_frequency=2, max_position_embeddings=17, vocab_size=47),
    ),
    # images of 35 pixels on positions made for 21: a grid of 5 out of one of 3
    "resized": dict(
        dtype=torch.float16, shard="1GB", queries=3, images=2, side=35, itc=8,
        vision=dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
                    image_size=21, patch_size=7),
        qformer=dict(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                     cross_attention_frequency=1, max_position_embeddings=16, vocab_size=41),
    ),
}  # fmt: skip


def build_model(case: dict) -> Blip2ForImageTextRetrieval:
    """A random model in fp32, whose weights are rounded to the type that they are stored in."""
    config = Blip2Config(
        vision_config=case["vision"],
        qformer_config={
            **case["qformer"], "encoder_hidden_size": case["vision"]["hidden_size"], "use_qformer_text_input": True,
        },
        text_config={"model_type": "opt", "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1,
                     "num_attention_heads": 2, "ffn_dim": 16, "word_embed_proj_dim": 16},
        num_query_tokens=case["queries"], image_text_hidden_size=case["itc"], image_token_index=None,
    )  # fmt: skip
    model = Blip2ForImageTextRetrieval(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(random_values(name, tensor))
    return model.to(case["dtype"]).float()


@torch.no_grad()
def expectations(model: Blip2ForImageTextRetrieval, case: dict) -> tuple[dict[str, Tensor], list[list[int]]]:
    """Tensors of every step for random images and texts, and the texts' token ids."""
    limit, vocab = case["qformer"]["max_position_embeddings"], case["qformer"]["vocab_size"]
    pixels = torch.randn(case["images"], 3, case["side"], case["side"])
    lengths = torch.linspace(1, limit - 2, TEXTS).int().tolist()
    texts = [[1, *torch.randint(4, vocab, (n,)).tolist(), 2] for n in lengths]
    resized = case["side"] != case["vision"]["image_size"]
    features = model.vision_model(pixels, interpolate_pos_encoding=resized).last_hidden_state
    queries = model.query_tokens.expand(len(pixels), -1, -1)
    embeddings = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
    unit = torch.nn.functional.normalize
    images = unit(model.vision_projection(embeddings), dim=-1)
    text_hidden = [
        model.qformer(query_embeds=model.embeddings(input_ids=torch.tensor([ids])), query_length=0).last_hidden_state
        for ids in texts
    ]
    vectors = torch.cat([unit(model.text_projection(hidden[:, 0]), dim=-1) for hidden in text_hidden])
    itm = torch.empty(len(pixels), TEXTS, 2)
    for t, ids in enumerate(texts):
        words = torch.tensor([ids] * len(pixels))
        joint = model.embeddings(input_ids=words, query_embeds=queries)
        hidden = model.qformer(
            query_embeds=joint, query_length=queries.shape[1], encoder_hidden_states=features
        ).last_hidden_state
        itm[:, t] = model.itm_head(hidden[:, : queries.shape[1]]).mean(1)
    if not resized:
        check_against_forward(model, pixels, texts, itm, images, vectors)
    return {
        "pixel_values": pixels, "image_features": features, "query_embeddings": embeddings,
        "image_embeddings": images, "text_embeddings": vectors, "itm_logits": itm,
    }, texts  # fmt: skip


def check_against_forward(
    model: Blip2ForImageTextRetrieval,
    pixels: Tensor,
    texts: list[list[int]],
    itm: Tensor,
    images: Tensor,
    vectors: Tensor,
) -> None:
    """The model's own forward gives the same logits of ITM and the same best dot product of ITC."""
    for t, ids in enumerate(texts):
        inputs = dict(
            pixel_values=pixels, input_ids=torch.tensor([ids] * len(pixels)),
            attention_mask=torch.ones(len(pixels), len(ids), dtype=torch.long),
        )  # fmt: skip
        whole = model(**inputs, use_image_text_matching_head=True).logits_per_image
        torch.testing.assert_close(whole, itm[:, t], atol=1e-5, rtol=0)
        alone = {k: v[:1] for k, v in inputs.items()}
        score = model(**alone, use_image_text_matching_head=False).logits_per_image
        torch.testing.assert_close(score[0, 0], (images[0] @ vectors[t]).max(), atol=1e-5, rtol=0)


def wordpiece_tokenizer(vocab: int) -> Tokenizer:
    """BERT's special tokens, then one word for each id: `w4`, `w5`, …"""
    words = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[UNK]": 3} | {f"w{i}": i for i in range(4, vocab)}
    tokenizer = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.add_special_tokens(["[PAD]", "[CLS]", "[SEP]", "[UNK]"])
    return tokenizer


def write_case(name: str, case: dict) -> None:
    """Writes golden/<name>/: the checkpoint, expected.json and expected.safetensors."""
    torch.manual_seed(7)
    model = build_model(case)
    tensors, texts = expectations(model, case)
    folder = empty_folder(name)
    model.to(case["dtype"]).save_pretrained(folder / "checkpoint", max_shard_size=case["shard"])
    wordpiece_tokenizer(case["qformer"]["vocab_size"]).save(str(folder / "checkpoint" / "tokenizer.json"))
    size = {"height": case["side"], "width": case["side"]}
    write_json(folder / "checkpoint" / "preprocessor_config.json", {"size": size})
    write_tensors(folder / "expected.safetensors", tensors)
    write_json(folder / "expected.json", {"texts": texts})
    spread = tensors["itm_logits"].softmax(-1)[..., 1]
    print(f"{name}: ITM from {spread.min():.3f} to {spread.max():.3f}")


@torch.no_grad()
def write_positions() -> None:
    """The position embedding of each pair of grids, [1, patches + 1, width], before and after."""
    torch.manual_seed(7)
    tensors = {}
    for learned, wanted in GRIDS:
        config = Blip2VisionConfig(hidden_size=POSITION_WIDTH, image_size=learned, patch_size=1)
        layer = Blip2VisionEmbeddings(config)
        tokens = torch.empty(1, wanted**2 + 1, POSITION_WIDTH)
        tensors[f"{learned}"] = layer.position_embedding.clone()
        tensors[f"{learned}-{wanted}"] = layer.interpolate_pos_encoding(tokens, wanted, wanted)
    folder = GOLDEN / "positions"
    folder.mkdir(exist_ok=True)
    write_tensors(folder / "expected.safetensors", tensors)


if __name__ == "__main__":
    write_positions()
    for case_name, case_spec in CASES.items():
        write_case(case_name, case_spec)
