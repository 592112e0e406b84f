"""One map shared by all time bins, per fit, against scikit-learn and ikpls on the stacked rows (claim d).

    python benchmarks/mapping_fixed.py [--stimuli 640] [--units 2048] [--bins 19] [--splits 10] [--sets 21] [--ridge] [--folder DIR]
        [--without-peers]

One BLAS thread, CPU time. Rows are stimuli x bins. Ours: all splits and target sets together, divided by their number; the peers: one
fit and prediction each, in this run.
"""

import argparse
from pathlib import Path

import mapping_data as data
import numpy as np

from neurofit.mapping import PLSMapping, RidgeMapping, gram_of, train_splits


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("stimuli", 640), ("units", 2048), ("bins", 19), ("splits", 10), ("sets", 21)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="write the features there, or find them, and read them from disk")
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--ridge", action="store_true", help="time ridge, too")
    options = parser.parse_args()
    print(data.describe_machine())
    if options.folder:
        blocks = data.features_on_disk(options.folder, options.stimuli, options.units, options.bins)
    else:
        blocks = [data.features(options.stimuli, options.units, step) for step in range(options.bins)]
    n_halves = (options.sets - 1) // 2
    means = [data.half_means(data.counts(options.stimuli, 168, time_bin=step), max(n_halves, 1)) for step in range(options.bins)]
    targets = np.concatenate([sets[: options.sets] for sets in means], axis=1)
    train = np.tile(train_splits(options.stimuli, n_splits=options.splits, train_size=0.75, seed=0), options.bins)
    n_fits = options.splits * len(targets)

    print(f"{options.stimuli} stimuli x {options.bins} bins, {options.units} units")
    print("| what | CPU s | per fit, s | against |")
    print("|---|---|---|---|")

    def everything() -> None:
        gram = gram_of(blocks)
        everything.plan = gram.plan
        everything.predicted = PLSMapping().cross_predict(gram, targets, train, times=options.bins)

    seconds = data.cpu_seconds(everything, repeats=1)
    plan, per_fit = everything.plan, seconds / n_fits
    print(
        f"| PLS, {n_fits} fits, features as {plan.face} ({plan.n_bytes / 1e9:.1f} GB planned) | {seconds:.1f} | {per_fit:.3f} | |",
        flush=True,
    )
    single = data.cpu_seconds(lambda: PLSMapping().cross_predict(gram_of(blocks), targets[:1], train[:1], times=options.bins), repeats=1)
    print(f"| PLS, one fit alone | {single:.2f} | {single:.2f} | |", flush=True)
    if options.ridge:
        ridge = RidgeMapping()
        seconds = data.cpu_seconds(lambda: ridge.cross_predict(gram_of(blocks), targets, train[:1], times=options.bins), repeats=1)
        print(
            f"| ridge, one split x {len(targets)} sets, leave-one-out by stimulus | {seconds:.1f} | {seconds / len(targets):.2f} | |",
            flush=True,
        )
    print(f"peak memory {data.peak_memory():.1f} GB")
    if not options.without_peers:
        peers(np.concatenate(blocks).astype(np.float64), targets[0], train[0], everything.predicted[0][0], per_fit, single)


def peers(x: np.ndarray, y: np.ndarray, train: np.ndarray, ours: np.ndarray, per_fit: float, single: float) -> None:
    """Time one fit and prediction of each peer, in this run."""
    from sklearn.cross_decomposition import PLSRegression

    kept = {}
    x_train, y_train, x_test = x[train], y[train], x[~train]

    def sklearn() -> None:
        kept["predicted"] = PLSRegression(25, scale=False).fit(x_train, y_train).predict(x_test)

    def report(name: str, seconds: float, rule: str) -> None:
        apart = np.abs(kept["predicted"] - ours).max() / ours.std()
        print(
            f"| {name}, one fit | {seconds:.2f} | {seconds:.2f} | ours {seconds / per_fit:.0f}x batched, {seconds / single:.1f}x alone; "
            f"{apart:.0e} of a sd apart{rule} |",
            flush=True,
        )

    report("scikit-learn", data.cpu_seconds(sklearn, repeats=1), "")
    try:
        from ikpls.numpy import PLS
    except ImportError:
        print("| ikpls is missing: pip install --no-deps ikpls==6.1.2 | | | |")
        return
    for algorithm in (1, 2):

        def ikpls(algorithm: int = algorithm) -> None:
            model = PLS(algorithm=algorithm, scale_X=False, scale_Y=False)
            model.fit(x_train, y_train, 25)
            kept["predicted"] = model.predict(x_test, n_components=25)

        report(f"ikpls algorithm {algorithm}", data.cpu_seconds(ikpls, repeats=1), " (it converges, the sklearn rule does not)")


if __name__ == "__main__":
    main()
