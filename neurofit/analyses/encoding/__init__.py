"""Encoding: fit maps from activations to responses over bins, layers, halves and splits."""
