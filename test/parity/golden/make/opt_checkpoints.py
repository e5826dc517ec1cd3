"""Writes small random OPT checkpoints and what transformers computes for them: the expectations of the parity tests.

    python test/parity/golden/make/opt_checkpoints.py [case …]   # writes test/parity/golden/<case>/, by default of all

Needs the training environment (training/pyproject.toml). No dimension is a multiple of another. Expectations
are computed in fp32 from the weights as they are stored, without a KV cache.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor
from transformers import Blip2Config, Blip2ForConditionalGeneration, PreTrainedModel

from golden_files import empty_folder, write_json, write_tensors
from random_models import UnsuitableError, find_seed, random_values, word_tokenizer

NEW_TOKENS = 12
MARGIN = 0.01  # least distance of the two best logits: greedy ids must not hang on rounding

CASES = {
    # head of 20 values, tied head, one file, fp32
    "tied": dict(
        dtype=torch.float32, shard="1GB", queries=7, images=3, tied=True,
        vision=dict(hidden_size=48, intermediate_size=70, num_hidden_layers=2, num_attention_heads=3,
                    image_size=28, patch_size=7),
        qformer=dict(hidden_size=44, intermediate_size=52, num_hidden_layers=3, num_attention_heads=4,
                     cross_attention_frequency=2),
        text=dict(vocab_size=139, hidden_size=60, ffn_dim=94, num_hidden_layers=3, num_attention_heads=3,
                  max_position_embeddings=61),
    ),
    # heads of 8 and of 6 values, separate head, bf16 in shards, no qkv bias
    "untied": dict(
        dtype=torch.bfloat16, shard="100KB", queries=5, images=2, tied=False,
        vision=dict(hidden_size=54, intermediate_size=66, num_hidden_layers=2, num_attention_heads=9,
                    image_size=42, patch_size=14, qkv_bias=False, layer_norm_eps=1e-5),
        qformer=dict(hidden_size=36, intermediate_size=58, num_hidden_layers=4, num_attention_heads=2,
                     cross_attention_frequency=3),
        text=dict(vocab_size=117, hidden_size=56, ffn_dim=90, num_hidden_layers=4, num_attention_heads=7,
                  max_position_embeddings=47),
    ),
    # head of 32 values as in real checkpoints, tied head, fp16
    "half": dict(
        dtype=torch.float16, shard="1GB", queries=4, images=1, tied=True,
        vision=dict(hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
                    image_size=16, patch_size=8),
        qformer=dict(hidden_size=32, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                     cross_attention_frequency=1),
        text=dict(vocab_size=101, hidden_size=64, ffn_dim=96, num_hidden_layers=2, num_attention_heads=2,
                  max_position_embeddings=40),
    ),
    # images as large as those of the checkpoints tuned for COCO: 677 positions
    "coco": dict(
        dtype=torch.float16, shard="1GB", queries=6, images=1, tied=True, drawn=True,
        vision=dict(hidden_size=14, intermediate_size=22, num_hidden_layers=2, num_attention_heads=2,
                    image_size=364, patch_size=14),
        qformer=dict(hidden_size=18, intermediate_size=26, num_hidden_layers=2, num_attention_heads=2,
                     cross_attention_frequency=2),
        text=dict(vocab_size=93, hidden_size=26, ffn_dim=42, num_hidden_layers=2, num_attention_heads=2,
                  max_position_embeddings=43),
    ),
}  # fmt: skip


def build_model(case: dict) -> Blip2ForConditionalGeneration:
    """A random model in fp32."""
    vocab = case["text"]["vocab_size"]
    config = Blip2Config(
        vision_config=case["vision"],
        qformer_config={**case["qformer"], "encoder_hidden_size": case["vision"]["hidden_size"], "vocab_size": 30},
        text_config={
            **case["text"], "model_type": "opt", "word_embed_proj_dim": case["text"]["hidden_size"],
            "tie_word_embeddings": case["tied"], "eos_token_id": 3,
        },
        num_query_tokens=case["queries"], image_token_index=vocab - 1, tie_word_embeddings=case["tied"],
    )  # fmt: skip
    return randomize(Blip2ForConditionalGeneration(config).eval(), case)


def randomize(model: PreTrainedModel, case: dict) -> PreTrainedModel:
    """Fills a model around OPT with random weights, rounded to the type that they are stored in."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(random_values(name, tensor))
        if not case["tied"]:
            assert not torch.equal(model.language_model.lm_head.weight, model.get_input_embeddings().weight)
    return model.to(case["dtype"]).float()


def draw(shape: tuple[int, ...]) -> Tensor:
    """Pixels that golden.ts computes again, since they are too many to store.

    All numbers before the division are whole, and exact in float64.
    """
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.int64)
    return ((index * index * 613 + index * 17) % 1000003).double().div(1000003).mul(4).sub(2).reshape(shape)


@torch.no_grad()
def expectations(model: Blip2ForConditionalGeneration, case: dict) -> tuple[dict[str, Tensor], list[dict]]:
    """Tensors of every step for random images, and greedy texts after random prompts."""
    side, images, queries = case["vision"]["image_size"], case["images"], case["queries"]
    vocab = case["text"]["vocab_size"]
    shape = (images, 3, side, side)
    pixels = draw(shape).float() if case.get("drawn") else torch.randn(shape)
    features = model.vision_model(pixels).last_hidden_state
    embeddings = model.qformer(
        query_embeds=model.query_tokens.expand(images, -1, -1), encoder_hidden_states=features
    ).last_hidden_state
    generations, logits = [], []
    for number, length in enumerate((1, 5, 9, 2)):
        image = number % images
        prompt = [2, *torch.randint(4, vocab - 1, (length - 1,)).tolist()]
        ids, greedy = [vocab - 1] * queries + prompt, []
        for _ in range(NEW_TOKENS):
            inputs = torch.tensor([ids])
            out = model(pixel_values=pixels[image : image + 1], input_ids=inputs,
                        attention_mask=torch.ones_like(inputs)).logits[0, -1]  # fmt: skip
            best = out.topk(2).values
            if best[0] - best[1] < MARGIN:
                raise UnsuitableError(f"two logits are too close: {best.tolist()}")
            if not greedy:
                logits.append(out)
            greedy.append(int(out.argmax()))
            ids.append(greedy[-1])
            if greedy[-1] == vocab - 1:
                raise UnsuitableError("an image token was written")
        if len(set(greedy)) < NEW_TOKENS // 2:
            raise UnsuitableError(f"too much repetition: {greedy}")
        generations.append({"image": image, "prompt": prompt, "greedy": greedy})
    tensors = {
        "pixel_values": pixels, "image_features": features, "query_embeddings": embeddings,
        "next_token_logits": torch.stack(logits),
    }  # fmt: skip
    return tensors, generations


def write_case(name: str, case: dict) -> None:
    """Writes golden/<name>/: the checkpoint, expected.json and expected.safetensors."""

    def attempt() -> tuple[Blip2ForConditionalGeneration, tuple[dict[str, Tensor], list[dict]]]:
        model = build_model(case)
        return model, expectations(model, case)

    seed, (model, (tensors, generations)) = find_seed(name, attempt)
    folder = empty_folder(name)
    model.to(case["dtype"]).save_pretrained(folder / "checkpoint", max_shard_size=case["shard"])
    word_tokenizer(case["text"]["vocab_size"]).save(str(folder / "checkpoint" / "tokenizer.json"))
    expected = {"seed": seed, "generations": generations}
    if case.get("drawn"):
        expected["drawn"] = list(tensors.pop("pixel_values").shape)
    write_tensors(folder / "expected.safetensors", tensors)
    write_json(folder / "expected.json", expected, indent=1)
    spread = tensors["next_token_logits"].std(dim=-1)
    print(f"{name}: seed {seed}, deviation of logits {spread.min():.2f} to {spread.max():.2f}")


if __name__ == "__main__":
    for case_name in sys.argv[1:] or CASES:
        write_case(case_name, CASES[case_name])
