"""Lesson 12's second panel: what K workers gain, by the cost model of the ring."""

import numpy as np

from ..experiments.ring import ring_seconds, step_seconds
from .base import Panel, choice
from .label import label
from .style import COLOURS, axes_style

WORKERS = tuple(2**k for k in range(9))
LINKS = {"1 Gbit/s Ethernet": (50e-6, 8e-9), "10 Gbit/s Ethernet": (30e-6, 0.8e-9), "PCIe 4.0 x16": (10e-6, 1 / 32e9),
         "NVLink (H100)": (5e-6, 1 / 450e9)}        # name -> (alpha s a message, beta s a byte): round data-sheet rates, assumed latencies
SIZES = (10**5, 10**6, 10**7, 10**8, 10**9)
ENOUGH, AT = 6.0, 8
PER_EXAMPLE = 1e-3      # seconds, assumed


class Workers(Panel):
    """Seconds of one update against K: computing, communicating, both; a batch of B is cut into K shards."""

    title = "One update on K workers, by the model: B/K examples of 1 ms each, then the ring"
    task = f"A model of 10^7 parameters on 10 Gbit/s: find the smallest batch B for which {AT} workers are at least {ENOUGH:g} times as fast as one."
    size = (880, 430)

    def controls(self):
        return {"B": choice("Batch size B", tuple(2**k for k in range(5, 15)), 256),
                "parameters": choice("Parameters", [(f"10^{round(np.log10(n))}", n) for n in SIZES], 10**6),
                "link": choice("Link", tuple(LINKS), "10 Gbit/s Ethernet")}

    def build(self, figure):
        self.axes = axes = figure.add_subplot()
        axes_style(axes, "workers K", "seconds of one update")
        axes.set(xscale="log", yscale="log", xlim=(0.9, 300), ylim=(1e-5, 100), xticks=[1, 2, 8, 32, 128], xticklabels=["1", "2", "8", "32", "128"])
        axes.minorticks_off()
        plot = lambda style, colour, name: axes.plot([], [], style, color=COLOURS[colour], label=name)[0]
        self.computing = plot("s--", "blue", "computing")
        self.ring = plot("^:", "orange", "the ring")
        self.both = plot("o-", "black", "both, in turn")
        self.here = axes.plot([], [], "D", color=COLOURS["vermillion"], markersize=13, label=f"K = {AT}")[0]
        figure.get_layout_engine().set(rect=(0, 0, 0.74, 1))
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0)).set_in_layout(False)
        self.words = label(axes, 1.04, 0.42, transform=axes.transAxes, va="top", fontsize=14)
        return [self.computing, self.ring, self.both, self.here, self.words]

    def compute(self, B, parameters, link):
        alpha, beta = LINKS[link]
        K = [k for k in WORKERS if k <= B]
        ring = [ring_seconds(k, 4 * parameters, alpha, beta) for k in K]
        both = [step_seconds(k, B, PER_EXAMPLE, 4 * parameters, alpha, beta) for k in K]
        return B, parameters, link, K, ring, both

    def update(self, result):
        B, parameters, link, K, ring, both = result
        self.computing.set_data(K, np.subtract(both, ring))
        self.ring.set_data(K[1:], ring[1:])
        self.both.set_data(K, both)
        self.here.set_data([AT], [both[K.index(AT)]])
        gain, best = self.gain(result), K[int(np.argmin(both))]
        times = f"{gain:.1f} times" if gain > 0.1 else "under 0.1 times"
        self.words.set_text(f"{AT} workers: {times}\nas fast as one\nfastest: K = {best}")
        share = 100 * ring[K.index(AT)] / both[K.index(AT)]
        return (f"B = {B:,}, 10^{round(np.log10(parameters))} parameters, {link}: {AT} workers are {times} as fast as one, "
                f"and spend {share:.0f} % of the time in the ring. The fastest number of workers is {best}.")

    @staticmethod
    def gain(result):
        *_, K, _, both = result
        return both[0] / both[K.index(AT)]

    def reached(self, result):
        B, parameters, link, *_ = result
        if (parameters, link) != (10**7, "10 Gbit/s Ethernet"):
            return False
        return self.gain(result) >= ENOUGH > self.gain(self.compute(B // 2, parameters, link))
