"""Training images on the device: augmented sprites, composed and finished."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.artists import artist_weights
from training.data.image_effects import backgrounds, finish, flat_backgrounds
from training.data.image_processor import IMAGE_SIDE
from training.data.recipe import COMMITTED, Recipe
from training.data.scene_arrays import SceneArrays
from training.data.sprite_pack import Sprites, read_pack
from training.data.sprite_pool import TrainingPool
from training.data.torch_render import TRAINING, compose
from training.machine import Machine

REFRESH_EVERY = 4  # calls


@dataclass
class ImageSource:
    """Renders scenes with sprites of the training artists; some of the sprites are made anew every few calls.

    To augment many costs hardly more than to augment few: hundreds of small operations.
    """

    machine: Machine
    pool: TrainingPool
    refreshed: int  # sprites a call
    has_effects: bool = True
    calls: int = 0

    @torch.no_grad()
    def render(self, scenes: SceneArrays) -> tuple[Tensor, Tensor]:
        """Images float32 [B, 3, 112, 112] with values from 0 to 1, and their owner maps int8 [B, 112, 112]."""
        if self.calls % REFRESH_EVERY == 0:
            self.pool.refresh(REFRESH_EVERY * self.refreshed)
        self.calls += 1
        slots = self.pool.choose(scenes.concept)
        behind = backgrounds if self.has_effects else flat_backgrounds
        image, owner = compose(behind(scenes, IMAGE_SIDE), scenes, slots, self.pool, TRAINING)
        return finish(image) if self.has_effects else image, owner


def image_source(
    machine: Machine, refreshed: int, sprites: Sprites | None = None, seed: int = 0, recipe: Recipe = COMMITTED
) -> ImageSource:
    """A source whose pool is filled; `refreshed` of its sprites are made anew for each batch."""
    sprites = sprites or read_pack()
    drawn = set(sprites.artists) & set(recipe.artists or sprites.artists)
    weights = {artist: weight for artist, weight in artist_weights().items() if artist in drawn}
    pool = TrainingPool(sprites, weights, machine.pick(96, 12, 1), machine.device, seed, recipe)
    pool.fill(machine.pick(1024, 142, 71))
    return ImageSource(machine, pool, refreshed, recipe.has_image_effects)
