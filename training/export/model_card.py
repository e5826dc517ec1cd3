"""The model cards: README.md of each exported checkpoint."""

from __future__ import annotations

_TASK = {
    "generate": "writes captions and answers questions (`Blip2ForConditionalGeneration`, stage 2)",
    "retrieve": "compares images and texts (`Blip2ForImageTextRetrieval`, stage 1)",
}


def _table(results: dict) -> str:
    rows = [f"| {name} | {value:.1%} |" for name, value in results.items()]
    return "\n".join(["| held-out test scenes | exact |", "| --- | --- |", *rows])


def model_card(kind: str, results: dict | None) -> str:
    """README.md of the checkpoint `kind`; `results` are accuracies from 0 to 1 by name."""
    measured = _table(results) if results else "Not measured yet: this is an early checkpoint of the final shape."
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

Trained on scenes composed of sprites from three icon sets, rasterized from the npm packages of Iconify:

| artist | package | license |
| --- | --- | --- |
| Noto Emoji, Google | `@iconify-json/noto` | Apache-2.0 |
| Twemoji, Twitter and contributors | `@iconify-json/twemoji` | CC-BY-4.0 |
| Fluent Emoji Flat, Microsoft | `@iconify-json/fluent-emoji-flat` | MIT |
"""
