"""Measures of agreement: pure functions of arrays, one file per measure."""
