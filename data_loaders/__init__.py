"""Recordings and image sets by name: one module per data set, named by its citation key.

load_recording("hvm-sim")       simulated V4 and IT, built on the first call
load_recording("cowley2023")    V4 with images, downloaded on the first call
load_recording("mine.nc")       your own file, see neurofit.data_loaders.formats
load_images("cifar10")          training images, downloaded on the first call
"""

if __name__ != "neurofit.data_loaders":
    raise ImportError(
        "This folder is the package neurofit.data_loaders: "
        "write `import neurofit.data_loaders`, not `import data_loaders`."
    )

from neurofit.data_loaders import cifar10 as _cifar10  # noqa: F401 - registers itself
from neurofit.data_loaders import cowley2023 as _cowley2023  # noqa: F401 - registers itself
from neurofit.data_loaders import freemanziemba2013 as _freeman2013  # noqa: F401 - registers itself
from neurofit.data_loaders import kar2019 as _kar2019  # noqa: F401 - registers itself
from neurofit.data_loaders import majajhong2015 as _majajhong2015  # noqa: F401 - registers itself
from neurofit.data_loaders import papale2025 as _papale2025  # noqa: F401 - registers itself
from neurofit.data_loaders import simulated as _simulated  # noqa: F401 - registers itself
from neurofit.data_loaders import zhang2011 as _zhang2011  # noqa: F401 - registers itself
from neurofit.data_loaders.formats import open_recording, write_recording
from neurofit.data_loaders.images import IMAGE_SETS, load_images, register_images
from neurofit.data_loaders.recordings import (
    describe_recording,
    list_recordings,
    load_recording,
    register_recording,
)

__all__ = [
    "IMAGE_SETS",
    "describe_recording",
    "list_recordings",
    "load_images",
    "load_recording",
    "open_recording",
    "register_images",
    "register_recording",
    "write_recording",
]
