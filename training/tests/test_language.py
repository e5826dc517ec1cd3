"""Captions, questions and the held-out split read as the scene language says."""

import random

import pytest

from training.data.grammar import caption, cell, listing, questions, things
from training.data.held_out_split import HELD_OUT_COUNTS, HELD_OUT_PAIRS
from training.data.hard_negatives import near_miss
from training.data.scenes import Item, Scene, draw_crowd, draw_scene
from training.data.decoder_texts import BOS, chat, pieces, tokenised
from training.data.tokenization import encode, opt_tokenizer, words
from training.data.vocab import CONCEPTS, LAYOUTS

INDEX = {c.name: c.index for c in CONCEPTS}


def scene(layout: str, background: str, names: list[str], relation: str | None = None) -> Scene:
    items = tuple(Item(INDEX[n], 0.2 + 0.1 * i, 0.5, 0.2, 0.0) for i, n in enumerate(names))
    return Scene(layout, "noto", background, (0, 0, 0), items, relation)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (scene("single", "blue", ["dog"]), "a dog on a blue background"),
        (scene("count", "white", ["apple"] * 3), "three apples on a white background"),
        (scene("pair", "pink", ["dog", "car"], "to the left of"), "a dog to the left of a car on a pink background"),
        (scene("pair", "orange", ["rocket", "anchor"], "above"), "a rocket above an anchor on an orange background"),
        (scene("group", "black", ["television"] * 2 + ["horse"]), "two televisions and a horse on a black background"),
        (scene("single", "red", ["unicorn"]), "a unicorn on a red background"),
    ],
)
def test_captions(made: Scene, said: str):
    assert caption(made) == said


def test_things_of_a_pair_are_told_from_its_first_object():
    assert things(scene("pair", "pink", ["dog", "car"], "above")) == "a dog and a car"


def test_relation_answers_agree_with_the_scene():
    made = scene("pair", "pink", ["dog", "car"], "to the left of")
    truths = {("dog", "to the left of", "car"), ("car", "to the right of", "dog")}
    for seed in range(200):
        for q in questions(made, random.Random(seed)):
            if q.type == "is-relation":
                body = q.question.removeprefix("is the ").removesuffix("?")
                subject, rest = body.split(" ", 1)
                relation, other = rest.rsplit(" the ", 1)
                assert q.answer == ("yes" if (subject, relation, other) in truths else "no"), q
            if q.type == "what-relation":
                relation, other = q.question.removeprefix("what is ").removesuffix("?").rsplit(" the ", 1)
                assert (q.answer.split()[1], relation, other) in truths


def test_every_question_is_true_of_its_scene():
    rng = random.Random(0)
    for _ in range(300):
        made = draw_scene(rng)
        names = [CONCEPTS[i.concept] for i in made.items]
        for q in questions(made, rng):
            if q.type == "presence":
                assert (q.answer == "yes") == any(q.question.endswith(f" {c.name}?") for c in names)
            if q.type == "category":
                assert (q.answer == "yes") == any(q.question.endswith(f" {c.category}?") for c in names)
            if q.type == "color":
                assert q.answer == made.background


def test_training_never_draws_a_held_out_composition_and_testing_does():
    rng = random.Random(1)
    for _ in range(500):
        for made in (draw_scene(rng), draw_crowd(rng)):
            present = sorted({i.concept for i in made.items})
            pairs = [frozenset((a, b)) for n, a in enumerate(present) for b in present[n + 1 :]]
            assert not any(p in HELD_OUT_PAIRS for p in pairs)
            assert not any((c, sum(i.concept == c for i in made.items)) in HELD_OUT_COUNTS for c in present)
        pair = draw_scene(rng, "pair", held_out=True)
        assert frozenset(i.concept for i in pair.items) in HELD_OUT_PAIRS
        count = draw_scene(rng, "count", held_out=True)
        assert (count.items[0].concept, len(count.items)) in HELD_OUT_COUNTS


def test_items_stay_inside_and_apart():
    rng = random.Random(2)
    for layout in LAYOUTS * 50:
        items = draw_scene(rng, layout).items
        for i in items:
            assert i.reach <= i.x <= 1 - i.reach and i.reach <= i.y <= 1 - i.reach
        cells = {(cell(i.x), cell(i.y)) for i in items}
        assert len(cells) == len(items)


def test_near_misses_are_wrong():
    rng = random.Random(3)
    for _ in range(1000):
        made = draw_scene(rng)
        assert near_miss(made, rng) != caption(made)


def test_the_listing_names_the_background_then_every_object_with_its_cell():
    assert listing(scene("single", "blue", ["dog"])) == [("blue",), ("dog", "xb", "yd")]


def test_every_word_is_one_token_after_a_space():
    assert [w for w in words() if len(encode(f" {w}")) != 1 and "'" not in w] == []


def test_answers_are_marked_and_end_with_the_newline():
    rng = random.Random(4)
    batch = tokenised(pieces(draw_scene(rng, "pair"), rng))
    for ids, answer in zip(batch.ids, batch.answer, strict=True):
        written = opt_tokenizer().decode(ids[answer].tolist())
        assert written.endswith("\n") and written.count("\n") == 1


def test_a_conversation_marks_the_answer_of_each_turn():
    text = chat(draw_scene(random.Random(6), "pair"), random.Random(7), turns=4)
    batch = tokenised([text])
    whole = "".join(prompt + answer for prompt, answer in text.turns) + "\n"
    assert batch.ids[0].tolist() == [BOS, *encode(whole)]
    said = [answer for _, answer in text.turns]
    assert len(said) == 4
    assert opt_tokenizer().decode(batch.ids[0][batch.answer[0]].tolist()) == "".join(said) + "\n"
