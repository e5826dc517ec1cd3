"""Texts mark exactly what the decoder must write."""

from __future__ import annotations

import random

from training.data.decoder_texts import (
    BOS,
    MAX_TOKENS,
    MAX_TURNS,
    PAD,
    TEXTS_PER_SCENE,
    chat,
    conversation,
    single_turns,
    spelled_facts,
    text_batch,
    tokenize,
)
from training.data.grammar import caption, things
from training.data.scenes import draw_scene
from training.data.tokenization import encode, opt_tokenizer
from training.data.wordings import PREFIXES
from training.tests.scene_factory import make_scene


def test_answers_are_marked_and_end_with_the_newline():
    rng = random.Random(4)
    batch = tokenize(single_turns(draw_scene(rng, "pair"), rng))
    for ids, answer in zip(batch.ids, batch.answer, strict=True):
        written = opt_tokenizer().decode(ids[answer].tolist())
        assert written.endswith("\n") and written.count("\n") == 1


def test_a_conversation_marks_the_answer_of_each_turn():
    text = chat(draw_scene(random.Random(6), "pair"), random.Random(7), turns=4)
    batch = tokenize([text])
    whole = "".join(prompt + answer for prompt, answer in text.turns) + "\n"
    assert batch.ids[0].tolist() == [BOS, *encode(whole)]
    answers = [answer for _, answer in text.turns]
    assert len(answers) == 4
    assert opt_tokenizer().decode(batch.ids[0][batch.answer[0]].tolist()) == "".join(answers) + "\n"


def test_the_first_text_of_a_scene_is_its_caption():
    scene = make_scene("single", "blue", ["dog"])
    for seed in range(20):
        texts = single_turns(scene, random.Random(seed))
        assert len(texts) == TEXTS_PER_SCENE
        (prompt, answer), *rest = texts[0].turns
        assert texts[0].type == "caption" and answer.strip() == caption(scene) and not rest
        assert prompt in ("", *PREFIXES)


def test_facts_are_spelled_as_words():
    assert spelled_facts(make_scene("single", "blue", ["dog"])) == " blue dog xb yd"


def test_a_batch_has_as_many_texts_for_each_scene_and_pads_on_the_right():
    scenes = [draw_scene(random.Random(n)) for n in range(4)]
    for seed in range(10):
        batch = text_batch(scenes, random.Random(seed))
        assert len(batch.ids) == len(batch.answer) == len(batch.types) and len(batch.ids) % len(scenes) == 0
        assert (batch.ids[:, 0] == BOS).all()
        padding = (batch.ids == PAD).int()
        assert (padding.diff(dim=1) >= 0).all() and not batch.answer[padding.bool()].any()


def test_a_question_asked_again_has_the_answer_it_had():
    repeated = 0
    for seed in range(200):
        rng = random.Random(seed)
        drawn = conversation(draw_scene(rng), rng, MAX_TURNS)
        answers: dict[str, str] = {}
        for question in drawn:
            repeated += question.question in answers
            if question.type not in ("small-talk",):
                assert answers.setdefault(question.question, question.answer) == question.answer
    assert repeated > 100


def test_wrong_earlier_answers_are_given_and_never_learned():
    mistaken = 0
    for seed in range(300):
        rng = random.Random(seed)
        scene = draw_scene(rng)
        text = chat(scene, rng, 6)
        said = "".join(prompt for prompt, _ in text.turns).count("Question:")
        mistaken += said > len(text.turns)
        if len(scene.items) == 1:
            assert not [
                a for p, a in text.turns if p.endswith("what is in the picture? Answer:") and a[1:] != things(scene)
            ]
    assert mistaken > 30


def test_every_conversation_fits_beside_the_image():
    scenes = [draw_scene(random.Random(n), "pair") for n in range(150)]
    rows = tokenize([chat(s, random.Random(n), MAX_TURNS) for n, s in enumerate(scenes)])
    assert rows.ids.shape[1] <= MAX_TOKENS + 1
