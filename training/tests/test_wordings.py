"""Other words ask for the same thing, and small talk gets a caption."""

from __future__ import annotations

import random

import pytest

from training.data.grammar import caption, questions
from training.data.wordings import color_check, other_wording, small_talk, where_question, which_question
from training.tests.scene_factory import make_scene

PAIR = make_scene("pair", "pink", ["dog", "car"], "to the left of")


@pytest.mark.parametrize("seed", range(40))
def test_other_words_keep_type_answer_and_what_is_asked_about(seed: int):
    rng = random.Random(seed)
    for question in questions(PAIR, rng):
        other = other_wording(question, rng)
        assert (other.type, other.answer) == (question.type, question.answer)
        assert "{" not in other.question
        nouns = {w for w in question.question.strip("?").split() if w in ("dog", "dogs", "car", "cars")}
        assert all(n.rstrip("s") in other.question for n in nouns)


def test_what_animal_is_answered_with_the_animal():
    found = {which_question(PAIR, random.Random(seed)) for seed in range(60)}
    answers = {q.answer for q in found if "animal" in q.question}
    assert answers == {"a dog"}
    assert {q.answer for q in found if "food" in q.question} <= {"none"}


def test_where_is_names_the_relation_to_the_other():
    answers = {where_question(PAIR, random.Random(seed)).answer for seed in range(20)}
    assert answers == {"to the left of the car", "to the right of the dog"}


def test_the_color_of_the_background_is_affirmed_or_denied():
    for seed in range(20):
        question = color_check(PAIR, random.Random(seed))
        assert (question.answer == "yes") == ("pink" in question.question)


def test_what_is_no_question_gets_the_caption():
    assert all(small_talk(PAIR, random.Random(seed)).answer == caption(PAIR) for seed in range(10))
