"""Phase *evaluate*: exact captions and answers, and matching, of the exported checkpoints on the test scenes."""

from __future__ import annotations

import json
import random
from collections import defaultdict

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from transformers import Blip2ForConditionalGeneration

from training.architecture import QUERIES
from training.data.decoder_texts import BOS, PAD
from training.data.grammar import caption
from training.data.hard_negatives import hard_negative
from training.data.image_processor import normalize, resize
from training.data.make_test_scenes import draw_test_scene
from training.data.scenes import Scene
from training.data.tokenization import encode, newline_id, opt_tokenizer
from training.export.checkpoints import load
from training.objectives import attention_masks as masks
from training.objectives.stage1_losses import similarities
from training.paths import METRICS, TEST_SCENES
from training.phases.stage1 import tokenize

IMAGES_PER_BATCH = 64
PROMPTS_PER_BATCH = 128
CANDIDATES = 60  # captions among which ITC searches


def load_images(entries: list[dict]) -> Tensor:
    """The committed images as input of the image encoder, float32 [N, 3, 112, 112]."""
    return normalize(torch.from_numpy(np.stack([resize(Image.open(TEST_SCENES / e["file"])) for e in entries])))


def _scene(entry: dict) -> Scene:
    """The scene that a test image shows, drawn again from its seed."""
    number = int(entry["file"].rsplit("-", 1)[1].split(".")[0])
    scene, _ = draw_test_scene(entry["layout"], entry["artist"], number)
    if caption(scene) != entry["caption"]:
        raise ValueError(f"{entry['file']} is of another version of the scene language")
    return scene


@torch.no_grad()
def write_answers(
    model: Blip2ForConditionalGeneration, context: Tensor, prompts: list[str], limit: int = 24
) -> list[str]:
    """Greedy answers after the image positions [N, 32, 192], all in one left-padded batch."""
    decoder = model.language_model.model.decoder
    rows = [[BOS, *encode(p)] for p in prompts]
    longest = max(map(len, rows))
    embeds, mask = [], []
    for image, row in zip(context, rows, strict=True):
        pads = longest - len(row)  # they stand before the image positions
        text = decoder.embed_tokens(torch.tensor(row))
        embeds.append(torch.cat([torch.zeros(pads, text.shape[1]), image, text]))
        mask.append(torch.tensor([0] * pads + [1] * (QUERIES + len(row))))
    out = model.language_model.generate(
        inputs_embeds=torch.stack(embeds), attention_mask=torch.stack(mask), max_new_tokens=limit,
        do_sample=False, eos_token_id=newline_id(), pad_token_id=PAD,
    )  # fmt: skip
    return [opt_tokenizer().decode(o).strip().lower() for o in out.tolist()]


@torch.no_grad()
def generate_accuracy(entries: list[dict]) -> dict[str, float]:
    """Exact match of captions and answers, overall and by layout, artist and question type."""
    model = load("generate").eval()
    contexts = []
    for batch in load_images(entries).split(IMAGES_PER_BATCH):
        features = model.vision_model(pixel_values=batch).last_hidden_state
        queries = model.query_tokens.expand(len(batch), -1, -1)
        hidden = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
        contexts.append(model.language_projection(hidden))
    context = torch.cat(contexts)
    jobs = [(i, "", e["caption"], "caption") for i, e in enumerate(entries)]
    for i, e in enumerate(entries):
        jobs += [(i, f"Question: {q['question']} Answer:", q["answer"], q["type"]) for q in e["questions"]]
    exact: dict[str, list[bool]] = defaultdict(list)
    for at in tqdm(range(0, len(jobs), PROMPTS_PER_BATCH), desc="evaluate", mininterval=5):
        part = jobs[at : at + PROMPTS_PER_BATCH]
        answers = write_answers(model, context[[j[0] for j in part]], [j[1] for j in part])
        for (i, _, truth, kind), answer in zip(part, answers, strict=True):
            group = "captions" if kind == "caption" else "answers"
            names = [group, f"{group}, {entries[i]['layout']}", f"{group}, {entries[i]['artist']}"]
            for name in names + ([f"question {kind}"] if kind != "caption" else []):
                exact[name].append(answer == truth)
    return {k: sum(v) / len(v) for k, v in sorted(exact.items())}


@torch.no_grad()
def retrieve_accuracy(entries: list[dict]) -> dict[str, float]:
    """ITM on right captions, hard negatives and other images' captions; ITC's best caption among 60."""
    model = load("retrieve").eval()
    correct: dict[str, list[bool]] = defaultdict(list)
    rng = random.Random("itm-evaluation")
    images = load_images(entries)
    order = list(range(len(entries)))
    rng.shuffle(order)
    for at in tqdm(range(0, len(entries), CANDIDATES), desc="match", mininterval=5):
        chosen = order[at : at + CANDIDATES]
        features = model.vision_model(pixel_values=images[chosen]).last_hidden_state
        queries = model.query_tokens.expand(len(chosen), -1, -1)
        texts = [entries[i]["caption"] for i in chosen]
        others = [next(t for t in rng.sample(texts, len(texts)) if t != own) for own in texts]
        negatives = [hard_negative(_scene(entries[i]), rng) for i in chosen]
        for kind, candidates in {"right": texts, "near miss": negatives, "other": others}.items():
            text = tokenize(candidates)
            hidden = model.qformer(
                query_embeds=model.embeddings(input_ids=text.ids, query_embeds=queries), query_length=QUERIES,
                attention_mask=masks.additive(masks.bidirectional(text.valid, QUERIES)), encoder_hidden_states=features,
            ).last_hidden_state  # fmt: skip
            matched = model.itm_head(hidden[:, :QUERIES]).mean(1).argmax(1) == 1
            correct[f"ITM {kind}"] += (matched == (kind == "right")).tolist()
        image_hidden = model.qformer(query_embeds=queries, encoder_hidden_states=features).last_hidden_state
        text = tokenize(texts)
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


def evaluate(limit: int | None = None) -> dict[str, dict[str, float]]:
    """Both tables; written to training/metrics/results.json if all scenes were measured, not `limit` of them."""
    entries = json.loads((TEST_SCENES / "scenes.json").read_text())
    if limit:
        entries = random.Random(0).sample(entries, limit)
    results = {"generate": generate_accuracy(entries), "retrieve": retrieve_accuracy(entries)}
    for kind, table in results.items():
        print(kind)
        for name, value in table.items():
            print(f"  {name:38} {value:6.1%}")
    if not limit:
        METRICS.mkdir(exist_ok=True)
        (METRICS / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    return results
