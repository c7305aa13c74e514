"""What training asks of a program, of data and of its other arguments; each refusal names the
argument.

check_program  checked_data  batch_size  compute_size  rates_of  check_rule
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Set

import numpy as np

from . import derivatives
from .backend import device_of
from .checking import WrongKind, host_array, rate, shown, whole
from .intake import checked_input, sizes_of
from .program import Program


def check_batched(program):
    """The program itself, if it has a batch of losses L[b]."""
    if not isinstance(program, Program):
        raise WrongKind(
            f"program: expected a Program (equations(...).with_index('b').compile(...)), got "
            f"{shown(program)}"
        )
    if "L" not in program.graph.roles.computed:
        raise ValueError(
            "program: expected equations that compute a loss L, got none, so there is nothing to "
            "learn from"
        )
    if program.graph.batch is None:
        raise ValueError(
            "program: expected a loss for each example, L[b], got L without a batch index; write "
            "equations(...).with_index('b') before compile"
        )
    return program


def check_program(program):
    """Refuse what `training` could not train."""
    graph = check_batched(program).graph
    if set(graph.roles.inputs) != {"x", "target"} or "target" not in graph.labels:
        got = ", ".join(f"{name}[{','.join(i)}]" for name, i in graph.roles.inputs.items())
        raise ValueError(
            f"program: expected the inputs x and target, a class label for each example, got "
            f"{got}; "
            "train other models by program.step, a batch at a time"
        )
    check_scores(program, "s")
    if not program.params:
        raise ValueError(
            "program: expected parameters, got equations that have none, so nothing would be "
            "trained"
        )
    if not derivatives.learned(graph):
        raise ValueError(
            f"program: L depends on none of the parameters {', '.join(program.params)}, so "
            f"nothing would be trained"
        )
    if not program.initialised and not any(bool((p != 0).any()) for p in program.params.values()):
        raise ValueError(
            "program: its parameters were never set and are all 0; call program.init(rng) first"
        )


def check_scores(program, scores):
    """The scores are computed, one for each example and class, in this order."""
    graph = program.graph
    if not isinstance(scores, str) or scores not in graph.roles.computed:
        raise ValueError(
            f"program: expected scores {shown(scores)} among what it computes, "
            f"got {', '.join(graph.roles.computed)}"
        )
    indices, lead = graph.shapes[scores], (*graph.replicas, graph.batch)
    if indices[:-1] != lead or len(indices) != len(lead) + 1:
        raise ValueError(
            f"program: expected scores {scores}[{','.join(lead)},y], one for each class, "
            f"got {scores}[{','.join(indices)}]"
        )


def refuse_coupled(program, of, before, after):
    mixed = derivatives.coupling(program.graph, of)
    if mixed:
        raise ValueError(before + mixed + after)


def check_convention(program):
    if program.mean_in != ("parameters",):
        raise ValueError(
            f"program: expected the convention mean_in=('parameters',), got {program.mean_in}"
        )


def as_array(name, value):
    return value if device_of(value) == "gpu" else host_array(name, value)


def checked_data(program, data):
    """{"train": {"x": ..., "target": ...}, "test": ...}, of which every array fits the program."""
    names = ("x_train", "target_train", "x_test", "target_test")
    if isinstance(data, type) or not all(hasattr(data, name) for name in names):
        raise WrongKind(f"data: expected a DataSet, with {', '.join(names)}, got {shown(data)}")
    sets = {}
    for part in ("train", "test"):
        given = {name: getattr(data, f"{name}_{part}") for name in ("x", "target")}
        try:
            sets[part] = _fitting(program, {name: as_array(name, a) for name, a in given.items()})
        except (TypeError, ValueError) as error:
            raise type(error)(f"data ({part}): {error}") from None
    return sets


def _fitting(program, arrays):
    """The arrays, checked as a program for so many examples would."""
    graph = program.graph
    sizes = {
        **program.sizes,
        graph.batch: max(1, *(len(a) if a.ndim else 0 for a in arrays.values())),
    }
    found = {
        name: checked_input(
            name, a, program.xp, program.device, graph.labels.get(name), sizes, program.dtype
        )
        for name, a in arrays.items()
    }
    for name, a in found.items():
        if a.ndim == len(graph.shapes[name]) and graph.shapes[name][0] in graph.replicas:
            raise ValueError(
                f"{name}: expected the same examples for all replicas, without an axis for them, "
                f"got shape {a.shape}"
            )
    sizes_of(found, graph, sizes)
    lengths = {name: len(a) for name, a in found.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"target: expected a label for each of {lengths['x']} examples, got {lengths['target']}"
        )
    return found


def batch_size(B, largest, n):
    """The optimisation batch."""
    if B is None and largest > n:
        raise ValueError(
            f"B: expected at most the {n} examples of the training set, got {largest}, for which "
            f"the program "
            f"was compiled; give B={n} or less"
        )
    B = largest if B is None else whole("B", B)
    if B > n:
        raise ValueError(f"B: expected at most n = {n} without replacement; got {B}")
    return B


def compute_size(program, compute, B, rule):
    """The compute batch where gradients are formed apart from the update; None where `step` does
    both."""
    largest = program.sizes[program.graph.batch]
    if compute is None and rule is None and B <= largest:
        return None
    compute = min(B, largest) if compute is None else whole("compute", compute, 1, largest)
    check_convention(program)
    if compute < B:
        refuse_coupled(
            program,
            "L",
            f"compute: expected the {B} examples of an update in one pass, got {compute}: ",
            ", so the gradient of a batch is not the mean of its parts' gradients",
        )
    return compute


def rates_of(lr, program):
    """The function step -> learning rate: a number or [r], that the program's dtype can hold and
    that is not negative."""
    replicas, dtype = tuple(program.sizes[r] for r in program.graph.replicas), program.dtype

    def checked(value, name):
        found = rate(value, replicas, dtype, name)
        if found < 0 if isinstance(found, float) else (found < 0).any():
            raise ValueError(f"{name}: expected a learning rate of at least 0, got {shown(value)}")
        return found

    if not callable(lr):
        fixed = checked(lr, "lr")
        if not np.any(np.asarray(fixed, dtype)):
            given = f"{shown(lr)}, which is 0 in {dtype} and" if np.any(fixed) else "0, which"
            raise ValueError(
                f"lr: expected a learning rate above 0, got {given} would train nothing"
            )
        return lambda step: fixed
    if isinstance(lr, type) or not _takes(lr, 0):
        raise WrongKind(f"lr: expected a number or a function of the step, got {shown(lr)}")
    return lambda step: checked(lr(step), f"lr({step})")


def check_rule(rule):
    """Refuse what has no update(params, grads, lr), a class of rules and an average of parameters
    included."""
    update = getattr(rule, "update", None)
    collection = isinstance(rule, (type, Mapping, Set))  # their update is another one
    if rule is not None and (
        collection or not callable(update) or not _takes(update, {}, {}, 0.1)
    ):
        raise WrongKind(
            f"rule: expected an update rule, as optim.Momentum(0.9), or None for SGD, got "
            f"{shown(rule)}"
        )


def _takes(function, *arguments):
    """Whether the function can be called with these arguments, as far as its signature is known."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # some built-in functions have no known signature
        return True
    return True
