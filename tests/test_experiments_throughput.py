"""T9 N1 T3: the verdicts stand over seeds on this machine's clock, and turn on a clock that the test moves."""

import numpy as np
import pytest
from verdicts import labels, stand

from mbcore import hardware, roofline
from mbcore.experiments import throughput
from mbcore.experiments.models import MLP
from mbcore.progress import last

CONFIG = throughput.Config(budget=20.0)
PLAIN = lambda B: 1e-4 + 1e-6 * B                                           # a knee at 100
FALLING = lambda B, by: 1e-4 + 1e-6 * B * (1 if B <= 2048 else by)          # and caches that end at 2048
SLOWER, FASTER = (lambda B: 1e-3 + 1e-6 * B), (lambda B: 1e-3 + 1e-9 * B)   # GPUs with long launches


def measured(t, sizes=CONFIG.sizes, rounds=25):
    return hardware.Throughput(sizes, tuple((t(B),) * rounds for B in sizes), tuple((t(B), t(B)) for B in sizes))


def feed(monkeypatch, t, fits=10**7):
    """A machine on which a step takes t(B), and into whose memory `fits` examples fit."""
    def throughputs(step, sizes, *_):
        yield 1.0, measured(t, sizes)
    monkeypatch.setattr(throughput.hardware, "throughput", throughputs)
    monkeypatch.setattr(throughput.roofline, "peak", lambda **_: roofline.Peak(1e11, 1e10))
    monkeypatch.setattr(throughput.hardware, "largest_batch", lambda *_, **__: fits)
    monkeypatch.setattr(throughput, "gpu_available", lambda: False)
    monkeypatch.setattr(hardware, "recording", lambda name: None)
    return lambda: labels(throughput.run(CONFIG))


def test_the_verdicts_stand():
    """Clocks: the rise to a plateau has the widest margin; a busy machine may leave either open."""
    found = stand(throughput.run, throughput.SMALL)
    assert found.get("T9", "contested") in ("does not hold here", "contested") and "T3" in found
    assert found.get("N1", "contested") in ("holds when", "contested")


@pytest.mark.parametrize("t, fits, t9, n1", [
    (PLAIN, 10**7, "does not hold here", "holds when"),
    (lambda B: FALLING(B, 1.4), 10**7, "does not hold here", "holds when"),
    (lambda B: FALLING(B, 3), 10**7, "does not hold here", "does not hold here"),
    (PLAIN, 5000, "holds", "holds when"),                                        # a memory that ends near the knee
    (lambda B: 1.0, 10**7, "not measured here", "holds")])                  # no end of the rise in sight, nor of memory
def test_t9_and_n1_turn(monkeypatch, t, fits, t9, n1):
    assert feed(monkeypatch, t, fits)() == {"T9": t9, "N1": n1, "T3": "not measured here"}


def test_an_unsteady_clock_decides_nothing(monkeypatch):
    rng, found = np.random.default_rng(0), feed(monkeypatch, lambda B: PLAIN(B))
    def shaken(step, sizes, *_):
        bursts = tuple(tuple(PLAIN(B) * rng.lognormal(sigma=1.0, size=25)) for B in sizes)
        yield 1.0, hardware.Throughput(sizes, bursts, tuple((b[0], b[1]) for b in bursts))
    monkeypatch.setattr(throughput.hardware, "throughput", shaken)
    assert found()["N1"] == "contested"
    assert throughput._t9(throughput.replace(throughput.run(CONFIG), cpu=measured(PLAIN, rounds=4))).label == "contested"


def test_a_cpu_that_others_use_does_not_answer_for_long_steps(monkeypatch):
    feed(monkeypatch, lambda B: FALLING(B, 3))
    result = throughput.run(CONFIG)
    assert throughput._n1(result).label == "does not hold here"
    assert throughput._n1(throughput.replace(result, cpu=throughput.replace(result.cpu, own=0.6))).label == "contested"


@pytest.mark.parametrize("gpu, label", [(FASTER, "holds"), (SLOWER, "does not hold here")])
def test_t3_is_answered_by_a_recording(monkeypatch, gpu, label):
    """The launches, ten times the CPU's calls, do not count; nor do they help."""
    found = feed(monkeypatch, PLAIN)
    recorded = hardware.Recording("a test's GPU", "2026-01-02", {"cpu": measured(PLAIN), "gpu": measured(gpu)})
    monkeypatch.setattr(hardware, "recording", lambda name: recorded if name == "throughput" else None)
    assert found() == {"T9": "does not hold here", "N1": "holds when", "T3": label}
    result = throughput.run(CONFIG)
    assert result.gpu_source == "recorded on a test's GPU, 2026-01-02" and "a test's GPU, 2026-01-02" in result.verdicts[-1].because


def test_with_a_gpu_it_is_the_gpu_that_is_judged(monkeypatch):
    feed(monkeypatch, PLAIN)
    asked = []
    monkeypatch.setattr(throughput, "gpu_available", lambda: True)
    monkeypatch.setattr(throughput, "free_memory", lambda device: asked.append(device) or 10**9)
    monkeypatch.setattr(throughput.hardware, "peak_bytes", lambda call, device: 0)
    monkeypatch.setattr(throughput.hardware, "stepper", lambda *_, **__: None)
    def throughputs(step, sizes, budget, device, rounds):
        yield 1.0, measured(PLAIN if device == "cpu" else FASTER, sizes)
    monkeypatch.setattr(throughput.hardware, "throughput", throughputs)
    result = throughput.run(CONFIG)
    assert asked == ["gpu"] and result.judged is result.gpu and result.gpu_source == "measured on this machine"
    assert labels(result) == {"T9": "not measured here", "N1": "holds", "T3": "holds"}


def test_the_best_is_not_chosen_by_luck():
    """All sizes are equally fast; the best of 17 by chance is not found to be faster in the rounds between."""
    rng, wrong = np.random.default_rng(2), 0
    for _ in range(200):
        bursts = tuple(tuple(1e-6 * B * rng.lognormal(sigma=0.05, size=25)) for B in CONFIG.sizes)
        wrong += throughput._slower(hardware.Throughput(CONFIG.sizes, bursts, ()), -1)[0] > 1
    assert wrong <= 15                                                      # 2.5 % and what chance adds


def test_the_line_and_the_cost_of_a_batch(monkeypatch):
    feed(monkeypatch, PLAIN)
    result = throughput.run(CONFIG)
    assert result.line.knee == pytest.approx(100) and result.line.t0_interval == pytest.approx((1e-4, 1e-4))
    assert throughput.cost(result.cpu)[6] == pytest.approx(1.64e-4 / 1.01e-4)


def test_what_is_counted():
    result = next(throughput.running(throughput.SMALL))[1]
    sizes = dict(i=64, j=32, y=10)
    assert result.verdicts == () and result.nbytes == tuple(MLP.with_index("b").nbytes(b=B, **sizes) for B in throughput.SMALL.sizes)
    assert result.held == pytest.approx(MLP.with_index("b").nbytes(b=1024, **sizes), rel=0.1)
    w = roofline.work(MLP.with_index("b"), b=16, **sizes)
    roof = min(result.peak.flops, w.flops / w.nbytes * result.peak.bandwidth)
    assert result.attainable[1] == pytest.approx(16 / (w.flops / roof)) and result.t4[1] > result.attainable[1]
    assert MLP.with_index("b").nbytes(b=result.fits, **sizes) <= result.free


def test_it_draws_as_it_goes():
    seen = list(throughput.running(throughput.Config(sizes=(1, 2, 4, 8), budget=0.05, rounds=3)))
    assert [len(r.cpu.sizes) for _, r in seen[:4]] == [1, 2, 3, 4] and seen[2][1].line is not None
    assert seen[-1][0] == 1 and [v.claim for v in seen[-1][1].verdicts] == list(throughput.CLAIMS)
    assert all(r.verdicts == () for _, r in seen[:-1])


def test_bad_sizes_are_refused_by_name():
    with pytest.raises(ValueError, match="sizes: expected rising whole numbers"):
        last(throughput.running(throughput.Config(sizes=(4, 2), budget=0.05)))
    with pytest.raises(MemoryError, match="bytes"):
        throughput.run(throughput.Config(sizes=(1, 10**10), budget=0.05))
