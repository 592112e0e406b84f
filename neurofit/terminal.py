"""What all commands share: loading with a bar, writing early or not at all, options in text."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from neurofit.errors import NeurofitError, check_option
from neurofit.tables import err

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neurofit.assemblies import Recording

LONGEST = 120
"""Bytes of the name of a folder of results."""

Report = Callable[[str], Callable[[int, int], None]]


def set_offline(offline: bool) -> None:
    """Forbid downloads for the rest of the process."""
    if offline:
        os.environ["NEUROFIT_OFFLINE"] = "1"


def parse_window(text: str, *, option: str = "--window") -> tuple[int, int] | None:
    """Return START:END in ms; None of an empty text."""
    if not text:
        return None
    try:
        start, end = (int(part) for part in text.split(":"))
    except ValueError:
        raise NeurofitError(f"{option} takes START:END in ms, as 70:260; got {text!r}.") from None
    return start, end


def result_folder(*names: str, selection: Mapping[str, str]) -> Path:
    """Return where a result goes if nobody says: a folder named by what it is of, so that other parts of a recording go elsewhere."""
    parts = [*names, *(_part(name, value) for name, value in selection.items() if value)]
    whole = "_".join(parts).replace(":", "-")
    name = re.sub(r"[^\w.=,+-]", "-", whole)
    if name != whole or len(name.encode()) > LONGEST:  # a file system takes 255 bytes, and not every character
        name = f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"
    return Path("neurofit-results") / name


def _part(name: str, value: str) -> str:
    """Return a part of a folder's name for an option of a selection: of a file of ids, its name and content."""
    if name == "stimuli" and "=" not in value and Path(value).is_file():
        return f"{Path(value).stem}-{hashlib.sha256(Path(value).read_bytes()).hexdigest()[:8]}"
    return value if name in ("stimuli", "bins", "least") else f"{name}={value}"


def writable(folder: Path) -> Path:
    """Return the folder, made if need be, after trying to write to it: hours of work should not fail at the end."""
    from neurofit.home import atomic_file

    if folder.exists() and not folder.is_dir():
        raise NeurofitError(f"--out is a folder; {folder} is a file.")
    new = [part for part in (folder, *folder.parents) if not part.exists()]
    with atomic_file(folder / ".writable"):
        pass
    (folder / ".writable").unlink()
    for part in new:
        part.rmdir()
    return folder


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write JSON, whole or not at all."""
    from neurofit.home import atomic_file

    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


@contextmanager
def progress() -> Iterator[Report]:
    """Yield a function that opens a progress bar with remaining time, on stderr."""
    columns = (TextColumn("{task.description:<26}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=err)

    def report(label: str) -> Callable[[int, int], None]:
        task = bars.add_task(label, total=None, visible=False)

        def show(done: int, total: int) -> None:
            """Show the bar, which appears with the first piece of work that is done."""
            bars.start()
            bars.update(task, completed=done, total=total, visible=True)

        return show

    try:
        yield report
    finally:
        if bars.live.is_started:  # to stop what has not begun prints an empty line
            bars.stop()


def load(name: str, report: Report, *, pictures: str = "", time_bin: str = "", checked: bool = True) -> Recording:
    """Return a recording by name or path, with a bar for each thing that takes time; not checked, with its faults."""
    from neurofit.data_loaders import load_recording
    from neurofit.data_loaders.recordings import read_recording

    bars: dict[str, Callable[[int, int], None]] = {}

    def show(what: str, done: int, total: int) -> None:
        if what not in bars:
            bars[what] = report(what)
        bars[what](done, total)

    if name.startswith("brainscore:"):
        if time_bin:
            raise NeurofitError(f"--time-bin is for a file that does not say when its only bin is; {name} does.")
        return of_brainscore("candidate").recording_of(name.partition(":")[2])  # type: ignore[no-any-return]
    read = load_recording if checked else read_recording
    return read(name, pictures=pictures or None, time_bin=parse_window(time_bin, option="--time-bin"), progress=show)


def of_brainscore(module: str) -> Any:
    """Return a module of neurofit.brainscore; without Brain-Score, say how to install it."""
    try:
        return import_module(f"neurofit.brainscore.{module}")
    except ImportError as error:
        raise NeurofitError(str(error)) from error


def make_model(name: str, *, weights: str, seed: int, **options: Any) -> tuple[Any, str]:
    """Return a model and where its weights come from."""
    from neurofit.models import create_model, model_info

    info = model_info(name)
    if weights == "auto" and info.is_published and not info.has_weights:
        err.print(f"The published weights of {name} are not here, its weights are random. neurofit weights get {name} brings them.")
    if weights == "random" or (weights == "auto" and not info.has_weights):
        return create_model(name, seed=seed, **options), f"random weights, seed {seed}"
    if weights == "auto":
        return create_model(name, pretrained=True, **options), "trained weights"
    return create_model(name, pretrained=weights, **options), f"weights of {weights}"


def find_device(device: str) -> str:
    """Return a device by name; auto is a GPU where there is one."""
    import torch

    check_option("device", device.split(":")[0], ("auto", "cpu", "cuda"))
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise NeurofitError(f"There is no CUDA device for --device {device}; existing: cpu.")
    return device
