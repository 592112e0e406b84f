"""CPU time of `ConvRNN.unroll` against a plain loop over layers and steps.

    python benchmarks/unroll.py [--batch-size 16] [--repeats 3] [--models NAME ...]

Both loops run in one process, in turn; medians of CPU time. The plain loop computes every layer for
every image at every step: it calls the `forward` of each cell, with the same kernels, and keeps
only outputs and states. Numbers are compared before times are measured. The GEMM peak is the best
of numpy's float32 products of 2048 x 2048 in this process, on one thread (those of torch are half
as fast on an AMD processor). Floating point operations are those of the convolutions of the fast
loop, counted by torch as if each were a matrix product.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

# Either of these variables slows a current numpy down.
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
    os.environ.pop(name, None)

import numpy as np
import torch
import torch.nn.functional as F
from figures import figure
from threadpoolctl import threadpool_info, threadpool_limits
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.models import ConvRNN, create_model
from neurofit.models.cells import State

CASES = (
    ("rgc_intermediate", ("conv9", "conv10"), "IT"),
    ("rgc_intermediate", ("conv5", "conv6"), "V4"),
    ("ugrnn_shallow", ("conv3",), "V4"),
    ("ugrnn_shallow", ("conv4", "conv5"), "IT"),
)


def main() -> None:
    """Print the table of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=sorted({name for name, *_ in CASES}))
    options = parser.parse_args()
    torch.set_num_threads(1)
    peak = gemm_peak()
    kernel = next(
        pool["architecture"] for pool in threadpool_info() if pool["internal_api"] == "openblas"
    )
    print(
        f"torch {torch.__version__}, 1 thread, batches of {options.batch_size}, GEMM peak "
        f"{peak / 1e9:.0f} GFLOP/s (OpenBLAS, {kernel})"
    )
    print(
        "| model | layers | plain, CPU s | fast, CPU s | channels last, CPU s | ratio | GFLOP | "
        "share of GEMM peak | largest difference |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name, layers, region in CASES:
        if name not in options.models:
            continue
        model = create_model(name, weights="random").eval()
        images = torch.rand(
            options.batch_size, 3, 224, 224, generator=torch.Generator().manual_seed(0)
        )
        # as `neurofit.extract` runs it
        model_last = (
            create_model(name, weights="random").eval().to(memory_format=torch.channels_last)
        )
        images_last = images.contiguous(memory_format=torch.channels_last)
        difference = largest_difference(
            plain(model, images, layers), fast(model_last, images_last, layers)
        )
        with FlopCounterMode(display=False) as counter:
            fast(model, images, layers)
        loops = [
            partial(plain, model, images, layers),
            partial(fast, model, images, layers),
            partial(fast, model_last, images_last, layers),
        ]
        plain_s, fast_s, last_s = times(loops, options.repeats)
        flops = counter.get_total_flops()
        print(
            f"| {name} | {' '.join(layers)} ({region}) | {plain_s:.1f} | {fast_s:.1f} | "
            f"{last_s:.1f} | {plain_s / last_s:.1f} "
            f"| {flops / 1e9:.0f} | {flops / last_s / peak:.0%} | {difference:.0e} |",
            flush=True,
        )
        figure(f"unroll of {name}, {region}: times as fast as the plain loop", plain_s / last_s)
        figure(f"unroll of {name}, {region}: share of the GEMM peak", flops / last_s / peak)


@torch.inference_mode()
def fast(model: ConvRNN, images: Tensor, layers: Sequence[str]) -> list[dict[str, Tensor]]:
    """Return the given layers at the 26 steps of the neural presentation."""
    return [activations for _, activations in model.unroll(images, NEURAL, layers=layers)]


@torch.inference_mode()
def plain(
    model: ConvRNN, images: Tensor, layers: Sequence[str], presentation: Presentation = NEURAL
) -> list[dict[str, Tensor]]:
    """Return the same as `fast`, computing every layer for every image at every step."""
    normalized = (images - model.image_mean) / model.image_std
    outputs = {layer: images.new_zeros(len(images), *model.shapes[layer]) for layer in model.layers}
    states: dict[str, State | None] = dict.fromkeys(model.layers)
    steps = []
    for timestep in range(presentation.n_timesteps):
        inputs = (
            normalized
            if presentation.shows_image(timestep)
            else torch.full_like(normalized, presentation.blank)
        )
        before = dict(outputs)
        for layer in model.layers:
            u = inputs if layer == model.layers[0] else before[model.below[layer]]
            sources = [
                F.interpolate(before[s], size=u.shape[2:], mode="bilinear", align_corners=True)
                for s in model.feedback[layer]
            ]
            fb = torch.cat(sources, dim=1) if sources else None
            outputs[layer], states[layer] = model.net[layer](u, fb, states[layer])
        steps.append({layer: outputs[layer] for layer in layers})
    return steps


def largest_difference(expected: list[dict[str, Tensor]], found: list[dict[str, Tensor]]) -> float:
    """Return the largest difference in a step, relative to the step's largest value, up to 230 ms.

    Later steps exceed what float32 can resolve, see docs/zoo.md, section 11.2.
    """
    return max(
        float((a[layer] - b[layer]).abs().max() / a[layer].abs().max().clamp(min=1e-30))
        for a, b in zip(expected[:23], found[:23], strict=True)
        for layer in a
    )


def times(runs: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Return the median CPU time of each function; they run in turn."""
    measured: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for run, durations in zip(runs, measured, strict=True):
            start = time.process_time()
            run()
            durations.append(time.process_time() - start)
    return [statistics.median(durations) for durations in measured]


def gemm_peak() -> float:
    """Return the FLOP per CPU second of 2048 x 2048 matrix products, best of ten."""
    a, b = np.random.default_rng(0).random((2, 2048, 2048), dtype=np.float32)
    best = 0.0
    with threadpool_limits(1):
        for _ in range(10):
            start = time.process_time()
            a @ b
            best = max(best, 2 * 2048**3 / (time.process_time() - start))
    return best


if __name__ == "__main__":
    main()
