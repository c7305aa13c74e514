"""Forward and backward kernels on arrays, NumPy's or CuPy's. All write to `out`; none allocates array data.

g is the gradient of the result, y the result, x the argument. `out` never overlaps x, y or g unless said.
The losses take matrices: one row for each example (and replica, and position), one column for each class.
"""

from __future__ import annotations

import math

from numpy import finfo

from .backend import take, xp_of

# ------------------------------------------------------------------ element by element: out[..] = f(x[..])


def sigmoid(x, out, work):
    """out = 1 / (1 + exp(-x)), computed as e / (1 + e) with e = exp(x). work: as x, written.

    This form keeps both tails: e alone is left where x is very negative. From x = 40 on the result
    is 1 in float64 too, so a larger x is taken for 40, and e cannot overflow.
    """
    xp = xp_of(x, out, work)
    xp.minimum(x, 40, out=out)
    xp.exp(out, out=out)
    xp.add(out, 1, out=work)
    xp.divide(out, work, out=out)


def sigmoid_backward(x, y, g, out):
    """out = g y (1 - y)."""
    xp = xp_of(y, g, out)
    xp.subtract(1, y, out=out)
    out *= y
    out *= g


def _log1p_exp(xp, x, out):
    """out = log(1 + exp(-|x|)), which can neither overflow nor lose a tail."""
    xp.copysign(x, -1, out=out)
    xp.exp(out, out=out)
    xp.log1p(out, out=out)


def log_sigmoid(x, out, work):
    """out = log(1 / (1 + exp(-x))), computed as min(x, 0) - log(1 + exp(-|x|)).

    work: as x, written.
    """
    xp = xp_of(x, out, work)
    _log1p_exp(xp, x, work)
    xp.minimum(x, 0, out=out)
    xp.subtract(out, work, out=out)


def log_sigmoid_backward(x, y, g, out):
    """out = g / (1 + exp(x)), computed as g (1 - exp(y))."""
    xp = xp_of(y, g, out)
    xp.expm1(y, out=out)
    xp.negative(out, out=out)
    out *= g


def softplus(x, out, work):
    """out = log(1 + exp(x)), computed as max(x, 0) + log(1 + exp(-|x|)). work: as x, written."""
    xp = xp_of(x, out, work)
    _log1p_exp(xp, x, work)
    xp.maximum(x, 0, out=out)
    xp.add(out, work, out=out)


def softplus_backward(x, y, g, out):
    """out = g / (1 + exp(-x)), computed as g (1 - exp(-y))."""
    xp = xp_of(y, g, out)
    xp.negative(y, out=out)
    xp.expm1(out, out=out)
    xp.negative(out, out=out)
    out *= g


def tanh(x, out):
    """out = tanh(x)."""
    xp_of(x, out).tanh(x, out=out)


def tanh_backward(x, y, g, out):
    """out = g (1 - y^2)."""
    xp = xp_of(y, g, out)
    xp.multiply(y, y, out=out)
    xp.subtract(1, out, out=out)
    out *= g


def relu(x, out):
    """out = max(x, 0)."""
    xp_of(x, out).maximum(x, 0, out=out)


def relu_backward(x, y, g, out):
    """out = g sign(max(x, 0)): g where x > 0, else 0 (at 0 the subgradient 0), for finite g.

    No array of truth values is kept. An infinite g, as of sqrt(relu(x)) at x <= 0, gives nan.
    """
    xp = xp_of(y, g, out)
    xp.sign(y, out=out)
    out *= g


def exp(x, out):
    """out = exp(x)."""
    xp_of(x, out).exp(x, out=out)


def exp_backward(x, y, g, out):
    """out = g y."""
    xp_of(y, g, out).multiply(g, y, out=out)


def log(x, out):
    """out = log(x)."""
    xp_of(x, out).log(x, out=out)


def log_backward(x, y, g, out):
    """out = g / x."""
    xp_of(x, g, out).divide(g, x, out=out)


def sqrt(x, out):
    """out = x^(1/2)."""
    xp_of(x, out).sqrt(x, out=out)


def sqrt_backward(x, y, g, out):
    """out = g / (2 y)."""
    xp = xp_of(y, g, out)
    xp.divide(g, y, out=out)
    out *= 0.5


def power(x, out, exponent):
    """out = x^p for a small number p."""
    xp = xp_of(x, out)
    if exponent == -1:
        xp.divide(1, x, out=out)
    elif exponent == 2:
        xp.multiply(x, x, out=out)
    else:
        xp.power(x, exponent, out=out)


def power_backward(x, y, g, out, exponent):
    """out = g p x^(p - 1); 0 for p = 0, also where x = 0."""
    xp = xp_of(x, g, out)
    if exponent == 0:
        out.fill(0)
        return
    if exponent == 2:
        xp.multiply(x, g, out=out)
    else:
        xp.power(x, exponent - 1, out=out)
        out *= g
    out *= exponent


MAPS = {"sigmoid": (sigmoid, sigmoid_backward), "tanh": (tanh, tanh_backward), "relu": (relu, relu_backward),
        "exp": (exp, exp_backward), "log": (log, log_backward), "sqrt": (sqrt, sqrt_backward),
        "power": (power, power_backward), "log_sigmoid": (log_sigmoid, log_sigmoid_backward),
        "softplus": (softplus, softplus_backward)}
WITH_WORK = ("sigmoid", "log_sigmoid", "softplus")      # forward kernels with an array to work in

# ------------------------------------------------------------------ rows: softmax and the losses


def softmax(s, out, row):
    """out[..,y] = exp(s[..,y]) / sum_y exp(s[..,y]), the largest s of a row taken off first. row: [..], written."""
    xp = xp_of(s, out, row)
    column = row[..., None]
    s.max(axis=-1, out=row)
    xp.subtract(s, column, out=out)
    xp.exp(out, out=out)
    out.sum(axis=-1, out=row)
    out /= column


def softmax_backward(P, g, out, row):
    """out[..,y] = P[..,y] (g[..,y] - sum_y g[..,y] P[..,y]). row: [..], written."""
    xp = xp_of(P, g, out, row)
    xp.multiply(g, P, out=out)
    out.sum(axis=-1, out=row)
    xp.subtract(g, row[..., None], out=out)
    out *= P


def log_softmax_backward(y, g, out, row):
    """out[..,y] = g[..,y] - exp(y[..,y]) sum_y g[..,y], y the result. row: [..], written."""
    xp = xp_of(y, g, out, row)
    g.sum(axis=-1, out=row)
    xp.exp(y, out=out)
    out *= row[..., None]
    xp.subtract(g, out, out=out)


def logsumexp(s, out, work, top, row, rest, number):
    """out[b] = log(number sum_y exp(s[b,y])), the largest s of a row taken off first.

    work and top: as s, row and rest: [b], all written.
    """
    xp = xp_of(s, out, work, top, row, rest)
    s.max(axis=-1, out=row)
    xp.subtract(s, row[:, None], out=work)
    xp.add(row, math.log(number), out=out)
    _sum_of_exp(work, work, top, row, rest)
    xp.log1p(rest, out=rest)
    out += rest


def logsumexp_backward(s, y, g, out, row, number):
    """out[b,y] = g[b] softmax_y(s[b,y]), whatever the number. row: [b], written."""
    softmax(s, out, row)
    out *= g[:, None]


def norm(x, out, work, row, number):
    """out[b] = sqrt(number sum_y x[b,y]^2), the largest |x| of a row divided out first.

    work: as x, row: [b], both written.
    """
    xp = xp_of(x, out, work, row)
    xp.abs(x, out=work)
    work.max(axis=-1, out=row)
    xp.maximum(row, _smallest(row), out=row)
    work /= row[:, None]
    xp.multiply(work, work, out=work)
    work.sum(axis=-1, out=out)
    if number != 1:
        out *= number
    xp.sqrt(out, out=out)
    out *= row


def norm_backward(x, y, g, out, row, number):
    """out[b,y] = g[b] number x[b,y] / y[b], and 0 where y = 0, one of the slopes that a norm has there.

    row: [b], written.
    """
    xp = xp_of(x, y, g, out, row)
    xp.maximum(y, _smallest(row), out=row)
    xp.divide(x, row[:, None], out=out)
    out *= g[:, None]
    if number != 1:
        out *= number


def _smallest(array):
    """The smallest number above 0 of this type: it stands for a 0 that would be divided by."""
    return float(finfo(array.dtype).smallest_subnormal)


REDUCTIONS_BACKWARD = {"logsumexp": logsumexp_backward, "norm": norm_backward}


def label_places(target, first, out):
    """out[b] = first[b] + target[b]: where P[b,target[b]] stands in P laid out flat. first[b] = b times the classes."""
    xp_of(target, first, out).add(first, target, out=out)


def nll(P, places, out):
    """out[b] = -log P[b,target[b]]."""
    xp = xp_of(P, places, out)
    take(P.reshape(-1), places, out)
    xp.log(out, out=out)
    xp.negative(out, out=out)


def nll_backward(P, places, g, out, row):
    """out[b,y] = -g[b] / P[b,y] at y = target[b], else 0. row: [b], written."""
    xp = xp_of(P, places, g, out, row)
    take(P.reshape(-1), places, row)
    xp.divide(g, row, out=row)
    xp.negative(row, out=row)
    out.fill(0)
    out.reshape(-1).put(places, row)


def cross_entropy(s, target, counting, out, D, places, row, rest):
    """out[b] = log sum_y exp(s[b,y]) - s[b,target[b]]; D[y,b] = softmax_y(s[b,y]) - [y = target[b]] is kept.

    D has the classes first, since NumPy is slow where the last axis is short. counting[b] = b; places,
    row and rest: [b], written. With d = s - max s, e = exp(d) and R the sum of e over the other classes
    the loss is log(1 + (R + e[target] - 1)) - d[target], and D is -R / (R + e[target]) at the target: so
    the small loss and gradient of an example that the model is sure of keep their digits.
    """
    xp = xp_of(s, target, counting, out, D, places, row, rest)
    flat = D.reshape(-1)
    xp.multiply(target, len(row), out=places)
    places += counting                              # where D[target[b],b] stands
    xp.copyto(D, s.T)
    D.max(axis=0, out=row)
    D -= row
    take(flat, places, out)
    xp.exp(D, out=D)
    xp.expm1(out, out=rest)                         # e[target] - 1
    row.fill(0)
    flat[places] = row
    D.sum(axis=0, out=row)                          # R
    rest += row
    xp.negative(row, out=row)
    flat[places] = row
    xp.add(rest, 1, out=row)
    D /= row
    xp.log1p(rest, out=rest)
    xp.subtract(rest, out, out=out)


def cross_entropy_backward(D, g, out):
    """out[b,y] = g[b] D[y,b]."""
    xp_of(D, g, out).multiply(D, g, out=out.T)


def log_softmax(s, P, out, top, row, rest):
    """out[..,y] = s[..,y] - log sum_y exp(s[..,y]). Written too: P, the softmax of s.

    top: as s, row and rest: [..], written.
    """
    xp = xp_of(s, P, out, top, row, rest)
    s.max(axis=-1, out=row)
    xp.subtract(s, row[..., None], out=out)
    _sum_of_exp(out, P, top, row, rest)
    P += top
    xp.add(rest, 1, out=row)
    P /= row[..., None]
    xp.log1p(rest, out=rest)
    out -= rest[..., None]


def _sum_of_exp(d, e, top, row, rest):
    """rest[..] = sum_y exp(d[..,y]) - 1, where the largest d of a row is 0: small sums keep their digits.

    Written: top[..,y] = [d[..,y] = 0], e = exp(d) - top, row[..]. e may be d.
    """
    xp = xp_of(d, e, top, row, rest)
    xp.equal(d, 0, out=top)
    xp.exp(d, out=e)
    e -= top
    top.sum(axis=-1, out=rest)
    rest -= 1
    e.sum(axis=-1, out=row)
    rest += row


def soft_nll(logP, t, out, work, absent):
    """out[b] = -sum_y t[b,y] log P[b,y], in which a class with t = 0 counts 0 even if log P = -inf.

    work: as P, absent: truth values as P, both written.
    """
    xp = xp_of(logP, t, out, work, absent)
    xp.equal(t, 0, out=absent)
    xp.copyto(work, logP)
    xp.copyto(work, 0, where=absent)
    work *= t
    work.sum(axis=-1, out=out)
    xp.negative(out, out=out)


def soft_nll_backward(P, t, g, out, absent):
    """out[b,y] = -g[b] t[b,y] / P[b,y], and 0 where t = 0, even if P = 0.

    absent: truth values as P, written.
    """
    xp = xp_of(P, t, g, out, absent)
    xp.equal(t, 0, out=absent)
    xp.copyto(out, P)
    xp.copyto(out, 1, where=absent)
    xp.divide(t, out, out=out)
    out *= g[:, None]
    xp.negative(out, out=out)


def soft_cross_entropy_backward(P, t, g, out, row):
    """out[b,y] = g[b] ((sum_y t[b,y]) P[b,y] - t[b,y]); the sum is 1 for a distribution, and is not assumed. row: [b], written."""
    xp = xp_of(P, t, g, out, row)
    t.sum(axis=-1, out=row)
    xp.multiply(P, row[:, None], out=out)
    out -= t
    out *= g[:, None]


def target_backward(logP, g, out):
    """out[b,y] = -g[b] log P[b,y]: nll and cross_entropy with respect to a distribution t."""
    xp = xp_of(logP, g, out)
    xp.multiply(logP, g[:, None], out=out)
    xp.negative(out, out=out)


def squared_error(s, t, out, work):
    """out[b] = 1/2 sum_y (s[b,y] - t[b,y])^2. work: as s, written."""
    xp = xp_of(s, t, out, work)
    xp.subtract(s, t, out=work)
    xp.multiply(work, work, out=work)
    work.sum(axis=-1, out=out)
    out *= 0.5


def squared_error_backward(s, t, g, out):
    """out[b,y] = g[b] (s[b,y] - t[b,y]). With s and t exchanged: the gradient of t."""
    xp = xp_of(s, t, g, out)
    xp.subtract(s, t, out=out)
    out *= g[:, None]
