"""Writes images and what Pillow's bicubic resize (BLIP-2's processor before torchvision) makes of them; and of odd
shapes, which both sides draw by the same arithmetic, the digests of what each of Pillow's filters makes of them.

python test/parity/golden/make/preprocessing.py     # writes test/parity/golden/preprocess/
"""

from __future__ import annotations

import hashlib
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


def draw_noise(width: int, height: int) -> Image.Image:
    """Noise by arithmetic on unsigned integers of 32 bits."""
    y, x, c = np.mgrid[0:height, 0:width, 0:3].astype(np.uint64)
    mixed = (x * 73 + y * 151 + c * 89) * 0x9E3779B1 & 0xFFFFFFFF
    return Image.fromarray((mixed >> 24).astype(np.uint8))


# Width and height, and what they are resized to.
SHAPES = [
    *[(size, (SIDE, SIDE)) for size in [(1, 1), (1, 2), (2, 1), (1, 37), (37, 1), (1, 60_000), (60_000, 1)]],
    *[(size, (SIDE, SIDE)) for size in [(1, 1_000_000), (1_000_000, 1), (2, 2), (2, 30_001), (30_001, 2)]],
    *[(size, (SIDE, SIDE)) for size in [(3, 60_000), (60_000, 3), (56, 5000), (5000, 56), (55, 57), (57, 55)]],
    ((1, 3), (SIDE, 3 * SIDE)),
    ((3, 1), (3 * SIDE, SIDE)),
    ((2, 400), (SIDE, 200 * SIDE)),
    ((400, 2), (200 * SIDE, SIDE)),
    ((211, 149), (79, SIDE)),
    ((149, 211), (SIDE, 79)),
    ((30, 2000), (60, 4000)),
]
FILTERS = ["BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS"]


def resized_shapes() -> list[dict]:
    """The middle of each shape after its resize, by each filter."""
    shapes = []
    for (width, height), (to_width, to_height) in SHAPES:
        left, top = (to_width - SIDE) // 2, (to_height - SIDE) // 2
        for name in FILTERS:
            resized = draw_noise(width, height).resize((to_width, to_height), Image.Resampling[name])
            middle = resized.crop((left, top, left + SIDE, top + SIDE))
            shapes.append(
                {
                    "from": [width, height],
                    "to": [to_width, to_height],
                    "filter": name.lower(),
                    "sha256": hashlib.sha256(middle.tobytes()).hexdigest(),
                }
            )
    return shapes


def main() -> None:
    """Writes one image for each way of resizing, and the odd shapes."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    cases = {"down": (211, 149), "up": (37, 29), "tall": (61, 240), "same": (56, 56)}
    expected = {}
    for seed, (name, (width, height)) in enumerate(cases.items()):
        image = draw_image(width, height, seed)
        image.save(FOLDER / f"{name}.png")
        resized = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        expected[name] = np.asarray(resized).flatten().tolist()
    (FOLDER / "expected.json").write_text(json.dumps({"side": SIDE, "pixels": expected}))
    lines = ",\n".join(json.dumps(shape) for shape in resized_shapes())
    (FOLDER / "shapes.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
