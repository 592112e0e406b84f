"""What `neurofit score --baselines` prints and writes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.activations.baselines import BASELINES
from neurofit.analyses.comparison.paired import compare
from neurofit.results.io import load_result

SCORE = (
    *("score", "--model", "timedecay_tiny", "--recording", "small", "--region", "IT"),
    *("--n-splits", "2", "--n-halves", "2", "--min-z", "0", "--baselines"),
)


def test_each_baseline_is_written_and_the_advantage_printed(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    code, out, err = neurofit(*SCORE)
    assert code == 0, err
    assert err.count("The fits take about") == 1
    assert "s for the model, and up to as long for each baseline." in " ".join(err.split())
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert "baselines" not in folder.name
    model = load_result(folder)
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    for name in BASELINES:
        path = folder / "baselines" / name
        assert sorted(each.name for each in path.iterdir()) == [
            *("plot.png", "result.nc", "summary.json")
        ]
        baseline = load_result(path)
        assert baseline.attrs["control"] == name
        both = np.isfinite(model.curve.values) & np.isfinite(baseline.curve.values)
        means = [float(each.curve.values[both].mean()) for each in (model, baseline)]
        assert rows[name][0] == f"{means[0] - means[1]:z.3f}"
        low, high = float(rows[name][1]), float(rows[name][3])
        assert low < float(rows[name][0]) < high
        pair = compare([folder, path]).isel(pair=0)
        alone = pair.whole_difference_low.item(), pair.whole_difference_high.item()
        assert low <= alone[0] + 0.001, "the interval is for all baselines at once"
        assert high >= alone[1] - 0.001
        assert f"Written: neurofit-results/{folder.name}/baselines/{name}" in out
    assert max(len(line) for line in out.splitlines() if "neurofit-results" not in line) <= 80


def test_each_of_several_layers_has_a_row(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    code, out, err = neurofit(*SCORE, "--layers", "conv2,conv5", "--out", "here")
    assert code == 0, err
    rows = [line.split() for line in out.splitlines() if line.startswith("last-step ")]
    assert [row[1] for row in rows] == ["conv2", "conv5"]


def test_a_baseline_is_verified_from_its_folder(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    code, out, err = neurofit(*SCORE, "--json", "--out", "here")
    assert code == 0, err
    assert [each["control"] for each in json.loads(out)] == ["", *BASELINES]
    code, out, err = neurofit("verify", "here/baselines/last-step")
    assert code == 0, err
    assert "--baselines" in out
    assert "Equal to the bit" in out


def test_a_baseline_without_weights_is_scored_and_says_so(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    few = SCORE[5:-1]
    code, out, err = neurofit(
        "score", "--model", "baseline:gabor", "--recording", "small", *few, "--out", "here"
    )
    assert code == 0, err
    assert "baseline:gabor (no weights) against IT of small" in out
    assert load_result(tmp_path / "here").attrs["model"] == "baseline:gabor"
