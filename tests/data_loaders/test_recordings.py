"""Every registered recording is found by name, and says what it is before it is loaded."""

import pytest

from neurofit.data_loaders import describe_recording, list_recordings, load_recording, register_recording
from neurofit.errors import NeurofitError


def test_the_names_are_those_people_type() -> None:
    assert list_recordings() == ["cowley2023", "hvm-sim", "zhang2011"]


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
    with pytest.raises(NeurofitError, match="Two recordings are called 'hvm-sim'"):
        register_recording(name="hvm-sim", regions=("V4",), citation="")(describe_recording("hvm-sim").load)
