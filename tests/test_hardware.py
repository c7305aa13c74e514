"""What the machine does: measured on a clock that the test moves, counted against PyTorch, fitted
against SciPy."""

import json
import time
import types
from dataclasses import replace

import fake_cupy
import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from numpy.testing import assert_allclose

import mbcore as mb
from mbcore import backend, hardware, roofline
from mbcore.experiments.models import MLP, SLIDES
from mbcore.progress import last

SIZES = dict(i=12, j=7, y=5)


class Clock:
    """Time that only steps move: step(B) takes t(B) seconds."""

    def __init__(self, monkeypatch, t):
        self.now, self.t, self.asked = 0.0, t, []
        monkeypatch.setattr(hardware, "perf_counter", lambda: self.now)

    def step(self, B):
        self.asked.append(B)
        self.now += self.t(B)


# ---------------------------------------------------------------- time


def test_throughput_reads_the_clock(monkeypatch):
    clock = Clock(monkeypatch, lambda B: 1e-3 + 1e-4 * B)
    seen = list(hardware.throughput(clock.step, (1, 10, 100), budget=5.0))
    whole = seen[-1][1]
    assert_allclose(whole.seconds, [1.1e-3, 2e-3, 11e-3], rtol=1e-9)
    assert_allclose(whole.per_second, [1 / 1.1e-3, 10 / 2e-3, 100 / 11e-3], rtol=1e-9)
    assert_allclose(whole.quartiles, np.repeat([[1.1e-3], [2e-3], [11e-3]], 2, axis=1), rtol=1e-9)
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and fractions.count(1) == 1
    assert [p.sizes for _, p in seen[:3]] == [
        (1,),
        (1, 10),
        (1, 10, 100),
    ] and whole.rounds.shape == (9, 3)


def test_quartiles_are_those_of_single_steps(monkeypatch):
    times = iter(np.tile([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 9) * 1e-3)  # the first of a burst warms
    clock = Clock(monkeypatch, lambda B: next(times))
    found = last(hardware.throughput(clock.step, (4,), budget=2 * 0.0145 * 9, rounds=9))
    assert_allclose(found.quartiles, [(2e-3, 4e-3)]) and assert_allclose(found.seconds, [3e-3])


def test_the_budget_is_kept(monkeypatch):
    clock = Clock(monkeypatch, lambda B: 1e-3 * B)
    found = last(hardware.throughput(clock.step, tuple(2**k for k in range(20)), budget=1.0))
    assert found.sizes[-1] == 16 and max(clock.asked) == found.sizes[-1] and clock.now < 1.2


def test_one_slow_step_leaves_no_size_out(monkeypatch):
    late = iter([1e-3, 1e-3] + [5.0] * 2)
    clock = Clock(monkeypatch, lambda B: next(late, 1e-3) if B == 2 else 1e-3)
    assert last(hardware.throughput(clock.step, (1, 2, 4), budget=1.0, rounds=2)).sizes == (1, 2, 4)


def test_the_share_of_time_that_was_ours():
    share = lambda step: last(hardware.throughput(step, (1,), budget=0.2, rounds=3)).own
    asleep, awake = share(lambda B: time.sleep(0.01)), share(lambda B: sum(range(10**4)))
    assert asleep < 0.3 and asleep < awake <= 1


def test_a_change_of_speed_meets_all_sizes(monkeypatch):
    """The machine is three times as slow from the middle on: ratios of rounds do not see it."""
    clock = Clock(monkeypatch, lambda B: (1e-3 + 1e-5 * B) * (3 if clock.now > 0.5 else 1))
    each = last(hardware.throughput(clock.step, (1, 100), budget=1.0, rounds=20)).rounds
    assert hardware.ratio_interval(each[:, 1], each[:, 0]) == pytest.approx((2e-3 / 1.01e-3,) * 2)


@pytest.mark.parametrize(
    "sizes, options, name",
    [
        ((), {}, "sizes"),
        ((2, 1), {}, "sizes"),
        ((1.5,), {}, "sizes"),
        ((0, 1), {}, "sizes"),
        ((1, 1), {}, "sizes"),
        ("12", {}, "sizes"),
        (3, {}, "sizes"),
        ((True,), {}, "sizes"),
        ((1,), {"budget": np.nan}, "budget"),
        ((1,), {"budget": np.inf}, "budget"),
        ((1,), {"budget": "1"}, "budget"),
        ((1,), {"rounds": 2.5}, "rounds"),
        ((1,), {"device": "tpu"}, "device"),
        ((1,), {"budget": 0}, "budget"),
        ((1,), {"rounds": 1}, "rounds"),
    ],
)
def test_throughput_refuses_by_name(sizes, options, name):
    with pytest.raises(ValueError, match=f"{name}.*expected"):
        hardware.throughput(lambda B: pytest.fail("a step ran"), sizes, **options)


def test_what_is_no_step_is_refused():
    with pytest.raises(TypeError, match="step: expected a function"):
        hardware.throughput(3, (1,))


def test_any_callable_is_timed():
    torch = pytest.importorskip("torch")
    layer, x = torch.nn.Linear(8, 4), torch.rand(64, 8)
    found = last(hardware.throughput(lambda B: layer(x[:B]).sum().backward(), (1, 64), budget=0.05))
    assert found.sizes == (1, 64) and (found.seconds > 0).all()


@pytest.mark.parametrize("n", [6, 9, 25])
def test_ratio_interval_against_scipy(n):
    a, b = np.random.default_rng(n).lognormal(size=(2, n))
    test = scipy.stats.quantile_test(a / b, p=0.5)
    expected = test.confidence_interval(0.95)
    found = hardware.ratio_interval(a, b)
    assert found == pytest.approx((expected.low, expected.high))


def test_too_few_rounds_tell_nothing():
    assert hardware.ratio_interval(np.ones(5), np.ones(5)) == (0.0, float("inf"))


# ---------------------------------------------------------------- the line


def noisy(rng, B, t0=2e-4, t1=5e-6):
    return (t0 + B * t1) * (1 + 0.05 * rng.standard_normal(len(B)))


def test_fit_against_scipy():
    B = 2.0 ** np.arange(12)
    t = noisy(np.random.default_rng(0), B)
    line = hardware.fit(B, t)
    (t0, t1), V = scipy.optimize.curve_fit(
        lambda B, a, b: a + b * B, B, t, p0=(1e-4, 1e-6), sigma=t
    )
    q = scipy.stats.t.ppf(0.975, len(B) - 2)
    assert (line.t0, line.t1) == pytest.approx((t0, t1), rel=1e-5)
    assert line.t0_interval == pytest.approx(
        (t0 - q * V[0, 0] ** 0.5, t0 + q * V[0, 0] ** 0.5), rel=1e-4
    )
    assert line.t1_interval == pytest.approx(
        (t1 - q * V[1, 1] ** 0.5, t1 + q * V[1, 1] ** 0.5), rel=1e-4
    )


def test_the_intervals_hold_the_truth_as_often_as_they_say():
    rng, B = np.random.default_rng(1), 2.0 ** np.arange(10)
    lines = [hardware.fit(B, noisy(rng, B)) for _ in range(600)]
    for name, truth in (("knee_interval", 40), ("t0_interval", 2e-4), ("t1_interval", 5e-6)):
        intervals = np.array([getattr(line, name) for line in lines])
        assert 0.92 < ((intervals[:, 0] <= truth) & (truth <= intervals[:, 1])).mean() < 0.98


def test_a_line_without_slope_has_no_knee():
    line = hardware.fit((1, 2, 3, 4), (1.0, 1.2, 0.9, 1.1))
    assert line.knee_interval == (0.0, float("inf"))
    assert hardware.fit((1, 2, 4), (1.0, 2.0, 4.0)).knee == pytest.approx(0, abs=1e-9)


def test_fit_refuses_by_name():
    for B, t in (
        ((1, 2), (1, 2)),
        ((1, 2, 2), (1, 2, 2)),
        ((1, 2, 3), (1, 2)),
        ((0.5, 2, 3), (1, 2, 3)),
    ):
        with pytest.raises(ValueError, match="B, seconds: expected at least 3"):
            hardware.fit(B, t)
    for t in (
        (1, 2, 0),
        (1, -2, 3),
        (1, np.nan, 2),
        (1, np.inf, 2),
        "abc",
        (1, 2, None),
        np.ma.array([1, 2, 3], mask=[0, 0, 1]),
    ):
        with pytest.raises(ValueError, match="^seconds: expected"):
            hardware.fit((1, 2, 3), t)
    for B in ((1, 2, np.nan), (1, 2, -3), ("1", "2", "3"), ((1, 2, 3),)):
        with pytest.raises(ValueError, match="^B: expected"):
            hardware.fit(B, (1, 2, 3))


@pytest.mark.parametrize("scale", [1, 2**20, 2**40, 2**60])
def test_a_line_over_bytes_keeps_its_start(scale):
    """t0 and t1 of an exact line, whatever B is counted in: least squares cut off small singular
    values."""
    B = scale * np.array([1.0, 2, 5, 9])
    line = hardware.fit(B, 3e-4 + B * 1e-5 / scale)
    assert (line.t0, line.t1 * scale, line.knee / scale) == pytest.approx(
        (3e-4, 1e-5, 30), rel=1e-9
    )


# ---------------------------------------------------------------- memory

COUPLED = mb.equations(
    "m = mean(x[i], over=i)\nh[j] = relu(W[j,i] * x[i] - m)\nL = squared_error(h[j], t[j])"
)


@pytest.mark.parametrize(
    "model, sizes",
    [(MLP, SIZES), (SLIDES, SIZES), (COUPLED, dict(i=6, j=3))],
    ids=["usual", "slides", "mean"],
)
@pytest.mark.parametrize("free", [3_000, 10**6, 7 * 10**9 + 1])
def test_largest_batch_is_the_last_that_fits(model, sizes, free):
    batch = model.with_index("b")
    B = hardware.largest_batch(batch, free, **sizes)
    assert B == 0 or batch.nbytes(b=B, **sizes) <= free
    assert batch.nbytes(b=B + 1, **sizes) > free


class Bytes:
    """Equations whose program of B examples takes so many bytes."""

    def __init__(self, bytes_of):
        self.bytes_of, self.graph = bytes_of, types.SimpleNamespace(batch="b")

    def nbytes(self, dtype, b):
        return self.bytes_of(b)


@pytest.mark.parametrize(
    "bytes_of",
    [
        lambda B: 40 * B,
        lambda B: 100 * B if B < 7 else 700 + 3 * B,
        lambda B: B * B,
        lambda B: 8 * max(B, 50),
    ],
)
def test_the_largest_batch_is_searched_where_bytes_are_no_line(bytes_of):
    for free in (0, 1, 7, 399, 400, 401, 720, 721, 12345):
        by_counting = max((B for B in range(5000) if B and bytes_of(B) <= free), default=0)
        assert hardware.largest_batch(Bytes(bytes_of), free) == by_counting


def test_largest_batch_refuses_by_name():
    batch = MLP.with_index("b")
    for options, named in (
        (dict(free=-1), "free"),
        (dict(free=1.5), "free"),
        (dict(b=3), "b"),
        (dict(dtype="int8"), "dtype"),
        (dict(device="tpu"), "device"),
    ):
        with pytest.raises(ValueError, match=f"^{named}: "):
            hardware.largest_batch(batch, **{**SIZES, **options})
    with pytest.raises(TypeError, match="equations: expected mb.equations"):
        hardware.largest_batch("L = x", 10)


def test_nothing_fits_and_nothing_is_allocated():
    assert hardware.largest_batch(MLP.with_index("b"), 100, **SIZES) == 0
    huge = dict(i=10**4, j=10**4, y=10)
    assert (
        hardware.peak_bytes(lambda: hardware.largest_batch(MLP.with_index("b"), 10**15, **huge))
        < 10**6
    )


def test_what_does_not_fit_is_refused_with_the_number():
    batch, sizes = MLP.with_index("b"), dict(i=1000, j=1000, y=10)
    with pytest.raises(MemoryError, match=f"{batch.nbytes(b=10**9, **sizes):,} bytes"):
        hardware.stepper(batch, 10**9, **sizes)


def test_predicted_bytes_are_those_measured():
    batch, sizes = MLP.with_index("b"), dict(b=2000, i=300, j=200, y=10)
    assert hardware.peak_bytes(lambda: batch.compile(**sizes)) == pytest.approx(
        batch.nbytes(**sizes), rel=0.02
    )


def test_peak_bytes_sees_what_was_dropped_again():
    assert hardware.peak_bytes(
        lambda: np.ones(10**6).sum() + np.ones(5 * 10**5).sum()
    ) == pytest.approx(8 * 10**6, rel=0.01)


def test_a_stepper_steps(monkeypatch):
    seen = []
    step = mb.Program.step

    def watched(self, lr, **inputs):
        seen.append({name: a.shape for name, a in inputs.items()})
        return step(self, lr, **inputs)

    monkeypatch.setattr(mb.Program, "step", watched)
    hardware.stepper(MLP.with_index("b"), 8, **SIZES)(3)
    assert seen == [{"x": (3, 12), "target": (3,)}]
    hardware.stepper(MLP.with_index("b").with_index("r", parameters=True), 8, r=2, **SIZES)(5)
    assert seen[-1] == {"x": (2, 5, 12), "target": (2, 5)}
    with pytest.raises(ValueError, match="equations: expected equations with a batch index"):
        hardware.stepper(MLP, 8, **SIZES)


@pytest.mark.parametrize("B", [9, 1024, 0, -1, 2.5, None, "3", True])
def test_a_stepper_steps_on_as_many_as_are_counted(B):
    """stepper(eq, 8)(1024) stepped on 8, and 1024 were counted."""
    step, copy = hardware.stepper(MLP.with_index("b"), 8, **SIZES), hardware.copier(8)
    for call, named in ((step, "B"), (copy, "n")):
        with pytest.raises(
            ValueError, match=f"^{named}: expected a whole number of at least 1 and at most 8, got"
        ):
            call(B)
        call(np.int64(8))
    with pytest.raises(ValueError, match="at most 8, got 1024"):
        list(hardware.throughput(step, (8, 1024), 0.05))


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda: hardware.stepper(MLP.with_index("b"), 0, **SIZES), "largest"),
        (lambda: hardware.stepper(MLP.with_index("b"), 8, b=8, **SIZES), "b"),
        (lambda: hardware.stepper(MLP.with_index("b"), 8, seed=-1, **SIZES), "seed"),
        (lambda: hardware.copier(2.5), "largest"),
        (lambda: hardware.transfer(0), "nbytes"),
        (lambda: hardware.transfer(8, budget=0), "budget"),
        (lambda: hardware.transfer(8, "tpu"), "device"),
        (lambda: roofline.peak(n=0), "n"),
        (lambda: roofline.peak(copied=3), "copied"),
        (lambda: roofline.peak(budget=np.nan), "budget"),
        (lambda: roofline.work(MLP.with_index("b"), "int32", b=2, **SIZES), "dtype"),
        (lambda: roofline.work("L = x"), "equations"),
        (lambda: hardware.ratio_interval([1, 2], [1, 2, 3]), "a, b"),
        (lambda: hardware.ratio_interval([1, np.inf], [1, 2]), "a"),
        (lambda: hardware.ratio_interval([1, 1], [1, 0]), "b"),
        (lambda: hardware.ratio_interval([1, 2], [1, np.nan]), "b"),
        (lambda: hardware.peak_bytes(3), "call"),
        (lambda: hardware.peak_bytes(int, "tpu"), "device"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(call, named):
    with pytest.raises((TypeError, ValueError), match=f"^{named}: "):
        call()


def test_transfer_counts_bytes():
    assert 1e8 < float(hardware.transfer(2**20, budget=0.05).per_second[0]) < 1e13


# ---------------------------------------------------------------- a GPU that is not there


@pytest.fixture
def fake_gpu(monkeypatch):
    xp, waited = fake_cupy.module(), []
    stream = types.SimpleNamespace(synchronize=lambda: waited.append(1))
    pool = types.SimpleNamespace(
        held=1000, free_all_blocks=lambda: setattr(pool, "held", 400), total_bytes=lambda: pool.held
    )
    xp.cuda = types.SimpleNamespace(
        get_current_stream=lambda: stream,
        runtime=types.SimpleNamespace(memGetInfo=lambda: (10**6, 2 * 10**6)),
    )
    xp.get_default_memory_pool = lambda: pool
    xp.waited = waited
    monkeypatch.setattr(backend, "_cupy", lambda: xp)
    return xp


def test_every_timed_step_waits_for_the_device_once(fake_gpu):
    asked = []
    last(hardware.throughput(asked.append, (1, 2), budget=0.01, device="gpu", rounds=3))
    bursts = 6
    assert len(asked) <= len(fake_gpu.waited) <= len(asked) + bursts


def test_the_device_path_runs_on_device_arrays(fake_gpu):
    fake_cupy.synchronisations.clear()
    last(
        hardware.throughput(
            hardware.stepper(MLP.with_index("b"), 8, "gpu", **SIZES), (1, 8), 0.02, "gpu"
        )
    )
    assert (
        hardware.transfer(64, "gpu", 0.01).sizes == (64,)
        and roofline.peak("gpu", 8, 64, 0.02).flops > 0
    )
    assert fake_cupy.synchronisations == []
    B = hardware.largest_batch(MLP.with_index("b"), device="gpu", **SIZES)
    assert (
        MLP.with_index("b").nbytes(b=B, **SIZES)
        <= 10**6
        < MLP.with_index("b").nbytes(b=B + 1, **SIZES)
    )


def test_peak_bytes_of_the_pool(fake_gpu):
    pool = fake_gpu.get_default_memory_pool()
    assert hardware.peak_bytes(lambda: setattr(pool, "held", pool.held + 512), "gpu") == 512


# ---------------------------------------------------------------- recordings


def test_a_recording_comes_back(monkeypatch, tmp_path):
    monkeypatch.setattr(hardware, "RECORDINGS", tmp_path / "recordings")
    assert hardware.recording("x") is None
    measured = hardware.Throughput((1, 2), ((0.1, 0.2), (0.3,)), ((0.1, 0.2), (0.3, 0.3)), 0.5)
    hardware.record("x", "one GPU", "2026-01-02", gpu=measured)
    assert hardware.recording("x") == hardware.Recording("one GPU", "2026-01-02", {"gpu": measured})


@pytest.mark.parametrize(
    "name, machine, date, named",
    [
        ("x", "", "2026", "machine"),
        ("x", "one", " ", "date"),
        ("x", None, "2026", "machine"),
        ("a/b", "one", "2026", "name"),
        ("..", "one", "2026", "name"),
        (3, "one", "2026", "name"),
    ],
)
def test_a_recording_of_nothing_in_particular_is_refused(
    monkeypatch, tmp_path, name, machine, date, named
):
    monkeypatch.setattr(hardware, "RECORDINGS", tmp_path)
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        hardware.record(name, machine, date)
    with pytest.raises(TypeError, match="gpu: expected a Throughput"):
        hardware.record("x", "one", "2026", gpu=[1.0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "bad",
    [dict(bursts=((float("nan"),),)), dict(sizes=(0,)), dict(bursts=()), dict(quartiles=((0.1,),)),
     dict(own=2)],
)
def test_what_could_not_be_read_again_is_not_written(monkeypatch, tmp_path, bad):
    monkeypatch.setattr(hardware, "RECORDINGS", tmp_path)
    good = hardware.Throughput(
        (np.int64(1),), (np.array([0.1, 0.2]),), ((0.1, np.float32(0.5)),), np.float64(1)
    )
    path = hardware.record("x", "one GPU", "2026", gpu=good)
    before = path.read_bytes()
    taken = hardware.Throughput((1,), ((0.1, 0.2),), ((0.1, 0.5),), 1.0)
    assert hardware.recording("x").measured["gpu"] == taken
    with pytest.raises(ValueError):
        hardware.record("x", "one GPU", "2026", gpu=replace(good, **bad))
    assert path.read_bytes() == before


GOOD = {
    "sizes": [1, 2],
    "bursts": [[0.1], [0.2, 0.3]],
    "quartiles": [[0.1, 0.2], [0.2, 0.3]],
    "own": 1,
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "null",
        '{"machine": "", "date": "2026", "measured": {}}',
        '{"machine": "one", "date": "2026"}',
        *[
            json.dumps({"machine": "one", "date": "2026", "measured": {"gpu": {**GOOD, **bad}}})
            for bad in (
                {"sizes": [2, 1]},
                {"sizes": [1]},
                {"bursts": [[0.1], []]},
                {"bursts": [[0.1], [-1]]},
                {"bursts": [[0.1], [float("nan")]]},
                {"own": 2},
                {"quartiles": [[0.1], [0.2]]},
                {"sizes": [1, 2.5]},
                {"bursts": 3},
            )
        ],
    ],
)
def test_a_damaged_recording_is_refused_by_name(monkeypatch, tmp_path, text):
    monkeypatch.setattr(hardware, "RECORDINGS", tmp_path)
    (tmp_path / "x.json").write_text(
        json.dumps({"machine": "one", "date": "2026", "measured": {"gpu": GOOD}})
    )
    assert hardware.recording("x").measured["gpu"].sizes == (1, 2)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match="^x.json: "):
        hardware.recording("x")
