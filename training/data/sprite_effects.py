"""Augmentation of sprites: other proportions, colors, shading and lines, so that shape is what is left to learn.

Every effect takes and returns float32 [N, 4, 96, 96] with premultiplied alpha, from 0 to 1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data.recipe import COMMITTED, Recipe

LUMA = (0.299, 0.587, 0.114)


def chance(sprites: Tensor, share: float) -> Tensor:
    """bool [N, 1, 1, 1], true for about a `share` of the sprites."""
    return torch.rand(len(sprites), 1, 1, 1, device=sprites.device) < share


def between(sprites: Tensor, low: float, high: float, channels: int = 1) -> Tensor:
    """A number for each sprite, float32 [N, channels, 1, 1]."""
    return low + (high - low) * torch.rand(len(sprites), channels, 1, 1, device=sprites.device)


def split(sprites: Tensor) -> tuple[Tensor, Tensor]:
    """Straight color [N, 3, S, S] and alpha [N, 1, S, S]."""
    alpha = sprites[:, 3:]
    return (sprites[:, :3] / alpha.clamp(min=1e-3)).clamp(0, 1), alpha


def join(color: Tensor, alpha: Tensor) -> Tensor:
    """Premultiplied sprites of color and alpha."""
    return torch.cat([color.clamp(0, 1) * alpha, alpha], 1)


def luma(color: Tensor) -> Tensor:
    """Brightness [N, 1, S, S] of color [N, 3, S, S]."""
    return (color * torch.tensor(LUMA, device=color.device)[:, None, None]).sum(1, keepdim=True)


def blur(x: Tensor, radius: int = 1) -> Tensor:
    """A soft blur over 2 * radius + 1 pixels, twice a box."""
    size = 2 * radius + 1
    for _ in range(2):
        x = F.avg_pool2d(x, size, 1, radius, count_include_pad=False)
    return x


def over(top: Tensor, bottom: Tensor) -> Tensor:
    """One premultiplied layer over another."""
    return top + bottom * (1 - top[:, 3:])


def layer(alpha: Tensor, color: Tensor) -> Tensor:
    """A layer of one color [N, 3, 1, 1] with alpha [N, 1, S, S]."""
    return torch.cat([color * alpha, alpha], 1)


def reshaped(sprites: Tensor, share: float = 0.75, strength: float = 0.09) -> Tensor:
    """Other proportions: a smooth random displacement, and a sprite now and then smaller or off its center."""
    size = len(sprites)
    coarse = torch.randn(size, 2, 4, 4, device=sprites.device) * between(sprites, 0, strength)
    bend = F.interpolate(coarse, size=sprites.shape[-2:], mode="bicubic", align_corners=True)
    line = torch.linspace(-1, 1, sprites.shape[-1], device=sprites.device) * (1 - 1 / sprites.shape[-1])
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y])[None] * between(sprites, 0.97, 1.15)
    grid = points + torch.where(chance(sprites, share), bend, torch.zeros_like(bend))
    return F.grid_sample(sprites, grid.permute(0, 2, 3, 1), align_corners=False)


def recolored(sprites: Tensor) -> Tensor:
    """Hue, saturation, contrast and brightness: a little in most sprites, much in some, gray or inverted in a few."""
    color, alpha = split(sprites)
    strong = chance(sprites, 0.12)
    turn = torch.where(strong, between(sprites, -math.pi, math.pi), between(sprites, -0.3, 0.3))
    cos, sin = turn.cos(), turn.sin()
    third, root = (1 - cos) / 3, sin / math.sqrt(3)
    red, green, blue = color.split(1, 1)
    color = torch.cat(
        [
            red * (cos + third) + green * (third - root) + blue * (third + root),
            red * (third + root) + green * (cos + third) + blue * (third - root),
            red * (third - root) + green * (third + root) + blue * (cos + third),
        ],
        1,
    )
    gray = luma(color)
    saturation = torch.where(chance(sprites, 0.08), torch.zeros_like(turn), between(sprites, 0.5, 1.5))
    color = gray + saturation * (color - gray)
    middle = (color * alpha).mean((2, 3), keepdim=True) / alpha.mean((2, 3), keepdim=True).clamp(min=1e-3)
    color = middle + between(sprites, 0.65, 1.35) * (color - middle)
    color = color * between(sprites, 0.85, 1.15, 3) + between(sprites, -0.12, 0.12)
    color = torch.where(chance(sprites, 0.02), 1 - color, color)
    return join(color, alpha)


def with_colors_of(sprites: Tensor, others: Tensor, share: float = 0.2) -> Tensor:
    """The colors of another drawing of the same concept: mean and deviation of each channel are taken over."""

    def moments(color: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
        weight = alpha / alpha.sum((2, 3), keepdim=True).clamp(min=1e-3)
        mean = (color * weight).sum((2, 3), keepdim=True)
        return mean, ((color - mean).pow(2) * weight).sum((2, 3), keepdim=True).sqrt()

    color, alpha = split(sprites)
    mean, deviation = moments(color, alpha)
    other_mean, other_deviation = moments(*split(others))
    moved = (color - mean) * (other_deviation / deviation.clamp(min=0.02)).clamp(max=3) + other_mean
    return torch.where(chance(sprites, share), join(moved, alpha), sprites)


def flattened(sprites: Tensor, share: float = 0.2) -> Tensor:
    """Flat areas: a smoothed sprite in a few steps of color."""
    color, _ = split(blur(sprites))
    steps = between(sprites, 2, 6).round()
    flat = (color * steps).round() / steps
    return torch.where(chance(sprites, share), join(flat, sprites[:, 3:]), sprites)


def shaded(sprites: Tensor, share: float = 0.35) -> Tensor:
    """Light from one side, and at times a bulge that is brighter in its middle."""
    color, alpha = split(sprites)
    side = sprites.shape[-1]
    line = torch.linspace(-1, 1, side, device=sprites.device)
    turn = between(sprites, 0, 2 * math.pi)
    ramp = line[None, None, None, :] * turn.cos() + line[None, None, :, None] * turn.sin()
    depth = blur(alpha, 6)  # high in the middle of a shape
    light = ramp * between(sprites, -0.35, 0.35) + (depth - 0.7) * between(sprites, -0.2, 0.5)
    lit = torch.where(light > 0, color + (1 - color) * light.clamp(max=0.8), color * (1 + light))
    return torch.where(chance(sprites, share), join(lit, alpha), sprites)


def line_strength(sprites: Tensor) -> Tensor:
    """How much of an edge there is at each pixel, [N, 1, S, S]: of color and of alpha."""
    smooth = blur(sprites)
    dx = smooth[..., 2:] - smooth[..., :-2]
    dy = smooth[..., 2:, :] - smooth[..., :-2, :]
    edge = F.pad(dx, (1, 1)).pow(2).sum(1, keepdim=True) + F.pad(dy, (0, 0, 1, 1)).pow(2).sum(1, keepdim=True)
    return ((edge.sqrt() - 0.12) * 5).clamp(0, 1)


def dark_or_any_color(sprites: Tensor) -> Tensor:
    """A color for lines, [N, 3, 1, 1]: near black, now and then any other."""
    return torch.where(chance(sprites, 0.8), between(sprites, 0, 0.2, 3), between(sprites, 0, 1, 3))


def thickened(mask: Tensor) -> Tensor:
    """A mask grown by 0, 1 or 2 pixels, each for some of the sprites."""
    one = F.max_pool2d(mask, 3, 1, 1)
    two = F.max_pool2d(one, 3, 1, 1)
    draw = torch.rand(len(mask), 1, 1, 1, device=mask.device)
    return torch.where(draw < 0.45, mask, torch.where(draw < 0.85, one, two))


def drawn_with_lines(sprites: Tensor, share: float = 0.3) -> Tensor:
    """Lines along the edges: over the sprite, over flat colors, over white, or alone."""
    lines = layer(thickened(line_strength(sprites)), dark_or_any_color(sprites))
    color, alpha = split(sprites)
    draw = torch.rand(len(sprites), 1, 1, 1, device=sprites.device)
    mean = (color * alpha).mean((2, 3), keepdim=True) / alpha.mean((2, 3), keepdim=True).clamp(min=1e-3)
    paper = torch.where(draw < 0.85, torch.ones_like(color), mean.expand_as(color))
    body = torch.where(draw < 0.55, sprites, torch.where(draw < 0.9, join(paper, alpha), torch.zeros_like(sprites)))
    return torch.where(chance(sprites, share), over(lines, body), sprites)


def tinted(sprites: Tensor, share: float = 0.08) -> Tensor:
    """Two colors, one for what is dark and one for what is bright; so icons of one color get any color."""
    color, alpha = split(sprites)
    dark, bright = between(sprites, 0, 0.8, 3), between(sprites, 0.4, 1, 3)
    return torch.where(chance(sprites, share), join(dark + luma(color) * (bright - dark), alpha), sprites)


def silhouettes(sprites: Tensor, share: float = 0.05) -> Tensor:
    """One color, of what is darker, or lighter, than the middle."""
    color, alpha = split(sprites)
    gray = luma(color)
    middle = (gray * alpha).mean((2, 3), keepdim=True) / alpha.mean((2, 3), keepdim=True).clamp(min=1e-3)
    part = torch.where(chance(sprites, 0.3), alpha, alpha * ((middle - gray) * 12 + 0.5).clamp(0, 1))
    return torch.where(chance(sprites, share), layer(part, dark_or_any_color(sprites)), sprites)


def outlined(sprites: Tensor, share: float = 0.2) -> Tensor:
    """A contour around the shape, white as on a sticker or dark; or a soft shadow beneath."""
    alpha = sprites[:, 3:]
    grown = thickened(F.max_pool2d(alpha, 3, 1, 1))
    white = chance(sprites, 0.4)
    color = torch.where(white, torch.ones_like(between(sprites, 0, 1, 3)), dark_or_any_color(sprites))
    contour = over(sprites, layer(grown, color))
    shadow = blur(F.pad(alpha, (4, 0, 5, 0))[..., :-5, :-4], 3) * between(sprites, 0.2, 0.6)
    shaded_sprites = over(sprites, layer(shadow, torch.zeros_like(color)))
    kind = torch.rand(len(sprites), 1, 1, 1, device=sprites.device)
    return torch.where(kind < share / 2, contour, torch.where(kind < share, shaded_sprites, sprites))


def cut(sprites: Tensor, share: float = 0.12) -> Tensor:
    """Hidden at one edge, at an angle, by up to a fifth."""
    line = torch.linspace(-1, 1, sprites.shape[-1], device=sprites.device)
    turn = between(sprites, 0, 2 * math.pi)
    along = line[None, None, None, :] * turn.cos() + line[None, None, :, None] * turn.sin()
    kept = (along < between(sprites, 0.5, 0.95)).float()
    return torch.where(chance(sprites, share), sprites * kept, sprites)


def joined_with(sprites: Tensor, others: Tensor, share: float = 0.08) -> Tensor:
    """One half by one artist and the other by another, of the same concept."""
    line = torch.linspace(-1, 1, sprites.shape[-1], device=sprites.device)
    turn = between(sprites, 0, 2 * math.pi)
    along = line[None, None, None, :] * turn.cos() + line[None, None, :, None] * turn.sin()
    return torch.where(chance(sprites, share) & (along > between(sprites, -0.3, 0.3)), others, sprites)


def augment(sprites: Tensor, others: Tensor, recipe: Recipe = COMMITTED) -> Tensor:
    """Sprites changed at random; `others` are drawings of the same concepts. One in eight stays as it was drawn."""
    if not recipe.has_sprite_effects:
        return sprites
    out = joined_with(sprites, others) if recipe.mixes_artists else sprites
    out = reshaped(out)
    if recipe.mixes_artists:
        out = with_colors_of(out, others)
    out = recolored(out)
    if recipe.draws_lines:
        out = tinted(out)
    out = flattened(out)
    out = shaded(out)
    if recipe.draws_lines:
        out = outlined(silhouettes(drawn_with_lines(out)))
    out = cut(out)
    return torch.where(chance(sprites, 0.125), sprites, out).clamp(0, 1)
