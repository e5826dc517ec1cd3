"""Which position attends to which, entry by entry: two queries and a text of three tokens, the last of them padding."""

from __future__ import annotations

import torch

from training.objectives import attention_masks as masks

TEXT = torch.tensor([[True, True, False]])


def table(mask: torch.Tensor) -> list[str]:
    """Rows of the mask as strings, a 1 where the position of the row attends to that of the column."""
    return ["".join("1" if v else "." for v in row) for row in mask[0].tolist()]


def test_contrastive_keeps_queries_and_text_apart():
    assert table(masks.unimodal(TEXT, 2)) == [
        "11...",
        "11...",
        "..11.",
        "..11.",
        "..11.",
    ]


def test_matching_lets_every_position_attend_to_all_but_padding():
    assert table(masks.bidirectional(TEXT, 2)) == ["1111."] * 5


def test_generation_lets_text_attend_to_queries_and_earlier_text_and_queries_to_queries_only():
    assert table(masks.multimodal_causal(TEXT, 2)) == [
        "11...",
        "11...",
        "111..",
        "1111.",
        "1111.",
    ]


def test_composed_parts_share_their_positions_and_never_meet_elsewhere():
    text = torch.tensor([[True, True]])
    mask = masks.compose(5, [([0, 1, 2], masks.unimodal(text, 1)), ([0, 3, 4], masks.multimodal_causal(text, 1))])
    assert table(mask) == ["1....", ".11..", ".11..", "1..1.", "1..11"]


def test_additive_form_is_zero_where_attended():
    form = masks.additive(masks.unimodal(TEXT, 2))
    assert form.shape == (1, 1, 5, 5)
    assert form[0, 0, 0].tolist() == [0.0, 0.0, -1e4, -1e4, -1e4]
