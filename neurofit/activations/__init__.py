"""Activations: what a model computes for each stimulus at each timestep."""
