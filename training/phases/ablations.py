"""Ablations: the image encoder by variants of the recipe, for the same seconds each, on artists it never saw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from training.data.artists import listed_artists
from training.data.recipe import COMMITTED, Recipe
from training.data.vocab import ARTISTS, VALIDATION_ARTISTS
from training.machine import Machine
from training.paths import CACHE, METRICS
from training.phases import vision
from training.phases.phase_log import PhaseLog

RESULTS = METRICS / "ablations.jsonl"


def emoji_of_training() -> tuple[str, ...]:
    """The training artists whose sets are emoji."""
    return tuple(a["artist"] for a in listed_artists() if a["style"] == "emoji" and a["role"] == "training")


def variants() -> dict[str, Recipe]:
    """By what they do differently; the first is the recipe itself, the second shows how much is chance."""
    return {
        "the recipe": COMMITTED,
        "the recipe, another seed": replace(COMMITTED, seed=2),
        "three artists": replace(COMMITTED, artists=tuple(ARTISTS)),
        "no icons": replace(COMMITTED, artists=emoji_of_training()),
        "sprites as they were drawn": replace(COMMITTED, has_sprite_effects=False),
        "no halves and colors of other artists": replace(COMMITTED, mixes_artists=False),
        "no lines, contours, silhouettes": replace(COMMITTED, draws_lines=False),
        "no effects on images": replace(COMMITTED, has_image_effects=False),
        "no contrastive term": replace(COMMITTED, contrast=0.0),
        "an encoder of width 192": replace(COMMITTED, vision_width=192),
    }


def run(machine: Machine, seconds: float, results: Path = RESULTS) -> None:
    """Trains and measures each variant that `results` has no line of."""
    done = {line["variant"] for line in read(results)}
    for number, (name, recipe) in enumerate(variants().items()):
        if name in done:
            continue
        folder = CACHE / "ablations"
        log = PhaseLog(f"ablation-{number}", seconds, cache=folder, metrics=folder, save_every_s=1e9)
        log.snapshot.unlink(missing_ok=True)
        measured = vision.train(machine, seconds, recipe=recipe, phase=log)
        line = {"variant": name, "seconds": round(log.spent_s, 1), "steps": log.step} | {
            key: round(value, 4) for key, value in measured.items()
        }
        results.parent.mkdir(parents=True, exist_ok=True)
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read(results: Path = RESULTS) -> list[dict]:
    """The lines of `results`; none where there is no such file."""
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def accuracies(line: dict) -> dict[str, float]:
    """Of objects, by each validation artist, and the mean of the three artists that every variant has drawn."""
    known = [line[f"object, {artist}"] for artist in ARTISTS]
    return {a: line[f"object, {a}"] for a in VALIDATION_ARTISTS} | {"noto, twemoji, fluent": sum(known) / len(known)}


def table(lines: list[dict]) -> str:
    """The lines as a table in Markdown."""
    columns = list(accuracies(lines[0]))
    rows = [["variant", "steps", *columns], ["---", *["---:"] * (1 + len(columns))]]
    rows += [
        [line["variant"], f"{line['steps']:,}", *(f"{100 * v:.1f} %" for v in accuracies(line).values())]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
