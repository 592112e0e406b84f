"""Lag and pace: which time of a model belongs to which time of a recording."""
