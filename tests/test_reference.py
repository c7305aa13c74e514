"""The loops as text: what `backward_equations` prints is read by a small parser of this test's own, run, and gives the gradients.

Also that the loops' forward is right, against formulas. Oracle of the gradients: JAX.
"""

import itertools
import math
import re

import numpy as np
import pytest
from models import BATCH_NORM, SLIDES, USUAL, by_hand, by_jax, drawn
from numpy.testing import assert_allclose

import mbcore as mb

LOOP = re.compile(r"(?:for (?P<over>[\w,]+): )?(?P<name>[\w.~]+)(?:\[(?P<at>.*?)\])? (?P<op>[+-])= (?P<value>.+)")
NAME = re.compile(r"(?<![\w.~\"])([A-Za-z]\w*(?:~\d*)?(?:\.[A-Za-z]+)*)(\[)?")
MATHS = {"exp": math.exp, "log": math.log, "tanh": math.tanh, "sqrt": math.sqrt, "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
         "relu": lambda z: max(z, 0.0), "step": lambda z: float(z > 0)}


def as_python(text, letters):
    """h~.grad[b,j] -> A["h~.grad"][b,j]; size(i) -> n["i"]; B -> n["b"]."""
    text = re.sub(r"size\((\w+)\)", r'n["\1"]', text)

    def turned(found):
        name, bracket = found[1], found[2] or ""
        if name in MATHS or name == "n" or (name in letters and not bracket):
            return name + bracket
        if name == "B":
            return 'n["b"]'
        return f'A["{name}"]' + (bracket or "[()]")
    return NAME.sub(turned, text)


def run(printed, arrays, n, shapes):
    """Run printed loops, one Python number at a time; a target not written before starts at 0."""
    A = {name: np.array(a) for name, a in arrays.items()}
    for line in printed.split("\n"):
        loop = LOOP.fullmatch(line)
        over, name = (loop["over"] or "").split(",") if loop["over"] else [], loop["name"]
        if name not in A:
            indices = shapes.get(name.removesuffix(".grad"), (loop["at"] or "").split(",") if loop["at"] else ())
            A[name] = np.zeros([n[i] for i in indices])
        where, value = (compile(as_python(t, over), line, "eval") for t in (f"({loop['at']},)" if loop["at"] else "()", loop["value"]))
        for at in itertools.product(*(range(n[i]) for i in over)):
            place = {**MATHS, **dict(zip(over, at)), "A": A, "n": n}
            number = eval(value, place)
            A[name][eval(where, place)] += number if loop["op"] == "+" else -number
    return A


MODELS = {
    "slides": SLIDES, "usual": USUAL,
    "distribution": "s[y] = W[y,i] * x[i]\nL = cross_entropy(s[y], t[y])",
    "nll of a distribution": "P[y] = softmax(W[y,i] * x[i], over=y)\nL = nll(P[y], t[y])",
    "regression": "h[j] = relu(W[j,i] * x[i] - C[j])\nr[j] = h[j] / sqrt(1 + h[j]**2)\nL = 0.125 * squared_error(r[j], t[j])",
    "mean over an index": "m = mean(x[i]**2, over=i)\nh[i] = x[i] * G[i] / sqrt(m + 0.5)\nL = squared_error(h[i], t[i])",
    "three factors": "h[y] = tanh(T[y,i,j] * x[i] * u[j])\nL = exp(0.5 * h[y] * h[y])",
    "many digits": "h[j] = 0.123456789 * W[j,i] * x[i]\nL = squared_error(h[j], t[j])",
}


@pytest.mark.parametrize("name", MODELS)
def test_printed_loops_give_the_gradients(name):
    text, batch = MODELS[name], mb.equations(MODELS[name]).with_index("b")
    every = dict(b=3, i=4, j=3, y=3)
    params, inputs = drawn(batch, every, seed=4)
    printed = batch.forward_equations() + "\n" + batch.backward_equations()
    A = run(printed, {**params, **inputs}, every, batch.graph.shapes)
    values, gradients = by_jax(text, params, inputs)
    for each in values:
        assert_allclose(A[each], values[each], rtol=1e-10, atol=1e-12, err_msg=each)
    for each in gradients:
        assert_allclose(A[each + ".grad"], gradients[each], rtol=1e-10, atol=1e-12, err_msg=each)


@pytest.mark.parametrize("places", [("loss",), ("parameters", "loss"), ()])
def test_printed_loops_follow_the_convention(places):
    batch, every = mb.equations(USUAL).with_index("b"), dict(b=3, i=4, j=3, y=3)
    params, inputs = drawn(batch, every, seed=4)
    A = run(batch.forward_equations() + "\n" + batch.backward_equations(mean_in=places), {**params, **inputs}, every, batch.graph.shapes)
    mean = by_jax(USUAL, params, inputs)[1]
    for name in params:
        assert_allclose(A[name + ".grad"], mean[name] * 3 / 3 ** len(places), rtol=1e-10, atol=1e-13)


def test_printed_loops_of_batch_normalisation_equal_run_as_loops():
    batch, every = mb.equations(BATCH_NORM).with_index("b"), dict(b=4, i=3, j=2, y=3)
    params, inputs = drawn(batch, every, seed=4)
    A = run(batch.forward_equations() + "\n" + batch.backward_equations(), {**params, **inputs}, every, batch.graph.shapes)
    L, gradients = by_hand("jax", BATCH_NORM, params, **inputs)
    _, loops = batch.run_as_loops(params, **inputs)
    for name in params:
        assert_allclose(A[name + ".grad"], gradients[name], rtol=1e-9, atol=1e-12, err_msg=name)
        assert_allclose(loops[name], gradients[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_loops_of_one_example_need_no_b():
    one = mb.equations(SLIDES)
    params, inputs = drawn(one, dict(i=4, j=3, y=3), seed=2)
    values, _ = one.run_as_loops(params, **inputs)
    sigma = lambda z: 1 / (1 + np.exp(-z))
    h = sigma(params["W0"] @ inputs["x"] - params["C0"])
    s = sigma(params["W1"] @ h - params["C1"])
    assert_allclose(values["P"], np.exp(s) / np.exp(s).sum(), rtol=1e-12)
    assert_allclose(values["L"], -np.log(values["P"][inputs["target"]]), rtol=1e-12)


def test_the_loops_of_a_power_of_0_have_a_gradient_of_0_at_0():
    batch = mb.equations("h = relu(x)**0 * W\nL = h + x").with_index("b")
    _, grads = batch.run_as_loops({"W": np.array(2.0)}, x=np.array([0.0, -1.0, 2.0]))
    assert_allclose(grads["x"], [1, 1, 1])
    assert_allclose(grads["W"], 1)


CLASSES = mb.equations("s[y] = W[y,i] * x[i]\nL = cross_entropy(s[y], target)").with_index("b")


@pytest.mark.parametrize("wrong, words", [
    (dict(target=[0, -1]), "target: labels must lie in 0 .. 2.*got -1"),       # would be the last class
    (dict(target=[0, 3]), "target: labels must lie in 0 .. 2.*got 3"),
    (dict(target=[0.0, 1.0]), "target: expected whole-number labels, got float64"),
    (dict(x=[[1.0, np.nan], [0.0, 0.0]]), r"x: expected finite numbers, got nan at \[0, 1\]"),
    (dict(params=None), "params: expected a dictionary.*got None"),
    (dict(params={"W": np.ones((3, 2), complex)}), "W: expected real numbers, got complex128"),
])
def test_loops_take_what_a_program_takes(wrong, words):
    right = dict(params={"W": np.ones((3, 2))}, x=np.ones((2, 2)), target=[0, 1])
    with pytest.raises(ValueError, match=words):
        CLASSES.run_as_loops(**right | wrong)


@pytest.mark.parametrize("text", [
    "L = log(sum(exp(s[y]), over=y))",
    "l[y] = log(softmax(s[y], over=y))\nL = l[y] * s[y]",
    "L = cross_entropy(s[y], s[y])",
])
@pytest.mark.parametrize("far", [1000.0, -1000.0])
def test_loops_that_would_leave_the_range_are_refused(text, far):
    """exp(1000) is inf and log(exp(-1000)) is -inf: a slope made of them came out finite and wrong."""
    with pytest.raises(OverflowError, match=r"Z\[b\]: this sum leaves the range of float64"):
        mb.equations(text).with_index("b").run_as_loops({}, s=np.full((1, 2), far))


def test_loops_of_the_power_0_at_0():
    values, gradients = mb.equations("L = x**0").with_index("b").run_as_loops({}, x=np.zeros(1))
    assert values["L"] == 1 and gradients["x"] == 0
