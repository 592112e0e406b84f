"""Names of stimuli, neuroids and regions stay as they are written, in every table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurofit.data_loaders import open_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.stimuli import ImageFiles
from neurofit.recordings.validation import validate_recording

IDS = ["001", "01", "1", "1.10", "1.1", "1e3", "NA", "nan", "None"]
N = len(IDS)


def write_folder(
    folder: Path, *, ids: list[str], sites: list[str], stimulus: str = "stimulus_id"
) -> None:
    """Write spike tables of areas called NA and 01, with one presentation of each stimulus.

    Site s has s + p spikes in presentation p.
    """
    spikes = [
        f"{site},{p},1.5"
        for s, site in enumerate(sites)
        for p in range(len(ids))
        for _ in range(s + p)
    ]
    (folder / "spikes.csv").write_text("\n".join(["unit,presentation,time_ms", *spikes]))
    (folder / "presentations.csv").write_text(
        "\n".join([f"presentation,{stimulus}", *(f"{p},{i}" for p, i in enumerate(ids))])
    )
    (folder / "neuroids.csv").write_text(
        "\n".join(["site,area", *(f"{i},{('NA', '01')[s % 2]}" for s, i in enumerate(sites))])
    )
    (folder / "recording.json").write_text(
        '{"bins": [0, 10, 10], "words": {"picture": "stimulus_id"}}'
    )


@pytest.mark.parametrize("stimulus", ["stimulus_id", "image_id", "condition", "picture"])
def test_ids_and_regions_of_spike_tables_stay_themselves(tmp_path: Path, stimulus: str) -> None:
    write_folder(tmp_path, ids=IDS, sites=IDS[::-1], stimulus=stimulus)
    responses = open_recording(tmp_path).responses
    assert responses.stimulus_id.values.tolist() == IDS
    assert responses.neuroid_id.values.tolist() == IDS[::-1]
    assert responses.region.values.tolist() == ["NA", "01"] * (N // 2) + ["NA"]
    assert responses.repetition.values.tolist() == [0] * N
    np.testing.assert_array_equal(
        responses.values[..., 0], np.add.outer(np.arange(N), np.arange(N))
    )


def test_sites_are_found_where_one_table_has_only_numbers(tmp_path: Path) -> None:
    write_folder(tmp_path, ids=["a", "b"], sites=["1", "2"])
    with open(tmp_path / "neuroids.csv", "a") as table:
        table.write("\n7b,IT")
    assert open_recording(tmp_path).responses.values[..., 0].tolist() == [[0, 1, 0], [1, 2, 0]]


def test_ids_in_one_table_of_spikes_stay_themselves(tmp_path: Path) -> None:
    rows = [f"{site},NA,{image},0,1.5" for site in ("7", "07") for image in IDS]
    (tmp_path / "x.csv").write_text("\n".join(["unit,area,image,trial,time_ms", *rows]))
    responses = open_recording(tmp_path / "x.csv").responses
    assert sorted(responses.stimulus_id.values.tolist()) == sorted(IDS)
    assert responses.neuroid_id.values.tolist() == ["7", "07"]
    assert responses.region.values.tolist() == ["NA", "NA"]
    assert (responses.values[..., 0] == 1).all()


def test_parquet_with_numbers_for_ids_matches_texts_in_csv(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_folder(tmp_path, ids=["a", "b"], sites=["1", "2", "7b"])
    (tmp_path / "spikes.csv").unlink()
    pd.DataFrame({"unit": [1, 2, 2], "presentation": [0, 1, 1], "time_ms": [1.0, 2, 3]}).to_parquet(
        tmp_path / "spikes.parquet"
    )
    assert open_recording(tmp_path).responses.values[..., 0].tolist() == [[1, 0, 0], [0, 2, 0]]


def test_ids_of_tables_beside_an_array_stay_themselves_and_have_their_own_pictures(
    tmp_path: Path,
) -> None:
    np.save(tmp_path / "responses.npy", np.arange(N * 2.0).reshape(N, 1, 2))
    (tmp_path / "stimuli.csv").write_text("\n".join(["stim_id,animal", *(f"{i},dog" for i in IDS)]))
    (tmp_path / "neuroids.csv").write_text("neuroid_id,region\n01,NA\n1,NA\n")
    (tmp_path / "recording.json").write_text(
        '{"dims": ["stimulus", "repetition", "neuroid"], "time_bin": [50, 150]}'
    )
    (tmp_path / "stimuli").mkdir()
    for number, name in enumerate(IDS):
        Image.fromarray(np.full((2, 2, 3), number, np.uint8)).save(
            tmp_path / "stimuli" / f"{name}.png"
        )
    recording = open_recording(tmp_path)
    assert recording.responses.stimulus_id.values.tolist() == recording.stimuli.ids.tolist() == IDS
    assert recording.responses.neuroid_id.values.tolist() == ["01", "1"]
    assert recording.responses.region.values.tolist() == ["NA", "NA"]
    assert recording.responses.values[:, 0, 0].tolist() == list(range(0, 2 * N, 2))
    assert [int(recording.stimuli.images[n][0, 0, 0]) for n in range(N)] == list(range(N))


def test_a_table_beside_arrays_matches_ids_that_are_integers_or_texts(tmp_path: Path) -> None:
    held: dict[str, Any] = {
        "responses": np.arange(6.0).reshape(3, 2),
        "dims": np.array(["presentation", "neuroid"]),
        "region": np.array("IT"),
    }
    (tmp_path / "r.json").write_text('{"time_bin": [50, 150]}')
    (tmp_path / "r.stimuli.csv").write_text(
        "image_id,object_name,animal,filename\n"
        "10,car,cat,010\n9,dog,ape,09\nNA,pig,elk,1\n1,nan,elk,1\n"
    )
    (tmp_path / "r.stimuli").mkdir()
    for name in ("010", "09", "1"):
        Image.fromarray(np.zeros((2, 2, 3), np.uint8)).save(tmp_path / "r.stimuli" / f"{name}.png")
    np.savez(tmp_path / "r.npz", stimulus_id=np.array([9, 10, 9]), **held)
    recording = open_recording(tmp_path / "r.npz")
    assert recording.responses.stimulus_id.values.tolist() == [9, 10, 9]
    assert recording.stimuli.ids.tolist() == [10, 9]
    assert recording.stimuli.table.object_name.tolist() == ["car", "dog"]
    assert recording.stimuli.table.animal.tolist() == [
        "cat",
        "ape",
    ]  # that of a picture, and not of whom was recorded from
    images = recording.stimuli.images
    assert isinstance(images, ImageFiles)
    assert [path.name for path in images.paths] == ["010.png", "09.png"]
    np.savez(tmp_path / "r.npz", stimulus_id=np.array(["NA", "9", "10"]), **held)
    assert open_recording(tmp_path / "r.npz").stimuli.ids.tolist() == ["10", "9", "NA"]


def test_a_row_without_an_id_is_refused_and_an_empty_row_is_none(tmp_path: Path) -> None:
    write_folder(tmp_path, ids=["a", "b"], sites=["1", "2"])
    (tmp_path / "presentations.csv").write_text("presentation,stimulus_id\n0,a\n1,b\n,\n")
    assert open_recording(tmp_path).responses.stimulus_id.values.tolist() == ["a", "b"]
    (tmp_path / "presentations.csv").write_text("presentation,stimulus_id\n0,a\n1,\n")
    with pytest.raises(
        NeurofitError,
        match=r"presentations.csv: every row needs a stimulus_id; "
        r"it is missing in row 1, counted from 0",
    ):
        open_recording(tmp_path)


SPIKES = [f"{site},{p},{1.5 + p}" for site in "12" for p in range(2)]


@pytest.mark.parametrize(
    ("header", "rows", "said"),
    [
        ("unit,presentation,time_ms", [f"{r},9" for r in SPIKES], "Line 2 .* has 4 .* has 3 names"),
        ("unit,presentation,time_ms", [f"{r}," for r in SPIKES], "Line 2 .* has 4 .* has 3 names"),
        ("unit,presentation,time_ms", [*SPIKES, "1,0"], "Line 6 .* has 2 .* has 3 names"),
        ("unit,presentation,time_ms", [*SPIKES, "1,0,2,7"], "Line 6 .* has 4 .* has 3 names"),
        (
            "unit,presentation,time_ms",
            ['1,0,"1,5"', '2,1,"2,5"'],
            "time_ms is not a number in row 0, 1",
        ),
        ("unit,presentation,time_ms", ["1,0,1,5", "2,1,2,5"], "Line 2 .* has 4 .* has 3 names"),
        ("unit;presentation;time_ms", ["1;0;1,5"], "separated by semicolons; use commas"),
        ("unit\tpresentation\ttime_ms", ["1\t0\t1.5"], "separated by tabs; use commas"),
        ("unit,presentation;time_ms", ["1,0;1.5"], "separated by semicolons; use commas"),
        ("unit,presentation,time_ms", ["1;0;1.5"], "Line 2 .* has 1 values"),
    ],
)
def test_rows_have_the_values_that_the_header_names(
    tmp_path: Path, header: str, rows: list[str], said: str
) -> None:
    write_folder(tmp_path, ids=["a", "b"], sites=["1", "2"])
    (tmp_path / "spikes.csv").write_text("\n".join([header, *rows]))
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path)


def test_lines_without_values_and_quoted_ones_are_no_fault(tmp_path: Path) -> None:
    write_folder(tmp_path, ids=["a", "b"], sites=["1", "2"])
    rows = ["\ufeffunit,presentation,time_ms,note", *(f'{r},"a, b\n; c"' for r in SPIKES), "", "  "]
    (tmp_path / "spikes.csv").write_text("\r\n".join(rows), encoding="utf-8")
    assert open_recording(tmp_path).responses.values.sum() == 4


def test_decimal_commas_in_tables_beside_an_array_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "responses.npy", np.ones((4, 3, 2)))
    (tmp_path / "presentations.csv").write_text("stimulus_id\na\na\nb\nb\n")
    (tmp_path / "neuroids.csv").write_text("neuroid_id,region\n1,IT\n2,IT\n3,IT\n")
    bins = 'time_bin_start,time_bin_end\n"70,5","80,5"\n"80,5","90,5"\n'
    (tmp_path / "time_bins.csv").write_text(bins)
    with pytest.raises(NeurofitError, match=r"time_bin_start has the type .* Give whole numbers"):
        validate_recording(open_recording(tmp_path))


def test_a_table_of_a_hundred_thousand_columns_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["stimulus_id", "time_ms", "neuroid_id", *(f"c{n}" for n in range(100_000))]
    path = tmp_path / "wide.csv"
    path.write_text("\n".join([",".join(names), ",".join(["1"] * len(names))]))
    monkeypatch.delattr(pd, "read_csv")
    with pytest.raises(NeurofitError, match=r"has 100,003 columns; tables .* at most 1,000"):
        open_recording(path)
