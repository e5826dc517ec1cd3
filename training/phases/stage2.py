"""Phase *stage2*: queries and projection learn to speak to the frozen decoder, by its own loss (paper, section 3.3)."""

from __future__ import annotations

import random
from collections import defaultdict

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerModel, OPTForCausalLM

from training.phases import language
from training.phases.features import Rows
from training.optim.collapse_guard import Guard
from training.phases.language import text_hidden, text_loss
from training.architecture import QUERIES, WIDTH, qformer_config
from training.optim.optimizers import Schedule, optimisers
from training.phases.phase_log import Phase
from training.data.decoder_texts import text_batch
from training.data.tokenization import bert_tokenizer
from training.data.vocab import CACHE

BATCH = 48
SEED = 5
LISTS = 0.4  # writing all facts down asks the queries for all of them at once


class Stage2(nn.Module):
    """The parts of *generate* that learn; names as in Blip2ForConditionalGeneration."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        config = qformer_config(bert_tokenizer().get_vocab_size(), with_text=False)
        config._attn_implementation = "eager"
        self.query_tokens = nn.Parameter(torch.randn(1, QUERIES, WIDTH) * 0.02)
        self.qformer = Blip2QFormerModel(config)
        self.language_projection = nn.Linear(WIDTH, WIDTH)

    def forward(self, image: Tensor) -> Tensor:
        """What the decoder finds at the image positions, [B, 32, 192], from image features [B, 197, 192]."""
        hidden = self.qformer(
            query_embeds=self.query_tokens.expand(len(image), -1, -1), encoder_hidden_states=image
        ).last_hidden_state
        return self.language_projection(hidden)

    def start_from(self, stage1: dict[str, Tensor]) -> None:
        """Takes the query path of stage 1; the text's feed-forward layers stay behind."""
        mine = self.state_dict()
        self.load_state_dict({k: stage1.get(k, v) for k, v in mine.items()})


def frozen_language() -> OPTForCausalLM:
    """The decoder of phase *language*, or of the exported checkpoint when no cache is there."""
    model = language.build()
    snapshot = CACHE / "language.pt"
    if snapshot.exists():
        model.load_state_dict(torch.load(snapshot, weights_only=True)["model"])
    else:
        from training.export.checkpoints import load

        model.load_state_dict(load("generate").language_model.state_dict())
    return model.requires_grad_(False).eval().bfloat16()


def starting_point(exported: bool) -> dict[str, Tensor]:
    """The exported *generate*, or stage 1's weights, from the cache or from the exported *retrieve*."""
    if exported:
        from training.export.checkpoints import load

        return load("generate").state_dict()
    snapshot = CACHE / "stage1.pt"
    if snapshot.exists():
        return torch.load(snapshot, weights_only=True)["model"]
    from training.export.checkpoints import load

    return load("retrieve").state_dict()


def train(budget_s: float, exported: bool = False, muon_lr: float = 0.006, adam_lr: float = 6e-4) -> None:
    """Trains for the budget, counting earlier runs' time; with `exported` from *generate* if there is no snapshot."""
    phase = Phase("stage2", budget_s)
    model, opt_model, rows = Stage2(), frozen_language(), Rows()
    opt = optimisers({"stage2": model}, muon_lr, adam_lr, weight_decay=0.1)
    if state := phase.load():
        model.load_state_dict(state["model"])
        opt.load_state_dict(state["optimiser"])
    else:
        model.start_from(starting_point(exported))
    schedule, saved, guard = Schedule(100, budget_s, 0.5), phase.spent_s, Guard(model, opt)
    recent: dict[str, list[float]] = defaultdict(list)
    while not phase.over:
        rng = random.Random(f"{SEED}:{phase.step}")
        indices = [rng.randrange(len(rows)) for _ in range(BATCH)]
        texts = text_batch([rows.scenes[i] for i in indices], rng, LISTS)
        opt.set_scale(guard.factor * schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            loss, good = text_loss(opt_model, text_hidden(opt_model, model(rows.take(indices)), texts), texts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        for kind, ok in zip(texts.types, good.tolist(), strict=True):
            recent[kind].append(ok)
        phase.tick(loss=loss.item())
        if guard.check(loss.item()):
            phase.log(returned=1.0, rate=guard.factor)
        if phase.step % 50 == 0:
            phase.log(loss=loss.item(), **{k: sum(v) / len(v) for k, v in recent.items()})
            recent.clear()
        if phase.spent_s - saved > 120 and guard.healthy:
            phase.save({"model": model.state_dict(), "optimiser": opt.state_dict()})
            saved = phase.spent_s
    phase.save({"model": model.state_dict(), "optimiser": opt.state_dict()})
