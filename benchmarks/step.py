"""One SGD step of an MLP, forward, backward and update: mbcore beside PyTorch eager and JAX jit, in one run.

    python benchmarks/step.py [--threads 2] [--quick]

float32, the CPU, random data, labels of 10 classes. The three take turns, a short burst each, so that a change of the
machine's speed meets all of them; a figure is the median over all bursts. Ratios above 1: mbcore is ahead. PyTorch and
JAX are left out where they are not installed (pip install torch jax).
"""

import argparse
import math
import os
import statistics
import time

NETS = {"64-32-10": (64, 32, 10), "784-128-10": (784, 128, 10), "784-1024-1024-10": (784, 1024, 1024, 10)}
BATCHES = (1, 8, 32, 128, 512, 2048, 8192)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="fewer batch sizes and bursts")
    return parser.parse_args()


def ours(sizes, B, x, target):
    import mbcore as mb
    import numpy as np
    lines, letters = [], ["i", *(f"j{k}" for k in range(len(sizes) - 2)), "y"]
    names = ["x", *(f"h{k}" for k in range(len(sizes) - 2)), "s"]
    for k, (below, above) in enumerate(zip(letters, letters[1:])):
        inside = f"W{k}[{above},{below}] * {names[k]}[{below}] - C{k}[{above}]"
        lines.append(f"{names[k + 1]}[{above}] = {inside if above == 'y' else f'sigmoid({inside})'}")
    net = mb.equations("\n".join([*lines, "L = cross_entropy(s[y], target)"])).with_index("b")
    net = net.compile(b=B, **dict(zip(letters, sizes))).init(np.random.default_rng(0))
    return lambda: net.step(0.1, x=x, target=target)


def torch_eager(sizes, B, x, target, threads):
    import torch
    torch.set_num_threads(threads)
    layers = [m for a, b in zip(sizes, sizes[1:]) for m in (torch.nn.Linear(a, b), torch.nn.Sigmoid())][:-1]
    net, loss = torch.nn.Sequential(*layers), torch.nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    x, target = torch.from_numpy(x), torch.from_numpy(target)

    def step():
        optimiser.zero_grad()
        loss(net(x), target).backward()
        optimiser.step()
    return step


def jax_jit(sizes, B, x, target):
    import jax
    import jax.numpy as jnp
    params = [(jax.random.normal(jax.random.key(k), (b, a)) / a**0.5, jnp.zeros(b)) for k, (a, b) in enumerate(zip(sizes, sizes[1:]))]

    def loss(params, x, target):
        for W, C in params[:-1]:
            x = jax.nn.sigmoid(x @ W.T - C)
        W, C = params[-1]
        s = x @ W.T - C
        return (jax.nn.logsumexp(s, axis=1) - jnp.take_along_axis(s, target[:, None], 1)[:, 0]).mean()

    update = jax.jit(lambda p, x, t: jax.tree.map(lambda w, g: w - 0.1 * g, p, jax.grad(loss)(p, x, t)), donate_argnums=0)
    state, x, target = [params], jnp.asarray(x), jnp.asarray(target)

    def step():
        state[0] = jax.block_until_ready(update(state[0], x, target))
    return step


def medians(steps, rounds):
    """Median seconds of a step for each, in turns: bursts of about 20 ms."""
    counts, took = {}, {name: [] for name in steps}
    for name, step in steps.items():
        step()
        start = time.perf_counter()
        step()
        counts[name] = max(1, min(200, int(0.02 / (time.perf_counter() - start))))
    for _ in range(rounds):
        for name, step in steps.items():
            for _ in range(counts[name]):
                start = time.perf_counter()
                step()
                took[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in took.items()}


def main():
    args = arguments()
    os.environ.setdefault("OPENBLAS_NUM_THREADS", str(args.threads))
    import importlib.util

    import numpy as np
    have = [name for name in ("torch", "jax") if importlib.util.find_spec(name)]
    print(f"{'net':18} {'B':>5} {'mbcore us':>10}" + "".join(f" {name + '/mbcore':>13}" for name in have))
    ratios, small = {name: [] for name in have}, {name: [] for name in have}
    for net, sizes in NETS.items():
        for B in BATCHES[::2] if args.quick else BATCHES:
            rng = np.random.default_rng(0)
            x, target = rng.random((B, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], B)
            steps = {"mbcore": ours(sizes, B, x, target)}
            if "torch" in have:
                steps["torch"] = torch_eager(sizes, B, x, target, args.threads)
            if "jax" in have:
                steps["jax"] = jax_jit(sizes, B, x, target)
            found = medians(steps, 3 if args.quick or B * max(sizes) > 1e6 else 9)
            for name in have:
                ratios[name].append(found[name] / found["mbcore"])
                small[name] += ratios[name][-1:] * (B <= 2048)
            print(f"{net:18} {B:5} {found['mbcore'] * 1e6:10.1f}" + "".join(f" {ratios[name][-1]:13.2f}" for name in have), flush=True)
    for name in have:
        mean = math.exp(sum(map(math.log, ratios[name])) / len(ratios[name]))
        print(f"{name}: geometric mean {mean:.2f}, least up to B = 2048: {min(small[name]):.2f}")


if __name__ == "__main__":
    main()
