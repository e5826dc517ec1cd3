"""Small random models for the golden files: weights, their float64 copy, a tokenizer, and the search for a seed.

Weights are scaled so that logits are far from flat; biases and layer norms are random.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import Blip2ForConditionalGeneration

SEEDS = 300

Result = TypeVar("Result")


class UnsuitableError(ValueError):
    """What a seed gives is no good expectation: it hangs on rounding, or says little."""


def random_values(name: str, tensor: Tensor) -> Tensor:
    """Values for the parameter `name`, of the tensor's shape."""
    noise = torch.randn(tensor.shape)
    if "norm" in name.lower():
        return (1 + 0.3 * noise) if name.endswith("weight") else 0.2 * noise
    if name.endswith("bias"):
        return 0.2 * noise
    if "embed" in name or "query_tokens" in name:
        return 0.4 * noise
    # Attention that is far from even, so that a greedy text does not settle on one token.
    gain = 3 if "language_model" in name else 1.5
    return gain * noise / tensor[0].numel() ** 0.5


def in_float64(model: Blip2ForConditionalGeneration) -> Blip2ForConditionalGeneration:
    """A copy that computes in float64; a T5 head of its own stays its own."""
    copy = type(model)(model.config).eval().double()
    language, copied = model.language_model, copy.language_model
    if language.lm_head.weight is not language.get_input_embeddings().weight:
        copied.lm_head.weight = torch.nn.Parameter(language.lm_head.weight.double().clone())
    copy.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
    return copy


def word_tokenizer(vocab_size: int) -> Tokenizer:
    """One word for each id: `w0`, `w1`, …; any other word is `w3`."""
    words = {f"w{i}": i for i in range(vocab_size)}
    return Tokenizer(models.WordLevel(words, unk_token="w3"))


def find_seed(name: str, attempt: Callable[[], Result]) -> tuple[int, Result]:
    """The first seed whose attempt is not an UnsuitableError, and what it gave."""
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        try:
            return seed, attempt()
        except UnsuitableError as reason:
            print(f"{name}: seed {seed} will not do, {reason}")
    raise RuntimeError(f"{name}: no seed will do")
