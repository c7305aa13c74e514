"""Compute batch against optimisation batch. Oracles: PyTorch, closed forms, loops over single networks, SciPy's t-interval."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy import stats
from verdicts import labels, stand

from mbcore import data
from mbcore.data import batches
from mbcore.experiments import accumulation
from mbcore.experiments.accumulation import (BATCH, NORMALISED, SMALL, Race, Ragged, _compared, _farther, accumulate, coupled,
                                             interval, racing, ragged, run, running)
from mbcore.experiments.models import MLP
from mbcore.gradients import full_gradient
from mbcore.program import Program
from mbcore.train import accumulated

torch = pytest.importorskip("torch")
TINY = replace(SMALL, draws=4, rates=(1 / 4, 1.0), before=(0,))


def test_stand():
    assert stand(run, SMALL) == {"T1": "holds when", "Q3": "holds when"}


# ---------------------------------------------------------------- verdicts turn


def mean_of_means(program, compute, **inputs):
    cuts = [slice(k, k + compute) for k in range(0, len(inputs["target"]), compute)]
    parts = [accumulated(program, compute, **{name: a[cut] for name, a in inputs.items()}) for cut in cuts]
    return {name: np.mean([g[name] for g in parts], axis=0) for name in program.params}


def test_T1_turns_when_means_are_averaged(monkeypatch):
    monkeypatch.setattr(accumulation, "accumulated", mean_of_means)
    assert labels(run(TINY))["T1"] == "does not hold here"


def test_T1_asks_for_nothing_where_nothing_differs(monkeypatch):
    """Whole parts, and no batch normalisation: the mean of means is right, and so is every part."""
    monkeypatch.setattr(accumulation, "NORMALISED", BATCH)
    assert labels(run(replace(TINY, ragged=50)))["T1"] == "holds"


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
    assert _farther(SMALL, (race,)).label == label


# ---------------------------------------------------------------- gradients against PyTorch


def by_torch(params, x, target, weights, forward):
    p = {name: torch.tensor(a, requires_grad=True) for name, a in params.items()}
    losses = torch.nn.functional.cross_entropy(forward(p, torch.tensor(x, dtype=torch.float64)), torch.tensor(target), reduction="none")
    w = torch.tensor(weights, dtype=torch.float64)
    (losses * w).sum().div(w.sum()).backward()
    return np.concatenate([p[name].grad.numpy().ravel() for name in params])


def plain(p, x):
    return torch.sigmoid(x @ p["W0"].T - p["C0"]) @ p["W1"].T - p["C1"]


def normalised(p, x):
    z = x @ p["W0"].T
    z = (z - z.mean(0)) / (z.var(0, correction=0) + 0.001).sqrt()
    return torch.sigmoid(p["G"] * z - p["C0"]) @ p["W1"].T - p["C1"]


@pytest.mark.parametrize("counts", accumulation.COUNTS)
def test_ragged_against_pytorch(counts):
    """Right is a weighted mean over the batch; wrong the mean over parts of weighted means."""
    found, inputs = ragged(53, 5, counts, j=6, seed=3, batch=4), accumulation._some(53, (3, 4))
    x, target = inputs["x"], inputs["target"]
    tokens = accumulation.COUNTS[counts](target, np.random.default_rng((3, 4, 1)))
    params = MLP.with_index("b").compile(b=53, i=64, j=6, y=10, dtype="float64").init(np.random.default_rng(3)).params
    cuts = [slice(k, k + 5) for k in range(0, 53, 5)]
    np.testing.assert_allclose(found.right, by_torch(params, x, target, tokens, plain), atol=1e-13)
    means = [by_torch(params, x[c], target[c], tokens[c], plain) for c in cuts]
    np.testing.assert_allclose(found.wrong, np.mean(means, axis=0), atol=1e-13)
    assert found.parts == (5,) * 10 + (3,) and found.tokens == tuple(tokens[c].sum() for c in cuts) and found.one_pass < 1e-14
    assert found.error == pytest.approx(np.linalg.norm(found.wrong - found.right) / np.linalg.norm(found.right))


def test_batch_normalisation_against_pytorch():
    inputs = accumulation._some(20, (3, 4))
    params = NORMALISED.compile(b=20, i=64, j=6, y=10, dtype="float64").init(np.random.default_rng(3)).params
    one, *parts = (by_torch(params, inputs["x"][c], inputs["target"][c], np.ones(c.stop - c.start), normalised)
                   for c in (slice(0, 20), *(slice(k, k + 5) for k in range(0, 20, 5))))
    apart = np.linalg.norm(np.mean(parts, axis=0) - one) / np.linalg.norm(one)
    assert coupled(20, 5, j=6, seed=3, batch=4) == pytest.approx(apart, rel=1e-9)
    assert coupled(20, 20, j=6, seed=3, batch=4) == 0


def test_the_error_of_the_mean_of_means_has_a_closed_form():
    """Weights c_b = 1/(K n_k) - 1/B of sum 0, drawn without replacement: E||wrong - right||^2 = tr(S) sum c_b^2, S with ddof 1."""
    drawn = [ragged(23, 5, j=6, batch=k) for k in range(150)]
    squares = np.array([((d.wrong - d.right) ** 2).sum() for d in drawn])
    digits = data.digits()
    net = BATCH.compile(b=32, i=64, j=6, y=10, dtype="float64").init(np.random.default_rng(0))
    full = full_gradient(net, x=digits.x_train, target=digits.target_train)
    c = np.array([1 / 25 - 1 / 23] * 20 + [1 / 15 - 1 / 23] * 3)
    expected = full.trace * full.N / (full.N - 1) * (c @ c)
    assert abs(squares.mean() - expected) < 4 * squares.std(ddof=1) / len(squares) ** 0.5


def test_effective_tokens():
    """The variance of (1/K) sum_k (mean of n_k) is 1/effective of one token's; equal parts lose nothing."""
    found = Ragged((5,) * 10 + (3,), (5,) * 10 + (3,), np.ones(1), np.ones(1), 0.0)
    assert 1 / found.effective == pytest.approx(sum((1 / 11 / n) ** 2 * n for n in found.tokens))
    assert Ragged((5, 5), (5, 5), np.ones(1), np.ones(1), 0.0).effective == 10


# ---------------------------------------------------------------- memory


def test_accumulate():
    found = [accumulate(50, n) for n in (50, 25, 10, 1)]
    assert [p.passes for p in found] == [1, 2, 5, 50]
    each = (found[0].nbytes - found[1].nbytes) / 25                  # what one more example takes
    assert all(abs(p.nbytes - found[0].nbytes + each * (50 - p.compute)) <= 8 for p in found) and each > 0
    assert all(p.peak > p.nbytes for p in found) and found[0].peak - found[1].peak > 0.2 * (found[0].nbytes - found[1].nbytes)
    assert max(p.float64 for p in found) < 1e-14 and 0 < found[-1].float32 < 1e-5


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


def test_interval_is_scipys():
    values = np.random.default_rng(0).normal(size=7)
    found, expected = interval(values), stats.ttest_1samp(values, 0).confidence_interval(0.99)
    assert (found.low, found.high) == pytest.approx(tuple(expected)) and found.mean == pytest.approx(values.mean())
    assert [interval([1, 1.1]).sign, interval([3, 3.01]).sign, interval([-3, -3.01]).sign] == [0, 1, -1]


def test_running_goes_to_one_and_is_drawable_on_the_way():
    seen = list(running(replace(TINY, looks=3)))
    assert seen[-1][0] == 1 and all(a[0] <= b[0] for a, b in zip(seen, seen[1:]))
    assert all(not r.verdicts for _, r in seen[:-1]) and {v.claim for v in seen[-1][1].verdicts} == set(accumulation.CLAIMS)
    assert [len(r.races[0].examples) for _, r in seen[1:-1]] == [2, 3, 4]


@pytest.mark.parametrize("call, said", [
    (lambda: ragged(counts="many"), "counts: expected one of equal, drawn, by class, got 'many'"),
    (lambda: ragged(compute=0), "compute: expected 1 to 53"),
    (lambda: ragged(B=2000), "B: expected at most n = 1437"),
    (lambda: accumulate(50, 0), "compute: expected a whole number of at least 1"),
    (lambda: next(racing(replace(TINY, seeds=3))), "seeds: expected a whole number of at least 4"),
    (lambda: next(racing(replace(TINY, parts=1))), "parts: expected a whole number of at least 2"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        SMALL.seed = 3
