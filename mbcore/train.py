"""The training loop: batches in, a record out, step by step so that a panel can draw it as it goes and stop it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice

import numpy as np

from .backend import one_blas_thread, to_cpu
from .data import batches


@dataclass(frozen=True)
class Record:
    """What was measured along one training run; every array has one entry for each time we looked.

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
        """Whether the loss stopped being a number, or ended above ten times where it began."""
        return not np.isfinite(self.loss[-1]) or self.loss[-1] > 10 * self.loss[0]


def training(program, data, lr, epochs, rng, B=None, looks=30):
    """Train by SGD without replacement, and yield (fraction done, Record so far) each time we look.

    program: compiled with inputs x and target and scores s. B: examples in a step, up to the compiled size (the default).
    looks: how often the loss is measured, evenly over the run. The last yield has fraction 1.
    Stops early when the loss is no longer a number.
    """
    B = program.sizes[program.graph.batch] if B is None else B
    n = len(data.x_train)
    total = epochs * -(-n // B)
    marks = sorted(set(np.linspace(0, total, looks + 1).round().astype(int).tolist()))
    everything, test = program.resized(b=n), program.resized(b=len(data.x_test))
    coming, rows, seconds = batches(n, B, rng, epochs=epochs), [], 0.0

    def look(step):
        loss = float(everything.forward(x=data.x_train, target=data.target_train).mean())
        guess = to_cpu(test.evaluate("s", x=data.x_test)).argmax(-1)
        rows.append((step, step * epochs / total, seconds, loss, float((guess != data.target_test).mean())))
        steps, *rest = map(np.array, zip(*rows))
        return step / total, Record(B, steps, *rest)

    yield look(0)
    for before, step in zip(marks, marks[1:]):
        with one_blas_thread(), np.errstate(all="ignore"):        # a run that diverges is told by its record
            start = time.perf_counter()
            for at in islice(coming, step - before):
                program.step(lr, x=data.x_train[at], target=data.target_train[at])
            seconds += time.perf_counter() - start
            done, record = look(step)
        if not np.isfinite(record.loss[-1]):
            yield 1.0, record
            return
        yield done, record


def train(program, data, lr, epochs, rng, B=None, looks=30):
    """`training` run to its end; returns the last Record."""
    for _, record in training(program, data, lr, epochs, rng, B, looks):
        pass
    return record
