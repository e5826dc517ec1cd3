"""Leaves out the tests that need torch and its companions where Python has none; the others need only pytest."""

from __future__ import annotations

import importlib.util
from pathlib import Path

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "numpy", "PIL", "matplotlib")
RUN_ANYWHERE = (
    "test_grammar.py",
    "test_hard_negatives.py",
    "test_held_out_split.py",
    "test_layers.py",
    "test_make_test_scenes.py",
    "test_model_card.py",
    "test_scenes.py",
    "test_schedule.py",
)

missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """True, which leaves a file out, or None, which leaves the choice to pytest."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    return True if missing and is_test and collection_path.name not in RUN_ANYWHERE else None


def pytest_report_header() -> str:
    """Says what is left out, and why."""
    return f"only tests without models: Python has no {', '.join(missing)}" if missing else "all tests"
