"""Folder of a training run: it belongs to one run, and nothing else in it is overwritten."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurofit.errors import NeurofitError
from neurofit.models.weight_files import training_card
from neurofit.storage.claims import read_owner
from neurofit.storage.home import atomic_file, exclusive_lock
from neurofit.training.checkpoint import Metrics, check_record, compare_records, read_checkpoint

CHECKPOINT = "checkpoint.safetensors"

Resume = bool | Literal["auto"]
"""Whether to go on from a checkpoint; "auto" does so if there is one."""

_TORN = r"\.(checkpoint|config|metrics|{model})-(\d+\.\w{{8}}-)?\w{{8}}\.(safetensors|json|csv)"
"""Names of the temporary files of `atomic_file`, which a killed run leaves."""

_TORN_TENSORS = r"\.tmp\w{6}"
"""Names of the temporary files of safetensors."""


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Folder of a run.

    Parameters
    ----------
    path
        Folder, which may not exist yet.
    model
        Name of the model.
    record
        Everything that determines the run, in types of JSON.
    """

    path: Path
    model: str
    record: Mapping[str, Any]

    @property
    def checkpoint(self) -> Path:
        """Path of the last saved state."""
        return self.path / CHECKPOINT

    @property
    def metrics(self) -> Path:
        """Path of the table of metrics."""
        return self.path / "metrics.csv"

    @property
    def config(self) -> Path:
        """Path of the record."""
        return self.path / "config.json"

    @property
    def weights(self) -> Path:
        """Path of the trained weights."""
        return self.path / f"{self.model}.safetensors"

    @property
    def lock(self) -> Path:
        """Path of the claim of the process that writes to the folder."""
        return self.path / ".lock"

    def resumes(self, resume: object) -> bool:
        """Return whether the run goes on from a checkpoint.

        Raises
        ------
        NeurofitError
            If `resume` is none of its values.
        """
        if resume not in (True, False, "auto"):
            raise NeurofitError(
                f"resume must be True, False or 'auto'; got {resume!r}.", option="resume"
            )
        return self.checkpoint.exists() if resume == "auto" else bool(resume)

    @contextmanager
    def claim(self, *, resume: bool) -> Iterator[None]:
        """Within the block, own the folder, and for a new run write its record.

        If a new run fails before its first checkpoint, its files are removed.

        Raises
        ------
        NeurofitError
            If another run is writing to the folder, or it contains files that this run would
            overwrite and has not written; nothing is then changed.
        """
        self._refuse_others(resume=resume)
        refusal = f"Another run is writing to {self.path}; wait for it or choose another folder."
        with exclusive_lock(self.lock, refusal=refusal):
            self._refuse_others(resume=resume)
            for each in filter(self._is_torn, self.path.iterdir()):
                each.unlink()
            try:
                if not resume:
                    with atomic_file(self.config) as temporary:
                        temporary.write_text(json.dumps(self.record, indent=2) + "\n")
                yield
            except BaseException:
                if not resume and not self.checkpoint.exists():
                    self.config.unlink(missing_ok=True)
                    self.metrics.unlink(missing_ok=True)
                raise

    def has_weights(self) -> bool:
        """Return whether the weights of this run are there."""
        return self.weights.exists() and not self._other_weights()

    def _refuse_others(self, *, resume: bool) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise NeurofitError(f"{self.path} is a file; choose a folder for the run.")
        if resume:
            saved = read_checkpoint(self.checkpoint, with_tensors=False)[1]
            check_record(self.checkpoint, saved, self.record)
        elif self.checkpoint.exists():
            raise NeurofitError(
                f"{self.path} already contains a run: resume it (resume, --resume) or choose "
                "another folder."
            )
        if self.lock.exists() and (not self.lock.is_file() or self._other_lock()):
            self._refuse(self.lock, "is not a lock of neurofit")
        if not resume and self.config.exists() and (reason := self._other_config()):
            self._refuse(self.config, reason)
        if self.metrics.exists():
            if not resume and not self.config.exists():
                self._refuse(self.metrics, "was not written by this run")
            try:
                Metrics.read(self.metrics)
            except NeurofitError:
                self._refuse(self.metrics, "is not a table of neurofit")
        if self.weights.exists() and (reason := self._other_weights()):
            self._refuse(self.weights, reason)
        if self.weights.exists() and not resume:
            self._refuse(self.weights, "is the result of an earlier run")

    def _other_config(self) -> str:
        """Return why the record in the folder is not that of this run, or nothing."""
        try:
            saved = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            saved = None
        if not isinstance(saved, dict):
            return "was not written by neurofit"
        differences = compare_records(saved, self.record)
        return f"belongs to another run ({'; '.join(differences[:3])})" if differences else ""

    def _other_lock(self) -> bool:
        """Return whether the lock has a content that is not neurofit's; once they had none."""
        return self.lock.stat().st_size > 0 and "claim" not in read_owner(self.lock)

    def _other_weights(self) -> str:
        """Return why the weights in the folder are not those of this run, or nothing."""
        try:
            card = training_card(self.weights)
        except NeurofitError:
            card = {}
        if not card:
            return "was not written by neurofit train"
        own = {name: value for name, value in card.items() if name in self.record}
        differences = compare_records(own, self.record)
        return f"belongs to another run ({'; '.join(differences[:3])})" if differences else ""

    def _refuse(self, path: Path, reason: str) -> None:
        raise NeurofitError(
            f"{path} {reason}, and training would overwrite it: move it or choose another folder."
        )

    def _is_torn(self, path: Path) -> bool:
        """Return whether a file is a temporary one that a killed run has left."""
        if path.is_symlink() or not path.is_file():
            return False
        if re.fullmatch(_TORN_TENSORS, path.name):
            with open(path, "rb") as file:
                return b'"__metadata__"' in file.read(2**12)
        return re.fullmatch(_TORN.format(model=re.escape(self.model)), path.name) is not None
