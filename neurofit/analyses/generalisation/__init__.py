"""Generalisation of maps over time: fitted in one time bin, tested in all."""
