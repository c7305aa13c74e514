"""Long work is a generator that yields (fraction done, result so far) up to (1.0, result): ways to pull it to its end.

A panel pulls such a generator itself, between two pictures, and its Stop button simply pulls no further.
"""

from __future__ import annotations

import sys
import time

from .checking import WrongKind, shown

EVERY = 0.1             # seconds between two lines


def last(running):
    """Pull to the end, silently; returns the whole result. ValueError where nothing came."""
    step = None
    for step in _steps(running):
        pass
    if step is None:
        raise ValueError("running: expected steps (fraction done, result so far), got none")
    return step[1]


def _steps(running):
    """The same steps, each of which is a pair."""
    if not hasattr(running, "__iter__"):
        raise WrongKind(f"running: expected steps (fraction done, result so far), got {shown(running)}")
    for step in running:
        if not isinstance(step, tuple) or len(step) != 2:
            raise WrongKind(f"running: expected steps (fraction done, result so far), got {shown(step)}")
        yield step


def watched(running, what="", file=None):
    """The same steps, passed on, with one line on a terminal (standard error by default) that tells how far they are.

    Where it is no terminal, as in a notebook or a log, nothing is written.
    """
    running, file = _steps(running), file or sys.stderr
    if not hasattr(file, "isatty") or not file.isatty():     # pythonw.exe has no standard error
        yield from running
        return
    start, due = time.perf_counter(), 0.0
    for fraction, result in running:
        now = time.perf_counter() - start
        if now >= due or fraction >= 1:
            filled = round(20 * fraction)
            print(f"\r{what} [{'#' * filled}{'.' * (20 - filled)}] {100 * fraction:3.0f} %, {now:.0f} s", end="", file=file, flush=True)
            due = now + EVERY
        yield fraction, result
    print(file=file)
