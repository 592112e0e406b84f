"""Recorded responses as the source of a map: areas, animals, and a model among animals."""
