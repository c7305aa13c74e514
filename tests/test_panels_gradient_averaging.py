"""Lesson 04's three panels, driven without a browser: what they show is what the experiments find."""

from dataclasses import replace

import numpy as np
import pytest

from mbcore.experiments import race as race_experiment
from mbcore.experiments.parts import NORMALISED, coupled, ragged
from mbcore.panels import accumulation as accumulation_module
from mbcore.panels import race as race_module
from mbcore.panels import time_averages as time_module
from mbcore.panels.accumulation import KINDS, PARTS, Accumulation
from mbcore.panels.race import TwoStepsOrOne
from mbcore.panels.time_averages import WEIGHT, WINDOWS, TimeAverages


def inside(panel):
    """No text that is drawn reaches over the edge of the picture or, among the labels of one axes, over another."""
    renderer = panel.figure.canvas.get_renderer()
    width, height = panel.figure.canvas.get_width_height()
    for axes in panel.figure.axes:
        box = axes.get_tightbbox(renderer)
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
    return True


# ---------------------------------------------------------------- one batch in parts


@pytest.fixture(scope="module")
def parts():
    panel = Accumulation()
    yield panel
    panel.close()


@pytest.fixture(autouse=True)
def from_the_start(request):
    if "parts" in request.fixturenames:
        panel = request.getfixturevalue("parts")
        panel.set(**panel._initial)


def test_it_starts_with_ten_parts_that_are_right(parts):
    assert parts.reading.startswith("B = 50 in 10 parts of 5. Right weights: the same to rounding. Mean of means: the same.")
    assert not parts._reached and inside(parts) and {size for size, _ in parts.measured} >= {PARTS[0], 5, PARTS[-1]}


def test_a_smaller_last_part(parts):
    reading, found = parts.set(B=53), ragged(53, 5)
    assert "in 11 parts of 5, the last of 3" in reading and f"Mean of means: {100 * found.error:.0f} % off" in reading
    x, y = parts.wrong.get_data()
    scale = abs(found.at_once[-330:]).max()
    np.testing.assert_allclose(x, found.at_once[-330:] / scale)
    np.testing.assert_allclose(y, found.wrong[-330:] / scale)
    heights = [path.vertices[:, 1].max() for path in parts.bars.get_paths()]
    areas = [path.get_extents().width * height for path, height in zip(parts.bars.get_paths(), heights)]
    assert heights == pytest.approx(found.weights) and areas == pytest.approx([1 / 11] * 11) and not parts._reached


def test_a_tall_bar_gets_room(parts):
    parts.set(B=53, compute=50)
    assert parts.weights.get_ylim()[1] > max(ragged(53, 50).weights) and inside(parts)
    parts.set(compute=5)
    assert parts.weights.get_ylim()[1] == accumulation_module.HEIGHTS[0]


def test_the_optimisation_batch_is_never_smaller(parts):
    reading = parts.set(B=20, compute=64)
    assert "one pass: it cannot be smaller than the compute batch of 64" in reading and "Mean of means: the same" in reading


def test_batch_normalisation_is_another_function(parts):
    reading = parts.set(tokens="one each, batch norm")
    assert KINDS["one each, batch norm"] == ("equal", NORMALISED) and f"Right weights: {100 * coupled(50, 5):.0f} % off" in reading
    assert not parts._reached


def test_parts_target(parts):
    parts.set(tokens="by chance")
    assert 0.1 < parts.result[-1].error < 0.3 and not parts._reached                    # not far enough
    parts.set(B=20, compute=5)
    assert parts._reached and parts.result[-1].error > 0.3
    parts.set(B=53, compute=50, tokens="one each")
    assert parts.result[-1].error > 0.3 and not parts._reached                          # unequal parts do not count


def test_memory_is_measured_once_a_size(parts, monkeypatch):
    parts.set(compute=10)
    monkeypatch.setattr(accumulation_module, "peak", lambda *a, **k: pytest.fail("measured again"))
    parts.set(compute=5)
    assert "measured peak" in parts.set(compute=10)


# ---------------------------------------------------------------- the race


@pytest.fixture(scope="module")
def config():
    return replace(race_experiment.SMALL, seeds=4, j=4, looks=2)


@pytest.fixture
def race(config, monkeypatch):
    monkeypatch.setattr(race_module, "STARTS", {"the start": 0, "30 passes of training": 3})
    monkeypatch.setattr(race_module, "LIMITS", {0: (0.08, 6), 3: (0.008, 6)})
    monkeypatch.setattr(race_module, "TICKS", {0: (0.1, 1), 3: (0.01, 0.1, 1)})
    panel = TwoStepsOrOne(config)
    yield panel
    panel.close()


def test_the_race_is_the_experiments(race, config):
    found = race.raced[0.25, 0, 1.0]
    alone = race_experiment.run(replace(config, rates=(0.25,), before=(0,))).races[0]
    np.testing.assert_array_equal(found.one, alone.one)
    assert found.same == alone.same and not race._reached and inside(race)
    low, high = np.exp([found.same[0].low, found.same[0].high])
    assert f"99 % interval {low:.2f} to {high:.2f}." in race.reading and "best rate" not in race.reading
    (_, y0), (_, y1) = race.series[1.0][0].get_segments()[0]
    assert (y0, y1) == pytest.approx((low, high))


def test_races_stay_on_the_right_and_best_rates_are_compared(race):
    race.set(rate=1.0)
    reading = race.set(pace="twice the rate")
    assert "one step at 2, from the start" in reading and "Each at its best rate so far" in reading
    assert [len(points.get_xdata()) for _, points in race.series.values()] == [2, 1]
    joined = race_experiment.joined([race.raced[0.25, 0, 1.0], race.raced[1.0, 0, 1.0]])
    low, high = np.exp([joined.best[2].low, joined.best[2].high])
    assert reading.endswith(f": {low:.2f} to {high:.2f}.")


def test_a_race_after_training(race):
    assert "after 3 passes" in race.set(start="30 passes of training")
    assert race.losses.get_ylim() == (0.008, 6) and set(race.starts) == {0, 3} and inside(race)
    assert len(race.series[1.0][1].get_xdata()) == 1          # of this start
    race.set(start="the start")
    assert race.losses.get_ylim() == (0.08, 6)


def test_warming_up_is_told(race):
    warm = next(r for _, r in race_experiment.racing(replace(race.config, rates=(0.25,), before=(3,))))
    assert race.update(((0.25, 3, 1.0), warm)) == "The 4 networks are trained for 3 passes before the race."


def test_race_target_needs_both_starts(race):
    race.set(rate=4.0)
    assert race.raced[4.0, 0, 1.0].same[0].sign < 0 and not race._reached
    race.set(start="30 passes of training")
    lost = race.raced[4.0, 3, 1.0].same[0]
    race.raced[4.0, 3, 1.0] = replace(race.raced[4.0, 3, 1.0], same=(replace(lost, mean=-1.0, low=-1.5, high=-0.5),))
    race.set()
    assert race._reached


# ---------------------------------------------------------------- averages over time


@pytest.fixture(scope="module")
def averages():
    panel = TimeAverages()
    yield panel
    panel.close()


def test_standing_still_it_is_theory(averages):
    averages.set(N=8, lr=0.0)
    assert "the parameters stand still: the mean of the last 8 leaves 1" in averages.reading and "(theory 12 %)" in averages.reading
    assert "(theory 7 %)" in averages.reading and not averages._reached and inside(averages)
    for k, theory in enumerate((lambda N: 1 / N, lambda N: 1 / (2 * N - 1))):
        x, y = averages.lines[k].get_data()
        assert tuple(x) == WINDOWS and np.allclose(y, [theory(N) for N in WINDOWS], rtol=0.25)


def test_the_lines_on_the_left_are_the_averages(averages):
    averages.set(N=4, lr=0.5)
    stream = averages.result[2]
    for line, values in zip((averages.rolling, averages.exponential), time_module.averaged(stream.g[:, WEIGHT], 4)):
        np.testing.assert_allclose(line.get_ydata(), values[-100:])
    np.testing.assert_allclose(averages.true.get_ydata(), stream.true[-100:, WEIGHT])


def test_part_of_a_run_is_drawable(averages):
    half = next(r for _, r in time_module.streaming(1.0, 240))
    assert averages.update((8, 1.0, half, {})) == "Training at learning rate 1: 20 of 240 steps."
    averages.set(N=8, lr=0.0)


def test_time_target(averages):
    averages.set(N=32, lr=1.0)
    assert not averages._reached
    averages.set(N=4, lr=4.0)
    assert not averages._reached
    averages.set(N=16)
    assert averages._reached
