"""Update rules, in place on dictionaries of arrays such as `program.params` and `program.grads`.

params[name] and grads[name] have one shape, replicas first. lr: a number, or an array with one for
each replica, [r]. A parameter that has no gradient, as L does not depend on it, stays as it is;
gradients are never changed. After the first update nothing of a parameter's size is allocated. One
rule serves one set of parameters, NumPy's or CuPy's.

An update is made whole or not at all: everything is checked first, then all parameters and the
rule's state move together (`backend.at_once`), so that neither an error nor Ctrl-C leaves some of
them behind. lr may be 0 or negative: the formulas hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from .backend import at_once, device_of, to_cpu, xp_of
from .checking import WrongKind, flag, host_array, rate, real, shown, whole

FLOATS = ("f", "d")  # the characters of float32 and float64
BELOW_1, NOT_NEGATIVE = (
    ("beta", "beta1", "beta2", "dampening"),
    ("weight_decay", "epsilon", "trust"),
)


class Kept:
    """A count of updates and the arrays that they leave behind: all that the next one depends on
    beside the parameters."""

    kinds = ()  # what is kept for each parameter
    squares = ()  # those of them that are never negative

    def __post_init__(self):
        for name in vars(self).keys() & {*BELOW_1, *NOT_NEGATIVE}:
            setattr(
                self,
                name,
                real(name, getattr(self, name), least=0, below=1 if name in BELOW_1 else None),
            )
        self.steps, self._arrays = 0, {}

    @property
    def state(self):
        """A copy to save and to assign later: {"steps": count, "<kind>.<parameter>": array};
        numpy.savez(path, **state) takes it.

        The arrays are NumPy's, also where the parameters are on a GPU. ValueError or TypeError for
        assigning what no such rule saves; the state is then as it was.
        """
        kept = {k: a for k, a in self._arrays.items() if k.partition(".")[0] in self.kinds}
        return {"steps": self.steps, **{k: np.array(to_cpu(a)) for k, a in kept.items()}}

    @state.setter
    def state(self, saved):
        at_once([self.assignment(saved)])

    def assignment(self, saved):
        """The one call that puts a saved state in place, checked here; see `state`."""
        wanted = ", ".join(["steps", *(kind + ".<parameter>" for kind in self.kinds)])
        if not isinstance(saved, Mapping):
            raise WrongKind(
                f"state: expected {wanted}, as this {type(self).__name__} saves it, got "
                f"{shown(saved)}"
            )
        keys = [str(key) for key in saved]
        found = [tuple(key.split(".", 1)) for key in keys if key != "steps"]
        if "steps" not in keys or not all(
            len(key) == 2 and key[0] in self.kinds and key[1] for key in found
        ):
            raise ValueError(
                f"state: expected {wanted}, as this {type(self).__name__} saves it, got "
                f"{', '.join(keys)}"
            )
        steps = whole("steps", saved["steps"], 0)
        arrays = {key: self._checked(key, saved[key]) for key in keys if key != "steps"}
        if bool(arrays) != bool(steps and self.kinds):
            raise ValueError(
                f"state: {steps} updates and {len(arrays)} arrays do not belong together"
            )
        self._check_together(arrays)
        return partial(vars(self).update, steps=steps, _arrays=arrays)

    def _checked(self, key, value):
        """One array of a saved state, copied: floating-point numbers without nan."""
        array = np.array(
            host_array(f"state[{key!r}]", to_cpu(value) if device_of(value) == "gpu" else value)
        )
        if array.dtype not in (np.float32, np.float64):
            raise WrongKind(
                f"state[{key!r}]: expected an array of float32 or float64, got {array.dtype}"
            )
        if np.isnan(array).any():
            raise ValueError(f"state[{key!r}]: expected numbers, got nan among them")
        if key.partition(".")[0] in self.squares and (array < 0).any():
            raise ValueError(f"state[{key!r}]: expected a mean of squares, got a negative number")
        return array

    def _check_together(self, arrays):
        """Every parameter has an array of each kind, of one shape and type."""
        for key, a in arrays.items():
            for kind in self.kinds:
                other = arrays.get(f"{kind}.{key.partition('.')[2]}")
                if other is None or (other.shape, other.dtype) != (a.shape, a.dtype):
                    raise ValueError(
                        f"state[{key!r}]: expected an array of this shape and type for each of "
                        f"{', '.join(self.kinds)}"
                    )

    def _array(self, kind, name, xp, shape, dtype):
        """(key, array): what lives from call to call, at first 0. ValueError where what is there
        belongs to other parameters."""
        key = f"{kind}.{name}"
        found = self._arrays.get(key)
        if found is None:
            if kind in self.kinds and self.steps:
                raise ValueError(
                    f"{key}: none was kept by the {self.steps} updates before; state and "
                    f"parameters do not belong together"
                )
            return key, xp.zeros(shape, dtype=dtype)
        if found.shape != tuple(shape) or found.dtype != dtype:
            raise ValueError(
                f"{key}: expected {dtype} of shape {tuple(shape)}, got {found.dtype} of shape "
                f"{found.shape}; "
                "state and parameters do not belong together"
            )
        if (
            xp is not np and device_of(found) == "cpu"
        ):  # a state that was saved: it goes where its parameters are
            found = xp.asarray(found)
        return key, found

    def _arrays_for(self, name, p):
        """key -> array for one parameter: scratch, and one of each kind."""
        arrays = dict(
            self._array(kind, name, xp_of(p), p.shape, p.dtype) for kind in ("scratch", *self.kinds)
        )
        xp_of(
            p, *arrays.values(), names=(f"params[{name!r}]", *(f"state[{key}]" for key in arrays))
        )
        return arrays

    def _moved(self, kept):
        """The call that counts one update and keeps these arrays, a list of dictionaries."""
        arrays = dict(self._arrays)
        for more in kept:
            arrays.update(more)
        return partial(vars(self).update, steps=self.steps + 1, _arrays=arrays)


class Later:
    """Stands in place of NumPy or CuPy: notes each call for `at_once` and returns the array that
    it will write."""

    def __init__(self, xp, calls):
        self.xp, self.calls = xp, calls

    def __getattr__(self, name):
        function = getattr(self.xp, name)

        def note(*arguments, out):
            self.calls.append(partial(function, *arguments, out=out))
            return out

        setattr(self, name, note)  # asked for once
        return note


@dataclass
class Move:
    """One parameter in one update: its array, its gradient, lr with an axis for each index, the
    number of the update, from 1, and how many axes of lr count replicas."""

    name: str
    p: object
    g: object
    lr: object
    step: int
    lead: int


class Rule(Kept):
    """One way from a gradient to a change of the parameters."""

    def update(self, params, grads, lr):
        """Change params in place: all of them and the rule's state, or, after an error or an
        interrupt, none.

        ValueError or TypeError, with nothing changed, for what does not fit together.
        """
        pairs = _pairs(params, grads)
        lead = getattr(lr, "ndim", int(isinstance(lr, (list, tuple))))
        lr = _rate(lr, lead, pairs)
        self._check_fits(pairs)
        kept = [self._arrays_for(name, p) for name, p, _ in pairs]
        calls = []
        later = Later(xp_of(pairs[0][1]), calls)
        for (name, p, g), arrays in zip(pairs, kept):
            move = Move(name, p, g, _spread(lr, p), self.steps + 1, lead)
            self._move(later, move, *arrays.values())
        at_once([*calls, self._moved(kept)])

    def _check_fits(self, pairs):
        """Refuse a number of this rule that is inf in the type of a parameter."""
        for dtype in {p.dtype for _, p, _ in pairs}:
            for name in NOT_NEGATIVE:
                rate(getattr(self, name, 0.0), (), dtype.type, name)

    def _decayed(self, later, move, out):
        """g + weight_decay p; g itself where nothing decays."""
        if not self.weight_decay:
            return move.g
        later.multiply(move.p, self.weight_decay, out=out)
        return later.add(out, move.g, out=out)


def _blend(later, kept, beta, new, weight, scratch):
    """kept <- beta kept + weight new. Where weight is 1, scratch keeps what it holds."""
    later.multiply(kept, beta, out=kept)
    if not isinstance(weight, float) or weight != 1:
        new = later.multiply(new, weight, out=scratch)
    later.add(kept, new, out=kept)


def _pairs(params, grads):
    """[(name, parameter, its gradient)], checked."""
    for said, arrays in (("params", params), ("grads", grads)):
        if not isinstance(arrays, Mapping):
            raise WrongKind(
                f"{said}: expected a dictionary of arrays, name -> array, got {shown(arrays)}"
            )
    pairs = [(name, p, grads[name]) for name, p in params.items() if name in grads]
    if not pairs:
        raise ValueError(
            f"grads: expected gradients of {', '.join(params) or 'some parameter'}, got "
            f"{', '.join(grads) or 'none'}"
        )
    xp_of(*(p for _, p, _ in pairs), names=[f"params[{name!r}]" for name, _, _ in pairs])
    for name, p, g in pairs:
        xp_of(p, g, names=(f"params[{name!r}]", f"grads[{name!r}]"))
        check_floats(f"params[{name!r}]", p)
        if not isinstance(g, np.floating):  # a gradient of no axes may be one of NumPy's numbers
            check_floats(f"grads[{name!r}]", g)
        elif g.dtype.char not in FLOATS:
            raise WrongKind(f"grads[{name!r}]: expected float32 or float64, got {g.dtype}")
        if g.shape != p.shape:
            raise ValueError(
                f"grads[{name!r}]: expected the parameter's shape {p.shape}, got {g.shape}"
            )
        if type(p) is np.ndarray and not p.flags.writeable:
            raise ValueError(
                f"params[{name!r}]: expected an array that may be changed, got a read-only one"
            )
    return pairs


def check_floats(name, array):
    """TypeError for what is no array of float32 or float64."""
    ours = type(array) is np.ndarray or device_of(array) == "gpu"
    if not ours or getattr(array.dtype, "char", "") not in FLOATS:
        got = array.dtype if ours else f"{type(array).__name__}, no array"
        raise TypeError(f"{name}: expected an array of float32 or float64, got {got}")


def _rate(lr, lead, pairs):
    """lr as a float, or as an array of `lead` axes that all parameters have in front, that their
    types can hold; beside them."""
    for _, p, _ in pairs:
        found = rate(lr, p.shape[:lead], p.dtype.type)
    return found if isinstance(found, float) else xp_of(p).asarray(found)


def _spread(lr, p):
    """lr as a number, or as lr[r] with an axis of 1 for each other index of the parameter."""
    return (
        lr
        if isinstance(lr, float)
        else lr.astype(p.dtype).reshape(lr.shape + (1,) * (p.ndim - lr.ndim))
    )


@dataclass(eq=False)
class SGD(Rule):
    """w <- w - lr (g + weight_decay w)."""

    weight_decay: float = 0.0

    def _move(self, later, move, scratch):
        later.multiply(self._decayed(later, move, scratch), move.lr, out=scratch)
        later.subtract(move.p, scratch, out=move.p)


@dataclass(eq=False)
class Momentum(Rule):
    """v <- beta v + (1 - dampening) g; w <- w - lr v, or with nesterov w <- w - lr (g + beta v). g
    holds weight_decay w.

    PyTorch's convention: lr is outside v, the first v is g itself, and without dampening v grows
    to g / (1 - beta). dampening = beta makes v the exponential average of gradients: of
    independent ones its variance tends to sigma^2 (1 - beta)/(1 + beta), which is sigma^2 / (2N -
    1) at beta = 1 - 1/N. B. Polyak 1964; I. Sutskever et al. 2013 for Nesterov's form.
    """

    beta: float = 0.9
    nesterov: bool = False
    dampening: float = 0.0
    weight_decay: float = 0.0
    kinds = ("v",)

    def __post_init__(self):
        super().__post_init__()
        self.nesterov = flag("nesterov", self.nesterov)
        if self.nesterov and self.dampening:
            raise ValueError(f"dampening: expected 0 with nesterov, got {self.dampening!r}")

    def _move(self, later, move, scratch, v):
        p, lr = move.p, move.lr
        g = self._decayed(later, move, scratch)
        if move.step == 1:
            later.multiply(g, 1, out=v)
        else:
            _blend(later, v, self.beta, g, 1 - self.dampening, scratch)
        if self.nesterov:
            later.multiply(g, lr, out=scratch)
            later.subtract(p, scratch, out=p)
        later.multiply(v, lr * self.beta if self.nesterov else lr, out=scratch)
        later.subtract(p, scratch, out=p)


@dataclass(eq=False)
class Adam(Rule):
    """m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2; w <- w - lr m' / (sqrt(v') +
    epsilon).

    m' = m / (1 - beta1^t), v' = v / (1 - beta2^t) after t updates. D. Kingma and J. Ba,
    arXiv:1412.6980. weight_decay is decoupled, w <- (1 - lr weight_decay) w before the rest, as in
    AdamW: I. Loshchilov and F. Hutter, arXiv:1711.05101. With epsilon = 0 an entry is 0/0, nan,
    for as long as its gradients are all exactly 0, as in PyTorch.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    kinds = ("m", "v")
    squares = ("v",)

    def _move(self, later, move, scratch, m, v):
        p, g, lr = move.p, move.g, move.lr
        if self.weight_decay:
            later.multiply(p, lr * -self.weight_decay + 1, out=p)
        _blend(later, m, self.beta1, g, 1 - self.beta1, scratch)
        later.multiply(g, g, out=scratch)
        _blend(later, v, self.beta2, scratch, 1 - self.beta2, scratch)
        later.sqrt(v, out=scratch)
        later.multiply(scratch, (1 - self.beta2**move.step) ** -0.5, out=scratch)
        later.add(scratch, self.epsilon, out=scratch)
        later.divide(m, scratch, out=scratch)
        later.multiply(scratch, lr * (1 / (1 - self.beta1**move.step)), out=scratch)
        later.subtract(p, scratch, out=p)


@dataclass(eq=False)
class LARS(Rule):
    """lambda = trust ||w|| / (||g|| + weight_decay ||w||); v <- beta v + lr lambda (g +
    weight_decay w); w <- w - v.

    One lambda for each parameter array, and for each replica: `replicas` says how many axes in
    front count replicas (taken from lr where that is an array). lr is inside v here, other than in
    Momentum. lambda = 1 for the names in `unscaled` (practice: biases), and where ||w|| or ||g||
    is 0, or a bias that starts at 0 would never move; the paper leaves that open. Y. You, I.
    Gitman and B. Ginsburg 2017, arXiv:1708.03888, Algorithm 1.
    """

    trust: float = 0.001
    beta: float = 0.9
    weight_decay: float = 0.0
    replicas: int = 0
    unscaled: tuple = ()
    kinds = ("v",)

    def __post_init__(self):
        super().__post_init__()
        self.replicas = whole("replicas", self.replicas, 0)
        names = self.unscaled
        try:
            self.unscaled = () if isinstance(names, str) else tuple(names)
        except TypeError:
            self.unscaled = (None,)
        if isinstance(names, str) or not all(isinstance(name, str) for name in self.unscaled):
            raise WrongKind(
                f"unscaled: expected names of parameters, as ('C0', 'C1'), got {shown(names)}"
            )

    def _check_fits(self, pairs):
        """As of any rule; and that there are such parameters, with axes for the replicas."""
        super()._check_fits(pairs)
        shapes = {name: p.shape for name, p, _ in pairs}
        for name in self.unscaled:
            if name not in shapes:
                raise ValueError(
                    f"unscaled: expected names of parameters that have a gradient "
                    f"({', '.join(shapes)}), got {name!r}"
                )
        for name, shape in shapes.items():
            if self.replicas > len(shape) or 0 in shape:
                raise ValueError(
                    f"params[{name!r}]: expected numbers, with {self.replicas} axes in front for "
                    f"replicas, got shape {shape}"
                )

    def _move(self, later, move, scratch, v):
        lr = move.lr
        if move.name not in self.unscaled:
            lr = lr * self._lambda(later.xp, move, scratch)
        _blend(later, v, self.beta, self._decayed(later, move, scratch), lr, scratch)
        later.subtract(move.p, v, out=move.p)

    def _lambda(self, xp, move, scratch):
        """lambda with an axis of 1 for each index but the replicas'. Computed at once: it only
        reads p and g."""
        p, depth = move.p, max(self.replicas, move.lead)
        axes = tuple(range(depth, p.ndim))
        w, n = (_norm(xp, a, axes, scratch) for a in (p, move.g))
        both = xp.sign(w) * xp.sign(n)  # 1 or 0, without asking a GPU for it
        neither = both * -1 + 1
        found = w * self.trust / (n + w * self.weight_decay + neither) * both + neither
        return found.reshape(p.shape[:depth] + (1,) * (p.ndim - depth))


def _norm(xp, a, axes, scratch):
    """||a|| over these axes. Where squares would be 0 or inf, a is divided by its largest first."""
    ends = np.finfo(a.dtype)
    largest = xp.abs(a, out=scratch).max(axis=axes)
    usual = (largest > ends.tiny**0.25) & (largest < ends.max**0.25) | (largest == 0)
    unit = xp.where(usual, largest * 0 + 1, largest)
    apart = unit.reshape(a.shape[: a.ndim - len(axes)] + (1,) * len(axes))
    xp.divide(a, apart, out=scratch)
    return xp.sqrt(xp.multiply(scratch, scratch, out=scratch).sum(axis=axes)) * unit
