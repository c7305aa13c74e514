"""Is `advise` right? Its pair of batch size and learning rate, from fresh starts, and its batch
beside all others.

    python benchmarks/advise.py [--folder F] [--seeds 4] [--least 1] [--no-sweep]

Two tables.

The pair: twelve fresh networks are trained with the advised batch and the advised learning rate,
and with half, twice and four times that rate. How many reach the target loss, and in how many
steps, beside the best of these rates? A small convolution and a table with features of several
kinds are among the tasks, if PyTorch is installed.

The batch: the time to a training loss = steps to it, the geometric mean over seeds at the learning
rate that is best for that batch size, times the median seconds of a step of one network, measured
in turns; for every power of two. The whole sweep takes some ten minutes; the folder keeps it.
--seeds and --least make it smaller.
"""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from scipy.optimize import curve_fit

from mbcore.advise import advise
from mbcore.experiments.models import MLP
from mbcore.hardware import throughput
from mbcore.progress import last, watched
from mbcore.setting import DATA
from mbcore.sweep import Setting, Task, sweeping

SIZES = tuple(2**k for k in range(11))
ADVICES = range(5)
STARTS = 12  # fresh networks for a pair
FACTORS = (0.5, 1.0, 2.0, 4.0)
MOST = 1500  # steps of one of them
EVERY = 10  # steps between two looks at its loss

# data -> features, classes, two target losses
CASES = {
    "digits": (64, 10, (0.3, 0.1)),
    "gaussians": (20, 4, (0.42, 0.38)),
    "teacher": (20, 4, (0.5, 0.3)),
}


# ------------------------------------------------------------------ the pair


class ProgramCase:
    """A network of the course; fresh(seed) is a new one."""

    def __init__(self, name):
        self.name, self.data = name, DATA[name]()
        self.i, self.y, self.targets = CASES[name]

    def fresh(self, seed):
        net = MLP.with_index("b").compile(b=1024, i=self.i, j=32, y=self.y)
        return net.init(np.random.default_rng(seed))

    def advice(self, seed, seconds):
        return advise(self.fresh(seed), self.data, seconds=seconds, seed=seed)

    def step(self, net, at, lr):
        net.step(lr, x=self.data.x_train[at], target=self.data.target_train[at])

    def loss(self, net, at):
        return float(net.forward(x=self.data.x_train[at], target=self.data.target_train[at]).mean())


class ModuleCase:
    """A PyTorch module: made() is a new one, of PyTorch's own initialisation."""

    def __init__(self, name, made, x, target, targets):
        import torch

        self.torch, self.name, self.made, self.targets = torch, name, made, targets
        self.data = SimpleNamespace(x_train=x, target_train=target)
        self.x, self.target = torch.tensor(x), torch.tensor(target)

    def fresh(self, seed):
        self.torch.manual_seed(seed)
        return self.made()

    def advice(self, seed, seconds):
        loss = self.torch.nn.functional.cross_entropy
        return advise(self.fresh(seed), self.data, loss, seconds=seconds, seed=seed)

    def _loss(self, net, at):
        return self.torch.nn.functional.cross_entropy(net(self.x[at]), self.target[at])

    def step(self, net, at, lr):
        parameters = list(net.parameters())
        grads = self.torch.autograd.grad(self._loss(net, at), parameters)
        with self.torch.no_grad():
            for p, g in zip(parameters, grads):
                p.sub_(g, alpha=lr)

    def loss(self, net, at):
        with self.torch.no_grad():
            return self._loss(net, at).item()


def module_cases():
    """A small convolution on the digits; a table of 13 features, some rare, some heavy-tailed,
    standardised."""
    try:
        import torch
    except ImportError:
        return []
    torch.set_num_threads(1)
    nn, digits = torch.nn, DATA["digits"]()

    def convolution():
        return nn.Sequential(
            nn.Conv2d(1, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 10),
        )

    def table():
        return nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))

    rng = np.random.default_rng(0)
    plain = rng.normal(size=(1200, 5))
    heavy = rng.lognormal(size=(1200, 4))
    rare = rng.random((1200, 4)) < 0.05
    x = np.concatenate([plain, heavy, rare], axis=1)
    scores = (
        plain[:, :3] + 0.5 * np.log(heavy[:, :3]) + 2 * rare[:, :3] + rng.normal(0, 0.3, (1200, 3))
    )
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
    images = digits.x_train.reshape(-1, 1, 8, 8)
    return [
        ModuleCase("convolution", convolution, images, np.array(digits.target_train), (0.1,)),
        ModuleCase("table", table, x, scores.argmax(axis=1), (0.35,)),
    ]


def steps_of(case, B, lr, target, seed):
    """Steps of a fresh network to the target; inf where it does not get there."""
    net, rng = case.fresh(1000 + seed), np.random.default_rng(seed)
    n = len(case.data.x_train)
    looked, order, done = np.arange(n)[:1024], np.array([], int), 0
    with np.errstate(all="ignore"):
        while done < MOST:
            for _ in range(EVERY):
                if len(order) < B:
                    order = rng.permutation(n)
                at, order = order[:B], order[B:]
                case.step(net, at, lr)
            done += EVERY
            loss = case.loss(net, looked)
            if loss <= target:
                return done
            if not np.isfinite(loss):
                break
    return np.inf


def judged(case, seconds=8.0):
    """Rows of the table of pairs."""
    for seed in range(3):
        a = case.advice(seed, seconds)
        if a.batch is None:
            yield f"| {case.name} | – | no batch: {a.why_not} | | |"
            continue
        target = case.targets[-1]
        took = {
            f: [steps_of(case, a.batch, a.lr * f, target, k) for k in range(STARTS)]
            for f in FACTORS
        }
        mean = {
            f: np.exp(np.log(s).mean()) if np.isfinite(s).all() else np.inf for f, s in took.items()
        }
        arrived = ", ".join(str(int(np.isfinite(s).sum())) for s in took.values())
        ratio = mean[1.0] / min(mean.values())
        yield (
            f"| {case.name} | {target} | {a.batch}, {a.lr:.2g} | {arrived} | {mean[1.0]:.0f} |"
            f" {ratio:.2f} |"
        )


# ------------------------------------------------------------------ the batch


def swept(name, folder, seeds, sizes):
    """{B: {lr: outcomes}}: powers of 2 around a guess, on until the best has a worse one on both
    sides, for both targets."""
    i, y, targets = CASES[name]
    setting = Setting(
        MLP,
        {"i": i, "j": 32, "y": y},
        data=name,
        epochs=20,
        steps=1500,
        target=targets[-1],
        looks=150,
    )
    path, found = folder and Path(folder) / f"{name}.jsonl", {}
    for B in sizes:
        guess = round(np.log2(0.1 * B**0.5))
        ks, found[B] = list(range(guess - 2, guess + 4)), {}
        while ks:
            tasks = [Task(B, 2.0**k, s) for k in ks for s in range(seeds)]
            outcomes = last(
                watched(sweeping(setting, tasks, results=path, chunk=32), f"{name}, B = {B}")
            )
            found[B].update(
                {2.0**k: [outcomes[Task(B, 2.0**k, s)] for s in range(seeds)] for k in ks}
            )
            ks = sorted({edge for target in targets for edge in edges(found[B], target)})
    return found


def edges(tried, target):
    """The exponents next to the best rate that were not tried."""
    k = int(np.log2(best(tried, target)[1]))
    return [n for n in (k - 1, k + 1) if 2.0**n not in tried and abs(n) < 12]


def best(tried, target):
    """(log steps, lr)."""
    return min(
        (np.mean([np.log(steps(o, target)) for o in outcomes]), lr)
        for lr, outcomes in tried.items()
    )


def steps(outcome, target):
    """Steps to the target, between two looks on a straight line; inf where it was not reached."""
    L = np.array(outcome.loss)
    k = int(np.argmax(L <= target))
    if not L[k] <= target:
        return np.inf
    share = (L[k - 1] - target) / (L[k - 1] - L[k])
    return outcome.looks[k - 1] + (outcome.looks[k] - outcome.looks[k - 1]) * share


def step_seconds(name, sizes):
    """Median seconds of a step at each of these sizes, its batch taken from the data."""
    data, (i, y, _) = DATA[name](), CASES[name]
    net = MLP.with_index("b").compile(b=sizes[-1], i=i, j=32, y=y).init(np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(data.x_train))

    def step(B):
        net.step(1e-3, x=data.x_train[order[:B]], target=data.target_train[order[:B]])

    return last(throughput(step, sizes, 10.0, rounds=25)).seconds


def beside_all(name, folder, seeds, sizes):
    """Rows of the table of batches."""
    case = ProgramCase(name)
    found, seconds = swept(name, folder, seeds, sizes), step_seconds(name, sizes)
    advices = [case.advice(s, 8.0) for s in ADVICES]
    for target in case.targets:
        log_S = np.array([best(found[B], target)[0] for B in sizes])
        took = np.exp(log_S) * seconds
        ratios = [took[sizes.index(a.batch)] / took.min() for a in advices if a.batch in sizes]
        reached = np.isfinite(log_S)
        model = lambda B, a, u: a + np.log1p(np.exp(u) / B)
        (_, u), _ = curve_fit(model, np.array(sizes)[reached], log_S[reached], (log_S[-1], 3.0))
        said = ", ".join(f"{a.batch} ({a.low}-{a.high})" for a in advices)
        noise = ", ".join(f"{a.noise.average:.0f}" for a in advices)
        times = ", ".join(f"{r:.2f}" for r in ratios)
        shortest = f"{took.min():.3f} s, {np.sort(took)[1]:.3f} s"
        yield (
            f"| {name} | {target} | {said} | {sizes[took.argmin()]} | {shortest} | {times} |"
            f" {np.exp(u):.0f} | {noise} |"
        )


def main():
    words = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words.add_argument("--folder", help="where the sweep is kept")
    words.add_argument("--seeds", type=int, default=4)
    words.add_argument("--least", type=int, default=1, help="the smallest batch of the sweep")
    words.add_argument("--no-sweep", action="store_true", help="the pairs alone")
    asked = words.parse_args()
    print(
        f"| data | target | advised batch, rate | of {STARTS} arrive at rate x {FACTORS} | steps |"
        " steps / best rate's |"
    )
    print("|---|---|---|---|---|---|")
    for case in [*map(ProgramCase, CASES), *module_cases()]:
        for row in judged(case):
            print(row, flush=True)
    if asked.no_sweep:
        return
    print(
        "\n| data | loss | advised B (range), five times | best B | its time, the next's | time at"
        " advised B / least |",
        end="",
    )
    print(" B_crit | B_simple |\n|---|---|---|---|---|---|---|---|")
    for name in CASES:
        for row in beside_all(
            name, asked.folder, asked.seeds, [B for B in SIZES if B >= asked.least]
        ):
            print(row, flush=True)


if __name__ == "__main__":
    main()
