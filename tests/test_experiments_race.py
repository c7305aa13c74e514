"""Two steps of 5 against one of 10. Oracles: single networks in plain loops, closed forms at a tiny rate."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from verdicts import labels, stand

from mbcore import data
from mbcore.data import batches
from mbcore.experiments import race as module
from mbcore.experiments.interval import Interval
from mbcore.experiments.race import BATCH, SMALL, Race, _compared, _pace, _verdict, joined, racing, run, running
from mbcore.program import Program
from mbcore.progress import last

TINY = replace(SMALL, rates=(1 / 4, 1.0), before=(0,), seeds=8)


def test_stand():
    assert stand(run, SMALL) == {"Q3": "holds when"}


# ---------------------------------------------------------------- the verdict turns


def test_Q3_turns_when_a_second_step_is_lost(monkeypatch):
    step, calls = Program.step, []

    def every_other(self, lr, **inputs):
        if self.sizes["b"] == TINY.part:
            calls.append(1)
        return step(self, lr if self.sizes["b"] != TINY.part or len(calls) % 2 else lr * 0, **inputs)
    monkeypatch.setattr(Program, "step", every_other)
    assert labels(run(TINY))["Q3"] == "does not hold here"


@pytest.mark.parametrize("ratios, label", [((1.5, 1.2), "holds"), ((1.5, 0.8), "holds when"), ((1.0, 0.8), "does not hold here")])
def test_Q3_is_read_off_the_losses(ratios, label):
    """Losses of one step are so many times those of several steps, at two rates."""
    noise = np.array([0.01, -0.01, 0.02, -0.02] * 2)
    several = np.full((1, 2, 8), 0.5)
    one = several * np.reshape(ratios, (1, 2, 1)) * np.exp(noise)
    race = _compared(Race(0, (0.1, 0.2), np.array([0]), several, one), parts=2)
    assert [round(s.mean, 1) for s in race.same] == [round(np.log(r), 1) for r in ratios]
    assert _verdict(SMALL, (race,)).label == label


# ---------------------------------------------------------------- the race


def test_race_against_single_networks():
    """Each replica is a network of its own, and both arms see the same examples in the same order."""
    c, digits = replace(TINY, seeds=4, j=5, seed=7), data.digits()
    *_, (_, race) = racing(c)
    at = np.array(list(batches(1437, 10, np.random.default_rng((7, 1)).spawn(4)[2], drop_last=True)))
    for arm, cuts in ((race.several, at.reshape(-1, 5)), (race.one, at)):
        net = BATCH.compile(b=cuts.shape[1], i=64, j=5, y=10).init(np.random.default_rng((7, 0)).spawn(4)[2])
        whole = net.resized(b=1437)
        assert arm[0, 1, 2] == pytest.approx(whole.forward(x=digits.x_train, target=digits.target_train).mean(), rel=1e-5)
        for cut in cuts:
            net.step(1.0, x=digits.x_train[cut], target=digits.target_train[cut])
        assert arm[-1, 1, 2] == pytest.approx(whole.forward(x=digits.x_train, target=digits.target_train).mean(), rel=1e-3)
    assert race.examples[-1] == 1430 and race.several.shape == race.one.shape == (2, 2, 4)


def test_at_a_tiny_rate_one_step_at_twice_the_rate_is_as_good():
    """Two steps of lr at nearly the same place are one of 2 lr on the mean."""
    *_, (_, race) = racing(replace(TINY, rates=(1 / 256, 1 / 128), seeds=4))
    (small, large, gain), = race.scaled
    assert (small, large) == (1 / 256, 1 / 128) and abs(gain.mean) < 1e-3 < race.same[0].mean


def test_best_rates_come_from_one_half_and_gains_from_the_other():
    several, one = np.ones((1, 2, 4)), np.ones((1, 2, 4))
    several[0, 0, :2], one[0, 1, :2] = 0.5, 0.5
    several[0, 0, 2:], one[0, 1, 2:] = (2.0, 2.1), (8.0, 8.4)
    best = _compared(Race(0, (0.1, 0.3), np.array([0]), several, one), 2).best
    assert best[:2] == (0.1, 0.3) and best[2].mean == pytest.approx(np.log(4))


def test_a_factor_is_a_rate_of_its_own():
    """One step at twice the rate is the same in a race of its own and in a grid that has both rates."""
    c = replace(TINY, rates=(1 / 4, 1 / 2), seeds=4)
    grid, ahead = last(racing(c)), last(racing(replace(c, rates=(1 / 4,), factor=2.0)))
    np.testing.assert_array_equal(ahead.one[:, 0], grid.one[:, 1])
    np.testing.assert_array_equal(ahead.several[:, 0], grid.several[:, 0])
    assert ahead.same[0] == grid.scaled[0][2]


def test_races_of_single_rates_are_one_race_when_joined():
    c = replace(TINY, rates=(1 / 4, 1 / 2, 1.0), seeds=4, before=(1,))
    grid = last(racing(c))
    single = [last(racing(replace(c, rates=(rate,)), grid.start)) for rate in (1.0, 1 / 4, 1 / 2)]
    found = joined(single)
    np.testing.assert_array_equal(found.several, grid.several)
    assert (found.rates, found.same, found.scaled, found.best) == (grid.rates, grid.same, grid.scaled, grid.best)


def test_networks_are_trained_before_a_late_race():
    c = replace(TINY, rates=(1 / 4,), seeds=4, before=(2,))
    seen = list(racing(c))
    assert [len(r.examples) for f, r in seen if f < 0.5] == [0] * sum(f < 0.5 for f, _ in seen) and seen[-1][0] == 1
    late, early = seen[-1][1], last(racing(replace(c, before=(0,))))
    assert late.several[0].max() < 0.5 * early.several[0].min()
    np.testing.assert_array_equal(last(racing(c, late.start)).one, late.one)


@pytest.mark.parametrize("mean, words", [(0.5, "2 steps still end lower"), (-0.5, "one step still ends lower"),
                                         (0.0, "they differ by less than 1.1x")])
def test_each_at_its_own_best_rate_in_words(mean, words):
    noise = np.array([0.01, -0.01, 0.02, -0.02] * 2)
    race = _compared(Race(0, (0.1,), np.array([0]), np.ones((1, 1, 8)), np.exp(mean + noise).reshape(1, 1, 8)), 2)
    assert words in _verdict(SMALL, (race,)).because


@pytest.mark.parametrize("close, said", [((1, 1), "up to 0.2"), ((1, 0), "up to 0.1"), ((0, 1), None)])
def test_up_to_which_rate_a_step_at_twice_the_rate_is_as_good(close, said):
    scaled = tuple((r, 2 * r, Interval(0, -0.01, 0.01 if c else 0.5)) for r, c in zip((0.1, 0.2), close))
    race = Race(0, (), *np.zeros((3, 0)), scaled=scaled)
    words = _pace(SMALL, race)
    assert said in words if said else words == ""


def test_running_goes_to_one_and_is_drawable_on_the_way():
    seen = list(running(replace(TINY, looks=3)))
    assert seen[-1][0] == 1 and all(a[0] <= b[0] for a, b in zip(seen, seen[1:]))
    assert all(not r.verdicts for _, r in seen[:-1]) and {v.claim for v in seen[-1][1].verdicts} == set(module.CLAIMS)
    assert [len(r.races[0].examples) for _, r in seen[:-1] if r.races[0].examples.size] == [2, 3, 4]


@pytest.mark.parametrize("call, said", [
    (lambda: next(racing(replace(TINY, seeds=3))), "seeds: expected a whole number of at least 4"),
    (lambda: next(racing(replace(TINY, parts=1))), "parts: expected a whole number of at least 2"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        SMALL.seed = 3
