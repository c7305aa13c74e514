"""The training loop: batches in, a record out, step by step, so that a panel can draw and stop it.

    training      the loop as a generator
    train         the loop, run to its end
    accumulated   a gradient in several passes
    predicted     the classes of examples
    accuracy      the share of them that is right
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import runs, trainable
from .backend import device_of, one_blas_thread, to_cpu
from .checking import WrongKind, file_path, generator, host_array, whole
from .data import batches
from .intake import check_names, sizes_of
from .optim import SGD
from .progress import last
from .trainable import as_array, check_batched, check_scores, refuse_coupled


@dataclass(frozen=True)
class Record:
    """What was measured along one training run; every array has one entry for each time we looked,
    [look] or [look, r].

    loss: mean of L over the whole training set. test_error: share of test examples whose largest s
    is not the target; one whose s is not a number counts as an error. Where examples are coupled,
    as by batch normalisation, either set is one batch.
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
        """Whether the loss stopped being a number, or ended above ten times where it began; of
        replicas, of all."""
        return bool(np.all(~np.isfinite(self.loss[-1]) | (self.loss[-1] > 10 * self.loss[0])))


def training(program, data, lr, epochs, rng, B=None, looks=30, compute=None, rule=None, saved=None):
    """Train without replacement, and yield (fraction done, Record so far) each time we look; the
    last fraction is 1.

    A run may be left after any yield and taken up again later: nothing is lost. With `saved`, the
    path of a file, that holds over the end of the process: the run is written there at each look,
    and called again with the same arguments, goes on from there, to the same numbers. An update is
    made whole or not at all, also where Ctrl-C comes.

    program: compiled with inputs x and target (class labels) and scores s[b,y], its parameters
        drawn; with a replica index r every replica has batches of its own, from the k-th spawn of
        rng.
    data: a DataSet, or whatever has x_train, target_train, x_test and target_test, on the
        program's device.
    lr: a number, an array [r], or a function of the step (0, 1, ...) that gives one; never
        negative, and not 0 throughout.
    B: examples in an update, the optimisation batch; the size that the program was compiled for by
        default. A pass of n examples ends with a batch of the n mod B that are left; where
        examples are coupled they have only each other.
    compute: examples in one forward and backward, the compute batch; B by default, and then
        nothing is accumulated. The gradients of the parts are averaged by their numbers of
        examples, so a smaller last part counts for what it is.
    rule: an update rule of `optim`, or any object with update(params, grads, lr); None is SGD. It
        goes on from its state.
    looks: how often the loss is measured, evenly over the run.
    Stops early when no loss is a number any more.

    All arguments are checked here, before the first step. ValueError or TypeError names the one
    that does not fit.
    """
    trainable.check_program(program)
    largest = program.sizes[program.graph.batch]
    sets = trainable.checked_data(program, data)
    n = len(sets["train"]["target"])
    epochs, looks = whole("epochs", epochs), whole("looks", looks)
    generator(rng, spawns=bool(program.graph.replicas))
    B = trainable.batch_size(B, largest, n)
    compute = trainable.compute_size(program, compute, B, rule)
    rates = trainable.rates_of(lr, program)
    trainable.check_rule(rule)
    total = epochs * -(-n // B)
    marks = sorted(set(np.linspace(0, total, min(looks, total) + 1).round().astype(int).tolist()))
    file = None
    if saved is not None:
        saved = file_path("saved", saved)
        given = dict(lr=lr, epochs=epochs, B=B, looks=looks, compute=compute, rule=rule)
        describe = partial(runs.identity, program, sets, rng, given)
        file = runs.File(saved, describe, program, rule, marks, epochs)
    return _run(program, sets, rates, epochs, rng, B, compute, rule, marks, file)


def train(program, data, lr, epochs, rng, B=None, looks=30, compute=None, rule=None, saved=None):
    """`training` run to its end; returns the last Record."""
    return last(training(program, data, lr, epochs, rng, B, looks, compute, rule, saved))


def _run(program, sets, rates, epochs, rng, B, compute, rule, marks, file):
    """The loop of `training`, its arguments checked."""
    b, n, total = program.graph.batch, len(sets["train"]["target"]), marks[-1]
    everything, test = (
        program.resized(**{b: len(part["target"])}) for part in (sets["train"], sets["test"])
    )
    x, target = sets["train"]["x"], sets["train"]["target"]
    test_x, test_target = sets["test"]["x"], to_cpu(sets["test"]["target"])
    rows = file.take_up() if file else []
    first, seconds = (rows[-1][0], rows[-1][2]) if rows else (0, 0.0)
    coming = _indices(program, n, B, rng, epochs)
    update = _update(program, compute, rule)

    def look(step):
        loss = to_cpu(everything.forward(x=x, target=target)).mean(axis=-1)
        hits = _hits(to_cpu(test.evaluate("s", x=test_x)), test_target)  # the test set as one batch
        rows.append((step, step * epochs / total, seconds, loss, 1 - hits.mean(axis=-1)))
        if file:
            file.write(rows)
        return so_far(step)

    def so_far(step):
        return step / total, Record(B, *map(np.array, zip(*rows)))

    done, record = so_far(first) if rows else look(0)
    if rows[1:] and not np.isfinite(record.loss[-1]).any():  # taken up, and had ended there
        yield 1.0, record
        return
    yield done, record
    for _ in range(first):  # their examples were learned from before the stop
        next(coming)
    marks = [mark for mark in marks if mark >= first]
    for before, after in zip(marks, marks[1:]):
        with one_blas_thread(), np.errstate(all="ignore"):  # divergence shows in the record
            start = time.perf_counter()
            for step, at in zip(range(before, after), coming):
                at = program.xp.asarray(at)  # moved once for both
                update(rates(step), x=x[at], target=target[at])
            seconds += time.perf_counter() - start
            done, record = look(after)
        if not np.isfinite(record.loss[-1]).any():
            yield 1.0, record
            return
        yield done, record


def _indices(program, n, B, rng, epochs):
    """Batches of indices [b], or [r,b] with a stream of its own for each replica."""
    if not program.graph.replicas:
        return batches(n, B, rng, epochs=epochs)
    R = program.sizes[program.graph.replicas[0]]
    return map(np.stack, zip(*(batches(n, B, stream, epochs=epochs) for stream in rng.spawn(R))))


def _update(program, compute, rule):
    """The function (lr, x, target) that makes one update. compute: None where nothing is
    accumulated."""
    if compute is None:
        return program.step
    rule = SGD() if rule is None else rule

    def update(lr, **inputs):
        rule.update(program.params, accumulated(program, compute, **inputs), lr)

    return update


def accumulated(program, compute, **inputs):
    """The gradient of the mean loss over all these examples, computed `compute` at a time: name ->
    array.

    g = sum over parts of (examples in the part / all examples) g_part; equal to the gradient of
    one pass, to rounding.
    inputs: by their names in the equations, any number of examples; one without the batch index
    serves every part as it is. A parameter that L does not depend on has no entry. The parameters
    stay as they are.

    ValueError where examples are coupled, as by batch normalisation, and one pass does not hold
    them all: then the parts' gradients are those of another function.
    """
    graph = check_batched(program).graph
    trainable.check_convention(program)
    compute = whole("compute", compute, 1, program.sizes[graph.batch])
    check_names(inputs, graph.roles.inputs, program.params)
    arrays = {name: as_array(name, a) for name, a in inputs.items()}
    axes = {
        name: _batch_axis(graph, name, a)
        for name, a in arrays.items()
        if graph.batch in graph.shapes[name]
    }
    B = _examples_in(arrays, axes)
    sizes_of(arrays, graph, {**program.sizes, graph.batch: B})
    if compute < B:
        refuse_coupled(
            program,
            "L",
            f"compute: expected all {B} examples of the batch in one pass, got {compute}: ",
            ", so the gradient of a batch is not the mean of its parts' gradients; "
            f"compile for {graph.batch}={B}",
        )
    total = None
    for first in range(0, B, compute):
        cut = slice(first, first + compute)
        part = {
            name: a[(slice(None),) * axes[name] + (cut,)] if name in axes else a
            for name, a in arrays.items()
        }
        program.forward(**part)
        program.backward()
        share, grads = min(compute, B - first) / B, program.grads
        found = {name: share * grads[name] for name in program.params if name in grads}
        total = found if total is None else {name: total[name] + g for name, g in found.items()}
    return total


def _batch_axis(graph, name, array):
    """Where the array has the batch index: one axis earlier where one array serves all replicas."""
    indices = graph.shapes[name]
    shared = array.ndim == len(indices) - 1 and indices[0] in graph.replicas
    return indices.index(graph.batch) - shared


def _examples_in(arrays, axes):
    """The number of examples of the first input that has the batch index; `sizes_of` compares the
    others."""
    name, axis = next(iter(axes.items()))
    shape = arrays[name].shape
    B = shape[axis] if axis < len(shape) else 1  # too few axes: `sizes_of` says which are wanted
    if not B:
        raise ValueError(f"{name}: the batch is empty, shape {shape}; give at least one example")
    return B


def predicted(program, x, scores="s"):
    """The class with the largest score of each example, the first of equal ones: [n], or [r,n]. x:
    any number of examples.

    scores: the name of a computed value [b,y]. ValueError where a score is nan, and where examples
        are coupled, as by batch
    normalisation: the class of an example then depends on the others beside it.
    """
    s = _scores(program, x, scores)
    if np.isnan(s).any():
        raise ValueError(
            f"{scores}: expected numbers, got nan for {np.isnan(s).any(axis=-1).sum()} of "
            f"{s[..., 0].size} examples; has the training diverged?"
        )
    return s.argmax(axis=-1)


def accuracy(program, x, target, scores="s"):
    """The share of examples whose class is predicted: a number, or one for each replica, [r].

    target[n]: labels, whole numbers. An example whose scores are nan counts as wrong. Refuses what
    `predicted` refuses.
    """
    s = _scores(program, x, scores)
    labels, n, classes = (
        host_array("target", to_cpu(target) if device_of(target) == "gpu" else target),
        s.shape[-2],
        s.shape[-1],
    )
    if labels.dtype.kind not in "iu":
        raise WrongKind(
            f"target: expected labels, whole numbers from 0 to {classes - 1}, got {labels.dtype}"
        )
    if labels.shape not in ((n,), s.shape[:-1]):
        raise ValueError(
            f"target: expected a label for each of {n} examples, got shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"target: expected labels from 0 to {classes - 1}, got {labels.min()} to {labels.max()}"
        )
    return _hits(s, labels).mean(axis=-1)


def _scores(program, x, scores):
    """The scores of these examples on the host, [n,y] or [r,n,y], where each example stands
    alone."""
    graph = check_batched(program).graph
    check_scores(program, scores)
    b = graph.batch
    refuse_coupled(
        program,
        scores,
        "program: ",
        ", so the class of an example depends on the others beside it; to measure them "
        f"as one batch, write program.resized({b}=len(x)).evaluate({scores!r}, "
        f"x=x).argmax(axis=-1)",
    )
    x = as_array("x", x)
    n = x.shape[_batch_axis(graph, "x", x)] if x.ndim and b in graph.shapes.get("x", ()) else 1
    fits = program if n <= program.sizes[b] else program.resized(**{b: n})
    return to_cpu(fits.evaluate(scores, x=x))


def _hits(s, labels):
    """Whether each example's largest score is its label's; never where a score is nan."""
    return (s.argmax(axis=-1) == labels) & ~np.isnan(s).any(axis=-1)
