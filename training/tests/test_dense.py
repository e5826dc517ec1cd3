"""The labels of the dense objective are true of the image."""

from __future__ import annotations

import random

import numpy as np
import pytest

from training.data.scenes import Item, Scene
from training.objectives.dense import BACKGROUND, IGNORE, patch_labels, patch_order

SCENE = Scene("single", "noto", "blue", (50, 100, 220), (Item(7, 0.25, 0.5, 0.3, 0.0),))


@pytest.fixture
def owner() -> np.ndarray:
    """The owner map uint8 [56, 56] of an image whose only object covers 16 rows and 12 columns."""
    owner = np.zeros((56, 56), np.uint8)
    owner[20:36, 8:20] = 1
    return owner


def test_patches_name_the_covering_concept(owner: np.ndarray):
    cover = patch_labels(SCENE, owner).cover.reshape(14, 14)
    assert (cover[5:9, 2:5] == 7).all() and cover[0, 0] == BACKGROUND
    assert set(np.unique(cover)) <= {7, BACKGROUND, IGNORE}


def test_patches_point_at_the_center_of_their_object(owner: np.ndarray):
    labels = patch_labels(SCENE, owner)
    assert labels.center.sum() == 1 and labels.center.reshape(14, 14)[7, 3] == 1
    dx, dy, size, x, y = labels.place.reshape(14, 14, 5)[7, 3]
    assert (x, y) == pytest.approx((-1.0, 0.0))
    assert dx == pytest.approx((0.25 - 3.5 / 14) * 5) and dy == pytest.approx((0.5 - 7.5 / 14) * 5)
    assert size == pytest.approx(np.log(0.3 / 0.25))


def test_all_patches_are_ordered_and_those_of_an_object_come_early(owner: np.ndarray):
    labels = patch_labels(SCENE, owner)
    ranks = []
    for seed in range(20):
        order = patch_order(labels.item, random.Random(seed))
        assert sorted(order) == list(range(196))
        ranks.append(np.argsort(order)[labels.item == 0].mean())
    assert np.mean(ranks) < 98  # half of 196: the mean rank in an order by chance
