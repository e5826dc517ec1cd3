"""Pixels become the image encoder's input as the exported processor's configuration says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from training.data.image_processor import GRID, IMAGE_MEAN, IMAGE_SIDE, IMAGE_STD, normalize, resize
from training.paths import CHECKPOINTS


def test_constants_are_those_of_the_committed_checkpoints():
    for kind in ("generate", "retrieve"):
        config = json.loads((CHECKPOINTS / kind / "preprocessor_config.json").read_text())
        assert config["size"] == {"height": IMAGE_SIDE, "width": IMAGE_SIDE}
        assert (config["image_mean"], config["image_std"]) == (IMAGE_MEAN, IMAGE_STD)
    assert GRID == 14


def test_images_are_resized_straight_to_the_square_without_alpha():
    image = Image.new("RGBA", (300, 100), (10, 200, 30, 255))
    assert resize(image).shape == (112, 112, 3)
    assert (resize(image) == np.array([10, 200, 30])).all()


def test_rows_stay_rows():
    image = torch.zeros(1, IMAGE_SIDE, IMAGE_SIDE, 3, dtype=torch.uint8)
    image[0, 5] = 255
    bright = (normalize(image)[0, 0] > 0).nonzero()
    assert bright[:, 0].unique().tolist() == [5] and len(bright) == IMAGE_SIDE


def test_values_are_scaled_and_channels_come_first():
    image = torch.zeros(1, IMAGE_SIDE, IMAGE_SIDE, 3, dtype=torch.uint8)
    image[..., 2] = 255
    values = normalize(image)
    assert values.shape == (1, 3, IMAGE_SIDE, IMAGE_SIDE) and values.dtype == torch.float32
    for channel, pixel in enumerate((0.0, 0.0, 1.0)):
        expected = (pixel - IMAGE_MEAN[channel]) / IMAGE_STD[channel]
        assert values[0, channel].unique().tolist() == pytest.approx([expected], rel=1e-6)
