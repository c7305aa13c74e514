"""Lesson 05: how far averages scatter, and the batch that a signal-to-noise ratio needs."""

from __future__ import annotations

import numpy as np

from ..checking import real, shown
from ..experiments.batch_noise import smallest_batch as needed
from ..experiments.stages import stage
from .feedback import Case, Feedback, as_number, function, number


def _left(values, B):
    return (len(values) - B) / (len(values) - 1)


def _sd(values, B):
    return values.std() * (_left(values, B) / B) ** 0.5


SCATTER = {                                     # misconception -> the sd that it produces
    "you divided sigma by B. The variance falls as 1/B, so the standard deviation falls as 1/sqrt(B).": lambda v, B: v.std() / B,
    "your last factor is right, but you divided sigma by B. The variance falls as 1/B, the standard deviation as 1/sqrt(B).":
        lambda v, B: v.std() / B * _left(v, B) ** 0.5,
    "that is the variance of the averages. Their standard deviation is its square root.": lambda v, B: v.var() / B * _left(v, B),
    "that is a variance, and one with replacement: take the root, and mind that the batch is drawn without replacement.":
        lambda v, B: v.var() / B,
    "right with replacement. Without, an example cannot come twice: the variance has one more factor, 0 at B = N.":
        lambda v, B: v.std() / B**0.5,
    "(N-B)/(N-1) belongs to the variance. The standard deviation gets its square root.": lambda v, B: v.std() / B**0.5 * _left(v, B),
    "that is how single numbers scatter; B does not matter to it. Averages scatter less.": lambda v, B: v.std(),
    "that is the sum of B numbers. Divide by B once more for their average.": lambda v, B: _sd(v, B) * B,
    "that is the sum of B numbers, with replacement. A sum scatters more, an average less.": lambda v, B: v.std() * B**0.5,
    "two conventions are mixed: (N-B)/(N-1) goes with sigma at ddof = 0, (N-B)/N with ddof = 1. You have (N-B)/(N-1) and ddof = 1.":
        lambda v, B: v.std(ddof=1) * (_left(v, B) / B) ** 0.5,
    "two conventions are mixed: (N-B)/(N-1) goes with sigma at ddof = 0, (N-B)/N with ddof = 1. You have (N-B)/N and ddof = 0.":
        lambda v, B: v.std() * ((len(v) - B) / len(v) / B) ** 0.5,
    "right with replacement, but for ddof: these N numbers are all there are, so sigma has ddof = 0. And the draw is without.":
        lambda v, B: v.std(ddof=1) / B**0.5,
    "the last factor stands upside down: without replacement averages scatter less, and at B = N not at all.":
        lambda v, B: v.std() / B**0.5 / _left(v, B) ** 0.5,
}


def scatter(solution):
    """Check a function (values[n], B) -> the sd of averages of B different ones: sigma/sqrt(B) sqrt((N-B)/(N-1)), sigma with ddof 0."""
    return function(solution, _sd, SCATTER, [_case(*sizes) for sizes in ((12, 4), (20, 1), (5, 5))],
                    takes="values and B", returns="one number",
                    praise="it agrees at B = 4 of 12, for single numbers, and at B = N, where nothing is left to scatter.",
                    hint="Start from sigma/sqrt(B), and add what drawing without replacement changes.",
                    small=[_case(2, 1), _case(3, 2)])


def _case(N, B):
    return Case({"N": N, "B": B}, (np.random.default_rng(5).normal(2, 3, N).round(1), B))


def smallest_batch(answer, ratio=2, at="mid"):
    """Check the smallest B, drawn with replacement, whose signal ||g|| is at least `ratio` times its noise sqrt(tr(Sigma)/B)."""
    ratio = real("ratio", ratio, above=0)
    given, answer = answer, as_number(answer)
    if answer is None:
        return Feedback(False, f"expected a batch size, a whole number, got {shown(given)}.")
    right, full = needed(ratio, at), stage(at).full
    scale = full.noise_scale
    if answer == right:
        return Feedback(True, f"a ratio of {ratio:g} needs {ratio**2:g} times the noise scale, {scale:.0f}: the noise falls as 1/sqrt(B) only.")
    if right - 1 <= answer < right:
        return Feedback(False, f"nearly. B counts examples, and at {right - 1} the ratio is still a little below {ratio:g}: round up.")
    wrong = {
        f"that would do if the noise fell as 1/B. It falls as 1/sqrt(B): a ratio of {ratio:g} takes {ratio:g}^2 times the noise scale.":
            ratio * scale,
        "that is the noise scale itself: there signal and noise are equal, a ratio of 1.": scale,
        f"the other way round: you made the noise {ratio:g} times the signal.": scale / ratio**2,
        "compare squares with squares: tr(Sigma) is already a squared length, so it is divided by ||g||^2, not by ||g||.":
            ratio**2 * full.trace / full.sq_norm**0.5,
        "you took the root of the noise scale. ||g|| >= ratio sqrt(tr(Sigma)/B): square both sides, then solve for B.": ratio * scale**0.5,
        "that is enough without replacement. Here examples may come twice.": needed(ratio, at, False),
        **{f"that is for the stage {other!r}; asked is {at!r}.": needed(ratio, other) for other in ("start", "late") if other != at},
    }
    found = (max(answer, 0) / scale) ** 0.5
    texts = [f"{found:.{digits}g}" for digits in range(2, 18)]
    text = next((text for text in texts if float(text) != ratio), texts[-1])        # as few digits as tell the two apart
    more = ", and fewer examples reach it; the smallest B was asked for" if answer > right else ""
    return number(answer, float("nan"), wrong, "",
                  f"at this B the ratio of signal to noise is {text}; asked is {ratio:g}{more}.")
