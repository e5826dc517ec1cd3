"""The batched renderer draws what the renderer of the test scenes draws, and knows where it drew it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from training.data import render
from training.data.image_processor import resize
from training.data.render import render_faithful
from training.data.scene_arrays import SceneBank, mirrored, to_arrays
from training.data.scenes import Item, Scene, draw_scene
from training.data.sprite_pack import Sprites, shrink
from training.data.sprite_pool import LEVELS, PlainPool, TrainingPool
from training.data.torch_render import TRAINING, compose, flat_background, render_plain
from training.data.vocab import CONCEPTS
from training.objectives.dense import BACKGROUND, center_patches, patch_labels


def painted(number: int) -> Image.Image:
    """A sprite that looks like no other, whichever way it is turned: three shapes on a transparent square of 192 px."""
    rng = random.Random(number)
    image = Image.new("RGBA", (192, 192))
    draw = ImageDraw.Draw(image)
    draw.ellipse((20, 30, 170, 180), fill=(*rng.choices(range(256), k=3), 255))
    draw.polygon([(96, 4), (60, 90), (150, 70)], fill=(*rng.choices(range(256), k=3), 255))
    draw.rectangle((30, 100, 80, 130), fill=(*rng.choices(range(256), k=3), 255))
    return image


@pytest.fixture(scope="module")
def sprites() -> Iterator[Sprites]:
    """Sprites of all concepts by one artist, drawn here, which both renderers use."""
    images = [painted(c.index) for c in CONCEPTS]
    pixels = torch.from_numpy(np.stack([np.asarray(shrink(i)) for i in images])).permute(0, 3, 1, 2).contiguous()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render, "sprite", lambda _, concept: np.asarray(images[concept]))
        yield Sprites(pixels, ["twemoji"] * len(CONCEPTS), list(range(len(CONCEPTS))))


@pytest.fixture(scope="module")
def pool(sprites: Sprites) -> PlainPool:
    return PlainPool(sprites, "cpu")


def drawn(scene: Scene, sprites: Sprites, pool: PlainPool) -> tuple[np.ndarray, torch.Tensor]:
    """The image [112, 112, 3] and the owner map [112, 112] of one scene."""
    index = sprites.of("twemoji")
    slots = torch.tensor([[index[i.concept] for i in scene.items]])
    image, owner = render_plain(to_arrays([scene]), slots, pool)
    return image[0].numpy(), owner[0]


@pytest.mark.parametrize("layout", ["single", "count", "pair", "group"])
def test_both_renderers_agree(layout: str, sprites: Sprites, pool: PlainPool):
    for seed in range(4):
        scene = draw_scene(random.Random(seed), layout, "twemoji")
        image, owner = drawn(scene, sprites, pool)
        faithful = resize(render_faithful(scene, 320)).astype(int)
        difference = np.abs(image.astype(int) - faithful)
        covered = (owner > 0).numpy()
        assert difference[covered].mean() < 22 and difference[~covered].mean() < 2.5
        for moved in (np.roll(image, 1, 0), np.roll(image, -1, 1)):
            assert np.abs(moved.astype(int) - faithful).mean() > difference.mean()


def test_a_sprite_is_turned_counterclockwise_as_pillow_does(sprites: Sprites, pool: PlainPool):
    scene = Scene("single", "twemoji", "white", (250, 250, 250), (Item(84, 0.5, 0.5, 0.5, 40.0),))
    image, _ = drawn(scene, sprites, pool)
    right, wrong = (resize(render_faithful(s, 320)).astype(int) for s in (scene, _turned(scene)))
    assert np.abs(image - right).mean() < 0.3 * np.abs(image - wrong).mean()


def _turned(scene: Scene) -> Scene:
    return replace(scene, items=tuple(replace(i, angle=-i.angle) for i in scene.items))


def test_labels_name_the_concept_at_the_center_of_each_item(sprites: Sprites, pool: PlainPool):
    scene = Scene(
        "pair", "twemoji", "blue", (50, 100, 220), (Item(7, 0.25, 0.5, 0.3, 0.0), Item(34, 0.75, 0.5, 0.3, 0.0))
    )
    _, owner = drawn(scene, sprites, pool)
    arrays = to_arrays([scene])
    labels = patch_labels(arrays, owner[None])
    at = center_patches(arrays)
    assert labels.cover.gather(1, at).tolist() == [[7, 34]]
    assert labels.center.sum() == 2 and labels.center.gather(1, at).tolist() == [[1, 1]]
    assert labels.cover[0, 0] == BACKGROUND and labels.item[0, 0] == -1
    dx, dy, size, x, y = labels.place[0, at[0, 0]].tolist()
    assert (x, y) == pytest.approx((-1, 0)) and size == pytest.approx(np.log(0.3 / 0.25))
    assert dx == pytest.approx((0.25 - 3.5 / 14) * 5, abs=1e-5) and dy == pytest.approx((0.5 - 7.5 / 14) * 5, abs=1e-5)


def test_the_middle_of_a_ring_names_it():
    scene = Scene(
        "single", "twemoji", "blue", (50, 100, 220), (Item(7, 0.5, 0.5, 0.5, 0.0), Item(9, 0.2, 0.2, 0.1, 0.0))
    )
    owner = torch.zeros(1, 112, 112, dtype=torch.int8)
    owner[:, 30:82, 30:82] = 1
    owner[:, 40:72, 40:72] = 0
    arrays = to_arrays([scene])
    labels = patch_labels(arrays, owner)
    at = center_patches(arrays)
    assert labels.cover.gather(1, at).tolist() == [[7, 9]] and labels.item.gather(1, at).tolist() == [[0, 1]]
    assert labels.cover[0, 6 * 14 + 6] == BACKGROUND


def test_the_level_of_a_sprite_is_the_nearest_in_size(pool: PlainPool):
    for level, side in enumerate(LEVELS):
        assert pool.level_for(torch.tensor([float(side)])).item() == level
    assert pool.level_for(torch.tensor([5.0, 100.0])).tolist() == [len(LEVELS) - 1, 0]


def test_sorted_scenes_are_drawn_as_unsorted_ones_are(sprites: Sprites, pool: PlainPool):
    scenes = [draw_scene(random.Random(n), None, "twemoji") for n in range(6)]
    bank = SceneBank(6, "cpu")
    bank.add(to_arrays(scenes))
    index = sprites.of("twemoji")
    sample = bank.sample(8)
    slots = torch.tensor([[index[max(c, 0)] for c in row] for row in sample.concept.tolist()])
    image, owner = compose(flat_background(sample), sample, slots, pool)
    whole, whole_owner = compose(flat_background(sample), replace(sample, filled=None), slots, pool)
    assert torch.equal(image, whole) and torch.equal(owner, whole_owner)


def test_augmented_scenes_keep_their_colors_name_and_their_items(sprites: Sprites):
    scenes = [draw_scene(random.Random(n), None, "twemoji") for n in range(4)]
    pool = TrainingPool(sprites, {"twemoji": 1.0}, 1, "cpu")
    pool.fill(71)
    arrays = mirrored(to_arrays(scenes))
    image, owner = compose(flat_background(arrays), arrays, pool.choose(arrays.concept), pool, TRAINING)
    assert image.min() > -0.01 and image.max() < 1.01
    for row, scene in enumerate(scenes):
        assert {int(v) for v in owner[row].unique()} - {0} <= set(range(1, len(scene.items) + 1))
