"""Environment of Brain-Score, to be set before its import: caches, and no installation at load."""

from __future__ import annotations

import os
import warnings

from neurofit.storage.home import writable

MISSING = (
    "neurofit.brainscore needs Brain-Score: pip install 'neurofit[brainscore]'. "
    "It pins numpy < 2 and an old xarray, so install it into a separate environment."
)


def prepare() -> None:
    """Set the environment variables that the user has not set, and import Brain-Score.

    Raises
    ------
    ImportError
        If Brain-Score is not installed.
    """
    folder = writable("brainscore")
    for name, value in {
        "BS_INSTALL_DEPENDENCIES": "no",  # by default, every load runs pip
        "RESULTCACHING_HOME": str(folder / "results"),
        "BRAINSCORE_HOME": str(folder / "screen"),  # cached results contain its paths
        "BRAINIO_HOME": str(folder / "data"),
    }.items():
        os.environ.setdefault(name, value)
    try:
        with warnings.catch_warnings():
            # Brain-Score's classes cause this warning at every import.
            warnings.filterwarnings("ignore", "xarray subclass", FutureWarning)
            import brainscore_vision  # noqa: F401
    except ImportError as error:
        raise ImportError(MISSING) from error
