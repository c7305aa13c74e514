"""A network that `advise` tries out: a copy of a Program or of a PyTorch module, behind the few questions that are asked of it.

Both answer, for examples given by their places `at`: `step(at, lr)`, one step of SGD, and `loss(at)`, both the mean loss;
`gradient(at)`, its gradient as one vector; `timed(B)`, a step that changes nothing; `nbytes(B)`, `reset()`. Whatever is done
to the copy, the network it was made from stays as it is. PyTorch is imported only by who has a module of it.
"""

from __future__ import annotations

import copy
import sys
from contextlib import contextmanager

import numpy as np

from .backend import free_memory, one_blas_thread
from .program import Program

GROUPS = 24             # of examples, from whose mean gradients the noise scale is taken
ENTRIES = 2**26         # numbers that these gradients may have together
TRIED = 4096            # examples in one batch of a trial, at most


def subject(net, data, loss, rng):
    """The network, ready to be tried; an error names what does not fit."""
    n, torch = _examples(data), sys.modules.get("torch")
    if isinstance(net, Program):
        if loss is not None:
            raise ValueError("loss: expected none with a Program, whose equations say L; it is for a PyTorch module")
        return ProgramSubject(net, data, n, rng)
    if torch is not None and isinstance(net, torch.nn.Module):
        return ModuleSubject(torch, net, data, n, loss, rng)
    hint = "; equations.with_index(\"b\").compile(b=..., ...) makes a Program" if hasattr(net, "graph") else ""
    raise TypeError(f"net: expected a Program or a torch.nn.Module, got {type(net).__name__}{hint}")


def _examples(data):
    """How many examples there are to train on."""
    n = None
    for name in ("x_train", "target_train"):
        array = getattr(data, name, None)
        if array is None:
            raise TypeError(f"data: expected a DataSet with x_train, and target_train with a label for each example; {name} is missing")
        if n is not None and np.shape(array)[:1] != (n,):
            raise ValueError(f"data: expected a label for each of {n} examples, got target_train of shape {np.shape(array)}")
        n = (np.shape(array) or (0,))[0]
        if n < 8:
            raise ValueError(f"data: expected at least 8 examples to train on, got {name} of shape {np.shape(array)}")
    if not np.isfinite(np.asarray(data.x_train)).all():
        raise ValueError("data: expected finite numbers, x_train has inf or nan")
    return n


class Subject:
    """What both kinds share. N: examples. least, largest: the batches it can take, largest by memory."""

    device, least = "cpu", 1

    def __init__(self, n, rng):
        self.N, self.rng, self._from, self._start = n, rng, n, []

    @staticmethod
    def extremes(data):
        """The examples with the lowest and the highest label."""
        target = np.asarray(data.target_train)
        return sorted({int(target.argmin()), int(target.argmax())}) if target.ndim == 1 else [0]

    @property
    def most(self):
        """The largest batch that is worth a thought."""
        return min(self.N, self.largest)

    def batch(self, B):
        """B examples, the next ones of a random order; each pass has another one."""
        if self._from + B > self.N:
            self._order, self._from = self.rng.permutation(self.N), 0
        self._from += B
        return self._order[self._from - B:self._from]

    def gradients(self, examples):
        """The mean gradients of random groups, no example twice: ([group] vectors, examples in a group)."""
        most = min(examples, self.N, self.most * GROUPS)
        k = max(3, min(GROUPS, most // self.least, ENTRIES // self.parameters))
        m = max(self.least, min(most // k, TRIED))
        return [self.gradient(at) for at in self.rng.permutation(self.N)[:k * m].reshape(k, m)], m

    def _fits(self):
        """From B = 2 on the bytes are a + B c, as every array has the batch index once or not at all."""
        one, two, three, free = *map(self.nbytes, (1, 2, 3)), self.free()
        return 2 + (free - two) // max(three - two, 1) if two <= free else int(one <= free)


class ProgramSubject(Subject):
    memory_note = "counted from the shapes of all arrays"

    def __init__(self, net, data, n, rng):
        graph = net.graph
        if "L" not in graph.roles.computed or graph.batch is None or graph.replicas or not net.params:
            raise ValueError("net: expected one network with parameters, whose L has a batch index, without replicas; got "
                             f"L[{','.join(graph.shapes.get('L', ()))}], parameters {', '.join(net.params) or 'none'}, "
                             f"replicas {', '.join(graph.replicas) or 'none'}")
        if len(net.mean_in) != 1 or set(graph.roles.inputs) != {"x", "target"}:
            raise ValueError("net: expected the inputs x and target, and 1/B in one place; "
                             f"got {', '.join(graph.roles.inputs)} and mean_in={net.mean_in}")
        super().__init__(n, rng)
        self.device, self.free = net.device, lambda: free_memory(net.device)
        self._make = lambda B, **how: Program(graph, {**net.sizes, graph.batch: int(B)}, net.device, net.dtype, **how)
        self.parameters, self.largest = sum(p.size for p in net.params.values()), self._fits()
        if not self.largest:
            raise MemoryError("net: not even a batch of one example fits into the memory that is free")
        self.net = self._make(min(self.most, TRIED))
        drawn = any(bool(p.any()) for p in net.params.values())
        self._start = {name: p.copy() for name, p in (net if drawn else self.net.init(rng)).params.items()}
        self._data = {"x": self.net.xp.asarray(data.x_train), "target": self.net.xp.asarray(data.target_train)}
        self.reset()
        for k in self.extremes(data):
            self.loss(np.array([k]))                        # the program itself names a wrong shape or label

    def private(self):
        return one_blas_thread()

    def reset(self):
        for name, p in self.net.params.items():
            p[...] = self._start[name]

    def _take(self, at):
        at = self.net.xp.asarray(at)
        return {name: a[at] for name, a in self._data.items()}

    def timed(self, B):
        self.net.step(0.0, **self._take(self.batch(B)))

    def step(self, at, lr):
        return float(self.net.step(lr, **self._take(at)).mean())

    def loss(self, at):
        return float(self.net.forward(**self._take(at)).mean())

    def gradient(self, at):
        self.loss(at)
        self.net.backward()
        grads = self.net.grads
        return self.net.xp.concatenate([self.net.xp.ravel(grads[name]) for name in self.net.params if name in grads])

    def nbytes(self, B):
        return self._make(B, _dry=True).nbytes


class ModuleSubject(Subject):
    memory_note = ("estimated: the parameters, their gradients and what PyTorch keeps for the backward pass; "
                   "what single operations need for a moment comes on top")

    def __init__(self, torch, net, data, n, loss, rng):
        super().__init__(n, rng)
        if not callable(loss):
            raise TypeError(f"loss: expected a function of (scores, target), as torch.nn.functional.cross_entropy is, got {loss!r}")
        self.torch, self._loss, self._state = torch, loss, None
        try:
            self.net = copy.deepcopy(net).train()
        except Exception as error:
            raise TypeError(f"net: expected a module that copy.deepcopy can copy: {error}") from None
        self.learned = [p for p in self.net.parameters() if p.requires_grad]
        self.parameters = sum(p.numel() for p in self.learned)
        if not self.parameters:
            raise ValueError("net: expected a module with parameters that require a gradient, got none")
        self.on = self.learned[0].device
        x, target = (torch.tensor(np.array(a), device=self.on) for a in (data.x_train, data.target_train))
        self._data = x.to(self.learned[0].dtype) if x.is_floating_point() else x, target
        self._start = copy.deepcopy(self.net.state_dict())
        with self.private():
            self._check(self.extremes(data))
            self.largest = max(self._fits(), self.least)
        self.reset()

    def _check(self, extremes):
        """Both shapes of loss are taken, a sum over the batch is not; batch normalisation cannot take one example."""
        for self.least in (1, 2):
            try:
                for k in extremes:
                    self._grads(np.full(self.least, k))
                break
            except Exception as error:
                if self.least == 2 or str(error).startswith("loss:"):
                    said = "" if str(error).startswith("loss:") else "net: the module or its loss does not take these examples: "
                    raise ValueError(f"{said}{error}") from error
        at = np.arange(min(self.N, 16))
        once, twice = (float(self._loss_of(a).detach().mean()) for a in (at, np.tile(at, 2)))
        if once and abs(twice / once - 2) < 0.1:
            raise ValueError("loss: expected a mean over the batch, or one loss for each example; this one doubles with the batch, "
                             "as a sum does")

    @contextmanager
    def private(self):
        """The module's random numbers, dropout's for example, are its own, and the caller's stay where they were."""
        torch = self.torch
        with torch.random.fork_rng(devices=[self.on] if self.on.type == "cuda" else []), torch.enable_grad():
            if self._state is None:
                torch.manual_seed(int(self.rng.integers(2**31)))
            else:
                torch.set_rng_state(self._state)
            yield
            self._state = torch.get_rng_state()

    def reset(self):
        self.net.load_state_dict(self._start)

    def _loss_of(self, at):
        at = self.torch.as_tensor(at, device=self.on)
        x, target = (a[at] for a in self._data)
        found = self._loss(self.net(x), target)
        if not isinstance(found, self.torch.Tensor) or found.shape not in ((), (len(at),)):
            raise ValueError("loss: expected one number, the mean, or one for each example; got "
                             + (f"shape {tuple(found.shape)} for {len(at)} examples" if hasattr(found, "shape") else type(found).__name__))
        return found

    def _mean_loss(self, at):
        return self._loss_of(at).mean()

    def _grads(self, at):
        loss = self._mean_loss(at)
        if loss.grad_fn is None:
            raise ValueError("loss: expected one that depends on the parameters, got a constant")
        return loss, self.torch.autograd.grad(loss, self.learned, allow_unused=True)

    def timed(self, B):
        self.step(self.batch(B), 0.0)

    def step(self, at, lr):
        loss, grads = self._grads(at)
        with self.torch.no_grad():
            for p, g in zip(self.learned, grads):
                if g is not None:
                    p.sub_(g, alpha=lr)
        return loss.item()                                  # on a GPU this waits for it

    def loss(self, at):
        with self.torch.no_grad():
            return self._mean_loss(at).item()

    def gradient(self, at):
        _, grads = self._grads(at)
        return self.torch.cat([g.reshape(-1) for g in grads if g is not None])

    def free(self):
        return int(self.torch.cuda.mem_get_info(self.on)[0]) if self.on.type == "cuda" else free_memory("cpu")

    def nbytes(self, B):
        """Parameters twice, and what autograd keeps, by running B = 2 and 3 at most: it is a straight line in B."""
        if B > 3:
            two, three = self.nbytes(2), self.nbytes(3)
            return two + (B - 2) * (three - two)
        own = {p.data_ptr() for p in self.learned}
        kept = {}

        def look(tensor):
            if tensor.data_ptr() not in own:
                kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor
        with self.torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
            self._mean_loss(np.arange(max(B, self.least)))
        return sum(2 * p.nbytes for p in self.learned) + sum(kept.values())
