"""One trial of a search: a drawn net is trained as any other, and stopped early if it is not good.

A trial that a killed worker has left goes on from its checkpoint, to the same bits.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch

from neurofit.config.code import code_sha256
from neurofit.config.compute import find_device
from neurofit.data_loaders.labelled_images import ImageSet
from neurofit.errors import DivergedError, MachineError, NeurofitError
from neurofit.models.cost import count_multiply_adds
from neurofit.training.checkpoint import code_version, read_checkpoint
from neurofit.training.evaluate import Accuracy
from neurofit.training.run_folder import CHECKPOINT
from neurofit.training.search.space import Candidate
from neurofit.training.search.storage import import_optuna, read_drawn, storage_errors
from neurofit.training.search.study import Search
from neurofit.training.search.trials import (
    FAULTS,
    OUT_OF_MEMORY,
    STOPPED,
    TrialFolder,
    described,
)
from neurofit.training.train import train


class MachineFault(MachineError):
    """A fault of the machine that ended an attempt at a trial, which is put back."""


class _Stopped(Exception):
    """A net is not trained on."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial of Optuna, and what it takes to compute it.

    Parameters
    ----------
    search
        The search.
    study
        Optuna's study.
    trial_id
        Optuna's identifier of the trial.
    folder
        Files of the trial.
    """

    search: Search
    study: Any
    trial_id: int
    folder: TrialFolder

    @property
    def number(self) -> int:
        """Number of the trial."""
        return self.folder.number

    def run(self, images: ImageSet) -> Mapping[str, Any]:
        """Compute the trial, unless its result is there, and tell the storage; return the result.

        Raises
        ------
        StorageError
            If the storage does not answer; the trial is put back.
        MachineFault
            If the machine has no memory left; the trial is put back, and ends as failed when that
            or the loss of a worker happens more often than the search retries.
        MachineError
            If the disk is full; the trial is put back.
        """
        result = self.folder.read_result()
        if result is None:
            n_classes = len(images.classes)
            candidate, params = read_drawn(
                self.search, self.study, self.number, self.trial_id, n_classes=n_classes
            )
            step, retries = self._saved_step(), self.search.machine.retries
            faults, in_a_row = self.folder.faults(), self.folder.faults(step=step)
            if len(in_a_row) > retries:
                # it is not built here either, which may be what the machine cannot do
                result = self._result(
                    candidate, params, state="failed", error=_in_words(in_a_row), builds=False
                )
            else:
                self.folder.note_attempt(step)
                with self._noted():
                    result = self._compute(candidate, params, images)
            result |= {"faults": faults}
            self.folder.write_result(result)
        self._tell(result)
        return result

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Note how an attempt ends without a result."""
        try:
            yield
        except MachineFault:
            self.folder.note_end(OUT_OF_MEMORY)
            raise
        except BaseException:
            with suppress(OSError):  # the disk is full
                self.folder.note_end(STOPPED)
            raise

    def _compute(
        self, candidate: Candidate, params: Mapping[str, Any], images: ImageSet
    ) -> dict[str, Any]:
        with storage_errors():
            trial = import_optuna().Trial(self.study, self.trial_id)
        self.folder.write_net(candidate)
        state, error, accuracy = "complete", "", None
        try:
            accuracy = self._train(trial, candidate, images)
        except _Stopped:
            state = "pruned"
        except DivergedError as stop:
            state, error = "diverged", str(stop)
        except MachineError:
            raise
        except Exception as stop:
            if _is_out_of_memory(stop):
                raise MachineFault(f"Trial {self.number} ran out of memory: {stop}") from None
            traceback.print_exc()  # an error of this net alone: the others go on
            state, error = "failed", str(stop).strip() or type(stop).__name__
        return self._result(candidate, params, state=state, error=error, accuracy=accuracy)

    def _train(self, trial: Any, candidate: Candidate, images: ImageSet) -> Accuracy:
        """Train the net; return its last accuracy."""
        config = self.search.config(self.number, **candidate.training)
        network = candidate.architecture.build(seed=config.seed)
        before = time.monotonic(), time.process_time()

        def on_accuracy(epoch: int, accuracy: Accuracy) -> None:
            nonlocal before
            now = time.monotonic(), time.process_time()
            self.folder.add_epoch(epoch, accuracy, now[0] - before[0], now[1] - before[1])
            before = now

        def stop_early(*, saved: int) -> None:
            """Report the epochs of the checkpoint, and stop unless the net is one of the best."""
            if not self.search.prunes:
                return
            with storage_errors():
                reported = trial.study._storage.get_trial(self.trial_id).intermediate_values
                for each in self.folder.read_epochs(up_to=saved):
                    if each["epoch"] not in reported:
                        trial.report(each["accuracy"], each["epoch"])
                if saved < config.epochs and trial.should_prune():
                    raise _Stopped

        def progress(step: int, n_steps: int, values: Mapping[str, float]) -> None:
            if "top1" in values:
                stop_early(saved=step * config.epochs // n_steps)

        if saved := self._saved_step() // (len(images.train) // config.batch_size):
            stop_early(saved=saved)
        done = train(
            network,
            images,
            config,
            out=self.folder.run,
            device=find_device(self.search.machine.device),
            resume="auto",
            progress=progress,
            on_accuracy=on_accuracy,
        )
        return done.accuracy

    def _saved_step(self) -> int:
        """Return the step of the last checkpoint; 0 without one."""
        checkpoint = self.folder.run / CHECKPOINT
        return read_checkpoint(checkpoint, with_tensors=False)[0] if checkpoint.is_file() else 0

    def _result(
        self,
        candidate: Candidate,
        params: Mapping[str, Any],
        *,
        state: str,
        error: str,
        accuracy: Accuracy | None = None,
        builds: bool = True,
    ) -> dict[str, Any]:
        epochs = self.folder.read_epochs()
        costs = {"parameters": 0, "multiply_adds": 0}
        try:
            if builds:
                network: Any = candidate.architecture.build(seed=None)
                costs = {
                    "parameters": sum(parameter.numel() for parameter in network.parameters()),
                    "multiply_adds": count_multiply_adds(network),
                }
        except Exception:
            if state != "failed":
                raise
        last = described(accuracy) if accuracy else (epochs[-1] if epochs else {})
        measured = {"accuracy": last.get("accuracy"), **costs}
        seed = self.search.seed + self.number
        return {
            "format": 1,
            "study": self.search.name,
            "number": self.number,
            "state": state,
            "error": error,
            "model": candidate.architecture.name,
            **measured,
            "objectives": {name: measured[name] for name in self.search.objectives},
            "by_timestep": last.get("by_timestep", {}),
            "epochs": epochs,
            **{
                name: round(sum(each[name] for each in epochs), 3)
                for name in ("seconds", "cpu_seconds")
            },
            "attempts": self.folder.n_attempts(),
            "threads": torch.get_num_threads(),
            "params": dict(params),
            "choices": dict(candidate.choices),
            "training": dict(candidate.training),
            "seeds": {"search": self.search.seed, "weights": seed, "training": seed},
            "architecture": candidate.architecture.as_json(),
            **code_version(),
            "code": code_sha256(),
        }

    def _tell(self, result: Mapping[str, Any]) -> None:
        states = import_optuna().trial.TrialState
        # A net that diverges is one of the worst, from which the sampler learns; a failed one says
        # nothing of its dimensions.
        state = {"complete": states.COMPLETE, "failed": states.FAIL}.get(
            result["state"], states.PRUNED
        )
        values = list(result["objectives"].values()) if state == states.COMPLETE else None
        with storage_errors():
            self.study.tell(self.number, values, state=state, skip_if_finished=True)


def _is_out_of_memory(error: Exception) -> bool:
    kinds = (MemoryError, torch.cuda.OutOfMemoryError)
    return isinstance(error, kinds) or "can't allocate memory" in str(error)


def _in_words(faults: Sequence[str]) -> str:
    reasons = " or ".join(FAULTS[fault] for fault in dict.fromkeys(faults))
    return f"The machine failed in {len(faults)} attempts in a row without a checkpoint: {reasons}."


def load_search_images(search: Search, load: Callable[[str], ImageSet]) -> ImageSet:
    """Return the images of a search: a part of the training images to train on, one to test on.

    Parameters
    ----------
    search
        The search.
    load
        Returns labelled images by their name.

    Raises
    ------
    NeurofitError
        If the images to test on lack classes.
    """
    held_out = load(search.data).with_validation(search.validation)
    n_seen = len(set(held_out.test.labels.tolist()))
    if n_seen < min(len(held_out.classes), search.validation):
        raise NeurofitError(
            f"validation: the last {search.validation:,} training images of {search.data} have "
            f"{n_seen} of {len(held_out.classes)} classes. Images that are ordered by class, as in "
            "class folders, cannot be split so; shards have a shuffled order."
        )
    if search.images is None:
        return held_out
    part = held_out.train.first(search.images)
    name = f"{held_out.name}, trained on the first {len(part):,}"
    return replace(held_out, name=name, train=part)
