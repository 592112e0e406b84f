"""
How do I add a cell?
====================

A cell is one step of a recurrence: from its input and its state to its output and its new state. A
cell with delayed surround suppression is written, put into a small ConvRNN with random weights, and
scored against the same network without it.

Difficulty: advanced. Time: about 30 s on two cores.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from matplotlib import pyplot as plt
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

import neurofit
from neurofit import Presentation, figures
from neurofit.models.catalogue import assemble
from neurofit.models.cells.cell import Cell, CellShapes, Drive, State, register_cell
from neurofit.models.convrnn import ConvRNN, presentations
from neurofit.models.initialisers import Constant, Initialiser
from neurofit.models.layer import Conv, Layer

# %%
# The cell
# --------
# What depends on the input alone is computed in ``drive``, which returns the input itself by
# default. ``step`` does the rest, and ``initialisers`` names every parameter. In neurofit, the file
# is ``models/cells/NAME.py``; ``pytest tests/models/cells`` then tests shapes, gradients and that
# nothing but the state remembers.


@register_cell("surround")
class Surround(Cell):
    """Suppression by what the neighbours did before: h = x - s a, a' = a + r (mean of h - a)."""

    def __init__(self, shapes: CellShapes, *, strength: float = 1.0, rate: float = 0.1) -> None:
        super().__init__(shapes)
        self.require_equal_channels()
        self.strength, self.rate = (nn.Parameter(torch.zeros(1)) for _ in range(2))
        self.initial = {"strength": strength, "rate": rate}

    def step(self, drive: Drive, fb: Tensor | None, state: State) -> tuple[Tensor, State]:
        """Return the output h, and the suppression a as the new state."""
        (x,), (suppression,) = drive, state
        h = x - self.strength * suppression
        nearby = avg_pool2d(h, 5, stride=1, padding=2, count_include_pad=False)
        return h, (suppression + self.rate * (nearby - suppression),)

    def initial_state(self, x: Tensor) -> State:
        """Return no suppression."""
        return (self.zeros(x),)

    def initialisers(self) -> Mapping[str, Initialiser]:
        """Return constants, which training may change."""
        return {name: Constant(value) for name, value in self.initial.items()}


# %%
# A network with the cell, and one without
# ----------------------------------------
# A layer is a convolution, nonlinearities, and a cell by its name. Both networks are otherwise the
# same, and so are their random kernels.


def build(name: str, cell: str, **options: Any) -> ConvRNN:
    """Return a ConvRNN of three convolutions, the last two with a cell."""

    def layers(n_classes: int) -> tuple[Layer, ...]:
        return (
            Layer("conv1", Conv(32, 5, stride=2), before_cell=("elu",)),
            Layer("conv2", Conv(48, 3), before_cell=("elu",), cell=cell, after_cell=("max_pool",)),
            Layer("conv3", Conv(64, 3), before_cell=("elu",), cell=cell, after_cell=("max_pool",)),
            Layer("readout", Conv(n_classes, 1), before_conv=("mean",)),
        )

    return assemble(name, layers, **options)


for cell in ("surround", "memoryless"):

    @neurofit.register_model(
        name=f"{cell}_example",
        cell=cell,
        family="tiny",
        region_layers={"V4": ("conv3",)},
        input_size=32,
        n_classes=10,
        presentations=presentations(4, Presentation(n_timesteps=10)),
        reference="this example",
        makes_weights=False,
    )
    def model(cell: str = cell, **options: Any) -> ConvRNN:
        """Example of a network with a new cell."""
        return build(f"{cell}_example", cell, **options)


# %%
# Scores
# ------
# One map for all time bins, so that changes over time have to come from the model. The window ends
# with the image: later the network without adaptation responds to the blank.

recording = neurofit.load_recording("hvm-sim", region="V4", window=(50, 120))
config = neurofit.ScoreConfig(time_mode="fixed", n_splits=3, n_halves=2)
results, courses = {}, {}
for cell in ("surround", "memoryless"):
    network = neurofit.create_model(f"{cell}_example", weights="random", seed=0)
    neurofit.validate_model(network)
    activations = neurofit.extract(network, recording.stimuli, layers=["conv3"])
    blocks = [activations.blocks["conv3", step] for step in range(16)]
    courses[cell] = [float(block.var(axis=0).mean()) for block in blocks]
    results[cell] = neurofit.score(activations, recording, config)
    print(f"{cell:12}", *(f"{value:5.2f}" for value in results[cell].curve.values[0]))
comparison = neurofit.compare(list(results.values()), windows=())
print(json.loads(comparison.attrs["conclusion"])[0])

# %%
# The figure has the variance over images of the units of conv3, relative to its largest value, and
# the scores.

with figures.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.6, 2.8), layout="constrained")
    for cell, course in courses.items():
        left.plot(
            [10 * step + 5 for step in range(16)], [v / max(course) for v in course], label=cell
        )
    left.set(xlabel="Model time from image onset (ms)", ylabel="Variance over images (relative)")
    figures.curves(results, right)
plt.show()

# %%
# What may not be concluded
# -------------------------
# - These weights are random. Whether suppression makes a trained network more like V4 is not
#   tested.
# - One seed is one network; other seeds have other scores.
# - A higher score would not show that V4 is suppressed by this equation.
