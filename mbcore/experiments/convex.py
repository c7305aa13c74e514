"""SGD on a convex problem whose minimum is known: softmax regression on three Gaussians, for many learning rates and replicas at once."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize

from .. import data
from ..backend import one_blas_thread
from ..equations import equations
from ..objective import Objective

LINEAR = equations("""
    s[y] = W[y,i] * x[i] - C[y]
    L    = cross_entropy(s[y], target)
""")


@dataclass(frozen=True, eq=False)
class Problem:
    """minimum: of mean L, by L-BFGS; start: mean L at parameters of 0, less the minimum; there d[n,p], the gradient of each
    example, and trace = tr(Sigma) with ddof 0."""

    x: np.ndarray = field(repr=False)
    target: np.ndarray = field(repr=False)
    minimum: float
    start: float
    d: np.ndarray = field(repr=False)
    trace: float


@functools.lru_cache(maxsize=4)
def problem(distance, seed):
    """500 examples of three Gaussians in five dimensions, and the minimum of their mean loss."""
    made = data.gaussians(n_train=500, n_test=1, i=5, classes=3, distance=distance, seed=seed)
    inputs = {"x": made.x_train.astype(float), "target": made.target_train}
    f = Objective(LINEAR.with_index("b").compile(b=500, i=5, y=3, dtype="float64"), inputs)

    def at(theta):
        f.move(theta)
        return f.loss_and_gradient()
    with one_blas_thread():
        found = minimize(at, np.zeros_like(f.start), jac=True, method="L-BFGS-B", options={"maxiter": 1000, "ftol": 1e-15, "gtol": 1e-10})
        f.move(found.x)
        d = np.concatenate(list(f.each()))
    return Problem(inputs["x"], inputs["target"], float(found.fun), float(np.log(3) - found.fun), d, float(d.var(axis=0).sum()))


@dataclass(frozen=True, eq=False)
class Descent:
    """Runs at one batch size. excess[look, lr, r]: mean L less the minimum; of_mean[look, lr]: the same at the parameters' mean over r."""

    B: int
    steps: np.ndarray
    excess: np.ndarray = field(repr=False)
    of_mean: np.ndarray = field(repr=False)

    def at(self, step):
        """excess[lr, r] after so many steps."""
        return self.excess[self._place(step)]

    def variance(self, step):
        """[lr]: what the replicas scatter around their mean costs, R/(R-1) times what is seen (ddof 1)."""
        k, R = self._place(step), self.excess.shape[-1]
        return (self.excess[k].mean(axis=-1) - self.of_mean[k]) * R / (R - 1)

    def bias(self, step):
        """[lr]: the excess that is left at the mean of infinitely many replicas; an estimate, which may be negative."""
        return self.at(step).mean(axis=-1) - self.variance(step)

    @property
    def floor(self):
        """[lr, r]: the mean excess over the second half of the run."""
        return self.excess[self.steps >= self.steps[-1] / 2].mean(axis=0)

    def _place(self, step):
        if step not in self.steps:
            raise ValueError(f"step: expected one of {', '.join(map(str, self.steps))}; got {step!r}")
        return int(np.flatnonzero(self.steps == step)[0])


def descending(B, config, lrs=None, decay=None, distance=None):
    """Yield (fraction done, Descent) at each look: replicas for every learning rate, from parameters of 0, batches with replacement.

    config: with steps, replicas, lrs, distance and seed, as noise_floor.Config; lrs and distance here replace its own.
    decay: a function of the step that multiplies the learning rates. The batches of replica r are the same for all rates.
    """
    c, lrs = config, np.array(config.lrs if lrs is None else lrs)
    task, R = problem(c.distance if distance is None else distance, c.seed), c.replicas
    net = LINEAR.with_index("b").with_index("r", parameters=True).compile(r=len(lrs) * R, b=B, i=5, y=3, dtype="float64")
    for p in net.params.values():
        p[...] = 0
    every = net.resized(b=500)
    mean = LINEAR.with_index("b").with_index("r", parameters=True).compile(r=len(lrs), b=500, i=5, y=3, dtype="float64")
    rng, rate, rows = np.random.default_rng((c.seed, B)), np.repeat(lrs, R), []
    marks = sorted({0, *(2 ** k for k in range(c.steps.bit_length())), *range(c.steps // 2, c.steps + 1, c.steps // 32)})

    def look(step):
        excess = every.forward(x=task.x, target=task.target).mean(axis=-1).reshape(-1, R) - task.minimum
        for name, p in mean.params.items():
            p[...] = net.params[name].reshape(-1, R, *p.shape[1:]).mean(axis=1)
        rows.append((step, excess, mean.forward(x=task.x, target=task.target).mean(axis=-1) - task.minimum))
        return step / c.steps, Descent(B, *map(np.array, zip(*rows)))

    yield look(0)
    for before, after in zip(marks, marks[1:]):
        with one_blas_thread():
            drawn = rng.integers(len(task.x), size=(after - before, R, B))
            for step, at in enumerate(drawn, before):
                at = np.tile(at, (len(lrs), 1))
                net.step(rate * decay(step) if decay else rate, x=task.x[at], target=task.target[at])
            done = look(after)
        yield done
