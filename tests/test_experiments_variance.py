"""F2 of lesson 05: averages and the law of large numbers."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy.stats import norm
from verdicts import labels, stand

from mbcore.experiments import scatter, stages, variance
from mbcore.experiments.stages import Training, stage

FEW = Training(epochs=(0, 1, 2))


def test_f2_stands():
    assert stand(variance.run, variance.SMALL) == {"F2": "holds"}


# ---------------------------------------------------------------- it turns

def copies(at, B, draws, rng, replacement=True):
    """Batches of B copies of one example."""
    found = stages.sampled(at, 1, draws, rng, replacement)
    return replace(found, B=B)


def always_replaced(at, B, draws, rng, replacement=True):
    return stages.sampled(at, B, draws, rng, B < len(at.d))         # but for the batch of all


def never_replaced(at, B, draws, rng, replacement=True):
    return stages.sampled(at, B, draws, rng, False)


@pytest.mark.parametrize("broken", [copies, always_replaced, never_replaced])
def test_f2_turns(monkeypatch, broken):
    monkeypatch.setattr(variance, "sampled", broken)
    assert labels(variance.run(replace(variance.SMALL, training=FEW))) == {"F2": "does not hold here"}


def test_f2_turns_with_a_coordinate_that_scatters_more(monkeypatch):
    true = scatter.batch_means
    monkeypatch.setattr(scatter, "batch_means", lambda *a: (f := true(*a)) and replace(f, means=f.mean + 2 * (f.means - f.mean)))
    assert labels(variance.run(replace(variance.SMALL, training=FEW))) == {"F2": "does not hold here"}


# ---------------------------------------------------------------- oracles

def tiny(rng, N=4, p=3):
    """A Stage of N made gradients."""
    d = rng.normal(size=(N, p)) ** 3 + 0.3
    g = d.mean(axis=0)
    return stages.Stage("made", 0, 1.0, None, d, stages.FullGradient(N, g, float(((d - g) ** 2).sum(axis=1).mean())))


def test_standard_deviations_by_going_through_all_batches():
    made = tiny(np.random.default_rng(3))
    for B in (1, 2, 3):
        every = np.stack(np.meshgrid(*[range(4)] * B, indexing="ij"), axis=-1).reshape(-1, B)
        G = made.d[every].mean(axis=1)
        sq, distances = (G * G).sum(axis=1), ((G - made.full.g) ** 2).sum(axis=1)
        assert np.isclose(sq.mean(), made.full.expected_sq_norm(B)) and np.isclose(sq.std(), made.sd_of_sq_norm(B))
        assert np.isclose(distances.mean(), made.full.trace / B) and np.isclose(distances.std(), made.sd_of_sq_distance(B))
        apart = [len(set(row)) == B for row in every]               # without replacement
        assert sq[apart].std() <= made.sd_of_sq_norm(B, False) + 1e-12


def test_per_example_gradients_against_pytorch():
    torch = pytest.importorskip("torch")
    here, inputs = stage("mid", FEW), stages.every()
    x, target = torch.tensor(inputs["x"][:5], dtype=torch.float64), torch.tensor(inputs["target"][:5])
    p = {name: torch.tensor(a, requires_grad=True) for name, a in here.net.params.items()}
    for n in range(5):
        s = torch.sigmoid(x[n] @ p["W0"].T - p["C0"]) @ p["W1"].T - p["C1"]
        grads = torch.autograd.grad(torch.nn.functional.cross_entropy(s, target[n]), list(p.values()))
        np.testing.assert_allclose(here.d[n], np.concatenate([g.numpy().ravel() for g in grads]), atol=1e-12)
    np.testing.assert_allclose(here.d.mean(axis=0), here.full.g, atol=1e-12)


def test_batches_against_a_loop():
    here = stage("start", FEW)
    for how in (True, False):
        found = stages.drawn_batches(here, 7, 3, np.random.default_rng(1), how)
        again = [here.d[at].mean(axis=0) for at in stages.draws_of(len(here.d), 7, 3, np.random.default_rng(1), how)]
        np.testing.assert_allclose(found, again, atol=1e-13)
    found = stages.sampled(here, 7, 3, np.random.default_rng(1), False)
    np.testing.assert_allclose(stages.sq_distances(found, here.full), [((g - here.full.g) ** 2).sum() for g in again], rtol=1e-9)
    np.testing.assert_allclose(found.cosines, [g @ here.full.g / np.linalg.norm(g) / np.linalg.norm(here.full.g) for g in again])


def test_the_path_of_a_growing_batch():
    config = variance.Config(FEW)
    path, here = variance.path("mid", config), stage("mid", FEW)
    order = np.random.default_rng(0).permutation(len(here.d))
    assert np.isclose(path[9], np.linalg.norm(here.d[order[:10]].mean(axis=0) - here.full.g))
    assert len(path) == len(order) and path[-1] < 1e-12


@pytest.mark.parametrize("size", [1.0, 10.0])
def test_densities(size):
    found = variance.densities(size, 16, draws=4000)
    np.testing.assert_allclose(found.single, norm.pdf(found.x, 0, size**0.5))
    assert np.isclose(np.trapezoid(found.normal, found.near), 1, atol=1e-4) and np.isclose(found.sd, (size / 16) ** 0.5)
    assert abs(found.observed - found.sd) < 5 * found.observed_se and found.kolmogorov < 0.05
    assert np.isclose(found.observed_se, found.sd / (2 * 3999) ** 0.5, rtol=0.1)
    assert np.isclose((found.heights * np.diff(found.edges)).sum(), 1)


def test_one_coordinate():
    config = variance.Config(FEW)
    with_, without = (variance.coordinate_averages(1000, how, config=config) for how in (True, False))
    values = stage("start", FEW).d[:, 8 * 64 + 8 + 3 * 8 + 2]               # behind W0 and C0: W1[3,2]
    assert np.isclose(with_.sd, values.std() / 1000**0.5) and np.isclose(without.sd, with_.sd * (437 / 1436) ** 0.5)
    whole = variance.coordinate_averages(1437, False, config=config)
    assert whole.sd == 0 and whole.observed < 1e-15
    first = variance.coordinate_averages(1, config=config)
    assert first.kolmogorov > 0.2 > 0.1 > with_.kolmogorov                  # one example is not normal, an average is
    assert np.isclose(np.trapezoid(first.single, first.x), 1) and len(first.edges) == 37


def test_an_angle_closes():
    config = variance.Config(FEW)
    found = [variance.angle(B, config=config) for B in (1, 64, 1024)]
    assert found[0].median > found[1].median > found[2].median and all(abs(a.median - a.theory) < 10 for a in found)
    shares, edges = found[1].histogram
    assert np.isclose(shares.sum(), 1) and edges[shares.argmax()] - 10 < found[1].median < edges[shares.argmax()] + 15
    assert variance.angle(1437, replacement=False, draws=3, config=config).median < 1e-3


def test_theory_comes_first_and_the_parts_add_up():
    config = variance.Config(FEW)
    for coming, at_once in ((variance.densities_running(10, 4), variance.densities(10, 4)),
                            (variance.coordinate_running(8, False, config=config), variance.coordinate_averages(8, False, config=config))):
        seen = [found for _, found in coming]
        first, last = seen[0], seen[-1]
        assert first.draws == 0 and not first.heights.any() and np.isnan(first.observed) and first.normal.max() > 0
        assert [f.draws for f in seen] == list(range(0, 1001, 10)) and np.isnan(seen[-2].kolmogorov)
        np.testing.assert_array_equal(last.heights, at_once.heights)
        assert last.observed == at_once.observed and last.kolmogorov == at_once.kolmogorov


def test_gradients_as_they_are_drawn():
    config = variance.Config(FEW)
    seen = [drawn for _, drawn in variance.gradients_running(64, "mid", config=config)]
    assert len(seen[0].found.sq_norms) == 0 and np.isnan(seen[0].angle.median) and seen[0].angle.theory == seen[-1].angle.theory
    whole = variance.angle(64, "mid", config=config)
    np.testing.assert_allclose(seen[-1].angle.degrees, whole.degrees)
    assert abs(seen[-1].found.mean - seen[-1].found.expected) < 6 * seen[-1].se
    assert np.isclose(seen[-1].se, stage("mid", FEW).sd_of_sq_norm(64) / 200**0.5)


def test_the_factor_of_the_standard_deviation():
    assert variance.factor(16) == 0.25 and variance.factor(1437, 1437) == 0 and variance.factor(1, 10) == 1
    found = variance.coordinate_averages(64, False, config=variance.Config(FEW))
    assert np.isclose(found.sd, found.sigma * variance.factor(64, 1437))


def test_a_slope():
    fall = variance._fall((1, 4, 16), np.array([8.0, 4.0, 2.0]), np.array([0.1, 0.1, 0.1]), np.array([8.0, 4.0, 2.0]))
    assert np.isclose(fall.slope, -0.5) and not replace(fall, slope=-0.4, slope_se=0.01).falls


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize("call, message", [
    (lambda: stage("end"), "^stage: expected one of start, mid, late; got 'end'"),
    (lambda: Training(epochs=(0, 5, 5)), "^epochs: expected 3 rising"),
    (lambda: variance.densities(11, 4), "^variance: expected a number above 0 and at most 10; got 11"),
    (lambda: variance.densities(1, 0), "^B: expected a whole number"),
    (lambda: variance.coordinate_averages(1438, False, config=variance.Config(FEW)), "^B: expected at most"),
    (lambda: variance.coordinate_averages(4, config=variance.Config(FEW, entry=("W7", (0,)))), "^name: expected a parameter"),
])
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_partial_results_and_frozen_configs():
    seen = list(variance.running(replace(variance.SMALL, training=FEW)))
    assert tuple(labels(seen[-1][1])) == variance.CLAIMS
    assert [r.verdicts for _, r in seen[:-1]] == [()] * (len(seen) - 1) and seen[0][0] == 0 and seen[-1][0] == 1
    with pytest.raises(FrozenInstanceError):
        variance.Config().seed = 3
