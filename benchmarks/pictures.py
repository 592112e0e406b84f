"""The pictures of README.md and docs/figures.md: score, then draw.

python benchmarks/pictures.py FOLDER

FOLDER keeps the results, so that a second run only draws. The scores take about ten minutes on two
cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xarray as xr

import neurofit
from neurofit import figures

DOCS = Path(__file__).resolve().parent.parent / "docs"

IT = neurofit.Selection(region="IT")
RUNS = {
    "rgc_tiny": neurofit.RunConfig(model="rgc_tiny", selection=IT),
    "gru_tiny": neurofit.RunConfig(model="gru_tiny", selection=IT),
    "layers": neurofit.RunConfig(
        model="gru_tiny",
        selection=neurofit.Selection(region="IT", window=(80, 260)),
        analysis=neurofit.ScoreConfig(layers="all", n_splits=4, n_halves=4),
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
    figures.save(figures.draw(one), DOCS / "curve.png")
    figures.save(figures.draw([one, other], width="85mm"), DOCS / "curves.png")
    figures.save(figures.draw(layers, width="85mm"), DOCS / "layers.png")
    figures.save(figures.draw([one, other], "scatter", width="85mm"), DOCS / "scatter.png")
    for name in ("curve", "curves", "layers", "scatter"):
        print(f"docs/{name}.png: {(DOCS / f'{name}.png').stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
