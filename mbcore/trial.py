"""What `advise` measures on a network that it tries: a clock, and a noise scale.

    clocked   seconds of a step against the batch size
    trained   the noise scale on the loss's way down, and what held-out examples say of the training

Each is a generator of (fraction done, {name of a field of Advice: value so far}).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from time import perf_counter

import numpy as np

from .hardware import LEVEL, fieller, fit, throughput

STEPS = 300  # of a short training, at most
LOOKS = 16  # at the noise scale, along it
RUNS = 8  # short trainings, at most
EXAMPLES = 2048  # whose gradients one look at the noise scale takes, at most
PROBE = 1024  # examples whose mean loss is measured, at most
LARGEST = 4096  # batch that is timed; beyond it the line goes on
ENOUGH = 5  # trainings, for an interval over them
HALVED = 5  # times that a rate may be halved, if a training diverges later than its first trial
ORDERS = 999  # of the held-out examples' targets, by lot, beside their own
PAIRS = 4096  # of a held-out example and a target, whose loss is computed, about


@dataclass(frozen=True, eq=False)
class Noise:
    """Along short trainings, means over `runs` of them: steps[look], loss[look], and B_simple[look]
    with its interval [look, 2]. average: mean tr(Sigma) / mean ||g||^2 over their steps, but for
    those where the loss is above its start (large first steps may throw it up), with its interval,
    95 %, Fieller's."""

    steps: np.ndarray
    loss: np.ndarray
    B_simple: np.ndarray
    intervals: np.ndarray
    average: float
    interval: tuple
    runs: int


@dataclass(frozen=True, eq=False)
class Held:
    """n examples that a short training had not seen, at its end.

    own: their mean loss. others: the mean with their targets exchanged among them by lot. as_low:
    in how many of ORDERS such orders it is as low as with their own. A network that has learned
    nothing, or the frequencies of the classes alone, or the training examples by heart, does as
    well with the ones as with the others: a permutation test, which is exact, so for rare classes
    too. Where the loss takes no notice of the targets, `targets` is False, `others` is the loss
    before the training, and by lot this takes the place of the loss after it.
    """

    n: int
    own: float
    others: float
    as_low: int
    targets: bool = True


# ------------------------------------------------------------------ the clock


def clocked(tried, seconds):
    """throughput, line and B_trial. A slow network is timed at fewer batch sizes, as far as they
    go."""
    tried.timed(tried.least)
    start = perf_counter()
    tried.timed(tried.least)
    quick = perf_counter() - start < seconds / 500
    most = min(tried.most, LARGEST)
    ratio = 2 if quick or most < 9 * tried.least else 3
    sizes = [B for B in tried.least * ratio ** np.arange(13) if B <= most]
    for rounds in (9, 2) if quick else (2,):  # a machine that is busy for a moment may cut 9 short
        for fraction, measured in throughput(
            tried.timed, sizes, seconds, tried.device, rounds=rounds
        ):
            yield fraction, {"throughput": measured}
        if len(measured.sizes) >= 3:
            break
    else:
        raise ValueError(
            f"seconds: expected more of them: a step on {measured.sizes[0]} takes"
            f" {measured.seconds[0]:.2g} s, so that of the 3 batch sizes to be timed there was time"
            f" for {len(measured.sizes)}"
        )
    line = fit(measured.sizes, measured.seconds)
    yield 1.0, {"line": line, "B_trial": _trial_size(tried, line)}


def _trial_size(tried, line):
    """The machine's knee, rounded down to a power of two: there a step costs 2 t0, and a training
    gets on at no less than half the speed of the best batch, whatever B_crit is. At least 8 batches
    a pass."""
    size = np.clip(min(line.knee, tried.most), tried.least, max(tried.N // 8, tried.least))
    return int(2 ** np.floor(np.log2(size)))


def step_seconds(line, B):
    return max(line.t0 + B * line.t1, 1e-9)


def probed(tried):
    """The examples whose mean loss is measured."""
    return tried.rng.permutation(tried.pool)[: min(PROBE, tried.most)]


# ------------------------------------------------------------------ the noise scale


def trained(tried, B, lr, line, seconds):
    """noise and held, along short trainings of different batches, and lr_trial, halved if they
    diverge.

    The looks come closer together at the beginning, where most happens. One training is the least;
    more of them steady the average. Each training holds out other examples, to see what it has
    learned of examples it has not met.
    """
    each = seconds / 2 / LOOKS / max(line.t1, 1e-9)
    examples = int(np.clip(each, 48, EXAMPLES))
    total = int(np.clip(seconds / 2 / step_seconds(line, B), LOOKS, STEPS))
    marks = sorted({round(total * (k / (LOOKS - 1)) ** 2) for k in range(LOOKS)})
    runs, gains, halved, begun = [], [], 0, perf_counter()

    def share():
        return (perf_counter() - begun) / seconds

    while len(runs) < RUNS and (not runs or share() * (len(runs) + 1) < len(runs)):
        held = tried.hold_out(len(runs) % tried.turns)
        tried.reset()
        fresh = tried.own_losses(held)
        for looks in _run(tried, B, lr, marks, examples):
            if not isfinite(looks[-1][1]):
                break
            if not runs and share() > 1 and len(looks) >= 3:
                marks = marks[: len(looks)]  # the first may end early, and the others with it
            yield min(0.99, share()), {"noise": along(runs or [looks])}
            if len(looks) == len(marks):
                runs.append(looks)
                if len(gains) < tried.turns:
                    gains.append(_compared(tried, held, fresh))
                break
        if not isfinite(looks[-1][1]):
            if runs:
                break
            lr, halved = lr / 2, halved + 1
            if halved > HALVED:
                why = (
                    f"the training diverges at each learning rate from {lr:.1e} to"
                    f" {lr * 2**halved:.1e}, "
                )
                yield 1.0, {"why_not": why + "where its first steps did not"}
                return
    yield 1.0, {"noise": along(runs), "lr_trial": lr, "held": _told(gains, tried.rng)}


def _run(tried, B, lr, marks, examples):
    """Yield the list of looks so far of one training: (steps, loss, *jackknifed(...))."""
    tried.reset()
    probe, looks = probed(tried), []
    for before, after in zip([0, *marks], marks):
        for _ in range(before, after):
            tried.step(tried.batch(B), lr)
        found = jackknifed(*tried.gradients(examples), len(tried.pool))
        looks.append((after, tried.loss(probe), *found))
        yield looks


def _compared(tried, held, fresh):
    """losses[block, i, j]: of the i-th held-out example of a block with the target of the j-th.

    One block where that is not too many pairs, as for a few classes; else small ones, of 4 at
    least. Where no target makes a difference: [example, 2], the losses now and the `fresh` ones.
    """
    n, target = len(held), tried.examples.target[held]
    _, first, kind = np.unique(target, axis=0, return_index=True, return_inverse=True)
    if n * len(first) <= PAIRS:
        with_kinds = tried.losses_with(held, np.tile(held[first], (n, 1)))
        losses = with_kinds[None, :, kind.reshape(-1)]
    else:
        size = n // -(-n // max(4, PAIRS // n))  # alike, and few examples left over
        blocks = held[: n - n % size].reshape(-1, size)
        losses = tried.losses_with(blocks.reshape(-1), np.repeat(blocks, size, axis=0))
        losses = losses.reshape(-1, size, size)
    if tried.target_counts:
        return losses
    return np.stack([tried.own_losses(held), fresh], axis=1)


def _told(gains, rng):
    """Held, from what `_compared` found after several trainings."""
    own = np.concatenate([_exchanged(losses, None) for losses in gains])
    drawn = [
        np.mean(np.concatenate([_exchanged(losses, rng) for losses in gains]))
        for _ in range(ORDERS)
    ]
    rounding = 1e-6 * np.abs(own).mean()
    as_low = int(np.sum(~(drawn > own.mean() + rounding)))  # where one is not a number, too
    targets = gains[0].ndim == 3
    others = np.mean(drawn) if targets else np.mean([losses[:, 1].mean() for losses in gains])
    return Held(len(own), float(own.mean()), float(others), as_low, targets)


def _exchanged(losses, rng):
    """The losses with the targets of each block exchanged by lot; with their own without `rng`."""
    if losses.ndim == 2:
        column = np.zeros(len(losses), int) if rng is None else rng.integers(0, 2, len(losses))
        return losses[np.arange(len(losses)), column]
    order = np.broadcast_to(np.arange(losses.shape[1]), losses.shape[:2])
    order = order if rng is None else rng.permuted(order, axis=1)
    return np.take_along_axis(losses, order[:, :, None], axis=2).reshape(-1)


def jackknifed(gradients, m, N):
    """(tr(Sigma), ||g||^2), each [1 + groups]: by `moments`, of all groups of m examples and
    without each in turn.

    gradients: a vector for each group. The sums are taken in float64, whatever the vectors are in.
    """
    K = len(gradients)
    gram = np.zeros((K, K))
    for cut in range(0, len(gradients[0]), 2**20):
        part = np.array([g[cut : cut + 2**20] for g in gradients], dtype=float)
        gram += part @ part.T
    without = [np.delete(np.arange(K), k) for k in range(K)]
    found = [moments(gram[np.ix_(at, at)], m, N) for at in (np.arange(K), *without)]
    return tuple(np.array(found).T)


def moments(gram, m, N):
    """Unbiased tr(Sigma) and ||g||^2 over N examples, ddof 0, from gram[k,l] = G_k . G_l of K
    random groups of m, no example twice.

        S^2/m = E sum_k ||G_k - G||^2 / (K - 1), G their mean
        tr(Sigma) = S^2 (N-1)/N
        ||g||^2 = E||G||^2 - S^2 (1/(K m) - 1/N)
    """
    K, sq_norm = len(gram), gram.sum() / len(gram) ** 2
    S2 = m * (np.trace(gram) - K * sq_norm) / (K - 1)
    return S2 * (N - 1) / N, sq_norm - S2 * (1 / (K * m) - 1 / N)


def along(runs):
    """Noise from runs of looks (steps, loss, *jackknifed(...)) at the same steps.

    The interval is of a jackknife over the runs, so that it tells how much another run would
    differ; with fewer than ENOUGH runs over the groups of examples.
    """
    steps, loss, traces, sq_norms = (
        np.array([[look[k] for look in run] for run in runs]) for k in range(4)
    )
    steps = steps[0].astype(float)
    traces, sq_norms = (np.swapaxes(a, 0, 1) for a in (traces, sq_norms))  # [look, run, 1 + groups]
    if len(runs) >= ENOUGH:
        traces, sq_norms = (_without_each(a[..., 0]) for a in (traces, sq_norms))
    else:
        traces, sq_norms = traces.mean(axis=1), sq_norms.mean(axis=1)
    loss = loss.mean(axis=0)
    weights = way_down(steps, loss)
    values, intervals = zip(*map(_ratio, traces, sq_norms))
    average, interval = _ratio(weights @ traces, weights @ sq_norms)
    return Noise(steps, loss, np.array(values), np.array(intervals), average, interval, len(runs))


def way_down(steps, loss):
    """The weight of each look in an average over the steps: none where the loss is above its start,
    or not a number."""
    lengths = np.gradient(np.asarray(steps, float)) if len(steps) > 1 else np.ones(1)
    return lengths * (np.asarray(loss) <= loss[0])


def _without_each(a):
    """[look, 1 + run]: the mean over the runs, then the mean without each of them."""
    R = a.shape[1]
    mean = a.mean(axis=1, keepdims=True)
    rest = (a.sum(axis=1, keepdims=True) - a) / (R - 1)
    return np.concatenate([mean, rest], axis=1)


def _ratio(trace, sq_norm):
    """The ratio of the first entries, inf where ||g||^2 drowns in the noise, and its interval."""
    from scipy.special import stdtrit  # SciPy brings a BLAS of its own, and takes long to import

    K = len(trace) - 1
    V = np.cov(trace[1:], sq_norm[1:], ddof=0) * (K - 1)
    value = float(trace[0] / sq_norm[0]) if sq_norm[0] > 0 else inf
    q = float(stdtrit(K - 1, (1 + LEVEL) / 2))
    return value, fieller(float(trace[0]), float(sq_norm[0]), q**2 * V)
