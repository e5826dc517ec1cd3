"""Writes configs of image processors, and what transformers makes of images under each.

    python test/parity/golden/make/processors.py   # writes test/parity/golden/processor/

Needs numpy, pillow, safetensors and transformers 5.18. Images are those of the case `preprocess`; Pillow resizes them.
"""

from __future__ import annotations

import numpy as np
from PIL import Image
from safetensors.numpy import save_file
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from golden_files import GOLDEN, write_json

OUT = GOLDEN / "processor"
SQUARE = {"height": 14, "width": 14}

CONFIGS = {
    "plain": {"size": SQUARE},
    "crop": {"size": {"shortest_edge": 18}, "do_center_crop": True, "crop_size": SQUARE},
    "crop-of-its-size": {"size": {"shortest_edge": 14}, "do_center_crop": True, "crop_size": SQUARE},
    "crop-of-square": {"size": {"height": 20, "width": 17}, "do_center_crop": True, "crop_size": SQUARE},
    "not-normalized": {"size": SQUARE, "do_normalize": False},
    "not-rescaled": {"size": SQUARE, "do_rescale": False},
    "neither": {"size": SQUARE, "do_rescale": False, "do_normalize": False},
    "other-scale": {"size": SQUARE, "rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0],
                    "image_std": [0.9, 1.0, 1.1]},
    "one-for-all-channels": {"size": SQUARE, "image_mean": 0.5, "image_std": 0.25},
    "bilinear": {"size": SQUARE, "resample": 2},
    "lanczos": {"size": SQUARE, "resample": 1},
    "box": {"size": SQUARE, "resample": 4},
    "hamming": {"size": SQUARE, "resample": 5},
}  # fmt: skip


def main() -> None:
    """Writes the configs, and an image of each of three shapes under each of them."""
    OUT.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for name, config in CONFIGS.items():
        processor = BlipImageProcessorPil(**config)
        for image in ("down", "up", "tall"):
            pixels = Image.open(GOLDEN / "preprocess" / f"{image}.png").convert("RGB")
            values = processor(pixels, return_tensors="np")["pixel_values"][0]
            tensors[f"{name}/{image}"] = np.ascontiguousarray(values, dtype=np.float32)
    save_file(tensors, OUT / "expected.safetensors")
    write_json(OUT / "configs.json", CONFIGS, indent=1)


if __name__ == "__main__":
    main()
