"""Features depend on the image alone, or are refused; the probe leaves no trace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neurofit
from neurofit.activations.extract import extract
from neurofit.activations.model import validate_model
from neurofit.errors import NeurofitError
from neurofit.models import wrap
from neurofit.models.images import image_settings

small = partial(wrap, input_size=16)


class Net(nn.Module):
    """A convolution, something in between, and a second convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = nn.Conv2d(3, 4, 3)
        self.b = nn.Conv2d(4, 4, 3)

    def between(self, maps: Tensor) -> Tensor:
        return maps

    def forward(self, images: Tensor) -> Tensor:
        maps: Tensor = self.b(self.between(self.a(images)))
        return maps


class Dropout(Net):
    def between(self, maps: Tensor) -> Tensor:
        return F.dropout(maps, 0.5)


class Noise(Net):
    def between(self, maps: Tensor) -> Tensor:
        return maps + 0.1 * torch.randn_like(maps)


class NumpyNoise(Net):
    def between(self, maps: Tensor) -> Tensor:
        return maps * float(np.random.default_rng().random())


class Carries(Net):
    """Adds a decaying mean of earlier batches of the same size."""

    state: Tensor | None = None

    def between(self, maps: Tensor) -> Tensor:
        if self.state is None or self.state.shape != maps.shape:
            self.state = torch.zeros_like(maps)
        self.state = 0.5 * (self.state + maps)
        return self.state


class InBuffer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.calls: Tensor

    def between(self, maps: Tensor) -> Tensor:
        self.calls += 1
        return maps * self.calls


class Centred(Net):
    def between(self, maps: Tensor) -> Tensor:
        return maps - maps.mean(dim=0, keepdim=True)


class Trains(Net):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4)

    def between(self, maps: Tensor) -> Tensor:
        self.norm.train()
        out: Tensor = self.norm(maps)
        return out


class Logarithm(Net):
    def between(self, maps: Tensor) -> Tensor:
        return maps.log()


class Infinite(Net):
    def between(self, maps: Tensor) -> Tensor:
        return maps / torch.zeros_like(maps)


class Fourier(Net):
    def __init__(self) -> None:
        super().__init__()
        self.b = Transform()  # type: ignore[assignment]


class Transform(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return torch.fft.fft2(maps)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Dropout, r"Dropout, layer b: the output for one image is random.*first in module b"),
        (Noise, r"Noise, layer b: the output for one image is random.*first in module b"),
        (NumpyNoise, r"layer b: the output for one image depends on the calls before it"),
        (Carries, r"layer b: the output for one image depends on the calls before it"),
        (InBuffer, r"layer b: the output for one image depends on the calls before it"),
        (Centred, r"layer b: the output for one image depends on the other images.*module b"),
        (Trains, r"Trains: the forward pass puts module norm into training mode"),
        (Logarithm, r"Logarithm, layer b: activations are not finite"),
        (Infinite, r"Infinite, layer b: activations are not finite"),
        (Fourier, r"Fourier, layer b: the output is complex"),
    ],
)
def test_features_that_depend_on_more_than_the_image_are_refused(
    module: type[Net], message: str
) -> None:
    net = module()
    with pytest.raises(NeurofitError, match=message) as error:
        small(net, ["b"])
    assert len(str(error.value).splitlines()) <= 2
    assert net.training
    if isinstance(net, Carries | InBuffer):  # the state of the probe is not kept
        assert net.state is None if isinstance(net, Carries) else float(net.calls) == 0


def test_batch_norm_without_stored_statistics_is_refused_and_in_training_mode_is_not() -> None:
    untracked = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    with pytest.raises(NeurofitError, match=r"other images of the batch \(first in module 1\)"):
        small(untracked, ["1"])
    tracked = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    model = small(tracked, ["1"])
    assert tracked.training
    assert tracked[1].num_batches_tracked == 0
    validate_model(model)


def test_validate_model_finds_a_model_whose_features_depend_on_the_batch() -> None:
    model = small(Net(), ["b"])
    net = model.module
    assert isinstance(net, Net)
    forward = net.between
    net.between = lambda maps: maps - maps.mean(0)  # type: ignore[method-assign]
    with pytest.raises(NeurofitError, match="layer b: the output for one image depends on the oth"):
        validate_model(model)
    net.between = forward  # type: ignore[method-assign]
    validate_model(model)


def scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))


def traced() -> nn.Module:
    trace: Any = torch.jit.trace
    traced: nn.Module = trace(nn.Sequential(nn.Conv2d(3, 4, 3)), torch.rand(1, 3, 16, 16))
    return traced


def compiled() -> nn.Module:
    return torch.compile(nn.Sequential(nn.Conv2d(3, 4, 3)))  # type: ignore[return-value]


def compiled_in_place() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    net[0].compile()
    return net


def exported() -> nn.Module:
    return torch.export.export(
        nn.Sequential(nn.Conv2d(3, 4, 3)), (torch.rand(2, 3, 16, 16),)
    ).module()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (scripted, "is scripted or traced, so that its layers cannot be recorded. Give the orig"),
        (traced, "is scripted or traced"),
        (compiled, "is compiled"),
        (compiled_in_place, "module 0 is compiled"),
        (exported, "is exported"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), "module 0: the parameter weight has no val"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, device="meta")), "weight has no values yet"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)).half(), r"weights of float16.*module\.float"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3)).bfloat16(), r"weights of bfloat16"),
    ],
)
def test_modules_that_cannot_be_recorded_are_refused(
    make: Callable[[], nn.Module], message: str
) -> None:
    with pytest.raises(NeurofitError, match=message) as error:
        small(make(), ["0"])
    assert len(str(error.value).splitlines()) == 1


@dataclass
class Output:
    said: str
    maps: Tensor


class InDataclass(nn.Module):
    def forward(self, maps: Tensor) -> Output:
        return Output("maps", 2 * maps)


class Sparse(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.relu().to_sparse()


class Quantised(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return torch.quantize_per_tensor(maps, 0.1, 0, torch.qint8)


class Counts(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return (maps * 10).int()


class Infers(nn.Module):
    """One step of gradient descent on a state, inside the forward pass."""

    def forward(self, maps: Tensor) -> Tensor:
        with torch.enable_grad():
            state = torch.zeros_like(maps).requires_grad_()
            (slope,) = torch.autograd.grad((maps.detach() - state).square().sum(), state)
        return -slope


class Linear(nn.Module):
    """A layer whose output has a gradient, although the caller wants none."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(4 * 14 * 14, 3)

    def forward(self, maps: Tensor) -> Tensor:
        with torch.enable_grad():
            out: Tensor = self.weights(maps.flatten(1))
        return out


def test_outputs_with_a_gradient_are_extracted(
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    last = Linear()
    model = small(nn.Sequential(nn.Conv2d(3, 4, 3), last), ["0", "1"])
    found = extract(model, make_recording().stimuli, time_bins=[(0, 10)], storage="memory")
    expected = nn.functional.linear(
        torch.from_numpy(found.blocks["0", 0]), *last.weights.parameters()
    )
    np.testing.assert_allclose(found.blocks["1", 0], expected.detach(), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*quantize:UserWarning", "ignore:.*quantiz:DeprecationWarning")
@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (InDataclass, lambda maps: 2 * maps),
        (Sparse, lambda maps: maps.relu()),
        (Quantised, lambda maps: 0.1 * (maps / 0.1).round().clamp(-128, 127)),
        (Counts, lambda maps: (maps * 10).int().float()),
        (Infers, lambda maps: 2 * maps),
    ],
)
def test_unusual_outputs_are_recorded_as_their_values(
    last: type[nn.Module],
    expected: Callable[[Tensor], Tensor],
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    model = small(nn.Sequential(conv, last()), ["0", "1"], name="unusual")
    found = extract(model, make_recording().stimuli, time_bins=[(0, 10)], storage="memory")
    maps = torch.from_numpy(found.blocks["0", 0])
    np.testing.assert_allclose(found.blocks["1", 0], expected(maps), rtol=1e-5, atol=1e-5)


def test_a_double_module_gives_the_features_of_its_float_twin(
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    stimuli, net = make_recording().stimuli, Net()
    single = extract(small(net, ["b"]), stimuli, time_bins=[(0, 10)], storage="memory")
    double = extract(small(net.double(), ["b"]), stimuli, time_bins=[(0, 10)], storage="memory")
    np.testing.assert_allclose(double.blocks["b", 0], single.blocks["b", 0], rtol=1e-4, atol=1e-5)


def test_a_hook_that_changes_the_output_is_seen_and_kept() -> None:
    net = Net()
    handle = net.b.register_forward_hook(lambda module, args, output: output + 1)
    images = torch.rand(2, 3, 16, 16)
    model = small(net, ["b"])
    with torch.no_grad():
        ((_, found),) = model.unroll(images)
        plain = nn.functional.conv2d(
            net.a((images - model.image_mean) / model.image_std), net.b.weight, net.b.bias
        )
    torch.testing.assert_close(found["b"], plain + 1)
    assert list(net.b._forward_hooks) == [handle.id]


class Caches(Net):
    """Keeps a grid of positions that the first forward pass makes."""

    grid: Tensor | None = None

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.grids: dict[int, Tensor] = {}

    def between(self, maps: Tensor) -> Tensor:
        self.seen.append(len(maps))
        self.grids[len(maps)] = maps
        if self.grid is None:
            self.grid = torch.linspace(0, 1, maps.shape[-1])
        return maps * self.grid


def test_the_module_comes_back_as_it_was(
    make_recording: Callable[..., neurofit.Recording],
) -> None:
    net = Caches().train()
    net.a.eval()
    net.a.weight.requires_grad_(False)
    net.b = nn.utils.parametrizations.weight_norm(net.b)
    net(torch.rand(2, 3, 16, 16)).sum().backward()
    net.grid = None
    net.seen, net.grids = [1], {}
    state = {key: values.clone() for key, values in net.state_dict().items()}
    gradients = {
        key: values.grad.clone()
        for key, values in net.named_parameters()
        if values.grad is not None
    }
    model = small(net, ["b"])
    assert net.grid is None
    assert (net.seen, net.grids) == ([1], {})
    extract(model, make_recording().stimuli, time_bins=[(0, 10)], storage="memory")
    assert [each.training for each in (net, net.a, net.b)] == [True, False, True]
    assert all(torch.equal(values, state[key]) for key, values in net.state_dict().items())
    trained = dict(net.named_parameters())
    assert gradients.keys() == {key for key, each in trained.items() if each.grad is not None}
    for key, each in gradients.items():
        own = trained[key].grad
        assert own is not None
        assert torch.equal(own, each)
    assert [key for key, each in trained.items() if not each.requires_grad] == ["a.weight"]
    assert not net.a._forward_hooks
    net(torch.rand(2, 3, 16, 16)).sum().backward()  # the grid that it kept can be trained with


def test_an_input_size_is_one_number() -> None:
    with pytest.raises(
        NeurofitError, match=r"input_size must be one number of pixels; got \(16, 8"
    ):
        image_settings(Net(), (16, 8))
    net = Net()
    net.pretrained_cfg = {"input_size": (3, 32, 16)}  # type: ignore[assignment]
    with pytest.raises(NeurofitError, match=r"states input_size \(3, 32, 16\)"):
        wrap(net, ["b"])
