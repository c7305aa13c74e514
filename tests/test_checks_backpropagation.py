"""The exercises' checks: each misconception gets its own sentence, right answers pass however they are written, nothing breaks them."""

import re

import numpy as np
import pytest

from mbcore.checks import backpropagation as checks
from mbcore.checks.feedback import Feedback
from mbcore.experiments.conventions import convention


# ---------------------------------------------------------------- backward: right answers


def products(x, W0, h, h_grad):
    g = h_grad * h * (1 - h)
    return g @ W0, g.T @ x / len(x), -g.mean(axis=0)


def loops(change=None):
    """The slides' loops; a student changes one line."""
    lines = {"g": "h_grad[b, j] * h[b, j] * (1 - h[b, j])", "x": "x_grad[b, i] += g * W0[j, i]", "W": "W_grad[j, i] += g * x[b, i] / B",
             "C": "C_grad[j] -= g / B", "end": "", **(change or {})}
    scope = {"np": np}
    exec(f"""
def backward(x, W0, h, h_grad):
    (B, I), J = x.shape, len(W0)
    x_grad, W_grad, C_grad = np.zeros((B, I)), np.zeros((J, I)), np.zeros(J)
    for b in range(B):
        for j in range(J):
            g = {lines['g']}
            {lines['C']}
            for i in range(I):
                {lines['x']}
                {lines['W']}
    {lines['end']}
    return x_grad, W_grad, C_grad""", scope)
    return scope["backward"]


def in_place(x, W0, h, h_grad):
    h_grad *= h
    h_grad *= 1 - h
    x_grad = h_grad @ W0
    h_grad /= len(x)
    return [x_grad, np.einsum("bj,bi->ji", h_grad, x), -np.add.reduce(h_grad)]


RIGHT = {"products": products, "loops": loops(), "in place, a list": in_place,
         "lists": lambda *a: tuple(part.tolist() for part in products(*a)),
         "float32": lambda *a: tuple(part.astype(np.float32) for part in products(*a))}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_pass(name):
    answer = checks.backward(RIGHT[name])
    assert answer.right and repr(answer).startswith("Right: ")


# ---------------------------------------------------------------- backward: misconceptions, as a student would write them


def wrong_W(change):
    return lambda x, W0, h, h_grad: (products(x, W0, h, h_grad)[0], change(h_grad * h * (1 - h), x), products(x, W0, h, h_grad)[2])


def slope(change):
    """The whole pass with another h~.grad."""
    def backward(x, W0, h, h_grad):
        g = change(h, h_grad)
        return g @ W0, g.T @ x / len(x), -g.mean(axis=0)
    return backward


WRITTEN = [
    (slope(lambda h, g: g), "the σ′ is missing"), (loops({"g": "h_grad[b, j]"}), "the σ′ is missing"),
    (slope(lambda h, g: g * np.exp(-h) / (1 + np.exp(-h)) ** 2), "σ′ is taken at h"), (slope(lambda h, g: g * h), "σ stands where"),
    (slope(lambda h, g: h - h**2), "h.grad got lost"), (slope(lambda h, g: g * (1 - h**2)), "1 − h² is the derivative of tanh"),
    (loops({"x": "x_grad[b, i] += g * W0[j, i] / B"}), "x.grad is divided by B"),
    (loops({"end": "x_grad /= len(x)"}), "x.grad is divided by B"),
    (loops({"x": "x_grad[b, i] += g * W0[i, j]"}), "W0 is transposed in x.grad: "),
    (loops({"x": "x_grad[b, i] = g * W0[j, i]"}), "x.grad has only the last j"),
    (loops({"end": "x_grad = x_grad.mean(axis=0)"}), "x.grad has lost its b: you took the mean"),
    (loops({"end": "x_grad = sum(x_grad)"}), "x.grad has lost its b: you added"),
    (loops({"W": "W_grad[j, i] += g * x[b, i]"}), "W0.grad is a sum over the batch"),
    (loops({"W": "W_grad[j, i] += g * x[b, i] / B**2"}), "W0.grad has 1/B²"),
    (loops({"end": "W_grad = W_grad / B"}), "W0.grad has 1/B²"),
    (loops({"W": "W_grad[i, j] += g * x[b, i] / B"}), "W0.grad is transposed: "),
    (loops({"W": "W_grad[j, i] = g * x[b, i] / B"}), "W0.grad has only the last example: "),
    (loops({"W": "W_grad[j, i] = g * x[b, i]"}), "W0.grad has only the last example, without"),
    (loops({"W": "W_grad[j, i] -= g * x[b, i] / B"}), "W0.grad has the wrong sign"),
    (loops({"W": "W_grad[j, i] += g * x[b, i] / J"}), "W0.grad is divided by a size of W0"),
    (wrong_W(lambda g, x: np.einsum("bj,bi->bji", g, x).mean(axis=1)), "W0.grad is a mean over the wrong axis: over j"),
    (wrong_W(lambda g, x: np.einsum("bj,bi->bji", g, x).mean(-1)), "W0.grad is a mean over the wrong axis: over i"),
    (wrong_W(lambda g, x: np.einsum("bj,bi->bji", g, x)), "W0.grad is still one for each example"),
    (wrong_W(lambda g, x: x.T @ g), "W0.grad is transposed, and 1/B"),
    (loops({"C": "C_grad[j] += g / B"}), "C0.grad has the wrong sign: "), (loops({"C": "C_grad[j] -= g"}), "C0.grad is a sum"),
    (loops({"C": "C_grad[j] += g"}), "C0.grad has the wrong sign, and"),
    (loops({"C": "C_grad[j] = -g / B"}), "C0.grad has only the last example: "),
    (loops({"end": "C_grad = C_grad.mean()"}), "C0.grad is one number"), (loops({"C": "C_grad[j] -= g / B**2"}), "C0.grad has 1/B²"),
    (loops({"g": "h_grad[b, j]", "x": "x_grad[b, i] += g * W0[j, i] / B"}), "the σ′ is missing.*x.grad is divided by B"),
]


@pytest.mark.parametrize("solution, sentence", WRITTEN, ids=[f"{k} {s}" for k, (_, s) in enumerate(WRITTEN)])
def test_a_misconception_gets_its_sentence(solution, sentence):
    answer = checks.backward(solution)
    assert not answer.right and re.match(sentence, answer.because)


def test_two_mistakes_are_told_one_after_the_other():
    """First what stands first: a missing slope shows in every array, a sum in W0.grad alone."""
    both = loops({"g": "h_grad[b, j]", "W": "W_grad[j, i] += g * x[b, i]"})
    assert "σ′" in checks.backward(both).because and "sum" not in checks.backward(both).because
    assert "sum over the batch" in checks.backward(loops({"W": "W_grad[j, i] += g * x[b, i]"})).because


ROWS = [(k, sentence) for k, (_, forms) in enumerate(checks.PARTS) for sentence in checks.table(forms)[1]]


@pytest.mark.parametrize("k, sentence", ROWS, ids=[f"{k} {s}" for k, s in ROWS])
def test_every_row_of_the_table_is_reached(k, sentence):
    produced = checks.table(checks.PARTS[k][1])[1][sentence]
    assert checks.backward(lambda *a: [*products(*a)[:k], produced(*a), *products(*a)[k + 1:]]) == Feedback(False, sentence)


def works_only_when_square(x, W0, h, h_grad):
    x_grad, W_grad, C_grad = products(x, W0, h, h_grad)
    return x_grad, W_grad if x.shape[1] == len(W0) else W_grad.T, C_grad


def test_right_only_while_sizes_agree():
    answer = checks.backward(works_only_when_square)
    assert not answer.right and "right when B = 5, I = 4, J = 4, but not when B = 5, I = 3, J = 4" in answer.because


ODD = {"not a function": 3, "None": None, "a string": "h", "arrays": (np.ones(3),) * 3}
RETURNS = {"a string": "xWC", "a number": 3.0, "an object": object(), "a dict": {}, "a function": len, "empty": [], "two": (1, 2),
           "an array": np.ones((3, 4, 4))}
PART = {"nothing": None, "a string": "h", "ragged": [[1], [1, 2]], "an object": object(), "NaN": np.full((5, 4), np.nan),
        "complex": np.full((5, 4), 1j), "too many axes": np.ones((5, 4, 1)), "a number": 3.0}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_not_a_function(answer):
    for check, takes in ((checks.backward, "x, W0, h and h_grad"), (checks.regularised, "g, W and lam")):
        assert not check(answer).right and f"expected a function of {takes}" in check(answer).because


@pytest.mark.parametrize("returned", RETURNS.values(), ids=RETURNS)
@pytest.mark.filterwarnings("error")
def test_what_is_not_three_arrays_is_told(returned):
    answer = checks.backward(lambda x, W0, h, h_grad: returned)
    assert not answer.right and answer.because.endswith("end it with return x_grad, W0_grad, C0_grad.")


def test_returning_nothing_is_told():
    assert "your function returns nothing" in checks.backward(lambda x, W0, h, h_grad: None).because


@pytest.mark.parametrize("returned", PART.values(), ids=PART)
@pytest.mark.parametrize("k", range(3))
@pytest.mark.filterwarnings("error")
def test_whatever_stands_in_the_three_gets_a_sentence(returned, k):
    answer = checks.backward(lambda *a: [*products(*a)[:k], returned, *products(*a)[k + 1:]])
    assert not answer.right and answer.because.endswith(".")


@pytest.mark.parametrize("solution, told", [
    (lambda x, W0, h, h_grad: x @ W0[:2, :2], "ValueError"), (lambda x: x, "TypeError"),
    (lambda x, W0, h, h_grad: 1 / 0, "ZeroDivisionError")])
def test_an_error_is_told_in_a_sentence(solution, told):
    answer = checks.backward(solution)
    assert not answer.right and f"your function stopped with {told}: " in answer.because


# ---------------------------------------------------------------- learning_rate


@pytest.mark.parametrize("answer", [3.2, 32 * 0.1, np.float32(3.2), np.float64(3.2)])
def test_learning_rate_right(answer):
    assert checks.learning_rate(answer).right


@pytest.mark.parametrize("answer, words", [
    (0.1 / 32, "the other way"), (0.1, "nothing is undone"), (0.1 * 32**0.5, "√B belongs to another question"),
    (102.4, "Only one is too many"),
    (0.5, "What must be in front of it"), (0, "What must be"), (-3.2, "What must be"), ("3.2", "expected a learning rate"),
    (None, "expected"), (float("nan"), "expected"), (True, "expected"), ([3.2], "expected")])
def test_learning_rate_wrong(answer, words):
    feedback = checks.learning_rate(answer)
    assert not feedback.right and words in feedback.because


def test_the_right_learning_rate_undoes_it():
    """By the program: the step with two places is 1/B of the step with one."""
    assert convention(32, ("parameters", "update")).update * 3.2 == pytest.approx(0.1)


# ---------------------------------------------------------------- regularised


REGULARISED_RIGHT = {"mean": lambda g, W, lam: g.mean(axis=0) + lam * W, "sum": lambda g, W, lam: (g.sum(0) + len(g) * lam * W) / len(g),
                     "in place": lambda g, W, lam: np.add(g[0] * 0 + sum(g) / len(g), lam * W, out=W)}


@pytest.mark.parametrize("name", REGULARISED_RIGHT)
def test_regularised_right(name):
    assert checks.regularised(REGULARISED_RIGHT[name]).right


@pytest.mark.parametrize("solution, sentence", [
    (lambda g, W, lam: (g.sum(axis=0) + lam * W) / len(g), "lam ∇J is divided by B"),
    (lambda g, W, lam: sum(g) + lam * W, "the examples' gradients are added up, not averaged"),
    (lambda g, W, lam: sum(g) + lam / len(g) * W, "the examples' gradients are added up, and"),
    (lambda g, W, lam: sum(one + lam * W for one in g), "that is B times the gradient"),
    (lambda g, W, lam: g.mean(0) + sum(lam * W for one in g), "lam ∇J is multiplied by B"),
    (lambda g, W, lam: g.mean(0), "lam ∇J is missing"), (lambda g, W, lam: g.mean(0) + lam * np.sum(W**2) / 2, "lam J is the value"),
    (lambda g, W, lam: g.mean(0) + lam * 2 * W, "∇J is W: "), (lambda g, W, lam: g.mean(0) + lam * W**2 / 2, "∇J is W, not"),
    (lambda g, W, lam: g.mean(0) + W, "lam is missing"), (lambda g, W, lam: g.mean(0) + lam, "∇J is missing"),
    (lambda g, W, lam: g.mean(0) - lam * W, "the sign"), (lambda g, W, lam: np.mean(g) + lam * W, "the mean was taken over j and i"),
    (lambda g, W, lam: g.mean(1) + lam * W, "the mean is over the wrong axis"), (lambda g, W, lam: g + lam * W, "g is still one"),
    (lambda g, W, lam: 7 * W, "the numbers differ"), (lambda g, W, lam: None, "your function returns nothing"),
    (lambda g, W, lam: g[9], "your function stopped with IndexError")])
def test_regularised_wrong(solution, sentence):
    answer = checks.regularised(solution)
    assert not answer.right and re.match(sentence, answer.because)


@pytest.mark.parametrize("sentence", checks.REGULARISED)
def test_every_row_of_regularised_is_reached(sentence):
    assert checks.regularised(checks.REGULARISED[sentence]) == Feedback(False, sentence)
