"""Phase *features*: the frozen image encoder's output for many training images, in a memory-mapped file."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

import cv2
import numpy as np
import torch
from tqdm import tqdm
from transformers import Blip2VisionModel

from training.architecture import WIDTH
from training.data.image_processor import GRID
from training.data.render import render_fast
from training.data.scenes import Scene, draw_scene
from training.paths import CACHE
from training.phases.vision import encode

SEED = 3
TOKENS = GRID * GRID + 1
FILE = CACHE / "features.npy"
PROGRESS = CACHE / "features.json"
LAYOUT_WEIGHTS = {"single": 0.15, "count": 0.25, "pair": 0.35, "group": 0.25}


def scene_of(index: int) -> tuple[Scene, random.Random]:
    """The scene of a feature row, and the generator that renders it."""
    rng = random.Random(f"{SEED}:{index}")
    layout = rng.choices(list(LAYOUT_WEIGHTS), list(LAYOUT_WEIGHTS.values()))[0]
    return draw_scene(rng, layout), rng


class _Images(torch.utils.data.IterableDataset):
    """Batches uint8 [B, 112, 112, 3] of the images of feature rows `start` to `count`."""

    def __init__(self, start: int, count: int, batch: int) -> None:
        self.start, self.count, self.batch = start, count, batch

    def __iter__(self) -> Iterator[torch.Tensor]:
        cv2.setNumThreads(1)
        for at in range(self.start, self.count, self.batch):
            images = [render_fast(*scene_of(i))[0] for i in range(at, min(at + self.batch, self.count))]
            yield torch.from_numpy(np.stack(images))


def computed_rows() -> int:
    """Number of rows that are computed."""
    return json.loads(PROGRESS.read_text())["rows"] if PROGRESS.exists() else 0


def compute(model: Blip2VisionModel, count: int, batch: int = 128) -> None:
    """Fills the file, fp16 [count, 197, 192]; goes on where an earlier run stopped."""
    start = computed_rows()
    if FILE.exists() and np.load(FILE, mmap_mode="r").shape[0] == count:
        rows = np.lib.format.open_memmap(FILE, mode="r+")
    else:
        start = 0
        rows = np.lib.format.open_memmap(FILE, mode="w+", dtype=np.float16, shape=(count, TOKENS, WIDTH))
    stream = _Images(start, count, batch)
    loader = torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8)
    at = start
    for images in tqdm(loader, desc="features", total=(count - start) // batch, mininterval=5):
        rows[at : at + len(images)] = encode(model, images).to(torch.float16).numpy()
        at += len(images)
        if (at // batch) % 20 == 0:
            PROGRESS.write_text(json.dumps({"rows": at}))
    PROGRESS.write_text(json.dumps({"rows": at}))


class FeatureRows:
    """The computed features and their scenes, which are drawn again from their seeds."""

    def __init__(self) -> None:
        count = computed_rows()
        self.features = np.load(FILE, mmap_mode="r")[:count]
        self.scenes = [scene_of(i)[0] for i in range(count)]

    def __len__(self) -> int:
        return len(self.scenes)

    def batch(self, indices: list[int]) -> torch.Tensor:
        """Image features bf16 [B, 197, 192]."""
        return torch.from_numpy(self.features[np.array(indices)]).bfloat16()
