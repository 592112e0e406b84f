"""A submission folder is found by Brain-Score's own search once it is linked.

Nothing is left after it is unlinked.
"""

from __future__ import annotations

from pathlib import Path

import brainscore_vision
import pytest
from typer.testing import CliRunner

from neurofit.brainscore import export
from neurofit.cli.app import app
from neurofit.errors import NeurofitError
from neurofit.models import save_weights, weights_sha256
from neurofit.models.architecture import Architecture, Stage


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["brainscore", *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_linked_submission_is_found_and_an_unlinked_one_is_not(
    installed: Path, tmp_path: Path
) -> None:
    assert "Written: " in run("export", str(tmp_path), "--model", "rgc_tiny")
    with pytest.raises(AssertionError, match="No registrations found for neurofit-rgc_tiny"):
        brainscore_vision.load_model("neurofit-rgc_tiny")
    assert "Linked: " in run("link", str(tmp_path))
    model = brainscore_vision.load_model("neurofit-rgc_tiny")
    assert model.identifier == "neurofit-rgc_tiny"
    assert set(model.region_layer_map) == {"V4", "IT"}
    assert "Removed: " in run("unlink")
    assert "nothing to remove" in run("unlink")


def test_a_submission_has_what_brainscore_reads(tmp_path: Path) -> None:
    plugin = export.export("rgc_tiny", tmp_path)
    assert plugin == tmp_path / "models" / "neurofit_rgc_tiny"
    written = sorted(str(path.relative_to(plugin)) for path in plugin.rglob("*") if path.is_file())
    assert written == [
        "__init__.py",
        "model.py",
        "region_layer_map/neurofit-rgc_tiny.json",
        "requirements.txt",
        "test.py",
    ]
    registrations = [
        line
        for line in (plugin / "__init__.py").read_text().splitlines()
        if "model_registry[" in line
    ]
    assert registrations == [
        "model_registry['neurofit-rgc_tiny'] = get_model"
    ]  # one literal line, with no other bracket
    for source in plugin.glob("*.py"):
        compile(source.read_text(), str(source), "exec")


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    export.export("rgc_tiny", tmp_path)
    with pytest.raises(NeurofitError, match="already exists: remove it"):
        export.export("rgc_tiny", tmp_path)
    with pytest.raises(NeurofitError, match="has no models/neurofit_NAME"):
        export.link(tmp_path / "models", tmp_path / "package")
    (tmp_path / "package" / "models" / "neurofit_rgc_tiny").mkdir(parents=True)
    with pytest.raises(NeurofitError, match="is not a link of neurofit"):
        export.link(tmp_path, tmp_path / "package")


def test_a_model_whose_weights_do_not_come_with_the_package_is_noted(tmp_path: Path) -> None:
    shipped = CliRunner().invoke(
        app,
        ["brainscore", "export", str(tmp_path / "one"), "--model", "rgc_tiny"],
        catch_exceptions=False,
    )
    assert shipped.stderr == ""
    random = CliRunner().invoke(
        app,
        ["brainscore", "export", str(tmp_path / "two"), "--model", "rgc_intermediate"],
        catch_exceptions=False,
    )
    assert "no weights of rgc_intermediate come with the package" in " ".join(random.stderr.split())


def test_a_model_file_is_part_of_its_submission(installed: Path, tmp_path: Path) -> None:
    network = Architecture(
        stages=(
            Stage(name="conv1", channels=4, kernel=3, pool=True),
            Stage(name="conv2", channels=4, kernel=3, cell="reciprocal"),
        ),
        region_layers={"V4": ("conv1",), "IT": ("conv2",)},
        input_size=16,
        timesteps=5,
        image_on=5,
    ).build(seed=3)
    save_weights(network, tmp_path / "best.safetensors")
    out = tmp_path / "submission"
    printed = run("export", str(out), "--model", f"file:{tmp_path / 'best.safetensors'}")
    assert "random weights" not in printed
    (tmp_path / "best.safetensors").unlink()
    run("link", str(out))
    found = brainscore_vision.load_model(f"neurofit-{network.name}")
    assert weights_sha256(found.model) == weights_sha256(network)
    assert found.region_layer_map == {"V4": ("conv1",), "IT": ("conv2",)}
    run("unlink")
