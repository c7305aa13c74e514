"""Lesson 06's first panel, on a clock that the test makes up: a step takes 100 + B J / 32 microseconds."""

import pytest

from mbcore import hardware, roofline
from mbcore.experiments import throughput as experiment
from mbcore.panels import throughput
from mbcore.panels.throughput import Throughput

PEAK = roofline.Peak(1e11, 1e10)


def seconds(j, B):
    return 1e-4 + 1e-6 * B * j / 32


@pytest.fixture
def started(monkeypatch):
    """The widths whose measurement was begun; it gives two sizes, four, then all."""
    begun, j = [], [None]
    def stepper(*_, **sizes):
        j[0] = sizes["j"]
        begun.append(sizes["j"])
    def throughputs(step, sizes, budget, device, rounds):
        width = j[0]
        for fraction, upto in ((0.1, 2), (0.5, 4), (1.0, len(sizes))):
            found = tuple((seconds(width, B),) * rounds for B in sizes[:upto])
            yield fraction, hardware.Throughput(sizes[:upto], found, tuple((b[0], b[0]) for b in found))
    monkeypatch.setattr(experiment.hardware, "stepper", stepper)
    monkeypatch.setattr(experiment.hardware, "throughput", throughputs)
    monkeypatch.setattr(experiment.hardware, "recording", lambda name: None)
    monkeypatch.setattr(experiment, "gpu_available", lambda: False)
    monkeypatch.setattr(experiment, "free_memory", lambda device: 10**9)
    monkeypatch.setattr(experiment.roofline, "peak", lambda **_: PEAK)
    return begun


def test_it_is_measured_before_it_is_shown(started):
    panel = Throughput()
    assert "J = 32: t₀ = 100 µs, t₁ = 1 µs; the knee is at B = 100" in panel.reading and "examples would fit" in panel.reading
    assert panel.source.get_text() == "No GPU here, and no recording of one." and panel.lines[32].knee == pytest.approx(100)
    assert not panel._reached


def test_a_width_is_measured_once_and_the_one_before_stays(started):
    panel = Throughput()
    panel.set(j=512)
    assert started == [32, 512] and "J = 512" in panel.reading
    assert panel.earlier[0].get_ydata()[-1] == pytest.approx(1e3 * seconds(32, 4096))
    panel.set(j=32)
    assert started == [32, 512] and panel.earlier[0].get_ydata()[-1] == pytest.approx(1e3 * seconds(512, 4096))


def test_the_roofs_are_measured_once(started, monkeypatch):
    panel = Throughput()
    monkeypatch.setattr(experiment.roofline, "peak", lambda **_: pytest.fail("measured again"))
    panel.set(j=64)
    assert panel.found[64].peak == PEAK


def test_another_b_does_not_begin_the_measurement_anew(started):
    panel = Throughput()
    steps = panel.compute(j=128, B=4)
    next(steps)
    steps.close()                                   # the student moves B while it is measured
    assert [fraction for fraction, _ in panel.compute(j=128, B=8)] == [0.5, 0.99, 1.0, 1.0] and started == [32, 128]
    assert set(panel.lines) == {32, 128}


def test_half_a_measurement_is_shown_with_what_there_is(started):
    panel = Throughput()
    panel.compute(j=64, B=16).send(None)
    assert "was not measured" in panel.update((64, 16)) and not panel.line.get_visible()


def test_a_failure_is_forgotten(started, monkeypatch):
    panel = Throughput()
    monkeypatch.setattr(throughput.throughput, "running", lambda config: (1 / 0 for _ in range(1)))
    assert "could not be computed" in panel.set(j=8)
    monkeypatch.undo()
    assert panel.under_way == {} and "J = 32" in panel.set(j=32)


def test_memory_ends_where_it_is_predicted_to(started):
    panel = Throughput()
    fits = panel.found[32].fits
    assert f"{fits:,} examples would fit" in panel.reading and panel.full.get_x() == fits
    small, large = (max(B for B in throughput.SIZES if B <= fits), min(B for B in throughput.SIZES if B > fits))
    panel.set(B=small)
    assert list(panel.mine[1].get_xdata()) == [small] and len(panel.over.get_xdata()) == 0 and "was not measured" in panel.reading
    panel.set(B=large)
    assert len(panel.mine[1].get_xdata()) == 0 and list(panel.over.get_xdata()) == [large]


def test_the_target_is_a_wide_layer_and_a_small_batch(started):
    panel = Throughput()
    for wrong in (dict(j=1024, B=4), dict(j=1024, B=4096), dict(j=32, B=64), dict(B=2**20)):
        panel.set(**wrong)
        assert not panel._reached
    panel.set(j=1024, B=64)                         # a step takes 100 + 32 B: 95 % of the ceiling
    assert panel._reached
    panel.set(B=2**28)                              # to where memory ends, as the task says
    assert panel._reached
    panel.set(j=32)
    assert not panel._reached


def test_a_gpu_is_drawn_when_there_is_one(started, monkeypatch):
    monkeypatch.setattr(experiment, "gpu_available", lambda: True)
    monkeypatch.setattr(experiment.hardware, "peak_bytes", lambda call, device: 0)
    panel = Throughput()
    assert panel.source.get_text() == "▲ GPU: measured on this machine." and len(panel.gpu[0].get_xdata()) == 13


def test_a_recording_is_drawn_with_its_machine_and_date(started, monkeypatch):
    sizes = (1, 8, 64)
    found = hardware.Throughput(sizes, tuple((1e-3,) * 9 for _ in sizes), ((1e-3, 1e-3),) * 3)
    recording = hardware.Recording("a test's GPU", "2026-01-02", {"cpu": found, "gpu": found})
    monkeypatch.setattr(experiment.hardware, "recording", lambda name: recording)
    panel = Throughput()
    assert panel.source.get_text() == "▲ GPU: recorded on a test's GPU, 2026-01-02." and tuple(panel.gpu[0].get_xdata()) == sizes
    panel.set(j=64)                                 # the recording is of the network 64-32-10 alone
    assert panel.source.get_text() == "No GPU here, and no recording of one with this network." and len(panel.gpu[0].get_xdata()) == 0


def test_on_this_machine():
    panel = Throughput(experiment.Config(sizes=(1, 4, 16, 64), budget=0.1, rounds=2))
    assert "knee" in panel.reading and "free" in panel.reading
