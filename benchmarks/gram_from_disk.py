"""The Gram of features on disk against the matrix product alone.

    python benchmarks/gram_from_disk.py [--stimuli 2560] [--units 100352]

The features (1 GB of float32) are memory-mapped and read in chunks of columns or rows, each once
(tests/mapping/test_work.py counts); the product alone is that of the same features in memory, also
in float32. Medians of CPU time on one thread.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import mapping_data as data  # first: it sets the threads of BLAS
import numpy as np
from figures import figure

from neurofit.mapping import gram_of


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stimuli", type=int, default=2560)
    parser.add_argument("--units", type=int, default=100_352)
    asked = parser.parse_args()
    x = data.features(asked.stimuli, asked.units, 10)
    product = data.cpu_seconds(lambda: x @ x.T)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.npy"
        np.save(path, x)
        mapped = np.load(path, mmap_mode="r")
        gram = data.cpu_seconds(lambda: gram_of([mapped], precision="float32"))
    print("| what | CPU s |\n|---|---|")
    print(f"| matrix product | {product:.2f} |\n| Gram from disk | {gram:.2f} |")
    print(f"ratio {gram / product:.2f}; peak memory {data.peak_memory():.1f} GB")
    figure("Gram of features on disk: times the matrix product alone", gram / product)


if __name__ == "__main__":
    main()
