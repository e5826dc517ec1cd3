"""The committed model cards are those that the measured results give."""

from __future__ import annotations

import json

import pytest

from training.export.model_card import model_card
from training.paths import CHECKPOINTS, METRICS

RESULTS = json.loads((METRICS / "results.json").read_text())


@pytest.mark.parametrize("kind", ["generate", "retrieve"])
def test_the_committed_card_has_the_results_of_the_last_evaluation(kind: str):
    assert (CHECKPOINTS / kind / "README.md").read_text() == model_card(kind, RESULTS)


def test_a_card_without_results_says_so():
    assert "Not measured yet" in model_card("generate", None)


def test_a_card_tells_the_results_and_marks_the_artists_that_were_never_seen():
    matching = {"ITM right": 0.9, "ITM near miss": 0.8, "ITC first of 60": 1.0}
    card = model_card("retrieve", {"retrieve": {"ITM": 0.975}, "artists": {"noto": matching, "fxemoji": matching}})
    assert "Not measured yet" not in card and "| ITM | 97.5% |" in card
    assert "| noto | 90.0% | 80.0% | 100.0% |" in card and "| fxemoji, never seen | 90.0% |" in card
