"""Phase *stage1*: the Q-Former learns from ITC, ITM and ITG at once, on frozen image features (paper, section 3.2)."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Blip2QFormerModel
from transformers.models.blip_2.modeling_blip_2 import Blip2TextEmbeddings

from training.architecture import EMBEDDING, QUERIES, WIDTH, qformer_config
from training.data.grammar import caption
from training.data.hard_negatives import hard_negative
from training.data.tokenization import bert_tokenizer
from training.export.checkpoints import load
from training.objectives import attention_masks as masks
from training.objectives import stage1_losses as losses
from training.optim.optimizers import build_optimizers
from training.optim.schedule import Schedule
from training.phases.features import FeatureRows
from training.phases.phase_log import PhaseLog

BATCH = 64
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


def tokenize(texts: list[str]) -> TextTokens:
    """Texts as the Q-Former takes them."""
    rows = [e.ids for e in bert_tokenizer().encode_batch(texts)]
    longest = max(map(len, rows))
    ids = torch.tensor([r + [PAD] * (longest - len(r)) for r in rows])
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


def step_losses(
    model: Stage1, image: Tensor, texts: list[str], wrong: list[str], generator: torch.Generator
) -> dict[str, Tensor]:
    """The three losses, and two accuracies, on image features [B, 197, 192], their captions and wrong captions."""
    size = len(texts)
    right = tokenize(texts)
    images, vectors, words = model.contrast_and_generate(image, right)
    scores = losses.similarities(images, vectors)
    same = torch.tensor([[a == b for b in texts] for a in texts])
    temperature = model.temperature.clamp(0.01, 0.5)
    itc = losses.contrastive(scores, same, temperature)
    drawn = losses.sample_hard_negatives(scores.detach(), same, temperature.item(), generator).tolist()
    # half of the negatives are captions of similar images in the batch, half are wrong in one word
    negatives = [wrong[i] if i % 2 else texts[drawn[i]] for i in range(size)]
    logits = model.match(image, [right, tokenize(negatives)])
    matched = torch.arange(2 * size) < size
    itm = losses.matching(logits, matched)
    itg = losses.grounded_generation(words, right.ids, PAD)
    with torch.no_grad():
        accuracy = ((logits.float().mean(1).argmax(1) == 1) == matched).float()
        found = same[torch.arange(size), scores.argmax(1)].float().mean()
    return {"itc": itc, "itm": itm, "itg": itg, "itm_accuracy": accuracy.mean(), "itc_found": found}


def train(budget_s: float, from_exported: bool = False, muon_lr: float = 0.01, adam_lr: float = 1e-3) -> None:
    """Trains for the budget, which counts all runs; `from_exported` starts from *retrieve* if there is no snapshot."""
    phase = PhaseLog("stage1", budget_s)
    model, rows = Stage1(), FeatureRows()
    optimizers = build_optimizers({"stage1": model}, muon_lr, adam_lr)
    if state := phase.load():
        model.load_state_dict(state["model"])
        optimizers.load_state_dict(state["optimizers"])
    elif from_exported:
        known = load("retrieve").state_dict()
        model.load_state_dict({k: known.get(k, v) for k, v in model.state_dict().items()})
    schedule, saved = Schedule(150, budget_s, 0.4), phase.spent_s
    while not phase.is_over:
        rng = random.Random(f"{SEED}:{phase.step}")
        indices = [rng.randrange(len(rows)) for _ in range(BATCH)]
        scenes = [rows.scenes[i] for i in indices]
        texts, wrong = [caption(s) for s in scenes], [hard_negative(s, rng) for s in scenes]
        optimizers.set_scale(schedule.scale(phase.step, phase.spent_s))
        with torch.autocast("cpu", torch.bfloat16):
            parts = step_losses(model, rows.batch(indices), texts, wrong, torch.Generator().manual_seed(phase.step))
        (parts["itc"] + parts["itm"] + parts["itg"]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizers.step()
        phase.tick(**{k: v.item() for k, v in parts.items()})
        if phase.step % 25 == 0:
            phase.log(temperature=model.temperature.item(), **{k: v.item() for k, v in parts.items()})
        if phase.spent_s - saved > 120:
            phase.save({"model": model.state_dict(), "optimizers": optimizers.state_dict()})
            saved = phase.spent_s
    phase.save({"model": model.state_dict(), "optimizers": optimizers.state_dict()})
