"""One chunk of a sweep: tasks of one batch size, trained together as replicas of one program."""

from __future__ import annotations

import math
import time

import numpy as np

from .backend import one_blas_thread
from .equations import equations
from .progress import last
from .setting import RULES, Outcome, data_of, factor, made


def trained(setting, tasks, call=None):
    """The outcomes of tasks with one batch size, trained together; what an executor is given.

    call: another one each time, because Dask takes equal calls for one: a second try would only get
        the first one's error.
    """
    return last(training_chunk(setting, tasks))


def training_chunk(setting, tasks):
    """Yield (fraction, None) at each look, at the end (1.0, the outcomes)."""
    if len({task.B for task in tasks}) != 1:
        raise ValueError(
            f"tasks: expected tasks of one batch size, got {sorted({task.B for task in tasks})}"
        )
    total, seconds = setting.budget(tasks[0].B), 0.0
    team, records = _Team(setting, tasks).init(), {task: [] for task in tasks}
    marks = setting.marks(tasks[0].B)
    for before, after in zip([0, *marks], marks):
        with (
            one_blas_thread(),
            np.errstate(all="ignore"),
        ):  # a run that diverges is told by its outcome
            start = time.perf_counter()
            for step in range(before, after):
                team.step(step)
            seconds += (time.perf_counter() - start) / len(team.tasks)
            seen = team.look()
        for task, loss, error in zip(team.tasks, *seen):
            records[task].append((after, loss, error, seconds))
        going = [k for k, row in enumerate(zip(*seen)) if not _ended(setting, *row)]
        if not going or after == total:
            break
        if 2 * len(going) <= len(team.tasks):  # about a fifth of the time, in a usual sweep
            team = team.only(going)
        yield after / total, None
    yield 1.0, [_outcome(setting, task, *zip(*rows)) for task, rows in records.items()]


class _Team:
    """Tasks of one B that train together: replica r is tasks[r]."""

    def __init__(self, setting, tasks):
        self.setting = setting
        self.tasks = tasks
        self.data = data_of(setting.data)
        self.B = tasks[0].B
        self.program = compiled(setting, self.B, r=len(tasks))
        self.everything, self.test = (
            self.program.resized(b=len(x)) for x in (self.data.x_train, self.data.x_test)
        )
        self.lr = np.array([task.lr for task in tasks])
        self.factor = factor(setting.schedule, setting.budget(self.B))
        self.rule = setting.rule and made("rule", RULES, setting.rule)

    def init(self):
        """Each replica from its own seed: the first spawn draws its weights, the second its
        batches."""
        starts, self.streams = zip(
            *(
                map(np.random.default_rng, np.random.SeedSequence(task.seed).spawn(2))
                for task in self.tasks
            )
        )
        single = compiled(self.setting, 1)
        for r, start in enumerate(starts):
            for name, p in single.init(start).params.items():
                self.program.params[name][r] = p
        self.order = np.empty((len(starts), 0), int)
        return self

    def only(self, places):
        """The team that goes on with these replicas, from where they are."""
        team = _Team(self.setting, [self.tasks[k] for k in places])
        team.streams, team.order = [self.streams[k] for k in places], self.order[places]
        for name, p in self.program.params.items():
            team.program.params[name][...] = p[places]
        if self.rule:
            team.rule.state = {
                k: a if k == "steps" else a[places] for k, a in self.rule.state.items()
            }
        return team

    def step(self, step):
        """One update. Each pass is a fresh permutation for each replica, cut into floor(n/B) full
        batches."""
        n = len(self.data.x_train)
        k, lr = step % (n // self.B), self.lr * self.factor(step)
        if k == 0:
            self.order = np.stack([stream.permutation(n) for stream in self.streams])
        at = self.order[:, k * self.B : (k + 1) * self.B]
        batch = {"x": self.data.x_train[at], "target": self.data.target_train[at]}
        if not self.rule:
            return self.program.step(lr, **batch)
        self.program.forward(**batch)
        self.program.backward()
        self.rule.update(self.program.params, self.program.grads, lr)

    def look(self):
        """Mean loss over the training set and test error, lists over the replicas; an error is nan
        where a score is no number."""
        d = self.data
        loss = self.everything.forward(x=d.x_train, target=d.target_train).mean(
            axis=-1, dtype=float
        )
        scores = self.test.evaluate("s", x=d.x_test)
        error = (scores.argmax(axis=-1) != d.target_test).mean(axis=-1)
        return loss.tolist(), np.where(
            np.isfinite(scores).all(axis=(-1, -2)), error, np.nan
        ).tolist()


def compiled(setting, B, **replicas):
    """The program of a setting for batches of B, and with a replica index for r=..."""
    model = equations(setting.equations).with_index("b")
    model = model.with_index("r", parameters=True) if replicas else model
    return model.compile(dtype=setting.dtype, b=B, **replicas, **dict(setting.sizes))


def _ended(setting, loss, error):
    """Whether a replica needs no more training."""
    return not math.isfinite(loss + error) or setting.reached(loss, error)


def _outcome(setting, task, looks, loss, error, seconds):
    """What one replica did; what it did after its end, while others went on, does not count."""
    end = next((k for k, row in enumerate(zip(loss, error)) if _ended(setting, *row)), len(loss))
    reached = end < len(loss) and math.isfinite(loss[end] + error[end])
    record = [values[: end + reached] for values in (looks, loss, error)]
    if not reached:
        wild = end < len(loss) or loss[-1] > 10 * loss[0]
        return Outcome(task, "diverged" if wild else "not reached", None, None, None, *record)
    steps, seconds = (
        setting.crossing(values[: end + 1], *record[1:]) for values in (looks, seconds)
    )
    return Outcome(task, "reached", steps, steps * task.B, seconds, *record)
