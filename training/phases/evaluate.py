"""Phase *evaluate*: exact captions and answers, and matching, of the exported checkpoints.

On the committed test scenes, and on held-out scenes of every artist in the sprite pack.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Blip2ForConditionalGeneration

from training.architecture import QUERIES
from training.data.decoder_texts import PAD
from training.data.grammar import Question, caption
from training.data.hard_negatives import hard_negative
from training.data.image_processor import normalize, resize
from training.data.make_test_scenes import distinct_questions, draw_test_scene
from training.data.scenes import Scene
from training.data.sprite_pack import PACK, read_pack
from training.data.wordings import other_wording, small_talk, which_question
from training.export.checkpoints import load
from training.machine import Machine
from training.objectives import attention_masks as masks
from training.objectives.stage1_losses import similarities
from training.paths import CHECKPOINTS, TEST_SCENES
from training.phases.examined_scenes import examined_scenes
from training.phases.stage1 import tokenize

CANDIDATES = 60  # captions among which ITC searches
TURNS = 10
ANSWER_TOKENS = 24


@dataclass
class Examined:
    """Scenes with their images uint8 [N, 112, 112, 3] and the questions asked about each."""

    scenes: list[Scene]
    images: Tensor
    questions: list[list[Question]]


def committed_scenes(entries: list[dict]) -> Examined:
    """The committed test scenes; each scene is drawn again from its seed."""
    images = torch.from_numpy(np.stack([resize(Image.open(TEST_SCENES / e["file"])) for e in entries]))
    asked = [[Question(q["type"], q["question"], q["answer"]) for q in e["questions"]] for e in entries]
    return Examined([_scene(e) for e in entries], images, asked)


def _scene(entry: dict) -> Scene:
    """The scene that a test image shows, drawn again from its seed."""
    number = int(entry["file"].rsplit("-", 1)[1].split(".")[0])
    scene, _ = draw_test_scene(entry["layout"], entry["artist"], number)
    if caption(scene) != entry["caption"]:
        raise ValueError(f"{entry['file']} is of another version of the scene language")
    return scene


@torch.no_grad()
def image_contexts(model: Blip2ForConditionalGeneration, images: Tensor, machine: Machine) -> Tensor:
    """Projected queries float32 [N, 32, 192] of images uint8 [N, 112, 112, 3]."""
    contexts = []
    for batch in images.split(machine.pick(1024, 64, 16)):
        features = model.vision_model(pixel_values=normalize(batch.to(machine.device))).last_hidden_state
        queries = model.query_tokens.expand(len(batch), -1, -1)
        hidden = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
        contexts.append(model.language_projection(hidden))
    return torch.cat(contexts)


@torch.no_grad()
def write_answers(
    model: Blip2ForConditionalGeneration,
    tokenizer: Tokenizer,
    context: Tensor,
    rows: list[int],
    prompts: list[str],
    machine: Machine,
) -> list[str]:
    """Greedy continuations of prompts, each after the image positions `context[row]`; a prompt too long gets none."""
    decoder, out = model.language_model.model.decoder, []
    newline = tokenizer.encode("\n", add_special_tokens=False).ids[0]
    step, room = machine.pick(4096, 128, 64), model.config.text_config.max_position_embeddings - QUERIES - ANSWER_TOKENS
    for at in range(0, len(prompts), step):
        ids = [tokenizer.encode(p).ids for p in prompts[at : at + step]]
        fits = [len(i) <= room for i in ids]
        ids = [i if fit else i[:1] for i, fit in zip(ids, fits, strict=True)]
        longest = max(map(len, ids))
        # Padding stands between image and text and is masked: positions count what is not.
        text = torch.tensor([[PAD] * (longest - len(i)) + i for i in ids], device=machine.device)
        chosen = torch.tensor(rows[at : at + step], device=machine.device)
        embeds = torch.cat([context[chosen], decoder.embed_tokens(text)], 1)
        mask = torch.cat(
            [torch.ones(len(ids), QUERIES, device=machine.device, dtype=torch.long), (text != PAD).long()], 1
        )
        written = model.language_model.generate(
            inputs_embeds=embeds, attention_mask=mask, max_new_tokens=ANSWER_TOKENS,
            do_sample=False, eos_token_id=newline, pad_token_id=PAD,
        )  # fmt: skip
        answers = [tokenizer.decode(o).strip().lower() for o in written.tolist()]
        out += [a if fit else "" for a, fit in zip(answers, fits, strict=True)]
    return out


def _single(examined: Examined, rng: random.Random) -> list[tuple[int, str, str, list[str]]]:
    """(row, prompt, right answer, names to count it under) of everything that is asked once."""
    jobs = []
    for i, scene in enumerate(examined.scenes):
        right = caption(scene)
        jobs.append((i, "", right, ["captions", f"captions, {scene.layout}", f"captions, {scene.artist}"]))
        jobs.append((i, small_talk(scene, rng).prompt, right, ["small talk"]))
        jobs.append((i, Question("", "hello", right).prompt, right, ["hello"]))
        for q in examined.questions[i]:
            names = ["answers", f"answers, {scene.layout}", f"answers, {scene.artist}", f"question {q.type}"]
            jobs.append((i, q.prompt, q.answer, names))
            other = other_wording(q, rng)
            if rng.random() < 0.2:
                other = Question(other.type, other.question.removesuffix("?").capitalize(), other.answer)
            jobs.append((i, other.prompt, other.answer, ["other wordings", f"other wordings, {q.type}"]))
        which = which_question(scene, rng)
        jobs.append((i, which.prompt, which.answer, ["which"]))
    return jobs


def _conversations(examined: Examined, rng: random.Random) -> list[list[Question]]:
    """Ten questions about each scene: all of the scene's, and some of them again, in any order."""
    out = []
    for asked in examined.questions:
        turns = [*asked, *rng.choices(asked, k=max(0, TURNS - len(asked)))][:TURNS]
        rng.shuffle(turns)
        out.append(turns)
    return out


def generate_accuracy(
    model: Blip2ForConditionalGeneration, tokenizer: Tokenizer, groups: dict[str, Examined], machine: Machine
) -> dict[str, dict[str, float]]:
    """Exact match of captions and answers, in other words too, and in conversations that repeat questions.

    All groups at once: a step of the decoder costs nearly the same for one row and for thousands.
    """
    rng = random.Random("answers-evaluation")
    context = image_contexts(model, torch.cat([g.images.to(machine.device) for g in groups.values()]), machine)
    exact: dict[str, dict[str, list[bool]]] = {name: defaultdict(list) for name in groups}
    jobs, conversations, first = [], [], 0
    for name, examined in groups.items():
        jobs += [(name, first + i, *job) for i, *job in _single(examined, rng)]
        conversations += [(name, first + i, asked) for i, asked in enumerate(_conversations(examined, rng))]
        first += len(examined.scenes)
    answers = write_answers(model, tokenizer, context, [j[1] for j in jobs], [j[2] for j in jobs], machine)
    for (group, _, _, truth, names), answer in zip(jobs, answers, strict=True):
        for name in names:
            exact[group][name].append(answer == truth)
    history = [""] * len(conversations)
    for turn in range(TURNS):
        prompts = [before + c[2][turn].prompt for before, c in zip(history, conversations, strict=True)]
        answers = write_answers(model, tokenizer, context, [c[1] for c in conversations], prompts, machine)
        for i, (group, _, asked) in enumerate(conversations):
            if turn:
                again = any(q.question == asked[turn].question for q in asked[:turn])
                for name in ["in conversation", "repeated question"] if again else ["in conversation"]:
                    exact[group][name].append(answers[i] == asked[turn].answer)
            history[i] = f"{prompts[i]} {answers[i]}. "
    return {group: {k: sum(v) / len(v) for k, v in sorted(table.items())} for group, table in exact.items()}


def retrieve_accuracy(
    model: torch.nn.Module, tokenizer: Tokenizer, groups: dict[str, Examined], machine: Machine
) -> dict[str, dict[str, float]]:
    """Accuracy of matching for each group."""
    return {name: _matching(model, tokenizer, examined, machine) for name, examined in groups.items()}


@torch.no_grad()
def _matching(model: torch.nn.Module, tokenizer: Tokenizer, examined: Examined, machine: Machine) -> dict[str, float]:
    """ITM on right captions, hard negatives and other images' captions; ITC's best caption among 60."""
    correct: dict[str, list[bool]] = defaultdict(list)
    rng = random.Random("itm-evaluation")
    order = list(range(len(examined.scenes)))
    rng.shuffle(order)
    for at in range(0, len(order), CANDIDATES):
        chosen = order[at : at + CANDIDATES]
        scenes = [examined.scenes[i] for i in chosen]
        pixels = normalize(examined.images[chosen].to(machine.device))
        features = model.vision_model(pixel_values=pixels).last_hidden_state
        queries = model.query_tokens.expand(len(chosen), -1, -1)
        texts = [caption(s) for s in scenes]
        others = [next((t for t in rng.sample(texts, len(texts)) if t != own), own) for own in texts]
        negatives = [hard_negative(s, rng) for s in scenes]
        for kind, candidates in {"right": texts, "near miss": negatives, "other": others}.items():
            text = tokenize(candidates, machine.device, tokenizer)
            hidden = model.qformer(
                query_embeds=model.embeddings(input_ids=text.ids, query_embeds=queries), query_length=QUERIES,
                attention_mask=masks.additive(masks.bidirectional(text.valid, QUERIES)), encoder_hidden_states=features,
            ).last_hidden_state  # fmt: skip
            matched = model.itm_head(hidden[:, :QUERIES]).mean(1).argmax(1) == 1
            correct[f"ITM {kind}"] += (matched == (kind == "right")).tolist()
        image_hidden = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
        text = tokenize(texts, machine.device, tokenizer)
        size = text.ids.shape[1]
        text_hidden = model.qformer(
            query_embeds=model.embeddings(input_ids=text.ids), query_length=0,
            attention_mask=masks.additive(text.valid[:, None, :].expand(-1, size, -1)),
        ).last_hidden_state[:, 0]  # fmt: skip
        unit = torch.nn.functional.normalize
        image_vectors = unit(model.vision_projection(image_hidden), dim=-1)
        text_vectors = unit(model.text_projection(text_hidden), dim=-1)
        best = similarities(image_vectors, text_vectors).argmax(1).tolist()
        correct["ITC first of 60"] += [texts[b] == texts[i] for i, b in enumerate(best)]
    out = {k: sum(v) / len(v) for k, v in correct.items()}
    wrong = correct["ITM near miss"] + correct["ITM other"]
    out["ITM"] = (out["ITM right"] + sum(wrong) / len(wrong)) / 2
    return out


def by_artist(machine: Machine, count: int) -> dict[str, Examined]:
    """`count` held-out scenes of every artist of the sprite pack, none where there is no pack."""
    if not PACK.exists():
        return {}
    groups = examined_scenes(read_pack(), machine, count, each=True)
    rng = random.Random("questions-evaluation")
    return {
        artist: Examined(
            g.scenes, g.images, [distinct_questions(s, rng, 8 if s.layout == "pair" else 6) for s in g.scenes]
        )
        for artist, g in groups.items()
    }


def evaluate(
    machine: Machine, limit: int | None = None, per_artist: int = 120, folder: Path = CHECKPOINTS
) -> dict[str, dict]:
    """Tables of the committed scenes for each checkpoint in a folder, and of every artist; printed.

    Each checkpoint is asked through its own tokenizer.
    """
    entries = json.loads((TEST_SCENES / "scenes.json").read_text())
    if limit:
        entries = random.Random(0).sample(entries, limit)
    measures = {"generate": generate_accuracy, "retrieve": retrieve_accuracy}
    groups = {"committed": committed_scenes(entries)} | by_artist(machine, per_artist)
    results: dict[str, dict] = {"artists": defaultdict(dict)}
    for kind, measure in measures.items():
        model = load(kind, folder).to(machine.device).eval()
        tokenizer = Tokenizer.from_file(str(folder / kind / "tokenizer.json"))
        for name, table in measure(model, tokenizer, groups, machine).items():
            if name == "committed":
                results[kind] = table
            else:
                results["artists"][name] |= table
    _print(results)
    return results


SHOWN = (
    "captions", "answers", "other wordings", "which", "hello", "in conversation", "repeated question",
    "ITM right", "ITM near miss", "ITC first of 60",
)  # fmt: skip


def _print(results: dict[str, dict]) -> None:
    """Both tables of the committed scenes, then a line for each artist."""
    for kind in ("generate", "retrieve"):
        for name, value in results.get(kind, {}).items():
            print(f"{kind:9} {name:38} {value:6.1%}")
    print(f"{'':28}" + " ".join(f"{s[:11]:>11}" for s in SHOWN))
    for artist, table in results["artists"].items():
        print(f"{artist:28}" + " ".join(f"{table.get(s, float('nan')):11.1%}" for s in SHOWN), flush=True)
