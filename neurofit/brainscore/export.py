"""Submission folders: neurofit models as plugins that Brain-Score finds by searching their source.

The files of a plugin are DIR/models/neurofit_NAME/{__init__.py, model.py, test.py,
requirements.txt, region_layer_map/ID.json}, and net.safetensors of a model file. Brain-Score
searches for the text `model_registry['ID']` line by line, so the registration is literal and on a
separate line. This module does not import Brain-Score.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import neurofit
from neurofit.errors import NeurofitError
from neurofit.models import create_model, find_name, model_info
from neurofit.models.catalogue import WEIGHTS
from neurofit.storage.home import atomic_directory

PREFIX = "neurofit_"

FILE = "net.safetensors"
"""Name of a model file in its plugin."""


def export(name: str, folder: str | Path) -> Path:
    """Write the plugin of a model into a submission folder.

    Parameters
    ----------
    name
        Registered model, or file:PATH of a model file, which is copied into the plugin.
    folder
        Submission folder.

    Returns
    -------
    Folder of the plugin.

    Raises
    ------
    NeurofitError
        If the model is unknown or the plugin already exists.
    """
    file, reference = _model_file(name), "searched with neurofit search"
    if file is None:
        info = model_info(name)
        own, reference = name, info.reference
        region_layers, create = info.region_layers, f"create_model({name!r})"
    else:
        model = create_model(name)
        own, region_layers = model.name, model.region_layers
        create = f"create_model('file:' + str(Path(__file__).with_name({FILE!r})))"
    identifier = f"neurofit-{own}"
    plugin = Path(folder) / "models" / f"{PREFIX}{own}"
    if plugin.exists():
        raise NeurofitError(f"{plugin} already exists: remove it or choose another folder.")
    files = {
        "__init__.py": _INIT.format(identifier=identifier),
        "model.py": _MODEL.format(
            name=own, create=create, identifier=identifier, reference=reference
        ),
        "test.py": _TEST.format(identifier=identifier, regions=json.dumps(sorted(region_layers))),
        "requirements.txt": f"neurofit=={neurofit.__version__}\n",
        f"region_layer_map/{identifier}.json": json.dumps(
            {region: list(layers) for region, layers in region_layers.items()}
        )
        + "\n",
    }
    with atomic_directory(plugin) as temporary:
        for path, content in files.items():
            (temporary / path).parent.mkdir(exist_ok=True)
            (temporary / path).write_text(content, encoding="utf-8")
        if file is not None:
            shutil.copyfile(file, temporary / FILE)
    return plugin


def has_bundled_weights(name: str) -> bool:
    """Return whether the weights of a model are part of the package or of the plugin.

    Other weights do not exist on the machine on which Brain-Score runs a submission, but for those
    of a model file, which is in the plugin.
    """
    if _model_file(name) is not None:
        return True
    info = model_info(name)
    return info.has_weights and info.weights.parent == WEIGHTS


def link(folder: str | Path, package: Path) -> list[Path]:
    """Link all plugins of a submission folder into an installed Brain-Score.

    Parameters
    ----------
    folder
        Submission folder, see `export`.
    package
        Folder of the installed package `brainscore_vision`.

    Returns
    -------
    Links.

    Raises
    ------
    NeurofitError
        If the folder has no plugin, or the package is not writable or already has a folder with
        the name of a plugin.
    """
    plugins = sorted(path.parent for path in Path(folder).glob(f"models/{PREFIX}*/__init__.py"))
    if not plugins:
        raise NeurofitError(
            f"{folder} has no models/{PREFIX}NAME/__init__.py. "
            "Create a submission folder with neurofit brainscore export."
        )
    links = []
    for plugin in plugins:
        target = package / "models" / plugin.name
        if target.is_symlink():
            target.unlink()
        elif target.exists():
            raise NeurofitError(f"{target} already exists and is not a link of neurofit.")
        try:
            target.symlink_to(plugin.resolve(), target_is_directory=True)
        except OSError as error:
            raise NeurofitError(
                f"Cannot link into {package / 'models'}: {error.strerror}."
            ) from error
        links.append(target)
    return links


def unlink(package: Path) -> list[Path]:
    """Remove the links of `link` and the scores that Brain-Score wrote beside its package.

    Parameters
    ----------
    package
        Folder of the installed package `brainscore_vision`.

    Returns
    -------
    Removed files.
    """
    links = [path for path in (package / "models").glob(f"{PREFIX}*") if path.is_symlink()]
    scores = list(package.parent.glob("conda_score--neurofit-*.pkl"))
    for path in (*links, *scores):
        path.unlink()
    return links + scores


def _model_file(name: str) -> Path | None:
    """Return the path of file:PATH; None for other names."""
    found = find_name(name)
    return Path(found.network) if found is not None and found.source == "file" else None


_INIT = """from brainscore_vision import model_registry

from .model import get_model

model_registry['{identifier}'] = get_model
"""

_MODEL = '''"""neurofit's {name} as a Brain-Score model."""

from pathlib import Path

from neurofit.brainscore import NeurofitBrainModel
from neurofit.models import create_model

BIBTEX = """@misc{{neurofit,
  title = {{neurofit, {name}}},
  note = {{{reference}}}
}}"""


def get_model():
    return NeurofitBrainModel({create}, identifier='{identifier}')


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
