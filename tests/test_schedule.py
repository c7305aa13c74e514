"""Schedules and scaling rules. Oracles: values by hand, PyTorch's schedulers, published rules' own invariants."""

import numpy as np
import pytest

from mbcore.schedule import Cosine, Stages, WarmUp, adam_scaled, constant, grown, scaled, step_decay


def values(schedule, steps):
    return [schedule(t) for t in range(steps)]


def test_by_hand():
    assert values(constant(0.3), 3) == [0.3] * 3
    np.testing.assert_allclose(values(step_decay(1.0, (2, 4), 0.5), 6), [1, 1, 0.5, 0.5, 0.25, 0.25])
    np.testing.assert_allclose(values(Cosine(2.0, 4, last=1.0), 6), [2, 1.5 + 0.5 ** 1.5, 1.5, 1.5 - 0.5 ** 1.5, 1, 1])
    np.testing.assert_allclose(values(WarmUp(step_decay(1.0, (5,), 0.1), 4, 0.2), 6), [0.2, 0.4, 0.6, 0.8, 1, 0.1])
    assert Stages((32, 64), (3,))(np.int64(3)) == 64


def test_pytorchs_schedulers_agree():
    torch = pytest.importorskip("torch", reason="PyTorch, the oracle of this test, is not installed")
    lr = torch.optim.lr_scheduler
    pairs = [
        (step_decay(0.4, (3, 7), 0.2), lambda o: lr.MultiStepLR(o, [3, 7], 0.2)),
        (Cosine(0.4, 12, 0.04), lambda o: lr.CosineAnnealingLR(o, 12, 0.04)),
        (WarmUp(constant(0.4), 5, 0.25), lambda o: lr.LinearLR(o, 0.25, 1.0, 5)),
    ]
    for ours, make in pairs:
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.4)
        scheduler, theirs = make(optimiser), []
        for _ in range(12):
            theirs.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            scheduler.step()
        np.testing.assert_allclose(values(ours, 12), theirs, rtol=1e-12)


def test_schedules_are_values():
    assert step_decay(1.0, [2], 0.5) == Stages((1.0, 0.5), (2,)) and hash(Cosine(1.0, 5)) == hash(Cosine(1.0, 5))
    with pytest.raises(AttributeError):
        constant(1.0).at = (2,)


def test_goyals_warm_up_starts_at_the_small_batchs_rate():
    lr = scaled(0.1, 8192, 256)
    assert lr == pytest.approx(3.2) and WarmUp(constant(lr), 100, 256 / 8192)(0) == pytest.approx(0.1)


@pytest.mark.parametrize("rule, lr", [("linear", 0.4), ("sqrt", 0.2), ("constant", 0.1)])
def test_scaling_rules(rule, lr):
    assert scaled(0.1, 64, 16, rule) == pytest.approx(lr)
    np.testing.assert_allclose(scaled(np.array([0.1, 1.0]), 64, 16, rule), [lr, 10 * lr])


@pytest.mark.parametrize("factor, most", [(0.5, float("inf")), (0.2, 500), (0.3, float("inf")), (0.1, 100)])
def test_growth_mirrors_the_decay(factor, most):
    """At the same number of examples seen, lr / B is the decay's; while the batch can grow, lr stays (up to rounding of B)."""
    B, decay = 100, step_decay(0.4, (30, 60, 90), factor)
    lr, size = grown(decay, B, most)
    examples = t = 0
    while examples < 120 * B:
        if all(abs(examples - a * B) >= size(t) for a in decay.at):            # stages end within a batch of each other
            assert lr(t) / size(t) == pytest.approx(decay(examples // B) / B)
        assert size(t) <= most and (size(t) == most or lr(t) == pytest.approx(0.4, rel=0.01))
        examples, t = examples + size(t), t + 1
    assert t < 120 or most == B
    assert size.values[-1] == min(most, round(B / factor ** 3))


def test_growth_by_hand():
    lr, size = grown(step_decay(0.8, (10, 20), 0.5), 32)
    assert size == Stages((32, 64, 128), (10, 15)) and lr == Stages((0.8, 0.8, 0.8), (10, 15))


def test_adam_scaled_by_hand():
    found = adam_scaled(4, 0.1, 0.9, 0.99, 1e-6)
    assert found == pytest.approx({"lr": 0.2, "beta1": 0.6, "beta2": 0.96, "epsilon": 5e-7})
    back = adam_scaled(0.25, found["lr"], found["beta1"], found["beta2"], found["epsilon"])
    assert back == pytest.approx({"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6})


@pytest.mark.parametrize("call, words", [
    (lambda: constant(0), "values: expected a finite number above 0, got 0"),
    (lambda: constant(float("nan")), "values: expected a finite number above 0, got nan"),
    (lambda: step_decay(-1, (2,)), "value: expected a finite number above 0, got -1"),
    (lambda: step_decay(1.0, (2,), 1.5), "factor: expected a finite number above 0 and at most 1, got 1.5"),
    (lambda: step_decay(1.0, (4, 2)), "at: expected rising steps"),
    (lambda: step_decay(1.0, (0,)), "at: expected a whole number of at least 1, got 0"),
    (lambda: Stages((1, 2), ()), "at: expected rising steps, one fewer than the 2 values"),
    (lambda: Cosine(1.0, 0), "steps: expected a whole number of at least 1, got 0"),
    (lambda: Cosine(1.0, 5, 2.0), "last: expected a finite number of at least 0 and at most 1, got 2.0"),
    (lambda: WarmUp(constant(1.0), 5, 0), "first: expected a finite number above 0 and at most 1, got 0"),
    (lambda: constant(1.0)(-1), "step: expected a whole number of at least 0, got -1"),
    (lambda: Cosine(1.0, 5)(1.5), "step: expected a whole number of at least 0, got 1.5"),
    (lambda: scaled(0.1, 0, 32), "B: expected a finite number above 0, got 0"),
    (lambda: scaled(0.1, 64, 32, "cubic"), "rule: expected linear, sqrt, constant, got 'cubic'"),
    (lambda: grown(constant(0.1), 0), "B: expected a whole number"),
    (lambda: grown(constant(0.1), 64, most=32), "most: expected a whole number of at least 64, got 32"),
    (lambda: adam_scaled(0, 0.1), "kappa: expected a finite number above 0"),
    (lambda: adam_scaled(10, 0.1), r"kappa: expected kappa \(1 - beta1\) < 1, so kappa < 10 at beta1 = 0.9, got 10"),
    (lambda: adam_scaled(30, 0.1, 0.99, 0.95), r"kappa < 20 at beta2 = 0.95, got 30"),
])
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_what_is_no_schedule():
    with pytest.raises(TypeError, match="after: expected a schedule"):
        WarmUp(0.1, 5, 0.1)
    with pytest.raises(TypeError, match="decay: expected Stages"):
        grown(Cosine(0.1, 5), 32)


@pytest.mark.parametrize("call, words", [
    (lambda: adam_scaled(2, 0.1, beta1=1.5), "beta1: expected a finite number of at least 0 and below 1, got 1.5"),
    (lambda: adam_scaled(2, 0.1, beta2=1), "beta2: expected a finite number of at least 0 and below 1, got 1"),
    (lambda: adam_scaled(2, 0.1, beta1=-0.1), "beta1: expected"),
    (lambda: adam_scaled(2, 0.1, epsilon=-1), "epsilon: expected a finite number of at least 0, got -1"),
    (lambda: adam_scaled("2", 0.1), "kappa: expected a finite number above 0, got '2'"),
    (lambda: adam_scaled(np.inf, 0.1), "kappa: expected a finite number above 0, got inf"),
    (lambda: adam_scaled(1e-20, 0.1), "kappa: expected a number with which beta1 stays below 1"),
    (lambda: adam_scaled(2, -0.1), "lr: expected a finite number above 0, got -0.1"),
    (lambda: adam_scaled(2, None), "lr: expected"),
    (lambda: scaled("0.1", 64, 32), "lr: expected a finite number above 0, got '0.1'"),
    (lambda: scaled(np.array([0.1, np.nan]), 64, 32), "lr: expected finite numbers, got nan at"),
    (lambda: scaled([0.1, -1.0], 64, 32), "lr: expected finite numbers above 0, got -1 among them"),
    (lambda: scaled(np.ma.masked_less([0.1, 0.2], 0.15), 64, 32), "lr: expected numbers, got a masked array"),
    (lambda: scaled(0.1, True, 32), "B: expected a finite number above 0, got True"),
    (lambda: scaled(0.1, 1e300, 1e-300), "B: expected a finite number above 0, got inf"),
    (lambda: scaled(0.1, 64, 32, None), "rule: expected linear, sqrt, constant, got None"),
    (lambda: Stages(0.1), "values: expected several values, as .*got 0.1"),
    (lambda: Stages("12", (3,)), "values: expected several values, as .*got '12'"),
    (lambda: Stages((1, 2), 3), "at: expected several values, as .*got 3"),
    (lambda: Stages((1, 2), (1.5,)), "at: expected a whole number of at least 1, got 1.5"),
    (lambda: step_decay(1.0, 3), "at: expected several values"),
    (lambda: step_decay(1e-300, (1, 2), 1e-300), "values: expected a finite number above 0, got 0"),
    (lambda: Cosine(float("inf"), 5), "value: expected a finite number above 0, got inf"),
    (lambda: Cosine(1.0, "5"), "steps: expected a whole number of at least 1, got '5'"),
    (lambda: Cosine(1.0, 5, -0.1), "last: expected a finite number of at least 0 and at most 1, got -0.1"),
    (lambda: WarmUp(constant(1.0), 2.5, 0.1), "steps: expected a whole number"),
    (lambda: WarmUp(constant(1.0), 5, 1.1), "first: expected a finite number above 0 and at most 1, got 1.1"),
    (lambda: WarmUp(constant(1.0), 5, 0.1)(-1), "step: expected a whole number of at least 0, got -1"),
    (lambda: WarmUp(Cosine, 5, 0.1), "after: expected a schedule"),
    (lambda: grown(constant(0.1), 64, most=float("nan")), "most: expected a whole number of at least 64, got nan"),
    (lambda: grown(None, 64), "decay: expected Stages.*got None"),
])
def test_more_bad_input(call, words):
    with pytest.raises((ValueError, TypeError), match="^" + words):
        call()


def test_numbers_of_numpy_make_the_same_schedules():
    assert Cosine(np.float64(1), np.int64(5), np.array(0.5)) == Cosine(1.0, 5, 0.5)
    assert WarmUp(constant(np.float64(1)), np.int8(5), np.float32(0.5)) == WarmUp(constant(1.0), 5, 0.5)
    assert step_decay(np.float64(1), np.array([2, 4]), np.float32(0.5)) == step_decay(1.0, (2, 4), 0.5)
    lr, size = grown(step_decay(np.float64(0.8), [10], 0.5), np.int64(32))
    assert size == Stages((32, 64), (10,)) and all(type(v) is int for v in size.values)
    assert lr(np.int64(3)) == lr(np.array(3)) == 0.8


def test_adam_scaled_takes_a_rate_for_each_replica():
    np.testing.assert_allclose(adam_scaled(4, np.array([0.1, 0.2]))["lr"], [0.2, 0.4])


@pytest.mark.parametrize("at", [(3, 2), (2, 2), (2,), (1, 2, 3)])
def test_boundaries_rise_one_fewer_than_the_values(at):
    with pytest.raises(ValueError, match="^at: expected rising steps, one fewer than the 3 values"):
        Stages((0.3, 0.2, 0.1), at)


def test_no_step_comes_before_the_first():
    for schedule in (Stages((0.2, 0.1), (1,)), Cosine(0.1, 10), WarmUp(constant(0.1), 5, 0.1)):
        assert schedule(0) > 0
        with pytest.raises(ValueError, match="^step: expected a whole number of at least 0, got -1"):
            schedule(-1)
