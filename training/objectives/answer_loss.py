"""The decoder's objective: the next token of answers, written after the 32 image positions of a scene."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache, OPTForCausalLM

from training.data.decoder_texts import PAD, TextBatch


def text_hidden_states(model: OPTForCausalLM, context: Tensor, texts: TextBatch) -> Tensor:
    """Hidden states [B * K, T, 192] of K texts after the context [B, 32, 192] of their scene.

    The context is prefilled once for each scene and its KV cache repeated for the texts.
    """
    rows = texts.ids.shape[0]
    decoder = model.model.decoder
    context = context.to(decoder.embed_tokens.weight.dtype)
    cache = DynamicCache(config=model.config)
    decoder(inputs_embeds=context, past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(rows // context.shape[0])
    size = context.shape[1] + texts.ids.shape[1]
    mask = torch.ones(rows, size, dtype=torch.long, device=context.device)
    embedded = decoder.embed_tokens(texts.ids.to(context.device)).to(context.dtype)
    return decoder(inputs_embeds=embedded, past_key_values=cache, attention_mask=mask, use_cache=True).last_hidden_state


def answer_loss(
    model: OPTForCausalLM, hidden: Tensor, texts: TextBatch, length_power: float = 0.5, prompt_share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean next-token loss, and which texts are exact, from the hidden states [B * K, T, 192].

    The loss is over the answers and a random share of the prompts' tokens. An answer of n tokens weighs
    n ** (1 - length_power), or `yes` and `no` would drown among lists and captions.
    Exact, bool [B * K]: greedy decoding would write the answer (teacher forcing agrees with it until the first slip).
    `texts` may be on the CPU: what is chosen there needs no wait for the device.
    """
    targets, answer = texts.ids[:, 1:], texts.answer[:, 1:]
    chosen = answer | ((targets != PAD) & (torch.rand(targets.shape) < prompt_share))
    row, column = chosen.nonzero(as_tuple=True)
    wanted, counted = targets[row, column], answer[row, column]
    lengths = answer.sum(1)[row].clamp(min=1).float()
    weight = torch.where(counted, 1.0, 0.1) * lengths**-length_power
    at = row * texts.ids.shape[1] + column
    at, row, wanted, counted, weight = (t.to(hidden.device) for t in (at, row, wanted, counted, weight))
    logits = model.lm_head(hidden.flatten(0, 1)[at])
    losses = F.cross_entropy(logits.float(), wanted, reduction="none")
    slips = ((logits.argmax(-1) != wanted) & counted).float()
    exact = torch.zeros(len(texts.ids), device=hidden.device).index_add(0, row, slips) == 0
    return (losses * weight).sum() / weight.sum(), exact


def add_noise(context: Tensor, amount: float) -> Tensor:
    """The context [B, 32, 192] scaled at random, with noise relative to its embeddings: queries are never exact."""
    scale = 1 + 0.3 * (torch.rand(context.shape[0], 1, 1, device=context.device) * 2 - 1)
    strength = torch.rand(context.shape[0], 1, 1, device=context.device) * amount
    largest = context.detach().float().pow(2).mean(-1).sqrt().amax(1)[:, None, None]
    return context * scale + torch.randn_like(context) * strength * largest
