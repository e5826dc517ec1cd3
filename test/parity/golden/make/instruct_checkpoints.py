"""Writes a small random InstructBLIP checkpoint on FlanT5, and what transformers makes of images and instructions.

    python test/parity/golden/make/instruct_checkpoints.py     # writes test/parity/golden/instruct-t5

Needs the tokenizers of tokenizer_corpus.py. The checkpoint is a folder as `save_pretrained` of model and processor
writes it. Ids come from the processor, which gives both tokenizers the same text; the Q-Former's has words that were
added. Texts come from `generate`; a seed will do only if fp32 and fp64 write the same.
"""

from __future__ import annotations

import gzip
import json
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
from random_models import UnsuitableError, find_seed, in_float64
from scene_images import pixel_values
from t5_checkpoints import EOS, randomize

NAME = "instruct-t5"
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

CASE = dict(
    dtype=torch.float16, queries=5, own_head=True,
    vision=dict(hidden_size=30, intermediate_size=38, num_hidden_layers=1, num_attention_heads=3,
                image_size=28, patch_size=7),
    qformer=dict(hidden_size=28, intermediate_size=34, num_hidden_layers=4, num_attention_heads=2,
                 cross_attention_frequency=2, max_position_embeddings=120),
    text=dict(vocab_size=348, d_model=34, d_kv=11, d_ff=46, num_layers=2, num_heads=3,
              relative_attention_num_buckets=12, relative_attention_max_distance=30,
              feed_forward_proj="gated-gelu", dense_act_fn="gelu", tie_word_embeddings=False),
)  # fmt: skip

Model = InstructBlipForConditionalGeneration


def corpus_tokenizer(kind: str) -> dict:
    """The contents of tokenizer.json of the corpus' tokenizer `t5` or `bert`."""
    return json.loads(gzip.decompress((GOLDEN / "tokenizers" / f"{kind}.json.gz").read_bytes()))


def build_processor() -> InstructBlipProcessor:
    """A processor whose Q-Former tokenizer has the token [DEC], as the published ones, and two words of a fine-tune."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(corpus_tokenizer("t5"))),
        eos_token="</s>", pad_token="<pad>", unk_token="<unk>", truncation_side="left",
    )  # fmt: skip
    qformer_tokenizer = BertTokenizer(
        vocab=corpus_tokenizer("bert")["model"]["vocab"], do_lower_case=True, truncation_side="left"
    )
    qformer_tokenizer.add_special_tokens({"bos_token": "[DEC]"})
    qformer_tokenizer.add_tokens(WORDS)
    side = CASE["vision"]["image_size"]
    images = BlipImageProcessorPil(size={"height": side, "width": side})
    return InstructBlipProcessor(images, tokenizer, qformer_tokenizer, num_query_tokens=CASE["queries"])


def build_model(processor: InstructBlipProcessor) -> Model:
    """A random model in fp32, whose weights are rounded to the type that they are stored in."""
    config = InstructBlipConfig(
        vision_config=CASE["vision"],
        qformer_config={
            **CASE["qformer"],
            "encoder_hidden_size": CASE["vision"]["hidden_size"],
            "vocab_size": len(processor.qformer_tokenizer),
        },
        text_config={**CASE["text"], "model_type": "t5", "decoder_start_token_id": 0, "eos_token_id": EOS},
        num_query_tokens=CASE["queries"],
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
    )
    return randomize(Model(config).eval(), CASE)


def inputs_for(processor: InstructBlipProcessor, texts: list[str], pixels: Tensor) -> dict[str, Tensor]:
    """What the model gets for texts about one image each; the processor's own pixels are torchvision's."""
    side = CASE["vision"]["image_size"]
    blank = torch.zeros(len(texts), 3, side, side)
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
    return model.generate(**typed, do_sample=False, max_new_tokens=NEW_TOKENS, **settings)[0, 1:].tolist()


def reply_to_all(model: Model, processor: InstructBlipProcessor) -> tuple[list[dict], dict[str, Tensor]]:
    """Texts for every image and prompt, greedy and by beam search, and the query embeddings of each pair."""
    side, image_token = CASE["vision"]["image_size"], model.config.image_token_index
    prompts = {text: {"prompt": text} for text in CAPTIONS}
    prompts |= {f"Question: {text} Short answer:": {"question": text} for text in QUESTIONS}
    precise = in_float64(model)
    replies, rows, features = [], [], []
    for name in IMAGES:
        pixels = pixel_values(name, side)
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
                    "input_ids": inputs["input_ids"][0, CASE["queries"] :].tolist(),
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
    inputs = inputs_for(processor, [reply["prompt"]], pixel_values(reply["image"], CASE["vision"]["image_size"]))
    if inputs["qformer_input_ids"][0].tolist() != reply["instruction_ids"]:
        raise RuntimeError(f"{checkpoint} reads {inputs['qformer_input_ids']}")
    if generate(model, inputs) != reply["ids"]:
        raise RuntimeError(f"{checkpoint} does not write {reply['ids']}")


def main() -> None:
    """Writes golden/instruct-t5/: the checkpoint, expected.json and expected.safetensors."""
    processor = build_processor()

    def attempt() -> tuple[Model, tuple[list[dict], dict[str, Tensor]]]:
        model = build_model(processor)
        return model, reply_to_all(model, processor)

    seed, (model, (replies, tensors)) = find_seed(NAME, attempt)
    folder = empty_folder(NAME)
    model.to(CASE["dtype"]).save_pretrained(folder / "checkpoint")
    processor.save_pretrained(folder / "checkpoint")
    check_reload(folder / "checkpoint", replies[4])
    write_tensors(folder / "expected.safetensors", tensors)
    write_json(folder / "expected.json", {"max_tokens": NEW_TOKENS, "images": IMAGES, "replies": replies})
    print(NAME, "seed", seed, [reply["text"] for reply in replies][:6])


if __name__ == "__main__":
    main()
