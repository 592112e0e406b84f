"""What `neurofit score --baselines` prints and writes."""

import json
import re
from pathlib import Path
from typing import Any

from neurofit.activations.baselines import BASELINES
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
        difference = float((model.curve - baseline.curve).mean())
        printed = [float(each) for each in re.findall(r"-?\d+\.\d+", " ".join(rows[name]))]
        assert min(abs(each - difference) for each in printed) < 0.0051  # two digits or more
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
