"""Many trainings over batch sizes, learning rates and seeds: here, or on any
`concurrent.futures.Executor`.

Tasks of one batch size train together as replicas of one program, in chunks that the tasks alone
decide. So the outcomes are the same, bit for bit on one kind of CPU, whoever computes them: this
process, other processes, Dask or MPI.
"""

from __future__ import annotations

import logging
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import closing
from uuid import uuid4

import numpy as np

from .chunk import compiled, trained, training_chunk
from .checking import WrongKind, rate, shown, whole
from .progress import last
from .results import Results
from .setting import RULES, Setting, Task, data_of, factor, made
from .setting import Outcome as Outcome  # what callers get

BLINK = 0.2  # seconds after which a sweep that waits for others yields again, so that Stop is heard

log = logging.getLogger(__name__)


class Unfinished(RuntimeError):
    """Some tasks failed as often as was allowed. tasks: those; outcomes: task -> Outcome, what was
    finished."""

    def __init__(self, tasks, outcomes, error):
        super().__init__(
            f"tasks: {len(tasks)} of them failed: {names(tasks)}; the last error: {error!r}"
        )
        self.tasks, self.outcomes = tasks, outcomes


def sweeping(setting, tasks, executor=None, results=None, retries=2, chunk=16):
    """Yield (fraction done, {task: Outcome} so far) until all tasks are finished; errors in the
    arguments come at once.

    executor: any concurrent.futures.Executor; None computes here. It stays open.
    results: a path. Finished chunks are added to that file (JSON lines); what it holds is not
        computed again, so a sweep that was stopped or killed goes on where it was. Refused: a file
        of another setting, of other data or of an older version, and one that another sweep is
        writing. A damaged line is a warning, and its task is trained again.
    retries: how often the tasks of a chunk may fail or get lost, for whatever reason, before
        `Unfinished` is raised, once all others are done. Each failure is a warning of the logger
        "mbcore.sweep". A broken pool is replaced by a new one.
    chunk: how many replicas train together, at most. A generator that is closed cancels what has
        not begun.
    """
    tasks = _checked(setting, tasks, executor)
    retries, chunk = whole("retries", retries, 0), whole("chunk", chunk)
    found = Results(results, setting)
    if found.path and not found.writable and not set(tasks) <= found.found.keys():
        raise PermissionError(
            f"results: {found.path} may not be written, and not all tasks are in it"
        )
    return _sweeping(setting, tasks, executor, found, retries, chunk)


def sweep(setting, tasks, executor=None, results=None, retries=2, chunk=16):
    """`sweeping` run to its end; returns {task: Outcome}, in the order of the tasks."""
    return last(sweeping(setting, tasks, executor, results, retries, chunk))


def _checked(setting, tasks, executor):
    """The tasks as a tuple; refuses what cannot be trained before anything is."""
    if not isinstance(setting, Setting):
        raise WrongKind(f"setting: expected a Setting, got {shown(setting)}")
    try:
        tasks = tuple(given := tasks)
    except TypeError:
        raise WrongKind(f"tasks: expected a list of Tasks, got {shown(given)}") from None
    if not tasks:
        raise ValueError("tasks: expected at least one, got none")
    for task in tasks:
        if not isinstance(task, Task):
            raise WrongKind(f"tasks: expected Tasks, got {shown(task)}")
        rate(task.lr, dtype=setting.dtype)
        if not np.dtype(setting.dtype).type(task.lr):
            raise ValueError(
                f"lr: expected a learning rate above 0 in {setting.dtype}, got {task.lr:g}"
            )
    if len(set(tasks)) < len(tasks):
        raise ValueError(
            f"tasks: expected each once, got twice "
            f"{names({t for t in tasks if tasks.count(t) > 1})}"
        )
    if executor is not None and not isinstance(executor, Executor):
        advice = (
            "; a Dask client has one: client.get_executor()"
            if hasattr(executor, "get_executor")
            else ""
        )
        raise WrongKind(
            f"executor: expected a concurrent.futures.Executor or None, got "
            f"{shown(executor)}{advice}"
        )
    data = data_of(setting.data)
    for B in {task.B for task in tasks}:
        if B > len(data.x_train):
            raise ValueError(
                f"B: expected at most the {len(data.x_train)} examples of {data.name}, got {B}"
            )
        factor(setting.schedule, setting.budget(B))
    made("rule", RULES, setting.rule or ("sgd", ()))
    program = compiled(setting, 1)
    # A label too high for y, among other things, shows here.
    highest = data.target_train.argmax(keepdims=True)
    program.forward(x=data.x_train[highest], target=data.target_train[highest])
    program.evaluate("s", x=data.x_test[:1])
    return tasks


# ------------------------------------------------------------------ all chunks


def _sweeping(setting, tasks, executor, results, retries, chunk):
    done = {task: results.found[task] for task in tasks if task in results.found}
    parts = [
        left for part in _parts(tasks, chunk) if (left := tuple(t for t in part if t not in done))
    ]
    failures = _Failures(retries)
    working = (
        _here(setting, parts, failures)
        if executor is None
        else _there(setting, parts, executor, failures)
    )
    with closing(results), closing(working):  # whatever happens, what waits is cancelled
        yield len(done) / len(tasks), dict(done)
        for found, ahead in working:
            results.add(found)
            done.update((outcome.task, outcome) for outcome in found)
            yield (
                (len(done) + ahead) / len(tasks),
                {task: done[task] for task in tasks if task in done},
            )
    if failures.final:
        raise Unfinished(failures.final, done, failures.error) from failures.error


def _parts(tasks, chunk):
    """Tasks of one B, at most `chunk`, neighbours in lr together as they end at similar times."""
    tasks = sorted(tasks)
    for B in sorted({task.B for task in tasks}):
        own = [task for task in tasks if task.B == B]
        yield from (own[k : k + chunk] for k in range(0, len(own), chunk))


class _Failures:
    """Which chunk failed how often."""

    def __init__(self, retries):
        self.retries, self.counts, self.final, self.error = retries, {}, [], None

    def again(self, part, error):
        """Note a failure; returns whether the chunk may be tried again."""
        count = self.counts[part] = self.counts.get(part, 0) + 1
        more, self.error = count <= self.retries, error
        log.warning(
            "failure %d of %s: %r; %s",
            count,
            names(part),
            error,
            "tried again" if more else "given up",
        )
        self.final += [] if more else part
        return more


def _here(setting, parts, failures):
    """Yield (new outcomes, how many tasks the chunk in work amounts to so far), computing in this
    process."""
    for part in parts:
        while True:
            try:
                for fraction, outcomes in training_chunk(setting, part):
                    yield (outcomes, 0) if outcomes else ([], fraction * len(part))
                break
            except Exception as error:
                if not failures.again(part, error):
                    break


def _there(setting, parts, executor, failures):
    """Yield (new outcomes, 0), computed by the executor."""
    pool, waiting = executor, {}

    def submit(part):
        try:
            future = pool.submit(trained, setting, part, uuid4().hex)
            if not hasattr(future, "add_done_callback"):
                raise TypeError(f"executor: its submit gave {shown(future)}, and no Future")
        except Exception as error:  # a pool that broke or was shut down takes nothing
            future = Future()
            future.set_exception(error)
        waiting[future] = part, pool

    try:
        for part in parts:
            submit(part)
        while waiting:
            found = []
            wait(waiting, BLINK, FIRST_COMPLETED)
            for future in [future for future in waiting if future.done()]:
                part, owner = waiting.pop(future)
                error = CancelledError() if future.cancelled() else future.exception()
                if isinstance(error, BrokenExecutor) and owner is pool:
                    pool = _another(pool)
                if error is None:
                    found += future.result()
                elif failures.again(part, error):
                    submit(part)
            yield found, 0
    finally:
        for future in waiting:
            future.cancel()
        if pool is not executor:
            pool.shutdown(wait=False, cancel_futures=True)


def _another(pool):
    """A process pool like one that broke, which takes no work any more; a private attribute tells
    what that one was like."""
    return ProcessPoolExecutor(getattr(pool, "_max_workers", 1), getattr(pool, "_mp_context", None))


def names(tasks):
    first = ", ".join(f"(B={t.B}, lr={t.lr:g}, seed={t.seed})" for t in sorted(tasks)[:8])
    return first + (f" and {len(tasks) - 8} more" if len(tasks) > 8 else "")
