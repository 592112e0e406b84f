"""Find models and benchmarks in Brain-Score by identifier, and say in a line or two why one cannot be loaded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import brainscore_vision
from brainscore_core.supported_data_standards.brainio.fetch import BotoFetcher

from neurofit.brainscore.registration import register
from neurofit.download import offline
from neurofit.errors import MachineError, NeurofitError, unknown_name


def find(kind: str, identifier: str) -> Any:
    """Return a "model" or "benchmark" by identifier, ours included.

    Raises
    ------
    NeurofitError
        If there is none of that name.
    MachineError
        If it needs a file or a package that is not here, or fails otherwise.
    """
    register()
    try:
        with loading(kind, identifier):
            return getattr(brainscore_vision, f"load_{kind}")(identifier)
    except NeurofitError:
        raise
    except Exception as error:
        if isinstance(error, AssertionError) and "No registrations found" in str(error):
            raise unknown_name(f"{kind} of Brain-Score", identifier, _names(kind)) from error
        said = str(error).strip().partition("\n")[0]
        raise MachineError(f"Brain-Score cannot load the {kind} {identifier}: {type(error).__name__}: {said}") from error


@contextmanager
def loading(kind: str, identifier: str) -> Iterator[None]:
    """Turn Brain-Score's error of a failed download, a list of two errors, into ours; without downloads where they are off."""
    download = BotoFetcher.download_boto
    if offline():
        BotoFetcher.download_boto = _refuse
    try:
        yield
    except Exception as error:
        causes = error.args[0] if type(error) is Exception and error.args and isinstance(error.args[0], list) else []
        if not causes:
            raise
        raise MachineError(
            f"Brain-Score cannot download what the {kind} {identifier} needs ({type(causes[-1]).__name__}: {causes[-1]}).\n"
            "Data that lie at BRAINIO_HOME/SHA1/FILE need no network; what is not public needs AWS credentials of Brain-Score."
        ) from error
    finally:
        BotoFetcher.download_boto = download


def _names(kind: str) -> set[str]:
    """Return the identifiers of all models or benchmarks: ours, and those that Brain-Score's search would find."""
    registration = re.compile(rf"{kind}_registry\[['\"]([^'\"]+)['\"]\]")
    plugins = (Path(brainscore_vision.__file__).parent / f"{kind}s").glob("[!._]*/__init__.py")
    found = {name for plugin in plugins for name in registration.findall(plugin.read_text(encoding="utf-8"))}
    return found | set(getattr(brainscore_vision, f"{kind}_registry"))


def _refuse(fetcher: Any) -> None:
    path = Path(fetcher.output_filename)
    raise NeurofitError(f"{path.name} is not in {path.parent}, and downloads are off.\nAllow them (drop --offline), or put the file there.")
