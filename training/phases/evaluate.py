"""Phase *evaluate*: exact captions and answers, and matching, of the exported checkpoints on the test scenes."""

from __future__ import annotations

import json
import random
from collections import defaultdict

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from training.objectives import attention_masks as masks
from training.objectives.dense import normalise
from training.export.checkpoints import load
from training.data.grammar import caption
from training.architecture import QUERIES
from training.data.hard_negatives import near_miss
from training.data.render import shrink
from training.data.scenes import Scene, draw_scene
from training.phases.stage1 import tokens_of
from training.data.make_test_scenes import OUT, SEED
from training.data.decoder_texts import BOS, PAD
from training.data.tokenization import encode, newline_id, opt_tokenizer
from training.data.vocab import METRICS

BATCH = 64


def pictures(entries: list[dict]) -> Tensor:
    """The committed pictures as the network takes them, float32 [N, 3, 112, 112]."""
    stack = [torch.from_numpy(shrink(Image.open(OUT / e["file"])).copy()) for e in entries]
    return normalise(torch.stack(stack))


def _scene(entry: dict) -> Scene:
    """The scene behind a test picture, drawn again from its seed."""
    number = int(entry["file"].rsplit("-", 1)[1].split(".")[0])
    rng = random.Random(f"{SEED}:{entry['layout']}:{entry['artist']}:{number}")
    scene = draw_scene(rng, entry["layout"], entry["artist"], held_out=True)
    assert caption(scene) == entry["caption"], entry["file"]
    return scene


@torch.no_grad()
def write_answers(model, context: Tensor, prompts: list[str], limit: int = 24) -> list[str]:
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
    for chunk in pictures(entries).split(BATCH):
        image = model.vision_model(pixel_values=chunk).last_hidden_state
        queries = model.query_tokens.expand(len(chunk), -1, -1)
        hidden = model.qformer(query_embeds=queries, encoder_hidden_states=image).last_hidden_state
        contexts.append(model.language_projection(hidden))
    context = torch.cat(contexts)
    jobs = [(i, "", e["caption"], "caption") for i, e in enumerate(entries)]
    for i, e in enumerate(entries):
        jobs += [(i, f"Question: {q['question']} Answer:", q["answer"], q["type"]) for q in e["questions"]]
    right: dict[str, list[bool]] = defaultdict(list)
    for at in tqdm(range(0, len(jobs), 128), desc="evaluate", mininterval=5):
        part = jobs[at : at + 128]
        said = write_answers(model, context[[j[0] for j in part]], [j[1] for j in part])
        for (i, _, truth, kind), text in zip(part, said, strict=True):
            group = "captions" if kind == "caption" else "answers"
            names = [group, f"{group}, {entries[i]['layout']}", f"{group}, {entries[i]['artist']}"]
            for name in names + ([f"question {kind}"] if kind != "caption" else []):
                right[name].append(text == truth)
    return {k: sum(v) / len(v) for k, v in sorted(right.items())}


@torch.no_grad()
def retrieve_accuracy(entries: list[dict]) -> dict[str, float]:
    """ITM on right captions, near misses and other pictures' captions; ITC's top caption among 60."""
    model = load("retrieve").eval()
    right: dict[str, list[bool]] = defaultdict(list)
    rng = random.Random("itm-evaluation")
    images = pictures(entries)
    order = list(range(len(entries)))
    rng.shuffle(order)
    for at in tqdm(range(0, len(entries), 60), desc="match", mininterval=5):
        chosen = order[at : at + 60]
        image = model.vision_model(pixel_values=images[chosen]).last_hidden_state
        queries = model.query_tokens.expand(len(chosen), -1, -1)
        texts = [entries[i]["caption"] for i in chosen]
        others = [next(t for t in rng.sample(texts, len(texts)) if t != mine) for mine in texts]
        kinds = {"right": texts, "near miss": [near_miss(_scene(entries[i]), rng) for i in chosen], "other": others}
        for kind, wording in kinds.items():
            text = tokens_of(wording)
            hidden = model.qformer(
                query_embeds=model.embeddings(input_ids=text.ids, query_embeds=queries), query_length=QUERIES,
                attention_mask=masks.additive(masks.bidirectional(text.valid, QUERIES)), encoder_hidden_states=image,
            ).last_hidden_state  # fmt: skip
            matched = model.itm_head(hidden[:, :QUERIES]).mean(1).argmax(1) == 1
            right[f"ITM {kind}"] += (matched == (kind == "right")).tolist()
        seen = model.qformer(query_embeds=queries, encoder_hidden_states=image).last_hidden_state
        text = tokens_of(texts)
        size = text.ids.shape[1]
        read = model.qformer(
            query_embeds=model.embeddings(input_ids=text.ids), query_length=0,
            attention_mask=masks.additive(text.valid[:, None, :].expand(-1, size, -1)),
        ).last_hidden_state[:, 0]  # fmt: skip
        unit = torch.nn.functional.normalize
        scores = torch.einsum(
            "iqe,te->itq", unit(model.vision_projection(seen), dim=-1), unit(model.text_projection(read), dim=-1)
        ).amax(-1)
        best = scores.argmax(1).tolist()
        right["ITC first of 60"] += [texts[b] == texts[i] for i, b in enumerate(best)]
    out = {k: sum(v) / len(v) for k, v in right.items()}
    wrong = right["ITM near miss"] + right["ITM other"]
    out["ITM"] = (out["ITM right"] + sum(wrong) / len(wrong)) / 2
    return out


def evaluate(limit: int | None = None) -> dict[str, dict[str, float]]:
    """Both tables; kept in training/metrics/results.json when all scenes were measured."""
    entries = json.loads((OUT / "scenes.json").read_text())
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
