"""Names: the function's own, once each, and the nearest one for a typing error."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError, check_option, unknown_name


@pytest.fixture
def models() -> Registry[Callable[[], int]]:
    registry: Registry[Callable[[], int]] = Registry("model")

    @registry.register()
    def rgc_shallow() -> int:
        return 1

    @registry.register("a-given-name")
    def anything() -> int:
        return 2

    return registry


def test_the_name_is_the_functions_name_unless_one_is_given(
    models: Registry[Callable[[], int]],
) -> None:
    assert list(models) == ["a-given-name", "rgc_shallow"]
    assert len(models) == 2
    assert "rgc_shallow" in models
    assert "anything" not in models
    assert models["rgc_shallow"]() == 1
    assert models["a-given-name"]() == 2


def test_registering_returns_the_object_itself() -> None:
    registry: Registry[type] = Registry("thing")

    class Thing:
        pass

    assert registry.register()(Thing) is Thing
    assert registry["Thing"] is Thing


def test_a_duplicate_is_refused_and_both_modules_are_named(
    models: Registry[Callable[[], int]],
) -> None:
    def rgc_shallow() -> int:
        return 3

    rgc_shallow.__module__ = "neurofit.models.elsewhere"
    with pytest.raises(
        NeurofitError,
        match=r"Duplicate model 'rgc_shallow', in .*test_registry "
        r"and in neurofit\.models\.elsewhere",
    ):
        models.register()(rgc_shallow)
    assert models["rgc_shallow"]() == 1


def test_an_unknown_name_gets_the_nearest_and_all_that_exist(
    models: Registry[Callable[[], int]],
) -> None:
    with pytest.raises(NeurofitError) as caught:
        models["rgc_shalow"]
    assert str(caught.value) == (
        "Unknown model 'rgc_shalow'. Did you mean 'rgc_shallow'?\n"
        "Existing: a-given-name, rgc_shallow."
    )
    assert caught.value.exit_code == 2


def test_nothing_near_gives_no_guess() -> None:
    assert str(unknown_name("cell", "zzz", ["lstm"])) == "Unknown cell 'zzz'.\nExisting: lstm."
    assert str(unknown_name("cell", "zzz", [])) == "Unknown cell 'zzz'.\nExisting: none."


def test_an_option_that_exists_is_returned() -> None:
    assert check_option("region", "IT", iter(["V4", "IT"])) == "IT"
    with pytest.raises(NeurofitError, match="Unknown region 'it'"):
        check_option("region", "it", ["V4", "IT"])
