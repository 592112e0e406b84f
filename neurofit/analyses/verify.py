"""Repeat a result from its attributes and compare it with the repetition."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.analyses.inputs import find_recording
from neurofit.analyses.repeat import command_of, run_config_of
from neurofit.analyses.run import RunConfig, run_again
from neurofit.config.compute import Compute, Progress
from neurofit.errors import CannotRepeat, MachineError, NeurofitError

TOLERANCE = 1e-6
"""Largest difference of equal numbers, as a share of the largest value of their variable."""

COMPARED = (
    *("analysis", "model", "region", "simulated", "control", "seed"),
    *("splits_sha256", "halves_sha256"),
)
"""Attributes that must be equal, besides the hashes of the recording and of the weights."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What differs between a result and its repetition.

    Parameters
    ----------
    kind
        "data" (sha256 of the recording), "weights" (their sha256), "attribute", "version" (of a
        package), "number" (of a variable) or "run" (the repetition fails).
    name
        Name of the attribute, package or variable.
    stored, repeated
        What the result says, and what the repetition says. For numbers, the values that differ
        most.
    size, share
        Largest difference of a number, and the same as a share of the variable's largest value;
        infinite where only one is NaN, and for shapes and text.
    """

    kind: str
    name: str
    stored: str
    repeated: str
    size: float = float("inf")
    share: float = float("inf")


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Whether a result can be repeated.

    Parameters
    ----------
    command
        Command line that makes the result; empty if there is none.
    n_variables
        Number of variables and coordinates that were compared.
    differences
        Everything that differs, versions of packages included.

    Examples
    --------
    >>> import neurofit
    >>> found = neurofit.Verification(command="", n_variables=36, differences=())
    >>> found.verdict, found.holds
    ('equal to the bit', True)
    """

    command: str
    n_variables: int
    differences: tuple[Difference, ...]

    @property
    def verdict(self) -> str:
        """Verdict: "equal to the bit", "equal to 1e-6" or "different"; versions do not count."""
        counted = [each for each in self.differences if each.kind != "version"]
        if not counted:
            return "equal to the bit"
        within = all(each.kind == "number" and each.share <= TOLERANCE for each in counted)
        return f"equal to {TOLERANCE:.0e}".replace("e-0", "e-") if within else "different"

    @property
    def holds(self) -> bool:
        """Whether the repetition is equal to the bit or to 1e-6 of a variable's largest value."""
        return self.verdict != "different"

    def of_kind(self, kind: str) -> list[Difference]:
        """Return the differences of one kind, numbers with the largest share first."""
        found = [each for each in self.differences if each.kind == kind]
        return sorted(found, key=lambda each: -each.share) if kind == "number" else found


def verify(
    result: xr.Dataset | str | Path,
    *,
    recordings: Sequence[str | Path] = (),
    images: str | Path | None = None,
    weights: str | Path | None = None,
    compute: Compute = Compute(),
    progress: Progress | None = None,
) -> Verification:
    """Repeat a result from its attributes and compare all its numbers with the repetition.

    Parameters
    ----------
    result
        Result of `neurofit.run` or of the command line, or the path of one.
    recordings
        Paths at which the recording of the result may be, for one that was given by path. The one
        with the result's sha256 is taken, or the first. Default: the path that the result states.
    images, weights
        Paths of the recording's images and of the model's weights, where they are elsewhere now.
    compute
        Device, cores and cache.
    progress
        Called with (what is being done, steps done, steps in total).

    Returns
    -------
    Verification
        Verdict, and everything that differs.

    Raises
    ------
    CannotRepeat
        If an attribute is missing, a mapping or an analysis is not registered, or a file is not at
        the path that the result states.
    NeurofitError
        If the recording or the model is refused, although the recording is the same.

    Examples
    --------
    >>> import neurofit
    >>> config = neurofit.RunConfig(
    ...     selection=neurofit.Selection(region="V4", window=(90, 110)),
    ...     analysis=neurofit.CeilingConfig(n_halves=2, n_bootstraps=20),
    ... )
    >>> neurofit.verify(neurofit.run(config)).verdict
    'equal to the bit'
    """
    from neurofit.results.io import load_result

    stored = result if isinstance(result, xr.Dataset) else load_result(result)
    config = replace(run_config_of(stored), compute=compute)
    config = _with_files(config, stored, recordings, images=images, weights=weights)
    try:
        command = command_of(run_config_of(stored))
    except NeurofitError:
        command = ""
    try:
        control = str(stored.attrs["control"]) if config.baselines else ""
        repeated = run_again(config, control=control, progress=progress)
    except MachineError:
        raise
    except NeurofitError as error:
        sha256, own = find_recording(config).sha256, str(stored.attrs["recording_sha256"])
        if sha256 == own:
            raise
        found = [
            Difference(kind="data", name="recording_sha256", stored=own, repeated=sha256),
            Difference(kind="run", name="error", stored="", repeated=str(error)),
        ]
        return Verification(command=command, n_variables=0, differences=tuple(found))
    return Verification(
        command=command,
        n_variables=len(stored.variables),
        differences=(*_attributes(stored, repeated), *_numbers(stored, repeated)),
    )


def _with_files(
    config: RunConfig,
    stored: xr.Dataset,
    recordings: Sequence[str | Path],
    *,
    images: str | Path | None,
    weights: str | Path | None,
) -> RunConfig:
    """Return the configuration with the files that are given in place of those of the result."""
    from neurofit.data_loaders.recordings import is_path

    if recordings and config.images is not None and not Path(config.images).exists():
        config = replace(config, images=None)  # beside the recording, unless they are given
    config = replace(config, images=images or config.images, weights=weights or config.weights)
    sha256 = str(stored.attrs["recording_sha256"])
    expected = {"weights": config.weights, "images": config.images}
    if not recordings and is_path(config.recording):
        expected["recording"] = config.recording
    for name, path in expected.items():
        if path not in (None, "auto", "random") and not Path(str(path)).exists():
            raise CannotRepeat(
                f"{name} must be the path of a copy: this result was made from {path}, which does "
                "not exist here. The sha256 will say whether the copy is the same.",
                option=name,
            )
    if recordings and not is_path(config.recording):
        raise NeurofitError(
            f"recording is for a result of a file; this one is of {config.recording}.",
            option="recording",
        )
    candidates = [replace(config, recording=path) for path in recordings]
    same = (each for each in candidates if find_recording(each).sha256 == sha256)
    return next(same, candidates[0]) if len(candidates) > 1 else (candidates or [config])[0]


def _attributes(stored: xr.Dataset, repeated: xr.Dataset) -> Iterator[Difference]:
    """Yield the hashes, attributes and versions that differ."""
    before, after = (_comparable(each) for each in (stored, repeated))
    for kind, name in {**before, **after}:
        old, new = (each.get((kind, name), "not stated") for each in (before, after))
        if old != new:
            yield Difference(kind=kind, name=name, stored=old, repeated=new)


def _comparable(result: xr.Dataset) -> dict[tuple[str, str], str]:
    """Return the attributes to compare as text, by their kind and name."""
    attrs = result.attrs
    weights = json.loads(attrs["activations"]).get("weights_sha256", "")
    return {
        ("data", "recording_sha256"): str(attrs["recording_sha256"]),
        ("weights", "weights_sha256"): str(weights),
        **{("attribute", name): str(attrs[name]) for name in COMPARED if name in attrs},
        **{("version", name): str(v) for name, v in json.loads(attrs["versions"]).items()},
    }


def _numbers(stored: xr.Dataset, repeated: xr.Dataset) -> Iterator[Difference]:
    """Yield the variables and coordinates that differ."""
    names = dict.fromkeys([*stored.variables, *repeated.variables])
    for name in map(str, names):
        if name not in stored.variables or name not in repeated.variables:
            old, new = ("stored" if name in each.variables else "" for each in (stored, repeated))
            yield Difference(kind="number", name=name, stored=old, repeated=new)
        elif found := _number(name, stored[name], repeated[name]):
            yield found


def _number(name: str, stored: xr.DataArray, repeated: xr.DataArray) -> Difference | None:
    """Return the largest difference of a variable, or None if all values are equal."""
    if stored.dims != repeated.dims or stored.shape != repeated.shape:
        shapes = [str(dict(each.sizes)) for each in (stored, repeated)]
        return Difference(kind="number", name=name, stored=shapes[0], repeated=shapes[1])
    old, new = stored.values, repeated.values
    if old.dtype.kind not in "biuf" or new.dtype.kind not in "biuf":
        differs = np.ravel(old.astype(str) != new.astype(str))
        if not differs.any():
            return None
        first = int(np.argmax(differs))
        texts = [str(each.ravel()[first]) for each in (old, new)]
        return Difference(kind="number", name=name, stored=texts[0], repeated=texts[1])
    old, new = (np.ravel(each).astype(np.float64) for each in (old, new))
    equal = (old == new) | (np.isnan(old) & np.isnan(new))
    if equal.all():
        return None
    gaps = np.where(equal, 0.0, np.nan_to_num(np.abs(old - new), nan=np.inf))
    at = int(np.argmax(gaps))
    largest = _largest(old, new)
    return Difference(
        kind="number",
        name=name,
        stored=f"{old[at]:.6g}",
        repeated=f"{new[at]:.6g}",
        size=float(gaps[at]),
        share=float(gaps[at]) / largest if largest else float("inf"),
    )


def _largest(*values: Any) -> float:
    """Return the largest finite size of the values, 0 without any."""
    sizes = np.abs(np.concatenate(values))
    return float(np.max(sizes[np.isfinite(sizes)], initial=0.0))
