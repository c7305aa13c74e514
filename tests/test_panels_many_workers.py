"""Lesson 12's panels: what they say is what the ring and its cost model give; their targets can be reached."""

import numpy as np
import pytest

from mbcore.experiments.ring import step_seconds
from mbcore.panels.ring import Ring
from mbcore.panels.workers import LINKS, PER_EXAMPLE, Workers


@pytest.fixture(scope="module")
def panel():
    return Ring()


@pytest.mark.parametrize("K", [3, 6, 8])
def test_the_ring_is_told_and_drawn(panel, K):
    pictures = set()
    for step in range(2 * (K - 1) + 1):
        reading = panel.set(K=K, step=step)
        assert reading.startswith(f"K = {K}, step {step} of {2 * (K - 1)}") and panel.error is None
        pictures.add(panel.png())
    assert f"{K * K} of {K * K} in all" not in panel.set(K=K, step=2 * (K - 1) - 1) and len(pictures) == 2 * (K - 1) + 1
    assert reading.endswith(f"{K} of {K} chunks are complete somewhere, {K * K} of {K * K} in all.")


def test_steps_beyond_the_last_show_the_last(panel):
    assert panel.set(K=3, step=9).startswith("K = 3, step 4 of 4")


def test_the_rings_target(panel):
    reached = [step for step in range(11) if panel.set(K=6, step=step) and panel.reached(panel.result)]
    assert reached == [5] and not panel.reached(panel.compute(K=5, step=4))


def test_drawn_anew_is_the_same_picture(panel):
    panel.set(K=8, step=14)
    panel.set(K=5, step=3)
    assert panel.png() == Ring_at(5, 3)


def Ring_at(K, step):
    fresh = Ring()
    fresh.set(K=K, step=step)
    return fresh.png()


@pytest.fixture(scope="module")
def cost():
    return Workers()


def test_the_cost_is_the_models(cost):
    alpha, beta = LINKS["PCIe 4.0 x16"]
    seconds = [step_seconds(K, 512, PER_EXAMPLE, 4 * 10**8, alpha, beta) for K in (1, 8)]
    assert f"8 workers are {seconds[0] / seconds[1]:.1f} times as fast as one" in cost.set(B=512, parameters=10**8, link="PCIe 4.0 x16")
    assert np.allclose(np.array(cost.both.get_ydata())[[0, 3]], seconds)


@pytest.mark.parametrize("B, link", [(32, "1 Gbit/s Ethernet"), (16384, "NVLink (H100)")])
def test_the_ends_of_the_sliders(cost, B, link):
    for parameters in (10**5, 10**9):
        assert "workers are" in cost.set(B=B, parameters=parameters, link=link) and cost.error is None
    assert len(cost.both.get_xdata()) == (6 if B == 32 else 9)       # no more workers than examples


def test_the_costs_target(cost):
    reached = [B for B in (256, 512, 1024, 2048, 4096) if cost.set(B=B, parameters=10**7, link="10 Gbit/s Ethernet") and cost.reached(cost.result)]
    assert reached == [2048]
    cost.set(parameters=10**6)
    assert not cost.reached(cost.result)
