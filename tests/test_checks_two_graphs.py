"""Lesson 02's checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import numpy as np
import pytest

import mbcore as mb
from mbcore.checks import two_graphs as checks
from mbcore.checks.feedback import Feedback

H = "h_0[j] = tanh(W[j,i] * x_0[i])\nh_1[j] = tanh(W[j,i] * x_1[i])\n"
L = "L_0 = squared_error(h_0[j], t_0[j])\nL_1 = squared_error(h_1[j], t_1[j])\n"

# ---------------------------------------------------------------- two_copies

RIGHT = {
    "as unrolled": str(checks.ONE.unrolled(2)), "an Equations": checks.ONE.unrolled(2), "mean": H + L + "L = (L_0 + L_1) / 2",
    "halves": H + L + "L = 0.5 * L_0 + L_1 / 2", "in another order": "L = (L_1 + L_0) / 2\n" + L + H,
    "other letters": (H + L + "L = (L_0 + L_1) / 2").replace("[j,i] * x_1[i]", "[j,k] * x_1[k]"),
    "other names": (H + L + "L = (L_0 + L_1) / 2").replace("h_0", "p").replace("h_1", "q").replace("L_0", "e").replace("L_1", "f"),
    "with the value before tanh": "a_0[j] = W[j,i] * x_0[i]\na_1[j] = W[j,i] * x_1[i]\nh_0[j] = tanh(a_0[j])\nh_1[j] = tanh(a_1[j])\n" + L
                                  + "L = (L_0 + L_1) / 2",
    "a value that copies W": "V[j,i] = W[j,i]\n" + H.replace("W[j,i] * x_1", "V[j,i] * x_1") + L + "L = (L_0 + L_1) / 2"}


@pytest.mark.parametrize("name", RIGHT)
def test_right_graphs_pass(name):
    answer = checks.two_copies(RIGHT[name])
    assert answer.right, answer


@pytest.mark.parametrize("name", checks.COPIES)
def test_every_row_of_the_table_is_reached(name):
    sentence, text = checks.COPIES[name]
    assert checks.two_copies(text) == Feedback(False, sentence)


WRITTEN = {
    "the parameter copied too": (
        H.replace("W[j,i] * x_0", "W_0[j,i] * x_0").replace("W[j,i] * x_1", "W_1[j,i] * x_1") + L + "L = (L_0 + L_1) / 2",
        "W_0 and W_1 are 2 parameters"),
    "one W and one V": (H.replace("W[j,i] * x_1", "V[j,i] * x_1") + L + "L = (L_0 + L_1) / 2", "V and W are 2 parameters"),
    "sum": (H + L + "L = L_0 + L_1", "the losses are added"),
    "mean of the inputs": (
        "x[i] = (x_0[i] + x_1[i]) / 2\nh[j] = tanh(W[j,i] * x[i])\nt[j] = (t_0[j] + t_1[j]) / 2\nL = squared_error(h[j], t[j])",
        "the mean is taken of the inputs"),
    "one x used twice": (H.replace("x_1", "x_0") + L + "L = (L_0 + L_1) / 2", "x_0 is used for both copies and x_1 nowhere"),
    "the other x used twice": (H.replace("x_0", "x_1") + L + "L = (L_0 + L_1) / 2", "x_1 is used for both copies and x_0 nowhere"),
    "one t used twice": (H + L.replace("t_1", "t_0") + "L = (L_0 + L_1) / 2", "t_0 is used for both copies and t_1 nowhere"),
    "the other t used twice": (H + L.replace("t_0[", "t_1[") + "L = (L_0 + L_1) / 2", "t_1 is used for both copies and t_0 nowhere"),
    "the indexed graph": (checks.ONE.with_index("b"), "this is the graph with an index"),
    "one example": (checks.ONE, "belongs to one example"),
    "one x for both": (H.replace("x_0", "x").replace("x_1", "x") + L + "L = (L_0 + L_1) / 2", "x belongs to one example"),
    "no L": (H + L, "no line computes L"),
    "L with an index": (H + "L[j] = (h_0[j] + h_1[j]) / 2", "L has the index j"),
    "a small w": ((H + L + "L = (L_0 + L_1) / 2").replace("W", "w"), "A small letter makes it an input"),
    "another name": ((H + L + "L = (L_0 + L_1) / 2").replace("W", "V"), "the parameter must be W"),
    "counted from one": ((H + L + "L = (L_0 + L_1) / 2").replace("_1", "_2").replace("_0", "_1"), "expected the inputs x_0"),
    "an input too many": (H + L + "L = (L_0 + L_1) / 2 * lam", "found lam, t_0"),
    "transposed": ((H + L + "L = (L_0 + L_1) / 2").replace("W[j,i]", "W[i,j]"), "the indices of x_0 differ"),
    "three copies": (checks.ONE.unrolled(3), "expected the inputs"),
    "divided by three": (H + L + "L = (L_0 + L_1) / 3", "the loss or its gradient is not"),
    "python": ("L = np.mean([f(x) for x in xs])", "the notation stops here"),
    "nothing": ("", "the notation stops here"), "prose": ("two copies", "the notation stops here"),
    "a mean over b": (H + L + "M = (L_0 + L_1) / 2\nL = mean(M, over=b)", "do not compile")}


@pytest.mark.parametrize("name", WRITTEN)
def test_a_misconception_gets_its_sentence(name):
    text, words = WRITTEN[name]
    answer = checks.two_copies(text)
    assert not answer.right and words in answer.because


@pytest.mark.parametrize("odd", [None, 3, ["L = 1"], {"L": 1}, np.ones(3), len])
def test_no_text(odd):
    assert "expected the equations as text" in checks.two_copies(odd).because


# ---------------------------------------------------------------- copied_a_parameter


@pytest.mark.parametrize("kind", [set, list, tuple, frozenset, "".join, iter])
def test_the_guilty_ones(kind):
    answer = kind(["C", "D"])
    assert checks.copied_a_parameter(answer).right == (answer != "CD")


@pytest.mark.parametrize("answer, words", [
    ({"A", "C", "D"}, "U_0, U_1 and U_2 stand on a left side"), ({"B"}, "B is the graph of copies"), (set(), "Count the leaves"),
    ({"D"}, "Count the leaves"), ({"C"}, "it has an index"), ("C", "it has an index"), ({"E"}, "'E' is none of them"),
    (3, "expected a set"), (None, "expected a set"), ({1}, "expected a set"), ([["C"]], "expected a set")])
def test_wrong_suspects(answer, words):
    feedback = checks.copied_a_parameter(answer)
    assert not feedback.right and words in feedback.because


def test_suspects_are_what_the_answers_say():
    """All four have the same value while copies are equal; A and B also the same gradient; only C and D have more of C1."""
    rng, sizes = np.random.default_rng(0), {"i": 3, "j": 4, "y": 2}
    theta = {"W0": rng.normal(size=(4, 3)), "C0": rng.normal(size=4), "W1": rng.normal(size=(2, 4)), "C1": rng.normal(size=2)}
    x, target, values, gradients = rng.normal(size=(3, 3)), np.array([0, 1, 1]), [], []
    for graph in checks.SUSPECTS.values():
        indexed = "x" in graph.inputs
        net = graph.compile(dtype="float64", **sizes, **({"b": 3} if indexed else {}))
        for name, p in net.params.items():
            p[...] = theta[name.split("_")[0]]
        inputs = {"x": x, "target": target} if indexed else {f"{n}_{k}": a[k] for n, a in (("x", x), ("target", target)) for k in range(3)}
        values.append(float(net.forward(**inputs)))
        net.backward()
        gradients.append(sum(np.sum(net.grads[name].reshape(-1, 2), axis=0) for name in net.params if name.startswith("C1")))
        copies = sum(p.size for name, p in net.params.items() if name.startswith("C1")) // 2
        assert copies == (3 if graph in (checks.SUSPECTS["C"], checks.SUSPECTS["D"]) else 1)
    np.testing.assert_allclose(values, values[0], rtol=1e-12)
    np.testing.assert_allclose(gradients, [gradients[0]] * 4, rtol=1e-10)


# ---------------------------------------------------------------- shared_gradient


def added(own):
    total = np.zeros(own.shape[1:])
    for g in own:
        total += g
    return total


@pytest.mark.parametrize("solution", [lambda own: own.sum(axis=0), lambda own: np.einsum("kji->ji", own), sum, added,
                                      lambda own: own.sum(axis=0).tolist()])
def test_the_shared_gradient(solution):
    assert checks.shared_gradient(solution).right


@pytest.mark.parametrize("sentence", checks.SHARED)
def test_every_row_of_shared_is_reached(sentence):
    assert checks.shared_gradient(checks.SHARED[sentence]) == Feedback(False, sentence)


def overwritten(own):
    for g in own:
        total = g
    return total


@pytest.mark.parametrize("solution, words", [
    (lambda own: np.mean(own, 0), "1/B stands twice"), (overwritten, "= where += should add"), (lambda own: own[0], "only the first"),
    (lambda own: own, "shape"), (lambda own: own.sum(), "shape"), (lambda own: None, "returns nothing"), (lambda: 1, "TypeError"),
    (3, "expected a function of own"), (lambda own: -own.sum(axis=0), "several ways"), (lambda own: own.sum(axis=2), "not in a way")])
def test_wrong_gradients(solution, words):
    answer = checks.shared_gradient(solution)
    assert not answer.right and words in answer.because


def test_own_gradients_add_up_in_the_program():
    """What the exercise says, by the engine: with a W for each copy, the B gradients of the mean add up to that of the shared W."""
    shared = checks.ONE.unrolled(2)
    own = mb.equations(str(shared).replace("W[j,i] * x_0", "W_0[j,i] * x_0").replace("W[j,i] * x_1", "W_1[j,i] * x_1"))
    rng, sizes = np.random.default_rng(1), {"i": 3, "j": 2}
    W, arrays = rng.normal(size=(2, 3)), {n: rng.normal(size=3 if n[0] == "x" else 2) for n in ("x_0", "x_1", "t_0", "t_1")}
    found = {}
    for model in (shared, own):
        net = model.compile(dtype="float64", **sizes)
        for p in net.params.values():
            p[...] = W
        net.forward(**arrays)
        net.backward()
        found |= {name: net.grads[name].copy() for name in net.params}
    np.testing.assert_allclose(found["W"], found["W_0"] + found["W_1"], rtol=1e-12)
