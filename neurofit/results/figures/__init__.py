"""Figures of results: functions that draw on axes, and whole figures in the formats of journals.

matplotlib is imported when something is drawn.

Examples
--------
>>> import neurofit
>>> recording = neurofit.load_recording("hvm-sim", region="V4", window=(70, 130))
>>> config = neurofit.CeilingConfig(n_halves=2, n_bootstraps=20)
>>> figure = neurofit.figures.draw(neurofit.ceiling(recording, config), width="85mm")
>>> neurofit.figures.save(figure, "ceiling.pdf")
"""

from neurofit.results.figures.captions import caption as caption
from neurofit.results.figures.compose import draw as draw
from neurofit.results.figures.config import FigureConfig as FigureConfig
from neurofit.results.figures.heatmaps import layers as layers
from neurofit.results.figures.lines import curves as curves
from neurofit.results.figures.lines import raw_curves as raw_curves
from neurofit.results.figures.looks import save as save
from neurofit.results.figures.looks import show as show
from neurofit.results.figures.looks import style as style
from neurofit.results.figures.looks import svg as svg
from neurofit.results.figures.paired import difference as difference
from neurofit.results.figures.paired import scatter as scatter
from neurofit.results.figures.points import learning as learning
from neurofit.results.figures.points import sites as sites
from neurofit.results.figures.sheet import recording_sheet as recording_sheet
