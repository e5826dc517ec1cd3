"""Phase *vision*: pre-trains the image encoder with the dense objective; afterwards it stays frozen."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from transformers import Blip2VisionModel

from training.objectives.dense import BACKGROUND, PATCHES, DenseHeads, DenseStream, normalise
from training.architecture import vision_config
from training.optim.optimizers import Schedule, optimisers
from training.data.render import render_faithful, shrink
from training.phases.phase_log import Phase
from training.data.scenes import draw_scene
from training.data.vocab import COLORS

BATCH = 64
FEW_TOKENS = 80  # patches kept before the decay; with all 196 a step costs four times as much
CROWD = 0.6
DECAY = 0.4  # last part of the budget, in which the learning rate falls
FULL = 0.22  # last part of the budget, in which all patches are kept
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


def tokens_of(model: Blip2VisionModel, pictures: Tensor, kept: Tensor) -> Tensor:
    """Final tokens [B, 1 + P, 192] when only the patches `kept` [B, P] and CLS enter the transformer."""
    x = model.embeddings(normalise(pictures))
    if kept.shape[1] < x.shape[1] - 1:
        chosen = torch.cat([torch.zeros_like(kept[:, :1]), kept + 1], 1)
        x = x.gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
    return model.post_layernorm(model.encoder(inputs_embeds=x).last_hidden_state)


@torch.no_grad()
def encode(model: Blip2VisionModel, pictures: Tensor) -> Tensor:
    """Image features bf16 [B, 197, 192] of uint8 pictures [B, 112, 112, 3]."""
    with torch.autocast("cpu", torch.bfloat16):
        return model(pixel_values=normalise(pictures)).last_hidden_state


@torch.no_grad()
def measure(model: Blip2VisionModel, heads: DenseHeads, count: int = 192) -> dict[str, float]:
    """Accuracy on held-out real-layout scenes drawn by the faithful renderer; patches by the item's box middle."""
    rng = random.Random("vision-evaluation")
    right = seen = colors = 0
    for _ in range(count // 32):
        scenes = [draw_scene(rng, held_out=True) for _ in range(32)]
        pictures = torch.stack([torch.from_numpy(shrink(render_faithful(s, rng.randint(224, 512))).copy()) for s in scenes])
        features = encode(model, pictures)
        with torch.autocast("cpu", torch.bfloat16):
            cover, color = heads.cover(features[:, 1:]), heads.color(features[:, 0])
        cover = cover[..., :BACKGROUND].float()
        for i, scene in enumerate(scenes):
            colors += int(color[i].argmax()) == COLORS.index(scene.background)
            for item in scene.items:
                patch = min(13, int(item.y * 14)) * 14 + min(13, int(item.x * 14))
                right += int(cover[i, patch].argmax()) == item.concept
                seen += 1
    return {"object": right / seen, "color": colors / count}


def train(budget_s: float, exported: bool = False, muon_lr: float = 0.02, adam_lr: float = 2e-3) -> None:
    """Trains for the budget, counting earlier runs' time; with `exported` from *generate* if there is no snapshot."""
    phase = Phase("vision", budget_s)
    model, heads = build(), DenseHeads()
    opt = optimisers({"vision": model, "head": heads}, muon_lr, adam_lr, weight_decay=0.01)
    state = phase.load()
    if state:
        model.load_state_dict(state["model"])
        heads.load_state_dict(state["heads"])
        opt.load_state_dict(state["optimiser"])
    elif exported:
        from training.export.checkpoints import load

        model.load_state_dict(load("generate").vision_model.state_dict())
    schedule = Schedule(200, budget_s, DECAY)

    def batches(tokens: int):
        stream = DenseStream(SEED, phase.step * BATCH, BATCH, CROWD, tokens)
        return iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8))

    full = phase.spent_s > (1 - FULL) * budget_s
    loader = batches(PATCHES if full else FEW_TOKENS)
    saved = phase.spent_s

    def snapshot() -> None:
        phase.save({"model": model.state_dict(), "heads": heads.state_dict(), "optimiser": opt.state_dict()})

    while not phase.over:
        if not full and phase.spent_s > (1 - FULL) * budget_s:
            full, loader = True, batches(PATCHES)
        batch = next(loader)
        opt.set_scale(schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            features = tokens_of(model, batch.pictures, batch.kept)
            losses = heads.losses(features, batch)
        (losses["cover"] + losses["centre"] + losses["place"] + 0.3 * losses["color"]).backward()
        torch.nn.utils.clip_grad_norm_([p for p in model.parameters()], 5.0)
        opt.step()
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
