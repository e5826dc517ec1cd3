"""The committed test scenes are those that the code of today draws from their seeds."""

from __future__ import annotations

import json
import random

import pytest

from training.data.make_test_scenes import SCENES_PER_STYLE, describe, distinct_questions
from training.data.vocab import ARTISTS, LAYOUTS
from training.paths import TEST_SCENES
from training.tests.scene_factory import make_scene

COMMITTED = json.loads((TEST_SCENES / "scenes.json").read_text())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_captions_and_questions_equal_the_committed_ones(layout: str):
    drawn = [describe(layout, artist, number)[2] for artist in ARTISTS for number in range(SCENES_PER_STYLE)]
    assert drawn == [entry for entry in COMMITTED if entry["layout"] == layout]


def test_every_committed_image_has_its_entry():
    files = {path.name for path in TEST_SCENES.glob("*.webp")}
    assert files == {entry["file"] for entry in COMMITTED}


def test_no_question_is_asked_twice():
    found = distinct_questions(make_scene("pair", "pink", ["dog", "car"], "above"), random.Random(1), 20)
    assert len({q.question for q in found}) == len(found) == 20
