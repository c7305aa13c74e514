"""Lesson 11: a batch's own advantage, the share that a pass with replacement leaves out, and what drop_last drops."""

from __future__ import annotations

import numpy as np

from ..checking import shown
from .feedback import Case, Feedback, function, in_order, number

N, B, PASSES = 1437, 32, 10             # of the digits; the batch size and the passes of the third exercise


def _mean(term, short=0):
    """The mean over all batches k that have been followed for lag updates; short: so many batches too few."""
    return lambda L, F, lag: np.mean([term(L, F, lag, k) for k in range(L.shape[1] - lag - short)])


def _own(L, F, lag, k):
    return (F[k + 1 + lag] - F[k]) - (L[k + 1 + lag, k] - L[k, k])


_advantage = _mean(_own)

ADVANTAGE = {                           # misconception -> the a(lag) that it produces
    "the sign: the loss falls where something is known, so it is the change on fresh data minus the change on batch k.":
        lambda L, F, lag: -_advantage(L, F, lag),
    "you compare the two losses after the updates. A batch that is easier than the others would count as remembered: "
    "take the changes since just before the update with batch k.":
        _mean(lambda L, F, lag, k: F[k + 1 + lag] - L[k + 1 + lag, k]),
    "both changes start after the update with batch k, so the gain of that update itself is missing; start from row k.":
        _mean(lambda L, F, lag, k: (F[k + 1 + lag] - F[k + 1]) - (L[k + 1 + lag, k] - L[k + 1, k])),
    "you are one row early: row k is before the update with batch k, row k + 1 after it, so lag = 0 means row k + 1.":
        _mean(lambda L, F, lag, k: (F[k + lag] - F[k]) - (L[k + lag, k] - L[k, k])),
    "the fresh data are missing. Every update makes the model better on all digits; subtract that, or it counts as memory.":
        _mean(lambda L, F, lag, k: L[k, k] - L[k + 1 + lag, k]),
    "only the fresh data are left; batch k itself is missing.": _mean(lambda L, F, lag, k: F[k + 1 + lag] - F[k]),
    "this is the sum over k; a(lag) is the mean.": lambda L, F, lag: _advantage(L, F, lag) * (L.shape[1] - lag),
    "you divide by K, but only K - lag batches have been followed for lag updates.":
        lambda L, F, lag: _advantage(L, F, lag) * (L.shape[1] - lag) / L.shape[1],
    "this is one number for each k; take their mean.":
        lambda L, F, lag: np.array([_own(L, F, lag, k) for k in range(L.shape[1] - lag)]),
    "the last batch is missing: k goes from 0 to K - 1 - lag, and range(K - lag) ends there.": _mean(_own, short=1),
    "row and column are swapped: L[t,k] has the updates first, then the batch.":
        _mean(lambda L, F, lag, k: (F[k + 1 + lag] - F[k]) - (L[k, k + 1 + lag] - L[k, k]), short=1),
}


def advantage(solution):
    """Check a function (L[t,k], F[t], lag) -> a(lag) = mean over k of (F[k+1+lag] - F[k]) - (L[k+1+lag,k] - L[k,k])."""
    return function(solution, _advantage, ADVANTAGE, [_losses(*sizes) for sizes in ((7, 2), (5, 0), (6, 5))],
                    takes="L, F and lag", returns="a, one number",
                    praise="a(lag) agrees, also at lag 0 and where only one batch is left.",
                    hint="Write it for one k first: what was the loss on batch k in row k, and what "
                         "is it in row k + 1 + lag?",
                    small=[_losses(*sizes) for sizes in ((1, 0), (2, 1), (2, 0), (3, 1))])


def _losses(K, lag):
    rng = np.random.default_rng(K)
    L = rng.uniform(0.5, 2.5, (K + 1, K)).round(2)
    F = rng.uniform(0.5, 2.5, K + 1).round(2)
    return Case({"K": K, "lag": lag}, (L, F, lag))


NEVER = {                               # misconception -> the share that it produces
    "that is a pass without replacement. With replacement each draw forgets the ones before: some digits come twice, so others "
    "do not come.": 0.0,
    "that is the chance that one draw takes this digit. It must be missed by all n draws.": 1 / N,
    "that is the chance that one draw misses this digit. It must be missed n times in a row.": 1 - 1 / N,
    "drawing is no coin for each digit: each of n draws misses it with chance 1 - 1/n.": 0.5,
    "that is the share that is seen.": 1 - (1 - 1 / N)**N,
    "the batch size plays no part: n/B batches of B are n draws, whatever B is.": 1 / B,
    "that is one batch's share of the digits. A pass makes n draws in all, whatever B is.": B / N,
    "that is what drop_last drops without replacement, (n mod B)/n.": (N % B) / N,
    "as a share, please, between 0 and 1, not in percent.": 100 * (1 - 1 / N)**N,
}


def never_seen(answer):
    """Check a number: the expected share of n = 1,437 digits that a pass of n draws with replacement never takes."""
    return number(answer, (1 - 1 / N)**N, NEVER,
                  praise="(1 - 1/n)^n, which tends to 1/e = 0.368: each of n draws misses a digit with chance 1 - 1/n.",
                  hint="With which chance does one draw miss a given digit? And n draws, independent of each other?", rtol=0.01,
                  expected="a share, a number between 0 and 1")


ONCE = {                                # misconception about data shuffled once -> how many digits are never seen
    "shuffled once, the order is the same in every pass, so the same digits stand at its end, and are dropped, every time.": 0,
    "shuffled once, every pass drops the same digits, not others; they are not added up.": PASSES * (N % B),
    "only what does not fill a batch is dropped: n mod B digits.": B,
    "that is the number of whole batches, n // B. What is left over is n mod B.": N // B,
    "that is what is seen; we ask what is never seen.": N - N % B,
}
ANEW = {                                # and shuffled anew
    "shuffled anew, each pass drops other digits. To be never seen, a digit must be dropped in all ten.": N % B,
    "each pass drops some, but nearly all of those are seen in another pass: to be never seen, a digit must be dropped in all ten.":
        PASSES * (N % B),
}


def dropped(answer):
    """Check a pair: how many of 1,437 digits are never in a batch in 10 passes with B = 32 and drop_last, shuffled once, and
    (expected) shuffled before each pass."""
    given = in_order(answer, 2)
    if given is None:
        return Feedback(False, "expected two numbers such as (3, 5), shuffled once and shuffled "
                        f"anew, got {shown(answer)}.")
    once, anew = given
    for misconception, produced in ONCE.items():
        if once == produced:
            return Feedback(False, f"the first: {misconception}")
    if once != N % B:
        return Feedback(False, "the first: how many digits are left when batches of 32 are full? Are they the same in the next pass?")
    for misconception, produced in ANEW.items():
        if anew == produced:
            return Feedback(False, f"the second: {misconception}")
    if not 0 <= anew < 0.5:
        return Feedback(False, "the second: with which chance is a given digit dropped in one pass? And in ten, shuffled anew each time?")
    return Feedback(True, f"{N % B}, and {N} x ({N % B}/{N})^{PASSES}, which is as good as 0. With drop_last, shuffle before every pass.")

