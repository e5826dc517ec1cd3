"""Phase *stage2*: queries and projection learn to inform the frozen decoder, by its own loss (paper, section 3.3)."""

from __future__ import annotations

import random
from collections import defaultdict

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerModel

from training.architecture import QUERIES, WIDTH, qformer_config
from training.data.decoder_texts import text_batch
from training.data.tokenization import bert_tokenizer
from training.export.checkpoints import load, load_snapshot
from training.objectives.answer_loss import answer_loss, text_hidden_states
from training.optim.collapse_guard import CollapseGuard
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.features import FeatureRows
from training.phases.language import frozen_decoder
from training.phases.phase_log import PhaseLog

BATCH = 48
SEED = 5
LIST_SHARE = 0.4  # of small scenes: a list of all facts asks the queries for all of them at once


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
        """Embeddings [B, 32, 192] for the decoder's image positions, from image features [B, 197, 192]."""
        hidden = self.qformer(
            query_embeds=self.query_tokens.expand(len(image), -1, -1), encoder_hidden_states=image
        ).last_hidden_state
        return self.language_projection(hidden)

    def start_from(self, weights: dict[str, Tensor]) -> None:
        """Copies the weights that have a part here: of stage 1 all but the text's feed-forward layers and heads."""
        own = self.state_dict()
        self.load_state_dict({k: weights.get(k, v) for k, v in own.items()})


def starting_weights(from_exported: bool) -> dict[str, Tensor]:
    """Those of the exported *generate*; else those of stage 1, from its snapshot or from the exported *retrieve*."""
    if from_exported:
        return load("generate").state_dict()
    return load_snapshot("stage1") or load("retrieve").state_dict()


def train(budget_s: float, from_exported: bool = False, muon_lr: float = 0.006, adam_lr: float = 6e-4) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *generate* if there is no snapshot."""
    phase = PhaseLog("stage2", budget_s)
    model, decoder, rows = Stage2(), frozen_decoder(), FeatureRows()
    optimizers = build_optimizers({"stage2": model}, muon_lr, adam_lr, weight_decay=0.1)
    if state := phase.load():
        model.load_state_dict(state["model"])
        optimizers.load_state_dict(state["optimizers"])
    else:
        model.start_from(starting_weights(from_exported))
    schedule, saved, guard = Schedule(100, budget_s, 0.5), phase.spent_s, CollapseGuard(model, optimizers)
    recent: dict[str, list[float]] = defaultdict(list)
    while not phase.is_over:
        rng = random.Random(f"{SEED}:{phase.step}")
        indices = [rng.randrange(len(rows)) for _ in range(BATCH)]
        texts = text_batch([rows.scenes[i] for i in indices], rng, LIST_SHARE)
        optimizers.set_scale(guard.lr_scale * schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            hidden = text_hidden_states(decoder, model(rows.batch(indices)), texts)
            loss, good = answer_loss(decoder, hidden, texts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step()
        for kind, ok in zip(texts.types, good.tolist(), strict=True):
            recent[kind].append(ok)
        phase.tick(loss=loss.item())
        if guard.check(loss.item()):
            phase.log(returned=1.0, rate=guard.lr_scale)
        if phase.step % 50 == 0:
            phase.log(loss=loss.item(), **{k: sum(v) / len(v) for k, v in recent.items()})
            recent.clear()
        if phase.spent_s - saved > 120 and guard.is_healthy:
            phase.save({"model": model.state_dict(), "optimizers": optimizers.state_dict()})
            saved = phase.spent_s
    phase.save({"model": model.state_dict(), "optimizers": optimizers.state_dict()})
