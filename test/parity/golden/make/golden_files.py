"""Where the golden files lie, and how they are written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1]
SCENES = GOLDEN.parents[1] / "scenes"
CHECKPOINTS = GOLDEN.parents[2] / "gpu-worker" / "checkpoints"


def empty_folder(name: str) -> Path:
    """The folder of a case, without what an earlier run left there."""
    folder = GOLDEN / name
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def write_json(path: Path, value: object, indent: int | None = None) -> None:
    """Writes a value and a newline."""
    path.write_text(json.dumps(value, indent=indent) + "\n")


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Writes tensors of any layout."""
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
