"""Load Brain-Score's models and benchmarks by identifier, with errors of one or two lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brainscore_vision
from brainscore_core.supported_data_standards.brainio.fetch import BotoFetcher

from neurofit.brainscore.registration import register
from neurofit.errors import MachineError, NeurofitError, unknown_name
from neurofit.storage.download import offline


def load(kind: str, identifier: str) -> Any:
    """Return a model or benchmark of Brain-Score, including those that `register` adds.

    Parameters
    ----------
    kind
        "model" or "benchmark".
    identifier
        Brain-Score's identifier.

    Raises
    ------
    NeurofitError
        If the identifier is unknown.
    MachineError
        If loading fails, for example because a file or a package is missing.
    """
    register()
    try:
        with translate_download_errors(kind, identifier):
            return getattr(brainscore_vision, f"load_{kind}")(identifier)
    except NeurofitError:
        raise
    except Exception as error:
        if isinstance(error, AssertionError) and "No registrations found" in str(error):
            raise unknown_name(f"{kind} of Brain-Score", identifier, _names(kind)) from error
        reason = str(error).strip().partition("\n")[0]
        raise MachineError(
            f"Brain-Score cannot load the {kind} {identifier}: {type(error).__name__}: {reason}"
        ) from error


@contextmanager
def translate_download_errors(kind: str, identifier: str) -> Iterator[None]:
    """Turn Brain-Score's exception for a failed download, a list of errors, into a MachineError.

    If NEUROFIT_OFFLINE is set, Brain-Score does not download either.
    """
    download = BotoFetcher.download_boto
    if offline():
        BotoFetcher.download_boto = _refuse
    try:
        yield
    except Exception as error:
        causes = (
            error.args[0]
            if type(error) is Exception and error.args and isinstance(error.args[0], list)
            else []
        )
        if not causes:
            raise
        raise MachineError(
            f"Brain-Score cannot download the files of the {kind} {identifier} "
            f"({type(causes[-1]).__name__}: {causes[-1]}).\n"
            "Files at BRAINIO_HOME/SHA1/FILE need no network; data that are not public need AWS "
            "credentials of Brain-Score."
        ) from error
    finally:
        BotoFetcher.download_boto = download


def _names(kind: str) -> set[str]:
    """Return the identifiers of all models or benchmarks that Brain-Score would find."""
    registration = re.compile(rf"{kind}_registry\[['\"]([^'\"]+)['\"]\]")
    plugins = (Path(brainscore_vision.__file__).parent / f"{kind}s").glob("[!._]*/__init__.py")
    names = {
        name
        for plugin in plugins
        for name in registration.findall(plugin.read_text(encoding="utf-8"))
    }
    return names | set(getattr(brainscore_vision, f"{kind}_registry"))


def _refuse(fetcher: Any) -> None:
    path = Path(fetcher.output_filename)
    raise NeurofitError(
        f"{path.name} is not in {path.parent}, and downloads are off.\n"
        "Allow them (drop --offline), or copy the file to that folder."
    )
