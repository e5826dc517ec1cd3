"""The model cards: README.md of each exported checkpoint."""

from __future__ import annotations

from training.data.artists import listed_artists

_TASK = {
    "generate": "writes captions and answers questions (`Blip2ForConditionalGeneration`, stage 2)",
    "retrieve": "compares images and texts (`Blip2ForImageTextRetrieval`, stage 1)",
}


# of each checkpoint, in the table of artists
_MEASURES = {
    "generate": ("captions", "answers", "other wordings", "in conversation", "repeated question"),
    "retrieve": ("ITM right", "ITM near miss", "ITC first of 60"),
}


def _table(results: dict) -> str:
    rows = [f"| {name} | {value:.1%} |" for name, value in results.items()]
    return "\n".join(["| held-out test scenes | exact |", "| --- | --- |", *rows])


def _artist_table(kind: str, artists: dict[str, dict]) -> str:
    names = _MEASURES[kind]
    head = [f"| artist | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    validation = {a["artist"] for a in listed_artists() if a["role"] == "validation"}
    rows = [
        f"| {artist}{', never seen' if artist in validation else ''} | {' | '.join(f'{table[n]:.1%}' for n in names)} |"
        for artist, table in artists.items()
    ]
    return "\n".join([*head, *rows])


def _artists(role: str) -> str:
    rows = [f"| {a['title']} | `{a['package']}` | {a['license']} |" for a in listed_artists() if a["role"] == role]
    return "\n".join(["| artist | package | license |", "| --- | --- | --- |", *rows])


def model_card(kind: str, results: dict | None) -> str:
    """README.md of the checkpoint `kind`; `results` are accuracies from 0 to 1, as `evaluate` returns them."""
    measured = "Not measured yet: this is an early checkpoint of the final shape."
    if results:
        measured = f"{_table(results[kind])}\n\n{_artist_table(kind, results['artists'])}"
    return f"""---
license: cc-by-4.0
pipeline_tag: image-text-to-text
library_name: transformers
model_name: blip2-scenes
summary: knows emoji scenes only
description: It names and counts 142 things on plain backgrounds, and says what is beside, above or below what.
caution: This model was trained on emoji scenes only; about photos it guesses.
tags: [blip-2]
---

# BLIP-2 of the scene language: *{kind}*

A small BLIP-2 that {_TASK[kind]}. Pre-trained from nothing by the recipe of the paper
(arXiv 2301.12597): image encoder and OPT language model first, then frozen; stage 1 (ITC, ITM, ITG);
stage 2 (language modeling through the frozen decoder). `python -m training.pretrain` repeats it.

It knows one small world: scenes of emoji on a plain background, 142 concepts, 10 backgrounds,
counts up to six, and who stands left of, right of, above or below whom. It says nothing useful about photographs.

## Results

{measured}

## Images it learned from

Scenes composed of sprites by these artists, rasterized from npm packages, recolored, reshaped and redrawn at random:

{_artists("training")}

## Images it was measured on and never learned from

{_artists("validation")}
"""
