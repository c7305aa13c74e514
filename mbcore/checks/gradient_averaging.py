"""Lesson 04: a gradient in parts, the loss of a batch of tokens, and how long an average must be."""

from __future__ import annotations

import numpy as np

from ..checking import whole
from .feedback import Case, function, number, written


def _parts(B, n):
    return [(first, min(first + n, B)) for first in range(0, B, n)]


def _added(weight):
    """The sum over parts of weight(examples in the part, B, n, number of parts) times the part's mean gradient."""
    def gradient(mean_gradient, B, n):
        parts = _parts(B, n)
        return sum(weight(last - first, B, n, len(parts)) * mean_gradient(first, last) for first, last in parts)
    return gradient


def _whole_parts(mean_gradient, B, n):
    whole = [mean_gradient(first, last) for first, last in _parts(B, n) if last - first == n]
    return np.mean(whole, axis=0) if whole else np.zeros_like(mean_gradient(0, min(n, B)))


def _whole_parts_weighted(mean_gradient, B, n):
    whole = [mean_gradient(first, last) for first, last in _parts(B, n) if last - first == n]
    return n / B * np.sum(whole, axis=0) if whole else np.zeros_like(mean_gradient(0, min(n, B)))


def _last(mean_gradient, B, n):
    return mean_gradient(*_parts(B, n)[-1])


def _last_weighted(mean_gradient, B, n):
    first, last = _parts(B, n)[-1]
    return (last - first) / B * mean_gradient(first, last)


ACCUMULATED = {                                 # misconception -> the gradient that it produces
    "this is the mean of the parts' means. With B = 5 and n = 2, the part of 1 gets the same say "
    "as a part of 2; "
    "weight each by its examples.":
        _added(lambda size, B, n, K: 1 / K),
    "you added the parts' gradients. Each is a mean already, so the sum grows with their number: give each part its share of B.":
        _added(lambda size, B, n, K: 1),
    "every part got the weight n / B, also the last one, which is smaller.": _added(lambda size, B, n, K: n / B),
    "you divided by n times the number of parts. That is not B when the last part is smaller.":
        _added(lambda size, B, n, K: size / (n * K)),
    "the smaller last part is left out: the loop ends too early.": _whole_parts,
    "the smaller last part is left out, though B counts its examples.": _whole_parts_weighted,
    "only the last part is left: you wrote = where += adds, or you set the sum to zero inside the loop.": _last_weighted,
    "only the last part is left, as a mean of its own: you wrote = where += adds, and its share of B is missing.": _last,
    "only the first part is there: you return inside the loop, or always ask for the same examples.":
        lambda mean_gradient, B, n: mean_gradient(0, min(n, B)),
    "only the first part is there, with its share of B: you return inside the loop.":
        lambda mean_gradient, B, n: min(n, B) / B * mean_gradient(0, min(n, B)),
    "this is the sum over all examples. Divide by B, once.": _added(lambda size, B, n, K: size),
    "B divides twice: once in each part's share, and once more.": _added(lambda size, B, n, K: size / B**2),
    "you divided by the number of parts on top of the right weights. The shares n_k / B add up to 1 already.":
        _added(lambda size, B, n, K: size / B / K),
    "the part's share is size / B, and you have size / n: this is still to be divided.": _added(lambda size, B, n, K: size / n),
}


def accumulated(solution):
    """Check a function (mean_gradient, B, n) -> g[p], the gradient of the mean over examples 0 to B - 1, at most n at a time.

    mean_gradient(first, last) gives the gradient of the mean over the examples first to last - 1, as a program does.
    """
    return function(solution, _added(lambda size, B, n, K: size / B), ACCUMULATED,
                    [_case(*sizes) for sizes in ((5, 2), (6, 3), (5, 1), (3, 8))],
                    takes="mean_gradient, B and n", returns="g[p]",
                    praise="5 = 2 + 2 + 1, 6 = 3 + 3, five parts of 1, and one part where n is above B: "
                           "all give the gradient of one pass.",
                    hint="Write down the weight that an example of each part gets; it must be 1/B.",
                    small=[_case(B, n, np.array([1.0, 2, 4])[:B, None])
                           for B, n in ((1, 1), (2, 1), (2, 2), (3, 2))])


def _case(B, n, each=None):
    """B examples' gradients in parts of n. Sizes differ wherever they can, so that no mistake
    hides: 5 examples, 2 in a part, 3 parts, 1 in the last, 4 parameters."""
    each = np.random.default_rng(4).normal(size=(B, 4)) if each is None else each

    def mean_gradient(first, last):
        asked = each[first:last]
        if len(asked) > n:
            raise ValueError(f"memory holds n = {n} examples, and this asks for {len(asked)}")
        if not len(asked):
            raise ValueError(f"there are no examples from {first} to {last - 1}")
        return asked.mean(axis=0)
    words = f"n = {n} and the examples' gradients {written(each)}"
    return Case({"B": B, "n": n}, (mean_gradient, B, n), words)


def loss_of_tokens(answer):
    """Check the mean loss per token of two parts: 30 tokens with mean loss 1, and 10 tokens with mean loss 3."""
    return number(answer, 1.5, {
        "this is the mean of the two means. The 10 tokens get the same say as the 30: each of them counts three times as much.": 2.0,
        "you added the means; the loss of the batch is a mean as well.": 4.0,
        "this is the sum over the 40 tokens; divide it by their number.": 60.0,
        "you divided by the number of parts on top of the number of tokens.": 0.75,
        "the weights are swapped: the part of 30 tokens has the weight 30/40.": 2.5,
        "you divided by the number of tokens twice.": 1.5 / 40,
    }, praise="(30 x 1 + 10 x 3) / 40. The mean of means says 2, a third too much.",
        hint="How large is the sum of the losses of all tokens, and how many tokens are there?", rtol=0.01)


def as_quiet(answer, window=31):
    """Check the N for which the exponential average of weight 1/N is as quiet as the mean of the last `window` gradients."""
    window = whole("window", window)
    return number(answer, (window + 1) / 2, {
        f"with the weight 1/{window} the variance is sigma^2/{2 * window - 1}: quieter than you need, and later.": window,
        "you took sigma^2/(2N) for the exponential average; it is sigma^2/(2N - 1).": window / 2,
        f"turned round: a mean of the last {2 * window - 1} is as quiet as the weight 1/{window}.": 2 * window - 1,
        "you took sigma^2/(2N + 1) for the exponential average; it is sigma^2/(2N - 1).": (window - 1) / 2,
        "that is the weight 1/N; the question is N.": 2 / (window + 1),
        "that is the beta of the momentum, 1 - 1/N; the question is N.": 1 - 2 / (window + 1),
    }, praise=f"2N - 1 = {window}. It keeps one array, and the mean of the last {window} keeps {window}.",
        hint=f"Set sigma^2/(2N - 1) equal to sigma^2/{window}.", rtol=0.01)
