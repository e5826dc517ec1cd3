"""The image encoder's input: the side of its images and patches, and how pixels become it."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

IMAGE_SIDE = 112  # px
PATCH_SIDE = 8  # px
GRID = IMAGE_SIDE // PATCH_SIDE  # 14 patches on a side

IMAGE_MEAN = [0.48145466, 0.4578275, 0.40821073]  # per RGB channel, of values from 0 to 1
IMAGE_STD = [0.26862954, 0.26130258, 0.27577711]


def resize(image: Image.Image) -> np.ndarray:
    """Bicubic, straight to the square, as the exported image processor does it. uint8 [112, 112, 3]."""
    return np.asarray(image.convert("RGB").resize((IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC))


def normalize(images: Tensor) -> Tensor:
    """uint8 [B, 112, 112, 3] to the float32 [B, 3, 112, 112] input of the image encoder."""
    return standardize(images.permute(0, 3, 1, 2).float() / 255).contiguous()


def standardize(images: Tensor) -> Tensor:
    """float32 [B, 3, 112, 112] with values from 0 to 1, as the image encoder takes it."""
    mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (IMAGE_MEAN, IMAGE_STD))
    return (images - mean) / std
