"""PLS for one time bin, a single fit and all fits of a score, against scikit-learn and ikpls.

    python benchmarks/mapping_pls.py [--stimuli 2560] [--units 25088] [--without-peers] [--hundred]

CPU time on one BLAS thread. The features are shared by 10 splits x (1 + 2 x 10 halves) = 210 fits
of 25 components. A loop over scikit-learn is the CPU time of one fit and prediction in the same
run, times 210. The share of the GEMM peak counts the planned operations: K, K Y, M, the products
with K, Y and T of every component, and 50 power iterations per component.
"""

import argparse

import mapping_data as data
import numpy as np
from figures import figure

from neurofit.mapping.gram import plan_gram
from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.pls import PLSMapping
from neurofit.mapping.splits import train_splits


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stimuli", type=int, default=2560)
    parser.add_argument("--units", type=int, default=25088)
    parser.add_argument("--without-peers", action="store_true", help="time neurofit only")
    parser.add_argument("--hundred", action="store_true", help="also time R=100")
    options = parser.parse_args()
    print(data.describe_machine())
    x = data.features(options.stimuli, options.units, 10)
    trials = data.counts(options.stimuli, 168, 200)
    train = train_splits(options.stimuli, n_splits=10, train_size=0.75, seed=0)

    print("| what | CPU s | per fit, ms | against |")
    print("|---|---|---|---|")
    one = whole_bin(x, trials, train, n_halves=10)
    if not options.without_peers:
        single_fits(x, data.half_means(trials, 1)[0], train[0], one)
    if options.hundred:
        hundred = whole_bin(x, trials, train, n_halves=100)
        print(
            f"| R=100 against R=10 | | | {hundred / one:.2f}x the time for {201 / 21:.1f}x the "
            "fits |"
        )
    print(f"peak memory {data.peak_memory():.1f} GB")


def whole_bin(x: np.ndarray, trials: np.ndarray, train: np.ndarray, *, n_halves: int) -> float:
    """Time the Gram and all fits with both rules; return the CPU time with rule "sklearn"."""
    targets = data.half_means(trials, n_halves)
    n_fits = len(train) * len(targets)
    gram_s = data.cpu_seconds(lambda: gram_of([x]), repeats=3)
    gram, fit_s = gram_of([x]), {}
    for rule in ("sklearn", "exact"):
        mapping = PLSMapping(convergence=rule)
        fit_s[rule] = data.cpu_seconds(
            lambda mapping=mapping: mapping.cross_predict(gram, targets, train),
            repeats=3 if n_halves == 10 else 1,
        )
        print(
            f"| {n_fits} fits, R={n_halves}, rule {rule}: Gram {gram_s:.2f} + fits | "
            f"{gram_s + fit_s[rule]:.2f} "
            f"| {(gram_s + fit_s[rule]) / n_fits * 1e3:.1f} | "
            f"{share_of_peak(x, targets, train, gram_s + fit_s[rule]):.0%} of the GEMM peak |",
            flush=True,
        )
    if n_halves == 10:
        share = share_of_peak(x, targets, train, gram_s + fit_s["sklearn"])
        figure("PLS, 210 fits: share of the GEMM peak", share)
    return gram_s + fit_s["sklearn"]


def share_of_peak(x: np.ndarray, targets: np.ndarray, train: np.ndarray, seconds: float) -> float:
    """Return the time of the planned operations at peak speed, as a share of the measured time."""
    gram = plan_gram(*x.shape)
    fits = PLSMapping().plan(
        gram, n_sets=len(targets), n_splits=len(train), n_neuroids=targets.shape[2]
    )
    kind = np.float32 if gram.precision == "float32" else np.float64
    at_peak = gram.flops / data.gemm_peak(kind) + fits.flops / data.gemm_peak(np.float64)
    return at_peak / seconds


def single_fits(x: np.ndarray, y: np.ndarray, train: np.ndarray, whole: float) -> None:
    """Time one fit and prediction of each package, in one run."""
    from sklearn.cross_decomposition import PLSRegression

    x_train, y_train, x_test = x[train].astype(np.float64), y[train], x[~train].astype(np.float64)
    ours = data.cpu_seconds(lambda: PLSMapping().cross_predict(gram_of([x]), y[None], train[None]))
    predicted = PLSMapping().cross_predict(gram_of([x]), y[None], train[None])[0][0]
    exact = PLSMapping(convergence="exact").cross_predict(gram_of([x]), y[None], train[None])[0][0]
    print(f"| one fit with its Gram | {ours:.2f} | | |", flush=True)
    found = {}
    repeats = 3 if len(x) < 1000 else 1

    def sklearn() -> None:
        found["sklearn"] = PLSRegression(25, scale=False).fit(x_train, y_train).predict(x_test)

    seconds = data.cpu_seconds(sklearn, repeats=repeats)
    apart = np.abs(found["sklearn"] - predicted).max() / predicted.std()
    print(
        f"| one fit, scikit-learn | {seconds:.1f} | | neurofit {seconds / ours:.0f}x; "
        f"a loop of 210 {210 * seconds / whole:.0f}x; predictions {apart:.0e} of a sd apart |",
        flush=True,
    )
    figure("PLS, one fit: times as fast as scikit-learn", seconds / ours)
    figure("PLS, 210 fits: times as fast as a scikit-learn loop", 210 * seconds / whole)
    try:
        from ikpls.numpy import PLS
    except ImportError:
        print("| ikpls is missing: pip install --no-deps ikpls==6.1.2 | | | |")
        return

    def ikpls(algorithm: int) -> None:
        model = PLS(algorithm=algorithm, scale_X=False, scale_Y=False)
        model.fit(x_train, y_train, 25)
        found["ikpls"] = model.predict(x_test, n_components=25)

    for algorithm in (1, 2) if x.shape[1] < 5000 else (1,):
        seconds = data.cpu_seconds(lambda algorithm=algorithm: ikpls(algorithm), repeats=repeats)
        apart = np.abs(found["ikpls"] - exact).max() / exact.std()
        print(
            f"| one fit, ikpls algorithm {algorithm} | {seconds:.2f} | | neurofit "
            f"{seconds / ours:.1f}x; exact rule, predictions {apart:.0e} of a sd apart |",
            flush=True,
        )
        if algorithm == 1:
            figure("PLS, one fit: times as fast as ikpls", seconds / ours)


if __name__ == "__main__":
    main()
