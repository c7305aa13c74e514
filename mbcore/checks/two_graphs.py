"""Lesson 02: write the two-copy graph, find the graphs that copied a parameter, and add up the gradients of copies."""

from __future__ import annotations

import re

import numpy as np

from ..checking import shown
from ..equations import Equations, equations
from ..experiments.graphs import averaged
from ..experiments.models import MLP
from .feedback import Case, Feedback, as_set, function

ONE = equations("""
    h[j] = tanh(W[j,i] * x[i])
    L    = squared_error(h[j], t[j])
""")                                            # the model of the first exercise, for one example

INPUTS = {"x_0": 1, "x_1": 1, "t_0": 0, "t_1": 0}           # name -> the axis of W along which it lies


# ---------------------------------------------------------------- the two-copy graph

_H = "h_0[j] = tanh(W[j,i] * x_0[i])\nh_1[j] = tanh(W[j,i] * x_1[i])\n"
_L = "L_0 = squared_error(h_0[j], t_0[j])\nL_1 = squared_error(h_1[j], t_1[j])\n"
_MEAN = "L = (L_0 + L_1) / 2"
_ONE_X = "h[j] = tanh(W[j,i] * (x_0[i] + x_1[i]) / 2)\n"
_ONE_H = _H + "h[j] = (h_0[j] + h_1[j]) / 2\n"
_TWO_T = "L_0 = squared_error(h[j], t_0[j])\nL_1 = squared_error(h[j], t_1[j])\n" + _MEAN
_ONE_T = "t[j] = (t_0[j] + t_1[j]) / 2\nL = squared_error(h[j], t[j])"
_INPUTS = ("the mean is taken of the inputs: the network sees one average example. Average the losses: "
           "the loss of an average is not the average of the losses.")
_HIDDEN = "the mean is taken of h, before the losses. Each copy goes on to a loss of its own, and the losses are averaged."

COPIES = {                                      # (misconception, the graph that it produces)
    "sum": ("the losses are added, not averaged: L and every gradient are B times too large.", _H + _L + "L = L_0 + L_1"),
    "inputs": (_INPUTS, _ONE_X + _TWO_T),
    "inputs and targets": (_INPUTS, _ONE_X + _ONE_T),
    "hidden": (_HIDDEN, _ONE_H + _TWO_T),
    "hidden and targets": (_HIDDEN, _ONE_H + _ONE_T),
    "first": ("only L_0 is left in L: the second example is computed and then forgotten.", _H + _L + "L = L_0"),
    "second": ("only L_1 is left in L: the first example is computed and then forgotten.", _H + _L + "L = L_1"),
    "twice": ("the mean is taken twice: L is divided by B * B.", _H + _L + "L = (L_0 + L_1) / 4"),
    "crossed": ("the targets are crossed: L_0 compares h_0 with t_1.",
                _H + "L_0 = squared_error(h_0[j], t_1[j])\nL_1 = squared_error(h_1[j], t_0[j])\n" + _MEAN),
    "h_0 twice": ("both losses read h_0: h_1 is computed, and nobody reads it.", _H + _L.replace("h_1", "h_0") + _MEAN),
    "h_1 twice": ("both losses read h_1: h_0 is computed, and nobody reads it.", _H + _L.replace("h_0", "h_1") + _MEAN),
    "minus": ("the second loss is subtracted.", _H + _L + "L = (L_0 - L_1) / 2"),
}


def two_copies(answer):
    """Check equations, as text or as mb.equations(...): ONE for two examples, x_0, t_0 and x_1, t_1, with the mean of the losses."""
    if not isinstance(answer, (str, Equations)):
        return Feedback(False, f"expected the equations as text, got {type(answer).__name__}.")
    try:
        model = equations(answer) if isinstance(answer, str) else answer
    except ValueError as error:                 # NotationError says where and why
        return Feedback(False, f"the notation stops here: {error}")
    return _structure(model) or _numbers(model)


def _structure(model):
    """What is wrong with the names, or None."""
    inputs, parameters = set(model.inputs), set(model.parameters)
    if "L" not in model.computed:
        return Feedback(False, "no line computes L, the mean of the two losses.")
    if model.computed["L"] and "b" not in model.computed["L"]:
        return Feedback(False, f"L has the index {model.computed['L'][0]}; the mean of two losses is one number.")
    if "b" in model.graph.shapes.get("x", ()):
        return Feedback(False, "this is the graph with an index: the same function. Here, write it as two copies, with x_0 and x_1.")
    if {"x", "t"} & inputs:
        name = min({"x", "t"} & inputs)
        return Feedback(False, f"{name} belongs to one example. Each copy has inputs of its own: x_0, t_0 and x_1, t_1.")
    if len(parameters) > 1:
        return Feedback(False, f"{' and '.join(sorted(parameters))} are {len(parameters)} parameters, so the parameter was copied too. "
                        "That makes a network for each example. Both copies read the same W.")
    if parameters != {"W"}:
        small = " A small letter makes it an input." if "w" in inputs else ""
        return Feedback(False, f"the parameter must be W, as in the graph for one example.{small}")
    missing = sorted(set(INPUTS) - inputs)
    for name, first, why in (("x_1", "x_0", "the second example never enters"), ("x_0", "x_1", "the first example never enters"),
                             ("t_1", "t_0", "the second has lost its own answer"), ("t_0", "t_1", "the first has lost its own answer")):
        if missing == [name]:
            return Feedback(False, f"{first} is used for both copies and {name} nowhere: {why}.")
    if missing or inputs != set(INPUTS):
        return Feedback(False, f"expected the inputs {', '.join(INPUTS)}, found {', '.join(sorted(inputs)) or 'none'}.")


def _numbers(model):
    sizes = {}
    for name, axes in {"W": (0, 1), **{name: (axis,) for name, axis in INPUTS.items()}}.items():
        indices = model.graph.shapes[name]
        if len(indices) != len(axes) or any(sizes.setdefault(i, (2, 3)[axis]) != (2, 3)[axis] for i, axis in zip(indices, axes)):
            return Feedback(False, f"the indices of {name} differ from the graph for one example, which has W[j,i], x[i] and t[j].")
    try:
        told = _value_and_gradient(model, sizes)
    except (ValueError, TypeError) as error:
        return Feedback(False, f"these equations do not compile: {error}")
    same = lambda wanted: all(np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(told, wanted))
    if same(_value_and_gradient(ONE.unrolled(2))):
        return Feedback(True, "one W that both copies read, and the mean of their losses. Value and gradient are those of the indexed "
                        "graph.")
    for misconception, text in COPIES.values():
        if same(_value_and_gradient(equations(text))):
            return Feedback(False, misconception)
    return Feedback(False, "the names are right, the loss or its gradient is not. Compare each copy, line by line, with the graph for "
                    "one example; then look at the mean.")


def _value_and_gradient(model, sizes=None):
    """(L, W.grad) on the same random numbers."""
    rng = np.random.default_rng(3)
    W, arrays = rng.normal(size=(2, 3)), {name: rng.normal(size=(2, 3)[axis]) for name, axis in INPUTS.items()}
    net = model.compile(dtype="float64", **(sizes or {"j": 2, "i": 3}))
    net.params["W"][...] = W
    L = net.forward(**arrays)
    net.backward()
    return float(L), net.grads["W"].copy()


# ---------------------------------------------------------------- the graphs that copied a parameter

_lines = str(MLP.unrolled(3)).splitlines()
_aliased = [f"U_{k}[j,i] = W0[j,i]" for k in range(3)] + [re.sub(r"W0(.*x_(\d))", r"U_\2\1", line) for line in _lines]
_split = [*_lines[:-1], "L = L_0 / 3 + L_1 / 3 + L_2 / 3"]
_owned = [re.sub(r"^(s_(\d).*)C1", r"\1C1_\2", line) for line in _lines]

SUSPECTS = {name: equations(text) for name, text in {               # B = 3; each claims to be MLP on a batch
    "A": "\n".join(_aliased), "B": "\n".join(reversed(_split)), "C": "\n".join(_owned),
    "D": str(averaged(MLP).with_index("b")).replace("C1[y]", "C1[b,y]")}.items()}


def copied_a_parameter(answer):
    """Check a set of letters: those of SUSPECTS in which examples do not share every parameter."""
    letters = as_set(answer, SUSPECTS)
    if letters is None:
        return Feedback(False, "expected a set of letters such as {'A', 'B'}, "
                        f"got {shown(answer)}.")
    if letters - set(SUSPECTS):
        return Feedback(False, f"{min(letters - set(SUSPECTS))!r} is none of them; there are {', '.join(SUSPECTS)}.")
    for name, why in (("A", "in A, U_0, U_1 and U_2 stand on a left side: they are values, computed from the one parameter W0. "
                       "Their gradients meet in W0.grad again."),
                      ("B", "B is the graph of copies; only the order of its lines and the mean are written differently.")):
        if name in letters:
            return Feedback(False, why)
    for name, why in (("C", "some are missing. Count the leaves: inputs and parameters. Three copies have 3 x 2 inputs and 4 parameters."),
                      ("D", "one is missing, and it has an index. Which of its parameters knows about b?")):
        if name not in letters:
            return Feedback(False, why)
    return Feedback(True, "C has C1_0, C1_1 and C1_2, and D has C1[b,y]: a C1 for each example. Value, lines and arrows look right; "
                    "the leaves, or the b on a parameter, tell.")


# ---------------------------------------------------------------- the gradient of what is shared

SHARED = {                                      # misconception -> the W0.grad that it produces
    "the 1/B stands twice: the mean of the losses has divided each of these gradients by B already.": lambda own: own.mean(axis=0),
    "only the first copy's gradient is left.": lambda own: own[0].copy(),
    "only the last copy's gradient is left: = where += should add.": lambda own: own[-1].copy(),
    "you multiplied by B as well; the sum is enough.": lambda own: len(own) * own.sum(axis=0),
    "summed along the wrong axis: the copies lie along the first, k.": lambda own: own.sum(axis=1),
}


def shared_gradient(solution):
    """Check a function own[k,j,i] -> W0.grad[j,i]: the gradients of B own parameters in, that of the shared one out."""
    def case(B, J, I):
        own = np.random.default_rng(5).normal(size=(B, J, I)).round(1)
        return Case({"B": B, "J": J, "I": I}, (own,))
    return function(solution, lambda own: own.sum(axis=0), SHARED, [case(3, 3, 3), case(4, 2, 3), case(1, 2, 3)], takes="own",
                    returns="W0.grad[j,i]", praise="sharing a parameter adds up the gradients of its copies. The 1/B is in them already.",
                    hint="W0 reaches L through every copy: what does the chain rule do with "
                         "several ways?",
                    small=[case(1, 1, 1), case(2, 1, 1), case(2, 2, 1), case(2, 1, 2)])
