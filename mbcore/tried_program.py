"""A Program that `advise` tries out; see `tried`."""

from __future__ import annotations

import numpy as np

from .backend import free_memory, one_blas_thread, to_cpu
from .derivatives import coupling
from .hardware import last_that
from .program import Program
from .tried import TRIED, Tried


class TriedProgram(Tried):
    memory_note = "counted from the shapes of all arrays"
    notes = ()

    def __init__(self, net, examples, rng):
        graph = net.graph
        _refuse_unfit(net)
        super().__init__(examples, rng)
        self.coupled = coupling(graph)
        self.device = net.device
        self._graph, self._net = graph, net
        self.parameters = sum(p.size for p in net.params.values())
        free = free_memory(net.device)
        self.largest = last_that(lambda B: self.nbytes(B) <= free)
        if not self.largest:
            raise MemoryError(
                "net: not even a batch of one example fits into the memory that is free"
            )
        self.net = self._made(min(self.most, TRIED))
        drawn = any(bool(p.any()) for p in net.params.values())
        first = net if drawn else self.net.init(rng)
        self._starts = [{name: p.copy() for name, p in first.params.items()}]
        xp = self.net.xp
        self._x, self._target = (xp.asarray(array) for array in examples.given)
        if self._x.dtype.kind == "f":
            self._x = self._x.astype(net.dtype)
        self.reset()
        for k in self.extremes():
            loss = self.loss(np.array([k]))  # the program itself names a wrong shape or label
            if not np.isfinite(loss):
                raise ValueError(
                    f"net: expected a finite loss at the start, got {loss} for example {k} of the"
                    " data"
                )

    def _made(self, B, **how):
        net = self._net
        return Program(
            self._graph, {**net.sizes, self._graph.batch: int(B)}, net.device, net.dtype, **how
        )

    def private(self):
        """One BLAS thread, as `train` has it."""
        return one_blas_thread()

    def reset(self, start=0):
        for name, p in self.net.params.items():
            p[...] = self._starts[start][name]

    def _shuffled(self, name, p):
        host = to_cpu(p)
        return self.net.xp.asarray(self.rng.permutation(host.reshape(-1)).reshape(host.shape))

    def _take(self, at, target_at=None):
        """The examples, on the program's device; only their places are copied there."""
        at = self.net.xp.asarray(at)
        target_at = at if target_at is None else self.net.xp.asarray(target_at)
        return {"x": self._x[at], "target": self._target[target_at]}

    def timed(self, B):
        self.net.step(0.0, **self._take(self.batch(B)))

    def step(self, at, lr):
        return float(self.net.step(lr, **self._take(at)).mean())

    def loss(self, at):
        return float(self.net.forward(**self._take(at)).mean())

    def _losses_with(self, at, target_at):
        each = [self.net.forward(**self._take(at, column)) for column in target_at.T]
        return np.stack([to_cpu(losses).astype(float) for losses in each], axis=1)

    def _losses_of_nothing(self):
        """Some examples' losses where every parameter is 0, and so the scores of most networks; how
        many scores there may be."""
        for p in self.net.params.values():
            p.fill(0)
        try:
            return self.own_losses(self.order[: min(16, self.most)]), set(self._net.sizes.values())
        finally:
            self.reset()

    def gradient(self, at):
        self.net.forward(**self._take(at))
        self.net.backward()
        grads = self.net.grads
        reached = [to_cpu(grads[name]).reshape(-1) for name in self.net.params if name in grads]
        return np.concatenate(reached)

    def nbytes(self, B):
        return self._made(B, _dry=True).nbytes


def _refuse_unfit(net):
    graph = net.graph
    if "L" not in graph.roles.computed or graph.batch is None or graph.replicas or not net.params:
        raise ValueError(
            "net: expected one network with parameters, whose L has a batch index, without"
            f" replicas; got L[{','.join(graph.shapes.get('L', ()))}], parameters"
            f" {', '.join(net.params) or 'none'}, replicas {', '.join(graph.replicas) or 'none'}"
        )
    if set(graph.roles.inputs) != {"x", "target"}:
        raise ValueError(
            f"net: expected the inputs x and target, got {', '.join(graph.roles.inputs)}; rename"
            " them so in the equations, and write a constant as a number"
        )
    if len(net.mean_in) != 1:
        raise ValueError(f"net: expected 1/B in one place, got mean_in={net.mean_in}")
