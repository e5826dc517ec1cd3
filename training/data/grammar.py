"""What is true of a scene, in words: captions, questions with their answers, and the list of its facts."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from training.data.scenes import Scene
from training.data.vocab import CATEGORIES, CONCEPTS, NUMBERS, OPPOSITE, Concept

QUESTION_TYPES = ("what", "count", "presence", "category", "color", "what-relation", "is-relation")
CELLS = 7  # columns and rows in the list of facts; pairs are 0.4 apart along their axis, so at least two cells
COLUMNS = tuple(f"x{c}" for c in "abcdefg")
ROWS = tuple(f"y{c}" for c in "abcdefg")


@dataclass(frozen=True)
class Question:
    """A question of one of the seven types, and its one right answer."""

    type: str
    question: str
    answer: str

    @property
    def prompt(self) -> str:
        """The question as the decoder gets it."""
        return f"Question: {self.question} Answer:"


def article(word: str) -> str:
    """`a` or `an`, by sound."""
    return "an" if word[0] in "aeiou" and not word.startswith("uni") else "a"


def one(noun: str) -> str:
    """A noun with its indefinite article.

    >>> one("unicorn"), one("anchor")
    ('a unicorn', 'an anchor')
    """
    return f"{article(noun)} {noun}"


def some(concept: Concept, count: int) -> str:
    """A noun phrase: `a dog`, `three apples`."""
    return one(concept.name) if count == 1 else f"{NUMBERS[count]} {concept.plural}"


def counted(scene: Scene) -> list[tuple[Concept, int]]:
    """Concepts with their counts in the order of a caption: the more numerous first, else as drawn."""
    counts = Counter(i.concept for i in scene.items)
    return [(CONCEPTS[c], n) for c, n in counts.most_common()]


def things(scene: Scene) -> str:
    """The answer to `what is in the picture?`."""
    return " and ".join(some(c, n) for c, n in counted(scene))


def caption(scene: Scene) -> str:
    """The one right caption."""
    if scene.relation:
        first, second = (one(CONCEPTS[i.concept].name) for i in scene.items)
        what = f"{first} {scene.relation} {second}"
    else:
        what = things(scene)
    return f"{what} on {one(scene.background)} background"


def color_question(scene: Scene) -> Question:
    """The color of the background."""
    return Question("color", "what color is the background?", scene.background)


def what_question(scene: Scene) -> Question:
    """All objects and their counts."""
    return Question("what", "what is in the picture?", things(scene))


def _other(rng: random.Random, present: set[int]) -> Concept:
    """A concept that is not in the image, half the time of the same category as one that is."""
    category = CONCEPTS[rng.choice(sorted(present))].category if rng.random() < 0.5 else None
    while True:
        c = rng.choice(CONCEPTS)
        if c.index not in present and category in (None, c.category):
            return c


def count_question(scene: Scene, rng: random.Random) -> Question:
    """How many there are of a concept; now and then of one that is absent."""
    counts = counted(scene)
    present = {c.index for c, _ in counts}
    concept, n = (_other(rng, present), 0) if rng.random() < 0.15 else rng.choice(counts)
    # "how many apple are there" never happens: plurals also for one and zero
    return Question("count", f"how many {concept.plural} are there?", NUMBERS[n])


def presence_question(scene: Scene, rng: random.Random) -> Question:
    """Whether the scene has a concept."""
    present = {i.concept for i in scene.items}
    yes = rng.random() < 0.5
    concept = CONCEPTS[rng.choice(sorted(present))] if yes else _other(rng, present)
    return Question("presence", f"is there {one(concept.name)}?", "yes" if yes else "no")


def category_question(scene: Scene, rng: random.Random) -> Question:
    """Whether the scene has anything of a category."""
    present = sorted({CONCEPTS[i.concept].category for i in scene.items})
    yes = rng.random() < 0.5
    category = rng.choice(present if yes else [c for c in CATEGORIES if c not in present])
    return Question("category", f"is there {one(category)}?", "yes" if yes else "no")


def relation_questions(scene: Scene, rng: random.Random) -> list[Question]:
    """The open question and the yes-or-no question about a pair's relation; other layouts have none."""
    if not scene.relation:
        return []
    first, second = (CONCEPTS[i.concept].name for i in scene.items)
    relation, subject, other = scene.relation, first, second
    if rng.random() < 0.5:
        relation, subject, other = OPPOSITE[relation], second, first
    open_question = Question("what-relation", f"what is {relation} the {other}?", one(subject))
    if rng.random() < 0.5:
        subject, other = other, subject
        relation = OPPOSITE[relation]
    truth = rng.random() < 0.5
    stated = relation if truth else rng.choice([r for r in OPPOSITE if r != relation])
    return [open_question, Question("is-relation", f"is the {subject} {stated} the {other}?", "yes" if truth else "no")]


def questions(scene: Scene, rng: random.Random) -> list[Question]:
    """One question of every type that fits the scene (five, or seven for a pair)."""
    return [
        what_question(scene), count_question(scene, rng), presence_question(scene, rng),
        category_question(scene, rng), color_question(scene), *relation_questions(scene, rng),
    ]  # fmt: skip


def cell(v: float) -> int:
    """Column or row, 0 to 6, of a coordinate given as a fraction of the canvas."""
    return min(CELLS - 1, int(v * CELLS))


def fact_list(scene: Scene) -> list[tuple[str, ...]]:
    """The facts as groups of words: `(blue,)` first, then `(dog, xb, yd)` for each object in raster order."""
    ordered = sorted(scene.items, key=lambda i: (cell(i.y), cell(i.x)))
    objects = [(CONCEPTS[i.concept].name, COLUMNS[cell(i.x)], ROWS[cell(i.y)]) for i in ordered]
    return [(scene.background,), *objects]
