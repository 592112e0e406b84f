"""Planted lags and paces: their bias, the coverage of their intervals, and models without a lag.

    python benchmarks/validity/lags.py [--sets 40] [--only NAME ...] [--out docs/validity_lag.json]

Latents of each image change smoothly over time around a part that stays. A model of 26 timesteps of
10 ms holds them from 50 ms on; sites read them at other times, recorded time = intercept + pace
model time, together with as many latents that the model lacks, under trial noise. The file keeps
each finished condition, and the command goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"

import numpy as np
import pandas as pd
import xarray as xr
from scipy.ndimage import gaussian_filter1d

import neurofit
from neurofit.recordings.stimuli import NoImages

GRID = 2
"""Distance in ms of the times at which latents are drawn."""

MARGIN = 300
"""Time in ms before the image and after the model's last timestep at which latents are drawn."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A population that follows a model at another time.

    Parameters
    ----------
    lag, pace
        Of the recording behind the model, the lag at `pivot`.
    pivot
        Recorded time in ms.
    kind
        "moving": latents change; "steady": the model's stay as they are from its first timestep on;
        "unrelated": the sites read other latents.
    memory
        Standard deviation in ms of the window over which latents are smooth.
    stays
        Share of the variance of latents that does not change.
    explained
        Share of the sites' signal that the model holds.
    noise
        Standard deviation of the noise of a trial, in units of the signal.
    start, n_bins, n_steps
        Start of the first time bin in ms, number of time bins of 10 ms, and of timesteps.
    n_stimuli, n_neuroids, n_latents, n_units, n_trials
        Sizes.
    """

    lag: float = 0.0
    pace: float = 1.0
    pivot: float = 130.0
    kind: str = "moving"
    memory: float = 20.0
    stays: float = 0.5
    explained: float = 0.7
    noise: float = 2.0
    start: int = 70
    n_bins: int = 19
    n_steps: int = 26
    n_stimuli: int = 160
    n_neuroids: int = 30
    n_latents: int = 10
    n_units: int = 40
    n_trials: int = 8

    def draw(self, seed: int) -> tuple[neurofit.Activations, neurofit.Recording]:
        """Return a model's activations and a recording."""
        rng = np.random.default_rng(seed)
        n_times = (2 * MARGIN + 10 * self.n_steps) // GRID
        shape = (3, self.n_stimuli, self.n_latents)
        moving = gaussian_filter1d(
            rng.standard_normal((*shape, n_times)).astype(np.float32), self.memory / GRID, axis=-1
        )
        moving /= moving.std()
        still = rng.standard_normal((*shape, 1)).astype(np.float32)
        courses = np.sqrt(self.stays) * still + np.sqrt(1 - self.stays) * moving
        if self.kind == "steady":
            courses[0] = still[0]
        times = GRID * (np.arange(n_times) + 0.5) - MARGIN
        held, lacking = courses[2 if self.kind == "unrelated" else 0], courses[1]
        weights = rng.standard_normal((self.n_latents, self.n_units)).astype(np.float32)
        blocks = {}
        for step in range(self.n_steps):
            inside = (times >= 10 * step) & (times < 10 * step + 10)
            driven = courses[0][..., inside].mean(axis=-1) * (step >= 5)
            blocks["layer", step] = driven @ weights
        ways = rng.standard_normal((2, self.n_latents, self.n_neuroids)).astype(np.float32)
        ways /= np.linalg.norm(ways, axis=1, keepdims=True)
        starts = self.start + 10 * np.arange(self.n_bins)
        means = []
        for start in starts:
            asked = self.pivot - self.lag + (start + np.arange(1, 10, 2) - self.pivot) / self.pace
            at = np.clip(((asked + MARGIN) / GRID).astype(int), 0, n_times - 1)
            signal = np.sqrt(self.explained) * held[..., at].mean(axis=-1) @ ways[0]
            signal = signal + np.sqrt(1 - self.explained) * lacking[..., at].mean(axis=-1) @ ways[1]
            means.append(signal * (asked.mean() >= 50))
        rates = np.repeat(np.stack(means, axis=-1), self.n_trials, axis=0)
        trials = rates + self.noise * rng.standard_normal(rates.shape, dtype=np.float32)
        ids = np.array([f"s{number}" for number in range(self.n_stimuli)])
        responses = xr.DataArray(
            trials.astype(np.float32),
            dims=("presentation", "neuroid", "time_bin"),
            coords={
                "stimulus_id": ("presentation", np.repeat(ids, self.n_trials)),
                "repetition": ("presentation", np.tile(np.arange(self.n_trials), self.n_stimuli)),
                "neuroid_id": ("neuroid", [f"n{number}" for number in range(self.n_neuroids)]),
                "region": ("neuroid", ["IT"] * self.n_neuroids),
                "time_bin_start": ("time_bin", starts),
                "time_bin_end": ("time_bin", starts + 10),
            },
        )
        stimuli = neurofit.StimulusSet(
            name="planted",
            table=pd.DataFrame({"stimulus_id": ids}),
            images=NoImages(self.n_stimuli, "planted"),
            visual_degrees=8.0,
            duration_ms=100.0,
        )
        activations = neurofit.Activations(
            model="planted",
            stimulus_ids=ids,
            blocks=blocks,
            first_timestep={"layer": 5},
            ms_per_timestep=10,
            n_timesteps=self.n_steps,
            region_layers={"IT": ("layer",)},
        )
        recording = neurofit.Recording(
            name="planted", responses=responses, stimuli=stimuli, simulated=True
        )
        return activations, recording


CONDITIONS: dict[str, Planted] = {
    "lag 13, pace 1.2": Planted(lag=13.0, pace=1.2, noise=4.0),
    "lag 13, pace 1.2, trials of twice the noise": Planted(lag=13.0, pace=1.2, noise=8.0),
    "one to one, timesteps end at 200 ms": Planted(noise=6.0, n_bins=13, n_steps=20),
    "unrelated, timesteps end at 200 ms": Planted(
        kind="unrelated", noise=4.0, n_bins=13, n_steps=20
    ),
    "steady": Planted(kind="steady", noise=4.0),
    "lag -17, pace 0.85": Planted(lag=-17.0, pace=0.85, noise=4.0),
    "one to one": Planted(noise=4.0),
    "lag 13, pace 1.2, slower latents": Planted(lag=13.0, pace=1.2, memory=40.0, noise=4.0),
    "lag 13, pace 1.2, 80 stimuli": Planted(lag=13.0, pace=1.2, noise=4.0, n_stimuli=80),
    "lag 13, pace 1.2, 8 neuroids": Planted(lag=13.0, pace=1.2, noise=4.0, n_neuroids=8),
}
"""Planted populations."""

PARAMETERS = ("lag", "pace", "intercept")


def one(planted: Planted, number: int) -> dict[str, Any]:
    """Return estimates with their intervals and truths, and the gain on test images."""
    activations, recording = planted.draw(number)
    config = neurofit.LagConfig(n_splits=3, n_halves=2, min_z=None, seed=number)
    made = neurofit.lag(activations, recording, config, compute=neurofit.Compute(n_jobs=1))
    compared = made.compared.values[0] == 1
    middle = float(made.time_bin.values[compared].mean())
    at = planted.pivot - planted.lag + (middle - planted.pivot) / planted.pace  # model's time
    truth = {
        "lag": middle - at,
        "pace": planted.pace,
        "intercept": middle - planted.pace * at,
    }
    ends = {
        name: [made[each].item() for each in (name, f"{name}_low", f"{name}_high")]
        for name in PARAMETERS
    }
    gain = [made[each].item() for each in ("gain", "gain_low", "gain_high")]
    chosen = made.lag_of_split.values[0].tolist(), made.pace_of_split.values[0].tolist()
    return {"truth": truth, **ends, "gain": gain, "chosen": chosen}


def summarise(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return bias, spread and coverage of each parameter, and those of the gain where it is 0."""
    made: dict[str, Any] = {"sets": len(found)}
    for name in PARAMETERS:
        value, low, high = np.array([each[name] for each in found]).T
        truth = np.array([each["truth"][name] for each in found])
        defined = np.isfinite(value)
        error = (value - truth)[defined]
        inside = (low - 1e-9 <= truth) & (truth <= high + 1e-9)
        made[name] = {
            "defined": float(defined.mean()),
            "bias": float(error.mean()) if len(error) else np.nan,
            "sd": float(error.std(ddof=1)) if len(error) > 1 else np.nan,
            "largest error": float(np.abs(error).max()) if len(error) else np.nan,
            "coverage": float(inside.mean()),
            "width": float((high - low).mean()),
        }
    gain, low, high = np.array([each["gain"] for each in found]).T
    lags = np.array([np.mean(each["chosen"][0]) for each in found])
    made["gain"] = {
        "mean": float(gain.mean()),
        "se": float(gain.std(ddof=1) / np.sqrt(len(gain))) if len(gain) > 1 else np.nan,
        "above 0": float((low > 0).mean()),
        "below 0": float((high < 0).mean()),
    }
    made["chosen lag"] = {
        "mean": float(lags.mean()),
        "se": float(lags.std(ddof=1) / np.sqrt(len(lags))) if len(lags) > 1 else np.nan,
    }
    return made


def main() -> None:
    """Run the conditions that are not in the output file yet, or with fewer sets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=40, help="recordings in each condition")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names to run")
    parser.add_argument("--out", type=Path, default=Path("docs/validity_lag.json"))
    given = parser.parse_args()
    done = json.loads(given.out.read_text()) if given.out.exists() else {}
    warnings.simplefilter("ignore")
    for name, planted in CONDITIONS.items():
        if given.only and not name.startswith(tuple(given.only)):
            continue
        if done.get(name, {}).get("sets", 0) >= given.sets:
            continue
        done[name] = rounded(summarise([one(planted, number) for number in range(given.sets)]))
        print(name, done[name], flush=True)
        given.out.write_text(json.dumps(done, indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Return numbers with four decimals."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value


if __name__ == "__main__":
    main()
