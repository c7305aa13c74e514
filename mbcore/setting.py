"""What a sweep trains: tasks, what they share, and what comes out; plain values that every process
reads alike."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import asdict, dataclass, field

import numpy as np

from . import data as sources
from . import optim, schedule
from .checking import WrongKind, one_of, real, shown, whole
from .equations import Equations, equations
from .intake import float_dtype

DATA = {"digits": sources.digits, "gaussians": sources.gaussians, "teacher": sources.teacher}
MOST = 10**12  # steps, passes, looks: enough for every run that ends
RULES = {"sgd": optim.SGD, "momentum": optim.Momentum, "adam": optim.Adam, "lars": optim.LARS}


def _warm_up(total, share=0.1, first=0.1, after=None):
    steps = max(1, round(real("share", share, 0, 1) * total))
    return schedule.WarmUp(factor(after, total), steps, first)


# name -> (total steps, ...) -> factor on lr at each step; times are shares of the run
SCHEDULES = {
    "cosine": lambda total, last=0.0: schedule.Cosine(1.0, total, last),
    "step_decay": lambda total, at=(0.5, 0.75), factor=0.1: schedule.step_decay(
        1.0, [round(a * total) for a in at], factor
    ),
    "warm_up": _warm_up,
}


def factor(description, total):
    """The schedule, a function of the step; None is 1 always."""
    return (
        schedule.constant(1.0)
        if description is None
        else made("schedule", SCHEDULES, description, total)
    )


@dataclass(frozen=True, order=True)
class Task:
    """One training: batch size, learning rate, and the seed of its first weights and of its
    batches."""

    B: int
    lr: float
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "B", whole("B", self.B))
        object.__setattr__(self, "lr", real("lr", self.lr, above=0))
        object.__setattr__(self, "seed", whole("seed", self.seed, 0))


@dataclass(frozen=True)
class Setting:
    """What all tasks of a sweep share. Picklable and hashable; `key` is the same text in every
    process.

    equations: text or Equations for one example, with inputs x and target and scores s. sizes: of
        the indices but b and r.
    data, rule, schedule: a name, or (name, {keyword: value}), of DATA, RULES (None: SGD), SCHEDULES
        (None: a constant lr).
    epochs, steps: a run ends after so many passes and so many steps, whichever comes later.
    target: what `measure` is to fall to, None for nothing; then a run ends. measure: "loss", the
        mean over the training set, or "test_error"; each set is taken as one batch, which matters
        where examples are coupled. looks: how often both are measured in a run, at most; spacing:
        "log" over the steps, or "even".
    """

    equations: str
    sizes: dict
    data: object = "digits"
    epochs: float = 0
    steps: int = 0
    target: float | None = None
    measure: str = "loss"
    looks: int = 40
    spacing: str = "log"
    rule: object = None
    schedule: object = None
    dtype: str = "float32"

    def __post_init__(self):
        own = functools.partial(object.__setattr__, self)
        own("equations", _for_one_example(self.equations))
        own("sizes", _sizes(self.sizes))
        own("epochs", real("epochs", self.epochs, least=0, most=MOST))
        own("steps", whole("steps", self.steps, 0, MOST))
        own("looks", whole("looks", self.looks, 1, MOST))
        if not self.epochs and not self.steps:
            raise ValueError("epochs: expected a number above 0 where steps is 0, got 0 for both")
        if self.target is not None:
            own("target", real("target", self.target, least=0))
        one_of("measure", self.measure, ("loss", "test_error"))
        one_of("spacing", self.spacing, ("log", "even"))
        own("dtype", float_dtype(self.dtype).name)
        own("data", _described("data", self.data, DATA))
        own("rule", None if self.rule is None else _described("rule", self.rule, RULES))
        own(
            "schedule",
            None if self.schedule is None else _described("schedule", self.schedule, SCHEDULES),
        )

    @property
    def key(self):
        """All fields as JSON: what decides a result, save the numbers of the data (`data_hash`) and
        this package's version."""
        return json.dumps(asdict(self), sort_keys=True)

    def budget(self, B):
        """Steps after which a run with batches of B ends at the latest."""
        n, B = len(data_of(self.data).x_train), whole("B", B)
        return max(self.steps, math.ceil(self.epochs * n / B))

    def marks(self, B):
        """The steps at which a run with batches of B is looked at, rising: 0, some between, and the
        last."""
        total = self.budget(B)
        log = self.spacing == "log"
        # From so many looks on, every step is one of them.
        if self.looks >= total * (2 * math.log(total) + 1 if log else 1):
            return list(range(total + 1))
        marks = (
            np.geomspace(1, total, self.looks)
            if log
            else np.linspace(0, total, self.looks + 1)
        )
        return sorted({0, total, *marks.round().astype(int).tolist()})

    def reached(self, loss, test_error):
        """Whether a run that was seen so needs no more training, its target being reached."""
        return (
            self.target is not None
            and (loss if self.measure == "loss" else test_error) <= self.target
        )

    def crossing(self, values, loss, test_error):
        """What `values` came to when the measure fell to the target; a straight line between the
        last two looks."""
        measured = loss if self.measure == "loss" else test_error
        if len(measured) == 1:  # before the first step
            return float(values[0])
        share = (measured[-2] - self.target) / (measured[-2] - measured[-1])
        return float(values[-2] + share * (values[-1] - values[-2]))


STATUSES = ("reached", "not reached", "diverged")


@dataclass(frozen=True)
class Outcome:
    """How one training ended. Numbers are finite always: the record stops before the first loss or
    score that is not.

    status: "reached"; "not reached" within the budget, or without a target; "diverged": the loss or
        a score stopped being a number, or the loss ended above ten times where it began.
    steps, examples, seconds: until the target, None unless reached. Between the last look above the
        target and the first that is not, the measure is taken as a straight line over the steps.
        examples = steps B: every batch is a full one.
        seconds: in steps alone, the chunk's time divided by its replicas; two outcomes are equal
            whatever their seconds.
    looks, loss, test_error: the steps at which the run was looked at, up to where it ended, and
        what was seen there.
    """

    task: Task
    status: str
    steps: float | None
    examples: float | None
    seconds: float | None = field(compare=False)
    looks: tuple
    loss: tuple
    test_error: tuple


# ------------------------------------------------------------------ descriptions and checks


@functools.lru_cache(maxsize=4)
def data_of(description):
    """The data set of a description (name, pairs)."""
    return made("data", DATA, description)


def data_hash(description):
    """A text that is another one as soon as one number of the data set is."""
    data, found = data_of(description), hashlib.sha256()
    for array in (data.x_train, data.target_train, data.x_test, data.target_test):
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def made(argument, table, description, *args):
    """What a description (name, pairs) says, built."""
    name, keywords = _described(argument, description, table)
    try:
        return table[name](*args, **dict(keywords))
    except WrongKind:
        raise
    except TypeError as error:  # a keyword that it does not have
        raise TypeError(f"{argument}: {error}") from None


def _described(argument, description, table):
    """(name, sorted pairs) of a name or (name, keywords)."""
    pair = (description, {}) if isinstance(description, str) else description
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(
            f"{argument}: expected a name or (name, {{keyword: value}}), got {shown(description)}"
        )
    one_of(argument, pair[0], table)
    try:
        keywords = dict(pair[1])
    except (TypeError, ValueError):
        raise WrongKind(
            f"{argument}: expected (name, {{keyword: value}}), got {shown(description)}"
        ) from None
    return pair[0], _frozen(argument, keywords)


def _for_one_example(given):
    """The equations as text; refused where they have the indices that the tasks bring."""
    if not isinstance(given, (str, Equations)):
        raise WrongKind(f"equations: expected text or mb.equations(...), got {shown(given)}")
    model = equations(str(given))
    letters = {letter for indices in model.graph.shapes.values() for letter in indices}
    if {"b", "r"} & letters:
        raise ValueError(
            "equations: expected those for one example, since the tasks bring b and r; "
            f"got the indices {', '.join(sorted(letters))}"
        )
    return str(model)


def _sizes(sizes):
    """Sizes as sorted pairs of a letter and a whole number."""
    try:
        found = dict(None if isinstance(sizes, (str, bytes, np.ndarray)) else sizes)
    except (TypeError, ValueError):
        raise WrongKind(f"sizes: expected {{index: size}}, got {shown(sizes)}") from None
    if {"b", "r"} & found.keys():
        raise ValueError(
            f"sizes: expected no b and no r, which the tasks decide, got {shown(found)}"
        )
    return _frozen(
        "sizes", {letter: whole(f"sizes: {letter}", size) for letter, size in found.items()}
    )


def _frozen(argument, value):
    """Dictionaries as sorted pairs, lists and arrays as tuples, all the way down; NumPy's numbers
    as Python's."""
    if isinstance(value, dict):
        if not all(isinstance(k, str) for k in value):
            raise WrongKind(f"{argument}: expected texts as keywords, got {shown(list(value))}")
        return tuple((k, _frozen(argument, value[k])) for k in sorted(value))
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(argument, v) for v in value)
    plain = value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value
    if isinstance(plain, list):
        return _frozen(argument, plain)
    if not isinstance(plain, (str, bool, int, float, type(None))):
        raise WrongKind(
            f"{argument}: expected numbers, texts, lists and dictionaries, got {shown(value)}"
        )
    if isinstance(plain, float) and not math.isfinite(plain):
        raise ValueError(f"{argument}: expected finite numbers, got {plain}")
    return plain
