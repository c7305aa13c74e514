"""What the acts on equations give: indices, copies, views, sizes. Oracles: the slides' lines, counting, and programs that must agree."""

import re

import numpy as np
import pytest
from models import BATCH_NORM, SLIDES, USUAL, drawn, loaded
from numpy.testing import assert_allclose

import mbcore as mb

SIZES = dict(b=6, i=5, j=4, y=3)
REGULARISED = USUAL.replace("L    =", "ell  =") + "    J    = W0[j,i] * W0[j,i]\n    L    = ell + lam * J\n"

# ---------------------------------------------------------------- with_index


@pytest.mark.parametrize("text", [SLIDES, USUAL], ids=["slides", "usual"])
def test_b_leads_inputs_and_values_and_no_parameter(text):
    one, batch = mb.equations(text), mb.equations(text).with_index("b")
    assert batch.inputs == {n: ("b", *i) for n, i in one.inputs.items()}
    assert batch.computed == {n: ("b", *i) for n, i in one.computed.items()}
    assert batch.parameters == one.parameters


def test_the_indexed_text():
    assert str(mb.equations(USUAL).with_index("b")) == (
        "h[b,j] = sigmoid(W0[j,i] * x[b,i] - C0[j])\n"
        "s[b,y] = W1[y,j] * h[b,j] - C1[y]\n"
        "L[b]   = cross_entropy(s[b,y], target[b])")


def test_acts_return_new_equations():
    one = mb.equations(USUAL)
    text = str(one)
    one.with_index("b"), one.unrolled(3)
    assert str(one) == text


def test_r_stands_before_b_in_either_order():
    one = mb.equations(USUAL)
    first, last = one.with_index("r", parameters=True).with_index("b"), one.with_index("b").with_index("r", parameters=True)
    assert str(first) == str(last) and first.graph.shapes == last.graph.shapes
    assert first.parameters == {n: ("r", *i) for n, i in one.parameters.items()}
    assert first.computed["h"] == ("r", "b", "j") and first.graph.batch == last.graph.batch == "b"


def test_a_shared_input_and_a_value_of_parameters_get_no_b():
    batch = mb.equations(REGULARISED).with_index("b", shared=("lam",))
    assert batch.inputs["lam"] == () and batch.computed["J"] == ()
    assert batch.computed["L"] == ("b",) and batch.inputs["x"] == ("b", "i")
    assert str(batch) == str(mb.equations(REGULARISED).with_index("b", shared="lam"))


def test_over_b_binds_b():
    batch = mb.equations(BATCH_NORM).with_index("b")
    assert batch.computed["m"] == batch.computed["v"] == ("j",)
    assert batch.computed["z"] == batch.computed["h"] == ("b", "j")


def test_pending_over_is_refused_by_compile():
    with pytest.raises(ValueError, match=r"over=b.*with_index\('b'\)"):
        mb.equations(BATCH_NORM).compile(i=5, j=4, y=3)
    with pytest.raises(ValueError, match="over=b"):
        mb.equations(BATCH_NORM).with_index("r", parameters=True).compile(r=2, i=5, j=4, y=3)


@pytest.mark.parametrize("act, words", [
    (lambda e: e.with_index("j"), "index: 'j' is an index of these equations already"),
    (lambda e: e.with_index("b").with_index("b"), "index: 'b' is an index"),
    (lambda e: e.with_index("B"), "index: expected a small letter"),
    (lambda e: e.with_index(3), "index: expected a small letter.*got 3"),
    (lambda e: e.with_index("b", shared="lam"), "shared: expected names of inputs.*'lam'"),
    (lambda e: e.with_index("b", shared=("W0",)), "shared: expected names of inputs.*'W0'"),
    (lambda e: e.with_index("b", shared=("x", "target")), "nothing here could bear 'b'"),
    (lambda e: e.unrolled(0), "B: expected a whole number of at least 1.*got 0"),
    (lambda e: e.unrolled(10**9), "B: expected a whole number.*at most 10000, got 1000000000"),
    (lambda e: e.with_index("b", shared=3), "shared: expected names of inputs.*got 3"),
    (lambda e: e.with_index("b", shared=None), "shared: expected names of inputs.*got None"),
    (lambda e: e.with_index("b", parameters="no"), "parameters: expected True or False, got 'no'"),
    (lambda e: e.backward_equations(mean_in="batch"), "mean_in: expected places among.*'batch'"),
    (lambda e: e.backward_equations(mean_in=3), "mean_in: expected places among.*got 3"),
    (lambda e: e.unrolled(2.0), "B: expected a whole number.*got 2.0"),
    (lambda e: e.unrolled(True), "B: expected a whole number"),
    (lambda e: mb.equations("h = 2 * x").unrolled(2), "no L"),
    (lambda e: mb.equations(BATCH_NORM).unrolled(2), "over=b couples"),
])
def test_wrong_acts_name_the_argument(act, words):
    with pytest.raises(ValueError, match=words):
        act(mb.equations(USUAL))


# ---------------------------------------------------------------- unrolled: the Q&A's copies


@pytest.mark.parametrize("text", [SLIDES, REGULARISED], ids=["slides", "regularised"])
@pytest.mark.parametrize("B", [1, 2, 5])
def test_unrolled_equals_the_batch(text, B):
    one = mb.equations(text)
    batch, copies = one.with_index("b", shared=[n for n in one.inputs if n == "lam"]), one.unrolled(B)
    sizes = {n: k for n, k in SIZES.items() if n != "b"}
    params, inputs = drawn(batch, {**sizes, "b": B}, seed=5)
    lam = {n: inputs.pop(n) for n in ("lam",) if n in inputs}
    a = loaded(batch.compile(b=B, dtype="float64", **sizes), params)
    c = loaded(copies.compile(dtype="float64", **sizes), params)
    each = {f"{n}_{k}": v[k] for n, v in inputs.items() for k in range(B)}
    each |= {f"{n}_{k}": v for n, v in lam.items() for k in range(B)}
    assert_allclose(c.forward(**each), a.forward(**inputs, **lam).mean(), rtol=1e-12)
    a.backward()
    c.backward()
    for name in params:
        assert_allclose(c.grads[name], a.grads[name], rtol=1e-10, atol=1e-13)
    for k in range(B):                                  # in the copies a value's gradient carries the 1/B of the mean line
        assert_allclose(B * c.grads[f"x_{k}"], a.grads["x"][k], rtol=1e-10, atol=1e-13)


def test_unrolled_shares_parameters_and_counts():
    one, copies = mb.equations(SLIDES), mb.equations(SLIDES).unrolled(3)
    assert copies.parameters == one.parameters
    assert set(copies.inputs) == {f"{n}_{k}" for n in ("x", "target") for k in range(3)}
    assert len(str(copies).split("\n")) == 3 * len(str(one).split("\n")) + 1       # three copies and the line of the mean
    assert len(copies.graph.nodes) == 3 * len(one.graph.nodes) + 2                 # which adds, and divides
    assert len(one.with_index("b").graph.nodes) == len(one.graph.nodes)


# ---------------------------------------------------------------- views


def test_the_loops_of_the_slides():
    """T7, for the layer h~[b,j] = sum_i W[j,i] x[b,i], h = sigma(h~)."""
    layer = mb.equations("h[j] = sigmoid(W[j,i] * x[i])\nL = squared_error(h[j], t[j])").with_index("b")
    forward, backward = layer.forward_equations().split("\n"), layer.backward_equations().split("\n")
    assert "for b,i,j: h~[b,j] += W[j,i] * x[b,i]" in forward
    assert "for b,i,j: x.grad[b,i] += h~.grad[b,j] * W[j,i]" in backward
    assert "for b,i,j: W.grad[j,i] += (1/B) * h~.grad[b,j] * x[b,i]" in backward
    assert sum("1/B" in line for line in backward) == 1


@pytest.mark.parametrize("places, where", [(("parameters",), {"W0", "W1", "C0", "C1"}), (("loss",), {"L"}), (("update",), set()),
                                           (("parameters", "loss"), {"W0", "W1", "C0", "C1", "L"})])
def test_where_the_printed_loops_have_the_mean(places, where):
    loops = mb.equations(USUAL).with_index("b").backward_equations(mean_in=places).split("\n")
    assert {re.search(r": (\w+)\.grad", line)[1] for line in loops if "1/B" in line or "1 / B" in line} == where


def highlighted(tex):
    return set(re.findall(r"\{\\color\{#D55E00\}\{\\boldsymbol\{(\w+)\}\}\}", tex))


def test_latex_highlights_the_newest_index_alone():
    one = mb.equations(USUAL)
    batch, both = one.with_index("b"), one.with_index("b").with_index("r", parameters=True)
    assert highlighted(one.latex()) == set() and highlighted(batch.latex()) == {"b"} and highlighted(both.latex()) == {"r"}
    plain = re.sub(r"\{\\color\{#D55E00\}\{\\boldsymbol\{(\w+)\}\}\}", r"\1", batch.latex())
    assert "W^{0}[j,i]" in plain and "x[b,i]" in plain and r"\sum_{i}" in plain and "b" not in re.search(r"W\^\{0\}\[(.*?)\]", plain)[1]
    assert plain.count("{") == plain.count("}") and plain.count(r"\left(") == plain.count(r"\right)")
    assert batch._repr_latex_() == f"$${batch.latex()}$$"


@pytest.mark.parametrize("right, tex", [
    ("x2 + x**2", r"\mathrm{x2} + x^{2}"),              # a name and a power differ
    ("W0**2 * x", r"\mathrm{W0}^{2}\, x"),              # no second exponent: TeX refuses x^{0}^{2}
    ("lam0**3 * x_1**2", r"\mathrm{lam0}^{3}\, x_{1}^{2}"),
    ("1e-7**2 * x", r"\left(10^{-7}\right)^{2}\, x"),
])
def test_latex_of_powers(right, tex):
    assert mb.equations("L = " + right).latex() == r"\begin{aligned}L &= " + tex + r"\end{aligned}"


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize("text", [SLIDES, BATCH_NORM], ids=["slides", "batch norm"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nbytes_is_the_programs(text, dtype):
    batch = mb.equations(text).with_index("b")
    assert batch.nbytes(dtype=dtype, **SIZES) == batch.compile(dtype=dtype, **SIZES).nbytes
    assert batch.nbytes(b=10**9, i=10**4, j=10**4, y=10) > 4 * 10**13          # bytes that no machine has


@pytest.mark.parametrize("sizes, words", [
    (dict(b=2, i=5, j=4), "y: the size of this index is missing"),
    (dict(SIZES, k=3), "k: there is no such index"),
    (dict(SIZES, y=0), "y: expected a whole number of at least 1, got 0"),
    (dict(SIZES, y=-1), "y: .* got -1"),
    (dict(SIZES, j=2.0), "j: .* got 2.0"),
    (dict(SIZES, j=True), "j: .* got True"),
    (dict(SIZES, j="4"), "j: .* got '4'"),
    (dict(SIZES, dtype="float16"), "dtype: .*'float16'"),
    (dict(SIZES, mean_in=("batch",)), "mean_in: .*'batch'"),
    (dict(SIZES, device="tpu"), "device: .*'tpu'"),
])
def test_wrong_sizes_are_named(sizes, words):
    with pytest.raises(ValueError, match=words):
        mb.equations(USUAL).with_index("b").compile(**sizes)


def test_tied_letters_have_one_size_a_position():
    tied = mb.equations("h[j] = W[j,i] * x[i]\ng[k] = W[k,j] * h[j]\nL = g[k] * g[k]").with_index("b")
    assert tied.compile(b=2, i=3, j=3, k=3).params["W"].shape == (3, 3)
    with pytest.raises(ValueError, match="contradict each other.*W"):
        tied.compile(b=2, i=3, j=3, k=4)
    with pytest.raises(ValueError, match="k: the size of this index is missing"):
        tied.compile(b=2, i=3, j=3)


def test_a_letter_of_a_softmax_written_out_has_a_size():
    text = "P[y] = exp(s[y]) / sum(exp(s[k]), over=k)\nL = P[y] * W[y]"
    written, s = mb.equations(text).with_index("b"), np.arange(6.0).reshape(2, 3)
    P = np.exp(s) / np.exp(s).sum(1, keepdims=True)
    net = loaded(written.compile(b=2, y=3, k=3, dtype="float64"), {"W": np.arange(3.0)})
    assert_allclose(net.forward(s=s), P @ np.arange(3.0), rtol=1e-12)
    with pytest.raises(ValueError, match="k: k=4 and y=3 contradict each other"):
        written.compile(b=2, y=3, k=4)


@pytest.mark.parametrize("act, words", [
    (lambda e: e.compile(b=4, i=2).resized(b=8), "resized: L has no batch index.*without a mean over b"),
    (lambda e: e.compile(b=4, i=2).forward(x=np.ones((3, 2)), t=np.ones(3)),
     "x: .*if b is the batch index.*without a mean over b"),
])
def test_a_mean_over_the_batch_in_L_is_named(act, words):
    with pytest.raises(ValueError, match=words):
        act(mb.equations("e = (W[i] * x[i] - t)**2\nL = mean(e, over=b)").with_index("b"))


def test_an_input_with_a_capital_is_named():
    with pytest.raises(ValueError, match="could bear 'b'.*small letter.*capital makes a parameter"):
        mb.equations("L = W[i] * X[i]").with_index("b")


def test_statements_may_stand_in_any_order():
    lines = USUAL.strip().split("\n")
    batch, turned = (mb.equations("\n".join(part)).with_index("b") for part in (lines, lines[::-1]))
    params, inputs = drawn(batch, SIZES, seed=0)
    L = [loaded(e.compile(dtype="float64", **SIZES), params).forward(**inputs) for e in (batch, turned)]
    np.testing.assert_array_equal(*L)
