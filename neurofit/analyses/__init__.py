"""Analyses: questions asked of activations and a recording, one per file."""

from neurofit.analyses import ceiling as _ceiling  # noqa: F401 - registers itself
from neurofit.analyses import decoding as _decoding  # noqa: F401 - same
from neurofit.analyses import dimensionality as _dimensionality  # noqa: F401 - same
from neurofit.analyses import geometry as _geometry  # noqa: F401 - same
from neurofit.analyses import latency as _latency  # noqa: F401 - same
from neurofit.analyses import similarity as _similarity  # noqa: F401 - registers itself
from neurofit.analyses import solution_times as _solution_times  # noqa: F401 - same
from neurofit.analyses.analysis import ANALYSES
from neurofit.analyses.generalisation import generalise as _generalise  # noqa: F401 - same
from neurofit.analyses.lag import lag as _lag  # noqa: F401 - same
from neurofit.analyses.partition import partition as _partition  # noqa: F401 - same
from neurofit.analyses.predictivity import score as _score  # noqa: F401 - registers itself
from neurofit.analyses.recorded import animals as _animals  # noqa: F401 - same
from neurofit.analyses.recorded import areas as _areas  # noqa: F401 - same
from neurofit.analyses.recorded import turing as _turing  # noqa: F401 - same

__all__ = ["ANALYSES"]
