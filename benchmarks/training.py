"""How many images a second are trained? The plain loop (every layer, image and step) against `ConvRNN`, forward and backward.

    python benchmarks/training.py [--batch-size 128] [--repeats 5]

One thread, medians of CPU time, both loops in turn; "recomputed" keeps only outputs and states of each step (TrainConfig.recompute).
Gradients are compared before times are. Images of 32 pixels, 10 steps, float32, channels last.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from neurofit.models import ConvRNN, create_model

MODELS = ("timedecay_tiny", "simplernn_tiny", "lstm_tiny", "rgc_tiny")


def main() -> None:
    """Print the table of benchmarks/README.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, 1 thread, batches of {options.batch_size}")
    print("| model | parameters | plain, images/s | ours, images/s | ratio | recomputed, images/s | largest difference of a gradient |")
    print("|---|---|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(options.batch_size, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (options.batch_size,), generator=generator)
    for name in MODELS:
        model = create_model(name, input_size=32).to(memory_format=torch.channels_last)
        difference = largest_difference(model, images, labels)
        loops: list[Callable[[], object]] = []
        for logits_of, recompute in ((plainly, False), (ConvRNN.__call__, False), (ConvRNN.__call__, True)):
            loops.append(
                lambda logits_of=logits_of, recompute=recompute, model=model: gradients(model, images, labels, logits_of, recompute)
            )
        plain, ours, recomputed = (options.batch_size / seconds for seconds in times(loops, options.repeats))
        n = sum(parameter.numel() for parameter in model.parameters())
        print(f"| {name} | {n:,} | {plain:.0f} | {ours:.0f} | {ours / plain:.1f} | {recomputed:.0f} | {difference:.0e} |", flush=True)


def gradients(
    model: ConvRNN, images: Tensor, labels: Tensor, logits_of: Callable[[ConvRNN, Tensor], Tensor], recompute: bool
) -> list[Tensor]:
    """Return the gradients of a batch's cross-entropy."""
    model.recompute = recompute
    model.zero_grad()
    F.cross_entropy(logits_of(model, images), labels).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def plainly(model: ConvRNN, images: Tensor) -> Tensor:
    """Return the logits of the last step, with every layer computed for every image at every step."""
    shown = model.presentations["default"]
    normalized = (images - model.image_mean) / model.image_std
    outputs = {layer: images.new_zeros(len(images), *model.shapes[layer]) for layer in model.layers}
    states = dict.fromkeys(model.layers)
    for timestep in range(shown.n_timesteps):
        seen = normalized if shown.shows_image(timestep) else torch.full_like(normalized, shown.blank)
        before = dict(outputs)
        for layer in model.layers:
            u = seen if layer == model.layers[0] else before[model.below[layer]]
            outputs[layer], states[layer] = model.net[layer](u, None, states[layer])
    return outputs[model.layers[-1]].flatten(1)


def largest_difference(model: ConvRNN, images: Tensor, labels: Tensor) -> float:
    """Return the largest difference of a parameter's gradient, of its largest value."""
    pairs = zip(*(gradients(model, images, labels, each, False) for each in (plainly, ConvRNN.__call__)), strict=True)
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in pairs)


def times(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median CPU time of each, run in turn."""
    measured: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, found in zip(runs, measured, strict=True):
            start = time.process_time()
            run()
            found.append(time.process_time() - start)
    return [statistics.median(found) for found in measured]


if __name__ == "__main__":
    main()
