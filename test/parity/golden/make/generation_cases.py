"""Writes what `generate` of transformers gives for the golden OPT and T5 checkpoints under many settings.

    python test/parity/golden/make/generation_cases.py     # writes test/parity/golden/generation.json

Needs the checkpoints of opt_checkpoints.py and t5_checkpoints.py. Greedy and beam search, penalties, n-gram rule,
least length, several sequences, several end tokens. A setting becomes a case only if fp32 and fp64 write the same
tokens: none of them may hang on rounding.
"""

from __future__ import annotations

import itertools
import json

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import Blip2ForConditionalGeneration

from golden_files import GOLDEN

CHECKPOINTS = ("tied", "untied", "t5")
SETTINGS = [
    dict(max_new_tokens=9),
    dict(max_new_tokens=9, min_new_tokens=4),
    dict(max_new_tokens=14, repetition_penalty=1.4),
    dict(max_new_tokens=14, repetition_penalty=0.7),
    dict(max_new_tokens=14, no_repeat_ngram_size=2),
    dict(max_new_tokens=14, no_repeat_ngram_size=1),
    dict(max_new_tokens=12, num_beams=2),
    dict(max_new_tokens=12, num_beams=4),
    dict(max_new_tokens=12, num_beams=5, num_return_sequences=3),
    dict(max_new_tokens=12, num_beams=3, num_return_sequences=3, length_penalty=-1.0),
    dict(max_new_tokens=12, num_beams=3, length_penalty=2.0, early_stopping="never"),
    dict(max_new_tokens=12, num_beams=3, length_penalty=0.0, early_stopping="never"),
    dict(max_new_tokens=12, num_beams=4, num_return_sequences=4, early_stopping=True),
    dict(max_new_tokens=10, num_beams=3, repetition_penalty=1.3, no_repeat_ngram_size=2),
    dict(max_new_tokens=10, num_beams=3, num_return_sequences=2, min_new_tokens=6),
    dict(max_new_tokens=1, num_beams=3, num_return_sequences=3),
]


@torch.no_grad()
def generate(
    model: Blip2ForConditionalGeneration, pixels: Tensor, ids: list[int], setting: dict, eos: list[int]
) -> tuple[list[list[int]], list[float] | None]:
    """Token ids of each returned sequence, up to its end token, and the sequences' scores in a beam search."""
    out = model.generate(
        pixel_values=pixels.to(model.dtype), input_ids=torch.tensor([ids]), do_sample=False,
        eos_token_id=eos, pad_token_id=model.config.text_config.pad_token_id,
        return_dict_in_generate=True, output_scores=True, **setting,
    )  # fmt: skip
    # OPT continues its prompt; T5's decoder begins with a token of its own.
    given = len(ids) if model.config.text_config.model_type == "opt" else 1
    rows = [row[given:] for row in out.sequences.tolist()]
    texts = [list(itertools.takewhile(lambda token: token not in eos, row)) for row in rows]
    texts = [text[: setting["max_new_tokens"]] for text in texts]
    scores = getattr(out, "sequences_scores", None)
    return texts, None if scores is None else [round(score, 6) for score in scores.tolist()]


def common_tokens(generations: list[dict]) -> list[int]:
    """Two tokens that the checkpoint likes to write: as end tokens they end texts at many lengths."""
    seen: dict[int, int] = {}
    for g in generations:
        for token in g["greedy"][3:]:
            seen[token] = seen.get(token, 0) + 1
    return sorted(seen, key=lambda token: (-seen[token], token))[:2]


def main() -> None:
    """Writes the cases of all checkpoints."""
    cases = []
    for name in CHECKPOINTS:
        folder = GOLDEN / name
        pixels = load_file(folder / "expected.safetensors")["pixel_values"]
        generations = json.loads((folder / "expected.json").read_text())["generations"]
        single = Blip2ForConditionalGeneration.from_pretrained(folder / "checkpoint", dtype=torch.float32).eval()
        double = Blip2ForConditionalGeneration.from_pretrained(folder / "checkpoint", dtype=torch.float64).eval()
        image_token, queries = single.config.image_token_index, single.config.num_query_tokens
        frequent = common_tokens(generations)
        for number, setting in enumerate(SETTINGS):
            for g in generations[number % 2 :: 2]:
                eos = [3] if number % 3 == 0 else frequent[: 1 + number % 2]
                ids = [image_token] * queries + g["prompt"]
                image = pixels[g["image"] : g["image"] + 1]
                texts, scores = generate(single, image, ids, setting, eos)
                if generate(double, image, ids, setting, eos)[0] != texts:
                    continue
                cases.append(
                    dict(checkpoint=name, image=g["image"], prompt=g["prompt"], eos=eos, setting=setting, texts=texts)
                    | ({} if scores is None else {"scores": scores})
                )
    lines = ",\n".join(json.dumps(case) for case in cases)
    (GOLDEN / "generation.json").write_text(f"[\n{lines}\n]\n")
    beams = [c for c in cases if "scores" in c]
    lengths = sorted({len(t) for c in cases for t in c["texts"]})
    print(f"{len(cases)} cases, {len(beams)} of them beam searches; lengths {lengths}")


if __name__ == "__main__":
    main()
