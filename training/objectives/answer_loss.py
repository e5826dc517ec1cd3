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
    mask = torch.ones(rows, context.shape[1] + texts.ids.shape[1], dtype=torch.long)
    embedded = decoder.embed_tokens(texts.ids).to(context.dtype)
    return decoder(inputs_embeds=embedded, past_key_values=cache, attention_mask=mask, use_cache=True).last_hidden_state


def answer_loss(
    model: OPTForCausalLM, hidden: Tensor, texts: TextBatch, length_power: float = 0.5, prompt_share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Mean next-token loss, and which texts are exact, from the hidden states [B * K, T, 192].

    The loss is over the answers and a random share of the prompts' tokens. An answer of n tokens weighs
    n ** (1 - length_power), or `yes` and `no` would drown among lists and captions.
    Exact, bool [B * K]: greedy decoding would write the answer (teacher forcing agrees with it until the first slip).
    """
    targets, answer = texts.ids[:, 1:], texts.answer[:, 1:]
    chosen = answer | ((targets != PAD) & (torch.rand(targets.shape) < prompt_share))
    logits = model.lm_head(hidden[:, :-1][chosen])
    correct = torch.ones_like(answer)
    correct[chosen] = logits.argmax(-1) == targets[chosen]
    losses = F.cross_entropy(logits.float(), targets[chosen], reduction="none")
    lengths = answer.sum(1, keepdim=True).expand_as(answer)[chosen].float()
    weight = torch.where(answer[chosen], lengths**-length_power, 0.1 * lengths**-length_power)
    return (losses * weight).sum() / weight.sum(), (correct | ~answer).all(1)


def add_noise(context: Tensor, amount: float) -> Tensor:
    """The context [B, 32, 192] scaled at random, with noise relative to its embeddings: queries are never exact."""
    scale = 1 + 0.3 * (torch.rand(context.shape[0], 1, 1) * 2 - 1)
    strength = torch.rand(context.shape[0], 1, 1) * amount
    largest = context.detach().float().pow(2).mean(-1).sqrt().amax(1)[:, None, None]
    return context * scale + torch.randn_like(context) * strength * largest
