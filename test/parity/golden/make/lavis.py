"""Writes small random checkpoints as LAVIS saves them, and what it computes where transformers has no such model.

    python test/parity/golden/make/lavis.py   # writes test/parity/golden/lavis/

Needs torch, transformers 5.18 and safetensors. The checkpoints of other cases are written under LAVIS's names, their
key biases left out (EVA-CLIP has none), so that a test can compare bundles byte for byte. The ViT-L is CLIP's: its
forward pass stands here in plain tensors.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import Blip2Config, Blip2ForImageTextRetrieval

from golden_files import GOLDEN, write_tensors

OUT = GOLDEN / "lavis"

TO_LAVIS = [
    (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"^vision_model\.post_layernorm\.", "ln_vision."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.layer_norm(\d)\.", r"visual_encoder.blocks.\1.norm\2."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.self_attn\.projection\.", r"visual_encoder.blocks.\1.attn.proj."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.self_attn\.", r"visual_encoder.blocks.\1.attn."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.mlp\.", r"visual_encoder.blocks.\1.mlp."),
    (r"^qformer\.layernorm\.", "Qformer.bert.embeddings.LayerNorm."),
    (r"^qformer\.encoder\.layer\.(\d+)\.(cross)?attention\.attention\.",
     r"Qformer.bert.encoder.layer.\1.\2attention.self."),
    (r"^qformer\.", "Qformer.bert."),
    (r"^embeddings\.", "Qformer.bert.embeddings."),
    (r"^(vision|text)_projection\.", r"\1_proj."),
]  # fmt: skip


def read(case: str) -> dict[str, torch.Tensor]:
    """All tensors of the checkpoint of another case."""
    tensors: dict[str, torch.Tensor] = {}
    for path in sorted((GOLDEN / case / "checkpoint").glob("*.safetensors")):
        tensors.update(load_file(path))
    return tensors


def to_lavis(tensors: dict[str, torch.Tensor], llm: str) -> dict[str, torch.Tensor]:
    """The tensors under LAVIS's names, without the biases of the image encoder's keys."""
    result = {}
    for name, tensor in tensors.items():
        for pattern, replacement in TO_LAVIS:
            name = re.sub(pattern, replacement, name)
        name = re.sub(r"^language_model\.", f"{llm}_model.", name)
        name = re.sub(r"^language_projection\.", f"{llm}_proj.", name)
        if name.endswith("attn.qkv.bias"):
            query, _, value = tensor.chunk(3)
            result[name.replace("qkv.bias", "q_bias")] = query.clone()
            result[name.replace("qkv.bias", "v_bias")] = value.clone()
        else:
            result[name] = tensor.clone()
    return result


def frozen(name: str) -> bool:
    """What LAVIS's trainer leaves out: parameters that no gradient reaches."""
    return re.match(r"(visual_encoder|opt_model|t5_model)\.", name) is not None


def clip_weights(width: int, heads: int, layers: int, patch: int, side: int) -> dict[str, torch.Tensor]:
    """A random image encoder under CLIP's names."""

    def linear(out: int, into: int) -> torch.Tensor:
        return 1.5 * torch.randn(out, into) / into**0.5

    weights = {
        "class_embedding": 0.4 * torch.randn(width),
        "positional_embedding": 0.4 * torch.randn((side // patch) ** 2 + 1, width),
        "conv1.weight": torch.randn(width, 3, patch, patch) / (3 * patch**2) ** 0.5,
        "ln_pre.weight": 1 + 0.3 * torch.randn(width),
        "ln_pre.bias": 0.2 * torch.randn(width),
        "ln_post.weight": torch.ones(width),
        "ln_post.bias": torch.zeros(width),
        "proj": torch.randn(width, 8),
    }
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        weights |= {
            f"{block}.attn.in_proj_weight": linear(3 * width, width),
            f"{block}.attn.in_proj_bias": 0.2 * torch.randn(3 * width),
            f"{block}.attn.out_proj.weight": linear(width, width),
            f"{block}.attn.out_proj.bias": 0.2 * torch.randn(width),
            f"{block}.mlp.c_fc.weight": linear(4 * width, width),
            f"{block}.mlp.c_fc.bias": 0.2 * torch.randn(4 * width),
            f"{block}.mlp.c_proj.weight": linear(width, 4 * width),
            f"{block}.mlp.c_proj.bias": 0.2 * torch.randn(width),
        }
        for norm in ("ln_1", "ln_2"):
            weights[f"{block}.{norm}.weight"] = 1 + 0.3 * torch.randn(width)
            weights[f"{block}.{norm}.bias"] = 0.2 * torch.randn(width)
    return weights


def clip_features(weights: dict[str, torch.Tensor], pixels: torch.Tensor, heads: int, layers: int) -> torch.Tensor:
    """CLIP's image encoder without its last norm: images [n, 3, side, side] → [n, tokens, width]."""
    width = weights["class_embedding"].shape[0]
    kernel = weights["conv1.weight"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (width,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    patches = F.conv2d(pixels, kernel, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
    first = weights["class_embedding"].expand(len(pixels), 1, -1)
    x = norm(torch.cat([first, patches], dim=1) + weights["positional_embedding"], "ln_pre")
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        y = norm(x, f"{block}.ln_1")
        qkv = y @ weights[f"{block}.attn.in_proj_weight"].T + weights[f"{block}.attn.in_proj_bias"]
        query, key, value = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1))
        scores = query @ key.transpose(-1, -2) / (width // heads) ** 0.5
        seen = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
        x = x + linear(seen, f"{block}.attn.out_proj")
        hidden = linear(norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
        x = x + linear(hidden * torch.sigmoid(1.702 * hidden), f"{block}.mlp.c_proj")
    return x


def retrieval_model(width: int, side: int, patch: int) -> Blip2ForImageTextRetrieval:
    """A random model whose Q-Former and heads become those of the checkpoint."""
    config = Blip2Config(
        vision_config=dict(hidden_size=width, intermediate_size=4 * width, num_hidden_layers=1,
                           num_attention_heads=3, image_size=side, patch_size=patch),
        qformer_config=dict(hidden_size=20, intermediate_size=26, num_hidden_layers=3, num_attention_heads=2,
                            encoder_hidden_size=width, cross_attention_frequency=2, use_qformer_text_input=True,
                            vocab_size=61, max_position_embeddings=23),
        num_query_tokens=4, image_text_hidden_size=11,
    )  # fmt: skip
    model = Blip2ForImageTextRetrieval(config).eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape)
            if "norm" in name.lower() and name.endswith("weight"):
                tensor.copy_(1 + 0.3 * noise)
            else:
                tensor.copy_(0.3 * noise)
    return model


@torch.no_grad()
def write_vit_l() -> None:
    """Writes a retrieval model with a ViT-L, and what it makes of two random images."""
    torch.manual_seed(5)
    width, heads, layers, patch, side = 24, 3, 2, 7, 14
    encoder = clip_weights(width, heads, layers + 1, patch, side)
    model = retrieval_model(width, side, patch)
    state = {name: tensor for name, tensor in model.state_dict().items() if "position_ids" not in name}
    rest = to_lavis({name: tensor for name, tensor in state.items() if not name.startswith("vision_model.e")}, "opt")
    rest["temp"] = torch.tensor(0.05)
    rest["Qformer.cls.predictions.bias"] = torch.randn(61)
    rest["Qformer.bert.embeddings.position_ids"] = torch.arange(23).expand((1, -1))
    torch.save({"model": rest}, OUT / "pretrained_vitL.pth")
    torch.save(encoder, OUT / "clip_vit_L.pth")
    pixels = torch.randn(2, 3, side, side)
    norm = model.vision_model.post_layernorm
    features = F.layer_norm(clip_features(encoder, pixels, heads, layers), (width,), norm.weight, norm.bias, 1e-5)
    queries = model.qformer(
        query_embeds=model.query_tokens.expand(2, -1, -1), encoder_hidden_states=features
    ).last_hidden_state
    expected = {
        "pixel_values": pixels,
        "image_features": features,
        "query_embeddings": queries,
        "image_embeddings": F.normalize(model.vision_projection(queries), dim=-1),
    }
    write_tensors(OUT / "vitL-expected.safetensors", expected)


def main() -> None:
    """Writes every checkpoint."""
    OUT.mkdir(parents=True, exist_ok=True)
    opt = to_lavis(read("half"), "opt")
    trained = {name: tensor for name, tensor in opt.items() if not frozen(name)}
    trainer = {
        "model": trained, "optimizer": {"state": {}, "param_groups": []}, "scaler": None, "epoch": 4,
        "config": {"run": {"task": "captioning"}, "model": {"arch": "blip2_opt", "image_size": 24}},
    }  # fmt: skip
    torch.save(trainer, OUT / "checkpoint_best.pth")
    torch.save({"model": {k: v for k, v in opt.items() if not k.startswith("opt_model.")}}, OUT / "caption_opt.pth")
    # As EVA-CLIP was published: one block more than LAVIS runs, and what follows it.
    encoder = {k.removeprefix("visual_encoder."): v for k, v in opt.items() if k.startswith("visual_encoder.")}
    later = {k.replace("blocks.0.", "blocks.1."): torch.randn_like(v) for k, v in encoder.items() if "blocks.0." in k}
    behind = {"norm.weight": torch.ones(32), "norm.bias": torch.zeros(32), "head.weight": torch.zeros(5, 32)}
    torch.save({**encoder, **later, **behind}, OUT / "eva_vit_g.pth")
    torch.save({"model": opt}, OUT / "whole_opt.pth")
    t5 = to_lavis(read("t5"), "t5")
    torch.save({"model": {k: v for k, v in t5.items() if not k.startswith("t5_model.")}}, OUT / "pretrained_t5.pth")
    stage1 = to_lavis(read("match-bf16"), "opt")
    stage1["temp"] = torch.tensor(0.07)
    stage1["Qformer.cls.predictions.decoder.weight"] = torch.randn(4, 4)
    torch.save({"model": stage1}, OUT / "pretrained.pth")
    write_vit_l()


if __name__ == "__main__":
    main()
