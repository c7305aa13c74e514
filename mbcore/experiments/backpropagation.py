"""T7 T8 Q6: backpropagation with a batch is three loops, and the 1/B of the average stands in one place.

    h~[b,j] += W[j,i] x[b,i]      x.grad[b,i] += h~.grad[b,j] W[j,i]      W.grad[j,i] += 1/B h~.grad[b,j] x[b,i]

T7, T8: D. McAllester, TTIC 31230, "Minibatching: The Batch Index", 2024. Q6: L = mean ell + lam J, a Q&A site, 2017. No
published numbers. The referee is a central difference of the mean loss, which knows no rule of differentiation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from .. import data
from ..backend import one_blas_thread
from ..equations import equations
from .models import MLP, SLIDES
from .verdict import Verdict

CLAIMS = ("T7", "T8", "Q6")

CONVENTIONS = {"in W.grad": ("parameters",), "in L.grad": ("loss",), "in the update": ("update",),
               "in W.grad and L.grad": ("parameters", "loss"), "in W.grad and the update": ("parameters", "update"),
               "in L.grad and the update": ("loss", "update"), "nowhere": ()}       # the first is the slides'

REGULARISED = equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    ell  = cross_entropy(s[y], target)
    J    = sum(W0[j,i]**2, over=(j,i)) / 2 + sum(W1[y,j]**2, over=(y,j)) / 2
    L    = ell + lam * J
""")


@dataclass(frozen=True)
class Config:
    B: int = 5
    i: int = 6
    j: int = 4
    y: int = 3
    sizes: tuple = (1, 2, 8, 32)        # batches for the regulariser
    lam: float = 0.1
    seed: int = 0


SMALL = Config(sizes=(1, 2, 8))         # fewer batch sizes for the regulariser


@dataclass(frozen=True)
class Convention:
    """What one place of the 1/B makes of three things, each as a factor times what it is for the declared convention:
    x.grad[b,i] the gradient of L[b], W.grad (all parameters) that of the mean of L, update the step divided by lr.

    off: how far the three are from such multiples, the largest difference over the largest entry.
    """

    name: str
    mean_in: tuple
    x: float
    W: float
    update: float
    off: float
    norms: tuple                        # of x.grad, W.grad and update, as they are


@dataclass(frozen=True)
class Share:
    """The regulariser's part in the gradient of one batch, all parameters in one vector.

    average: gradient of the mean of ell against the mean of B gradients of ell, each computed alone.
    right, wrong: mean of gradients + lam grad J, and + (lam/B) grad J, against central differences of the mean of L.
    program: the program's gradient of L against the same. All: largest difference over the largest entry.
    coefficient: what central differences have in front of lam grad J, by least squares: 1, or 1/B if it was divided again.
    """

    B: int
    average: float
    right: float
    wrong: float
    program: float
    coefficient: float


@dataclass(frozen=True)
class Result:
    """Largest differences over the largest entry, in float64, for the slides' network on random data.

    program: name -> the program against the slides' loops. differences: name -> the loops against central differences.
    overwritten: name -> the loops with = where the slides have +=, against the loops.
    """

    B: int
    program: dict
    differences: dict
    overwritten: dict
    conventions: tuple                  # Convention, against central differences
    shares: tuple                       # Share, one for each batch size
    verdicts: tuple = ()


def run(config=Config()):
    """All three on random data, float64, one thread; see Result."""
    c = config
    with one_blas_thread():
        params, x, target = _random(SLIDES, c, c.B)
        loops, L = slides_by_loops(params, x, target)
        net = SLIDES.with_index("b").compile(b=c.B, i=c.i, j=c.j, y=c.y, dtype="float64")
        put(net, params)
        found = {"L": net.forward(x=x, target=target)}
        net.backward()
        found |= {name: net.grads[name] for name in loops}
        true = differences(lambda: float(slides_by_loops(params, x, target)[1].mean()), {**params, "x": x})
        true["x"] *= c.B                # from the gradient of the mean to that of L[b]
        careless = slides_by_loops(params, x, target, add=False)[0]
        result = Result(c.B, {n: _off(found[n], a) for n, a in {**loops, "L": L}.items()}, {n: _off(loops[n], true[n]) for n in true},
                        {n: _off(careless[n], loops[n]) for n in ("x", "W0", "W1")},
                        _table(SLIDES, params, x, target, true), tuple(_share(c, B) for B in c.sizes))
    return Result(**{**result.__dict__, "verdicts": (_loops_verdict(result), _convention_verdict(result), _share_verdict(result))})


# ---------------------------------------------------------------- T7: the slides' loops


def forward_loop(W, x):
    """for b,i,j: h~[b,j] += W[j,i] x[b,i]."""
    (B, I), J = x.shape, len(W)
    h = np.zeros((B, J))
    for b, i, j in product(range(B), range(I), range(J)):
        h[b, j] += W[j, i] * x[b, i]
    return h


def backward_loops(W, x, g, add=True):
    """(x.grad[b,i], W.grad[j,i]) from g[b,j] = h~.grad[b,j], as on the slides; add=False has = for += and is wrong."""
    (B, I), J = x.shape, len(W)
    x_grad, W_grad = np.zeros((B, I)), np.zeros((J, I))
    for b, i, j in product(range(B), range(I), range(J)):
        x_grad[b, i] = add * x_grad[b, i] + g[b, j] * W[j, i]
    for b, i, j in product(range(B), range(I), range(J)):
        W_grad[j, i] = add * W_grad[j, i] + 1 / B * g[b, j] * x[b, i]
    return x_grad, W_grad


def slides_by_loops(p, x, target, add=True):
    """Both passes of the slides' network, the loops for its products: (gradients by name, L[b])."""
    sigma, B = lambda z: 1 / (1 + np.exp(-z)), len(x)
    h = sigma(forward_loop(p["W0"], x) - p["C0"])
    s = sigma(forward_loop(p["W1"], h) - p["C1"])
    P = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    label = np.eye(len(p["C1"]))[target]
    s_before = (P - label) * s * (1 - s)                        # s~.grad[b,y]
    h_grad, W1_grad = backward_loops(p["W1"], h, s_before, add)
    h_before = h_grad * h * (1 - h)                             # h~.grad[b,j]
    x_grad, W0_grad = backward_loops(p["W0"], x, h_before, add)
    gradients = {"x": x_grad, "W0": W0_grad, "C0": -h_before.sum(axis=0) / B, "W1": W1_grad, "C1": -s_before.sum(axis=0) / B}
    return gradients, -np.log((P * label).sum(axis=1))


def differences(f, arrays, e=1e-5):
    """(f(a + e) - f(a - e)) / 2e for every entry of these float64 arrays, name -> array, where f() reads them.

    Off by the order of e^2 and of rounding / e: about 1e-10 here. The arrays are as before when it is done.
    """
    found = {}
    for name, a in arrays.items():
        if a.dtype != np.float64:
            raise TypeError(f"arrays[{name!r}]: expected float64, in which a small difference can be seen, got {a.dtype}")
        found[name] = np.empty(a.shape)
        for at in np.ndindex(a.shape):
            kept, sides = a[at], []
            for sign in (1, -1):
                a[at] = kept + sign * e
                sides.append(f())
            a[at] = kept
            found[name][at] = (sides[0] - sides[1]) / (2 * e)
    return found


def _loops_verdict(r):
    good = max(r.program.values()) < 1e-10 and max(r.differences.values()) < 1e-6
    if good and min(r.overwritten.values()) > 1e-3:
        return Verdict("T7", "holds", "the slides' three loops give the program's gradients to rounding, and those of central differences; "
                       "with = for += they give others.")
    return Verdict("T7", "does not hold here", f"the loops are off by {max(r.program.values()):.0e} from the program and by "
                   f"{max(r.differences.values()):.0e} from central differences, or = does as well as +=.")


# ---------------------------------------------------------------- T8: where the 1/B stands


def conventions(B, seed=0):
    """The table for B random examples, as the panel shows it: a Convention for each of CONVENTIONS, against the declared one."""
    params, x, target = _random(SLIDES, Config(seed=seed), B)
    with one_blas_thread():
        return _table(SLIDES, params, x, target)


def _table(model, params, x, target, true=None):
    rows = []
    for name, mean_in in CONVENTIONS.items():
        _, grads, update = _three(model, params, x, target, mean_in)
        true = grads if true is None else true
        wanted = (true["x"], _flat(true, params), _flat(true, params))
        got = (grads["x"], _flat(grads, params), _flat(update, params))
        factors = [_factor(g, w) for g, w in zip(got, wanted)]
        off = max(_off(g, f * w) for g, f, w in zip(got, factors, wanted))
        rows.append(Convention(name, mean_in, *factors, off, tuple(float(np.linalg.norm(g)) for g in got)))
    return tuple(rows)


def _three(model, params, x, target, mean_in):
    """h~.grad, the gradients by name, and the update over lr by name, as the program gives them under a convention."""
    sizes = {i: n for name, a in params.items() for i, n in zip(model.parameters[name], a.shape)}
    net = model.with_index("b").compile(b=len(x), dtype="float64", mean_in=mean_in, **sizes)
    put(net, params)
    net.forward(x=x, target=target)
    net.backward()
    grads = {name: net.grads[name].copy() for name in ("x", "h~", *params)}
    net.step(1.0, x=x, target=target)
    return grads["h~"], grads, {name: params[name] - net.params[name] for name in params}


def _convention_verdict(r):
    by_places = lambda n: [c for c in r.conventions if len(c.mean_in) == n]
    near = lambda a, b: abs(a / b - 1) < 1e-6
    first = r.conventions[0]
    declared = near(first.x, 1) and near(first.W, 1) and near(first.update, 1)
    once = all(near(c.update, 1) for c in by_places(1))
    twice = all(near(c.update, 1 / r.B) for c in by_places(2))
    if declared and once and twice and max(c.off for c in r.conventions) < 1e-6:
        return Verdict("T8", "holds", "with the 1/B in W.grad, W.grad is the gradient of the mean loss and x.grad that of each example's "
                       "own; any one place makes the same update, any two make it B times too small.")
    return Verdict("T8", "does not hold here", "factors of x.grad, W.grad and the update with the 1/B in W.grad are "
                   f"{first.x:.2g}, {first.W:.2g}, {first.update:.2g}, or another place does not make the same update.")


# ---------------------------------------------------------------- Q6: the regulariser


def _share(c, B):
    params, x, target = _random(REGULARISED, c, B)
    sizes, weights = {"i": c.i, "j": c.j, "y": c.y, "dtype": "float64"}, ("W0", "W1")
    one, batch = MLP.compile(**sizes), MLP.with_index("b").compile(b=B, **sizes)
    whole = REGULARISED.with_index("b", shared="lam").compile(b=B, **sizes)
    for net in (one, batch, whole):
        put(net, params)
    alone = np.mean([_gradient(one, x=x[b], target=target[b]) for b in range(B)], axis=0)

    def objective():                    # (1/B) sum of ell, each alone, + lam J
        put(one, params)
        ell = sum(float(one.forward(x=x[b], target=target[b])) for b in range(B)) / B
        return ell + c.lam * sum(float((params[name] ** 2).sum()) for name in weights) / 2

    true = _flat(differences(objective, params), params)
    J = c.lam * _flat({name: a * (name in weights) for name, a in params.items()}, params)      # lam grad J: J is half the sum of squares
    return Share(B, _off(_gradient(batch, x=x, target=target), alone), _off(alone + J, true), _off(alone + J / B, true),
                 _off(_gradient(whole, x=x, target=target, lam=c.lam), true), _factor(true - alone, J))


def _gradient(net, **inputs):
    net.forward(**inputs)
    net.backward()
    return _flat(net.grads, net.params)


def _share_verdict(r):
    good = all(max(s.average, s.right, s.program, abs(s.coefficient - 1)) < 1e-6 for s in r.shares)
    if good and all(s.wrong > 1e-3 for s in r.shares if s.B > 1):
        return Verdict("Q6", "holds", "the gradient of the average is the average of gradients, and lam grad J is added to it once: "
                       f"for B = {', '.join(str(s.B) for s in r.shares)} central differences find 1 in front of it, not 1/B.")
    return Verdict("Q6", "does not hold here", "central differences find "
                   f"{', '.join(f'{s.coefficient:.2g} (B = {s.B})' for s in r.shares)} in front of lam grad J, or an average was off.")


# ---------------------------------------------------------------- one entry of W.grad, for the panel


@dataclass(frozen=True)
class Contributions:
    """W0.grad[j,i] of a batch of digits, under a convention.

    g[b] = h~.grad[b,j] and x[b] = x[b,i] as the program has them; each[b] = g[b] x[b]; in_front: 1/B or 1, by the convention.
    entry: W0.grad[j,i] = in_front * sum of each; update: what a step with lr = 1 takes from W0[j,i].
    images, x_grad: x[b,:] and x.grad[b,:], the pixels; target[b]: the digit; largest: the largest |x.grad| there is.
    """

    mean_in: tuple
    in_front: float
    entry: float
    update: float
    largest: float
    g: np.ndarray = field(repr=False)
    x: np.ndarray = field(repr=False)
    each: np.ndarray = field(repr=False)
    images: np.ndarray = field(repr=False)
    x_grad: np.ndarray = field(repr=False)
    target: np.ndarray = field(repr=False)

    @property
    def mean(self):
        """(1/B) sum of each."""
        return float(self.each.mean())


HIDDEN = 16


def contributions(B, j, i, mean_in=("parameters",), seed=0):
    """The B contributions to W0.grad[j,i] for the first B of shuffled digits; network 64-16-10, parameters drawn from seed."""
    for name, value, size in (("j", j, HIDDEN), ("i", i, 64)):
        if value not in range(size):
            raise ValueError(f"{name}: expected 0 to {size - 1}, got {value!r}")
    images, target, g, grads, update = _passed(B, tuple(mean_in), seed)
    x = images[:, i]
    return Contributions(tuple(mean_in), 1 / B if "parameters" in mean_in else 1.0, grads["W0"][j, i] + 0.0, update["W0"][j, i] + 0.0,
                         float(abs(grads["x"]).max()), g[:, j], x, g[:, j] * x, images, grads["x"], target)


@functools.lru_cache(maxsize=32)
def _passed(B, mean_in, seed):
    """Forward, backward and a step on B digits; kept, so that another entry is only looked up."""
    rng, digits = np.random.default_rng(seed), data.digits()
    if B not in range(1, len(digits.x_train) + 1):
        raise ValueError(f"B: expected 1 to {len(digits.x_train)} examples, got {B!r}")
    start = MLP.compile(i=64, j=HIDDEN, y=10, dtype="float64").init(rng).params
    at = rng.permutation(len(digits.x_train))[:B]
    images, target = digits.x_train[at].astype(float), digits.target_train[at]
    with one_blas_thread():
        return images, target, *_three(MLP, start, images, target, mean_in)


# ---------------------------------------------------------------- small things


def _random(model, c, B):
    """(parameters, x, target), float64; the biases are drawn too, as zeros would hide their sign."""
    rng, sizes = np.random.default_rng(c.seed), {"i": c.i, "j": c.j, "y": c.y}
    params = {name: rng.normal(size=[sizes[k] for k in indices]) for name, indices in model.parameters.items()}
    return params, rng.normal(size=(B, c.i)), rng.integers(0, c.y, B)


def put(net, params):
    """Write these parameters into a program."""
    for name, a in params.items():
        net.params[name][...] = a


def _flat(arrays, names):
    return np.concatenate([np.ravel(arrays[name]) for name in names])


def _off(a, b):
    """The largest difference over the largest entry of b, which must not be all zeros."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def _factor(a, b):
    """The f for which f b is nearest to a."""
    return float(np.vdot(a, b) / np.vdot(b, b))
