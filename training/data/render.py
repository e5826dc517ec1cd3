"""Turns scenes into pixels: a fast renderer for training and a faithful one for evaluation and test files."""

from __future__ import annotations

import math
import random
from functools import cache

import cv2
import numpy as np
from PIL import Image

from training.data.image_processor import IMAGE_SIDE
from training.data.scenes import Scene
from training.data.vocab import CONCEPTS
from training.paths import CACHE

SPRITE_SIDE = 192  # px, as sprites.mjs makes them


@cache
def sprite(artist: str, concept: int) -> np.ndarray:
    """A sprite as drawn by an artist, uint8 [192, 192, 4], straight alpha."""
    path = CACHE / "sprites" / artist / f"{CONCEPTS[concept].name}.png"
    return np.asarray(Image.open(path).convert("RGBA"))


@cache
def _pyramid(artist: str, concept: int) -> tuple[np.ndarray, ...]:
    """The sprite with premultiplied alpha, float32 [side, side, 4] of sides 192, 96, 48, 24."""
    base = sprite(artist, concept).astype(np.float32)
    base[..., :3] *= base[..., 3:] / 255
    levels = [base]
    while levels[-1].shape[0] > 24:
        half = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
    return tuple(levels)


def _level(artist: str, concept: int, side: float) -> np.ndarray:
    """The smallest level of the pyramid that has at least `side` pixels, else the largest."""
    pyramid = _pyramid(artist, concept)
    return next((level for level in reversed(pyramid) if level.shape[0] >= side), pyramid[0])


def _jitter(pixels: np.ndarray, rng: random.Random) -> np.ndarray:
    """Moves a premultiplied sprite's colors a little: channel gains, a lift, saturation."""
    gains = [rng.uniform(0.85, 1.15) for _ in range(3)]
    out = pixels.copy()
    out[..., :3] *= np.array(gains, np.float32)
    saturation = rng.uniform(0.75, 1.2)
    gray = out[..., :3].mean(-1, keepdims=True)
    out[..., :3] = np.clip(gray + saturation * (out[..., :3] - gray), 0, out[..., 3:])
    return out


def render_fast(scene: Scene, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """Augmented training image uint8 [112, 112, 3], and owner map uint8 [56, 56]: item index + 1, or 0."""
    side = rng.choice((112, 128, 160, 208))
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = scene.rgb
    owner = np.zeros((side, side), np.uint8)
    jittered = rng.random() < 0.5
    for number, item in enumerate(scene.items, 1):
        wanted = item.side * side
        level = _level(scene.artist, item.concept, wanted)
        if jittered:
            level = _jitter(level, rng)
        scale = wanted / level.shape[0]
        stretch = math.exp(rng.uniform(-0.06, 0.06))
        flip = -1 if rng.random() < 0.5 else 1
        a = math.radians(item.angle)
        reach = math.ceil(item.reach * side * 1.05) + 2
        x0, y0 = max(0, int(item.x * side) - reach), max(0, int(item.y * side) - reach)
        x1, y1 = min(side, int(item.x * side) + reach + 1), min(side, int(item.y * side) + reach + 1)
        c, s, half = math.cos(a) * scale, math.sin(a) * scale, level.shape[0] / 2 - 0.5
        m = np.array([[flip * c * stretch, -s / stretch, 0], [flip * s * stretch, c / stretch, 0]])
        m[0, 2] = item.x * side - 0.5 - x0 - m[0, 0] * half - m[0, 1] * half
        m[1, 2] = item.y * side - 0.5 - y0 - m[1, 0] * half - m[1, 1] * half
        drawn = cv2.warpAffine(level, m, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        alpha = drawn[..., 3:] * (1 / 255)
        region = canvas[y0:y1, x0:x1]
        region *= 1 - alpha
        region += drawn[..., :3]
        owner[y0:y1, x0:x1][drawn[..., 3] > 127] = number
    if side != IMAGE_SIDE:
        how = cv2.INTER_AREA if rng.random() < 0.7 or side > 160 else cv2.INTER_LINEAR
        canvas = cv2.resize(canvas, (IMAGE_SIDE, IMAGE_SIDE), interpolation=how)
    return _augment(canvas, rng), cv2.resize(owner, (56, 56), interpolation=cv2.INTER_NEAREST)


def _augment(canvas: np.ndarray, rng: random.Random) -> np.ndarray:
    """Mild blur, sharpening, noise and JPEG artifacts. float32 in, uint8 out."""
    kind = rng.random()
    if kind < 0.12:
        canvas = cv2.GaussianBlur(canvas, (3, 3), rng.uniform(0.3, 0.8))
    elif kind < 0.45:
        amount = rng.uniform(0.1, 0.5)
        canvas = canvas * (1 + amount) - cv2.GaussianBlur(canvas, (3, 3), 0.8) * amount
    if rng.random() < 0.15:
        noise = np.empty(canvas.shape, np.int16)
        cv2.setRNGSeed(rng.getrandbits(31))
        cv2.randn(noise, 0, rng.uniform(1, 6))
        canvas = canvas + noise
    pixels = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.08:
        _, coded = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, rng.randint(50, 95)))
        pixels = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return pixels


def render_faithful(scene: Scene, side: int) -> Image.Image:
    """The image of a scene as a user would make it: Pillow, bicubic sprites, no augmentation."""
    canvas = Image.new("RGBA", (side, side), (*scene.rgb, 255))
    for item in scene.items:
        px = max(1, round(item.side * side))
        image = Image.fromarray(sprite(scene.artist, item.concept)).resize((px, px), Image.Resampling.BICUBIC)
        image = image.rotate(item.angle, Image.Resampling.BICUBIC, expand=True)
        at = (round(item.x * side - image.width / 2), round(item.y * side - image.height / 2))
        canvas.alpha_composite(image, (min(max(0, at[0]), side - image.width), min(max(0, at[1]), side - image.height)))
    return canvas.convert("RGB")
