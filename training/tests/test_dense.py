"""The labels of the dense objective order patches and compare them as they should."""

from __future__ import annotations

import pytest
import torch

from training.data.artists import artist_weights, listed_artists
from training.data.vocab import VALIDATION_ARTISTS
from training.objectives.dense import BACKGROUND, IGNORE, DenseHeads, PatchLabels, patch_order


def test_all_patches_are_ordered_and_those_of_an_object_come_early():
    item = torch.full((20, 196), -1)
    item[:, 60:72] = 0
    order = patch_order(item, items=1)
    assert all(sorted(row.tolist()) == list(range(196)) for row in order)
    ranks = order.argsort(1)[:, 60:72].float()
    assert ranks.mean() < 60  # 98 is the mean rank in an order by chance


def labels_of(cover: list[list[int]]) -> PatchLabels:
    size = (len(cover), len(cover[0]))
    return PatchLabels(
        torch.tensor(cover),
        torch.zeros(size),
        torch.zeros(*size, 5),
        torch.zeros(size, dtype=torch.long),
        torch.zeros(size[0]),
    )


def test_contrast_is_low_where_one_concept_looks_alike_in_every_image_and_others_differ():
    heads = DenseHeads()
    labels = labels_of([[3, 8, BACKGROUND], [8, 3, IGNORE]])
    alike = torch.zeros(2, 3, heads.contrast.in_features)
    alike[0, 0, 0] = alike[1, 1, 0] = 9.0
    alike[0, 1, 1] = alike[1, 0, 1] = 9.0
    mixed = alike[:, [1, 0, 2]].clone()
    mixed[0] = alike[0]
    with torch.no_grad():
        heads.contrast.weight.zero_().fill_diagonal_(1.0)
        heads.contrast.bias.zero_()
        assert heads.contrastive(alike, labels, 6) < 0.01 < 1 < heads.contrastive(mixed, labels, 6)


def test_training_never_draws_a_validation_artist_nor_what_was_made_of_one():
    listed = {a["artist"]: a["role"] for a in listed_artists()}
    assert {a for a, role in listed.items() if role == "validation"} == set(VALIDATION_ARTISTS)
    drawn = artist_weights()
    assert not [a for a in drawn if a.startswith(VALIDATION_ARTISTS)]
    assert not [a for a in listed if "openmoji" in a]


@pytest.mark.parametrize("license", sorted({a["license"] for a in listed_artists()}))
def test_no_license_of_a_sprite_set_asks_for_the_same_license(license: str):
    assert license in {"Apache-2.0", "MIT", "ISC", "CC-BY-4.0", "CC-BY-3.0"}
