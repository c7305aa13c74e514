"""N4 N5: the verdicts stand over seeds and turn when what they look at is broken; the measures against JAX, NumPy and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from verdicts import labels, stand

from mbcore.experiments import flat_minima, solutions
from mbcore.experiments.flat_minima import SMALL, Config, between, growth, rescaling, run, running, trained
from mbcore.experiments.interval import Interval, interval
from mbcore.experiments.solutions import Measures, Noise, examples, measured, network
from mbcore.gradients import full_gradient
from mbcore.progress import last

TINY = replace(SMALL, n=300, r=3, j=8, target=0.6, large=100)


def test_they_stand():
    assert stand(run, SMALL) == {"N4": "contested", "N5": "holds when"}


# ---------------------------------------------------------------- they turn

def test_equal_batches_are_equally_sharp(monkeypatch):
    arm = flat_minima._arm
    monkeypatch.setattr(solutions, "KEPT", {})              # train anew
    monkeypatch.setattr(flat_minima, "_arm", lambda c, name, small=None: arm(c, "small"))
    assert labels(run(TINY)) == {"N4": "does not hold here", "N5": "does not hold here"}


def test_without_its_noise_the_large_batch_stays_sharp(monkeypatch):
    drawn = Noise.drawn
    monkeypatch.setattr(solutions, "KEPT", {})              # train anew
    monkeypatch.setattr(Noise, "drawn", lambda self, params: {name: 0 * noise for name, noise in drawn(self, params).items()})
    found = run(SMALL)
    assert labels(found) == {"N4": "contested", "N5": "does not hold here"}


def test_a_rescaling_that_changes_the_function_turns_nothing_round(monkeypatch):
    def wrong(net, value, alpha):
        return {name: p * (alpha if name == "W0" else 1) for name, p in net.params.items()}
    monkeypatch.setattr(solutions, "rescaled", wrong)
    found = run(TINY)
    assert "their scores" in found.verdicts[0].because and "no such order" in found.verdicts[0].because


def test_what_did_not_get_there_is_not_measured():
    found = run(replace(TINY, target=1e-9, updates=20))
    assert labels(found) == dict.fromkeys(("N4", "N5"), "not measured here") and found.measures == {}
    assert "small: not every network" in found.verdicts[0].because


UP, DOWN, OPEN = Interval(0.5, 0.1, 0.9), Interval(-0.5, -0.9, -0.1), Interval(0.0, -0.5, 0.5)


@pytest.mark.parametrize("error, eigenvalue, phi, moved, change, label", [
    (UP, UP, UP, DOWN, 0, "holds"), (UP, UP, UP, OPEN, 0, "holds"), (UP, UP, UP, UP, 1, "holds"),
    (UP, UP, UP, UP, 0, "contested"), (OPEN, UP, UP, DOWN, 0, "contested"), (UP, UP, OPEN, DOWN, 0, "contested"),
    (OPEN, UP, DOWN, UP, 0, "contested"), (UP, OPEN, OPEN, OPEN, 0, "contested"),
    (OPEN, OPEN, DOWN, UP, 0, "does not hold here"), (DOWN, DOWN, OPEN, UP, 0, "does not hold here")])
def test_flatness_by_intervals(error, eigenvalue, phi, moved, change, label):
    gaps = {("large", "small"): dict(test_error=error, eigenvalue=eigenvalue, sharpness=phi),
            ("small, rescaled", "large"): dict(eigenvalue=moved, sharpness=moved)}
    one = Measures(*[np.ones(1)] * 3, change=np.array([float(change)]))
    assert flat_minima._flatness(flat_minima.Result(SMALL, {}, {"small, rescaled": one}, gaps, {})).label == label


@pytest.mark.parametrize("gap, eigenvalue, error, label", [
    (UP, DOWN, DOWN, "holds"), (UP, DOWN, OPEN, "holds when"), (UP, DOWN, UP, "holds when"), (UP, OPEN, DOWN, "does not hold here"),
    (OPEN, DOWN, DOWN, "does not hold here"), (UP, UP, OPEN, "does not hold here")])
def test_noise_by_intervals(gap, eigenvalue, error, label):
    gaps = {("large", "small"): dict(eigenvalue=gap), ("large + noise", "large"): dict(eigenvalue=eigenvalue, test_error=error)}
    assert flat_minima._noise(flat_minima.Result(SMALL, {}, {}, gaps, {})).label == label


# ---------------------------------------------------------------- the numbers

def test_interval_is_the_paired_t_interval():
    a, b = np.random.default_rng(0).normal(size=(2, 7))
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    found = interval(a - b, 0.95)
    assert_allclose((found.low, found.mean, found.high), (low, (a - b).mean(), high))
    assert [Interval(*i).order() for i in ((2, 1, 3), (-2, -3, -1), (0, -1, 1))] == ["higher", "lower", "not resolvably different"]


def test_growth_tells_a_logarithm():
    t = np.arange(0, 500, 10)
    walk = np.log(np.maximum(t, 1))[:, None] * [1, 2] + 3
    assert_allclose(growth(t, walk)["log t"], 1)
    assert growth(t, walk)["sqrt t"] < 0.95
    assert_allclose(growth(t, np.sqrt(t)[:, None] + 1)["sqrt t"], 1)


def test_solutions_are_taken_where_they_get_there():
    digits, (small, large, early) = examples(1), (trained(TINY, name) for name in ("small", "large", "large, same epochs"))
    for s in (small, large):
        assert s.reached.all() and (s.loss < TINY.target).all() and (s.loss > 0.5 * TINY.target).all()
        for r in range(TINY.r):
            net, every = network(s, r)
            assert_allclose(net.forward(**every).mean(), s.loss[r], rtol=1e-5)
            guess = np.concatenate([net.evaluate("s", x=part).argmax(1) for part in np.split(digits.x_test, 2)])
            assert_allclose((guess != digits.target_test).mean(), s.test_error[r], atol=0.003)
    assert (early.epochs >= small.epochs).all() and (early.epochs < small.epochs + 10 * 100 / 300 + 1e-9).all()
    assert_array_equal(small.walk[1][0], 0)
    assert len(small.walk[0]) == len(small.walk[1])


def test_all_arms_start_alike():
    starts = [next(flat_minima._arm(TINY, name, trained(TINY, "small")))[1].params for name in flat_minima.ARMS]
    for params in starts[1:]:
        for name, p in params.items():
            assert_array_equal(p, starts[0][name])


def test_noise_has_mean_0_and_the_small_batches_covariance():
    """E||noise||^2 = tr(Sigma)/B N/(N-1): two disjoint batches without replacement."""
    n, B, r = 100, 10, 400
    net = solutions.RELU.with_index("b").with_index("r", parameters=True).compile(r=r, b=B, i=64, j=3, y=10)
    one = solutions.RELU.with_index("b").compile(b=B, i=64, j=3, y=10).init(np.random.default_rng(0))
    for name, p in one.params.items():
        net.params[name][...] = p
    digits = examples(n)
    noise = Noise(net, digits, B, np.random.default_rng(1)).drawn(net.params)
    flat = np.concatenate([g.reshape(r, -1) for g in noise.values()], axis=1).astype(float)
    expected = full_gradient(one, x=digits.x_train, target=digits.target_train).trace / B * n / (n - 1)
    sq = (flat**2).sum(axis=1)
    assert abs(sq.mean() - expected) < 4 * sq.std(ddof=1) / r**0.5 and sq.std(ddof=1) / r**0.5 < 0.05 * expected
    assert (flat.mean(axis=0) ** 2).sum() < 1.5 * expected / r


def test_slope_is_the_first_order_part_of_the_box():
    """Over a box small enough, phi is its slope; over Keskar's, no less."""
    s = trained(TINY, "large, same epochs")
    tiny = measured(s, (1e-7,), np.random.default_rng(0))
    assert_allclose(tiny.sharpness[0], tiny.slope, rtol=1e-3)
    usual = measured(s, (1e-3, 5e-4), np.random.default_rng(0))
    assert usual.sharpness.shape == (2, 1) and usual.sharpness[0] > usual.sharpness[1] > 0 and usual.sharpness[0] > usual.slope


def test_rescaling_changes_the_measures_and_no_score():
    """The curvature of W0 alone grows by 1/alpha^2."""
    one, far = rescaling(TINY, "small", 1.0), rescaling(TINY, "small", 0.1)
    assert one.change == 0 and far.change < 1e-13
    assert far.eigenvalue > 20 * one.eigenvalue and far.sharpness > 2 * one.sharpness
    assert rescaling(TINY, "small", 0.1) is far


def test_between_two_solutions():
    a, b = trained(TINY, "small"), trained(TINY, "large")
    train, test = last(between(a, b, 1, points=5))
    assert_allclose(train.alphas, [-0.5, 0, 0.5, 1, 1.5])
    assert_allclose(train.loss[[1, 3]], (a.loss[1], b.loss[1]), rtol=1e-5)
    assert_allclose(test.error[[1, 3]], (a.test_error[1], b.test_error[1]), atol=0.003)


def test_a_partial_result_has_no_verdicts():
    seen = list(running(TINY))
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and all(0 <= f < 1 for f in fractions[:-1])
    assert not any(result.verdicts for _, result in seen[:-1]) and set(seen[-1][1].gaps) == set(flat_minima.PAIRS)
    assert tuple(v.claim for v in seen[-1][1].verdicts) == flat_minima.CLAIMS


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize("bad, match", [
    (dict(small=144), "small, large: expected 1 <= small < large"), (dict(small=0), "small, large: "),
    (dict(large=2000), "small, large: .* got 8 and 2000, n = 1437"), (dict(r=1), "r: expected at least 2")])
def test_bad_configs(bad, match):
    with pytest.raises(ValueError, match=match):
        Config(**bad)


def test_bad_alpha():
    with pytest.raises(ValueError, match="alpha: expected a finite number above 0"):
        rescaling(TINY, "small", -1.0)
