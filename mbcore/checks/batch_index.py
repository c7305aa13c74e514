"""Lesson 01: a batched layer, who gets the letter b, and the trap where B = J."""

from __future__ import annotations

import numpy as np

from ..checking import shown, whole
from ..equations import equations
from .feedback import Case, Feedback, as_set, function


def _sigma(z):
    return 1 / (1 + np.exp(-z))


def _only_first(x, W0, C0):
    h = np.zeros((len(x), len(C0)))
    h[0] = _sigma(W0 @ x[0] - C0)
    return h


def _layer(x, W0, C0):
    return _sigma(x @ W0.T - C0)


def _last_only(x, W0, C0):
    return _sigma(x[:, -1:] * W0[:, -1] - C0)


def _inside_the_loop(x, W0, C0):
    h = np.zeros((len(x), len(C0)))
    for i in range(x.shape[1]):
        h = _sigma(h + x[:, i:i + 1] * W0[:, i] - C0)
    return h


LAYER = {                                       # misconception -> the h[b,j] that it produces
    "the sign: the slides subtract C0, you added it.": lambda x, W0, C0: _sigma(x @ W0.T + C0),
    "C0 is missing.": lambda x, W0, C0: _sigma(x @ W0.T),
    "the sigma is missing; you returned the value before it, h~[b,j].": lambda x, W0, C0: x @ W0.T - C0,
    "W0 is transposed: it is W0[j,i], so the sum over i runs along its second axis.": lambda x, W0, C0: _sigma(x @ W0 - C0),
    "C0 went along b. It belongs to j: every example of the batch gets the same C0[j].":
        lambda x, W0, C0: _sigma(x @ W0.T - C0[:, None]),
    "W0 is transposed, and C0 went along b.": lambda x, W0, C0: _sigma(x @ W0 - C0[:, None]),
    "your result is h[j,b]. The batch index comes first.": lambda x, W0, C0: _layer(x, W0, C0).T,
    "you added the examples up. Nothing is summed over b here: each example keeps its own row.":
        lambda x, W0, C0: np.broadcast_to(_sigma((x @ W0.T - C0).sum(axis=0)), (len(x), len(C0))),
    "you averaged the examples. The average comes later, and of gradients; each example keeps its own row.":
        lambda x, W0, C0: np.broadcast_to(_sigma((x @ W0.T - C0).mean(axis=0)), (len(x), len(C0))),
    "only the first example is computed; the loop over b ends too early, or is missing.": _only_first,
    "only the last i is left: you wrote = where += adds over i.": _last_only,
    "C0 is subtracted once for every i; it belongs behind the loop over i.": lambda x, W0, C0: _sigma(x @ W0.T - x.shape[1] * C0),
    "the sigma (and C0) stand inside the loop over i; first add over i, then subtract C0, then take sigma.": _inside_the_loop,
    "the sign in the exponent: sigma(z) is 1 / (1 + exp(-z)).": lambda x, W0, C0: _sigma(-(x @ W0.T - C0)),
    "C0 is subtracted after the sigma; it belongs inside.": lambda x, W0, C0: _sigma(x @ W0.T) - C0,
    "this is tanh; the slides' sigma is 1 / (1 + exp(-z)).": lambda x, W0, C0: np.tanh(x @ W0.T - C0),
    "every row is the first example's: the loop over b always reads x[0].":
        lambda x, W0, C0: np.broadcast_to(_layer(x, W0, C0)[0], (len(x), len(C0))),
}


SMALL = (1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 1), (2, 1, 2)       # B, I, J


def layer(solution):
    """Check a function (x[b,i], W0[j,i], C0[j]) -> h[b,j] = sigmoid(sum_i W0[j,i] x[b,i] - C0[j])."""
    return function(solution, _layer, LAYER, [_layer_case(*sizes) for sizes in ((4, 4, 4), (5, 3, 4), (1, 3, 4))],
                    takes="x, W0 and C0", returns="h[b,j]",
                    praise="h[b,j] agrees for every b and j, at B = 5, at B = 1, and where B = J.",
                    hint="Compare with the two loops above, at B = 1.",
                    small=[_layer_case(*sizes) for sizes in SMALL])


def _layer_case(B, I, J):
    rng = np.random.default_rng(7)
    arrays = (rng.normal(size=(B, I)), rng.normal(size=(J, I)), rng.normal(size=J))
    return Case({"B": B, "I": I, "J": J}, tuple(a.round(1) for a in arrays))


REGULARISED = equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    ell  = cross_entropy(s[y], target)
    J    = W1[y,j] * W1[y,j]
    L    = ell + lam * J
""")


def who_gets_b(answer):
    """Check a set of names: the arrays of REGULARISED that get a batch index, lam being one constant for all examples."""
    batch = REGULARISED.with_index("b", shared="lam")
    every = {**batch.inputs, **batch.computed, **batch.parameters}
    right = {name for name, indices in every.items() if "b" in indices}
    answer, given = as_set(answer, every), answer
    if answer is None:
        return Feedback(False, f"expected a set of names such as {{'x', 'h'}}, got {shown(given)}.")
    unknown = sorted(map(str, answer - set(every)))
    if unknown:
        return Feedback(False, f"{unknown[0]} is no array of this network; there are {', '.join(every)}.")
    parameters = sorted(answer & set(batch.parameters))
    if parameters:
        return Feedback(False, f"{parameters[0]} with a b would be a network of its own for each example. "
                        "All examples of a batch share one set of parameters (T5).")
    for name, why in (("J", "J is computed from parameters alone. No example changes it, so it has no b."),
                      ("lam", "lam is one constant, the same for every example: with_index('b', shared='lam').")):
        if name in answer:
            return Feedback(False, why)
    for name, why in (("x", "x is where b comes from: B examples go in together."),
                      ("target", "each example has its own right answer, so target is an input like x."),
                      ("h", "h is computed from x, which bears b, so it bears b too."),
                      ("s", "s is computed from h, which bears b, so it bears b too."),
                      ("ell", "each example has its own loss, ell[b]."),
                      ("L", "L is computed from ell, which bears b: the loss is per example, L[b]. The mean over b is taken later.")):
        if name in right - answer:
            return Feedback(False, why)
    return Feedback(True, "every input that differs by example and every value computed from one has a b; no parameter, "
                    "and nothing computed from parameters alone (T4, T5).")


def silent_trap(answer, J=32, largest=64):
    """Check a set of batch sizes up to `largest`: those where x @ W0.T - C0[:, None] raises nothing, though it is wrong."""
    answer, given = as_set(answer), answer
    if answer is None:
        return Feedback(False, "expected a set of batch sizes such as {1, 2}, "
                        f"got {shown(given)}.")
    J, largest = whole("J", J), whole("largest", largest)
    outside = sorted(B for B in answer if not 1 <= B <= largest)
    if outside:
        return Feedback(False, f"asked are the batch sizes from 1 to {largest}; {outside[0]} is none of them.")
    silent = {B for B in range(1, largest + 1) if _trap_runs(B, J)}
    if answer == silent:
        return Feedback(True, f"it runs at B = J = {J}, and at B = 1, where a {J} x {J} array comes out and no one asked for it. "
                        "Test your code with sizes that are all different.")
    if answer - silent:
        return Feedback(False, f"at B = {min(answer - silent)} NumPy refuses: ({min(answer - silent)}, {J}) and ({J}, 1) do not broadcast.")
    if answer == {J}:
        return Feedback(False, f"B = J = {J} is one. NumPy also stretches axes of length 1: what happens at B = 1?")
    return Feedback(False, f"some are missing. (B, {J}) meets ({J}, 1): when do two axes agree?")


def _trap_runs(B, J):
    try:
        np.zeros((B, J)) - np.zeros(J)[:, None]
    except ValueError:
        return False
    return True
