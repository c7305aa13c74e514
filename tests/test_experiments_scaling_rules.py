"""N3 F3: verdicts stand, and turn on made runs; oracles: SciPy's t-intervals and plain loops of single networks."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from verdicts import labels, stand

from mbcore import data, schedule
from mbcore.experiments import scaling_rules as module
from mbcore.experiments.models import MLP
from mbcore.experiments.scaling_rules import SMALL, Config, Run, Rung

TINY = replace(SMALL, B0=100, lr0=1.0, gentle=0.5, seeds=3, j=4, large=(479,), doubled=(200,), kappas=(4,), sizes=(100, 479),
               rates=(0.5, 1.0), map_epochs=1, map_seeds=2, parts=module.PARTS)


def test_verdicts_stand():
    assert stand(module.run, SMALL) == {"N3": "holds when", "F3": "holds when"}


# ---------------------------------------------------------------- the verdicts turn: made runs instead of training


def made(error, loss):
    """A stand-in for `trained`: final error and loss as functions of (B, lr, epochs), with a spread over seeds of 1 %."""
    def trained(c, name, B, lr, epochs=None, **_):
        epochs, rng = epochs or c.epochs, np.random.default_rng(B)
        spread = lambda a: np.asarray(a, dtype=float)[:, None] * (1 + 0.01 * rng.normal(size=(1, c.seeds)))
        looks = np.arange(c.epochs + 1) / c.epochs
        return Run(name, B, lr, epochs, epochs * module._updates(B), spread([loss(B, lr, epochs * k) for k in looks]),
                   spread([error(B, lr, epochs)] * (c.epochs + 1)))
    return trained


updates = lambda B, lr, epochs: epochs * module._updates(B)
MADE = {
    "N3 errors by updates": (lambda *run: 2 / updates(*run), None, {"N3": "holds when"}),
    "N3 errors by B": (lambda B, lr, epochs: B / 5000, None, {"N3": "holds"}),
    "N3 errors alike": (lambda *run: 0.03, None, {"N3": "does not hold here"}),
    "F3 by lr and updates": (None, lambda B, lr, epochs: np.exp(-lr / B * epochs * 10), {"F3": "holds"}),
    "F3 until lr is large": (None, lambda B, lr, epochs: np.exp(-lr / B * epochs * 10) + (lr > 4) * epochs, {"F3": "holds when"}),
    "F3 by updates": (None, lambda B, lr, epochs: np.exp(-epochs * 10 / B), {"F3": "does not hold here"}),
    "F3 by nothing": (None, lambda B, lr, epochs: np.exp(-epochs), {"F3": "not measured here"}),
    "F3 diverged": (None, lambda B, lr, epochs: np.exp(-epochs * lr / B * 10) if B < 30 or not epochs else np.nan,
                    {"F3": "does not hold here"}),
}


@pytest.mark.parametrize("error, loss, expected", MADE.values(), ids=MADE.keys())
def test_verdicts_turn(monkeypatch, error, loss, expected):
    monkeypatch.setattr(module, "trained", made(error or (lambda *run: 0.03), loss or (lambda B, lr, epochs: np.exp(-epochs / B))))
    found = labels(module.run(SMALL))
    assert expected.items() <= found.items()


# ---------------------------------------------------------------- oracles


def run_of(loss, error):
    return Run("made", 8, 1.0, 1, 1, np.array(loss), np.array(error))


def test_intervals_are_those_of_a_paired_t_test():
    rng = np.random.default_rng(3)
    a, b = (run_of(rng.lognormal(size=(2, 6)), rng.random((2, 6))) for _ in range(2))
    for found, paired in ((np.log(a.apart(b)[1]), np.log(a.loss[1]) - np.log(b.loss[1])),
                          (np.array(a.gap(b)) / 100, a.test_error[1] - b.test_error[1])):
        interval = stats.ttest_1samp(paired, 0).confidence_interval(0.95)
        np.testing.assert_allclose(found, [paired.mean(), interval.low, interval.high], rtol=1e-9)


def test_follows_wants_every_look_near():
    base = run_of(np.ones((3, 4)) + 0.01 * np.arange(4), np.zeros((3, 4)))
    assert replace(base, loss=base.loss * [[5], [1.1], [1 / 1.1]]).follows(base)          # the first look is the start
    assert not replace(base, loss=base.loss * [[1], [1.3], [1]]).follows(base)
    assert not replace(base, loss=base.loss * [[1], [1], [1 / 1.3]]).follows(base)
    assert not replace(base, loss=base.loss * [[1], [1], [np.nan]]).follows(base)


def one_network(c, B, lr, epochs, s, replica, replicas, key):
    """The final loss and test error of one replica, trained alone by a plain loop."""
    digits = data.digits()
    start = np.random.default_rng(c.seed).spawn(s + 1)[s]
    stream = np.random.default_rng(key).spawn(replicas)[replica]
    net = MLP.with_index("b").compile(b=B, i=64, j=c.j, y=10).init(start)
    for step, at in enumerate(data.batches(len(digits.x_train), B, stream, epochs=epochs)):
        net.step(lr(step), x=digits.x_train[at], target=digits.target_train[at])
    guess = net.resized(b=360).evaluate("s", x=digits.x_test).argmax(axis=1)
    return net.resized(b=1437).forward(x=digits.x_train, target=digits.target_train).mean(), (guess != digits.target_test).mean()


def test_trained_is_a_loop_for_each_seed():
    run = module.trained(TINY, "made", 100, 1.0)
    alone = [one_network(TINY, 100, lambda step: 1.0, TINY.epochs, s, s, 3, (0, 100)) for s in range(3)]
    np.testing.assert_allclose(run.loss[-1], [a[0] for a in alone], rtol=1e-4)
    np.testing.assert_allclose(run.test_error[-1], [a[1] for a in alone], atol=2 / 360)
    assert run.updates == TINY.epochs * 15 and len(run.loss) == TINY.epochs + 1


def test_the_map_s_cells_are_single_trainings():
    seen = list(module.mapping(TINY))
    first, whole = seen[0][1]["map"], seen[-1][1]["map"]
    assert np.isnan(first.loss[1]).all() and np.isfinite(whole.loss).all() and np.array_equal(first.loss[0], whole.loss[0])
    alone = [one_network(TINY, 479, lambda step: 1.0, 1, s, 2 + s, 4, (0, 479))[0] for s in range(2)]
    assert whole.loss[1, 1] == pytest.approx(np.mean(alone), rel=1e-4)


def test_a_diverged_cell_is_infinite():
    assert np.isinf(last_map(replace(TINY, sizes=(100,), rates=(0.5, 1e30))).loss[0, 1])


def last_map(c):
    return list(module.mapping(c))[-1][1]["map"]


def test_rungs_set_rate_rule_and_length(monkeypatch):
    seen, run = [], made(lambda *r: 0.1, lambda *r: 1.0)
    monkeypatch.setattr(module, "trained", lambda c, name, B, lr, **rest: seen.append((lr, rest)) or run(c, name, B, lr))
    for rung in (Rung("sqrt", "sqrt"), Rung("warm", "linear", warm_up=0.5), Rung("LARS", lars=True), Rung("long", longer=True)):
        module.climbed(Config(B0=10, lr0=0.5, epochs=4), 90, rung)
    (root, _), (linear, warm), *lars, (_, longer) = seen
    assert root == pytest.approx(1.5) and linear == 4.5
    assert [warm["rate"](k) for k in (0, 16, 32, 60)] == pytest.approx([0.5, 2.5, 4.5, 4.5])        # 64 steps, the first half warms up
    assert [kw["rule"].trust for _, kw in lars] == list(module.TRUSTS)
    assert longer["epochs"] == 36                                                                  # 576 updates, 16 in an epoch


def test_of_several_trusts_the_least_training_loss_counts(monkeypatch):
    losses = iter([np.nan, 0.5])
    monkeypatch.setattr(module, "trained", lambda *a, **kw: run_of([[next(losses)] * 3], [[0.1] * 3]))
    assert module.climbed(Config(), 90, Rung("LARS", lars=True)).loss[0, 0] == 0.5


def test_growing_keeps_lr_over_B_and_saves_updates():
    found = list(module.growing(TINY))[-1][1]
    decayed, grown = found["decayed"], found["grown"]
    assert decayed.updates == 4 * 15 and grown.updates == 2 * 15 + 4 + 1 and decayed.loss.shape == grown.loss.shape == (5, 3)
    np.testing.assert_allclose(decayed.loss[:3], grown.loss[:3], rtol=1e-6)                         # nothing differs until the first drop


def test_adam_s_rule_is_the_schedule_s():
    found = list(module.adam(TINY))[-1][1]["adam"]
    assert found["malladi"][0].lr == schedule.adam_scaled(4, TINY.adam_lr)["lr"] and found["linear"][0].lr == 4 * TINY.adam_lr
    assert found["malladi"][0].B == 400 and found["base"][0].B == 100


def test_running_goes_to_one_and_holds_every_part():
    seen = list(module.running(replace(TINY, large=(300,))))
    fractions = [f for f, _ in seen]
    assert fractions == sorted(set(fractions)) and fractions[-1] == 1 and all(r.verdicts == () for _, r in seen[:-1])
    whole = seen[-1][1]
    assert len(whole.ladder) == len(module.LADDER) and whole.map and whole.grown and whole.adam
    assert tuple(v.claim for v in whole.verdicts) == module.CLAIMS


@pytest.mark.parametrize("wrong, said", [({"seeds": 2}, "seeds: expected at least 3"),
                                         ({"large": (12,)}, "large: expected batch sizes above B0 = 12"),
                                         ({"doubled": ()}, "doubled: expected"), ({"epochs": 3}, "epochs: expected at least 4"),
                                         ({"parts": ("adam",)}, "parts: expected laddering, following")])
def test_bad_input_is_refused_by_name(wrong, said):
    with pytest.raises(ValueError, match=said):
        Config(**wrong)


def test_kappa_of_ten_is_refused():
    with pytest.raises(ValueError, match="kappa"):
        list(module.adam(replace(TINY, kappas=(10,))))
