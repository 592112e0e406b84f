"""Pixels and Gabor energies: what they respond to, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from neurofit.activations.extract import extract
from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError
from neurofit.models import create_model, list_models
from neurofit.models.baselines import FREQUENCIES, N_ORIENTATIONS, gabor_bank

SIZE = 64


def energies(image: torch.Tensor) -> dict[int, np.ndarray]:
    """Return the energies of a gray image: frequency -> (orientation place place)."""
    model = create_model("baseline:gabor")
    ((_, found),) = list(model.unroll(image.expand(1, 3, SIZE, SIZE), "default"))
    values, found_by = found["energies"][0].numpy(), {}
    for frequency in FREQUENCIES:
        n = N_ORIENTATIONS * frequency**2
        found_by[frequency] = values[:n].reshape(N_ORIENTATIONS, frequency, frequency)
        values = values[n:]
    assert len(values) == 0
    return found_by


def grating(frequency: int, angle: float, phase: float = 0.0) -> torch.Tensor:
    axis = (torch.arange(SIZE) + 0.5) / SIZE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    wave = 2 * math.pi * frequency * (x * math.cos(angle) + y * math.sin(angle)) + phase
    return 0.5 + 0.4 * torch.cos(wave)


@pytest.mark.parametrize("name", ["baseline:pixels", "baseline:gabor"])
def test_a_baseline_keeps_the_contract_and_is_listed(name: str) -> None:
    assert name in list_models("baseline:*")
    model = create_model(name)
    validate_model(model)
    assert (model.name, model.weights_origin) == (name, "no weights")
    assert set(model.first_timestep.values()) == {0}
    with pytest.raises(NeurofitError, match="has no weights"):
        create_model(name, weights="random")


def test_pixels_are_the_image_at_every_timestep(evoked: Any) -> None:
    stimuli = evoked().stimuli
    found = extract(create_model("baseline:pixels"), stimuli, storage="memory")
    assert found.n_timesteps == 26
    every = [found.blocks["pixels", step] for step in range(26)]
    assert all(each is every[0] for each in every)
    # Squares of 8 pixels become squares of 4, whose inner pixels see one square alone.
    whole = np.stack([stimuli.images[i] for i in range(3)]).transpose(0, 3, 1, 2) / 255
    inner = np.flatnonzero(np.isin(np.arange(32) % 4, (1, 2)))
    seen = every[0][:3].reshape(3, 3, 32, 32)[..., inner[:, None], inner]
    np.testing.assert_allclose(seen, whole[..., 2 * inner[:, None], 2 * inner], atol=1e-6)


@pytest.mark.parametrize("frequency", FREQUENCIES[1:])
@pytest.mark.parametrize("orientation", [0, 3, 6])
def test_a_grating_drives_its_own_frequency_and_orientation_most(
    frequency: int, orientation: int
) -> None:
    found = energies(grating(frequency, math.pi * orientation / N_ORIENTATIONS))
    means = np.array([found[each].mean(axis=(1, 2)) for each in FREQUENCIES])
    assert means.argmax() == FREQUENCIES.index(frequency) * N_ORIENTATIONS + orientation


def test_an_energy_does_not_depend_on_the_phase() -> None:
    first, *others = (
        energies(grating(8, 0.0, phase))[8][0, 2:6, 2:6] for phase in np.linspace(0, 3, 5)
    )
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0.02)


def test_a_uniform_image_gives_nothing_and_a_gabor_its_norm() -> None:
    response = energies(grating(8, 0.0))[8].max()
    for values in energies(torch.full((SIZE, SIZE), 0.7)).values():
        assert np.abs(values).max() < 1e-5 * response
    bank = gabor_bank(SIZE)
    assert bank.shape == (2, N_ORIENTATIONS * sum(f**2 for f in FREQUENCIES), SIZE, SIZE)
    torch.testing.assert_close(bank.norm(dim=(2, 3)), torch.ones(bank.shape[:2]))
    even, odd = bank[:, 0].flatten(1)
    assert abs(float(even @ odd)) < 1e-6


def test_the_bandwidths_are_those_of_the_source() -> None:
    """Half of the largest amplitude is reached one octave apart, and 41 degrees apart."""
    n, at = 256, FREQUENCIES.index(8)
    first = N_ORIENTATIONS * sum(f**2 for f in FREQUENCIES[:at])
    even = gabor_bank(SIZE)[0, first + 8 * 4 + 4]  # frequency 8, angle 0, a place near the centre
    padded = torch.nn.functional.pad(even, [0, 4 * SIZE * 4 - SIZE] * 2)
    spectrum = torch.fft.fft2(padded).abs().numpy()
    spectrum /= spectrum.max()
    per_cycle = padded.shape[0] / SIZE
    along = spectrum[0, : int(32 * per_cycle)]
    above = np.flatnonzero(along > 0.5) / per_cycle
    np.testing.assert_allclose(math.log2(above[-1] / above[0]), 1.0, atol=0.1)
    angles = np.radians(np.linspace(-45, 45, n))
    rows = np.round(8 * per_cycle * np.sin(angles)).astype(int)
    columns = np.round(8 * per_cycle * np.cos(angles)).astype(int)
    around = spectrum[rows, columns]
    wide = np.degrees(angles[around > 0.5])
    np.testing.assert_allclose(wide[-1] - wide[0], 41, atol=3)
