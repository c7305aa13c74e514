"""An interrupt, wherever it comes, leaves a program's parameters as they were or as they will be."""

import math
import signal
import warnings
from functools import partial

import numpy as np
import pytest
from interrupts import Interrupt, interrupted
from models import USUAL

import mbcore as mb
from mbcore.backend import at_once

BATCH = mb.equations(USUAL).with_index("b")
SIZES = dict(b=4, i=3, j=4, y=3)
X, T = np.random.default_rng(1).normal(size=(4, 3)), np.array([0, 1, 2, 0])


def fresh(replicas=False):
    batch, more = (BATCH.with_index("r", parameters=True), {"r": 2}) if replicas else (BATCH, {})
    return batch.compile(**SIZES, **more).init(np.random.default_rng(0))


def stored(net):
    return b"".join(p.tobytes() for p in net.params.values())


def drawn_again(net, path):
    net.init(np.random.default_rng(9))


def stepped(net, path):
    net.step(0.5, x=X, target=T)


def read(net, path):
    net.load(path)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")      # one inside a __del__ is Python's to tell
@pytest.mark.parametrize("act", [stepped, drawn_again, read])
@pytest.mark.parametrize("replicas", [False, True])
def test_an_interrupt_at_any_instruction_leaves_before_or_after(act, replicas, tmp_path):
    path = tmp_path / "other.npz"
    other = fresh(replicas)
    other.init(np.random.default_rng(5)).save(path)
    net = fresh(replicas)
    before = stored(net)
    act(net, path)
    after = stored(net)
    net = fresh(replicas)
    count = interrupted(math.inf, lambda: act(net, path))
    found = set()
    for at in sorted({*range(0, count, max(1, count // 150)), *range(count - 60, count)}):
        net = fresh(replicas)
        interrupted(at, lambda: act(net, path))
        found.add({before: "before", after: "after"}.get(stored(net), "between"))
    assert found == {"before", "after"}


def test_real_signals_leave_whole_steps():
    """SIGALRM with the handler of Ctrl-C, at random moments of many steps of one number each."""
    arrays = [np.zeros(3) for _ in range(6)]
    moves, rng, states = [partial(np.add, a, 1, out=a) for a in arrays], np.random.default_rng(0), set()

    def raising(number, frame):
        raise Interrupt
    if not hasattr(signal, "setitimer"):
        pytest.skip("this system has no timer signals")
    before = signal.signal(signal.SIGALRM, raising)
    try:
        for _ in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-5, 3e-4))
                while True:
                    at_once(moves)
            except Interrupt:
                states.add(len({a[0] for a in arrays}))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert states == {1} and arrays[0][0] > 300


def test_a_warning_that_is_an_error_cuts_no_step_in_two():
    """inf - inf in the first parameter must not keep the second from moving, whatever NumPy is told to do about it."""
    first, second = np.full(2, np.inf), np.zeros(2)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        at_once([partial(np.subtract, first, first.copy(), out=first), partial(np.add, second, 1, out=second)])
        assert np.geterr()["invalid"] == "raise"            # what the caller had set is still in force
    assert np.isnan(first).all() and (second == 1).all()


@pytest.mark.parametrize("act", ["forward", "backward"])
def test_gradients_half_computed_are_not_shown(act):
    """After an interrupt either the gradients of these inputs are there, or the program says that there are none."""
    net = fresh()
    net.forward(x=X, target=T)
    net.backward()
    right = [{n: g.copy() for n, g in net.grads.items()}]
    net.forward(x=2 * X, target=T)
    net.backward()
    right.append({n: g.copy() for n, g in net.grads.items()})

    def run():
        if act == "forward":
            net.forward(x=2 * X, target=T)
        net.backward()
    count = interrupted(math.inf, run)
    for at in range(0, count, max(1, count // 120)):
        net.forward(x=X if act == "forward" else 2 * X, target=T)
        net.backward()
        interrupted(at, run)
        try:
            found = net.grads
        except RuntimeError:
            continue
        assert any(all(np.array_equal(found[n], g) for n, g in one.items()) for one in right)
