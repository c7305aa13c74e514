"""Long work pulled to its end, silently and with a line on a terminal."""

import io

import pytest

from mbcore.progress import last, watched


def steps():
    yield 0.0, "nothing"
    yield 0.5, "half"
    yield 1.0, "all"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_last_is_the_whole_result():
    assert last(steps()) == "all"


def test_watched_passes_on_and_tells():
    told = Terminal()
    assert list(watched(steps(), "Training", told)) == list(steps())
    lines = told.getvalue().split("\r")
    assert lines[1].startswith("Training [....................]   0 %") and "[####################] 100 %" in lines[-1]
    assert told.getvalue().endswith("\n")


def test_watched_can_be_left():
    going = watched(steps(), file=Terminal())
    assert next(going) == (0.0, "nothing")
    going.close()


def test_a_log_is_left_alone():
    log = io.StringIO()
    assert list(watched(steps(), "Training", log)) == list(steps()) and log.getvalue() == ""


def test_nothing_has_no_last_result():
    with pytest.raises(ValueError, match="^running: expected steps"):
        last(iter(()))
