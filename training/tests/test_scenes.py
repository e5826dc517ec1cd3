"""Scenes are drawn inside the canvas and apart, and training never draws a held-out composition."""

from __future__ import annotations

import random

import pytest

from training.data.grammar import cell
from training.data.held_out_split import HELD_OUT_COUNTS, HELD_OUT_PAIRS
from training.data.scenes import draw_crowd, draw_scene
from training.data.vocab import LAYOUTS


def test_training_never_draws_a_held_out_composition_and_testing_does():
    rng = random.Random(1)
    for _ in range(500):
        for scene in (draw_scene(rng), draw_crowd(rng)):
            present = sorted({i.concept for i in scene.items})
            pairs = [frozenset((a, b)) for n, a in enumerate(present) for b in present[n + 1 :]]
            assert not any(p in HELD_OUT_PAIRS for p in pairs)
            assert not any((c, sum(i.concept == c for i in scene.items)) in HELD_OUT_COUNTS for c in present)
        pair = draw_scene(rng, "pair", held_out=True)
        assert frozenset(i.concept for i in pair.items) in HELD_OUT_PAIRS
        count = draw_scene(rng, "count", held_out=True)
        assert (count.items[0].concept, len(count.items)) in HELD_OUT_COUNTS


@pytest.mark.parametrize("layout", LAYOUTS)
def test_items_stay_inside_and_apart(layout: str):
    rng = random.Random(2)
    for _ in range(50):
        items = draw_scene(rng, layout).items
        for i in items:
            assert i.reach <= i.x <= 1 - i.reach and i.reach <= i.y <= 1 - i.reach
        cells = {(cell(i.x), cell(i.y)) for i in items}
        assert len(cells) == len(items)


def test_the_first_object_of_a_pair_is_left_of_or_above_the_second():
    rng = random.Random(3)
    relations = set()
    for _ in range(100):
        scene = draw_scene(rng, "pair")
        first, second = scene.items
        assert (first.x < second.x) if scene.relation == "to the left of" else (first.y < second.y)
        relations.add(scene.relation)
    assert relations == {"to the left of", "above"}


def test_the_same_seed_draws_the_same_scene():
    assert draw_scene(random.Random(4)) == draw_scene(random.Random(4)) != draw_scene(random.Random(5))


def test_an_unknown_layout_is_refused():
    with pytest.raises(ValueError, match="no layout circle"):
        draw_scene(random.Random(0), "circle")
