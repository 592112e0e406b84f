"""What the commands about recordings print: ceiling, describe."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from neurofit.recordings.recording import Recording

CEILING = ("ceiling", "--recording", "small", "--region", "IT", "--out", "here")


def with_silent_sites(evoked: Callable[[], Recording]) -> Recording:
    """Return the evoked recording in which two of the six sites of IT do not see the images."""
    recording = evoked()
    it = np.flatnonzero(recording.responses.region.values == "IT")
    recording.responses.values[:, it[:2]] = np.random.default_rng(2).poisson(2, size=(480, 2, 4))
    return recording


def test_a_ceiling_says_its_curve_what_the_interval_is_over_and_writes_three_files(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    code, out, err = neurofit(*CEILING)
    assert code == 0, err
    assert "Note" not in err  # nothing is left out
    assert "IT of small (SIMULATED)" in out
    assert "60 images, 480 presentations, 6 neuroids" in out
    for start in (70, 80, 90, 100):
        assert f"{start}-{start + 10}" in out
    assert "interval: 95%, 1000 bootstraps over neuroids and stimuli" in " ".join(out.split())
    assert max(len(line) for line in out.splitlines()) <= 80
    files = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert files == ["plot.png", "result.nc", "summary.json"]
    code, out, _ = neurofit(*CEILING, "--interval-over", "neuroids", "--json")
    words = json.loads(out)["intervals"]["curve"]
    assert words == "95%, 1000 bootstraps over neuroids"
    code, _, err = neurofit(*CEILING, "--interval-over", "sites")
    assert code == 2
    assert "Unknown --interval-over 'sites'" in err


def test_a_part_of_an_area_is_one_for_scores_and_ceilings(
    neurofit: Any, registered: Any, evoked: Any
) -> None:
    recording = evoked()
    responses = recording.responses
    parts = np.where(responses.region.values == "IT", np.tile(["aIT", "pIT", "aIT"], 4), "")
    parted = responses.assign_coords(subregion=("neuroid", parts))
    registered(replace(recording, responses=parted))
    whole = ("--recording", "small", "--json")
    n = int((parts == "aIT").sum())
    for command in (("ceiling",), ("score", "--model", "timedecay_tiny", "--mapping", "ridge")):
        code, by_name, _ = neurofit(*command, *whole, "--region", "aIT")
        assert code == 0
        _, by_both, _ = neurofit(*command, *whole, "--region", "IT", "--subregion", "aIT")
        one = json.loads(by_name)
        assert one == json.loads(by_both)
        assert (one["region"], one["selection"]) == ("IT", {"subregion": "aIT"})
    assert json.loads(neurofit("ceiling", *whole, "--region", "aIT")[1])["n_neuroids"] == [n] * 4


def test_what_a_part_is_called_is_drawn_as_it_stands_and_has_a_folder_of_its_own(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path
) -> None:
    recording = evoked()
    kinds = np.where(np.arange(60) % 2, "$x^$ y", "a b")
    table = recording.stimuli.table.assign(kind=kinds)
    registered(replace(recording, stimuli=replace(recording.stimuli, table=table)))
    for name, n in (("one", 20), ("two", 30)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ids.txt").write_text("\n".join(f"s{i}" for i in range(n)))
    for choice in ("kind=$x^$ y", "kind=a b", "one/ids.txt", "two/ids.txt"):
        code, out, err = neurofit(*CEILING[:-2], "--stimuli", choice)
        assert code == 0, err
        assert "Written: " in out
    folders = list((tmp_path / "neurofit-results").iterdir())
    assert len(folders) == 4
    assert all((folder / "plot.png").is_file() for folder in folders)


def test_ctrl_c_is_said_and_exits_with_130(
    neurofit: Any, registered: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    reliability = import_module("neurofit.recordings.reliability")
    monkeypatch.setattr(reliability, "_correlate_halves", interrupted)
    code, out, err = neurofit(*CEILING)
    assert code == 130
    assert "Interrupted; partial files were removed." in err
    assert "Written" not in out


def test_a_ceiling_says_its_selection_and_what_it_replaces_and_divides_no_bins(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    code, out, err = neurofit(*CEILING, "--bins", "70:110:5")
    said = (
        "New time bins must not divide recorded ones, whose responses would be repeated: "
        "70-80 ms of small (4 in all). Nearest: --bins 70:110:10."
    )
    assert code == 2
    assert said in " ".join(err.split())
    assert "Written" not in out
    _, out, err = neurofit(*CEILING, "--bins", "70:110:20")
    assert "Selection: bins 70:110:20." in out
    assert "Written: here/result.nc" in out
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    assert summary["selection"] == {"bins": "70:110:20"}
    _, out, err = neurofit(*CEILING, "--bins", "70:110:20")
    assert "Replaced: here/result.nc" in out


def test_a_ceiling_of_two_stimuli_is_refused_and_an_error_is_printed_as_it_is(
    neurofit: Any, registered: Any, tmp_path: Path
) -> None:
    (tmp_path / "two.txt").write_text("s0\ns1\n")
    code, _, err = neurofit(*CEILING, "--stimuli", "two.txt")
    assert code == 2
    said = "A reliability is a correlation over stimuli and needs at least 3; small has 2."
    assert said in " ".join(err.split())
    code, _, err = neurofit(*CEILING, "--bins", "abc")
    assert code == 2
    assert "--bins takes START:END:WIDTH in ms" in " ".join(err.split())


def test_a_ceiling_leaves_unreliable_sites_out_and_says_how_many(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path
) -> None:
    registered(with_silent_sites(evoked))
    whole = json.loads(neurofit(*CEILING, "--json")[1])
    code, out, err = neurofit(*CEILING, "--min-reliability", "0.5")
    assert code == 0
    assert "Note: Dropped 2 neuroids with a reliability below 0.5." in err
    assert "480 presentations, 4 neuroids" in out
    with xr.open_dataset(tmp_path / "here" / "result.nc", engine="h5netcdf") as kept:
        assert kept.neuroid_id.values.tolist() == ["IT-2", "IT-3", "IT-4", "IT-5"]
        assert kept.n_neuroids.values.tolist() == [4, 4, 4, 4]
        selection = json.loads(kept.attrs["selection"])
        assert selection == {"min_reliability": 0.5, "dropped_neuroids": 2}
    summary = json.loads((tmp_path / "here" / "summary.json").read_text())
    assert all(kept > before for kept, before in zip(summary["curve"], whole["curve"], strict=True))
    code, out, err = neurofit(*CEILING, "--min-reliability", "0.999")
    assert (code, out) == (2, "")
    assert re.search(
        r"No neuroid of small has a reliability of 0\.999; the highest is 0\.9\d\.", err
    )


@pytest.mark.parametrize(
    ("name", "bring", "then"),
    [
        (
            "majajhong2015",
            "neurofit data get majajhong2015",
            "score --model rgc_tiny --recording majajhong2015 --region IT --bins 70:250:20",
        ),
        (
            "majajhong2015-static",
            "neurofit data get majajhong2015-static",
            "score --model rgc_tiny --recording majajhong2015-static --region IT",
        ),
        (
            "kar2019",
            "put Brain-Score's assy_dicarlo_Kar2019.nc into NEUROFIT_MIRROR/kar2019",
            "kar2019.load_solution_times() in Python",
        ),
        (
            "papale2025",
            "neurofit data get papale2025 downloads the responses; the images are not",
            "ceiling --recording papale2025 --region IT",
        ),
        (
            "freemanziemba2013",
            "neurofit data get freemanziemba2013",
            "--region V2 --bins 50:200:10 --layers all",
        ),
        (
            "zhang2011",
            "neurofit data get zhang2011",
            "neurofit ceiling --recording zhang2011 --region IT",
        ),
        (
            "cowley2023",
            "neurofit data get cowley2023",
            "score --model rgc_tiny --recording cowley2023 --region V4",
        ),
        (
            "cowley2023-201016",
            "neurofit data get cowley2023-201016",
            "neurofit ceiling --recording cowley2023-201016 --region V4",
        ),
        (
            "hvm-sim",
            "neurofit data get hvm-sim builds it once; nothing is downloaded",
            "--recording hvm-sim --region IT",
        ),
    ],
)
def test_describe_says_the_next_step_where_data_are_not_here(
    neurofit: Any, own_home: Path, name: str, bring: str, then: str
) -> None:
    code, out, _ = neurofit("describe", name)
    assert code == 0
    told = " ".join(out.split())  # as if the lines were not folded
    missing = "files not downloaded: "
    assert (
        f"{missing}{bring}" in told
        or f"{missing}the download requires credentials; {bring}" in told
    )
    assert then in told
    assert ("neurofit data get" in told) == (name != "kar2019")


def test_what_an_interrupted_download_left_is_not_taken_for_the_files(
    neurofit: Any, own_home: Path
) -> None:
    (own_home / "recordings" / "cowley2023").mkdir(parents=True)
    (own_home / "recordings" / "cowley2023" / "responses_210325.npy.part").write_bytes(b"x")
    assert "not downloaded" in neurofit("describe", "cowley2023")[1]
    (own_home / "recordings" / "cowley2023" / "responses_210325.npy").write_bytes(b"x")
    out = " ".join(neurofit("describe", "cowley2023")[1].split())
    assert "not downloaded" not in out
    assert "files cached" in out
