"""Endless streams of scenes and of their texts, made in worker processes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from training.data.decoder_texts import TextBatch, text_batch
from training.data.grammar import caption
from training.data.hard_negatives import hard_negative
from training.data.scene_arrays import SceneArrays, to_arrays
from training.data.scenes import Scene, draw_crowd, draw_scene
from training.machine import worker_number

LAYOUT_WEIGHTS = {"single": 0.15, "count": 0.25, "pair": 0.35, "group": 0.25}
CROWD_ITEMS = 16


def weighted_scene(rng: random.Random) -> Scene:
    """A training scene, harder layouts more often."""
    return draw_scene(rng, rng.choices(list(LAYOUT_WEIGHTS), list(LAYOUT_WEIGHTS.values()))[0])


class Stream(torch.utils.data.IterableDataset):
    """Batches that depend on the seed and their number alone; workers take turns. `start`: number of the first."""

    def __init__(self, seed: int | str, start: int, size: int) -> None:
        self.seed, self.start, self.size = seed, start, size

    def batch(self, rng: random.Random) -> object:
        """One batch."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[object]:
        number, workers = worker_number()
        at = self.start + number
        while True:
            yield self.batch(random.Random(f"{self.seed}:{at}"))
            at += workers


class DenseStream(Stream):
    """Scenes of which a share are crowds, as `SceneArrays`."""

    def __init__(self, seed: int | str, start: int, size: int, crowd_share: float) -> None:
        super().__init__(seed, start, size)
        self.crowd_share = crowd_share

    def batch(self, rng: random.Random) -> SceneArrays:
        """One batch, as wide as the fullest crowd may be."""
        drawn = [draw_crowd(rng) if rng.random() < self.crowd_share else draw_scene(rng) for _ in range(self.size)]
        return to_arrays(drawn, CROWD_ITEMS)


@dataclass
class CaptionBatch:
    """Scenes, their captions, and for each a caption that is wrong in one way."""

    scenes: SceneArrays
    right: list[str]
    wrong: list[str]


class CaptionStream(Stream):
    """Scenes with captions, for stage 1."""

    def batch(self, rng: random.Random) -> CaptionBatch:
        """One batch, the fullest scenes first."""
        scenes = fullest_first([weighted_scene(rng) for _ in range(self.size)])
        return CaptionBatch(arranged(scenes), [caption(s) for s in scenes], [hard_negative(s, rng) for s in scenes])


@dataclass
class AnswerBatch:
    """Scenes and texts about them."""

    scenes: SceneArrays
    texts: TextBatch


class AnswerStream(Stream):
    """Scenes with texts, for stage 2. `list_share` as in `text_batch`."""

    def __init__(self, seed: int | str, start: int, size: int, list_share: float) -> None:
        super().__init__(seed, start, size)
        self.list_share = list_share

    def batch(self, rng: random.Random) -> AnswerBatch:
        """One batch, the fullest scenes first."""
        scenes = fullest_first([weighted_scene(rng) for _ in range(self.size)])
        return AnswerBatch(arranged(scenes), text_batch(scenes, rng, self.list_share))


def fullest_first(scenes: list[Scene]) -> list[Scene]:
    """Sorted by their number of items, for the renderer."""
    return sorted(scenes, key=lambda s: -len(s.items))


def arranged(scenes: list[Scene]) -> SceneArrays:
    """The tensors of sorted scenes, which know how many have more than k items."""
    arrays = to_arrays(scenes)
    arrays.filled = [sum(len(s.items) > k for s in scenes) for k in range(arrays.concept.shape[1])]
    return arrays
