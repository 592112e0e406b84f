"""Bias, coverage and false alarms of scores, from recordings with a planted truth.

    python benchmarks/validity/run.py [--sets 40] [--only bias ...] [--out docs/validity.json]
    python benchmarks/validity/page.py

The first command takes under an hour on two cores, keeps each finished condition in the output
file, and goes on from there if it is interrupted. The second writes the tables of docs/validity.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from planted import Population, reachable, score
from scipy import stats

from neurofit import ScoreConfig

TRUTHS = (0.0, 0.3, 0.7, 1.0)

REGIMES: dict[str, dict[str, Any]] = {
    "400 stimuli, 10 trials": {},
    "reliabilities differ (e^1)": {"spread": 1.0},
    "reliabilities differ (e^2)": {"spread": 2.0},
    "200 stimuli": {"n_stimuli": 200},
    "640 stimuli": {"n_stimuli": 640},
    "2 trials": {"repetitions": 2},
    "3 trials": {"repetitions": 3},
    "5 trials": {"repetitions": 5},
    "30 trials": {"repetitions": 30},
    "2 to 30 trials": {"repetitions": (2, 30)},
    "Poisson, 0.05 per bin": {"noise": "poisson", "rate": 0.05, "repetitions": 30},
    "Poisson, 0.3 per bin": {"noise": "poisson", "rate": 0.3, "repetitions": 30},
    "Poisson, 1 per bin": {"noise": "poisson", "rate": 1.0, "repetitions": 30},
    "lognormal latents": {"latents": "lognormal"},
}
"""Regimes of a population that differ from the first in one respect."""

BASE: dict[str, Any] = {"n_stimuli": 400, "n_neuroids": 80}

DIFFER = {"truth": (0.4, 0.9)}
SHARED = {"common": 0.5, "common_noise": 0.2}

COVERED: dict[str, dict[str, Any]] = {
    "neuroids alike": {},
    "neuroids differ": DIFFER,
    "misfit and noise shared": {**DIFFER, **SHARED},
    "reliabilities differ (e^1)": {**DIFFER, "spread": 1.0},
    "3 trials": {**DIFFER, "repetitions": 3},
    "2 to 30 trials": {**DIFFER, "repetitions": (2, 30)},
    "Poisson, 0.3 per bin": {**DIFFER, "noise": "poisson", "rate": 0.3, "repetitions": 30},
    "lognormal latents": {**DIFFER, "latents": "lognormal"},
    "100 stimuli, 12 neuroids": {**DIFFER, "n_stimuli": 100, "n_neuroids": 12},
    "640 stimuli, 100 neuroids": {**DIFFER, "n_stimuli": 640, "n_neuroids": 100},
}
"""Populations whose intervals are examined; what is drawn anew depends on the interval."""

MAPS: dict[str, dict[str, Any]] = {
    "PLS": {"mapping": "pls"},
    "ridge, fixed": {"mapping": "ridge", "time_mode": "fixed"},
}
"""Maps whose intervals over stimuli need a jackknife."""

REFITTED = [
    ("PLS", 0, "stimuli"),
    ("PLS", 20, "stimuli"),
    ("PLS", 0, "both"),
    ("PLS", 20, "both"),
    ("ridge, fixed", 20, "stimuli"),
    ("ridge, fixed", 0, "stimuli"),
    ("PLS", 10, "stimuli"),
    ("ridge, fixed", 20, "both"),
    ("ridge, fixed", 0, "both"),
]
"""Maps, groups of their jackknife, and what the interval is over; neuroids differ."""

KINDS = {
    "both": ("neuroids", "stimuli", "trials"),
    "stimuli": ("stimuli", "trials"),
    "neuroids": ("neuroids", "trials"),
}
"""What an interval is over -> what differs between the planted recordings."""


def seeds_of(kind: str, number: int) -> dict[str, int]:
    """Return the seeds of a planted recording; what an interval does not cover is drawn once."""
    drawn = KINDS[kind]
    return {part: number if part in drawn else 10**6 for part in ("neuroids", "stimuli", "trials")}


def one_bias(population: Population, number: int) -> dict[str, Any]:
    """Return the score, whether it is given, and what can be reached, in each time bin."""
    activations, noisy, clean = population.draw(**seeds_of("both", number))
    made = score(activations, noisy, min_z=None)
    clear = np.minimum(made.z_r_xx.values[0], made.z_r_yy.values[0])
    return {
        "score": made.curve.values[0].tolist(),
        "reliability": made.ceiling.values.tolist(),
        "given": (clear >= ScoreConfig().min_z).tolist(),
        "reachable": reachable(activations, clean).tolist(),
    }


def one_coverage(
    population: Population, kind: str, maps: dict[str, Any], jackknife: int, number: int
) -> dict[str, Any]:
    """Return the score, what can be reached, the interval and the band of each time bin.

    `maps` are options of the maps, and `jackknife` is the number of groups that are left out.
    """
    activations, noisy, clean = population.draw(**seeds_of(kind, number))
    options = {"interval_over": kind, "min_z": None, "jackknife": jackknife}
    made = score(activations, noisy, **maps, **options)
    ends = ("curve", "curve_low", "curve_high", "curve_band_low", "curve_band_high")
    return {
        "reachable": reachable(activations, clean, **maps).tolist(),
        **{name: made[name].values[0].tolist() for name in ends},
    }


def one_pair_of_animals(number: int) -> dict[str, Any]:
    """Return the score and the interval of each of two animals of different level."""
    population = Population(
        truth=0.5, level_of_second=0.9, reliabilities=(0.4, 0.4, 0.8, 0.8), n_neuroids=60
    )
    seeds = seeds_of("stimuli", number)
    activations, noisy, clean = population.draw(**seeds)
    options = {"interval_over": "stimuli", "min_z": None}
    made, free = score(activations, noisy, **options), score(activations, clean, **options)
    names = ("curve_of_subject", "curve_of_subject_low", "curve_of_subject_high")
    found = {name: made[name].values[:, 0].tolist() for name in names}
    return {"reachable": free.curve_of_subject.values[:, 0].tolist(), **found}


def one_null(number: int) -> dict[str, Any]:
    """Return the numbers given in 50 time bins without signal, and intervals where forced."""
    population = Population(truth=0.5, reliabilities=(1e-9,) * 50, n_stimuli=200)
    activations, noisy, _ = population.draw(**seeds_of("both", number))
    shown, forced = (score(activations, noisy, min_z=z) for z in (4.0, None))
    return {
        "numbers": int(np.isfinite(shown.curve.values).sum()),
        "one_sided": int(np.isfinite(shown.curve_one_sided.values).sum()),
        "forced": forced.curve.values[0].tolist(),
        "low": forced.curve_low.values[0].tolist(),
        "high": forced.curve_high.values[0].tolist(),
    }


def one_seed(seed: int) -> dict[str, Any]:
    """Return the score of one planted recording with another seed of splits and halves."""
    population = Population(reliabilities=(0.1, 0.2, 0.3, 0.8))
    activations, noisy, _ = population.draw(neuroids=0, stimuli=0, trials=0)
    made = score(activations, noisy, seed=seed)
    width = (made.curve_high - made.curve_low).values[0]
    return {"score": made.curve.values[0].tolist(), "width": width.tolist()}


def one_onset(n_stimuli: int, reliability: float, number: int) -> list[bool]:
    """Return whether each of four bins of 30 alike neuroids has a number."""
    population = Population(
        reliabilities=(reliability,) * 4, n_stimuli=n_stimuli, n_neuroids=30, repetitions=8
    )
    activations, noisy, _ = population.draw(**seeds_of("both", number))
    return np.isfinite(score(activations, noisy).curve.values[0]).tolist()


def summarise_bias(found: list[Any]) -> dict[str, Any]:
    """Return the bias of the scores that are given, per bin, and how many they are."""
    score, given, free, reliability = (
        np.array([each[name] for each in found])
        for name in ("score", "given", "reachable", "reliability")
    )
    difference = np.where(given, score - free.mean(axis=0), np.nan)
    count = given.sum(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bins in which no score is given
        return {
            "reachable": free.mean(axis=0).tolist(),
            "reliability": reliability.mean(axis=0).tolist(),
            "bias": np.nanmean(difference, axis=0).tolist(),
            "se": (np.nanstd(difference, axis=0, ddof=1) / np.sqrt(count)).tolist(),
            "bias if all are given": np.nanmean(score - free.mean(axis=0), axis=0).tolist(),
            "given": given.mean(axis=0).tolist(),
            "sets": len(found),
        }


def summarise_coverage(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how often intervals and bands hold what can be reached, on average over the sets."""
    values = {name: np.array([each[name] for each in found]) for name in found[0]}
    truth = values["reachable"].mean(axis=0)
    low, high = values["curve_low"], values["curve_high"]
    defined = np.isfinite(low)
    inside = np.where(defined, (low <= truth) & (truth <= high), np.nan)
    band = (values["curve_band_low"] <= truth) & (truth <= values["curve_band_high"])
    z = stats.norm.ppf(0.975)
    return {
        "coverage": np.nanmean(inside, axis=0).tolist(),
        "simultaneous": float((band | ~defined).all(axis=1).mean()),
        "defined": defined.mean(axis=0).tolist(),
        "sd": np.nanstd(values["curve"], axis=0, ddof=1).tolist(),
        "half_width": np.nanmean((high - low) / 2 / z, axis=0).tolist(),
        "sets": len(found),
    }


def summarise_animals(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the coverage of each animal's interval."""
    values = {name: np.array([each[name] for each in found]) for name in found[0]}
    truth = values["reachable"].mean(axis=0)
    low, high = values["curve_of_subject_low"], values["curve_of_subject_high"]
    inside = (low <= truth) & (truth <= high)
    return {"coverage": inside.mean(axis=(0, 2)).tolist(), "sets": len(found)}


def summarise_null(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the number of false numbers, and how often forced intervals hold 0."""
    low, high = (np.array([each[name] for each in found]) for name in ("low", "high"))
    defined = np.isfinite(low)
    return {
        "bins": int(low.size),
        "numbers": sum(each["numbers"] for each in found),
        "one_sided": sum(each["one_sided"] for each in found),
        "forced": int(defined.sum()),
        "covers_0": float(((low <= 0) & (high >= 0))[defined].mean()),
    }


def summarise_seeds(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the spread over seeds next to the width of the interval."""
    scores, widths = (np.array([each[name] for each in found]) for name in ("score", "width"))
    return {
        "sd": scores.std(axis=0, ddof=1).tolist(),
        "width": widths.mean(axis=0).tolist(),
        "seeds": len(found),
    }


def summarise_onset(found: list[list[bool]]) -> dict[str, Any]:
    """Return the share of bins with a number."""
    return {"scored": float(np.mean(found)), "sets": len(found)}


Condition = tuple[Callable[[int], Any], Callable[[list[Any]], Any], int]
"""What is made of a number, the summary over numbers, and how many they are."""


def conditions(n_sets: int) -> dict[str, Condition]:
    """Return the conditions by their names."""
    made: dict[str, Condition] = {}
    few = max(6, n_sets // 8)
    for regime, options in REGIMES.items():
        for truth in TRUTHS:
            population = Population(**{"truth": truth, **BASE, **options})
            made[f"bias/{regime}/{truth}"] = partial(one_bias, population), summarise_bias, few
    for name, options in COVERED.items():
        for kind in KINDS:
            work = partial(one_coverage, Population(**options), kind, {"mapping": "ridge"}, 0)
            large = "n_neuroids" in options and options["n_neuroids"] > 40
            made[f"coverage/{kind}/{name}"] = work, summarise_coverage, n_sets // (1 + 2 * large)
    for name in ("neuroids differ", "misfit and noise shared"):
        for kind in ("both", "stimuli"):
            work = partial(one_coverage, Population(**COVERED[name]), kind, {"mapping": "pls"}, 0)
            made[f"coverage of PLS/{kind}/{name}"] = work, summarise_coverage, n_sets // 2
    for maps, groups, kind in REFITTED:
        given = {**MAPS[maps], "n_splits": 5, "n_halves": 4}
        work = partial(one_coverage, Population(**DIFFER), kind, given, groups)
        made[f"jackknife/{maps}/{kind}/{groups}"] = work, summarise_coverage, n_sets
    made["animals/two of different level"] = one_pair_of_animals, summarise_animals, n_sets // 2
    made["null/200 stimuli"] = one_null, summarise_null, 20
    made["seeds/one recording"] = one_seed, summarise_seeds, 30
    for n_stimuli in (100, 200, 640):
        for reliability in (0.15, 0.25, 0.35):
            work = partial(one_onset, n_stimuli, reliability)
            made[f"onset/{n_stimuli}/{reliability}"] = work, summarise_onset, few // 2
    return made


def carry_out(
    description: str | None,
    conditions: Callable[[int], dict[str, Condition]],
    out: Path,
    *,
    n_sets: int,
) -> None:
    """Run the conditions that are not in the output file yet, or with fewer recordings."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", type=int, default=n_sets, help="recordings in a condition")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names to run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--out", type=Path, default=out)
    given = parser.parse_args()
    done = json.loads(given.out.read_text()) if given.out.exists() else {}
    with ProcessPoolExecutor(given.jobs, initializer=quiet) as pool:
        for name, (work, summarise, count) in conditions(given.sets).items():
            if name in done and done[name].get("sets", count) >= count:
                continue
            if given.only and not name.startswith(tuple(given.only)):
                continue
            begun = time.time()
            done[name] = rounded(summarise(list(pool.map(work, range(count)))))
            print(name, f"{time.time() - begun:.0f} s", done[name], flush=True)
            given.out.write_text(json.dumps(done, indent=1) + "\n")


def quiet() -> None:
    """Leave out warnings about planted trials."""
    warnings.simplefilter("ignore")


def rounded(value: Any) -> Any:
    """Return numbers with four decimals."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    carry_out(__doc__, conditions, Path("docs/validity.json"), n_sets=40)
