"""What replicas cost: 16 networks in one program beside one, and ten epochs of the digits for 16 seeds.

    python benchmarks/replicas.py
"""

import statistics
import time

import numpy as np

from mbcore import data
from mbcore.backend import one_blas_thread
from mbcore.experiments.models import MLP


def median(call, times):
    took = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def one_against_many(R=16, B=8):
    rng, batch = np.random.default_rng(0), MLP.with_index("b")
    one = batch.compile(b=B, i=64, j=32, y=10).init(rng)
    many = batch.with_index("r", parameters=True).compile(r=R, b=B, i=64, j=32, y=10).init(rng)
    x, target = rng.random((R, B, 64), dtype=np.float32), rng.integers(0, 10, (R, B))
    alone = median(lambda: one.step(0.1, x=x[0], target=target[0]), 1000)
    together = median(lambda: many.step(0.1, x=x, target=target), 1000)
    print(f"B = {B}: one {1e6 * alone:.0f} us, {R} together {1e6 * together:.0f} us, ratio {together / alone:.2f}")


def ten_epochs(R=16, B=32, epochs=10):
    digits, rng = data.digits(), np.random.default_rng(0)
    net = MLP.with_index("b").with_index("r", parameters=True).compile(r=R, b=B, i=64, j=32, y=10).init(rng)
    streams, n = rng.spawn(R), len(digits.x_train)

    def run():
        for _ in range(epochs):
            order = np.stack([stream.permutation(n) for stream in streams])
            for k in range(0, n, B):
                at = order[:, k:k + B]
                net.step(1.0, x=digits.x_train[at], target=digits.target_train[at])
    print(f"{epochs} epochs of the digits, {R} seeds, B = {B}: {1e3 * median(run, 9):.0f} ms")


if __name__ == "__main__":
    with one_blas_thread():
        one_against_many()
        ten_epochs()
