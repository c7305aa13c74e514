"""B6: can the model remember only the last batch that it saw? In theory, if it is too small or updated too much; in practice hardly.

After every update the loss is taken on every batch of the pass and on examples never trained on. The model remembers only
the last batch if it knows that one better than by giving each class the same probability, L < ln 10, and the batches
before it no better than that. A batch's own influence is its advantage over fresh data, as a function of the updates since:

    a(lag) = mean over k of (F[k+lag] - F[k-1]) - (L[k+lag, k] - L[k-1, k]),   L[t, k] on batch k, F[t] on fresh data, after update t

Both differences start just before the update with batch k, so what makes one batch harder than another cancels.
On sorted data what it keeps is the last class: a(lag) lasts for the few batches of that class, then turns negative.
Source: the "Batch size" notes of an online handbook. They publish no number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, log, nan

import numpy as np
from scipy import stats

from .. import data
from ..backend import one_blas_thread
from ..progress import last
from .models import MLP
from .verdict import Verdict

CLAIMS = ("B6",)
ORDERS = ("shuffled", "sorted", "replacement")      # sorted: by class, one class after the other
CLASSES = 10
CHANCE = log(CLASSES)                               # the loss of the same probability for every class
LEVEL = 0.99


@dataclass(frozen=True)
class Setting:
    """What a student may turn. steps: updates in a row on each batch before the next one comes."""

    lr: float = 2.0
    j: int = 32
    steps: int = 1
    order: str = "shuffled"

    def __post_init__(self):
        if self.order not in ORDERS:
            raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {self.order!r}")
        if not isinstance(self.lr, float) or not 0 < self.lr < inf:
            raise ValueError(f"lr: expected a learning rate above 0, got {self.lr!r}")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps: expected a whole number of at least 1, got {self.steps!r}")

    def __str__(self):
        units, steps = "1 hidden unit" if self.j == 1 else f"{self.j} hidden units", f", {self.steps} steps a batch" * (self.steps > 1)
        return f"{'with ' * (self.order == 'replacement')}{self.order}, rate {self.lr:g}, {units}{steps}"


@dataclass(frozen=True)
class Config:
    usual: Setting = Setting()
    others: tuple = (Setting(lr=0.5), Setting(order="replacement"), Setting(j=1), Setting(steps=20), Setting(j=2, steps=20),
                     Setting(lr=8.0), Setting(lr=32.0), Setting(lr=0.05, order="sorted"), Setting(order="sorted"))
    B: int = 32
    batches: int = 32                   # of one pass, so B * batches of the 1,437 digits; the rest is fresh
    seeds: int = 8                      # each with a start, an order and a choice of digits of its own
    seed: int = 0

    def __post_init__(self):
        for name, least in (("B", 1), ("batches", 8), ("seeds", 3)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise ValueError(f"{name}: expected a whole number of at least {least}, got {getattr(self, name)!r}")
        if self.B * self.batches > 1337:
            raise ValueError(f"batches: expected at most 1337 digits in all, so that 100 stay fresh, got {self.B} x {self.batches}")


SMALL = Config(others=(Setting(j=1), Setting(lr=8.0), Setting(order="sorted")))        # fewer settings


@dataclass(frozen=True)
class Memory:
    """One setting. Row t is after t batches, row 0 before the first; half: of a 99 % t-interval over seeds.

    loss[t, r, k]: mean loss on batch k of seed r. fresh[t, r]: on examples never trained on.
    last, earlier: (mean, half) of the loss on the batch just seen and of the mean loss on those before it, over the second
    half of the pass. advantage: (lags, mean, half) of a(lag), batches of the first quarter of the pass left out.
    """

    setting: Setting
    loss: np.ndarray
    fresh: np.ndarray
    last: tuple = (nan, nan)            # until the pass is over
    earlier: tuple = (nan, nan)
    advantage: tuple = ()

    @property
    def keeps_earlier(self):
        """Earlier batches are known better than chance, beyond doubt."""
        return self.earlier[0] + self.earlier[1] < CHANCE

    @property
    def remembers_only_last(self):
        """The last batch is known better than chance, earlier ones are not, both beyond doubt."""
        return self.last[0] + self.last[1] < CHANCE < self.earlier[0] - self.earlier[1]

    @property
    def lasts(self):
        """For how many updates, its own included, a batch's advantage over fresh data is beyond doubt; None: to the last lag."""
        lags, mean, half = self.advantage
        gone = np.flatnonzero(mean - half <= 0)
        return int(gone[0]) if len(gone) else None


@dataclass(frozen=True)
class Result:
    """usual and others: a Memory each. chance: ln 10. never: ((name, share never seen, expected share), ...) for one pass."""

    usual: Memory
    others: tuple
    chance: float
    never: tuple = ()
    verdicts: tuple = ()


def run(config=Config()):
    return last(running(config))


def running(config=Config()):
    """Yield (fraction done, Result so far): the usual setting first; a setting appears row by row."""
    c, done, settings = config, [], (config.usual, *config.others)
    for number, setting in enumerate(settings):
        for fraction, memory in watching(setting, c):
            found = [*done, memory]
            if fraction < 1:
                yield (number + fraction) / len(settings), Result(found[0], tuple(found[1:]), CHANCE)
        done = found
    ways = [(False, False), (False, True), (True, False)]
    never = tuple(never_seen(c, replacement, drop_last) for replacement, drop_last in ways)
    yield 1.0, Result(done[0], tuple(done[1:]), CHANCE, never, (_verdict(done[0], done[1:]),))


def watching(setting, config=Config()):
    """Yield (fraction done, Memory so far) after every batch: the live panel of one setting, about 0.2 s in all."""
    c, digits, rng = config, data.digits(), np.random.default_rng(config.seed)
    starts, orders = rng.spawn(2)
    net = MLP.with_index("b").with_index("r", parameters=True).compile(b=c.B, r=c.seeds, i=64, j=setting.j, y=CLASSES).init(starts)
    seen, fresh = map(np.stack, zip(*(_visits(setting.order, digits.target_train, c, stream) for stream in orders.spawn(c.seeds))))
    x, target = digits.x_train[seen], digits.target_train[seen]
    trained, apart = net.resized(b=seen.shape[1]), net.resized(b=fresh.shape[1])
    apart_x, apart_target, rows = digits.x_train[fresh], digits.target_train[fresh], []
    for k in range(c.batches + 1):
        with one_blas_thread(), np.errstate(all="ignore"):
            at = slice((k - 1) * c.B, k * c.B)
            for _ in range(setting.steps if k else 0):
                net.step(setting.lr, x=x[:, at], target=target[:, at])
            on_batches = trained.forward(x=x, target=target).reshape(c.seeds, c.batches, c.B).mean(axis=2)
            rows.append((on_batches, apart.forward(x=apart_x, target=apart_target).mean(axis=1)))
        memory = Memory(setting, *map(np.array, zip(*rows)))
        yield k / c.batches, memory if k < c.batches else _measured(memory)


def _visits(order, targets, c, rng):
    """Indices of the examples in the order of training, and of those never trained on."""
    seen, fresh = np.split(rng.permutation(len(targets)), [c.B * c.batches])
    if order == "sorted":
        seen = seen[targets[seen].argsort(kind="stable")]
    if order == "replacement":
        seen = rng.choice(seen, len(seen))
    return seen, fresh


def _measured(m):
    K = m.loss.shape[2]
    late = range(K // 2, K)
    own = np.array([m.loss[k + 1, :, k] for k in late]).mean(axis=0)
    before = np.array([m.loss[k + 1, :, :k].mean(axis=1) for k in late]).mean(axis=0)
    lags = np.arange(K // 2)
    moved = lambda values, k, lag: values[k + 1 + lag] - values[k]
    with np.errstate(invalid="ignore"):                 # losses that are infinite: _interval tells
        gained = [np.mean([moved(m.fresh, k, g) - moved(m.loss[:, :, k], k, g) for k in range(K // 4, K - g)], axis=0) for g in lags]
    return replace(m, last=_interval(own), earlier=_interval(before), advantage=(lags, *map(np.array, zip(*map(_interval, gained)))))


def _interval(v):
    """(mean, half) of Student's interval over seeds; half is infinite where a seed diverged."""
    if not np.isfinite(v).all():
        return inf, inf
    return float(v.mean()), float(stats.t.ppf((1 + LEVEL) / 2, len(v) - 1) * v.std(ddof=1) / len(v)**0.5)


def never_seen(config=Config(), replacement=False, drop_last=False, epochs=1):
    """(name, share of the digits that no batch of `epochs` passes held, expected share), the measured one averaged over seeds.

    Expected: with replacement (1 - 1/n)^draws, about 1/e after one pass; without, 0, or ((n mod B)/n)^epochs with drop_last.
    """
    c, n = config, len(data.digits().target_train)
    passes = lambda rng: data.batches(n, c.B, rng, replacement=replacement, drop_last=drop_last, epochs=epochs)
    seen = [len(np.unique(np.concatenate([*passes(rng)]))) for rng in np.random.default_rng(c.seed).spawn(c.seeds)]
    per_pass = (n // c.B if drop_last else -(-n // c.B)) * c.B
    expected = (1 - 1 / n) ** (epochs * per_pass) if replacement else (n % c.B / n) ** epochs if drop_last else 0.0
    name = f"{'with' if replacement else 'without'} replacement{', drop_last' * drop_last}"
    return name, 1 - float(np.mean(seen)) / n, expected


def _verdict(usual, others):
    only = [m.setting for m in others if m.remembers_only_last]
    small = [m.setting for m in others if m.setting.j < usual.setting.j and m.setting.steps == usual.setting.steps and m.keeps_earlier]
    if not usual.keeps_earlier:
        what = "it does remember only the last batch" if usual.remembers_only_last else "earlier batches are not known better than chance"
        return Verdict("B6", "does not hold here", f"at the usual setting ({usual.setting}) {what}.")
    practice = f"at {usual.setting}, earlier batches stay better known than chance, and a batch's own advantage {_lasting(usual)}"
    if not only:
        return Verdict("B6", "does not hold here", f"no setting tried remembers only the last batch; {practice}.")
    too_small = f". Too small alone ({', '.join(f'{s.j} hidden' for s in small)}) does not do it" * bool(small)
    return Verdict("B6", "holds when", f"the model is made to remember only the last batch ({'; '.join(map(str, only))}){too_small}. "
                   f"In practice hardly: {practice}.")


def _lasting(m):
    if m.lasts is None or m.lasts >= 6:
        return "fades slowly"
    return "is no longer seen after a few updates" if m.lasts else "is not seen at all"
