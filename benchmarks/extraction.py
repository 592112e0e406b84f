"""CPU time of `extract` against a plain forward pass with hooks.

    python benchmarks/extraction.py [--images 64] [--batch-size 16] [--repeats 3]

Both run in one process, in turn, on the same images of the model's size; medians of CPU time. The
plain loop normalises, runs the model, copies what its hooks get and keeps it in arrays. Of
rgc_intermediate it takes the first 18 timesteps of `unroll`, as `extract` does for the bins of
70-180 ms. Numbers are compared before times are measured. torchvision need not load its extension.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
import torch

from neurofit.activations.extract import extract
from neurofit.models import create_model
from neurofit.recordings.stimuli import StimulusSet

CASES = (
    ("torchvision:resnet18", ("layer2.1", "layer4.1")),
    ("rgc_intermediate", ("conv9", "conv10")),
)
BINS = [(start, start + 10) for start in range(70, 180, 10)]


def main() -> None:
    """Print the table of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    library: Any = torch.library.Library
    operators = library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        with suppress(RuntimeError):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    print(f"torch {torch.__version__}, 1 thread, {options.images} images, {options.batch_size}")
    print("| model | layers | plain, s | extract, s | ratio |\n| --- | --- | --- | --- | --- |")
    for name, layers in CASES:
        model = create_model(name, weights="random", **({"layers": layers} if ":" in name else {}))
        stimuli = noise(options.images, model.input_size)
        runs: tuple[Callable[[], Any], ...] = (
            lambda: plain(model, stimuli, layers, options.batch_size),  # noqa: B023 - called here
            lambda: ours(model, stimuli, layers, options.batch_size),  # noqa: B023
        )
        expected, found = (run() for run in runs)
        for key, values in expected.items():
            np.testing.assert_allclose(
                found[key], values, rtol=0, atol=1e-5 * float(np.abs(values).max())
            )
        times: list[list[float]] = [[], []]
        for _ in range(options.repeats):
            for spent, run in zip(times, runs, strict=True):
                begun = time.process_time()
                run()
                spent.append(time.process_time() - begun)
        hooks, own = (statistics.median(spent) for spent in times)
        print(f"| {name} | {', '.join(layers)} | {hooks:.1f} | {own:.1f} | {own / hooks:.3f} |")


def noise(n: int, size: int) -> StimulusSet:
    """Return images of noise."""
    images = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    table = pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(n)]})
    return StimulusSet(
        name="noise", table=table, images=images, visual_degrees=8.0, duration_ms=100.0
    )


def ours(model: Any, stimuli: StimulusSet, layers: tuple[str, ...], batch_size: int) -> Any:
    """Return what `extract` gives."""
    found = extract(
        model,
        stimuli,
        layers=layers,
        time_bins=BINS,
        batch_size=batch_size,
        storage="memory",
    )
    return {key: found.blocks[key] for key in found.blocks}


def plain(model: Any, stimuli: StimulusSet, layers: tuple[str, ...], batch_size: int) -> Any:
    """Return what hooks give, or the timesteps of `unroll`."""
    module = getattr(model, "module", None)
    n, first, last = len(stimuli), BINS[0][0] // 10, BINS[-1][1] // 10
    kept: dict[tuple[str, int], np.ndarray] = {}

    def keep(layer: str, step: int, rows: slice, maps: torch.Tensor) -> None:
        values = maps.flatten(1).numpy()
        if (layer, step) not in kept:
            kept[layer, step] = np.empty((n, values.shape[1]), np.float32)
        kept[layer, step][rows] = values

    model.eval()
    with torch.no_grad():
        for start in range(0, n, batch_size):
            rows = slice(start, min(start + batch_size, n))
            pixels = torch.from_numpy(np.stack([stimuli.images[i] for i in range(n)[rows]]))
            images = pixels.permute(0, 3, 1, 2).contiguous().float() / 255
            if module is None:
                for step, found in model.unroll(images, "neural", layers=layers):
                    if first <= step < last:
                        for layer in layers:
                            keep(layer, step, rows, found[layer])
                    if step == last - 1:
                        break
                continue
            hooks = [
                module.get_submodule(layer).register_forward_hook(
                    lambda own, args, maps, layer=layer, rows=rows: keep(layer, first, rows, maps)
                )
                for layer in layers
            ]
            module((images - model.image_mean) / model.image_std)
            for hook in hooks:
                hook.remove()
    return kept


if __name__ == "__main__":
    main()
