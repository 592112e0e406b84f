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

from neurofit.errors import DivergedError, NeurofitError, some_of
from neurofit.models.weight_files import check_weights, parse_metadata
from neurofit.storage.home import atomic_file
from neurofit.training.evaluate import Accuracy

PARTS = ("model", "average", "momentum")
"""Parts of a state; the names of the tensors of a checkpoint begin with one of them."""


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
        DivergedError
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

    def load(self, path: Path, record: Mapping[str, Any], *, n_steps: int) -> int:
        """Read a checkpoint of the same run, which has `n_steps`; return the number of steps done.

        Raises
        ------
        NeurofitError
            If there is no checkpoint, the record of its run differs, or its contents do not fit
            the run; the state is then unchanged.
        """
        step, saved, tensors = read_checkpoint(path)
        check_record(path, saved, record)
        if step > n_steps:
            raise NeurofitError(f"{path} is damaged: it is after step {step} of {n_steps}.")
        parts: dict[str, dict[str, Tensor]] = {part: {} for part in PARTS}
        for key, values in tensors.items():
            part, _, name = key.partition(".")
            parts[part][name] = values
        parameters = dict(self.model.named_parameters())
        moving = {name: values for name, values in parameters.items() if name in parts["momentum"]}
        expected: dict[str, Mapping[str, Tensor]] = {
            "model": self.model.state_dict(),
            "average": self.average or {},
            "momentum": moving,
        }
        for part, own in expected.items():
            check_weights(own, parts[part], source=f"The {part} tensors of {path}")
        self.model.load_state_dict(parts["model"])
        if self.average is not None:
            self.average = {
                name: values.to(self.average[name].device)
                for name, values in parts["average"].items()
            }
        for name, parameter in moving.items():
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


def compare_records(saved: Mapping[str, Any], record: Mapping[str, Any]) -> list[str]:
    """Return the differences of a run's record from a saved one, in words.

    The name of the images does not count: their hashes do (`ImageSet.sha256`).
    """
    now: dict[str, Any] = json.loads(json.dumps(record))
    found = []
    for name in sorted(saved.keys() | now.keys()):
        if name == "data" or (name in saved and name in now and saved[name] == now[name]):
            continue
        before = saved.get(name)
        if name != "data_sha256":
            known = f"{name} {before!r}" if name in saved else f"{name} not recorded"
            found.append(f"{known}, now {now.get(name)!r}")
        elif isinstance(before, dict) and name in now:
            other = [part for part in now[name] if before.get(part) != now[name][part]]
            found.append(f"other images: {', '.join(other)} of {now.get('data')} differ")
        else:
            found.append("its images are not recorded, as in earlier versions")
    return found


def check_record(path: Path, saved: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Check that a checkpoint's record is that of this run.

    Raises
    ------
    NeurofitError
        Naming what differs.
    """
    if differences := compare_records(saved, record):
        raise NeurofitError(
            f"{path} belongs to another run: {'; '.join(differences)}. Resume with the same "
            "configuration and images or choose another folder."
        )


def read_checkpoint(
    path: Path, *, with_tensors: bool = True
) -> tuple[int, dict[str, Any], dict[str, Tensor]]:
    """Return step, record and tensors of a checkpoint, or no tensors.

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
            tensors = {name: file.get_tensor(name) for name in names if with_tensors}
            step, texts = int(metadata["step"]), (metadata["record"], metadata["sha256"])
            if step < 0 or any(name.partition(".")[0] not in PARTS for name in tensors):
                raise ValueError(f"step {step}, tensors {some_of(sorted(tensors), most=3)}")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise NeurofitError(f"{path} is not a checkpoint of a training run: {error}.") from error
    record, expected = (
        parse_metadata(text, f"{path} is damaged: its {what}")
        for what, text in zip(("record", "list of sha256"), texts, strict=True)
    )
    if damaged := [
        name
        for name in sorted(tensors.keys() | expected.keys() if with_tensors else ())
        if name not in tensors or _sha256(tensors[name]) != expected.get(name)
    ]:
        raise NeurofitError(
            f"{path} is damaged: {some_of(damaged, most=3)} changed since it was written (sha256). "
            "Resume from a copy of it, or start again in another folder."
        )
    return step, record, tensors


def check_finite_tensors(tensors: Mapping[str, Tensor], path: Path, step: int) -> None:
    """Check that no tensor of a state has NaN or infinite values.

    Raises
    ------
    DivergedError
        Naming those that have, and the checkpoint that is preserved.
    """
    bad = [name for name, values in tensors.items() if not bool(torch.isfinite(values).all())]
    if bad:
        saved = f"{path} is that of an earlier step" if path.is_file() else "No checkpoint is saved"
        raise DivergedError(
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
        rows = self.read(path) if start and path.is_file() else []
        self.rows = [row for row in rows if int(row["step"]) <= start]

    @classmethod
    def read(cls, path: Path) -> list[dict[str, str]]:
        """Return the rows of a table.

        Raises
        ------
        NeurofitError
            If the file is not such a table.
        """
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            if not all(set(row) == set(cls.COLUMNS) and int(row["step"]) >= 0 for row in rows):
                raise ValueError(f"its columns are not {', '.join(cls.COLUMNS)}")
        except (OSError, ValueError, csv.Error) as error:
            raise NeurofitError(f"{path} is not a table of metrics: {error}.") from error
        return rows

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
