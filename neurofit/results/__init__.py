"""Results: datasets whose variables have roles; checked, saved, summarised and drawn."""

from neurofit.results import accessor as _accessor  # noqa: F401 - adds `result.neurofit`
