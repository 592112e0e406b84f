"""Accuracy on labelled images, of the decoded logits and of the readout at each timestep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neurofit.activations.model import layout_of
from neurofit.errors import NeurofitError
from neurofit.training.batches import Batch


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Accuracy of a model: share of images whose class has the largest logit, or is in the top 5.

    Parameters
    ----------
    top1, top5
        Accuracies of the decoded logits.
    by_timestep
        Timestep -> (top1, top5) of the readout at that timestep; empty for a model without
        readouts.
    loss
        Mean cross-entropy of the decoded logits.
    n_images
        Number of images.
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
    """Evaluate a model on labelled images.

    Parameters
    ----------
    model
        A ConvRNN, which is also evaluated per timestep, or any module from images (batch channel
        height width) to logits (batch class).
    batches
        Images and labels, see `neurofit.training.batches.evaluation_batches`.
    presentation
        Name of a ConvRNN's presentation of the images.
    device
        Device of the computation.
    precision
        Precision of the convolutions.
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
    with (
        torch.inference_mode(),
        torch.autocast(device.type, dtype=precision, enabled=precision != torch.float32),
    ):
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
                over_time[timestep] = over_time.get(timestep, torch.zeros(2)) + n_correct(
                    readout, on_device
                )
            total += len(labels)
            if progress:
                progress(total)
    network.train(was_training)
    if not total:
        raise NeurofitError("There are no images to evaluate on.")

    def accuracies(counts: Tensor) -> tuple[float, float]:
        top1, top5 = (counts / total).tolist()
        return top1, top5

    top1, top5 = accuracies(decoded)
    by_timestep = {timestep: accuracies(counts) for timestep, counts in over_time.items()}
    return Accuracy(
        top1=top1, top5=top5, by_timestep=by_timestep, loss=loss / total, n_images=total
    )


def n_correct(
    logits: Float[Tensor, "batch class"], labels: Int[Tensor, " batch"]
) -> Float[Tensor, " 2"]:
    """Return how many images are correct within the top 1 and the top 5 classes, on the CPU."""
    first = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    return torch.stack([first[:, 0].sum(), first.sum()]).float().cpu()
