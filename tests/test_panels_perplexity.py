"""Lesson 10's panel, driven without a browser: the floor and the curves are the experiment's, a sweep goes on where it stopped."""

from dataclasses import replace

import numpy as np
import pytest

from mbcore.experiments import perplexity
from mbcore.panels.perplexity import HIGH, MODES, SHOWN, Perplexity

FIXED, RETUNED, PUBLISHED = MODES
FEW = perplexity.Config(sizes=(4, 32, 128, 512), lrs=(1 / 32, 1 / 16, 0.25, 1.0, 4.0), examples=2**11, held_out=2000, seeds=4)


@pytest.fixture(scope="module")
def panel():
    panel = Perplexity(FEW)
    yield panel
    panel.close()


def test_the_floor_is_exp_of_the_entropy(panel):
    source = perplexity.data.characters(2)
    assert panel.floor.get_ydata() == pytest.approx([np.exp(source.entropy)] * 2)
    assert "exp(H) = 3.71" in panel.floor_says.get_text() and "floor 3.71" in panel.set(lr=0.25, mode=FIXED, N=2048)


def test_the_curves_are_the_experiment(panel):
    panel.set(lr=0.25, mode=FIXED, N=2048)
    r = panel.result[2]
    assert panel.line.get_xdata().tolist() == [4, 32, 128, 512] and panel.line.get_ydata() == pytest.approx(r.perplexity(0.25)[0])
    _, low, high = r.perplexity(0.25)
    bars = panel.bars.get_ydata()
    assert bars[0::3] == pytest.approx(low) and bars[1::3] == pytest.approx(high)
    assert panel.others[2].get_ydata() == pytest.approx(r.perplexity(0.25)[0])
    panel.set(mode=RETUNED)
    assert panel.line.get_ydata() == pytest.approx(r.perplexity()[0]) and "its own rate at each B" in panel.reading
    assert [text.get_text() for text in panel.steps] == ["512", "128", "32", "8", "2"] and SHOWN == (4, 16, 64, 256, 1024)


def test_what_leaves_the_picture_is_a_triangle(panel):
    reading = panel.set(lr=4.0, mode=FIXED, N=2048)
    mean = panel.result[2].perplexity(4.0)[0]
    assert (mean > HIGH).sum() == len(panel.off.get_xdata()) > 0 and f"over {HIGH:g} at B = 4" in reading
    assert panel.off.get_ydata().max() < HIGH < panel.line.get_ydata()[0]


def test_the_target_takes_a_rate_and_then_the_retuned_curve():
    panel = Perplexity(replace(FEW, seeds=8))
    assert not panel.reached(panel.result) and "It rises; a fall is not seen" in panel.set(lr=1 / 32)
    assert "It falls, and then rises, beyond doubt." in panel.set(lr=1.0) and not panel.reached(panel.result)
    reading = panel.set(mode=RETUNED)
    assert panel.reached(panel.result) and "It falls" not in reading
    panel.close()


def test_the_default_starts_short_of_the_target():
    panel = Perplexity()
    assert panel.reached(panel.result) is False and "It rises; a fall is not seen" in panel.reading
    for lr in 0.5, 1.0, 2.0:
        assert "It falls, and then rises" in panel.set(lr=lr)
    for lr in panel.config.lrs:
        for mode in MODES:
            assert len(panel.set(lr=lr, mode=mode).split()) > 8 and panel.error is None
    panel.close()


def test_roberta_s_proportions(panel):
    reading = panel.set(lr=0.25, mode=PUBLISHED, N=2048)
    assert "8η is no rate tried" in reading and not np.isfinite(panel.line.get_xdata()).any()
    panel = Perplexity(replace(FEW, lrs=(1 / 32, 0.25)), lr=0.25)
    reading = panel.set(lr=1 / 32, mode=PUBLISHED)
    (B, lr, ours), = panel.result[2].like_published()
    assert panel.line.get_xdata()[:3].tolist() == [4, 32, 128] and panel.line.get_ydata()[:3] == pytest.approx(ours)
    assert "RoBERTa's 3.99, 3.68, 3.77. No line falls" in reading and f"{ours[0]:.2f}, {ours[1]:.2f}, {ours[2]:.2f}" in reading
    panel.close()


def test_points_appear_as_they_finish_and_a_sweep_goes_on_where_it_stopped(panel):
    first = panel.compute(lr=0.25, N=4096, mode=FIXED)
    fraction, result = next(first)
    assert result[2].sizes == (512,) and "to come" in panel.update(result)
    assert len(panel.line.get_xdata()) == 1
    first.close()                                       # another rate was chosen meanwhile
    second = panel.compute(lr=1.0, N=4096, mode=FIXED)
    later = [fraction for fraction, _ in second]
    assert fraction < later[0] and later == sorted(later) and later[-1] == 1
    assert panel.compute(lr=0.25, N=4096, mode=RETUNED)[2].verdicts          # kept, no generator any more


def test_more_characters_come_nearer_to_the_floor(panel):
    best = {}
    for N in (2048, 8192):
        panel.set(N=N, mode=RETUNED, lr=0.25)
        best[N] = panel.result[2].perplexity()[0].min()
    assert panel.result[2].floor < best[8192] < best[2048]


def test_few_characters_have_no_place_for_large_batches():
    panel = Perplexity(replace(FEW, sizes=(4, 64, 2048), examples=2**12))
    panel.set(N=2**11)
    assert panel.result[2].sizes == (4, 64, 2048) and panel.result[2].steps[-1] == 1
    panel.close()
