"""Everything that decides the recording `hvm-sim`, and its hash: the same recipe gives the same data."""

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
        Raised whenever the code changes what comes out.
    seed
        Of images, readouts and trials (PCG64).
    objects_per_category, images_per_object
        8 categories x objects x images are the stimuli.
    calibration_images
        Further images, never shown, on which the teacher's channels are centred.
    image_size, supersample
        Side in pixels, and rays per pixel along each side.
    visual_degrees, duration_ms
        Width of a picture in the visual field, and how long it is shown.
    n_time_bins
        Bins of 10 ms from onset.
    n_sites
        Sites per area, in the order they are stored.
    min_repetitions, max_repetitions
        Each stimulus is shown this often, drawn uniformly, both ends included.
    readout_units
        Area -> least and most units a site reads.
    reliability
        Median over sites and bins after onset of the split-half consistency (Spearman-Brown) that the depth of modulation
        of each area is set to.
    mean_count
        Median over sites of the count in a bin at the mean drive (0.3 in 10 ms are 30 spikes/s).
    gain_sd, gain_memory
        Of the slow gain per trial: log-normal with mean 1, first-order autoregressive over the presentation order.
    teacher
        Constants of the network that is read.
    """

    version: int = 2
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
    readout_units: dict[str, tuple[int, int]] = field(default_factory=lambda: {"V4": (12, 20), "IT": (20, 30)})
    reliability: float = 0.42
    mean_count: float = 0.3
    gain_sd: float = 0.18
    gain_memory: float = 0.98
    teacher: TeacherConfig = field(default_factory=TeacherConfig)

    def as_dict(self) -> dict[str, Any]:
        """Return all constants as plain values for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain


def recipe_hash(recipe: Recipe | None = None) -> str:
    """Return the sha256 of a recipe (default: the full recording) as hexadecimal text."""
    text = json.dumps((recipe or Recipe()).as_dict(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def generator(recipe: Recipe, *key: int) -> np.random.Generator:
    """Return the random numbers of one purpose; keys keep purposes apart, whatever the order of the work."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(recipe.seed, spawn_key=key)))
