"""The estimator of inter-animal consistency of Nayebi et al. (2023), the preset "mouse".

With x, y the means of all trials of source and target, x1, x2 and y1, y2 those of two halves, and
F, F1, F2 fitted to (x, y), (x1, y1), (x2, y2), for each neuroid over the test stimuli of a split

    r(F(x), y) / sqrt(SB(r(F1(x1), F2(x2))) SB(r(y1, y2))),    SB(r) = 2 r / (1 + r)

averaged over splits and halvings, then the median over neuroids. Equal trials on both sides of a
half map make no difference between animals, which are never recorded in the same trials.
References: Nayebi et al. (2023), PLoS Comput Biol 19:e1011506, and the function
get_linregress_consistency of the authors' package brainmodel_utils.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from neurofit.analyses.analysis import score_variable
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.analyses.encoding.splits import Splits
from neurofit.analyses.recorded.populations import Population
from neurofit.config.compute import Compute, Progress
from neurofit.mapping.contract import GramMapping
from neurofit.mapping.feature_mapping import needs_features
from neurofit.mapping.gram import Gram
from neurofit.mapping.gram_building import gram_of
from neurofit.metrics.averages import nanmean, nanmedian
from neurofit.metrics.consistency import spearman_brown
from neurofit.metrics.correlation import pearson

FORMULA = "median over neuroids of the mean of r_xy / sqrt(SB(r_xx) SB(r_yy))"


def mouse_variables(
    sources: Sequence[Population],
    ordered: Sequence[tuple[int, int]],
    pooled: Sequence[tuple[int, int]],
    mapping: GramMapping,
    splits: Splits,
    compute: Compute,
    progress: Progress | None,
) -> dict[str, Any]:
    """Return the curves of pairs of animals, of all others to each, and over all neuroids.

    Parameters
    ----------
    sources
        Animals, then all but each of them.
    ordered, pooled
        Pairs of a source and a target: of animals, and of all others to each.
    mapping, splits
        Mapping, and training stimuli.
    compute, progress
        Cores; called with ("pairs", pairs done, pairs in total).
    """
    pairs = [*ordered, *pooled]
    found: dict[tuple[int, int], np.ndarray] = {}

    def fit(at: np.ndarray) -> None:
        source, target = pairs[int(at[0])]
        found[source, target] = consistency(sources[source], sources[target], mapping, splits)

    report = progress or (lambda *_: None)
    for n, _ in enumerate(
        in_parallel(fit, list(np.arange(len(pairs))[:, None]), n_jobs=compute.jobs), 1
    ):
        report("pairs", n, len(pairs))
    every = np.concatenate([found[pair] for pair in pooled])
    made: dict[str, Any] = {}
    for name, dims, values, words, column in (
        ("curve", (), nanmedian(every, axis=0), "from all other animals, of all neuroids", "r"),
        ("pooled", ("subject",), _medians(found, pooled), "from all other animals", "pooled"),
        ("inter_animal", ("animals",), _medians(found, ordered), "from animal to animal", "r"),
    ):
        made[name] = score_variable(
            (*dims, "time_bin"),
            values,
            long_name=f"noise-corrected r {words}",
            formula=FORMULA,
            column=column,
        )
    return made


def _medians(
    found: dict[tuple[int, int], np.ndarray], pairs: Sequence[tuple[int, int]]
) -> Float[np.ndarray, "pair time_bin"]:
    return np.stack([nanmedian(found[pair], axis=0) for pair in pairs])


def consistency(
    source: Population, target: Population, mapping: GramMapping, splits: Splits
) -> Float[np.ndarray, "neuroid time_bin"]:
    """Return the mean over splits and halvings of each neuroid's ratio."""
    n_halves, _, n_bins, _, n_neuroids = target.halves.shape
    made = np.full((n_neuroids, n_bins), np.nan)
    for b in range(n_bins):
        if not (source.covers(b) and target.covers(b)):
            continue
        x, y = source.usable[:, b], target.usable[:, b]
        whole = target.whole[b][:, y]
        predicted = _predict(source.whole[b][:, x], whole, mapping, splits)
        ratios = []
        for half in range(n_halves):
            sides = [target.halves[half, side, b][:, y] for side in range(2)]
            maps = [
                _predict(source.halves[half, side, b][:, x], sides[side], mapping, splits)
                for side in range(2)
            ]
            for split, train in enumerate(splits.train):
                r_xy = pearson(predicted[split], whole[~train])
                r_xx = pearson(maps[0][split], maps[1][split])
                r_yy = pearson(sides[0][~train], sides[1][~train])
                with np.errstate(invalid="ignore", divide="ignore"):
                    ratios.append(r_xy / np.sqrt(spearman_brown(r_xx) * spearman_brown(r_yy)))
        made[y, b] = nanmean(np.stack(ratios), axis=0)
    return made


def _predict(
    x: Float[np.ndarray, "stimulus unit"],
    y: Float[np.ndarray, "stimulus neuroid"],
    mapping: GramMapping,
    splits: Splits,
) -> list[np.ndarray]:
    """Return the predictions of the test stimuli of each split."""
    features = x.astype(np.float64)
    if needs_features(mapping):
        gram = Gram(blocks=(features,), mean=np.zeros(features.shape[1]))
    else:
        gram = gram_of([features], precision="float64").with_stimulus_groups(splits.groups)
    targets = y.astype(np.float64)[None]
    return [each[0] for each in mapping.cross_predict(gram, targets, splits.train)]
