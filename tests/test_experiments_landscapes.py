"""N6: the verdict stands over seeds and turns when what it looks at is broken; the numbers against NumPy, SciPy and forward by hand."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import spearmanr
from verdicts import labels, stand

from mbcore.experiments import landscapes
from mbcore.experiments.landscapes import KINDS, SMALL, Config, directions, line, norms, plane, run, running, title, trained
from mbcore.experiments.interval import Interval
from mbcore.experiments.solutions import network
from mbcore.progress import last

TINY = replace(SMALL, n=200, r=3, j=8, epochs=4, sizes=(10, 50), weight_decays=(0.0, 0.05), directions=2, draws=50)


def test_it_stands():
    assert stand(run, SMALL) == {"N6": "holds when"}


# ---------------------------------------------------------------- it turns

def test_without_normalisation_rescaling_shows(monkeypatch):
    monkeypatch.setattr(landscapes, "filter_normalised",
                        lambda net, rng: {n: 0.3 * rng.normal(size=p.shape) if n[0] == "W" else 0 * p for n, p in net.params.items()})
    assert labels(run(TINY)) == {"N6": "does not hold here"}


@pytest.mark.parametrize("rise, label", [(lambda e: e, "holds"), (lambda e: -e, "contested"), (lambda e: 1 + 0 * e, "contested")])
def test_it_is_the_order_of_the_errors_that_counts(monkeypatch, rise, label):
    rises = landscapes._rises

    def as_told(c, solutions, params=None):
        return rises(c, solutions, params) if params else {kind: rise(solutions.test_error + 0.01) for kind in KINDS}
    monkeypatch.setattr(landscapes, "_rises", as_told)
    monkeypatch.setattr(landscapes, "_rescaled", lambda c, cell: {"near": 0.0, "raw near": 1.0})
    assert labels(run(replace(TINY, weight_decays=(0.0, 5e-4), epochs=2))) == {"N6": label}


UP, OPEN = Interval(0.5, 0.1, 0.9), Interval(0.0, -0.5, 0.5)


@pytest.mark.parametrize("near, far, moved, label", [
    (UP, UP, 1e-15, "holds"), (UP, OPEN, 1e-15, "holds when"), (OPEN, UP, 1e-15, "holds when"),
    (OPEN, OPEN, 1e-15, "contested"), (UP, UP, 0.1, "does not hold here")])
def test_by_intervals(near, far, moved, label):
    rho = dict(zip((*KINDS, "loss"), (near, far, OPEN, OPEN, OPEN)))
    found = landscapes._verdict(landscapes.Result(SMALL, (), rho, {}, {"near": moved, "raw near": 1.0}))
    assert found.label == label
    assert ("looks within 0.1" in found.because) == (label == "holds when" and near is UP)


def test_divergence_is_no_picture():
    found = run(replace(TINY, lr=1e6))
    assert labels(found) == {"N6": "not measured here"} and "diverged" in found.verdicts[0].because


# ---------------------------------------------------------------- the numbers

def test_correlations_are_spearmans():
    """Ties included; the interval is that of seeds drawn anew with all their cells."""
    result = run(TINY)
    error = np.concatenate([cell.solutions.test_error for cell in result.cells])
    for name, found in result.correlations.items():
        own = np.concatenate([cell.solutions.loss if name == "loss" else cell.rises[name] for cell in result.cells])
        assert_allclose(found.mean, spearmanr(own, error)[0])
        assert found.low <= found.high
    draws = np.random.default_rng([TINY.seed, 3]).integers(0, TINY.r, (TINY.draws, TINY.r))
    near = [spearmanr(np.concatenate([cell.rises["near"][at] for cell in result.cells]),
                      np.concatenate([cell.solutions.test_error[at] for cell in result.cells]))[0] for at in draws]
    assert_allclose((result.correlations["near"].low, result.correlations["near"].high), np.quantile(near, (0.025, 0.975)))


def test_weight_decay_shortens_and_is_told():
    result = run(TINY)
    assert [(cell.weight_decay, cell.solutions.B) for cell in result.cells] == [(0, 10), (0, 50), (0.05, 10), (0.05, 50)]
    ratio = np.log(result.cells[2].norm / result.cells[0].norm)
    assert_allclose(result.decay["norm"].mean, ratio.mean())
    assert result.decay["norm"].high < 0
    s = result.cells[0].solutions
    assert_allclose(norms(s)[1], np.sqrt(np.sum(s.params["W0"][1] ** 2.0) + np.sum(s.params["W1"][1] ** 2.0)), rtol=1e-6)
    assert s.reached.all() and (s.updates == 4 * 20).all() and s.epochs[0] == 4


def test_rises_are_losses_at_parameters_set_by_hand():
    s, c = trained(TINY, 0.0, 10), replace(TINY, directions=1)
    found = landscapes._rises(c, s)
    net, every, normalised, raw = directions(c, s, 2)
    loss = lambda d, a: _loss(s, d, a, every)
    for kind, d in (("near", normalised[0]), ("raw near", raw[0])):
        assert_allclose(found[kind][2], (loss(d, 0.1) + loss(d, -0.1)) / 2 - loss(d, 0), rtol=1e-9)
    assert_allclose(found["far"][2], (loss(normalised[0], 1) + loss(normalised[0], -1)) / 2 - loss(normalised[0], 0), rtol=1e-9)


def _loss(s, d, alpha, every):
    net, _ = network(s, 2)
    for name, p in net.params.items():
        p += alpha * d[name]
    return net.forward(**every).mean()


def test_directions():
    """Filter-normalised ones have each neuron's length, raw ones the same directions at another; neither is the first parameters."""
    s = trained(TINY, 0.0, 10)
    net, _, normalised, raw = directions(TINY, s, 1)
    start = next(landscapes._solving(TINY, 0.0, 10))[1].params
    for d, other in zip(normalised, raw):
        assert_allclose(np.linalg.norm(d["W0"], axis=1), np.linalg.norm(net.params["W0"], axis=1))
        assert not d["C0"].any() and not other["C1"].any()
        unit = lambda w: w / np.linalg.norm(w, axis=1, keepdims=True)
        assert_allclose(unit(d["W0"]), unit(other["W0"]))
        assert abs((unit(d["W0"]) * unit(start["W0"][1])).sum(axis=1)).max() < 0.6
    assert_array_equal(net.params["W0"], network(s, 1)[0].params["W0"])


def test_slices_for_panels():
    s = trained(TINY, 0.0, 10)
    one, two = last(line(TINY, s, 1, points=5)), last(plane(TINY, s, 1, points=3))
    assert_allclose(one.loss[2], s.loss[1], rtol=1e-5)
    assert_allclose(two.loss[1, 1], s.loss[1], rtol=1e-5)
    assert_allclose(two.loss[[0, 2], 1], one.loss[[0, 4]])
    assert last(line(TINY, s, 1, points=3, normalised=False)).loss[0] != one.loss[0]
    assert len(list(plane(TINY, s, points=3))) == 3
    assert title(5e-4, s, 1) == f"0.0005, 10, {100 * s.test_error[1]:.2f} %"


def test_a_partial_result_has_no_verdicts():
    seen = list(running(TINY))
    fractions = [done for done, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and not any(result.verdicts for _, result in seen[:-1])
    assert [v.claim for v in seen[-1][1].verdicts] == list(landscapes.CLAIMS)


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize("bad, match", [
    (dict(r=1), "r, directions: "), (dict(directions=0), "r, directions: "), (dict(near=1.0), "near, far: "),
    (dict(sizes=(8, 2000)), "sizes, weight_decays: "), (dict(weight_decays=(-1.0,)), "sizes, weight_decays: ")])
def test_bad_configs(bad, match):
    with pytest.raises(ValueError, match=match):
        Config(**bad)
