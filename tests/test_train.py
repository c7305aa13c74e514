"""The training loop. Oracles: a loop written here, and counting."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from models import USUAL

import mbcore as mb
from mbcore.data import batches, digits
from mbcore.optim import SGD, Adam, Momentum
from mbcore.train import Record, accumulated, accuracy, predicted, train, training

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


# ------------------------------------------------------------------ compute batch, optimisation batch, replicas

@pytest.mark.parametrize("compute", [1, 3, 8])
def test_accumulation_is_the_batch_whatever_the_parts(data, compute):
    """50 = 8 + ... + 2 and parts of 3 leave ragged rests on both levels."""
    whole, parts = (BATCH.compile(b=8, i=4, j=6, y=3, dtype="float64").init(np.random.default_rng(1)) for _ in range(2))
    one, two = train(whole, data, 0.5, 3, rng()), train(parts, data, 0.5, 3, rng(), compute=compute)
    np.testing.assert_allclose(two.loss, one.loss, rtol=1e-12)
    assert one.steps[-1] == two.steps[-1] == 3 * 7


def test_the_optimisation_batch_may_be_larger_than_memory_allows(data):
    """50 examples an update in a program for 8: 6 parts of 8 and one of 2."""
    small, large = (BATCH.compile(b=b, i=4, j=6, y=3, dtype="float64").init(np.random.default_rng(1)) for b in (8, 50))
    np.testing.assert_allclose(train(small, data, 0.5, 3, rng(), B=50).loss, train(large, data, 0.5, 3, rng()).loss, rtol=1e-12)


def test_mean_of_means_would_be_wrong(data):
    """What accumulation must not do: the parts' means averaged without their sizes."""
    program, x, target = net(8), data.x_train[:8], data.target_train[:8]
    right = accumulated(program, 5, x=x, target=target)
    means = [accumulated(program, 5, x=x[p], target=target[p]) for p in (slice(0, 5), slice(5, 8))]
    wrong = sum(m["W0"] for m in means) / 2
    assert abs(right["W0"] - wrong).max() > 100 * abs(right["W0"] - (5 * means[0]["W0"] + 3 * means[1]["W0"]) / 8).max()


@pytest.mark.parametrize("compute", [None, 3])
def test_replicas_equal_single_runs(data, compute):
    many = BATCH.with_index("r", parameters=True).compile(r=3, b=8, i=4, j=6, y=3, dtype="float64").init(np.random.default_rng(1))
    lr = np.array([0.1, 0.5, 1.0])
    record = train(many, data, lr, 2, rng(), compute=compute)
    singles = []
    for k, (start, stream) in enumerate(zip(np.random.default_rng(1).spawn(3), rng().spawn(3))):
        one = BATCH.compile(b=8, i=4, j=6, y=3, dtype="float64").init(start)
        singles.append(train(one, data, float(lr[k]), 2, stream, compute=compute))
    np.testing.assert_allclose(record.loss, np.stack([s.loss for s in singles], axis=1), rtol=1e-10)
    np.testing.assert_allclose(record.test_error, np.stack([s.test_error for s in singles], axis=1))


def test_a_schedule_is_asked_for_every_step(data):
    asked = []
    train(net(), data, lambda step: asked.append(step) or 0.5, 2, rng())
    assert asked == list(range(14))
    np.testing.assert_array_equal(train(net(), data, lambda step: 0.5, 2, rng()).loss, train(net(), data, 0.5, 2, rng()).loss)


def test_a_run_is_left_and_taken_up_again(data):
    run, other = training(net(), data, 0.5, 2, rng()), net(seed=9)
    for _ in range(3):
        next(run)
    train(other, data, 0.1, 1, rng())                           # something else in between
    assert np.array_equal(list(run)[-1][1].loss, train(net(), data, 0.5, 2, rng()).loss)


@pytest.mark.parametrize("compute", [0, 9, 2.5, "3"])
def test_wrong_compute_batch(data, compute):
    with pytest.raises(ValueError, match="compute: expected a whole number of at least 1 and at most 8, got"):
        train(net(), data, 0.5, 1, rng(), compute=compute)


@pytest.mark.parametrize("rule", [SGD(), Momentum(beta=0.0)])
def test_a_rule_that_is_sgd_trains_as_none_does(data, rule):
    plain, ruled = (BATCH.compile(b=8, i=4, j=6, y=3, dtype="float64").init(np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_allclose(train(ruled, data, 0.5, 2, rng(), rule=rule).loss, train(plain, data, 0.5, 2, rng()).loss, rtol=1e-10)


@pytest.mark.parametrize("rule, lr", [(Momentum(beta=0.9), 0.1), (Adam(), 0.05)])
def test_other_rules_learn(data, rule, lr):
    record = train(net(), data, lr, 5, rng(), rule=rule)
    assert record.loss[-1] < record.loss[0] / 2


# ---------------------------------------------------------------- stop and resume


@pytest.mark.parametrize("rule", [lambda: None, Momentum, Adam])
@pytest.mark.parametrize("looks", [1, 4, 9])
def test_a_stopped_run_goes_on_from_its_file(data, tmp_path, rule, looks):
    """Stopped after each look by forgetting everything but the file, the run ends as if it had never been stopped."""
    path, seen = tmp_path / "run.npz", []
    arguments = dict(lr=0.1, epochs=2, looks=9, compute=None)
    whole_net = net()
    whole = train(whole_net, data, rng=rng(), rule=rule(), **arguments)
    going = training(net(), data, rng=rng(), rule=rule(), saved=path, **arguments)
    for _, (_, record) in zip(range(looks), going):
        seen.append(record.steps[-1])
    other = net()                                                # a new process draws the same first parameters
    going = list(training(other, data, rng=rng(), rule=rule(), saved=path, **arguments))
    assert going[0][1].steps[-1] == seen[-1]
    record = going[-1][1]
    np.testing.assert_array_equal(record.loss, whole.loss)
    np.testing.assert_array_equal(record.steps, whole.steps)
    assert (np.diff(record.seconds) > 0).all()
    for name, p in whole_net.params.items():
        np.testing.assert_array_equal(other.params[name], p)


def test_a_finished_run_is_only_read(data, tmp_path):
    first = train(net(), data, 0.1, 1, rng(), saved=tmp_path / "run")
    again = train(net(), data, 0.1, 1, rng(), saved=tmp_path / "run")
    np.testing.assert_array_equal(first.loss, again.loss)
    np.testing.assert_array_equal(first.seconds, again.seconds)


def test_replicas_go_on_too(data, tmp_path):
    eq = BATCH.with_index("r", parameters=True)
    make = lambda: eq.compile(r=3, b=8, i=4, j=6, y=3).init(np.random.default_rng(1))
    whole = train(make(), data, np.array([0.1, 0.3, 0.5]), 2, rng())
    for _, _ in zip(range(3), training(make(), data, np.array([0.1, 0.3, 0.5]), 2, rng(), saved=tmp_path / "run")):
        pass
    np.testing.assert_array_equal(train(make(), data, np.array([0.1, 0.3, 0.5]), 2, rng(), saved=tmp_path / "run").loss, whole.loss)


@pytest.mark.parametrize("change", [dict(lr=0.2), dict(epochs=3), dict(looks=5), dict(rng=np.random.default_rng(9)), dict(rule=Adam())])
def test_another_run_is_refused_and_nothing_is_changed(data, tmp_path, change):
    arguments = dict(lr=0.1, epochs=2, looks=9, rng=rng(), rule=None)
    train(net(), data, saved=tmp_path / "run", **arguments)
    other = net(seed=3)
    before = {name: p.copy() for name, p in other.params.items()}
    with pytest.raises(ValueError, match="^saved: .* holds another run"):
        train(other, data, saved=tmp_path / "run", **{**arguments, **change})
    assert all(np.array_equal(before[name], p) for name, p in other.params.items())


# ---------------------------------------------------------------- prediction


def test_predictions_are_the_largest_scores(data):
    program = net()
    train(program, data, 1.0, 20, rng())
    s = program.resized(b=70).evaluate("s", x=np.concatenate([data.x_train, data.x_test]))
    np.testing.assert_array_equal(predicted(program, data.x_test), s[50:].argmax(axis=1))
    np.testing.assert_array_equal(predicted(program, data.x_test[:5]), s[50:55].argmax(axis=1))
    assert accuracy(program, data.x_test, data.target_test) == np.mean(s[50:].argmax(axis=1) == data.target_test) > 0.5


def test_replicas_have_an_accuracy_each(data):
    program = BATCH.with_index("r", parameters=True).compile(r=3, b=20, i=4, j=6, y=3).init(np.random.default_rng(1))
    assert predicted(program, data.x_test).shape == (3, 20) and accuracy(program, data.x_test, data.target_test).shape == (3,)
