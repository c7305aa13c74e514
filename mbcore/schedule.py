"""Schedules of learning rates and batch sizes: frozen callables, step -> value, steps counted from 0; and scaling rules.

For replicas, multiply: lr[r] * schedule(step) with a schedule that starts at 1."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from itertools import accumulate
from math import cos, inf, isfinite, pi, sqrt
from numbers import Integral

import numpy as np

from .checking import LARGEST, WrongKind, host_array, numbers, one_of, real, shown, whole


def _value(name, value):
    """A number above 0; a whole one, such as a batch size, stays whole."""
    number = real(name, value, above=0)
    try:
        return whole(name, value)
    except ValueError:
        return int(value) if isinstance(value, Integral) else number


def _all_of(name, values):
    """The values as a tuple, in the order that they have."""
    try:
        if not isinstance(values, (str, bytes, bytearray, Mapping, Set)):
            return tuple(values)
    except TypeError:
        pass
    raise WrongKind(f"{name}: expected several values, as (10, 20), got {shown(values)}")


@dataclass(frozen=True)
class Stages:
    """values[k], k the number of boundaries in `at` that the step has reached."""

    values: tuple
    at: tuple = ()

    def __post_init__(self):
        object.__setattr__(
            self, "values", tuple(_value("values", v) for v in _all_of("values", self.values))
        )
        object.__setattr__(self, "at", tuple(whole("at", a) for a in _all_of("at", self.at)))
        if list(self.at) != sorted(set(self.at)) or len(self.values) != len(self.at) + 1:
            raise ValueError(
                f"at: expected rising steps, one fewer than the {len(self.values)} values, got {self.at}"
            )

    def __call__(self, step):
        step = whole("step", step, 0)
        return self.values[sum(a <= step for a in self.at)]


def constant(value):
    """value, always."""
    return Stages((value,))


def step_decay(value, at, factor=0.1):
    """value * factor^k, k the number of boundaries in `at` that the step has reached."""
    value, factor, at = (
        _value("value", value),
        real("factor", factor, above=0, most=1),
        _all_of("at", at),
    )
    return Stages(tuple(value * factor**k for k in range(len(at) + 1)), at)


@dataclass(frozen=True)
class Cosine:
    """last + (value - last) (1 + cos(pi step / steps)) / 2, and `last` from `steps` on. I. Loshchilov and F. Hutter 2016,
    arXiv:1608.03983, without restarts."""

    value: float
    steps: int
    last: float = 0.0

    def __post_init__(self):
        value = real("value", self.value, above=0)
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "steps", whole("steps", self.steps))
        object.__setattr__(self, "last", real("last", self.last, least=0, most=value))

    def __call__(self, step):
        share = min(whole("step", step, 0) / self.steps, 1)
        return self.last + (self.value - self.last) * ((1 + cos(pi * share)) / 2)


@dataclass(frozen=True)
class WarmUp:
    """after(step) * (first + (1 - first) step / steps) for step < steps, then after(step): the clock of `after` runs on.

    first: the share it starts at, B0/B in the gradual warm-up of P. Goyal et al. 2017, arXiv:1706.02677, section 2.2.
    """

    after: object
    steps: int
    first: float

    def __post_init__(self):
        if not callable(self.after) or isinstance(self.after, type):
            raise WrongKind(
                f"after: expected a schedule, as constant(0.1), got {shown(self.after)}"
            )
        object.__setattr__(self, "steps", whole("steps", self.steps))
        object.__setattr__(self, "first", real("first", self.first, above=0, most=1))

    def __call__(self, step):
        step = whole("step", step, 0)
        value = self.after(step)
        if not isinstance(value, (int, float)) or not isfinite(value):
            value = numbers(f"after({step})", value)  # a schedule of one's own may give anything
        return value * (self.first + (1 - self.first) * min(step / self.steps, 1))


def grown(decay, B, most=inf):
    """(learning rate, batch size), two Stages in which the batch grows where the Stages `decay` lower the learning rate.

    At stage k the batch is B_k = B values[0] / values[k], rounded, at most `most`, and the learning rate values[k] B_k / B:
    about values[0] until the batch can grow no further. So lr / B_k, and with it the noise scale lr N / (B (1 - m)), is
    the decay's. A stage sees as many examples as at B, in fewer steps (rounded up). S. Smith et al. 2017, arXiv:1711.00489.
    """
    if not isinstance(decay, Stages):
        raise WrongKind(f"decay: expected Stages, as step_decay makes them, got {shown(decay)}")
    B = whole("B", B)
    most = inf if isinstance(most, float) and most == inf else whole("most", most, B)
    sizes = [min(B * decay.values[0] / v, most) for v in decay.values]
    if max(sizes) > LARGEST:
        raise ValueError(
            f"decay: expected values with which the batch stays below 2**63, got {decay.values}: "
            f"from {B} it would grow to {max(sizes):g}; give most=..."
        )
    sizes = [max(1, round(size)) for size in sizes]
    at = tuple(
        accumulate(-((a - b) * B // size) for a, b, size in zip((0, *decay.at), decay.at, sizes))
    )
    return Stages([v * size / B for v, size in zip(decay.values, sizes)], at), Stages(sizes, at)


def scaled(lr, B, B0, rule="linear"):
    """The learning rate for batch size B where lr (a number or an array [r]) serves B0: lr B/B0 (linear: P. Goyal et al.
    2017), lr sqrt(B/B0) (sqrt: A. Krizhevsky 2014, arXiv:1404.5997) or lr itself (constant)."""
    kappa = real("B", B, above=0) / real("B0", B0, above=0)
    factor = {"linear": kappa, "sqrt": sqrt(kappa), "constant": 1.0}[
        one_of("rule", rule, ("linear", "sqrt", "constant"))
    ]
    return _times(_rates(lr), real("B", factor, above=0))


def _times(rates, factor):
    """The rates times a factor, which must leave them finite and above 0."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        found = rates * factor
    if not np.all(np.isfinite(found) & (np.asarray(found) > 0)):
        raise ValueError(
            f"lr: expected rates that stay finite and above 0 when they are scaled by {factor:g}, "
            f"got {shown(rates)}"
        )
    return found


def _rates(lr):
    """lr: a number above 0, or an array [r] of such."""
    if not host_array("lr", lr).ndim:
        return real("lr", lr, above=0)
    rates = numbers("lr", lr, ndim=1)
    if not rates.size:
        raise ValueError("lr: expected finite numbers above 0, got none")
    if not (rates > 0).all():
        raise ValueError(f"lr: expected finite numbers above 0, got {rates.min():g} among them")
    return rates


def adam_scaled(kappa, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Adam for a batch kappa times as large, {"lr", "beta1", "beta2", "epsilon"}: lr sqrt(kappa), each beta 1 - kappa (1 - beta),
    epsilon / sqrt(kappa). lr: a number or an array [r]. ValueError where kappa (1 - beta) >= 1, or where kappa is so small
    that a beta would be 1 by rounding. S. Malladi et al. 2022, arXiv:2205.10287."""
    kappa, rates = real("kappa", kappa, above=0), _rates(lr)
    betas = {
        name: real(name, beta, least=0, below=1)
        for name, beta in (("beta1", beta1), ("beta2", beta2))
    }
    epsilon = real("epsilon", epsilon, least=0)
    for name, beta in betas.items():
        if kappa * (1 - beta) >= 1 - 1e-9:  # 10 (1 - 0.9) falls short of 1 by rounding
            raise ValueError(
                f"kappa: expected kappa (1 - {name}) < 1, so kappa < {1 / (1 - beta):.4g} at {name} = {beta}, got {kappa:g}"
            )
        betas[name] = 1 - kappa * (1 - beta)
        if betas[name] == 1:
            raise ValueError(
                f"kappa: expected a number with which {name} stays below 1, got {kappa:g}"
            )
    epsilon = real("epsilon", epsilon / sqrt(kappa))
    return {"lr": _times(rates, sqrt(kappa)), **betas, "epsilon": epsilon}
