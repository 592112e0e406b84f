"""Sweeps: many scores from one study file, on one machine or on a cluster, each computed once.

study.py       the study: a TOML file or a `Study`, and the grid of its cells
suites.py      named sets of recordings, areas, windows and mappings
cells.py       a cell: one result, found by the hash of what it depends on
plan.py        tasks: cells that share an extraction, and what is finished already
work.py        a task in a process of its own: python -m neurofit.analyses.sweeps.work TASK
local.py       tasks on this machine
slurm.py       tasks on a SLURM cluster
status.py      what is finished, running and failed, from files alone
"""
