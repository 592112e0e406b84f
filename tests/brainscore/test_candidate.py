"""A model or benchmark of Brain-Score is a model or recording of `neurofit score`.

It gives the numbers that it gives there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import brainscore_vision
import numpy as np
import pytest
from typer.testing import CliRunner

from neurofit.brainscore import TemporalPredictivityBenchmark, unregister
from neurofit.cli.app import app
from neurofit.config.registry import Registry
from neurofit.data_loaders import register_recording
from neurofit.data_loaders.recordings import RECORDINGS
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording


@pytest.fixture
def recording(
    planted: Callable[..., Recording], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Recording]:
    """Register a planted recording as "planted" and as a benchmark of Brain-Score's."""
    made = planted(start=100)
    entries: Registry[Any] = Registry("recording")
    entries._entries = dict(RECORDINGS._entries)
    monkeypatch.setattr("neurofit.data_loaders.recordings.RECORDINGS", entries)
    register_recording(name="planted", regions=("IT",), simulated=True, citation="")(
        lambda progress: made
    )
    monkeypatch.chdir(tmp_path)
    yield made
    unregister()


def scored(*arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(
        app,
        ["score", "--region", "IT", "--mapping", "ridge", "--json", *arguments],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def test_a_model_that_goes_through_brainscore_scores_as_by_itself(recording: Recording) -> None:
    theirs = scored("--recording", "planted", "--model", "brainscore:neurofit-timedecay_tiny")
    ours = scored("--recording", "planted", "--model", "timedecay_tiny")
    assert theirs["model"] == "neurofit-timedecay_tiny"
    assert theirs["series"] == {"layer": ["IT"]}
    assert ours["series"] == {"layer": ["conv5"]}
    for name in ("curve", "curve_low", "curve_explained_variance", "ceiling"):
        np.testing.assert_allclose(
            np.array(theirs[name], float), np.array(ours[name], float), atol=1e-6
        )


def test_a_score_is_printed_with_its_curve(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    benchmark = TemporalPredictivityBenchmark(recording, region="IT", mapping="ridge")
    monkeypatch.setattr("neurofit.brainscore.registration.benchmark", lambda *_: benchmark)
    done = CliRunner().invoke(
        app,
        ["brainscore", "score", "neurofit-timedecay_tiny", "neurofit-hvm-sim.IT"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    value = float(benchmark(brainscore_vision.load_model("neurofit-timedecay_tiny")).values)
    assert f"neurofit-timedecay_tiny on neurofit-hvm-sim.IT: {value:.4f}" in done.stdout
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == [
        "100-110",
        "110-120",
        "120-130",
    ]


@pytest.mark.parametrize("option", ["--model", "--recording"])
def test_an_unknown_identifier_is_said(option: str, recording: Recording) -> None:
    typed, meant = {
        "--model": ("neurofit-timedecay_tinny", "neurofit-timedecay_tiny"),
        "--recording": ("MajajHong2015public.IT-plz", "MajajHong2015public.IT-pls"),
    }[option]
    known = {"--model": "timedecay_tiny", "--recording": "planted"} | {
        option: f"brainscore:{typed}"
    }
    kind = "model" if option == "--model" else "benchmark"
    with pytest.raises(
        NeurofitError,
        match=rf"Unknown {kind} of Brain-Score '{typed}'\. Did you mean '{meant}'\?\nExisting: ",
    ):
        scored(*(part for pair in known.items() for part in pair))
