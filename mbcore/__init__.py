"""mbcore: the lecture's equations, run; minibatching is one visible act on them."""

from .advise import advise
from .backend import gpu_available, to_cpu, to_gpu, xp_of
from .equations import Equations, equations
from .notation import NotationError
from .program import Program
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


def __getattr__(name):
    """`dataset` is loaded at its first use: readers of files take a tenth of the import."""
    if name != "dataset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .sources import dataset

    globals()[name] = dataset
    return dataset


def __dir__():
    return sorted({*globals(), *__all__})
