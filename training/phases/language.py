"""Phase *language*: the small OPT learns to read facts at the image positions; afterwards it stays frozen.

It reads text only. The 32 positions that will hold projected queries hold the scene's facts, as words or as
sums of word embeddings, noisy and scattered, so that stage 2 only has to bring the queries into this form.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator

import torch
from torch import Tensor
from transformers import OPTForCausalLM

from training.architecture import QUERIES, language_config
from training.data.decoder_texts import PAD, TextBatch, text_batch
from training.data.grammar import fact_list
from training.data.scenes import Scene, draw_scene
from training.data.tokenization import encode, newline_id, opt_tokenizer
from training.export.checkpoints import load, load_snapshot
from training.objectives.answer_loss import add_noise, answer_loss, text_hidden_states
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.phase_log import PhaseLog

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
    """Two heads of the first two layers start with equal query and key projections: a word attends to itself.

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


def frozen_decoder() -> OPTForCausalLM:
    """The trained decoder in bf16: that of the snapshot, or of the exported *generate* where there is none."""
    model = build()
    snapshot = load_snapshot("language")
    model.load_state_dict(snapshot or load("generate").language_model.state_dict())
    return model.requires_grad_(False).eval().bfloat16()


def context_ids(scene: Scene, rng: random.Random) -> Tensor:
    """Token ids int64 [32, 3] whose embeddings, summed over the last axis, stand for the facts of a scene.

    Seven times in ten each fact has one position (its words summed), else each word has its own.
    """
    groups = [[encode(f" {w}")[0] for w in g] for g in fact_list(scene)]
    if rng.random() < 0.7:
        rng.shuffle(groups)
    if rng.random() < 0.3:
        groups = [[w] for g in groups for w in g]
    positions = sorted(rng.sample(range(QUERIES), len(groups)))
    ids = torch.full((QUERIES, 3), PAD)
    for position, group in zip(positions, groups, strict=True):
        ids[position, : len(group)] = torch.tensor(group)
    return ids


class LanguageStream(torch.utils.data.IterableDataset):
    """Endless (context ids [B, 32, 3], texts) of training scenes; of held-out ones for the seed `evaluation`."""

    def __init__(self, seed: int | str, start: int) -> None:
        self.seed, self.start = seed, start

    def __iter__(self) -> Iterator[tuple[Tensor, TextBatch]]:
        step = self.start
        while True:
            rng = random.Random(f"{self.seed}:{step}")
            scenes = [draw_scene(rng, held_out=self.seed == "evaluation") for _ in range(BATCH)]
            yield torch.stack([context_ids(s, rng) for s in scenes]), text_batch(scenes, rng)
            step += 1


@torch.no_grad()
def measure(model: OPTForCausalLM, batches: int = 4) -> dict[str, float]:
    """Share of exact answers by type of text, reading the true facts of held-out compositions."""
    exact: dict[str, list[float]] = defaultdict(list)
    stream = iter(LanguageStream("evaluation", 0))
    for _ in range(batches):
        ids, texts = next(stream)
        with torch.autocast("cpu", torch.bfloat16):
            context = model.model.decoder.embed_tokens(ids).sum(2)
            _, good = answer_loss(model, text_hidden_states(model, context, texts), texts)
        for kind, ok in zip(texts.types, good.tolist(), strict=True):
            exact[kind].append(ok)
            exact["all"].append(ok)
    return {k: sum(v) / len(v) for k, v in exact.items()}


def train(budget_s: float, from_exported: bool = False, muon_lr: float = 0.008, adam_lr: float = 1.5e-3) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *generate* if there is no snapshot."""
    phase = PhaseLog("language", budget_s)
    model = build()
    optimizers = build_optimizers({"language": model}, muon_lr, adam_lr)
    if state := phase.load():
        model.load_state_dict(state["model"])
        optimizers.load_state_dict(state["optimizers"])
    elif from_exported:
        model.load_state_dict(load("generate").language_model.state_dict())
    stream = LanguageStream(SEED, phase.step)
    loader = iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=8))
    schedule, saved = Schedule(100, budget_s, 0.4), phase.spent_s
    while not phase.is_over:
        ids, texts = next(loader)
        optimizers.set_scale(schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            context = add_noise(model.model.decoder.embed_tokens(ids).sum(2), 0.4)
            loss, good = answer_loss(model, text_hidden_states(model, context, texts), texts, 1.0, 0.05)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizers.step()
        phase.tick(loss=loss.item())
        if phase.step % 50 == 0:
            phase.log(loss=loss.item(), exact=good.float().mean().item())
        if phase.step % 300 == 0:
            phase.log(**measure(model))
        if phase.spent_s - saved > 120:
            phase.save({"model": model.state_dict(), "optimizers": optimizers.state_dict()})
            saved = phase.spent_s
    phase.save({"model": model.state_dict(), "optimizers": optimizers.state_dict()})
    phase.log(**measure(model, 10))
