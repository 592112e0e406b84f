"""SIMULATED recording `hvm-sim`: V4 and IT sites with known truth, built in under a minute.

Version 3 has the same bits on every machine (`exact`, `fingerprint`); the counts of version 2, and
some of its images, depended on the kernel of BLAS.

folder()          NEUROFIT_HOME/recordings/hvm-sim/<hash of the recipe>
load_or_build()   builds the recording if it is absent, then opens it lazily
load_teacher(..)  the network that the sites read
"""

from neurofit.data_loaders.hvm_sim.recipe import Recipe
from neurofit.data_loaders.hvm_sim.storage import folder, load_or_build, load_teacher

__all__ = ["Recipe", "folder", "load_or_build", "load_teacher"]
