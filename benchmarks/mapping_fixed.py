"""One map for all time bins: time per fit, against scikit-learn and ikpls.

    python benchmarks/mapping_fixed.py [--stimuli 640] [--units 2048] [--bins 19] [--splits 10]
        [--sets 21] [--ridge] [--folder DIR] [--without-peers]

CPU time on one BLAS thread. Rows are stimuli x bins. The time of neurofit is that of all splits and
target sets together, divided by their number; the other packages are measured on one fit and
prediction each, in the same run.
"""

import argparse
from pathlib import Path

import mapping_data as data
import numpy as np
from figures import figure

from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (
        ("stimuli", 640),
        ("units", 2048),
        ("bins", 19),
        ("splits", 10),
        ("sets", 21),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument(
        "--folder",
        type=Path,
        help="folder of the features: written unless they exist, and read from disk",
    )
    parser.add_argument("--without-peers", action="store_true", help="time neurofit only")
    parser.add_argument("--ridge", action="store_true", help="also time ridge")
    options = parser.parse_args()
    print(data.describe_machine())
    if options.folder:
        blocks = data.features_on_disk(options.folder, options.stimuli, options.units, options.bins)
    else:
        blocks = [
            data.features(options.stimuli, options.units, step) for step in range(options.bins)
        ]
    n_halves = (options.sets - 1) // 2
    means = [
        data.half_means(data.counts(options.stimuli, 168, time_bin=step), max(n_halves, 1))
        for step in range(options.bins)
    ]
    targets = np.concatenate([sets[: options.sets] for sets in means], axis=1)
    train = np.tile(
        train_splits(options.stimuli, n_splits=options.splits, train_size=0.75, seed=0),
        options.bins,
    )
    n_fits = options.splits * len(targets)

    print(f"{options.stimuli} stimuli x {options.bins} bins, {options.units} units")
    print("| what | CPU s | per fit, s | against |")
    print("|---|---|---|---|")

    def all_fits() -> None:
        gram = gram_of(blocks)
        all_fits.plan = gram.plan
        all_fits.predicted = PLSMapping().cross_predict(gram, targets, train, times=options.bins)

    seconds = data.cpu_seconds(all_fits, repeats=1)
    plan, per_fit = all_fits.plan, seconds / n_fits
    print(
        f"| PLS, {n_fits} fits, features as {plan.storage} ({plan.n_bytes / 1e9:.1f} GB planned) | "
        f"{seconds:.1f} | {per_fit:.3f} | |",
        flush=True,
    )
    single = data.cpu_seconds(
        lambda: PLSMapping().cross_predict(
            gram_of(blocks), targets[:1], train[:1], times=options.bins
        ),
        repeats=1,
    )
    print(f"| PLS, a single fit | {single:.2f} | {single:.2f} | |", flush=True)
    if options.ridge:
        ridge = RidgeMapping()
        seconds = data.cpu_seconds(
            lambda: ridge.cross_predict(gram_of(blocks), targets, train[:1], times=options.bins),
            repeats=1,
        )
        print(
            f"| ridge, one split x {len(targets)} sets, leave-one-out by stimulus | {seconds:.1f} "
            f"| {seconds / len(targets):.2f} | |",
            flush=True,
        )
    print(f"peak memory {data.peak_memory():.1f} GB")
    if not options.without_peers:
        peers(
            np.concatenate(blocks).astype(np.float64),
            targets[0],
            train[0],
            all_fits.predicted[0][0],
            per_fit,
            single,
        )


def peers(
    x: np.ndarray, y: np.ndarray, train: np.ndarray, ours: np.ndarray, per_fit: float, single: float
) -> None:
    """Time one fit and prediction of each of the other packages."""
    from sklearn.cross_decomposition import PLSRegression

    found = {}
    x_train, y_train, x_test = x[train], y[train], x[~train]

    def sklearn() -> None:
        found["predicted"] = PLSRegression(25, scale=False).fit(x_train, y_train).predict(x_test)

    def report(name: str, seconds: float, rule: str) -> None:
        apart = np.abs(found["predicted"] - ours).max() / ours.std()
        print(
            f"| {name}, one fit | {seconds:.2f} | {seconds:.2f} | "
            f"neurofit {seconds / per_fit:.0f}x faster batched, {seconds / single:.1f}x alone; "
            f"predictions {apart:.0e} of a sd apart{rule} |",
            flush=True,
        )

    seconds = data.cpu_seconds(sklearn, repeats=1)
    report("scikit-learn", seconds, "")
    figure("one map for all bins: times as fast as scikit-learn", seconds / per_fit)
    try:
        from ikpls.numpy import PLS
    except ImportError:
        print("| ikpls is missing: pip install --no-deps ikpls==6.1.2 | | | |")
        return
    for algorithm in (1, 2):

        def ikpls(algorithm: int = algorithm) -> None:
            model = PLS(algorithm=algorithm, scale_X=False, scale_Y=False)
            model.fit(x_train, y_train, 25)
            found["predicted"] = model.predict(x_test, n_components=25)

        seconds = data.cpu_seconds(ikpls, repeats=1)
        rule = " (ikpls converges, scikit-learn's rule stops earlier)"
        report(f"ikpls algorithm {algorithm}", seconds, rule)
        if algorithm == 1:
            figure("one map for all bins: times as fast as ikpls, batched", seconds / per_fit)
            figure("one map for all bins: times as fast as ikpls, alone", seconds / single)


if __name__ == "__main__":
    main()
