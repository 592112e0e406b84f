"""Noise-corrected predictivity in time: the analysis behind `neurofit score`."""
