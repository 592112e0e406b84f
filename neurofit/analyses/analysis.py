"""The seam of analyses: a function of activations, a recording and a configuration, registered.

An analysis is one file. Its configuration is a dataclass whose fields, made with
`neurofit.config.options.option`, are its options on the command line; its result follows the
contract of `neurofit.results.schema`. Saving, tables, plots and summaries then need no more code.
"""

from __future__ import annotations

import functools
import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from neurofit.activations.activations import Activations
from neurofit.activations.notes import image_notes
from neurofit.config.compute import Compute, Progress
from neurofit.config.registry import Registry
from neurofit.errors import NeurofitError, NeurofitWarning
from neurofit.recordings.lazy import PROCESSING
from neurofit.recordings.recording import Recording
from neurofit.recordings.times import ASSUMED
from neurofit.recordings.trial_checks import check_trials
from neurofit.recordings.validation import validate_recording, validate_structure
from neurofit.results.provenance import describe_provenance
from neurofit.results.schema import validate_result

F = TypeVar("F", bound=Callable[..., xr.Dataset])


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an analysis will take: maps to fit, and bytes of memory."""

    n_fits: int
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A registered analysis.

    Parameters
    ----------
    name
        Name of the function.
    function
        The function, which records provenance and validates what it returns.
    config
        Dataclass of its options.
    models
        1 for an analysis of a model's activations and a recording; 2 for one of two models'; 0 for
        one of a recording alone.
    sources
        1 for an analysis that maps another recorded area to the recording; else 0.
    cost
        Function (recording, config, layer_units, compute) that estimates the work.
    """

    name: str
    function: Callable[..., xr.Dataset]
    config: type
    models: int
    sources: int = 0
    cost: Callable[..., Cost] | None = None

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    @property
    def computes(self) -> bool:
        """Whether it has a model or fits maps, for which cores and device matter."""
        return self.models > 0 or hasattr(self.config, "mapping_names")

    def make_config(self, **given: Any) -> Any:
        """Return the configuration with some options given; `from_options` of the class if any."""
        make = getattr(self.config, "from_options", self.config)
        return make(**given)

    def run(
        self,
        activations: Any,
        recording: Any,
        config: Any,
        *,
        against: Any = None,
        compute: Compute,
        progress: Progress | None,
    ) -> xr.Dataset:
        """Run the analysis.

        `activations` is a recorded source for an analysis that has one, and None where neither is
        needed; `against` are the second activations.
        """
        inputs = (activations, against)[: self.models + self.sources]
        return self.function(*inputs, recording, config, compute=compute, progress=progress)


ANALYSES: Registry[Analysis] = Registry("analysis")
"""Name -> analysis with its function and its options, a `neurofit.config.registry.Registry`.

`neurofit.register_analysis` adds one, and `neurofit.list_analyses` returns the names.

Examples
--------
>>> from neurofit.analyses import ANALYSES
>>> ANALYSES["ceiling"].config.__name__, ANALYSES["ceiling"].models
('CeilingConfig', 0)
>>> ANALYSES["ceiling"].make_config(n_halves=10).n_halves
10
"""


def register_analysis(
    config: type,
    *,
    models: int = 1,
    sources: int = 0,
    cost: Callable[..., Cost] | None = None,
) -> Callable[[F], F]:
    """Return a decorator that registers a function as an analysis under its own name.

    Parameters
    ----------
    config
        Dataclass of the options; every field needs a default.
    models
        1: the function takes (activations, recording, config). 0: it takes (recording, config). 2:
        it takes (activations, against, recording, config), and what `against` of its configuration
        names is found when it is run by names. All take the keywords `compute` and `progress`.
    sources
        1: with models=0, the function takes (source, recording, config), where the source is a
        recording too; the options have a field `source` that names it.
    cost
        Function (recording, config, layer_units, compute) that estimates the work.

    Returns
    -------
    Decorator
        The decorated function checks the recording with `validate_recording` and warns of artefacts
        and of drift that raises scores before the work begins. It adds the attributes of
        `describe_provenance` and notes on the trials to the Dataset that it returns, and checks it
        with `validate_result`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import neurofit, numpy as np, xarray as xr
    >>> from neurofit.analyses.analysis import score_variable
    >>> @dataclass(frozen=True, kw_only=True)
    ... class MeanRateConfig:
    ...     '''Options of a mean rate.'''
    >>> @neurofit.register_analysis(MeanRateConfig, models=0)
    ... def mean_rate(recording, config=MeanRateConfig(), *, compute=None, progress=None):
    ...     '''Mean rate of an area in the first time bin.'''
    ...     about = {"long_name": "mean rate", "formula": "mean over trials", "best": np.nan}
    ...     rate = float(np.nanmean(recording.block(0)))
    ...     return xr.Dataset({"rate": score_variable((), rate, **about)})
    >>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(90, 100))
    >>> mean_rate(recording).attrs["analysis"]
    'mean_rate'
    """

    def decorate(function: F) -> F:
        n_inputs = models + sources + 1

        @functools.wraps(function)
        def analysis(*inputs: Any, **keywords: Any) -> xr.Dataset:
            bound = inspect.signature(function).bind(*inputs, **keywords)
            bound.apply_defaults()
            *data, given = list(bound.arguments.values())[: n_inputs + 1]
            if not isinstance(given, config):
                raise NeurofitError(
                    f"{function.__name__} takes a {config.__name__}; got {type(given).__name__}."
                )
            recorded = data[models:]
            for each in recorded:
                validate_structure(each)
            activations = data[0] if models else None
            second = data[1] if models > 1 else None
            attrs = describe_provenance(function.__name__, given, data[-1], activations, second)
            notes = [note for each in recorded for note in _notes_on_trials(each)]
            for each in recorded:
                validate_recording(each)
            result = function(*inputs, **keywords)
            if activations is not None:
                notes += _notes_on_images(activations, data[-1], result)
            notes += json.loads(result.attrs.get("notes", "[]"))
            result.attrs = {**attrs, **result.attrs, "notes": json.dumps(notes)}
            validate_result(result)
            return result

        taken = [each.name for each in map(ANALYSES.__getitem__, ANALYSES) if each.config is config]
        if taken:
            raise NeurofitError(
                f"Each analysis has a configuration of its own: {function.__name__} cannot use "
                f"{config.__name__}, which is that of {taken[0]}."
            )
        entry = Analysis(
            name=function.__name__,
            function=analysis,
            config=config,
            models=models,
            sources=sources,
            cost=cost,
        )
        ANALYSES.register(function.__name__)(entry)
        return analysis  # type: ignore[return-value]

    return decorate


def _notes_on_trials(recording: Recording) -> list[str]:
    """Return what was done to the trials and what biases a result; warn of the latter."""
    biasing = check_trials(recording).biasing
    for note in biasing:
        warnings.warn(note, NeurofitWarning, stacklevel=3)
    done = str(recording.responses.attrs.get(PROCESSING, ""))
    onset = f"Stimulus onset: {recording.onset}." if ASSUMED in recording.onset else ""
    return [*filter(None, [onset, done]), *biasing]


def _notes_on_images(
    activations: Activations, recording: Recording, result: xr.Dataset
) -> list[str]:
    """Return when the image was off, and which of a result's layers no longer see it."""
    layers = map(str, np.ravel(result["layer"].values)) if "layer" in result.coords else ()
    used = [layer for layer in layers if layer in activations.layers] or activations.layers
    return image_notes(activations, recording.stimuli, recording.time_bins, layers=used)


def analysis_of(config: Any) -> Analysis:
    """Return the analysis that a configuration belongs to.

    Raises
    ------
    NeurofitError
        If it is the configuration of none.
    """
    for name in ANALYSES:
        if type(config) is ANALYSES[name].config:
            return ANALYSES[name]
    known = ", ".join(f"{ANALYSES[name].config.__name__} ({name})" for name in ANALYSES)
    raise NeurofitError(f"No analysis has a configuration {config!r}.\nExisting: {known}.")


def score_variable(
    dims: tuple[str, ...],
    values: Any,
    *,
    long_name: str,
    formula: str,
    units: str = "1",
    best: float = 1.0,
    **attrs: Any,
) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
    """Return a variable with the role score, for `xarray.Dataset`.

    Parameters
    ----------
    dims, values
        Dimensions and values.
    long_name, units, formula, best
        Name in words, units, formula, and the value of a perfect model.
    **attrs
        Further attributes of the contract: `low`, `high`, `interval`, `bound`, `count`, `column`,
        `panel`.
    """
    own = {"role": "score", "long_name": long_name, "units": units, "formula": formula}
    return dims, values, {**own, "best": best, **attrs}


def variable(
    dims: tuple[str, ...],
    values: Any,
    role: str,
    long_name: str,
    *,
    units: str = "1",
    **attrs: Any,
) -> tuple[tuple[str, ...], Any, dict[str, Any]]:
    """Return a variable of another role (bound, interval, count or detail)."""
    return dims, values, {"role": role, "long_name": long_name, "units": units, **attrs}


ENDS = ("low", "high", "band_low", "band_high")
"""Ends of an interval and of a band."""


def banded_variables(
    name: str,
    dims: tuple[str, ...],
    values: Any,
    ends: Mapping[str, Any],
    *,
    interval: str,
    band: str,
    **attrs: Any,
) -> dict[str, Any]:
    """Return a score with the ends of its interval and of its band, as variables by their names.

    Parameters
    ----------
    name, dims, values
        Name, dimensions and values of the score.
    ends
        Values of each of `ENDS`.
    interval, band
        What they are, in words.
    **attrs
        Further arguments of `score_variable`.
    """
    pointers: dict[str, Any] = {end: f"{name}_{end}" for end in ENDS}
    made = {name: score_variable(dims, values, interval=interval, band=band, **pointers, **attrs)}
    for end in ENDS:
        of = band if "band" in end else interval
        words = f"{end.removeprefix('band_')} end of the {of}"
        made[f"{name}_{end}"] = variable(dims, ends[end], "interval", words)
    return made
