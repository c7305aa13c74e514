"""mbcore: the lecture's equations, run; minibatching is one visible act on them."""

from .advise import advise
from .backend import gpu_available, to_cpu, to_gpu, xp_of
from .equations import Equations, equations
from .notation import NotationError
from .program import Program
from .sources import dataset
from .verdicts import verdicts

__all__ = [
    "Equations",
    "NotationError",
    "Program",
    "advise",
    "dataset",
    "equations",
    "gpu_available",
    "to_cpu",
    "to_gpu",
    "verdicts",
    "xp_of",
]
