"""Accuracy on labelled images: of the decoded logits, and of the readout at each timestep, which is a result of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neurofit.batches import Batch
from neurofit.errors import NeurofitError
from neurofit.protocol import layout_of


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Shares of images whose class is the first, or among the first five, of the logits.

    Parameters
    ----------
    top1, top5
        Of the decoded logits.
    by_timestep
        Timestep -> (top1, top5) of the readout there; only of a model with readouts.
    loss
        Mean cross-entropy of the decoded logits.
    n_images
        How many.
    """

    top1: float
    top5: float
    by_timestep: dict[int, tuple[float, float]]
    loss: float
    n_images: int


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    presentation: str = "default",
    device: str | torch.device = "cpu",
    precision: torch.dtype = torch.float32,
    progress: Callable[[int], None] | None = None,
) -> Accuracy:
    """Return a model's accuracy.

    Parameters
    ----------
    model
        A ConvRNN, with an accuracy per timestep; or any module from images (batch channel height width) to logits (batch class).
    batches
        Images and labels.
    presentation
        How a ConvRNN is shown them.
    device, precision
        Where it runs, and how precise convolutions are.
    progress
        Called with the number of images done.

    Raises
    ------
    NeurofitError
        If there are no images.
    """
    device = torch.device(device)
    was_training = model.training
    layout = layout_of(model)
    network = model.to(device, memory_format=layout).eval()  # type: ignore[call-overload]
    total, loss, decoded = 0, 0.0, torch.zeros(2)
    over_time: dict[int, Tensor] = {}
    with torch.inference_mode(), torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32):
        for images, labels in batches:
            shown = images.to(device, memory_format=layout)
            steps: dict[int, Tensor] = {}
            if hasattr(network, "readouts"):
                steps = dict(network.readouts(shown, presentation))
                logits = network.decoder(steps.values())
            else:
                logits = network(shown)
            on_device = labels.to(device)
            loss += float(nn.functional.cross_entropy(logits.float(), on_device, reduction="sum"))
            decoded += n_correct(logits, on_device)
            for timestep, readout in steps.items():
                over_time[timestep] = over_time.get(timestep, torch.zeros(2)) + n_correct(readout, on_device)
            total += len(labels)
            if progress:
                progress(total)
    network.train(was_training)
    if not total:
        raise NeurofitError("There is nothing to evaluate: no images.")

    def shares(counts: Tensor) -> tuple[float, float]:
        top1, top5 = (counts / total).tolist()
        return top1, top5

    top1, top5 = shares(decoded)
    by_timestep = {timestep: shares(counts) for timestep, counts in over_time.items()}
    return Accuracy(top1=top1, top5=top5, by_timestep=by_timestep, loss=loss / total, n_images=total)


def n_correct(logits: Float[Tensor, "batch class"], labels: Int[Tensor, " batch"]) -> Float[Tensor, " 2"]:
    """Return how many images have their class first, and among the first five (or fewer, of fewer classes), on the CPU."""
    first = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    return torch.stack([first[:, 0].sum(), first.sum()]).float().cpu()
