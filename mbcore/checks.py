"""The exercises' checks. Each knows the usual misconceptions and the wrong answer that each of them produces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .experiments.models import MLP


@dataclass(frozen=True)
class Feedback:
    """What a check answers; shown as its sentence."""

    right: bool
    because: str

    def __repr__(self):
        return f"{'Right' if self.right else 'Not yet'}: {self.because}"


def _as_set(answer, kind=object):
    """The answer as a set of things of that kind, or None."""
    try:
        found = None if isinstance(answer, str) else set(answer)
    except TypeError:                           # no iterable, or one of lists
        return None
    return found if found is not None and all(isinstance(part, kind) for part in found) else None


# ------------------------------------------------------------------ lesson 01

def _sigma(z):
    return 1 / (1 + np.exp(-z))


def _only_first(x, W0, C0):
    h = np.zeros((len(x), len(C0)))
    h[0] = _sigma(W0 @ x[0] - C0)
    return h


def _layer(x, W0, C0):
    return _sigma(x @ W0.T - C0)


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
    "every row is the first example's: the loop over b always reads x[0].":
        lambda x, W0, C0: np.broadcast_to(_layer(x, W0, C0)[0], (len(x), len(C0))),
}


def layer(solution):
    """Check a function (x[b,i], W0[j,i], C0[j]) -> h[b,j] = sigmoid(sum_i W0[j,i] x[b,i] - C0[j])."""
    if not callable(solution):
        return Feedback(False, f"expected a function of x, W0 and C0, got {type(solution).__name__}.")
    square, oblong, single = (_layer_case(*sizes) for sizes in ((4, 4, 4), (5, 3, 4), (1, 3, 4)))
    told, error = _outcome(solution, square)        # a square case runs for most mistakes, so it can tell them apart
    if error:
        return Feedback(False, f"your function stopped with {error}.")
    if told is None:
        return Feedback(False, "your function returns nothing; end it with return h.")
    for misconception, wrong in LAYER.items():
        if _equal(told, wrong(*square)):
            return Feedback(False, misconception)
    if not _equal(told, _layer(*square)):
        return Feedback(False, "the numbers differ, and not in a way this check knows. Compare with the two loops above, at B = 1.")
    for case in (oblong, single):
        told, error = _outcome(solution, case)
        if error or not _equal(told, _layer(*case)):
            B, I, J = len(case[0]), case[0].shape[1], len(case[2])
            return Feedback(False, f"right when B = I = J = 4, but not when B = {B}, I = {I}, J = {J}"
                            f"{f' ({error})' if error else ''}. Something broadcasts only while sizes agree.")
    return Feedback(True, "h[b,j] agrees for every b and j, at B = 5, at B = 1, and where B = J.")


def _layer_case(B, I, J):
    rng = np.random.default_rng(7)
    return rng.normal(size=(B, I)), rng.normal(size=(J, I)), rng.normal(size=J)


def _outcome(solution, case):
    """(what it returned, None) or (None, the error in words); the solution gets copies."""
    try:
        return solution(*(a.copy() for a in case)), None
    except Exception as error:                      # a student's function may raise anything
        return None, f"{type(error).__name__}: {error}"


def _equal(a, b):
    try:
        a = np.asarray(a)
        a = a.astype(float) if a.dtype.kind in "biuf" else a
    except (TypeError, ValueError):
        return False
    if a.dtype != float:
        return False
    return a.shape == b.shape and np.allclose(a, b, atol=1e-6)


def who_gets_b(answer):
    """Check a set of names: the arrays of the usual network that get a batch index."""
    batch = MLP.with_index("b")
    every = {**batch.inputs, **batch.computed, **batch.parameters}
    right = {name for name, indices in every.items() if "b" in indices}
    answer, given = _as_set(answer), answer
    if answer is None:
        return Feedback(False, f"expected a set of names such as {{'x', 'h'}}, got {given!r}.")
    unknown = sorted(map(str, answer - set(every)))
    if unknown:
        return Feedback(False, f"{unknown[0]} is no array of this network; there are {', '.join(every)}.")
    parameters = sorted(answer & set(batch.parameters))
    if parameters:
        return Feedback(False, f"{parameters[0]} with a b would be a network of its own for each example. "
                        "All examples of a batch share one set of parameters (T5).")
    missing = right - answer
    for name, why in (("target", "each example has its own right answer, so target is an input like x."),
                      ("L", "the loss is per example, L[b]. The mean over b is taken later."),
                      ("s", "s is computed from h, which bears b, so it bears b too."),
                      ("h", "h is computed from x, which bears b, so it bears b too."),
                      ("x", "x is where b comes from: B examples go in together.")):
        if name in missing:
            return Feedback(False, why)
    return Feedback(True, "every input and every computed value has a b, and no parameter (T4, T5).")


def silent_trap(answer, J=32, largest=64):
    """Check a set of batch sizes up to `largest`: those where x @ W0.T - C0[:, None] raises nothing, though it is wrong."""
    answer, given = _as_set({answer} if isinstance(answer, int) else answer, (int, np.integer)), answer
    if answer is None:
        return Feedback(False, f"expected a set of batch sizes such as {{1, 2}}, got {given!r}.")
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
