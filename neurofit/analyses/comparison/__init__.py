"""Comparisons of results: paired differences, ranks and the conclusion in words."""
