"""The simulated recording has the same bits on every machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor

from neurofit.data_loaders.hvm_sim import Recipe, exact, folder, load_or_build
from neurofit.data_loaders.hvm_sim.fingerprint import PINNED, fingerprint
from neurofit.data_loaders.hvm_sim.recipe import recipe_hash
from neurofit.data_loaders.hvm_sim.renderer import to_gray
from neurofit.data_loaders.hvm_sim.responses import (
    poisson_counts,
    uniform_numbers,
)
from neurofit.data_loaders.hvm_sim.storage import build
from neurofit.errors import MachineError

# Images are resized, and objects of all families and surfaces that coincide are seen.
SMALL = Recipe(
    objects_per_category=2,
    images_per_object=2,
    calibration_images=16,
    image_size=64,
    supersample=2,
    min_repetitions=3,
    max_repetitions=5,
    n_sites={"V4": 12, "IT": 12},
)
VALUES = {
    "images": "6e19e3ce3739c7328793eca362f97ab105a1bfa9de20bbf04fafc656b44cd801",
    "rates": "0c2c4efb0a09ff1a2c47b7eef31753ef66920f3865e3a0c776c67719ce79a5dd",
    "responses": "612d1c09a4b3f5767e2600cc3419ee442cdab4ad3af56a10f417747a0a83c244",
}
ERROR = 1e-15
"""More than any number differed between the kernels below before it was rounded (9e-16)."""

KERNELS = {
    "this machine": {},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "Prescott": {
        "OPENBLAS_CORETYPE": "Prescott",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 AVX512F AVX512_SKX X86_V3 X86_V4 AVX512_ICL",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
    },
}
_CHILD = """
import json, sys
from pathlib import Path
from neurofit.data_loaders.hvm_sim import Recipe
from neurofit.data_loaders.hvm_sim.storage import build
build(Path(sys.argv[1]), recipe=Recipe(**json.loads(sys.argv[2])))
"""
_NESTED = ("teacher", "readout_units")


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_of_blas_and_simd_gives_the_pinned_values(kernel: str, tmp_path: Path) -> None:
    small = {name: value for name, value in SMALL.as_dict().items() if name not in _NESTED}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CHILD, str(tmp_path), json.dumps(small)],
        env=os.environ | KERNELS[kernel],
        check=True,
        timeout=600,
    )
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["recipe"] == SMALL.as_dict()
    assert manifest["values_sha256"] == VALUES


def rounded_while_building(
    monkeypatch: pytest.MonkeyPatch, where: Path, recipe: Recipe
) -> list[tuple[np.ndarray, float]]:
    """Build a recording; return all numbers that were rounded off, with the spacing."""
    rounded: list[tuple[np.ndarray, float]] = []
    original = exact.round_off

    def round_off(values: Any, grid: float) -> Any:
        rounded.append((np.asarray(values).astype(np.float64).ravel(), grid))
        return original(values, grid)

    monkeypatch.setattr(exact, "round_off", round_off)
    build(where, recipe=recipe)
    return rounded


def check_margins(rounded: list[tuple[np.ndarray, float]]) -> None:
    for values, grid in rounded:
        steps = values / grid
        margin = np.abs(steps - np.floor(steps) - 0.5) * grid
        assert margin.min() > 1000 * ERROR


def test_no_rounded_number_lies_near_the_middle_between_two_multiples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_margins(rounded_while_building(monkeypatch, tmp_path, SMALL))


@pytest.mark.slow
def test_nor_does_one_of_the_full_recording_which_has_the_pinned_values(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_margins(rounded_while_building(monkeypatch, tmp_path, Recipe()))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["values_sha256"] == PINNED[recipe_hash()]


def test_every_convolution_of_the_teacher_is_exact(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    convolve: Callable[..., Tensor] = F.conv2d
    shapes = set()

    def conv2d(images: Tensor, weights: Tensor, *others: Tensor, **options: Any) -> Tensor:
        found = convolve(images, weights, *others, **options)
        doubles = [tensor.double() for tensor in (images, weights, *others)]
        assert torch.equal(found.double(), convolve(*doubles, **options))
        # 8 + 8 bits after the point (8 + 13 for the Gabor filters) leave 8 (3) of 24 before it, so
        # that no partial sum is rounded in any order
        limit = 2.0 ** (3 if weights.shape[-1] == 15 else 8)
        assert convolve(*(tensor.abs() for tensor in doubles), **options).max() < limit
        shapes.add(weights.shape[-1])
        return found

    monkeypatch.setattr(F, "conv2d", conv2d)
    build(tmp_path, recipe=SMALL)
    assert shapes == {1, 3, 15}


def test_counts_are_those_of_the_inverse_distribution_function() -> None:
    rng = np.random.default_rng(0)
    expected = rng.gamma(1.0, 2.0, (300, 200))
    expected[0] = 0
    expected[1] = 40
    uniform = rng.random(expected.shape)
    uniform[:, 0] = 1 - 2.0**-33
    counts = poisson_counts(expected, uniform)
    assert counts.dtype == np.uint8
    np.testing.assert_array_equal(counts, stats.poisson.ppf(uniform, expected))


def test_the_random_numbers_are_uniform_and_independent_between_time_bins() -> None:
    first, second = (uniform_numbers(SMALL, time_bin, (400, 500)) for time_bin in (0, 1))
    assert 0 < first.min() < first.max() < 1
    assert stats.kstest(first.ravel(), "uniform").pvalue > 0.01
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.01
    np.testing.assert_array_equal(uniform_numbers(SMALL, 0, (10, 500)), first[:10])


def test_one_other_rate_changes_no_count_but_its_own() -> None:
    uniform = uniform_numbers(SMALL, 0, (50, 40))
    expected = np.full(uniform.shape, 0.5)
    before = poisson_counts(expected, uniform)
    expected[3, 7] = 20
    changed = np.argwhere(poisson_counts(expected, uniform) != before)
    assert changed.tolist() == [[3, 7]]


def test_gray_is_the_luma_with_halves_rounded_up() -> None:
    # 0.299 r + 0.587 g + 0.114 b is 0, 255, 62.1, 0.598 and 28.5
    colours = [[[0, 0, 0], [255, 255, 255], [100, 50, 25], [2, 0, 0], [0, 0, 250]]]
    assert to_gray(np.array(colours, np.uint8))[0, :, 0].tolist() == [0, 255, 62, 1, 29]


def test_a_matrix_times_its_inverse_is_the_identity() -> None:
    matrix = np.random.default_rng(0).standard_normal((3, 3))
    np.testing.assert_allclose(exact.inverse(matrix), np.linalg.inv(matrix), rtol=1e-12)


@pytest.mark.parametrize("part", ["images", "rates", "responses"])
def test_a_machine_that_computes_other_values_is_told_so_and_stores_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str
) -> None:
    monkeypatch.setenv("NEUROFIT_HOME", str(tmp_path))
    monkeypatch.setitem(PINNED, recipe_hash(SMALL), VALUES | {part: "0123456789abcdef"})
    with pytest.raises(
        MachineError,
        match=rf"hvm-sim: {part} of version 3 must have sha256 0123456789ab, but this machine "
        rf"computes {VALUES[part][:12]} with numpy {np.__version__}, .*Nothing was stored.\n"
        r"Install numpy .*torch .*, with which the recording was made, and call again",
    ):
        load_or_build(recipe=SMALL)
    assert not folder(SMALL).exists()


def test_the_fingerprint_does_not_depend_on_the_layout_in_memory() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    swapped = values.astype(values.dtype.newbyteorder())
    assert (
        fingerprint([np.asfortranarray(values)]) == fingerprint([swapped]) == fingerprint([values])
    )
    assert fingerprint([values[:1], values[1:]]) == fingerprint([values])
    assert fingerprint([values.T]) != fingerprint([values])
