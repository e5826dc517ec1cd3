"""Captions, questions and lists of facts say what is true of a scene."""

from __future__ import annotations

import random

import pytest

from training.data.grammar import Question, caption, fact_list, one, questions, things
from training.data.scenes import Scene, draw_scene
from training.data.vocab import CONCEPTS
from training.tests.scene_factory import make_scene


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [("dog", "a dog"), ("anchor", "an anchor"), ("unicorn", "a unicorn"), ("umbrella", "an umbrella")],
)
def test_articles_follow_the_sound(noun: str, phrase: str):
    assert one(noun) == phrase


@pytest.mark.parametrize(
    ("scene", "expected"),
    [
        (make_scene("single", "blue", ["dog"]), "a dog on a blue background"),
        (make_scene("count", "white", ["apple"] * 3), "three apples on a white background"),
        (
            make_scene("pair", "pink", ["dog", "car"], "to the left of"),
            "a dog to the left of a car on a pink background",
        ),
        (
            make_scene("pair", "orange", ["rocket", "anchor"], "above"),
            "a rocket above an anchor on an orange background",
        ),
        (
            make_scene("group", "black", ["television"] * 2 + ["horse"]),
            "two televisions and a horse on a black background",
        ),
        (make_scene("single", "red", ["unicorn"]), "a unicorn on a red background"),
    ],
)
def test_captions(scene: Scene, expected: str):
    assert caption(scene) == expected


def test_things_of_a_pair_begin_with_its_first_object():
    assert things(make_scene("pair", "pink", ["dog", "car"], "above")) == "a dog and a car"


def test_a_group_names_the_more_numerous_first():
    assert things(make_scene("group", "pink", ["dog", "car", "car"])) == "two cars and a dog"


def test_relation_answers_agree_with_the_scene():
    scene = make_scene("pair", "pink", ["dog", "car"], "to the left of")
    truths = {("dog", "to the left of", "car"), ("car", "to the right of", "dog")}
    answers = set()
    for seed in range(200):
        for q in questions(scene, random.Random(seed)):
            if q.type == "is-relation":
                body = q.question.removeprefix("is the ").removesuffix("?")
                subject, rest = body.split(" ", 1)
                relation, other = rest.rsplit(" the ", 1)
                assert q.answer == ("yes" if (subject, relation, other) in truths else "no"), q
                answers.add(q.answer)
            if q.type == "what-relation":
                relation, other = q.question.removeprefix("what is ").removesuffix("?").rsplit(" the ", 1)
                assert (q.answer.split()[1], relation, other) in truths
    assert answers == {"yes", "no"}


def test_only_pairs_have_questions_about_relations():
    rng = random.Random(5)
    for layout, count in {"single": 5, "count": 5, "group": 5, "pair": 7}.items():
        assert len(questions(draw_scene(rng, layout), rng)) == count


def test_every_question_is_true_of_its_scene():
    rng = random.Random(0)
    for _ in range(300):
        scene = draw_scene(rng)
        present = [CONCEPTS[i.concept] for i in scene.items]
        for q in questions(scene, rng):
            if q.type == "presence":
                assert (q.answer == "yes") == any(q.question.endswith(f" {c.name}?") for c in present)
            if q.type == "category":
                assert (q.answer == "yes") == any(q.question.endswith(f" {c.category}?") for c in present)
            if q.type == "color":
                assert q.answer == scene.background


def test_the_prompt_of_a_question_ends_where_the_answer_begins():
    assert Question("color", "what color is it?", "red").prompt == "Question: what color is it? Answer:"


def test_the_list_of_facts_names_the_background_then_every_object_with_its_cell():
    assert fact_list(make_scene("single", "blue", ["dog"])) == [("blue",), ("dog", "xb", "yd")]
