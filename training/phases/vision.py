"""Phase *vision*: pre-trains the image encoder with the dense objective; afterwards it stays frozen."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import Blip2VisionModel

from training.architecture import vision_config
from training.data.image_processor import GRID, normalize, resize
from training.data.render import render_faithful
from training.data.scenes import draw_scene
from training.data.vocab import COLORS
from training.export.checkpoints import load, load_snapshot
from training.objectives.dense import BACKGROUND, PATCHES, DenseBatch, DenseHeads, DenseStream
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.phase_log import PhaseLog

BATCH = 64
FEW_PATCHES = 80  # visible until the last part of the budget; with all 196 a step costs four times as much
CROWD_SHARE = 0.6  # of the scenes: crowds
DECAY = 0.4  # last part of the budget, in which the learning rate falls
ALL_VISIBLE = 0.22  # last part of the budget, in which all patches are visible
SEED = 1


def build() -> Blip2VisionModel:
    """A fresh image encoder; the position embedding starts small instead of at unit variance."""
    torch.manual_seed(SEED)
    config = vision_config()
    config._attn_implementation = "eager"  # torch's fused CPU backward is slower at these lengths
    model = Blip2VisionModel(config)
    for p in (model.embeddings.class_embedding, model.embeddings.position_embedding):
        torch.nn.init.normal_(p, std=0.02)
    return model


def frozen_encoder() -> Blip2VisionModel:
    """The trained image encoder in bf16: that of the snapshot, or of the exported *generate* where there is none."""
    model = build()
    model.load_state_dict(load_snapshot("vision") or load("generate").vision_model.state_dict())
    return model.requires_grad_(False).eval().bfloat16()


def encode_visible(model: Blip2VisionModel, images: Tensor, visible: Tensor) -> Tensor:
    """Final tokens [B, 1 + P, 192] when only CLS and the patches `visible` int64 [B, P] enter the transformer."""
    x = model.embeddings(normalize(images))
    if visible.shape[1] < x.shape[1] - 1:
        chosen = torch.cat([torch.zeros_like(visible[:, :1]), visible + 1], 1)
        x = x.gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
    return model.post_layernorm(model.encoder(inputs_embeds=x).last_hidden_state)


@torch.no_grad()
def encode(model: Blip2VisionModel, images: Tensor) -> Tensor:
    """Image features bf16 [B, 197, 192] of uint8 images [B, 112, 112, 3]."""
    with torch.autocast("cpu", torch.bfloat16):
        return model(pixel_values=normalize(images)).last_hidden_state


@torch.no_grad()
def measure(model: Blip2VisionModel, heads: DenseHeads, count: int = 192) -> dict[str, float]:
    """Accuracy on held-out, faithfully rendered scenes: of objects, at the patch of their center, and of colors."""
    rng = random.Random("vision-evaluation")
    objects = correct_objects = correct_colors = 0
    for _ in range(count // 32):
        scenes = [draw_scene(rng, held_out=True) for _ in range(32)]
        images = [resize(render_faithful(s, rng.randint(224, 512))) for s in scenes]
        features = encode(model, torch.from_numpy(np.stack(images)))
        with torch.autocast("cpu", torch.bfloat16):
            cover, color = heads.cover(features[:, 1:]), heads.color(features[:, 0])
        cover = cover[..., :BACKGROUND].float()
        for i, scene in enumerate(scenes):
            correct_colors += int(color[i].argmax()) == COLORS.index(scene.background)
            for item in scene.items:
                row, column = (min(GRID - 1, int(v * GRID)) for v in (item.y, item.x))
                correct_objects += int(cover[i, row * GRID + column].argmax()) == item.concept
                objects += 1
    return {"object": correct_objects / objects, "color": correct_colors / count}


def train(budget_s: float, from_exported: bool = False, muon_lr: float = 0.02, adam_lr: float = 2e-3) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *generate* if there is no snapshot."""
    phase = PhaseLog("vision", budget_s)
    model, heads = build(), DenseHeads()
    optimizers = build_optimizers({"vision": model, "head": heads}, muon_lr, adam_lr, weight_decay=0.01)
    if state := phase.load():
        model.load_state_dict(state["model"])
        heads.load_state_dict(state["heads"])
        optimizers.load_state_dict(state["optimizers"])
    elif from_exported:
        model.load_state_dict(load("generate").vision_model.state_dict())
    schedule = Schedule(200, budget_s, DECAY)

    def batches(patches: int) -> Iterator[DenseBatch]:
        stream = DenseStream(SEED, phase.step * BATCH, BATCH, CROWD_SHARE, patches)
        return iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8))

    all_visible = phase.spent_s > (1 - ALL_VISIBLE) * budget_s
    loader = batches(PATCHES if all_visible else FEW_PATCHES)
    saved = phase.spent_s

    def snapshot() -> None:
        state = {"model": model.state_dict(), "heads": heads.state_dict(), "optimizers": optimizers.state_dict()}
        phase.save(state)

    while not phase.is_over:
        if not all_visible and phase.spent_s > (1 - ALL_VISIBLE) * budget_s:
            all_visible, loader = True, batches(PATCHES)
        batch = next(loader)
        optimizers.set_scale(schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            features = encode_visible(model, batch.images, batch.visible)
            losses = heads.losses(features, batch)
        (losses["cover"] + losses["center"] + losses["place"] + 0.3 * losses["color"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizers.step()
        phase.tick(**{k: float(v) for k, v in losses.items()})
        if phase.step % 50 == 0:
            phase.log(images=phase.step * BATCH, **{k: float(v) for k, v in losses.items()})
        if phase.step % 300 == 0:
            phase.log(images=phase.step * BATCH, **measure(model, heads))
        if phase.spent_s - saved > 120:
            snapshot()
            saved = phase.spent_s
    snapshot()
    phase.log(images=phase.step * BATCH, **measure(model, heads, 960))
