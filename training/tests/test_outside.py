"""What tells images that are no scenes, and the committed images that are no scenes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.image_processor import resize
from training.data.make_foreign_images import KINDS, PER_KIND, draw_foreign
from training.export.checkpoints import OUTSIDE_TRAINING, keep_classifier, weights_digest
from training.paths import CHECKPOINTS, FOREIGN_IMAGES
from training.phases.outside import classifier_of

CLASSIFIER = CHECKPOINTS / "generate" / OUTSIDE_TRAINING


def test_the_committed_classifier_is_for_the_committed_weights():
    classifier = json.loads(CLASSIFIER.read_text())
    assert classifier["weights_sha256"] == weights_digest(CHECKPOINTS / "generate")
    assert len(classifier["weights"]) == 192


def test_a_classifier_tells_what_differs_in_a_direction_in_which_scenes_hardly_vary():
    rng = np.random.default_rng(0)
    scenes = rng.normal(size=(2000, 3)) * [1, 5, 0.1]
    others = rng.normal(size=(300, 3)) * [1, 5, 0.1] + [0, 0, 1]
    weights, threshold = classifier_of(scenes, others)
    assert (scenes @ weights > threshold).mean() < 0.01
    assert (others @ weights > threshold).mean() > 0.99


def test_a_classifier_outlasts_an_export_of_the_same_weights_only(tmp_path: Path):
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
    (before / OUTSIDE_TRAINING).write_text(json.dumps({"weights_sha256": weights_digest(before)}))
    keep_classifier(before, after)
    assert (after / OUTSIDE_TRAINING).exists()
    (after / OUTSIDE_TRAINING).unlink()
    (after / "model.safetensors").write_bytes(b"others")
    keep_classifier(before, after)
    assert not (after / OUTSIDE_TRAINING).exists()


@pytest.mark.parametrize("kind", KINDS)
def test_the_committed_foreign_images_are_those_that_are_drawn(kind: str):
    files = sorted((FOREIGN_IMAGES / kind).glob("*.webp"))
    assert len(files) == PER_KIND
    for number in (0, PER_KIND - 1):
        drawn, stored = resize(draw_foreign(kind, number)), resize(Image.open(files[number]))
        assert np.abs(drawn.astype(int) - stored).mean() < 30  # WebP blurs noise
