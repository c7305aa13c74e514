"""Lesson 06: the line of two timings, the largest batch that fits, and the batch that gives nine tenths."""

from __future__ import annotations

from math import ceil, floor

import numpy as np

from .feedback import Case, count, function


def _slope(B1, t1, B2, t2):
    return (t2 - t1) / (B2 - B1)


def _with(slope, start):
    return np.array([start, slope, start / slope])


def _line(B1, t1, B2, t2):
    slope = _slope(B1, t1, B2, t2)
    return _with(slope, t1 - B1 * slope)


LINE = {                # misconception -> the (t0, t1, knee) that it produces
    "the knee is upside down: it is t0 / t1, the number of examples whose own time is t0.":
        lambda *a: _line(*a) ** (1, 1, -1),
    "your t1 is the larger batch's time over its B. That has a share of t0 in it; take differences, in which t0 drops out.":
        lambda B1, t1, B2, t2: _with(t2 / B2, t1 - B1 * t2 / B2),
    "your t1 is the smaller batch's time over its B, so nothing is left for t0. Take differences, in which t0 drops out.":
        lambda B1, t1, B2, t2: _with(t1 / B1, 0.0),
    "your t0 is the time of the smaller batch. That has B1 examples in it; take B1 t1 away.":
        lambda *a: _with(_slope(*a), a[1]),
    "the difference of the times belongs to B2 - B1 examples, not to B2.":
        lambda B1, t1, B2, t2: _with((t2 - t1) / B2, t1 - B1 * (t2 - t1) / B2),
    "your t1 is a number of examples for each microsecond; it is microseconds for each example.":
        lambda *a: _with(1 / _slope(*a), a[1] - a[0] / _slope(*a)),
    "you took B2 examples away from the time of B1.":
        lambda *a: _with(_slope(*a), a[1] - a[2] * _slope(*a)),
    "the sign: t0 = t - B t1, you added B t1.":
        lambda *a: _with(_slope(*a), a[1] + a[0] * _slope(*a)),
}


def line(solution):
    """Check a function (B1, t_B1, B2, t_B2) -> (t0, t1, knee) of the line t(B) = t0 + B t1 through two timings."""
    cases = [Case({"B1": 10, "B2": 40}, (10, 130.0, 40, 220.0)), Case({"B1": 1, "B2": 1000}, (1, 0.5, 1000, 3.0)),
             Case({"B1": 64, "B2": 16}, (64, 9.0, 16, 3.0))]
    return function(solution, _line, LINE, cases, takes="B1, the time of B1, B2 and the time of B2", returns="t0, t1, knee",
                    praise="t0 is left when no example is, t1 is the slope, and at the knee the two parts of the time are equal.",
                    hint="Write the line down twice, for B1 and for B2, and subtract.")


def _room(B1, bytes1, B2, bytes2, free):
    """How many examples fit, as a fraction."""
    each = _slope(B1, bytes1, B2, bytes2)
    return (free - (bytes1 - B1 * each)) / each


def _largest(*a):
    return floor(_room(*a))


LARGEST = {             # misconception -> the batch size that it produces
    "you shared all bytes out among the examples. The parameters and their gradients are there once, whatever B is.":
        lambda B1, bytes1, B2, bytes2, free: free // (bytes2 / B2),
    "you shared the small batch's bytes out among its examples. The parameters are there once, whatever B is.":
        lambda B1, bytes1, B2, bytes2, free: free // (bytes1 / B1),
    "you forgot the bytes that are there once, whatever B is; take them off the free ones first.":
        lambda *a: a[-1] // _slope(*a[:4]),
    "you rounded up: that one example more does not fit.": lambda *a: ceil(_room(*a)),
    "a batch size is a whole number; round down.": _room,
    "you took the small batch off the free bytes with its examples in it, so your answer is B1 too small.":
        lambda *a: (a[-1] - a[1]) // _slope(*a[:4]),
    "this is the largest power of two. A batch need not be one.": lambda *a: 2 ** (_largest(*a).bit_length() - 1),
}


def largest(solution):
    """Check a function (B1, bytes_B1, B2, bytes_B2, free) -> the largest batch that fits into `free` bytes."""
    cases = [Case({"free": 1_000_000}, (10, 31_160, 100, 138_080, 1_000_000)), Case({"free": 50_000}, (2, 21_656, 3, 22_844, 50_000)),
             Case({"free": 4096}, (1, 1024, 4, 2560, 4096))]
    return function(solution, _largest, LARGEST, cases, takes="B1, the bytes of B1, B2, the bytes of B2 and the free bytes", returns="B",
                    praise="two counts give the line, the line gives the limit, and nothing was allocated to find it.",
                    hint="Bytes are a line in B, as time is: what is there once, plus B times what one example takes.")


NINETY = {              # misconception -> the answer that it gives, for t0 = 120 and t1 = 2 microseconds
    "that is the knee. There B / (B + knee) is a half: half of the ceiling.": 60,
    "that is 0.9 of the knee. Solve B / (B + knee) = 0.9 for B.": 54,
    "ten knees give 10/11, which is 91 %: more than was asked.": 600,
    "this is the knee over 0.9. Solve B / (B + knee) = 0.9 for B.": 60 / 0.9,
    "this is a tenth of the ceiling, not nine tenths.": 60 / 9,
    "that is the time of the step at that batch, in microseconds; the question is for B.": 1200,
}


def ninety(answer):
    """Check the smallest B that gives 90 % of the ceiling 1/t1, for t0 = 120 and t1 = 2 microseconds."""
    return count(answer, 540, NINETY, expected="a batch size",
                 praise="nine knees: B / (B + knee) = 9/10. For 99 % it would be 99 knees.",
                 hint="images per second are B / (t0 + B t1), and the ceiling is 1 / t1. Divide the "
                      "one by the other, and ask for at least 0.9.")
