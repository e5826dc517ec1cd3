"""Scenes written down by hand, for tests that say what is true of them."""

from __future__ import annotations

from training.data.scenes import Item, Scene
from training.data.vocab import CONCEPTS

INDEX = {c.name: c.index for c in CONCEPTS}


def make_scene(layout: str, background: str, names: list[str], relation: str | None = None) -> Scene:
    """Small sprites of the named concepts in a row from left to right.

    >>> make_scene("pair", "pink", ["dog", "car"], "to the left of")
    """
    items = tuple(Item(INDEX[name], 0.2 + 0.1 * i, 0.5, 0.2, 0.0) for i, name in enumerate(names))
    return Scene(layout, "noto", background, (0, 0, 0), items, relation)
