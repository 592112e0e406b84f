"""Encoded images, and a recording of two animals."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from neurofit.recordings.recording import Recording


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Encode pixels (height width channel) in a format that Pillow writes."""
    return _encode


def _encode(picture: np.ndarray, *, form: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, format=form)
    return content.getvalue()


@pytest.fixture
def recording(make_recording: Callable[..., Recording]) -> Recording:
    """Return 8 bins of 10 ms from 0 on, two animals."""
    made = make_recording(n_bins=8)
    made.responses.coords["time_bin_start"] = ("time_bin", 10 * np.arange(8))
    made.responses.coords["time_bin_end"] = ("time_bin", 10 * np.arange(1, 9))
    n = made.responses.sizes["neuroid"]
    made.responses.coords["subject"] = (
        "neuroid",
        ["Chabo", "Tito"] * (n // 2) + ["Chabo"] * (n % 2),
    )
    return made
