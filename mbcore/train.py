"""The training loop: batches in, a record out, step by step so that a panel can draw it as it goes and stop it.

    training    the loop as a generator        train      the loop, run to its end
    accumulated a gradient in several passes   predicted  the classes of examples      accuracy  the share that is right
"""

from __future__ import annotations

import inspect
import os
import time
from dataclasses import dataclass

import numpy as np

from . import derivatives, runs
from .backend import device_of, one_blas_thread, to_cpu
from .checking import WrongKind, generator, host_array, rate, shown, whole
from .data import batches
from .intake import check_names, checked_input, sizes_of
from .optim import SGD
from .program import Program
from .progress import last


@dataclass(frozen=True)
class Record:
    """What was measured along one training run; every array has one entry for each time we looked, [look] or [look, r].

    loss: mean of L over the whole training set. test_error: share of test examples whose largest s is not the target; one
    whose s is not a number counts as an error. Where examples are coupled, as by batch normalisation, either set is one batch.
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
    over the end of the process: the run is written there at each look, and called again with the same arguments, goes on
    from there, to the same numbers. An update is made whole or not at all, also where Ctrl-C comes.

    program: compiled with inputs x and target (class labels) and scores s[b,y], its parameters drawn; with a replica index r
        every replica has batches of its own, from the k-th spawn of rng.
    data: a DataSet, or whatever has x_train, target_train, x_test and target_test, on the program's device.
    lr: a number, an array [r], or a function of the step (0, 1, ...) that gives one; never negative, and not 0 throughout.
    B: examples in an update, the optimisation batch; the size that the program was compiled for by default. A pass of n
        examples ends with a batch of the n mod B that are left; where examples are coupled they have only each other.
    compute: examples in one forward and backward, the compute batch; B by default, and then nothing is accumulated. The
        gradients of the parts are averaged by their numbers of examples, so a smaller last part counts for what it is.
    rule: an update rule of `optim`, or any object with update(params, grads, lr); None is SGD. It goes on from its state.
    looks: how often the loss is measured, evenly over the run.
    Stops early when no loss is a number any more.

    All arguments are checked here, before the first step. ValueError or TypeError names the one that does not fit.
    """
    _check_program(program)
    largest = program.sizes[program.graph.batch]
    sets = _checked_data(program, data)
    n = len(sets["train"]["target"])
    epochs, looks, rng = whole("epochs", epochs), whole("looks", looks), generator(rng)
    B = _batch_size(B, largest, n)
    compute = _compute(program, compute, B, rule)
    rates = _rates(lr, program)
    _check_rule(rule)
    total = epochs * -(-n // B)
    marks = sorted(set(np.linspace(0, total, looks + 1).round().astype(int).tolist()))
    file = None
    if saved is not None:
        _check_path(saved)
        given = dict(lr=lr, epochs=epochs, B=B, looks=looks, compute=compute, rule=rule)
        identity = runs.identity(program, sets, rng, given)
        file = runs.File(os.fspath(saved), identity, program, rule, marks, epochs)
    return _run(program, sets, rates, epochs, rng, B, compute, rule, marks, file)


def train(program, data, lr, epochs, rng, B=None, looks=30, compute=None, rule=None, saved=None):
    """`training` run to its end; returns the last Record."""
    return last(training(program, data, lr, epochs, rng, B, looks, compute, rule, saved))


def _run(program, sets, rates, epochs, rng, B, compute, rule, marks, file):
    """The loop of `training`, its arguments checked."""
    b, n, total = program.graph.batch, len(sets["train"]["target"]), marks[-1]
    everything, test = (program.resized(**{b: len(part["target"])}) for part in (sets["train"], sets["test"]))
    x, target = sets["train"]["x"], sets["train"]["target"]
    test_x, test_target = sets["test"]["x"], to_cpu(sets["test"]["target"])
    rows = file.take_up() if file else []
    first, seconds = (rows[-1][0], rows[-1][2]) if rows else (0, 0.0)
    coming = _indices(program, n, B, rng, epochs)
    update = _update(program, compute, rule)

    def look(step):
        loss = to_cpu(everything.forward(x=x, target=target)).mean(axis=-1)
        hits = _hits(to_cpu(test.evaluate("s", x=test_x)), test_target)         # the test set as one batch
        rows.append((step, step * epochs / total, seconds, loss, 1 - hits.mean(axis=-1)))
        if file:
            file.write(rows)
        return so_far(step)

    def so_far(step):
        return step / total, Record(B, *map(np.array, zip(*rows)))

    done, record = so_far(first) if rows else look(0)
    if rows[1:] and not np.isfinite(record.loss[-1]).any():       # taken up, and had ended there
        yield 1.0, record
        return
    yield done, record
    for _ in range(first):                                        # their examples were learned from before the stop
        next(coming)
    marks = [mark for mark in marks if mark >= first]
    for before, after in zip(marks, marks[1:]):
        with one_blas_thread(), np.errstate(all="ignore"):        # divergence shows in the record
            start = time.perf_counter()
            for step, at in zip(range(before, after), coming):
                at = program.xp.asarray(at)                       # moved once for both
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
    """The function (lr, x, target) that makes one update. compute: None where nothing is accumulated."""
    if compute is None:
        return program.step
    rule = SGD() if rule is None else rule

    def update(lr, **inputs):
        rule.update(program.params, accumulated(program, compute, **inputs), lr)
    return update


def accumulated(program, compute, **inputs):
    """The gradient of the mean loss over all these examples, computed `compute` at a time: name -> array.

    g = sum over parts of (examples in the part / all examples) g_part; equal to the gradient of one pass, to rounding.
    inputs: by their names in the equations, any number of examples; one without the batch index serves every part as it is.
    A parameter that L does not depend on has no entry. The parameters stay as they are.

    ValueError where examples are coupled, as by batch normalisation, and one pass does not hold them all: then the parts'
    gradients are those of another function.
    """
    graph = _check_batched(program).graph
    _check_convention(program)
    compute = whole("compute", compute, 1, program.sizes[graph.batch])
    check_names(inputs, graph.roles.inputs, program.params)
    arrays = {name: _as_array(name, a) for name, a in inputs.items()}
    axes = {name: _batch_axis(graph, name, a) for name, a in arrays.items() if graph.batch in graph.shapes[name]}
    B = _examples_in(arrays, axes)
    sizes_of(arrays, graph, {**program.sizes, graph.batch: B})
    if compute < B:
        _refuse_coupled(program, "L", f"compute: expected all {B} examples of the batch in one pass, got {compute}: ",
                        ", so the gradient of a batch is not the mean of its parts' gradients; "
                        f"compile for {graph.batch}={B}")
    total = None
    for first in range(0, B, compute):
        cut = slice(first, first + compute)
        part = {name: a[(slice(None),) * axes[name] + (cut,)] if name in axes else a for name, a in arrays.items()}
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
    """The number of examples of the first input that has the batch index; `sizes_of` compares the others."""
    name, axis = next(iter(axes.items()))
    shape = arrays[name].shape
    B = shape[axis] if axis < len(shape) else 1                 # too few axes: `sizes_of` says which are wanted
    if not B:
        raise ValueError(f"{name}: the batch is empty, shape {shape}; give at least one example")
    return B


def predicted(program, x, scores="s"):
    """The class with the largest score of each example, the first of equal ones: [n], or [r,n]. x: any number of examples.

    scores: the name of a computed value [b,y]. ValueError where a score is nan, and where examples are coupled, as by batch
    normalisation: the class of an example then depends on the others beside it.
    """
    s = _scores(program, x, scores)
    if np.isnan(s).any():
        raise ValueError(f"{scores}: expected numbers, got nan for {np.isnan(s).any(axis=-1).sum()} of "
                         f"{s[..., 0].size} examples; has the training diverged?")
    return s.argmax(axis=-1)


def accuracy(program, x, target, scores="s"):
    """The share of examples whose class is predicted: a number, or one for each replica, [r].

    target[n]: labels, whole numbers. An example whose scores are nan counts as wrong. Refuses what `predicted` refuses.
    """
    s = _scores(program, x, scores)
    labels, n, classes = host_array("target", to_cpu(target) if device_of(target) == "gpu" else target), s.shape[-2], s.shape[-1]
    if labels.dtype.kind not in "iu":
        raise WrongKind(f"target: expected labels, whole numbers from 0 to {classes - 1}, got {labels.dtype}")
    if labels.shape not in ((n,), s.shape[:-1]):
        raise ValueError(f"target: expected a label for each of {n} examples, got shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"target: expected labels from 0 to {classes - 1}, got {labels.min()} to {labels.max()}")
    return _hits(s, labels).mean(axis=-1)


def _scores(program, x, scores):
    """The scores of these examples on the host, [n,y] or [r,n,y], where each example stands alone."""
    graph = _check_batched(program).graph
    _check_scores(program, scores)
    b = graph.batch
    _refuse_coupled(program, scores, "program: ", ", so the class of an example depends on the others beside it; to measure them "
                    f"as one batch, write program.resized({b}=len(x)).evaluate({scores!r}, x=x).argmax(axis=-1)")
    x = _as_array("x", x)
    n = x.shape[_batch_axis(graph, "x", x)] if x.ndim and b in graph.shapes.get("x", ()) else 1
    fits = program if n <= program.sizes[b] else program.resized(**{b: n})
    return to_cpu(fits.evaluate(scores, x=x))


def _hits(s, labels):
    """Whether each example's largest score is its label's; never where a score is nan."""
    return (s.argmax(axis=-1) == labels) & ~np.isnan(s).any(axis=-1)


# ------------------------------------------------------------------ checks


def _check_batched(program):
    """The program itself, if it has a batch of losses L[b]."""
    if not isinstance(program, Program):
        raise WrongKind(f"program: expected a Program (equations(...).with_index('b').compile(...)), got {shown(program)}")
    if "L" not in program.graph.roles.computed:
        raise ValueError("program: expected equations that compute a loss L, got none, so there is nothing to learn from")
    if program.graph.batch is None:
        raise ValueError("program: expected a loss for each example, L[b], got L without a batch index; write "
                         "equations(...).with_index('b') before compile")
    return program


def _check_program(program):
    """Refuse what `training` could not train."""
    graph = _check_batched(program).graph
    if set(graph.roles.inputs) != {"x", "target"} or "target" not in graph.labels:
        got = ", ".join(f"{name}[{','.join(i)}]" for name, i in graph.roles.inputs.items())
        raise ValueError(f"program: expected the inputs x and target, a class label for each example, got {got}; "
                         "train other models by program.step, a batch at a time")
    _check_scores(program, "s")
    if not program.params:
        raise ValueError("program: expected parameters, got equations that have none, so nothing would be trained")
    if not derivatives.learned(graph):
        raise ValueError(f"program: L depends on none of the parameters {', '.join(program.params)}, so nothing would be trained")
    if not program.initialised and not any(bool((p != 0).any()) for p in program.params.values()):
        raise ValueError("program: its parameters were never set and are all 0; call program.init(rng) first")


def _check_scores(program, scores):
    """The scores are computed, one for each example and class, in this order."""
    graph = program.graph
    if not isinstance(scores, str) or scores not in graph.roles.computed:
        raise ValueError(f"program: expected scores {shown(scores)} among what it computes, "
                         f"got {', '.join(graph.roles.computed)}")
    indices, lead = graph.shapes[scores], (*graph.replicas, graph.batch)
    if indices[:-1] != lead or len(indices) != len(lead) + 1:
        raise ValueError(f"program: expected scores {scores}[{','.join(lead)},y], one for each class, "
                         f"got {scores}[{','.join(indices)}]")


def _refuse_coupled(program, of, before, after):
    mixed = derivatives.coupling(program.graph, of)
    if mixed:
        raise ValueError(before + mixed + after)


def _check_convention(program):
    if program.mean_in != ("parameters",):
        raise ValueError(f"program: expected the convention mean_in=('parameters',), got {program.mean_in}")


def _as_array(name, value):
    return value if device_of(value) == "gpu" else host_array(name, value)


def _checked_data(program, data):
    """{"train": {"x": ..., "target": ...}, "test": ...}, of which every array fits the program."""
    names = ("x_train", "target_train", "x_test", "target_test")
    if isinstance(data, type) or not all(hasattr(data, name) for name in names):
        raise WrongKind(f"data: expected a DataSet, with {', '.join(names)}, got {shown(data)}")
    sets = {}
    for part in ("train", "test"):
        given = {name: getattr(data, f"{name}_{part}") for name in ("x", "target")}
        try:
            sets[part] = _fitting(program, {name: _as_array(name, a) for name, a in given.items()})
        except (TypeError, ValueError) as error:
            raise type(error)(f"data ({part}): {error}") from None
    return sets


def _fitting(program, arrays):
    """The arrays, checked as a program for so many examples would."""
    graph = program.graph
    sizes = {**program.sizes, graph.batch: max(1, *(len(a) if a.ndim else 0 for a in arrays.values()))}
    found = {name: checked_input(name, a, program.xp, program.device, graph.labels.get(name), sizes, program.dtype)
             for name, a in arrays.items()}
    for name, a in found.items():
        if a.ndim == len(graph.shapes[name]) and graph.shapes[name][0] in graph.replicas:
            raise ValueError(f"{name}: expected the same examples for all replicas, without an axis for them, got shape {a.shape}")
    sizes_of(found, graph, sizes)
    lengths = {name: len(a) for name, a in found.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"target: expected a label for each of {lengths['x']} examples, got {lengths['target']}")
    return found


def _batch_size(B, largest, n):
    """The optimisation batch."""
    if B is None and largest > n:
        raise ValueError(f"B: expected at most the {n} examples of the training set, got {largest}, for which the program "
                         f"was compiled; give B={n} or less")
    B = largest if B is None else whole("B", B)
    if B > n:
        raise ValueError(f"B: expected at most n = {n} without replacement; got {B}")
    return B


def _compute(program, compute, B, rule):
    """The compute batch where gradients are formed apart from the update; None where `step` does both."""
    largest = program.sizes[program.graph.batch]
    if compute is None and rule is None and B <= largest:
        return None
    compute = min(B, largest) if compute is None else whole("compute", compute, 1, largest)
    _check_convention(program)
    if compute < B:
        _refuse_coupled(program, "L", f"compute: expected the {B} examples of an update in one pass, got {compute}: ",
                        ", so the gradient of a batch is not the mean of its parts' gradients")
    return compute


def _rates(lr, program):
    """The function step -> learning rate: a number or [r], that the program's dtype can hold and that is not negative."""
    replicas, dtype = tuple(program.sizes[r] for r in program.graph.replicas), program.dtype

    def checked(value, name):
        found = rate(value, replicas, dtype, name)
        if found < 0 if isinstance(found, float) else (found < 0).any():
            raise ValueError(f"{name}: expected a learning rate of at least 0, got {shown(value)}")
        return found

    if not callable(lr):
        fixed = checked(lr, "lr")
        if not np.any(fixed):
            raise ValueError("lr: expected a learning rate above 0, got 0, which would train nothing")
        return lambda step: fixed
    if isinstance(lr, type) or not _takes(lr, 0):
        raise WrongKind(f"lr: expected a number or a function of the step, got {shown(lr)}")
    return lambda step: checked(lr(step), f"lr({step})")


def _check_rule(rule):
    """Refuse what has no update(params, grads, lr), a class of rules and an average of parameters included."""
    update = getattr(rule, "update", None)
    if rule is not None and (isinstance(rule, type) or not callable(update) or not _takes(update, {}, {}, 0.1)):
        raise WrongKind(f"rule: expected an update rule, as optim.Momentum(0.9), or None for SGD, got {shown(rule)}")


def _check_path(saved):
    if not isinstance(saved, (str, os.PathLike)) or not os.fspath(saved):
        raise WrongKind(f"saved: expected the path of a file, got {shown(saved)}")


def _takes(function, *arguments):
    """Whether the function can be called with these arguments, as far as its signature is known."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:                          # some built-in functions have no known signature
        return True
    return True
