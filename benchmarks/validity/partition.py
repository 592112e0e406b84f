"""Bias and coverage of variance partitionings, from planted shares of two sources of features.

    python benchmarks/validity/partition.py [--sets 60] [--only bias ...]

The features A hold latents of their own and latents that they share with B, and B likewise; the
responses are a sum of the three kinds and of latents that neither holds, with known shares of the
variance, and trial noise. Each finished condition is kept in docs/validity_partition.json, and a
rerun goes on from there.
"""

from __future__ import annotations

import os
import sys
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
from run import Condition, carry_out

import neurofit
from neurofit.recordings.stimuli import NoImages

PARTS = ("unique to A", "unique to B", "shared", "total")


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Responses of which two sources explain known shares.

    Parameters
    ----------
    shares
        Variance that A alone, B alone and either explains.
    reliabilities
        Reliability of the mean of all trials, one for each time bin.
    n_stimuli, n_neuroids, n_trials
        Sizes.
    n_latents, n_units
        Latents of each kind, and units of each source.
    separate
        Whether one half of the neuroids has the unique share of A, the other that of B, each twice.
    """

    shares: tuple[float, float, float] = (0.3, 0.2, 0.25)
    reliabilities: tuple[float, ...] = (0.2, 0.5, 0.8)
    n_stimuli: int = 400
    n_neuroids: int = 30
    n_trials: int = 8
    n_latents: int = 6
    n_units: int = 60
    separate: bool = False

    def draw(
        self, *, neuroids: int, stimuli: int, trials: int
    ) -> tuple[neurofit.Activations, neurofit.Activations, neurofit.Recording, neurofit.Recording]:
        """Return A, B, a recording, and the recording without noise; seeds are separate."""
        of_neuroids, of_stimuli, of_trials = (
            np.random.default_rng((kind, seed))
            for kind, seed in enumerate((neuroids, stimuli, trials))
        )
        n_bins, n, n_neuroids = len(self.reliabilities), self.n_stimuli, self.n_neuroids
        ways = of_neuroids.standard_normal((4, self.n_latents, n_neuroids))
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        mix = of_neuroids.standard_normal((2, 2, self.n_latents, self.n_units))
        shares = np.tile(np.array([*self.shares, 1 - sum(self.shares)])[:, None], n_neuroids)
        if self.separate:
            shares[0] *= 2 * (np.arange(n_neuroids) % 2)
            shares[1] *= 2 * (np.arange(n_neuroids) % 2 == 0)
            shares[3] = 1 - shares[:3].sum(axis=0)
        blocks: list[list[np.ndarray]] = [[], []]
        signals = []
        for _ in range(n_bins):
            latents = of_stimuli.standard_normal((4, n, self.n_latents))
            signals.append(sum(np.sqrt(shares[i]) * (latents[i] @ ways[i]) for i in range(4)))
            for source in (0, 1):
                made = latents[source] @ mix[source, 0] + latents[2] @ mix[source, 1]
                blocks[source].append(made.astype(np.float32))
        clean = np.stack(signals, axis=-1)
        r = np.array(self.reliabilities)
        noise = of_trials.standard_normal((self.n_trials, *clean.shape))
        noisy = clean + np.sqrt(self.n_trials * (1 - r) / r) * noise
        ids = np.array([f"s{number}" for number in range(n)])
        first, second = (
            neurofit.Activations(
                model=model,
                stimulus_ids=ids,
                blocks={("layer", 7 + step): block for step, block in enumerate(own)},
                first_timestep={"layer": 7},
                ms_per_timestep=10,
                n_timesteps=7 + n_bins,
                region_layers={"IT": ("layer",)},
            )
            for model, own in zip("AB", blocks, strict=True)
        )
        return first, second, self._record(noisy, ids), self._record(np.stack([clean] * 2), ids)

    def _record(self, trials: np.ndarray, ids: np.ndarray) -> neurofit.Recording:
        n_trials, n, n_neuroids, n_bins = trials.shape
        starts = 70 + 10 * np.arange(n_bins)
        responses = xr.DataArray(
            trials.reshape(-1, n_neuroids, n_bins).astype(np.float32),
            dims=("presentation", "neuroid", "time_bin"),
            coords={
                "stimulus_id": ("presentation", np.tile(ids, n_trials)),
                "repetition": ("presentation", np.repeat(np.arange(n_trials), n)),
                "neuroid_id": ("neuroid", [f"n{number}" for number in range(n_neuroids)]),
                "region": ("neuroid", ["IT"] * n_neuroids),
                "time_bin_start": ("time_bin", starts),
                "time_bin_end": ("time_bin", starts + 10),
            },
        )
        stimuli = neurofit.StimulusSet(
            name="planted",
            table=pd.DataFrame({"stimulus_id": ids}),
            images=NoImages(n, "planted"),
            visual_degrees=8.0,
            duration_ms=100.0,
        )
        return neurofit.Recording(
            name="planted", responses=responses, stimuli=stimuli, simulated=True
        )


def parts_of(result: xr.Dataset, suffix: str = "") -> np.ndarray:
    """Return the parts and the total (part time_bin)."""
    explained, total = (result[f"{name}{suffix}"].values[0] for name in ("explained", "total"))
    return np.concatenate([explained, total[None]])


def partition(*inputs: Any, **changes: Any) -> xr.Dataset:
    """Run one analysis on one core."""
    config = neurofit.PartitionConfig(min_z=None, **changes)
    return neurofit.partition(*inputs, config, compute=neurofit.Compute(n_jobs=1))


KINDS = {"both": ("neuroids", "stimuli", "trials"), "stimuli": ("stimuli", "trials")}
"""What an interval is over -> what differs between data sets."""


def one(planted: Planted, over: str, choice: str, number: int) -> dict[str, Any]:
    """Return the parts of one data set with their intervals, and what can be reached."""
    seeds = {
        part: number if part in KINDS[over] else 10**6 for part in ("neuroids", "stimuli", "trials")
    }
    first, second, noisy, clean = planted.draw(**seeds)
    options: dict[str, Any] = {"choice": choice, "interval_over": over}
    made = partition(first, second, noisy, **options)
    reachable = partition(first, second, clean, **{**options, "n_halves": 1})
    names = {"value": "", "low": "_low", "high": "_high"}
    bands = {"band_low": "_band_low", "band_high": "_band_high"}
    found = {key: parts_of(made, suffix).tolist() for key, suffix in (names | bands).items()}
    return {"reachable": parts_of(reachable).tolist(), **found}


def summarise(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means, errors and coverage of each part in each time bin."""
    values = {name: np.array([each[name] for each in found]) for name in found[0]}
    truth = values["reachable"].mean(axis=0)
    value, n = values["value"], len(found)
    inside = (values["low"] <= truth) & (truth <= values["high"])
    band = (values["band_low"] <= truth) & (truth <= values["band_high"])
    return {
        "parts": list(PARTS),
        "reachable": truth.tolist(),
        "mean": value.mean(axis=0).tolist(),
        "se": (value.std(axis=0, ddof=1) / np.sqrt(n)).tolist(),
        "sd": value.std(axis=0, ddof=1).tolist(),
        "half_width": ((values["high"] - values["low"]) / 2).mean(axis=0).tolist(),
        "coverage": inside.mean(axis=0).tolist(),
        "simultaneous": band.all(axis=2).mean(axis=0).tolist(),
        "sets": n,
    }


UNRELATED = (0.6, 0.0, 0.0)

CONDITIONS: dict[str, tuple[Planted, str, str]] = {
    "bias/100 images": (Planted(n_stimuli=100), "both", "area"),
    "bias/200 images": (Planted(n_stimuli=200), "both", "area"),
    "bias/400 images": (Planted(), "both", "area"),
    "bias/800 images": (Planted(n_stimuli=800), "both", "area"),
    "bias/more units than images": (Planted(n_units=600), "both", "area"),
    "bias/other sites": (Planted(separate=True), "both", "area"),
    "unrelated/200 images": (Planted(shares=UNRELATED, n_stimuli=200), "both", "area"),
    "unrelated/400 images": (Planted(shares=UNRELATED), "both", "area"),
    "unrelated/choice for each neuroid": (Planted(shares=UNRELATED), "both", "neuroid"),
    "small/400 images": (Planted(shares=(0.5, 0.03, 0.1)), "both", "area"),
    "choice for each neuroid/400 images": (Planted(), "both", "neuroid"),
    "stimuli/400 images": (Planted(), "stimuli", "area"),
}
"""Name -> planted data, what intervals are over, and the choice of weights."""


def conditions(n_sets: int) -> dict[str, Condition]:
    """Return the conditions by their names."""
    return {name: (partial(one, *each), summarise, n_sets) for name, each in CONDITIONS.items()}


if __name__ == "__main__":
    carry_out(__doc__, conditions, Path("docs/validity_partition.json"), n_sets=60)
