"""Writes small random checkpoints with tokenizers of many words, and what transformers makes of images and questions.

    python test/parity/golden/make/api_checkpoints.py     # writes test/parity/golden/api-opt and api-t5

Needs the tokenizers of tokenizer_corpus.py. From the image file to the text, as a user of transformers goes: Pillow's
bicubic resize, the tokenizer, `generate`, decode; also query embeddings, and log-probabilities of the tokens. A seed
will do only if fp32 and fp64 write the same everywhere.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import Blip2ForConditionalGeneration

from control_tokens import without_controls
from golden_files import GOLDEN, empty_folder, write_json
from opt_checkpoints import build_model as build_opt
from random_models import UnsuitableError, find_seed, in_float64
from scene_images import pixel_values
from t5_checkpoints import build_model as build_t5

IMAGES = ["single-noto-00.webp", "pair-twemoji-03.webp"]
QUESTIONS = [
    "what is this?",
    "is there a dog to the left of the car?",
    "naïve 日本 café? 👩‍👩‍👧",
    "how many </s> are there?",
]
NEW_TOKENS = 10
TOP = 5

SMALL = dict(
    dtype=torch.float16, queries=5, images=1,
    vision=dict(hidden_size=30, intermediate_size=38, num_hidden_layers=1, num_attention_heads=3,
                image_size=28, patch_size=7),
    qformer=dict(hidden_size=28, intermediate_size=34, num_hidden_layers=2, num_attention_heads=2,
                 cross_attention_frequency=2),
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
    """The contents of tokenizer.json of the corpus' tokenizer `opt` or `t5`."""
    return json.loads(gzip.decompress((GOLDEN / "tokenizers" / f"{kind}.json.gz").read_bytes()))


@torch.no_grad()
def generate(
    model: Blip2ForConditionalGeneration, kind: str, pixels: Tensor, ids: list[int], **settings: int
) -> list[int]:
    """The new tokens of the best sequence."""
    out = model.generate(
        pixel_values=pixels.to(model.dtype), input_ids=torch.tensor([ids]), do_sample=False,
        max_new_tokens=NEW_TOKENS, **settings,
    )[0].tolist()  # fmt: skip
    return out[len(ids) :] if kind == "opt" else out[1:]


@torch.no_grad()
def score_tokens(model: Blip2ForConditionalGeneration, kind: str, pixels: Tensor, ids: list[int]) -> list[dict]:
    """Log-probabilities of each greedy token and of the likeliest at its place."""
    out = model.generate(
        pixel_values=pixels, input_ids=torch.tensor([ids]), do_sample=False, max_new_tokens=NEW_TOKENS,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    tokens = out.sequences[0].tolist()[len(ids) if kind == "opt" else 1 :]
    scores = []
    for token, logits in zip(tokens, out.logits, strict=True):
        log_probs = logits[0].double().log_softmax(-1)
        top = log_probs.topk(TOP)
        likeliest = dict(zip(top.indices.tolist(), top.values.tolist(), strict=True))
        scores.append(dict(logprob=log_probs[token].item(), top=likeliest))
    return scores


@torch.no_grad()
def query_embeddings(model: Blip2ForConditionalGeneration, pixels: Tensor) -> list[list[float]]:
    """Query embeddings [queries, hidden] of one image."""
    features = model.vision_model(pixel_values=pixels).last_hidden_state
    queries = model.query_tokens.expand(1, -1, -1)
    return model.qformer(query_embeds=queries, encoder_hidden_states=features)[0][0].tolist()


def reply_to_all(model: Blip2ForConditionalGeneration, kind: str, case: dict) -> list[dict]:
    """Captions and answers for every image, greedy and by beam search; scores of the greedy ones."""
    image_token, side = case["text"]["vocab_size"] - 1, case["vision"]["image_size"]
    decoder = Tokenizer.from_str(json.dumps(tokenizer_file(kind)))
    encoder = without_controls(decoder)
    ending = "Answer:" if kind == "opt" else "Short answer:"
    prompts = {"": ""} | {q: f"Question: {q} {ending}" for q in QUESTIONS}
    precise = in_float64(model)
    replies = []
    for name in IMAGES:
        pixels = pixel_values(name, side)
        for question, prompt in prompts.items():
            words = encoder.encode(prompt, add_special_tokens=False).ids if prompt else []
            ids = [image_token] * case["queries"] + ([2, *words] if kind == "opt" else [*words, 1])
            for settings in ({}, {"num_beams": 3}):
                tokens = generate(model, kind, pixels, ids, **settings)
                if tokens != generate(precise, kind, pixels, ids, **settings):
                    raise UnsuitableError("the texts hang on rounding")
                if image_token in tokens:
                    raise UnsuitableError("an image token was written")
                text = decoder.decode(tokens, skip_special_tokens=True).strip()
                reply = dict(image=name, question=question, settings=settings, ids=tokens, text=text)
                replies.append(reply if settings else reply | dict(scores=score_tokens(model, kind, pixels, ids)))
    return replies


def write_case(name: str, build: Callable[[dict], Blip2ForConditionalGeneration], kind: str, case: dict) -> None:
    """Writes golden/<name>/: the checkpoint and expected.json."""

    def attempt() -> tuple[Blip2ForConditionalGeneration, list[dict]]:
        model = build(case)
        return model, reply_to_all(model, kind, case)

    seed, (model, replies) = find_seed(name, attempt)
    side = case["vision"]["image_size"]
    embeddings = {image: query_embeddings(model, pixel_values(image, side)) for image in IMAGES}
    folder = empty_folder(name)
    model.to(case["dtype"]).save_pretrained(folder / "checkpoint")
    (folder / "checkpoint" / "tokenizer.json").write_text(json.dumps(tokenizer_file(kind)))
    expected = {"max_tokens": NEW_TOKENS, "embeddings": embeddings, "replies": replies}
    write_json(folder / "expected.json", expected)
    print(name, "seed", seed, [r["text"] for r in replies][:4])


if __name__ == "__main__":
    for case_name, case_spec in CASES.items():
        write_case(case_name, *case_spec)
