"""Accuracy on labelled images, of the decoded logits and of the readout at each timestep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from neurofit.activations.model import autocast, layout_of
from neurofit.config import xla
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
    device = xla.open_device(device)
    was_training = model.training
    layout = layout_of(model)
    network = model.to(device, memory_format=layout).eval()  # type: ignore[call-overload]
    total, loss, timesteps = 0, 0.0, list[int]()
    counts = torch.zeros(0)  # (decoded and each timestep, top 1 and top 5)
    with torch.no_grad(), autocast(device, precision):
        for images, labels in batches:
            shown = xla.shard(images.to(device, memory_format=layout))
            steps: dict[int, Tensor] = {}
            if hasattr(network, "readouts"):
                steps = dict(network.readouts(shown, presentation))
                logits = network.decoder(steps.values())
            else:
                logits = network(shown)
            on_device = labels.to(device)
            entropy = nn.functional.cross_entropy(logits.float(), on_device, reduction="sum")
            correct = [n_correct(each, on_device) for each in (logits, *steps.values())]
            values = torch.cat([entropy[None], *correct]).cpu()  # the device is waited for once
            loss += float(values[0])
            timesteps, counts = list(steps), values[1:].view(-1, 2) + (counts if total else 0)
            total += len(labels)
            if progress:
                progress(total)
    network.train(was_training)
    if not total:
        raise NeurofitError("There are no images to evaluate on.")

    (top1, top5), *over_time = (counts / total).tolist()
    by_timestep = {
        timestep: (first, five)
        for timestep, (first, five) in zip(timesteps, over_time, strict=True)
    }
    return Accuracy(
        top1=top1, top5=top5, by_timestep=by_timestep, loss=loss / total, n_images=total
    )


def n_correct(
    logits: Float[Tensor, "batch class"], labels: Int[Tensor, " batch"]
) -> Float[Tensor, " 2"]:
    """Return how many images are correct within the top 1 and the top 5 classes."""
    first = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
    return torch.stack([first[:, 0].sum(), first.sum()]).float()
