"""Lesson 09: Keskar's sharpness as a number, Dinh's rescaling, and a filter-normalised direction."""

from __future__ import annotations

import numpy as np

from .feedback import Case, function, number

LOSS, WORST = 0.05, 0.26

PHI = {                                         # misconception -> the phi that it produces
    "the factor 100 is missing.": (WORST - LOSS) / (1 + LOSS),
    "you divided by f(x). Keskar divides by 1 + f(x), so that a loss near 0 makes no infinity.": 100 * (WORST - LOSS) / LOSS,
    "f(x) is not subtracted: phi is about the rise.": 100 * WORST / (1 + LOSS),
    "the division by 1 + f(x) is missing.": 100 * (WORST - LOSS),
    "you divided by 1 + the largest loss. It is 1 + f(x), the loss in the middle of the box.": 100 * (WORST - LOSS) / (1 + WORST),
    "the sign: the largest loss comes first, the loss in the middle is subtracted.": 100 * (LOSS - WORST) / (1 + LOSS),
}


def phi(answer):
    """Check Keskar's phi of a network with loss 0.05 whose largest loss in the box is 0.26."""
    return number(answer, 100 * (WORST - LOSS) / (1 + LOSS), PHI,
                  praise="a rise of 0.21 over 1.05, in per cent. Both numbers in it depend on how far the loss has been trained down.",
                  hint="Put f(x) = 0.05 and the largest loss 0.26 into the equation for phi.", rtol=0.01)


def _rescaled(W0, C0, W1, C1, alpha):
    return W0 * alpha, C0 * alpha, W1 / alpha, C1


RESCALED = {                                    # misconception -> what it returns
    "C0 is forgotten. relu(alpha z) = alpha relu(z) needs all of z times alpha, and C0 is part of z.":
        lambda W0, C0, W1, C1, a: (W0 * a, C0, W1 / a, C1),
    "W1 is multiplied as well. The scores then grow by alpha squared; divide W1.": lambda W0, C0, W1, C1, a: (W0 * a, C0 * a, W1 * a, C1),
    "W1 is as it was, so the part of the scores that comes from h grows by alpha; divide W1 by it.":
        lambda W0, C0, W1, C1, a: (W0 * a, C0 * a, W1, C1),
    "C1 is divided too. It is added after W1 has undone alpha, so it stays.": lambda W0, C0, W1, C1, a: (W0 * a, C0 * a, W1 / a, C1 / a),
    "C1 is multiplied too. It is added after W1 has undone alpha, so it stays.":
        lambda W0, C0, W1, C1, a: (W0 * a, C0 * a, W1 / a, C1 * a),
    "your function stays the same, but with 1/alpha: alpha multiplies what goes into the relu.":
        lambda W0, C0, W1, C1, a: (W0 / a, C0 / a, W1 * a, C1),
    "W1 is divided by alpha twice over; h grew by alpha once.": lambda W0, C0, W1, C1, a: (W0 * a, C0 * a, W1 / a**2, C1),
    "nothing changed: you returned the parameters as they came.": lambda W0, C0, W1, C1, a: (W0, C0, W1, C1),
    "everything is multiplied by alpha. That is another function.": lambda W0, C0, W1, C1, a: (W0 * a, C0 * a, W1 * a, C1 * a),
}


def rescale(solution):
    """Check a function (W0[j,i], C0[j], W1[y,j], C1[y], alpha) -> the four, rescaled so that the function stays."""
    return function(solution, _rescaled, RESCALED, [_net(*sizes) for sizes in ((4, 4, 4), (3, 5, 2))],
                    takes="W0, C0, W1, C1 and alpha", returns="(W0, C0, W1, C1)",
                    praise="the same function from other parameters, for any alpha > 0.",
                    hint="Follow one number: what does h[j] become, and what must W1[y,j] do "
                         "about it?",
                    small=[_net(1, 1, 1), _net(2, 1, 1)])


def _net(I, J, Y):
    rng = np.random.default_rng(5)
    arrays = (rng.normal(size=shape).round(1) for shape in ((J, I), J, (Y, J), Y))
    return Case({"I": I, "J": J, "Y": Y}, (*arrays, 0.3))


def _length(a, axis=None):
    return np.sqrt((a * a).sum(axis=axis, keepdims=True))


def _normalised(d_W, d_C, W, C):
    return d_W / _length(d_W, 1) * _length(W, 1), np.zeros(C.shape)


NORMALISED = {                                  # misconception -> the direction that it produces
    "you gave the whole matrix one length. Each neuron, a row W[j,:], gets its own.":
        lambda d_W, d_C, W, C: (d_W / _length(d_W) * _length(W), 0 * C),
    "you normalised the whole matrix, and kept the direction of the bias; Li et al. set it to zero.":
        lambda d_W, d_C, W, C: (d_W / _length(d_W) * _length(W), d_C),
    "you took columns. A filter is one neuron's incoming weights, the row W[j,:].":
        lambda d_W, d_C, W, C: (d_W / _length(d_W, 0) * _length(W, 0), 0 * C),
    "the direction of the bias is kept. Li et al. set it to zero.": lambda d_W, d_C, W, C: (_normalised(d_W, d_C, W, C)[0], d_C),
    "the bias has a direction of its own length. Li et al. set it to zero.":
        lambda d_W, d_C, W, C: (_normalised(d_W, d_C, W, C)[0], d_C / _length(d_C) * _length(C)),
    "each row has length 1. It should have the length of that neuron's weights.": lambda d_W, d_C, W, C: (d_W / _length(d_W, 1), 0 * C),
    "each row is multiplied by the weights' length, but not divided by its own first.":
        lambda d_W, d_C, W, C: (d_W * _length(W, 1), 0 * C),
    "the square root is missing in both lengths.":
        lambda d_W, d_C, W, C: (d_W / _length(d_W, 1)**2 * _length(W, 1)**2, 0 * C),
    "that is the direction as it was drawn: nothing is normalised.": lambda d_W, d_C, W, C: (d_W, d_C),
}


def filter_normalise(solution):
    """Check a function (d_W[j,i], d_C[j], W[j,i], C[j]) -> (d_W, d_C), filter-normalised."""
    return function(solution, _normalised, NORMALISED, [_directions(*sizes) for sizes in ((4, 4), (3, 5))],
                    takes="d_W, d_C, W and C", returns="(d_W, d_C)",
                    praise="each neuron's part of the direction is as long as its weights, and biases stay where they are. Rescale a row by "
                           "alpha, and its part of d is rescaled alike: the picture is the same.",
                    hint="For each j: ||d_W[j,:]|| must come out as ||W[j,:]||; d_C[j] as 0.",
                    small=[_directions(1, 1), _directions(2, 1), _directions(1, 2)])


def _directions(I, J):
    rng = np.random.default_rng(6)
    arrays = (rng.normal(size=shape).round(1) for shape in ((J, I), J, (J, I), J))
    return Case({"I": I, "J": J}, tuple(arrays))
