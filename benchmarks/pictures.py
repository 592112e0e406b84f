"""The pictures of README.md, docs/figures.md and docs/time.md: run an analysis, then draw.

    python benchmarks/pictures.py FOLDER [PICTURE ...]

FOLDER keeps the results, so that a second run only draws. Without names of pictures (such as
`curve` or `time_lag`), all are drawn: those of scores take about ten minutes on two cores, and
those of docs/time.md, which have fewer splits and halvings than the defaults, about half an hour.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from PIL import Image

import neurofit
from neurofit import figures

DOCS = Path(__file__).resolve().parent.parent / "docs"

IT = neurofit.Selection(region="IT")
WIDE = neurofit.Selection(region="IT", bins="50:250:20")
FEW: dict[str, Any] = {"n_splits": 3, "n_halves": 3}
DECODERS: dict[str, Any] = {"n_folds": 3, "n_samples": 1}

RUNS = {
    "rgc_tiny": neurofit.RunConfig(model="rgc_tiny", selection=IT),
    "timedecay_tiny": neurofit.RunConfig(model="timedecay_tiny", selection=IT),
    "layers": neurofit.RunConfig(
        model="rgc_tiny",
        selection=neurofit.Selection(region="IT", window=(60, 200)),
        analysis=neurofit.ScoreConfig(layers="all", **FEW),
    ),
    "time_generalisation": neurofit.RunConfig(
        model="rgc_tiny", selection=WIDE, analysis=neurofit.GeneralisationConfig(**FEW)
    ),
    "time_lag": neurofit.RunConfig(
        model="rgc_tiny", selection=WIDE, analysis=neurofit.LagConfig(**FEW)
    ),
    "time_geometry": neurofit.RunConfig(
        model="rgc_tiny", selection=IT, analysis=neurofit.GeometryConfig(**FEW)
    ),
    "time_dimensionality": neurofit.RunConfig(
        model="rgc_tiny", selection=IT, analysis=neurofit.DimensionalityConfig()
    ),
    "time_latency": neurofit.RunConfig(
        model="rgc_tiny", selection=IT, analysis=neurofit.LatencyConfig()
    ),
    "time_decoding": neurofit.RunConfig(
        model="rgc_tiny", selection=WIDE, analysis=neurofit.DecodingConfig(**DECODERS)
    ),
    "time_solution_times": neurofit.RunConfig(
        model="rgc_tiny",
        selection=WIDE,
        analysis=neurofit.SolutionTimesConfig(n_halves=3, **DECODERS),
    ),
    "time_partition": neurofit.RunConfig(
        model="rgc_tiny", selection=WIDE, analysis=neurofit.PartitionConfig(**FEW)
    ),
    "time_areas": neurofit.RunConfig(
        selection=WIDE, analysis=neurofit.AreasConfig(source="V4", **FEW)
    ),
    "time_animals": neurofit.RunConfig(
        recording="hvm-sim-dealt", selection=WIDE, analysis=neurofit.AnimalsConfig(**FEW)
    ),
    "time_turing": neurofit.RunConfig(
        model="rgc_tiny",
        recording="hvm-sim-dealt",
        selection=neurofit.Selection(region="IT", bins="70:250:60"),
        analysis=neurofit.TuringConfig(min_z=None, **FEW),
    ),
}

TIME = [name for name in RUNS if name.startswith("time_")]
NARROW = ("time_generalisation", "time_lag", "time_geometry", "time_areas", "time_turing")
narrow = partial(figures.draw, width="85mm")

PICTURES: dict[str, tuple[list[str], Callable[..., Any]]] = {
    "curve": (["rgc_tiny"], figures.draw),
    "curves": (["rgc_tiny", "timedecay_tiny"], lambda *results: narrow(results)),
    "difference": (
        ["rgc_tiny", "timedecay_tiny"],
        lambda *results: narrow(neurofit.compare(list(results))),
    ),
    "layers": (["layers"], narrow),
    **{name: ([name], narrow if name in NARROW else figures.draw) for name in TIME},
}


@neurofit.register_recording(
    name="hvm-sim-dealt", regions=("V4", "IT"), simulated=True, citation=""
)
def deal_sites(progress: Any = None) -> neurofit.Recording:
    """`hvm-sim`, whose sites are dealt to three animals at random."""
    del progress
    recording = neurofit.load_recording("hvm-sim")
    n = recording.responses.sizes["neuroid"]
    names = np.random.default_rng(0).permutation(np.arange(n) % 3)
    subjects = recording.responses.region.copy(data=[f"part {1 + each}" for each in names])
    dealt = recording.responses.assign_coords(subject=subjects)
    return replace(recording, name="hvm-sim-dealt", responses=dealt)


def result(name: str, folder: Path) -> xr.Dataset:
    """Return a result, from the folder if it is there."""
    file = folder / f"{name}.nc"
    if not file.exists():
        neurofit.save_result(neurofit.run(RUNS[name]), file)
    return neurofit.load_result(file)


def main() -> None:
    """Draw the pictures."""
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or PICTURES:
        runs, draw = PICTURES[name]
        file = DOCS / f"{name}.png"
        figures.save(draw(*(result(run, folder) for run in runs)), file)
        with Image.open(file) as picture:  # fewer colours take half the bytes; maps have many
            small = picture.convert("RGB").quantize(256 if name in NARROW else 64)
        small.save(file, optimize=True)
        print(f"{file}: {file.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
