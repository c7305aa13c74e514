"""F1 and B4 of lesson 05: how long a batch gradient is, and whether it comes near zero."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from verdicts import labels, stand

from mbcore.experiments import batch_noise, stages
from mbcore.experiments.stages import Training, stage
from mbcore.gradients import full_gradient
from mbcore.noise_scale import two_batch

FEW = Training(epochs=(0, 1, 2))
CONFIG = batch_noise.Config(FEW)
BRIEF = replace(batch_noise.SMALL, training=FEW)


@pytest.fixture(scope="module")
def brief():
    """Every (fraction, Result) of one run in which training stops early."""
    return list(batch_noise.running(BRIEF))


def test_f1_and_b4_stand():
    assert stand(batch_noise.run, batch_noise.SMALL) == {"F1": "holds when", "B4": "holds when"}


def test_what_the_stages_say():
    config = replace(CONFIG, training=batch_noise.SMALL.training, seed=5)               # trained by the test above
    far, near, start = (batch_noise.noise_estimate(*a, config=config) for a in (("late", 16), ("late",), ("start",)))
    assert near.exact > 5 * start.exact and far.negative > 0.2 > start.negative
    assert all(e.interval[0] / 1.5 < e.exact < e.interval[1] * 1.5 for e in (near, start))


# ---------------------------------------------------------------- they turn

def test_f1_turns_where_a_batch_sums(monkeypatch):
    def summed(at, B, *rest):
        found = stages.sampled(at, B, *rest)
        return replace(found, sq_norms=found.sq_norms * B * B)
    monkeypatch.setattr(batch_noise, "sampled", summed)
    assert labels(batch_noise.run(BRIEF))["F1"] == "does not hold here"


def centred(here):
    """The same scatter around a full gradient of 0."""
    d = here.d - here.full.g
    g = d.mean(axis=0) + 1e-12
    return replace(here, d=d, full=replace(here.full, g=g))


def test_with_gradients_that_cancel_the_fall_has_no_end(monkeypatch):
    true = batch_noise.stage
    monkeypatch.setattr(batch_noise, "stage", lambda *a: centred(true(*a)))
    assert labels(batch_noise.run(BRIEF)) == {"F1": "holds", "B4": "holds"}


def test_b4_turns_where_training_stays_far_from_a_critical_point(brief):
    assert labels(brief[-1][1])["B4"] == "does not hold here"


def test_b4_turns_where_a_larger_batch_goes_less_far(monkeypatch):
    true = batch_noise._progress
    monkeypatch.setattr(batch_noise, "_progress", lambda here, G, lr: true(here, G, lr) + (len(G) > 1))
    assert labels(batch_noise.run(BRIEF))["B4"] == "holds"


# ---------------------------------------------------------------- oracles

def test_a_stage_against_the_statistics_of_the_package():
    here, inputs = stage("mid", FEW), stages.every()
    full = full_gradient(here.net, **inputs)
    assert np.isclose(full.trace, here.full.trace) and np.isclose(full.noise_scale, here.full.noise_scale)


def test_decomposition_by_loops_over_few_examples():
    """The square of the sum multiplied out, and the two parts of tr(Sigma), on 30 gradients."""
    d = stage("mid", FEW).d[:30]
    squares, products = sum(v @ v for v in d) / 30, sum(v @ w for v in d for w in d) / 900
    g, sizes = d.mean(axis=0), np.linalg.norm(d, axis=1)
    trace = ((d - g) ** 2).sum(axis=1).mean()
    assert np.isclose(squares - products, trace) and np.isclose(sizes.var() + sizes.mean() ** 2 - g @ g, trace)


def test_the_expansion_and_the_shares_in_a_result(brief):
    for s in brief[-1][1].stages:
        assert np.isclose(s.lengths + s.directions, 1)
        here = stage(s.name, FEW)
        np.testing.assert_allclose(s.expansion, [s.sq_norm + s.trace / pair[0].B for pair in s.found])
        unit = here.d / np.linalg.norm(here.d, axis=1)[:, None]
        assert np.isclose(s.mean_cosine, ((unit.sum(axis=0) ** 2).sum() - s.N) / s.N / (s.N - 1)) and np.isclose(s.cosines.sum() / 20, 1)
        np.testing.assert_allclose(s.whole, s.loss - loss_after(here, here.full.g), atol=1e-9)


def loss_after(here, g):
    """Mean cross-entropy in NumPy, after one step of lr 1 along -g."""
    inputs, sizes = stages.every(), [p.size for p in here.net.params.values()]
    moved = np.split(np.concatenate([p.ravel() for p in here.net.params.values()]) - g, np.cumsum(sizes)[:-1])
    p = {name: a.reshape(here.net.params[name].shape) for name, a in zip(here.net.params, moved)}
    s = 1 / (1 + np.exp(-(inputs["x"] @ p["W0"].T - p["C0"]))) @ p["W1"].T - p["C1"]
    return (np.log(np.exp(s).sum(axis=1)) - s[np.arange(len(s)), inputs["target"]]).mean()


def test_the_estimate_agrees_with_the_one_for_programs():
    here = stage("start", FEW)
    ours = batch_noise.noise_estimate("start", 64, 400, CONFIG)
    other = two_batch(here.net, 8, 64, 400, np.random.default_rng(7), **stages.every())
    assert ours.B_small == 8 and ours.interval[0] < other.interval[1] and other.interval[0] < ours.interval[1]
    assert abs(ours.estimate / ours.exact - 1) < 0.25


@pytest.mark.parametrize("how", [True, False])
@pytest.mark.parametrize("ratio", [0.2, 1.0, 3.0])
def test_the_smallest_batch_by_search(how, ratio):
    full = stage("start", FEW).full
    signal = lambda B: (full.sq_norm / max(full.expected_sq_norm(B, how) - full.sq_norm, 1e-300)) ** 0.5
    assert batch_noise.smallest_batch(ratio, "start", how, CONFIG) == next(B for B in range(1, 10**6) if signal(B) >= ratio)


def test_the_norm_curve_and_a_sample():
    curve = batch_noise.norm_curve("start", config=CONFIG)
    assert curve.B[0] == 1 and curve.B[-1] == 1437 and (np.diff(curve.root) < 0).all() and curve.root[-1] > curve.floor
    assert np.isclose(batch_noise.norm_curve("start", False, CONFIG).root[-1], curve.floor)
    whole, signal, noise = curve.squares
    np.testing.assert_allclose(whole, signal + noise)
    np.testing.assert_allclose(np.interp(curve.noise_scale, curve.B, curve.noise), 0.5, atol=0.02)
    found = batch_noise.norms(64, config=CONFIG)
    assert abs(found.mean - found.expected) < 6 * found.se


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize("call, message", [
    (lambda: batch_noise.norms(8, "end"), "^stage: expected one of"),
    (lambda: batch_noise.smallest_batch(0), "^ratio: expected a number above 0"),
    (lambda: batch_noise.noise_estimate("start", 20, config=CONFIG), "^B_big: expected a multiple of 8"),
    (lambda: batch_noise.noise_estimate("start", 8, config=CONFIG), "^B_big: expected a whole number of at least 16"),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_partial_results_and_frozen_configs(brief):
    assert tuple(labels(brief[-1][1])) == batch_noise.CLAIMS
    assert [len(r.stages) for _, r in brief] == [0, 1, 2, 3] and not any(r.verdicts for _, r in brief[:-1])
    with pytest.raises(FrozenInstanceError):
        batch_noise.Config().seed = 3
