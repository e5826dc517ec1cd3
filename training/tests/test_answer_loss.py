"""The decoder's loss counts answers only, each text by its length, and sees its scene's context."""

from __future__ import annotations

import pytest
import torch
from transformers import OPTConfig, OPTForCausalLM

from training.data.decoder_texts import PAD, TextBatch
from training.objectives.answer_loss import answer_loss, text_hidden_states


@pytest.fixture(scope="module")
def decoder() -> OPTForCausalLM:
    """A random decoder of two layers."""
    torch.manual_seed(0)
    config = OPTConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, ffn_dim=24, num_attention_heads=2, word_embed_proj_dim=16,
        max_position_embeddings=32, dropout=0.0, init_std=0.5,
    )  # fmt: skip
    return OPTForCausalLM(config).eval()


def batch_of(rows: list[list[int]], answers: list[list[int]]) -> TextBatch:
    mask = torch.tensor(answers, dtype=torch.bool)
    return TextBatch(torch.tensor(rows), mask, ["caption"] * len(rows))


def test_hidden_states_equal_those_of_one_pass_over_context_and_text(decoder: OPTForCausalLM):
    context = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(1))
    texts = batch_of([[2, 5, 6], [2, 7, 8], [2, 9, 4], [2, 4, 4]], [[0, 1, 1]] * 4)
    hidden = text_hidden_states(decoder, context, texts)
    for row in range(4):  # two texts for each of two scenes
        embedded = decoder.model.decoder.embed_tokens(texts.ids[row : row + 1])
        whole = torch.cat([context[row // 2 : row // 2 + 1], embedded], 1)
        expected = decoder.model.decoder(inputs_embeds=whole).last_hidden_state[0, 3:]
        torch.testing.assert_close(hidden[row], expected, atol=1e-5, rtol=1e-5)


def test_tokens_outside_the_answers_do_not_count(decoder: OPTForCausalLM):
    texts = batch_of([[2, 5, 6, 7]], [[0, 0, 1, 1]])
    hidden = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(2))
    loss, _ = answer_loss(decoder, hidden, texts)
    log_probs = decoder.lm_head(hidden[0]).log_softmax(-1)
    expected = -(log_probs[1, 6] + log_probs[2, 7]) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_length_power_one_weighs_every_answer_alike(decoder: OPTForCausalLM):
    texts = batch_of([[2, 5, 6, 7], [2, 8, PAD, PAD]], [[0, 1, 1, 1], [0, 1, 0, 0]])
    hidden = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(3))
    loss, _ = answer_loss(decoder, hidden, texts, length_power=1.0)
    log_probs = decoder.lm_head(hidden).log_softmax(-1)
    long = -sum(log_probs[0, t, token] for t, token in enumerate((5, 6, 7))) / 3
    assert loss.item() == pytest.approx(((long - log_probs[1, 0, 8]) / 2).item(), rel=1e-5)


def test_a_text_is_exact_if_every_token_of_its_answer_is_the_likeliest(decoder: OPTForCausalLM):
    hidden = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(4)).expand(2, -1, -1)
    best = decoder.lm_head(hidden[0]).argmax(-1).tolist()
    slip = [2, best[0], (best[1] + 1) % 20, best[2]]
    texts = batch_of([[2, *best[:3]], slip], [[0, 1, 1, 1]] * 2)
    assert answer_loss(decoder, hidden, texts)[1].tolist() == [True, False]


def test_prompts_count_as_much_as_asked_for_but_padding_never_and_neither_makes_a_text_inexact(decoder: OPTForCausalLM):
    hidden = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(5))
    logits = decoder.lm_head(hidden[0])
    prompt_token, answer_token = int(logits[0].argmin()), int(logits[1].argmax())
    texts = batch_of([[2, prompt_token, answer_token, PAD, PAD]], [[0, 0, 1, 0, 0]])
    loss, exact = answer_loss(decoder, hidden, texts, prompt_share=1.0)
    log_probs = logits.log_softmax(-1)
    expected = -(0.1 * log_probs[0, prompt_token] + log_probs[1, answer_token]) / 1.1
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert exact.tolist() == [True]
