"""NWB files with extensions are read: their specification lies in the file, as text."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError

WRITER = """
import datetime, sys
import numpy as np, pynwb
from pynwb.spec import NWBAttributeSpec, NWBGroupSpec, NWBNamespaceBuilder

builder = NWBNamespaceBuilder("of a laboratory", "ndx-laboratory", version="0.1.0", author="a",
                              contact="a@b.c")
builder.include_type("LabMetaData", namespace="core")
builder.include_type("DynamicTable", namespace="hdmf-common")
depth = NWBAttributeSpec("depth", "of the array", "text", required=False)
for name, base in (("LabArray", "LabMetaData"), ("LabUnits", "DynamicTable")):
    builder.add_spec("laboratory.extensions.yaml", NWBGroupSpec(
        neurodata_type_def=name, neurodata_type_inc=base, doc="d", attributes=[depth]))
builder.export("laboratory.namespace.yaml", outdir=".")
pynwb.load_namespaces("laboratory.namespace.yaml")
Array = pynwb.get_class("LabArray", "ndx-laboratory")

session = pynwb.NWBFile(session_description="s", identifier="x",
    session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc))
session.add_lab_meta_data(Array(name="array", depth="1 mm"))
session.add_unit_column("region", "area")
for number in range(2):
    session.add_unit(spike_times=np.arange(0.05 + number / 10, 4, 0.5), region="IT")
session.add_trial_column("stimulus_id", "what was shown")
for number in range(4):
    session.add_trial(start_time=float(number), stop_time=number + 0.5,
                      stimulus_id="ab"[number % 2])
with pynwb.NWBHDF5IO("r.nwb", "w") as io:
    io.write(session)
"""
"""A process of its own: what it registers must not be known to the reader."""


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    (tmp_path / "write.py").write_text(WRITER)
    subprocess.run([sys.executable, "write.py"], cwd=tmp_path, check=True, capture_output=True)
    for name in ("write.py", "laboratory.namespace.yaml", "laboratory.extensions.yaml"):
        (tmp_path / name).unlink()
    return tmp_path / "r.nwb"


def test_a_file_with_an_extension_is_read_as_one_without(extended: Path) -> None:
    with h5py.File(extended) as file:
        assert "ndx-laboratory" in file["specifications"]
    responses = open_recording(extended).responses
    assert responses.stimulus_id.values.tolist() == list("abab")
    total = responses.values.sum(axis=(0, 2))  # a spike 50 ms, and one 150 ms after each onset
    np.testing.assert_array_equal(total, [4, 4])


@pytest.mark.parametrize(
    "how", ["cut", "no text", "missing", "a loop", "a type that nothing defines", "a path"]
)
def test_a_specification_that_is_damaged_or_hostile_is_refused_in_a_line(
    extended: Path, how: str
) -> None:
    with h5py.File(extended, "a") as file:
        group = file["specifications/ndx-laboratory/0.1.0"]
        name = next(name for name in group if name != "namespace")
        held = json.loads(group[name][()])
        own = {"neurodata_type_inc": "LabArray"} if how == "a loop" else {}
        own |= {"neurodata_type_inc": "Nothing"} if how == "a type that nothing defines" else {}
        held["groups"][0] |= own
        texts = {"cut": json.dumps(held)[:99], "no text": "\0\1\2"}
        del group[name]
        if how == "a path":
            names = json.loads(group["namespace"][()])
            names["namespaces"][0]["schema"].append({"source": "../../../../etc/passwd"})
            del group["namespace"]
            group["namespace"] = json.dumps(names)
        if how != "missing":
            group[name] = texts.get(how, json.dumps(held)).replace("\0", "")
    said = ""
    try:
        total = open_recording(extended).responses.values.sum(axis=(0, 2))
    except NeurofitError as error:
        said, total = str(error), np.array([4, 4])
    assert len(said) < 1000
    assert "\n" not in said
    np.testing.assert_array_equal(total, [4, 4])
