"""What the decoder is asked to write about a scene, as token ids: captions, answers, and the list of facts."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor

from training.data.grammar import (
    COLUMNS,
    ROWS,
    Question,
    caption,
    category_question,
    cell,
    color_question,
    count_question,
    counted,
    listing,
    presence_question,
    relation_questions,
    what_question,
)
from training.data.scenes import Scene
from training.data.tokenization import encode
from training.data.vocab import CATEGORIES, CONCEPTS, OPPOSITE

BOS, PAD = 2, 1
TEXTS = 6  # for each scene
CHATS = 2  # for each scene: as many tokens as the texts
TURNS = 6


@dataclass
class Text:
    """One sequence: turns of what is given and what must be written. `type` is what figures are kept by."""

    type: str
    turns: list[tuple[str, str]]


@dataclass
class TextBatch:
    """`ids` int64 [B * K, T] from `</s>` on, right-padded; `answer` bool [B * K, T] marks what must be written."""

    ids: Tensor
    answer: Tensor
    types: list[str]


def describe(scene: Scene) -> str:
    """The list task's answer: the facts as words.

    A scene of one dog on blue: ` blue dog xb yd`.
    """
    return "".join(f" {w}" for group in listing(scene) for w in group)


def where(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """An auxiliary task, `where dog` ` xb yd`: finding a word in the facts, which `is there a dog?` builds on."""
    single = [c for c, n in counted(scene) if n == 1]
    if not single or rng.random() < 0.15:
        concept = rng.choice([c for c in CONCEPTS if c.index not in {i.concept for i in scene.items}])
        return "where", f"where {concept.name}", " nothing"
    concept = rng.choice(single)
    item = next(i for i in scene.items if i.concept == concept.index)
    return "where", f"where {concept.name}", f" {COLUMNS[cell(item.x)]} {ROWS[cell(item.y)]}"


def which(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """An auxiliary task, `which animal` ` dog`: what `is there an animal?` builds on."""
    named = {}
    for concept, _ in counted(scene):
        named.setdefault(concept.category, []).append(concept.name)
    single = [category for category, names in named.items() if len(names) == 1]
    if not single or rng.random() < 0.4:
        category = rng.choice([c for c in CATEGORIES if c not in named])
        return "which", f"which {category}", " nothing"
    category = rng.choice(single)
    return "which", f"which {category}", f" {named[category][0]}"


def relate(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """An auxiliary task of pairs, `where dog car` ` above`: what `is the dog above the car?` builds on."""
    first, second = (CONCEPTS[i.concept].name for i in scene.items)
    relation = str(scene.relation)
    if rng.random() < 0.5:
        first, second, relation = second, first, OPPOSITE[relation]
    return "relate", f"where {first} {second}", f" {relation}"


def bridge(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """One of the auxiliary tasks. Answers of one bit teach little; these ask for what the bit is made of."""
    if scene.relation and rng.random() < 0.6:
        return relate(scene, rng)
    return where(scene, rng) if rng.random() < 0.4 else which(scene, rng)


def any_question(scene: Scene, rng: random.Random) -> Question:
    """A question of a random type; the harder types more often."""
    kind = rng.random()
    if scene.relation and kind < 0.5:
        told, asked = relation_questions(scene, rng)
        return asked if rng.random() < 0.7 else told
    if kind < 0.60:
        return count_question(scene, rng)
    if kind < 0.68:
        return what_question(scene)
    if kind < 0.78:
        return presence_question(scene, rng)
    return category_question(scene, rng) if kind < 0.97 else color_question(scene)


def _asked(question: Question, rng: random.Random) -> str:
    """The prompt, now and then as a hurried user types it."""
    prompt = question.prompt
    if rng.random() < 0.08:
        prompt = prompt.replace("Question: " + question.question[0], "Question: " + question.question[0].upper(), 1)
    if rng.random() < 0.04:
        prompt = prompt.replace("?", "", 1)
    return prompt


def pieces(scene: Scene, rng: random.Random, lists: float = 0.1) -> list[Text]:
    """`TEXTS` texts of one turn. The first is a caption.

    `lists`: share of the scenes of few objects that are also listed.
    """
    said = caption(scene)
    texts = [("caption", "a photo of", f" {said}") if rng.random() < 0.25 else ("caption", "", said)]
    if len(scene.items) <= 3 and rng.random() < lists:
        texts.append(("list", "list", describe(scene)))
    if rng.random() < 0.8:
        texts.append(bridge(scene, rng))
    while len(texts) < TEXTS:
        texts.append(asked(scene, rng))
    return [Text(kind, [(prompt, answer)]) for kind, prompt, answer in texts]


def asked(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """Any question as (type, prompt, answer)."""
    question = any_question(scene, rng)
    return question.type, _asked(question, rng), f" {question.answer}"


def chat(scene: Scene, rng: random.Random, turns: int) -> Text:
    """A conversation, each turn of which is an example: `Question: … Answer: yes. Question: … Answer: a dog`."""
    drawn = [asked(scene, rng) for _ in range(turns)]
    return Text("chat", [(prompt if i == 0 else f". {prompt}", answer) for i, (_, prompt, answer) in enumerate(drawn)])


def tokenised(texts: list[Text]) -> TextBatch:
    """Token ids of texts; the last answer of each ends with the newline."""
    rows, marks = [], []
    for text in texts:
        row, mark = [BOS], [False]
        for i, (prompt, answer) in enumerate(text.turns):
            head = encode(prompt)
            said = encode(f"{answer}\n" if i == len(text.turns) - 1 else answer)
            row += head + said
            mark += [False] * len(head) + [True] * len(said)
        rows.append(torch.tensor(row))
        marks.append(torch.tensor(mark))
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return TextBatch(ids, torch.nn.utils.rnn.pad_sequence(marks, batch_first=True), [t.type for t in texts])


def text_batch(scenes: list[Scene], rng: random.Random, lists: float = 0.1) -> TextBatch:
    """`TEXTS` texts of one turn for each of the scenes; in three batches of ten `CHATS` conversations instead."""
    if rng.random() < 0.3:
        return tokenised([chat(s, rng, rng.randint(2, TURNS)) for s in scenes for _ in range(CHATS)])
    return tokenised([t for s in scenes for t in pieces(s, rng, lists)])
