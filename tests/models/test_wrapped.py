"""Any torch module keeps the contract once it is wrapped, or is refused with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neurofit
from neurofit.activations.extract import extract
from neurofit.activations.model import Model, validate_model
from neurofit.activations.presentation import NEURAL, Presentation
from neurofit.errors import NeurofitError
from neurofit.models import WrappedModel, wrap
from neurofit.recordings.stimuli import StimulusSet

SIZE = 16


class Recurrent(nn.Module):
    """Two areas with shared weights over `n_steps` steps; the second feeds back to the first."""

    def __init__(self, n_steps: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.n_steps = n_steps
        self.v4 = nn.Conv2d(3, 6, 3, padding=1)
        self.it = nn.Conv2d(6, 6, 3, padding=1)
        self.back = nn.Conv2d(6, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.readout = nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        it = images.new_zeros(len(images), 6, *images.shape[2:])
        for step in range(self.n_steps):
            v4 = self.v4(images) + (self.back(it) if step else 0)
            it = self.relu(self.it(self.relu(v4)))
        logits: Tensor = self.readout(it.mean(dim=(2, 3)))
        return logits


class Static(nn.Module):
    """A feedforward network with an operation in place, an unused branch and a tuple."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Dropout(0.5))
        self.unused = nn.Conv2d(4, 4, 1)
        self.several = Several()
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.several(self.relu(self.block(self.relu(self.norm(self.conv(images))))))[1]
        logits: Tensor = self.head(maps.mean(dim=(2, 3)))
        return logits


class Several(nn.Module):
    def forward(self, maps: Tensor) -> tuple[str, Tensor]:
        return "two", 2 * maps


def images(n: int = 3, *, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def small(module: nn.Module, layers: list[str], **options: object) -> WrappedModel:
    return wrap(module, layers, input_size=SIZE, **options)  # type: ignore[arg-type]


def steps(
    model: WrappedModel, shown: str | Presentation = "default", **options: object
) -> list[dict[str, Tensor]]:
    with torch.no_grad():
        unrolled = model.unroll(images(), shown, **options)  # type: ignore[arg-type]
        return [activations for _, activations in unrolled]


def test_every_call_of_a_shared_module_is_a_timestep() -> None:
    net = Recurrent().eval()
    model = small(net, ["v4", "it"], region_layers={"V4": ["v4"], "IT": ["it"]})
    assert isinstance(model, Model)
    assert model.recurrent
    assert {key: shown.n_timesteps for key, shown in model.presentations.items()} == {
        "default": 8,
        "neural": 8,
        "constant": 8,
    }
    validate_model(model)
    normalised = (images() - model.image_mean) / model.image_std
    it = torch.zeros(3, 6, SIZE, SIZE)
    with torch.no_grad():
        for timestep, activations in model.unroll(images()):
            v4 = net.v4(normalised)  # what the module itself gives: the feedback is added after it
            torch.testing.assert_close(activations["v4"], v4)
            it = net.it(F.relu(v4 + (net.back(it) if timestep else 0)))
            torch.testing.assert_close(activations["it"], it, rtol=1e-5, atol=1e-6)
            it = F.relu(it)
    assert timestep == 7


def test_a_layer_that_is_called_later_is_placed_by_hand() -> None:
    with pytest.raises(
        NeurofitError,
        match=r"has 8 timesteps and calls it 8 times, back 7 times\. "
        r".*first_call=\{'back': TIMESTEP\}",
    ):
        small(Recurrent(), ["it", "back"])
    model = small(Recurrent(), ["it", "back"], first_call={"back": 1})
    assert model.first_timestep == {"it": 0, "back": 1}
    validate_model(model)
    unrolled = steps(model)
    assert not unrolled[0]["back"].any()
    assert not torch.equal(unrolled[1]["back"], unrolled[2]["back"])


def test_after_its_last_call_a_layer_is_constant() -> None:
    model = small(Recurrent(2), ["it"], first_call={"it": 3})
    validate_model(model)
    unrolled = steps(model)
    assert len(unrolled) == 5
    assert [bool(step["it"].any()) for step in unrolled] == [False, False, False, True, True]
    mixed = small(Recurrent(3), ["it", "back"], first_call={"back": 0})
    assert torch.equal(steps(mixed)[2]["back"], steps(mixed)[1]["back"])
    validate_model(mixed)


def test_a_static_model_is_one_tensor_for_all_timesteps() -> None:
    net = Static().eval()
    model = small(net, ["conv", "block.0", "several"])
    assert not model.recurrent
    validate_model(model)
    unrolled = steps(model, NEURAL)
    assert len(unrolled) == 26
    for step in unrolled:
        assert all(step[layer] is unrolled[0][layer] for layer in model.layers)


def test_what_follows_a_layer_in_place_does_not_reach_it() -> None:
    net = Static().eval()
    model = small(net, ["norm"])
    with torch.no_grad():
        expected = net.norm(net.conv((images() - model.image_mean) / model.image_std))
    assert (expected < 0).any()
    torch.testing.assert_close(steps(model)[0]["norm"], expected)


class Stateful(nn.Module):
    """Stores its hidden state between steps, and resets it after the last recorded layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.take = nn.Conv2d(3, 3, 1)
        self.hidden = nn.Conv2d(3, 3, 1)
        self.out = nn.Conv2d(3, 3, 1)
        self.state: Tensor | None = None
        self.n_steps = 3

    def forward(self, images: Tensor) -> Tensor:
        for _ in range(self.n_steps):
            taken = self.take(images)
            self.state = torch.tanh(
                self.hidden(taken if self.state is None else taken + self.state)
            )
        result: Tensor = self.out(self.state)
        self.state = None
        return result


def test_a_module_that_stores_a_state_can_reset_it() -> None:
    net = Stateful()
    model = small(net, ["hidden", "out"], recurrent=True, first_call={"out": 2})
    validate_model(model)
    first, again = (steps(model, layers=["hidden"]) for _ in range(2))
    assert all(torch.equal(a["hidden"], b["hidden"]) for a, b in zip(first, again, strict=True))
    assert net.state is None
    assert not net.hidden._forward_hooks


def test_a_layer_may_be_asked_for_twice() -> None:
    model = small(Recurrent(), ["it", "v4"])
    once, twice = steps(model, layers=["it"]), steps(model, layers=["it", "it"])
    assert all(torch.equal(a["it"], b["it"]) for a, b in zip(once, twice, strict=True))


def test_a_layer_behind_a_recurrent_one_has_no_time_of_its_own() -> None:
    with pytest.raises(
        NeurofitError,
        match=r"has 8 timesteps and calls it 8 times, readout 1 time\. "
        r".*first_call=\{'readout': TIMESTEP\}",
    ):
        small(Recurrent(), ["it", "readout"])
    model = small(Recurrent(), ["it", "readout"], first_call={"readout": 7})
    assert model.first_timestep == {"it": 0, "readout": 7}
    assert not steps(model)[6]["readout"].any()


def test_another_number_of_calls_than_at_first_is_refused() -> None:
    net = Stateful()
    model = small(net, ["hidden"], recurrent=True)
    for net.n_steps in (2, 4):
        with pytest.raises(
            NeurofitError,
            match=rf"layer hidden: .* as often as the probe did, 3 times; got {net.n_steps}",
        ):
            steps(model)


def test_the_probe_leaves_no_trace() -> None:
    class Draws(Static):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images) + torch.rand(1)

    net = Draws().train()
    net.block.eval()
    generator = torch.random.get_rng_state()
    before = {name: values.clone() for name, values in net.state_dict().items()}
    assert small(net, ["conv"]).training
    assert net.training
    assert not net.block.training
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert all(torch.equal(values, before[name]) for name, values in net.state_dict().items())


def test_a_module_with_more_arguments_is_run_by_call() -> None:
    class Wants(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, images: Tensor, n_steps: int) -> Tensor:
            for _ in range(n_steps):
                images = images + 0.1 * F.pad(self.conv(images), (1, 1, 1, 1)).sum(
                    dim=1, keepdim=True
                )
            return images

    model = small(Wants(), ["conv"], call=lambda module, shown: module(shown, n_steps=4))
    assert len(steps(model)) == 4
    assert model(images()).shape == images().shape


def test_a_float64_module_is_wrapped_as_such() -> None:
    model = small(Static().double(), ["conv"])
    with torch.no_grad():
        ((_, activations),) = model.unroll(images().double())
    assert activations["conv"].dtype == torch.float64


@pytest.mark.parametrize(
    ("module", "layers", "options", "message"),
    [
        (Static, ["blok.0"], {}, r"Static has no submodule 'blok.0'; nearest of 9: block.0"),
        (Static, ["unused"], {}, r"layer unused: the forward pass never calls it"),
        (Static, ["conv", "conv"], {}, r"layers must not repeat a name; got conv, conv"),
        (Static, [], {}, r"the number of layers must be at least 1; got 0"),
        (Static, "conv", {}, "layers must be a list of names; got the string 'conv'"),
        (Static, ["conv"], {"std": (1.0, 0.0, 1.0)}, r"std positive values; got"),
        (
            Static,
            ["relu"],
            {},
            r"layer relu: its 2 calls return different shapes \(\(4, 12, 12\), \(4, 14, 14\)\)",
        ),
        (
            Static,
            ["conv"],
            {"recurrent": True},
            r"Static is not recurrent in these layers: each layer is called once",
        ),
        (
            Static,
            ["conv"],
            {"region_layers": {"V4": ["cnv"]}},
            r"Unknown layer for V4 of Static 'cnv'. Did you mean 'conv'",
        ),
        (
            Static,
            ["conv"],
            {"first_call": {"cnv": 1}},
            r"Unknown layer in first_call of Static 'cnv'",
        ),
        (Static, ["conv"], {"first_call": {"conv": -1}}, r"first_call must be 0 or more; got -1"),
        (Recurrent, ["relu"], {}, r"layer relu: a module without weights that is called 16 times"),
        (
            Recurrent,
            ["it"],
            {"recurrent": False},
            r"is not static: it is called 8 times in one forward pass",
        ),
        (
            Recurrent,
            ["v4"],
            {},
            (
                r"not recurrent in these layers: v4 returns the same at every call\. "
                r"Record a layer that changes"
            ),
        ),
    ],
)
def test_a_wrong_use_names_the_rule(
    module: type[nn.Module], layers: list[str], options: dict[str, object], message: str
) -> None:
    with pytest.raises(NeurofitError, match=message) as error:
        small(module(), layers, **options)
    assert len(str(error.value).splitlines()) <= 2


def test_a_recurrent_module_has_its_own_presentation() -> None:
    model = small(Recurrent(), ["it"])
    assert len(steps(model, Presentation(n_timesteps=3))) == 3
    for shown in (NEURAL, Presentation(n_timesteps=8, image_off=4)):
        with pytest.raises(
            NeurofitError,
            match="has 8 timesteps in one forward pass, "
            "with the image always on; got a presentation of",
        ):
            model.unroll(images(), shown)
    with pytest.raises(NeurofitError, match=r"takes images in \[0, 1\]"):
        model.unroll(images() + 1)


def test_gradients_flow_to_the_module() -> None:
    net = Recurrent()
    model = small(net, ["it"])
    loss = sum(activations["it"].square().mean() for _, activations in model.unroll(images()))
    assert isinstance(loss, Tensor)
    loss.backward()  # type: ignore[no-untyped-call]
    assert net.v4.weight.grad is not None
    assert net.back.weight.grad is not None


def test_static_activations_are_stored_once(
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    stimuli: StimulusSet = make_recording().stimuli
    activations = extract(
        small(Static(), ["conv"]),
        stimuli,
        time_bins=[(10 * step, 10 * step + 10) for step in range(26)],
        batch_size=4,
    )
    blocks = {id(activations.blocks[key]) for key in activations.blocks}
    assert len(activations.blocks) == 26
    assert len(blocks) == 1
    assert activations.features("conv", (30, 55)) is activations.blocks["conv", 0]
    assert activations.covered("conv", [(0, 10), (250, 260)]).all()
