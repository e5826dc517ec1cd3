"""Draws scenes at random: which concepts, how many, where, on what background. Nothing is rendered here."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from training.data.held_out_split import HELD_OUT_COUNTS, HELD_OUT_PAIRS, is_held_out_count, is_held_out_pair
from training.data.vocab import ARTISTS, BACKGROUNDS, COLORS, CONCEPTS, LAYOUTS

MAX_ROTATION = 15.0  # degrees
BACKGROUND_JITTER = 12  # per RGB channel

_PAIRS = sorted(tuple(sorted(p)) for p in HELD_OUT_PAIRS)
_COUNTS = sorted(HELD_OUT_COUNTS)


@dataclass(frozen=True)
class Item:
    """One sprite: concept index, center and side as fractions of the canvas, rotation in degrees."""

    concept: int
    x: float
    y: float
    side: float
    angle: float

    @property
    def reach(self) -> float:
        """Half the side of the axis-aligned box around the rotated sprite."""
        a = math.radians(abs(self.angle))
        return self.side / 2 * (math.cos(a) + math.sin(a))


@dataclass(frozen=True)
class Scene:
    """What an image shows. Only pairs have a `relation`: the first item is left of, or above, the second."""

    layout: str
    artist: str
    background: str
    rgb: tuple[int, int, int]
    items: tuple[Item, ...]
    relation: str | None = None


def _item(rng: random.Random, concept: int, low: float, high: float) -> Item:
    side, angle = rng.uniform(low, high), rng.uniform(-MAX_ROTATION, MAX_ROTATION)
    reach = Item(concept, 0, 0, side, angle).reach
    return Item(concept, rng.uniform(reach, 1 - reach), rng.uniform(reach, 1 - reach), side, angle)


def _apart(item: Item, others: list[Item], closeness: float = 1.0) -> bool:
    """Whether the box around an item overlaps none of the others; boxes shrink by `closeness`."""
    return all(max(abs(item.x - o.x), abs(item.y - o.y)) >= closeness * (item.reach + o.reach) for o in others)


def _scatter(rng: random.Random, concepts: list[int], low: float, high: float) -> tuple[Item, ...]:
    """Items of the given concepts that do not overlap, by rejection."""
    while True:
        placed: list[Item] = []
        for concept in concepts:
            for _ in range(40):
                item = _item(rng, concept, low, high)
                if _apart(item, placed):
                    placed.append(item)
                    break
            else:
                break
        if len(placed) == len(concepts):
            return tuple(placed)


def _pair_items(rng: random.Random, a: int, b: int, horizontal: bool) -> tuple[Item, Item]:
    while True:
        first, second = _item(rng, a, 0.25, 0.38), _item(rng, b, 0.25, 0.38)
        along, across = rng.uniform(0.4, 0.6), rng.uniform(-0.13, 0.13)
        x = first.x + (along if horizontal else across)
        y = first.y + (across if horizontal else along)
        if all(second.reach <= v <= 1 - second.reach for v in (x, y)):
            second = Item(b, x, y, second.side, second.angle)
            if _apart(second, [first], 0.9):
                return first, second


def _two_concepts(rng: random.Random, held_out: bool) -> tuple[int, int]:
    if held_out:
        pair = list(_PAIRS[rng.randrange(len(_PAIRS))])
        rng.shuffle(pair)
        return pair[0], pair[1]
    while True:
        a, b = rng.sample(range(len(CONCEPTS)), 2)
        if not is_held_out_pair(a, b):
            return a, b


def _style(rng: random.Random, artist: str | None) -> tuple[str, str, tuple[int, int, int]]:
    """Artist, name of the background, and its RGB values with a little jitter."""
    name = rng.choice(COLORS)
    r, g, b = (min(255, max(0, v + rng.randint(-BACKGROUND_JITTER, BACKGROUND_JITTER))) for v in BACKGROUNDS[name])
    return artist or rng.choice(ARTISTS), name, (r, g, b)


def draw_scene(
    rng: random.Random, layout: str | None = None, artist: str | None = None, held_out: bool = False
) -> Scene:
    """A scene of one of the four layouts; with `held_out`, of a composition that training never draws."""
    layout = layout or rng.choice(LAYOUTS)
    artist, background, rgb = _style(rng, artist)
    relation = None
    if layout == "single":
        items: tuple[Item, ...] = (_item(rng, rng.randrange(len(CONCEPTS)), 0.25, 0.55),)
    elif layout == "count":
        concept, n = rng.choice(_COUNTS) if held_out else (rng.randrange(len(CONCEPTS)), rng.randint(2, 6))
        while not held_out and is_held_out_count(concept, n):
            concept, n = rng.randrange(len(CONCEPTS)), rng.randint(2, 6)
        items = _scatter(rng, [concept] * n, 0.20, 0.28)
    elif layout == "pair":
        a, b = _two_concepts(rng, held_out)
        horizontal = rng.random() < 0.5
        relation = "to the left of" if horizontal else "above"
        items = _pair_items(rng, a, b, horizontal)
    elif layout == "group":
        a, b = _two_concepts(rng, held_out)
        n = rng.randint(2, 3)
        while not held_out and is_held_out_count(a, n):
            a, b = _two_concepts(rng, False)
            n = rng.randint(2, 3)
        items = _scatter(rng, [a] * n + [b], 0.20, 0.28)
    else:
        raise ValueError(f"no layout {layout}")
    return Scene(layout, artist, background, rgb, items, relation)


def draw_crowd(rng: random.Random, artist: str | None = None) -> Scene:
    """Many different concepts, slightly overlapping, so that most patches carry signal; no held-out pair."""
    artist, background, rgb = _style(rng, artist)
    wanted, chosen, placed = rng.randint(6, 16), [], []
    for _ in range(wanted):
        concept = rng.randrange(len(CONCEPTS))
        if any(c == concept or is_held_out_pair(c, concept) for c in chosen):
            continue
        for _ in range(25):
            item = _item(rng, concept, 0.15, 0.18 + 0.37 * rng.random() ** 1.5)
            if _apart(item, placed, 0.8):
                placed.append(item)
                chosen.append(concept)
                break
    return Scene("crowd", artist, background, rgb, tuple(placed))
