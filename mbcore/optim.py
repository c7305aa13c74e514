"""Update rules, in place on dictionaries of arrays such as `program.params` and `program.grads`.

params[name] and grads[name] have one shape, replicas first. lr: a number, or an array with one for each replica, [r].
A parameter that has no gradient, as L does not depend on it, stays as it is; gradients are never changed. After the
first update nothing of a parameter's size is allocated. One rule serves one set of parameters, NumPy's or CuPy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from .backend import xp_of
from .intake import checked_lr

ENDS = {"beta": 1, "beta1": 1, "beta2": 1, "dampening": 1, "weight_decay": inf, "epsilon": inf, "trust": inf}


class Kept:
    """A count of updates and the arrays that they leave behind: all that the next one depends on beside the parameters."""

    kinds = ()                  # what is kept for each parameter

    def __post_init__(self):
        for name in ENDS.keys() & vars(self).keys():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < ENDS[name]:
                raise ValueError(f"{name}: expected a number of at least 0 and below {ENDS[name]}, got {value!r}")
        self.steps, self._arrays = 0, {}

    @property
    def state(self):
        """A copy to save and to assign later: {"steps": count, "<kind>.<parameter>": array}; numpy.savez(path, **state) takes it."""
        return {"steps": self.steps, **{k: a.copy() for k, a in self._arrays.items() if k.partition(".")[0] in self.kinds}}

    @state.setter
    def state(self, saved):
        arrays = {k: a for k, a in saved.items() if k != "steps"}
        if "steps" not in saved or any(k.partition(".")[0] not in self.kinds for k in arrays):
            raise ValueError(f"state: expected {', '.join(['steps', *(k + '.<parameter>' for k in self.kinds)])}, as this "
                             f"{type(self).__name__} saves it, got {', '.join(saved)}")
        self.steps, self._arrays = int(saved["steps"]), {k: a.copy() for k, a in arrays.items()}

    def _array(self, kind, name, xp, shape, dtype):
        """An array that lives from call to call, at first 0. ValueError where what is there belongs to other parameters."""
        key = f"{kind}.{name}"
        if key not in self._arrays:
            if kind in self.kinds and self.steps:
                raise ValueError(f"{key}: none was kept by the {self.steps} updates before; state and parameters do not belong together")
            self._arrays[key] = xp.zeros(shape, dtype=dtype)
        found = self._arrays[key]
        if found.shape != tuple(shape) or found.dtype != dtype:
            raise ValueError(f"{key}: expected {dtype} of shape {tuple(shape)}, got {found.dtype} of shape {found.shape}; "
                             "state and parameters do not belong together")
        return found

    def _arrays_for(self, name, p):
        arrays = [self._array(kind, name, xp_of(p), p.shape, p.dtype) for kind in ("scratch", *self.kinds)]
        xp_of(p, *arrays, names=(f"params[{name!r}]", *(f"state[{kind}.{name}]" for kind in ("scratch", *self.kinds))))
        return arrays


class Rule(Kept):
    """One way from a gradient to a change of the parameters."""

    def update(self, params, grads, lr):
        """Change params in place. ValueError or TypeError, with nothing changed, for what does not fit together."""
        pairs = _pairs(params, grads)
        rates = [_spread(lr, p) for _, p, _ in pairs]
        kept = [self._arrays_for(name, p) for name, p, _ in pairs]
        self.steps += 1
        for (name, p, g), rate, arrays in zip(pairs, rates, kept):
            self._move(xp_of(p), name, p, g, rate, *arrays)

    def _decayed(self, xp, p, g, out):
        """g + weight_decay p; g itself where nothing decays."""
        if not self.weight_decay:
            return g
        xp.multiply(p, self.weight_decay, out=out)
        return xp.add(out, g, out=out)


def _blend(xp, kept, beta, new, weight, scratch):
    """kept <- beta kept + weight new. Where weight is 1, scratch keeps what it holds."""
    xp.multiply(kept, beta, out=kept)
    xp.add(kept, new if isinstance(weight, (int, float)) and weight == 1 else xp.multiply(new, weight, out=scratch), out=kept)


def _pairs(params, grads):
    """[(name, parameter, its gradient)], checked."""
    pairs = [(name, p, grads[name]) for name, p in params.items() if name in grads]
    if not pairs:
        raise ValueError(f"grads: expected gradients of {', '.join(params) or 'some parameter'}, got {', '.join(grads) or 'none'}")
    for name, p, g in pairs:
        xp_of(p, g, names=(f"params[{name!r}]", f"grads[{name!r}]"))
        for said, array in (("params", p), ("grads", g)):
            if getattr(array, "dtype", np.dtype(object)).kind != "f":
                raise TypeError(f"{said}[{name!r}]: expected an array of float32 or float64, got {getattr(array, 'dtype', type(array).__name__)}")
        if g.shape != p.shape:
            raise ValueError(f"grads[{name!r}]: expected the parameter's shape {p.shape}, got {g.shape}")
    return pairs


def _spread(lr, p):
    """lr as a number, or as lr[r] with an axis of 1 for each other index of the parameter."""
    if isinstance(lr, float):
        return float(checked_lr(float(lr), ()))
    lr = checked_lr(lr, p.shape[: getattr(lr, "ndim", 1 if isinstance(lr, (list, tuple)) else 0)])
    return lr if isinstance(lr, float) else xp_of(p).asarray(lr, dtype=p.dtype).reshape(lr.shape + (1,) * (p.ndim - lr.ndim))


@dataclass(eq=False)
class SGD(Rule):
    """w <- w - lr (g + weight_decay w)."""

    weight_decay: float = 0.0

    def _move(self, xp, name, p, g, lr, scratch):
        xp.multiply(self._decayed(xp, p, g, scratch), lr, out=scratch)
        xp.subtract(p, scratch, out=p)


@dataclass(eq=False)
class Momentum(Rule):
    """v <- beta v + (1 - dampening) g; w <- w - lr v, or with nesterov w <- w - lr (g + beta v). g holds weight_decay w.

    PyTorch's convention: lr is outside v, the first v is g itself, and without dampening v grows to g / (1 - beta).
    dampening = beta makes v the exponential average of gradients: of independent ones its variance tends to
    sigma^2 (1 - beta)/(1 + beta), which is sigma^2 / (2N - 1) at beta = 1 - 1/N.
    B. Polyak 1964; I. Sutskever et al. 2013 for Nesterov's form.
    """

    beta: float = 0.9
    nesterov: bool = False
    dampening: float = 0.0
    weight_decay: float = 0.0
    kinds = ("v",)

    def __post_init__(self):
        super().__post_init__()
        if self.nesterov and self.dampening:
            raise ValueError(f"dampening: expected 0 with nesterov, got {self.dampening!r}")

    def _move(self, xp, name, p, g, lr, scratch, v):
        g = self._decayed(xp, p, g, scratch)
        if self.steps == 1:
            xp.copyto(v, g)
        else:
            _blend(xp, v, self.beta, g, 1 - self.dampening, scratch)
        if self.nesterov:
            xp.subtract(p, xp.multiply(g, lr, out=scratch), out=p)
        xp.multiply(v, lr * self.beta if self.nesterov else lr, out=scratch)
        xp.subtract(p, scratch, out=p)


@dataclass(eq=False)
class Adam(Rule):
    """m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2; w <- w - lr m' / (sqrt(v') + epsilon).

    m' = m / (1 - beta1^t), v' = v / (1 - beta2^t) after t updates. D. Kingma and J. Ba, arXiv:1412.6980. weight_decay is
    decoupled, w <- (1 - lr weight_decay) w before the rest, as in AdamW: I. Loshchilov and F. Hutter, arXiv:1711.05101.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    kinds = ("m", "v")

    def _move(self, xp, name, p, g, lr, scratch, m, v):
        if self.weight_decay:
            xp.multiply(p, lr * -self.weight_decay + 1, out=p)
        _blend(xp, m, self.beta1, g, 1 - self.beta1, scratch)
        _blend(xp, v, self.beta2, xp.multiply(g, g, out=scratch), 1 - self.beta2, scratch)
        xp.sqrt(v, out=scratch)
        xp.multiply(scratch, (1 - self.beta2 ** self.steps) ** -0.5, out=scratch)
        xp.add(scratch, self.epsilon, out=scratch)
        xp.divide(m, scratch, out=scratch)
        xp.multiply(scratch, lr * (1 / (1 - self.beta1 ** self.steps)), out=scratch)
        xp.subtract(p, scratch, out=p)


@dataclass(eq=False)
class LARS(Rule):
    """lambda = trust ||w|| / (||g|| + weight_decay ||w||); v <- beta v + lr lambda (g + weight_decay w); w <- w - v.

    One lambda for each parameter array, and for each replica: `replicas` says how many axes in front count replicas
    (taken from lr where that is an array). lr is inside v here, other than in Momentum. lambda = 1 for the names in
    `unscaled` (practice: biases), and where ||w|| or ||g|| is 0, or a bias that starts at 0 would never move; the paper
    leaves that open. Y. You, I. Gitman and B. Ginsburg 2017, arXiv:1708.03888, Algorithm 1.
    """

    trust: float = 0.001
    beta: float = 0.9
    weight_decay: float = 0.0
    replicas: int = 0
    unscaled: tuple = ()
    kinds = ("v",)

    def update(self, params, grads, lr):
        self._depth = max(self.replicas, getattr(lr, "ndim", int(isinstance(lr, (list, tuple)))))
        super().update(params, grads, lr)

    def _move(self, xp, name, p, g, lr, scratch, v):
        if name not in self.unscaled:
            lr = lr * self._lambda(xp, p, g, scratch)
        _blend(xp, v, self.beta, self._decayed(xp, p, g, scratch), lr, scratch)
        xp.subtract(p, v, out=p)

    def _lambda(self, xp, p, g, scratch):
        axes, spread = tuple(range(self._depth, p.ndim)), p.shape[: self._depth] + (1,) * (p.ndim - self._depth)
        w, n = (xp.sqrt(xp.multiply(a, a, out=scratch).sum(axis=axes)) for a in (p, g))
        both = xp.sign(w) * xp.sign(n)                      # 1 or 0, without asking a GPU for it
        neither = both * -1 + 1
        return (w * self.trust / (n + w * self.weight_decay + neither) * both + neither).reshape(spread)
