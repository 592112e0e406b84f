"""Architectures as data: a ConvRNN that is built from one description in JSON.

The description is stored with the weights (`neurofit.models.save_weights`), so that a model file
needs no registered model: `file:PATH` is its name in every command (docs/searches.md).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from neurofit.activations.presentation import Presentation
from neurofit.errors import NeurofitError, check_option
from neurofit.models.cells import CELLS
from neurofit.models.convrnn import UNROLLS, ConvRNN, presentations
from neurofit.models.decoders import DECODERS
from neurofit.models.initialisers import GlorotUniform
from neurofit.models.layer import Conv, Layer, Op
from neurofit.models.normalisation import BatchNorm
from neurofit.models.weight_files import ARCHITECTURE, parse_metadata, read_weights

FORMAT = 1
"""Version of the description."""

LARGEST = 4096
"""Largest whole number of a description, so that a damaged file does not fill the memory."""

MOST_LAYERS = 64

WEIGHT_DECAY = 5e-4
"""Weight decay of all kernels and biases, that of the 5-layer nets."""

AROUND: Mapping[str, tuple[tuple[Op, ...], tuple[Op, ...]]] = {
    "memoryless": ((), ("elu",)),
    "timedecay": ((), ("elu",)),
    "res3": ((), ("elu",)),
    "egu": (("swish",), ()),
}
"""Cells without a nonlinearity of their own -> operations before and after them."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A layer of an architecture: a convolution with batch norm, a cell, and pooling.

    Parameters
    ----------
    name
        Name of the layer.
    channels
        Channels of its output.
    kernel, stride
        Size and stride of the kernel, in pixels.
    cell, options
        Registered name of the cell, and its options.
    pool
        Whether 3 x 3 max pooling halves the maps.
    """

    name: str
    channels: int
    kernel: int
    stride: int = 1
    cell: str = "memoryless"
    options: Mapping[str, Any] = field(default_factory=dict)
    pool: bool = False


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A ConvRNN as data.

    Parameters
    ----------
    stages
        Layers in feedforward order, without the readout, which is the mean over the last maps and
        a 1 x 1 convolution.
    feedback
        Feedback edges, (source, target).
    region_layers
        Area -> layers that are compared with it.
    input_size, n_classes
        Height and width of the images in pixels; length of the logits.
    timesteps, image_on
        Length of the presentation in training, and of the image in it.
    decoder, unroll
        See `neurofit.models.convrnn.ConvRNN`.
    ms_per_timestep, visual_degrees
        See `neurofit.activations.model.Model`.

    Raises
    ------
    NeurofitError
        Naming the field that is wrong.
    """

    stages: tuple[Stage, ...]
    feedback: tuple[tuple[str, str], ...] = ()
    region_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    input_size: int = 32
    n_classes: int = 10
    timesteps: int = 10
    image_on: int = 10
    decoder: str = "last"
    unroll: str = "biological"
    ms_per_timestep: int = 10
    visual_degrees: float = 8.0

    def __post_init__(self) -> None:
        check_option("decoder", self.decoder, DECODERS)
        check_option("unroll", self.unroll, UNROLLS)
        if not 1 <= len(self.stages) <= MOST_LAYERS:
            raise NeurofitError(
                f"stages of an architecture must be 1 to {MOST_LAYERS}; got {len(self.stages)}."
            )
        names = [stage.name for stage in self.stages]
        for stage in self.stages:
            check_option(f"cell of {stage.name}", stage.cell, CELLS)
        for edge in self.feedback:
            for end in edge:
                check_option("layer of feedback", end, names)
        for layers in self.region_layers.values():
            for layer in layers:
                check_option("layer of region_layers", layer, names)
        parts: tuple[Any, ...] = (self, *self.stages)
        for what in parts:
            for each in fields(what):
                value = getattr(what, each.name)
                if isinstance(value, int) and not isinstance(value, bool):
                    _check_size(each.name, value)
        if self.image_on > self.timesteps:
            raise NeurofitError(
                f"image_on of an architecture must be at most timesteps, {self.timesteps}; "
                f"got {self.image_on}."
            )

    @property
    def sha256(self) -> str:
        """Hash of the description."""
        canonical = json.dumps(self.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def name(self) -> str:
        """Name of the model: net_, and the start of the hash."""
        return f"net_{self.sha256[:12]}"

    def as_json(self) -> dict[str, Any]:
        """Return the description in types of JSON."""
        described: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **asdict(self)}))
        return described

    def build(self, *, seed: int | None = 0) -> ConvRNN:
        """Return the network, with random weights; None leaves them at zero for loading.

        Raises
        ------
        NeurofitError
            If the layers do not fit together.
        """
        readout = Layer(
            "readout",
            Conv(self.n_classes, 1, weight=GlorotUniform()),
            before_conv=("mean",),
            weight_decay=WEIGHT_DECAY,
        )
        shown = Presentation(
            n_timesteps=self.timesteps,
            image_off=self.image_on if self.image_on < self.timesteps else None,
        )
        try:
            network = ConvRNN(
                self.name,
                [*map(_layer, self.stages), readout],
                feedback=self.feedback,
                region_layers=self.region_layers,
                input_size=self.input_size,
                visual_degrees=self.visual_degrees,
                presentations=presentations(len(self.stages) + 1, shown),
                decoder=self.decoder,
                unroll=self.unroll,
                ms_per_timestep=self.ms_per_timestep,
                seed=seed,
            )
        except (TypeError, ValueError, AttributeError) as error:  # an option of a cell
            raise NeurofitError(f"The architecture {self.name} cannot be built: {error}") from error
        network.architecture = self.as_json()  # type: ignore[assignment]  # saved with the weights
        return network


def architecture_of(described: Mapping[str, Any], *, source: str = "An architecture") -> Any:
    """Return the architecture of a description in JSON.

    Parameters
    ----------
    described
        What `Architecture.as_json` returns.
    source
        What is described, for messages.

    Raises
    ------
    NeurofitError
        If a field is unknown, missing or of the wrong type.
    """
    given = dict(described)
    if (version := given.pop("format", None)) != FORMAT:
        raise NeurofitError(f"{source} must have format {FORMAT}; got {version!r}.")
    try:
        stages = tuple(_made(Stage, dict(stage), source) for stage in given.pop("stages"))
        edges = tuple((str(one), str(two)) for one, two in given.pop("feedback", ()))
        regions = {
            str(region): tuple(map(str, layers))
            for region, layers in dict(given.pop("region_layers", {})).items()
        }
    except (KeyError, TypeError, ValueError) as error:
        raise NeurofitError(
            f"{source} needs stages, feedback as pairs of layers, and region_layers as lists: "
            f"{error}."
        ) from error
    rest = {"stages": stages, "feedback": edges, "region_layers": regions}
    return _made(Architecture, {**given, **rest}, source)


def read_architecture(path: str | Path) -> Architecture:
    """Return the architecture of a model file (.safetensors), or of its description (.json).

    Raises
    ------
    NeurofitError
        If the file is missing or damaged, or has no architecture.
    """
    path = Path(path)
    if path.suffix == ".json":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise NeurofitError(f"Cannot read {path}: {error}.") from error
    else:
        text = read_weights(path)[1].get(ARCHITECTURE, "")
        if not text:
            raise NeurofitError(
                f"{path} has weights without an architecture: give it with --weights, and the "
                "model that it belongs to with --model."
            )
    described = parse_metadata(text, f"The architecture of {path}")
    found: Architecture = architecture_of(described, source=f"The architecture of {path}")
    return found


def with_options(architecture: Architecture, **changes: Any) -> Architecture:
    """Return an architecture with other fields; an unknown one is refused."""
    known = [each.name for each in fields(Architecture) if each.name != "stages"]
    for name in changes:
        check_option(f"option of {architecture.name}", name, known)
    source = f"An option of {architecture.name}"
    found: Architecture = architecture_of({**architecture.as_json(), **changes}, source=source)
    return found


def _layer(stage: Stage) -> Layer:
    before, after = AROUND.get(stage.cell, ((), ()))
    return Layer(
        stage.name,
        Conv(
            stage.channels,
            stage.kernel,
            stride=stage.stride,
            weight=GlorotUniform(),
            norm=BatchNorm,
        ),
        before_cell=before,
        cell=stage.cell,
        cell_options=stage.options,
        after_cell=(*after, *(("max_pool_3",) if stage.pool else ())),
        weight_decay=WEIGHT_DECAY,
    )


def _made(kind: Any, given: Mapping[str, Any], source: str) -> Any:
    """Return a dataclass of values whose simple types are checked."""
    hints = get_type_hints(kind)
    given = dict(given)
    for name, value in given.items():
        wanted = hints[check_option(f"field of {source}", name, hints)]
        if wanted is float and type(value) is int:
            given[name] = value = float(value)
        if wanted in (int, str, bool, float) and type(value) is not wanted:
            raise NeurofitError(f"{source}: {name} must be {wanted.__name__}; got {value!r}.")
    options = given.get("options", {})
    if not isinstance(options, Mapping):
        raise NeurofitError(f"{source}: options of a cell must be a table; got {options!r}.")
    for name, value in options.items():
        if isinstance(value, int) and not isinstance(value, bool):
            _check_size(name, value)
        plain = (str, int, float, bool)
        if not isinstance(value, (*plain, Sequence)):
            raise NeurofitError(f"{source}: {name} of a cell must be a plain value; got {value!r}.")
    try:
        return kind(**given)
    except TypeError as error:
        raise NeurofitError(f"{source}: {error}.") from error


def _check_size(name: str, value: int) -> None:
    if not 1 <= value <= LARGEST:
        raise NeurofitError(
            f"{name} of an architecture must lie between 1 and {LARGEST}; got {value}."
        )
