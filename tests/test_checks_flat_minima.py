"""Lesson 09's checks: every misconception gets its sentence, right answers pass however they are written, nonsense gets a sentence."""

import numpy as np
import pytest

from mbcore.checks import flat_minima as checks


@pytest.mark.parametrize("answer", [20, 20.0, np.float32(20), 100 * 0.21 / 1.05])
def test_phi_right(answer):
    assert checks.phi(answer).right


@pytest.mark.parametrize("sentence", checks.PHI)
def test_phi_every_misconception(sentence):
    feedback = checks.phi(checks.PHI[sentence])
    assert not feedback.right and feedback.because == sentence


@pytest.mark.parametrize("answer", [None, "20", float("nan"), True, 7, [20]])
def test_phi_nonsense(answer):
    assert not checks.phi(answer).right and checks.phi(answer).because.endswith(".")


def loops(W0, C0, W1, C1, alpha):
    for j in range(len(C0)):
        W0[j], C0[j], W1[:, j] = alpha * W0[j], alpha * C0[j], W1[:, j] / alpha
    return [W0, C0, W1, C1]


def test_rescale_right():
    assert checks.rescale(loops).right and checks.rescale(lambda W0, C0, W1, C1, a: (a * W0, a * C0, W1 * a**-1, C1)).right


def test_what_is_right_keeps_the_function():
    W0, C0, W1, C1, alpha = checks._net(3, 5, 2).arguments
    x = np.random.default_rng(0).normal(size=(7, 3))
    scores = lambda W0, C0, W1, C1: np.maximum(x @ W0.T - C0, 0) @ W1.T - C1
    np.testing.assert_allclose(scores(*checks._rescaled(W0, C0, W1, C1, alpha)), scores(W0, C0, W1, C1), atol=1e-12)


@pytest.mark.parametrize("sentence", checks.RESCALED)
def test_rescale_every_misconception(sentence):
    feedback = checks.rescale(checks.RESCALED[sentence])
    assert not feedback.right and feedback.because == sentence


def by_loops(d_W, d_C, W, C):
    for j in range(len(W)):
        d_W[j] *= np.linalg.norm(W[j]) / np.linalg.norm(d_W[j])
        d_C[j] = 0
    return d_W, d_C


def test_filter_normalise_right():
    assert checks.filter_normalise(by_loops).right
    assert checks.filter_normalise(lambda d, e, W, C: (d * np.sqrt((W**2).sum(1) / (d**2).sum(1))[:, None], 0 * e)).right


@pytest.mark.parametrize("sentence", checks.NORMALISED)
def test_filter_normalise_every_misconception(sentence):
    feedback = checks.filter_normalise(checks.NORMALISED[sentence])
    assert not feedback.right and feedback.because == sentence


@pytest.mark.parametrize("check", [checks.rescale, checks.filter_normalise])
@pytest.mark.parametrize("returned", [None, 3.0, "W0", (), (np.ones(4),) * 4, [[1], [1, 2]], {}])
def test_whatever_is_returned_gets_a_sentence(check, returned):
    answer = check(lambda *arguments: returned)
    assert not answer.right and answer.because[-1] in ".?"


@pytest.mark.parametrize("check", [checks.rescale, checks.filter_normalise])
def test_no_function_or_an_error(check):
    assert "expected a function of" in check(3).because and "TypeError" in check(lambda x: x).because


def test_right_only_while_sizes_agree():
    square = lambda d_W, d_C, W, C: checks._normalised(d_W, d_C, W, C) if W.shape[0] == W.shape[1] else (d_W, 0 * C)
    assert "right when I = 4, J = 4, but not when I = 3, J = 5" in checks.filter_normalise(square).because
