"""What the dense objective is told about a picture is true of the picture."""

import random

import numpy as np
import pytest

from training.objectives.dense import BACKGROUND, IGNORE, keep_order, targets
from training.data.scenes import Item, Scene
from training.data.vocab import CACHE

SCENE = Scene("single", "noto", "blue", (50, 100, 220), (Item(7, 0.25, 0.5, 0.3, 0.0),))


def test_patch_targets_name_the_covering_item_and_point_at_its_centre():
    owner = np.zeros((56, 56), np.uint8)
    owner[20:36, 8:20] = 1
    cover, centre, place, item = targets(SCENE, owner)
    cover, item = cover.reshape(14, 14), item.reshape(14, 14)
    assert (cover[5:9, 2:5] == 7).all() and cover[0, 0] == BACKGROUND
    assert set(np.unique(cover)) <= {7, BACKGROUND, IGNORE}
    assert centre.sum() == 1 and centre.reshape(14, 14)[7, 3] == 1
    dx, dy, size, x, y = place.reshape(14, 14, 5)[7, 3]
    assert (x, y) == pytest.approx((-1.0, 0.0))
    assert dx == pytest.approx((0.25 - 3.5 / 14) * 5) and dy == pytest.approx((0.5 - 7.5 / 14) * 5)
    assert size == pytest.approx(np.log(0.3 / 0.25))
    kept = keep_order(item.reshape(-1), random.Random(0))
    assert sorted(kept) == list(range(196))


@pytest.mark.skipif(not (CACHE / "sprites").exists(), reason="sprites are not rasterised")
def test_both_renderers_draw_the_same_scene():
    from training.data.render import render_faithful, render_fast, shrink

    picture, owner = render_fast(SCENE, random.Random(0))
    faithful = shrink(render_faithful(SCENE, 300))
    assert picture.shape == faithful.shape == (112, 112, 3)
    inside = owner.reshape(56, 56) == 1
    rows, columns = np.where(inside)
    assert abs(columns.mean() / 56 - 0.25) < 0.05 and abs(rows.mean() / 56 - 0.5) < 0.05
    assert np.abs(picture[:10].astype(int) - faithful[:10].astype(int)).mean() < 25
