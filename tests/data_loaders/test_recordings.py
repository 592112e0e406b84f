"""Every registered recording is found by name, and says what it is before it is loaded."""

import re
from pathlib import Path

import pytest

from neurofit.data_loaders import (
    describe_recording,
    list_recordings,
    load_recording,
    register_recording,
)
from neurofit.errors import NeurofitError

NAMES = [
    "cowley2023",
    "freemanziemba2013",
    "hvm-sim",
    "kar2019",
    "majajhong2015",
    "majajhong2015-static",
    "papale2025",
    "zhang2011",
]


def test_the_names_are_those_people_type() -> None:
    assert [name for name in list_recordings() if not describe_recording(name).variant_of] == NAMES


def test_a_variant_is_one_of_a_registered_recording() -> None:
    variants = [
        describe_recording(name)
        for name in list_recordings()
        if describe_recording(name).variant_of
    ]
    assert len(variants) == 49
    assert {each.variant_of for each in variants} <= set(list_recordings())


def test_the_documented_data_sets_are_the_registered_ones(repository: Path) -> None:
    rows = re.findall(
        r"^\| `([\w-]+)`",
        (repository / "docs" / "data_sets.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    assert set(rows) == {*NAMES, "cowley2023-SESSION"}


def test_a_loader_that_never_saw_its_file_says_so() -> None:
    assert (
        "not verified against the original file" in describe_recording("cowley2023-190923").caution
    )
    assert (
        describe_recording("cowley2023").caution
        == describe_recording("cowley2023-201016").caution
        == ""
    )


@pytest.mark.parametrize("name", list_recordings())
def test_what_is_simulated_says_so(name: str) -> None:
    info = describe_recording(name)
    assert info.summary
    assert info.regions
    assert info.simulated == ("imulated" in info.summary)


def test_an_unknown_recording_is_refused_with_the_nearest() -> None:
    with pytest.raises(NeurofitError, match=r"Unknown recording 'hvmsim'\. Did you mean 'hvm-sim'"):
        load_recording("hvmsim")


def test_a_name_cannot_be_taken_twice() -> None:
    with pytest.raises(NeurofitError, match="Duplicate recording 'hvm-sim'"):
        register_recording(name="hvm-sim", regions=("V4",), citation="")(
            describe_recording("hvm-sim").load
        )
