"""Averages over time. Oracles: closed forms, SciPy's filter, mbcore.averages on single networks, another minimiser, counting."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy import optimize, signal
from verdicts import labels, stand

from mbcore import data
from mbcore.averages import SAG, SVRG, PolyakRuppert
from mbcore.data import batches
from mbcore.experiments import averages_over_time as module
from mbcore.experiments import time_averages
from mbcore.experiments import ways as ways_module
from mbcore.experiments.averages_over_time import SMALL, Result, run, running
from mbcore.experiments.interval import Interval
from mbcore.experiments.models import MLP
from mbcore.experiments.time_averages import Average, averaged, averages, gradients, streaming
from mbcore.experiments.ways import PLAIN, WAYS, Way, following, made
from mbcore.gradients import full_gradient
from mbcore.optim import SGD, Momentum
from mbcore.progress import last
from mbcore.schedule import Cosine

TINY = replace(SMALL, n=100, B=20, passes=5, rates=(0.5, 1.0), seeds=4, j=5)


def test_stand():
    assert stand(run, SMALL) == {"Q9": "holds when"}


# ---------------------------------------------------------------- the verdict turns


def test_turns_when_the_exponential_average_is_none(monkeypatch):
    """Without dampening v is a sum, and its variance N^2 times as large."""
    monkeypatch.setattr(time_averages, "Momentum", lambda beta, dampening: Momentum(beta))
    assert labels(run(TINY)) == {"Q9": "contested"}


class LastIterate(PolyakRuppert):
    """No average: what it was given last."""

    def update(self, params):
        super().update(params)
        for name, p in params.items():
            self._arrays["average." + name][...] = p


def test_turns_when_a_table_helps_no_more(monkeypatch):
    """Without SAG's and SVRG's corrections, and with the last iterate for the mean of the iterates, nothing is sure to gain."""
    monkeypatch.setattr(ways_module.Table, "average", ways_module.Plain.average)
    monkeypatch.setattr(ways_module.Anchored, "average", ways_module.Plain.average)
    monkeypatch.setattr(ways_module, "PolyakRuppert", LastIterate)
    assert labels(run(SMALL))["Q9"] in ("holds", "contested")


def way(name, gain, test_gain, half=0.1):
    none = np.zeros(1)
    return Way(name, none, none, none, 0, 0.0, 1.0, *(Interval(g, g - half, g + half) for g in (gain, test_gain)))


@pytest.mark.parametrize("convex, network, half, label", [
    ((5, 0), (0, 0), 0.1, "holds when"), ((5, 5), (5, 5), 0.1, "does not hold here"), ((0.1, 0), (0, 0), 0.1, "holds"),
    ((0.1, 0), (0, 0), 9.0, "contested"), ((-5, 0), (0, -5), 0.1, "holds")])
def test_the_verdict_is_read_off_the_intervals(convex, network, half, label):
    sgd = way("SGD", 0, 0)
    ways = {"softmax regression": (sgd, way("SAG", *convex, half)), "network": (sgd, way("SAG", *network, half))}
    assert module._verdict(Result((Average(1, 1, 0.1, 1, 1, 0.1, 1),), ways)).label == label


def test_a_rate_that_falls_is_no_average():
    sgd = way("SGD", 0, 0)
    ways = {problem: (sgd, way("decayed rate", 5, 5), way("SAG", 0, 0)) for problem in ("softmax regression", "network")}
    assert module._verdict(Result((Average(1, 1, 0.1, 1, 1, 0.1, 1),), ways)).label == "holds"


# ---------------------------------------------------------------- averages of independent gradients


@pytest.mark.parametrize("N", [1, 3, 10])
def test_averages_against_a_filter_and_slices(N):
    g, _ = gradients(40, 3)
    rolling, exponential = averaged(g, N)
    np.testing.assert_allclose(rolling, [g[max(0, k - N + 1):k + 1].mean(axis=0) for k in range(40)], atol=1e-15)
    start = (1 - 1 / N) * g[:1]                                     # so that the first output is g[0]
    np.testing.assert_allclose(exponential, signal.lfilter([1 / N], [1, -(1 - 1 / N)], g, axis=0, zi=start)[0], atol=1e-15)


def test_variances_of_averages():
    for a in averages((1, 2, 4, 8, 16, 32), 2000, seed=5):
        assert (a.rolling_theory, a.exponential_theory) == (1 / a.N, 1 / (2 * a.N - 1))
        assert abs(a.rolling - a.rolling_theory) < 5 * a.rolling_se and abs(a.exponential - a.exponential_theory) < 5 * a.exponential_se


def test_the_variance_of_a_gradient():
    g, variance = gradients(400, 50, B=4)
    assert g.var() == pytest.approx(variance, rel=0.1) and gradients(2, B=8)[1] == pytest.approx(variance / 2)


# ---------------------------------------------------------------- averages in training


def test_a_stream_is_plain_sgd():
    """The same run with one network in a plain loop, and the gradient of all its examples at each step."""
    found, d, rng = last(streaming(0.5, steps=30, n=40, B=4, j=5, seed=3)), data.digits(), np.random.default_rng((3, 1))
    net = MLP.with_index("b").compile(b=4, i=64, j=5, y=10, dtype="float64").init(np.random.default_rng(3))
    for k in range(30):
        at = rng.integers(40, size=4)
        full = full_gradient(net, x=d.x_train[:40], target=d.target_train[:40])
        net.forward(x=d.x_train[at], target=d.target_train[at])
        net.backward()
        np.testing.assert_allclose(found.true[k], full.g, atol=1e-12)
        np.testing.assert_allclose(found.g[k], np.concatenate([net.grads[p].ravel() for p in net.params]), atol=1e-12)
        net.step(0.5, x=d.x_train[at], target=d.target_train[at])


def test_errors_of_a_stream_against_its_averages():
    found = last(streaming(1.0, steps=60, n=40, B=4, j=5))
    for N, errors in found.errors((1, 3, 10)).items():
        off = [((average - found.true)[15:] ** 2).sum(axis=1).mean() for average in averaged(found.g, N)]
        assert errors == pytest.approx(np.array(off) / ((found.g - found.true)[15:] ** 2).sum(axis=1).mean())
    assert found.errors((1,))[1] == pytest.approx((1, 1))


def test_standing_still_the_errors_are_those_of_theory_and_moving_they_are_not():
    still, moving = (last(streaming(lr, steps=600, n=60, j=5)).errors((4, 16)) for lr in (0, 2.0))
    for N in (4, 16):
        assert still[N] == pytest.approx((1 / N, 1 / (2 * N - 1)), rel=0.25) and np.all(np.array(moving[N]) > 1.5 * np.array(still[N]))
    assert min(moving[16]) > 4 / 16


def test_a_stream_is_drawable_on_the_way():
    seen = list(streaming(0.5, steps=50, n=40, looks=5))
    assert [f for f, _ in seen] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1]) and [len(s.g) for _, s in seen] == [10, 20, 30, 40, 50]


# ---------------------------------------------------------------- the ways against single networks


@pytest.mark.parametrize("name", ["softmax regression", "network"])
@pytest.mark.parametrize("how", WAYS)
def test_ways_against_single_networks(name, how):
    """Rate 1.0, seed 2: the same batches, one network, and the package's own classes in a plain loop."""
    c, problem = TINY, made(name, TINY)
    *_, (_, found) = following(how, problem, c)
    d, inputs = problem.data, {"x": problem.data.x_train, "target": problem.data.target_train}
    net = problem.equations.compile(b=20, **problem.sizes, dtype="float64").init(np.random.default_rng((0, 0)).spawn(4)[2])
    at = list(batches(100, 20, np.random.default_rng((0, 1)).spawn(4)[2], epochs=10))
    assert found.loss[0, 1, 2] == pytest.approx(net.resized(b=100).forward(**inputs).mean() - problem.minimum)
    rule, iterates, last, spent = Momentum(0.9, dampening=0.9) if how == "momentum" else SGD(), PolyakRuppert(start=12), [], 0
    kept = {"SAG": SAG, "SVRG": SVRG}.get(how, lambda *a, **k: None)(net, **inputs)
    for k in range(25):
        if spent >= 500:
            break
        if how == "SVRG" and k % 10 == 0:
            kept.anchor()
            spent += 100
        spent += 40 if how == "SVRG" else 20
        if kept:
            g = kept.gradients(at[k])
        else:
            net.forward(x=d.x_train[at[k]], target=d.target_train[at[k]])
            net.backward()
            g = {p: net.grads[p].copy() for p in net.params}
        last = [*last[-9:], g]
        if how == "rolling mean":
            g = {p: np.mean([q[p] for q in last], axis=0) for p in g}
        rule.update(net.params, g, float(Cosine(1.0, 25)(k)) if how == "decayed rate" else 1.0)
        iterates.update(net.params)
    if how == "Polyak-Ruppert":
        for p, array in iterates.average.items():
            net.params[p][...] = array
    assert found.spent[-1] == spent == 500
    assert found.loss[-1, 1, 2] == pytest.approx(net.resized(b=100).forward(**inputs).mean() - problem.minimum, rel=1e-6)
    assert found.test[-1, 1, 2] == pytest.approx(net.resized(b=1000).forward(x=d.x_test, target=d.target_test).mean(), rel=1e-6)


def test_what_is_kept():
    """Copies of the parameters, for one network; the numbers of the methods' definitions."""
    problem = made("softmax regression", TINY)
    found = {name: [w for _, w in following(name, problem, TINY)][-1] for name in WAYS}
    copies = {name: w.copies for name, w in found.items()}
    assert copies == {"SGD": 0, "decayed rate": 0, "rolling mean": 10, "momentum": 1, "Polyak-Ruppert": 1, "SAG": 101, "SVRG": 2}
    assert all(w.nbytes == w.copies * 44 * 8 for w in found.values())


def test_the_minimum_against_another_minimiser():
    problem = made("softmax regression", TINY)
    x, target = problem.data.x_train.astype(float), problem.data.target_train

    def loss(v):
        s = x @ v[:40].reshape(4, 10).T - v[40:]
        return (np.log(np.exp(s).sum(axis=1)) - s[np.arange(100), target]).mean()
    assert problem.minimum == pytest.approx(optimize.minimize(loss, np.zeros(44), method="BFGS").fun, abs=1e-6)


def test_gains_are_paired_and_at_the_best_rates():
    """SGD is best at the first rate, the way at the second; the second half of the seeds decides."""
    sgd, other = np.ones((1, 2, 4)), np.ones((1, 2, 4))
    sgd[0, 0, :], other[0, 1, :] = (0.5, 0.5, 0.8, 0.4), (0.1, 0.1, 0.2, 0.1)
    c = replace(TINY, rates=(0.5, 1.0))
    way = lambda losses: Way("", np.zeros(1), losses, losses, 0, 0.0)
    found = module._compared(way(other), way(sgd), c)
    assert found.rate == 1.0 and found.gain.mean == pytest.approx(np.log(4)) and found.gain.high == pytest.approx(np.log(4))


# ---------------------------------------------------------------- the rest


def test_running_goes_to_one_and_is_drawable_on_the_way():
    seen = list(running(TINY))
    assert seen[-1][0] == 1 and all(a[0] <= b[0] for a, b in zip(seen, seen[1:]))
    assert all(not r.verdicts for _, r in seen[:-1]) and tuple(v.claim for v in seen[-1][1].verdicts) == module.CLAIMS
    assert all([w.name for w in ways] == list(WAYS) for ways in seen[-1][1].ways.values()) and set(PLAIN) < set(WAYS)


@pytest.mark.parametrize("call, said", [
    (lambda p: next(following("ADAM", p, TINY)), "name: expected one of SGD, decayed rate"),
    (lambda p: next(following("SGD", p, replace(TINY, seeds=2))), "seeds: expected a whole number of at least 4"),
    (lambda p: next(following("SGD", p, replace(TINY, passes=0))), "passes: expected a whole number of at least 1"),
    (lambda p: averaged(np.zeros((5, 1)), 0), "N: expected a whole number of at least 1"),
    (lambda p: gradients(0), "steps: expected a whole number of at least 1"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call(made("network", TINY))


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        SMALL.seed = 3
