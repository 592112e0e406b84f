"""The train/test splits and the trial halves that a configuration draws for a recording."""

from __future__ import annotations

import numpy as np

from neurofit.analyses.encoding.config import EncodingConfig
from neurofit.mapping.splits import fold_splits, train_splits
from neurofit.recordings.recording import Recording
from neurofit.recordings.trials import recording_sessions, split_halves


def draw_train_splits(recording: Recording, config: EncodingConfig) -> np.ndarray:
    """Return the training stimuli of each split: boolean (split stimulus)."""
    table = recording.stimuli.table
    column = config.stratify_by(map(str, table))
    strata = table[column].to_numpy() if column else None
    if config.splits == "folds":
        return fold_splits(len(table), n_folds=config.n_splits, seed=config.seed, strata=strata)
    return train_splits(
        len(table),
        n_splits=config.n_splits,
        train_size=config.train_size,
        seed=config.seed,
        strata=strata,
    )


def draw_halves(recording: Recording, config: EncodingConfig) -> np.ndarray:
    """Return the trials of each first half: boolean (half presentation)."""
    return split_halves(
        recording.stimulus_rows,
        n_halves=config.n_halves,
        seed=config.seed,
        by=config.halves_by,
        repetition=recording.responses.repetition.values,
        session=recording_sessions(recording),
    )
