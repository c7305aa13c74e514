"""Lesson 06's second panel, 31, 32 and 33, on a clock that the test makes up."""

import numpy as np
import pytest

from mbcore import hardware
from mbcore.experiments import powers_of_two as experiment
from mbcore.panels.neighbours import POWERS, Neighbours


@pytest.fixture
def clock(monkeypatch):
    """clock["t"](B) is a step's time, shaken by clock["noise"]; clock["begun"] the sizes asked for."""
    state, rng = {"t": lambda B: 1e-4 + 1e-6 * B, "noise": 0.0, "begun": [], "sizes": 3}, np.random.default_rng(0)
    def throughputs(step, sizes, budget, rounds):
        state["begun"].append((sizes[1], rounds))
        sizes = sizes[:state["sizes"]]
        found = tuple(tuple(state["t"](B) * rng.lognormal(sigma=state["noise"], size=rounds)) for B in sizes)
        for upto in (rounds // 2, rounds):
            part = tuple(b[:upto] for b in found)
            yield upto / rounds, hardware.Throughput(tuple(sizes), part, tuple((min(b), max(b)) for b in part))
    monkeypatch.setattr(experiment.hardware, "stepper", lambda *_, **__: None)
    monkeypatch.setattr(experiment.hardware, "throughput", throughputs)
    return state


def test_a_straight_line_gains_nothing(clock):
    panel = Neighbours()
    assert "batches of 31, 32, 33 take 131, 132, 133 µs. Gain of 32: 0.0 %" in panel.reading
    assert "Settled: 1 of 6, 0 of them a gain" in panel.reading and not panel._reached


def test_the_view_redraws_and_measures_nothing(clock):
    panel = Neighbours()
    step = [p.get_ydata()[0] for p in panel.points]
    panel.set(view="an example")
    example = [p.get_ydata()[0] for p in panel.points]
    assert step[0] < step[1] < step[2] and example[0] > example[1] > example[2] and clock["begun"] == [(32, 6)]
    assert [name.get_text() for name in panel.names] == ["31", "32", "33"]


def test_more_rounds_measure_anew_and_the_same_do_not(clock):
    panel = Neighbours()
    panel.set(rounds=25)
    panel.set(n=64)
    panel.set(n=32)
    assert clock["begun"] == [(32, 6), (32, 25), (64, 25)]
    panel.set(rounds=6)
    assert clock["begun"][-1] == (32, 6)


def test_the_target_is_six_settled_powers_of_one_width(clock):
    panel = Neighbours()
    for n in POWERS:
        assert not panel._reached
        panel.set(n=n)
    assert panel._reached and "Settled: 6 of 6, 0 of them a gain" in panel.reading
    panel.set(j=64)
    assert not panel._reached


def test_a_gain_settles_too(clock):
    clock["t"] = lambda B: (1e-4 + 1e-6 * B) / (1.3 if B in POWERS else 1)
    assert "Settled: 1 of 6, 1 of them a gain" in Neighbours().reading


def test_an_unsteady_clock_settles_nothing_and_more_rounds_narrow_it(clock):
    clock["noise"] = 0.2
    panel = Neighbours()
    wide = np.diff(panel.found[128, 32][-1].alone[0])
    assert "Settled: 0 of 6" in panel.reading and panel.middles[2].get_markerfacecolor() == "white"
    panel.set(rounds=100)
    assert np.diff(panel.found[128, 32][-1].alone[0]) < wide / 2


def test_too_few_rounds_say_anything(clock):
    panel = Neighbours()
    steps = panel.compute(n=16, j=128, rounds=6, view="a step")
    _, shown = next(steps)                          # three rounds of six
    assert "95 %: anything to anything" in panel.update(shown)


def test_a_step_that_is_too_slow_is_said_in_words(clock):
    clock["sizes"] = 2
    panel = Neighbours()
    assert "takes too long on this machine" in panel.reading and "too slow" in panel.word.get_text()
    clock["sizes"] = 3
    assert "Gain of 64" in panel.set(n=64) and panel.word.get_text() == ""


def test_on_this_machine():
    panel = Neighbours()
    assert "Gain of 32" in panel.reading or "too long" in panel.reading
