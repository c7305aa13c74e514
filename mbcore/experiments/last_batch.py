"""B6: can the model remember only the last batch that it saw? In theory, if it is too small or updated too much; in practice hardly.

After every update the loss is taken on every batch of the pass and on examples never trained on. The model remembers only
the last batch if it knows that one better than by giving each class the same probability, L < ln 10, and the batches
before it no better than that. A batch's own influence is its advantage over fresh data, as a function of the updates since:

    a(lag) = mean over k of (F[k+1+lag] - F[k]) - (L[k+1+lag, k] - L[k, k]),   L[t, k] on batch k, F[t] on fresh data, after t updates

Batch k, from 0, makes update k + 1. Both differences start just before it, so what makes one batch harder than another cancels.
On sorted data what it keeps is the last class: a(lag) lasts for the few batches of that class, then turns negative.
To first order an update with batch k changes the loss on batch m by -lr <g_k, g_m> (`agreement`). Shuffled batches of 32 pull the
same way, batches of one each their own way, other classes against each other. So at B = 32, shuffled, neither a small model nor
many steps on each batch makes it forget; a large rate does, and so does a batch of one, or sorted data.
Source: the "Batch size" notes of an online handbook. They publish no number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, inf, log, nan

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..progress import last
from .backpropagation import gradient
from .interval import half_width
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
    B: int = 32

    def __post_init__(self):
        if self.order not in ORDERS:
            raise ValueError(f"order: expected one of {', '.join(ORDERS)}, got {self.order!r}")
        if not isinstance(self.lr, float) or not 0 < self.lr < inf:
            raise ValueError(f"lr: expected a learning rate above 0, got {self.lr!r}")
        for name in ("steps", "B"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {getattr(self, name)!r}")

    def __str__(self):
        units, steps = "1 hidden unit" if self.j == 1 else f"{self.j} hidden units", f", {self.steps} steps a batch" * (self.steps > 1)
        return f"{'with ' * (self.order == 'replacement')}{self.order}, B = {self.B}, rate {self.lr:g}, {units}{steps}"


@dataclass(frozen=True)
class Config:
    usual: Setting = Setting()
    others: tuple = (Setting(lr=0.5), Setting(order="replacement"), Setting(j=1), Setting(steps=20), Setting(j=2, steps=20),
                     Setting(lr=8.0), Setting(lr=32.0), Setting(B=1), Setting(lr=0.05, order="sorted"), Setting(order="sorted"))
    batches: int = 32                   # each seen once, so B * batches of the 1,437 digits; the rest is fresh
    seeds: int = 8                      # each with a start, an order and a choice of digits of its own
    seed: int = 0

    def __post_init__(self):
        for name, least in (("batches", 8), ("seeds", 3)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise ValueError(f"{name}: expected a whole number of at least {least}, got {getattr(self, name)!r}")
        B = max(setting.B for setting in (self.usual, *self.others))
        if B * self.batches > 1337:
            raise ValueError(f"batches: expected at most 1337 digits in all, so that 100 stay fresh, got {B} x {self.batches}")


SMALL = Config(others=(Setting(j=1), Setting(steps=20), Setting(lr=8.0), Setting(B=1), Setting(order="sorted")))    # fewer settings


@dataclass(frozen=True)
class Memory:
    """One setting. Row t is after t batches, row 0 before the first; half: of a 99 % t-interval over seeds.

    loss[t, r, k]: mean loss on batch k of seed r. fresh[t, r]: on examples never trained on.
    last, earlier: (mean, half) of the loss on the batch just seen and of the mean loss on those before it, over the second
    half of the pass. advantage: (lags, mean, half) of a(lag), batches of the first quarter of the pass left out; rest: (mean,
    half) of its mean over the lags above 0.
    """

    setting: Setting
    loss: np.ndarray
    fresh: np.ndarray
    last: tuple = (nan, nan)            # until the pass is over
    earlier: tuple = (nan, nan)
    advantage: tuple = ()
    rest: tuple = (nan, nan)

    @property
    def course(self):
        """(t, loss on the batch just seen, mean loss on those before it), means over seeds; before the first update, nothing."""
        t = np.arange(1, len(self.loss))
        before = [self.loss[k, :, :k - 1].mean() if k > 1 else nan for k in t]
        return t, self.loss[t, :, t - 1].mean(axis=1), np.array(before)

    @property
    def knows_last(self):
        """The batch just seen is known better than chance, beyond doubt."""
        return self.last[0] + self.last[1] < CHANCE

    @property
    def keeps_earlier(self):
        """Earlier batches are known better than chance, beyond doubt."""
        return self.earlier[0] + self.earlier[1] < CHANCE

    @property
    def remembers_only_last(self):
        """The last batch is known better than chance, earlier ones are not, both beyond doubt."""
        return self.knows_last and CHANCE < self.earlier[0] - self.earlier[1]

    @property
    def left(self):
        """The share of a batch's own advantage that outlasts the next update is at most this; None: it has none, or it is in doubt."""
        _, mean, half = self.advantage
        return (self.rest[0] + self.rest[1]) / (mean[0] - half[0]) if mean[0] > half[0] else None


@dataclass(frozen=True)
class Result:
    """usual and others: a Memory each. chance: ln 10. never: a Seen of one pass for each way to draw batches."""

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
    never = tuple(never_seen(c, *way) for way in WAYS.values())
    yield 1.0, Result(done[0], tuple(done[1:]), CHANCE, never, (_verdict(done[0], done[1:]),))


def watching(setting, config=Config()):
    """Yield (fraction done, Memory so far) after every batch: the live panel of one setting, about 0.2 s in all."""
    c, digits, rng = config, data.digits(), np.random.default_rng(config.seed)
    starts, orders = rng.spawn(2)
    B, n = setting.B, setting.B * c.batches
    net = MLP.with_index("b").with_index("r", parameters=True).compile(b=B, r=c.seeds, i=64, j=setting.j, y=CLASSES).init(starts)
    seen, fresh = map(np.stack, zip(*(_visits(setting.order, digits.target_train, n, stream) for stream in orders.spawn(c.seeds))))
    x, target = digits.x_train[seen], digits.target_train[seen]
    trained, apart = net.resized(b=seen.shape[1]), net.resized(b=fresh.shape[1])
    apart_x, apart_target, rows = digits.x_train[fresh], digits.target_train[fresh], []
    for k in range(c.batches + 1):
        with one_blas_thread(), np.errstate(all="ignore"):
            at = slice((k - 1) * B, k * B)
            for _ in range(setting.steps if k else 0):
                net.step(setting.lr, x=x[:, at], target=target[:, at])
            on_batches = trained.forward(x=x, target=target).reshape(c.seeds, c.batches, B).mean(axis=2)
            rows.append((on_batches, apart.forward(x=apart_x, target=apart_target).mean(axis=1)))
        memory = Memory(setting, *map(np.array, zip(*rows)))
        yield k / c.batches, memory if k < c.batches else _measured(memory)


def _visits(order, targets, n, rng):
    """Indices of n examples in the order of training, and of those never trained on."""
    seen, fresh = np.split(rng.permutation(len(targets)), [n])
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
    advantage = (lags, *map(np.array, zip(*map(_interval, gained))))
    return replace(m, last=_interval(own), earlier=_interval(before), advantage=advantage, rest=_interval(np.mean(gained[1:], axis=0)))


def _interval(v):
    """(mean, half) of Student's interval over seeds; half is infinite where a seed diverged."""
    if not np.isfinite(v).all():
        return inf, inf
    return float(v.mean()), float(half_width(v, LEVEL))


def agreement(setting=Setting(), config=Config()):
    """The cosines of g_k and g_m, the gradients of two batches at the start, at distance |k - m|: [distance - 1, seed] means.

    Positive: an update with one lowers the loss on the other, to first order. Negative: it raises it.
    """
    c, digits = config, data.digits()
    starts, orders = np.random.default_rng(c.seed).spawn(2)
    net = MLP.with_index("b").compile(b=setting.B, i=64, j=setting.j, y=CLASSES)
    found = []
    for start, stream in zip(starts.spawn(c.seeds), orders.spawn(c.seeds)):
        seen, _ = _visits(setting.order, digits.target_train, setting.B * c.batches, stream)
        net.init(start)
        g = np.array([gradient(net, x=digits.x_train[at], target=digits.target_train[at]) for at in np.split(seen, c.batches)])
        g /= np.linalg.norm(g, axis=1, keepdims=True)
        found.append([np.diagonal(g @ g.T, d).mean() for d in range(1, c.batches)])
    return np.array(found).T


WAYS = {"without replacement": (False, False), "without replacement, drop_last": (False, True), "with replacement": (True, False)}


@dataclass(frozen=True)
class Seen:
    """Passes over the n digits. counts[seed, n]: how often each was in a batch. share: of those never, mean over seeds.
    expected: with replacement (1 - 1/n)^draws, about 1/e after one pass; without, 0, or ((n mod B)/n)^epochs with drop_last."""

    name: str
    counts: np.ndarray
    share: float
    expected: float


def never_seen(config=Config(), replacement=False, drop_last=False, epochs=1, B=32):
    """Draw the batches of some passes, for each seed, and count."""
    return after_each_pass(config, replacement, drop_last, epochs, B)[-1]


def after_each_pass(config=Config(), replacement=False, drop_last=False, epochs=1, B=32):
    """A Seen after 1, 2, ..., epochs passes."""
    c, n = config, len(data.digits().target_train)
    passes = lambda rng: data.batches(n, B, rng, replacement=replacement, drop_last=drop_last, epochs=epochs)
    drawn = [np.concatenate([*passes(rng)]).reshape(epochs, -1) for rng in np.random.default_rng(c.seed).spawn(c.seeds)]
    counts = np.array([[np.bincount(once, minlength=n) for once in of_seed] for of_seed in drawn]).cumsum(axis=1)
    per_pass = (n // B if drop_last else -(-n // B)) * B
    expected = [(1 - 1 / n) ** (e * per_pass) if replacement else (n % B / n) ** e if drop_last else 0.0 for e in range(1, epochs + 1)]
    name = f"{'with' if replacement else 'without'} replacement{', drop_last' * drop_last}"
    return [Seen(name, seen, float((seen == 0).mean()), share) for seen, share in zip(counts.swapaxes(0, 1), expected)]


def _verdict(usual, others):
    only = [m.setting for m in others if m.remembers_only_last]
    if not usual.keeps_earlier:
        what = "it does remember only the last batch" if usual.remembers_only_last else "earlier batches are not known better than chance"
        return Verdict("B6", "does not hold here", f"at the usual setting ({usual.setting}) {what}.")
    practice = f"at {usual.setting}, earlier batches stay better known than chance, and {_lasting(usual)}"
    if not only:
        return Verdict("B6", "does not hold here", f"no setting tried remembers only the last batch; {practice}.")
    return Verdict("B6", "holds when", f"the setting is one of these: {'; '.join(map(str, only))}. Then only the last batch is known better "
                   f"than chance{_not_enough(usual, others)}. In practice hardly: {practice}.")


def _not_enough(usual, others):
    """What was changed alone, as the notes have it, and did not make it forget."""
    tame = [m.setting for m in others if m.keeps_earlier]
    alone = lambda s, name: replace(s, **{name: getattr(usual.setting, name)}) == usual.setting
    small = [f"{s.j} hidden" for s in tame if s.j < usual.setting.j and alone(s, "j")]
    often = [f"{s.steps} steps a batch" for s in tame if s.steps > usual.setting.steps and alone(s, "steps")]
    return f". Too small alone, or too many steps alone, does not do it ({', '.join(small + often)})" if small and often else ""


def _lasting(m):
    if m.left is None:
        return "a batch's own advantage is not seen at all"
    if m.left < 0.5:
        return f"less than {max(10, 10 * ceil(10 * m.left))} % of a batch's own advantage outlasts the next update"
    return "a batch's own advantage fades slowly"
