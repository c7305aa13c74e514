"""Lesson 11's panels, driven without a browser: what is drawn is what was computed, and the targets can be reached."""

import io

import numpy as np
import pytest
from matplotlib import colormaps
from PIL import Image

from mbcore.experiments.last_batch import CHANCE, Config, Setting
from mbcore.panels import last_batch, never_seen
from mbcore.panels.base import SCALE
from mbcore.panels.last_batch import LastBatch
from mbcore.panels.never_seen import NeverSeen

FEW = Config(batches=8, seeds=3)


@pytest.fixture(scope="module")
def panel():
    panel = LastBatch()
    yield panel
    panel.close()


@pytest.fixture
def small():
    panel = LastBatch(config=FEW)
    yield panel
    panel.close()


def pixels(panel):
    return np.array(Image.open(io.BytesIO(panel.png())).convert("RGB"))


def test_the_start_does_not_reach_the_target(panel):
    panel.set(B=32, lr=2.0, j=32, steps=1, order="shuffled")
    assert panel.reached(panel.result) is False
    assert "Earlier batches are known better than chance" in panel.reading and "2.30 by chance" in panel.reading


def test_what_the_notes_suggest_alone_does_not_reach_it(panel):
    for values in {"j": 1}, {"j": 32, "steps": 20}:
        assert "Earlier batches are known better than chance" in panel.set(B=32, lr=2.0, order="shuffled", **values)


def test_the_target_takes_both_orders(panel):
    panel.ways.clear()
    reading = panel.set(B=32, lr=2.0, j=32, steps=1, order="sorted by class")
    assert panel.reached(panel.result) is False and "What it took: order shuffled → sorted. Done so far: sorted." in reading
    reading = panel.set(order="shuffled", B=1)
    assert panel.reached(panel.result) and "What it took: B 32 → 1. Done so far: shuffled, sorted." in reading


def test_the_map_is_the_mean_over_seeds(small):
    m = small.result
    assert m.loss.shape == (9, 3, 8) and small.map.values == pytest.approx(m.loss.mean(axis=1))
    t, just, before = m.course
    assert small.just.get_ydata() == pytest.approx(just) and small.before.get_ydata()[1:] == pytest.approx(before[1:])
    assert small.points.get_ydata() == pytest.approx(m.advantage[1])


def test_it_fills_row_by_row(small):
    steps = small.compute(B=4, lr=1.0, j=2, steps=1, order="shuffled")
    for row in range(9):
        _, memory = next(steps)
        reading = small.update(memory)
        assert (~np.isnan(small.map.values)).all(axis=1).sum() == row + 1 == len(memory.loss)
        assert ("training" in reading) == (row < 8) and len(small.points.get_xdata()) == (4 if row == 8 else 0)


def test_a_setting_is_trained_once(small):
    first = small.result
    small.set(lr=0.5)
    small.set(lr=2.0)
    assert small.result is first


def test_cells_have_the_colours_of_the_map(small):
    """The pixel in the middle of a cell, and white where nothing was computed yet."""
    x0, y0, x1, y1 = small.map.axes.bbox.extents / SCALE
    height, rows, columns = small.size[1], 9, 8
    at = lambda r, c: (int(height - y1 + (y1 - y0) * (r + 0.3) / rows), int(x0 + (x1 - x0) * (c + 0.7) / columns))
    shot, values = pixels(small).astype(int), small.map.values
    for r, c in (0, 0), (4, 7), (8, 0):
        wanted = 255 * np.array(colormaps["cividis_r"](values[r, c] / last_batch.TOP)[:3])
        assert np.abs(shot[at(r, c)] - wanted).max() < 12, (r, c)
    small.update(next(small.compute(B=4, lr=1.0, j=2, steps=1, order="shuffled"))[1])
    small._draw(small._moving)
    assert (np.array(small._image())[tuple(int(SCALE * place) for place in at(5, 2))][:3] == 255).all()


@pytest.mark.parametrize("values", [{"B": 1}, {"lr": 0.05}, {"lr": 32.0}, {"j": 1}, {"j": 128}, {"steps": 20}, {"order": "sorted by class"},
                                    {"order": "with replacement"}], ids=str)
def test_the_ends_of_every_control(small, values):
    reading = small.set(**values)
    assert small.error is None and len(reading.split()) > 10
    low, high = small.influence.get_ylim()
    lags, mean, half = small.result.advantage
    assert len(small.points.get_xdata()) == 4 and (low <= mean).all() and (mean <= high).all()
    assert [text.get_text() for text in small.ticks] == [f"{low:g}", "0", f"{high:g}"]


def test_a_run_that_diverges_is_told():
    """A rate that no control offers: losses that are no numbers leave the panel standing."""
    panel = LastBatch(Setting(lr=2.0), FEW)
    *_, (_, memory) = last_batch.watching(Setting(lr=1e38), FEW)
    assert "diverged" in panel.update(memory) and not len(panel.points.get_xdata()) and not panel.reached(memory)
    panel.close()


def test_a_doubt_is_told():
    panel = LastBatch(config=FEW)
    near = last_batch.watching(Setting(), FEW)
    *_, (_, memory) = near
    told = lambda last, earlier: panel.known(type(memory)(memory.setting, memory.loss, memory.fresh, last, earlier, memory.advantage))
    assert "in doubt" in told((1.0, 0.1), (CHANCE, 0.1)) and "Not even the last" in told((CHANCE, 0.1), (CHANCE + 1, 0.1))
    panel.close()


# ---------------------------------------------------------------- never seen


@pytest.fixture(scope="module")
def digits():
    panel = NeverSeen()
    yield panel
    panel.close()


def test_each_digit_has_its_mark(digits):
    shown = lambda: [len(mark.get_xdata()) for mark in digits.marks]
    digits.set(B=32, epochs=1, way="with replacement")
    counts = digits.result[2][0].counts[0]
    assert shown() == [(counts == 0).sum(), (counts == 1).sum(), (counts > 1).sum()] and sum(shown()) == 1437
    assert f"{shown()[0]} of 1,437 digits" in digits.reading and "36.7 % expected" in digits.reading
    at = set(zip(*digits.marks[0].get_data()))
    assert at == {(k % 45, k // 45) for k in range(1437) if counts[k] == 0}
    digits.set(way="without replacement")
    assert shown() == [0, 1437, 0] and "0 of 1,437" in digits.reading
    digits.set(epochs=2)
    assert shown() == [0, 0, 1437]


def test_what_drop_last_drops(digits):
    assert "29 of 1,437" in digits.set(B=32, epochs=1, way="without, drop_last")
    assert digits.result[2][1].expected == pytest.approx((29 / 1437)**2) and len(digits.points.get_xdata()) == 1
    digits.set(epochs=6)
    assert len(digits.points.get_xdata()) == 6


def test_the_target_takes_a_batch_size_just_above_half(digits):
    reached = {B for B in never_seen.SIZES for way in never_seen.NAMES for epochs in (1, 2)
               if digits.set(B=B, way=way, epochs=epochs) and digits.reached(digits.result)}
    assert reached == {720, 900}                # 1,437 mod 720 = 717, mod 900 = 537; with replacement 528 are left out
