"""Phase *export*: writes the two checkpoints in Hugging Face's format, atomically."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import torch
from transformers import (
    Blip2ForConditionalGeneration,
    Blip2ForImageTextRetrieval,
    BlipImageProcessor,
    GenerationConfig,
)

from training.export.model_card import model_card
from training.architecture import QUERIES, checkpoint_config
from training.data.tokenization import IMAGE, bert_fast, bert_tokenizer, newline_id, opt_fast, opt_tokenizer, save_plain
from training.data.vocab import CACHE, CHECKPOINTS, IMAGE_SIDE

MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


def new_generate() -> Blip2ForConditionalGeneration:
    """*generate* with random weights."""
    torch.manual_seed(0)
    opt = opt_tokenizer()
    config = checkpoint_config(
        opt.get_vocab_size(), newline_id(), opt.token_to_id(IMAGE), bert_tokenizer().get_vocab_size(), with_text=False
    )
    config.architectures = ["Blip2ForConditionalGeneration"]
    return Blip2ForConditionalGeneration(config)


def new_retrieve() -> Blip2ForImageTextRetrieval:
    """*retrieve* with random weights."""
    torch.manual_seed(0)
    opt = opt_tokenizer()
    bert = bert_tokenizer()
    config = checkpoint_config(
        opt.get_vocab_size(), newline_id(), bert.token_to_id(IMAGE), bert.get_vocab_size(), with_text=True
    )
    config.architectures = ["Blip2ForImageTextRetrieval"]
    return Blip2ForImageTextRetrieval(config)


def _write_processor(folder: Path, kind: str) -> None:
    image = BlipImageProcessor(
        size={"height": IMAGE_SIDE, "width": IMAGE_SIDE}, resample=3, do_convert_rgb=True, do_rescale=True,
        rescale_factor=1 / 255, do_normalize=True, image_mean=MEAN, image_std=STD,
    )  # fmt: skip
    image.save_pretrained(folder)
    values = json.loads((folder / "preprocessor_config.json").read_text())
    values["processor_class"] = "Blip2Processor"
    (folder / "preprocessor_config.json").write_text(json.dumps(values, indent=2) + "\n")
    (folder / "processor_config.json").write_text(
        json.dumps({"num_query_tokens": QUERIES, "processor_class": "Blip2Processor"}, indent=2) + "\n"
    )
    fast, plain = (opt_fast(), opt_tokenizer()) if kind == "generate" else (bert_fast(), bert_tokenizer())
    fast.save_pretrained(folder)
    save_plain(folder, plain)


def write(kind: str, model: torch.nn.Module, results: dict | None = None) -> Path:
    """Replaces gpu-worker/checkpoints/<kind> by the model's weights in fp16, with its processor and card."""
    target = CHECKPOINTS / kind
    part, old = target.with_name(f".{kind}.part"), target.with_name(f".{kind}.old")
    for folder in (part, old):
        shutil.rmtree(folder, ignore_errors=True)
    part.mkdir(parents=True)
    half = type(model)(model.config).half()
    half.load_state_dict(model.state_dict())
    newline = newline_id()
    if kind == "generate":
        half.generation_config = GenerationConfig(
            bos_token_id=2, eos_token_id=newline, pad_token_id=1, max_new_tokens=32, do_sample=False
        )
    half.save_pretrained(part)
    (part / "model.safetensors").chmod(0o644)
    _write_processor(part, kind)
    (part / "README.md").write_text(model_card(kind, results))
    if target.exists():
        os.replace(target, old)
    os.replace(part, target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def load(kind: str) -> torch.nn.Module:
    """An exported checkpoint in fp32."""
    cls = Blip2ForConditionalGeneration if kind == "generate" else Blip2ForImageTextRetrieval
    return cls.from_pretrained(CHECKPOINTS / kind, dtype=torch.float32)


def _cached(phase: str) -> dict[str, torch.Tensor] | None:
    path = CACHE / f"{phase}.pt"
    return torch.load(path, weights_only=True)["model"] if path.exists() else None


def _fill(module: torch.nn.Module, state: dict[str, torch.Tensor] | None) -> None:
    """Puts a phase's weights into a model whose parts bear the same names; others stay."""
    if state:
        own = module.state_dict()
        module.load_state_dict(own | {k: v for k, v in state.items() if k in own})


def assemble(kind: str) -> torch.nn.Module:
    """A checkpoint of the phases that are in the cache, on top of what was exported before."""
    exported = (CHECKPOINTS / kind / "model.safetensors").exists()
    model = load(kind) if exported else (new_generate() if kind == "generate" else new_retrieve())
    _fill(model.vision_model, _cached("vision"))
    if kind == "generate":
        _fill(model.language_model, _cached("language"))
        _fill(model, _cached("stage2"))
    else:
        _fill(model, _cached("stage1"))
    return model


def export(results: dict | None = None) -> None:
    """Writes both checkpoints."""
    for kind in ("generate", "retrieve"):
        print(write(kind, assemble(kind), (results or {}).get(kind)))
