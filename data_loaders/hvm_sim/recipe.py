"""Recipe of the recording `hvm-sim` and its hash: equal recipes give equal data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from neurofit.data_loaders.hvm_sim.teacher import TeacherConfig


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Size and constants of the simulated recording.

    Parameters
    ----------
    version
        Version, increased whenever a change of the code changes the data.
    seed
        Random seed for images, readouts and trials (PCG64; Philox for the counts).
    objects_per_category, images_per_object
        Numbers of objects and images; with 8 categories they give the number of stimuli.
    calibration_images
        Number of further images, never shown, for calibrating the teacher.
    image_size, supersample
        Side length in pixels, and rays per pixel along each side.
    visual_degrees, duration_ms
        Width of an image in degrees of visual angle, and presentation time in ms.
    n_time_bins
        Number of 10 ms bins from onset.
    n_sites
        Area -> number of sites, in the order in which they are stored.
    min_repetitions, max_repetitions
        Range of the number of repetitions per stimulus, uniform and inclusive.
    readout_units
        Area -> minimum and maximum number of units that a site reads.
    reliability
        Target of the median split-half consistency (Spearman-Brown) over sites and bins after
        onset; it determines the depth of modulation of each area.
    mean_count
        Median over sites of the count in a bin at the mean drive (0.3 in 10 ms is 30 spikes/s).
    gain_sd, gain_memory
        Standard deviation and autocorrelation of the slow gain per trial: log-normal with mean 1,
        first-order autoregressive over the presentation order.
    teacher
        Constants of the network that the sites read.

    Examples
    --------
    >>> from neurofit.data_loaders.hvm_sim import Recipe, folder
    >>> small = Recipe(objects_per_category=2, images_per_object=4, n_sites={"V4": 12, "IT": 12})
    >>> small.image_size, small.n_time_bins, small.as_dict()["n_sites"]
    (128, 26, {'V4': 12, 'IT': 12})
    >>> folder(small) != folder()  # a recipe has a folder of its own
    True
    """

    version: int = 3
    seed: int = 640
    objects_per_category: int = 8
    images_per_object: int = 10
    calibration_images: int = 128
    image_size: int = 128
    supersample: int = 2
    visual_degrees: float = 8.0
    duration_ms: float = 100.0
    n_time_bins: int = 26
    n_sites: dict[str, int] = field(default_factory=lambda: {"V4": 88, "IT": 168})
    min_repetitions: int = 20
    max_repetitions: int = 40
    readout_units: dict[str, tuple[int, int]] = field(
        default_factory=lambda: {"V4": (12, 20), "IT": (20, 30)}
    )
    reliability: float = 0.42
    mean_count: float = 0.3
    gain_sd: float = 0.18
    gain_memory: float = 0.98
    teacher: TeacherConfig = field(default_factory=TeacherConfig)

    def as_dict(self) -> dict[str, Any]:
        """Return all constants as values that JSON can store."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def recipe_hash(recipe: Recipe | None = None) -> str:
    """Return the hexadecimal sha256 of a recipe (default: that of the full recording)."""
    text = json.dumps((recipe or Recipe()).as_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def generator(recipe: Recipe, *key: int) -> np.random.Generator:
    """Return the random generator of a key, independent of other keys and of the order of use."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(recipe.seed, spawn_key=key)))


def counter_based(recipe: Recipe, *key: int) -> np.random.Philox:
    """Return the counter-based random numbers of a key: number n does not need those before it."""
    return np.random.Philox(np.random.SeedSequence(recipe.seed, spawn_key=key))
