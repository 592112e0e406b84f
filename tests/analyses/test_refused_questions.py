"""Questions about time with wrong options: one or two lines, before images pass through a model."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

import neurofit
from neurofit.analyses import run
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import Recording

Run = Callable[..., tuple[int, str, str]]

WRONG = [
    ("generalisation", "--windows 70:90,500:600", "--windows must hold a time bin; 500:600 holds"),
    ("generalisation", "--windows 90:70", "--windows must have START before END; got 90:70."),
    ("generalisation", "--n-halves 0", "--n-halves must be at least 1; got 0."),
    ("generalisation", "--min-z inf", "--min-z must be finite; got inf."),
    ("lag", "--lags 5:10", "--lags must be a range START:END within -1000:1000 that holds 0"),
    ("lag", "--lags -1e9:1e9", "got -1e+09:1e+09."),
    ("lag", "--paces nan:1", "within 0.1:10 that holds 1, the value of the one-to-one map"),
    ("geometry", "--measure ckaa", "Unknown --measure 'ckaa'. Did you mean 'cka'?"),
    ("dimensionality", "--n-groups nan", "--n-groups takes a whole number; got 'nan'."),
    ("latency", "--share 1", "--share must lie between 0 and 1; got 1.0."),
    ("latency", "--share x", "--share takes a number; got 'x'."),
    ("decoding", "--labels objekt", "Did you mean 'object'?"),
    ("decoding", "--labels object --groups objekt", "Did you mean 'object'?"),
    ("decoding", "--labels object --penalty inf", "--penalty must be finite; got inf."),
    ("decoding", "", "small has no column category or object_name.\nName another: object."),
    ("solution_times", "--labels object --threshold nan", "at most 5, to which d' is limited"),
    ("solution_times", "--labels object --threshold x", "or a column of numbers of small) 'x'."),
    ("partition", "--windows 500:600", "holds none of 4 bins in 70-110 ms."),
    ("turing", "--windows 500:600", "holds none of 4 bins in 70-110 ms."),
    ("turing", "--n-units 2", "--n-units must be at least 3; got 2."),
    ("areas", "--source V5", "Unknown region of small 'V5'. Did you mean 'V4'?"),
    ("areas", "--source V4 --max-lag -5", "--max-lag must be at least 0; got -5."),
    ("animals", "--preset mouze", "Did you mean 'mouse'?"),
]
"""Analysis, options, and what the message says."""


@pytest.mark.parametrize(("name", "options", "message"), WRONG)
def test_wrong_options_are_refused_before_images_pass_through_a_model(
    name: str,
    options: str,
    message: str,
    with_objects: Recording,
    neurofit: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def find_activations(*_: Any, **__: Any) -> None:
        raise AssertionError("images pass through the model")

    monkeypatch.setattr(run, "find_activations", find_activations)
    model = [] if name in ("areas", "animals") else ["--model", "rgc_tiny"]
    given = ["--recording", "small", "--region", "IT", *model, *options.split()]
    code, _, err = neurofit("analyse", name, *given)
    assert code == 2
    assert message in err
    assert len([line for line in err.splitlines() if not line.startswith("Note")]) <= 3


def test_a_number_too_large_for_the_memory_is_no_bug(
    with_objects: Recording, neurofit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allocate(*_: Any, **__: Any) -> None:
        np.empty(2**50, dtype=np.int64)

    monkeypatch.setattr(run, "find_activations", allocate)
    given = ["--recording", "small", "--region", "IT", "--model", "rgc_tiny"]
    code, _, err = neurofit("analyse", "latency", *given)
    assert code == 1
    assert "The memory of this machine does not suffice. Unable to allocate" in err
    assert "bug" not in err


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("animals", "neurofit analyse animals --region IT"),
        ("areas", "neurofit analyse areas --source V4 --region IT"),
        ("lag", "neurofit analyse lag --model rgc_tiny --region IT"),
    ],
)
def test_the_example_of_a_help_has_the_options_of_its_analysis(
    name: str, example: str, neurofit: Run
) -> None:
    code, out, _ = neurofit("analyse", name, "--help")
    assert code == 0
    assert f"Example: {example} " in " ".join(out.split()) + " "


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "rgc_tinny"}, "Did you mean 'rgc_tiny'"),
        ({"weights": "none.safetensors"}, "got 'none.safetensors'"),
        ({"ms_per_timestep": 5}, "ms_per_timestep is for networks of sources"),
        ({"model": "baseline:pixels", "weights": "random"}, "has no weights"),
    ],
)
def test_a_wrong_model_is_refused_before_the_recording_is_read(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    def reached(*_: Any, **__: Any) -> None:
        raise AssertionError("the recording is read")

    monkeypatch.setattr(import_module("neurofit.analyses.run"), "find_recording", reached)
    with pytest.raises(NeurofitError, match=message):
        neurofit.run(neurofit.RunConfig(**{"model": "rgc_tiny", **changes}))
