"""Who drew the sprites: artists.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

MORE = ("", "-more", "-more-2")  # what is behind an artist's name in the folders of further drawings
MORE_SHARE = 0.2  # of an artist's weight


@cache
def listed_artists() -> list[dict]:
    """The entries of artists.json."""
    return json.loads(Path(__file__).with_name("artists.json").read_text())["artists"]


def artist_weights() -> dict[str, float]:
    """How often training draws each artist, further drawings apart; those of validation are not among them."""
    return {
        a["artist"] + more: a["weight"] * (MORE_SHARE if more else 1.0)
        for a in listed_artists()
        if a["role"] == "training"
        for more in MORE
    }


def artists_of_emoji() -> list[str]:
    """The artists of sets of emoji; the others drew icons."""
    return [a["artist"] for a in listed_artists() if a["style"] == "emoji"]


def missing_concepts(artist: str) -> frozenset[str]:
    """Names of the concepts that an artist of the test scenes never drew."""
    return frozenset(next(a for a in listed_artists() if a["artist"] == artist).get("missing", ()))
