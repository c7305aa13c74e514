"""T7: backpropagation with a batch is three loops, and the 1/B of the average stands in one of them.

    h~[b,j] += W[j,i] x[b,i]      x.grad[b,i] += h~.grad[b,j] W[j,i]      W.grad[j,i] += 1/B h~.grad[b,j] x[b,i]

Source: D. McAllester, TTIC 31230, "Minibatching: The Batch Index", 2024. No published numbers. The referee is a central
difference of the mean loss, which knows no rule of differentiation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..backend import one_blas_thread
from .models import SLIDES
from .verdict import Verdict

CLAIMS = ("T7",)


@dataclass(frozen=True)
class Config:
    B: int = 5
    i: int = 6
    j: int = 4
    y: int = 3
    seed: int = 0


SMALL = Config()


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
    verdicts: tuple = ()


def run(config=Config()):
    """All three on random data, float64, one thread; see Result."""
    c = config
    params, x, target = random_data(SLIDES, c, c.B)
    with one_blas_thread():
        loops, L = slides_by_loops(params, x, target)
        net = SLIDES.with_index("b").compile(b=c.B, i=c.i, j=c.j, y=c.y, dtype="float64")
        put(net, params)
        found = {"L": net.forward(x=x, target=target)}
        net.backward()
        found |= {name: net.grads[name] for name in loops}
        true = true_gradients(params, x, target)
        careless = slides_by_loops(params, x, target, add=False)[0]
    result = Result(c.B, {n: apart(found[n], a) for n, a in {**loops, "L": L}.items()},
                    {n: apart(loops[n], true[n]) for n in true}, {n: apart(careless[n], loops[n]) for n in ("x", "W0", "W1")})
    return Result(**{**result.__dict__, "verdicts": (_verdict(result),)})


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
    C0_grad, C1_grad = -h_before.sum(axis=0) / B, -s_before.sum(axis=0) / B
    gradients = {"x": x_grad, "h~": h_before, "W0": W0_grad, "C0": C0_grad, "W1": W1_grad, "C1": C1_grad}
    return gradients, -np.log((P * label).sum(axis=1))


def true_gradients(params, x, target):
    """What central differences of the slides' loss say: by name, of the mean loss; for x, of each example's own loss."""
    true = differences(lambda: float(slides_by_loops(params, x, target)[1].mean()), {**params, "x": x})
    return {**true, "x": len(x) * true["x"]}                    # from the mean to L[b]


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


def _verdict(r):
    good = max(r.program.values()) < 1e-10 and max(r.differences.values()) < 1e-6
    if good and min(r.overwritten.values()) > 1e-3:
        return Verdict("T7", "holds", "the slides' three loops give the program's gradients to rounding, and those of central differences; "
                       "with = for += they give others.")
    return Verdict("T7", "does not hold here", f"the loops are off by {max(r.program.values()):.0e} from the program and by "
                   f"{max(r.differences.values()):.0e} from central differences, or = does as well as +=.")


# ---------------------------------------------------------------- small things, shared with `conventions` and `regulariser`


def random_data(model, c, B):
    """(parameters, x, target), float64, sizes and seed of c; the biases are drawn too, as zeros would hide their sign."""
    rng, sizes = np.random.default_rng(c.seed), {"i": c.i, "j": c.j, "y": c.y}
    params = {name: rng.normal(size=[sizes[k] for k in indices]) for name, indices in model.parameters.items()}
    return params, rng.normal(size=(B, c.i)), rng.integers(0, c.y, B)


def put(net, params):
    """Write these parameters into a program."""
    for name, a in params.items():
        net.params[name][...] = a


def flat(arrays, names=None):
    """The named arrays, or all, as one vector."""
    return np.concatenate([np.ravel(arrays[name]) for name in names or arrays])


def gradient(net, **inputs):
    """A program's parameter gradients at these inputs, as one vector."""
    net.forward(**inputs)
    net.backward()
    return flat(net.grads, net.params)


def apart(a, b):
    """The largest difference over the largest entry of b, which must not be all zeros."""
    return float(np.abs(a - b).max() / np.abs(b).max())


def factor(a, b):
    """The f for which f b is nearest to a."""
    return float(np.vdot(a, b) / np.vdot(b, b))
