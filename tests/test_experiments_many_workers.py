"""N7: the verdict stands and turns; the ring against sums and its cost model, gradients against PyTorch, real workers."""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np
import pytest
from models import lazy_torch as torch
from verdicts import labels, stand

from mbcore import data
from mbcore.experiments import many_workers
from mbcore.experiments import ranks as ranks_of
from mbcore.experiments import ring as ring_of
from mbcore.experiments.many_workers import SMALL, Config
from mbcore.experiments.ring import bytes_sent, ring

posix = pytest.mark.skipif(os.name == "nt", reason="starts a POSIX command in the launcher's place")
RAGGED = replace(SMALL, shards=((32, 32, 4),), updates=2, draws=3)


def test_the_verdict_stands():
    assert stand(many_workers.run, SMALL) == {"N7": "holds when"}


def test_it_turns_when_ragged_shards_count_alike(monkeypatch):
    weights = many_workers.weights
    monkeypatch.setattr(many_workers, "weights", lambda shards, plain=False: weights(shards, plain=True))
    found = many_workers.run(SMALL)
    assert labels(found) == {"N7": "does not hold here"} and "though the workers agree" in found.verdicts[0].because


def test_it_turns_when_the_ring_stops_early(monkeypatch):
    """One step before its end, some chunk of every worker is not complete."""
    monkeypatch.setattr(many_workers, "ring", lambda K, values: ring(K, values)[:-1])
    found = many_workers.run(RAGGED)
    assert labels(found) == {"N7": "does not hold here"} and "drift apart" in found.verdicts[0].because


def test_it_turns_when_nothing_is_trained():
    assert labels(many_workers.run(replace(RAGGED, lr=0.0))) == {"N7": "does not hold here"}


def test_it_needs_no_condition_when_shards_are_equal(monkeypatch):
    assert labels(many_workers.run(replace(RAGGED, shards=((8, 8),)))) == {"N7": "holds"}
    monkeypatch.setattr(many_workers, "_plain_error", lambda f, shards, at: 0.0)
    assert labels(many_workers.run(RAGGED)) == {"N7": "holds"}


@pytest.mark.parametrize("K, n", [(1, 5), (2, 4), (3, 7), (4, 12), (5, 3), (8, 8)])
def test_the_ring_sums(K, n):
    """After every step, a chunk is the sum over as many workers as it says, ending with the one that holds it, or a copy of it."""
    values = np.random.default_rng(0).normal(size=(K, n))
    states = ring(K, values)
    assert len(states) == 2 * (K - 1) + 1 and states[0].phase == "start"
    chunks = np.array_split(np.arange(n), K)
    for state in states[:K]:                                    # the start and reduce-scatter
        for k in range(K):
            for c, places in enumerate(chunks):
                of = [(k - back) % K for back in range(state.summed[k, c])]
                assert state.held[k, places] == pytest.approx(values[of][:, places].sum(axis=0))
    last = states[-1]
    assert last.held == pytest.approx(np.tile(values.sum(axis=0), (K, 1)), rel=1e-12) and (last.summed == K).all()
    assert (last.held == last.held[0]).all()                    # bit by bit
    assert all((k + 1) % K == to for state in states for k, to, *_ in state.sent)


@pytest.mark.parametrize("dtype, size", [("float32", 4), ("float64", 8)])
def test_bytes_and_seconds_of_the_ring(dtype, size):
    K, n, alpha, beta = 4, 12, 1e-5, 1e-9
    states = ring(K, np.ones((K, n), dtype))
    assert states[-1].held.dtype == dtype and bytes_sent(states).tolist() == [2 * (K - 1) * n // K * size] * K
    seconds = sum(max(alpha + b * beta for *_, b in state.sent) for state in states[1:])
    assert ring_of.ring_seconds(K, n * size, alpha, beta) == pytest.approx(seconds)
    assert ring_of.centre_seconds(K, n * size, alpha, beta) == pytest.approx(6 * (alpha + n * size * beta))
    assert ring_of.step_seconds(K, 10, 1.0, n * size, alpha, beta) == pytest.approx(3 + seconds)
    assert ring_of.step_seconds(1, 10, 1.0, n * size, alpha, beta) == 10


def test_a_row_by_hand():
    """One update of ragged shards against PyTorch on the whole batch, and what the plain mean does to it."""
    c = replace(RAGGED, updates=1)
    f, rng = many_workers._start(c)
    at, digits = rng.choice(f.N, 68, replace=False), data.digits()
    W0, C0, W1, C1 = p = [torch.tensor(a, requires_grad=True) for a in f.named(f.start).values()]
    x, target = torch.tensor(digits.x_train[at]).double(), torch.tensor(digits.target_train[at])
    L = torch.nn.functional.cross_entropy(torch.sigmoid(x @ W0.T - C0) @ W1.T - C1, target, reduction="none")
    flat = lambda loss: np.concatenate([g.numpy().ravel() for g in torch.autograd.grad(loss, p, retain_graph=True)])
    right, wrong = flat(L.mean()), flat((L[:32].mean() + L[32:64].mean() + L[64:].mean()) / 3)
    averaged, apart = many_workers.gradient_by(ThreadPoolExecutor(1), (32, 32, 4), c)
    assert averaged == pytest.approx(right, abs=1e-12) and apart < 1e-12
    assert many_workers._plain_error(f, (32, 32, 4), at) == pytest.approx(np.linalg.norm(wrong - right) / np.linalg.norm(right))
    row = many_workers.run(c).rows[0]
    each = np.array([1 / 96] * 64 + [1 / 12] * 4)               # the weight of each example in the plain mean
    assert row.ragged and row.counts_as == pytest.approx(1 / (each ** 2).sum()) and row.plain[0] > 0.1
    assert row.bytes_model == pytest.approx(row.bytes_each, abs=8 * row.ring_steps) and row.ring_steps == 4


def test_real_processes_are_one_worker():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        averaged, apart = many_workers.gradient_by(executor, (20, 5), RAGGED)
    assert apart < 1e-12 < np.abs(averaged).max()


def test_real_ranks_are_one_worker():
    found = ranks_of.ranks(2)
    if found.missing:
        pytest.skip(found.missing)
    assert found.apart < 1e-12 and found.same_bits and found.alpha >= 0 and found.beta >= 0 and min(found.seconds) > 0


@posix
def test_what_is_missing_is_said(monkeypatch):
    with monkeypatch.context() as m:
        m.setattr(ranks_of.importlib.util, "find_spec", lambda name: None)
        assert "mpi4py is not installed" in ranks_of.ranks(2).missing
    monkeypatch.setattr(ranks_of.importlib.util, "find_spec", lambda name: True)
    for launcher, said in ((None, "a launcher, mpiexec, is not installed"), ("false", "stopped with code 1: it said nothing")):
        monkeypatch.setattr(ranks_of.shutil, "which", lambda name, path: launcher)
        assert said in ranks_of.ranks(2).missing


@posix
def test_ranks_that_hang_are_ended(monkeypatch, tmp_path):
    launcher = tmp_path / "mpiexec"
    launcher.write_text("#!/bin/sh\nexec sleep 60\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(ranks_of.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(ranks_of.shutil, "which", lambda name, path: str(launcher))
    assert ranks_of.ranks(2, timeout=0.2).missing == "2 ranks did not end within 0.2 s"


def test_the_cost_model_is_fitted():
    nbytes = [8, 8000, 8_000_000]
    found = ranks_of._fitted(4, nbytes, [ring_of.ring_seconds(4, n, 2e-6, 3e-10) for n in nbytes], 0.0, True)
    assert found.alpha == pytest.approx(2e-6) and found.beta == pytest.approx(3e-10)


@pytest.mark.parametrize("share, said", [(0.1873, "10"), (0.579, "50"), (0.0075, "0.7"), (1.23, "100")])
def test_percentages_are_rounded_down(share, said):
    assert many_workers._percent(share) == said


@pytest.mark.parametrize("make, error, name", [
    (lambda: ring(3, np.ones((2, 4))), ValueError, "values"), (lambda: ring(2, np.ones((2, 4), int)), ValueError, "values"),
    (lambda: ring(0, np.ones((1, 4))), ValueError, "K"), (lambda: Config(shards=((1000, 500),)), ValueError, "shards"),
    (lambda: Config(shards=((4, 0),)), ValueError, "shards"), (lambda: Config(draws=2), ValueError, "draws"),
    (lambda: ranks_of.ranks(1), ValueError, "K"), (lambda: ranks_of.ranks("4"), TypeError, "K")])
def test_bad_input_is_refused_by_name(make, error, name):
    with pytest.raises(error, match=f"^{name}:"):
        make()
