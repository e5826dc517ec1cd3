"""A phase counts the seconds of all its runs, writes lines of metrics, and resumes from its snapshot."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from training.phases.phase_log import PhaseLog


class Clock:
    """Seconds that pass only when the test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def open_log(folder: Path, clock: Clock, budget_s: float = 10) -> PhaseLog:
    return PhaseLog("vision", budget_s, cache=folder / "cache", metrics=folder / "metrics", clock=clock)


def test_the_budget_is_spent_by_the_time_between_ticks(tmp_path: Path, clock: Clock):
    log = open_log(tmp_path, clock)
    for second in (4, 8):
        clock.now = 1000 + second
        log.tick()
    assert (log.step, log.spent_s, log.is_over) == (2, 8, False)
    clock.now = 1010
    log.tick()
    assert log.is_over


def test_each_call_of_log_appends_one_line_of_rounded_values(tmp_path: Path, clock: Clock):
    log = open_log(tmp_path, clock)
    clock.now += 1.26
    log.tick()
    log.log(loss=0.123456)
    log.log(loss=torch.tensor(2.0), exact=1)
    lines = (tmp_path / "metrics" / "vision.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "seconds": 1.3, "loss": 0.1235},
        {"step": 1, "seconds": 1.3, "loss": 2.0, "exact": 1.0},
    ]


def test_a_later_run_goes_on_from_the_snapshot_without_the_time_between(tmp_path: Path, clock: Clock):
    first = open_log(tmp_path, clock)
    clock.now += 3
    first.tick()
    first.save({"model": {"weight": torch.arange(3)}})
    clock.now += 500
    second = open_log(tmp_path, clock)
    state = second.load()
    assert state is not None and torch.equal(state["model"]["weight"], torch.arange(3))
    assert (second.step, second.spent_s) == (1, 3)
    clock.now += 2
    second.tick()
    assert (second.step, second.spent_s) == (2, 5)


def test_without_a_snapshot_there_is_nothing_to_load(tmp_path: Path, clock: Clock):
    assert open_log(tmp_path, clock).load() is None


def test_saving_again_replaces_the_snapshot_and_leaves_no_part_behind(tmp_path: Path, clock: Clock):
    log = open_log(tmp_path, clock)
    for value in (1, 2):
        log.save({"model": {"value": torch.tensor(value)}})
    state = log.load()
    assert state is not None and state["model"]["value"].item() == 2
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["vision.pt"]
