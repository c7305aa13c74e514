"""B3 and Q8 of lesson 05: where SGD at a constant learning rate settles, and the best batch for a budget."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from scipy.linalg import solve_continuous_lyapunov
from verdicts import labels, stand

from mbcore.experiments import noise_floor
from mbcore.progress import last

BRIEF = replace(noise_floor.SMALL, steps=512, replicas=8)


def test_b3_and_q8_stand():
    assert stand(noise_floor.run, noise_floor.SMALL) == {"B3": "holds when", "Q8": "holds when"}


# ---------------------------------------------------------------- they turn

class Copies(np.random.Generator):
    """Batches of B copies of one example say no more than one."""

    def integers(self, low, high=None, size=None):
        if not isinstance(size, tuple):
            return super().integers(low, high, size)
        return np.repeat(super().integers(low, high, (*size[:-1], 1)), size[-1], axis=-1)


def test_both_turn_when_draws_are_copies(monkeypatch):
    noise_floor.problem(BRIEF.distance, 0), noise_floor.problem(BRIEF.separable, 0)      # made before anything is broken
    monkeypatch.setattr(noise_floor.np.random, "default_rng", lambda seed: Copies(np.random.PCG64(seed)))
    assert labels(noise_floor.run(BRIEF)) == {"B3": "does not hold here", "Q8": "does not hold here"}


def test_b3_turns_at_a_small_learning_rate():
    """Where even the largest rate keeps B = 1 below its start."""
    assert labels(noise_floor.run(replace(BRIEF, lrs=(0.0125, 0.05))))["B3"] == "does not hold here"


def test_b3_turns_when_nothing_else_helps(monkeypatch):
    true = noise_floor.descending
    monkeypatch.setattr(noise_floor, "descending", lambda B, c, lrs=None, decay=None, distance=None: true(B, c, lrs))
    assert labels(noise_floor.run(BRIEF))["B3"] == "holds"


def test_q8_turns_at_a_rate_for_which_the_largest_batch_is_best():
    found = labels(noise_floor.run(replace(BRIEF, lr=0.8)))
    assert found["Q8"] == "does not hold here"


def test_q8_turns_with_a_biased_gradient(monkeypatch):
    true = noise_floor.problem
    monkeypatch.setattr(noise_floor, "problem", lambda *a: (p := true(*a)) and replace(p, d=p.d + 0.1 * p.d.std()))
    assert labels(noise_floor.run(BRIEF))["Q8"] == "does not hold here"


# ---------------------------------------------------------------- oracles

def losses(theta, x, target):
    """Softmax regression in NumPy: L[n] and its gradient [n,p], theta as W[y,i], C[y] in one vector."""
    s = x @ theta[:15].reshape(3, 5).T - theta[15:]
    s -= s.max(axis=1, keepdims=True)
    P = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    g = P - np.eye(3)[target]
    return -np.log(P[np.arange(len(x)), target]), np.concatenate([(g[:, :, None] * x[:, None]).reshape(len(x), -1), -g], axis=1)


def test_a_run_against_plain_numpy():
    c = noise_floor.Config(lrs=(0.05, 0.4), steps=64, replicas=3)
    descent, task = last(noise_floor.descending(4, c, decay=lambda step: 1 / (1 + step))), noise_floor.problem(1.5, 0)
    rng, theta = np.random.default_rng((0, 4)), np.zeros((2, 3, 18))
    for step in range(64):
        at = rng.integers(500, size=(3, 4))
        for k, lr in enumerate(c.lrs):
            for r in range(3):
                theta[k, r] -= lr / (1 + step) * losses(theta[k, r], task.x[at[r]], task.target[at[r]])[1].mean(axis=0)
    ends = [[losses(v, task.x, task.target)[0].mean() - task.minimum for v in row] for row in theta]
    np.testing.assert_allclose(descent.at(64), ends, atol=1e-10)
    of_mean = [losses(row.mean(axis=0), task.x, task.target)[0].mean() - task.minimum for row in theta]
    np.testing.assert_allclose(descent.of_mean[-1], of_mean, atol=1e-10)
    np.testing.assert_allclose(descent.bias(64) + descent.variance(64), descent.at(64).mean(axis=1))


def test_the_minimum():
    task = noise_floor.problem(1.5, 0)
    assert np.isclose(task.start + task.minimum, np.log(3)) and np.abs(task.d.mean(axis=0)).max() < 1e-6 and len(task.d) == 500
    assert np.isclose(task.trace, (task.d**2).sum(axis=1).mean(), rtol=1e-6)
    assert noise_floor.problem(8.0, 0).trace < 1e-6 * task.trace


def test_the_floors_formula_by_lyapunovs_equation():
    """tr(HC)/2 = lr tr(Sigma)/(4B) for C with HC + CH = lr Sigma/B, whatever H and Sigma."""
    A, S = np.random.default_rng(5).normal(size=(2, 4, 6))
    H, Sigma = A @ A.T, S @ S.T
    C = solve_continuous_lyapunov(H, 0.1 * Sigma / 8)
    assert np.isclose(np.trace(H @ C) / 2, 0.1 * np.trace(Sigma) / (4 * 8))


def test_intervals():
    mean, half = noise_floor.interval(np.array([[1.0, 2.0, 3.0]]))
    assert mean == [2.0] and np.isclose(half[0], 9.9248 / 3**0.5, rtol=1e-4)        # t of 99 %, 2 degrees of freedom


def test_what_a_result_holds():
    r = noise_floor.run(BRIEF)
    at = BRIEF.lrs.index(BRIEF.lr)
    assert tuple(labels(r)) == noise_floor.CLAIMS and r.floors.shape == r.predicted.shape == r.settled.shape == (4, 3)
    assert (abs(r.floors / r.predicted - 1) < 0.5)[:, at].all() and r.settled[:2, at].all() and not r.settled[-1, 0]
    (bias, variance), mean = r.examples_parts, r.examples_excess[0][:, at]
    np.testing.assert_allclose(bias + variance, mean)


def test_what_a_budget_buys():
    descent = last(noise_floor.descending(4, BRIEF, (0.2,)))
    end = noise_floor.spent(descent, 128)
    assert np.isclose(end.mean, descent.at(128).mean()) and np.isclose(end.bias + end.variance, end.mean) and end.half > 0
    assert noise_floor.spent(descent, 1024) is None
    assert abs(descent.floor.mean() / noise_floor.predicted_floor(4, 0.2, BRIEF) - 1) < 0.3


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize("change, message", [
    ({"lr": 0.3}, "^lr: expected one of"), ({"steps": 100}, "^steps: expected a power of two"),
    ({"sizes": (1, 3, 9)}, "^sizes: expected three or more rising powers of two"), ({"replicas": 2}, "^replicas: expected at least 3"),
])
def test_refused(change, message):
    with pytest.raises(ValueError, match=message):
        noise_floor.Config(**change)


def test_partial_results_stop_and_frozen_configs():
    coming = noise_floor.running(replace(BRIEF, steps=64))
    fraction, first = next(coming)
    assert fraction == 0 and first.verdicts == () and first.descents[0].steps.tolist() == [0]
    with pytest.raises(ValueError, match="^step: expected one of 0; got 3"):
        first.descents[0].at(3)
    with pytest.raises(FrozenInstanceError):
        noise_floor.Config().seed = 3
