"""The sprite pack: every sprite of every artist in one file, small enough to be carried to another machine."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from training.data.vocab import CONCEPTS
from training.paths import CACHE

SPRITE_SIDE = 96  # px; the largest sprite in the image encoder's input has 62
PACK = CACHE / "sprites.zip"
FOLDER = CACHE / "sprites"
_INDEX = "sprites.json"


@dataclass
class Sprites:
    """N sprites: `pixels` uint8 [N, 4, 96, 96] with straight alpha; `artists` and `concepts` name each one's."""

    pixels: Tensor
    artists: list[str]
    concepts: list[int]

    def of(self, artist: str) -> dict[int, int]:
        """Index of the sprite for each concept that the artist drew."""
        return {c: i for i, (a, c) in enumerate(zip(self.artists, self.concepts, strict=True)) if a == artist}


def shrink(image: Image.Image) -> Image.Image:
    """A sprite at the pack's size. Colors are averaged by their alpha, so that no dark rims appear."""
    return (
        image.convert("RGBA")
        .convert("RGBa")
        .resize((SPRITE_SIDE, SPRITE_SIDE), Image.Resampling.LANCZOS)
        .convert("RGBA")
    )


def write_pack(folder: Path = FOLDER, pack: Path = PACK) -> int:
    """Packs `folder/<artist>/<concept>.png` as lossless WebP files in a zip archive; returns how many there are."""
    entries = []
    with zipfile.ZipFile(pack, "w", zipfile.ZIP_STORED) as archive:
        for artist in sorted(p for p in folder.iterdir() if p.is_dir()):
            for concept in CONCEPTS:
                path = artist / f"{concept.name}.png"
                if not path.exists():
                    continue
                data = io.BytesIO()
                shrink(Image.open(path)).save(data, "WEBP", lossless=True, quality=90, method=4)
                name = f"{artist.name}/{concept.name}.webp"
                archive.writestr(name, data.getvalue())
                entries.append({"artist": artist.name, "concept": concept.name, "file": name})
        archive.writestr(_INDEX, json.dumps(entries))
    return len(entries)


def read_pack(pack: Path = PACK) -> Sprites:
    """The sprites of a pack."""
    index = {c.name: c.index for c in CONCEPTS}
    with zipfile.ZipFile(pack) as archive:
        entries = json.loads(archive.read(_INDEX))
        images = [Image.open(io.BytesIO(archive.read(e["file"]))).convert("RGBA") for e in entries]
    pixels = torch.from_numpy(np.stack([np.asarray(i) for i in images])).permute(0, 3, 1, 2).contiguous()
    return Sprites(pixels, [e["artist"] for e in entries], [index[e["concept"]] for e in entries])
