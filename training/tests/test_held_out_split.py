"""The split never moves: the test scenes are made of it, and the committed weights never met it."""

from __future__ import annotations

import json

from training.data.grammar import some
from training.data.held_out_split import (
    COUNTS,
    FRACTION,
    HELD_OUT_COUNTS,
    HELD_OUT_PAIRS,
    is_held_out_count,
    is_held_out_pair,
)
from training.data.vocab import CONCEPTS
from training.paths import TEST_SCENES

SCENES = json.loads((TEST_SCENES / "scenes.json").read_text())


def test_a_tenth_of_the_pairs_and_counts_is_held_out():
    all_pairs = len(CONCEPTS) * (len(CONCEPTS) - 1) // 2
    assert len(HELD_OUT_PAIRS) == int(FRACTION * all_pairs)
    assert len(HELD_OUT_COUNTS) == int(FRACTION * len(CONCEPTS) * len(COUNTS))


def test_pairs_are_of_two_concepts_and_counts_of_two_to_six():
    assert all(len(pair) == 2 for pair in HELD_OUT_PAIRS)
    assert {count for _, count in HELD_OUT_COUNTS} == set(COUNTS) == {2, 3, 4, 5, 6}


def test_the_order_of_a_pair_does_not_matter():
    a, b = min(HELD_OUT_PAIRS, key=sorted)
    assert is_held_out_pair(a, b) and is_held_out_pair(b, a)


def test_a_concept_never_forms_a_pair_with_itself():
    assert not any(is_held_out_pair(c.index, c.index) for c in CONCEPTS)


def test_committed_scenes_of_counts_are_of_held_out_counts():
    held_out = {some(CONCEPTS[c], n) for c, n in HELD_OUT_COUNTS}
    captions = [s["caption"] for s in SCENES if s["layout"] == "count"]
    assert len(captions) == 90
    assert all(c.partition(" on ")[0] in held_out for c in captions)
    assert not any(is_held_out_count(c.index, 1) for c in CONCEPTS)


def test_committed_scenes_of_pairs_are_of_held_out_pairs():
    index = {some(c, 1): c.index for c in CONCEPTS}
    captions = [s["caption"] for s in SCENES if s["layout"] == "pair"]
    assert len(captions) == 90
    for caption in captions:
        body = caption.rpartition(" on ")[0]
        first, second = body.split(" to the left of " if " to the left of " in body else " above ")
        assert is_held_out_pair(index[first], index[second]), caption
