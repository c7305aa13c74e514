"""Lesson 03: the backward pass of a layer, the learning rate that undoes a second 1/B, and the regulariser's share."""

from __future__ import annotations

from math import sqrt

import numpy as np

from ..checking import real, whole
from .feedback import Case, Feedback, function, number, outcome


def _sigma(z):
    return 1 / (1 + np.exp(-z))


def _slope(h):
    return h * (1 - h)


SLOPES = {                                      # misconception -> h~.grad[b,j] from h[b,j] and h.grad[b,j]
    "": lambda h, g: g * _slope(h),             # none
    "the σ′ is missing: h~.grad[b,j] is h.grad[b,j] · h[b,j] (1 − h[b,j]).": lambda h, g: g,
    "σ′ is taken at h. But h is σ(h~) already, so σ′ is h (1 − h).": lambda h, g: g * _slope(_sigma(h)),
    "σ stands where its derivative belongs: multiply by h (1 − h), not by h.": lambda h, g: g * h,
    "h.grad got lost: h (1 − h) has to be multiplied by it.": lambda h, g: _slope(h),
    "1 − h² is the derivative of tanh; that of σ is h (1 − h).": lambda h, g: g * (1 - h**2),
}

X = {                                           # misconception -> x.grad from g = h~.grad, W0 and x
    "": lambda g, W, x: g @ W,
    "x.grad is divided by B. It has a b, nothing was summed over b, so it belongs to one example's own loss and gets no 1/B.":
        lambda g, W, x: g @ W / len(x),
    "W0 is transposed in x.grad: it is W0[j,i], and the sum runs over j.": lambda g, W, x: g @ W.T,
    "W0 is transposed in x.grad, and x.grad is divided by B.": lambda g, W, x: g @ W.T / len(x),
    "x.grad has lost its b: you took the mean over the batch. Each example has its own x.grad[b,:].": lambda g, W, x: (g @ W).mean(axis=0),
    "x.grad has lost its b: you added up the batch. Each example has its own x.grad[b,:].": lambda g, W, x: (g @ W).sum(axis=0),
    "x.grad has only the last j: you wrote = where += adds over j.": lambda g, W, x: np.outer(g[:, -1], W[-1]),
    "x.grad is a mean over j. It is a sum: x[b,i] goes into every h~[b,j].": lambda g, W, x: g @ W / len(W),
}

W0 = {                                          # misconception -> W0.grad
    "": lambda g, W, x: g.T @ x / len(x),
    "W0.grad is a sum over the batch. By the slides' convention it is the mean: 1/B is missing.": lambda g, W, x: g.T @ x,
    "W0.grad has 1/B². You took a mean and divided by B again.": lambda g, W, x: g.T @ x / len(x) ** 2,
    "W0.grad is transposed: you have [i,j], and W0 is [j,i].": lambda g, W, x: x.T @ g / len(x),
    "W0.grad is transposed, and 1/B is missing.": lambda g, W, x: x.T @ g,
    "W0.grad is a mean over the wrong axis: over j. The axis to average is b.": lambda g, W, x: _each(g, x).mean(axis=1),
    "W0.grad is a mean over the wrong axis: over i. The axis to average is b.": lambda g, W, x: _each(g, x).mean(axis=2),
    "W0.grad is divided by a size of W0. The mean is over the B examples: divide by len(x).": lambda g, W, x: g.T @ x / len(W),
    "W0.grad has only the last example: you wrote = where += adds over b.": lambda g, W, x: np.outer(g[-1], x[-1]) / len(x),
    "W0.grad has only the last example, without its 1/B: you wrote = where += adds over b.": lambda g, W, x: np.outer(g[-1], x[-1]),
    "W0.grad is still one for each example, [b,j,i]. Take the mean over b.": lambda g, W, x: _each(g, x),
    "W0.grad has the wrong sign: the minus belongs to C0.": lambda g, W, x: -g.T @ x / len(x),
    "W0.grad is made with W0 in the place of x. The other factor of W0[j,i] in the forward line is x[b,i].":
        lambda g, W, x: g.T @ (g @ W) / len(x),
}

C0 = {                                          # misconception -> C0.grad
    "": lambda g, W, x: -g.mean(axis=0),
    "C0.grad has the wrong sign: the slides subtract C0.": lambda g, W, x: g.mean(axis=0),
    "C0.grad is a sum over the batch. C0 is a parameter too: 1/B is missing.": lambda g, W, x: -g.sum(axis=0),
    "C0.grad has the wrong sign, and 1/B is missing.": lambda g, W, x: g.sum(axis=0),
    "C0.grad has 1/B². You took a mean and divided by B again.": lambda g, W, x: -g.mean(axis=0) / len(x),
    "C0.grad is a mean over the wrong axis: over j. The axis to average is b.": lambda g, W, x: -g.mean(axis=1),
    "C0.grad is one number: you took the mean over b and j. Only b is averaged away.": lambda g, W, x: -g.mean(),
    "C0.grad is still one for each example, [b,j]. Take the mean over b.": lambda g, W, x: -g,
    "C0.grad has only the last example: you wrote = where += adds over b.": lambda g, W, x: -g[-1] / len(x),
    "C0.grad has only the last example, without its 1/B: you wrote = where += adds over b.": lambda g, W, x: -g[-1],
}

PARTS = (("x_grad[b,i]", X), ("W0_grad[j,i]", W0), ("C0_grad[j]", C0))


def _each(g, x):
    return g[:, :, None] * x[:, None, :]        # [b,j,i]


def table(forms):
    """(right, {misconception: what it produces}) for one of the three arrays, as functions of (x, W0, h, h_grad)."""
    rows = {" And ".join(filter(None, (slope, form))): _produced(SLOPES[slope], forms[form]) for slope in SLOPES for form in forms}
    return rows.pop(""), rows


def _produced(slope, form):
    return lambda x, W, h, h_grad: form(slope(h, h_grad), W, x)


def backward(solution):
    """Check a function (x[b,i], W0[j,i], h[b,j], h_grad[b,j]) -> x_grad[b,i], W0_grad[j,i], C0_grad[j] of h = sigmoid(W0 x - C0)."""
    cases = [_layer_case(*sizes) for sizes in ((5, 4, 4), (5, 3, 4), (1, 3, 4))]
    small = [_layer_case(*sizes) for sizes in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))]
    told, error = outcome(solution, cases[0]) if callable(solution) else ((), "no function")
    if not error and not (isinstance(told, (tuple, list)) and len(told) == len(PARTS)):
        several = isinstance(told, (tuple, list))
        kind = f"{len(told)} values" if several else f"one {type(told).__name__}"
        kind = "nothing" if told is None else kind
        return Feedback(False, f"your function returns {kind}; end it with return x_grad, W0_grad, C0_grad.")
    for (name, _), part in zip(PARTS, told or ()):
        if part is None:
            return Feedback(False, f"your function returns nothing for {name.split('[')[0]}.")
    for tried in (cases[:1], cases):            # all three in the first case, before the sizes differ
        for k, (name, forms) in enumerate(PARTS):
            right, wrong = table(forms)
            found = function(_part(solution, k), right, wrong, tried, takes="x, W0, h and h_grad", returns=name,
                             praise="all three agree, at B = 5, at B = 1, and where I and J differ.",
                             small=small, hint=f"Look at {name.split('[')[0]}, and compare with the "
                             "loops above, at B = 1.")
            if not found.right:
                return found
    return found


def _part(solution, k):
    """The function that returns the k-th of the three, or what is no function, or nothing, as it is."""
    if not callable(solution):
        return solution

    def part(*arguments):
        told = solution(*arguments)
        return told if told is None else told[k]
    return part


def _layer_case(B, I, J):
    rng = np.random.default_rng(3)
    x, W, C = rng.normal(size=(B, I)), rng.normal(size=(J, I)), rng.normal(size=J)
    return Case({"B": B, "I": I, "J": J}, (x, W, _sigma(x @ W.T - C), rng.normal(size=(B, J))))


def learning_rate(answer, lr=0.1, B=32):
    """Check the learning rate with which 1/B in W.grad and in the update makes the step that 1/B in W.grad makes with lr."""
    lr, B = real("lr", lr, above=0), whole("B", B)
    wrong = {
        f"the other way: her step is {B} times too small already, and with this η it would be {B * B} times too small.": lr / B,
        "then nothing is undone: the second 1/B is still there.": lr,
        f"√B belongs to another question, that of noise (lesson 08). Here her step is {B} times too small, exactly.": lr * sqrt(B),
        "1/B stands twice, but one of the two belongs there. Only one is too many.": lr * B * B,
    }
    return number(answer, lr * B, wrong, expected="a learning rate", rtol=0.005,
                  praise=f"B = {B} times {lr:g}. It holds for this B alone: change the batch size, and the learning rate is wrong again.",
                  hint=f"her step is {B} times too small. What must be in front of it?")


REGULARISED = {                                 # misconception -> gradient of mean ell + lam J, J = half the sum of W**2
    "lam ∇J is divided by B. The mean is over the examples, and J is no example: it stands outside the mean.":
        lambda g, W, lam: g.mean(axis=0) + lam * W / len(g),
    "the examples' gradients are added up, not averaged: 1/B is missing.": lambda g, W, lam: g.sum(axis=0) + lam * W,
    "the examples' gradients are added up, and lam ∇J is divided by B: the 1/B stands at the wrong term.":
        lambda g, W, lam: g.sum(axis=0) + lam * W / len(g),
    "that is B times the gradient: lam ∇J was added once for each example, and the mean is missing.":
        lambda g, W, lam: (g + lam * W).sum(axis=0),
    "lam ∇J is multiplied by B: you added it once for each example.": lambda g, W, lam: g.mean(axis=0) + len(g) * lam * W,
    "lam ∇J is missing.": lambda g, W, lam: g.mean(axis=0),
    "lam J is the value; its gradient is lam W.": lambda g, W, lam: g.mean(axis=0) + lam * (W * W).sum() / 2,
    "∇J is W: the 2 of the square and the 1/2 in front of the sum cancel.": lambda g, W, lam: g.mean(axis=0) + 2 * lam * W,
    "∇J is W, not W²: you have the sum's term, without its derivative.": lambda g, W, lam: g.mean(axis=0) + lam * W * W / 2,
    "lam is missing.": lambda g, W, lam: g.mean(axis=0) + W,
    "∇J is missing: you added lam alone.": lambda g, W, lam: g.mean(axis=0) + lam,
    "the sign: lam J is added to the loss, so its gradient is added.": lambda g, W, lam: g.mean(axis=0) - lam * W,
    "the mean was taken over j and i too. Only b is averaged away.": lambda g, W, lam: g.mean() + lam * W,
    "the mean is over the wrong axis: b comes first, so it is axis 0.": lambda g, W, lam: g.mean(axis=1) + lam * W,
    "g is still one for each example, [b,j,i]. Take the mean over b.": lambda g, W, lam: g + lam * W,
}


def regularised(solution):
    """Check a function (g[b,j,i], W[j,i], lam) -> the gradient of (1/B) sum_b ell[b] + lam J, where J = half the sum of W**2."""
    return function(solution, lambda g, W, lam: g.mean(axis=0) + lam * W, REGULARISED,
                    [_share_case(*sizes) for sizes in ((4, 4, 4), (5, 3, 4), (1, 3, 4))], takes="g, W and lam", returns="W_grad[j,i]",
                    praise="the mean of the examples' gradients, and lam ∇J once, at B = 4, at B = 5, and at B = 1.",
                    hint="Two terms: a mean over b, and lam times the gradient of J.",
                    small=[_share_case(*s) for s in ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 1, 2))])


def _share_case(B, I, J):
    rng = np.random.default_rng(3)
    g, W = rng.normal(size=(B, J, I)).round(1), rng.normal(size=(J, I)).round(1)
    return Case({"B": B, "I": I, "J": J}, (g, W, 0.3))
