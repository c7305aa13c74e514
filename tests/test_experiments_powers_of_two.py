"""B1: the verdict stands over seeds on this machine's clock, and turns on times that the test makes up."""

import numpy as np
import pytest
import scipy.stats
from verdicts import labels, stand

from mbcore import hardware
from mbcore.experiments import powers_of_two
from mbcore.progress import last

CONFIG = powers_of_two.Config()


def feed(monkeypatch, t, noise=0.01, seed=0):
    """A machine on which a step takes t(B), shaken by lognormal noise."""
    rng = np.random.default_rng(seed)
    def throughputs(step, sizes, *_, rounds):
        bursts = tuple(tuple(t(B) * rng.lognormal(sigma=noise, size=rounds)) for B in sizes)
        yield 1.0, hardware.Throughput(tuple(sizes), bursts, ())
    monkeypatch.setattr(powers_of_two.hardware, "throughput", throughputs)


def straight(B):
    return 2e-4 + 6e-6 * B


def test_the_verdict_stands():
    """A clock: it stands where the machine is not too busy to tell."""
    assert stand(powers_of_two.run, powers_of_two.SMALL).get("B1", "contested") in ("does not hold here", "contested")


@pytest.mark.parametrize("t, label", [
    (straight, "does not hold here"),
    (lambda B: straight(B) / (1.3 if B in CONFIG.powers else 1), "holds"),
    (lambda B: straight(B) / (1.3 if B in (16, 64) else 1), "holds when"),
    (lambda B: straight(B) * (1.3 if B in CONFIG.powers else 1), "does not hold here")])
def test_the_verdict_turns(monkeypatch, t, label):
    feed(monkeypatch, t)
    result = powers_of_two.run()
    assert labels(result) == {"B1": label}
    if label == "holds when":
        assert "B is 16, 64:" in result.verdicts[0].because


def test_an_unsteady_clock_decides_nothing(monkeypatch):
    feed(monkeypatch, lambda B: straight(B) / (1.1 if B in CONFIG.powers else 1), noise=0.5)
    assert labels(powers_of_two.run()) == {"B1": "contested"}


def test_a_straight_line_gains_nothing_though_larger_batches_cost_less(monkeypatch):
    feed(monkeypatch, straight, noise=0)
    result = powers_of_two.run()
    assert result.gain == pytest.approx((0,) * 6, abs=1e-12) and result.overall == pytest.approx(0, abs=1e-12)
    assert all(a > 1 > b for a, b in zip(result.below, result.above))
    assert result.below[2] == pytest.approx(straight(31) / 31 / (straight(32) / 32))
    assert result.seconds[2] == pytest.approx((straight(31), straight(32), straight(33)))


def test_the_intervals_against_scipy(monkeypatch):
    """Of one power, the same percentile bootstrap of a median by SciPy."""
    feed(monkeypatch, straight, noise=0.1)
    result = powers_of_two.run()
    feed(monkeypatch, straight, noise=0.1)                                  # the same noise again
    t = next(hardware.throughput(None, [n + d for n in CONFIG.powers for d in (-1, 0, 1)], rounds=CONFIG.rounds))[1].rounds
    gains = (t[:, 6] + t[:, 8]) / (2 * t[:, 7]) - 1
    options = dict(confidence_level=1 - 0.05 / 6, method="percentile", n_resamples=4000, rng=np.random.default_rng(1))
    expected = scipy.stats.bootstrap((gains,), np.median, **options).confidence_interval
    assert result.gain[2] == pytest.approx(np.median(gains))
    assert result.intervals[2] == pytest.approx((expected.low, expected.high), abs=0.012)


def test_the_intervals_of_no_gain_all_hold_zero_as_often_as_they_say(monkeypatch):
    held = []
    for seed in range(30):
        feed(monkeypatch, straight, noise=0.05, seed=seed)
        result = powers_of_two.run(powers_of_two.Config(seed=seed))
        held.append(all(low <= 0 <= high for low, high in result.intervals))
    assert np.mean(held) > 0.8


def test_it_draws_as_it_goes():
    seen = list(powers_of_two.running(powers_of_two.Config(powers=(4, 8), budget=0.05, rounds=4)))
    assert [len(r.powers) for _, r in seen[:6]] == [0, 0, 1, 1, 1, 2] and all(r.verdicts == () for _, r in seen[:-1])
    assert seen[-1][0] == 1 and [v.claim for v in seen[-1][1].verdicts] == list(powers_of_two.CLAIMS)


@pytest.mark.parametrize("powers", [(1,), (8, 9), (16, 8), ()])
def test_bad_powers_are_refused_by_name(powers):
    with pytest.raises(ValueError, match="powers: expected"):
        last(powers_of_two.running(powers_of_two.Config(powers=powers)))
