"""What `neurofit verify` prints, and its exit code."""

from pathlib import Path
from typing import Any

import xarray as xr

from neurofit.results.io import load_result, save_result
from neurofit.results.provenance import RUN

SCORE = (
    *("score", "--model", "timedecay_tiny", "--recording", "small", "--region", "IT"),
    *("--n-splits", "2", "--n-halves", "2", "--out", "here"),
)


def test_a_result_of_the_command_line_is_verified(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    assert neurofit(*SCORE)[0] == 0
    code, out, err = neurofit("verify", "here")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"Repeated: neurofit {' '.join(SCORE[:-2])}"
    n = len(load_result(tmp_path / "here").variables)
    assert lines[1:] == [f"Equal to the bit: {n} variables and coordinates."]


def test_what_differs_is_a_table_of_80_columns_and_the_exit_code_is_1(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    assert neurofit(*SCORE)[0] == 0
    result = load_result(tmp_path / "here")
    result["influence_of_neuroids"] = result.influence_of_neuroids.copy(
        data=2 * result.influence_of_neuroids.values
    )
    weights = result.attrs["activations"].replace('"weights_sha256": "', '"weights_sha256": "0')
    versions = result.attrs["versions"].replace('"numpy": "', '"numpy": "0.')
    result.attrs |= {"recording_sha256": "f" * 64, "activations": weights, "versions": versions}
    result.attrs["control"] = "none of the models that a reader could think of by name"
    save_result(result, tmp_path / "here" / "result.nc")
    code, out, _ = neurofit("verify", "here/result.nc")
    assert code == 1
    lines = out.splitlines()
    assert lines[1] == "Different."
    assert max(map(len, lines[1:])) <= 80
    kinds = [line.split()[0] for line in lines[3:-1] if not line.startswith(" ")]
    assert kinds == ["data", "weights", "attribute", "number", "version"]
    assert "ffffffffffff..." in out
    assert "influence_of_neuroids" in out
    assert lines[-1] == "by: largest difference in the variable"


def test_the_largest_of_the_small_differences_is_said(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    assert neurofit(*SCORE)[0] == 0
    result: xr.Dataset = load_result(tmp_path / "here")
    result["ceiling"] = result.ceiling.copy(data=result.ceiling.values * (1 + 1e-8))
    save_result(result, tmp_path / "here" / "result.nc")
    code, out, _ = neurofit("verify", "here")
    assert code == 0
    assert "Equal to 1e-6: " in out
    assert "1.0e-08 of the largest value, in ceiling." in out


def test_a_result_that_cannot_be_repeated_is_refused_with_1(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    assert neurofit(*SCORE)[0] == 0
    result = load_result(tmp_path / "here")
    del result.attrs[RUN]
    save_result(result, tmp_path / "here" / "result.nc")
    code, _, err = neurofit("verify", "here")
    assert (code, "its attribute 'run' is missing" in err) == (1, True)
    assert neurofit("verify", "nowhere")[0] == 2
