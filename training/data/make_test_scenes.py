"""Phase *scenes*: writes the committed test images and what is true of them to test/scenes/."""

from __future__ import annotations

import json
import random
from pathlib import Path

from training.data.artists import missing_concepts
from training.data.grammar import Question, caption, questions
from training.data.scenes import Scene, draw_scene
from training.data.vocab import ARTISTS, CONCEPTS, LAYOUTS, VALIDATION_ARTISTS
from training.paths import TEST_SCENES, VALIDATION_SCENES

SEED = "test-scenes"
SCENES_PER_STYLE = 30  # for each layout and known artist
VALIDATION_SCENES_PER_STYLE = 15
SIDES = (224, 256, 288, 320, 352, 384)  # px
VARYING_TYPES = ("count", "presence", "is-relation", "what-relation", "category")


def draw_test_scene(layout: str, artist: str, number: int) -> tuple[Scene, random.Random]:
    """A held-out scene, the same at each call, and the generator that goes on to draw its side and questions.

    Scenes of what the artist never drew are passed over.
    """
    rng = random.Random(f"{SEED}:{layout}:{artist}:{number}")
    while True:
        scene = draw_scene(rng, layout, artist, held_out=True)
        if not {CONCEPTS[i.concept].name for i in scene.items} & missing_concepts(artist):
            return scene, rng


def distinct_questions(scene: Scene, rng: random.Random, count: int) -> list[Question]:
    """One question of each type that fits, then more of the types that vary, none of them twice."""
    found = {q.question: q for q in questions(scene, rng)}
    while len(found) < count:
        for q in questions(scene, rng):
            if q.type in VARYING_TYPES and len(found) < count:
                found.setdefault(q.question, q)
    return list(found.values())


def describe(layout: str, artist: str, number: int) -> tuple[Scene, int, dict]:
    """A test scene, the side of its image in pixels, and its entry in scenes.json."""
    scene, rng = draw_test_scene(layout, artist, number)
    side = rng.choice(SIDES)
    chosen = distinct_questions(scene, rng, 8 if layout == "pair" else 6)
    entry = {
        "file": f"{layout}-{artist}-{number:02}.webp",
        "layout": layout,
        "artist": artist,
        "caption": caption(scene),
        "questions": [{"type": q.type, "question": q.question, "answer": q.answer} for q in chosen],
    }
    return scene, side, entry


def write(folder: Path, artists: tuple[str, ...], count: int) -> None:
    """Writes `count` held-out scenes of every layout by every artist as lossless WebP, and scenes.json."""
    from training.data.render import render_faithful  # needs the sprites, which describing a scene does not

    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for layout in LAYOUTS:
        for artist in artists:
            for number in range(count):
                scene, side, entry = describe(layout, artist, number)
                image = render_faithful(scene, side)
                image.save(folder / entry["file"], "WEBP", lossless=True, quality=100, method=6)
                entries.append(entry)
    lines = ",\n".join(json.dumps(e) for e in entries)
    (folder / "scenes.json").write_text(f"[\n{lines}\n]\n")


def write_all() -> None:
    """The scenes of known artists, and those of validation artists in a folder of their own."""
    write(TEST_SCENES, ARTISTS, SCENES_PER_STYLE)
    write(VALIDATION_SCENES, VALIDATION_ARTISTS, VALIDATION_SCENES_PER_STYLE)
