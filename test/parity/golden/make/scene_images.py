"""Test scenes as a user of transformers prepares them: Pillow's bicubic resize, then CLIP's normalization."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from golden_files import SCENES

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


def pixel_values(name: str, side: int) -> Tensor:
    """The file `name` in test/scenes, float32 [1, 3, side, side]."""
    image = Image.open(SCENES / name).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    values = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(values.transpose(2, 0, 1))[None]
