"""Lesson 07: the seconds of a run, what a batch beyond B_crit costs, and which batch is better on which axis."""

from __future__ import annotations

from ..checking import real, shown
from ..experiments.critical_batch import counted
from .feedback import Case, Feedback, as_number, function, number, word


def _steps(B, S_min, B_crit):
    return S_min * (1 + B_crit / B)


def _seconds(B, S_min, B_crit, t0, t1):
    return _steps(B, S_min, B_crit) * (t0 + B * t1)


SECONDS = {                                     # misconception -> the seconds that it produces
    "this is perfect scaling for ever, S = S_min B_crit/B. However large B is, S_min steps remain.":
        lambda B, S_min, B_crit, t0, t1: S_min * B_crit / B * (t0 + B * t1),
    "B and B_crit are exchanged in S: steps fall as B grows.":
        lambda B, S_min, B_crit, t0, t1: S_min * (1 + B / B_crit) * (t0 + B * t1),
    "t0 is missing: a step costs something, however few its examples are.":
        lambda B, S_min, B_crit, t0, t1: _steps(B, S_min, B_crit) * B * t1,
    "a step has B examples, and each of them costs t1; you paid for one.":
        lambda B, S_min, B_crit, t0, t1: _steps(B, S_min, B_crit) * (t0 + t1),
    "you paid t0 for each example. It is paid once a step: that is why batches are fast.":
        lambda B, S_min, B_crit, t0, t1: _steps(B, S_min, B_crit) * B * (t0 + t1),
    "t0 and t1 are exchanged: t0 is for the step, t1 for each of its B examples.":
        lambda B, S_min, B_crit, t0, t1: _steps(B, S_min, B_crit) * (t1 + B * t0),
    "this is one step, t0 + B t1. A run makes S(B) of them.":
        lambda B, S_min, B_crit, t0, t1: t0 + B * t1,
    "these are the steps, S(B). Each takes t0 + B t1 seconds.":
        lambda B, S_min, B_crit, t0, t1: _steps(B, S_min, B_crit),
    "these are the examples, E(B) = B S(B), not the seconds.":
        lambda B, S_min, B_crit, t0, t1: B * _steps(B, S_min, B_crit),
    "you took the examples B S(B) times the seconds of a whole step; B is in t0 + B t1 already.":
        lambda B, S_min, B_crit, t0, t1: B * _seconds(B, S_min, B_crit, t0, t1),
    "you divided by B. These are the seconds of the whole run, not of an example.":
        lambda B, S_min, B_crit, t0, t1: _seconds(B, S_min, B_crit, t0, t1) / B,
}


def seconds(solution):
    """Check a function (B, S_min, B_crit, t0, t1) -> S_min (1 + B_crit/B) (t0 + B t1)."""
    cases = [Case({"B": B}, (B, 50.0, 20.0, 0.2, 0.003)) for B in (8.0, 300.0, 1.0)]
    return function(solution, _seconds, SECONDS, cases, takes="B, S_min, B_crit, t0 and t1", returns="seconds",
                    praise="steps times the seconds of a step, at B = 8, at B = 300 and at B = 1.",
                    hint="Write S first, then what one step takes, and multiply.")


def extra_examples(answer, times=3):
    """Check a number: at B = `times` B_crit, how many times the fewest examples E_min a run needs."""
    times = real("times", times, above=0)
    wrong = {f"{times:g} is B/B_crit. E = E_min (1 + B/B_crit) has a 1 besides: no batch needs fewer than E_min.": times,
             "these are the steps in units of S_min, 1 + B_crit/B. Examples were asked for.": 1 + 1 / times,
             "1/B_crit of that: B/B_crit stands in E, not B_crit/B.": 1 / times,
             "this is the product of both. Steps and examples are two counts, and examples alone were asked for.":
                 (1 + times) * (1 + 1 / times),
             "E is E_min with something added. One cannot do with fewer than E_min.": 1 / (1 + times)}
    return number(answer, 1 + times, wrong, f"E = E_min (1 + {times:g}). For that you save steps: only 1 + 1/{times:g} times the fewest.",
                  "put B into E = E_min (1 + B/B_crit), and divide by E_min.")


STEPS = {22: 115, 359: 55}                      # about what the lesson's sweep finds
T0, T1 = 1e-3, 1e-6                             # seconds
COUNTS = {unit: dict(zip(STEPS, counted([*STEPS.values()], [*STEPS], unit, T0, T1).tolist())) for unit in ("steps", "examples", "seconds")}
WHY = {"steps": "{0:.0f} stand against {1:.0f}.",
       "examples": "examples are B times the steps: {0:,.0f} against {1:,.0f}.",
       "seconds": "a step takes t0 + B t1, here 1.022 ms at B = 22 and 1.359 ms at B = 359; times the steps, {0:.2g} s against {1:.2g} s."}


def better(answer):
    """Check a dictionary: "steps", "examples", "seconds" -> the batch size of STEPS that needs fewer, with T0 and T1."""
    given = answer if isinstance(answer, dict) else {}
    said = {word(unit, COUNTS): B for unit, B in given.items()}
    if set(said) != set(COUNTS) or len(answer) != len(COUNTS):
        return Feedback(False, f"expected a dictionary with {', '.join(COUNTS)}, "
                        f"got {shown(answer)}.")
    answer = {unit: as_number(B) for unit, B in said.items()}
    odd = [unit for unit, B in answer.items() if B not in STEPS]
    if odd:
        return Feedback(False, f"for {odd[0]}, expected {' or '.join(map(str, STEPS))}, "
                        f"got {shown(said[odd[0]])}.")
    if len(set(answer.values())) == 1:
        return Feedback(False, f"you say that B = {answer['steps']:g} is better on every axis. It is "
                        "not: take the three counts one by one.")
    for unit, count in COUNTS.items():
        if answer[unit] != min(count, key=count.get):
            return Feedback(False, f"look at {unit} again: " + WHY[unit].format(count[22], count[359]))
    return Feedback(True, "fewer steps and, where t0 is large, fewer seconds, but many more examples. 'A large batch is worse' says "
                    "nothing without its axis.")
