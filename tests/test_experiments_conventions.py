"""Lesson 03: where the 1/B stands. The verdict stands over other seeds, and turns when what it looks at is broken."""

import numpy as np
import pytest
from models import lazy_torch as torch
from verdicts import labels, stand

from mbcore import data, kernels, program
from mbcore.experiments import backpropagation, conventions
from mbcore.experiments.backpropagation import Config, differences
from mbcore.experiments.conventions import CONVENTIONS, SMALL, Contributions, contributions, convention
from mbcore.experiments.models import MLP
from mbcore.intake import MEAN_IN
from mbcore.program import Program


def test_conventions_stand():
    assert stand(conventions.run, SMALL) == {"T8": "holds"}


# ---------------------------------------------------------------- the verdict turns


def wrong_sigma(monkeypatch):
    monkeypatch.setitem(kernels.MAPS, "sigmoid", (kernels.MAPS["sigmoid"][0], lambda x, y, g, out: np.multiply(g, 0.2, out=out)))


def one_place_only(monkeypatch):
    checked = program.intake.checked_mean_in
    monkeypatch.setattr(program.intake, "checked_mean_in", lambda mean_in: checked(mean_in)[:1])


def the_step_sums(monkeypatch):
    step = Program.step
    monkeypatch.setattr(Program, "step", lambda self, lr, **inputs: step(self, lr * 5, **inputs))


def too_strong(monkeypatch):
    monkeypatch.setattr(backpropagation, "differences", lambda f, arrays: {n: 8 * g for n, g in differences(f, arrays).items()})


@pytest.mark.parametrize("broken", [wrong_sigma, one_place_only, the_step_sums, too_strong])
def test_conventions_turn(monkeypatch, broken):
    broken(monkeypatch)
    assert labels(conventions.run(SMALL)) == {"T8": "does not hold here"}


# ---------------------------------------------------------------- powers of B


def powers(mean_in, B):
    """x.grad sees the place in L.grad alone, W.grad those in its way, the update all; against the 1/B in W.grad."""
    x, W, update = (1 / B ** sum(p in mean_in for p in places) for places in (("loss",), ("parameters", "loss"), MEAN_IN))
    return x, W * B, update * B


def test_every_set_of_places_is_there():
    assert {frozenset(places) for places in CONVENTIONS.values()} == {
        frozenset(p for p, on in zip(MEAN_IN, f"{k:03b}") if on == "1") for k in range(8)}


@pytest.mark.parametrize("B", [1, 6])
def test_conventions_are_powers_of_B(B):
    for c in conventions.run(Config(B=B, seed=3)).conventions:
        assert c.mean_in == CONVENTIONS[c.name]
        np.testing.assert_allclose((c.x, c.W, c.update), powers(c.mean_in, B), rtol=1e-6)
        assert c.off < 1e-6


@pytest.mark.parametrize("B", [1, 7])
@pytest.mark.parametrize("name, mean_in", CONVENTIONS.items(), ids=CONVENTIONS)
def test_a_convention_on_digits(name, mean_in, B):
    c = convention(B, mean_in[::-1])
    assert (c.name, c.mean_in, c.B) == (name, mean_in, B) and c.off < 1e-10
    np.testing.assert_allclose((c.x, c.W, c.update), powers(mean_in, B), rtol=1e-10)


def test_near():
    c = convention(8, ("loss", "update"))
    assert c.is_near("W") and c.is_near("update", 1 / 8) and not c.is_near("update") and not c.is_near("x")


# ---------------------------------------------------------------- one entry of W.grad


def test_contributions_against_pytorch():
    found, B = contributions(20, 5, 28), 20
    rng, digits = np.random.default_rng(0), data.digits()
    start = MLP.compile(i=64, j=16, y=10, dtype="float64").init(rng).params
    at = rng.permutation(len(digits.x_train))[:B]
    W0, W1 = (torch.tensor(start[n], requires_grad=True) for n in ("W0", "W1"))
    s = torch.sigmoid(torch.tensor(digits.x_train[at].astype(float)) @ W0.T) @ W1.T
    torch.nn.functional.cross_entropy(s, torch.tensor(digits.target_train[at])).backward()
    assert found.entry == pytest.approx(float(W0.grad[5, 28])) and found.entry == pytest.approx(found.each.mean())
    np.testing.assert_allclose(found.row, W0.grad[5])
    np.testing.assert_array_equal(found.each, found.g * found.x)
    assert len(found.each) == B and (found.target == digits.target_train[at]).all()


def test_a_larger_batch_keeps_the_examples_of_a_smaller():
    np.testing.assert_allclose(contributions(4, 2, 20).each, contributions(9, 2, 20).each[:4])


@pytest.mark.parametrize("each, signs, outvoted", [
    ([1, 1, -5], (2, 1, 0), True), ([-1, -1, 5], (1, 2, 0), True), ([1, 1, -1], (2, 1, 0), False), ([0, 0, 1, -5], (1, 1, 2), False),
    ([1, 1, 0, -5], (2, 1, 1), False), ([0, 0], (0, 0, 2), False)])
def test_signs_and_outvoted(each, signs, outvoted):
    each = np.array(each, float)
    found = Contributions(each.mean(), each, np.ones(len(each)), each, each, each)
    assert (found.signs, found.outvoted) == (signs, outvoted)


@pytest.mark.parametrize("given, said", [
    ((0, 0, 0), "B: expected 1 to 1437"), ((4, 16, 0), "j: expected 0 to 15"), ((4, 0, 64), "i: expected 0 to 63")])
def test_contributions_refuse_what_is_not_there(given, said):
    with pytest.raises(ValueError, match=said):
        contributions(*given)
