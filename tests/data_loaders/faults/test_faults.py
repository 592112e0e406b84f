"""Every fault of time, identity, types and containers is right, noted or refused in every format.

A cell is a row and a column of docs/recording_faults.md. Each is tested with recordings of random
sizes and responses.
"""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from forms import FORMS, make_session
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from matrix import Fault, assert_outcome, outcome
from recording_faults import KINDS, PAGE, whole

from neurofit.data_loaders.formats import probe

CELLS = [
    pytest.param(fault, form, id=f"{fault.what} - {form}")
    for faults in KINDS.values()
    for fault in faults
    for form in fault.outcomes
]
SLOW = ("netCDF", "netCDF, named axes in a group", "NWB")
"""Formats whose files take 0.1 s to write and read."""


def not_probed(*_: object) -> tuple[()]:
    """Return that an HDF5 file refers to no other, without a process that takes 0.3 s."""
    return ()


@pytest.mark.parametrize(("fault", "form"), CELLS)
def test_a_fault_is_right_or_noted_or_refused(
    fault: Fault, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "Parquet":
        pytest.importorskip("pyarrow")
    if not fault.probed:
        monkeypatch.setattr(probe, "_probe", not_probed)
    cell = zlib.crc32(f"{fault.what} {form}".encode())

    @given(number=st.integers(0, 2**16))
    @settings(max_examples=1 if form in SLOW else 2, phases=[Phase.generate])
    def find(number: int) -> None:
        rng = np.random.default_rng([cell, number])
        session = make_session(
            n_stimuli=int(rng.integers(3, 6)),
            n_repetitions=int(rng.integers(3, 5)),
            n_neuroids=int(rng.integers(2, 5)),
            n_bins=int(rng.integers(3, 5)),
            start=int(rng.choice([0, 10, 50])),
            seed=int(rng.integers(2**16)),
        )
        with tempfile.TemporaryDirectory() as folder:
            found = outcome(fault, form, session, Path(folder))
        assert_outcome(found, fault.outcomes[form])

    find()


def test_the_page_has_every_cell_as_tested() -> None:
    assert {form for fault in sum(KINDS.values(), ()) for form in fault.outcomes} == set(FORMS)
    page = PAGE.read_text(encoding="utf-8")
    assert whole(page) == page, f"out of date: python {Path(__file__).with_name('page.py')}"
