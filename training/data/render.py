"""Turns scenes into pixels as a user would: for evaluation and test files. `torch_render` draws for training."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from training.data.scenes import Scene
from training.data.vocab import CONCEPTS
from training.paths import CACHE


@cache
def sprite(artist: str, concept: int) -> np.ndarray:
    """A sprite as drawn by an artist, uint8 [192, 192, 4], straight alpha."""
    path = CACHE / "sprites" / artist / f"{CONCEPTS[concept].name}.png"
    return np.asarray(Image.open(path).convert("RGBA"))


def render_faithful(scene: Scene, side: int) -> Image.Image:
    """The image of a scene: Pillow, bicubic sprites, no augmentation."""
    canvas = Image.new("RGBA", (side, side), (*scene.rgb, 255))
    for item in scene.items:
        px = max(1, round(item.side * side))
        image = Image.fromarray(sprite(scene.artist, item.concept)).resize((px, px), Image.Resampling.BICUBIC)
        image = image.rotate(item.angle, Image.Resampling.BICUBIC, expand=True)
        at = (round(item.x * side - image.width / 2), round(item.y * side - image.height / 2))
        canvas.alpha_composite(image, (min(max(0, at[0]), side - image.width), min(max(0, at[1]), side - image.height)))
    return canvas.convert("RGB")
