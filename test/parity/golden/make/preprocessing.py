"""Writes images and what Pillow's bicubic resize (BLIP-2's processor before torchvision) makes of them.

python test/parity/golden/make/preprocessing.py     # writes test/parity/golden/preprocess/
"""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from golden_files import GOLDEN

FOLDER = GOLDEN / "preprocess"
SIDE = 56


def draw_image(width: int, height: int, seed: int) -> Image.Image:
    """Smooth waves, hard edges and noise: what ringing and phase errors show on."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([127 + 120 * np.sin(x / (3 + c) + y / (7 - c)) for c in range(3)], -1)
    waves[height // 3 : height // 2, width // 4 : width // 2] = (250, 10, 30)
    waves[:, : width // 8] += rng.normal(0, 40, (height, width // 8, 3))
    return Image.fromarray(np.clip(waves, 0, 255).astype(np.uint8))


def main() -> None:
    """Writes one image for each way of resizing."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    cases = {"down": (211, 149), "up": (37, 29), "tall": (61, 240), "same": (56, 56)}
    expected = {}
    for seed, (name, (width, height)) in enumerate(cases.items()):
        image = draw_image(width, height, seed)
        image.save(FOLDER / f"{name}.png")
        resized = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        expected[name] = np.asarray(resized).flatten().tolist()
    (FOLDER / "expected.json").write_text(json.dumps({"side": SIDE, "pixels": expected}))


if __name__ == "__main__":
    main()
