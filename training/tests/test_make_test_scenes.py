"""The committed test scenes are those that the code of today draws from their seeds."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from training.data.make_test_scenes import (
    SCENES_PER_STYLE,
    VALIDATION_SCENES_PER_STYLE,
    describe,
    distinct_questions,
)
from training.data.vocab import ARTISTS, LAYOUTS, VALIDATION_ARTISTS
from training.paths import TEST_SCENES, VALIDATION_SCENES
from training.tests.scene_factory import make_scene

SETS = [
    (TEST_SCENES, ARTISTS, SCENES_PER_STYLE),
    (VALIDATION_SCENES, VALIDATION_ARTISTS, VALIDATION_SCENES_PER_STYLE),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("folder", "artists", "count"), SETS, ids=["known", "validation"])
def test_captions_and_questions_equal_the_committed_ones(folder: Path, artists: tuple, count: int, layout: str):
    drawn = [describe(layout, artist, number)[2] for artist in artists for number in range(count)]
    committed = json.loads((folder / "scenes.json").read_text())
    assert drawn == [entry for entry in committed if entry["layout"] == layout]


@pytest.mark.parametrize("folder", [TEST_SCENES, VALIDATION_SCENES])
def test_every_committed_image_has_its_entry(folder: Path):
    files = {path.name for path in folder.glob("*.webp")}
    assert files == {entry["file"] for entry in json.loads((folder / "scenes.json").read_text())}


def test_no_question_is_asked_twice():
    found = distinct_questions(make_scene("pair", "pink", ["dog", "car"], "above"), random.Random(1), 20)
    assert len({q.question for q in found}) == len(found) == 20
