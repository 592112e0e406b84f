"""How well each model time predicts each recorded time, on stimuli that are left out.

Ridge predicts each stimulus from all others, by one eigendecomposition for each model time:

    prediction_i = mean without i + H_i,-i y_-i / (1 - h_ii)

(rows of a group together). What is correlated with the responses is the prediction less the mean
without i, because that mean alone falls where y_i rises. A correlation that a constant
prediction leaves undefined is 0 (`neurofit.analyses.lag.left_out`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from neurofit.activations.grams import GramStore
from neurofit.analyses.encoding.fitting import Fitting
from neurofit.analyses.encoding.influences import add_up
from neurofit.analyses.encoding.predictions import in_parallel
from neurofit.analyses.lag.candidates import Candidates
from neurofit.analyses.lag.left_out import Ridge
from neurofit.analyses.lag.responses import Responses
from neurofit.config.compute import Progress
from neurofit.mapping.linalg import CPU
from neurofit.metrics.sketch import N_BUCKETS, sketch_cells


@dataclass(frozen=True)
class Profile:
    """Mean correlation over neuroids for each model time and recorded bin.

    Parameters
    ----------
    r
        On all stimuli, each left out in turn; 0 at model times that the image has not reached.
    training
        The same on the training stimuli of each split, without the others, for the model times
        that some candidate asks for.
    neuroids, stimuli
        Influences of each neuroid and of each stimulus on `r` at these times, to first order.
    cells
        Sketches of the influences of cells (stimulus, neuroid), less their mean over neuroids.
    n_neuroids
        Number of neuroids in each bin.
    """

    r: Float[np.ndarray, "window time_bin"]
    training: Float[np.ndarray, "split window time_bin"]
    neuroids: Float[np.ndarray, "neuroid window time_bin"]
    stimuli: Float[np.ndarray, "stimulus window time_bin"]
    cells: Float[np.ndarray, "bucket window time_bin"]
    n_neuroids: Int[np.ndarray, " time_bin"]

    @classmethod
    def of(
        cls,
        fitting: Fitting,
        layer: str,
        candidates: Candidates,
        responses: Responses,
        *,
        alphas: tuple[float, ...] | None,
        progress: Progress | None,
    ) -> Profile:
        """Return the profile of a layer."""
        n_bins, n_stimuli, n_neuroids = responses.means.shape
        times, asked = candidates.times, (candidates.weights != 0).any(axis=0)
        shape = (len(times.windows), n_bins)
        made = cls(
            r=np.zeros(shape),
            training=np.zeros((len(fitting.train), *shape)),
            neuroids=np.zeros((n_neuroids, *shape)),
            stimuli=np.zeros((n_stimuli, *shape)),
            cells=np.zeros((N_BUCKETS, *shape), dtype=np.float32),
            n_neuroids=np.isfinite(responses.means).any(axis=1).sum(axis=1),
        )
        grams = GramStore(
            fitting.activations,
            times.windows,
            precision="float64",
            device=fitting.grams.device,
            keep=fitting.compute.keep_grams,
        )
        parts = [np.ones(n_stimuli, dtype=bool), *fitting.train]
        groups = fitting.splits.groups

        def fill(windows: np.ndarray) -> None:
            window = int(windows[0])
            gram = grams.gram(layer, [times.windows[window]])
            cells: dict[int, np.ndarray] = {}
            for usable, members in responses.patterns:
                inside = gram.subset(usable)
                for part, mask in enumerate(parts):
                    rows = np.flatnonzero(usable & mask)
                    scores, _, eigenvalues = inside.split_scores(mask[usable], CPU)
                    own = None if groups is None else groups[rows]
                    ridge = Ridge.of(scores, eigenvalues, alphas, own)
                    for b, neuroids in members:
                        if part and not asked[window, b]:
                            continue
                        place = np.ix_(rows, neuroids)
                        fitted = ridge.predict(responses.means[b][place])
                        if part:
                            total = fitted.r.sum() / made.n_neuroids[b]
                            made.training[part - 1, window, b] += total
                            continue
                        made.r[window, b] += fitted.r.sum() / made.n_neuroids[b]
                        if asked[window, b]:
                            made.neuroids[neuroids, window, b] = fitted.r
                            empty = np.zeros((n_stimuli, n_neuroids), dtype=np.float32)
                            cells.setdefault(b, empty)[place] = fitted.influences()
            for b, influences in cells.items():
                made._sum_up(window, b, add_up(influences, fitting.splits.places), responses)

        driven = np.arange(times.first, len(times.windows))[:, None]
        work = in_parallel(fill, list(driven), n_jobs=fitting.compute.jobs)
        for done, _ in enumerate(work, 1):
            if progress:
                progress("model times", done, len(driven))
        return made

    def _sum_up(self, window: int, b: int, cells: np.ndarray, responses: Responses) -> None:
        """Turn correlations of neuroids and influences on them into influences on their mean."""
        n, pooled = self.n_neuroids[b], np.isfinite(responses.means[b]).any(axis=0)
        at = (slice(None), window, b)
        self.neuroids[at] = np.where(pooled, self.neuroids[at] - self.r[window, b], 0.0) / n
        self.stimuli[at] = cells.sum(axis=1, dtype=np.float64) / n
        centred = (cells - cells.sum(axis=1, keepdims=True) / n * pooled) / np.float32(n)
        self.cells[at] = sketch_cells(centred[..., None])[:, 0]
