"""Lesson 10: the perplexity of a text, the floor that a source sets, and two texts put together."""

from __future__ import annotations

import numpy as np

from .feedback import Case, Feedback, equal, function, number, outcome


def _perplexity(P):
    return np.exp(-np.log(P).mean())


PERPLEXITY = {                          # misconception -> the number that it produces
    "this is the mean loss in nats; perplexity is exp of it.": lambda P: -np.log(P).mean(),
    "the minus is missing: this is the probability per character, perplexity is its inverse.": lambda P: np.exp(np.log(P).mean()),
    "this is the inverse probability of the whole text; per character means the n-th root, or the mean of the losses.":
        lambda P: np.exp(-np.log(P).sum()),
    "this is the mean of 1/P. One unlikely character would outweigh all others: take the mean of -ln P, then exp.":
        lambda P: (1 / P).mean(),
    "this is 1 over the mean of P. The probabilities of a text multiply; so it is their logarithms that you average.":
        lambda P: 1 / P.mean(),
    "two bases: log2 and exp do not undo each other. Use ln and exp, or log2 and 2 **.": lambda P: np.exp(-np.log2(P).mean()),
    "this is in bits; exponentiate: 2 ** bits, or exp of nats.": lambda P: -np.log2(P).mean(),
    "two bases: ln and 2 ** do not undo each other. Use ln and exp, or log2 and 2 **.": lambda P: 2 ** -np.log(P).mean(),
    "n is the number of probabilities, len(P); you divide by one less.": lambda P: np.exp(-np.log(P).sum() / (len(P) - 1)),
    "n is the number of probabilities, len(P); you divide by one more.": lambda P: np.exp(-np.log(P).sum() / (len(P) + 1)),
}
UNDERFLOW = ("right for a short text, but for a long one your product of probabilities becomes 0 in floating point (the loop above "
             "shows where). Add logarithms instead of multiplying.")


def perplexity(solution):
    """Check a function P[n] -> exp(mean of -ln P), where P[n] is the probability that the model gave to the n-th next character."""
    told = function(solution, _perplexity, PERPLEXITY, [_probabilities(n) for n in (6, 1, 40)], takes="P", returns="a number",
                    praise="the inverse probability per character, and it holds for 5,000 characters too.",
                    hint="Write down -ln P for each character first.",
                    small=[_probabilities(n) for n in (1, 2, 3)])
    if not told.right:
        return told
    long = _probabilities(5000).arguments[0]
    with np.errstate(all="ignore"):             # a root of 0, a logarithm of 0
        answer, error = outcome(solution, Case({}, (long,)))
    near = error is None and equal(answer, _perplexity(long))
    return told if near else Feedback(False, UNDERFLOW)


def _probabilities(n):
    return Case({"n": n}, (np.random.default_rng(n).uniform(0.05, 0.95, n).round(2),))


def _rows(P):
    """The entropy of each row of P[k,l], nats."""
    return -(P * np.log(np.where(P > 0, P, 1))).sum(axis=1)


FLOOR = {                               # misconception -> the floor that it produces
    "this is the entropy H in nats; the floor of perplexity is exp(H).": lambda P, pi: pi @ _rows(P),
    "the rows count alike here. A character k that comes often counts more: weight its row by pi[k].":
        lambda P, pi: np.exp(_rows(P).mean()),
    "you average exp of each row's entropy. Losses are averaged first; exp comes last.": lambda P, pi: pi @ np.exp(_rows(P)),
    "you average exp of each row's entropy, and count all rows alike. Losses are averaged first, with the weights pi[k]; exp comes last.":
        lambda P, pi: np.exp(_rows(P)).mean(),
    "the rows are added, not averaged: weight row k by pi[k].": lambda P, pi: np.exp(_rows(P).sum()),
    "this is the entropy of single characters, as if the one before told nothing. The next one has the probabilities P[k,l].":
        lambda P, pi: np.exp(_rows(pi[None]).sum()),
    "the minus is missing: ln P is negative, and entropy is not.": lambda P, pi: np.exp(-(pi @ _rows(P))),
    "two bases: log2 and exp do not undo each other. Use ln and exp.": lambda P, pi: np.exp(pi @ _rows(P) / np.log(2)),
    "this is the number of characters: the floor of a source without any pattern. This one has a pattern.": lambda P, pi: float(len(pi)),
    "this is the entropy of the pair (k, l): P[k,l] alone stands in the logarithm, pi[k] does not.":
        lambda P, pi: np.exp(pi @ _rows(P) + _rows(pi[None]).sum()),
    "the weights run along l. Row k, what follows k, has the weight pi[k].":
        lambda P, pi: np.exp(-(pi * P * np.log(np.where(P > 0, P, 1))).sum()),
}


def floor(solution):
    """Check a function (P[k,l], pi[k]) -> exp(H), H = -sum_k pi[k] sum_l P[k,l] ln P[k,l]."""
    return function(solution, _floor, FLOOR, [_source(A) for A in (4, 3, 7)], takes="P and pi", returns="a number",
                    praise="exp of the entropy: no model of this source has a lower perplexity, on average.",
                    small=[_source(2)], hint="For one k first: how surprising is the next character, "
                    "on average, if its probabilities are P[k]?")


def _floor(P, pi):
    return np.exp(pi @ _rows(P))


def _source(A):
    P = np.random.default_rng(A).dirichlet(np.full(A, 0.8), size=A)
    pi = np.linalg.matrix_power(P, 500)[0]
    return Case({"A": A}, (P, pi))


HALVES = (4, 9)                         # the perplexities of two texts of the same length
TOGETHER = {                            # misconception -> the perplexity of both that it produces
    "that is the mean of the two. It is the losses ln 4 and ln 9 that are averaged; exp comes last.": sum(HALVES) / 2,
    "the probabilities of the two texts multiply, but there are twice as many characters as well: take the root.": HALVES[0] * HALVES[1],
    "perplexities do not add up.": sum(HALVES),
    "that is the harmonic mean. The losses ln 4 and ln 9 are averaged.": 2 / (1 / HALVES[0] + 1 / HALVES[1]),
    "that is the mean loss, in nats; take exp of it.": float(np.log(6)),
}


def together(answer):
    """Check a number: the perplexity of two texts of the same length, of perplexities 4 and 9, taken as one text."""
    return number(answer, (HALVES[0] * HALVES[1])**0.5, TOGETHER,
                  praise="exp of (ln 4 + ln 9) / 2, the geometric mean. So perplexities must not be averaged over batches; losses may.",
                  hint="What is the mean loss on each text, and on both?", rtol=0.005)
