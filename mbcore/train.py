"""The training loop: batches in, a record out, step by step so that a panel can draw it as it goes and stop it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import numpy as np

from .backend import one_blas_thread, to_cpu
from .data import batches
from .progress import last


@dataclass(frozen=True)
class Record:
    """What was measured along one training run; every array has one entry for each time we looked, [look] or [look, r].

    loss: mean of L over the whole training set. test_error: share of test examples whose largest s is not the target.
    seconds: time spent in steps, taking their batches included; looking is not counted.
    """

    B: int
    steps: np.ndarray
    epochs: np.ndarray
    seconds: np.ndarray
    loss: np.ndarray
    test_error: np.ndarray

    @property
    def diverged(self):
        """Whether the loss stopped being a number, or ended above ten times where it began; of replicas, of all."""
        return bool(np.all(~np.isfinite(self.loss[-1]) | (self.loss[-1] > 10 * self.loss[0])))


def training(program, data, lr, epochs, rng, B=None, looks=30, compute=None, rule=None, saved=None):
    """Train without replacement, and yield (fraction done, Record so far) each time we look; the last fraction is 1.

    A run may be left after any yield and taken up again later: nothing is lost. With `saved`, the path of a file, that holds
    over the end of the process: the run is written there at each look, and called again with the same arguments, goes on from there.

    program: compiled with inputs x and target and scores s; with a replica index r every replica has batches of its own,
        from the k-th spawn of rng. lr: a number, an array [r], or a function of the step (0, 1, ...) that gives one.
    B: examples in an update, the optimisation batch; the size that the program was compiled for by default.
    compute: examples in one forward and backward, the compute batch; B by default, and then nothing is accumulated. The
        gradients of the parts are averaged by their numbers of examples, so a smaller last part counts for what it is.
    rule: an update rule of `optim`; None is SGD. looks: how often the loss is measured, evenly over the run.
    Stops early when no loss is a number any more.
    """
    B = program.sizes[program.graph.batch] if B is None else B
    n, rate = len(data.x_train), lr if callable(lr) else lambda step: lr
    total = epochs * -(-n // B)
    marks = sorted(set(np.linspace(0, total, looks + 1).round().astype(int).tolist()))
    everything, test = (program.resized(**{program.graph.batch: len(x)}) for x in (data.x_train, data.x_test))
    key = f"{program!r}, {n} examples, lr {getattr(lr, '__qualname__', lr)!r}, {epochs} epochs, B = {B}, {looks} looks, rule {rule!r}, {rng.bit_generator.state}"
    coming, rows = _indices(program, n, B, rng, epochs), _taken_up(saved, key, program, rule)
    update, first, seconds = _update(program, B, compute, rule), rows[-1][0] if rows else 0, rows[-1][2] if rows else 0.0

    def look(step):
        loss = to_cpu(everything.forward(x=data.x_train, target=data.target_train)).mean(axis=-1)
        rows.append((step, step * epochs / total, seconds, loss, 1 - accuracy(test, data.x_test, data.target_test)))
        _write(saved, key, program, rule, rows)
        return so_far(step)

    def so_far(step):
        return step / total, Record(B, *map(np.array, zip(*rows)))

    yield so_far(first) if rows else look(0)
    for _ in range(first):                                        # their examples were learned from before the stop
        next(coming)
    marks = [mark for mark in marks if mark >= first]
    for before, after in zip(marks, marks[1:]):
        with one_blas_thread(), np.errstate(all="ignore"):        # a run that diverges is told by its record
            start = time.perf_counter()
            for step, at in zip(range(before, after), coming):
                update(rate(step), x=data.x_train[at], target=data.target_train[at])
            seconds += time.perf_counter() - start
            done, record = look(after)
        if not np.isfinite(record.loss[-1]).any():
            yield 1.0, record
            return
        yield done, record


def predicted(program, x, scores="s"):
    """The class with the largest score of each example: [n], or [r,n]. x: any number of examples."""
    b = program.graph.batch
    fits = program if len(x) <= program.sizes[b] else program.resized(**{b: len(x)})
    return to_cpu(fits.evaluate(scores, x=x)).argmax(axis=-1)


def accuracy(program, x, target, scores="s"):
    """The share of examples whose class is predicted: a number, or one for each replica, [r]."""
    right = predicted(program, x, scores) == to_cpu(target)
    return right.mean(axis=-1)


def _write(path, key, program, rule, rows):
    """The run so far in one NPZ file, put in place whole: a stop while writing leaves the older one."""
    if path is None:
        return
    state = {"rule." + name: to_cpu(a) for name, a in rule.state.items()} if rule else {}
    columns = dict(zip(("steps", "epochs", "seconds", "loss", "test_error"), map(np.array, zip(*rows))))
    with open(f"{path}.new", "wb") as file:
        np.savez(file, key=key, **columns, **state, **{"parameter." + name: to_cpu(p) for name, p in program.params.items()})
    os.replace(f"{path}.new", path)


def _taken_up(path, key, program, rule):
    """The rows of a run that was written to this path, its parameters and the rule's state set; [] where there is none."""
    if path is None or not os.path.exists(path):
        return []
    with np.load(path) as file:
        found = dict(file)
    if "key" not in found or str(found["key"]) != key:
        raise ValueError(f"saved: {path} holds another run, {found.get('key', 'or none')}; this one is {key}")
    under = lambda prefix: {name[len(prefix):]: a for name, a in found.items() if name.startswith(prefix)}
    for name, a in under("parameter.").items():
        program.params[name][...] = program.xp.asarray(a)
    if rule:
        rule.state = {name: program.xp.asarray(a) if a.ndim else a for name, a in under("rule.").items()}
    return list(zip(*(found[name] for name in ("steps", "epochs", "seconds", "loss", "test_error"))))


def _indices(program, n, B, rng, epochs):
    """Batches of indices [b], or [r,b] with a stream of its own for each replica."""
    if not program.graph.replicas:
        return batches(n, B, rng, epochs=epochs)
    R = program.sizes[program.graph.replicas[0]]
    return map(np.stack, zip(*(batches(n, B, stream, epochs=epochs) for stream in rng.spawn(R))))


def _update(program, B, compute, rule):
    """The function (lr, x, target) that makes one update."""
    largest = program.sizes[program.graph.batch]
    if compute is None and rule is None and B <= largest:
        return program.step
    compute = min(B, largest) if compute is None else compute

    def update(lr, **inputs):
        gradients = accumulated(program, compute, **inputs)
        if rule is not None:
            return rule.update(program.params, gradients, lr)
        for name, p in program.params.items():
            p -= np.reshape(lr, np.shape(lr) + (1,) * (p.ndim - np.ndim(lr))) * gradients[name]
    return update


def accumulated(program, compute, **inputs):
    """The gradient of the mean loss over all these examples, computed `compute` at a time: name -> array.

    g = sum over parts of (examples in the part / all examples) g_part; equal to the gradient of one pass, to rounding.
    """
    if program.mean_in != ("parameters",):
        raise ValueError(f"program: expected the convention mean_in=('parameters',), got {program.mean_in}")
    if not isinstance(compute, (int, np.integer)) or not 1 <= compute <= program.sizes[program.graph.batch]:
        raise ValueError(f"compute: expected 1 to {program.sizes[program.graph.batch]} examples, for which the program was compiled, got {compute!r}")
    axis = program.graph.shapes["L"].index(program.graph.batch)
    B, total = np.shape(inputs["target"])[axis], None
    for first in range(0, B, compute):
        part = {name: a[(slice(None),) * axis + (slice(first, first + compute),)] for name, a in inputs.items()}
        program.forward(**part)
        program.backward()
        share = min(compute, B - first) / B
        found = {name: share * program.grads[name] for name in program.params}
        total = found if total is None else {name: total[name] + g for name, g in found.items()}
    return total


def train(program, data, lr, epochs, rng, B=None, looks=30, compute=None, rule=None, saved=None):
    """`training` run to its end; returns the last Record."""
    return last(training(program, data, lr, epochs, rng, B, looks, compute, rule, saved))
