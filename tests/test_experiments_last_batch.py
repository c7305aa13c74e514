"""B6: the verdict stands and turns; losses, order and shares against loops, PyTorch and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from models import lazy_torch as torch
from verdicts import labels, stand

from mbcore import data
from mbcore.experiments import last_batch
from mbcore.experiments.last_batch import CHANCE, Config, Setting
from mbcore.program import Program
from mbcore.progress import last

SMALL, TINY = last_batch.SMALL, Config(usual=Setting(B=8), others=(), batches=8, seeds=3)


def memory(setting, config=TINY):
    return last(last_batch.watching(setting, config))


def test_the_verdict_stands():
    assert stand(last_batch.run, SMALL) == {"B6": "holds when"}


def test_it_turns_when_sorting_does_not_sort(monkeypatch):
    """No setting is left that makes the model forget."""
    visits = last_batch._visits
    monkeypatch.setattr(last_batch, "_visits", lambda order, *rest: visits("shuffled", *rest))
    found = last_batch.run(replace(SMALL, others=(Setting(order="sorted"),)))
    assert labels(found) == {"B6": "does not hold here"} and "no setting tried" in found.verdicts[0].because


def test_it_turns_when_every_setting_is_sorted(monkeypatch):
    visits = last_batch._visits
    monkeypatch.setattr(last_batch, "_visits", lambda order, *rest: visits("sorted", *rest))
    found = last_batch.run(SMALL)
    assert labels(found) == {"B6": "does not hold here"} and "it does remember only the last" in found.verdicts[0].because


def test_it_turns_when_steps_are_summed(monkeypatch):
    """B times too large a step: nothing is known of any batch, which is not remembering the last one."""
    step = Program.step
    monkeypatch.setattr(Program, "step", lambda self, lr, **inputs: step(self, 32 * lr, **inputs))
    found = last_batch.run(replace(SMALL, others=()))
    assert labels(found) == {"B6": "does not hold here"} and not found.usual.remembers_only_last


def test_losses_are_those_of_pytorch():
    """Seed 1 of the replicas, trained by autograd: its loss on every batch after every batch."""
    found, c = memory(Setting(steps=2, B=8)), TINY
    digits, (starts, orders) = data.digits(), np.random.default_rng(c.seed).spawn(2)
    net = last_batch.MLP.with_index("b").with_index("r", parameters=True).compile(b=1, r=3, i=64, j=32, y=10).init(starts)
    W0, C0, W1, C1 = p = [torch.tensor(net.params[n][1], dtype=torch.float64, requires_grad=True) for n in ("W0", "C0", "W1", "C1")]
    order = orders.spawn(3)[1].permutation(1437)
    x, target = torch.tensor(digits.x_train[order]).double(), torch.tensor(digits.target_train[order])
    loss = lambda at: torch.nn.functional.cross_entropy(torch.sigmoid(x[at] @ W0.T - C0) @ W1.T - C1, target[at])
    for t in range(9):
        if t:
            for _ in range(2):
                for q, g in zip(p, torch.autograd.grad(loss(slice(8 * t - 8, 8 * t)), p)):
                    q.data -= 2.0 * g
        expected = [loss(slice(8 * k, 8 * k + 8)).item() for k in range(8)]
        assert found.loss[t, 1] == pytest.approx(expected, rel=2e-4)
        assert found.fresh[t, 1] == pytest.approx(loss(slice(64, None)).item(), rel=2e-4)


def test_summaries_by_loops():
    rng, R, K = np.random.default_rng(0), 4, 8
    m = last_batch._measured(last_batch.Memory(Setting(), rng.random((K + 1, R, K)), rng.random((K + 1, R))))
    own, before, gained = np.zeros(R), np.zeros(R), np.zeros((4, R))
    for r in range(R):
        own[r] = sum(m.loss[k + 1, r, k] for k in (4, 5, 6, 7)) / 4
        before[r] = sum(sum(m.loss[k + 1, r, e] for e in range(k)) / k for k in (4, 5, 6, 7)) / 4
        for g in range(4):
            ks = range(2, K - g)
            gained[g, r] = sum(m.fresh[k + 1 + g, r] - m.fresh[k, r] - m.loss[k + 1 + g, r, k] + m.loss[k, r, k] for k in ks) / len(ks)
    half = lambda v: 5.8409 * np.sqrt(((v - v.mean()) ** 2).sum() / 3 / 4)          # t at 99.5 % with 3 degrees of freedom
    assert m.last == pytest.approx((own.mean(), half(own)), rel=1e-4)
    assert m.earlier == pytest.approx((before.mean(), half(before)), rel=1e-4)
    assert m.advantage[1] == pytest.approx(gained.mean(axis=1)) and m.advantage[2][1] == pytest.approx(half(gained[1]), rel=1e-4)
    rest = gained[1:].mean(axis=0)
    assert m.rest == pytest.approx((rest.mean(), half(rest)), rel=1e-4)


def test_fresh_batches_have_no_advantage():
    """Trained at a rate of nothing, no batch is known better than any other, or than chance."""
    found = memory(Setting(lr=1e-12), SMALL)
    assert found.left is None and np.abs(found.advantage[1]).max() < 1e-5
    assert last_batch._lasting(found) == "a batch's own advantage is not seen at all"
    assert not found.remembers_only_last and not found.keeps_earlier


def test_what_outlasts_the_next_update():
    """At B = 32 a small part, above 0 all the same; sentences for other shares."""
    m = memory(Setting(), SMALL)
    assert 0 < m.rest[0] - m.rest[1] and m.left == pytest.approx((m.rest[0] + m.rest[1]) / (m.advantage[1][0] - m.advantage[2][0]))
    told = lambda rest: last_batch._lasting(replace(m, advantage=(np.arange(2), np.array([0.5, 0.2]), np.array([0.1, 0.1])), rest=rest))
    assert told((0.05, 0.01)) == "less than 20 % of a batch's own advantage outlasts the next update"
    assert told((-0.3, 0.1)).startswith("less than 10 %") and told((0.3, 0.1)) == "a batch's own advantage fades slowly"


def test_a_batch_of_one_is_forgotten_and_twenty_steps_on_a_large_one_are_not():
    assert memory(Setting(B=1), SMALL).remembers_only_last
    assert memory(Setting(B=1), Config(usual=Setting(B=1), others=(), batches=256, seeds=3)).remembers_only_last     # and no longer young
    often = memory(Setting(steps=20), SMALL)
    assert often.keeps_earlier and not often.remembers_only_last


def test_course_by_loops():
    m = memory(Setting(B=8))
    t, just, before = m.course
    assert t.tolist() == list(range(1, 9)) and np.isnan(before[0])
    assert just[4] == pytest.approx(np.mean([m.loss[5, r, 4] for r in range(3)]))
    assert before[4] == pytest.approx(np.mean([m.loss[5, r, k] for r in range(3) for k in range(4)]))


@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_agreement_is_the_cosine_of_gradients_by_pytorch(order):
    found, c = last_batch.agreement(Setting(B=8, order=order), TINY), TINY
    digits, (starts, orders) = data.digits(), np.random.default_rng(c.seed).spawn(2)
    net = last_batch.MLP.with_index("b").compile(b=1, i=64, j=32, y=10).init(starts.spawn(3)[1])
    W0, C0, W1, C1 = p = [torch.tensor(net.params[n], dtype=torch.float64, requires_grad=True) for n in ("W0", "C0", "W1", "C1")]
    seen, _ = last_batch._visits(order, digits.target_train, 64, orders.spawn(3)[1])
    g = []
    for at in np.split(seen, 8):
        h = torch.sigmoid(torch.tensor(digits.x_train[at]).double() @ W0.T - C0)
        loss = torch.nn.functional.cross_entropy(h @ W1.T - C1, torch.tensor(digits.target_train[at]))
        g.append(torch.cat([part.ravel() for part in torch.autograd.grad(loss, p)]))
    cosine = lambda a, b: (torch.dot(a, b) / a.norm() / b.norm()).item()
    for d in (1, 7):
        assert found[d - 1, 1] == pytest.approx(np.mean([cosine(g[k], g[k + d]) for k in range(8 - d)]), rel=1e-4)


def test_a_model_that_diverges_remembers_nothing():
    found = memory(Setting(lr=1e38))
    assert not found.remembers_only_last and not found.keeps_earlier


@pytest.mark.parametrize("order", last_batch.ORDERS)
def test_orders(order):
    targets = data.digits().target_train
    seen, fresh = last_batch._visits(order, targets, 1024, np.random.default_rng(0))
    assert len(seen) == 1024 and len(fresh) == 413 and not set(seen) & set(fresh)
    assert (order == "replacement") == (len(set(seen)) < 1024) and (order == "sorted") == bool((np.diff(targets[seen]) >= 0).all())


@pytest.mark.parametrize("replacement, drop_last, epochs, expected", [
    (False, False, 1, 0.0), (False, True, 1, 29 / 1437), (False, True, 2, (29 / 1437) ** 2), (True, False, 1, (1436 / 1437) ** 1440)])
def test_never_seen(replacement, drop_last, epochs, expected):
    found = last_batch.never_seen(Config(), replacement, drop_last, epochs)
    assert found.expected == pytest.approx(expected) and ("drop_last" in found.name) == drop_last
    assert found.share == pytest.approx(expected, abs=4 * (max(expected, 1e-3) / 1437 / 8) ** 0.5)        # binomial, 8 seeds
    draws = epochs * (1437 // 32 if drop_last else 45) * 32
    assert (found.counts.sum(axis=1) == (draws if drop_last or replacement else 1437)).all()
    assert replacement or found.counts.max() <= epochs


def test_running_goes_row_by_row():
    seen = list(last_batch.running(replace(TINY, others=(Setting(j=2, B=8),))))
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and seen[-1][1].verdicts
    assert seen[0][1].usual.loss.shape == (1, 3, 8) and seen[0][1].verdicts == () and not seen[0][1].usual.remembers_only_last
    assert seen[-1][1].usual.loss.shape == (9, 3, 8) and seen[-1][1].chance == pytest.approx(CHANCE) == pytest.approx(np.log(10))


@pytest.mark.parametrize("make, name", [
    (lambda: Setting(order="random"), "order"), (lambda: Setting(steps=0), "steps"), (lambda: Setting(lr=-1.0), "lr"),
    (lambda: Setting(B=0), "B"),
    (lambda: Config(seeds=2), "seeds"), (lambda: Config(usual=Setting(B=64)), "batches"), (lambda: Config(batches=2), "batches")])
def test_bad_input_is_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"^{name}:"):
        make()
