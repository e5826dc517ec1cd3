"""Writes small random checkpoints that have real tokenisers, and what transformers makes of a picture: query embeddings,
texts, and log-probabilities of their tokens.

    python test/parity/make_api_golden.py     # writes test/parity/golden/api-opt and api-t5; needs make_tokenizer_golden.py's

From the picture's file to the text, as a user of transformers goes: Pillow's bicubic resize, the tokeniser, `generate`,
decode. A question is kept only if fp32 and fp64 write the same.
"""

from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import torch
from make_golden import GOLDEN
from make_golden import build_model as build_opt
from make_t5_golden import build_model as build_t5
from PIL import Image
from tokenizers import Tokenizer
from transformers import Blip2ForConditionalGeneration

SCENES = GOLDEN.parent.parent / "scenes"
PICTURES = ["single-noto-00.webp", "pair-twemoji-03.webp"]
QUESTIONS = ["what is this?", "is there a dog to the left of the car?", "naïve 日本 café? 👩‍👩‍👧", "how many </s> are there?"]
NEW_TOKENS = 10
TOP = 5
MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)

SMALL = dict(
    dtype=torch.float16, queries=5, images=1,
    vision=dict(hidden_size=30, intermediate_size=38, num_hidden_layers=1, num_attention_heads=3, image_size=28, patch_size=7),
    qformer=dict(hidden_size=28, intermediate_size=34, num_hidden_layers=2, num_attention_heads=2, cross_attention_frequency=2),
)  # fmt: skip
CASES = {
    "api-opt": (build_opt, "opt", dict(
        **SMALL, tied=True,
        text=dict(vocab_size=902, hidden_size=36, ffn_dim=50, num_hidden_layers=2, num_attention_heads=3,
                  max_position_embeddings=128),
    )),
    "api-t5": (build_t5, "t5", dict(
        **SMALL, own_head=True,
        text=dict(vocab_size=348, d_model=34, d_kv=11, d_ff=46, num_layers=2, num_heads=3,
                  relative_attention_num_buckets=12, relative_attention_max_distance=30,
                  feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False),
    )),
}  # fmt: skip


def tokenizer_file(kind: str) -> dict:
    return json.loads(gzip.decompress((GOLDEN / "tokenizers" / f"{kind}.json.gz").read_bytes()))


def plain(kind: str) -> Tokenizer:
    """The tokeniser to which control strings are text, as make_tokenizer_golden.py has it."""
    from make_tokenizer_golden import without_controls

    return without_controls(Tokenizer.from_str(json.dumps(tokenizer_file(kind))))


def pixels(name: str, side: int) -> torch.Tensor:
    picture = Image.open(SCENES / name).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    values = (np.asarray(picture, np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(values.transpose(2, 0, 1))[None]


@torch.no_grad()
def written(model, kind: str, picture: torch.Tensor, ids: list[int], **settings) -> list[int]:
    out = model.generate(
        pixel_values=picture.to(model.dtype), input_ids=torch.tensor([ids]), do_sample=False,
        max_new_tokens=NEW_TOKENS, **settings,
    )[0].tolist()  # fmt: skip
    return out[len(ids):] if kind == "opt" else out[1:]


@torch.no_grad()
def scored(model, kind: str, picture: torch.Tensor, ids: list[int]) -> list[dict]:
    """Of each greedy token and the likeliest at its place: log-probabilities."""
    out = model.generate(
        pixel_values=picture, input_ids=torch.tensor([ids]), do_sample=False, max_new_tokens=NEW_TOKENS,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    tokens = out.sequences[0].tolist()[len(ids) if kind == "opt" else 1 :]
    places = []
    for token, logits in zip(tokens, out.logits, strict=True):
        log_probs = logits[0].double().log_softmax(-1)
        top = log_probs.topk(TOP)
        places.append(dict(logprob=log_probs[token].item(), top=dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))))
    return places


@torch.no_grad()
def query_embeddings(model, picture: torch.Tensor) -> list[list[float]]:
    features = model.vision_model(pixel_values=picture).last_hidden_state
    queries = model.query_tokens.expand(1, -1, -1)
    return model.qformer(query_embeds=queries, encoder_hidden_states=features)[0][0].tolist()


def write_case(name: str, build, kind: str, case: dict) -> None:
    vocab, queries, side = case["text"]["vocab_size"], case["queries"], case["vision"]["image_size"]
    text, decoder = plain(kind), Tokenizer.from_str(json.dumps(tokenizer_file(kind)))
    answer = "Answer:" if kind == "opt" else "Short answer:"
    wrap = (lambda ids: [2, *ids]) if kind == "opt" else (lambda ids: [*ids, 1])
    prompts = {"": ""} | {q: f"Question: {q} {answer}" for q in QUESTIONS}
    for seed in range(200):
        torch.manual_seed(seed)
        model = build(case)
        double = type(model)(model.config).eval().double()
        if kind == "t5":
            double.language_model.lm_head.weight = torch.nn.Parameter(model.language_model.lm_head.weight.double().clone())
        double.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
        replies = []
        for picture_name in PICTURES:
            picture = pixels(picture_name, side)
            for question, prompt in prompts.items():
                ids = [vocab - 1] * queries + wrap(text.encode(prompt, add_special_tokens=False).ids if prompt else [])
                for settings in ({}, {"num_beams": 3}):
                    one, other = (written(m, kind, picture, ids, **settings) for m in (model, double))
                    if one != other or vocab - 1 in one:
                        break
                    said = decoder.decode(one, skip_special_tokens=True).strip()
                    reply = dict(picture=picture_name, question=question, settings=settings, ids=one, text=said)
                    replies.append(reply if settings else reply | dict(scores=scored(model, kind, picture, ids)))
        if len(replies) == 2 * len(PICTURES) * len(prompts):
            break
    else:
        raise RuntimeError(f"{name}: no seed will do")
    folder = GOLDEN / name
    shutil.rmtree(folder, ignore_errors=True)
    embeddings = {picture: query_embeddings(model, pixels(picture, side)) for picture in PICTURES}
    model.to(case["dtype"]).save_pretrained(folder / "checkpoint")
    (folder / "checkpoint" / "tokenizer.json").write_text(json.dumps(tokenizer_file(kind)))
    (folder / "expected.json").write_text(json.dumps({"max_tokens": NEW_TOKENS, "embeddings": embeddings, "replies": replies}) + "\n")
    print(name, "seed", seed, [r["text"] for r in replies][:4])


if __name__ == "__main__":
    for case_name, (builder, tokeniser, spec) in CASES.items():
        write_case(case_name, builder, tokeniser, spec)
