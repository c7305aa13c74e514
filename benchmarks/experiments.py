"""How long each experiment takes: at the budget of its lesson, and at the smaller one of the tests and of `mb.verdicts()`.

python benchmarks/experiments.py [name ...]     wall and processor seconds of one run each, on this machine
"""

import sys
import time

from mbcore.verdicts import LESSONS, modules


def seconds(run, config):
    wall, cpu = time.perf_counter(), time.process_time()
    run(config)
    return time.perf_counter() - wall, time.process_time() - cpu


def main(names):
    print("| experiment | claims | lesson | its lesson's budget: wall, s | cpu, s | smaller budget: wall, s | cpu, s |\n|---|---|---|---|---|---|---|")
    for name, module in modules().items():
        if not names or name in names:
            small, whole = seconds(module.run, module.SMALL), seconds(module.run, module.Config())
            figures = " | ".join(f"{s:.1f}" for s in (*whole, *small))
            print(f"| {name} | {' '.join(module.CLAIMS)} | {LESSONS[name][:2]} | {figures} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
