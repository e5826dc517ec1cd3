"""Writes small random InstructBLIP checkpoints, and what transformers makes of images and instructions.

    python test/parity/golden/make/instruct_checkpoints.py [case …]     # writes golden/<case>/, by default of all

Needs the tokenizers of tokenizer_corpus.py. A checkpoint is a folder as `save_pretrained` of model and processor writes
it. Ids come from the processor, which gives both tokenizers the same text; the Q-Former's has words that were
added. Texts come from `generate`; a seed will do only if fp32 and fp64 write the same.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import (
    BertTokenizer,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    PreTrainedTokenizerFast,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from golden_files import GOLDEN, empty_folder, write_json, write_tensors
from opt_checkpoints import randomize as randomize_opt
from random_models import UnsuitableError, find_seed, in_float64
from scene_images import pixel_values
from t5_checkpoints import randomize as randomize_t5

IMAGES = ["single-noto-00.webp", "pair-twemoji-03.webp"]
CAPTIONS = [
    "Write a short description for the image.",
    "a",
    "describe the <region> of the Zebra crossing",
    "Naïve 日本 café? 👩‍👩‍👧",
    " ".join(f"where is the {word} of the {word}s?" for word in "dog cat car tree".split()),
]
QUESTIONS = ["what is this?", "is there a dog to the left of the car?"]
WORDS = ["<region>", "zebra crossing"]
NEW_TOKENS = 10
BEAMS = {"num_beams": 3}

SIDE, QUERIES = 28, 5
COMMON = dict(
    dtype=torch.float16,
    vision=dict(hidden_size=30, intermediate_size=38, num_hidden_layers=1, num_attention_heads=3,
                image_size=SIDE, patch_size=7),
    qformer=dict(hidden_size=28, intermediate_size=34, num_hidden_layers=4, num_attention_heads=2,
                 cross_attention_frequency=2, max_position_embeddings=120),
)  # fmt: skip
CASES = {
    "instruct-t5": dict(
        **COMMON, kind="t5", randomize=randomize_t5, own_head=True, template="Question: {} Short answer:",
        text=dict(vocab_size=348, d_model=34, d_kv=11, d_ff=46, num_layers=2, num_heads=3,
                  relative_attention_num_buckets=12, relative_attention_max_distance=30,
                  feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False,
                  decoder_start_token_id=0, eos_token_id=1),
        roles=dict(eos_token="</s>", pad_token="<pad>", unk_token="<unk>"),
    ),
    "instruct-opt": dict(
        **COMMON, kind="opt", randomize=randomize_opt, tied=True, template="Question: {} Answer:",
        text=dict(vocab_size=902, hidden_size=36, word_embed_proj_dim=36, ffn_dim=50, num_hidden_layers=2,
                  num_attention_heads=3, max_position_embeddings=200, eos_token_id=3),
        roles=dict(bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"),
    ),
}  # fmt: skip

Model = InstructBlipForConditionalGeneration


def corpus_tokenizer(kind: str) -> dict:
    """The contents of tokenizer.json of the corpus' tokenizer `t5` or `bert`."""
    return json.loads(gzip.decompress((GOLDEN / "tokenizers" / f"{kind}.json.gz").read_bytes()))


def build_processor(case: dict) -> InstructBlipProcessor:
    """A processor whose Q-Former tokenizer has the token [DEC], as the published ones, and two words of a fine-tune."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(corpus_tokenizer(case["kind"]))),
        truncation_side="left",
        **case["roles"],
    )
    qformer_tokenizer = BertTokenizer(
        vocab=corpus_tokenizer("bert")["model"]["vocab"], do_lower_case=True, truncation_side="left"
    )
    qformer_tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    qformer_tokenizer.add_tokens(WORDS)
    images = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return InstructBlipProcessor(images, tokenizer, qformer_tokenizer, num_query_tokens=QUERIES)


def build_model(case: dict, processor: InstructBlipProcessor) -> Model:
    """A random model in fp32, whose weights are rounded to the type that they are stored in."""
    config = InstructBlipConfig(
        vision_config=case["vision"],
        qformer_config={
            **case["qformer"],
            "encoder_hidden_size": case["vision"]["hidden_size"],
            "vocab_size": len(processor.qformer_tokenizer),
        },
        text_config={**case["text"], "model_type": case["kind"]},
        num_query_tokens=QUERIES,
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
    )
    return case["randomize"](Model(config).eval(), case)


def inputs_for(processor: InstructBlipProcessor, texts: list[str], pixels: Tensor) -> dict[str, Tensor]:
    """What the model gets for texts about one image each; the processor's own pixels are torchvision's."""
    blank = torch.zeros(len(texts), 3, SIDE, SIDE)
    inputs = processor(images=list(blank), text=texts, padding=True, return_tensors="pt", do_rescale=False)
    return {**inputs, "pixel_values": pixels.expand(len(texts), -1, -1, -1)}


@torch.no_grad()
def query_embeddings(model: Model, inputs: dict[str, Tensor]) -> Tensor:
    """Query embeddings [texts, queries, hidden]."""
    out = model.get_image_features(
        pixel_values=inputs["pixel_values"],
        qformer_input_ids=inputs["qformer_input_ids"],
        qformer_attention_mask=inputs["qformer_attention_mask"],
    )
    return out.qformer_outputs.last_hidden_state[:, : model.config.num_query_tokens]


@torch.no_grad()
def generate(model: Model, inputs: dict[str, Tensor], **settings: int) -> list[int]:
    """The new tokens of the best sequence."""
    typed = {**inputs, "pixel_values": inputs["pixel_values"].to(model.dtype)}
    out = model.generate(**typed, do_sample=False, max_new_tokens=NEW_TOKENS, **settings)[0].tolist()
    # T5's begins with its start token, OPT's with the prompt.
    return out[1:] if model.config.text_config.is_encoder_decoder else out[inputs["input_ids"].shape[1] :]


def reply_to_all(model: Model, processor: InstructBlipProcessor, template: str) -> tuple[list[dict], dict[str, Tensor]]:
    """Texts for every image and prompt, greedy and by beam search, and the query embeddings of each pair."""
    image_token = model.config.image_token_index
    prompts = {text: {"prompt": text} for text in CAPTIONS}
    prompts |= {template.format(text): {"question": text} for text in QUESTIONS}
    precise = in_float64(model)
    replies, rows, features = [], [], []
    for name in IMAGES:
        pixels = pixel_values(name, SIDE)
        features.append(model.vision_model(pixels).last_hidden_state.detach())
        alone = []
        for text, fields in prompts.items():
            inputs = inputs_for(processor, [text], pixels)
            alone.append(query_embeddings(model, inputs))
            for settings in ({}, BEAMS):
                ids = generate(model, inputs, **settings)
                if ids != generate(precise, inputs, **settings):
                    raise UnsuitableError("the texts hang on rounding")
                if image_token in ids:
                    raise UnsuitableError("an image token was written")
                written = processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
                replies.append({
                    "image": name, **fields, "settings": settings, "ids": ids, "text": written,
                    "input_ids": inputs["input_ids"][0, QUERIES:].tolist(),
                    "instruction_ids": inputs["qformer_input_ids"][0].tolist(),
                })  # fmt: skip
        if len({tuple(reply["ids"]) for reply in replies}) < len(replies) // 3:
            raise UnsuitableError("instructions make no difference")
        together = query_embeddings(model, inputs_for(processor, list(prompts), pixels))
        rows.append(torch.cat(alone))
        torch.testing.assert_close(together, rows[-1], atol=1e-5, rtol=0)
    return replies, {"image_features": torch.cat(features), "query_embeddings": torch.stack(rows)}


@torch.no_grad()
def check_reload(checkpoint: Path, reply: dict) -> None:
    """What was stored reads and writes what was measured."""
    model = Model.from_pretrained(checkpoint, dtype=torch.float32).eval()
    processor = InstructBlipProcessor.from_pretrained(checkpoint)
    inputs = inputs_for(processor, [reply["prompt"]], pixel_values(reply["image"], SIDE))
    if inputs["qformer_input_ids"][0].tolist() != reply["instruction_ids"]:
        raise RuntimeError(f"{checkpoint} reads {inputs['qformer_input_ids']}")
    if generate(model, inputs) != reply["ids"]:
        raise RuntimeError(f"{checkpoint} does not write {reply['ids']}")


def write_case(name: str, case: dict) -> None:
    """Writes golden/<name>/: the checkpoint, expected.json and expected.safetensors."""
    processor = build_processor(case)

    def attempt() -> tuple[Model, tuple[list[dict], dict[str, Tensor]]]:
        model = build_model(case, processor)
        return model, reply_to_all(model, processor, case["template"])

    seed, (model, (replies, tensors)) = find_seed(name, attempt)
    folder = empty_folder(name)
    model.to(case["dtype"]).save_pretrained(folder / "checkpoint")
    processor.save_pretrained(folder / "checkpoint")
    check_reload(folder / "checkpoint", replies[4])
    write_tensors(folder / "expected.safetensors", tensors)
    write_json(folder / "expected.json", {"max_tokens": NEW_TOKENS, "images": IMAGES, "replies": replies})
    print(name, "seed", seed, [reply["text"] for reply in replies][:6])


if __name__ == "__main__":
    for case_name in sys.argv[1:] or CASES:
        write_case(case_name, CASES[case_name])
