"""What the decoder learns to write about a scene, as token ids: captions, answers, and the list of its facts."""

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
    fact_list,
    presence_question,
    relation_questions,
    what_question,
)
from training.data.scenes import Scene
from training.data.tokenization import encode
from training.data.vocab import CATEGORIES, CONCEPTS, OPPOSITE

BOS, PAD = 2, 1
TEXTS_PER_SCENE = 6
CHATS_PER_SCENE = 2  # about as many tokens as the texts
MAX_TURNS = 6


@dataclass
class Text:
    """One sequence: turns of a prompt and the answer that must be written. Accuracies are grouped by `type`."""

    type: str
    turns: list[tuple[str, str]]


@dataclass
class TextBatch:
    """Token ids of K texts for each of B scenes.

    `ids` int64 [B * K, T] begin with `</s>` and are right-padded; `answer` bool [B * K, T] marks the tokens that must
    be written; `types` has one entry a text.
    """

    ids: Tensor
    answer: Tensor
    types: list[str]


def spelled_facts(scene: Scene) -> str:
    """The answer to the prompt `list`: the facts as words, as in ` blue dog xb yd` for one dog on blue."""
    return "".join(f" {w}" for group in fact_list(scene) for w in group)


def locate_task(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """(type, prompt, answer) such as `where dog`, ` xb yd`: to find a word in the facts, as for `is there a dog?`."""
    single = [c for c, n in counted(scene) if n == 1]
    if not single or rng.random() < 0.15:
        concept = rng.choice([c for c in CONCEPTS if c.index not in {i.concept for i in scene.items}])
        return "where", f"where {concept.name}", " nothing"
    concept = rng.choice(single)
    item = next(i for i in scene.items if i.concept == concept.index)
    return "where", f"where {concept.name}", f" {COLUMNS[cell(item.x)]} {ROWS[cell(item.y)]}"


def category_task(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """(type, prompt, answer) such as `which animal`, ` dog`: what `is there an animal?` builds on."""
    named = {}
    for concept, _ in counted(scene):
        named.setdefault(concept.category, []).append(concept.name)
    single = [category for category, names in named.items() if len(names) == 1]
    if not single or rng.random() < 0.4:
        category = rng.choice([c for c in CATEGORIES if c not in named])
        return "which", f"which {category}", " nothing"
    category = rng.choice(single)
    return "which", f"which {category}", f" {named[category][0]}"


def relation_task(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """(type, prompt, answer) such as `where dog car`, ` above`, of a pair: for `is the dog above the car?`."""
    first, second = (CONCEPTS[i.concept].name for i in scene.items)
    relation = str(scene.relation)
    if rng.random() < 0.5:
        first, second, relation = second, first, OPPOSITE[relation]
    return "relate", f"where {first} {second}", f" {relation}"


def auxiliary_task(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """One of the auxiliary tasks. Answers of one bit teach little; these ask for what the bit is made of."""
    if scene.relation and rng.random() < 0.6:
        return relation_task(scene, rng)
    return locate_task(scene, rng) if rng.random() < 0.4 else category_task(scene, rng)


def any_question(scene: Scene, rng: random.Random) -> Question:
    """A question of a random type; the harder types more often."""
    kind = rng.random()
    if scene.relation and kind < 0.5:
        open_question, yes_or_no = relation_questions(scene, rng)
        return yes_or_no if rng.random() < 0.7 else open_question
    if kind < 0.60:
        return count_question(scene, rng)
    if kind < 0.68:
        return what_question(scene)
    if kind < 0.78:
        return presence_question(scene, rng)
    return category_question(scene, rng) if kind < 0.97 else color_question(scene)


def _typed(question: Question, rng: random.Random) -> str:
    """The prompt, now and then as a hurried user types it."""
    prompt = question.prompt
    if rng.random() < 0.08:
        prompt = prompt.replace("Question: " + question.question[0], "Question: " + question.question[0].upper(), 1)
    if rng.random() < 0.04:
        prompt = prompt.replace("?", "", 1)
    return prompt


def single_turns(scene: Scene, rng: random.Random, list_share: float = 0.1) -> list[Text]:
    """`TEXTS_PER_SCENE` texts of one turn, the first of them the caption.

    `list_share`: share of the scenes of few objects whose facts are also written as a list.
    """
    right = caption(scene)
    texts = [("caption", "a photo of", f" {right}") if rng.random() < 0.25 else ("caption", "", right)]
    if len(scene.items) <= 3 and rng.random() < list_share:
        texts.append(("list", "list", spelled_facts(scene)))
    if rng.random() < 0.8:
        texts.append(auxiliary_task(scene, rng))
    while len(texts) < TEXTS_PER_SCENE:
        texts.append(question_task(scene, rng))
    return [Text(kind, [(prompt, answer)]) for kind, prompt, answer in texts]


def question_task(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """A question of a random type as (type, prompt, answer)."""
    question = any_question(scene, rng)
    return question.type, _typed(question, rng), f" {question.answer}"


def chat(scene: Scene, rng: random.Random, turns: int) -> Text:
    """A conversation, as in `Question: … Answer: yes. Question: … Answer: a dog`: each turn's answer is learned."""
    drawn = [question_task(scene, rng) for _ in range(turns)]
    return Text("chat", [(prompt if i == 0 else f". {prompt}", answer) for i, (_, prompt, answer) in enumerate(drawn)])


def tokenize(texts: list[Text]) -> TextBatch:
    """Token ids of texts; the last answer of each ends with the newline."""
    rows, marks = [], []
    for text in texts:
        row, mark = [BOS], [False]
        for i, (prompt, answer) in enumerate(text.turns):
            given = encode(prompt)
            written = encode(f"{answer}\n" if i == len(text.turns) - 1 else answer)
            row += given + written
            mark += [False] * len(given) + [True] * len(written)
        rows.append(torch.tensor(row))
        marks.append(torch.tensor(mark))
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return TextBatch(ids, torch.nn.utils.rnn.pad_sequence(marks, batch_first=True), [t.type for t in texts])


def text_batch(scenes: list[Scene], rng: random.Random, list_share: float = 0.1) -> TextBatch:
    """`TEXTS_PER_SCENE` texts of one turn for each scene; in three batches of ten `CHATS_PER_SCENE` conversations."""
    if rng.random() < 0.3:
        return tokenize([chat(s, rng, rng.randint(2, MAX_TURNS)) for s in scenes for _ in range(CHATS_PER_SCENE)])
    return tokenize([t for s in scenes for t in single_turns(s, rng, list_share)])
