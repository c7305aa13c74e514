"""N3 F3: what a large batch loses when nothing else is changed, and which change of the learning rate gives it back.

At a fixed number of epochs a batch kappa times as large makes kappa times fewer updates. The cures, each of them alone or together:
lr sqrt(kappa); lr kappa; a warm-up; LARS, lambda = trust ||w||/||g||, trust being the best of a few by training loss; more epochs.
F3: for small lr, kappa steps of lr on B are about one step of kappa lr on kappa B, as the gradient hardly changes meanwhile; so with
lr proportional to B the loss after equally many examples stays the same, until kappa lr is no longer small.
P. Goyal et al. 2017, arXiv:1706.02677; Y. You et al. 2017, arXiv:1708.03888; E. Hoffer et al. 2017, arXiv:1705.08741; PUBLISHED has
their numbers. Adam's rule: S. Malladi et al. 2022, arXiv:2205.10287. Growing the batch: S. Smith et al. 2017, arXiv:1711.00489.

Beside them, test errors at the default budget (small batch about 4 %), in the order small, naive, sqrt, linear, linear + warm-up:
Goyal, kappa = 32: 23.6, 41.7, 26.2, 24.8, 23.7; here, kappa = 7.5: 4, 7, 5, 12, 6. Naive loses, and the linear rule ends lower with
warm-up, as there (at kappa = 8 the two intervals overlap); but it fails without it, and sqrt serves as well. At kappa = 15 the linear rule fails even with warm-up, as theirs
gets worse at 64k (34.0). LARS, You: flat from 512 to 8K, 58.7 to 58.2, against 58.8 to 44.8 without; here it saves linear + warm-up at
kappa = 15, from 84 to 11, and is behind sqrt. Training as long in updates, Hoffer: from 97.05 % to 98.53 %, small 98.27 %; here 97 %
against 96 %: as there. Adam, kappa = 2 and 8: without a rule the loss ends 1.7 and 4.2 times as high, by Malladi's rule 1.1 and 1.6 times,
with linear lr at 0.7 and 0.5 times: the rule is nearest, not exact, as our runs are short and their gradient is not all noise. Smith: the
curves are equal.

Seeds are replicas. Replica s starts from the same weights in every run, so runs are compared seed by seed; intervals are 95 %
t-intervals over seeds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from .. import data, schedule
from ..optim import LARS, Adam
from ..progress import last
from ..train import training
from .interval import half_width
from .models import MLP
from .verdict import Verdict

CLAIMS = ("N3", "F3")
PUBLISHED = {           # top-1 error or accuracy on ImageNet, %, as the papers have it
    "arXiv:1706.02677, error": {"256": 23.60, "8k linear": 24.84, "8k linear, constant warm-up": 25.88, "8k linear, gradual warm-up": 23.74,
                                "8k naive": 41.67, "8k sqrt": 26.22, "16k": 24.79, "32k": 27.55, "64k": 33.96},
    "arXiv:1708.03888, AlexNet accuracy": {"512": 58.8, "4K": 53.1, "8K": 44.8, "512 LARS": 58.7, "4K LARS": 58.5, "8K LARS": 58.2},
    "arXiv:1705.08741, accuracy small, large, large adapted": {"F1": (98.27, 97.05, 98.53), "C1": (87.80, 83.95, 88.20)},
}
TRUSTS = (0.003, 0.01)
NEAR = 1.25             # two losses are called equal when the interval of their ratio lies within 1/1.25 and 1.25
PARTS = ("laddering", "following", "adam", "growing", "mapping")      # the functions below; the first two decide the verdicts
POINT = 1.0             # test errors within so many percentage points are called equal


@dataclass(frozen=True)
class Rung:
    """How a large batch is trained. scaling: constant, sqrt or linear in B/B0; warm_up: as a share of the run; longer: as many updates as
    the small batch makes, not as many epochs."""

    name: str
    scaling: str = "constant"
    warm_up: float = 0.0
    lars: bool = False
    longer: bool = False


LADDER = (Rung("naive"), Rung("sqrt", "sqrt"), Rung("linear", "linear"), Rung("linear + warm-up", "linear", 0.2),
          Rung("linear + warm-up + LARS", "linear", 0.2, lars=True), Rung("as many updates", longer=True))


@dataclass(frozen=True)
class Config:
    """B0, lr0: the small batch and its rate, near its best by test error. gentle: the rate for B0 from which F3 starts, well below the
    largest that trains. large: batch sizes of the ladder; doubled: of F3. rates, sizes, map_epochs, map_seeds: the heat map.
    kappas: for Adam, below 10. growth: the factor at each of two drops of the rate."""

    B0: int = 12
    lr0: float = 1.0
    gentle: float = 0.25
    epochs: int = 8
    j: int = 32
    seeds: int = 6
    large: tuple = (90, 180)
    doubled: tuple = (24, 48, 96, 384)
    sizes: tuple = (12, 23, 45, 90, 180, 360, 719)
    rates: tuple = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
    map_epochs: int = 3
    map_seeds: int = 2
    adam_lr: float = 0.002
    kappas: tuple = (2, 8)
    growth: float = 4.0
    parts: tuple = PARTS
    seed: int = 0

    def __post_init__(self):
        if self.epochs < 4:
            raise ValueError(f"epochs: expected at least 4, for two drops of the rate, got {self.epochs}")
        if self.seeds < 3:
            raise ValueError(f"seeds: expected at least 3, to have intervals, got {self.seeds}")
        if not {"laddering", "following"} <= set(self.parts) <= set(PARTS):
            raise ValueError(f"parts: expected laddering, following and any of {', '.join(PARTS)}, got {self.parts}")
        for name in ("large", "doubled"):
            if not getattr(self, name) or min(getattr(self, name)) <= self.B0:
                raise ValueError(f"{name}: expected batch sizes above B0 = {self.B0}, got {getattr(self, name)}")


SMALL = Config(B0=24, lr0=1.0, gentle=0.5, epochs=4, j=16, seeds=6, large=(240,), doubled=(48, 384),
               parts=("laddering", "following"))        # shorter, narrower, fewer batch sizes, and only what decides verdicts


@dataclass(frozen=True, eq=False)
class Run:
    """One way of training, all seeds. loss[look,seed]: mean over the training set; test_error[look,seed]: a share. The looks are even
    over the run, which ended after `epochs` passes and `updates` steps; nan where every seed had diverged."""

    name: str
    B: int
    lr: float
    epochs: int
    updates: int
    loss: np.ndarray = field(repr=False)
    test_error: np.ndarray = field(repr=False)

    def apart(self, base):
        """[look, 3]: the geometric mean over seeds of loss/base.loss and its interval, low and high."""
        with np.errstate(all="ignore"):
            return np.exp(_interval(np.log(self.loss) - np.log(base.loss)))

    def follows(self, base):
        """Whether the loss equals that of base at every look; see NEAR."""
        apart = self.apart(base)[1:]
        return bool(np.all((apart[:, 1] > 1 / NEAR) & (apart[:, 2] < NEAR)))

    def gap(self, base):
        """(value, low, high): how many percentage points of test error it ends above base."""
        return tuple((100 * _interval(self.test_error[-1] - base.test_error[-1])).tolist())


@dataclass(frozen=True, eq=False)
class Map:
    """loss[B,lr], test_error[B,lr]: means over seeds after `epochs` passes; nan where not yet computed, inf where a seed diverged."""

    sizes: tuple
    rates: tuple
    epochs: int
    loss: np.ndarray
    test_error: np.ndarray


@dataclass(frozen=True, eq=False)
class Result:
    """small: B0 at lr0. ladder: a Run for each large B and rung. gentle: B0 at the gentle rate; linear, constant: the doubled
    batches with lr proportional to B, and with lr as it is. adam: {"base", "malladi", "linear", "constant"} -> Runs.
    decayed, grown: the rate drops twice, or the batch grows as much. map: the heat map."""

    small: Run | None = None
    ladder: tuple = ()
    gentle: Run | None = None
    linear: tuple = ()
    constant: tuple = ()
    adam: dict = field(default_factory=dict)
    decayed: Run | None = None
    grown: Run | None = None
    map: Map | None = None
    verdicts: tuple = ()


def running(config=Config()):
    """Yield (fraction, Result so far): the ladder, F3, Adam, the growing batch, the map."""
    result, parts = Result(), [p for p in (laddering, following, adam, growing, mapping) if p.__name__ in config.parts]
    for k, part in enumerate(parts):
        for done, found in part(config):
            result = replace(result, **found)
            yield 0.999 * (k + done) / len(parts), result
    yield 1.0, replace(result, verdicts=(_loses(config, result), _undone(config, result)))


def run(config=Config()):
    """All of it; see Result."""
    return last(running(config))


# ------------------------------------------------------------------ the parts; each yields (fraction, fields of Result)

def laddering(config=Config()):
    """The small batch, then every rung for every large batch."""
    c, found = config, []
    small = trained(c, "small batch", c.B0, c.lr0)
    steps = [(B, rung) for B in c.large for rung in LADDER]
    for k, (B, rung) in enumerate(steps):
        found.append(climbed(c, B, rung))
        yield (k + 1) / len(steps), {"small": small, "ladder": tuple(found)}


def climbed(config, B, rung):
    """One rung for one batch size: Run. LARS is run with each of TRUSTS, and the one with the least final training loss counts."""
    c = config
    lr, updates = schedule.scaled(c.lr0, B, c.B0, rung.scaling), _updates(c.B0) * c.epochs
    epochs = -(-updates // _updates(B)) if rung.longer else c.epochs
    rate = schedule.constant(lr)
    if rung.warm_up:
        rate = schedule.WarmUp(rate, max(1, round(rung.warm_up * epochs * _updates(B))), c.B0 / B)
    rules = [LARS(trust=trust, beta=0.0, replicas=1) for trust in TRUSTS] if rung.lars else [None]
    runs = [trained(c, rung.name, B, lr, epochs=epochs, rate=rate, rule=rule) for rule in rules]
    return min(runs, key=lambda run: np.nan_to_num(run.loss[-1].mean(), nan=np.inf))


def following(config=Config()):
    """B0 at the gentle rate, and doubled batches with the rate in proportion and with the rate as it is."""
    c, linear, constant = config, [], []
    gentle = trained(c, "small batch", c.B0, c.gentle)
    for k, B in enumerate(c.doubled):
        linear.append(trained(c, "linear", B, schedule.scaled(c.gentle, B, c.B0)))
        constant.append(trained(c, "constant", B, c.gentle))
        yield (k + 1) / len(c.doubled), {"gentle": gentle, "linear": tuple(linear), "constant": tuple(constant)}


def adam(config=Config()):
    """Adam at B0, and at kappa B0 by Malladi's rule, with lr proportional to B, and with nothing changed."""
    c = config
    found = {"base": (trained(c, "Adam", c.B0, c.adam_lr, rule=Adam()),), "malladi": (), "linear": (), "constant": ()}
    for k, kappa in enumerate(c.kappas):
        ruled = schedule.adam_scaled(kappa, c.adam_lr)
        ways = ("malladi", ruled.pop("lr"), Adam(**ruled)), ("linear", kappa * c.adam_lr, Adam()), ("constant", c.adam_lr, Adam())
        for name, lr, rule in ways:
            found[name] += (trained(c, name, kappa * c.B0, lr, rule=rule),)
        yield (k + 1) / len(c.kappas), {"adam": dict(found)}


def growing(config=Config()):
    """The rate drops by `growth` after half and after three quarters of the epochs; or the batch grows by it, and the rate stays."""
    c = config
    spans = c.epochs // 2, c.epochs // 4, c.epochs - c.epochs // 2 - c.epochs // 4
    ends = [_updates(c.B0) * spans[0], _updates(c.B0) * (spans[0] + spans[1])]
    decay = schedule.step_decay(c.lr0, ends, 1 / c.growth)
    rates, sizes = schedule.grown(decay, c.B0, most=len(data.digits().x_train))
    decayed = _in_phases(c, "rate drops", [(n, lr, c.B0) for n, lr in zip(spans, decay.values)])
    yield 0.6, {"decayed": decayed}
    yield 1.0, {"decayed": decayed, "grown": _in_phases(c, "batch grows", list(zip(spans, rates.values, sizes.values)))}


def mapping(config=Config()):
    """The heat map, a batch size at a time: all its rates train together."""
    c = config
    shape = len(c.sizes), len(c.rates)
    found = Map(c.sizes, c.rates, c.map_epochs, np.full(shape, np.nan), np.full(shape, np.nan))
    for k, B in enumerate(c.sizes):
        lr = np.repeat(c.rates, c.map_seeds)
        run = trained(c, "map", B, 1.0, epochs=c.map_epochs, rate=lambda step: lr, seeds=c.map_seeds, copies=len(c.rates), looks=1)
        found = replace(found, loss=found.loss.copy(), test_error=found.test_error.copy())
        loss, error = (a[-1].reshape(-1, c.map_seeds).mean(axis=1) for a in (run.loss, run.test_error))
        found.loss[k], found.test_error[k] = np.nan_to_num(loss, nan=np.inf), error
        yield (k + 1) / len(c.sizes), {"map": found}


# ------------------------------------------------------------------ one training, all seeds

def trained(c, name, B, lr, epochs=None, rate=None, rule=None, seeds=None, copies=1, looks=None):
    """Run. rate: lr by default. copies: how many replicas start from the weights of each seed, seeds running fastest."""
    epochs, seeds = epochs or c.epochs, seeds or c.seeds
    program = _started(c, B, seeds, copies)
    looks = looks or c.epochs
    record = last(training(program, data.digits(), rate or lr, epochs, np.random.default_rng((c.seed, B)), looks=looks, rule=rule))
    short = min(looks, epochs * _updates(B)) + 1 - len(record.loss)              # it stops where all seeds have diverged
    pad = lambda a: np.concatenate([a, np.full((short, a.shape[1]), np.nan)])
    return Run(name, B, float(lr), epochs, epochs * _updates(B), pad(record.loss), pad(record.test_error))


def _started(c, B, seeds, copies=1):
    model = MLP.with_index("b").with_index("r", parameters=True)
    one = model.compile(b=1, r=seeds, i=64, j=c.j, y=10).init(np.random.default_rng(c.seed))
    program = model.compile(b=B, r=seeds * copies, i=64, j=c.j, y=10)
    for name, p in program.params.items():
        p[...] = np.concatenate([one.params[name]] * copies)
    return program


def _in_phases(c, name, phases):
    """Run of several phases (epochs, lr, B), one after the other, looked at after every epoch."""
    program, rng = _started(c, c.B0, c.seeds), np.random.default_rng((c.seed, 1))
    records = [last(training(program.resized(b=B), data.digits(), lr, n, rng, looks=n)) for n, lr, B in phases]
    joined = lambda key: np.concatenate([getattr(r, key)[0 if k == 0 else 1:] for k, r in enumerate(records)])
    return Run(name, phases[-1][2], phases[0][1], sum(p[0] for p in phases), sum(n * _updates(B) for n, _, B in phases),
               joined("loss"), joined("test_error"))


def _updates(B):
    """Updates in an epoch."""
    return -(-len(data.digits().x_train) // B)


def _interval(values):
    """(..., 3): the mean over the last axis and its 95 % t-interval."""
    mean, half = values.mean(axis=-1), half_width(values, 0.95)
    return np.stack([mean, mean - half, mean + half], axis=-1)


# ------------------------------------------------------------------ verdicts

def _loses(c, r):
    B = max(c.large)
    runs = {run.name: run for run in r.ladder if run.B == B}
    naive, longer = runs["naive"], runs["as many updates"].gap(r.small)
    least = naive.gap(r.small)[1]
    if not least > POINT:
        return Verdict("N3", "does not hold here", f"with nothing else changed, B = {B} does not surely end more than {POINT:g} point of "
                       f"test error above B = {c.B0}.")
    if not longer[2] < POINT:
        return Verdict("N3", "holds", f"B = {B} ends more than {POINT:g} point of test error above B = {c.B0}, and as many updates do not "
                       "surely cure it.")
    won = [name for name, run in runs.items() if name != "as many updates" and run.gap(naive)[2] < -POINT]
    trained_less = ", its training loss higher too" if naive.apart(r.small)[-1, 1] > 1 else ""
    return Verdict("N3", "holds when", f"only the epochs are kept: B = {B} makes fewer updates and ends more than {POINT:g} point of test "
                   f"error above B = {c.B0}{trained_less}; with as many updates it loses less than {POINT:g} point. "
                   f"In the same epochs {'; '.join(won) if won else 'no other rung'} surely won back more than {POINT:g} point.")


def _undone(c, r):
    equal = [run.follows(r.gentle) for run in r.linear]
    reach = equal.index(False) if False in equal else len(equal)
    if any(run.follows(r.gentle) for run in r.constant):
        return Verdict("F3", "not measured here", "the larger batch follows the small one even at the same rate: there is nothing to undo.")
    if not reach:
        return Verdict("F3", "does not hold here", f"with lr proportional to B, B = {c.doubled[0]} already leaves the curve of B = {c.B0}.")
    B, lr = c.doubled[reach - 1], r.linear[reach - 1].lr
    said = f"with lr proportional to B, the loss after equally many examples stays that of B = {c.B0}, up to a factor {NEAR}"
    if reach == len(equal):
        return Verdict("F3", "holds", f"{said}, for every B up to {B}; with lr as it was, it does not.")
    return Verdict("F3", "holds when", f"B is at most {B}: {said}, as long as lr stays at {lr:g} or less; B = {c.doubled[reach]} at "
                   f"lr = {r.linear[reach].lr:g} leaves it. With lr as it was, no larger batch follows.")
