"""Files that come with installed packages are no recordings; their pictures are those of Pillow."""

from __future__ import annotations

import importlib.util
import re
import warnings
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from neurofit.data_loaders.formats import open_recording
from neurofit.errors import NeurofitError
from neurofit.recordings.image_decoding import decode_image

DATA = (
    *(".mat", ".h5", ".hdf5", ".nc", ".nwb", ".npz", ".npy", ".csv", ".tsv", ".json", ".txt"),
    *(".parquet", ".zip", ".dat", ".arff", ".wav", ".pkl"),
)
PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".jp2")


def installed(package: str, endings: Collection[str]) -> list[Path]:
    """Return the files of a package with some endings, none if it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        return []
    files = Path(found.origin).parent.rglob("*")
    return sorted(each for each in files if each.suffix.lower() in endings and each.is_file())


@pytest.mark.parametrize("package", ["scipy", "h5py", "pynwb", "xarray", "numpy"])
def test_no_file_of_a_package_is_a_recording(package: str) -> None:
    """Of 294 files of these packages none is, and each is refused in a sentence."""
    files = installed(package, DATA)
    if not files:
        pytest.skip(f"{package} is not installed, or without its data")
    for each in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = open_recording(each)
            except NeurofitError as error:
                said = str(error)
            else:
                pytest.fail(f"{each} was taken for {found}")
        assert str(each) in said or each.name in said, said
        assert len(said) < 1000
    if package == "scipy":  # its wheel has the files of its tests
        assert len(files) > 200


@pytest.mark.parametrize("package", ["PIL", "matplotlib", "sklearn", "skimage"])
def test_a_picture_of_a_package_is_that_of_pillow(package: str) -> None:
    """Pillow's wheel comes without the pictures of its tests."""
    files = installed(package, PICTURES)
    if not files:
        pytest.skip(f"{package} is not installed, or without pictures")
    for each in files:
        try:
            with Image.open(each) as image:
                own = image.convert("RGBA")
        except UnidentifiedImageError:
            with pytest.raises(NeurofitError, match=re.escape(each.name)):
                decode_image(each.read_bytes(), name=each.name)
            continue
        gray = Image.new("RGBA", own.size, (128, 128, 128, 255))
        expected = np.asarray(Image.alpha_composite(gray, own).convert("RGB"), dtype=int)
        found = decode_image(each.read_bytes(), name=each.name)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 2, each
