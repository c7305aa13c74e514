"""Is `advise` right? Its batch size beside the best of an exhaustive sweep over batch sizes and learning rates.

    python benchmarks/advise.py [folder]

Time to a training loss = steps to it, the geometric mean over seeds at the learning rate that is best for that batch size,
times the median seconds of a step of one network, measured in turns. The sweep takes some ten minutes; the folder keeps it.
"""

import sys
from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit

from mbcore.advise import advise
from mbcore.experiments.models import MLP
from mbcore.hardware import throughput
from mbcore.progress import last, watched
from mbcore.setting import DATA
from mbcore.sweep import Setting, Task, sweeping

SIZES, SEEDS, ADVICES = tuple(2**k for k in range(11)), range(4), range(5)
CASES = {"digits": (64, 10, (0.3, 0.1)), "gaussians": (20, 4, (0.42, 0.38)), "teacher": (20, 4, (0.5, 0.3))}     # i, y, targets


def swept(name, folder):
    """{B: {lr: outcomes}}: powers of 2 around a guess, on until the best has a worse one on both sides, for both targets."""
    i, y, targets = CASES[name]
    setting = Setting(MLP, {"i": i, "j": 32, "y": y}, data=name, epochs=20, steps=1500, target=targets[-1], looks=150)
    path, found = folder and Path(folder) / f"{name}.jsonl", {}
    for B in SIZES:
        guess = round(np.log2(0.1 * B**0.5))
        ks, found[B] = list(range(guess - 2, guess + 4)), {}
        while ks:
            tasks = [Task(B, 2.0**k, s) for k in ks for s in SEEDS]
            outcomes = last(watched(sweeping(setting, tasks, results=path, chunk=32), f"{name}, B = {B}"))
            found[B].update({2.0**k: [outcomes[Task(B, 2.0**k, s)] for s in SEEDS] for k in ks})
            ks = sorted({edge for target in targets for edge in edges(found[B], target)})
    return found


def edges(tried, target):
    """The exponents next to the best rate that were not tried."""
    k = int(np.log2(best(tried, target)[1]))
    return [n for n in (k - 1, k + 1) if 2.0**n not in tried and abs(n) < 12]


def best(tried, target):
    """(log steps, lr)."""
    return min((np.mean([np.log(steps(o, target)) for o in outcomes]), lr) for lr, outcomes in tried.items())


def steps(outcome, target):
    """Steps to the target, between two looks on a straight line; inf where it was not reached."""
    L = np.array(outcome.loss)
    k = int(np.argmax(L <= target))
    if not L[k] <= target:
        return np.inf
    return outcome.looks[k - 1] + (outcome.looks[k] - outcome.looks[k - 1]) * (L[k - 1] - target) / (L[k - 1] - L[k])


def step_seconds(name):
    """Median seconds of a step at each of SIZES, its batch taken from the data."""
    data, (i, y, _) = DATA[name](), CASES[name]
    net = MLP.with_index("b").compile(b=SIZES[-1], i=i, j=32, y=y).init(np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(data.x_train))

    def step(B):
        net.step(1e-3, x=data.x_train[order[:B]], target=data.target_train[order[:B]])
    return last(throughput(step, SIZES, 10.0, rounds=25)).seconds


def main(folder=None):
    print("| data | loss | advised B (range), five times | best B | its time, the next's | time at advised B / least | B_crit | B_simple |")
    print("|---|---|---|---|---|---|---|---|")
    for name, (i, y, targets) in CASES.items():
        found, seconds = swept(name, folder), step_seconds(name)
        nets = [MLP.with_index("b").compile(b=32, i=i, j=32, y=y).init(np.random.default_rng(s)) for s in ADVICES]
        advices = [advise(net, DATA[name](), seed=s) for s, net in zip(ADVICES, nets)]
        for target in targets:
            log_S = np.array([best(found[B], target)[0] for B in SIZES])
            took = np.exp(log_S) * seconds
            ratios = [took[SIZES.index(a.batch)] / took.min() for a in advices]
            (_, u), _ = curve_fit(lambda B, a, u: a + np.log1p(np.exp(u) / B), SIZES, log_S, (log_S[-1], 3.0))
            said = ", ".join(f"{a.batch} ({a.low}-{a.high})" for a in advices)
            print(f"| {name} | {target} | {said} | {SIZES[took.argmin()]} | {took.min():.3f} s, {np.sort(took)[1]:.3f} s | "
                  f"{', '.join(f'{r:.2f}' for r in ratios)} | {np.exp(u):.0f} | "
                  f"{', '.join(f'{a.noise.average:.0f}' for a in advices)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
