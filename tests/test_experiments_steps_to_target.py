"""N2 T10 T11: verdicts stand, and turn on sweeps made from a formula; oracles: SciPy's fit and minimum, closed forms."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize_scalar
from verdicts import labels, stand

from mbcore import sweep
from mbcore.experiments import critical_batch as critical
from mbcore.experiments import steps_to_target as module
from mbcore.experiments.critical_batch import Estimate, Fit
from mbcore.experiments.steps_to_target import SMALL, Config

C = Config(sizes=(1, 4, 16, 64, 256, 1024), seeds=5, draws=200)


def test_verdicts_stand():
    assert stand(module.run, SMALL) == {"N2": "holds", "T10": "holds", "T11": "holds when"}


# ---------------------------------------------------------------- sweeps made from a formula


def made(monkeypatch, S, best=lambda B: 1.0, spread=0.03):
    """Steps S(B) at the rate best(B), more beside it, and a spread over seeds: instead of training."""
    def outcome(task):
        noise = np.random.default_rng((task.B, task.seed)).normal()
        steps = S(task.B) * np.exp(np.log2(task.lr / best(task.B)) ** 2 / 4 + spread * noise)
        if task.lr > 4 * best(task.B):
            return SimpleNamespace(task=task, status="diverged", steps=None)
        return SimpleNamespace(task=task, status="reached", steps=steps)

    def sweeping(setting, tasks, executor=None, chunk=16):
        yield 0.5, {}
        yield 1.0, {task: outcome(task) for task in tasks}
    monkeypatch.setattr(module, "sweeping", sweeping)
    monkeypatch.setattr(module, "along", lambda *args: [(20.0, 1.0)])


BENT = lambda B: 50 * (1 + 20 / B)


@pytest.mark.parametrize("S, expected", [
    (BENT, ("holds", "holds", "holds when")),
    (lambda B: 5000 / B, ("does not hold here", "does not hold here", "holds")),                   # perfect scaling without an end
    (lambda B: 50.0, ("holds when", "holds", "does not hold here")),                                # a larger batch never helps
    (lambda B: 500 / B**0.5, ("does not hold here", "holds", "does not hold here")),                # diminishing returns all the way
])
def test_verdicts_turn(monkeypatch, S, expected):
    made(monkeypatch, S)
    assert tuple(labels(module.run(C)).values()) == expected


def test_what_is_not_reached_is_not_measured(monkeypatch):
    made(monkeypatch, BENT, best=lambda B: 1.0 if B < 64 else 1e-9)
    result = module.run(C)
    assert set(labels(result).values()) == {"not measured here"} and "B = 64, 256, 1024" in result.verdicts[0].because
    assert result.status[-1].sum(axis=0).tolist() == [0, 0, result.status[-1].sum()] and np.isnan(result.best[-1])


def test_the_hyperbola_is_found_again(monkeypatch):
    made(monkeypatch, BENT, best=lambda B: 0.5 * min(B, 16) ** 0.5)
    r = module.run(C)
    assert r.best.tolist() == [0.5, 1, 2, 2, 2, 2] and r.edges == ()
    for found, true in ((r.fit.S_min, 50), (r.fit.E_min, 1000), (r.fit.B_crit, 20)):
        assert found.low * 0.95 < true < found.high * 1.05 and found.value == pytest.approx(true, rel=0.1)
    assert r.fit.boundaries == pytest.approx((10, 40), rel=0.1) and r.fit.misfit < 0.05
    assert (r.regimes[0], r.regimes[2], r.regimes[-1]) == critical.REGIMES
    np.testing.assert_allclose([e.value for e in r.extra], [(1 + B / 20) / 1.05 for B in C.sizes], rtol=0.1)


def test_the_search_climbs_to_a_far_rate_and_says_when_it_stops_short(monkeypatch):
    made(monkeypatch, BENT, best=lambda B: 4.0)
    assert module.run(C).best.tolist() == [4.0] * 6
    assert module.run(replace(C, rounds=1)).edges[0] == 1


def test_a_rate_that_some_seeds_miss_is_not_the_best(monkeypatch):
    steps = np.full((1, 2, 3), 10.0)
    steps[0, 1] = (1.0, 1.0, np.nan)
    assert module._best((0.5, 1.0), steps[0]) == 0.5
    every, lucky = critical.retuned(steps, [np.arange(3), np.array([0, 1, 1])])
    assert every[0] == np.log(10) and lucky[0] == 0.0


# ---------------------------------------------------------------- oracles


def test_hyperbola_is_scipy_s_fit():
    rng, B = np.random.default_rng(5), np.array([1, 3, 9, 27, 81, 243.0])
    log_S = np.log(40 * (1 + 13 / B)) + 0.1 * rng.normal(size=(4, 6))
    S_min, B_crit, misfit = critical.hyperbola(B, log_S)
    for row, s, b, m in zip(log_S, S_min, B_crit, misfit):
        (log_s, log_b), _ = curve_fit(lambda B, log_s, log_b: log_s + np.log1p(np.exp(log_b) / B), B, row, p0=(3, 3))
        assert (s, b) == pytest.approx((np.exp(log_s), np.exp(log_b)), rel=0.005)
        assert m == pytest.approx(np.sqrt(np.mean((row - log_s - np.log1p(np.exp(log_b) / B)) ** 2)), rel=0.01)


def test_costs_and_their_best_batch(monkeypatch):
    made(monkeypatch, BENT, spread=0.001)
    r = module.run(C)
    found = critical.costs(r, t0=1e-3, t1=1e-5, watts=40)
    np.testing.assert_allclose(found.seconds, [BENT(B) * (1e-3 + B * 1e-5) for B in C.sizes], rtol=0.01)
    np.testing.assert_allclose(found.joules, 40 * found.seconds)
    least = minimize_scalar(lambda log_B: r.fit.steps(np.exp(log_B)) * (1e-3 + np.exp(log_B) * 1e-5), bounds=(0, 8), method="bounded").x
    assert found.B_best == pytest.approx(np.exp(least), rel=1e-3)
    drawn = critical.costs(r, 1e-3, 1e-5, workers=2, sizes=(3, 30))                            # sizes that were not swept: by the fit
    np.testing.assert_allclose(drawn.seconds, r.fit.steps((3, 30)) * (1e-3 + np.array((2, 15)) * 1e-5))
    assert drawn.knee == pytest.approx(200) and drawn.B_best == pytest.approx((r.fit.B_crit.value * 200) ** 0.5)
    every = np.arange(1, 3000)
    for t0, t1, workers in ((1e-6, 3e-5, 300), (1e-4, 1e-6, 8), (1e-4, 1e-6, 1000)):         # by trying all of them
        each = critical.costs(r, t0, t1, workers=workers, sizes=every)
        assert each.seconds[round(each.B_best) - 1] < 1.02 * each.seconds.min()
    one_each = [critical.costs(r, t0=1e-9, t1=1e-5, workers=B) for B in C.sizes]                  # as many workers as examples:
    assert np.all(np.diff([o.seconds[k] for k, o in enumerate(one_each)]) < 0)                  # it is ready sooner
    examples = BENT(np.array(C.sizes)) * C.sizes                                                # and costs as many examples
    np.testing.assert_allclose([o.joules[k] for k, o in enumerate(one_each)], 50 * 1e-5 * examples, rtol=0.01)


def test_noise_is_that_of_the_gradients_along_a_run():
    """Against per-example gradients averaged here; the run is the same."""
    c = replace(SMALL, j=4, target=2.0, probes=2)
    found = critical.along(c, 16, 1.0, 30, np.random.default_rng(4))
    digits, rng = critical.data.digits(), np.random.default_rng(4)
    program = critical.MLP.with_index("b").compile(b=16, i=64, j=4, y=10).init(rng)
    whole = program.resized(b=1437)
    whole.forward(x=digits.x_train, target=digits.target_train)
    whole.backward()
    d = np.concatenate([whole.per_example_grads(name).reshape(1437, -1) for name in program.params], axis=1).astype(float)
    assert found[0] == pytest.approx((d.var(axis=0).sum(), (d.mean(axis=0) ** 2).sum()), rel=1e-4) and 2 <= len(found) <= 8


def test_steps_are_the_sweep_s():
    """One batch size through the real sweep: steps, examples and the statuses are its outcomes."""
    c = replace(SMALL, sizes=(90, 359, 1437), j=4, target=1.5, seeds=3, epochs=1, steps=60, looks=10, probes=1, draws=50)
    r = module.run(c)
    setting = sweep.Setting(module.MLP, {"i": 64, "j": 4, "y": 10}, epochs=1, steps=60, target=1.5, looks=10)
    tasks = [sweep.Task(90, float(r.best[0]), s) for s in range(3)]
    np.testing.assert_allclose(r.retuned[0], [o.steps for o in sweep.sweep(setting, tasks).values()], rtol=0.02)
    assert r.noise.B_simple.low <= r.noise.B_simple.value <= r.noise.B_simple.high


def test_running_draws_from_the_left_and_goes_to_one(monkeypatch):
    made(monkeypatch, BENT)
    seen = list(module.running(C))
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and all(r.verdicts == () for _, r in seen[:-1])
    filled = [int((~np.isnan(r.best)).sum()) for _, r in seen]
    assert filled == sorted(filled) and filled[0] < 2 and filled[-1] == len(C.sizes)


def test_steps_examples_and_seconds_are_three_counts_of_one_run():
    steps, sizes = np.array([[8.0, 10.0], [4.0, 6.0]]), (1, 6)
    count = lambda unit, workers=1: critical.counted(steps, sizes, unit, 3.0, 0.5, workers).tolist()
    assert count("steps") == steps.tolist() and count("examples") == [[8, 10], [24, 36]]
    assert count("seconds") == [[28, 35], [24, 36]] and count("seconds", 4) == [[28, 35], [16, 24]]
    assert critical.counted(steps[:, 0], sizes, "examples", 1, 1).tolist() == [8, 24]


def test_every_target_has_its_budget():
    assert list(module.TARGETS) == sorted(module.TARGETS, reverse=True) and module.TARGETS[Config().target] == Config()
    assert all(target == c.target for target, c in module.TARGETS.items())


@pytest.mark.parametrize("wrong, said", [({"sizes": (1, 2)}, "sizes: expected at least 3 rising"),
                                         ({"sizes": (4, 2, 8)}, "sizes: expected"),
                                         ({"seeds": 2}, "seeds: expected at least 3")])
def test_bad_input_is_refused_by_name(wrong, said):
    with pytest.raises(ValueError, match=said):
        Config(**wrong)


@pytest.mark.parametrize("wrong", ["t0", "t1", "watts", "workers"])
def test_bad_costs_are_refused_by_name(wrong):
    r = SimpleNamespace(S=np.ones(1), sizes=(1,), fit=Fit(*[Estimate(1, 1, 1)] * 3, 0))
    with pytest.raises(ValueError, match=f"{wrong}: expected a number above 0"):
        critical.costs(r, **{"t0": 1.0, "t1": 1.0, wrong: 0})
