"""What the decoder learns to write about a scene, as token ids: captions, answers, and the list of its facts."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache

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
    one,
    presence_question,
    relation_questions,
    what_question,
)
from training.data.scenes import Scene
from training.data.tokenization import encode
from training.data.vocab import CATEGORIES, COLORS, CONCEPTS, NUMBERS, OPPOSITE
from training.data.wordings import PREFIXES, further_question, other_wording

BOS, PAD = 2, 1
TEXTS_PER_SCENE = 6
CHATS_PER_SCENE = 2  # about as many tokens as the texts
MAX_TURNS = 10
MAX_TOKENS = 222  # positions of the decoder, less those of the image


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


def question_of(kind: str, scene: Scene, rng: random.Random) -> Question:
    """A question of one of the types that every scene has."""
    return {
        "presence": lambda: presence_question(scene, rng),
        "category": lambda: category_question(scene, rng),
        "count": lambda: count_question(scene, rng),
        "color": lambda: color_question(scene),
        "what": lambda: what_question(scene),
    }[kind]()


def _typed(question: Question, rng: random.Random) -> Question:
    """The question, now and then in other words, or without its question mark."""
    if rng.random() < 0.4:
        question = other_wording(question, rng)
    text = question.question
    return replace(question, question=text.removesuffix("?")) if rng.random() < 0.12 else question


def single_turns(scene: Scene, rng: random.Random, list_share: float = 0.1) -> list[Text]:
    """`TEXTS_PER_SCENE` texts of one turn, the first of them the caption.

    `list_share`: share of the scenes of few objects whose facts are also written as a list.
    """
    right = caption(scene)
    texts = [("caption", rng.choice(PREFIXES), f" {right}") if rng.random() < 0.25 else ("caption", "", right)]
    if len(scene.items) <= 3 and rng.random() < list_share:
        texts.append(("list", "list", spelled_facts(scene)))
    if rng.random() < 0.8:
        texts.append(auxiliary_task(scene, rng))
    while len(texts) < TEXTS_PER_SCENE:
        texts.append(question_task(scene, rng))
    return [Text(kind, [(prompt, answer)]) for kind, prompt, answer in texts]


def asked(scene: Scene, rng: random.Random) -> Question:
    """A question of a random type, as a person might put it."""
    return _typed(further_question(scene, rng) if rng.random() < 0.15 else any_question(scene, rng), rng)


def question_task(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    """A question of a random type as (type, prompt, answer)."""
    question = asked(scene, rng)
    return question.type, question.prompt, f" {question.answer}"


def conversation(scene: Scene, rng: random.Random, turns: int) -> list[Question]:
    """Questions of one conversation: any, with repetitions, or a long run of one type and then another."""
    kind = rng.random()
    if kind < 0.25:
        run = rng.choice(("presence", "category", "count", "presence", "category", "color"))
        drawn = [_typed(question_of(run, scene, rng), rng) for _ in range(turns - 1)]
        return [*drawn, asked(scene, rng) if rng.random() < 0.5 else _typed(what_question(scene), rng)]
    repeated = 0.45 if kind < 0.65 else 0.0
    plain: list[Question] = []  # as they can be put into other words
    drawn = []
    while len(drawn) < turns:
        if plain and rng.random() < repeated:
            again = rng.randrange(len(plain))
            drawn.append(drawn[again] if rng.random() < 0.5 else _typed(plain[again], rng))
            plain.append(plain[again])
        else:
            question = further_question(scene, rng) if rng.random() < 0.15 else any_question(scene, rng)
            plain.append(question)
            drawn.append(_typed(question, rng))
    return drawn


_ids = lru_cache(maxsize=200_000)(encode)  # the same prompts come again and again


def wrong_answer(question: Question, rng: random.Random) -> str:
    """Another answer of the same kind, as an earlier turn may hold one."""
    if question.answer in ("yes", "no"):
        return "no" if question.answer == "yes" else "yes"
    if question.type == "count":
        return rng.choice([n for n in NUMBERS if n != question.answer])
    if question.type == "color":
        return rng.choice([c for c in COLORS if c != question.answer])
    concept = rng.choice(CONCEPTS)
    return one(concept.name)


def chat(scene: Scene, rng: random.Random, turns: int) -> Text:
    """A conversation, as in `Question: … Answer: yes. Question: … Answer: a dog`: each turn's answer is learned.

    What was said before decides nothing: in one of four conversations some earlier answers are wrong. Those are given,
    not learned.
    """
    drawn = conversation(scene, rng, turns)
    mistaken = 0.3 if rng.random() < 0.25 else 0.0
    text, given, tokens = Text("chat", []), "", 1
    for number, question in enumerate(drawn):
        prompt = given + (question.prompt if number == 0 else f". {question.prompt}")
        tokens += len(_ids(f". {question.prompt}")) + len(_ids(f" {question.answer}"))
        if text.turns and tokens > MAX_TOKENS:
            break
        if number < len(drawn) - 1 and rng.random() < mistaken:
            given = f"{prompt} {wrong_answer(question, rng)}"
            continue
        text.turns.append((prompt, f" {question.answer}"))
        given = ""
    return text


def tokenize(texts: list[Text]) -> TextBatch:
    """Token ids of texts; the last answer of each ends with the newline."""
    rows, marks = [], []
    for text in texts:
        row, mark = [BOS], [False]
        for i, (prompt, answer) in enumerate(text.turns):
            given = _ids(prompt)
            written = _ids(f"{answer}\n" if i == len(text.turns) - 1 else answer)
            row += given + written
            mark += [False] * len(given) + [True] * len(written)
        rows.append(torch.tensor(row))
        marks.append(torch.tensor(mark))
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    return TextBatch(ids, torch.nn.utils.rnn.pad_sequence(marks, batch_first=True), [t.type for t in texts])


def text_batch(scenes: list[Scene], rng: random.Random, list_share: float = 0.1, chat_share: float = 0.4) -> TextBatch:
    """`TEXTS_PER_SCENE` texts of one turn for each scene; in a share of the batches `CHATS_PER_SCENE` conversations."""
    if rng.random() < chat_share:
        most = rng.choice((3, 5, 7, MAX_TURNS))  # turns of the batch's longest: rows are padded to one length
        return tokenize([chat(s, rng, rng.randint(most - 1, most)) for s in scenes for _ in range(CHATS_PER_SCENE)])
    return tokenize([t for s in scenes for t in single_turns(s, rng, list_share)])
