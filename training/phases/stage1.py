"""Phase *stage1*: the Q-Former learns from ITC, ITM and ITG at once, on frozen image features (paper, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Blip2QFormerModel
from transformers.models.blip_2.modeling_blip_2 import Blip2TextEmbeddings

from training.architecture import EMBEDDING, QUERIES, WIDTH, qformer_config
from training.data.streams import CaptionBatch, CaptionStream
from training.data.tokenization import bert_tokenizer
from training.export.checkpoints import load
from training.machine import Machine
from training.objectives import attention_masks as masks
from training.objectives import stage1_losses as losses
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.images import image_source
from training.phases.phase_log import open_phase
from training.phases.vision import encode, frozen_encoder

SEED = 4
PAD, DEC = 0, 5


@dataclass
class TextTokens:
    """`ids` int64 [B, T] of `[CLS] text [SEP]`, right-padded; `valid` bool [B, T], false at padding."""

    ids: Tensor
    valid: Tensor

    @property
    def decoder_ids(self) -> Tensor:
        """The ids for generation, int64 [B, T]: [DEC] instead of [CLS]."""
        return torch.cat([torch.full_like(self.ids[:, :1], DEC), self.ids[:, 1:]], 1)


def tokenize(texts: list[str], device: str | torch.device = "cpu", tokenizer: Tokenizer | None = None) -> TextTokens:
    """Texts as the Q-Former takes them."""
    rows = [e.ids for e in (tokenizer or bert_tokenizer()).encode_batch(texts)]
    longest = max(map(len, rows))
    ids = torch.tensor([r + [PAD] * (longest - len(r)) for r in rows]).to(device, non_blocking=True)
    return TextTokens(ids, ids != PAD)


class Stage1(nn.Module):
    """The parts of *retrieve* that learn, and two that are dropped at export: temperature and ITG head.

    The names of the parts are those of Blip2ForImageTextRetrieval.
    """

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(SEED)
        config = qformer_config(bert_tokenizer().get_vocab_size(), with_text=True)
        config._attn_implementation = "eager"
        self.query_tokens = nn.Parameter(torch.randn(1, QUERIES, WIDTH) * 0.02)
        self.embeddings = Blip2TextEmbeddings(config)
        for table in (self.embeddings.word_embeddings, self.embeddings.position_embeddings):
            nn.init.normal_(table.weight, std=0.02)
        self.qformer = Blip2QFormerModel(config)
        self.vision_projection = nn.Linear(WIDTH, EMBEDDING)
        self.text_projection = nn.Linear(WIDTH, EMBEDDING)
        self.itm_head = nn.Linear(WIDTH, 2)
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.generation_head = nn.Linear(WIDTH, config.vocab_size)

    def _forward(self, image: Tensor, ids: list[Tensor], copies: int, mask: Tensor) -> Tensor:
        """Hidden states [B, copies * Q + T, 192] of copies of the queries and the texts, under a mask over all."""
        size = len(image)
        texts = [self.embeddings(input_ids=i) for i in ids]
        queries = self.query_tokens.expand(size, -1, -1).repeat(1, copies, 1)
        return self.qformer(
            query_embeds=torch.cat([queries, *texts], 1),
            query_length=copies * QUERIES,
            attention_mask=masks.additive(mask),
            encoder_hidden_states=image,
        ).last_hidden_state

    def contrast_and_generate(self, image: Tensor, text: TextTokens) -> tuple[Tensor, Tensor, Tensor]:
        """ITC's unit vectors of queries [B, 32, E] and of [CLS] [B, E], and ITG's logits [B, T, vocabulary].

        One pass: under both masks queries attend only to queries, so the two objectives share them.
        """
        length = text.ids.shape[1]
        queries = list(range(QUERIES))
        first = [QUERIES + i for i in range(length)]
        second = [QUERIES + length + i for i in range(length)]
        mask = masks.compose(
            QUERIES + 2 * length,
            [
                (queries + first, masks.unimodal(text.valid, QUERIES)),
                (queries + second, masks.multimodal_causal(text.valid, QUERIES)),
            ],
        )
        hidden = self._forward(image, [text.ids, text.decoder_ids], 1, mask)
        images = F.normalize(self.vision_projection(hidden[:, :QUERIES]).float(), dim=-1)
        vectors = F.normalize(self.text_projection(hidden[:, QUERIES]).float(), dim=-1)
        return images, vectors, self.generation_head(hidden[:, second])

    def match(self, image: Tensor, candidates: list[TextTokens]) -> Tensor:
        """ITM logits [candidates * B, 32, 2]; each candidate has its own queries, and none attends to another's."""
        copies, at = len(candidates), len(candidates) * QUERIES
        parts = []
        for k, text in enumerate(candidates):
            length = text.ids.shape[1]
            positions = [*range(k * QUERIES, (k + 1) * QUERIES), *range(at, at + length)]
            parts.append((positions, masks.bidirectional(text.valid, QUERIES)))
            at += length
        hidden = self._forward(image, [c.ids for c in candidates], copies, masks.compose(at, parts))
        logits = self.itm_head(hidden[:, : copies * QUERIES])
        return logits.unflatten(1, (copies, QUERIES)).transpose(0, 1).flatten(0, 1)


def number_captions(texts: list[str], device: str | torch.device) -> Tensor:
    """int64 [B]: equal numbers for equal captions."""
    numbers: dict[str, int] = {}
    return torch.tensor([numbers.setdefault(t, len(numbers)) for t in texts]).to(device, non_blocking=True)


def step_losses(model: Stage1, image: Tensor, batch: CaptionBatch) -> dict[str, Tensor]:
    """The three losses, and accuracies, on image features [B, 197, 256] of the batch's scenes.

    ITM compares each image with its caption, with the caption of a similar image in the batch, and with a caption that
    is wrong in one way.
    """
    device = image.device
    right = tokenize(batch.right, device)
    images, vectors, words = model.contrast_and_generate(image, right)
    scores = losses.similarities(images, vectors)
    numbers = number_captions(batch.right, device)
    same = numbers[:, None] == numbers[None, :]
    temperature = model.temperature.clamp(0.01, 0.5)
    itc = losses.contrastive(scores, same, temperature)
    drawn = losses.sample_hard_negatives(scores.detach(), same, temperature.detach())
    similar = TextTokens(right.ids[drawn], right.valid[drawn])
    logits = model.match(image, [right, similar, tokenize(batch.wrong, device)])
    size = len(image)
    matched = torch.arange(3 * size, device=device) < size
    itm = losses.matching(logits, matched, wrong_weight=0.6)  # two wrong captions for each right one
    itg = losses.grounded_generation(words, right.ids, PAD)
    with torch.no_grad():
        correct = ((logits.float().mean(1).argmax(1) == 1) == matched).float()
        found = same[torch.arange(size, device=device), scores.argmax(1)].float().mean()
    accuracies = {"itm_accuracy": correct.mean(), "near_miss": correct[2 * size :].mean(), "itc_found": found}
    return {"itc": itc, "itm": itm, "itg": itg, **accuracies}


def train(
    machine: Machine, budget_s: float, from_exported: bool = False, muon_lr: float = 0.01, adam_lr: float = 1e-3
) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *retrieve* if there is no snapshot."""
    phase = open_phase("stage1", budget_s, machine)
    model, encoder = Stage1().to(machine.device), frozen_encoder(machine)
    source = image_source(machine, machine.pick(96, 32, 8), seed=SEED)
    optimizers = build_optimizers({"stage1": model}, muon_lr, adam_lr)
    if not phase.resume(model, optimizers) and from_exported:
        known = load("retrieve").state_dict()
        model.load_state_dict({k: known.get(k, v) for k, v in model.state_dict().items()})
    loader = iter(machine.loader(CaptionStream(SEED, phase.step, machine.pick(384, 64, 8))))
    schedule = Schedule(100, budget_s, 0.4)
    batch = next(loader)
    phase.begin()
    while not phase.is_over:
        optimizers.set_scale(schedule.scale(phase.step, phase.spent_s))
        images, _ = source.render(batch.scenes.to(machine.device))
        with machine.autocast():
            parts = step_losses(model, encode(encoder, images), batch)
        (parts["itc"] + parts["itm"] + parts["itg"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizers.step()
        phase.tick(images=len(images), temperature=model.temperature, **parts)
        if phase.is_time_to_save:
            phase.save_training(model, optimizers)
        batch = next(loader)
    phase.save_training(model, optimizers)
