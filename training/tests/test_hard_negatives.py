"""Hard negatives are wrong about their scene, in one way."""

from __future__ import annotations

import random

from training.data.grammar import caption
from training.data.hard_negatives import hard_negative
from training.data.scenes import Scene, draw_scene
from training.tests.scene_factory import make_scene


def negatives_of(scene: Scene, count: int = 400) -> set[str]:
    rng = random.Random(3)
    return {hard_negative(scene, rng) for _ in range(count)}


def test_they_never_equal_the_caption():
    rng = random.Random(3)
    for _ in range(1000):
        scene = draw_scene(rng)
        assert hard_negative(scene, rng) != caption(scene)


def test_of_a_single_object_either_the_concept_or_the_color_is_wrong():
    found = negatives_of(make_scene("single", "blue", ["dog"]))
    other_color = {c for c in found if c.startswith("a dog on ")}
    other_concept = {c for c in found if c.endswith(" on a blue background")}
    assert other_color and other_concept
    assert other_color | other_concept == found and not other_color & other_concept


def test_of_a_count_the_number_can_be_wrong_and_stays_between_two_and_six():
    found = negatives_of(make_scene("count", "blue", ["apple"] * 3))
    numbers = {c.split()[0] for c in found if c.endswith(" apples on a blue background")}
    assert numbers == {"two", "four", "five", "six"}


def test_of_a_pair_the_relation_can_be_wrong_or_its_sides_swapped():
    found = negatives_of(make_scene("pair", "pink", ["dog", "car"], "to the left of"))
    same_things = {c for c in found if {"dog", "car", "pink"} <= set(c.split())}
    assert same_things == {
        "a car to the left of a dog on a pink background",
        "a dog above a car on a pink background",
        "a car above a dog on a pink background",
    }
