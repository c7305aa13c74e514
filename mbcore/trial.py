"""What `advise` measures on a `subject`: a clock, a workable learning rate, and the noise scale along a short training.

Each is a generator of (fraction done, {name of a field of Advice: value so far}).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from time import perf_counter

import numpy as np

from .hardware import LEVEL, fieller, fit, throughput

RATES = 4.0 ** np.arange(-12, 7)        # learning rates that may be tried; the best of them is refined by a factor of 2
FIRST = 11                              # 1/4
STEPS, LOOKS, RUNS = 300, 16, 8         # of a short training; a learning rate is tried for a third of its steps
EXAMPLES, PROBE = 2048, 1024            # at most: whose gradients one look at the noise scale takes, and whose loss is measured
LARGEST = 4096                          # batch that is timed; beyond it the line goes on
HALVED = 5                              # times that the rate may be halved, if the training diverges later than the trial of the rate


@dataclass(frozen=True, eq=False)
class Noise:
    """Along short trainings, means over `runs` of them: steps[look], loss[look], and B_simple[look] with its interval [look, 2]. average:
    mean tr(Sigma) / mean ||g||^2 over their steps, but for those where the loss is above its start (large first steps may throw it up),
    with its interval, 95 %, Fieller's."""

    steps: np.ndarray
    loss: np.ndarray
    B_simple: np.ndarray
    intervals: np.ndarray
    average: float
    interval: tuple
    runs: int


# ------------------------------------------------------------------ the clock

def clocked(tried, seconds):
    """throughput, line and B_trial. A slow network is timed at fewer batch sizes, as far as they go."""
    tried.timed(tried.least)
    start = perf_counter()
    tried.timed(tried.least)
    quick = perf_counter() - start < seconds / 500
    sizes = [B for B in tried.least * (2 if quick else 3) ** np.arange(13) if B <= min(tried.most, LARGEST)]
    for fraction, measured in throughput(tried.timed, sizes, seconds, tried.device, rounds=9 if quick else 2):
        yield fraction, {"throughput": measured}
    if len(measured.sizes) < 3:
        raise ValueError(f"seconds: expected more of them: a step on {measured.sizes[0]} takes {measured.seconds[0]:.2g} s, "
                         f"so that only {len(measured.sizes)} batch sizes could be timed, and 3 are needed")
    line = fit(measured.sizes, measured.seconds)
    yield 1.0, {"line": line, "B_trial": _trial_size(tried, line)}


def _trial_size(tried, line):
    """The machine's knee: there a step costs 2 t0, and a training gets on at no less than half the speed of the best batch, whatever
    B_crit is. At least 8 batches a pass."""
    return int(2 ** np.floor(np.log2(np.clip(min(line.knee, tried.most), tried.least, max(tried.N // 8, tried.least)))))


# ------------------------------------------------------------------ the learning rate

def searched(tried, B, line, seconds):
    """rates and lr_trial: on a geometric grid, the rate with the least loss after so many steps from the same start."""
    n = int(np.clip(seconds / 9 / _step_seconds(line, B), 5, STEPS // 3))
    probe = _probe(tried)
    before, found, k = tried.loss(probe), {}, FIRST
    for way in (1, -1):
        at = k
        while 0 <= at < len(RATES):
            found[RATES[at]] = found[RATES[at]] if RATES[at] in found else _after(tried, B, RATES[at], n, probe, before)
            yield min(0.9, len(found) / 9), {"rates": _sorted(found)}
            if found[RATES[at]] > found[RATES[k]] and found[RATES[k]] < before or way == 1 and found[RATES[at]] == inf:
                break
            k, at = at, at + way
    for lr in (RATES[k] / 2, RATES[k] * 2):
        found[lr] = _after(tried, B, lr, n, probe, before)
        yield 0.95, {"rates": _sorted(found)}
    best = min(found, key=found.get)
    if not found[best] < before:
        diverged = sum(L == inf for L in found.values())
        raise ValueError(f"net: at none of the learning rates from {min(found):.0e} to {max(found):.0e} did {n} steps lower the loss "
                         f"from {before:.3g}; {f'at {diverged} of {len(found)} it diverged' if diverged else 'it stayed or rose'}")
    yield 1.0, {"lr_trial": float(best)}


def _after(tried, B, lr, n, probe, before):
    """The loss after n steps from the start; inf where it diverges."""
    tried.reset()
    for _ in range(n):
        if not tried.step(tried.batch(B), float(lr)) < 10 * before + 10:
            return inf
    loss = tried.loss(probe)
    return loss if isfinite(loss) else inf


def _sorted(found):
    return tuple(sorted((float(lr), float(loss)) for lr, loss in found.items()))


def _step_seconds(line, B):
    return max(line.t0 + B * line.t1, 1e-9)


def _probe(tried):
    """The examples whose mean loss is measured."""
    return tried.rng.permutation(tried.N)[:min(PROBE, tried.most)]


# ------------------------------------------------------------------ the noise scale

def trained(tried, B, lr, line, seconds):
    """noise, along short trainings from the same start, each with other batches, and lr_trial, halved if they diverge. The looks come
    closer together at the beginning, where most happens. One training is the least; more of them steady the average."""
    examples = int(np.clip(seconds / 2 / LOOKS / max(line.t1, 1e-9), 48, EXAMPLES))
    total = int(np.clip(seconds / 2 / _step_seconds(line, B), LOOKS, STEPS))
    marks = sorted({round(total * (k / (LOOKS - 1)) ** 2) for k in range(LOOKS)})
    probe, runs, halved, begun = _probe(tried), [], 0, perf_counter()
    share = lambda: (perf_counter() - begun) / seconds
    while len(runs) < RUNS and (not runs or share() * (len(runs) + 1) < len(runs)):
        for looks in _run(tried, B, lr, marks, probe, examples):
            if not isfinite(looks[-1][1]):
                break
            if not runs and share() > 1 and len(looks) >= 3:
                marks = marks[:len(looks)]                                  # the first one may end early, and those that follow with it
            yield min(0.99, share()), {"noise": along(runs or [looks])}
            if len(looks) == len(marks):
                runs.append(looks)
                break
        if not isfinite(looks[-1][1]):
            if runs:
                break
            lr, halved = lr / 2, halved + 1
            if halved > HALVED:
                raise ValueError(f"net: the training diverges at each learning rate from {lr:.1e} to {lr * 2**halved:.1e}, "
                                 "where its first steps did not")
    yield 1.0, {"noise": along(runs), "lr_trial": lr}


def _run(tried, B, lr, marks, probe, examples):
    """Yield the list of looks so far of one training: (steps, loss, *jackknifed(...))."""
    tried.reset()
    looks = []
    for before, after in zip([0, *marks], marks):
        for _ in range(before, after):
            tried.step(tried.batch(B), lr)
        looks.append((after, tried.loss(probe), *jackknifed(*tried.gradients(examples), tried.N)))
        yield looks


def jackknifed(gradients, m, N):
    """(tr(Sigma), ||g||^2), each [1 + groups]: by `moments`, of all groups of m examples and without each of them in turn."""
    K = len(gradients)
    gram = np.array([[float((a * b).sum()) if k >= l else 0.0 for l, b in enumerate(gradients)] for k, a in enumerate(gradients)])
    gram += np.tril(gram, -1).T
    without = [np.delete(np.arange(K), k) for k in range(K)]
    return tuple(map(np.array, zip(*(moments(gram[np.ix_(at, at)], m, N) for at in (np.arange(K), *without)))))


def moments(gram, m, N):
    """Unbiased tr(Sigma) and ||g||^2 over N examples, ddof 0, from gram[k,l] = G_k . G_l of K random groups of m, no example twice.

        S^2/m = E sum_k ||G_k - G||^2 / (K - 1), G their mean;    tr(Sigma) = S^2 (N-1)/N;    ||g||^2 = E||G||^2 - S^2 (1/(K m) - 1/N)
    """
    K, sq_norm = len(gram), gram.sum() / len(gram) ** 2
    S2 = m * (np.trace(gram) - K * sq_norm) / (K - 1)
    return S2 * (N - 1) / N, sq_norm - S2 * (1 / (K * m) - 1 / N)


def along(runs):
    """Noise from runs of looks (steps, loss, *jackknifed(...)) at the same steps. The interval is of a jackknife over the runs, so that it
    tells how much another run would differ; with fewer than 3 runs over the groups of examples."""
    steps, loss, traces, sq_norms = (np.array([[look[k] for look in run] for run in runs]) for k in range(4))
    steps = steps[0].astype(float)
    traces, sq_norms = (np.swapaxes(a, 0, 1) for a in (traces, sq_norms))                   # [look, run, 1 + groups]
    if len(runs) >= 3:
        traces, sq_norms = (_without_each(a[..., 0]) for a in (traces, sq_norms))
    else:
        traces, sq_norms = traces.mean(axis=1), sq_norms.mean(axis=1)
    loss = loss.mean(axis=0)
    weights = way_down(steps, loss)
    values, intervals = zip(*map(_ratio, traces, sq_norms))
    average, interval = _ratio(weights @ traces, weights @ sq_norms)
    return Noise(steps, loss, np.array(values), np.array(intervals), average, interval, len(runs))


def way_down(steps, loss):
    """The weight of each look in an average over the steps: none where the loss is above its start, or not a number."""
    return (np.gradient(np.asarray(steps, float)) if len(steps) > 1 else np.ones(1)) * (np.asarray(loss) <= loss[0])


def _without_each(a):
    """[look, 1 + run]: the mean over the runs, then the mean without each of them."""
    R = a.shape[1]
    return np.concatenate([a.mean(axis=1, keepdims=True), (a.sum(axis=1, keepdims=True) - a) / (R - 1)], axis=1)


def _ratio(trace, sq_norm):
    """The ratio of the first entries, inf where ||g||^2 drowns in the noise, and its interval."""
    from scipy.special import stdtrit    # SciPy brings a BLAS of its own, and takes long to import
    K = len(trace) - 1
    V = np.cov(trace[1:], sq_norm[1:], ddof=0) * (K - 1)
    value = float(trace[0] / sq_norm[0]) if sq_norm[0] > 0 else inf
    return value, fieller(float(trace[0]), float(sq_norm[0]), float(stdtrit(K - 1, (1 + LEVEL) / 2)) ** 2 * V)
