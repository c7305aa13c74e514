"""What a sweep trains: tasks, what they share, and what comes out; plain values that every process reads alike."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real

import numpy as np

from . import data as sources
from . import optim, schedule
from .equations import equations

DATA = {"digits": sources.digits, "gaussians": sources.gaussians, "teacher": sources.teacher}
RULES = {"sgd": optim.SGD, "momentum": optim.Momentum, "adam": optim.Adam, "lars": optim.LARS}


def _warm_up(total, share=0.1, first=0.1, after=None):
    return schedule.WarmUp(factor(after, total), max(1, round(share * total)), first)


SCHEDULES = {           # name -> (total steps, ...) -> factor on lr at each step; times are shares of the run
    "cosine": lambda total, last=0.0: schedule.Cosine(1.0, total, last),
    "step_decay": lambda total, at=(0.5, 0.75), factor=0.1: schedule.step_decay(1.0, [round(a * total) for a in at], factor),
    "warm_up": _warm_up,
}


def factor(description, total):
    """The schedule, a function of the step; None is 1 always."""
    return schedule.constant(1.0) if description is None else made("schedule", SCHEDULES, description, total)


@dataclass(frozen=True, order=True)
class Task:
    """One training: batch size, learning rate, and the seed of its first weights and of its batches."""

    B: int
    lr: float
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "B", count("B", self.B))
        object.__setattr__(self, "lr", real("lr", self.lr, above=0))
        object.__setattr__(self, "seed", count("seed", self.seed, least=0))


@dataclass(frozen=True)
class Setting:
    """What all tasks of a sweep share. Picklable and hashable; `key` is the same text in every process.

    equations: text or Equations for one example, with inputs x and target and scores s. sizes: of the indices but b and r.
    data, rule, schedule: a name, or (name, {keyword: value}), of DATA, RULES (None: SGD), SCHEDULES (None: a constant lr).
    epochs, steps: a run ends after so many passes and so many steps, whichever comes later.
    target: what `measure` is to fall to, None for nothing; then a run ends. measure: "loss", the mean over the training
        set, or "test_error". looks: how often both are measured in a run, at most; spacing: "log" over the steps, or "even".
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
        own("equations", str(equations(str(self.equations))))
        own("sizes", _frozen(dict(self.sizes)))
        if {"b", "r"} & dict(self.sizes).keys():
            raise ValueError(f"sizes: expected no b and no r, which the tasks decide, got {dict(self.sizes)}")
        own("epochs", real("epochs", self.epochs))
        own("steps", count("steps", self.steps, least=0))
        own("looks", count("looks", self.looks))
        if not self.epochs and not self.steps:
            raise ValueError("epochs: expected a number above 0 where steps is 0, got 0 for both")
        if self.target is not None:
            own("target", real("target", self.target))
        _one_of("measure", self.measure, ("loss", "test_error"))
        _one_of("spacing", self.spacing, ("log", "even"))
        own("data", _described("data", self.data, DATA))
        own("rule", None if self.rule is None else _described("rule", self.rule, RULES))
        own("schedule", None if self.schedule is None else _described("schedule", self.schedule, SCHEDULES))

    @property
    def key(self):
        return json.dumps(asdict(self), sort_keys=True)

    def budget(self, B):
        """Steps after which a run with batches of B ends at the latest."""
        n = len(data_of(self.data).x_train)
        return max(self.steps, math.ceil(self.epochs * n / B))


@dataclass(frozen=True)
class Outcome:
    """How one training ended. Numbers are finite always: the record stops before the first loss that is not.

    status: "reached"; "not reached" within the budget, or without a target; "diverged": the loss stopped being a number, or
        ended above ten times where it began.
    steps, examples, seconds: until the target, None unless reached. Between the last look above the target and the first
        that is not, the measure is taken as a straight line over the steps. examples = steps B: every batch is a full one.
        seconds: in steps alone, the chunk's time divided by its replicas; two outcomes are equal whatever their seconds.
    looks, loss, test_error: the steps at which the run was looked at, up to where it ended, and what was seen there.
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
    return made("data", DATA, description)


def made(argument, table, description, *args):
    """What a description (name, pairs) says, built."""
    name, keywords = _described(argument, description, table)
    try:
        return table[name](*args, **dict(keywords))
    except TypeError as error:                                      # a keyword that it does not have
        raise TypeError(f"{argument}: {error}") from None


def _described(argument, description, table):
    """(name, sorted pairs) of a name or (name, keywords)."""
    pair = (description, {}) if isinstance(description, str) else description
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise ValueError(f"{argument}: expected a name or (name, {{keyword: value}}), got {description!r}")
    _one_of(argument, pair[0], table)
    return pair[0], _frozen(dict(pair[1]))


def _frozen(value):
    """Dictionaries as sorted pairs, lists as tuples, all the way down; NumPy's numbers as Python's."""
    if isinstance(value, dict):
        return tuple((k, _frozen(value[k])) for k in sorted(value))
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    return value.item() if isinstance(value, np.generic) else value


def _one_of(name, value, allowed):
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name}: expected {', '.join(allowed)}, got {value!r}")


def count(name, value, least=1):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)


def real(name, value, above=None):
    wrong = isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value)
    if wrong or (value < 0 if above is None else value <= above):
        raise ValueError(f"{name}: expected a finite number {'of at least 0' if above is None else f'above {above}'}, got {value!r}")
    return float(value)
