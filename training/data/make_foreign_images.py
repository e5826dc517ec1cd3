"""Phase *foreign*: writes the committed images that are no scenes to test/foreign/, a folder for each kind.

All are made here, so that they may be shipped: noise, plain areas, documents, charts, drawings, windows of programs.
"""

from __future__ import annotations

import colorsys
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from training.data.image_processor import IMAGE_SIDE
from training.paths import FOREIGN_IMAGES

SEED = "foreign-images"
PER_KIND = 10
SIDES = (224, 256, 288, 320)  # px
QUALITY = 60  # of WebP
WORDS = (
    "the of and to a in is that for it as was with be by on not he this are or his from at which but have an had they "
    "report measure river paper window number total month letter street garden price model answer table result summer "
    "account meeting train north market value system people country question water history section page winter"
).split()

RGB = tuple[int, int, int]
Draw = Callable[[random.Random, int, int], Image.Image]


def _color(rng: random.Random, light: tuple[float, float] = (0.2, 0.9)) -> RGB:
    r, g, b = colorsys.hls_to_rgb(rng.random(), rng.uniform(*light), rng.uniform(0.1, 0.9))
    return round(r * 255), round(g * 255), round(b * 255)


def _words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count)).capitalize()


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: float, fill: RGB) -> None:
    draw.text(at, text, fill=fill, font=ImageFont.load_default(size))


def _noise(rng: random.Random, width: int, height: int) -> Image.Image:
    """Noise of every fineness, of one channel or three."""
    coarse = 2 ** rng.randint(0, 5)
    values = np.random.default_rng(rng.randrange(2**32))
    shape = (max(3, height // coarse), max(3, width // coarse), rng.choice((1, 3)))
    pixels = values.uniform(0, 255, shape) if rng.random() < 0.5 else values.normal(128, 45, shape)
    image = Image.fromarray(np.broadcast_to(pixels.clip(0, 255), (*shape[:2], 3)).astype(np.uint8))
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _plain(rng: random.Random, width: int, height: int) -> Image.Image:
    """One color, a gradient, stripes or squares."""
    kind = rng.choice(("flat", "gradient", "stripes", "squares"))
    first, second = np.array(_color(rng, (0, 1))), np.array(_color(rng, (0, 1)))
    y, x = np.mgrid[0:height, 0:width].astype(float)
    turn, size = rng.uniform(0, math.tau), rng.randint(8, 48)
    along = x * math.cos(turn) + y * math.sin(turn)
    if kind == "flat":
        share = np.zeros_like(x)
    elif kind == "gradient":
        share = (along - along.min()) / (along.max() - along.min())
    elif kind == "stripes":
        share = (along // size) % 2
    else:
        share = (x // size + y // size) % 2
    return Image.fromarray((first + share[..., None] * (second - first)).astype(np.uint8))


def _document(rng: random.Random, width: int, height: int) -> Image.Image:
    """A page of text: a heading and paragraphs in one column or two, or a table."""
    is_dark = rng.random() < 0.2
    ink, page = ((225, 225, 225), (30, 32, 38)) if is_dark else ((25, 25, 30), (255, 255, rng.randint(238, 255)))
    image = Image.new("RGB", (width, height), page)
    draw, size, margin = ImageDraw.Draw(image), rng.uniform(7, 13), width // 14
    _text(draw, (margin, margin), _words(rng, 3), size * 1.7, ink)
    top = margin + size * 3
    if rng.random() < 0.3:
        columns, row = rng.randint(2, 4), size * 1.9
        for i in range(int((height - margin - top) // row)):
            y = top + i * row
            draw.line((margin, y, width - margin, y), fill=ink)
            for c in range(columns):
                cell = _words(rng, 1) if c == 0 or i == 0 else f"{rng.uniform(0, 999):.1f}"
                _text(draw, (margin + c * (width - 2 * margin) / columns + 3, y + size * 0.3), cell, size, ink)
        return image
    columns = rng.choice((1, 1, 2))
    for c in range(columns):
        left, room, y = margin + c * (width - margin) / columns, (width - margin) / columns - margin, top
        while y < height - margin - size:
            is_end = rng.random() < 0.15
            line = _words(rng, 20)
            while draw.textlength(line, font=ImageFont.load_default(size)) > room * (0.5 if is_end else 1):
                line = line.rsplit(" ", 1)[0] if " " in line else line[:-1]
            _text(draw, (left, y), line, size, ink)
            y += size * (2.2 if is_end else 1.4)
    return image


def _chart(rng: random.Random, width: int, height: int) -> Image.Image:
    """Bars, lines, points or a pie, with axes and labels."""
    image = Image.new("RGB", (width, height), rng.choice(((255, 255, 255), (246, 246, 250), (34, 36, 44))))
    ink = (210, 210, 215) if image.getpixel((0, 0))[0] < 100 else (60, 60, 66)
    draw, count, pad = ImageDraw.Draw(image), rng.randint(4, 9), width // 8
    _text(draw, (pad, pad / 4), _words(rng, 3), width / 18, ink)
    kind = rng.choice(("bars", "lines", "points", "pie"))
    if kind == "pie":
        cuts = sorted(rng.uniform(0, 360) for _ in range(count))
        box = (pad, pad, width - pad, height - pad)
        for start, end in zip(cuts, [*cuts[1:], cuts[0] + 360], strict=True):
            draw.pieslice(box, start, end, fill=_color(rng), outline=ink)
        return image
    floor, top = height - pad, pad
    draw.line((pad, top, pad, floor, width - pad / 2, floor), fill=ink, width=2)
    for i in range(5):
        y = floor - i * (floor - top) / 5
        draw.line((pad, y, width - pad / 2, y), fill=(*ink[:2], 140))
        _text(draw, (pad / 4, y - 5), str(i * 20), width / 28, ink)
    step = (width - 1.5 * pad) / count
    heights = [rng.uniform(0.1, 0.95) * (floor - top) for _ in range(count)]
    if kind == "bars":
        fill = _color(rng)
        for i, tall in enumerate(heights):
            draw.rectangle((pad + step * (i + 0.2), floor - tall, pad + step * (i + 0.8), floor), fill=fill)
    elif kind == "lines":
        for _ in range(rng.randint(1, 3)):
            rng.shuffle(heights)
            draw.line([(pad + step * (i + 0.5), floor - h) for i, h in enumerate(heights)], _color(rng), width=3)
    else:
        fill = _color(rng)
        for _ in range(rng.randint(20, 70)):
            x, y = rng.uniform(pad, width - pad), rng.uniform(top, floor)
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=fill)
    return image


def _drawing(rng: random.Random, width: int, height: int) -> Image.Image:
    """Lines by hand: curves, a landscape with a house, a plan of rooms, a maze."""
    image = Image.new("RGB", (width, height), rng.choice(((255, 255, 255), (250, 246, 235), (233, 240, 247))))
    draw, ink, pen = ImageDraw.Draw(image), _color(rng, (0.05, 0.35)), rng.randint(1, 4)
    kind = rng.choice(("curves", "landscape", "rooms", "maze"))
    if kind == "curves":
        for _ in range(rng.randint(3, 9)):
            phases = [(rng.uniform(0.5, 4), rng.uniform(0, math.tau), rng.uniform(0.1, 0.45)) for _ in range(4)]
            points = []
            for t in np.linspace(0, math.tau, 200):
                x = width * (0.5 + sum(a * math.cos(f * t + p) for f, p, a in phases[:2]) / 2)
                y = height * (0.5 + sum(a * math.sin(f * t + p) for f, p, a in phases[2:]) / 2)
                points.append((x, y))
            draw.line(points, fill=ink, width=pen, joint="curve")
    elif kind == "landscape":
        for _ in range(3):
            base, high, f, p = rng.uniform(0.4, 0.8), rng.uniform(0.03, 0.15), rng.uniform(1, 5), rng.uniform(0, 6)
            line = [(x, height * (base + high * math.sin(f * x / width * 3 + p))) for x in range(0, width, 4)]
            draw.line(line, fill=ink, width=pen, joint="curve")
        x, y, s = rng.uniform(0.2, 0.6) * width, height * 0.55, width * rng.uniform(0.15, 0.3)
        draw.rectangle((x, y, x + s, y + s * 0.7), outline=ink, width=pen)
        draw.line((x - s / 8, y, x + s / 2, y - s / 2, x + s * 1.12, y), fill=ink, width=pen)
        for i in range(rng.randint(2, 5)):
            tree = width * (0.1 + 0.2 * i)
            draw.line((tree, height * 0.9, tree, height * 0.7), fill=ink, width=pen)
            draw.arc((tree - 14, height * 0.6, tree + 14, height * 0.72), 0, 360, fill=ink, width=pen)
    else:
        cells = rng.randint(3, 5) if kind == "rooms" else rng.randint(8, 16)
        w, h = width * 0.9 / cells, height * 0.9 / cells
        left, top = width * 0.05, height * 0.05
        draw.rectangle((left, top, left + w * cells, top + h * cells), outline=ink, width=pen)
        for i in range(cells):
            for j in range(cells):
                x, y = left + i * w, top + j * h
                if rng.random() < 0.5:
                    draw.line((x, y, x + w * rng.choice((0.6, 1)), y), fill=ink, width=pen)
                else:
                    draw.line((x, y, x, y + h * rng.choice((0.6, 1))), fill=ink, width=pen)
                if kind == "rooms" and rng.random() < 0.5:
                    _text(draw, (x + w / 5, y + h / 3), _words(rng, 1), width / 26, ink)
    return image.filter(ImageFilter.SMOOTH) if rng.random() < 0.5 else image


def _window(rng: random.Random, width: int, height: int) -> Image.Image:
    """A program's window or a web page: bars, a list, cards with text, buttons."""
    is_dark = rng.random() < 0.4
    page, card, ink = (
        ((32, 33, 36), (48, 50, 55), (220, 220, 224)) if is_dark else ((243, 244, 246), (255, 255, 255), (40, 42, 48))
    )
    image, accent = Image.new("RGB", (width, height), page), _color(rng, (0.35, 0.6))
    draw, bar, side = ImageDraw.Draw(image), height // 10, rng.choice((0, width // 4, width // 3))
    draw.rectangle((0, 0, width, bar), fill=accent if rng.random() < 0.5 else card)
    _text(draw, (bar / 2, bar / 4), _words(rng, 2), bar / 2.2, ink)
    for i in range(3):
        draw.ellipse(
            (width - (i + 1) * bar * 0.6, bar * 0.35, width - (i + 1) * bar * 0.6 + 7, bar * 0.35 + 7), fill=ink
        )
    if side:
        draw.rectangle((0, bar, side, height), fill=card)
        for i in range(rng.randint(5, 9)):
            _text(draw, (8, bar * (1.4 + i * 0.9)), _words(rng, 1), bar / 2.8, ink)
    columns = rng.randint(1, 3)
    wide, tall = (width - side - 10) / columns, rng.uniform(0.2, 0.42) * height
    y = bar + 10.0
    while y < height - 20:
        for c in range(columns):
            x = side + 10 + c * wide
            draw.rounded_rectangle((x, y, x + wide - 10, y + tall - 10), 5, fill=card, outline=(128, 128, 132))
            for i in range(int(tall // 16) - 2):
                _text(draw, (x + 6, y + 5 + i * 13), _words(rng, 9)[: int(wide / 7)], 9, ink)
            draw.rounded_rectangle((x + 6, y + tall - 27, x + 6 + wide / 3, y + tall - 15), 4, fill=accent)
        y += tall
    return image


KINDS: dict[str, Draw] = {
    "noise": _noise,
    "plain": _plain,
    "document": _document,
    "chart": _chart,
    "drawing": _drawing,
    "window": _window,
}


def draw_foreign(kind: str, number: int, seed: str = SEED) -> Image.Image:
    """An image of a kind, the same at each call."""
    rng = random.Random(f"{seed}:{kind}:{number}")
    return KINDS[kind](rng, rng.choice(SIDES), rng.choice(SIDES))


def write_all(folder: Path = FOREIGN_IMAGES, count: int = PER_KIND, seed: str = SEED) -> None:
    """`count` WebP files of each kind."""
    assert min(SIDES) > IMAGE_SIDE
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            image = draw_foreign(kind, number, seed)
            image.save(folder / kind / f"{kind}-{number:02}.webp", "WEBP", quality=QUALITY, method=6)
