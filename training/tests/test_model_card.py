"""The committed model cards are those that the measured results give."""

from __future__ import annotations

import json

import pytest

from training.export.model_card import model_card
from training.paths import CHECKPOINTS, METRICS

RESULTS = json.loads((METRICS / "results.json").read_text())


@pytest.mark.parametrize("kind", ["generate", "retrieve"])
def test_the_committed_card_has_the_results_of_the_last_evaluation(kind: str):
    assert (CHECKPOINTS / kind / "README.md").read_text() == model_card(kind, RESULTS[kind])


def test_a_card_without_results_says_so():
    assert "Not measured yet" in model_card("generate", None)
    assert "Not measured yet" not in model_card("generate", {"captions": 0.975})
    assert "| captions | 97.5% |" in model_card("generate", {"captions": 0.975})
