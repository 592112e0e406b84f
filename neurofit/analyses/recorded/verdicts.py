"""Scores of animals and models that predict each other in windows, and verdicts on the models."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from jaxtyping import Float

from neurofit.analyses.analysis import ENDS, score_variable, variable
from neurofit.analyses.recorded.animals import Pair
from neurofit.analyses.recorded.config import RecordedConfig
from neurofit.analyses.recorded.contrasts import Tested, combine
from neurofit.analyses.recorded.fits import Scores
from neurofit.metrics.exchange import interval_of_member
from neurofit.metrics.two_way import describe_interval, percent

VERDICTS = ("cannot_be_told", "below", "within", "above")
"""Verdicts, by their flags."""

ROLES = ("source", "target")
"""Sides of a map that the model takes: model to animal, animal to model."""


class Square:
    """Scores of animals and models that predict each other, averaged in windows.

    Parameters
    ----------
    found
        Scores over time of pairs of a source and a target; animals come first.
    n_animals
        Number of animals.
    inside
        Time bins of each window.
    """

    def __init__(self, found: dict[Pair, Scores], n_animals: int, inside: list[np.ndarray]) -> None:
        self.found, self.n_animals, self.inside = found, n_animals, inside

    def weights(self, model: int) -> np.ndarray:
        """Return weights (time_bin window) of the bins in which all pairs have a score."""
        pairs = [
            pair
            for pair in self.found
            if all(each < self.n_animals or each == model for each in pair)
        ]
        clear = np.all([np.isfinite(self.found[pair].score) for pair in pairs], axis=0)
        inside = np.stack([window & clear for window in self.inside], axis=1)
        return np.asarray(inside / np.maximum(inside.sum(axis=0), 1))

    def mean(self, pair: Pair, weights: np.ndarray) -> Float[np.ndarray, " window"]:
        """Return the mean score of a pair in each window, NaN without bins."""
        means = np.nan_to_num(self.found[pair].score) @ weights
        return np.asarray(np.where(weights.any(axis=0), means, np.nan))

    def animals(self, weights: np.ndarray) -> Float[np.ndarray, "source target window"]:
        """Return the mean scores between animals; 0 on the diagonal."""
        scores = np.zeros((self.n_animals, self.n_animals, weights.shape[1]))
        for pair in permutations(range(self.n_animals), 2):
            scores[pair] = self.mean(pair, weights)
        return scores

    def model(self, model: int, role: str, weights: np.ndarray) -> Float[np.ndarray, "animal win"]:
        """Return the mean scores of the model with each animal."""
        return np.stack(
            [self.mean(self.pair(model, animal, role), weights) for animal in range(self.n_animals)]
        )

    def pair(self, model: int, animal: int, role: str) -> Pair:
        """Return the pair of a model and an animal with the model in a role."""
        return (model, animal) if role == "source" else (animal, model)


def describe_places(square: Square, models: list[int], config: RecordedConfig) -> dict[str, Any]:
    """Return the model's score in each window, the interval of one more animal, and the verdict."""
    made: dict[str, Any] = {}
    dims, n_windows = ("layer", "windows"), len(square.inside)
    words = f"{percent(config.interval)} interval of one more animal"
    for role in ROLES:
        values, mean, low, high = np.full((4, len(models), n_windows), np.nan)
        verdict = np.zeros((len(models), n_windows), dtype=np.int8)
        for row, model in enumerate(models):
            weights = square.weights(model)
            values[row] = square.model(model, role, weights).mean(axis=0)
            between = square.animals(weights)
            for at in range(n_windows):
                scores = between[..., at] if role == "source" else between[..., at].T
                ends = interval_of_member(scores, level=config.interval)
                mean[row, at], low[row, at], high[row, at] = ends
                verdict[row, at] = judge(values[row, at], *ends[1:])
        name = f"as_{role}"
        way = "model to animals" if role == "source" else "animals to model"
        panel: dict[str, Any] = {"panel": "as_target"} if role == "source" else {}
        made |= {
            name: score_variable(
                dims,
                values,
                long_name=f"noise-corrected r, {way}",
                formula="mean over animals and time bins; the interval is that of one more animal",
                low=f"{name}_low",
                high=f"{name}_high",
                interval=words,
                column="to animals" if role == "source" else "to model",
                **panel,
            ),
            f"{name}_low": variable(dims, low, "interval", f"low end of the {words}"),
            f"{name}_high": variable(dims, high, "interval", f"high end of the {words}"),
            f"animals_{name}": variable(
                dims, mean, "detail", f"mean between animals, beside {way}"
            ),
            f"verdict_{name}": variable(
                dims,
                verdict,
                "detail",
                f"place of the model among animals, {way}",
                flag_values=np.arange(len(VERDICTS), dtype=np.int8),
                flag_meanings=" ".join(VERDICTS),
            ),
        }
    return made


def judge(value: float, low: float, high: float) -> int:
    """Return the flag of the verdict on a score, given the interval of one more animal."""
    if not np.isfinite([value, low, high]).all():
        return VERDICTS.index("cannot_be_told")
    if value < low or value > high:
        return VERDICTS.index("below" if value < low else "above")
    return VERDICTS.index("within" if low > 0 else "cannot_be_told")


def describe_differences(
    square: Square, models: list[int], config: RecordedConfig
) -> dict[str, Any]:
    """Return the model's score with each animal minus that of the other animals with it."""
    dims, made = ("layer", "subject", "windows"), dict[str, Any]()
    for role in ROLES:
        found = [
            [
                _less_animals(square, model, animal, role, config)
                for animal in range(square.n_animals)
            ]
            for model in models
        ]

        def stacked(name: str, found: list[list[Tested]] = found) -> np.ndarray:
            rows = [[getattr(one.tests, name) for one in row] for row in found]
            return np.array(rows)

        name = f"{role}_difference"
        way = "model to animal" if role == "source" else "animal to model"
        words = describe_interval(
            config.interval, config.interval_over, config.groups, each="animal and window"
        )
        other = "other animals to it" if role == "source" else "it to other animals"
        made[name] = score_variable(
            dims,
            np.array([[one.values for one in row] for row in found]),
            long_name=f"{way} less {other}",
            formula="mean over time bins of the difference of noise-corrected r",
            best=np.nan,
            low=f"{name}_low",
            high=f"{name}_high",
            interval=words,
            **({"column": "difference"} if role == "source" else {}),
        )
        for end in ENDS[:2]:
            made[f"{name}_{end}"] = variable(
                dims, stacked(end), "interval", f"{end} end of the {words}"
            )
        made[f"{name}_p"] = variable(
            dims,
            stacked("p"),
            "p_value",
            f"p value of {way}, for each animal and window",
            **({"column": "p"} if role == "source" else {}),
        )
    return made


def _less_animals(
    square: Square, model: int, animal: int, role: str, config: RecordedConfig
) -> Tested:
    """Return the model's score with an animal minus the mean of other animals', in each window."""
    weights = square.weights(model)
    others = [other for other in range(square.n_animals) if other != animal]
    if role == "source":
        pairs = [(model, animal), *((other, animal) for other in others)]
    else:
        pairs = [(animal, model), *((animal, other) for other in others)]
    signs = [1.0, *[-1 / len(others)] * len(others)]
    by_target: dict[int, list[tuple[Pair, float]]] = {}
    for pair, sign in zip(pairs, signs, strict=True):
        by_target.setdefault(pair[1], []).append((pair, sign))
    parts = [Scores.join([square.found[pair] for pair, _ in own]) for own in by_target.values()]
    return combine(
        parts,
        [np.concatenate([sign * weights for _, sign in own]) for own in by_target.values()],
        config,
    )
