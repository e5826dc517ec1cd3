"""Phase *export*: reads the two checkpoints, and writes them in the format of Hugging Face, atomically."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from transformers import Blip2Config, Blip2ForConditionalGeneration, Blip2ForImageTextRetrieval, GenerationConfig

from training.architecture import QUERIES, checkpoint_config
from training.data.image_processor import IMAGE_MEAN, IMAGE_SIDE, IMAGE_STD
from training.data.tokenization import (
    IMAGE_TOKEN,
    bert_fast,
    bert_tokenizer,
    newline_id,
    opt_fast,
    opt_tokenizer,
    save_vocabulary_files,
)
from training.export.model_card import model_card
from training.paths import CACHE, CHECKPOINTS

OUTSIDE_TRAINING = "outside_training.json"


def _config(kind: str) -> Blip2Config:
    """The config of a checkpoint."""
    opt, bert = opt_tokenizer(), bert_tokenizer()
    image_token = (opt if kind == "generate" else bert).token_to_id(IMAGE_TOKEN)
    return checkpoint_config(
        opt.get_vocab_size(), newline_id(), image_token, bert.get_vocab_size(), with_text=kind == "retrieve"
    )


def new_generate() -> Blip2ForConditionalGeneration:
    """*generate* with random weights."""
    torch.manual_seed(0)
    config = _config("generate")
    config.architectures = ["Blip2ForConditionalGeneration"]
    return Blip2ForConditionalGeneration(config)


def new_retrieve() -> Blip2ForImageTextRetrieval:
    """*retrieve* with random weights."""
    torch.manual_seed(0)
    config = _config("retrieve")
    config.architectures = ["Blip2ForImageTextRetrieval"]
    return Blip2ForImageTextRetrieval(config)


def write_processor(folder: Path, kind: str) -> None:
    """Writes the configuration of the image processor, and the tokenizer's files."""
    # As `BlipImageProcessor` saves itself: which keys that are depends on what else is installed beside transformers.
    values = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": IMAGE_MEAN,
        "image_processor_type": "BlipImageProcessor",
        "image_std": IMAGE_STD,
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"height": IMAGE_SIDE, "width": IMAGE_SIDE},
        "processor_class": "Blip2Processor",
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(values, indent=2) + "\n")
    (folder / "processor_config.json").write_text(
        json.dumps({"num_query_tokens": QUERIES, "processor_class": "Blip2Processor"}, indent=2) + "\n"
    )
    fast, plain = (opt_fast(), opt_tokenizer()) if kind == "generate" else (bert_fast(), bert_tokenizer())
    fast.save_pretrained(folder)
    save_vocabulary_files(folder, plain)


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights, which a classifier of their embeddings names."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def keep_classifier(before: Path, after: Path) -> None:
    """Takes what phase *outside* made over where the weights are the same."""
    path = before / OUTSIDE_TRAINING
    if path.exists() and json.loads(path.read_text())["weights_sha256"] == weights_digest(after):
        shutil.copy(path, after / OUTSIDE_TRAINING)


def write(kind: str, model: torch.nn.Module, results: dict | None = None) -> Path:
    """Replaces gpu-worker/checkpoints/<kind> by the model's weights in fp16, with its processor and model card."""
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
    write_processor(part, kind)
    (part / "README.md").write_text(model_card(kind, results))
    keep_classifier(target, part)
    if target.exists():
        os.replace(target, old)
    os.replace(part, target)
    shutil.rmtree(old, ignore_errors=True)
    return target


def load(kind: str, folder: Path = CHECKPOINTS) -> torch.nn.Module:
    """An exported checkpoint in fp32."""
    cls = Blip2ForConditionalGeneration if kind == "generate" else Blip2ForImageTextRetrieval
    return cls.from_pretrained(folder / kind, dtype=torch.float32)


def load_snapshot(phase: str) -> dict[str, torch.Tensor] | None:
    """The weights of a phase's snapshot, if there is one."""
    path = CACHE / f"{phase}.pt"
    return torch.load(path, weights_only=True, map_location="cpu")["model"] if path.exists() else None


def _fill(module: torch.nn.Module, state: dict[str, torch.Tensor] | None) -> None:
    """Copies a phase's weights into a model whose parts have the same names; the others stay."""
    if state:
        own = module.state_dict()
        module.load_state_dict(own | {k: v for k, v in state.items() if k in own})


def is_of_this_shape(kind: str) -> bool:
    """Whether there is an exported checkpoint whose weights have the shapes of today's architecture and vocabulary."""
    path = CHECKPOINTS / kind / "config.json"
    if not path.exists():
        return False
    exported = Blip2Config.from_pretrained(path.parent)
    new = _config(kind)
    return all(
        getattr(getattr(exported, part), name) == getattr(getattr(new, part), name)
        for part, name in (
            ("vision_config", "hidden_size"), ("vision_config", "num_hidden_layers"),
            ("qformer_config", "vocab_size"), ("text_config", "vocab_size"),
        )
    )  # fmt: skip


def assemble(kind: str) -> torch.nn.Module:
    """A checkpoint with the weights of all snapshots there are, on top of what was exported before."""
    model = load(kind) if is_of_this_shape(kind) else (new_generate() if kind == "generate" else new_retrieve())
    _fill(model.vision_model, load_snapshot("vision"))
    if kind == "generate":
        _fill(model.language_model, load_snapshot("language"))
        _fill(model, load_snapshot("stage2"))
    else:
        _fill(model, load_snapshot("stage1"))
    return model


def export(results: dict | None = None) -> None:
    """Writes both checkpoints; `results` are the accuracies for their model cards."""
    for kind in ("generate", "retrieve"):
        print(write(kind, assemble(kind), results))
