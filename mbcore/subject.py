"""A network as `advise` tries it out: a copy of a Program or of a PyTorch module, behind the same
few questions."""

from __future__ import annotations

import sys

from .given import read
from .program import Program
from .tried_module import TriedModule
from .tried_program import TriedProgram


def subject(net, data, loss, rng):
    """The network, ready to be tried; an error names what does not fit.

    net: a Program, or a torch.nn.Module with its `loss`, a function of (scores, target).
    data: see `given.read`. rng: a numpy.random.Generator, for the order of the examples.
    """
    torch = sys.modules.get("torch")
    if isinstance(net, Program):
        if loss is not None:
            raise ValueError(
                "loss: expected none with a Program, whose equations say L; it is for a PyTorch"
                " module"
            )
        return TriedProgram(net, read(data), rng)
    if torch is not None and isinstance(net, torch.nn.Module):
        return TriedModule(torch, net, read(data), loss, rng)
    hint = (
        '; equations.with_index("b").compile(b=..., ...) makes a Program'
        if hasattr(net, "graph")
        else ""
    )
    raise TypeError(f"net: expected a Program or a torch.nn.Module, got {type(net).__name__}{hint}")
