"""The three losses of stage 1 against plain loops."""

from __future__ import annotations

import math

import torch

from training.objectives import stage1_losses as losses


def _unit(*shape: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_similarity_is_the_best_query_of_the_image():
    images, texts = _unit(3, 5, 4), _unit(2, 4)
    scores = losses.similarities(images, texts)
    for i in range(3):
        for t in range(2):
            best = max(float(images[i, q] @ texts[t]) for q in range(5))
            assert math.isclose(float(scores[i, t]), best, abs_tol=1e-6)


def test_contrastive_is_the_mean_of_both_directions():
    scores = losses.similarities(_unit(3, 5, 4), _unit(3, 4))
    temperature = torch.tensor(0.1)
    total = 0.0
    for i in range(3):
        row = [math.exp(float(scores[i, j]) / 0.1) for j in range(3)]
        column = [math.exp(float(scores[j, i]) / 0.1) for j in range(3)]
        total -= (math.log(row[i] / sum(row)) + math.log(column[i] / sum(column))) / 2
    got = losses.contrastive(scores, torch.eye(3, dtype=torch.bool), temperature)
    assert math.isclose(float(got), total / 3, rel_tol=1e-5)


def test_contrastive_counts_equal_captions_as_matches_of_each_other():
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    perfect = torch.where(same, 1.0, -1.0)
    assert math.isclose(float(losses.contrastive(perfect, same, torch.tensor(0.05))), math.log(2) * 2 / 3, rel_tol=1e-4)


def test_sampled_negatives_are_never_matches_and_prefer_the_similar():
    same = torch.eye(4, dtype=torch.bool)
    scores = torch.full((4, 4), -1.0)
    scores[:, 2] = 1.0
    scores.fill_diagonal_(1.0)
    torch.manual_seed(0)
    drawn = losses.sample_hard_negatives(scores, same, torch.tensor(0.1))
    assert all(int(d) != i for i, d in enumerate(drawn))
    assert [int(drawn[i]) for i in (0, 1, 3)] == [2, 2, 2]


def test_matching_averages_logits_over_queries_before_the_softmax():
    logits = torch.tensor([[[0.0, 2.0], [0.0, 0.0]], [[3.0, 0.0], [1.0, 0.0]]])
    first = -math.log(math.exp(1) / (1 + math.exp(1)))
    second = -math.log(math.exp(2) / (math.exp(2) + 1))
    got = losses.matching(logits, torch.tensor([True, False]))
    assert math.isclose(float(got), (first + second) / 2, rel_tol=1e-6)


def test_generation_predicts_the_next_token_and_skips_padding():
    logits = torch.zeros(1, 4, 3)
    logits[0, 0, 2] = 5.0
    ids = torch.tensor([[1, 2, 1, 0]])
    first = -math.log(math.exp(5) / (math.exp(5) + 2))
    got = losses.grounded_generation(logits, ids, pad=0)
    assert math.isclose(float(got), (first + math.log(3)) / 2, rel_tol=1e-5)
