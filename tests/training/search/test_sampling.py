"""TPE finds a planted optimum of the space of nets better than random search, at equal budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy.stats import wilcoxon

from neurofit.training.search.storage import Drawing, make_sampler
from neurofit.training.search.study import Search

SPACE = {
    "cell": ["reciprocal", "gru", "lstm"],
    "depth": [4, 5, 6],
    "channels": {"low": 16, "high": 64, "step": 8},
    "timesteps": {"low": 8, "high": 16},
    "image_on": 4,
    "first_kernel": 5,
    "kernel": 3,
    "decoder": "last",
    "clip": 0.5,
    "cell_kernel": 3,
    "separable": False,
    "gate": "sigmoid",
    "feedback": 0,
    "peepholes": False,
}
N_TRIALS = 60


def planted(choices: dict[str, Any]) -> float:
    """Return a planted accuracy: cell, depth, width, learning rate and two paths matter."""
    value: float = {"reciprocal": 1.0, "gru": 0.5, "lstm": 0.3}[choices["cell"]]
    value -= 0.2 * abs(choices["depth"] - 5) + 0.01 * abs(choices["channels"] - 40)
    value -= 0.3 * abs(math.log(choices["lr"] / 0.1))
    value += 0.3 * choices.get("paths.in_to_out", False)
    value += 0.3 * choices.get("paths.cell_to_out", False)
    return value


def best_found(search: Search) -> float:
    """Return the best value among the trials of a search, on the objective alone."""
    space = search.searched()
    study = optuna.create_study(direction="maximize")
    for number in range(search.trials):
        study.sampler = make_sampler(search, number)
        drawing = Drawing(study, number)
        candidate = space.draw(drawing, input_size=32, n_classes=10)
        study.add_trial(drawing.trial)
        study.tell(number, planted(dict(candidate.choices)))
    return float(study.best_value)


@pytest.mark.slow
def test_tpe_beats_random_search_at_equal_budget_in_20_repeats(
    make_search: Callable[..., Search], tmp_path: Path
) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = {
        sampler: np.array(
            [
                best_found(make_search(space=SPACE, trials=N_TRIALS, sampler=sampler, seed=seed))
                for seed in range(20)
            ]
        )
        for sampler in ("tpe", "random")
    }
    difference = found["tpe"] - found["random"]
    assert difference.mean() > 0.05, found
    assert wilcoxon(difference, alternative="greater").pvalue < 0.01, found
    assert found["tpe"].max() <= 1.6
