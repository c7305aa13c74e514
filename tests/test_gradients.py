"""Statistics of minibatch gradients. Oracles: enumeration of every batch, a quadratic model in
closed form, JAX, standard errors."""

import itertools
import math

import numpy as np
import pytest
from models import BATCH_NORM, BY_HAND, USUAL, compiled, drawn, jax
from numpy.testing import assert_allclose, assert_array_equal

import mbcore as mb
from mbcore import objective
from mbcore.gradients import (
    FullGradient,
    batch_gradients,
    batch_means,
    coordinate,
    cosine,
    full_gradient,
)
from mbcore.noise_scale import HessianNoise, TwoBatch, hessian_noise, two_batch

SIZES = dict(i=5, j=4, y=3)
QUADRATIC = "z[i] = W[i] - x[i]\nL = 0.5 * a[i] * z[i] * z[i]"  # d_n = a (W - x_n), H = diag(a)


def rng(seed=0):
    return np.random.default_rng(seed)


def net_and_inputs(N=7, text=USUAL, B=3, dtype="float64"):
    batch = mb.equations(text).with_index("b")
    params, inputs = drawn(batch, {**SIZES, "b": N}, seed=1)
    net = batch.compile(b=B, dtype=dtype, **SIZES)
    for name in params:
        net.params[name][...] = params[name]
    return net, inputs


def one_by_one(net, inputs):
    """The gradient of every example alone, [n, p], by forward and backward at B = 1."""
    rows = []
    for n in range(len(inputs["x"])):
        net.forward(**{k: a[n : n + 1] for k, a in inputs.items()})
        net.backward()
        rows.append(np.concatenate([net.grads[name].ravel() for name in net.params]))
    return np.array(rows, dtype=float)


def quadratic(N=200, p=6, seed=0, offset=1.0):
    """(program, inputs, a, W, x)."""
    r = rng(seed)
    x, a, W = r.normal(size=(N, p)), r.uniform(0.5, 3, p), r.normal(size=p) + offset
    net = mb.equations(QUADRATIC).with_index("b", shared=("a",)).compile(b=4, i=p, dtype="float64")
    net.params["W"][...] = W
    return net, dict(x=x, a=a), a, W, x


# ---------------------------------------------------------------- exact, over all examples


@pytest.mark.parametrize("dtype, rtol", [("float64", 1e-12), ("float32", 1e-5)])
def test_mean_and_trace_are_those_of_the_gradients_one_by_one(dtype, rtol):
    net, inputs = net_and_inputs(dtype=dtype)
    d, full = one_by_one(net, inputs), full_gradient(net, **inputs)
    assert_allclose(full.g, d.mean(axis=0), rtol=rtol, atol=1e-7 if dtype == "float32" else 1e-15)
    assert_allclose(full.trace, np.trace(np.cov(d.T, ddof=0)), rtol=rtol)
    assert_allclose(full.noise_scale, full.trace / full.sq_norm)
    assert full.N == 7 and full.g.dtype == np.float64


def test_parts_of_any_size_give_the_same(monkeypatch):
    net, inputs = net_and_inputs(N=23)
    whole, column = full_gradient(net, **inputs), coordinate(net, "W1", (2, 3), **inputs)
    for rows, entries in ((5, 10**6), (23, 1), (4, 150)):
        monkeypatch.setattr(objective, "ROWS", rows)
        monkeypatch.setattr(objective, "ENTRIES", entries)
        part = full_gradient(net, **inputs)
        assert_allclose(part.g, whole.g, rtol=1e-12, atol=1e-16)
        assert_allclose(part.trace, whole.trace, rtol=1e-12)
        assert_allclose(coordinate(net, "W1", (2, 3), **inputs), column, rtol=1e-12, atol=1e-16)


def test_two_passes_keep_a_small_variance_beside_a_large_mean():
    net, inputs, a, W, x = quadratic(offset=1e8)
    assert_allclose(
        full_gradient(net, **inputs).trace, ((a * (x - x.mean(0))) ** 2).sum(1).mean(), rtol=1e-6
    )


def test_quadratic_in_closed_form():
    net, inputs, a, W, x = quadratic()
    full = full_gradient(net, **inputs)
    assert_allclose(full.g, a * (W - x.mean(0)), rtol=1e-12)
    assert_allclose(full.trace, (a**2 * x.var(0)).sum(), rtol=1e-12)
    assert_allclose(coordinate(net, "W", 2, **inputs), a[2] * (W[2] - x[:, 2]), rtol=1e-12)


def test_coordinate_is_an_entry_of_each_gradient():
    net, inputs = net_and_inputs()
    d = one_by_one(net, inputs)
    assert_allclose(coordinate(net, "W0", (3, 2), **inputs), d[:, 3 * 5 + 2], rtol=1e-12)
    assert_allclose(coordinate(net, "C1", 1, **inputs), d[:, 20 + 4 + 12 + 1], rtol=1e-12)


def test_a_parameter_that_is_one_number():
    """s = W x, d_n = (W x_n - t_n) x_n; the one place of W is ()."""
    net = (
        mb.equations("s = W * x\nL = squared_error(s, t)")
        .with_index("b")
        .compile(b=3, dtype="float64")
    )
    net.params["W"][...] = 1.5
    x, t = rng(1).normal(size=5), rng(2).normal(size=5)
    assert_allclose(coordinate(net, "W", (), x=x, t=t), (1.5 * x - t) * x, rtol=1e-12)
    for at in (0, (0,), None, [0, 0]):
        with pytest.raises(ValueError, match="^at: "):
            coordinate(net, "W", at, x=x, t=t)


@pytest.mark.parametrize(
    "at", [(3, 2), [3, 2], (np.int64(3), np.uint8(2)), (np.array(3), 2)], ids=repr
)
def test_a_place_may_come_as_any_whole_numbers(at):
    net, inputs = net_and_inputs()
    assert_allclose(
        coordinate(net, "W0", at, **inputs), one_by_one(net, inputs)[:, 3 * 5 + 2], rtol=1e-12
    )


def test_a_parameter_that_the_loss_ignores_has_gradient_zero():
    net = (
        mb.equations("u[i] = V[i] * x[i]\nz[i] = W[i] - x[i]\nL = 0.5 * z[i] * z[i]")
        .with_index("b")
        .compile(b=2, i=3, dtype="float64")
    )
    full = full_gradient(net, x=rng().normal(size=(5, 3)))
    assert full.g.shape == (6,) and set(net.params) == {"V", "W"}
    assert (full.g[:3] == 0).all() == (next(iter(net.params)) == "V") and np.count_nonzero(
        full.g
    ) == 3


# ---------------------------------------------------------------- every batch there is


@pytest.mark.parametrize(
    "replacement, B", [(True, 1), (True, 3), (False, 1), (False, 2), (False, 4), (False, 5)]
)
def test_expectations_equal_the_mean_over_all_batches(replacement, B):
    net, inputs = net_and_inputs(N=5)
    d, full = one_by_one(net, inputs), full_gradient(net, **inputs)
    every = (
        itertools.product(range(5), repeat=B)
        if replacement
        else itertools.combinations(range(5), B)
    )
    g_B = np.array([d[list(at)].mean(axis=0) for at in every])
    assert_allclose(full.expected_sq_norm(B, replacement), (g_B**2).sum(1).mean(), rtol=1e-12)
    predicted = batch_means(d[:, 4], B, 2, rng(), replacement)
    assert_allclose(
        [predicted.mean, predicted.sd], [g_B[:, 4].mean(), g_B[:, 4].std()], rtol=1e-10, atol=1e-15
    )


def test_all_examples_without_replacement_are_no_sample():
    net, inputs = net_and_inputs(N=6)
    full = full_gradient(net, **inputs)
    drawn_all = batch_gradients(net, full, 6, 3, rng(), False, **inputs)
    assert_allclose(drawn_all.sq_norms, full.sq_norm, rtol=1e-12)
    assert_allclose(drawn_all.cosines, 1, rtol=1e-12)
    assert full.expected_sq_norm(6, False) == full.sq_norm == drawn_all.expected
    assert (
        full_gradient(net, **{k: a[:1] for k, a in inputs.items()}).expected_sq_norm(1, False) > 0
    )


# ---------------------------------------------------------------- samples, within standard errors


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("B", [1, 8, 30])
def test_batch_means_have_the_predicted_spread(replacement, B):
    values, draws = rng(1).normal(2, 3, 40), 3000
    found = batch_means(values, B, draws, rng(2), replacement)
    assert len(found.means) == draws
    assert abs(found.means.mean() - found.mean) < 4 * found.sd / draws**0.5
    assert abs(found.observed_sd / found.sd - 1) < 4 / (2 * (draws - 1)) ** 0.5
    assert_allclose(found.sd, values.std() * ((1 if replacement else (40 - B) / 39) / B) ** 0.5)


@pytest.mark.parametrize("replacement", [True, False])
def test_norms_of_batch_gradients_meet_their_expectation(replacement):
    net, inputs = net_and_inputs(N=60)
    full = full_gradient(net, **inputs)
    found = batch_gradients(net, full, 45, 1000, rng(3), replacement, **inputs)
    other = full.expected_sq_norm(45, not replacement)
    assert (
        abs(found.mean - found.expected) < 4 * found.se < abs(found.mean - other)
    )  # and they tell the two ways apart
    assert (abs(found.cosines) <= 1 + 1e-12).all() and 0 < found.cosines.mean() < 1


def test_cosine_of_batch_gradients():
    net, inputs, a, W, x = quadratic(N=6)
    full = full_gradient(net, **inputs)
    found = batch_gradients(net, full, 1, 50, rng(4), **inputs)
    possible = [cosine(a * (W - row), full.g) for row in x]
    assert np.abs(found.cosines[:, None] - possible).min(axis=1).max() < 1e-12
    assert_allclose(
        possible[0],
        math.cos(
            math.acos(
                np.dot(a * (W - x[0]), full.g)
                / np.linalg.norm(a * (W - x[0]))
                / np.linalg.norm(full.g)
            )
        ),
    )
    assert math.isnan(cosine(np.zeros(2), np.ones(2)))


def test_two_batch_estimates_are_unbiased_and_their_ratio_of_means_is_right():
    net, inputs, a, W, x = quadratic(N=300, offset=0.3)
    full = full_gradient(net, **inputs)
    found = two_batch(net, 4, 16, 1500, rng(5), **inputs)
    for estimates, truth in ((found.sq_norms, full.sq_norm), (found.traces, full.trace)):
        assert abs(estimates.mean() - truth) < 4 * estimates.std(ddof=1) / 1500**0.5
    low, high = found.interval
    assert low < full.noise_scale < high and low < found.noise_scale < high
    assert found.noise_scale == found.traces.mean() / found.sq_norms.mean()


def test_the_mean_of_ratios_is_biased_where_the_ratio_of_means_is_not():
    """B_big well above the noise scale, so that every pair's own ratio is finite, and still their
    mean is off."""
    net, inputs, *_ = quadratic(N=300, offset=1.0)
    full = full_gradient(net, **inputs)
    found = two_batch(net, 2, 4 * math.ceil(full.noise_scale), 2000, rng(6), **inputs)
    ratios = found.traces / found.sq_norms
    assert (
        ratios.min() > -1
        and abs(found.mean_of_ratios / full.noise_scale - 1)
        > 4 * ratios.std(ddof=1) / 2000**0.5 / full.noise_scale
    )
    assert abs(found.noise_scale / full.noise_scale - 1) < abs(
        found.mean_of_ratios / full.noise_scale - 1
    )


def test_the_interval_covers_as_often_as_it_says():
    """95 % nominal; 40 runs, at least 33 cover: below that has probability 2e-4."""
    net, inputs, *_ = quadratic(N=50, offset=0.5)
    truth = full_gradient(net, **inputs).noise_scale
    covers = [
        low < truth < high
        for low, high in (two_batch(net, 2, 8, 60, rng(s), **inputs).interval for s in range(40))
    ]
    assert sum(covers) >= 33


def test_a_gradient_of_zero_has_no_finite_noise_scale():
    net, inputs, a, W, x = quadratic()
    net.params["W"][...] = x.mean(0)
    assert full_gradient(net, **inputs).noise_scale > 1e20
    assert two_batch(net, 2, 4, 4, rng(1), **inputs).interval[1] == math.inf


# ---------------------------------------------------------------- with the Hessian


def test_hessian_noise_of_the_quadratic():
    net, inputs, a, W, x = quadratic()
    found, g = hessian_noise(net, rng(7), probes=200, **inputs), a * (W - x.mean(0))
    trace = (a * a**2 * x.var(0)).sum()
    assert abs(found.trace - trace) < 4 * found.trace_se < 0.6 * trace
    assert_allclose(found.curvature, (a * g * g).sum(), rtol=1e-7)
    assert (
        found.noise_scale == found.trace / found.curvature
        and found.se == found.trace_se / found.curvature
    )


def test_hutchinson_by_hand():
    """The same signs z, and v, H v and the standard error in plain NumPy: H = diag(a), d_n = a (W -
    x_n)."""
    net, inputs, a, W, x = quadratic(N=9, p=3)
    found = hessian_noise(net, rng(5), probes=7, **inputs)
    z = rng(5).choice((-1.0, 1.0), (7, 9))
    v = z @ (a * (x.mean(0) - x)) / 9**0.5
    each = (a * v * v).sum(axis=1)
    assert_allclose(found.trace, each.mean(), rtol=1e-6)
    assert_allclose(
        found.trace_se, np.sqrt(((each - each.mean()) ** 2).sum() / (7 - 1) / 7), rtol=1e-5
    )
    assert found.probes == 7


@pytest.mark.parametrize(
    "curvature, scale", [(2.0, 3.0), (0.0, math.nan), (-0.0, math.nan), (-2.0, math.nan)]
)
def test_a_best_step_needs_curvature_above_zero(curvature, scale):
    found = HessianNoise(6.0, 1.0, curvature, 4)
    assert_array_equal([found.noise_scale, found.se], [scale, scale / 6])


@pytest.mark.parametrize(
    "above, below, found",
    [
        (6.0, 2.0, 3.0),
        (6.0, 0.0, math.inf),
        (6.0, -2.0, math.inf),
        (-6.0, 2.0, -3.0),
        (0.0, 2.0, 0.0),
        (0.0, 0.0, math.nan),
        (-2.0, -2.0, math.inf),
    ],
)
def test_a_ratio_of_nothing_is_no_number(above, below, found):
    assert_array_equal(objective.ratio(above, below), found)
    assert_allclose(
        FullGradient(3, np.array([max(below, 0.0) ** 0.5]), above).noise_scale,
        found if below >= 0 else math.inf,
    )
    pair = TwoBatch(1, 2, np.array([below, below]), np.array([above, above]), (0.0, 1.0))
    assert_array_equal(pair.noise_scale, found)


def test_where_no_example_has_a_gradient_there_is_no_noise_scale():
    net = (
        mb.equations("s = W * x\nL = squared_error(s, t)")
        .with_index("b")
        .compile(b=4, dtype="float64")
    )
    inputs = {"x": np.ones(6), "t": np.zeros(6)}
    assert math.isnan(full_gradient(net, **inputs).noise_scale)
    assert math.isnan(two_batch(net, 1, 2, 3, rng(), **inputs).noise_scale)
    assert math.isnan(hessian_noise(net, rng(), 3, **inputs).noise_scale)


def test_hessian_noise_equals_jax():
    J = jax()
    net, inputs = net_and_inputs(N=30)
    shapes = {name: p.shape for name, p in net.params.items()}
    theta = np.concatenate([p.ravel() for p in net.params.values()])

    def losses(theta, x, target):
        cuts = np.cumsum([math.prod(s) for s in shapes.values()])[:-1]
        p = {n: part.reshape(shapes[n]) for n, part in zip(shapes, J.numpy.split(theta, cuts))}
        return BY_HAND[USUAL](
            J.numpy, J.nn.sigmoid, None, lambda s: J.nn.log_softmax(s, axis=-1), p, x, target
        )

    each = J.jit(
        lambda t: (
            J.jacrev(lambda u: losses(u, **inputs))(t),
            J.hessian(lambda u: losses(u, **inputs).mean())(t),
        )
    )
    d, H = map(np.asarray, each(theta))
    g, truth = d.mean(0), np.trace(H @ np.cov(d.T, ddof=0))
    full, found = full_gradient(net, **inputs), hessian_noise(net, rng(8), probes=400, **inputs)
    assert_allclose(full.g, g, rtol=1e-10, atol=1e-14)
    assert_allclose(full.trace, np.trace(np.cov(d.T, ddof=0)), rtol=1e-10)
    assert_allclose(found.curvature, g @ H @ g, rtol=1e-6)
    assert abs(found.trace - truth) < 4 * found.trace_se < truth


def test_hutchinson_standard_error():
    """Over 120 seeds the estimates scatter about the truth as the standard errors say; a variance
    of 120 is known to some 15 %."""
    net, inputs, a, W, x = quadratic(N=5, p=3)
    found = [hessian_noise(net, rng(s), probes=20, **inputs) for s in range(120)]
    traces, stated = np.array([f.trace for f in found]), np.mean([f.trace_se**2 for f in found])
    assert abs(traces.mean() - (a**3 * x.var(0)).sum()) < 4 * (stated / 120) ** 0.5
    assert 0.5 < traces.var(ddof=1) / stated < 1.5


def test_no_best_step_where_the_loss_curves_down():
    net = (
        mb.equations("L = 0 - 0.5 * W[i] * W[i] + W[i] * x[i]")
        .with_index("b")
        .compile(b=2, i=2, dtype="float64")
    )
    net.params["W"][...] = 1
    found = hessian_noise(net, rng(), 4, x=rng().normal(size=(5, 2)))
    assert found.curvature < 0 and math.isnan(found.noise_scale) and math.isnan(found.se)


# ---------------------------------------------------------------- the caller's program is left
# alone

EVERY = {
    "full_gradient": lambda net, inputs: full_gradient(net, **inputs),
    "coordinate": lambda net, inputs: coordinate(net, "W0", (0, 0), **inputs),
    "batch_gradients": lambda net, inputs: batch_gradients(
        net, full_gradient(net, **inputs), 2, 4, rng(), **inputs
    ),
    "two_batch": lambda net, inputs: two_batch(net, 1, 2, 4, rng(), **inputs),
    "hessian_noise": lambda net, inputs: hessian_noise(net, rng(), 4, **inputs),
}


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("broken", [False, True])
def test_parameters_and_gradients_stay_bitwise(call, broken, monkeypatch):
    net, inputs = net_and_inputs(dtype="float32")
    net.forward(**{k: a[:3] for k, a in inputs.items()})
    net.backward()
    before = [a.tobytes() for group in (net.params, net.grads, net.values) for a in group.values()]
    given = [a.tobytes() for a in inputs.values()]
    if broken:
        real, calls = mb.Program.forward, []

        def failing(self, **inputs):
            calls.append(1)
            if len(calls) > 1:
                raise OSError("inside")
            return real(self, **inputs)

        monkeypatch.setattr(mb.Program, "forward", failing)
        monkeypatch.setattr(objective, "ROWS", 3)
        with pytest.raises(OSError, match="inside"):
            call(net, inputs)
    else:
        first, second = call(net, inputs), call(net, inputs)
        assert repr(first) == repr(second)  # and the same seed gives the same
    assert before == [
        a.tobytes() for group in (net.params, net.grads, net.values) for a in group.values()
    ]
    assert given == [a.tobytes() for a in inputs.values()]


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "B, draws, replacement, says",
    [
        (0, 5, True, "B: expected .*at least 1, got 0"),
        (-2, 5, True, "B: "),
        (8, 5, False, "B: expected at most n = 7"),
        (2, 1, True, "draws: expected a whole number of at least 2, got 1"),
        (2.5, 5, True, "B: expected a whole number"),
        (True, 5, True, "B: expected a whole number"),
    ],
)
def test_bad_batches(B, draws, replacement, says):
    net, inputs = net_and_inputs()
    full = full_gradient(net, **inputs)
    with pytest.raises((ValueError, TypeError), match=says):
        batch_gradients(net, full, B, draws, rng(), replacement, **inputs)
    with pytest.raises((ValueError, TypeError), match=says):
        batch_means(np.arange(7), B, draws, rng(), replacement)


def test_bad_sizes_and_generators():
    net, inputs = net_and_inputs()
    full = full_gradient(net, **inputs)
    for B_small, B_big in ((4, 4), (4, 6), (4, 2)):
        with pytest.raises(ValueError, match="B_big: expected 2, 3, ... times B_small = 4"):
            two_batch(net, B_small, B_big, 5, rng(), **inputs)
    for call in (
        lambda: two_batch(net, 1, 2, 5, 0, **inputs),
        lambda: hessian_noise(net, 0, **inputs),
        lambda: batch_means([1, 2], 1, 2, 0),
    ):
        with pytest.raises(TypeError, match="rng: expected a numpy.random.Generator"):
            call()
    with pytest.raises(ValueError, match="B: expected at most N = 7"):
        full.expected_sq_norm(8, replacement=False)
    with pytest.raises(ValueError, match="full: expected the full gradient of these 6 examples"):
        batch_gradients(net, full, 2, 2, rng(), **{k: a[:6] for k, a in inputs.items()})
    for values in ([], [[1.0]], [1, math.nan]):
        with pytest.raises(ValueError, match="values: "):
            batch_means(values, 1, 2, rng())


@pytest.mark.parametrize(
    "name, at, says",
    [
        ("W9", (0, 0), "name: expected a parameter"),
        ("W0", 3, "at: "),
        ("W0", (4, 0), "at: "),
        ("W0", (-1, 0), "at: "),
        ("W0", (0.5, 0), "at: "),
    ],
)
def test_bad_coordinates(name, at, says):
    net, inputs = net_and_inputs()
    with pytest.raises((ValueError, TypeError), match=says):
        coordinate(net, name, at, **inputs)


def test_bad_programs_and_inputs():
    net, inputs = net_and_inputs()
    x, target = inputs["x"], inputs["target"]
    for given, says in (
        (dict(x=x), "target: missing"),
        (dict(x=x, target=target[:5]), "target: expected 7 examples, as x has, got 5"),
        (dict(x=x, target=target, W0=1), "W0: a capital"),
        (dict(x=x[:0], target=target[:0]), "x: expected at least one example"),
        (dict(x=np.where(np.arange(5) == 2, np.nan, x), target=target), "x: expected finite"),
    ):
        with pytest.raises(ValueError, match=says):
            full_gradient(net, **given)
    coupled = compiled(
        BATCH_NORM,
        drawn(mb.equations(BATCH_NORM).with_index("b"), {**SIZES, "b": 7}, 0)[0],
        7,
        SIZES,
    )
    for call in (
        lambda: full_gradient(coupled, **inputs),
        lambda: coordinate(coupled, "W0", (0, 0), **inputs),
        lambda: two_batch(coupled, 1, 2, 3, rng(), **inputs),
        lambda: hessian_noise(coupled, rng(), 3, **inputs),
    ):
        with pytest.raises(ValueError, match="mixes the examples"):
            call()
    replicas = (
        mb.equations(USUAL)
        .with_index("b")
        .with_index("r", parameters=True)
        .compile(r=2, b=3, **SIZES)
    )
    for program in (replicas, mb.equations(USUAL).compile(**SIZES)):
        with pytest.raises(ValueError, match="program: expected one network"):
            full_gradient(program, **inputs)
    net.params["W1"][0, 0] = np.inf
    with pytest.raises(ValueError, match="program: expected finite parameters"):
        full_gradient(net, **inputs)


CALLS = {**EVERY, "Objective": lambda net, inputs: objective.Objective(net, inputs)}
BAD_DATA = {
    "complex": (lambda x: x + 0j, "x: expected real numbers, got complex128"),
    "dates": (lambda x: x.astype("M8[s]"), "x: expected real numbers"),
    "inf": (lambda x: np.where(x == x.max(), np.inf, x), "x: expected finite numbers, got inf at"),
    "text": (lambda x: x.astype(str), "x: expected real numbers"),
    "masked": (lambda x: np.ma.masked_less(x, 0), "x: .*masked"),
    "narrow": (lambda x: x[:, :4], "x: expected i=5"),
    "bool": (lambda x: x > 0, "x: expected real numbers"),
    "flat": (lambda x: x[:, 0], "x: expected the indices"),
    "single": (lambda x: x[0, 0], "x: "),
    "ragged": (lambda x: [[1.0], [1.0, 2.0]], "x: "),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("damage", BAD_DATA)
def test_bad_data_are_named(call, damage):
    net, inputs = net_and_inputs()
    spoil, says = BAD_DATA[damage]
    with pytest.raises((TypeError, ValueError), match=says):
        call(net, {**inputs, "x": spoil(inputs["x"])})


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("program", [None, 3, "net", mb.equations(USUAL)], ids=str)
def test_what_is_no_program_is_named(call, program):
    with pytest.raises(TypeError, match="program: expected a Program"):
        call(program, net_and_inputs()[1])


@pytest.mark.parametrize("call", EVERY.values(), ids=EVERY)
def test_a_loss_that_is_no_number_is_no_statistic(call):
    """Finite parameters and data: exp(W0 x) overflows float64 for one of the examples alone."""
    net = (
        mb.equations("L = exp(W0[j,i] * x[i]) * t[j]")
        .with_index("b")
        .compile(b=3, i=1, j=1, dtype="float64")
    )
    net.params["W0"][...] = 80
    inputs = {"x": np.array([[0.1], [0.2], [10.0], [0.1]]), "t": np.ones((4, 1))}
    with pytest.raises(
        ValueError,
        match="program: expected a finite loss with finite gradients over these 4 examples",
    ):
        call(net, inputs)
    call(net, {name: a[:2] for name, a in inputs.items()})


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", ">f8"])
def test_data_of_any_real_dtype_count_as_their_numbers(dtype):
    net, inputs = net_and_inputs()
    x = (4 * inputs["x"]).astype(dtype)
    assert_array_equal(
        full_gradient(net, x=x, target=inputs["target"].astype("uint8")).g,
        full_gradient(net, x=x.astype(float), target=inputs["target"]).g,
    )


def test_tensors_are_taken_as_arrays():
    torch = pytest.importorskip("torch")
    net, inputs = net_and_inputs()
    given = {name: torch.tensor(a, requires_grad=name == "x") for name, a in inputs.items()}
    assert_array_equal(full_gradient(net, **given).g, full_gradient(net, **inputs).g)


def test_a_full_gradient_of_others_is_refused():
    net, inputs = net_and_inputs()
    full = full_gradient(net, **inputs)
    with pytest.raises(ValueError, match="full: .* got that of others"):
        batch_gradients(net, full, 2, 4, rng(), **{**inputs, "x": inputs["x"] + 0.1})
    with pytest.raises(TypeError, match="full: expected what full_gradient returns"):
        batch_gradients(net, full.g, 2, 4, rng(), **inputs)
    net.params["W0"][0, 0] += 0.1
    with pytest.raises(ValueError, match="full: .* got that of others"):
        batch_gradients(net, full, 2, 4, rng(), **inputs)


@pytest.mark.parametrize(
    "values",
    [
        None,
        "abc",
        [1, 1j],
        np.ma.array([1.0, 2, 3], mask=[0, 1, 0]),
        [1, None],
        np.array([1, 2], "M8[s]"),
        {1, 2},
    ],
)
def test_values_that_are_no_numbers(values):
    with pytest.raises((TypeError, ValueError), match="^values: "):
        batch_means(values, 1, 2, rng())


@pytest.mark.parametrize("replacement", ["no", 1, None])
def test_with_or_without_is_true_or_false(replacement):
    net, inputs = net_and_inputs()
    full = full_gradient(net, **inputs)
    for call in (
        lambda: batch_means(np.arange(7), 2, 3, rng(), replacement),
        lambda: full.expected_sq_norm(2, replacement),
        lambda: batch_gradients(net, full, 2, 3, rng(), replacement, **inputs),
    ):
        with pytest.raises(TypeError, match="replacement: expected True or False"):
            call()


@pytest.mark.parametrize("probes", [1, 0, -1, 2.5, None, True])
def test_bad_probes_and_pairs(probes):
    net, inputs = net_and_inputs()
    with pytest.raises(ValueError, match="probes: expected a whole number of at least 2"):
        hessian_noise(net, rng(), probes, **inputs)
    with pytest.raises(ValueError, match="pairs: expected a whole number of at least 2"):
        two_batch(net, 1, 2, probes, rng(), **inputs)


def test_lists_are_taken_as_arrays():
    net, inputs = net_and_inputs()
    assert_array_equal(
        full_gradient(net, **{k: a.tolist() for k, a in inputs.items()}).g,
        full_gradient(net, **inputs).g,
    )
