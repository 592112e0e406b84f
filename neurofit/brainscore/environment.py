"""What has to be set before Brain-Score is imported, unless the user did: no installs at load, and caches inside NEUROFIT_HOME."""

from __future__ import annotations

import os
import warnings

from neurofit.home import home

MISSING = (
    "neurofit.brainscore needs Brain-Score: pip install 'neurofit[brainscore]'. It pins numpy < 2 and an old xarray, so give it an "
    "environment of its own."
)


def prepare() -> None:
    """Set Brain-Score's environment and make sure that it can be imported.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to.
    """
    folder = home() / "brainscore"
    for name, value in {
        "BS_INSTALL_DEPENDENCIES": "no",  # by default every load runs the PATH's pip
        "RESULTCACHING_HOME": str(folder / "results"),
        "BRAINSCORE_HOME": str(folder / "screen"),  # with the results, which hold paths into it
        "BRAINIO_HOME": str(folder / "data"),
    }.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "xarray subclass", FutureWarning)  # of Brain-Score's classes, at every import
            import brainscore_vision  # noqa: F401
    except ImportError as error:
        raise ImportError(MISSING) from error
