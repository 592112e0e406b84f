"""Time and memory of comparing stored results of the size of HvM.

    python benchmarks/compare.py [--models 3 12]

Results of a small planted score are enlarged to 5,760 stimuli, 168 neuroids and 26 time bins: the
values are repeated, the structure and the size of the files are those of a real score.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "2"
sys.path.insert(0, str(Path(__file__).parent / "validity"))

import numpy as np
import xarray as xr
from compare import Pair

import neurofit

SIZES = {"stimulus": 5760, "neuroid": 168, "time_bin": 26}


def enlarged(result: xr.Dataset, model: str, seed: int) -> xr.Dataset:
    """Return a result of the sizes of HvM, with noise that tells models apart."""
    rng = np.random.default_rng(seed)
    sizes = {**result.sizes, **SIZES}
    variables = {}
    for name, variable in result.data_vars.items():
        values = np.resize(variable.values, [sizes[dim] for dim in variable.dims])
        if "influence_on" in variable.attrs:
            values = values * rng.uniform(0.9, 1.1, values.shape)
        variables[name] = (variable.dims, values, variable.attrs)
    starts = 10 * np.arange(SIZES["time_bin"])
    coords = {
        name: coord
        for name, coord in result.coords.items()
        if not set(coord.dims) & {*SIZES, "layer"}
    }
    coords |= {
        "layer": ["conv5"],
        "time_bin": starts + 5.0,
        "time_bin_start": ("time_bin", starts),
        "time_bin_end": ("time_bin", starts + 10),
        "neuroid_id": ("neuroid", [f"n{i}" for i in range(SIZES["neuroid"])]),
        "stimulus_id": ("stimulus", [f"s{i}" for i in range(SIZES["stimulus"])]),
    }
    return xr.Dataset(variables, coords, {**result.attrs, "model": model})


def main() -> None:
    """Compare 3 and 12 results, read from files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="*", default=[3, 12])
    given = parser.parse_args()
    result = Pair(n_neuroids=24, n_stimuli=120).results(0)[0]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(max(given.models)):
            paths.append(Path(folder) / f"{number}.nc")
            neurofit.save_result(enlarged(result, f"model{number}", number), paths[-1])
        size = paths[0].stat().st_size / 1e6
        for n in given.models:
            begun = time.perf_counter()
            neurofit.compare(paths[:n])
            seconds = time.perf_counter() - begun
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            print(f"{n} results of {size:.0f} MB: {seconds:.1f} s, peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
