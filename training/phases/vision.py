"""Phase *vision*: pre-trains the image encoder with the dense objective; afterwards it stays frozen."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Blip2VisionModel

from training.architecture import vision_config
from training.data.image_processor import normalize, standardize
from training.data.recipe import COMMITTED, Recipe
from training.data.scene_arrays import SceneBank, mirrored
from training.data.sprite_pack import read_pack
from training.data.streams import DenseStream
from training.export.checkpoints import load, load_snapshot
from training.machine import Machine
from training.objectives.dense import DenseHeads, center_patches, patch_labels, patch_order
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.examined_scenes import ExaminedScenes, examined_scenes
from training.phases.images import image_source
from training.phases.phase_log import PhaseLog, open_phase

FEW_PATCHES = 80  # visible until the last part of the budget; with all 196 a step costs four times as much
CROWD_SHARE = 0.6  # of the scenes: crowds
DECAY = 0.4  # last part of the budget, in which the learning rate falls
ALL_VISIBLE = 0.2  # last part of the budget, in which all patches are visible
WEIGHTS = {"cover": 1.0, "center": 1.0, "place": 1.0, "color": 0.3}


def build(machine: Machine, recipe: Recipe = COMMITTED) -> Blip2VisionModel:
    """A fresh image encoder; the position embedding starts small instead of at unit variance."""
    torch.manual_seed(recipe.seed)
    config = vision_config(recipe.vision_width)
    config._attn_implementation = machine.attention
    model = Blip2VisionModel(config)
    for p in (model.embeddings.class_embedding, model.embeddings.position_embedding):
        torch.nn.init.normal_(p, std=0.02)
    return model.to(machine.device)


def frozen_encoder(machine: Machine) -> Blip2VisionModel:
    """The trained image encoder in bf16: that of the snapshot, or of the exported *generate* where there is none."""
    model = build(machine)
    model.load_state_dict(load_snapshot("vision") or load("generate").vision_model.state_dict())
    return model.requires_grad_(False).eval().bfloat16()


def encode_visible(model: Blip2VisionModel, images: Tensor, visible: Tensor | None) -> Tensor:
    """Final tokens [B, 1 + P, width] when only CLS and the patches `visible` int64 [B, P] enter the transformer.

    images: float32 [B, 3, 112, 112], values from 0 to 1.
    """
    x = model.embeddings(standardize(images))
    if visible is not None:
        chosen = torch.cat([torch.zeros_like(visible[:, :1]), visible + 1], 1)
        x = x.gather(1, chosen.unsqueeze(-1).expand(-1, -1, x.shape[-1]))
    return model.post_layernorm(model.encoder(inputs_embeds=x).last_hidden_state)


@torch.no_grad()
def encode(model: Blip2VisionModel, images: Tensor) -> Tensor:
    """Image features bf16 [B, 197, width] of images float32 [B, 3, 112, 112] with values from 0 to 1."""
    return model(pixel_values=standardize(images).bfloat16()).last_hidden_state


@torch.no_grad()
def measure(
    model: Blip2VisionModel, heads: DenseHeads, machine: Machine, groups: dict[str, ExaminedScenes]
) -> dict[str, float]:
    """Accuracy on held-out scenes of each group of artists: of objects, at the patch of their center, and of colors."""
    out = {}
    for group, examined in groups.items():
        right, drawn, colors = 0.0, 0.0, 0.0
        scenes = examined.arrays
        for rows in torch.arange(len(scenes), device=machine.device).split(512):
            part = scenes.take(rows)
            with machine.autocast():
                features = model(pixel_values=normalize(examined.images[rows])).last_hidden_state
                cover, color = heads.cover(features[:, 1:]), heads.color(features[:, 0])
            named = cover[..., :-1].argmax(-1).gather(1, center_patches(part))
            shown = part.concept >= 0
            right += float(((named == part.concept) & shown).sum())
            drawn += float(shown.sum())
            colors += float((color.argmax(-1) == part.color).sum())
        out |= {f"object, {group}": right / drawn, f"color, {group}": colors / len(scenes)}
    return out


def train(
    machine: Machine,
    budget_s: float,
    from_exported: bool = False,
    muon_lr: float = 0.02,
    adam_lr: float = 2e-3,
    recipe: Recipe = COMMITTED,
    phase: PhaseLog | None = None,
) -> dict[str, float]:
    """Trains for the budget, which counts all runs; `from_exported` starts from *generate* if there is no snapshot.

    Returns the accuracies on held-out scenes of each artist.
    """
    phase = phase or open_phase("vision", budget_s, machine)
    sprites = read_pack()
    source = image_source(machine, machine.pick(320, 48, 8), sprites, recipe.seed - 1, recipe)
    groups = examined_scenes(sprites, machine, machine.pick(256, 64, 8))
    torch.manual_seed(recipe.seed)
    model, heads = build(machine, recipe), DenseHeads(recipe.vision_width).to(machine.device)
    optimizers = build_optimizers({"vision": model, "head": heads}, muon_lr, adam_lr, weight_decay=0.05)
    if not phase.resume(model, optimizers, heads) and from_exported:
        model.load_state_dict(load("generate").vision_model.state_dict())
    schedule = Schedule(machine.pick(150, 200, 2), budget_s, DECAY)
    size, added = machine.pick(1024, 64, 8), machine.pick(256, 32, 8)
    stream = iter(machine.loader(DenseStream(recipe.seed, phase.step, added, CROWD_SHARE)))
    bank = SceneBank(machine.pick(262_144, 32_768, 64), machine.device)
    while bank.size < machine.pick(8192, 256, 8):
        bank.add(next(stream))
    weights = WEIGHTS | {"contrast": recipe.contrast}
    phase.begin()
    while not phase.is_over:
        bank.add(next(stream))
        scenes = mirrored(bank.sample(size))
        images, owner = source.render(scenes)
        labels, visible = patch_labels(scenes, owner), None
        if phase.spent_s < (1 - ALL_VISIBLE) * budget_s:
            visible = patch_order(labels.item, scenes.concept.shape[1])[:, :FEW_PATCHES]
            labels = labels.take(visible)
        optimizers.set_scale(schedule.scale(phase.step, phase.spent_s))
        with machine.autocast():
            losses = heads.losses(encode_visible(model, images, visible), labels, machine.pick(2048, 512, 64))
        sum(weights[name] * loss for name, loss in losses.items()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizers.step()
        phase.tick(images=size, **losses)
        if phase.is_time_to_save:
            phase.log(**measure(model, heads, machine, groups))
            phase.save_training(model, optimizers, heads)
    phase.save_training(model, optimizers, heads)
    measured = measure(model, heads, machine, examined_scenes(sprites, machine, machine.pick(128, 128, 4), each=True))
    phase.log(**measured)
    return measured
