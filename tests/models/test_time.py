"""Where in time the outputs of a network belong, beside loops in plain torch and theory."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from neurofit.activations.model import validate_model
from neurofit.activations.presentation import Presentation
from neurofit.activations.screen import GRAY
from neurofit.errors import NeurofitError
from neurofit.models import WrappedModel, wrap
from neurofit.models.clips import Clip

SIZE = 16

small = partial(wrap, input_size=SIZE)


def images(n: int = 3) -> Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5))


def normalised(model: WrappedModel, values: Tensor) -> Tensor:
    return (values - model.image_mean) / model.image_std


def steps(model: WrappedModel, shown: str | Presentation = "default") -> list[dict[str, Tensor]]:
    with torch.no_grad():
        return [found for _, found in model.unroll(images(), shown)]


class Listed(nn.Module):
    """Returns the states of its area as a list, or as a tensor (batch time channel)."""

    def __init__(self, n_steps: int = 5, *, stacked: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.n_steps, self.stacked = n_steps, stacked
        self.v4 = nn.Conv2d(3, 4, 3, padding=1)
        self.core = Core(n_steps, stacked=stacked)

    def forward(self, shown: Tensor) -> object:
        return self.core(self.v4(shown).mean(dim=(2, 3)))


class Core(nn.Module):
    def __init__(self, n_steps: int, *, stacked: bool) -> None:
        super().__init__()
        self.n_steps, self.stacked = n_steps, stacked
        self.weights = nn.Parameter(torch.randn(4, 4))

    def forward(self, drive: Tensor) -> Tensor | list[Tensor]:
        states = [drive]
        for _ in range(self.n_steps - 1):
            states.append(torch.tanh(drive + states[-1] @ self.weights))
        return torch.stack(states, dim=1) if self.stacked else states


@pytest.mark.parametrize("layer", ["core", "forward"])
@pytest.mark.parametrize("stacked", [False, True])
def test_a_list_over_time_is_timesteps(layer: str, stacked: bool) -> None:
    net = Listed(stacked=stacked).eval()
    model = small(net, [layer], time=1 if stacked else "auto")
    assert model.recurrent
    validate_model(model)
    found = steps(model)
    with torch.no_grad():
        drive = net.v4(normalised(model, images())).mean(dim=(2, 3))
        state = drive
        for timestep in range(5):
            torch.testing.assert_close(found[timestep][layer], state)
            state = torch.tanh(drive + state @ net.core.weights)
    assert len(found) == 5
    way = "places on axis 1" if stacked else "entries of a list"
    assert model.timing == {"time": {layer: f"5 {way}, at 0 ms and every 10 ms"}}


def test_a_list_over_time_is_chosen_and_can_be_taken_for_a_single_output() -> None:
    assert small(Listed()).layers == ("core", "forward")
    assert not small(Listed(), ["core"], time="calls").recurrent
    assert not small(Listed(stacked=True), ["core"]).recurrent  # an axis has to be named
    with pytest.raises(NeurofitError, match="layer v4: the output has no axis 4 of timesteps"):
        small(Listed(stacked=True), ["v4"], time=4)
    with pytest.raises(NeurofitError, match=r"Unknown place of timesteps .time. 'output'. Did you"):
        small(Listed(), time="output")


class Frames(nn.Module):
    """Sees a frame at each step: features of all frames at once, then a cell, then a readout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.eye = nn.Conv2d(3, 4, 3, padding=1)
        self.cell = nn.GRUCell(4, 6)
        self.rnn = nn.GRU(6, 5, batch_first=True)
        self.slow = nn.GRU(5, 5)
        self.within = nn.Linear(6, 6)

    def forward(self, clip: Tensor) -> Tensor:
        n, t = clip.shape[:2]
        seen = self.eye(clip.flatten(0, 1)).relu().mean(dim=(2, 3)).unflatten(0, (n, t))
        state = seen.new_zeros(n, 6)
        states = []
        for step in range(t):
            state = self.cell(seen[:, step], self.within(state))
            states.append(state)
        out: Tensor = self.rnn(torch.stack(states, dim=1))[0]
        return self.slow(out.transpose(0, 1))[0]  # type: ignore[no-any-return]


@pytest.mark.filterwarnings(
    "ignore:.*layer within. the output is the same for all images at timestep 0"
)
@pytest.mark.parametrize("after", ["gray", "black"])
def test_a_network_of_frames_sees_the_frame_of_each_timestep(after: str) -> None:
    net = Frames().eval()
    model = small(
        net,
        ["eye", "cell", "rnn", "slow", "within"],
        ms_per_timestep=20,
        clip=Clip(frames=9, after=after),
    )
    assert model.clip == Clip(frames=9, axis=1, after=after)
    ways = {"eye": "batch", "cell": "calls", "rnn": 1, "slow": "first", "within": "calls"}
    assert model.ways == ways
    validate_model(model)
    shown = Presentation(
        n_timesteps=9, image_off=4, blank={"gray": GRAY, "black": 0.0}[after], blank_space="pixel"
    )
    assert model.presentations["neural"] == replace(shown, image_off=5)  # 100 ms
    found = steps(model, shown)
    blank = torch.full((3, 3, SIZE, SIZE), GRAY if after == "gray" else 0.0)
    state, h, g = torch.zeros(3, 6), torch.zeros(1, 3, 5), torch.zeros(1, 3, 5)
    with torch.no_grad():
        for timestep in range(9):
            frame = normalised(model, images() if timestep < 4 else blank)
            maps = net.eye(frame)
            within = net.within(state)  # at the first timestep the same for all images
            state = net.cell(maps.relu().mean(dim=(2, 3)), within)
            out, h = net.rnn(state[:, None], h)
            last, g = net.slow(out.transpose(0, 1), g)
            for layer, expected in zip(
                ways, (maps, state, out[:, 0], last[0], within), strict=True
            ):
                torch.testing.assert_close(found[timestep][layer], expected, rtol=1e-4, atol=1e-5)


def test_an_image_comes_on_after_the_onset_and_is_off_when_it_is_said() -> None:
    net = Frames().eval()
    clip = Clip(frames=8, onset_ms=30, offset_ms=20)
    model = small(net, ["eye"], clip=clip)
    assert model.presentations["neural"].image_off == 2
    assert model.presentations["neural"].n_timesteps == 5
    found = steps(model, "neural")
    with torch.no_grad():
        seen = net.eye(normalised(model, images()))
        gray = net.eye(normalised(model, torch.full((3, 3, SIZE, SIZE), GRAY)))
    assert [torch.allclose(each["eye"], seen, atol=1e-5) for each in found] == 2 * [True] + 3 * [
        False
    ]
    torch.testing.assert_close(found[2]["eye"], gray)
    with pytest.raises(NeurofitError, match=r"one of the 8 frames of 10 ms; got onset=35 ms"):
        small(net, ["eye"], clip=replace(clip, onset_ms=35))
    with pytest.raises(NeurofitError, match=r"Sequential takes no 4 frames .batch time channel"):
        small(nn.Sequential(nn.Conv2d(3, 4, 3)), ["0"], clip=Clip(frames=4))


class Video(nn.Module):
    """Convolutions over time, with receptive fields worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a = conv(3, kernel=3)
        self.b = conv(4, kernel=3, stride=2)
        self.c = conv(4, kernel=3)
        self.causal = conv(4, kernel=3, padding=0)
        self.all = nn.Linear(4, 3)

    def forward(self, clip: Tensor) -> Tensor:
        maps = self.c(self.b(self.a(clip)))
        late = self.causal(nn.functional.pad(maps, (0, 0, 0, 0, 2, 0)))
        out: Tensor = self.all(late.mean(dim=(2, 3, 4)))
        return out


def conv(n: int, *, kernel: int, stride: int = 1, padding: int = 1) -> nn.Conv3d:
    return nn.Conv3d(n, 4, (kernel, 3, 3), stride=(stride, 2, 2), padding=(padding, 1, 1))


def test_outputs_of_a_video_network_are_placed_by_stride_and_receptive_field() -> None:
    net = Video().eval()
    model = small(net, [*"abc", "causal", "all"], ms_per_timestep=20, clip=Clip(frames=20))
    assert model.clip is not None
    assert model.clip.axis == 2
    # Sizes, strides and fields by r -> r + (k - 1) * jump, and jump -> jump * stride.
    expected = {"a": (20, 1, 3), "b": (10, 2, 5), "c": (10, 2, 9), "causal": (10, 2, 13)}
    for layer, (n_outputs, stride, field) in expected.items():
        found = model.frame_times[layer]
        assert (found.way, found.n_outputs, found.stride, found.field) == (
            2, n_outputs, stride, field,
        )  # fmt: skip
    centred = [model.frame_times[layer].first for layer in "abc"]
    assert centred == [0, 0, 0]  # padded by half of each kernel
    assert model.frame_times["causal"].first == -2  # its centre lies 2 frames before that of c
    assert model.frame_times["all"].n_outputs == 1
    assert "for the whole clip" in model.frame_times["all"].describe(20, 0)
    validate_model(model)
    with torch.no_grad():
        clip = normalised(model, images())[:, :, None].repeat(1, 1, 20, 1, 1)
        c = net.c(net.b(net.a(clip)))
        for timestep, shown in enumerate(steps(model)):
            nearest = min(9, (timestep + 1) // 2)  # output j is at frame 2 j; halves go up
            torch.testing.assert_close(shown["c"], c[:, :, nearest], rtol=1e-4, atol=1e-5)


def test_a_receptive_field_longer_than_the_clip_is_said() -> None:
    net = nn.Sequential(conv(3, kernel=9, padding=4), conv(4, kernel=9, stride=2, padding=4))
    model = small(net.eval(), ["0", "1"], clip=Clip(frames=8))
    found = model.frame_times["1"]
    assert (found.field, found.first, found.stride) == (0, 0.5, 2)  # 2, 4 ... frames each
    assert "receptive field longer than the clip; spread evenly" in found.describe(20, 0)


def test_units_of_a_vector_and_tokens_of_space_and_time_are_not_taken_for_time() -> None:
    class Head(nn.Module):
        def __init__(self, n_classes: int) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, stride=2)
            self.head = nn.Linear(8 * 16, n_classes)

        def forward(self, clips: Tensor) -> Tensor:
            batch, time = clips.shape[:2]
            maps = self.conv(clips.flatten(0, 1)).relu().mean((2, 3))
            logits: Tensor = self.head(maps.reshape(batch, time * 8))
            return logits

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Conv3d(3, 16, (2, 8, 8), stride=(2, 8, 8))
            self.mix = nn.Linear(16, 16)

        def forward(self, clips: Tensor) -> Tensor:
            tokens: Tensor = self.mix(self.embed(clips).flatten(2).transpose(1, 2))
            return tokens  # 8 times 16 places

    for seed in range(8):
        torch.manual_seed(seed)
        frames = Clip(frames=16, axis=1)
        model = wrap(Head(2), ["head"], input_size=16, clip=frames, ms_per_timestep=20)
        assert model.frame_times["head"].n_outputs == 1
    tokens = Clip(frames=16, axis=2)
    model = wrap(Tokens(), ["embed", "mix"], input_size=32, clip=tokens, ms_per_timestep=20)
    assert model.frame_times["embed"].n_outputs == 8
    assert model.frame_times["mix"].n_outputs == 1


@pytest.mark.filterwarnings("ignore:.*the output is the same for all images at timestep 0")
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (4, 4), (5, 4)])
def test_a_causal_output_has_seen_no_later_frame(kernel: int, stride: int) -> None:
    class Causal(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv3d(3, 4, (kernel, 4, 4), stride=(stride, 4, 4))

        def forward(self, clips: Tensor) -> Tensor:
            maps: Tensor = self.conv(nn.functional.pad(clips, (0, 0, 0, 0, kernel - stride, 0)))
            return maps

    torch.manual_seed(0)
    frames = Clip(frames=16, axis=2)
    net = Causal().eval()
    model = small(net, ["conv"], clip=frames, ms_per_timestep=20)
    times = model.frame_times["conv"]
    for frame in range(stride - 1, 16):
        assert stride * (times.output_at(frame) + 1) - 1 <= frame  # its last frame
    assert model.first_timestep == {"conv": stride - 1}  # before it no output has been made
    validate_model(model)
    made = steps(model)
    late = small(net, ["conv"], clip=replace(frames, onset_ms=40), ms_per_timestep=20)
    assert late.first_timestep == {"conv": 1}  # frame 3 ends the first output that sees the image
    with torch.no_grad():
        clip = normalised(model, images())[:, :, None].repeat(1, 1, 16, 1, 1)
        outputs = net.conv(nn.functional.pad(clip, (0, 0, 0, 0, kernel - stride, 0)))
        for timestep, found in enumerate(made):
            number = (timestep + 1) // stride - 1
            expected = outputs[:, :, number] if number >= 0 else torch.zeros_like(outputs[:, :, 0])
            torch.testing.assert_close(found["conv"], expected, rtol=1e-4, atol=1e-5)


def test_a_frame_lasts_as_long_as_the_kind_of_network_needs_to_outlast_a_recording() -> None:
    assert small(Video(), ["a"]).ms_per_timestep == 20  # 16 frames are 320 ms
    assert small(Video(), ["a"], ms_per_timestep=40).ms_per_timestep == 40
    assert small(Frames(), ["eye"]).ms_per_timestep == 10  # 26 frames are 260 ms
    assert small(nn.Sequential(nn.Conv2d(3, 2, 3)), ["0"]).ms_per_timestep == 10
