"""The loss around a set of parameters. Oracles: forward at parameters set by hand, a quadratic
model in closed form, JAX."""

import math

import numpy as np
import pytest
from models import BATCH_NORM, BY_HAND, USUAL, drawn, jax, loaded
from numpy.testing import assert_allclose, assert_array_equal

import mbcore as mb
from mbcore import objective
from mbcore.landscape import (
    filter_normalised,
    interpolation,
    sharpness,
    slice_1d,
    slice_2d,
    top_eigenvalues,
)
from mbcore.progress import last
from mbcore.rescaling import rescaled

SIZES = dict(i=5, j=4, y=3)
RELU = USUAL.replace("sigmoid", "relu")
QUADRATIC = "z[i] = W[i] - x[i]\nL = 0.5 * a[i] * z[i] * z[i]"


def rng(seed=0):
    return np.random.default_rng(seed)


def net_and_inputs(N=9, text=USUAL, B=4, dtype="float64"):
    batch = mb.equations(text).with_index("b")
    params, inputs = drawn(batch, {**SIZES, "b": N}, seed=1)
    return loaded(batch.compile(b=B, dtype=dtype, **SIZES), params), inputs


def quadratic(a, W, x):
    net = (
        mb.equations(QUADRATIC)
        .with_index("b", shared=("a",))
        .compile(b=len(x), i=len(a), dtype="float64")
    )
    net.params["W"][...] = W
    return net, dict(x=x, a=np.array(a, dtype=float))


def by_hand(net, inputs, params):
    """(mean loss, error) with these parameters, by forward on a program of its own."""
    own = loaded(
        mb.equations(USUAL).with_index("b").compile(b=len(inputs["x"]), dtype="float64", **SIZES),
        params,
    )
    L = own.forward(**inputs).mean()
    return L, np.mean(own.values["s"].argmax(1) != inputs["target"])


# ---------------------------------------------------------------- lines and planes


@pytest.mark.parametrize("rows", [4096, 4])
def test_interpolation_is_forward_at_the_points_between(rows, monkeypatch):
    monkeypatch.setattr(objective, "ROWS", rows)
    (net, inputs), end = (
        net_and_inputs(),
        {n: rng(3).normal(size=p.shape) for n, p in net_and_inputs()[0].params.items()},
    )
    start, alphas = {n: p.copy() for n, p in net.params.items()}, [-0.5, 0, 0.3, 1, 2]
    found = last(interpolation(net, start, end, alphas, **inputs))
    expected = [
        by_hand(net, inputs, {n: (1 - a) * start[n] + a * end[n] for n in start}) for a in alphas
    ]
    assert_allclose(np.column_stack([found.loss, found.error]), expected, rtol=1e-12)
    assert_array_equal(found.alphas, alphas)
    assert found.betas is None


def test_slices_come_point_by_point_and_stay_as_they_were():
    net, inputs = net_and_inputs()
    d = filter_normalised(net, rng(1))
    seen = list(slice_1d(net, d, [-1, 0, 1, 2], **inputs))
    assert [f for f, _ in seen] == [0.25, 0.5, 0.75, 1]
    assert (
        [int(np.isnan(s.loss).sum()) for _, s in seen]
        == [3, 2, 1, 0]
        == [int(np.isnan(s.error).sum()) for _, s in seen]
    )
    assert_array_equal(seen[-1][1].loss[:2], seen[1][1].loss[:2])
    assert_allclose(seen[-1][1].loss[1], by_hand(net, inputs, net.params)[0], rtol=1e-12)


def test_plane():
    net, inputs = net_and_inputs()
    d, e = filter_normalised(net, rng(1)), filter_normalised(net, rng(2))
    seen = list(slice_2d(net, d, e, [-1, 0.5], [0, 1, 2], **inputs))
    found = seen[-1][1]
    assert (
        len(seen) == 2
        and found.loss.shape == found.error.shape == (2, 3)
        and np.isnan(seen[0][1].loss[1]).all()
    )
    for (k, l), loss in np.ndenumerate(found.loss):
        at = {n: p + found.alphas[k] * d[n] + found.betas[l] * e[n] for n, p in net.params.items()}
        assert_allclose((loss, found.error[k, l]), by_hand(net, inputs, at), rtol=1e-12)


def test_a_loss_without_labels_has_no_error():
    net, inputs = quadratic([1, 4], [1.0, 2], rng().normal(size=(5, 2)))
    found = last(slice_1d(net, {"W": np.array([1.0, 0])}, [0, 1], **inputs))
    assert np.isfinite(found.loss).all() and np.isnan(found.error).all()


def test_coupled_examples_are_taken_all_at_once(monkeypatch):
    net, inputs = net_and_inputs(text=BATCH_NORM)
    whole = net.resized(b=9).forward(**inputs).mean()
    monkeypatch.setattr(objective, "ROWS", 4)
    found = last(slice_1d(net, filter_normalised(net, rng()), [0], **inputs))
    assert_allclose(found.loss[0], whole, rtol=1e-12)


# ---------------------------------------------------------------- filter normalisation


@pytest.mark.parametrize("text", [USUAL, USUAL.replace("W0[j,i]", "W0[i,j]")])
def test_each_filter_has_the_length_of_its_weights(text):
    """A filter is what one neuron receives, whichever index stands first; biases stay where they
    are."""
    net, _ = net_and_inputs(text=text)
    d, axis = filter_normalised(net, rng()), 1 if "W0[j,i]" in text else 0
    assert_allclose(
        np.linalg.norm(d["W0"], axis=axis), np.linalg.norm(net.params["W0"], axis=axis), rtol=1e-12
    )
    assert_allclose(
        np.linalg.norm(d["W1"], axis=1), np.linalg.norm(net.params["W1"], axis=1), rtol=1e-12
    )
    assert not d["C0"].any() and not d["C1"].any()
    assert_array_equal(d["W0"], filter_normalised(net, rng())["W0"])


def test_gains_are_no_filters_and_regularisers_do_not_hide_them():
    net, _ = net_and_inputs(text=BATCH_NORM)
    d = filter_normalised(net, rng())
    assert not d["G"].any() and not d["A"].any() and d["W0"].any()
    both = mb.equations(
        "J = lam * W[j,i] * W[j,i]\nh[j] = W[j,i] * x[i]\nL = squared_error(h[j], t[j]) + J"
    ).with_index("b", shared=("lam",))
    net = both.compile(b=2, i=5, j=3).init(rng())
    assert_allclose(
        np.linalg.norm(filter_normalised(net, rng(7))["W"], axis=1),
        np.linalg.norm(net.params["W"], axis=1),
        rtol=1e-6,
    )


def test_a_dead_filter_stays_where_it_is():
    net, _ = net_and_inputs()
    net.params["W0"][2] = 0
    assert not filter_normalised(net, rng())["W0"][2].any()


# ---------------------------------------------------------------- sharpness


@pytest.mark.parametrize("eps", [1e-3, 5e-4])
def test_sharpness_of_a_quadratic_is_that_of_the_best_corner(eps):
    """f(W + z) - f(W) = sum a z^2/2 + g z: over the box its maximum is at the corner with the signs
    of g."""
    a, W, x = np.array([300.0, 500, 800]), np.array([1.0, -2, 0.5]), rng().normal(size=(20, 3))
    net, inputs = quadratic(a, W, x)
    r, g = eps * (abs(W) + 1), a * (W - x.mean(0))
    loss = (0.5 * a * (W - x) ** 2).sum(1).mean()
    found = sharpness(net, rng(), eps, **inputs)
    assert_allclose(found.value, 100 * (a * r * r / 2 + abs(g) * r).sum() / (1 + loss), rtol=1e-8)
    assert_allclose(found.loss, loss, rtol=1e-12)
    assert found.at_bound == 1


def test_sharpness_at_a_minimum_leaves_it():
    """g = 0, where a start at z = 0 would not move: every corner is a maximum."""
    a, x = np.array([3000.0, 5000]), rng().normal(size=(20, 2))
    net, inputs = quadratic(a, x.mean(0), x)
    found, r = sharpness(net, rng(), **inputs), 1e-3 * (abs(x.mean(0)) + 1)
    assert_allclose(found.worst - found.loss, (a * r * r / 2).sum(), rtol=1e-6)


def test_sharpness_stays_in_the_box_and_finds_more_than_random_points():
    net, inputs = net_and_inputs(N=40)
    found = sharpness(net, rng(), **inputs)
    worst = by_hand(net, inputs, net.params)[0]
    for seed in range(200):
        corner = {
            n: p + 1e-3 * (abs(p) + 1) * rng(seed).choice((-1, 1), p.shape)
            for n, p in net.params.items()
        }
        worst = max(worst, by_hand(net, inputs, corner)[0])
    g = net.resized(b=40)
    g.forward(**inputs)
    g.backward()
    first_order = sum(
        float((abs(g.grads[n]) * 1e-3 * (abs(p) + 1)).sum()) for n, p in net.params.items()
    )
    assert worst < found.worst < found.loss + 1.05 * first_order
    assert_allclose(found.value, 100 * (found.worst - found.loss) / (1 + found.loss))
    assert found.iterations <= 10 and sharpness(net, rng(), **inputs) == found


# ---------------------------------------------------------------- eigenvalues


def test_eigenvalues_of_a_quadratic_are_its_curvatures():
    a = [3.0, 1, 7, 2, 5]
    net, inputs = quadratic(a, np.ones(5), rng().normal(size=(8, 5)))
    found = top_eigenvalues(net, rng(), k=2, **inputs)
    assert_allclose(found.values, [7, 5], rtol=1e-6)
    assert_allclose(abs(found.vectors), np.eye(5)[[2, 4]], atol=1e-4)
    assert (found.residuals < 1e-4).all()


def test_largest_means_the_most_positive():
    net = (
        mb.equations("L = 0.5 * a[i] * W[i] * W[i] + W[i] * x[i]")
        .with_index("b", shared=("a",))
        .compile(b=3, i=4, dtype="float64")
    )
    found = top_eigenvalues(net, rng(), a=np.array([-9.0, 1, 2, -1]), x=np.zeros((3, 4)))
    assert_allclose(found.values, [2], rtol=1e-6)


@pytest.mark.parametrize("rows", [4096, 7])
def test_eigenvalues_equal_jax(rows, monkeypatch):
    J = jax()
    net, inputs = net_and_inputs(N=20)
    shapes = {n: p.shape for n, p in net.params.items()}
    cuts = np.cumsum([math.prod(s) for s in shapes.values()])[:-1]

    def loss(theta):
        p = {n: part.reshape(shapes[n]) for n, part in zip(shapes, J.numpy.split(theta, cuts))}
        return BY_HAND[USUAL](
            J.numpy, J.nn.sigmoid, None, lambda s: J.nn.log_softmax(s, axis=-1), p, **inputs
        ).mean()

    H = np.asarray(J.jit(J.hessian(loss))(np.concatenate([p.ravel() for p in net.params.values()])))
    monkeypatch.setattr(objective, "ROWS", rows)
    found = top_eigenvalues(net, rng(), k=3, **inputs)
    assert_allclose(found.values, np.linalg.eigvalsh(H)[:-4:-1], rtol=1e-6)
    assert_allclose(H @ found.vectors.T, found.vectors.T * found.values, atol=1e-5)
    assert (found.residuals < 1e-5).all()


def test_the_kinks_of_relu_add_no_curvature():
    """The Hessian of a relu network where it has one; kinks 3e-6 away lie within a step of 1e-5 (1
    + |theta|)."""
    J, relu = jax(), mb.equations(RELU).with_index("b")
    net = relu.compile(b=500, i=20, j=30, y=3, dtype="float64").init(rng(2))
    x, target = rng(3).normal(size=(500, 20)), rng(4).integers(0, 3, 500)
    net.params["C0"][...] = net.params["W0"] @ x[0] - 3e-6
    cuts = np.cumsum([p.size for p in net.params.values()])[:-1]

    def loss(theta):
        W0, C0, W1, C1 = (
            part.reshape(p.shape)
            for part, p in zip(J.numpy.split(theta, cuts), net.params.values())
        )
        s = J.numpy.maximum(x @ W0.T - C0, 0) @ W1.T - C1
        return -J.nn.log_softmax(s, axis=-1)[np.arange(500), target].mean()

    assert list(net.params) == ["W0", "C0", "W1", "C1"]
    v = top_eigenvalues(net, rng(5), tol=1e-3, x=x, target=target).vectors[0]
    theta, jvp = (
        np.concatenate([p.ravel() for p in net.params.values()]),
        J.jit(lambda t, v: J.jvp(J.grad(loss), (t,), (v,))[1]),
    )
    expected, f = np.asarray(jvp(theta, v)), objective.Objective(net, dict(x=x, target=target))
    assert_allclose(
        top_eigenvalues(net, rng(5), x=x, target=target).values[0], v @ expected, rtol=1e-5
    )
    assert (
        abs(f.hessian_times(v) - expected).max() > 1e-3 * abs(expected).max()
    )  # what the step is for


def test_an_objective_stands_for_a_program_and_its_inputs():
    net, inputs = net_and_inputs()
    f, d = objective.Objective(net, inputs), filter_normalised(net, rng(1))
    assert_array_equal(
        last(slice_1d(f, d, [-1, 1])).loss, last(slice_1d(net, d, [-1, 1], **inputs)).loss
    )
    assert sharpness(f, rng()) == sharpness(net, rng(), **inputs)
    assert_array_equal(
        top_eigenvalues(f, rng()).values, top_eigenvalues(net, rng(), **inputs).values
    )


# ---------------------------------------------------------------- Dinh's rescaling


@pytest.mark.parametrize(
    "text",
    [
        RELU,
        RELU.replace(
            "relu(W0[j,i] * x[i] - C0[j])", "relu(u[j])\n    u[j] = W0[j,i] * x[i] - C0[j]"
        ),
    ],
)
@pytest.mark.parametrize("alpha", [0.1, 16.0])
def test_rescaling_keeps_the_function_and_changes_the_sharpness(text, alpha):
    net, inputs = net_and_inputs(text=text, B=9)
    L, sharp = net.forward(**inputs), sharpness(net, rng(), **inputs).value
    new = rescaled(net, "h", alpha)
    assert_allclose(new["W0"], alpha * net.params["W0"])
    assert_allclose(new["C0"], alpha * net.params["C0"])
    assert_allclose(new["W1"], net.params["W1"] / alpha)
    assert_array_equal(new["C1"], net.params["C1"])
    loaded(net, new)
    assert_allclose(net.forward(**inputs), L, rtol=1e-12)
    assert not 0.8 < sharpness(net, rng(), **inputs).value / sharp < 1.25


@pytest.mark.parametrize(
    "text, value",
    [
        (USUAL, "h"),
        (RELU, "s"),
        (RELU, "nothing"),
        (RELU, None),
        ("h[j] = relu(x[j])\nL = squared_error(h[j], t[j])", "h"),  # no parameter before
        (
            "h[j] = relu(W[j,i] * x[i] + u[j])\ns[y] = V[y,j] * h[j]\nL = squared_error(s[y], "
            "t[y])",
            "h",
        ),  # a term without one
        ("h[j] = relu(W[j,i] * x[i])\nL = squared_error(h[j], t[j])", "h"),  # none behind
        (
            "h[j] = relu(W[j,i] * x[i])\ns[y] = V[y,j] * h[j]\nJ = W[j,i] * W[j,i]\nL = "
            "squared_error(s[y], t[y]) + J",
            "h",
        ),  # weight decay
        (
            "h[j] = relu(W[j,i] * x[i])\ns[y] = V[y,j] * h[j] * h[j]\nL = squared_error(s[y], "
            "t[y])",
            "h",
        ),  # h squared
        (
            "u[j] = W[j,i] * x[i]\nh[j] = relu(u[j])\ns[y] = V[y,j] * h[j] + U[y,j] * u[j]\nL = "
            "squared_error(s[y], t[y])",
            "h",
        ),  # a way round
    ],
)
def test_rescaling_refuses_what_would_change_the_function(text, value):
    batch = mb.equations(text).with_index("b")
    letters = {i for s in batch.graph.shapes.values() for i in s}
    net = batch.compile(**{i: n for i, n in dict(b=2, i=5, j=4, y=3).items() if i in letters})
    with pytest.raises(ValueError, match="value: "):
        rescaled(net, value, 2.0)


# ---------------------------------------------------------------- the caller's program is left
# alone

EVERY = {
    "interpolation": lambda net, i: last(
        interpolation(net, dict(net.params), dict(net.params), [0, 1], **i)
    ),
    "slice_2d": lambda net, i: last(
        slice_2d(
            net, filter_normalised(net, rng()), filter_normalised(net, rng(1)), [0, 1], [1, 2], **i
        )
    ),
    "sharpness": lambda net, i: sharpness(net, rng(), **i),
    "top_eigenvalues": lambda net, i: top_eigenvalues(net, rng(), **i),
}


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_and_gradients_stay_bitwise(call, broken, dtype, monkeypatch):
    net, inputs = net_and_inputs(dtype=dtype)
    net.forward(**{k: a[:4] for k, a in inputs.items()})
    net.backward()
    before = [a.tobytes() for group in (net.params, net.grads, net.values) for a in group.values()]
    if broken:
        real, calls = mb.Program.forward, []

        def failing(self, **inputs):
            calls.append(1)
            if len(calls) > 1:
                raise OSError("inside")
            return real(self, **inputs)

        monkeypatch.setattr(mb.Program, "forward", failing)
        with pytest.raises(OSError, match="inside"):
            call(net, inputs)
    else:
        assert repr(call(net, inputs)) == repr(call(net, inputs))
    assert before == [
        a.tobytes() for group in (net.params, net.grads, net.values) for a in group.values()
    ]


def test_a_slice_that_is_left_half_way_changes_nothing():
    net, inputs = net_and_inputs()
    before = [p.tobytes() for p in net.params.values()]
    next(slice_1d(net, filter_normalised(net, rng()), [1, 2, 3], **inputs))
    assert before == [p.tobytes() for p in net.params.values()]


# ---------------------------------------------------------------- bad input


def test_bad_places_and_directions():
    net, inputs = net_and_inputs()
    d = filter_normalised(net, rng())
    for grid in ([], [[0, 1]], [0, math.nan], 1.0):
        with pytest.raises(ValueError, match="alphas: expected (finite numbers|1 axis)"):
            slice_1d(net, d, grid, **inputs)
        with pytest.raises(ValueError, match="betas: "):
            slice_2d(net, d, d, [0], grid, **inputs)
    for bad in ({**d, "W0": d["W0"].T}, {"W0": d["W0"]}, {**d, "W9": 0}, 3):
        with pytest.raises(ValueError, match="direction: expected an array for each parameter"):
            slice_1d(net, bad, [0], **inputs)
    with pytest.raises(ValueError, match=r"end\['C0'\]: expected finite"):
        interpolation(net, d, {**d, "C0": np.full(4, np.inf)}, [0], **inputs)
    with pytest.raises(ValueError, match="target: missing"):
        slice_1d(net, d, [0], x=inputs["x"])


def test_bad_settings():
    net, inputs = net_and_inputs()
    for eps in (0, -1, math.inf, math.nan, "1"):
        with pytest.raises(ValueError, match="eps: expected a finite number above 0"):
            sharpness(net, rng(), eps, **inputs)
    with pytest.raises(
        ValueError, match="iterations: expected a whole number of at least 1, got 0"
    ):
        sharpness(net, rng(), iterations=0, **inputs)
    for k in (0, 40):
        with pytest.raises(ValueError, match="k: expected"):
            top_eigenvalues(net, rng(), k, **inputs)
    for call in (
        lambda: sharpness(net, 0, **inputs),
        lambda: top_eigenvalues(net, 0, **inputs),
        lambda: filter_normalised(net, 0),
    ):
        with pytest.raises(TypeError, match="rng: expected a numpy.random.Generator"):
            call()
    for tol in (0, -1, 1, math.nan, None):
        with pytest.raises(ValueError, match="tol: expected a finite number above 0 and below 1"):
            top_eigenvalues(net, rng(), tol=tol, **inputs)
    for alpha in (0, -2, math.nan, math.inf, "2", None, True):
        with pytest.raises(ValueError, match="alpha: expected a finite number above 0"):
            rescaled(net_and_inputs(text=RELU)[0], "h", alpha)


@pytest.mark.parametrize(
    "dtype, alpha",
    [
        ("float32", 1e39),
        ("float32", 1e-39),
        ("float32", 1e-300),
        ("float64", 1e308),
        ("float64", 1e-320),
    ],
)
def test_a_rescaling_that_the_dtype_cannot_hold_is_refused(dtype, alpha):
    net, _ = net_and_inputs(text=RELU, dtype=dtype)
    with pytest.raises(
        ValueError, match=f"alpha: expected a number with which .* stays within {dtype}"
    ):
        rescaled(net, "h", alpha)


def test_numpy_and_torch_numbers_count():
    net, inputs = net_and_inputs(text=RELU, B=9)
    for name, p in rescaled(net, "h", np.float32(2)).items():
        assert_array_equal(p, rescaled(net, "h", 2)[name])
    assert sharpness(net, rng(), np.float64(1e-3), np.int64(4), **inputs) == sharpness(
        net, rng(), 1e-3, 4, **inputs
    )


def test_a_program_that_is_none_and_replicas_are_refused():
    replicas = (
        mb.equations(RELU)
        .with_index("b")
        .with_index("r", parameters=True)
        .compile(r=2, b=3, **SIZES)
    )
    for program, error in (
        (None, TypeError),
        ("net", TypeError),
        (replicas, ValueError),
        (mb.equations(RELU).compile(**SIZES), ValueError),
    ):
        for call in (
            lambda: rescaled(program, "h", 2.0),
            lambda: filter_normalised(program, rng()),
            lambda: sharpness(program, rng()),
        ):
            with pytest.raises(error, match="^program: expected"):
                call()


def test_a_loss_that_is_no_number_is_never_a_sharpness():
    """exp(W x) overflows float64 at W x = 710: in the box of eps = 1, at W = 800, and at the
    parameters themselves."""
    net = mb.equations("L = exp(W * x)").with_index("b").compile(b=2, dtype="float64")
    x = np.array([1.0, 0.5])
    net.params["W"][...] = 600
    with pytest.raises(ValueError, match="eps: expected a box in which the loss is finite, got 1"):
        sharpness(net, rng(1), 1.0, x=x)
    assert np.isfinite(sharpness(net, rng(1), 1e-6, x=x).value)
    net.params["W"][...] = 800
    for call in (
        lambda: sharpness(net, rng(), x=x),
        lambda: objective.Objective(net, {"x": x}).finite_gradient(),
    ):
        with pytest.raises(ValueError, match="program: expected a finite loss"):
            call()


def test_where_scores_are_no_numbers_there_is_no_error():
    net, inputs = net_and_inputs()
    far = {n: np.full(p.shape, 1e200) for n, p in net.params.items()}
    found = last(slice_1d(net, far, [0, 1e200], **inputs))
    assert (
        np.isfinite([found.loss[0], found.error[0]]).all()
        and not np.isfinite([found.loss[1], found.error[1]]).any()
    )


def test_lanczos_that_does_not_settle_says_so(monkeypatch):
    from mbcore import landscape

    net, inputs = net_and_inputs()
    real = landscape.eigsh
    monkeypatch.setattr(
        landscape, "eigsh", lambda *a, **k: real(*a, **{**k, "maxiter": 1, "tol": 1e-14})
    )
    with pytest.raises(RuntimeError, match="of 10 settled; try fewer"):
        top_eigenvalues(net, rng(), k=10, **inputs)
