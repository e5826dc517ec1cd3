"""The words of the scene language: concepts, artists, layouts, backgrounds, numbers, relations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

ARTISTS = ("noto", "twemoji", "fluent-emoji-flat")  # those of the test scenes of known artists
VALIDATION_ARTISTS = ("emojione", "fxemoji")  # chosen before the first run; no phase of training ever draws them
LAYOUTS = ("single", "count", "pair", "group")


@dataclass(frozen=True)
class Concept:
    """One thing that can be drawn; `index` is its place in the vocabulary."""

    index: int
    name: str
    plural: str
    category: str


_VOCABULARY = json.loads(Path(__file__).with_name("vocabulary.json").read_text())

CONCEPTS = tuple(Concept(i, c["name"], c["plural"], c["category"]) for i, c in enumerate(_VOCABULARY["concepts"]))
BACKGROUNDS: dict[str, tuple[int, int, int]] = {k: tuple(v) for k, v in _VOCABULARY["backgrounds"].items()}
COLORS = tuple(BACKGROUNDS)
NUMBERS = tuple(_VOCABULARY["numbers"])
OPPOSITE: dict[str, str] = _VOCABULARY["relations"]
CATEGORIES = tuple(dict.fromkeys(c.category for c in CONCEPTS))
