"""Augmentation of whole images: backgrounds that are not flat, and what cameras, scalers and codecs do.

Everything is float32 [B, 3, S, S] with values from 0 to 1, and happens on the device of its input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.scene_arrays import SceneArrays
from training.data.sprite_effects import between, chance

_BLOCK = 8
_LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def flat_backgrounds(scenes: SceneArrays, side: int) -> Tensor:
    """The color of each scene and nothing else."""
    return (scenes.rgb / 255)[:, :, None, None].expand(-1, -1, side, side)


def backgrounds(scenes: SceneArrays, side: int) -> Tensor:
    """Flat colors, half of them with a gradient, some with a soft or fine texture; the color's name stays right."""
    base = (scenes.rgb / 255)[:, :, None, None]
    line = torch.linspace(-1, 1, side, device=base.device)
    turn = between(base, 0, 2 * math.pi)
    ramp = line[None, None, None, :] * turn.cos() + line[None, None, :, None] * turn.sin()
    gradient = ramp * between(base, 0, 0.09, 1) + ramp * between(base, -0.02, 0.02, 3)
    out = base + between(base, -0.02, 0.02, 3) + torch.where(chance(base, 0.4), gradient, torch.zeros_like(gradient))
    coarse = torch.randn(len(base), 1, 7, 7, device=base.device)
    soft = F.interpolate(coarse, size=(side, side), mode="bicubic", align_corners=True)
    fine = torch.randn(len(base), 1, side, side, device=base.device)
    draw = torch.rand(len(base), 1, 1, 1, device=base.device)
    texture = torch.where(draw < 0.15, soft * 0.035, torch.where(draw < 0.25, fine * 0.035, torch.zeros_like(fine)))
    return (out + texture * between(base, 0.2, 1)).clamp(0, 1)


def gaussian(image: Tensor, sigma: Tensor) -> Tensor:
    """Blurred by `sigma` [B, 1, 1, 1] px, over 5 pixels."""
    offsets = torch.arange(-2, 3, device=image.device, dtype=image.dtype)
    weights = (-(offsets**2) / (2 * sigma.flatten()[:, None] ** 2)).exp()
    weights = weights / weights.sum(1, keepdim=True)
    size, side = image.shape[0], image.shape[-1]
    rows = F.pad(image, (2, 2, 2, 2), mode="replicate")
    across = sum(weights[:, i, None, None, None] * rows[..., i : i + side] for i in range(5))
    out = sum(weights[:, i, None, None, None] * across[..., i : i + side, :] for i in range(5))
    assert out.shape[0] == size
    return out


def blurred_or_sharpened(image: Tensor) -> Tensor:
    """A blur for some, an unsharp mask for more of them."""
    draw = torch.rand(len(image), 1, 1, 1, device=image.device)
    soft = gaussian(image, between(image, 0.4, 0.9))
    sharp = image + (image - soft) * between(image, 0.2, 0.9)
    return torch.where(draw < 0.15, soft, torch.where(draw < 0.55, sharp, image))


def coarsened(image: Tensor, share: float = 0.15) -> Tensor:
    """A quarter of the batch is made smaller by one factor and enlarged again."""
    count = int(len(image) * share)
    if count == 0:
        return image
    side = image.shape[-1]
    smaller = int(torch.randint(side // 2, side, ()).item())
    part = F.interpolate(image[:count], size=(smaller, smaller), mode="bilinear", antialias=True, align_corners=False)
    part = F.interpolate(part, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([part, image[count:]])


def _cosines(device: torch.device) -> Tensor:
    """The matrix of the discrete cosine transform, [8, 8]."""
    n = torch.arange(_BLOCK, device=device, dtype=torch.float32)
    table = torch.cos(math.pi / _BLOCK * (n[None, :] + 0.5) * n[:, None]) * math.sqrt(2 / _BLOCK)
    table[0] /= math.sqrt(2)
    return table


def quantized(image: Tensor, share: float = 0.25) -> Tensor:
    """What JPEG does: luma and chroma in blocks of 8 pixels, cosine-transformed, rounded by a quality from 35 to 95."""
    count = int(len(image) * share)
    if count == 0:
        return image
    part = image[:count] * 255 - 128
    red, green, blue = part.split(1, 1)
    y = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = torch.cat([y, 0.564 * (blue - y), 0.713 * (red - y)], 1)
    side = image.shape[-1]
    cells = side // _BLOCK
    blocks = planes.unflatten(3, (cells, _BLOCK)).unflatten(2, (cells, _BLOCK)).transpose(3, 4)
    cosines = _cosines(image.device)
    spectrum = cosines @ blocks @ cosines.T
    quality = between(part, 35, 95)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = torch.tensor(_LUMA_TABLE, device=image.device, dtype=torch.float32)
    steps = (table * scale[..., None, None]).clamp(min=1)
    steps = torch.cat([steps, steps * 1.3, steps * 1.3], 1)
    spectrum = (spectrum / steps).round() * steps
    planes = (cosines.T @ spectrum @ cosines).transpose(3, 4).flatten(2, 3).flatten(3, 4)
    y, cb, cr = planes.split(1, 1)
    red, blue = y + cr / 0.713, y + cb / 0.564
    green = (y - 0.299 * red - 0.114 * blue) / 0.587
    out = ((torch.cat([red, green, blue], 1) + 128) / 255).clamp(0, 1)
    return torch.cat([out, image[count:]])


def finish(image: Tensor) -> Tensor:
    """Resolution, sharpness, noise and codec, each for some of the images; the batch's order is kept."""
    order = torch.randperm(len(image), device=image.device)
    out = coarsened(image[order])
    out = blurred_or_sharpened(out)
    noise = torch.randn_like(out) * between(out, 0, 0.025)
    out = torch.where(chance(out, 0.2), out + noise, out).clamp(0, 1)
    out = quantized(out.roll(len(out) // 2, 0))
    return out.roll(-(len(out) // 2), 0)[order.argsort()]
