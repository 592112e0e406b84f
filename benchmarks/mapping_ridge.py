"""Ridge with 21 penalties per neuroid, against scikit-learn's RidgeCV and himalaya's KernelRidgeCV.

    python benchmarks/mapping_ridge.py [--stimuli 2560] [--units 25088] [--without-peers]
        [--without-hundred]

CPU time on one BLAS thread. A loop over scikit-learn for 10 splits x 21 target sets is the time of
one fit and prediction in the same run, times 210. RidgeCV chooses penalties in each fit, neurofit
only on the mean over all trials, so that the maps of the halves have the same penalties.
"""

import argparse
import warnings

import mapping_data as data
import numpy as np
from figures import figure

from neurofit.mapping.gram_building import gram_of
from neurofit.mapping.ridge import RidgeMapping
from neurofit.mapping.splits import train_splits

ALPHAS = tuple(float(a) for a in np.logspace(-2, 8, 21))


def main() -> None:
    """Print the rows of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stimuli", type=int, default=2560)
    parser.add_argument("--units", type=int, default=25088)
    parser.add_argument("--without-peers", action="store_true", help="time neurofit only")
    parser.add_argument("--without-hundred", action="store_true", help="no R=100")
    options = parser.parse_args()
    # himalaya warns about the range of penalties, neurofit about float32.
    warnings.simplefilter("ignore")
    print(data.describe_machine())
    x = data.features(options.stimuli, options.units, 10)
    trials = data.counts(options.stimuli, 168, 200)
    targets = data.half_means(trials, 10)
    train = train_splits(options.stimuli, n_splits=10, train_size=0.75, seed=0)
    loo, gcv = RidgeMapping(alphas=ALPHAS), RidgeMapping(alphas=ALPHAS, select="gcv")

    print("| what | CPU s | against |")
    print("|---|---|---|")
    gram_s = {
        precision: data.cpu_seconds(lambda p=precision: gram_of([x], precision=p))
        for precision in ("float64", "float32")
    }
    gram = gram_of([x], precision="float64")
    one = {}
    for name, mapping in (("leave-one-out", loo), ("GCV", gcv)):
        one[name] = data.cpu_seconds(
            lambda m=mapping: m.cross_predict(gram, targets[:1], train[:1])
        )
        print(
            f"| one fit, {name}, with its float64 Gram (float32) | "
            f"{gram_s['float64'] + one[name]:.2f} "
            f"({gram_s['float32'] + one[name]:.2f}) | |",
            flush=True,
        )
    all_s = (
        data.cpu_seconds(lambda: loo.cross_predict(gram, targets, train), repeats=1)
        + gram_s["float64"]
    )
    print(
        f"| 10 splits x 21 target sets, leave-one-out, with the float64 Gram | {all_s:.1f} | |",
        flush=True,
    )
    if not options.without_peers:
        peers(
            x,
            targets[0],
            train[0],
            loo.cross_predict(gram, targets[:1], train[:1])[0][0],
            one["leave-one-out"],
            gram_s,
            all_s,
        )
    if options.without_hundred:
        return
    many = data.half_means(trials, 100)
    hundred = (
        data.cpu_seconds(lambda: loo.cross_predict(gram, many, train), repeats=1)
        + gram_s["float64"]
    )
    print(
        f"| R=100: 10 splits x 201 target sets, leave-one-out | {hundred:.1f} | "
        f"{hundred / all_s:.2f}x the time of R=10 |"
    )
    print(f"peak memory {data.peak_memory():.1f} GB")


def peers(
    x: np.ndarray,
    y: np.ndarray,
    train: np.ndarray,
    ours: np.ndarray,
    fit_s: float,
    gram_s: dict[str, float],
    all_s: float,
) -> None:
    """Time one fit and prediction of each of the other packages."""
    from sklearn.linear_model import RidgeCV

    x_train, x_test, y_train = x[train].astype(np.float64), x[~train].astype(np.float64), y[train]
    repeats, found = (3 if len(x) < 1000 else 1), {}

    def sklearn() -> None:
        found["predicted"] = (
            RidgeCV(ALPHAS, alpha_per_target=True).fit(x_train, y_train).predict(x_test)
        )

    def report(name: str, seconds: float, more: str) -> tuple[float, float]:
        apart = np.abs(found["predicted"] - ours).max() / ours.std()
        exact, single = (
            seconds / (fit_s + gram_s[precision]) for precision in ("float64", "float32")
        )
        print(
            f"| one fit, {name} | {seconds:.1f} | neurofit {exact:.1f}x ({single:.1f}x "
            f"with a float32 Gram); {more}{apart:.0e} of a sd apart |",
            flush=True,
        )
        return exact, single

    seconds = data.cpu_seconds(sklearn, repeats=repeats)
    ratio, _ = report(
        "scikit-learn RidgeCV", seconds, f"a loop of 210 {210 * seconds / all_s:.0f}x; predictions "
    )
    figure("ridge, one fit: times as fast as RidgeCV", ratio)
    figure("ridge, 210 fits: times as fast as a RidgeCV loop", 210 * seconds / all_s)
    try:
        from himalaya.backend import set_backend
        from himalaya.kernel_ridge import KernelRidgeCV
    except ImportError:
        print("| himalaya is missing: pip install --no-deps himalaya | | |")
        return
    for backend in ("numpy", "torch"):  # torch computes in float32
        set_backend(backend)
        kind = np.float64 if backend == "numpy" else np.float32

        def himalaya(kind: type = kind) -> None:
            center, mean = x_train.mean(axis=0), y_train.mean(axis=0)
            model = KernelRidgeCV(alphas=np.array(ALPHAS, dtype=kind), cv=5)
            model.fit((x_train - center).astype(kind), (y_train - mean).astype(kind))
            found["predicted"] = np.asarray(model.predict((x_test - center).astype(kind))) + mean

        exact, single = report(
            f"himalaya KernelRidgeCV, 5 folds, {backend} {kind.__name__}",
            data.cpu_seconds(himalaya, repeats=repeats),
            "predictions ",
        )
        if backend == "torch":
            figure("ridge, one fit: times as fast as himalaya, torch float32", exact)
            figure("ridge, one fit with a float32 Gram: times as fast as himalaya", single)


if __name__ == "__main__":
    main()
