"""A sweep under `mpiexec -n 2 python -m mpi4py.futures sweep_worker.py FILE`: writes what came out, and who computed. No test is here."""

import pickle
import sys

from mbcore.sweep import Setting, Task, sweep

MODEL = """
    h[j] = tanh(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
"""
SETTING = Setting(MODEL, {"i": 5, "j": 4, "y": 3}, ("gaussians", {"n_train": 120, "n_test": 60, "i": 5, "classes": 3, "distance": 4.0}),
                  epochs=4, steps=20, target=0.3)
TASKS = [Task(B, lr, seed) for B in (4, 32, 120) for lr in (0.02, 0.5, 2.0) for seed in (0, 1)]


def rank():
    from mpi4py import MPI
    return MPI.COMM_WORLD.Get_rank()


if __name__ == "__main__":
    from mpi4py.futures import MPIPoolExecutor
    with MPIPoolExecutor() as executor:
        outcomes, worker = sweep(SETTING, TASKS, executor, chunk=4), executor.submit(rank).result()
    with open(sys.argv[1], "wb") as file:
        pickle.dump((outcomes, rank(), worker), file)
