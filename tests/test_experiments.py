"""The experiments' verdicts: they stand over other seeds, and turn when what they look at is broken."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from verdicts import labels, stand

import mbcore as mb
from mbcore import kernels
from mbcore.experiments import batch_index, models, one_picture, two_meanings, vector_operations
from mbcore.experiments.verdict import LABELS, Verdict
from mbcore.program import Program

# ---------------------------------------------------------------- T1 T4 T5 T6


def test_batch_index_stands():
    assert stand(batch_index.run, batch_index.Config()) == dict.fromkeys(("T1", "T4", "T5", "T6"), "holds")


def broken(monkeypatch, what):
    if what == "the step sums":
        step = Program.step
        monkeypatch.setattr(Program, "step", lambda self, lr, **inputs: step(self, lr * 8, **inputs))
    elif what == "a wrong gradient":
        def wrong(x, y, g, out):
            np.multiply(g, 0.2, out=out)
        monkeypatch.setitem(kernels.MAPS, "sigmoid", (kernels.MAPS["sigmoid"][0], wrong))
    elif what == "a plus before C":
        monkeypatch.setattr(batch_index, "SLIDES", mb.equations(str(models.SLIDES).replace("- C", "+ C")))
    elif what == "no sigma on s":
        monkeypatch.setattr(batch_index, "SLIDES", mb.equations("""
            h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
            s[y] = W1[y,j] * h[j] - C1[y]
            P[y] = softmax(s[y], over=y)
            L    = nll(P[y], target)"""))
    elif what == "a b on parameters":
        class Marked(dict):
            def values(self):
                return [("b", *i) for i in super().values()]
        monkeypatch.setattr(mb.Equations, "parameters", property(lambda self: Marked(self.graph.roles.parameters)))


@pytest.mark.parametrize("what, turned", [("the step sums", "T1"), ("a wrong gradient", "T4"), ("a plus before C", "T6"),
                                          ("no sigma on s", "T6"), ("a b on parameters", "T5")])
def test_batch_index_turns(monkeypatch, what, turned):
    broken(monkeypatch, what)
    found = labels(batch_index.run())
    assert {c for c, label in found.items() if label == "does not hold here"} == {turned}


def test_zeros_everywhere_prove_nothing(monkeypatch):
    """Differences of 0 between arrays of zeros are no agreement."""
    monkeypatch.setattr(Program, "init", lambda self, rng: self)
    monkeypatch.setattr(batch_index, "_one_by_one", lambda net, x, target, c: {n: np.zeros_like(p) for n, p in net.params.items()})
    assert labels(batch_index.run(batch_index.Config(lr=0.0)))["T1"] == "does not hold here"


# ---------------------------------------------------------------- Q7


def test_two_meanings_stand():
    assert stand(two_meanings.run, two_meanings.Config()) == {"Q7": "holds"}


def test_two_meanings_turn_when_means_are_averaged(monkeypatch):
    """The mean of the parts' means is not the mean where the last part is smaller."""
    def mean_of_means(net, every, B):
        return np.mean([net.forward(**{n: a[k:k + B] for n, a in every.items()}).mean() for k in range(0, len(every["x"]), B)])
    monkeypatch.setattr(two_meanings, "_mean_in_parts", mean_of_means)
    assert labels(two_meanings.run()) == {"Q7": "does not hold here"}


def test_two_meanings_turn_when_draws_are_not_independent(monkeypatch):
    """B copies of one example say no more than one."""
    class Copies(np.random.Generator):
        def integers(self, low, high, size):
            return np.repeat(super().integers(low, high, (size[0], 1)), size[1], axis=1)
    monkeypatch.setattr(two_meanings.np.random, "default_rng", lambda seed: Copies(np.random.PCG64(seed)))
    assert labels(two_meanings.run()) == {"Q7": "does not hold here"}


# ---------------------------------------------------------------- T2: a clock


def test_vector_operations_stand():
    """The label is a clock's, with a wide margin; at the least it is no refusal, and the columns fall from left to right."""
    result = vector_operations.run()
    assert labels(result)["T2"] in ("holds", "holds when")
    assert all(t.loops > t.each > t.stacked and t.each > t.product for t in result.layers)


@pytest.mark.parametrize("small, large, label", [
    ((10, 1), (2, 1), "holds when"), ((10, 1), (4, 1), "holds"), ((2, 1), (1, 1), "does not hold here"), ((2, 1), (9, 1), "does not hold here")])
def test_vector_operations_turn(monkeypatch, small, large, label):
    """Fed with the costs of a call for each example and of one call."""
    fed = iter([vector_operations.Layer(8, 8, 100.0, *costs, 0.5, 1.0) for costs in (small, large)])
    monkeypatch.setattr(vector_operations, "_layer", lambda i, j, c: next(fed))
    assert labels(vector_operations.run()) == {"T2": label}


def test_cost_describes_the_arrays():
    found = vector_operations.cost(B=3, i=5, j=4, budget=0.001)
    assert found.values["x"] == (("b", "i"), (3, 5), 60) and found.values["h"][1] == (3, 4) and found.microseconds > 0
    assert found.parameters == vector_operations.cost(B=7, i=5, j=4, budget=0.001).parameters


# ---------------------------------------------------------------- the rest


def test_one_picture_goes_to_one_and_learns():
    seen = list(one_picture.running(one_picture.Config(epochs=2)))
    assert seen[0][0] == 0 and seen[-1][0] == 1 and seen[-1][1].loss[-1] < seen[-1][1].loss[0] / 2


@pytest.mark.parametrize("module", [batch_index, two_meanings, vector_operations, one_picture])
def test_configs_are_frozen(module):
    with pytest.raises(FrozenInstanceError):
        module.Config().seed = 3


def test_a_verdict_has_one_of_the_labels():
    with pytest.raises(ValueError, match="label: expected one of holds"):
        Verdict("T1", "proved", "because")
    assert "holds when" in LABELS and str(Verdict("T1", "holds", "because.")) == "T1  holds: because."
