"""Files of a training run: the checkpoint, which is replaced atomically, and the metrics."""

from __future__ import annotations

import csv
import hashlib
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

from neurofit.errors import NeurofitError, some_of
from neurofit.storage.home import atomic_file
from neurofit.training.evaluate import Accuracy


class TrainingState:
    """Everything that a training step changes: weights, momentum and average weights.

    Parameters
    ----------
    model, optimizer
        Model and optimizer of the run.
    average
        Moving average of the model's state; None if the run has none.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        average: dict[str, Tensor] | None,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.average = average

    @torch.no_grad()
    def update_average(self, decay: float | None) -> None:
        """Update the moving average with the current weights."""
        if self.average is not None and decay is not None:
            for name, values in self.model.state_dict().items():
                if values.is_floating_point():
                    self.average[name].lerp_(values, 1 - decay)
                else:
                    self.average[name].copy_(values)

    def evaluate_average(self, evaluation: Callable[[], Accuracy]) -> Accuracy:
        """Evaluate the model with the average weights, or as it is if there is no average."""
        if self.average is None:
            return evaluation()
        current = {name: values.clone() for name, values in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        try:
            return evaluation()
        finally:
            self.model.load_state_dict(current)

    def load_average(self) -> None:
        """Replace the weights of the model by the average."""
        if self.average is not None:
            self.model.load_state_dict(self.average)

    def save(self, path: Path, step: int, record: Mapping[str, Any]) -> None:
        """Write a checkpoint.

        Parameters
        ----------
        path
            Checkpoint file (.safetensors).
        step
            Number of steps done.
        record
            Description of the run, which `load` compares.

        Raises
        ------
        NeurofitError
            If a tensor is not finite; the last checkpoint is preserved.
        """
        tensors = {f"model.{name}": values for name, values in self.model.state_dict().items()}
        tensors |= {f"average.{name}": values for name, values in (self.average or {}).items()}
        tensors |= {f"momentum.{name}": values for name, values in self._momentum().items()}
        tensors = {name: values.detach().cpu().contiguous() for name, values in tensors.items()}
        check_finite_tensors(tensors, path, step)
        metadata = {
            "step": str(step),
            "record": json.dumps(record),
            "sha256": json.dumps({name: _sha256(values) for name, values in tensors.items()}),
        }
        with atomic_file(path) as temporary:
            save_file(tensors, temporary, metadata=metadata)

    def load(self, path: Path, record: Mapping[str, Any]) -> int:
        """Read a checkpoint of the same run; return the number of steps done.

        Raises
        ------
        NeurofitError
            If there is no checkpoint, or the record of its run differs.
        """
        step, saved, tensors = read_checkpoint(path)
        if differences := [
            f"{name} {saved.get(name)!r}, now {record.get(name)!r}"
            for name in sorted(saved.keys() | record.keys())
            if saved.get(name) != json.loads(json.dumps(record.get(name)))
        ]:
            raise NeurofitError(
                f"{path} belongs to another run: {'; '.join(differences)}. Resume with the same "
                "configuration or choose another folder."
            )
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "momentum": {}}
        for key, values in tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = values
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average = {
                name: values.to(self.average[name].device)
                for name, values in parts["average"].items()
            }
        for name, parameter in self.model.named_parameters():
            if name in parts["momentum"]:
                momentum = parts["momentum"][name].to(parameter.device)
                # The optimizer's buffers have the memory layout of their parameters.
                buffer = torch.empty_like(parameter).copy_(momentum)
                self.optimizer.state[parameter]["momentum_buffer"] = buffer
        return step

    def _momentum(self) -> dict[str, Tensor]:
        # `state` is a defaultdict, to which a look-up would add the parameter.
        buffers = {
            name: self.optimizer.state[parameter].get("momentum_buffer")
            for name, parameter in self.model.named_parameters()
            if parameter in self.optimizer.state
        }
        return {name: buffer for name, buffer in buffers.items() if buffer is not None}


def read_checkpoint(path: Path) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """Return step, record and tensors of a checkpoint.

    Raises
    ------
    NeurofitError
        If there is no such file, it is not a checkpoint, or a tensor has changed since it was
        written.
    """
    if not path.is_file():
        raise NeurofitError(f"There is no checkpoint to resume from: {path}.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
            step, record = int(metadata["step"]), json.loads(metadata["record"])
            expected: dict[str, str] = json.loads(metadata["sha256"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise NeurofitError(f"{path} is not a checkpoint of a training run: {error}.") from error
    if damaged := [name for name in tensors if _sha256(tensors[name]) != expected.get(name)]:
        raise NeurofitError(
            f"{path} is damaged: {some_of(damaged, most=3)} changed since it was written (sha256). "
            "Resume from a copy of it, or start again in another folder."
        )
    return step, record, tensors


def check_finite_tensors(tensors: Mapping[str, Tensor], path: Path, step: int) -> None:
    """Check that no tensor of a state has NaN or infinite values.

    Raises
    ------
    NeurofitError
        Naming those that have, and the checkpoint that is preserved.
    """
    bad = [name for name, values in tensors.items() if not bool(torch.isfinite(values).all())]
    if bad:
        saved = f"{path} is that of an earlier step" if path.is_file() else "No checkpoint is saved"
        raise NeurofitError(
            f"After step {step} {some_of(bad, most=3)} {'is' if len(bad) == 1 else 'are'} not "
            f"finite. {saved}. Try a smaller lr, a longer warm-up or clipping."
        )


def _sha256(values: Tensor) -> str:
    return hashlib.sha256(values.reshape(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


class Metrics:
    """Table of metrics (CSV), with one row per checkpoint.

    Parameters
    ----------
    path
        Table.
    start
        Step at which the run resumes; later rows of an existing table are dropped. 0 starts anew.
    tensorboard
        Whether to write the metrics for TensorBoard too.
    """

    COLUMNS = (
        "step",
        "epoch",
        "lr",
        "loss",
        "train_top1",
        "top1",
        "top5",
        "test_loss",
        "images_per_s",
    )

    def __init__(self, path: Path, start: int, *, tensorboard: bool) -> None:
        self.path = path
        self.writer = _open_tensorboard(path.parent) if tensorboard else None
        self.rows: list[dict[str, str]] = []
        if start and path.is_file():
            with open(path, newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= start]

    def add(self, step: int, epoch: float, values: Mapping[str, float]) -> None:
        """Add a row; the file is replaced atomically."""
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()
        self.rows.append(
            {
                "step": str(step),
                "epoch": f"{epoch:.4f}",
                **{name: f"{value:.6g}" for name, value in values.items()},
            }
        )
        with atomic_file(self.path) as temporary, open(temporary, "w", newline="") as file:
            table = csv.DictWriter(file, self.COLUMNS)
            table.writeheader()
            table.writerows(self.rows)


def _open_tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise NeurofitError(
            f"TensorBoard is not installed ({error}): pip install 'neurofit[tensorboard]'."
        ) from error
    return SummaryWriter(str(folder))


def code_version() -> dict[str, str]:
    """Return the version of neurofit and, in a git checkout, the commit; "+" marks changes."""
    versions = {"neurofit": version("neurofit")}
    source = Path(__file__).resolve().parents[2]
    if (source / ".git").exists():
        run = partial(
            subprocess.run, cwd=source, capture_output=True, text=True, check=True, timeout=10
        )
        try:
            changes = run(["git", "status", "--porcelain", "--untracked-files=no"]).stdout.strip()
            commit = run(["git", "rev-parse", "HEAD"]).stdout.strip()
            versions["commit"] = commit + ("+" if changes else "")
        except (OSError, subprocess.SubprocessError):
            pass  # without git, the version has to do
    return versions
