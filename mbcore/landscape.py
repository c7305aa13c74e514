"""The loss around a set of parameters: along lines and planes, in a small box, and by its
curvature.

Here f(theta) is the mean loss over the inputs that are given, in float64 on a copy of the
parameters: the caller's program is left as it was. Slices are generators that yield (fraction done,
Slice so far), so that a panel can draw them as they come.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.optimize import Bounds, minimize
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from .backend import one_blas_thread, to_cpu
from .checking import generator, numbers, real, whole
from .graph import Contraction, Loss
from .objective import Objective, check_one_network


@dataclass(frozen=True, eq=False)
class Slice:
    """loss and error at each of alphas [a], or of alphas and betas [a, b]; nan where not yet
    computed.

    error: the share of examples whose largest score is not the target; nan for a loss without
    whole-number labels. Far from the parameters a loss may be inf or nan; where a score is, no
    class has the largest one, and the error is nan.
    """

    alphas: np.ndarray
    betas: np.ndarray | None
    loss: np.ndarray = field(repr=False)
    error: np.ndarray = field(repr=False)


STEP = 1e-8  # of the differences of gradients that top_eigenvalues takes


def interpolation(program, start, end, alphas, **inputs):
    """f((1 - alpha) start + alpha end), start and end being parameters by name; alphas may go
    beyond 0 and 1.

    I. Goodfellow et al., arXiv:1412.6544; between a small-batch and a large-batch solution: N.
    Keskar et al., arXiv:1609.04836.
    """
    f = _objective(program, inputs)
    start, end = f.vector("start", start), f.vector("end", end)
    return _slice(f, start, (end - start,), (_places("alphas", alphas),))


def slice_1d(program, direction, alphas, **inputs):
    """f(theta + alpha direction), the direction by name of parameter."""
    f = _objective(program, inputs)
    return _slice(f, f.start, (f.vector("direction", direction),), (_places("alphas", alphas),))


def slice_2d(program, first, second, alphas, betas, **inputs):
    """f(theta + alpha first + beta second), row by row of alphas."""
    f = _objective(program, inputs)
    directions = f.vector("first", first), f.vector("second", second)
    return _slice(f, f.start, directions, (_places("alphas", alphas), _places("betas", betas)))


def _objective(program, inputs):
    """The Objective of a program and its inputs; also accepts an Objective, to reuse it across
    slices."""
    return program if isinstance(program, Objective) and not inputs else Objective(program, inputs)


def _slice(f, start, directions, grids):
    """The generator behind every slice: one yield for each alpha."""
    shape = tuple(map(len, grids))
    found = Slice(
        *grids, *(None,) * (2 - len(grids)), np.full(shape, np.nan), np.full(shape, np.nan)
    )
    for a in range(shape[0]):
        # What was yielded stays as it was.
        found = replace(found, loss=found.loss.copy(), error=found.error.copy())
        # Far away the loss may be infinite.
        with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
            for rest in np.ndindex(shape[1:]):
                at = (a, *rest)
                f.move(start + sum(grid[k] * d for grid, k, d in zip(grids, at, directions)))
                found.loss[at], found.error[at] = _loss_and_error(f)
        yield (a + 1) / shape[0], found


def _loss_and_error(f):
    labelled = next((n for n in f.program.graph.nodes if isinstance(n, Loss) and n.labels), None)
    loss, error = 0.0, 0.0 if labelled else float("nan")
    for share, part in f.parts():
        loss += share * float(f.program.forward(**part).mean())
        if labelled:
            scores = to_cpu(f.program.values[labelled.scores.name])
            wrong = scores.argmax(-1) != to_cpu(part[labelled.target.name])
            error += share * float(wrong.mean()) if np.isfinite(scores).all() else float("nan")
    return loss, error


def filter_normalised(program, rng):
    """A random direction by name: d <- d/||d|| ||theta|| for each filter, d normal; 0 for
    parameters that are no weights.

    H. Li et al., arXiv:1712.09913. A filter is one neuron's incoming weights, W0[j,:]: what a
    product of the parameter and a value sums over. So the direction is 0 for biases, and for gains,
    which multiply without a sum. rng: not seeded as the one that drew the parameters, or the
    direction is theirs.
    """
    check_one_network(program)
    rng, found = generator(rng), {}
    for name, p in program.params.items():
        numbers(f"program: {name}", to_cpu(p))
        theta, axes = to_cpu(p).astype(float), _summed_axes(program.graph, name)
        d = rng.standard_normal(theta.shape)
        length = lambda a: np.sqrt((a * a).sum(axis=axes, keepdims=True))
        found[name] = d / length(d) * length(theta) if axes else np.zeros(theta.shape)
    return found


def _summed_axes(graph, name):
    """The axes of a parameter that a product of it and a value sums over; () for a bias or a
    gain."""
    for node in graph.nodes:
        for term in node.terms if isinstance(node, Contraction) else ():
            factors = [x for x in term.factors if x.name == name]
            if len(factors) == 1 < len(term.factors):  # a regulariser has W twice
                axes = tuple(
                    k for k, i in enumerate(factors[0].indices) if i not in node.out.indices
                )
                if axes:
                    return axes
    return ()


@dataclass(frozen=True)
class Sharpness:
    """value: phi = 100 (worst - loss)/(1 + loss); worst: the largest f that was found in the box,
    at least loss, f at its centre.

    at_bound: the share of coordinates that ended on the box's faces. iterations: of L-BFGS-B;
        evaluations: of f and its gradient.
    """

    value: float
    loss: float
    worst: float
    at_bound: float
    iterations: int
    evaluations: int


def sharpness(program, rng, eps=1e-3, iterations=10, **inputs):
    """Keskar's sharpness (arXiv:1609.04836, metric 2.1) in full space: phi of max f(theta + z),
    |z_i| <= eps (|theta_i| + 1).

    The maximum is what SciPy's L-BFGS-B reaches in 10 iterations, on z as it is, with no other
    reason to stop. The paper does not say where it starts; z = 0 is nearly stationary at a minimum,
    so here z starts uniformly at random in the box. Parameters of another scale that compute the
    same function have another sharpness: see the module rescaling.
    """
    eps = real("eps", eps, above=0, most=1e100)
    rng = generator(rng)
    iterations = whole("iterations", iterations)
    f = _objective(program, inputs)
    box = eps * (np.abs(f.start) + 1)

    def descent(z):
        f.move(f.start + z)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            loss, g = f.loss_and_gradient()
        if not np.isfinite(loss) or not np.isfinite(g).all():
            raise ValueError(
                f"eps: expected a box in which the loss is finite, got {eps:g}, and there the "
                f"loss {loss:.3g}"
            )
        return -loss, -g

    with one_blas_thread():
        f.move(f.start)
        loss = f.finite_gradient()[0]
        if loss <= -1:
            raise ValueError(
                "program: expected a mean loss above -1, since the sharpness is divided by "
                f"1 + loss; got {loss:.3g}"
            )
        found = minimize(
            descent,
            rng.uniform(-box, box),
            jac=True,
            method="L-BFGS-B",
            bounds=Bounds(-box, box),
            options=dict(maxiter=iterations, ftol=0, gtol=0),
        )
    worst = max(loss, -float(found.fun))
    return Sharpness(
        100 * (worst - loss) / (1 + loss),
        loss,
        worst,
        float((np.abs(found.x) >= box).mean()),
        found.nit,
        found.nfev,
    )


@dataclass(frozen=True, eq=False)
class Eigenvalues:
    """values[k] of the Hessian, largest first, vectors[k, p] of length 1, residuals[k] = ||H v -
    value v||."""

    values: np.ndarray
    vectors: np.ndarray = field(repr=False)
    residuals: np.ndarray


def top_eigenvalues(program, rng, k=1, tol=1e-6, **inputs):
    """The k largest eigenvalues of the Hessian of f, by SciPy's Lanczos (eigsh) on Hessian-vector
    products.

    tol: relative, not below what the products hold, about 1e-7. RuntimeError when Lanczos does not
        settle.
    """
    tol, rng, k = real("tol", tol, above=0, below=1), generator(rng), whole("k", k)
    f = _objective(program, inputs)
    n = len(f.start)
    if k > n:
        raise ValueError(f"k: expected at most the {n} parameters, got {k}")
    with one_blas_thread():
        product, first = _products(f), rng.standard_normal(n)
        try:
            if k == n:  # Lanczos finds fewer
                H = np.array([product(v) for v in np.eye(n)])
                values, vectors = np.linalg.eigh((H + H.T) / 2)
            elif not product(first).any():  # H is 0, and Lanczos has nothing to start from
                values, vectors = np.zeros(k), np.eye(n)[:, :k]
            else:
                values, vectors = eigsh(
                    LinearOperator((n, n), matvec=product, dtype=float),
                    k,
                    which="LA",
                    ncv=min(n, 2 * k + 6),
                    tol=tol,
                    v0=first,
                )
        except ArpackNoConvergence as error:
            raise RuntimeError(
                f"top_eigenvalues: only {len(error.eigenvalues)} of {k} settled; try fewer, or a "
                "larger tol"
            ) from None
        order = np.argsort(values)[::-1]
        values, vectors = values[order], vectors.T[order]
        residuals = [np.linalg.norm(product(v) - value * v) for v, value in zip(vectors, values)]
    return Eigenvalues(values, vectors, np.array(residuals))


def _products(f):
    """v -> H v = (g(theta + e v) - g(theta)) / e with e |v| = 1e-8, about 1e-7 relative in float64.

    Not Program.hessian_vector_product, whose step of 1e-5 (1 + |theta|) is right for smooth
    functions alone. An example that has the kink of a relu within the step adds a curvature that is
    not there; of 1,437 examples and 32 units some always have, and eigenvalues came out up to 55 %
    too large. At this step one difference is as good as a central one, and half the work.
    """
    f.move(f.start)
    here = f.finite_gradient()[1]

    def product(v):
        v = np.ravel(v)
        e = STEP / np.linalg.norm(v)
        f.move(f.start + e * v)
        return (f.finite_gradient()[1] - here) / e

    return product


def _places(name, grid):
    """The places of a slice, as an array [n] of at least one finite number."""
    grid = numbers(name, grid, ndim=1)
    if not grid.size:
        raise ValueError(f"{name}: expected finite numbers along one axis, got none")
    return grid
