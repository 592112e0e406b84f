"""A network of one's own, from a file or a module, is a model by the name of its function."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch
import xarray as xr

import neurofit
from neurofit.errors import NeurofitError
from neurofit.models import save_weights

CODE = '''
import torch
from torch import nn

from beside import CHANNELS


class Net(nn.Module):
    """An area with recurrent connections within it, fed by another."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.v4 = nn.Conv2d(3, CHANNELS, 7, stride=4)
        self.it = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)

    def forward(self, images):
        drive = torch.relu(self.v4(images))
        state = drive
        for _ in range(self.steps):
            state = torch.relu(drive + self.it(state))
        return state.mean(dim=(2, 3))


def make(steps=12, input_size=64):
    return Net(steps)


def nothing():
    return "a net"


def broken():
    raise ValueError("no such thing")


def wants(a, b, *, c, d=1):
    return Net(a)


made = Net(2)
'''


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a network into a file, with another file beside it."""
    (tmp_path / "beside.py").write_text("CHANNELS = 4\n")
    (tmp_path / "my_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my_net.py"


def test_a_function_in_a_file_is_a_recurrent_model(file: Path) -> None:
    model = neurofit.create_model("./my_net.py:make?steps=6&input_size=32&ms_per_timestep=20")
    assert model.name == "my_net.py:make?steps=6&input_size=32&ms_per_timestep=20"
    assert (model.input_size, model.ms_per_timestep) == (32, 20)
    assert model.layers == ("it", "forward:add", "forward:relu_1")  # what is called at each step
    shown = torch.rand(2, 3, 32, 32)
    drive = torch.relu(model.module.v4((shown - model.image_mean) / model.image_std))
    state = drive
    for _, found in model.unroll(shown):
        torch.testing.assert_close(found["it"], model.module.it(state))
        state = torch.relu(drive + found["it"])
        torch.testing.assert_close(found["forward:relu_1"], state)
    assert model.timeline.n_timesteps == 6
    assert model.provenance["file_sha256"] == sha256(file.read_bytes()).hexdigest()
    assert model.weights_origin.startswith("weights as its function makes them")


def test_the_seed_and_a_file_decide_the_weights(file: Path, tmp_path: Path) -> None:
    make = neurofit.create_model
    one, two, other = (make("my_net.py:make", seed=seed).module.v4.weight for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    path = tmp_path / "w.safetensors"
    save_weights(make("my_net.py:make", seed=2).module, path)
    loaded = make("my_net.py:make", weights=path)
    assert torch.equal(loaded.module.v4.weight, other)
    assert loaded.weights_origin == f"weights of {path}"


def test_a_function_in_a_module_and_a_model_of_neurofit_are_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "nets_of_mine.py").write_text(
        "import neurofit\nfrom torch import nn\n\n\ndef make():\n"
        "    return neurofit.wrap(nn.Sequential(nn.Conv2d(3, 4, 3)), ['0'], input_size=16,\n"
        "                         region_layers={'IT': ['0']})\n"
    )
    model = neurofit.create_model("nets_of_mine:make")
    assert model.region_layers == {"IT": ("0",)}
    assert model.provenance["source"] == "nets_of_mine:make"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my_net.py:mak", r"Unknown function of my_net.py 'mak'\. Did you mean 'make'"),
        (
            "my_net.py:make?step=3",
            r"Unknown option of my_net.py:make 'step'\. Did you mean 'steps'",
        ),
        ("my_net.py:nothing", r"must return a torch module or a neurofit model; it returned str"),
        ("my_net.py:broken", r"my_net.py:broken cannot be built: ValueError: no such thing"),
        (
            "my_net.py",
            r"by the function that returns it, as my_net.py:FUNCTION; got 'my_net.py'\. "
            r"It defines Net, make, nothing, broken, wants",
        ),
        ("./my_net.py:make()", r"as ./my_net.py:FUNCTION; got './my_net.py:make\(\)'"),
        ("absent.py", r"as absent.py:FUNCTION; got 'absent.py'\.$"),
        (
            "my_net.py:wants?a=1",
            r"my_net.py:wants takes b and c: give a value in the name, as "
            r"my_net.py:wants\?b=VALUE&c=VALUE\.",
        ),
        ("absent.py:make", r"There is no file absent.py; a model is named as FILE.py:FACTORY"),
        ("absent_package.nets:make", r"There is no Python module 'absent_package' here"),
        ("tim:resnet18", r"Unknown source of models 'tim'\. Did you mean 'timm:NAME'"),
        ("hff:a/b.c", r"Unknown source of models 'hff'\. Did you mean 'hf:NAME'"),
        ("baseline:pixel", r"Unknown model 'baseline:pixel'\. Did you mean 'baseline:pixels'"),
    ],
)
def test_wrong_names_are_answered(file: Path, name: str, message: str) -> None:
    with pytest.raises(NeurofitError, match=message) as error:
        neurofit.create_model(name)
    assert len(str(error.value).splitlines()) <= 2


def test_a_network_that_the_file_has_made_is_taken(file: Path) -> None:
    model, again, other = (
        neurofit.create_model("my_net.py:made?input_size=32", seed=seed) for seed in (3, 3, 4)
    )
    assert model.timeline.n_timesteps == 2
    assert torch.equal(model.module.v4.weight, again.module.v4.weight)
    assert not torch.equal(model.module.v4.weight, other.module.v4.weight)
    (file.parent / "nets_made.py").write_text("from torch import nn\n\nnet = nn.Conv2d(3, 4, 3)\n")
    with pytest.raises(NeurofitError, match="nets_made:net is a network; name a function that"):
        neurofit.create_model("nets_made:net")
    with pytest.raises(NeurofitError, match=r"Unknown option of my_net.py:made 'steps'"):
        neurofit.create_model("my_net.py:made?steps=3")


def test_code_that_the_file_imports_has_to_be_there(file: Path) -> None:
    (file.parent / "needs.py").write_text("import absent_package\n")
    with pytest.raises(NeurofitError, match=r"needs.py:make cannot be built: ModuleNotFoundError"):
        neurofit.create_model("needs.py:make")


def test_the_command_says_that_it_runs_code_and_describes_the_modules(
    file: Path, neurofit: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = neurofit("describe", "./my_net.py:make?steps=3&input_size=64")
    assert (code, err) == (0, "Note: running ./my_net.py (--model).\n")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    assert rows["v4"] == ["Conv2d", "4", "x", "15", "x", "15", "1", "yes"]
    assert rows["it"] == ["Conv2d", "4", "x", "15", "x", "15", "3", "yes"]
    assert rows["layers"] == ["it,", "forward:add,", "forward:relu_1"]
    assert rows["time"][:2] == ["3", "timesteps"]


def test_a_video_network_is_described_with_frames_of_20_ms(
    file: Path, neurofit: Callable[..., tuple[int, str, str]]
) -> None:
    file.write_text(
        "from torch import nn\n\n\ndef make():\n"
        "    return nn.Sequential(nn.Conv3d(3, 4, 3, (1, 8, 8), padding=1))\n"
    )
    code, out, err = neurofit("describe", "./my_net.py:make?input_size=32")
    assert code == 0, err
    said = " ".join(out.split())
    assert "of 16 frames of 20 ms" in said
    assert "time 16 timesteps of 20 ms 0: 16 places on axis 2, at 0 ms and every 20 ms" in said


@pytest.mark.usefixtures("registered")
def test_a_function_of_ones_own_is_scored_with_the_sha256_of_its_file(
    file: Path, neurofit: Callable[..., tuple[int, str, str]]
) -> None:
    name = "./my_net.py:make?ms_per_timestep=20"
    code, out, err = neurofit("score", "--model", name, "--region", "IT", "--recording", "small")
    assert code == 0, err
    assert "Note: running ./my_net.py (--model)." in err
    assert "weights as its function makes them" in out
    (folder,) = Path("neurofit-results").iterdir()
    assert folder.name.startswith("my_net.py-make-ms_per_timestep=20_IT_small_ridge")
    result = xr.load_dataset(folder / "result.nc", engine="h5netcdf")
    assert result.attrs["model"] == "my_net.py:make?ms_per_timestep=20"
    made = json.loads(result.attrs["activations"])
    assert made["file_sha256"] == sha256(file.read_bytes()).hexdigest()
    assert len(made["weights_sha256"]) == 64
    assert neurofit("verify", str(folder))[0] == 0


def test_the_network_of_the_page_is_described_as_printed(
    file: Path, repository: Path, neurofit: Callable[..., tuple[int, str, str]]
) -> None:
    page = (repository / "docs" / "models.md").read_text(encoding="utf-8")
    blocks = [block.split("```")[0] for block in page.split("```python\n")[1:]]
    (network,) = (block for block in blocks if "nn.Module" in block)
    file.write_text(network)
    code, out, err = neurofit("describe", "./my_net.py:make")
    assert code == 0, err
    printed = page.split("```\nmodule  ")[1].split("```")[0].splitlines()[1:]
    shown = [" ".join(line.split()) for line in out.splitlines()]
    assert len(printed) == 9
    assert [" ".join(line.split()) for line in printed] == shown[1:10]


@pytest.mark.usefixtures("registered")
def test_the_duration_of_a_timestep_is_an_option(
    file: Path, neurofit: Callable[..., tuple[int, str, str]]
) -> None:
    name = "./my_net.py:make?steps=6&input_size=64"
    code, out, _ = neurofit("describe", name, "--ms-per-timestep", "25")
    assert code == 0
    said = " ".join(out.split())
    assert "time 6 timesteps of 25 ms it: 6 calls, at 0 ms and every 25 ms forward:add: 6" in said
    command = ("score", "--model", name, "--region", "IT", "--recording", "small")
    code, out, err = neurofit(*command, "--ms-per-timestep", "25")
    assert code == 0, err
    assert "sees the image at all of its timesteps (0-150 ms); the recording shows it for" in (
        " ".join(out.split())
    )
    (folder,) = Path("neurofit-results").iterdir()
    result = xr.load_dataset(folder / "result.nc", engine="h5netcdf")
    made = json.loads(result.attrs["activations"])
    assert made["ms_per_timestep"] == 25
    assert made["time"]["it"] == "6 calls, at 0 ms and every 25 ms"
    assert json.loads(result.attrs["run"])["ms_per_timestep"] == 25
    assert neurofit("verify", str(folder))[0] == 0
    code, _, err = neurofit(*command, "--ms-per-timestep", "0")
    assert (code, "--ms-per-timestep must be at least 1; got 0" in err) == (2, True)
    for wrong in (("score", "--model", "rgc_tiny", "--region", "IT"), ("describe", "rgc_tiny")):
        code, _, err = neurofit(*wrong, "--ms-per-timestep", "5")
        assert (code, "--ms-per-timestep is for networks of sources" in err) == (2, True)
