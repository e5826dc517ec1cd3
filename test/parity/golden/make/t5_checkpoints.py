"""Writes small random FlanT5 checkpoints and what transformers computes for them.

    python test/parity/golden/make/t5_checkpoints.py     # writes test/parity/golden/<case>/

No dimension is a multiple of another: d_kv is not hidden / heads, the decoder has another depth than the
encoder (fewer layers: the cache of transformers 5.18 cannot hold more), and few buckets with a short maximal
distance make prompts reach the logarithmic and the last ones.
Greedy and beam texts come from `generate`; a seed will do only if fp32 and fp64 write the same.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import torch
from torch import Tensor
from transformers import Blip2Config, Blip2ForConditionalGeneration, PreTrainedModel

from golden_files import empty_folder, write_json, write_tensors
from random_models import UnsuitableError, find_seed, in_float64, random_values, word_tokenizer

EOS, NEW_TOKENS = 1, 12
BEAMS = dict(num_beams=3, num_return_sequences=2, length_penalty=0.5)
LENGTHS = (1, 4, 9, 17, 26)

CASES = {
    # head of its own, exact gate, heads of 13 values
    "t5": dict(
        dtype=torch.float32, shard="1GB", queries=6, images=2, own_head=True,
        vision=dict(hidden_size=36, intermediate_size=50, num_hidden_layers=1, num_attention_heads=3,
                    image_size=28, patch_size=7),
        qformer=dict(hidden_size=33, intermediate_size=41, num_hidden_layers=2, num_attention_heads=3,
                     cross_attention_frequency=2),
        text=dict(vocab_size=109, d_model=46, d_kv=13, d_ff=59, num_layers=3, num_decoder_layers=2, num_heads=3,
                  relative_attention_num_buckets=11, relative_attention_max_distance=17,
                  feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False),
    ),
    # tied and therefore scaled head, the gate's tanh approximation, bf16 in shards
    "t5-bf16": dict(
        dtype=torch.bfloat16, shard="60KB", queries=4, images=2, own_head=False,
        vision=dict(hidden_size=32, intermediate_size=44, num_hidden_layers=1, num_attention_heads=2,
                    image_size=24, patch_size=8),
        qformer=dict(hidden_size=28, intermediate_size=36, num_hidden_layers=2, num_attention_heads=2,
                     cross_attention_frequency=1),
        text=dict(vocab_size=83, d_model=40, d_kv=8, d_ff=52, num_layers=2, num_heads=7,
                  relative_attention_num_buckets=8, relative_attention_max_distance=9,
                  feed_forward_proj="gated-gelu"),
    ),
}  # fmt: skip


def build_model(case: dict) -> Blip2ForConditionalGeneration:
    """A random model in fp32."""
    vocab = case["text"]["vocab_size"]
    config = Blip2Config(
        vision_config=case["vision"],
        qformer_config={**case["qformer"], "encoder_hidden_size": case["vision"]["hidden_size"], "vocab_size": 30},
        text_config={**case["text"], "model_type": "t5", "decoder_start_token_id": 0, "eos_token_id": EOS},
        num_query_tokens=case["queries"], image_token_index=vocab - 1,
    )  # fmt: skip
    return randomize(Blip2ForConditionalGeneration(config).eval(), case)


def randomize(model: PreTrainedModel, case: dict) -> PreTrainedModel:
    """Fills a model around T5 with random weights, rounded to the type that they are stored in."""
    vocab = case["text"]["vocab_size"]
    if case["own_head"]:
        model.language_model.lm_head.weight = torch.nn.Parameter(torch.empty(vocab, case["text"]["d_model"]))
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            tensor.copy_(random_values(name, tensor))
            if "relative_attention_bias" in name:
                tensor.copy_(1.5 * torch.randn(tensor.shape))
            elif ".shared." in name:
                tensor.copy_(torch.randn(tensor.shape))
            elif ".q." in name or ".k." in name:
                tensor.mul_(0.35)  # nothing scales the scores
    return model.to(case["dtype"]).float()


def cut(row: list[int]) -> list[int]:
    """Without the start token, up to the end token."""
    return list(itertools.takewhile(lambda token: token != EOS, row[1:]))[:NEW_TOKENS]


@torch.no_grad()
def generate(
    model: Blip2ForConditionalGeneration, pixels: Tensor, ids: list[int], **settings: float
) -> tuple[list[list[int]], list[float]]:
    """Token ids of each returned sequence, and the sequences' scores in a beam search."""
    out = model.generate(
        pixel_values=pixels.to(model.dtype), input_ids=torch.tensor([ids]), do_sample=False,
        max_new_tokens=NEW_TOKENS, return_dict_in_generate=True, output_scores=True, **settings,
    )  # fmt: skip
    scores = getattr(out, "sequences_scores", None)
    return [cut(row) for row in out.sequences.tolist()], [] if scores is None else scores.tolist()


@torch.no_grad()
def expectations(model: Blip2ForConditionalGeneration, case: dict) -> tuple[dict[str, Tensor], list[dict]]:
    """Tensors of every step for random images, and texts after prompts of several lengths."""
    side, images, queries = case["vision"]["image_size"], case["images"], case["queries"]
    vocab = case["text"]["vocab_size"]
    pixels = torch.randn(images, 3, side, side)
    features = model.vision_model(pixels).last_hidden_state
    embeddings = model.qformer(
        query_embeds=model.query_tokens.expand(images, -1, -1), encoder_hidden_states=features
    ).last_hidden_state
    precise = in_float64(model)
    generations, logits = [], []
    for number, length in enumerate(LENGTHS):
        image = pixels[number % images : number % images + 1]
        prompt = [*torch.randint(3, vocab - 1, (length - 1,)).tolist(), EOS]
        ids = [vocab - 1] * queries + prompt
        inputs = torch.tensor([ids])
        first = model(pixel_values=image, input_ids=inputs, attention_mask=torch.ones_like(inputs),
                      decoder_input_ids=torch.tensor([[0]])).logits[0, -1]  # fmt: skip
        (greedy,), _ = generate(model, image, ids)
        beams, scores = generate(model, image, ids, **BEAMS)
        if generate(precise, image, ids)[0] != [greedy] or generate(precise, image, ids, **BEAMS)[0] != beams:
            raise UnsuitableError("the texts hang on rounding")
        if len(set(greedy)) < 4:
            raise UnsuitableError(f"too much repetition: {greedy}")
        logits.append(first)
        generations.append(dict(image=number % images, prompt=prompt, greedy=greedy, beams=beams, scores=scores))
    return {
        "pixel_values": pixels, "image_features": features, "query_embeddings": embeddings,
        "next_token_logits": torch.stack(logits),
    }, generations  # fmt: skip


def write_case(name: str, case: dict) -> None:
    """Writes golden/<name>/: the checkpoint, expected.json and expected.safetensors."""

    def attempt() -> tuple[Blip2ForConditionalGeneration, tuple[dict[str, Tensor], list[dict]]]:
        model = build_model(case)
        return model, expectations(model, case)

    seed, (model, (tensors, generations)) = find_seed(name, attempt)
    folder = empty_folder(name)
    model.to(case["dtype"]).save_pretrained(folder / "checkpoint", max_shard_size=case["shard"])
    check_reload(folder / "checkpoint", tensors, generations, case)
    word_tokenizer(case["text"]["vocab_size"]).save(str(folder / "checkpoint" / "tokenizer.json"))
    write_tensors(folder / "expected.safetensors", tensors)
    expected = {"seed": seed, "beams": BEAMS, "max_new_tokens": NEW_TOKENS, "generations": generations}
    write_json(folder / "expected.json", expected)
    print(f"{name}: seed {seed}, lengths {[len(g['greedy']) for g in generations]}")


@torch.no_grad()
def check_reload(checkpoint: Path, tensors: dict[str, Tensor], generations: list[dict], case: dict) -> None:
    """What was stored writes what was measured, so that a head of its own was stored too."""
    model = Blip2ForConditionalGeneration.from_pretrained(checkpoint, dtype=torch.float32).eval()
    g, image = generations[-1], generations[-1]["image"]
    ids = [case["text"]["vocab_size"] - 1] * case["queries"] + g["prompt"]
    texts, _ = generate(model, tensors["pixel_values"][image : image + 1], ids)
    if texts != [g["greedy"]]:
        raise RuntimeError(f"{checkpoint} writes {texts} instead of {g['greedy']}")


if __name__ == "__main__":
    for case_name, case_spec in CASES.items():
        write_case(case_name, case_spec)
