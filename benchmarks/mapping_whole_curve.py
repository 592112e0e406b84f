"""The noise-corrected curve of one layer over 19 bins, from features on disk.

    python benchmarks/mapping_whole_curve.py [--folder DIR] [--workers 2] [--bins 19]
        [--mapping pls]

Writes 4.9 GB of features (2,560 stimuli x 25,088 units x 19 timesteps) into DIR, unless they exist,
and measures the time from the first read to the last correlation: 10 splits x 21 target sets x 19
bins = 3,990 fits, r_xy and r_xx. Each worker is a process with one BLAS thread. Trials are
generated before the clock starts.
"""

import argparse
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import mapping_data as data
import numpy as np

from neurofit.mapping import MAPPINGS
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.splits import train_splits
from neurofit.metrics.correlation import pearson

N_STIMULI, N_UNITS, N_NEUROIDS = 2560, 25088, 168


def main() -> None:
    """Print the row of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--bins", type=int, default=19)
    parser.add_argument("--mapping", default="pls")
    options = parser.parse_args()
    print(data.describe_machine())
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        features = options.folder or Path(folder)
        data.features_on_disk(features, N_STIMULI, N_UNITS, options.bins)
        for time_bin in range(options.bins):
            np.save(
                Path(folder) / f"targets_{time_bin}.npy",
                data.half_means(data.counts(N_STIMULI, N_NEUROIDS, time_bin=time_bin), 10),
            )
        work = partial(one_bin, features=features, targets=Path(folder), mapping=options.mapping)
        start = time.perf_counter()
        with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
            results = list(pool.map(work, range(options.bins)))
        wall = time.perf_counter() - start
    cpu = sum(seconds for seconds, *_ in results)
    peak = max(memory for _, memory, *_ in results)
    curve = " ".join(f"{r:.2f}" for *_, r in results)
    print("| what | wall s | CPU s | workers x peak GB |")
    print("|---|---|---|---|")
    print(
        f"| {options.bins} bins, {210 * options.bins} fits of {options.mapping} | {wall:.0f} | "
        f"{cpu:.0f} | {options.workers} x {peak:.1f} |"
    )
    print(f"median r_xy per bin: {curve}")


def one_bin(
    time_bin: int, *, features: Path, targets: Path, mapping: str
) -> tuple[float, float, float]:
    """Fit one bin; return CPU time (s), peak memory of the process (GB) and median r_xy."""
    start = time.process_time()
    train = train_splits(N_STIMULI, n_splits=10, train_size=0.75, seed=0)
    sets = np.load(targets / f"targets_{time_bin}.npy")
    method = MAPPINGS[mapping]()
    gram = gram_of(
        [np.load(features / f"features_{N_STIMULI}_{N_UNITS}_{time_bin}.npy", mmap_mode="r")],
        precision=method.precision,
    )
    r_xy, r_xx = [], []
    for rows, predicted in zip(train, method.cross_predict(gram, sets, train), strict=True):
        r_xy.append(pearson(predicted[0], sets[0, ~rows]))
        r_xx.append(pearson(*np.split(predicted[1:], 2)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return time.process_time() - start, peak, float(np.nanmedian(np.mean(r_xy, axis=0)))


if __name__ == "__main__":
    main()
