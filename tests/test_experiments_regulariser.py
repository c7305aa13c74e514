"""Lesson 03: the regulariser's share. The verdict stands over other seeds, and turns when what it looks at is broken."""

from dataclasses import replace

import numpy as np
import pytest
from verdicts import labels, stand

import mbcore as mb
from mbcore import kernels
from mbcore.experiments import regulariser
from mbcore.experiments.backpropagation import differences, put, random_data
from mbcore.experiments.regulariser import SMALL


def test_the_regulariser_stands():
    assert stand(regulariser.run, SMALL) == {"Q6": "holds"}


def wrong_sigma(monkeypatch):
    monkeypatch.setitem(kernels.MAPS, "sigmoid", (kernels.MAPS["sigmoid"][0], lambda x, y, g, out: np.multiply(g, 0.2, out=out)))


def lam_over_B(monkeypatch):
    divided = str(regulariser.REGULARISED).replace("lam * J", "lam * J / 8")
    monkeypatch.setattr(regulariser, "REGULARISED", mb.equations(divided))


def too_strong(monkeypatch):
    monkeypatch.setattr(regulariser, "differences", lambda f, arrays: {n: 8 * g for n, g in differences(f, arrays).items()})


@pytest.mark.parametrize("broken", [wrong_sigma, lam_over_B, too_strong])
def test_the_regulariser_turns(monkeypatch, broken):
    broken(monkeypatch)
    assert labels(regulariser.run(replace(SMALL, sizes=(8,)))) == {"Q6": "does not hold here"}


def test_without_lam_nothing_is_shown():
    """Right and wrong are then the same gradient."""
    with np.errstate(all="ignore"):
        assert labels(regulariser.run(replace(SMALL, lam=0.0))) == {"Q6": "does not hold here"}


def test_shares_by_hand():
    """A regulariser divided by B is off by (1 - 1/B) lam |W|, and what was in front of it is found to be 1."""
    s = regulariser.run(SMALL).shares
    assert [t.B for t in s] == [1, 2, 8] and all(t.coefficient == pytest.approx(1, abs=1e-7) for t in s)
    params, x, target = random_data(regulariser.REGULARISED, SMALL, 8)
    wrong = 7 / 8 * SMALL.lam * max(np.abs(params[n]).max() for n in ("W0", "W1"))
    net = regulariser.REGULARISED.with_index("b", shared="lam").compile(b=8, i=6, j=4, y=3, dtype="float64")
    put(net, params)
    net.forward(x=x, target=target, lam=SMALL.lam)
    net.backward()
    assert s[2].wrong == pytest.approx(wrong / max(np.abs(net.grads[n]).max() for n in params), rel=1e-6)
