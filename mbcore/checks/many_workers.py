"""Lesson 12: the average over ragged shards, and the bytes of a ring."""

from __future__ import annotations

import numpy as np

from ..checking import whole
from .feedback import Case, count, function


def _right(gradients, shards):
    return np.asarray(shards) @ gradients / np.sum(shards)


AVERAGE = {                                     # misconception -> the averaged gradient that it produces
    "you took the plain mean over the workers. A worker with fewer examples must count less: by its share B[k] / B.":
        lambda g, shards: g.mean(axis=0),
    "you added the gradients. Each g[k] is a mean already; adding K of them makes a step K times too long.": lambda g, shards: g.sum(axis=0),
    "you weighted by B[k] and did not divide by B, the examples of the whole batch.": lambda g, shards: np.asarray(shards) @ g,
    "you divided by the number of workers as well. The shares B[k] / B add up to one; nothing is left to divide by.":
        lambda g, shards: _right(g, shards) / len(shards),
    "you weighted by B[k] and divided by K instead of B.": lambda g, shards: np.asarray(shards) @ g / len(shards),
    "the shares are turned round: a worker with fewer examples got more weight.":
        lambda g, shards: (1 / np.asarray(shards)) @ g / np.sum(1 / np.asarray(shards)),
    "you averaged over the parameters. The sum is over workers, k, the first axis.": lambda g, shards: g.mean(axis=1),
    "you return one row for each worker. Their weighted sum over k is what all of them need.":
        lambda g, shards: g * (np.asarray(shards) / np.sum(shards))[:, None],
    "only the last worker's gradient is left: you wrote = where += adds over k.":
        lambda g, shards: g[-1] * shards[-1] / np.sum(shards),
}


def average(solution):
    """Check a function (gradients[k,n], shards[k]) -> g[n] = sum_k (B[k]/B) g[k,n]."""
    return function(solution, _right, AVERAGE, [_case(4, 4), _case(3, 5), _case(1, 2)], takes="gradients and shards", returns="g[n]",
                    praise="each worker counts by its share of the batch, with any number of workers.",
                    hint="Try two workers with 3 and 1 examples: their weights are 3/4 and 1/4.",
                    small=[_case(1, 1), _case(2, 1), _case(2, 2)])


def _case(K, n):
    rng = np.random.default_rng(5)
    return Case({"K": K, "n": n}, (rng.normal(size=(K, n)).round(1), np.array([32, 7, 20, 4])[:K]))


def ring_bytes(answer, K=4, numbers=1_000_000, itemsize=4):
    """Check how many bytes each worker sends in a ring all-reduce of so many numbers."""
    K, numbers = whole("K", K, 2), whole("numbers", numbers)
    n = numbers * whole("itemsize", itemsize)
    wrong = {
        "that is one of the two rounds: after the sums are complete somewhere, they still have to travel to everybody.": (K - 1) / K * n,
        "that is the whole gradient in every step, or what all workers send together. A step of one worker sends one chunk, 1/K of it.":
            2 * (K - 1) * n,
        "that is the whole gradient once. Count the steps, 2 (K-1), and the bytes of a chunk.": n,
        "that is twice the whole gradient. Nearly: in each round a worker sends K-1 chunks, not K.": 2 * n,
        f"you counted numbers, not bytes; one float32 takes {itemsize}.": 2 * (K - 1) / K * numbers,
    }
    return count(answer, 2 * (K - 1) / K * n, wrong, praise=f"2 (K-1) steps of 1/K of the gradient: {2 * (K - 1) / K * n:,.0f} bytes, and hardly "
                  "more with many more workers.", hint="Count: 2 (K-1) steps, and in each a worker sends one chunk of 1/K of the gradient.",
                  expected="a number of bytes")
