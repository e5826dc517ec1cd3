"""What training draws and minimizes: the defaults made the committed checkpoints, others are for ablations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """`artists`: those that are drawn, None for all of training; `vision_width`: a multiple of 64."""

    artists: tuple[str, ...] | None = None
    has_sprite_effects: bool = True  # any of them
    mixes_artists: bool = True  # halves and colors of another artist's drawing of the same thing
    draws_lines: bool = True  # lines, silhouettes, two colors, contours
    has_image_effects: bool = True  # gradients and textures behind, blur, noise and codecs over everything
    contrast: float = 0.1  # weight of the loss that pulls patches of one concept together
    vision_width: int = 256
    seed: int = 1


COMMITTED = Recipe()  # that of the committed checkpoints
