"""Writes random adapters of peft for the small random checkpoints, and what peft makes of them.

    python test/parity/golden/make/adapters.py   # writes test/parity/golden/adapters/<case>/

Needs torch, transformers 5.18 and peft 0.21. Each case is a folder as `save_pretrained` writes it, whose base is the
checkpoint of another case, and `expected.safetensors`: every tensor that merging changed, in fp32, and for OPT the
logits behind a prompt as the unmerged model computes them.
"""

from __future__ import annotations

import json
import sys

import torch
from peft import IA3Config, LoHaConfig, LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import Blip2ForConditionalGeneration

from golden_files import GOLDEN, empty_folder, write_json, write_tensors

PROMPT = [2, 17, 33, 8]
# Merging in place changes both of two tied tensors, which the unmerged model does not do: logits speak for them.
TIED = ("embed_tokens.weight", "lm_head.weight")
# A new adapter changes nothing: half of it is zeros. Training would fill it.
SPREAD = 0.3

CASES = {
    "lora": ("half", None, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "lora-bin": ("half", None, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    # Every part of the model, convolution included; ranks and scales by name; all biases.
    "stabilized": (
        "half", None,
        LoraConfig(
            r=3, lora_alpha=5, use_rslora=True, bias="all", fan_in_fan_out=True,
            target_modules=r".*(self_attn\.(qkv|k_proj)|fc1|patch_embedding|attention\.(query|value)|language_projection)",
            rank_pattern={"fc1": 2, r".*layers\.1\.self_attn\.k_proj": 6}, alpha_pattern={"qkv": 7, "query": 1},
        ),
    ),
    "saved-modules": (
        "half", None,
        LoraConfig(r=4, lora_alpha=8, target_modules=["out_proj", "fc2"], layers_to_transform=[1],
                   layers_pattern="layers", modules_to_save=["language_projection", "final_layer_norm"]),
    ),
    # Tensors that are no module's weight or bias among those that were trained whole.
    "saved-embeddings": (
        "half", None, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["embeddings"]),
    ),
    # A module that is named in full is meant whatever the layers.
    "whole-name": (
        "half", None,
        LoraConfig(r=4, lora_alpha=8, target_modules=["language_model.model.decoder.layers.0.fc1", "q_proj"],
                   layers_to_transform=[1]),
    ),
    "dora": ("half", None, LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=["q_proj", "fc1", "dense"])),
    "embedding": ("half", None, LoraConfig(r=4, lora_alpha=8, target_modules=["embed_tokens", "k_proj"])),
    "head": ("half", None, LoraConfig(r=4, lora_alpha=8, target_modules=["lm_head"])),
    "lora-bias": ("half", None, LoraConfig(r=4, lora_alpha=8, lora_bias=True, target_modules=["fc1", "fc2"])),
    "of-language-model": ("half", "language_model", LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])),
    "of-image-encoder": ("half", "vision_model", LoraConfig(r=2, lora_alpha=8, target_modules=["qkv", "fc1"])),
    "all-linear": (
        "half", None,
        LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", exclude_modules=r".*(fc1|query)"),
    ),
    "of-qformer": ("half", "qformer", LoraConfig(r=2, lora_alpha=8, target_modules=["query", "key"])),
    # Two tokens were added, so that embedding and head are saved whole.
    "more-tokens": ("half", None, LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"])),
    # The same, said by the config.
    "more-tokens-saved": (
        "half", None,
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    ),
    "loha": ("half", None, LoHaConfig(r=3, alpha=6, target_modules=["q_proj", "fc2"], rank_pattern={"fc2": 2})),
    "ia3": ("half", None, IA3Config(target_modules=["k_proj", "v_proj", "fc2"], feedforward_modules=["fc2"])),
    "t5": ("t5", None, LoraConfig(r=4, lora_alpha=8, target_modules=["q", "v", "wi_0", "wo"])),
    "t5-head": ("t5", None, LoraConfig(r=4, lora_alpha=8, target_modules=["q"], modules_to_save=["lm_head"])),
    "t5-tied-head": ("t5-bf16", None, LoraConfig(r=4, lora_alpha=8, target_modules=["lm_head"])),
    "t5-ia3": ("t5", None, IA3Config(target_modules=["k", "v", "wo"], feedforward_modules=["wo"])),
}  # fmt: skip


def load(base: str) -> Blip2ForConditionalGeneration:
    """The checkpoint of another case, in fp32."""
    folder = GOLDEN / base / "checkpoint"
    return Blip2ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def randomize(model: torch.nn.Module) -> None:
    """Fills what training would have changed."""
    for name, tensor in model.named_parameters():
        if any(part in name for part in ("lora_", "hada_", "ia3_", "modules_to_save")) or tensor.requires_grad:
            noise = torch.randn(tensor.shape) * SPREAD
            is_scale = any(part in name for part in ("ia3_", "magnitude", "norm"))
            tensor.copy_(tensor + noise if is_scale else noise)


@torch.no_grad()
def logits(model: Blip2ForConditionalGeneration, base: str) -> dict[str, torch.Tensor]:
    """Of OPT: those behind a prompt, for the first image of the case, under their name."""
    if base != "half":
        return {}
    pixels = load_file(GOLDEN / base / "expected.safetensors")["pixel_values"][:1]
    config = model.config
    ids = torch.tensor([[config.image_token_index] * config.num_query_tokens + PROMPT])
    out = model(pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, -1]
    return {"logits": out}


def write(name: str) -> None:
    """Writes the folder of a case."""
    base, part, config = CASES[name]
    torch.manual_seed(sum(map(ord, name)))
    model = load(base)
    if name.startswith("more-tokens"):
        model.resize_token_embeddings(103, mean_resizing=False)
    original = {key: value.clone() for key, value in model.state_dict().items()}
    inner = model if part is None else getattr(model, part)
    inner.name_or_path = inner.config._name_or_path = f"../../{base}/checkpoint"
    adapted = get_peft_model(inner, config)
    randomize(adapted)
    folder = empty_folder(f"adapters/{name}")
    adapted.save_pretrained(folder, safe_serialization=name != "lora-bin", save_embedding_layers=name == "more-tokens")
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    saved = json.loads(path.read_text())
    saved["base_model_name_or_path"] = f"../../{base}/checkpoint"
    write_json(path, saved, indent=1)
    if part is not None:
        # The whole model still runs through the adapted part.
        setattr(model, part, adapted.base_model.model)
    expected = logits(model if part is not None else adapted.get_base_model(), base)
    whole = adapted.merge_and_unload()
    if part is not None:
        setattr(model, part, whole)
        whole = model
    merged = {
        key: value
        for key, value in whole.state_dict().items()
        if not torch.equal(value, original[key]) and not key.endswith(TIED)
    }
    tensors = {**merged, **expected}
    # Clones, since safetensors refuses tensors that share their values.
    write_tensors(folder / "expected.safetensors", {key: value.detach().clone() for key, value in tensors.items()})
    print(f"{name}: {len(merged)} tensors changed")


if __name__ == "__main__":
    for case_name in sys.argv[1:] or CASES:
        write(case_name)
