"""The pictures of README.md and docs/figures.md: score, then draw.

    python benchmarks/pictures.py FOLDER

FOLDER keeps the results, so that a second run only draws. The scores take about ten minutes on two
cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xarray as xr
from PIL import Image

import neurofit
from neurofit import figures

DOCS = Path(__file__).resolve().parent.parent / "docs"

IT = neurofit.Selection(region="IT")
RUNS = {
    "rgc_tiny": neurofit.RunConfig(model="rgc_tiny", selection=IT),
    "timedecay_tiny": neurofit.RunConfig(model="timedecay_tiny", selection=IT),
    "layers": neurofit.RunConfig(
        model="rgc_tiny",
        selection=neurofit.Selection(region="IT", window=(60, 200)),
        analysis=neurofit.ScoreConfig(layers="all", n_splits=3, n_halves=3),
    ),
}


def result(name: str, folder: Path) -> xr.Dataset:
    """Return a result, from the folder if it is there."""
    file = folder / f"{name}.nc"
    if not file.exists():
        neurofit.save_result(neurofit.run(RUNS[name]), file)
    return neurofit.load_result(file)


def main() -> None:
    """Draw every picture."""
    folder = Path(sys.argv[1])
    one, other, layers = (result(name, folder) for name in RUNS)
    for name, figure in (
        ("curve", figures.draw(one)),
        ("curves", figures.draw([one, other], width="85mm")),
        ("difference", figures.draw(neurofit.compare([one, other]), width="85mm")),
        ("layers", figures.draw(layers, width="85mm")),
    ):
        file = DOCS / f"{name}.png"
        figures.save(figure, file)
        with Image.open(file) as picture:  # 64 colours take half the bytes
            small = picture.convert("RGB").quantize(64)
        small.save(file, optimize=True)
        print(f"{file}: {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
