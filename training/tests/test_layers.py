"""Imports go one way: data, then objectives, optim and export, then phases, then the command line."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from training.paths import TRAINING

LOWER = {
    "paths": set(),
    "machine": set(),
    "data": {"machine", "paths"},
    "architecture": {"data"},
    "optim": set(),
    "objectives": {"architecture", "data"},
    "export": {"architecture", "data", "paths"},
    "phases": {"architecture", "data", "export", "objectives", "machine", "optim", "paths"},
    "pretrain": {"data", "export", "machine", "paths", "phases"},
}


def part_of(module: str) -> str:
    """The part of training that a dotted name belongs to: `data` of `training.data.vocab`."""
    return module.split(".")[1]


def imports_of(file: Path) -> Iterator[str]:
    """The dotted names of training that a file imports, at its top or later."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("training."):
            yield node.module
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("training."))


def test_every_part_imports_only_what_lies_below_it():
    files = [f for f in TRAINING.rglob("*.py") if f.parent.name != "tests" and f != TRAINING / "__init__.py"]
    seen = set()
    for file in files:
        part = file.relative_to(TRAINING).with_suffix("").parts[0]
        for module in imports_of(file):
            assert part_of(module) in LOWER[part] | {part}, f"{file.relative_to(TRAINING)} imports {module}"
            seen.add(part)
    assert seen >= {"data", "architecture", "objectives", "export", "phases", "pretrain"}
