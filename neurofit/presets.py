"""How to score: one dataclass, and the named presets of the field, which are functions that return it.

Five dialects say "noise-corrected" and mean different numbers; each output prints its formula.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from neurofit.errors import NeurofitError, check_option
from neurofit.mapping import Reduction
from neurofit.registry import Registry

OPTIONS = {
    "splits": ("random", "folds"),
    "time_mode": ("per-bin", "fixed"),
    "halves_by": ("stimulus", "repetition"),
    "ceiling_stimuli": ("test", "all"),
    "formula": ("noise_corrected_r", "noise_corrected_r2", "explained_variance", "percent_explained_variance"),
    "average": ("correlations", "terms", "ratios"),
    "bootstrap_over": ("neuroids", "stimuli", "both"),
    "convergence": ("sklearn", "exact"),
    "penalty": ("loo", "gcv"),
    "gram_precision": ("auto", "float32", "float64"),
}

MAPPING_OPTIONS = ("mapping", "n_components", "choose_components", "convergence", "penalty", "alphas")
"""Fields that say how the maps are fitted; several mappings scored together differ in these only."""


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Everything that decides the numbers of a score.

    Parameters
    ----------
    region
        Area to score ("V4", "IT").
    mapping
        "pls" or "ridge".
    n_components, choose_components, convergence
        Of PLS: the number of components, or the most of them if held-out training stimuli choose; where each component stops, see
        `neurofit.mapping.PLSMapping`.
    penalty, alphas
        How ridge chooses its penalties, "loo" or "gcv", and from which; None: from a grid that the features scale, see
        `neurofit.mapping.RidgeMapping`. Brain-Score's `ridge` has the one of 1.
    reduce, gram_precision
        Of the features: "none", "srp:DIMENSIONS" or "pca:COMPONENTS", see `neurofit.mapping.Reduction`; and of their inner products,
        "auto", "float32" or "float64", see `neurofit.mapping.gram_of`.
    time_mode
        "per-bin": an own map for each time bin. "fixed": one map shared by all bins, so that dynamics must come from the model.
    layers
        Layers to score, each on its own; "all" there are; "auto" chooses among the region's, per split, on held-out training stimuli.
    window
        (start, end) in ms: only bins inside it. None: all bins.
    splits
        "random": correlations over the test stimuli of each of `n_splits` splits. "folds": each stimulus is in one of `n_splits` folds,
        and correlations are over all stimuli, each predicted by the maps that its fold did not train.
    n_splits, train_size, stratified
        Train/test splits of the stimuli, and the share that trains (not of folds); stratified by `strata` where the stimulus set has
        that column.
    strata
        Column of the stimulus table to stratify by; the result says in `stratified_by` which one it was.
    n_halves, halves_by
        Random halvings of the trials, and whether per stimulus or by the repetition's number.
    fit_halves
        Whether maps are fitted on the halves too. Without, there is no r_xx and none of the formulas that it is in; there is
        `explained_variance`, in about a quarter of the time.
    ceiling_stimuli
        r_yy over the "test" stimuli of each split, or over "all".
    formula
        What the curve shows (`neurofit.result.FORMULAS`); all are always computed.
    average
        Where the mean over splits and halves stands. "terms": r_xy and the Spearman-Brown corrected r_xx, r_yy are averaged, then
        divided. "correlations": averaged before the correction. "ratios": averaged after the division.
    reliability_floor, false_discovery_rate
        A bin counts if at least `min_neuroids` are reliable significantly, at this false discovery rate; in it, a neuroid counts
        if its r_yy, and the r_xx of its map, exceed the floor. A floor of None keeps every neuroid of such a bin, and a rate of
        1 every bin.
    min_neuroids
        A bin with fewer neuroids that count (or fewer than all, where there are fewer) has no score.
    n_bootstraps, interval, bootstrap_over
        Number of bootstrap samples, coverage of the interval, and what is drawn: "neuroids" (would others of the area score the
        same?), test "stimuli" with their trials (would other images?), or "both" (never too narrow; a little too wide where
        neuroids hardly differ). The maps are those of the splits: they are not fitted again.
    seed
        Of splits, halves and bootstraps.
    preset
        Name of the preset the values come from.
    """

    region: str
    mapping: str = "pls"
    n_components: int = 25
    choose_components: bool = False
    convergence: str = "sklearn"
    penalty: str = "loo"
    reduce: str = "none"
    gram_precision: str = "auto"
    time_mode: str = "per-bin"
    alphas: tuple[float, ...] | None = None
    layers: str | tuple[str, ...] = "auto"
    window: tuple[int, int] | None = None
    splits: str = "random"
    n_splits: int = 10
    train_size: float = 0.75
    stratified: bool = True
    strata: str = "category"
    n_halves: int = 10
    halves_by: str = "stimulus"
    fit_halves: bool = True
    ceiling_stimuli: str = "test"
    formula: str = "noise_corrected_r"
    average: str = "terms"
    reliability_floor: float | None = 0.1
    false_discovery_rate: float = 0.01
    min_neuroids: int = 3
    n_bootstraps: int = 1000
    interval: float = 0.95
    bootstrap_over: str = "neuroids"
    seed: int = 0
    preset: str = "nayebi2022"

    def __post_init__(self) -> None:
        for name, existing in OPTIONS.items():
            check_option(name, getattr(self, name), existing)
        if isinstance(self.layers, str) and self.layers not in ("auto", "all"):
            raise NeurofitError(f'layers is "auto" or a tuple of names, or "all"; got {self.layers!r}.')
        if not self.layers or (isinstance(self.layers, tuple) and len(set(self.layers)) < len(self.layers)):
            raise NeurofitError(f'layers names some, once each, or is "auto" or "all"; got {self.layers!r}.')
        if self.window is not None and len(self.window) != 2:
            raise NeurofitError(f"window is (start, end) in ms; got {self.window!r}.")
        if self.seed < 0:
            raise NeurofitError(f"A seed is a whole number from 0 on; got {self.seed}.")
        if not self.fit_halves and self.formula != "explained_variance":
            raise NeurofitError(f"{self.formula} corrects for the noise of the maps, so they are fitted on halves: give fit_halves=True.")
        Reduction(self.reduce)  # refuses what is none
        for name in ("n_components", "n_splits", "n_halves", "n_bootstraps", "min_neuroids"):
            if getattr(self, name) < 1:
                raise NeurofitError(f"{name} must be at least 1; got {getattr(self, name)}.")
        for name in ("train_size", "interval"):
            if not 0 < getattr(self, name) < 1:
                raise NeurofitError(f"{name} must lie between 0 and 1; got {getattr(self, name)}.")
        if not 0 < self.false_discovery_rate <= 1:
            raise NeurofitError(f"false_discovery_rate must lie between 0 and 1; got {self.false_discovery_rate}.")
        if self.reliability_floor is not None and self.reliability_floor >= 1:
            raise NeurofitError(f"A reliability_floor of 1 or more leaves no neuroid; got {self.reliability_floor}.")

    def stratify_by(self, columns: Iterable[str]) -> str:
        """Return which of a table's columns splits are stratified by; "" for none. An object_name may be called category."""
        names = (self.strata, "category") if self.strata == "object_name" else (self.strata,)
        existing = set(columns)
        return next((name for name in names if self.stratified and name in existing), "")

    @property
    def n_sets(self) -> int:
        """Number of trial means that maps are fitted to."""
        return 1 + 2 * self.n_halves if self.fit_halves else 1

    @property
    def test_share(self) -> float:
        """Share of the stimuli that a map does not see."""
        return 1 / self.n_splits if self.splits == "folds" else 1 - self.train_size

    def as_attrs(self) -> dict[str, Any]:
        """Return the fields as values that JSON and netCDF attributes take."""
        return {name: "none" if value is None else value for name, value in asdict(self).items()}


PRESETS: Registry[Callable[[str], ScoreConfig]] = Registry("preset")


def make_config(preset: str, *, region: str, **changes: Any) -> ScoreConfig:
    """Return a preset's configuration for an area, with changes.

    Raises
    ------
    NeurofitError
        For an unknown preset; the nearest is named.
    """
    return replace(PRESETS[preset](region), **changes)


@PRESETS.register()
def nayebi2022(region: str) -> ScoreConfig:
    """10 random 75/25 splits x 10 trial halves; terms averaged first, then r_xy / sqrt(r_xx r_yy); median over neuroids."""
    return ScoreConfig(region=region)


@PRESETS.register()
def brainscore(region: str) -> ScoreConfig:
    """Brain-Score's 10 stratified 90/10 splits (seed 1); median(r)^2 / ceiling; every neuroid and bin counts; no maps of halves."""
    return ScoreConfig(
        region=region,
        train_size=0.9,
        strata="object_name",
        halves_by="repetition",
        fit_halves=False,
        ceiling_stimuli="all",
        formula="explained_variance",
        reliability_floor=None,
        false_discovery_rate=1.0,
        min_neuroids=1,
        seed=1,
        preset="brainscore",
    )


@PRESETS.register()
def streams2018(region: str) -> ScoreConfig:
    """10 stratified 75/25 splits x 10 trial halves; terms averaged first, then r_xy^2 / (r_xx r_yy); median over neuroids."""
    return ScoreConfig(region=region, formula="noise_corrected_r2", preset="streams2018")


@PRESETS.register()
def mouse(region: str) -> ScoreConfig:
    """10 random 50/50 splits x 100 trial halves; r_xy / sqrt(r_xx r_yy) in each split and half, then the mean; median over neuroids."""
    return ScoreConfig(region=region, train_size=0.5, stratified=False, n_halves=100, average="ratios", preset="mouse")


@PRESETS.register()
def kar2019(region: str) -> ScoreConfig:
    """10 random folds, predictions concatenated, x 10 trial halves; 100 (r_xy / sqrt(r_xx r_yy))^2, in per cent; median over neuroids."""
    return ScoreConfig(region=region, splits="folds", stratified=False, formula="percent_explained_variance", preset="kar2019")
