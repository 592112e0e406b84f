"""Options of every encoding analysis: mapping, layers, splits, trial halves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.activations.activations import find_names, region_layers
from neurofit.analyses.windows import find_windows
from neurofit.config.notebook import Configuration
from neurofit.config.options import check_fields, option, parse_names
from neurofit.errors import NeurofitError, check_option
from neurofit.mapping import MAPPINGS, find_mapping
from neurofit.mapping.contract import describe_mapping, mapping_key
from neurofit.mapping.reduce import Reduction

if TYPE_CHECKING:
    from neurofit.recordings.recording import Recording


def parse_layers(text: str) -> str | tuple[str, ...]:
    """Return "auto" or "all" as it is, other text as layer names joined by commas."""
    return text if text in ("auto", "all") else parse_names(text)


@dataclass(frozen=True, kw_only=True)
class EncodingConfig(Configuration):
    """How maps from activations to responses are fitted and tested.

    Parameters
    ----------
    mapping
        Registered name ("ridge", "pls"), a mapping object (`neurofit.mapping.RidgeMapping(...)`, or
        anything with `fit` and `predict`), or several of these: a dimension of the result.
    reduce, gram_precision
        Reduction of the features ("none", "srp:N" or "pca:N", see `neurofit.mapping.reduce`), and
        precision of their inner products ("auto", "float32" or "float64").
    time_mode
        "per-bin": one map for each time bin. "fixed": one map shared by all bins, so that dynamics
        must come from the model.
    intercept
        Intercept of a map that all bins share. "per-bin": features and responses are centred in
        each bin on the training stimuli, so that mean time courses have no part in the fit.
        "shared": one for all bins, as in the literature's span-time maps; the map then also fits
        the mean time courses of the responses from those of the features.
    layers
        Layers to score, each on its own: names and patterns
        (`neurofit.activations.layer_names.match_layers`), or "all"; or "auto", which chooses among
        the layers of the region in each split, on held-out training stimuli.
    splits
        "random": correlations over the test stimuli of each of `n_splits` splits. "folds": over
        each of `n_splits` folds, which test each stimulus once. "folds-together": over all stimuli,
        each predicted by the map that did not train on its fold. Maps of different folds have
        different means, which lie below where a fold lies above: predictions from noise then
        correlate with responses at up to -0.3.
    n_splits, train_size, stratified
        Number of splits of the stimuli, the share that trains (not for folds), and whether splits
        are stratified by `strata` where the stimulus set has this column.
    strata
        Column of the stimulus table to stratify by; the result's attribute `stratified_by` says
        which one was used. A category with a single stimulus is pooled with others.
    groups
        Column of the stimulus table whose values keep stimuli together: all poses of an object, for
        example, are on one side of each split, also of the split that chooses layers, and ridge
        leaves them out together. Groups count alike, whatever their size (`neurofit.mapping.splits`
        says how they are stratified). The result's attribute `grouped_by` names the column.
        Stimuli with identical images are kept together in any case.
    n_halves, halves_by
        Number of random halvings of the trials, drawn per "stimulus" or by the number of the
        "repetition". The latter count as equal halves, as in Brain-Score; for the former, unequal
        halves (of an odd number of trials) are corrected as such.
    fit_halves
        Whether maps are fitted to the halves too. Without, there is no r_xx, and only formulas
        without it are defined; this takes about a quarter of the time.
    ceiling_stimuli
        Whether r_yy is over the "test" stimuli of each split or over "all".
    min_neuroids
        A bin with fewer scored neuroids (or fewer than all, where there are fewer) has no score, if
        scores are medians over neuroids.
    seed
        Random seed for splits, halves and intervals.

    Raises
    ------
    NeurofitError
        If an option is unknown or out of its range.
    """

    mapping: Any = option(
        "ridge",
        parse=parse_names,
        metavar="NAME,...",
        panel="Mapping",
        help="Mapping or mappings: ridge, pls, or one registered by a plugin.",
    )
    layers: str | tuple[str, ...] = option(
        "auto",
        parse=parse_layers,
        metavar="NAME,...",
        panel="Mapping",
        help="Layers: auto (those of the area, or at most 12 of a network that names none), all, "
        "or names and patterns such as layer3.*, joined by commas.",
    )
    time_mode: str = option(
        "per-bin",
        choices=("per-bin", "fixed"),
        panel="Mapping",
        help="Time mode: per-bin fits a map for each time bin, fixed one map for all bins.",
    )
    intercept: str = option(
        "per-bin",
        choices=("per-bin", "shared"),
        panel="Mapping",
        only_with=("time_mode", "fixed"),
        help="Intercept of a fixed map: per-bin (bins are centred) or shared by all bins.",
    )
    reduce: str = option("none", panel="Mapping", help="Feature reduction: none, srp:N or pca:N.")
    gram_precision: str = option(
        "auto",
        choices=("auto", "float32", "float64"),
        panel="Mapping",
        help="Precision of the features' inner products: auto, float32 or float64.",
    )
    splits: str = option(
        "random",
        choices=("random", "folds", "folds-together"),
        panel="Splits and halves",
        help="Cross-validation: random splits, folds, or folds correlated together (biased down).",
    )
    n_splits: int = option(
        10, least=1, panel="Splits and halves", help="Number of splits or folds."
    )
    train_size: float = option(
        0.75,
        above=0,
        below=1,
        panel="Splits and halves",
        help="Share of the stimuli that trains (random splits).",
    )
    stratified: bool = option(
        True, panel="Splits and halves", help="Stratify splits by category where there is one."
    )
    strata: str = option(
        "category", panel="Splits and halves", help="Column of the stimuli to stratify by."
    )
    groups: str | None = option(
        None,
        metavar="COLUMN",
        panel="Splits and halves",
        help="Column of the stimuli whose values are kept on one side of each split.",
    )
    n_halves: int = option(
        10, least=1, panel="Splits and halves", help="Number of random halvings of the trials."
    )
    halves_by: str = option(
        "stimulus",
        choices=("stimulus", "repetition"),
        panel="Splits and halves",
        help="Draw trial halves per stimulus or per repetition.",
    )
    fit_halves: bool = option(
        True,
        panel="Splits and halves",
        help="Fit maps to trial halves too, for two-sided correction.",
    )
    ceiling_stimuli: str = option(
        "test",
        choices=("test", "all"),
        panel="Splits and halves",
        help="Stimuli of the split-half reliability: test or all.",
    )
    min_neuroids: int = option(
        3, least=1, help="Minimum number of scored neuroids in a bin (not pooled_r)."
    )
    seed: int = option(0, least=0, help="Random seed for splits, halves and intervals.")

    def need_defaults(self, subject: str, names: Iterable[str]) -> None:
        """Refuse other values than the defaults of options that have no meaning in an analysis."""
        for name in names:
            if getattr(self, name) != (only := type(self).__dataclass_fields__[name].default):
                raise NeurofitError(f"{subject} {name} {only}.", option=name)

    def __post_init__(self) -> None:
        check_fields(self)
        if isinstance(self.layers, str) and self.layers not in ("auto", "all"):
            raise NeurofitError(
                f'layers must be "auto", "all" or a tuple of names; got {self.layers!r}.',
                option="layers",
            )
        if not self.layers or (
            isinstance(self.layers, tuple) and len(set(self.layers)) < len(self.layers)
        ):
            raise NeurofitError(
                f"layers must name each layer once; got {self.layers!r}.", option="layers"
            )
        Reduction(self.reduce)  # refuses an unknown rule
        if not self.mappings:
            raise NeurofitError(
                f"mapping must name a mapping: {', '.join(MAPPINGS)}.", option="mapping"
            )
        for each in self.mappings:
            find_mapping(each)
        keys = self.mapping_names
        if len(set(keys)) < len(keys):
            raise NeurofitError(f"Give each mapping once; got {', '.join(keys)}.")

    @property
    def mappings(self) -> tuple[Any, ...]:
        """The mappings to fit, by name or as objects."""
        several = isinstance(self.mapping, tuple | list)
        return tuple(self.mapping) if several else (self.mapping,)

    @property
    def mapping_names(self) -> tuple[str, ...]:
        """Short names of the mappings, as along the dimension `mapping` of a result."""
        return tuple(mapping_key(each) for each in self.mappings)

    def layers_for(self, source: Any, region: str) -> tuple[str, ...]:
        """Return the layers to fit; "auto" means all that stand for the region.

        Parameters
        ----------
        source
            `Activations` or a model: anything with `layers` and `region_layers`.
        region
            Area of the recording.

        Raises
        ------
        NeurofitError
            If there is no such layer, or no layer stands for the region.
        """
        if self.layers == "all":
            return tuple(source.layers)
        if self.layers != "auto":
            return find_names(source, self.layers)
        candidates = region_layers(source, region)
        if self.splits == "folds-together" and len(candidates) > 1:
            raise NeurofitError(
                "The predictions of all folds are scored together, so one layer must make them: "
                f'name it ({", ".join(candidates)}) or use "all".'
            )
        return candidates

    def stratify_by(self, columns: Iterable[str]) -> str:
        """Return the column of a table that stratifies the splits, or "".

        An `object_name` may be called `category`.
        """
        names = (self.strata, "category") if self.strata == "object_name" else (self.strata,)
        existing = set(columns)
        return next((name for name in names if self.stratified and name in existing), "")

    def check_columns(self, columns: Iterable[str]) -> None:
        """Raise NeurofitError if a table has no column `groups`."""
        if self.groups is not None:
            check_option("column of the stimuli to group by", self.groups, columns)

    def check_recording(self, recording: Recording) -> None:
        """Raise NeurofitError if a recording lacks what is asked of it, before the work begins.

        Columns of its stimuli, and time bins in the `windows` of an analysis that has these.
        """
        self.check_columns(map(str, recording.stimuli.table))
        if hasattr(self, "windows"):
            find_windows(np.array(recording.time_bins), self.windows)

    @property
    def n_sets(self) -> int:
        """Number of trial means that maps are fitted to."""
        return 1 + 2 * self.n_halves if self.fit_halves else 1

    @property
    def test_share(self) -> float:
        """Share of the stimuli that a map does not see."""
        return 1 - self.train_size if self.splits == "random" else 1 / self.n_splits

    def as_attrs(self) -> dict[str, Any]:
        """Return the options as values that JSON takes."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        described = [describe_mapping(each) for each in self.mappings]
        return {**values, "mapping": described[0] if len(described) == 1 else described}
