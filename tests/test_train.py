"""The training loop. Oracles: a loop written here, and counting."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from models import USUAL

import mbcore as mb
from mbcore.data import batches, digits
from mbcore.train import Record, train, training

BATCH = mb.equations(USUAL).with_index("b")


@pytest.fixture(scope="module")
def data():
    """Three blobs, 50 to train on and 20 to test on: a last part of 2 at B = 8."""
    rng = np.random.default_rng(0)
    target = np.arange(70) % 3
    x = (rng.normal(size=(70, 4)) * 0.3 + np.eye(3, 4)[target]).astype(np.float32)
    return SimpleNamespace(x_train=x[:50], target_train=target[:50], x_test=x[50:], target_test=target[50:])


def net(B=8, seed=1):
    return BATCH.compile(b=B, i=4, j=6, y=3).init(np.random.default_rng(seed))


def rng():
    return np.random.default_rng(2)


@pytest.mark.parametrize("B, epochs, looks", [(8, 3, 40), (8, 3, 4), (50, 2, 40), (7, 1, 1), (1, 1, 10)])
def test_fractions_rise_to_one(data, B, epochs, looks):
    seen = list(training(net(B), data, 0.5, epochs, rng(), looks=looks))
    fractions = [f for f, _ in seen]
    total = epochs * math.ceil(50 / B)
    assert fractions[0] == 0 and fractions[-1] == 1 and all(a < b for a, b in zip(fractions, fractions[1:]))
    assert len(seen) == min(looks, total) + 1
    record = seen[-1][1]
    assert record.steps[-1] == total and record.epochs[-1] == epochs and record.B == B
    assert {len(a) for a in (record.steps, record.epochs, record.seconds, record.loss, record.test_error)} == {len(seen)}


def test_record_is_what_a_plain_loop_gives(data):
    """Every batch, the smaller last one too, is one SGD step with the mean gradient; the losses are those of all examples."""
    record, by_hand = train(net(), data, 0.5, 2, rng(), looks=1000), net()
    losses, errors, everything = [], [], by_hand.resized(b=50)

    def look():
        losses.append(everything.forward(x=data.x_train, target=data.target_train).mean())
        s = by_hand.resized(b=20).evaluate("s", x=data.x_test)
        errors.append(np.mean(s.argmax(1) != data.target_test))
    look()
    for at in batches(50, 8, rng(), epochs=2):
        by_hand.step(0.5, x=data.x_train[at], target=data.target_train[at])
        look()
    np.testing.assert_allclose(record.loss, losses, rtol=1e-6)
    np.testing.assert_allclose(record.test_error, errors)
    assert (np.diff(record.seconds) > 0).all() and record.seconds[0] == 0


def test_same_seed_same_record(data):
    one, two, other = train(net(), data, 0.5, 2, rng()), train(net(), data, 0.5, 2, rng()), train(net(), data, 0.5, 2, np.random.default_rng(3))
    np.testing.assert_array_equal(one.loss, two.loss)
    np.testing.assert_array_equal(one.test_error, two.test_error)
    assert not np.array_equal(one.loss, other.loss)


def test_B_smaller_than_compiled(data):
    np.testing.assert_allclose(train(net(32), data, 0.5, 2, rng(), B=8).loss, train(net(8), data, 0.5, 2, rng()).loss, rtol=1e-5)


def test_the_data_are_left_as_they_were(data):
    before = [a.copy() for a in vars(data).values()]
    train(net(), data, 0.5, 1, rng())
    assert all(np.array_equal(a, b) for a, b in zip(before, vars(data).values()))


def test_digits_are_learned():
    program = BATCH.compile(b=32, i=64, j=32, y=10).init(np.random.default_rng(1))
    record = train(program, digits(), 1.0, 8, rng(), looks=4)
    assert record.test_error[-1] < 0.1 < 0.7 < record.test_error[0] and record.loss[-1] < 0.3 and not record.diverged


def diverging(data):
    wild = mb.equations("h[j] = W0[j,i] * x[i]\ns[y] = W1[y,j] * h[j]**3\nL = cross_entropy(s[y], target)").with_index("b")
    program = wild.compile(b=8, i=4, j=6, y=3).init(np.random.default_rng(1))
    return list(training(program, data, 1e3, 50, rng(), looks=350))


@pytest.mark.filterwarnings("ignore")
def test_divergence_stops_and_is_reported(data):
    seen = diverging(data)
    record = seen[-1][1]
    assert record.diverged and not np.isfinite(record.loss[-1]) and np.isfinite(record.loss[:-1]).all()
    assert seen[-1][0] == 1.0 and len(seen) < 100


def test_divergence_prints_no_warnings(data):
    diverging(data)


@pytest.mark.parametrize("loss, diverged", [([1, 0.5], False), ([1, 9.9], False), ([1, 10.1], True), ([1, math.nan], True), ([1, math.inf], True)])
def test_what_diverged_means(loss, diverged):
    steps = np.arange(2)
    assert Record(8, steps, steps, steps, np.array(loss), steps).diverged == diverged
