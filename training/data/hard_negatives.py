"""Hard negatives for matching: captions in which exactly one concept, number, relation or color is wrong."""

from __future__ import annotations

import random
from dataclasses import replace

from training.data.grammar import caption, counted
from training.data.scenes import Scene
from training.data.vocab import COLORS, CONCEPTS


def _other_concept(scene: Scene, rng: random.Random) -> Scene:
    present = {i.concept for i in scene.items}
    old = rng.choice(sorted(present))
    peers = [c.index for c in CONCEPTS if c.index not in present and c.category == CONCEPTS[old].category]
    pool = peers if rng.random() < 0.6 else [c.index for c in CONCEPTS if c.index not in present]
    new = rng.choice(pool)
    return replace(scene, items=tuple(replace(i, concept=new) if i.concept == old else i for i in scene.items))


def _other_number(scene: Scene, rng: random.Random) -> Scene:
    concept, n = counted(scene)[0]
    most = 3 if scene.layout == "group" else 6
    wrong = rng.choice([m for m in range(2, most + 1) if m != n])
    item = next(i for i in scene.items if i.concept == concept.index)
    rest = tuple(i for i in scene.items if i.concept != concept.index)
    return replace(scene, items=(item,) * wrong + rest)


def _other_relation(scene: Scene, rng: random.Random) -> Scene:
    first, second = scene.items
    axis = rng.choice(["to the left of", "above"])
    swapped = (second, first) if axis == scene.relation or rng.random() < 0.5 else (first, second)
    return replace(scene, items=swapped, relation=axis)


def _other_color(scene: Scene, rng: random.Random) -> Scene:
    return replace(scene, background=rng.choice([c for c in COLORS if c != scene.background]))


def hard_negative(scene: Scene, rng: random.Random) -> str:
    """A caption that is wrong about the scene in one way.

    Of a dog left of a car: `a car to the left of a dog ...`, `a dog above a car ...`, `a cat to the left of ...`.
    """
    changes = [_other_concept, _other_concept, _other_color]
    if scene.layout in ("count", "group"):
        changes += [_other_number, _other_number]
    if scene.relation:
        changes += [_other_relation, _other_relation]
    return caption(rng.choice(changes)(scene, rng))
