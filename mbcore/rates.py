"""The learning rate: tried from several starts, and kept clear of the smallest one that failed.

    searched    a rate for the batch of the trials, before the noise scale is measured
    confirmed   the rate for the advised batch: from every start, and twice as large as well

A rate *fails* from a start where the loss is thrown up to RISE times its start on the way, or
hardly falls: by less than STUCK of what it falls from the best start, without coming near the end
of that one. A rate next to one that fails is no rate to recommend: it would fail from the next
start.
"""

from __future__ import annotations

from math import inf, isfinite

import numpy as np

from .trial import HALVED, STEPS, probed, step_seconds
from .tried import STARTS

# that may be tried from the first start; the best is refined by a factor of 2
RATES = 4.0 ** np.arange(-12, 7)
FIRST = 11  # 1/4
RISE = 10.0  # times the loss at the start: a rate that throws it up so far has failed
STUCK = 0.25  # of the best start's fall: less is hardly any
CLEAR = 2.0  # times a rate has to work too, from every start, for it to be recommended
AWAY = 0.95  # of the best rate's fall: the largest rate that reaches so much is near the best


class Trials:
    """Trainings of n steps on batches of B, each from one of the starts with one learning rate.

    loss[start, rate]: the mean loss after them, inf where it was thrown up. before[start]: at the
    start.
    """

    def __init__(self, tried, B, n):
        self.tried, self.B, self.n = tried, B, n
        self.probe = probed(tried)
        self.before, self.limit, self.loss = [], [], {}
        for start in range(STARTS):
            tried.reset(start)
            before = tried.loss(self.probe)
            batches = [tried.loss(tried.batch(B)) for _ in range(4)]
            self.before.append(before)
            highest = max(before, *batches)
            self.limit.append(highest + (RISE - 1) * abs(highest))

    def run(self, start, lr):
        """loss[start, lr], measured at the first question."""
        if (start, lr) not in self.loss:
            self.loss[start, lr] = self._after(start, lr)
        return self.loss[start, lr]

    def _after(self, start, lr):
        self.tried.reset(start)
        for _ in range(self.n):
            if not self.tried.step(self.tried.batch(self.B), lr) <= self.limit[start]:
                return inf
        loss = self.tried.loss(self.probe)
        return loss if isfinite(loss) else inf

    def fails(self, lr):
        """Whether this rate fails from any of the starts."""
        losses = [self.run(start, lr) for start in range(STARTS)]
        falls = [before - loss for before, loss in zip(self.before, losses)]
        if inf in losses or max(falls) <= 0:
            return True
        best = min(losses)
        near = best + STUCK * (max(self.before) - best)
        return any(fall < STUCK * max(falls) and loss > near for fall, loss in zip(falls, losses))

    def fall(self, lr):
        """How far the loss falls at this rate, the mean over the starts; -inf where it fails from
        any."""
        if self.fails(lr):
            return -inf
        return float(np.mean(self.before)) - float(
            np.mean([self.run(start, lr) for start in range(STARTS)])
        )

    def failed(self, above):
        """(the smallest rate above this one that failed from some start, the batch), or None."""
        rates = sorted({lr for _, lr in self.loss if lr > above})
        return next(((float(lr), self.B) for lr in rates if self._has_failed(lr)), None)

    def _has_failed(self, lr):
        """As `fails`, by the starts that were tried."""
        losses = [self.loss[start, lr] for start in range(STARTS) if (start, lr) in self.loss]
        return self.fails(lr) if len(losses) == STARTS else inf in losses

    def clear(self, lr):
        """Whether this rate and CLEAR times as much work from every start."""
        return not self.fails(lr) and not self.fails(CLEAR * lr)

    def worst(self):
        """(rate, loss from the worst start it was tried from), by rate."""
        rates = sorted({lr for _, lr in self.loss})
        return tuple(
            (lr, max(loss for (_, r), loss in self.loss.items() if r == lr)) for lr in rates
        )


# ------------------------------------------------------------------ for the trials


def searched(tried, B, line, seconds):
    """rates, lr_trial and failed: a coarse grid from the first start, then the rates near its best
    from every start.

    rates: (rate, loss after so many steps from the worst start that was tried; inf: it failed).
    lr_trial: the largest near the best that is clear of the smallest that failed. failed: (that
    rate, the batch), or None.
    """
    n = int(np.clip(seconds / 24 / step_seconds(line, B), 4, STEPS // 3))
    tried.more_starts(probed(tried))
    trials = Trials(tried, B, n)
    for fraction in _grid(trials):
        yield 0.6 * fraction, {"rates": trials.worst()}
    best = min((lr for _, lr in trials.loss), key=lambda lr: trials.loss[0, lr])
    if not trials.loss[0, best] < trials.before[0]:
        yield 1.0, {"rates": trials.worst(), "why_not": _never_fell(trials)}
        return
    near = [best / 2, best, best * 2]
    for k, lr in enumerate(near):
        trials.fall(lr)
        yield 0.6 + 0.1 * k, {"rates": trials.worst()}
    enough = AWAY * max(map(trials.fall, near))
    working = [lr for lr in near if trials.fall(lr) >= enough and trials.clear(lr)]
    lr = max(working, default=near[0] / 2)
    for _ in range(HALVED):
        if trials.clear(lr):
            break
        lr /= 2
    else:
        why = (
            f"from {STARTS} starts, no learning rate from {lr * 2:.1e} to {best:.1e} lowers the"
            " loss from every one"
        )
        yield 1.0, {"rates": trials.worst(), "why_not": why}
        return
    yield 1.0, {"rates": trials.worst(), "lr_trial": float(lr), "failed": trials.failed(lr)}


def _grid(trials):
    """Try RATES from FIRST on, up and then down, while the loss gets better; then half and twice
    the best."""
    k = FIRST
    for way in (1, -1):
        at = k
        while 0 <= at < len(RATES):
            loss = trials.run(0, float(RATES[at]))
            yield min(0.9, len(trials.loss) / 9)
            lowest = trials.run(0, float(RATES[k]))
            if loss > lowest and lowest < trials.before[0] or way == 1 and loss == inf:
                break
            k, at = at, at + way
    for lr in (float(RATES[k]) / 2, float(RATES[k]) * 2):
        trials.run(0, lr)
        yield 0.95


def _never_fell(trials):
    rates = [lr for _, lr in trials.loss]
    return (
        f"at none of the learning rates from {min(rates):.0e} to {max(rates):.0e} did {trials.n}"
        f" steps lower the loss from {trials.before[0]:.3g} (it stayed, rose, or was thrown up to"
        f" {RISE:g} times that on the way)"
    )


# ------------------------------------------------------------------ for the advised batch


def confirmed(tried, B, lr, line, seconds):
    """lr, for this batch: the one given, halved until it and CLEAR times as much work from every
    start.

    tried_for: the steps of these trials. failed: as in `searched`, where one failed here; else it
    stays as it was.
    """
    n = int(np.clip(seconds / (2 * STARTS) / step_seconds(line, B), 8, STEPS))
    trials = Trials(tried, B, n)
    for turn in range(HALVED + 1):
        if trials.clear(lr):
            failed = trials.failed(lr)
            found = {"lr": float(lr), "tried_for": n}
            yield 1.0, {**found, "failed": failed} if failed else found
            return
        yield (turn + 1) / (HALVED + 2), {}
        lr /= 2
    why = (
        f"with the batch of {B} no learning rate from {lr * 2:.1e} to {lr * 2 ** (HALVED + 1):.1e}"
        " lowers the loss"
    )
    yield 1.0, {"why_not": f"{why} from each of {STARTS} starts"}
