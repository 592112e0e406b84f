"""Searches for architectures and hyperparameters: many trials, each an ordinary training run.

space.py       the space: its dimensions, what a study file makes of them, and how a net is drawn
study.py       the study: a TOML file or a `Search`
storage.py     what Optuna stores, in a journal file or PostgreSQL; sampling and pruning
trials.py      the files of a search, a line of JSON per trial, and the table made of them
status.py      the state of a search, and its best trials
trial.py       one trial: draw, train, report, and stop early
work.py        a worker, which takes trials until none is left
run.py         workers on this machine and on a SLURM cluster
export.py      a trial as a model file
repeat.py      a trial trained again from its line
"""
