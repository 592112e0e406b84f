"""Known truth in hvm-sim: the teacher against the tiny models, and limited training images.

    python benchmarks/validity/teacher.py [--out docs]

Prints the tables of docs/validity.md and writes finite_data.png. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import neurofit
from neurofit.activations.activations import Activations
from neurofit.data_loaders.hvm_sim import folder, load_teacher
from neurofit.recordings.recording import Recording

TRAIN_SIZES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.75, 0.9)
LATE = {"V4": (100, 120), "IT": (130, 150)}


def main() -> None:
    """Print the tables and write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs"), help="folder of the figure")
    out = parser.parse_args().out
    recording = neurofit.load_recording("hvm-sim")
    teacher = load_teacher(folder())
    models = [
        teacher,
        *(neurofit.create_model(name) for name in neurofit.list_models("*_tiny")),
    ]
    activations = {}
    for model in models:
        layers = [model.region_layers[region][0] for region in LATE]
        activations[model.name] = neurofit.extract(model, recording.stimuli, layers=layers)
    compare_models(recording, activations, teacher.name)
    finite_data(recording, activations[teacher.name], out)


def compare_models(recording: Recording, activations: dict[str, Activations], teacher: str) -> None:
    """Print the mean score of each model and the number of bins in which the teacher is best.

    Means are over the bins in which the teacher has a score.
    """
    config = neurofit.ScoreConfig(mapping="ridge")
    for region in LATE:
        area, curves = recording.select(region=region), {}
        for name, features in activations.items():
            curves[name] = neurofit.score(features, area, config).curve.values[0]
        bins = ~np.isnan(curves[teacher])
        others = np.stack([curve for name, curve in curves.items() if name != teacher])
        best = (np.nan_to_num(others[:, bins], nan=-1.0) < curves[teacher][bins]).all(axis=0)
        print(
            f"\n{region}: teacher best in {best.sum()} of {bins.sum()} reliable bins (ridge, "
            "per-bin)"
        )
        for name, curve in curves.items():
            print(
                f"| {name} | {np.nanmean(curve[bins]):.2f} | {np.nanmin(curve[bins]):.2f} to "
                f"{np.nanmax(curve[bins]):.2f} |"
            )


def finite_data(recording: Recording, features: Activations, out: Path) -> None:
    """Score the teacher with increasing numbers of training images, and draw its scores."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for region, colour in zip(LATE, ("#2a5b8c", "#c2571a"), strict=True):
        late = recording.select(region=region, window=LATE[region])
        for mapping, line in (("ridge", "-"), ("pls", "--")):
            scores = []
            for size in TRAIN_SIZES:
                config = neurofit.ScoreConfig(
                    mapping=mapping, train_size=size, n_splits=5, stratified=False
                )
                result = neurofit.score(features, late, config)
                scores.append(float(result.curve.values[0].mean()))
            images = [round(size * len(recording.stimuli)) for size in TRAIN_SIZES]
            axes.plot(images, scores, line, color=colour, marker="o", label=f"{region}, {mapping}")
            print(
                f"{region} {mapping}: "
                + ", ".join(
                    f"{n} images {score:.3f}" for n, score in zip(images, scores, strict=True)
                )
            )
    axes.axhline(1, color="black", linewidth=0.6)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("Training images")
    axes.set_ylabel("Noise-corrected predictivity (r)")
    axes.set_title(
        "hvm-sim (SIMULATED), scored with its own teacher",
        loc="left",
        fontweight="bold",
        fontsize="medium",
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(out / "finite_data.png", dpi=150)


if __name__ == "__main__":
    main()
