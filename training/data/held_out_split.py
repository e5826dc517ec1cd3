"""The compositions that training never draws: a tenth of the pairs of concepts and of the counts of a concept."""

from __future__ import annotations

import itertools
import random

from training.data.vocab import CONCEPTS

SEED = 2301_12597
FRACTION = 0.10
COUNTS = range(2, 7)


def _split() -> tuple[frozenset[frozenset[int]], frozenset[tuple[int, int]]]:
    rng = random.Random(SEED)
    pairs = [frozenset(p) for p in itertools.combinations(range(len(CONCEPTS)), 2)]
    counts = [(c, n) for c in range(len(CONCEPTS)) for n in COUNTS]
    return (
        frozenset(rng.sample(pairs, int(FRACTION * len(pairs)))),
        frozenset(rng.sample(counts, int(FRACTION * len(counts)))),
    )


HELD_OUT_PAIRS, HELD_OUT_COUNTS = _split()


def is_held_out_pair(a: int, b: int) -> bool:
    """Whether concepts `a` and `b` may appear in one image only at test time; their order does not matter."""
    return frozenset((a, b)) in HELD_OUT_PAIRS


def is_held_out_count(concept: int, count: int) -> bool:
    """Whether `count` copies of `concept` may appear in one image only at test time."""
    return (concept, count) in HELD_OUT_COUNTS
