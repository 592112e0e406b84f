"""Recipes are configurations that say where they come from."""

import pytest

from neurofit.errors import NeurofitError
from neurofit.training.recipes import RECIPES, make_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_itself_and_can_be_changed(name: str) -> None:
    config = make_recipe(name, epochs=2, seed=3)
    assert (config.recipe, config.epochs, config.seed) == (name, 2, 3)


def test_the_published_numbers_are_those_of_the_search() -> None:
    config = make_recipe("imagenet-shallow")
    assert (config.lr, config.momentum, config.clip, config.batch_size) == (
        0.007587217634546547,
        0.9,
        0.32374580586841245,
        64,
    )


def test_an_unknown_recipe_gets_the_nearest_name() -> None:
    with pytest.raises(NeurofitError, match="Did you mean 'cifar10-tiny'"):
        make_recipe("cifar10_tiny")
