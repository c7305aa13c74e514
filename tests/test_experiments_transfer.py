"""B2: the verdict stands over seeds on this machine's clock, and turns on times that the test makes up."""

import pytest
from verdicts import labels, stand

from mbcore import hardware
from mbcore.experiments import transfer
from mbcore.progress import last

CONFIG = transfer.Config()


def measured(t, sizes=CONFIG.sizes, rounds=25):
    return hardware.Throughput(tuple(sizes), tuple((t(B),) * rounds for B in sizes), tuple((t(B), t(B)) for B in sizes))


def feed(monkeypatch, step, copy, recorded=None):
    """A machine on which a step takes step(B) and a copy copy(B); recorded: the same two of a GPU."""
    marks = {"step": step, "copy": copy}
    def throughputs(call, sizes, *_):
        yield 1.0, measured(marks["step" if call == "step" else "copy"], sizes)
    monkeypatch.setattr(transfer.hardware, "throughput", throughputs)
    monkeypatch.setattr(transfer.hardware, "stepper", lambda *_, **__: "step")
    monkeypatch.setattr(transfer, "gpu_available", lambda: False)
    found = recorded and hardware.Recording("a test's GPU", "2026-01-02", dict(zip(("step", "copy"), map(measured, recorded))))
    monkeypatch.setattr(hardware, "recording", lambda name: found if name == "transfer" else None)
    return transfer.run()


STEP, COPY = (lambda B: 2e-4 + 6e-6 * B), (lambda B: 1e-6 + 1e-7 * B)


def test_the_verdict_stands():
    """A clock: it stands where the machine is not too busy to tell."""
    assert stand(transfer.run, transfer.SMALL).get("B2", "contested") in ("holds when", "contested")


@pytest.mark.parametrize("step, copy, label, said", [
    (STEP, COPY, "holds when", "over half of that being the step's calls and not the copy. Transfer to a GPU: not measured here."),
    (lambda B: 6e-6 * B, lambda B: 1e-7 * B, "does not hold here", "less than 2x"),             # nothing is spent on a call
    (lambda B: 1e-6 + 6e-6 * B, lambda B: 2e-4 + 1e-7 * B, "holds when", "in a batch. Transfer")])      # a copy with a long start, on a CPU
def test_the_verdict_turns(monkeypatch, step, copy, label, said):
    result = feed(monkeypatch, step, copy)
    assert labels(result) == {"B2": label} and said in result.verdicts[0].because


@pytest.mark.parametrize("step, copy, label", [
    (lambda B: 1e-4 + 1e-8 * B, lambda B: 3e-4 + 1e-8 * B, "holds"), (lambda B: 3e-4 + 1e-8 * B, lambda B: 1e-5 + 1e-8 * B, "holds when"),
    (lambda B: 1e-6 * B, lambda B: 1e-6 * B, "does not hold here")])
def test_a_recorded_gpu_answers_for_the_transfer(monkeypatch, step, copy, label):
    result = feed(monkeypatch, STEP, COPY, (step, copy))
    assert labels(result) == {"B2": label} and "recorded on a test's GPU, 2026-01-02" in result.verdicts[0].because
    assert transfer.recorded().device == "gpu" and result.device == "cpu" and result.source == "measured on this machine"


def test_an_unsteady_clock_decides_nothing():
    few = transfer._result("measured on this machine", "cpu", measured(STEP, rounds=4), measured(COPY, rounds=4))
    assert transfer._verdict(few, None).label == "contested"


def test_shares_and_epochs(monkeypatch):
    result = feed(monkeypatch, STEP, COPY)
    assert result.share[0] == pytest.approx(1.1e-6 / (1.1e-6 + 2.06e-4)) and result.epoch[3] == pytest.approx(125 * (1.8e-6 + 2.48e-4))
    assert result.line.knee == pytest.approx(2e-4 / 6e-6) and result.copy_line.t0 == pytest.approx(1e-6)


def test_the_copy_has_the_bytes_of_a_batch(monkeypatch):
    asked = []
    monkeypatch.setattr(transfer.hardware, "copier", lambda largest, device: asked.append((largest, device)) or asked.append)
    last(transfer.running(transfer.Config(sizes=(1, 4), budget=0.02, rounds=2)))
    assert asked[0] == (4 * 784 * 4, "cpu") and set(asked[1:]) == {784 * 4, 4 * 784 * 4}


def test_it_draws_as_it_goes():
    seen = list(transfer.running(transfer.Config(sizes=(1, 2, 4), budget=0.03, rounds=3)))
    assert [len(r.share) for _, r in seen[:3]] == [1, 2, 3] and all(r.verdicts == () for _, r in seen[:-1])
    assert seen[-1][0] == 1 and [v.claim for v in seen[-1][1].verdicts] == list(transfer.CLAIMS)


def test_bad_sizes_are_refused_by_name():
    with pytest.raises(ValueError, match="sizes: expected rising whole numbers"):
        last(transfer.running(transfer.Config(sizes=(0, 1))))
