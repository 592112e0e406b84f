"""Fixtures of all tests: a folder for data, one thread per worker, real data, small recordings."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import settings

from neurofit.cli.app import main
from neurofit.data_loaders import register_recording
from neurofit.data_loaders.recordings import RECORDINGS
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet

REPOSITORY = Path(__file__).resolve().parent.parent
FIND = Callable[[str], Path]
Make = Callable[..., Recording]

# No time limit per example: workers share their cores. The examples are always the same, so that a
# failure belongs to the change that caused it.
settings.register_profile("neurofit", deadline=None, derandomize=True, database=None)
settings.load_profile("neurofit")

_thrown_away = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Give this run and its workers a NEUROFIT_HOME; NEUROFIT_TEST_HOME is kept between runs."""
    torch.set_num_threads(1)
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist has its controller's home
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(
            name, "1"
        )  # for the workers: they share the cores, threads would only get in the way
    kept = os.environ.get("NEUROFIT_TEST_HOME")
    if kept is None:
        config.stash[_thrown_away] = Path(tempfile.mkdtemp(prefix="neurofit-tests-"))
    os.environ["NEUROFIT_HOME"] = kept or str(config.stash[_thrown_away])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which fewer tests of Brain-Score passed than NEUROFIT_BRAINSCORE_TESTS."""
    least = int(os.environ.get("NEUROFIT_BRAINSCORE_TESTS", "0"))
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if (
        reporter is None
        or hasattr(session.config, "workerinput")
        or session.config.option.collectonly
    ):
        return
    passed = sum(
        "tests/brainscore/" in report.nodeid for report in reporter.stats.get("passed", ())
    )
    if passed < least:
        reporter.write_line(
            f"\n{passed} tests of tests/brainscore passed; "
            f"NEUROFIT_BRAINSCORE_TESTS asks for {least}",
            red=True,
        )
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_unconfigure(config: pytest.Config) -> None:
    """Throw this run's home away."""
    if _thrown_away in config.stash:
        shutil.rmtree(config.stash[_thrown_away], ignore_errors=True)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def scripts() -> Callable[[str], AbstractContextManager[Callable[[str], Any]]]:
    """Import the scripts of a folder of benchmarks/, whatever other modules share their names."""
    return _import_scripts


@contextmanager
def _import_scripts(folder: str) -> Iterator[Callable[[str], Any]]:
    scripts = REPOSITORY / "benchmarks" / folder
    names = {path.stem for path in scripts.glob("*.py")}
    path = sys.path.copy()
    others = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    sys.path.insert(0, str(scripts))
    yield import_module
    sys.path[:] = path
    for name in names & sys.modules.keys():
        del sys.modules[name]
    sys.modules.update(others)


@pytest.fixture(scope="session")
def shared() -> FIND:
    """Find a file or folder beside the repository, in ../shared; skip without that folder."""
    return lambda name: _find(REPOSITORY.parent / "shared", name)


@pytest.fixture(scope="session")
def mirror() -> FIND:
    """Find real data in NEUROFIT_MIRROR, else ../shared/data/mirror; skip without that folder."""
    given = os.environ.get("NEUROFIT_MIRROR")
    return lambda name: _find(
        Path(given) if given else REPOSITORY.parent / "shared" / "data" / "mirror", name
    )


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        pytest.skip(f"{name} is not here: there is no folder {folder}")
    if not (folder / name).exists():
        missing = f"{folder} has no {name}"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)  # the folder is there, so CI would silently test less
        pytest.skip(missing)
    return folder / name


@pytest.fixture
def make_recording() -> Callable[..., Recording]:
    """Make a small valid recording in memory.

    Stimuli "s0", "s1", ...; sites "V4-0", ... then "IT-0", ...; 10 ms bins from 70 ms.
    """

    def make(
        *,
        n_stimuli: int = 6,
        n_repetitions: int = 4,
        n_neuroids: int = 3,
        n_bins: int = 5,
        regions: tuple[str, ...] = ("V4", "IT"),
    ) -> Recording:
        rng = np.random.default_rng(0)
        stimulus_ids = np.array([f"s{i}" for i in range(n_stimuli)])
        starts = 70 + 10 * np.arange(n_bins)
        return Recording(
            name="small",
            responses=xr.DataArray(
                rng.poisson(
                    2, size=(n_stimuli * n_repetitions, n_neuroids * len(regions), n_bins)
                ).astype(np.float32),
                dims=("presentation", "neuroid", "time_bin"),
                coords={
                    "stimulus_id": ("presentation", np.tile(stimulus_ids, n_repetitions)),
                    "repetition": ("presentation", np.repeat(np.arange(n_repetitions), n_stimuli)),
                    "neuroid_id": (
                        "neuroid",
                        [f"{region}-{i}" for region in regions for i in range(n_neuroids)],
                    ),
                    "region": ("neuroid", np.repeat(regions, n_neuroids)),
                    "time_bin_start": ("time_bin", starts),
                    "time_bin_end": ("time_bin", starts + 10),
                },
            ),
            stimuli=StimulusSet(
                name="small-stimuli",
                table=pd.DataFrame({"stimulus_id": stimulus_ids}),
                images=[np.full((8, 8, 3), i, dtype=np.uint8) for i in range(n_stimuli)],
                visual_degrees=8.0,
                duration_ms=100.0,
            ),
            simulated=True,
        )

    return make


@pytest.fixture
def neurofit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Run the command in an empty folder, 80 columns wide; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NEUROFIT_DEBUG", "")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["neurofit", *arguments])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def registered(
    evoked: Callable[[], Recording], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Recording], None]:
    """Register a recording as "small" for this test only."""
    monkeypatch.setattr(RECORDINGS, "_entries", dict(RECORDINGS._entries))

    def register(recording: Recording) -> None:
        RECORDINGS._entries.pop("small", None)

        def load(progress: Any = None) -> Recording:
            """A recording of the tests."""  # noqa: D401
            return recording

        register_recording(name="small", regions=("V4", "IT"), simulated=True, citation="")(load)

    register(evoked())
    return register


@pytest.fixture
def evoked(make_recording: Make) -> Callable[[], Recording]:
    """Make a recording of 60 noise images whose sites see the brightness of a place.

    Four bins of 10 ms from 70 ms.
    """
    return lambda: _evoked(make_recording)


def _evoked(make_recording: Make) -> Recording:
    recording = make_recording(n_stimuli=60, n_repetitions=8, n_neuroids=6, n_bins=4)
    images = (
        np.random.default_rng(0)
        .integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
        .repeat(8, axis=1)
        .repeat(8, axis=2)
    )
    seen = images[:, :, :, 0].reshape(60, -1)[:, :: 4096 // 12][:, :12].astype(float)
    rates = np.repeat(seen[recording.stimulus_rows][:, :, None] / 64.0, 4, axis=2)
    responses = recording.responses.copy(
        data=np.random.default_rng(1).poisson(rates).astype(np.float32)
    )
    return replace(
        recording, responses=responses, stimuli=replace(recording.stimuli, images=images)
    )


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


class WriteBundle(Protocol):
    def __call__(
        self,
        prefix: Path,
        variables: Mapping[str, npt.NDArray[Any]],
        *,
        n_shards: int = 1,
        append: Mapping[str, bytes] | None = None,
        edit: Callable[[bytes], bytes] = bytes,
        compression: int = 0,
    ) -> Path: ...


@pytest.fixture(scope="session")
def write_bundle() -> WriteBundle:
    """Write a TensorFlow V2 checkpoint and return the path of its index.

    `append` adds bytes to a variable's entry ("": to the header), `edit` changes a block before its
    checksum.
    """
    return _write_bundle


def _write_bundle(
    prefix: Path,
    variables: Mapping[str, npt.NDArray[Any]],
    *,
    n_shards: int = 1,
    append: Mapping[str, bytes] | None = None,
    edit: Callable[[bytes], bytes] = bytes,
    compression: int = 0,
) -> Path:
    import google_crc32c

    def masked(content: bytes) -> bytes:
        crc: int = google_crc32c.value(content)
        return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")

    dtypes = {"float32": 1, "float64": 2, "int32": 3, "int64": 9}
    shards = [b""] * n_shards
    entries = {"": b"\x08" + _varint(n_shards)}
    for i, name in enumerate(sorted(variables)):
        values = np.asarray(variables[name])
        content = values.tobytes()
        shape = b"".join(b"\x12" + _sized(b"\x08" + _varint(n)) for n in values.shape)
        places = zip(
            (1, 3, 4, 5),
            (dtypes[values.dtype.name], i % n_shards, len(shards[i % n_shards]), len(content)),
            strict=True,
        )
        numbers = b"".join(_varint(field << 3) + _varint(number) for field, number in places)
        entries[name] = numbers + b"\x12" + _sized(shape) + b"\x35" + masked(content)
        shards[i % n_shards] += content
    pairs = [
        (name.encode(), entry + (append or {}).get(name, b"")) for name, entry in entries.items()
    ]

    table = b""

    def add_block(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Append a block to the table and return its handle."""
        nonlocal table
        block = edit(_block(entries)) + bytes([compression])
        handle = _varint(len(table)) + _varint(len(block) - 1)
        table += block + masked(block)
        return handle

    index = [
        (chunk[-1][0], add_block(chunk))
        for chunk in (pairs[i : i + 5] for i in range(0, len(pairs), 5))
    ]
    footer = add_block([]) + add_block(index)
    table += footer.ljust(40, b"\0") + (0xDB4775248B80FB57).to_bytes(8, "little")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    for i, content in enumerate(shards):
        Path(f"{prefix}.data-{i:05d}-of-{n_shards:05d}").write_bytes(content)
    path = Path(f"{prefix}.index")
    path.write_bytes(table)
    return path


def _block(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a LevelDB block.

    Every third key is whole; the others share what they can with the one before.
    """
    content, last, restarts = b"", b"", [0]
    for i, (key, value) in enumerate(entries):
        different = [a != b for a, b in zip(last, key, strict=False)]
        shared = [*different, True].index(True) if i % 3 else 0
        if i and not i % 3:
            restarts.append(len(content))
        content += (
            _varint(shared)
            + _varint(len(key) - shared)
            + _varint(len(value))
            + key[shared:]
            + value
        )
        last = key
    return content + b"".join(n.to_bytes(4, "little") for n in (*restarts, len(restarts)))


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(value: int) -> bytes:
    groups = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
