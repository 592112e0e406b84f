"""The command compare: from two results to the sentence of a paper."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurofit.results.io import load_result

SCORE = ("score", "--recording", "small", "--region", "V4", "--min-z", "0")
FEW = ("--n-splits", "3", "--n-halves", "2")


@pytest.fixture
def scores(neurofit: Any, registered: Any) -> list[str]:
    """Score two models into the folders a and b."""
    for model, folder in (("rgc_tiny", "a"), ("feedforward_tiny", "b")):
        code, _, err = neurofit(*SCORE, *FEW, "--model", model, "--out", folder)
        assert code == 0, err
    return ["a", "b/result.nc"]


def test_compare_prints_the_conclusion_first_and_writes_three_files(
    neurofit: Any, scores: list[str], tmp_path: Path
) -> None:
    code, out, err = neurofit("compare", *scores, "--windows", "70:90,90:110")
    assert code == 0, err
    assert max(len(line) for line in out.splitlines() if not line.startswith("Written")) <= 80
    assert out.startswith("- Over the whole curve (4 time bins in 70-110 ms), ")
    (folder,) = (tmp_path / "neurofit-results").iterdir()
    assert folder.name == "compare_rgc_tiny_feedforward_tiny_V4_small"
    assert sorted(each.name for each in folder.iterdir()) == [
        *("plot.png", "result.nc", "summary.json"),
    ]
    result = load_result(folder)
    first = json.loads(result.attrs["conclusion"])[0]
    assert " ".join(first.split()) in " ".join(out.split())
    curves = [load_result(tmp_path / name).curve.values[0] for name in scores]
    np.testing.assert_allclose(result.difference.values[0], curves[0] - curves[1])
    again = neurofit("compare", *scores, "--windows", "70:90,90:110")[1]
    assert "Replaced: " in again


def test_json_has_the_conclusion(neurofit: Any, scores: list[str]) -> None:
    code, out, err = neurofit("compare", *scores, "--json", "--over", "stimuli", "--out", "c")
    assert code == 0, err
    summary = json.loads(out)
    assert summary["series"]["pair"] == ["rgc_tiny - feedforward_tiny"]
    assert "about these 6 neuroids" in summary["conclusion"][-1]
    assert len(summary["p_adjusted"]) == 4
    assert summary["headline"] == "difference"


def test_a_result_that_does_not_fit_is_refused_with_the_command_that_makes_it_fit(
    neurofit: Any, scores: list[str]
) -> None:
    code, _, err = neurofit(
        *SCORE, "--n-splits", "2", "--n-halves", "2", "--model", "lstm_tiny", "--out", "c"
    )
    assert code == 0, err
    code, out, err = neurofit("compare", "a", "c")
    assert code == 2
    assert not out
    said = " ".join(err.split())
    assert "the same n splits; rgc_tiny has 3, lstm_tiny has 2" in said
    command = said.split("was scored: ")[1]
    assert command == (
        "neurofit score --model lstm_tiny --recording small --region V4 --n-splits 3 "
        "--n-halves 2 --min-z 0.0"
    )
    code, _, err = neurofit(*command.split()[1:], "--out", "c")
    assert code == 0, err
    assert neurofit("compare", "a", "c")[0] == 0


def test_a_comparison_replaces_no_score(neurofit: Any, scores: list[str], tmp_path: Path) -> None:
    before = (tmp_path / "a" / "result.nc").read_bytes()
    code, out, err = neurofit("compare", *scores, "--out", "a")
    assert (code, out) == (2, "")
    assert "a has a result of score, which compare does not replace" in " ".join(err.split())
    assert (tmp_path / "a" / "result.nc").read_bytes() == before


def test_wrong_use_is_refused_in_a_line(neurofit: Any, scores: list[str]) -> None:
    for arguments, words in (
        (("a",), "takes two results or more; got 1"),
        (("a", "nothing"), "There is no result at nothing"),
        (("a", "b", "--over", "pictures"), "Unknown --over 'pictures'"),
        (("a", "b", "--windows", "middle"), "--windows takes START:END in ms, early or late"),
        (("a", "b", "--windows", "90:80"), "--windows must have START before END; got 90:80"),
        (("a", "b", "--reference", "rgc"), "Unknown --reference 'rgc'. Did you mean 'rgc_tiny'"),
    ):
        code, out, err = neurofit("compare", *arguments)
        assert (code, out) == (2, ""), arguments
        assert words in " ".join(err.split()), err
