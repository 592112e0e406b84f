"""Options are fields of a dataclass, checked against their choices and bounds."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

import pytest

from neurofit.config.compute import Compute, find_device
from neurofit.config.options import (
    check_fields,
    one_or_several,
    option,
    options_of,
    parse_names,
)
from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError

FLAVOURS: Registry[object] = Registry("flavour")
for name in ("vanilla", "strawberry"):
    FLAVOURS.register(name)(object())


@dataclass(frozen=True, kw_only=True)
class Order:
    """Options with every kind of rule, and a field that is no option."""

    flavour: str = option("vanilla", choices=FLAVOURS, help="Flavour.")
    scoops: int = option(2, least=1, help="Scoops.")
    share: float = option(0.5, above=0, below=1, help="Share that is eaten.")
    floor: float | None = option(0.1, below=1, help="Temperature of the floor.")
    rate: float = option(1.0, above=0, help="Rate of melting.")
    note: str = "none"

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"flavour": "strawberry"},
        {"scoops": 1},
        {"share": 1e-9},
        {"share": 1 - 1e-9},
        {"floor": -5.0},
        {"floor": None},
        {"rate": 1e-9},
        {"note": "with nuts"},
    ],
)
def test_values_that_keep_the_rules_are_taken_as_they_are(given: dict[str, Any]) -> None:
    order = Order(**given)
    for key, value in given.items():
        assert getattr(order, key) == value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scoops": 0}, "scoops must be at least 1; got 0."),
        ({"share": 0.0}, "share must lie between 0 and 1; got 0.0."),
        ({"share": 1.0}, "share must lie between 0 and 1; got 1.0."),
        ({"floor": 1.0}, "floor must be below 1; got 1.0."),
        ({"rate": 0.0}, "rate must be above 0; got 0.0."),
        ({"rate": float("nan")}, "rate must be above 0; got nan."),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_with_the_rule(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(NeurofitError) as caught:
        Order(**given)
    assert str(caught.value) == message


def test_a_bound_at_both_ends_of_which_one_is_permitted_is_described() -> None:
    @dataclass(frozen=True)
    class Half:
        share: float = option(0.5, least=0, below=1, help="Share.")

    share = Half(share=0.0)
    check_fields(share)
    for value in (-0.5, 1.0):
        with pytest.raises(
            NeurofitError, match=rf"^share must be at least 0 and below 1; got {value}\.$"
        ):
            check_fields(Half(share=value))


def test_what_is_no_number_is_refused_by_its_bounds() -> None:
    @dataclass(frozen=True)
    class Untyped:
        scoops: Any = option(2, least=1, help="Scoops.")

    with pytest.raises(NeurofitError, match=r"^scoops must be a number; got 'two'\.$"):
        check_fields(Untyped(scoops="two"))


def test_a_choice_that_does_not_exist_gets_the_nearest() -> None:
    with pytest.raises(NeurofitError) as caught:
        Order(flavour="strawbery")
    assert str(caught.value) == (
        "Unknown flavour 'strawbery'. Did you mean 'strawberry'?\nExisting: strawberry, vanilla."
    )


def test_choices_are_read_when_a_value_is_checked() -> None:
    with pytest.raises(NeurofitError, match="Unknown flavour 'mint'"):
        Order(flavour="mint")
    FLAVOURS.register("mint")(object())
    try:
        assert Order(flavour="mint").flavour == "mint"
    finally:
        del FLAVOURS._entries["mint"]


def test_options_are_the_fields_that_were_declared_as_such() -> None:
    expected = ["flavour", "scoops", "share", "floor", "rate"]
    assert [each.name for each in options_of(Order)] == expected
    assert [each.name for each in options_of(Order())] == expected
    assert [each.name for each in fields(Order)] == [*expected, "note"]
    assert [each.metadata["help"] for each in options_of(Order)][:2] == ["Flavour.", "Scoops."]


def test_an_option_without_a_default_is_required() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Needed:
        flavour: str = option(choices=FLAVOURS, help="Flavour.")

    with pytest.raises(TypeError, match="flavour"):
        Needed()
    assert Needed(flavour="vanilla").flavour == "vanilla"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("IT", ("IT",)),
        ("V4,IT", ("V4", "IT")),
        (" V4 , IT,", ("V4", "IT")),
        ("IT,V4,IT", ("IT", "V4")),
        ("", ()),
    ],
)
def test_names_are_joined_by_commas_each_once(text: str, names: tuple[str, ...]) -> None:
    assert parse_names(text) == names
    assert one_or_several(text) == names


def test_one_name_several_or_none_become_a_tuple() -> None:
    assert one_or_several(None) == ()
    assert one_or_several(["V4", "IT"]) == ("V4", "IT")


def test_every_option_of_the_package_states_its_help_and_keeps_its_own_rules() -> None:
    from neurofit.analyses.ceiling import CeilingConfig
    from neurofit.analyses.predictivity.config import ScoreConfig
    from neurofit.analyses.run import RunConfig
    from neurofit.analyses.similarity import SimilarityConfig
    from neurofit.recordings.selection import Selection

    for config in (CeilingConfig, Compute, RunConfig, ScoreConfig, Selection, SimilarityConfig):
        for each in options_of(config):
            assert each.metadata["help"].endswith("."), (config, each.name)
            if each.metadata["choices"]:
                assert each.default in list(each.metadata["choices"]), (config, each.name)


def test_the_options_of_a_computation_are_checked() -> None:
    assert Compute(n_jobs=3).jobs == 3
    assert Compute().jobs >= 1
    with pytest.raises(NeurofitError, match=r"^n_jobs must be at least 1; got 0\.$"):
        Compute(n_jobs=0)
    with pytest.raises(NeurofitError, match=r"^batch_size must be at least 1; got 0\.$"):
        Compute(batch_size=0)


def test_a_device_is_found_or_refused_by_name() -> None:
    assert find_device("cpu") == "cpu"
    assert find_device("auto") in ("cpu", "cuda")
    with pytest.raises(NeurofitError, match=r"Unknown device 'cdua'\. Did you mean 'cuda'\?"):
        find_device("cdua")


def test_without_torch_xla_one_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_xla", None)
    with pytest.raises(
        NeurofitError, match=r"The device xla needs torch_xla .* pip install 'neurofit\[tpu\]'"
    ):
        find_device("xla")
