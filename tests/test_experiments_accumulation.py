"""Compute batch against optimisation batch. Oracles: PyTorch, closed forms, SciPy's t-interval."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from models import lazy_torch as torch
from scipy import stats
from verdicts import labels, stand

from mbcore import data
from mbcore.experiments import accumulation, parts
from mbcore.experiments.accumulation import SMALL, accumulate, held, peak, run
from mbcore.experiments.interval import interval
from mbcore.experiments.models import MLP
from mbcore.experiments.parts import BATCH, COUNTS, NORMALISED, Ragged, coupled, ragged, some
from mbcore.gradients import full_gradient
from mbcore.train import accumulated

TINY = replace(SMALL, draws=4)


def test_stand():
    assert stand(run, SMALL) == {"T1": "holds when"}


# ---------------------------------------------------------------- verdicts turn


def mean_of_means(program, compute, **inputs):
    cuts = [slice(k, k + compute) for k in range(0, len(inputs["target"]), compute)]
    parts = [accumulated(program, compute, **{name: a[cut] for name, a in inputs.items()}) for cut in cuts]
    return {name: np.mean([g[name] for g in parts], axis=0) for name in program.params}


def test_T1_turns_when_means_are_averaged(monkeypatch):
    monkeypatch.setattr(accumulation, "accumulated", mean_of_means)
    monkeypatch.setattr(parts, "accumulated", mean_of_means)
    assert labels(run(TINY))["T1"] == "does not hold here"


def test_T1_asks_for_nothing_where_nothing_differs(monkeypatch):
    """Whole parts, and no batch normalisation: the mean of means is right, and so is every part."""
    monkeypatch.setattr(parts, "NORMALISED", MLP)
    assert labels(run(replace(TINY, ragged=50)))["T1"] == "holds"


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


@pytest.mark.parametrize("counts", COUNTS)
def test_ragged_against_pytorch(counts):
    """Right is a weighted mean over the batch; wrong the mean over parts of weighted means."""
    found, inputs = ragged(53, 5, counts, j=6, seed=3, batch=4), some(53, (3, 4))
    x, target = inputs["x"], inputs["target"]
    tokens = COUNTS[counts](target, np.random.default_rng((3, 4, 1)))
    params = MLP.with_index("b").compile(b=53, i=64, j=6, y=10, dtype="float64").init(np.random.default_rng(3)).params
    cuts = [slice(k, k + 5) for k in range(0, 53, 5)]
    np.testing.assert_allclose(found.right, by_torch(params, x, target, tokens, plain), atol=1e-13)
    means = [by_torch(params, x[c], target[c], tokens[c], plain) for c in cuts]
    np.testing.assert_allclose(found.wrong, np.mean(means, axis=0), atol=1e-13)
    assert found.parts == (5,) * 10 + (3,) and found.tokens == tuple(tokens[c].sum() for c in cuts) and found.one_pass < 1e-14
    assert found.error == pytest.approx(np.linalg.norm(found.wrong - found.right) / np.linalg.norm(found.right))


def test_batch_normalisation_against_pytorch():
    inputs = some(20, (3, 4))
    params = NORMALISED.with_index("b").compile(b=20, i=64, j=6, y=10, dtype="float64").init(np.random.default_rng(3)).params
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
    found = Ragged((5,) * 10 + (3,), (5,) * 10 + (3,), *np.ones((3, 1)))
    assert 1 / found.effective == pytest.approx(sum((1 / 11 / n) ** 2 * n for n in found.tokens))
    assert Ragged((5, 5), (5, 5), *np.ones((3, 1))).effective == 10


# ---------------------------------------------------------------- memory


def test_accumulate():
    found = [accumulate(50, n) for n in (50, 25, 10, 1)]
    assert [p.passes for p in found] == [1, 2, 5, 50]
    each = (found[0].nbytes - found[1].nbytes) / 25                  # what one more example takes
    assert all(abs(p.nbytes - found[0].nbytes + each * (50 - p.compute)) <= 8 for p in found) and each > 0
    assert all(p.peak > p.nbytes for p in found) and found[0].peak - found[1].peak > 0.2 * (found[0].nbytes - found[1].nbytes)
    assert [p.nbytes for p in found] == [held(50), held(25), held(10), held(1)]
    assert max(p.float64 for p in found) < 1e-14 and 0 < found[-1].float32 < 1e-5


def test_memory_follows_the_compute_batch():
    """Ten times the parts for a tenth of the memory, less what the parameters, their sum and Python take; more parts need no more."""
    whole, parts = peak(500, 500), peak(500, 50)
    assert whole > 500 * 1000 and parts < whole / 3
    assert abs(peak(500, 50, parts=3) - parts) < 0.1 * parts


def test_what_a_part_weighs():
    found = ragged(53, 5, j=6)
    assert sum(found.shares) == pytest.approx(1)
    assert found.weights == pytest.approx([53 / 55] * 10 + [53 / 33]) and found.weights[-1] / found.weights[0] == pytest.approx(5 / 3)
    assert sum(w * s for w, s in zip(found.weights, found.shares)) == pytest.approx(1)


# ---------------------------------------------------------------- the rest


def test_interval_is_scipys():
    values = np.random.default_rng(0).normal(size=7)
    found, expected = interval(values), stats.ttest_1samp(values, 0).confidence_interval(0.99)
    assert (found.low, found.high) == pytest.approx(tuple(expected)) and found.mean == pytest.approx(values.mean())
    assert [interval([1, 1.1]).sign, interval([3, 3.01]).sign, interval([-3, -3.01]).sign] == [0, 1, -1]


@pytest.mark.parametrize("call, said", [
    (lambda: ragged(counts="many"), "counts: expected one of equal, drawn, by class, got 'many'"),
    (lambda: ragged(compute=0), "compute: expected a whole number of at least 1"),
    (lambda: ragged(B=2000), "B: expected at most n = 1437"),
    (lambda: accumulate(50, 0), "compute: expected a whole number of at least 1"),
])
def test_bad_input_is_refused_by_name(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_configs_are_frozen():
    with pytest.raises(FrozenInstanceError):
        SMALL.seed = 3
