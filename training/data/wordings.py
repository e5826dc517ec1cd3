"""Questions as people phrase them: other words for each of the seven types, some further questions, and small talk."""

from __future__ import annotations

import random
from dataclasses import replace

from training.data.grammar import Question, caption, counted, one, some
from training.data.scenes import Scene
from training.data.vocab import CATEGORIES, COLORS, CONCEPTS, OPPOSITE

COLOR = (
    "what's the background color?", "what is the background color?", "what is the color of the background?",
    "what's the color of the background?", "which color is the background?", "what colour is the background?",
    "what color does the background have?", "which color does the background have?", "background color?",
    "what color is behind it?", "what is the background colour?", "what color is the backdrop?",
)  # fmt: skip
WHAT = (
    "what's in the picture?", "what is in the image?", "what's in the image?", "what is in the photo?",
    "what do you see?", "what can you see?", "what is this?", "what is it?", "what's this?", "what's that?",
    "what is that?", "what is shown?", "what does the picture show?", "what does the image show?", "what is there?",
    "what are these?", "what is here?", "what can be seen?", "what do you see in the picture?", "what's it?",
    "what can you see in the image?", "what is in this picture?", "what's in this image?", "what things are there?",
)  # fmt: skip
COUNT = (
    "how many {many}?", "how many {many} do you see?", "how many {many} can you see?", "how many {one} are there?",
    "how many {many} are in the picture?", "how many {many} are in the image?", "how many {many} are shown?",
    "count the {many}", "what is the number of {many}?", "number of {many}?", "can you count the {many}?",
    "how many {many} are here?", "how many {many} in the picture?", "how many {many} does the picture show?",
)  # fmt: skip
PRESENCE = (
    "is it {a}?", "is this {a}?", "is that {a}?", "do you see {a}?", "can you see {a}?", "are there any {many}?",
    "are there {many}?", "is there any {one}?", "is {a} in the picture?", "is there {a} in the picture?",
    "is there {a} in the image?", "do you see any {many}?", "does the picture show {a}?", "{a}?", "any {many}?",
    "is there {a} here?", "can you see any {many}?", "does the image show {a}?", "are these {many}?",
)  # fmt: skip
CATEGORY = (
    "what {one} is it?", "what {one} is this?", "which {one} is it?", "what {one} is in the picture?",
    "which {one} do you see?", "what kind of {one} is it?", "what {one} is there?", "what {one} do you see?",
    "what {many} are there?", "which {many} do you see?", "which {one} is shown?", "what {one} is that?",
)  # fmt: skip
OPEN_RELATION = (
    "what's {relation} the {other}?", "what do you see {relation} the {other}?",
    "what is there {relation} the {other}?", "which thing is {relation} the {other}?",
    "what can you see {relation} the {other}?", "who is {relation} the {other}?",
)  # fmt: skip
CLOSED_RELATION = (
    "is {a} {relation} {another}?", "is the {one} {relation} {another}?",
    "do you see the {one} {relation} the {other}?", "is there {a} {relation} the {other}?",
    "can you see {a} {relation} {another}?",
)  # fmt: skip
WHERE = ("where is the {one}?", "where's the {one}?", "where do you see the {one}?", "where can you see the {one}?")
RELATION_WORDS = {
    "to the left of": ("left of", "on the left of", "at the left of", "on the left side of"),
    "to the right of": ("right of", "on the right of", "at the right of", "on the right side of"),
    "above": ("over", "on top of", "higher than"),
    "below": ("under", "beneath", "underneath", "lower than"),
}
PLURALS = {"animal": "animals", "vehicle": "vehicles", "object": "objects", "place": "places"}
SMALL_TALK = (
    "hello", "hello there", "hi", "hi there", "hey", "good morning", "thanks", "thank you", "ok", "okay", "test",
    "please", "describe the picture", "describe the image", "describe it", "describe this", "describe", "caption",
    "describe this picture please", "please describe the image", "tell me about the picture", "tell me more",
    "can you describe the picture?", "can you describe it?", "can you help me?", "how are you?", "who are you?",
    "what is your name?", "a caption please", "write a caption", "caption this", "what is happening?",
    "what's happening?", "what happens in the picture?", "nice picture", "wow", "go on", "and?", "yes", "no", "bye",
    "i like it", "what a nice picture", "look at this", "look", "show me", "what do you think?", "why?", "tell me",
)  # fmt: skip
PREFIXES = ("a photo of", "a picture of", "an image of", "this is", "a photo of", "the picture shows", "here is")


def relation_word(relation: str, rng: random.Random) -> str:
    """The relation as in captions, or in other words."""
    return rng.choice((relation, *RELATION_WORDS[relation]))


def noun_forms(noun: str, plural: str) -> dict[str, str]:
    """What templates put in: `{a}`, `{one}`, `{many}`."""
    return {"a": one(noun), "one": noun, "many": plural}


def _forms(noun: str) -> dict[str, str]:
    plural = next((c.plural for c in CONCEPTS if c.name == noun), None) or PLURALS.get(noun, noun)
    return noun_forms(noun, plural)


def other_wording(question: Question, rng: random.Random) -> Question:
    """The same question in other words, with the same answer."""
    text = question.question
    if question.type == "color":
        return replace(question, question=rng.choice(COLOR))
    if question.type == "what":
        return replace(question, question=rng.choice(WHAT))
    if question.type == "count":
        many = text.removeprefix("how many ").removesuffix(" are there?")
        noun = next(c.name for c in CONCEPTS if c.plural == many)
        return replace(question, question=rng.choice(COUNT).format(**noun_forms(noun, many)))
    if question.type in ("presence", "category"):
        noun = text.removeprefix("is there ").removesuffix("?").split(" ", 1)[1]
        return replace(question, question=rng.choice(PRESENCE).format(**_forms(noun)))
    if question.type == "what-relation":
        relation = next(r for r in OPPOSITE if f" is {r} the " in text)
        other = text.removesuffix("?").rsplit(" ", 1)[1]
        template = rng.choice(("what is {relation} the {other}?", *OPEN_RELATION))
        return replace(question, question=template.format(relation=relation_word(relation, rng), other=other))
    if question.type == "is-relation":
        relation = next(r for r in OPPOSITE if f" {r} the " in text)
        words = text.removesuffix("?").split(" ")
        subject, other = words[2], words[-1]
        template = rng.choice(("is the {one} {relation} the {other}?", *CLOSED_RELATION))
        filled = template.format(
            relation=relation_word(relation, rng), other=other, another=one(other), **_forms(subject)
        )
        return replace(question, question=filled)
    return question


def which_question(scene: Scene, rng: random.Random) -> Question:
    """`what animal is it?`, answered with those things, or with `none`."""
    present = sorted({c.category for c, _ in counted(scene)})
    category = rng.choice(present) if rng.random() < 0.75 else rng.choice(CATEGORIES)
    found = [some(c, n) for c, n in counted(scene) if c.category == category]
    text = rng.choice(CATEGORY).format(**_forms(category))
    return Question("which-category", text, " and ".join(found) or "none")


def color_check(scene: Scene, rng: random.Random) -> Question:
    """`is the background blue?`"""
    true = rng.random() < 0.5
    color = scene.background if true else rng.choice([c for c in COLORS if c != scene.background])
    text = rng.choice(("is the background {}?", "is the background color {}?", "does it have a {} background?"))
    return Question("is-color", text.format(color), "yes" if true else "no")


def where_question(scene: Scene, rng: random.Random) -> Question:
    """`where is the dog?` of a pair, answered with its relation to the other: `to the left of the car`."""
    first, second = (CONCEPTS[i.concept].name for i in scene.items)
    relation = str(scene.relation)
    if rng.random() < 0.5:
        first, second, relation = second, first, OPPOSITE[relation]
    text = rng.choice(WHERE).format(one=first)
    return Question("where-is", text, f"{relation} the {second}")


def small_talk(scene: Scene, rng: random.Random) -> Question:
    """Something that is no question about a scene: it gets the caption."""
    text = rng.choice(SMALL_TALK)
    if rng.random() < 0.2:
        text = " ".join(
            "".join(rng.choices("abcdefghijklmnoprstuvwyz", k=rng.randint(2, 6))) for _ in range(rng.randint(1, 3))
        )
    return Question("small-talk", text, caption(scene))


def further_question(scene: Scene, rng: random.Random) -> Question:
    """One of the questions beyond the seven types."""
    kind = rng.random()
    if scene.relation and kind < 0.3:
        return where_question(scene, rng)
    if kind < 0.6:
        return which_question(scene, rng)
    return color_check(scene, rng) if kind < 0.75 else small_talk(scene, rng)
