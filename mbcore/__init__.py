"""mbcore: the lecture's equations, run; minibatching is one visible act on them."""

from .advise import advise
from .backend import gpu_available, to_cpu, to_gpu, xp_of
from .equations import Equations, equations
from .notation import NotationError
from .program import Program
from .verdicts import verdicts

__all__ = ["Equations", "NotationError", "Program", "advise", "equations", "gpu_available", "to_cpu", "to_gpu", "verdicts", "xp_of"]
