"""Submission folders: a neurofit model as a plugin that Brain-Score finds by reading its source.

DIR/models/neurofit_NAME/{__init__.py, model.py, test.py, requirements.txt, region_layer_map/ID.json}. Brain-Score searches the text
`model_registry['ID']` line by line, so the registration is literal and on a line of its own. Written without Brain-Score.
"""

from __future__ import annotations

import json
from pathlib import Path

import neurofit
from neurofit.errors import NeurofitError
from neurofit.home import atomic_directory
from neurofit.models import model_info
from neurofit.models.catalogue import WEIGHTS

PREFIX = "neurofit_"


def export(name: str, folder: str | Path) -> Path:
    """Write the submission folder of a registered model; return the plugin's folder.

    Raises
    ------
    NeurofitError
        For an unknown model, or a folder that exists already.
    """
    info = model_info(name)
    identifier = f"neurofit-{name}"
    plugin = Path(folder) / "models" / f"{PREFIX}{name}"
    if plugin.exists():
        raise NeurofitError(f"{plugin} exists already: remove it, or give another folder.")
    files = {
        "__init__.py": _INIT.format(identifier=identifier),
        "model.py": _MODEL.format(name=name, identifier=identifier, reference=info.reference),
        "test.py": _TEST.format(identifier=identifier, regions=json.dumps(sorted(info.region_layers))),
        "requirements.txt": f"neurofit=={neurofit.__version__}\n",
        f"region_layer_map/{identifier}.json": json.dumps({region: list(layers) for region, layers in info.region_layers.items()}) + "\n",
    }
    with atomic_directory(plugin) as temporary:
        for path, content in files.items():
            (temporary / path).parent.mkdir(exist_ok=True)
            (temporary / path).write_text(content, encoding="utf-8")
    return plugin


def ships_weights(name: str) -> bool:
    """Return whether a model's weights come with the package: others are not where Brain-Score runs the submission."""
    info = model_info(name)
    return info.has_weights and info.weights.parent == WEIGHTS


def link(folder: str | Path, package: Path) -> list[Path]:
    """Link every neurofit_NAME of a submission folder into an installed brainscore_vision; return the links.

    Parameters
    ----------
    folder
        As `export` wrote it.
    package
        Folder of the package `brainscore_vision`.

    Raises
    ------
    NeurofitError
        If the folder holds no plugin, or the package cannot be written to, or has a folder of that name.
    """
    plugins = sorted(path.parent for path in Path(folder).glob(f"models/{PREFIX}*/__init__.py"))
    if not plugins:
        raise NeurofitError(f"{folder} holds no models/{PREFIX}NAME/__init__.py: neurofit brainscore export writes such a folder.")
    links = []
    for plugin in plugins:
        target = package / "models" / plugin.name
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            raise NeurofitError(f"{target} is no link of ours: it stays as it is.")
        try:
            target.symlink_to(plugin.resolve(), target_is_directory=True)
        except OSError as error:
            raise NeurofitError(f"Cannot link into {package / 'models'}: {error.strerror}.") from error
        links.append(target)
    return links


def unlink(package: Path) -> list[Path]:
    """Remove all links that `link` made, and scores that Brain-Score left beside its package; return what was removed."""
    links = [path for path in (package / "models").glob(f"{PREFIX}*") if path.is_symlink()]
    litter = list(package.parent.glob("conda_score--neurofit-*.pkl"))
    for path in (*links, *litter):
        path.unlink()
    return links + litter


_INIT = """from brainscore_vision import model_registry

from .model import get_model

model_registry['{identifier}'] = get_model
"""

_MODEL = '''"""{name} of neurofit as a Brain-Score model."""

from neurofit.brainscore import NeurofitBrainModel
from neurofit.models import create_model, model_info

BIBTEX = """@misc{{neurofit,
  title = {{neurofit, {name}}},
  note = {{{reference}}}
}}"""


def get_model():
    return NeurofitBrainModel(create_model('{name}', pretrained=model_info('{name}').has_weights), identifier='{identifier}')


def get_bibtex(model_identifier):
    return BIBTEX
'''

_TEST = """import pytest

from brainscore_vision import load_model


@pytest.mark.parametrize('region', {regions})
def test_it_loads_and_can_be_recorded(region):
    model = load_model('{identifier}')
    assert model.identifier == '{identifier}'
    model.start_recording(region, time_bins=[(100, 110), (110, 120)])
"""
