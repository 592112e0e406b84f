"""What is small on the disk and large in memory is read within 1 GB, or refused in a sentence.

Files are those of benchmarks/recording_members.py that take a few seconds to write.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MEMBERS = {
    "an ordinary recording": "read",
    "bins of 1 ms over 100 s": "read",
    "bins of 1 ms over 100 s for many neuroids": "declares 24.0 GB",
    "table of 100000 columns": "has 100,005 columns; tables of a recording have at most 1,000",
    "npz of a field of 100 MB": "it declares 0.1 GB",
    "hdf5 of strings never written": "has 2,000,000,000 bytes of variable length; at most",
    "hdf5 of arrays never written": "has 700,000,000 bytes of variable length; at most",
    "hdf5 of one long name": "stimulus_id holds a text of 1,000,000 characters; at most 4,096",
    "hdf5 of 20000 nested groups": "65 or more groups within each other; at most 64",
    "matlab struct of a million fields": "1,000,000 cells or fields in an array; at most 200,000",
    "matlab struct array of a million": "1,000,000 cells or fields in an array; at most 200,000",
}
"""Member -> part of what is said."""

MAX_BYTES = 1_000_000_000
"""Limit of the memory of the process that reads all of them, and of those that it starts."""

PROGRAM = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
from neurofit.data_loaders.formats import open_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.validation import validate_recording
said = []
for path in sys.argv[1:]:
    try:
        validate_recording(open_recording(path))
        said.append("read")
    except NeurofitError as error:
        said.append(str(error))
# ru_maxrss of the process itself would include the memory of the tests that started it
own = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
peak = max(int(own.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(json.dumps([said, 1024 * peak]))
"""


@pytest.fixture(scope="module")
def benchmark(repository: Path) -> Any:
    """Return the module of the benchmark that writes them."""
    spec = importlib.util.spec_from_file_location(
        "recording_members", repository / "benchmarks" / "recording_members.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="other systems count memory in other ways")
def test_it_is_read_in_little_memory_or_refused(benchmark: Any, tmp_path: Path) -> None:
    paths = []
    for number, name in enumerate(MEMBERS):
        folder = tmp_path / str(number)
        folder.mkdir()
        paths.append(benchmark.MEMBERS[name](folder))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, peak = json.loads(done.stdout)
    for (name, expected), found in zip(MEMBERS.items(), said, strict=True):
        assert expected in found, name
    assert peak < MAX_BYTES


def test_a_sidecar_of_hundreds_of_MB_is_refused_unread(benchmark: Any, tmp_path: Path) -> None:
    from neurofit.data_loaders.formats import open_recording
    from neurofit.errors import NeurofitError

    path = benchmark.MEMBERS["an ordinary recording"](tmp_path)
    with open(tmp_path / "r.json", "wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(NeurofitError, match="it has 200 MB, at most 10 are read"):
        open_recording(path)
