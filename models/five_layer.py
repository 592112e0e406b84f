"""The 5-layer nets of 2018: a base net with batch norm, and cells added in conv3 to conv5.

The base net keeps its width whatever the cell, so that cells add parameters; `feedforward_wide` and
`feedforward_deep` have those of the net with reciprocal gated cells and no recurrence. Names that
end in _5layer are for images of 128 pixels, those in _5layer_32 for 32 pixels, with an eighth of
the channels (docs/zoo.md, section 4.5; docs/claim.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from neurofit.activations.presentation import Presentation
from neurofit.models.catalogue import assemble, register_model
from neurofit.models.convrnn import ConvRNN, presentations
from neurofit.models.initialisers import GlorotUniform
from neurofit.models.layer import Conv, Layer, Op
from neurofit.models.normalisation import BatchNorm

WEIGHT_DECAY = 5e-4
"""Weight decay of all kernels and biases of the authors' files."""


@dataclass(frozen=True)
class Size:
    """Size of the images, and what follows from it.

    Parameters
    ----------
    suffix
        End of the names of the models.
    input_size, n_classes
        Height and width of the images in pixels; default number of classes.
    widths
        Channels of conv1 to conv5.
    first
        Kernel and stride of conv1.
    pooled
        Layers with max pooling, which halves the maps.
    readout
        Height and width of the maps of conv5, and of the kernel of the readout.
    n_timesteps, image_off
        Default presentation.
    norm
        Batch norm.
    wide
        Factor of the channels that gives a feedforward net the parameters of the RGC net.
    """

    suffix: str
    input_size: int
    n_classes: int
    widths: tuple[int, ...]
    first: tuple[int, int]
    pooled: tuple[int, ...]
    readout: int
    n_timesteps: int
    image_off: int | None
    norm: Callable[[int], BatchNorm]
    wide: float


LARGE = Size(
    suffix="5layer",
    input_size=128,
    n_classes=1000,
    widths=(64, 128, 256, 256, 512),
    first=(7, 2),
    pooled=(1, 2, 3, 4, 5),
    readout=2,
    n_timesteps=16,
    image_off=12,
    norm=partial(BatchNorm, momentum=1e-3, eps=1e-3),
    wide=2.76,
)
SMALL = Size(
    suffix="5layer_32",
    input_size=32,
    n_classes=10,
    widths=(8, 16, 32, 32, 64),
    first=(5, 1),
    pooled=(1, 2, 3, 5),
    readout=2,
    # The image is on for 100 ms, as in the recordings.
    n_timesteps=10,
    image_off=None,
    norm=BatchNorm,
    wide=3.02,
)

FEEDBACK = (("conv4", "conv3"), ("conv5", "conv3"), ("conv5", "conv4"))
"""(source, target) of the feedback connections, a choice of neurofit."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One net of the family.

    Parameters
    ----------
    summary
        Description in one line.
    cell, cell_options
        Cell in conv3 to conv5.
    before_cell, after_cell
        Operations around the cell, before pooling.
    wide
        Whether all layers have more channels, see `Size`.
    depth
        Number of convolutions in conv3, conv4 and conv5 each.
    feedback
        Feedback edges (source, target).
    """

    summary: str
    cell: str = "memoryless"
    cell_options: Mapping[str, Any] = field(default_factory=dict)
    before_cell: tuple[Op, ...] = ()
    after_cell: tuple[Op, ...] = ()
    wide: bool = False
    depth: int = 1
    feedback: Iterable[tuple[str, str]] = ()


_RGC = {"input_gate": False, "feedback_kernel": 3}
_VANILLA = {"norm": False}

VARIANTS: Mapping[str, Variant] = {
    "feedforward": Variant(
        summary="Base net: five convolutions with batch norm, without recurrence.",
        after_cell=("elu",),
    ),
    "feedforward_wide": Variant(
        summary="Base net with more channels: the parameters of the RGC net.",
        after_cell=("elu",),
        wide=True,
    ),
    "feedforward_deep": Variant(
        summary="Base net with six convolutions for each of conv3 to conv5: the parameters of RGC.",
        after_cell=("elu",),
        depth=6,
    ),
    "timedecay": Variant(
        summary="Base net with leaky integrators.", cell="timedecay", after_cell=("elu",)
    ),
    "simplernn": Variant(
        summary='Base net with SimpleRNN ("vanilla" recurrent) cells.',
        cell="simplernn",
        cell_options=_VANILLA,
    ),
    "rnn_bypass": Variant(
        summary="Base net with SimpleRNN cells with bypassing.",
        cell="simplernn",
        cell_options={**_VANILLA, "bypassing": True},
    ),
    "rnn_gating": Variant(
        summary="Base net with SimpleRNN cells with gating.",
        cell="simplernn",
        cell_options={**_VANILLA, "gating": True},
    ),
    "rnn_bypass_gating": Variant(
        summary="Base net with SimpleRNN cells with bypassing and gating.",
        cell="simplernn",
        cell_options={**_VANILLA, "bypassing": True, "gating": True},
    ),
    "gru": Variant(summary="Base net with GRUs.", cell="gru"),
    "lstm": Variant(summary="Base net with LSTMs.", cell="lstm"),
    "ugrnn": Variant(summary="Base net with UGRNNs.", cell="ugrnn"),
    "rgc": Variant(
        summary="Base net with the reciprocal gated cells of 2018.", cell="rgc", cell_options=_RGC
    ),
    "rgc_feedback": Variant(
        summary="Base net with reciprocal gated cells, and feedback among conv3 to conv5.",
        cell="rgc",
        cell_options=_RGC,
        feedback=FEEDBACK,
    ),
    "res3": Variant(
        summary="Base net with Res3 cells, residual blocks that are unrolled in time.",
        cell="res3",
        cell_options={"tau_out": 1.0},
        after_cell=("elu",),
    ),
    "egu": Variant(
        summary="Base net with efficient gated units.",
        cell="egu",
        before_cell=("swish",),
    ),
}


def layers_of(variant: Variant, size: Size, n_classes: int) -> tuple[Layer, ...]:
    """Return the layers of a variant; those of a deeper net are conv3_1, conv3_2, ..., conv3."""
    factor = size.wide if variant.wide else 1
    widths = [round(factor * width) for width in size.widths]

    def pool(number: int) -> tuple[Op, ...]:
        return ("max_pool_3",) if number in size.pooled else ()

    def conv(channels: int, kernel: int = 3, stride: int = 1) -> Conv:
        return Conv(channels, kernel, stride=stride, weight=GlorotUniform(), norm=size.norm)

    def first(number: int) -> Layer:
        kernel, stride = size.first if number == 1 else (3, 1)
        return Layer(
            f"conv{number}",
            conv(widths[number - 1], kernel, stride),
            before_cell=("elu",),
            after_cell=pool(number),
            weight_decay=WEIGHT_DECAY,
        )

    def recurrent(number: int, part: int) -> Layer:
        last = part == variant.depth
        return Layer(
            f"conv{number}" if last else f"conv{number}_{part}",
            conv(widths[number - 1]),
            before_cell=variant.before_cell,
            cell=variant.cell,
            cell_options=variant.cell_options,
            residual=part > 1,
            after_cell=(*variant.after_cell, *(pool(number) if last else ())),
            weight_decay=WEIGHT_DECAY,
        )

    return (
        first(1),
        first(2),
        *(recurrent(number, part) for number in (3, 4, 5) for part in range(1, variant.depth + 1)),
        Layer(
            "imnetds",
            Conv(n_classes, size.readout, padding="valid", weight=GlorotUniform()),
            weight_decay=WEIGHT_DECAY,
        ),
    )


def _register(stem: str, variant: Variant, size: Size) -> None:
    name = f"{stem}_{size.suffix}"
    n_layers = 3 + 3 * variant.depth
    shown = Presentation(n_timesteps=max(size.n_timesteps, n_layers + 1), image_off=size.image_off)

    def build(**options: Any) -> ConvRNN:
        return assemble(
            name,
            partial(layers_of, variant, size),
            feedback=variant.feedback,
            **options,
        )

    register_model(
        name=name,
        summary=variant.summary,
        family=size.suffix,
        cell=variant.cell,
        region_layers={"V4": ("conv3",), "IT": ("conv5",)},
        input_size=size.input_size,
        n_classes=size.n_classes,
        presentations=presentations(n_layers, shown),
        reference="Nayebi et al. 2018, Task-driven convolutional recurrent models of the visual "
        "system, NeurIPS; github.com/neuroailab/tnn, json/5L_imnet128_*.json",
    )(build)


for _stem, _variant in VARIANTS.items():
    for _size in (LARGE, SMALL):
        _register(_stem, _variant, _size)
