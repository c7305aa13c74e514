"""Schedules of learning rates and batch sizes: frozen callables, step -> value, steps counted from 0; and scaling rules.

For replicas, multiply: lr[r] * schedule(step) with a schedule that starts at 1."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import cos, inf, isfinite, pi, sqrt
from numbers import Integral, Real


def _number(name, value, low=0, high=inf):
    """A number above `low`, at most `high`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value) or not low < value <= high:
        raise ValueError(f"{name}: expected a number above {low}{'' if high == inf else f' and at most {high}'}, got {value!r}")
    return value


def _count(name, value, least=1):
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)


@dataclass(frozen=True)
class Stages:
    """values[k], k the number of boundaries in `at` that the step has reached."""

    values: tuple
    at: tuple = ()

    def __post_init__(self):
        object.__setattr__(self, "values", tuple(_number("values", v) for v in self.values))
        object.__setattr__(self, "at", tuple(_count("at", a) for a in self.at))
        if list(self.at) != sorted(set(self.at)) or len(self.values) != len(self.at) + 1:
            raise ValueError(f"at: expected rising steps, one fewer than the {len(self.values)} values, got {self.at}")

    def __call__(self, step):
        return self.values[sum(a <= _count("step", step, 0) for a in (0, *self.at)) - 1]


def constant(value):
    """value, always."""
    return Stages((value,))


def step_decay(value, at, factor=0.1):
    """value * factor^k, k the number of boundaries in `at` that the step has reached."""
    _number("value", value), _number("factor", factor, high=1)
    return Stages(tuple(value * factor ** k for k in range(len(at) + 1)), tuple(at))


@dataclass(frozen=True)
class Cosine:
    """last + (value - last) (1 + cos(pi step / steps)) / 2, and `last` from `steps` on. I. Loshchilov and F. Hutter 2016,
    arXiv:1608.03983, without restarts."""

    value: float
    steps: int
    last: float = 0.0

    def __post_init__(self):
        _number("value", self.value), _count("steps", self.steps), self.last == 0 or _number("last", self.last, high=self.value)

    def __call__(self, step):
        return self.last + (self.value - self.last) * (1 + cos(pi * min(_count("step", step, 0) / self.steps, 1))) / 2


@dataclass(frozen=True)
class WarmUp:
    """after(step) * (first + (1 - first) step / steps) for step < steps, then after(step): the clock of `after` runs on.

    first: the share it starts at, B0/B in the gradual warm-up of P. Goyal et al. 2017, arXiv:1706.02677, section 2.2.
    """

    after: object
    steps: int
    first: float

    def __post_init__(self):
        if not callable(self.after):
            raise TypeError(f"after: expected a schedule, as constant(0.1), got {self.after!r}")
        _count("steps", self.steps), _number("first", self.first, high=1)

    def __call__(self, step):
        return self.after(step) * (self.first + (1 - self.first) * min(step / self.steps, 1))


def grown(decay, B, most=inf):
    """(learning rate, batch size), two Stages in which the batch grows where the Stages `decay` lower the learning rate.

    At stage k the batch is B_k = B values[0] / values[k], rounded, at most `most`, and the learning rate values[k] B_k / B:
    about values[0] until the batch can grow no further. So lr / B_k, and with it the noise scale lr N / (B (1 - m)), is
    the decay's. A stage sees as many examples as at B, in fewer steps (rounded up). S. Smith et al. 2017, arXiv:1711.00489.
    """
    if not isinstance(decay, Stages):
        raise TypeError(f"decay: expected Stages, as step_decay makes them, got {decay!r}")
    _count("B", B), most == inf or _count("most", most, B)
    sizes = [max(1, round(min(B * decay.values[0] / v, most))) for v in decay.values]
    at = tuple(accumulate(-((a - b) * B // size) for a, b, size in zip((0, *decay.at), decay.at, sizes)))
    return Stages([v * size / B for v, size in zip(decay.values, sizes)], at), Stages(sizes, at)


def scaled(lr, B, B0, rule="linear"):
    """The learning rate for batch size B where lr (a number or an array [r]) serves B0: lr B/B0 (linear: P. Goyal et al.
    2017), lr sqrt(B/B0) (sqrt: A. Krizhevsky 2014, arXiv:1404.5997) or lr itself (constant)."""
    kappa = _number("B", B) / _number("B0", B0)
    if rule not in ("linear", "sqrt", "constant"):
        raise ValueError(f"rule: expected linear, sqrt, constant, got {rule!r}")
    return lr * {"linear": kappa, "sqrt": sqrt(kappa), "constant": 1.0}[rule]


def adam_scaled(kappa, lr, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """Adam for a batch kappa times as large, {"lr", "beta1", "beta2", "epsilon"}: lr sqrt(kappa), each beta 1 - kappa (1 - beta),
    epsilon / sqrt(kappa). ValueError where kappa (1 - beta) >= 1. S. Malladi et al. 2022, arXiv:2205.10287."""
    for name, beta in (("beta1", beta1), ("beta2", beta2)):
        if _number("kappa", kappa) * (1 - beta) >= 1 - 1e-9:            # 10 (1 - 0.9) falls short of 1 by rounding
            raise ValueError(f"kappa: expected kappa (1 - {name}) < 1, so kappa < {1 / (1 - beta):.4g} at {name} = {beta}, got {kappa}")
    return {"lr": lr * sqrt(kappa), "beta1": 1 - kappa * (1 - beta1), "beta2": 1 - kappa * (1 - beta2), "epsilon": epsilon / sqrt(kappa)}
