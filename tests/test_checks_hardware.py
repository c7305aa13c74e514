"""Lesson 06's checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import re
from math import floor

import numpy as np
import pytest

from mbcore.checks import hardware as checks
from mbcore.checks.feedback import Feedback


def line(change="", result="return t0, t1, t0 / t1"):
    """A student's function: the right one, with one line changed."""
    scope = {"np": np}
    exec(f"""
def line(B1, time1, B2, time2):
    t1 = (time2 - time1) / (B2 - B1)
    t0 = time1 - B1 * t1
    {change or "pass"}
    {result}""", scope)
    return scope["line"]


@pytest.mark.parametrize("solution", [
    line(), line("t0 = time2 - B2 * t1"), line(result="return [t0, t1, t0 / t1]"), line(result="return np.array([t0, t1, t0 / t1])"),
    lambda *a: (np.polyfit(a[::2], a[1::2], 1)[1], *(p := np.polyfit(a[::2], a[1::2], 1))[:1], p[1] / p[0])])
def test_right_lines_pass(solution):
    assert checks.line(solution).right


LINES = [
    (line(result="return t0, t1, t1 / t0"), "the knee is upside down"),
    (line("t1 = time2 / B2; t0 = time1 - B1 * t1"), "your t1 is the larger"),
    (line("t1 = time1 / B1; t0 = time1 - B1 * t1"), "your t1 is the smaller"),
    (line("t0 = time1"), "your t0 is the time of the smaller"),
    (line("t1 = (time2 - time1) / B2; t0 = time1 - B1 * t1"), "the difference of the times"),
    (line("t1 = (B2 - B1) / (time2 - time1); t0 = time1 - B1 * t1"), "your t1 is a number of examples"),
    (line("t0 = time1 - B2 * t1"), "you took B2"),
    (line("t0 = time1 + B1 * t1"), "the sign"),
]


@pytest.mark.parametrize("solution, sentence", LINES, ids=[s for _, s in LINES])
def test_a_misconception_about_the_line_gets_its_sentence(solution, sentence):
    answer = checks.line(solution)
    assert not answer.right and answer.because.startswith(sentence)


def largest(result):
    scope = {"np": np, "floor": floor}
    exec(f"""
def largest(B1, bytes1, B2, bytes2, free):
    each = (bytes2 - bytes1) / (B2 - B1)
    once = bytes1 - B1 * each
    return {result}""", scope)
    return scope["largest"]


@pytest.mark.parametrize("result", ["(free - once) // each", "int((free - once) / each)", "floor((free - once) / each)",
                                    "B1 + (free - bytes1) // each", "np.floor((free - once) / each)"])
def test_right_batches_pass(result):
    assert checks.largest(largest(result)).right


BATCHES = [
    ("free // (bytes2 / B2)", "you shared all bytes"), ("free // (bytes1 / B1)", "you shared the small"), ("free // each", "you forgot"),
    ("-((once - free) // each)", "you rounded up"), ("(free - once) / each", "a batch size is a whole"),
    ("(free - bytes1) // each", "you took the small batch off"), ("2 ** int(np.log2((free - once) // each))", "this is the largest power"),
]


@pytest.mark.parametrize("result, sentence", BATCHES, ids=[s for _, s in BATCHES])
def test_a_misconception_about_bytes_gets_its_sentence(result, sentence):
    answer = checks.largest(largest(result))
    assert not answer.right and answer.because.startswith(sentence)


def test_nine_tenths():
    knee = 120 / 2
    assert checks.ninety(9 * knee).right and checks.ninety(np.int64(540)).right
    wrong = {knee: "that is the knee", 0.9 * knee: "that is 0.9", 10 * knee: "ten knees", knee / 0.9: "this is the knee over",
             knee / 9: "this is a tenth", 120 + 540 * 2: "that is the time of the step"}
    for answer, sentence in wrong.items():
        assert checks.ninety(answer).because.startswith(sentence)


@pytest.mark.parametrize("check, found, table", [(checks.line, LINES, checks.LINE), (checks.largest, BATCHES, checks.LARGEST)])
def test_every_row_of_the_tables_is_reached(check, found, table):
    assert len(found) == len(table)
    for sentence, produced in table.items():
        assert check(produced).because == sentence
    for sentence, number in checks.NINETY.items():
        assert checks.ninety(number).because == sentence


@pytest.mark.parametrize("nonsense", [None, 3, "t0", [], lambda: 1, lambda *a: None, lambda *a: "x", lambda *a: 1 / 0, lambda *a: (1, 2)])
def test_nonsense_gets_a_sentence(nonsense):
    for check in (checks.line, checks.largest):
        answer = check(nonsense)
        assert isinstance(answer, Feedback) and not answer.right and re.search(r"\w{3}", answer.because)
    assert nonsense == 3 or "expected a batch size" in checks.ninety(nonsense).because
