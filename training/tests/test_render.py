"""Both renderers draw the same scene."""

from __future__ import annotations

import random

import numpy as np
import pytest

from training.data.image_processor import resize
from training.data.render import render_faithful, render_fast
from training.data.scenes import Item, Scene
from training.paths import CACHE

SCENE = Scene("single", "noto", "blue", (50, 100, 220), (Item(7, 0.25, 0.5, 0.3, 0.0),))


@pytest.mark.skipif(not (CACHE / "sprites").exists(), reason="sprites are not rasterized")
def test_the_fast_and_the_faithful_renderer_agree():
    image, owner = render_fast(SCENE, random.Random(0))
    faithful = resize(render_faithful(SCENE, 300))
    assert image.shape == faithful.shape == (112, 112, 3)
    rows, columns = np.where(owner.reshape(56, 56) == 1)
    assert abs(columns.mean() / 56 - 0.25) < 0.05 and abs(rows.mean() / 56 - 0.5) < 0.05
    assert np.abs(image[:10].astype(int) - faithful[:10].astype(int)).mean() < 25
