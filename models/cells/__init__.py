"""The cells, one file each; `CELLS[name](shapes, **options)` builds one. See models/README.md for adding one."""

from neurofit.models.cells.cell import CELLS, Cell, CellShapes, Shape, State, register_cell
from neurofit.models.cells.lstm import LSTM
from neurofit.models.cells.memoryless import Memoryless
from neurofit.models.cells.rgc import RGC
from neurofit.models.cells.simplernn import SimpleRNN
from neurofit.models.cells.timedecay import TimeDecay

__all__ = ["CELLS", "LSTM", "RGC", "Cell", "CellShapes", "Memoryless", "Shape", "SimpleRNN", "State", "TimeDecay", "register_cell"]
