"""Phase *scenes*: writes the committed test pictures and what is true of them, to test/scenes/."""

from __future__ import annotations

import json
import random

from training.data.grammar import Question, caption, questions
from training.data.render import render_faithful
from training.data.scenes import draw_scene
from training.data.vocab import ARTISTS, FOLDER, LAYOUTS

OUT = FOLDER.parent / "test" / "scenes"
SEED = "test-scenes"
PER_CELL = 30  # scenes for each layout and artist
SIDES = (224, 256, 288, 320, 352, 384)  # px


def distinct(scene, rng: random.Random, wanted: int) -> list[Question]:
    """One question of each type that fits, then more of the types that vary, none asked twice."""
    asked = {q.question: q for q in questions(scene, rng)}
    while len(asked) < wanted:
        for q in questions(scene, rng):
            if q.type in ("count", "presence", "is-relation", "what-relation", "category") and len(asked) < wanted:
                asked.setdefault(q.question, q)
    return list(asked.values())


def write() -> None:
    """Held-out scenes of every layout by every artist, as lossless WebP, with scenes.json."""
    OUT.mkdir(parents=True, exist_ok=True)
    entries = []
    for layout in LAYOUTS:
        for artist in ARTISTS:
            for number in range(PER_CELL):
                rng = random.Random(f"{SEED}:{layout}:{artist}:{number}")
                scene = draw_scene(rng, layout, artist, held_out=True)
                name = f"{layout}-{artist}-{number:02}.webp"
                render_faithful(scene, rng.choice(SIDES)).save(OUT / name, "WEBP", lossless=True, quality=100, method=6)
                asked = distinct(scene, rng, 8 if layout == "pair" else 6)
                entries.append(
                    {
                        "file": name,
                        "layout": layout,
                        "artist": artist,
                        "caption": caption(scene),
                        "questions": [{"type": q.type, "question": q.question, "answer": q.answer} for q in asked],
                    }
                )
    text = ",\n".join(json.dumps(e) for e in entries)
    (OUT / "scenes.json").write_text(f"[\n{text}\n]\n")


