"""Recurrent cells, one per file. `CELLS[name](shapes, **options)` builds a registered cell."""

from neurofit.models.cells.cell import (
    CELLS,
    WEIGHT_DECAY,
    Cell,
    CellShapes,
    Drive,
    Shape,
    State,
    register_cell,
)
from neurofit.models.cells.egu import EGU
from neurofit.models.cells.gru import GRU
from neurofit.models.cells.intersectionrnn import IntersectionRNN
from neurofit.models.cells.lstm import LSTM
from neurofit.models.cells.memoryless import Memoryless
from neurofit.models.cells.reciprocal import Reciprocal
from neurofit.models.cells.res3 import Res3
from neurofit.models.cells.rgc import RGC
from neurofit.models.cells.rgc_median import RGCMedian
from neurofit.models.cells.simplernn import SimpleRNN
from neurofit.models.cells.timedecay import TimeDecay
from neurofit.models.cells.ugrnn import UGRNN

__all__ = [
    "CELLS",
    "EGU",
    "GRU",
    "LSTM",
    "RGC",
    "UGRNN",
    "WEIGHT_DECAY",
    "Cell",
    "CellShapes",
    "Drive",
    "IntersectionRNN",
    "Memoryless",
    "RGCMedian",
    "Reciprocal",
    "Res3",
    "Shape",
    "SimpleRNN",
    "State",
    "TimeDecay",
    "register_cell",
]
