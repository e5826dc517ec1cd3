"""Phase *language*: the small OPT learns to read facts at the image positions; afterwards it stays frozen.

It sees text only. The 32 positions that will hold projected queries hold the scene's facts, as words or as
sums of word embeddings, noisy and scattered, so that stage 2 only has to make the queries speak this way.
"""

from __future__ import annotations

import random
from collections import defaultdict

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import DynamicCache, OPTForCausalLM

from training.data.grammar import listing
from training.architecture import QUERIES, language_config
from training.optim.optimizers import Schedule, optimisers
from training.phases.phase_log import Phase
from training.data.scenes import Scene, draw_scene
from training.data.decoder_texts import PAD, TEXTS, TextBatch, text_batch
from training.data.tokenization import encode, newline_id, opt_tokenizer

BATCH = 32
SEED = 2


def build() -> OPTForCausalLM:
    """A fresh decoder; `<pad>` embeds to zero, which is what an empty image position holds."""
    torch.manual_seed(SEED)
    config = language_config(opt_tokenizer().get_vocab_size(), newline_id())
    config._attn_implementation = "eager"  # torch's fused CPU backward is slower at these lengths
    model = OPTForCausalLM(config)
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight[PAD].zero_()
    tie_matching_heads(model)
    return model


@torch.no_grad()
def tie_matching_heads(model: OPTForCausalLM, gain: float = 1.5) -> None:
    """Two heads of the first two layers start with equal query and key projections: a word looks for itself.

    `is there a dog?` has to find `dog` among the facts; from random heads that took longer than all the rest.
    """
    size = model.config.hidden_size // model.config.num_attention_heads
    for layer in model.model.decoder.layers[:2]:
        attention = layer.self_attn
        for head in range(2):
            rows = slice(head * size, (head + 1) * size)
            projection = torch.nn.init.orthogonal_(torch.empty(size, model.config.hidden_size), gain=gain)
            for part in (attention.q_proj, attention.k_proj):
                part.weight[rows] = projection
                part.bias[rows] = 0


def context_ids(scene: Scene, rng: random.Random) -> Tensor:
    """Token ids int64 [32, 3] whose embeddings, summed over the last axis, tell the facts of a scene.

    Half the time each fact has one position (its words summed), else each word has its own.
    """
    groups = [[encode(f" {w}")[0] for w in g] for g in listing(scene)]
    if rng.random() < 0.7:
        rng.shuffle(groups)
    if rng.random() < 0.3:
        groups = [[w] for g in groups for w in g]
    slots = sorted(rng.sample(range(QUERIES), len(groups)))
    ids = torch.full((QUERIES, 3), PAD)
    for slot, group in zip(slots, groups, strict=True):
        ids[slot, : len(group)] = torch.tensor(group)
    return ids


class LanguageStream(torch.utils.data.IterableDataset):
    """Endless (context ids [B, 32, 3], texts) of training scenes."""

    def __init__(self, seed: int | str, start: int):
        self.seed, self.start = seed, start

    def __iter__(self):
        step = self.start
        while True:
            rng = random.Random(f"{self.seed}:{step}")
            scenes = [draw_scene(rng, held_out=self.seed == "evaluation") for _ in range(BATCH)]
            yield torch.stack([context_ids(s, rng) for s in scenes]), text_batch(scenes, rng)
            step += 1


def text_hidden(model: OPTForCausalLM, context: Tensor, texts: TextBatch) -> Tensor:
    """Hidden states [B * K, T, 192] of the texts after their scene's context [B, 32, 192], read once per scene."""
    rows = texts.ids.shape[0]
    decoder = model.model.decoder
    context = context.to(decoder.embed_tokens.weight.dtype)
    cache = DynamicCache(config=model.config)
    decoder(inputs_embeds=context, past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(rows // context.shape[0])
    mask = torch.ones(rows, context.shape[1] + texts.ids.shape[1], dtype=torch.long)
    embedded = decoder.embed_tokens(texts.ids).to(context.dtype)
    return decoder(inputs_embeds=embedded, past_key_values=cache, attention_mask=mask, use_cache=True).last_hidden_state


def text_loss(
    model: OPTForCausalLM, hidden: Tensor, texts: TextBatch, length_power: float = 0.5, prompt_share: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Next-token loss over the answers and a random share of the prompts' tokens; and which answers are exact.

    An answer of n tokens weighs n ** (1 - length_power), or `yes` and `no` would drown among lists and captions.
    Exact, bool [B * K]: greedy decoding would write it (teacher forcing agrees with it until the first slip).
    """
    targets, answer = texts.ids[:, 1:], texts.answer[:, 1:]
    chosen = answer | ((targets != PAD) & (torch.rand(targets.shape) < prompt_share))
    logits = model.lm_head(hidden[:, :-1][chosen])
    right = torch.ones_like(answer)
    right[chosen] = logits.argmax(-1) == targets[chosen]
    each = F.cross_entropy(logits.float(), targets[chosen], reduction="none")
    lengths = answer.sum(1, keepdim=True).expand_as(answer)[chosen].float()
    weight = torch.where(answer[chosen], lengths**-length_power, 0.1 * lengths**-length_power)
    return (each * weight).sum() / weight.sum(), (right | ~answer).all(1)


def noisy(context: Tensor, amount: float) -> Tensor:
    """Soft inputs are never exact: scales each scene's context and adds noise relative to its embeddings."""
    scale = 1 + 0.3 * (torch.rand(context.shape[0], 1, 1) * 2 - 1)
    strength = torch.rand(context.shape[0], 1, 1) * amount
    filled = context.detach().float().pow(2).mean(-1).sqrt().amax(1)[:, None, None]
    return context * scale + torch.randn_like(context) * strength * filled


@torch.no_grad()
def measure(model: OPTForCausalLM, batches: int = 4) -> dict[str, float]:
    """Exact answers per text type, reading true listings of held-out compositions."""
    right: dict[str, list[float]] = defaultdict(list)
    stream = iter(LanguageStream("evaluation", 0))
    for _ in range(batches):
        ids, texts = next(stream)
        with torch.autocast("cpu", torch.bfloat16):
            context = model.model.decoder.embed_tokens(ids).sum(2)
            _, good = text_loss(model, text_hidden(model, context, texts), texts)
        for kind, ok in zip(texts.types, good.tolist(), strict=True):
            right[kind].append(ok)
            right["all"].append(ok)
    return {k: sum(v) / len(v) for k, v in right.items()}


def train(budget_s: float, exported: bool = False, muon_lr: float = 0.008, adam_lr: float = 1.5e-3) -> None:
    """Trains for the budget, counting earlier runs' time; with `exported` from *generate* if there is no snapshot."""
    phase = Phase("language", budget_s)
    model = build()
    opt = optimisers({"language": model}, muon_lr, adam_lr)
    if state := phase.load():
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["optimiser"])
    elif exported:
        from training.export.checkpoints import load

        model.load_state_dict(load("generate").language_model.state_dict())
    stream = LanguageStream(SEED, phase.step)
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8))
    schedule, saved = Schedule(100, budget_s, 0.4), phase.spent_s
    while not phase.over:
        ids, texts = next(loader)
        opt.set_scale(schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            context = noisy(model.model.decoder.embed_tokens(ids).sum(2), 0.4)
            loss, good = text_loss(model, text_hidden(model, context, texts), texts, 1.0, 0.05)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        opt.step()
        phase.tick(loss=loss.item())
        if phase.step % 50 == 0:
            phase.log(loss=loss.item(), exact=good.float().mean().item())
        if phase.step % 300 == 0:
            phase.log(**measure(model))
        if phase.spent_s - saved > 120:
            phase.save({"model": model.state_dict(), "optimiser": opt.state_dict()})
            saved = phase.spent_s
    phase.save({"model": model.state_dict(), "optimiser": opt.state_dict()})
    phase.log(**measure(model, 10))

