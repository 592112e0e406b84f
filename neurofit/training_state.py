"""What a training run keeps on disk: all that a step changes, in one file written whole or not at all, and a table of metrics."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neurofit.errors import NeurofitError
from neurofit.evaluate import Accuracy
from neurofit.home import atomic_file


class TrainingState:
    """Weights, momentum and their average: all that a step changes."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, *, average: dict[str, Tensor] | None) -> None:
        self.model = model
        self.optimizer = optimizer
        self.average = average

    def average_in(self, decay: float | None) -> None:
        """Move the average towards the weights."""
        if self.average is not None and decay is not None:
            with torch.no_grad():
                for name, values in self.model.state_dict().items():
                    if values.is_floating_point():
                        self.average[name].lerp_(values, 1 - decay)
                    else:
                        self.average[name].copy_(values)

    def evaluated(self, evaluation: Callable[[], Accuracy]) -> Accuracy:
        """Return what the average weights (or the weights, without an average) achieve."""
        if self.average is None:
            return evaluation()
        own = {name: values.clone() for name, values in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        try:
            return evaluation()
        finally:
            self.model.load_state_dict(own)

    def take_average(self) -> None:
        """Put the average in the weights' place."""
        if self.average is not None:
            self.model.load_state_dict(self.average)

    def save(self, path: Path, step: int, record: Mapping[str, Any]) -> None:
        """Write everything to one file, whole or not at all."""
        tensors = {f"model.{name}": values for name, values in self.model.state_dict().items()}
        tensors |= {f"average.{name}": values for name, values in (self.average or {}).items()}
        tensors |= {f"momentum.{name}": values for name, values in self._momentum().items()}
        kept = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
        with atomic_file(path) as temporary:
            save_file(kept, temporary, metadata={"step": str(step), "record": json.dumps(record)})

    def load(self, path: Path, record: Mapping[str, Any]) -> int:
        """Take everything from a file, if it is of this run, and return its step."""
        step, theirs, tensors = read_checkpoint(path)
        if differences := [
            f"{name} {theirs.get(name)!r}, now {record.get(name)!r}"
            for name in sorted(theirs.keys() | record.keys())
            if theirs.get(name) != json.loads(json.dumps(record.get(name)))
        ]:
            raise NeurofitError(f"{path} is of another run: {'; '.join(differences)}. Go on with the same, or train into another folder.")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "momentum": {}}
        for name, values in tensors.items():
            part, _, own = name.partition(".")
            parts[part][own] = values
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average = {name: values.to(self.average[name].device) for name, values in parts["average"].items()}
        for name, parameter in self.model.named_parameters():
            if name in parts["momentum"]:
                kept = parts["momentum"][name].to(parameter.device)
                # As the optimizer would have made it, laid out as the parameter is.
                self.optimizer.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(kept)
        return step

    def _momentum(self) -> dict[str, Tensor]:
        found = {}
        for name, parameter in self.model.named_parameters():
            buffer = self.optimizer.state[parameter].get("momentum_buffer") if parameter in self.optimizer.state else None
            if buffer is not None:
                found[name] = buffer
        return found


def read_checkpoint(path: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """Return step, record and tensors of a checkpoint."""
    if not path.is_file():
        raise NeurofitError(f"There is no checkpoint to resume from at {path}.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            return int(metadata["step"]), json.loads(metadata["record"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise NeurofitError(f"{path} is not a checkpoint of a training run: {error}.") from error


class Metrics:
    """A table that grows row by row; on resuming, rows of steps that are done again are dropped."""

    COLUMNS = ("step", "epoch", "lr", "loss", "train_top1", "top1", "top5", "test_loss", "images_per_s")

    def __init__(self, path: Path, start: int, *, board: bool) -> None:
        self.path = path
        self.board = _open_board(path.parent) if board else None
        self.rows: list[dict[str, str]] = []
        if start and path.is_file():
            with open(path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= start]

    def add(self, step: int, epoch: float, known: Mapping[str, float]) -> None:
        """Add a row and write the table anew, whole or not at all."""
        if self.board:
            for name, value in known.items():
                self.board.add_scalar(name, value, step)
            self.board.flush()
        self.rows.append({"step": str(step), "epoch": f"{epoch:.4f}", **{name: f"{value:.6g}" for name, value in known.items()}})
        with atomic_file(self.path) as temporary, open(temporary, "w", newline="") as file:
            table = csv.DictWriter(file, self.COLUMNS)
            table.writeheader()
            table.writerows(self.rows)


def _open_board(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise NeurofitError(f"TensorBoard is not installed ({error}): pip install 'neurofit[tensorboard]'.") from error
    return SummaryWriter(str(folder))


def code_version() -> dict[str, str]:
    """Return the version of neurofit, and the commit of its source where that is a git checkout; "+" marks one with changes."""
    known = {"neurofit": version("neurofit")}
    source = Path(__file__).resolve().parents[1]
    if (source / ".git").exists():
        try:
            asked = partial(subprocess.run, cwd=source, capture_output=True, text=True, check=True, timeout=10)
            changed = asked(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
            known["commit"] = asked(["git", "rev-parse", "HEAD"]).stdout.strip() + ("+" if changed else "")
        except (OSError, subprocess.SubprocessError):
            pass  # without git there is a version only
    return known
