"""Training speed, in images per second: a plain loop against `ConvRNN`.

    python benchmarks/training.py [--batch-size 128] [--repeats 5] [--models NAME ...]

Forward and backward pass on one thread; medians of CPU time, all loops in turn. The plain loop
computes every layer for every image at every step. "Recomputed" stores only outputs and states of
each step (`TrainConfig.recompute`). Gradients are compared before times are measured. Images of 32
pixels, 10 steps, float32, channels last. The share of the GEMM peak (numpy's float32 products of
2048 x 2048) counts the convolutions alone, forward and backward.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import mapping_data as data  # before numpy and torch: it sets the threads of BLAS
import numpy as np
import torch
import torch.nn.functional as F
from figures import figure
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from neurofit.models import ConvRNN, create_model

MODELS = ("timedecay_tiny", "simplernn_tiny", "lstm_tiny", "rgc_tiny")


def main() -> None:
    """Print the table of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=MODELS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    peak = data.gemm_peak(np.float32)
    print(f"torch {torch.__version__}, 1 thread, batches of {options.batch_size}")
    print(
        "| model | parameters | plain, images/s | neurofit, images/s | ratio | "
        "recomputed, images/s | share of GEMM peak | largest difference of a gradient |"
    )
    print("|---|---|---|---|---|---|---|---|")
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(options.batch_size, 3, 32, 32, generator=generator).contiguous(
        memory_format=torch.channels_last
    )
    labels = torch.randint(10, (options.batch_size,), generator=generator)
    for name in options.models:
        model = create_model(name, weights="random", input_size=32).to(
            memory_format=torch.channels_last
        )
        difference = largest_difference(model, images, labels)
        loops: list[Callable[[], object]] = []
        for logits_of, recompute in (
            (plain_logits, False),
            (ConvRNN.__call__, False),
            (ConvRNN.__call__, True),
        ):
            loops.append(
                lambda logits_of=logits_of, recompute=recompute, model=model: gradients(
                    model, images, labels, logits_of, recompute
                )
            )
        plain, ours, recomputed = (
            options.batch_size / seconds for seconds in times(loops, options.repeats)
        )
        with FlopCounterMode(display=False) as counter:
            gradients(model, images, labels, ConvRNN.__call__, False)
        share = counter.get_total_flops() / options.batch_size * ours / peak
        figure(f"training of {name}: times as fast as the plain loop", ours / plain)
        figure(f"training of {name}: share of the GEMM peak", share)
        n = sum(parameter.numel() for parameter in model.parameters())
        print(
            f"| {name} | {n:,} | {plain:.0f} | {ours:.0f} | {ours / plain:.1f} | {recomputed:.0f} "
            f"| {share:.0%} | {difference:.0e} |",
            flush=True,
        )


def gradients(
    model: ConvRNN,
    images: Tensor,
    labels: Tensor,
    logits_of: Callable[[ConvRNN, Tensor], Tensor],
    recompute: bool,
) -> list[Tensor]:
    """Return the gradients of a batch's cross-entropy."""
    model.recompute = recompute
    model.zero_grad()
    F.cross_entropy(logits_of(model, images), labels).backward()
    return [
        parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None
    ]


def plain_logits(model: ConvRNN, images: Tensor) -> Tensor:
    """Return the logits of the last step, computing every layer for every image and step."""
    presentation = model.presentations["default"]
    normalized = (images - model.image_mean) / model.image_std
    outputs = {layer: images.new_zeros(len(images), *model.shapes[layer]) for layer in model.layers}
    states = dict.fromkeys(model.layers)
    for timestep in range(presentation.n_timesteps):
        inputs = (
            normalized
            if presentation.shows_image(timestep)
            else torch.full_like(normalized, presentation.blank)
        )
        before = dict(outputs)
        for layer in model.layers:
            u = inputs if layer == model.layers[0] else before[model.below[layer]]
            outputs[layer], states[layer] = model.net[layer](u, None, states[layer])
    return outputs[model.layers[-1]].flatten(1)


def largest_difference(model: ConvRNN, images: Tensor, labels: Tensor) -> float:
    """Return the largest difference in a gradient, relative to its largest value."""
    pairs = zip(
        *(
            gradients(model, images, labels, each, False)
            for each in (plain_logits, ConvRNN.__call__)
        ),
        strict=True,
    )
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-30)) for a, b in pairs)


def times(runs: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median CPU time of each function; they run in turn."""
    measured: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, durations in zip(runs, measured, strict=True):
            start = time.process_time()
            run()
            durations.append(time.process_time() - start)
    return [statistics.median(durations) for durations in measured]


if __name__ == "__main__":
    main()
