"""Held-out scenes by chosen artists, rendered without augmentation: what a phase is measured on while it runs."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.artists import artists_of_emoji
from training.data.scene_arrays import SceneArrays, to_arrays
from training.data.scenes import Scene, draw_scene
from training.data.sprite_pack import Sprites
from training.data.sprite_pool import PlainPool
from training.data.torch_render import render_plain
from training.data.vocab import ARTISTS, LAYOUTS, VALIDATION_ARTISTS
from training.machine import Machine


@dataclass
class ExaminedScenes:
    """Scenes, their tensors, and their images uint8 [N, 112, 112, 3]."""

    scenes: list[Scene]
    arrays: SceneArrays
    images: Tensor


def scenes_by(artist: str, concepts: set[int], count: int) -> list[Scene]:
    """Held-out scenes, every layout as often, of the concepts that the artist drew; the same at each call."""
    rng = random.Random(f"examined:{artist}")
    found: list[Scene] = []
    while len(found) < count:
        scene = draw_scene(rng, LAYOUTS[len(found) % len(LAYOUTS)], artist, held_out=True)
        if {i.concept for i in scene.items} <= concepts:
            found.append(scene)
    return found


def examined_scenes(sprites: Sprites, machine: Machine, count: int, each: bool = False) -> dict[str, ExaminedScenes]:
    """`count` scenes of each validation artist and of the known ones together; with `each`, of all artists of emoji."""
    groups = {a: (a,) for a in VALIDATION_ARTISTS}
    groups |= {a: (a,) for a in artists_of_emoji() if a in sprites.artists} if each else {"known": ARTISTS}
    whole = PlainPool(sprites, machine.device)
    out = {}
    for name, artists in groups.items():
        scenes, slots = [], []
        for artist in artists:
            index = sprites.of(artist)
            drawn = scenes_by(artist, set(index), count // len(artists))
            scenes += drawn
            slots += [[index[i.concept] for i in s.items] for s in drawn]
        arrays = to_arrays(scenes).to(machine.device)
        width = arrays.concept.shape[1]
        rows = torch.tensor([s + [0] * (width - len(s)) for s in slots], device=machine.device)
        parts = [
            render_plain(arrays.take(at), rows[at], whole)[0]
            for at in torch.arange(len(scenes), device=machine.device).split(512)
        ]
        out[name] = ExaminedScenes(scenes, arrays, torch.cat(parts))
    return out
