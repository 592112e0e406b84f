"""Runs that would not end, or not fit into memory, are refused by arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import neurofit
from neurofit import Compute, RunConfig, ScoreConfig, Selection, make_config
from neurofit.activations import extract as extraction
from neurofit.config.compute import total_bytes
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording
from neurofit.results.folder import alone_in

CONFIG = RunConfig(
    model="timedecay_tiny",
    recording="small",
    selection=Selection(region="IT"),
    analysis=ScoreConfig(n_splits=2, n_halves=2, min_z=0.0),
)


@pytest.mark.parametrize(
    ("analysis", "compute", "said"),
    [
        (make_config(n_splits=2, n_halves=10**9), {}, r"16,000,000,008 maps would have to be"),
        (make_config(n_splits=10**9, n_halves=2), {}, r"maps would have to be fitted"),
        (make_config("nayebi2022", n_bootstraps=10**10), {}, r"GB, but the machine has"),
        (CONFIG.analysis, {"memory": 1e-6}, r"GB, but memory is limited to 1e-06 GB"),
    ],
)
def test_too_much_is_refused_before_an_image_is_shown(
    registered: Any,
    monkeypatch: pytest.MonkeyPatch,
    analysis: ScoreConfig,
    compute: dict[str, Any],
    said: str,
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise AssertionError("an image is shown")

    monkeypatch.setattr(extraction, "extract", refuse)
    config = replace(CONFIG, analysis=analysis, compute=Compute(**compute))
    with pytest.raises(NeurofitError, match=said):
        neurofit.run(config)


def test_enough_memory_is_enough(registered: Any) -> None:
    result = neurofit.run(replace(CONFIG, compute=Compute(memory=total_bytes() / 1e9)))
    assert result.equals(neurofit.run(CONFIG))


def test_the_memory_of_the_machine_is_that_of_the_kernel() -> None:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = int(next(line for line in lines if line.startswith("MemTotal")).split()[1])
    assert 0 < total_bytes() <= 1024 * kilobytes


def test_two_processes_do_not_write_to_one_folder(
    neurofit: Callable[..., tuple[int, str, str]],
    registered: Callable[[Recording], None],
    tmp_path: Path,
) -> None:
    command = ("score", "--model", "timedecay_tiny", "--recording", "small", "--region", "IT")
    options = ("--n-splits", "2", "--n-halves", "2", "--min-z", "0", "--out", "out")
    with alone_in(tmp_path / "out"):
        code, _, err = neurofit(*command, *options)
        assert code == 2
        assert "Another process is writing its result to out" in err
    assert not (tmp_path / "out").exists()
    code, _, _ = neurofit(*command, *options)
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "plot.png",
        "result.nc",
        "summary.json",
    ]
