"""Build and open the files of `hvm-sim`.

These are images.npy, calibration.npy, stimuli.csv, responses.nc, truth.nc, and manifest.json with
their sha256 and the sha256 of the values. The values are the same on every machine, which is
checked while building; the compressed files depend on the version of HDF5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5netcdf
import numpy as np
import pandas as pd
import xarray as xr

from neurofit.data_loaders.hvm_sim.fingerprint import check_fingerprint, fingerprint
from neurofit.data_loaders.hvm_sim.images import render_calibration, render_stimuli
from neurofit.data_loaders.hvm_sim.recipe import Recipe, recipe_hash
from neurofit.data_loaders.hvm_sim.responses import (
    Trials,
    draw_counts,
    draw_gains,
    draw_trials,
    make_teacher,
    simulate_truth,
)
from neurofit.data_loaders.hvm_sim.teacher import Teacher
from neurofit.errors import NeurofitError
from neurofit.recordings.recording import COORDS, DIMS, Recording
from neurofit.recordings.stimuli import StimulusSet
from neurofit.storage.home import atomic_directory, cached, exclusive_lock, sha256_of
from neurofit.storage.unfinished import read_until_exit

Progress = Callable[[str, int, int], None]

_FILES = ("images.npy", "calibration.npy", "stimuli.csv", "responses.nc", "truth.nc")
_MANIFEST = "manifest.json"
_MS = 10
_THREADS = 2


def folder(recipe: Recipe | None = None) -> Path:
    """Return the folder of a recipe's recording; it need not exist.

    Parameters
    ----------
    recipe
        Recipe, default: that of the full recording.

    Returns
    -------
    Path
        NEUROFIT_HOME/recordings/hvm-sim/HASH, with the first 12 digits of the recipe's sha256.

    Examples
    --------
    >>> from neurofit.data_loaders import hvm_sim
    >>> hvm_sim.folder().parts[-3:-1]
    ('recordings', 'hvm-sim')
    """
    return cached("recordings", "hvm-sim", recipe_hash(recipe)[:12])


def load_or_build(progress: Progress | None = None, *, recipe: Recipe | None = None) -> Recording:
    """Open the recording, building it on the first call; an interrupted build leaves no files.

    Parameters
    ----------
    progress
        Function called with (current step, steps done, total steps) while building.
    recipe
        Recipe, default: that of the full recording.

    Returns
    -------
    Recording
        Spike counts (presentation neuroid time_bin) in bins of 10 ms, read lazily, and stimuli.
        The attribute `truth` has the expected counts (stimulus neuroid time_bin).

    Raises
    ------
    NeurofitError
        If the folder cannot be written, or a file differs from the one that was built.
    MachineError
        If the disk is full, or this machine computes other values than those of the recording.

    Examples
    --------
    >>> from neurofit.data_loaders import hvm_sim
    >>> recording = hvm_sim.load_or_build()
    >>> recording.simulated, recording.time_bins[-1]
    (True, (250, 260))
    >>> dict(recording.truth.sizes)
    {'stimulus': 640, 'neuroid': 256, 'time_bin': 26}
    """
    where = folder(recipe)
    if not where.exists():
        with exclusive_lock(where.with_suffix(".claim")):  # one of many processes builds it
            if not where.exists():
                with atomic_directory(where) as temporary:
                    build(temporary, progress=progress, recipe=recipe)
    read_until_exit(where)
    return load(where)


def build(folder: Path, *, progress: Progress | None = None, recipe: Recipe | None = None) -> None:
    """Write all files of the recording into an existing folder, the manifest last.

    Parameters
    ----------
    folder
        Output folder; `load_or_build` creates it atomically.
    progress
        Function called with (current step, steps done, total steps).
    recipe
        Recipe, default: that of the full recording.

    Raises
    ------
    MachineError
        If this machine computes other values than those of the recording.
    """
    recipe = recipe or Recipe()
    values: dict[str, str] = {}

    def check(part: str, *blocks: np.ndarray) -> None:
        values[part] = check_fingerprint(recipe, part, fingerprint(blocks))

    calibration = render_calibration(recipe)
    pictures, table = render_stimuli(recipe, progress=_named(progress, "hvm-sim: images"))
    check("images", pictures, calibration)
    np.save(folder / "images.npy", pictures)
    np.save(folder / "calibration.npy", calibration)
    table.to_csv(folder / "stimuli.csv", index=False, lineterminator="\n")
    truth = simulate_truth(
        pictures,
        make_teacher(calibration, recipe),
        recipe,
        progress=_named(progress, "hvm-sim: teacher"),
    )
    check("rates", truth)
    _write_truth(folder / "truth.nc", truth, table, recipe)
    responses = _write_responses(
        folder / "responses.nc", truth, table, recipe, progress=_named(progress, "hvm-sim: trials")
    )
    values["responses"] = check_fingerprint(recipe, "responses", responses)
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in _FILES
    }
    manifest = {
        "name": "hvm-sim",
        "simulated": True,
        "recipe": recipe.as_dict(),
        "recipe_sha256": recipe_hash(recipe),
        "values_sha256": values,
        "files": files,
    }
    (folder / _MANIFEST).write_text(
        json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )


def load(folder: Path) -> Recording:
    """Open a built recording; responses are read lazily, one time bin at a time.

    Raises
    ------
    NeurofitError
        If a file is missing or differs from the one that was built.
    """
    _check_files(folder)
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    stimuli = StimulusSet(
        name="hvm-sim",
        table=pd.read_csv(folder / "stimuli.csv"),
        images=np.load(folder / "images.npy", mmap_mode="r"),
        visual_degrees=manifest["recipe"]["visual_degrees"],
        duration_ms=manifest["recipe"]["duration_ms"],
    )
    return Recording(
        name="hvm-sim",
        responses=_open(folder / "responses.nc", "responses"),
        stimuli=stimuli,
        simulated=True,
        sha256=hashlib.sha256(
            json.dumps([manifest["recipe_sha256"], manifest["values_sha256"]]).encode()
        ).hexdigest(),
        citation=f"SIMULATED by neurofit (neurofit.data_loaders.hvm_sim, version "
        f"{manifest['recipe']['version']}): no brain was recorded.",
        truth=_open(folder / "truth.nc", "truth"),
    )


def load_teacher(folder: Path, *, recipe: Recipe | None = None) -> Teacher:
    """Return the network whose units the sites of a built recording read.

    It is the true model, which validity tests must find best.

    Parameters
    ----------
    folder
        Folder of a recording that `load_or_build` has built, see `neurofit.data_loaders.hvm_sim`.
    recipe
        Recipe of the recording, default: that of the full one.

    Returns
    -------
    Teacher
        Network with the interface `neurofit.Model`, in float32 on the CPU.

    Examples
    --------
    >>> from neurofit.data_loaders import hvm_sim
    >>> recording = hvm_sim.load_or_build()
    >>> teacher = hvm_sim.load_teacher(hvm_sim.folder())
    >>> teacher.region_layers, teacher.first_timestep["layer6"], teacher.ms_per_timestep
    ({'V4': ('layer6',), 'IT': ('layer10',)}, 5, 10)
    """
    return make_teacher(np.load(folder / "calibration.npy"), recipe or Recipe())


def _write_truth(path: Path, truth: np.ndarray, table: pd.DataFrame, recipe: Recipe) -> None:
    data = xr.DataArray(truth, dims=("stimulus", "neuroid", "time_bin"), name="truth", attrs=_ATTRS)
    data = data.assign_coords(
        _site_coords(recipe)
        | _bin_coords(recipe)
        | {"stimulus_id": ("stimulus", table.stimulus_id.to_numpy(str))}
    )
    chunks = (len(truth), truth.shape[1], 1)
    encoding = {
        "truth": {
            "zlib": True,
            "complevel": 1,
            "shuffle": True,
            "chunksizes": chunks,
            "_FillValue": None,
        }
    }
    data.to_dataset().to_netcdf(path, engine="h5netcdf", encoding=encoding)


def _write_responses(
    path: Path,
    truth: np.ndarray,
    table: pd.DataFrame,
    recipe: Recipe,
    *,
    progress: Callable[[int, int], None] | None,
) -> str:
    """Write coordinates with xarray, then the counts one time bin at a time to save memory.

    Returns
    -------
    str
        sha256 of the presented stimuli, their repetitions, and the counts of all time bins.
    """
    trials = draw_trials(recipe, len(table))
    gains = draw_gains(recipe, len(trials.stimulus))
    coords = xr.Dataset(
        coords=_presentation_coords(trials, table) | _site_coords(recipe) | _bin_coords(recipe),
        attrs=_ATTRS,
    )
    coords.to_netcdf(path, engine="h5netcdf")
    shape = (len(trials.stimulus), truth.shape[1], truth.shape[2])
    with h5netcdf.File(path, "a") as file:
        counts = file.create_variable(
            "responses",
            DIMS,
            dtype=np.uint8,
            chunks=(shape[0], shape[1], 1),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        # a float32 scale factor of 1 makes xarray decode the counts as float32
        counts.attrs["scale_factor"] = np.float32(1)
        counts.attrs["coordinates"] = " ".join([*COORDS, "object_name", "category", "subject"])
        for key, value in _ATTRS.items():
            counts.attrs[key] = value

        def written() -> Iterator[np.ndarray]:
            yield trials.stimulus
            yield trials.repetition
            with ThreadPoolExecutor(_THREADS) as pool:
                blocks = pool.map(
                    lambda time_bin: draw_counts(truth, time_bin, trials, gains, recipe),
                    range(shape[2]),
                )
                for time_bin, block in enumerate(blocks):
                    counts[:, :, time_bin] = block
                    yield block
                    if progress is not None:
                        progress(time_bin + 1, shape[2])

        return fingerprint(written())


def _presentation_coords(trials: Trials, table: pd.DataFrame) -> dict[str, tuple[str, np.ndarray]]:
    shown = {
        name: ("presentation", table[name].to_numpy(str)[trials.stimulus])
        for name in ("stimulus_id", "object_name", "category")
    }
    return shown | {"repetition": ("presentation", trials.repetition)}


def _site_coords(recipe: Recipe) -> dict[str, tuple[str, np.ndarray]]:
    names = [
        (f"simulated-{region}-{site:03d}", region)
        for region, n in recipe.n_sites.items()
        for site in range(n)
    ]
    ids, regions = np.array(names).T
    return {
        "neuroid_id": ("neuroid", ids),
        "region": ("neuroid", regions),
        "subject": ("neuroid", np.full(len(ids), "simulated")),
    }


def _bin_coords(recipe: Recipe) -> dict[str, tuple[str, np.ndarray]]:
    starts = np.arange(recipe.n_time_bins) * _MS
    return {"time_bin_start": ("time_bin", starts), "time_bin_end": ("time_bin", starts + _MS)}


def _open(path: Path, variable: str) -> xr.DataArray:
    """Open a lazy DataArray with its coordinates in memory."""
    data = xr.open_dataset(path, engine="h5netcdf", cache=False)[variable]
    return data.assign_coords({name: coord.load() for name, coord in data.coords.items()})


def _check_files(folder: Path) -> None:
    repair = f"Delete the folder {folder}; the next call rebuilds it."
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files = {
            name: (int(manifest["files"][name]["bytes"]), str(manifest["files"][name]["sha256"]))
            for name in _FILES
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise NeurofitError(
            f"hvm-sim: {folder / _MANIFEST} is missing or damaged. {repair}"
        ) from None
    for name, (size, sha256) in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or sha256_of(path) != sha256:
            raise NeurofitError(f"hvm-sim: {name} is not the file that was built. {repair}")


def _named(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


_ATTRS = {
    "simulated": "true",
    "source": "SIMULATED by neurofit (hvm-sim); not a brain",
    "units": "spikes per 10 ms",
}
