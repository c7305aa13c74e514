"""B5: the verdict stands over seeds and turns with bad trials; the regret of known steps; one training beside a plain loop."""

from dataclasses import replace

import numpy as np
import pytest
from verdicts import labels, stand

from mbcore import data
from mbcore.advise import RATIO
from mbcore.experiments import choosing
from mbcore.experiments.choosing import SMALL, Config, Result
from mbcore.experiments.models import MLP
from mbcore.gradients import full_gradient


def test_the_verdict_stands():
    assert stand(choosing.run, SMALL) == {"B5": "holds"}


@pytest.fixture(scope="module")
def found():
    return choosing.run(SMALL)


def test_what_is_found(found):
    """As printed once, loosely: 64 of 4, 16, 64, 256; a blind choice loses half."""
    assert found.choices.best in (16, 64) and found.choices.blind.low > 1.2 and 0 < found.choices.cost < 1
    assert np.isfinite(found.steps).all() and (np.diff(found.steps.mean(axis=1)) < 0).all()
    assert len(found.choices.tried) == SMALL.trials and set(found.choices.tried) <= set(SMALL.sizes)


def test_trials_that_mislead_turn_it(found):
    """The same sweep, and trials in which the smallest batch wins; or in which anything may win."""
    wrong = replace(found, trial_steps=np.tile(np.array(SMALL.sizes, float)[:, None], (1, SMALL.trials)))
    assert choosing._verdict(SMALL, choosing.chosen(SMALL, wrong, SMALL.knee)).label == "does not hold here"
    mixed = np.full_like(found.trial_steps, 1e6)
    mixed[[0, 2, 2, 3, 2], np.arange(5)] = 1
    assert choosing._verdict(SMALL, choosing.chosen(SMALL, replace(found, trial_steps=mixed), SMALL.knee)).label == "contested"


def test_without_trials_that_arrive_nothing_is_measured(monkeypatch):
    raced = choosing.raced
    never = lambda c, d, sets, B, target, rng: raced(c, d, sets, B, 1e-9 if target == c.easy else target, rng)
    monkeypatch.setattr(choosing, "raced", never)
    assert labels(choosing.run(replace(SMALL, epochs=0.0, steps=60))) == {"B5": "not measured here"}


def test_regret_of_known_steps():
    """S = 100 (1 + B_crit/B), no noise: the best of the sizes by the formula, and a regret that is a quotient of two times."""
    sizes, B_crit, knee = (4, 16, 64, 256), 40.0, 100.0
    c = Config(sizes=sizes, trials=3, seeds=3, draws=100)
    steps = np.tile(100 * (1 + B_crit / np.array(sizes))[:, None], (1, 3))
    trials = np.where(np.arange(4)[:, None] == 1, 1.0, np.inf) * np.ones((4, 3))            # all choose 16
    found = choosing.chosen(c, Result(sizes, steps, trials, np.ones(4), (B_crit / RATIO[1],) * 3), knee)
    seconds = [100 * (1 + B_crit / B) * (1 + B / knee) for B in sizes]
    assert found.best == 64 and found.tried == (16,) * 3 and found.advised == (64,) * 3    # sqrt(40 * 100) = 63
    np.testing.assert_allclose(found.seconds, seconds)
    for value in (found.trying.value, found.trying.low, found.trying.high):
        assert value == pytest.approx(seconds[1] / seconds[2])
    assert found.advising.high == pytest.approx(1)
    assert found.blind.value == pytest.approx(np.prod(np.array(seconds) / seconds[2]) ** 0.25)


def test_raced_beside_a_plain_loop():
    d, c, B, n = data.digits(), replace(SMALL, rates=(2.0,)), 16, 200
    sets = np.random.default_rng(3).permutation(len(d.x_train))[None, :n]
    (steps,), (rate,) = choosing.raced(c, d, sets, B, 1.0, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    net, losses, s, own = MLP.with_index("b").compile(b=n, i=64, j=c.j, y=10).init(rng), [], 0, sets[0]
    while not losses or losses[-1] > 1.0:
        losses.append(float(net.forward(x=d.x_train[own], target=d.target_train[own]).mean()))
        if s % (n // B) == 0:
            order = rng.permuted(sets, axis=1)[0]
        at = order[s % (n // B) * B:][:B]
        net.step(2.0, x=d.x_train[at], target=d.target_train[at])
        s += 1
    first = len(losses) - 1                                     # the first step after which the loss is at most 1
    assert rate == 2.0 and first - 2 < steps < 1.15 * first + 2


def test_noise_scale_is_the_exact_one_at_the_start(monkeypatch):
    monkeypatch.setattr(choosing, "LAST", 0)
    d = data.digits()
    net = MLP.with_index("b").compile(b=32, i=64, j=SMALL.j, y=10).init(np.random.default_rng(2))
    exact = full_gradient(net, x=d.x_train, target=d.target_train).noise_scale
    assert choosing.noise_scale(SMALL, d, 32, 1.0, np.random.default_rng(2)) == pytest.approx(exact, rel=1e-3)


def test_a_batch_larger_than_the_part_is_not_tried():
    steps, rates = choosing.raced(SMALL, data.digits(), np.arange(20)[None], 21, 1.0, np.random.default_rng(0))
    assert np.isinf(steps).all() and np.isnan(rates).all()


def test_progress():
    seen = [f for f, _ in choosing.running(replace(SMALL, target=1.5, easy=1.8))]
    assert seen == sorted(seen) and seen[-1] == 1


@pytest.mark.parametrize("change, name", [
    ({"sizes": (4, 16)}, "sizes"), ({"sizes": (16, 4, 64)}, "sizes"), ({"part": 1.0}, "part"), ({"easy": 0.1}, "easy"),
    ({"target": 0.0}, "easy"), ({"knee": 0.0}, "knee"), ({"trials": 2}, "trials"), ({"seeds": 2}, "seeds")])
def test_bad_input_is_refused_by_name(change, name):
    with pytest.raises(ValueError, match=name):
        replace(SMALL, **change)
