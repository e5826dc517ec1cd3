"""The variants of the recipe, and how their results are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from training.data.recipe import COMMITTED, Recipe  # noqa: E402
from training.data.sprite_effects import augment  # noqa: E402
from training.data.vocab import ARTISTS, VALIDATION_ARTISTS  # noqa: E402
from training.phases import ablations  # noqa: E402


def test_no_variant_draws_an_artist_of_validation() -> None:
    for recipe in ablations.variants().values():
        assert not set(recipe.artists or ()) & set(VALIDATION_ARTISTS)


def test_variants_differ_from_each_other() -> None:
    recipes = list(ablations.variants().values())
    assert recipes[0] == COMMITTED
    assert len({repr(r) for r in recipes}) == len(recipes)


def test_without_effects_sprites_are_as_they_were_drawn() -> None:
    torch.manual_seed(0)
    sprites, others = torch.rand(16, 4, 96, 96), torch.rand(16, 4, 96, 96)
    assert torch.equal(augment(sprites, others, Recipe(has_sprite_effects=False)), sprites)
    assert not torch.equal(augment(sprites, others), sprites)


def test_without_mixing_the_other_drawing_does_not_matter() -> None:
    sprites = torch.rand(16, 4, 96, 96)

    def once(others: torch.Tensor, recipe: Recipe) -> torch.Tensor:
        torch.manual_seed(3)
        return augment(sprites, others, recipe)

    one, other = torch.zeros(16, 4, 96, 96), torch.ones(16, 4, 96, 96)
    apart = Recipe(mixes_artists=False)
    assert torch.equal(once(one, apart), once(other, apart))
    assert not torch.equal(once(one, COMMITTED), once(other, COMMITTED))


def test_results_are_a_table(tmp_path: Path) -> None:
    file = tmp_path / "ablations.jsonl"
    assert ablations.read(file) == []
    measured = {f"object, {a}": 0.5 for a in (*ARTISTS, *VALIDATION_ARTISTS)} | {f"object, {ARTISTS[0]}": 0.8}
    file.write_text(json.dumps({"variant": "the recipe", "seconds": 40.0, "steps": 1234} | measured) + "\n")
    assert ablations.table(ablations.read(file)).splitlines()[-1] == "| the recipe | 1,234 | 50.0 % | 50.0 % | 60.0 % |"
