"""Size and power of comparisons of two models, from recordings with a planted difference.

    python benchmarks/validity/compare.py [--sets 200] [--only NAME ...] [--large]
    python benchmarks/validity/page.py

Two models carry 20 latents each; a neuroid follows the first with the weight a_n, the second with
b_n, and a part that both lack. Without a difference, a_n = b_n ("alike"), or half of the neuroids
follow one and half the other ("own differences"), so that the expectation over neuroids is equal.
Each condition is kept in the output file when it is finished; a run goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pandas as pd
import xarray as xr
from run import quiet, rounded
from scipy import stats

import neurofit
from neurofit.activations.activations import Activations
from neurofit.recordings.recording import Recording
from neurofit.recordings.stimuli import StimulusSet

LATENTS = 20


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two models and a population that they predict.

    Parameters
    ----------
    n_neuroids, n_stimuli, repetitions
        Sizes.
    reliabilities
        Reliability of the mean of all trials in each time bin.
    own
        Whether neuroids differ in which model they follow.
    advantage
        How much higher the correlation with the first model's part is, in the second half of the
        time bins.
    common_tuning, common_noise
        Share of the weights on latents, and of the trial noise, that neuroids have in common.
    n_noise
        Number of features of each model that no neuroid follows.
    missing
        Share of the trials of each neuroid that are missing.
    sessions
        Number of sessions, each with its own neuroids and part of the stimuli.
    subjects
        Number of animals, among which the neuroids are divided.
    n_splits, n_halves, mapping, jackknife
        Options of the scores.
    """

    n_neuroids: int = 30
    n_stimuli: int = 200
    repetitions: int = 10
    reliabilities: tuple[float, ...] = (0.6,) * 6
    own: bool = False
    advantage: float = 0.0
    common_tuning: float = 0.0
    common_noise: float = 0.0
    n_noise: int = 20
    missing: float = 0.0
    sessions: int = 1
    subjects: int = 1
    n_splits: int = 10
    n_halves: int = 4
    mapping: str = "ridge"
    jackknife: int = 0

    def draw(self, seed: int) -> tuple[Activations, Recording]:
        """Return the features of both models and a recording; everything depends on the seed."""
        rng = np.random.default_rng((14, seed))
        n, s, n_bins = self.n_neuroids, self.n_stimuli, len(self.reliabilities)
        weights = rng.standard_normal((3, LATENTS, n))
        shared = rng.standard_normal((3, LATENTS, 1))
        weights = np.sqrt(1 - self.common_tuning) * weights + np.sqrt(self.common_tuning) * shared
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)
        strength = np.full((2, n), 0.6)
        if self.own:
            strength[0], strength[1] = np.where(rng.random(n) < 0.5, 1, -1) * 0.2 + 0.6, 0.0
            strength[1] = 1.2 - strength[0]
        blocks: dict[str, list[np.ndarray]] = {"first": [], "second": []}
        trials = []
        for bin_, reliability in enumerate(self.reliabilities):
            latents = rng.standard_normal((3, s, LATENTS))
            gain = strength.copy()
            if bin_ >= n_bins // 2:
                gain += self.advantage / 2 * np.array([[1], [-1]])
            parts = np.einsum("ksl,kln->ksn", latents, weights)
            rest = np.sqrt(np.maximum(1 - (gain**2).sum(axis=0), 0))
            rate = gain[0] * parts[0] + gain[1] * parts[1] + rest * parts[2]
            noise = rng.standard_normal((self.repetitions, s, n))
            if self.common_noise:
                both = rng.standard_normal((self.repetitions, s, 1))
                noise = np.sqrt(1 - self.common_noise) * noise + np.sqrt(self.common_noise) * both
            scale = np.sqrt(self.repetitions * (1 - reliability) / reliability)
            trials.append((rate + scale * noise).reshape(-1, n).astype(np.float32))
            for name, own in zip(blocks, latents, strict=False):
                useless = rng.standard_normal((s, self.n_noise))
                blocks[name].append(np.concatenate([own, useless], axis=1).astype(np.float32))
        responses = np.stack(trials, axis=-1)
        if self.missing:
            lost = rng.random((self.repetitions, s, n)) < self.missing
            responses[lost.reshape(-1, n)] = np.nan
        if self.sessions > 1:
            of_stimuli = rng.permutation(s) % (self.sessions + 1)  # the last part is in all
            of_neuroids = np.arange(n) % self.sessions
            absent = (of_stimuli[:, None] != of_neuroids) & (of_stimuli[:, None] < self.sessions)
            responses[np.tile(absent, (self.repetitions, 1))] = np.nan
        ids = np.array([f"s{i:04d}" for i in range(s)])
        stimuli = StimulusSet(
            name="planted",
            table=pd.DataFrame({"stimulus_id": ids}),
            images=np.zeros((s, 2, 2, 3), np.uint8),
            visual_degrees=8.0,
            duration_ms=100.0,
        )
        coords: dict[str, Any] = {
            "stimulus_id": ("presentation", np.tile(ids, self.repetitions)),
            "repetition": ("presentation", np.repeat(np.arange(self.repetitions), s)),
            "neuroid_id": ("neuroid", [f"n{i}" for i in range(n)]),
            "region": ("neuroid", ["IT"] * n),
            "time_bin_start": ("time_bin", 10 * np.arange(n_bins)),
            "time_bin_end": ("time_bin", 10 * np.arange(n_bins) + 10),
        }
        if self.subjects > 1:
            coords["subject"] = ("neuroid", np.array(list("ABCD"))[np.arange(n) % self.subjects])
        array = xr.DataArray(responses, dims=("presentation", "neuroid", "time_bin"), coords=coords)
        recording = Recording(name="planted", responses=array, stimuli=stimuli, simulated=True)
        activations = Activations(
            model="planted",
            stimulus_ids=ids,
            blocks={(name, t): each for name, own in blocks.items() for t, each in enumerate(own)},
            first_timestep={"first": 0, "second": 0},
            ms_per_timestep=10,
            n_timesteps=n_bins,
            region_layers={"IT": ("first", "second")},
        )
        return activations, recording

    def results(self, seed: int) -> list[xr.Dataset]:
        """Return the scores of both models."""
        activations, recording = self.draw(seed)
        options: dict[str, Any] = {"jackknife": self.jackknife} if self.jackknife else {}
        config = neurofit.make_config(
            layers="all",
            n_splits=self.n_splits,
            n_halves=self.n_halves,
            min_z=None,
            mapping=self.mapping,
            **options,
        )
        one_core = neurofit.Compute(n_jobs=1)
        made = neurofit.score(activations, recording, config, compute=one_core)
        return [made.sel(layer=[name]) for name in ("first", "second")]


LOW = (0.1, 0.15, 0.2, 0.2, 0.25, 0.3)

SMALL: dict[str, Any] = {
    **{"n_neuroids": 20, "n_stimuli": 120, "reliabilities": (0.6,) * 4},
    **{"n_splits": 5, "n_halves": 2},
}
"""A population that is small, because refits take long."""

REGIMES: dict[str, Pair] = {
    "alike": Pair(),
    "alike, low reliability": Pair(reliabilities=LOW),
    "own differences": Pair(own=True),
    "own differences, 19 bins, low": Pair(own=True, reliabilities=tuple(np.linspace(0.1, 0.3, 19))),
    "alike, 100 neuroids, noise shared, low": Pair(
        n_neuroids=100, common_noise=0.2, reliabilities=LOW
    ),
    "tuning shared": Pair(common_tuning=0.5),
    "tuning shared, own differences, 100 neuroids": Pair(
        n_neuroids=100, common_tuning=0.5, own=True
    ),
    "alike, 12 neuroids, 100 stimuli": Pair(n_neuroids=12, n_stimuli=100),
    "more features (440) than images": Pair(n_noise=420),
    "own differences, 30 % of trials missing": Pair(missing=0.3, own=True),
    "own differences, two sessions": Pair(sessions=2, own=True, n_stimuli=300),
    "PLS (*)": Pair(**SMALL, mapping="pls"),
    "PLS (*), 20 refits": Pair(**SMALL, mapping="pls", jackknife=20),
}
"""Populations without a difference; in `own` ones, without one over neuroids of the area."""

POWER: dict[str, Pair] = {
    "difference of 0.05, 30 neuroids, 200 stimuli": Pair(advantage=0.05, own=True)
}
"""Populations with a difference in the second half of the bins."""

LARGE: dict[str, Pair] = {
    "size/own differences, 100 neuroids, 600 stimuli": Pair(
        own=True, n_neuroids=100, n_stimuli=600
    ),
    "power/difference of 0.05, 100 neuroids, 600 stimuli": Pair(
        advantage=0.05, own=True, n_neuroids=100, n_stimuli=600
    ),
}
"""Conditions that take an hour each."""


def one_set(pair: Pair, seed: int) -> dict[str, Any]:
    """Return what comparisons and naive tests say of one planted recording."""
    first, second = pair.results(seed)
    made: dict[str, Any] = {}
    for over in ("both", "stimuli"):
        found = neurofit.compare([first, second], over=over, windows=())
        made[over] = {
            "difference": found.difference.values[0].tolist(),
            "se": ((found.difference_high - found.difference_low) / 2).values[0].tolist(),
            "p": found.p.values[0].tolist(),
            "p_adjusted": found.p_adjusted.values[0].tolist(),
            "p_bh": found.p_false_discovery.values[0].tolist(),
            "whole": float(found.whole_p.values[0]),
        }
    r = [each.r_xy.values[0] for each in (first, second)]  # (split neuroid time_bin)
    by_neuroid = [np.nanmean(each, axis=0) for each in r]
    by_split = [np.nanmean(each, axis=1) for each in r]
    ends = [(each.curve_low.values[0], each.curve_high.values[0]) for each in (first, second)]
    made["naive"] = {
        "t test over splits": stats.ttest_rel(*by_split).pvalue.tolist(),
        "t test over neuroids": stats.ttest_rel(*by_neuroid).pvalue.tolist(),
        "Wilcoxon test over neuroids": stats.wilcoxon(*by_neuroid, axis=0).pvalue.tolist(),
        "intervals do not overlap": np.where(
            (ends[0][0] > ends[1][1]) | (ends[1][0] > ends[0][1]), 0.0, 1.0
        ).tolist(),
    }
    return made


def summarise(found: list[dict[str, Any]], *, shown: slice = slice(None)) -> dict[str, Any]:
    """Return rejections at 5 %, of any bin and per bin, in the bins `shown`."""
    made: dict[str, Any] = {"sets": len(found)}
    for over in ("both", "stimuli"):
        values = {
            name: np.array([each[over][name] for each in found], dtype=float)
            for name in found[0][over]
        }
        bins = values["difference"][:, shown]
        made[over] = {
            "any bin": float((values["p_adjusted"][:, shown] <= 0.05).any(axis=1).mean()),
            "bins": float((values["p_adjusted"][:, shown] <= 0.05).mean()),
            "each bin": float((values["p"][:, shown] <= 0.05).mean()),
            "bins, BH": float((values["p_bh"][:, shown] <= 0.05).mean()),
            "any bin, BH": float((values["p_bh"][:, shown] <= 0.05).any(axis=1).mean()),
            "whole curve": float((values["whole"] <= 0.05).mean()),
            "mean": float(bins.mean()),
            "sd": float(bins.std(axis=0, ddof=1).mean()),
        }
    made["naive"] = {
        name: {
            "any bin": float((p[:, shown] <= 0.05).any(axis=1).mean()),
            "each bin": float((p[:, shown] <= 0.05).mean()),
        }
        for name in found[0]["naive"]
        if (p := np.array([each["naive"][name] for each in found])) is not None
    }
    return made


def conditions(*, large: bool = False) -> dict[str, Pair]:
    """Return the conditions by their names; those that take long if they are asked for."""
    size = {f"size/{name}": pair for name, pair in REGIMES.items()}
    power = {f"power/{name}": pair for name, pair in POWER.items()}
    return size | power | (LARGE if large else {})


def main() -> None:
    """Run the conditions that are not in the output file yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=200, help="recordings in a condition")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names to run")
    parser.add_argument("--large", action="store_true", help="run the large populations too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--out", type=Path, default=Path("docs/validity_compare.json"))
    given = parser.parse_args()
    done = json.loads(given.out.read_text()) if given.out.exists() else {}
    with ProcessPoolExecutor(given.jobs, initializer=quiet) as pool:
        for name, pair in conditions(large=given.large).items():
            if name in done or (given.only and not name.startswith(tuple(given.only))):
                continue
            begun = time.time()
            found = list(pool.map(partial(one_set, pair), range(given.sets), chunksize=4))
            n_bins = len(pair.reliabilities)
            shown = slice(n_bins // 2, None) if pair.advantage else slice(None)
            done[name] = rounded(summarise(found, shown=shown))
            print(name, f"{time.time() - begun:.0f} s", done[name], flush=True)
            given.out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    main()
