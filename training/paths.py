"""Folders that the training reads and writes."""

from __future__ import annotations

from pathlib import Path

TRAINING = Path(__file__).parent
REPOSITORY = TRAINING.parent

CACHE = TRAINING / ".cache"  # snapshots, features, sprites: ignored by git, made again where absent
METRICS = TRAINING / "metrics"
CHECKPOINTS = REPOSITORY / "gpu-worker" / "checkpoints"
TEST_SCENES = REPOSITORY / "test" / "scenes"
VALIDATION_SCENES = TEST_SCENES / "validation"
FOREIGN_IMAGES = REPOSITORY / "test" / "foreign"
