"""Spike times, in tables, raster files or NWB, are counted into half-open bins; what a session did not record is missing, not zero."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io

from neurofit.assemblies import validate_recording
from neurofit.data_loaders import load_recording, open_recording
from neurofit.errors import NeurofitError, NeurofitWarning, all_faults
from neurofit.selection import are_counts
from neurofit.stimuli import NoImages

Find = Callable[[str], Path]

STIMULI = ("cat", "dog", "cat", "dog", "cat", "dog")
REGIONS = ("V4", "IT", "IT")


def random_spikes() -> pd.DataFrame:
    """Return 200 spikes of three sites in six trials, some on the edges of bins, some before and after what is counted."""
    rng = np.random.default_rng(0)
    times = np.concatenate([rng.uniform(-50, 200, 180).round(3), np.repeat([0.0, 10.0, 20.0, 100.0], 5)])
    return pd.DataFrame({"neuroid_id": rng.choice(["a", "b", "c"], 200), "presentation": rng.integers(0, 6, 200) + 10, "time_ms": times})


def expected_counts(spikes: pd.DataFrame, *, bins: tuple[int, int, int]) -> np.ndarray:
    """Count by hand: (presentation neuroid time_bin)."""
    start, end, width = bins
    counts = np.zeros((6, 3, (end - start) // width), dtype=np.float32)
    for neuroid, presentation, time in spikes.itertuples(index=False):
        if start <= time < end:
            counts[presentation - 10, "abc".index(neuroid), int((time - start) // width)] += 1
    return counts


def write_tables(folder: Path, spikes: pd.DataFrame, *, parquet: bool = False, seconds: bool = False) -> None:
    if seconds:
        spikes = spikes.rename(columns={"time_ms": "time_s"}).assign(time_s=lambda t: t.time_s / 1e3)
    if parquet:
        spikes.to_parquet(folder / "spikes.parquet")
    else:
        spikes.to_csv(folder / "spikes.csv", index=False)
    pd.DataFrame({"presentation": range(10, 16), "image_id": STIMULI}).to_csv(folder / "presentations.csv", index=False)
    pd.DataFrame({"neuroid_id": ["a", "b", "c"], "region": REGIONS, "depth": [1.5, 2.5, 3.5]}).to_csv(folder / "neuroids.csv", index=False)


@pytest.mark.parametrize("bins", [None, (-50, 150, 25)])
def test_tables_of_spike_times_are_counted(tmp_path: Path, bins: tuple[int, int, int] | None) -> None:
    spikes = random_spikes()
    write_tables(tmp_path, spikes)
    if bins is not None:
        (tmp_path / "recording.json").write_text(json.dumps({"bins": bins}))
    recording = open_recording(tmp_path)
    validate_recording(recording)
    np.testing.assert_array_equal(recording.responses.values, expected_counts(spikes, bins=bins or (0, 300, 10)))
    assert recording.responses.stimulus_id.values.tolist() == list(STIMULI)
    assert recording.responses.repetition.values.tolist() == [0, 0, 1, 1, 2, 2]
    assert recording.responses.region.values.tolist() == list(REGIONS)
    assert recording.responses.depth.values.tolist() == [1.5, 2.5, 3.5]
    assert recording.responses.attrs["units"] == "spikes per bin"


def test_seconds_are_counted_as_milliseconds(tmp_path: Path) -> None:
    spikes = random_spikes()
    spikes = spikes[(spikes.time_ms % 10).between(0.1, 9.9)]  # a second's thousandth may round across an edge
    write_tables(tmp_path, spikes, seconds=True)
    np.testing.assert_array_equal(open_recording(tmp_path).responses.values, expected_counts(spikes, bins=(0, 300, 10)))


def test_spike_times_on_an_edge_given_in_seconds_stay_in_their_bin(tmp_path: Path) -> None:
    spikes = pd.DataFrame({"neuroid_id": "a", "presentation": 10, "time_ms": np.arange(0, 2000, 1.0)})
    write_tables(tmp_path, spikes, seconds=True)
    (tmp_path / "recording.json").write_text('{"bins": [0, 2000, 1]}')
    assert (open_recording(tmp_path).responses.values[0, 0] == 1).all()


def test_parquet_is_read(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    spikes = random_spikes()
    write_tables(tmp_path, spikes, parquet=True)
    np.testing.assert_array_equal(open_recording(tmp_path).responses.values, expected_counts(spikes, bins=(0, 300, 10)))


def test_presentations_tell_the_trials_of_one_table_apart(tmp_path: Path) -> None:
    spikes = random_spikes().assign(region="IT", stimulus_id=lambda table: [STIMULI[p - 10] for p in table.presentation])
    spikes.to_csv(tmp_path / "spikes.csv", index=False)
    recording = open_recording(tmp_path / "spikes.csv")
    order = [0, 2, 4, 1, 3, 5]  # the cat's, then the dog's
    sites = recording.responses.neuroid_id.values.tolist()
    expected = expected_counts(random_spikes(), bins=(0, 300, 10))[order][:, ["abc".index(site) for site in sites]]
    np.testing.assert_array_equal(recording.responses.values, expected)
    assert recording.responses.repetition.values.tolist() == [0, 1, 2, 0, 1, 2]


def test_spikes_that_are_all_elsewhere_are_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes().assign(time_ms=lambda table: table.time_ms + 5000))
    with pytest.raises(NeurofitError, match=r"none of 200 spikes lies in the bins of 0 to 300 ms; they are from 4,9\d\d to 5,[12]\d\d ms"):
        open_recording(tmp_path)


def test_a_folder_of_several_forms_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes())
    (tmp_path / "one.nwb").write_bytes(b"")
    with pytest.raises(NeurofitError, match=r"holds recordings of several forms: NWB, spike times\. Give one, or its folder"):
        open_recording(tmp_path)


def test_one_table_with_everything_is_enough(tmp_path: Path) -> None:
    spikes = random_spikes()
    whole = spikes.assign(
        stimulus_id=[STIMULI[p - 10] for p in spikes.presentation],
        repetition=[(p - 10) // 2 for p in spikes.presentation],
        region=[REGIONS["abc".index(n)] for n in spikes.neuroid_id],
    ).drop(columns="presentation")
    whole.to_csv(tmp_path / "spikes.csv", index=False)
    recording = open_recording(tmp_path / "spikes.csv")
    validate_recording(recording)
    expected = expected_counts(spikes, bins=(0, 300, 10))
    for row in range(6):
        presentation = 2 * int(recording.responses.repetition.values[row]) + ("cat", "dog").index(
            recording.responses.stimulus_id.values[row]
        )
        for column, neuroid in enumerate(recording.responses.neuroid_id.values):
            np.testing.assert_array_equal(recording.responses.values[row, column], expected[presentation, "abc".index(neuroid)])


def test_a_table_whose_trials_are_numbered_too_is_counted_trial_by_trial(tmp_path: Path) -> None:
    rows = ["a,IT,x,0,5,1", "a,IT,x,1,6,2", "b,IT,x,0,5,3", "b,IT,x,1,6,14", "a,IT,y,0,4,5", "b,IT,x,1,6,15"]
    (tmp_path / "x.csv").write_text("\n".join(["neuroid_id,region,stimulus_id,repetition,presentation,time_ms", *rows]))
    responses = open_recording(tmp_path / "x.csv").responses
    assert responses.stimulus_id.values.tolist() == ["x", "x", "y"]
    assert responses.repetition.values.tolist() == [0, 1, 0]
    assert responses.values[..., :2].tolist() == [[[1, 0], [1, 0]], [[1, 0], [0, 2]], [[1, 0], [0, 0]]]


def write_sessions(folder: Path, spikes: pd.DataFrame) -> None:
    """Write tables in which presentations 10 to 12 are of session 01, the others of 1; a is of both, b of 01, c of 1."""
    write_tables(folder, spikes)
    shown = pd.DataFrame({"presentation": range(10, 16), "stimulus_id": STIMULI, "session": ["01"] * 3 + ["1"] * 3})
    shown.to_csv(folder / "presentations.csv", index=False)
    (folder / "neuroids.csv").write_text("neuroid_id,region,session\na,V4,01\na,V4,1\nb,IT,01\nc,IT,1\n")


def test_a_neuroid_is_missing_where_its_session_differs(tmp_path: Path) -> None:
    recorded = np.array([[1, 1, 0]] * 3 + [[1, 0, 1]] * 3, dtype=bool)
    spikes = random_spikes()
    there = [recorded[p - 10, "abc".index(n)] for n, p in zip(spikes.neuroid_id, spikes.presentation, strict=True)]
    write_sessions(tmp_path, spikes[there])
    recording = open_recording(tmp_path)
    validate_recording(recording)
    expected = np.where(recorded[..., None], expected_counts(spikes, bins=(0, 300, 10)), np.nan)
    np.testing.assert_array_equal(recording.responses.values, expected)
    assert recording.responses.neuroid_id.values.tolist() == ["a", "b", "c"]
    assert recording.responses.session.dims == ("presentation",)
    assert recording.responses.session.values.tolist() == ["01"] * 3 + ["1"] * 3
    write_sessions(tmp_path, spikes)
    with pytest.raises(
        NeurofitError, match=r"neuroid c has spikes in session 01, in which neuroids.csv does not have it \(6 such trials\)"
    ):
        open_recording(tmp_path)


def test_a_spike_that_says_no_repetition_makes_no_trial(tmp_path: Path) -> None:
    rows = "n,IT,a,0,5\nn,IT,a,1,5\nn,IT,a,,5\nn,IT,b,0,5\nn,IT,b,1,late\n"
    (tmp_path / "spikes.csv").write_text("neuroid_id,region,stimulus_id,repetition,time_ms\n" + rows)
    with all_faults() as faults:
        recording = open_recording(tmp_path / "spikes.csv")
    assert recording.responses.shape[0] == 4
    assert [fault.partition("spikes.csv: ")[2] for fault in faults] == [
        "every row needs a repetition; there is none in row 2, counted from 0 (1 in all).",
        "time_ms is no number in row 4, counted from 0 (1 in all).",  # of the file, whatever was left out before
    ]


def test_spikes_of_two_sessions_of_one_table_are_not_added_up(tmp_path: Path) -> None:
    rows = "n,IT,a,0,5,one\nn,IT,a,0,5,two\nm,IT,a,0,5,two\n"
    (tmp_path / "spikes.csv").write_text("neuroid_id,region,stimulus_id,repetition,time_ms,session\n" + rows)
    responses = open_recording(tmp_path / "spikes.csv").responses
    assert responses.session.values.tolist() == ["one", "two"]
    np.testing.assert_array_equal(responses.values[:, :, 0], [[1, np.nan], [1, 1]])  # m was not there in one


def test_a_spike_without_a_presentation_belongs_to_none(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes())
    before = open_recording(tmp_path).responses.values
    with open(tmp_path / "presentations.csv", "a") as file:
        file.write(",cat\n")
    with open(tmp_path / "spikes.csv", "a") as file:
        file.write(",".join({"neuroid_id": "a", "time_ms": "5"}.get(str(name), "") for name in pd.read_csv(tmp_path / "spikes.csv")) + "\n")
    with all_faults() as faults:
        recording = open_recording(tmp_path)
    np.testing.assert_array_equal(recording.responses.values, before)
    assert len(faults) == 2
    assert all("every row needs a presentation; there is none in row" in fault for fault in faults)


def test_spikes_of_which_few_are_in_the_bins_are_read_with_a_warning(tmp_path: Path) -> None:
    spikes = random_spikes()
    write_tables(tmp_path, spikes.assign(time_ms=np.where(np.arange(len(spikes)) < 19, 5.0, 1e4)))
    with pytest.warns(NeurofitWarning, match="181 of 200 spikes lie outside of the bins of 0 to 300 ms; times may be in another unit"):
        assert open_recording(tmp_path).responses.values.sum() == 19


def test_a_neuroid_of_two_regions_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path, random_spikes())
    (tmp_path / "neuroids.csv").write_text("neuroid_id,region\na,V4\nb,IT\nc,IT\nb,V4\n")
    with pytest.raises(NeurofitError, match="a neuroid has one region, and one of whatever else is known; several are said of b"):
        open_recording(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.assign(neuroid_id="x"), r"spikes of a neuroid that is not among the neuroids: x \(200 in all\)\. Add it"),
        (lambda t: t.assign(presentation=99), r"spikes of a presentation that is not among the presentations: 99 \(200 in all\)\. Add it"),
        (lambda t: t.assign(presentation=[*map(str, t.presentation[:-1]), "?"]), r"not among the presentations: \? \(1 in all\)\. Add"),
        (lambda t: t.drop(columns="time_ms"), "needs a column time_ms or time_s"),
        (lambda t: t.assign(time_ms="soon"), r"time_ms is no number in row 0, 1, 2, .* and 188 more, counted from 0 \(200 in all\)"),
        (lambda t: t.drop(columns="presentation"), "lacks the column presentation"),
        (lambda t: t.iloc[:0], "is empty"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], said: str) -> None:
    write_tables(tmp_path, change(random_spikes()))
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path)


def write_raster(path: Path, raster: np.ndarray, shown: list[str], *, onset: int | None = 21) -> None:
    labels = {"stimulus_ID": np.array(shown, dtype=object)}
    info: dict[str, Any] = {} if onset is None else {"raster_site_info": {"alignment_event_time": onset}}
    scipy.io.savemat(path, {"raster_data": raster, "raster_labels": labels, **info})


def test_raster_files_are_counted_around_the_onset_and_a_trial_that_a_site_lacks_is_missing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rasters = [(rng.random((n, 75)) < 0.3).astype(np.uint8) for n in (4, 3)]
    write_raster(tmp_path / "s1_raster_data.mat", rasters[0], ["b", "a", "b", "a"])
    write_raster(tmp_path / "s2_raster_data.mat", rasters[1], ["a", "b", "b"])
    with pytest.raises(NeurofitError, match=r"do not say which area was recorded. Write \{\"region\": \"IT\"\} into .*recording.json"):
        open_recording(tmp_path)
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path)
    validate_recording(recording)
    assert recording.time_bins == [(start, start + 10) for start in (-20, -10, 0, 10, 20, 30, 40)]
    assert list(zip(recording.responses.stimulus_id.values, recording.responses.repetition.values, strict=True)) == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]
    for column, trials in ((0, [1, 3, 0, 2]), (1, [0, None, 1, 2])):
        for row, trial in enumerate(trials):
            found = recording.responses.values[row, column]
            if trial is None:
                assert np.isnan(found).all()
            else:
                np.testing.assert_array_equal(found, rasters[column][trial, :70].reshape(7, 10).sum(axis=1))


def test_a_raster_that_holds_no_spikes_is_averaged_and_a_missing_value_is_missing(tmp_path: Path) -> None:
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    smooth = np.random.default_rng(1).random((3, 70))
    smooth[1] = np.nan
    write_raster(tmp_path / "s1_raster_data.mat", smooth, ["a", "a", "b"])
    recording = open_recording(tmp_path)
    np.testing.assert_allclose(recording.responses.values[:, 0], smooth.reshape(3, 7, 10).mean(axis=2), rtol=1e-6)
    assert not are_counts(recording.responses)
    spikes = np.ones((3, 70))
    spikes[2, 5] = np.nan
    write_raster(tmp_path / "s1_raster_data.mat", spikes, ["a", "a", "b"])
    recording = open_recording(tmp_path)
    assert are_counts(recording.responses)
    np.testing.assert_array_equal(recording.responses.values[:, 0], [[10] * 7, [10] * 7, [np.nan] + [10] * 6])
    write_raster(tmp_path / "s2_raster_data.mat", smooth, ["a", "a", "b"])
    with pytest.raises(NeurofitError, match=r"have to hold the same; s1_raster_data holds spikes, s2_raster_data fractions\."):
        open_recording(tmp_path)


def test_all_that_is_wrong_with_raster_files_is_collected(tmp_path: Path) -> None:
    write_raster(tmp_path / "s1_raster_data.mat", np.zeros((2, 50), np.uint8), ["a", "b"], onset=None)
    write_raster(tmp_path / "s2_raster_data.mat", np.ones((2, 50), np.uint8), ["a", "b"])
    write_raster(tmp_path / "s3_raster_data.mat", np.zeros((2, 50), np.uint8), ["a"])
    with all_faults() as faults:
        recording = open_recording(tmp_path)
    assert recording.responses.neuroid_id.values.tolist() == ["s2"]
    where = ["which area was recorded", "s1_raster.* when the stimulus came on", "s3_raster.* 1 labels"]
    for fault, said in zip(faults, where, strict=True):
        assert re.search(said, fault)


@pytest.mark.parametrize("wrong", ["spikes", "onsets"])
def test_times_of_nwb_in_ms_are_a_fault(tmp_path: Path, wrong: str) -> None:
    spikes, onsets = session(0)
    write_nwb(
        tmp_path / "one.nwb",
        [1e3 * (times + 1) for times in spikes] if wrong == "spikes" else spikes,
        1e3 * (onsets + 1) if wrong == "onsets" else onsets,
        list(STIMULI),
    )
    with pytest.raises(NeurofitError, match=r"none of [\d,]+ spikes lies around a trial. Spike times and onsets are both in seconds"):
        open_recording(tmp_path / "one.nwb")


def test_all_that_is_wrong_with_nwb_units_is_collected(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    observed = [[[0.0, 9.0]], [[4.0, 1.0]], [[0.0, 9.0]]]
    write_nwb(tmp_path / "one.nwb", [np.append(spikes[0], np.nan), *spikes[1:]], onsets, list(STIMULI), regions="beside", observed=observed)
    with all_faults() as faults:
        recording = open_recording(tmp_path / "one.nwb")
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets))
    where = ["does not say where its units are", "1 spike times of unit 0 are no numbers", "obs_intervals .* unit 1 are not"]
    for fault, said in zip(faults, where, strict=True):
        assert re.search(said, fault)


def test_a_raster_that_does_not_say_its_onset_is_refused(tmp_path: Path) -> None:
    write_raster(tmp_path / "s1_raster_data.mat", np.zeros((2, 50), np.uint8), ["a", "b"], onset=None)
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    with pytest.raises(NeurofitError, match="does not say when the stimulus came on"):
        open_recording(tmp_path)


def test_zhang2011_has_the_counts_of_the_tidy_copy(shared: Find, mirror: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROFIT_MIRROR", str(mirror("zhang2011").parent))
    recording = load_recording("zhang2011")
    validate_recording(recording)
    with np.load(shared("data/check/zd_it_10ms.npz"), allow_pickle=False) as held:
        tidy = {name: held[name] for name in held.files}
    assert recording.responses.sizes == {"presentation": 21 * 20, "neuroid": 132, "time_bin": 100}
    assert recording.time_bins == [(s, s + 10) for s in tidy["bin_start_ms"].tolist()]
    assert [f"{name}_raster_data" for name in recording.responses.neuroid_id.values] == [s.removesuffix(".mat") for s in tidy["site"]]
    condition = {name: position for position, name in enumerate(tidy["condition"].tolist())}
    rows = np.array([condition[s] for s in recording.responses.stimulus_id.values])
    counts = tidy["counts"].astype(np.float32)
    counts[counts == tidy["missing"]] = np.nan
    found = np.full_like(counts, np.nan)
    found[:, rows, recording.responses.repetition.values] = recording.responses.values.transpose(1, 0, 2)
    np.testing.assert_array_equal(found, counts)
    assert set(recording.responses.object_name.values) == set(tidy["object"].tolist())
    assert isinstance(recording.stimuli.images, NoImages)
    with pytest.raises(NeurofitError, match="zhang2011 comes without pictures: no model can be scored against it"):
        recording.stimuli.need_images()


def write_nwb(
    path: Path,
    spikes: list[np.ndarray],
    onsets: np.ndarray,
    shown: list[str],
    *,
    regions: str = "electrodes",
    columns: dict[str, list[Any]] | None = None,
    observed: list[Any] | None = None,
    ids: list[Any] | None = None,
) -> None:
    """Write a session with pynwb; regions stand with the electrodes, with the units or nowhere; `columns` are further ones of trials."""
    import pynwb
    from pynwb.file import Subject

    path.parent.mkdir(exist_ok=True)

    nwb = pynwb.NWBFile(
        session_description="s", identifier=path.stem, session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    )
    nwb.subject = Subject(subject_id="m1", species="Macaca mulatta")
    if regions == "electrodes":
        device = nwb.create_device("array")
        group = nwb.create_electrode_group("group", description="g", location="cortex", device=device)
        for region in REGIONS[: len(spikes)]:
            nwb.add_electrode(location=region, group=group)
    elif regions == "units":
        nwb.add_unit_column("region", "area")
    if ids is not None:
        nwb.add_unit_column("neuroid_id", "ours")
    for number, times in enumerate(spikes):
        own = {} if ids is None else {"neuroid_id": ids[number]}
        told: dict[str, dict[str, Any]] = {"electrodes": {"electrodes": [number]}, "units": {"region": REGIONS[number]}, "beside": {}}
        nwb.add_unit(spike_times=times, **told[regions], **own, **({} if observed is None else {"obs_intervals": observed[number]}))
    nwb.add_trial_column("stimulus_id", "what was shown")
    nwb.add_trial_column("contrast", "of the picture")
    for name in columns or {}:
        nwb.add_trial_column(name, "of ours")
    for number, (onset, stimulus) in enumerate(zip(onsets, shown, strict=True)):
        more = {name: values[number] for name, values in (columns or {}).items()}
        nwb.add_trial(start_time=onset, stop_time=onset + 0.2, stimulus_id=stimulus, contrast=0.5, **more)
    pictures = [
        pynwb.image.GrayscaleImage(name="cat", data=np.full((4, 4), 7, np.uint8)),
        pynwb.image.RGBImage(name="dog", data=np.full((4, 4, 3), 9, np.uint8)),
    ]
    nwb.add_stimulus_template(pynwb.base.Images(name="pictures", images=pictures, description="p"))
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(nwb)


def session(seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, 7, 300)) for _ in range(3)], np.arange(6) + 0.25


def counted_by_hand(spikes: list[np.ndarray], onsets: np.ndarray) -> np.ndarray:
    edges = np.arange(0, 301, 10) / 1e3
    return np.array([[np.histogram(times - onset, edges)[0] for times in spikes] for onset in onsets])


@pytest.mark.parametrize("regions", ["electrodes", "units", "beside"])
def test_nwb_is_counted_from_units_and_trials(tmp_path: Path, regions: str) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), regions=regions)
    if regions == "beside":
        with pytest.raises(NeurofitError, match="does not say where its units are"):
            open_recording(tmp_path / "one.nwb")
        (tmp_path / "one.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path / "one.nwb")
    validate_recording(recording)
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets))
    assert recording.responses.region.values.tolist() == (["IT"] * 3 if regions == "beside" else list(REGIONS))
    assert recording.responses.stimulus_id.values.tolist() == list(STIMULI)
    assert set(recording.responses.subject.values) == {"m1"}
    assert recording.responses.contrast.values.tolist() == [0.5] * 6
    assert recording.stimuli.ids.tolist() == ["cat", "dog"]
    assert recording.stimuli.images[0].tolist() == np.full((4, 4, 3), 7).tolist()
    assert recording.stimuli.images[1].tolist() == np.full((4, 4, 3), 9).tolist()


def test_sessions_of_nwb_are_joined_and_units_are_missing_where_they_were_not_recorded(tmp_path: Path) -> None:
    sessions = [session(0), session(1)]
    for name, (spikes, onsets) in zip(("one", "two"), sessions, strict=True):
        write_nwb(tmp_path / f"{name}.nwb", spikes, onsets, list(STIMULI))
    recording = open_recording(tmp_path)
    validate_recording(recording)
    assert recording.responses.shape == (12, 6, 30)
    for number, (spikes, onsets) in enumerate(sessions):
        rows, mine = slice(6 * number, 6 * number + 6), slice(3 * number, 3 * number + 3)
        np.testing.assert_array_equal(recording.responses.values[rows, mine], counted_by_hand(spikes, onsets))
        assert np.isnan(np.delete(recording.responses.values[rows], np.r_[mine], axis=1)).all()
    assert recording.responses.repetition.values.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert recording.responses.session.values.tolist() == ["one"] * 6 + ["two"] * 6


def test_a_unit_that_two_nwb_sessions_call_the_same_is_one_neuroid(tmp_path: Path) -> None:
    sessions = [session(0), session(1)]
    for name, ids, (spikes, onsets) in zip(("one", "two"), (["a", "b", "c"], ["b", "c", "d"]), sessions, strict=True):
        write_nwb(tmp_path / f"{name}.nwb", spikes, onsets, list(STIMULI), ids=ids, regions="beside")
    (tmp_path / "recording.json").write_text('{"region": "IT"}')
    recording = open_recording(tmp_path)
    validate_recording(recording)
    assert recording.responses.neuroid_id.values.tolist() == ["a", "b", "c", "d"]
    for number, (spikes, onsets) in enumerate(sessions):
        rows = recording.responses.values[6 * number : 6 * number + 6]
        np.testing.assert_array_equal(rows[:, number : number + 3], counted_by_hand(spikes, onsets))
        assert np.isnan(rows[:, 3 if number == 0 else 0]).all()
    for name, ids in (("one", ["a", "b", "c"]), ("two", ["c", "b", "d"])):  # c is of REGIONS[2] in one, of REGIONS[0] in the other
        spikes, onsets = session(0)
        write_nwb(tmp_path / f"{name}.nwb", spikes, onsets, list(STIMULI), ids=ids)
    with pytest.raises(NeurofitError, match=f"neuroid c has the region {REGIONS[2]} in one and {REGIONS[0]} in another"):
        open_recording(tmp_path)


def test_an_id_of_two_nwb_units_of_a_session_is_refused(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), ids=["a", "b", "a"])
    for name, numbers in (("one", [1, 2, 3]), ("two", [1.0, 2.0, 3.0])):
        write_nwb(tmp_path / "numbers" / f"{name}.nwb", spikes, onsets, list(STIMULI), ids=numbers)
    assert open_recording(tmp_path / "numbers").responses.neuroid_id.values.tolist() == ["1", "2", "3"]
    with pytest.raises(NeurofitError, match=r"one.nwb: a neuroid_id is of one unit; several units are called a"):
        open_recording(tmp_path / "one.nwb")


def test_an_nwb_trial_without_an_onset_was_not_shown(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    onsets[[1, 4]] = np.nan
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI))
    recording = open_recording(tmp_path / "one.nwb")
    kept = [0, 2, 3, 5]
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets[kept]))
    assert recording.responses.stimulus_id.values.tolist() == [STIMULI[number] for number in kept]
    write_nwb(tmp_path / "none.nwb", spikes, np.full(6, np.nan), list(STIMULI))
    with pytest.raises(NeurofitError, match="no trial has an onset; the column start_time has no number"):
        open_recording(tmp_path / "none.nwb")


@pytest.mark.parametrize("numbers", [[3, 1, 0, 5, 4, 2], [1, 2, 3, 4, 5, 6]])
@pytest.mark.parametrize("name", ["presentation", "neuroid", "time_bin", "neuroid_id", "region", "time_bin_start", "time_bin_end", "depth"])
def test_a_column_of_nwb_trials_called_as_one_of_our_words_moves_nothing(tmp_path: Path, name: str, numbers: list[int]) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), columns={name: numbers})
    recording = open_recording(tmp_path / "one.nwb")
    validate_recording(recording)
    np.testing.assert_array_equal(recording.responses.values, counted_by_hand(spikes, onsets))
    assert recording.responses.region.values.tolist() == list(REGIONS)
    assert recording.responses.neuroid_id.values.tolist() == ["one-0", "one-1", "one-2"]
    assert recording.time_bins == [(start, start + 10) for start in range(0, 300, 10)]
    if name == "depth":
        assert recording.responses.depth.values.tolist() == numbers


@pytest.mark.parametrize("bins", [(-50, 150, 10), (0, 300, 10), (70, 170, 100)])
def test_nwb_spikes_on_an_edge_are_in_the_bin_that_begins_there(tmp_path: Path, bins: tuple[int, int, int]) -> None:
    begin, end, width = bins
    onsets_ms = np.cumsum(np.random.default_rng(0).integers(400, 999, 60))
    times_ms = np.unique(np.add.outer(onsets_ms, [begin - 1, begin, begin + width, end - 1, end]).ravel())
    write_nwb(tmp_path / "one.nwb", [times_ms / 1e3], onsets_ms / 1e3, list(STIMULI) * 10)
    (tmp_path / "one.json").write_text(json.dumps({"bins": bins}))
    expected = [np.histogram(times_ms - onset, [*range(begin, end, width), end - 0.5])[0] for onset in onsets_ms]
    np.testing.assert_array_equal(open_recording(tmp_path / "one.nwb").responses.values[:, 0], expected)


def test_an_nwb_unit_is_missing_where_it_was_not_observed(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    observed = [
        [[0.0, 2.0], [3.25, 4.0], [4.0, 5.0]],  # not trials 2 and 5; trial 3 begins with an interval, trial 4 lies over two that touch
        [[0.0, np.inf]],
        [[5.5, 9.0], [0.0, 1.4]],  # of trial 1 the bins up to 150 ms, of trial 5 those from 250 ms
    ]
    onsets[4] = 3.9
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), observed=observed)
    recording = open_recording(tmp_path / "one.nwb")
    there = np.ones((6, 3, 30), dtype=bool)
    there[[2, 5], 0] = False
    there[1:, 2] = False
    there[1, 2, :15] = there[5, 2, 25:] = True
    np.testing.assert_array_equal(recording.responses.values, np.where(there, counted_by_hand(spikes, onsets), np.nan))


def test_intervals_of_an_nwb_unit_that_end_before_they_begin_are_refused(tmp_path: Path) -> None:
    spikes, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", spikes, onsets, list(STIMULI), observed=[[[0.0, 9.0]], [[9.0, 0.0]], [[0.0, 9.0]]])
    with pytest.raises(NeurofitError, match="obs_intervals are rows of start and end; those of unit 1 are not"):
        open_recording(tmp_path / "one.nwb")


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("spike_times", np.nan, "1 spike times of unit 0 are no numbers"),
        ("spike_times_index", 255, "the index of its spike times does not go up from 0 to their number, 60"),
        ("spike_times_index", 0, None),
    ],
)
def test_spike_times_of_nwb_that_are_none_are_refused(tmp_path: Path, column: str, value: float, said: str | None) -> None:
    import h5py

    _, onsets = session(0)
    write_nwb(tmp_path / "one.nwb", [np.arange(20) / 3.0] * 3, onsets, list(STIMULI))
    with h5py.File(tmp_path / "one.nwb", "a") as file:
        file["units"][column][0] = value
    if said is None:  # a unit without a spike
        assert (open_recording(tmp_path / "one.nwb").responses.values[:, 0] == 0).all()
        return
    with pytest.raises(NeurofitError, match=said):
        open_recording(tmp_path / "one.nwb")


def test_nwb_without_trials_is_refused(tmp_path: Path) -> None:
    import pynwb

    nwb = pynwb.NWBFile(session_description="s", identifier="x", session_start_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    with pynwb.NWBHDF5IO(str(tmp_path / "x.nwb"), "w") as io:
        io.write(nwb)
    with pytest.raises(NeurofitError, match="needs units with spike times and a table of trials"):
        open_recording(tmp_path / "x.nwb")


def test_without_pynwb_it_is_said_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    with h5py.File(tmp_path / "x.nwb", "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
    monkeypatch.setitem(__import__("sys").modules, "pynwb", None)
    with pytest.raises(NeurofitError, match=r"needs pynwb: pip install 'neurofit\[nwb\]'"):
        open_recording(tmp_path / "x.nwb")
