"""Phase *language*: the small OPT learns to read facts at the image positions; afterwards it stays frozen.

It reads text only. The 32 positions that will hold projected queries hold the scene's facts, as words or as
sums of word embeddings, noisy and scattered, so that stage 2 only has to bring the queries into this form.
"""

from __future__ import annotations

import random
from collections import defaultdict

import torch
from torch import Tensor
from transformers import OPTForCausalLM

from training.architecture import QUERIES, language_config
from training.data.decoder_texts import PAD, TextBatch, text_batch
from training.data.grammar import fact_list
from training.data.scenes import Scene, draw_scene
from training.data.streams import Stream
from training.data.tokenization import encode, newline_id, opt_tokenizer
from training.export.checkpoints import load, load_snapshot
from training.machine import Machine
from training.objectives.answer_loss import add_noise, answer_loss, text_hidden_states
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.phase_log import open_phase

SEED = 2


def build(machine: Machine) -> OPTForCausalLM:
    """A fresh decoder; `<pad>` embeds to zero, which is what an empty image position holds."""
    torch.manual_seed(SEED)
    config = language_config(opt_tokenizer().get_vocab_size(), newline_id())
    config._attn_implementation = machine.attention
    model = OPTForCausalLM(config)
    with torch.no_grad():
        model.model.decoder.embed_tokens.weight[PAD].zero_()
    tie_matching_heads(model)
    return model.to(machine.device)


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


def frozen_decoder(machine: Machine) -> OPTForCausalLM:
    """The trained decoder in bf16: that of the snapshot, or of the exported *generate* where there is none."""
    model = build(machine)
    snapshot = load_snapshot("language")
    model.load_state_dict(snapshot or load("generate").language_model.state_dict())
    return model.requires_grad_(False).eval().bfloat16()


def context_ids(scene: Scene, rng: random.Random) -> list[list[int]]:
    """32 lists of 3 token ids whose embeddings, summed over each list, stand for the facts of a scene.

    Seven times in ten each fact has one position (its words summed), else each word has its own.
    """
    groups = [[encode(f" {w}")[0] for w in g] for g in fact_list(scene)]
    if rng.random() < 0.7:
        rng.shuffle(groups)
    if rng.random() < 0.3:
        groups = [[w] for g in groups for w in g]
    positions = sorted(rng.sample(range(QUERIES), len(groups)))
    ids = [[PAD, PAD, PAD] for _ in range(QUERIES)]
    for position, group in zip(positions, groups, strict=True):
        ids[position][: len(group)] = group
    return ids


class LanguageStream(Stream):
    """(context ids int64 [B, 32, 3], texts) of training scenes; of held-out ones for the seed `evaluation`."""

    def batch(self, rng: random.Random) -> tuple[Tensor, TextBatch]:
        """One batch."""
        scenes = [draw_scene(rng, held_out=self.seed == "evaluation") for _ in range(self.size)]
        return torch.tensor([context_ids(s, rng) for s in scenes]), text_batch(scenes, rng)


@torch.no_grad()
def measure(model: OPTForCausalLM, machine: Machine, batches: int) -> dict[str, float]:
    """Share of exact answers by type of text, reading the true facts of held-out compositions."""
    exact: dict[str, list[float]] = defaultdict(list)
    stream = iter(LanguageStream("evaluation", 0, machine.pick(128, 32, 8)))
    for _ in range(batches):
        ids, texts = next(stream)
        with machine.autocast():
            context = model.model.decoder.embed_tokens(ids.to(machine.device)).sum(2)
            _, good = answer_loss(model, text_hidden_states(model, context, texts), texts)
        for kind, ok in zip(texts.types, good.tolist(), strict=True):
            exact[kind].append(ok)
            exact["all"].append(ok)
    return {k: sum(v) / len(v) for k, v in exact.items()}


def train(
    machine: Machine, budget_s: float, from_exported: bool = False, muon_lr: float = 0.008, adam_lr: float = 1.5e-3
) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *generate* if there is no snapshot."""
    phase = open_phase("language", budget_s, machine)
    model = build(machine)
    larger = 1.4 if machine.device == "cuda" else 1.0  # batches are eight times as large
    optimizers = build_optimizers({"language": model}, larger * muon_lr, larger * adam_lr)
    if not phase.resume(model, optimizers) and from_exported:
        model.load_state_dict(load("generate").language_model.state_dict())
    loader = iter(machine.loader(LanguageStream(SEED, phase.step, machine.pick(256, 32, 8))))
    schedule = Schedule(100, budget_s, 0.4)
    ids, texts = next(loader)
    phase.begin()
    while not phase.is_over:
        optimizers.set_scale(schedule.scale(phase.step, phase.spent_s))
        with machine.autocast():
            context = add_noise(model.model.decoder.embed_tokens(ids.to(machine.device)).sum(2), 0.4)
            loss, good = answer_loss(model, text_hidden_states(model, context, texts), texts, 1.0, 0.05)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizers.step()
        phase.tick(images=len(ids), loss=loss, exact=good.float().mean())
        if phase.is_time_to_save:
            phase.log(**measure(model, machine, machine.pick(4, 4, 1)))
            phase.save_training(model, optimizers)
        ids, texts = next(loader)
    phase.save_training(model, optimizers)
    phase.log(**measure(model, machine, machine.pick(12, 10, 2)))
