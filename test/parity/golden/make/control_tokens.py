"""Tokenizers to which control strings in a text are ordinary text."""

from __future__ import annotations

import json

from tokenizers import Tokenizer


def without_controls(tokenizer: Tokenizer) -> Tokenizer:
    """A copy in which no added token exists, and no piece of the vocabulary reads like one."""
    file = json.loads(tokenizer.to_str())
    controls = {token["content"] for token in file["added_tokens"]} - {"[UNK]"}
    file["added_tokens"], file["post_processor"] = [], None
    vocab = file["model"]["vocab"]

    def hidden(piece: str) -> str:
        """All three kinds split at white space first, so that no piece with a space is ever met."""
        return f" {piece}" if piece in controls else piece

    if isinstance(vocab, dict):
        file["model"]["vocab"] = {hidden(piece): number for piece, number in vocab.items()}
    else:
        file["model"]["vocab"] = [[hidden(piece), score] for piece, score in vocab]
    return Tokenizer.from_str(json.dumps(file))
