"""Whether what a network computes for an image is a function of that image alone.

Otherwise a score would depend on the order of the images, on the batch size, or on chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from neurofit.errors import NeurofitError

Run = Callable[[Tensor], Mapping[str, Tensor]]
"""Runs a network on images (batch ...): what is recorded -> values (batch ...)."""

TOLERANCE = 1e-4
"""Largest difference that rounding explains, as a share of the largest value."""

RANDOM = "is random, and differs from call to call"
STATE = "depends on the calls before it: the network keeps a state, or draws random numbers"
BATCH = "depends on the other images of the batch"

REPAIRS = {
    RANDOM: "Make it deterministic, as by dropout(..., training=self.training).",
    STATE: "Reset the state in each forward pass.",
    BATCH: "Normalise by stored statistics (batch norm in evaluation mode), not by the batch.",
}


def check_repeatable(
    run: Run,
    images: Tensor,
    *,
    name: str,
    locate: Callable[[Tensor, Tensor], str] | None = None,
) -> Mapping[str, Tensor]:
    """Check a network on three batches, and return what it computes for the first.

    The second batch has an image more and one less, in other places; the third has another size.

    Parameters
    ----------
    run
        Runs the network.
    images
        At least two images that differ: tensor (batch channel height width) in [0, 1].
    name
        Name of the model, for messages.
    locate
        Function of two batches that begin with the same image. It returns where the network first
        differs, in words, or "".

    Raises
    ------
    NeurofitError
        If a value is not finite, or depends on chance, on the calls before it or on the rest of
        the batch.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        first = run(images)
        _check_finite(first, name=name)
        other = 1 - images[-1:]
        fewer = torch.cat([images[1:2], other, *([other.flip(-1)] if len(images) == 2 else [])])
        for batch in (torch.cat([other, images[:-1]]), fewer):
            found = run(batch)
            _check_finite(found, name=name)
            rows, at = _same_images(images, batch)
            for what, values in first.items():
                share = _difference(values, found[what], rows, at)
                if share > TOLERANCE:
                    raise _refusal(run, images, f"{name}, {what}", share, locate)
    return first


def _check_finite(found: Mapping[str, Tensor], *, name: str) -> None:
    for what, values in found.items():
        if not bool(torch.isfinite(values).all()):
            raise NeurofitError(f"{name}, {what}: activations are not finite.")


def _same_images(images: Tensor, batch: Tensor) -> tuple[list[int], list[int]]:
    """Return the rows of images, and the rows of a batch that show the same images."""
    pairs = [
        (row, at)
        for at, shown in enumerate(batch)
        for row, image in enumerate(images)
        if torch.equal(image, shown)
    ]
    return [row for row, _ in pairs], [at for _, at in pairs]


def _difference(a: Tensor, b: Tensor, rows: list[int], at: list[int]) -> float:
    """Return the largest difference between rows, as a share of the largest value of `a`."""
    if a.shape[1:] != b.shape[1:]:
        return float("inf")
    apart = float((a[rows].double() - b[at].double()).abs().max())
    largest = float(a.abs().max())
    return apart / largest if largest else float(apart > 0)


def _refusal(
    run: Run,
    images: Tensor,
    where: str,
    share: float,
    locate: Callable[[Tensor, Tensor], str] | None,
) -> NeurofitError:
    """Return the error that says why values of the same image differ."""
    what = where.partition(", ")[2]
    batches, rows = (images, images), list(range(len(images)))
    seeded = [_seeded(run, images, seed, what) for seed in (0, 0, 1)]
    if _difference(seeded[0], seeded[1], rows, rows) > TOLERANCE:
        reason = STATE
    elif _difference(seeded[0], seeded[2], rows, rows) > TOLERANCE:
        reason = RANDOM
    else:
        reason, batches = BATCH, (images, torch.cat([images[:1], 1 - images]))
    place = locate(*batches) if locate else ""
    return NeurofitError(
        f"{where}: the output for one image {reason}{f' (first in {place})' if place else ''}; "
        f"it differs by {share:.2g} of the largest value.\n{REPAIRS[reason]}"
    )


def _seeded(run: Run, images: Tensor, seed: int, what: str) -> Tensor:
    torch.manual_seed(seed)
    return run(images)[what]
