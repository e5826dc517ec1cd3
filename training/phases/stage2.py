"""Phase *stage2*: queries and projection learn to inform the frozen decoder, by its own loss (paper, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Blip2QFormerModel

from training.architecture import QUERIES, WIDTH, qformer_config
from training.data.streams import AnswerStream
from training.data.tokenization import bert_tokenizer
from training.export.checkpoints import load, load_snapshot
from training.machine import Machine
from training.objectives.answer_loss import answer_loss, text_hidden_states
from training.optim.collapse_guard import CollapseGuard
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.images import image_source
from training.phases.language import frozen_decoder
from training.phases.phase_log import open_phase
from training.phases.vision import encode, frozen_encoder

SEED = 5
LIST_SHARE = 0.4  # of small scenes: a list of all facts asks the queries for all of them at once
SHOWN = ("caption", "count", "presence", "what", "chat", "list")


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
        """Embeddings [B, 32, 192] for the decoder's image positions, from image features [B, 197, 256]."""
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


def train(
    machine: Machine, budget_s: float, from_exported: bool = False, muon_lr: float = 0.006, adam_lr: float = 6e-4
) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *generate* if there is no snapshot."""
    phase = open_phase("stage2", budget_s, machine)
    model, encoder, decoder = Stage2().to(machine.device), frozen_encoder(machine), frozen_decoder(machine)
    source = image_source(machine, machine.pick(96, 32, 8), seed=SEED)
    larger = 1.4 if machine.device == "cuda" else 1.0  # batches are eight times as large
    optimizers = build_optimizers({"stage2": model}, larger * muon_lr, larger * adam_lr, weight_decay=0.1)
    if not phase.resume(model, optimizers):
        model.start_from(starting_weights(from_exported))
    stream = AnswerStream(SEED, phase.step, machine.pick(384, 48, 8), LIST_SHARE)
    loader = iter(machine.loader(stream))
    schedule, guard = Schedule(100, budget_s, 0.5), CollapseGuard(model, optimizers)
    batch = next(loader)
    phase.begin()
    while not phase.is_over:
        optimizers.set_scale(guard.lr_scale * schedule.scale(phase.step, phase.spent_s))
        images, _ = source.render(batch.scenes.to(machine.device))
        features = encode(encoder, images)
        with machine.autocast():
            hidden = text_hidden_states(decoder, model(features), batch.texts)
            loss, good = answer_loss(decoder, hidden, batch.texts)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizers.step()
        exact = good.tolist()  # the step's only wait for the device
        shown = {k: [ok for kind, ok in zip(batch.texts.types, exact, strict=True) if kind == k] for k in SHOWN}
        phase.tick(images=len(images), loss=loss, **{k: sum(v) / len(v) for k, v in shown.items() if v})
        if guard.check(loss.item()):
            phase.log(returned=1.0, rate=guard.lr_scale)
        if phase.is_time_to_save and guard.is_healthy:
            phase.save_training(model, optimizers)
        batch = next(loader)
    phase.save_training(model, optimizers)
