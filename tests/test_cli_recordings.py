"""What a person sees of the commands about recordings: ceiling, describe."""

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

from neurofit.assemblies import Recording


def with_silent_sites(evoked: Callable[[], Recording]) -> Recording:
    """Return the evoked recording with two of the six sites of IT whose spikes have nothing to do with the pictures."""
    recording = evoked()
    it = np.flatnonzero(recording.responses.region.values == "IT")
    recording.responses.values[:, it[:2]] = np.random.default_rng(2).poisson(2, size=(480, 2, 4))
    return recording


CEILING = ("ceiling", "--recording", "small", "--region", "IT", "--out", "here")


def test_a_ceiling_says_its_curve_what_the_interval_is_over_and_writes_three_files(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    code, out, err = neurofit(*CEILING)
    assert code == 0
    assert "Note" not in err  # nothing is left out
    assert "IT of small (SIMULATED): 6 neuroids" in out
    for start in (70, 80, 90, 100):
        assert f"{start}-{start + 10}" in out
    assert "interval: 95%, 1000 bootstraps over neuroids and stimuli" in " ".join(out.split())
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["ceiling.json", "ceiling.nc", "ceiling.png"]
    code, out, _ = neurofit(*CEILING, "--bootstrap-over", "neuroids", "--json")
    assert json.loads(out)["interval"] == "95%, 1000 bootstraps over neuroids"
    code, _, err = neurofit(*CEILING, "--bootstrap-over", "sites")
    assert code == 2
    assert "Unknown --bootstrap-over 'sites'" in err


def test_a_part_of_an_area_is_one_for_scores_and_ceilings(neurofit: Any, registered: Any, evoked: Any) -> None:
    recording = evoked()
    parts = np.where(recording.responses.region.values == "IT", np.tile(["aIT", "pIT", "aIT"], 4), "")
    registered(replace(recording, responses=recording.responses.assign_coords(subregion=("neuroid", parts))))
    whole = ("--recording", "small", "--json")
    n = int((parts == "aIT").sum())
    for command in (("ceiling",), ("score", "--model", "timedecay_tiny", "--mapping", "ridge")):
        code, by_name, _ = neurofit(*command, *whole, "--region", "aIT")
        assert code == 0
        _, by_both, _ = neurofit(*command, *whole, "--region", "IT", "--subregion", "aIT")
        assert json.loads(by_name) == json.loads(by_both)
        assert (json.loads(by_name)["region"], json.loads(by_name)["selection"]) == ("IT", {"subregion": "aIT"})
    assert json.loads(neurofit("ceiling", *whole, "--region", "aIT")[1])["n_neuroids"] == [n] * 4


def test_what_a_part_is_called_is_drawn_as_it_stands_and_has_a_folder_of_its_own(
    neurofit: Any, registered: Any, evoked: Any, tmp_path: Path
) -> None:
    recording = evoked()
    kinds = np.where(np.arange(60) % 2, "$x^$ y", "a b")
    registered(replace(recording, stimuli=replace(recording.stimuli, table=recording.stimuli.table.assign(kind=kinds))))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ids.txt").write_text("\n".join(f"s{i}" for i in range(20 if name == "one" else 30)))
    for choice in ("kind=$x^$ y", "kind=a b", "one/ids.txt", "two/ids.txt"):
        code, out, err = neurofit("ceiling", "--recording", "small", "--region", "IT", "--stimuli", choice)
        assert code == 0, err
        assert "Written: " in out
    folders = [each.name for each in (tmp_path / "neurofit-results").iterdir()]
    assert len(folders) == 4
    assert all((tmp_path / "neurofit-results" / name / "ceiling.png").is_file() for name in folders)


def test_ctrl_c_is_said_and_exits_with_130(neurofit: Any, registered: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("neurofit.ceiling"), "_halves_agree", interrupted)
    code, out, err = neurofit(*CEILING)
    assert code == 130
    assert "Interrupted; nothing half-written was kept." in err
    assert "Written" not in out


def test_a_ceiling_says_its_selection_what_it_replaces_and_that_bins_are_shared(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    _, out, err = neurofit(*CEILING, "--bins", "70:110:5")
    said = "Note: bins of 70:110:5 ms share recorded ones, which were not divided in time: 70-80, 80-90, 90-100 ... ms."
    assert said in " ".join(err.split())
    assert "bins 70:110:5" in out
    assert "Written: here/ceiling.nc" in out
    assert json.loads((tmp_path / "here" / "ceiling.json").read_text())["selection"] == {"bins": "70:110:5"}
    _, out, err = neurofit(*CEILING, "--bins", "70:110:20")
    assert "share" not in err
    assert "Replaced: here/ceiling.nc" in out


def test_a_ceiling_of_two_stimuli_is_refused_and_an_error_is_printed_as_it_is(neurofit: Any, registered: Any, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("s0\ns1\n")
    code, _, err = neurofit(*CEILING, "--stimuli", "two.txt")
    assert code == 2
    assert "A reliability is a correlation over stimuli: it takes 3; 2 are chosen." in " ".join(err.split())
    code, _, err = neurofit(*CEILING, "--bins", "abc")
    assert code == 2
    assert "--bins takes START:END:WIDTH in ms" in " ".join(err.split())


def test_a_ceiling_leaves_unreliable_sites_out_and_says_how_many(neurofit: Any, registered: Any, evoked: Any, tmp_path: Path) -> None:
    registered(with_silent_sites(evoked))
    whole = json.loads(neurofit(*CEILING, "--json")[1])
    code, out, err = neurofit(*CEILING, "--min-reliability", "0.5")
    assert code == 0
    assert "Note: Neuroids with a reliability under 0.5, which are left out: 2." in err
    assert "IT of small (SIMULATED): 4 neuroids" in out
    with xr.open_dataset(tmp_path / "here" / "ceiling.nc", engine="h5netcdf") as kept:
        assert kept.neuroid_id.values.tolist() == ["IT-2", "IT-3", "IT-4", "IT-5"]
        assert kept.n_neuroids.values.tolist() == [4, 4, 4, 4]
        assert json.loads(kept.attrs["selection"]) == {"min_reliability": 0.5, "left_out": 2}
    summary = json.loads((tmp_path / "here" / "ceiling.json").read_text())
    assert all(kept > before for kept, before in zip(summary["curve"], whole["curve"], strict=True))
    code, out, err = neurofit(*CEILING, "--min-reliability", "0.999")
    assert (code, out) == (2, "")
    assert re.search(r"No neuroid of small has a reliability of 0\.999; the highest is 0\.9\d\.", err)


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
        ("kar2019", "put Brain-Score's assy_dicarlo_Kar2019.nc into NEUROFIT_MIRROR/kar2019", "kar2019.load_solution_times() in Python"),
        (
            "papale2025",
            "neurofit data get papale2025 brings the responses; the pictures are not",
            "ceiling --recording papale2025 --region IT",
        ),
        ("freemanziemba2013", "neurofit data get freemanziemba2013", "--region V2 --bins 50:200:10 --layer all"),
        ("zhang2011", "neurofit data get zhang2011", "neurofit ceiling --recording zhang2011 --region IT"),
        ("cowley2023", "neurofit data get cowley2023", "score --model rgc_tiny --recording cowley2023 --region V4"),
        ("cowley2023-201016", "neurofit data get cowley2023-201016", "neurofit ceiling --recording cowley2023-201016 --region V4"),
        ("hvm-sim", "neurofit data get hvm-sim builds it, once; nothing is downloaded", "--recording hvm-sim --region IT"),
    ],
)
def test_describe_says_the_next_step_where_data_are_not_here(neurofit: Any, own_home: Path, name: str, bring: str, then: str) -> None:
    code, out, _ = neurofit("describe", name)
    assert code == 0
    told = " ".join(out.split())  # as if the lines were not folded
    assert f"files not here yet: {bring}" in told or f"files not here yet: its address asks for credentials; {bring}" in told
    assert then in told
    assert ("neurofit data get" in told) == (name != "kar2019")


def test_what_an_interrupted_download_left_is_not_taken_for_the_files(neurofit: Any, own_home: Path) -> None:
    (own_home / "recordings" / "cowley2023").mkdir(parents=True)
    (own_home / "recordings" / "cowley2023" / "responses_210325.npy.part").write_bytes(b"x")
    assert "not here yet" in neurofit("describe", "cowley2023")[1]
    (own_home / "recordings" / "cowley2023" / "responses_210325.npy").write_bytes(b"x")
    assert "not here yet" not in neurofit("describe", "cowley2023")[1]
