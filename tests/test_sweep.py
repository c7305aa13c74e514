"""Sweeps: the outcomes against a loop written here; the same from every executor, after failures,
kills and restarts."""

import json
import math
import multiprocessing
import multiprocessing.pool
import os
import pickle
import shutil
import signal
import subprocess
import sys
import textwrap
import zlib
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sweep_worker import MODEL, SETTING, TASKS
from test_writing import SmallDisk
from threadpoolctl import threadpool_info

import mbcore as mb
from mbcore import chunk
from mbcore import results as results_module
from mbcore import setting as setting_module
from mbcore import sweep as module
from mbcore.data import gaussians
from mbcore.optim import Momentum
from mbcore.progress import last
from mbcore.results import Results
from mbcore.sweep import Outcome, Setting, Task, Unfinished, sweep, sweeping

EXACT = replace(SETTING, dtype="float64")


@pytest.fixture(scope="module")
def here():
    """What this process finds, in one go: the reference for all others."""
    return sweep(SETTING, TASKS, chunk=4)


# ------------------------------------------------------------------ what an outcome says


def by_hand(task, setting, update):
    """One network alone, every batch a full one; (mean loss, test error) before each step and at
    the end."""
    data, n = gaussians(**dict(setting.data[1])), 120
    start, stream = np.random.SeedSequence(task.seed).spawn(2)
    net = (
        mb.equations(MODEL)
        .with_index("b")
        .compile(b=n, dtype=setting.dtype, **dict(setting.sizes))
        .init(np.random.default_rng(start))
    )
    stream, seen = np.random.default_rng(stream), []

    def look():
        loss = net.forward(x=data.x_train, target=data.target_train).mean()
        seen.append((loss, np.mean(net.evaluate("s", x=data.x_test).argmax(1) != data.target_test)))

    look()
    while len(seen) <= setting.budget(task.B):
        order = stream.permutation(n)
        for k in range(n // task.B):
            at = order[k * task.B :][: task.B]
            update(
                net,
                task.lr,
                len(seen) - 1,
                {"x": data.x_train[at], "target": data.target_train[at]},
            )
            look()
    return np.array(seen).T


def plain(net, lr, step, batch):
    net.step(lr, **batch)


@pytest.mark.parametrize("task", [Task(32, 0.5, 1), Task(7, 0.02, 0), Task(120, 2.0, 3)])
def test_an_outcome_is_what_a_plain_loop_gives(task):
    """Among replicas with other learning rates and seeds; 7 does not divide 120, so a pass leaves
    one example out."""
    others = [Task(task.B, lr, seed) for lr in (0.02, 0.5, 2.0) for seed in (0, 1, 3)]
    outcome = sweep(EXACT, others)[task]
    loss, error = by_hand(task, EXACT, plain)
    looks = list(outcome.looks)
    np.testing.assert_allclose(outcome.loss, loss[looks], rtol=1e-10)
    np.testing.assert_allclose(outcome.test_error, error[looks], atol=1e-15)
    if task.lr == 0.02:
        assert (
            outcome.status == "not reached"
            and outcome.steps is outcome.examples is outcome.seconds is None
        )
        assert looks[-1] == EXACT.budget(7) == max(20, -(-4 * 120 // 7))
    else:
        assert outcome.status == "reached" and loss[looks[-1]] <= 0.3 < loss[looks[-2]]
        crossing = np.interp(-0.3, -loss[looks[-2:]], looks[-2:])
        np.testing.assert_allclose(
            [outcome.steps, outcome.examples], [crossing, crossing * task.B], rtol=1e-9
        )
        assert outcome.seconds > 0


def test_a_rule_and_a_schedule():
    """Momentum's memory moves along when a chunk shrinks, as at B = 32 here: lr 0.5 and 2 reach the
    target early."""
    warm_up = ("warm_up", {"share": 0.5, "first": 0.1, "after": ("cosine", {"last": 0.2})})
    setting = replace(EXACT, rule=("momentum", {"beta": 0.8}), schedule=warm_up)
    tasks = [Task(32, lr, seed) for lr in (0.005, 0.5, 2.0) for seed in (0, 1)]
    total = setting.budget(32)
    factor = lambda k: (
        (0.1 + 0.9 * min(k / round(total / 2), 1))
        * (0.2 + 0.8 * (1 + np.cos(np.pi * k / total)) / 2)
    )
    outcomes = sweep(setting, tasks)
    assert {o.status for o in outcomes.values()} == {"reached", "not reached"}
    for task, outcome in outcomes.items():
        rule = Momentum(beta=0.8)

        def update(net, lr, step, batch):
            net.forward(**batch)
            net.backward()
            rule.update(net.params, net.grads, lr * factor(step))

        np.testing.assert_allclose(
            outcome.loss, by_hand(task, setting, update)[0][list(outcome.looks)], rtol=1e-9
        )


def test_steps_decay():
    setting = replace(EXACT, target=None, schedule=("step_decay", {"at": (0.25,), "factor": 0.5}))
    halved = lambda net, lr, step, batch: net.step(lr * (0.5 if step >= 5 else 1), **batch)
    outcome, loss = (
        sweep(setting, [Task(32, 0.5)])[Task(32, 0.5)],
        by_hand(Task(32, 0.5), setting, halved)[0],
    )
    assert outcome.status == "not reached" and outcome.looks[-1] == 20
    np.testing.assert_allclose(outcome.loss, loss[list(outcome.looks)], rtol=1e-10)


def test_chunk_mates_do_not_matter(here):
    for chunk in (1, 3, 18):
        for task, outcome in sweep(SETTING, TASKS[::-1], chunk=chunk).items():
            assert outcome.status == here[task].status and outcome.looks == here[task].looks
            np.testing.assert_allclose(outcome.loss, here[task].loss, rtol=1e-4)


def test_order_of_tasks_changes_nothing(here):
    assert sweep(SETTING, TASKS[::-1], chunk=4) == here
    assert list(here) == TASKS and list(sweep(SETTING, TASKS[::-1], chunk=4)) == TASKS[::-1]


def test_even_looks_and_the_test_error():
    setting = replace(SETTING, measure="test_error", target=0.05, spacing="even", looks=10)
    outcome = sweep(setting, [Task(4, 0.5)])[Task(4, 0.5)]
    assert outcome.status == "reached" and outcome.test_error[-1] <= 0.05 < min(
        outcome.test_error[:-1]
    )
    assert set(np.diff(outcome.looks)) == {12}


def test_reached_before_the_first_step():
    outcome = sweep(replace(SETTING, target=100.0), [Task(4, 0.5), Task(4, 0.1)])[Task(4, 0.5)]
    assert (outcome.status, outcome.steps, outcome.examples, outcome.looks) == (
        "reached",
        0.0,
        0.0,
        (0,),
    )


def test_diverged_runs_leave_no_nan():
    cubic = "h[j] = W0[j,i] * x[i]\ns[y] = W1[y,j] * h[j]**3\nL = cross_entropy(s[y], target)"
    setting, tasks = replace(SETTING, equations=cubic), [Task(4, 1e3), Task(4, 1e-4), Task(4, 0.02)]
    outcomes = sweep(setting, tasks)
    assert outcomes[tasks[0]].status == "diverged" != outcomes[tasks[1]].status
    assert outcomes[tasks[0]].steps is None and 0 < len(outcomes[tasks[0]].looks) < len(
        outcomes[tasks[1]].looks
    )
    assert all(np.isfinite([o.looks, o.loss, o.test_error]).all() for o in outcomes.values())
    alone = sweep(setting, tasks[1:2])[tasks[1]]  # a neighbour of NaN is not harmed
    np.testing.assert_allclose(alone.loss, outcomes[tasks[1]].loss, rtol=1e-4)


def test_scores_that_are_no_numbers_are_no_test_error(monkeypatch):
    """The test set has one example whose score overflows, while the loss over the training set is a
    number."""
    data = gaussians(**dict(SETTING.data[1]))
    far = replace(
        data,
        x_test=np.concatenate([data.x_test, np.full((1, 5), 1e38, "float32")]),
        target_test=np.append(data.target_test, 0),
    )
    monkeypatch.setattr(chunk, "data_of", lambda description: far)
    linear = replace(
        SETTING,
        equations="s[y] = W[y,i] * x[i]\nL = cross_entropy(s[y], target)",
        sizes={"i": 5, "y": 3},
        measure="test_error",
        target=1e-9,
    )
    outcome = sweep(linear, [Task(4, 100.0)])[Task(4, 100.0)]
    assert outcome.status == "diverged" and np.isfinite([*outcome.loss, *outcome.test_error]).all()


def test_a_chunk_has_one_batch_size():
    for tasks in ([Task(4, 0.5), Task(8, 0.5)], []):
        with pytest.raises(ValueError, match="tasks: expected tasks of one batch size"):
            chunk.trained(SETTING, tasks)


def test_a_loss_that_ends_high_has_diverged():
    assert sweep(SETTING, [Task(4, 1e5)])[Task(4, 1e5)].status == "diverged"


# ------------------------------------------------------------------ progress, Stop


@pytest.mark.parametrize("executor", ["none", "process"])
def test_fractions_and_what_is_there_so_far(here, executor, process_pool):
    seen = list(sweeping(SETTING, TASKS, process_pool if executor == "process" else None, chunk=4))
    fractions = [f for f, _ in seen]
    assert (
        fractions[0] == 0
        and fractions[-1] == 1
        and fractions == sorted(fractions)
        and (np.array(fractions[:-1]) < 1).all()
    )
    assert seen[0][1] == {} and seen[-1][1] == here
    assert all(a.items() <= b.items() for (_, a), (_, b) in zip(seen, seen[1:]))


def test_stop_keeps_what_is_finished_and_cancels_the_rest(tmp_path, here):
    class Slow(Here):
        """Finishes the first chunk only."""

        def submit(self, *call):
            self.futures = getattr(self, "futures", []) + [
                super().submit(*call) if not hasattr(self, "futures") else Future()
            ]
            return self.futures[-1]

    slow, path = Slow(), tmp_path / "r.jsonl"
    run = sweeping(SETTING, TASKS, slow, path, chunk=4)
    while not next(run)[1]:
        pass
    run.close()
    assert len(slow.futures) == 6 and [f.cancelled() for f in slow.futures] == [False] + 5 * [True]
    assert next(sweeping(SETTING, TASKS, None, path, chunk=4)) == (
        4 / 18,
        {t: here[t] for t in TASKS if t.B == 4 and t.lr < 1},
    )


def test_stop_in_this_process(tmp_path):
    path = tmp_path / "r.jsonl"
    run = sweeping(SETTING, TASKS, None, path, chunk=4)
    count = next(len(outcomes) for _, outcomes in run if outcomes)
    run.close()
    assert count == 4 and len(path.read_text().splitlines()) == 1 + 4


# ------------------------------------------------------------------ executors


@pytest.fixture(scope="module")
def process_pool():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


class Here(Executor):
    """Runs a call at once, unless it is told to fail: errors[k] for the k-th call."""

    def __init__(self, *errors):
        self.errors, self.calls = list(errors), 0

    def submit(self, function, *args):
        future, self.calls = Future(), self.calls + 1
        error = self.errors.pop(0) if self.errors else None
        if error == "cancelled":
            future.cancel()
        elif error == "refused":
            raise RuntimeError("cannot schedule new futures after shutdown")
        elif error:
            future.set_exception(error)
        else:
            future.set_result(function(*args))
        return future


def test_processes_give_the_same_bits(here, process_pool):
    assert sweep(SETTING, TASKS, process_pool, chunk=4) == here


@pytest.mark.parametrize("error", [ValueError("once"), "cancelled", "refused", SystemExit(3)])
def test_a_chunk_that_fails_twice_is_done_at_the_third_try(here, error, caplog):
    executor = Here(None, error)
    executor.errors += 4 * [None] + [error]  # the first retry comes after all six
    assert sweep(SETTING, TASKS, executor, chunk=4) == here and executor.calls == 8
    told = [record.getMessage() for record in caplog.records if record.name == "mbcore.sweep"]
    assert len(told) == 2 and all(
        "(B=4, lr=2, seed=0), (B=4, lr=2, seed=1)" in line and "tried again" in line
        for line in told
    )


def test_an_executor_that_gives_no_future_is_named():
    class AtOnce(Executor):
        def submit(self, function, *args):
            return function(*args)

    with pytest.raises(Unfinished, match="its submit gave .*, and no Future"):
        sweep(SETTING, TASKS[:1], AtOnce(), retries=0)


def test_exhausted_retries_name_the_tasks_and_keep_the_rest(here, tmp_path):
    class Never(Here):
        def submit(self, function, setting, tasks, *args):
            self.errors = [OSError("no such disk")] if tasks[0].B == 32 else []
            return super().submit(function, setting, tasks, *args)

    path, executor = tmp_path / "r.jsonl", Never()
    with pytest.raises(
        Unfinished,
        match=r"tasks: 6 of them failed: \(B=32, lr=0.02, seed=0\), .*OSError\('no such disk'\)",
    ) as caught:
        sweep(SETTING, TASKS, executor, path, retries=1, chunk=4)
    assert executor.calls == 4 + 2 * 2 and set(caught.value.tasks) == {
        t for t in TASKS if t.B == 32
    }
    assert caught.value.outcomes == {t: o for t, o in here.items() if t.B != 32}
    assert sweep(SETTING, TASKS, None, path, chunk=4) == here


def test_failures_in_this_process(here, monkeypatch, caplog):
    once, program = iter([MemoryError()]), chunk.compiled

    def failing(setting, B, **replicas):
        if B == 32:
            for error in once:
                raise error
        return program(setting, B, **replicas)

    monkeypatch.setattr(chunk, "compiled", failing)
    assert sweep(SETTING, TASKS, chunk=4) == here and "MemoryError" in caplog.text


def test_a_killed_worker_of_a_pool(here, caplog):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        run = sweeping(SETTING, TASKS, pool, chunk=4)
        while not next(run)[1]:
            pass
        for process in multiprocessing.active_children():
            if process.pid in pool._processes:
                process.kill()
        assert last(run) == here
        with pytest.raises(BrokenExecutor):
            pool.submit(int)
    assert "BrokenProcessPool" in caplog.text


@pytest.fixture(scope="module")
def cluster():
    try:
        import distributed
    except ImportError:
        missing = 'Dask is not installed: pip install -e ".[cluster]" -c constraints.txt'
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    options = {
        "n_workers": 2,
        "threads_per_worker": 1,
        "processes": True,
        "dashboard_address": None,
        "silence_logs": 50,
    }
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def test_dask_loses_a_worker_in_mid_sweep(cluster):
    setting = replace(SETTING, steps=600, target=None)
    tasks = [Task(B, lr, seed) for B in (16, 32) for lr in (0.1, 0.5) for seed in range(8)]
    run, pids = (
        sweeping(setting, tasks, cluster.get_executor(), chunk=4),
        list(cluster.run(os.getpid).values()),
    )
    while not (found := next(run)[1]):
        pass
    os.kill(pids[0], signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    assert len(found) < len(tasks) and len(set(pids) - {os.getpid()}) == 2
    assert last(run) == sweep(setting, tasks, chunk=4)
    cluster.wait_for_workers(2, timeout=20)
    assert pids[0] not in cluster.run(os.getpid).values()


def test_dask_tries_again(cluster, here, tmp_path, monkeypatch):
    """Dask remembers the error of a call; the second try must be another call."""

    def failing_once(setting, tasks, call, trained=module.trained):
        try:
            (tmp_path / f"{tasks[0].B}-{tasks[0].lr}").touch(exist_ok=False)
        except FileExistsError:
            return trained(setting, tasks, call)
        raise OSError("the first time")

    monkeypatch.setattr(module, "trained", failing_once)
    assert (
        sweep(SETTING, TASKS, cluster.get_executor(), chunk=4) == here
        and len(list(tmp_path.iterdir())) == 6
    )


def test_mpi(here, tmp_path):
    launcher = shutil.which(
        "mpiexec",
        path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    )
    if launcher is None:
        pytest.skip('there is no mpiexec: pip install -e ".[mpi]" -c constraints.txt')
    pytest.importorskip(
        "mpi4py", reason='mpi4py is not installed: pip install -e ".[mpi]" -c constraints.txt'
    )
    allowed = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_ALLOW_RUN_AS_ROOT": "1",
        "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    script = [str(Path(__file__).with_name("sweep_worker.py")), str(tmp_path / "out")]
    command = [launcher, "-n", "2", sys.executable, "-m", "mpi4py.futures", *script]
    done = subprocess.run(
        command, env={**os.environ, **allowed}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    outcomes, master, worker = pickle.loads((tmp_path / "out").read_bytes())
    assert outcomes == here and master != worker


def test_one_blas_thread(monkeypatch):
    threads, step = [], mb.Program.step
    monkeypatch.setattr(
        mb.Program,
        "step",
        lambda *args, **inputs: threads.extend(blas_threads()) or step(*args, **inputs),
    )
    before = blas_threads()
    sweep(SETTING, TASKS[:1])
    assert set(threads) == {1} and blas_threads() == before


def blas_threads():
    return [
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    ]


# ------------------------------------------------------------------ the file of results


@pytest.fixture
def full(here, tmp_path):
    """A file that holds it all."""
    path = tmp_path / "r.jsonl"
    sweep(SETTING, TASKS, None, path, chunk=4)
    return path


def untrained(monkeypatch):
    """From now on, nothing can be trained."""
    monkeypatch.setattr(module, "training_chunk", None)


def test_numbers_come_back_exactly_and_nothing_is_trained_again(full, here, monkeypatch):
    untrained(monkeypatch)
    again = sweep(SETTING, TASKS, None, full, chunk=7)
    assert again == here and [type(v) for o in again.values() for v in o.loss] == [
        type(v) for o in here.values() for v in o.loss
    ]
    assert list(sweeping(SETTING, TASKS[:3], None, str(full))) == [
        (1.0, {t: here[t] for t in TASKS[:3]})
    ]


def test_torn_anywhere_it_is_taken_up_again(full, here):
    whole = full.read_bytes()
    for cut in {
        0,
        5,
        whole.index(b"\n"),
        whole.index(b"\n") + 1,
        *range(700, len(whole), 3001),
        len(whole) - 1,
    }:
        full.write_bytes(whole[:cut])
        kept = next(sweeping(SETTING, TASKS, None, full, chunk=4))[1]
        assert len(kept) == max(whole[:cut].count(b"\n") - 1, 0) and kept.items() <= here.items()
    full.write_bytes(whole[:-40])
    assert sweep(SETTING, TASKS, None, full, chunk=4) == here
    assert sorted(full.read_bytes().splitlines()[:-1]) == sorted(
        whole.splitlines()[:-1]
    )  # the last one has other seconds
    assert len(full.read_bytes().splitlines()) == len(whole.splitlines())


def test_a_damaged_line_costs_one_task(full, here, caplog):
    lines = full.read_bytes().splitlines(keepends=True)
    for damage in (b"\0" * 50 + b"\n", b"17\n", b"{}\n", lines[3][:30] + b"\n"):
        full.write_bytes(b"".join([*lines[:3], damage, *lines[4:]]))
        assert len(next(sweeping(SETTING, TASKS, None, full, chunk=4))[1]) == 17
    assert sweep(SETTING, TASKS, None, full, chunk=4) == here and "line 4 is damaged" in caplog.text


def test_more_tasks_may_be_asked_for_later(full, here):
    outcomes = sweep(SETTING, [*TASKS, Task(8, 0.5)], None, full, chunk=4)
    assert (
        len(outcomes) == 19
        and here.items() <= outcomes.items()
        and len(full.read_bytes().splitlines()) == 20
    )


@pytest.mark.parametrize(
    "other, said",
    [
        ({"target": 0.2}, r"target 0.3 there and 0.2 here"),
        ({"rule": "adam"}, "rule None there"),
        ({"equations": MODEL.replace("tanh", "sigmoid")}, "equations"),
        ({"dtype": "float64"}, "dtype"),
    ],
)
def test_a_file_of_another_setting_is_refused(full, other, said):
    before = full.read_bytes()
    with pytest.raises(ValueError, match=rf"results: .*r.jsonl belongs to another setting, {said}"):
        sweeping(replace(SETTING, **other), TASKS, None, full)
    assert full.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"precious", b"precious\nwork", b"{}\n", b"[1]\n", b'{"setting": 3}\n', b"\n"]
)
def test_any_other_file_is_refused_and_left_alone(tmp_path, content):
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(ValueError, match="results: .*notes is no file of a sweep"):
        sweeping(SETTING, TASKS, None, tmp_path / "notes")
    assert (tmp_path / "notes").read_bytes() == content


def changed(line, **new):
    """The line with other values and their checksum; a dictionary is merged into the one that is there."""
    stored = json.loads(line)
    checked = stored.pop("check", None)
    for key, value in new.items():
        stored[key] = {**stored[key], **value} if isinstance(value, dict) else value
    if checked:
        stored["check"] = zlib.crc32(json.dumps(stored).encode())
    return json.dumps(stored).encode()


DAMAGE = {
    "status": [{"status": s} for s in ("great", "diverged", "not reached", None, 3, ["reached"])],
    "steps": [{"steps": s} for s in (math.nan, math.inf, -1, "3", None, True, 0, 1e9)],
    "examples": [{"examples": e} for e in (math.nan, 0, None, "12")],
    "seconds": [{"seconds": s} for s in (math.nan, -1, None, "fast")],
    "looks": [{"looks": k} for k in ([], [0], "012", None, 3, [0.5, 1, 2], [0, 1], [2, 1, 0])],
    "loss": [{"loss": k} for k in ([], None, "abc", [math.nan] * 3, [1, 2, None])],
    "test_error": [{"test_error": k} for k in ([], None, [2.0])],
    "task": [
        {"task": t}
        for t in (
            {"B": 0},
            {"B": 4.0},
            {"B": "4"},
            {"lr": math.nan},
            {"lr": -1},
            {"seed": -1},
            {"seed": None},
            {"extra": 1},
            {"B": 10**30},
        )
    ],
    "fields": [{"extra": 1}],
}


@pytest.mark.parametrize("field", DAMAGE)
def test_what_no_sweep_wrote_is_no_result(full, here, caplog, field):
    """Each field of one line set to what cannot be: never counted, said by line number, and trained
    again."""
    lines = full.read_bytes().splitlines()
    at = next(
        k
        for k, line in enumerate(lines[1:], 1)
        if json.loads(line)["status"] == "reached" and len(json.loads(line)["looks"]) > 3
    )
    lost = Task(**json.loads(lines[at])["task"])
    for damage in DAMAGE[field]:
        caplog.clear()
        full.write_bytes(
            b"\n".join([*lines[:at], changed(lines[at], **damage), *lines[at + 1 :], b""])
        )
        found = next(sweeping(SETTING, TASKS, None, full))[1]
        assert found == {task: outcome for task, outcome in here.items() if task != lost}, damage
        assert f"line {at + 1} is damaged; its task is trained again" in caplog.text


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b"[" * 100_000, b"null", b'"reached"', b"{", b"", b"\r", b"9" * 5000]
)
def test_what_is_no_line_at_all_is_left_out(full, here, caplog, line):
    lines = full.read_bytes().splitlines()
    full.write_bytes(b"\n".join([lines[0], line, *lines[1:], b""]))
    assert (
        next(sweeping(SETTING, TASKS, None, full))[1] == here and "line 2 is damaged" in caplog.text
    )


def test_a_changed_digit_is_no_result(full, here, caplog):
    """Of each digit of a line in turn: a rate, a seed, a loss, the checksum itself."""
    lines = full.read_bytes().splitlines()
    digits, lost = [k for k in range(len(lines[1])) if lines[1][k:k + 1].isdigit()], []
    for k in digits[:40] + digits[40::40] + digits[-3:]:
        other = bytearray(lines[1])
        other[k] ^= 1                                           # 0 and 1, 2 and 3, ... change places
        full.write_bytes(b"\n".join([lines[0], other, *lines[2:], b""]))
        results = Results(full, SETTING)
        results.close()
        assert results.found.items() <= here.items()
        lost.append(len(TASKS) - len(results.found))            # 0 where the last digit of a float changes nothing
    assert set(lost) <= {0, 1} and lost.count(1) > 0.9 * len(lost)


def test_every_record_that_a_sweep_writes_is_taken_back(tmp_path):
    """Diverged at once and late, reached before the first step, without a target, by the test
    error."""
    cubic = "h[j] = W0[j,i] * x[i]\ns[y] = W1[y,j] * h[j]**3\nL = cross_entropy(s[y], target)"
    for k, change in enumerate(
        [
            {"equations": cubic},
            {"target": 100.0},
            {"target": None},
            {"measure": "test_error", "target": 0.05, "spacing": "even"},
        ]
    ):
        setting, tasks = replace(SETTING, **change), [Task(4, lr) for lr in (1e-4, 0.5, 1e3, 1e5)]
        outcomes = sweep(setting, tasks, results=tmp_path / str(k))
        assert next(sweeping(setting, tasks, results=tmp_path / str(k))) == (1.0, outcomes)


def test_of_two_lines_for_a_task_the_first_counts(full, here, caplog):
    lines = full.read_bytes().splitlines()
    full.write_bytes(b"\n".join([*lines, changed(lines[3], seconds=1e9), b""]))
    assert (
        next(sweeping(SETTING, TASKS, None, full))[1] == here
        and f"line {len(lines) + 1} repeats a task" in caplog.text
    )


OTHERS = {
    "equations": MODEL.replace("tanh", "relu"),
    "sizes": {"i": 5, "j": 3, "y": 3},
    "data": ("gaussians", {**dict(SETTING.data[1]), "seed": 1}),
    "epochs": 5,
    "steps": 21,
    "target": 0.31,
    "measure": "test_error",
    "looks": 39,
    "spacing": "even",
    "rule": "sgd",
    "schedule": "cosine",
    "dtype": "float64",
}


@pytest.mark.parametrize("field", OTHERS)
def test_every_field_of_a_setting_decides(full, field):
    assert set(OTHERS) == set(SETTING.__dataclass_fields__)
    with pytest.raises(ValueError, match=f"belongs to another setting, {field} "):
        sweeping(replace(SETTING, **{field: OTHERS[field]}), TASKS, None, full)


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("sweep", 1, "another version of mbcore .form 1 there"),
        ("sweep", None, "no file of a sweep"),
        ("data", "0", "other numbers of the data gaussians"),
        ("data", None, "other numbers"),
    ],
)
def test_a_file_of_another_version_or_other_numbers_is_refused(full, key, value, said):
    lines = full.read_bytes().splitlines()
    before = b"\n".join([changed(lines[0], **{key: value}), *lines[1:], b""])
    full.write_bytes(before)
    with pytest.raises(ValueError, match=f"results: .*r.jsonl .*{said}"):
        sweeping(SETTING, TASKS, None, full)
    assert full.read_bytes() == before


def test_other_numbers_of_the_same_data_are_noticed(full, monkeypatch):
    other = gaussians(**dict(SETTING.data[1]))
    monkeypatch.setattr(
        setting_module, "data_of", lambda description: replace(other, x_test=other.x_test + 1e-6)
    )
    with pytest.raises(ValueError, match="other numbers of the data gaussians"):
        sweeping(SETTING, TASKS, None, full)


HOLDING = """
import sys, time
sys.path.insert(0, {tests!r})
from sweep_worker import SETTING, TASKS
from mbcore.sweep import sweeping
run = sweeping(SETTING, TASKS, None, {path!r}, chunk=4)
next(outcomes for _, outcomes in run if outcomes)
print("written", flush=True)
time.sleep(60)
"""


def test_a_file_that_another_process_writes_is_refused_and_left(tmp_path, here):
    """Once it is killed, the file is taken up."""
    path = tmp_path / "r.jsonl"
    script = HOLDING.format(tests=str(Path(__file__).parent), path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout.readline() == "written\n"
            with open(path, "ab") as file:
                file.write(b'{"task": half')  # the other one is in the middle of a line
            before = path.read_bytes()
            with pytest.raises(
                ValueError, match="results: .*r.jsonl is being written by another sweep"
            ):
                sweeping(SETTING, TASKS, None, path)
            assert path.read_bytes() == before
        finally:
            other.kill()
    assert len(next(sweeping(SETTING, TASKS, None, path, chunk=4))[1]) == 4
    assert path.read_bytes() == before  # nothing is cut before something is added
    assert sweep(SETTING, TASKS, None, path, chunk=4) == here and b"half" not in path.read_bytes()


def test_two_sweeps_of_one_process_do_not_share_a_file(tmp_path):
    path = tmp_path / "r.jsonl"
    run = sweeping(SETTING, TASKS, None, path, chunk=4)
    for _ in range(2):  # before its start, and after
        with pytest.raises(ValueError, match="is being written by another sweep"):
            sweeping(SETTING, TASKS, None, path)
        next(run)
    run.close()
    next(sweeping(SETTING, TASKS, None, path))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_does_not_hold_the_file(tmp_path):
    """As a worker of a pool that outlives its killed owner."""
    path, (read, write) = tmp_path / "r.jsonl", os.pipe()
    script = textwrap.dedent(f"""
        import os, sys
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from sweep_worker import SETTING
        from mbcore.results import Results
        held = Results({str(path)!r}, SETTING)
        if os.fork():
            os._exit(0)
        os.read({read}, 1)
        """)
    subprocess.run([sys.executable, "-c", script], pass_fds=(read,), check=True, timeout=60)
    try:
        Results(path, SETTING).close()
    finally:
        os.write(write, b"x")
        os.close(read)
        os.close(write)


def test_a_file_that_changed_meanwhile_gets_nothing(full, here):
    half = full.read_bytes()[:-300]
    full.write_bytes(half)
    run = sweeping(SETTING, TASKS, None, full, chunk=4)
    next(run)
    with open(full, "ab") as file:
        file.write(b"of somebody who does not ask for the lock\n")
    before = full.read_bytes()
    with pytest.raises(ValueError, match="was changed by another process meanwhile"):
        last(run)
    assert full.read_bytes() == before


def test_a_full_disk_leaves_the_lines_that_were_there(full, here):
    """It is full after k bytes, for every k; the sweep says so by name, and goes on once there is
    space."""
    whole = full.read_bytes()
    head, *lines = whole.splitlines(keepends=True)
    there = Results(full, SETTING)
    there.close()
    outcomes = list(there.found.values())       # of this file: the seconds of `here` are others
    for kept in (b"", b"".join([head, *lines[:-1]]), b"".join([head, *lines[:-1], b"torn"])):
        full.write_bytes(kept)
        for k in range(0, len(whole if not kept else lines[-1]), 1 + 40 * (not kept)):
            results = Results(full, SETTING)
            disk = SmallDisk(full, "r+b")
            disk.seek(len(kept) - 4 * kept.endswith(b"torn"))
            disk.space = k
            results._file.close()
            results._file = disk
            with pytest.raises(OSError, match="No space left on device.*r.jsonl"):
                results.add(outcomes[-1:] if kept else outcomes)
            results.close()
            assert full.read_bytes() == kept.removesuffix(b"torn")
            full.write_bytes(kept)
    assert sweep(SETTING, TASKS, None, full, chunk=4) == here


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_file_that_may_not_be_written_can_be_read(full, here):
    full.chmod(0o400)
    assert sweep(SETTING, TASKS, None, full) == here
    with pytest.raises(PermissionError, match="r.jsonl may not be written"):
        sweeping(SETTING, [*TASKS, Task(8, 0.5)], None, full)


def test_a_file_that_cannot_be_opened_for_writing_is_read(full, here, monkeypatch):
    """The same, where the tests run as root."""

    def read_only(path, mode, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(results_module, "open", read_only, raising=False)
    assert sweep(SETTING, TASKS, None, full) == here
    with pytest.raises(PermissionError, match="r.jsonl may not be written"):
        sweeping(SETTING, [*TASKS, Task(8, 0.5)], None, full)


@pytest.mark.parametrize("path", [3, True, [], b"", ""])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(TypeError, match="results: expected the path of a file or None"):
        sweeping(SETTING, TASKS, None, path)


def test_a_folder_and_a_pipe_hold_no_results(tmp_path):
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, *tmp_path.iterdir()):
        with pytest.raises(ValueError, match="results: .* is a folder, a device or a pipe"):
            sweeping(SETTING, TASKS, None, path)


def test_no_folder_for_the_results(tmp_path):
    with pytest.raises(FileNotFoundError, match="results: there is no folder"):
        sweeping(SETTING, TASKS, None, tmp_path / "none" / "r.jsonl")


# ------------------------------------------------------------------ settings, refusals


def test_a_setting_is_one_value():
    data = ["gaussians", dict(reversed(SETTING.data[1]))]
    other = Setting(
        mb.equations(MODEL), dict(reversed(SETTING.sizes)), data, 4, np.int64(20), np.float64(0.3)
    )
    assert (
        other == SETTING
        and hash(other) == hash(SETTING)
        and other.key == SETTING.key
        and json.loads(other.key)["target"] == 0.3
    )
    assert pickle.loads(pickle.dumps(SETTING)) == SETTING and replace(SETTING) == SETTING
    ruled = replace(
        SETTING,
        rule=("lars", {"unscaled": ["C0", "C1"]}),
        schedule=("warm_up", {"after": ("cosine", {})}),
    )
    assert hash(ruled) == hash(replace(ruled)) and ruled.key != SETTING.key


def test_outcomes_are_values(here):
    one = here[TASKS[0]]
    assert pickle.loads(pickle.dumps(one)) == one == replace(one, seconds=99.0) != replace(
        one, steps=99.0
    ) and isinstance(one, Outcome)
    assert Task(np.int64(8), np.float32(0.5), np.uint8(1)) == Task(8, 0.5, 1)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"B": 0}, "B: .* at least 1, got 0"),
        ({"B": 2.5}, "B: "),
        ({"B": True}, "B: "),
        ({"lr": float("nan")}, "lr: expected a finite number above 0, got nan"),
        ({"B": 2**63}, "B: "),
        ({"B": np.array([8])}, "B: "),
        ({"B": None}, "B: "),
        ({"lr": None}, "lr: "),
        ({"lr": 1j}, "lr: "),
        ({"lr": True}, "lr: "),
        ({"lr": float("inf")}, "lr: "),
        ({"lr": 0}, "lr: "),
        ({"lr": "0.1"}, "lr: "),
        ({"seed": -1}, "seed: "),
        ({"seed": 1.0}, "seed: "),
    ],
)
def test_wrong_tasks(wrong, said):
    with pytest.raises(ValueError, match=said):
        Task(**{"B": 8, "lr": 0.1, "seed": 0, **wrong})


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"epochs": 0, "steps": 0}, "epochs: "),
        ({"epochs": -1}, "epochs: "),
        ({"epochs": 1e300}, "epochs: "),
        ({"epochs": None}, "epochs: "),
        ({"steps": 2**62}, "steps: "),
        ({"dtype": "float16"}, "dtype: "),
        ({"dtype": None}, "dtype: "),
        ({"target": -1.0}, "target: "),
        ({"target": "0.3"}, "target: "),
        ({"sizes": 3}, "sizes: "),
        ({"sizes": {"i": 5.0, "j": 4, "y": 3}}, "sizes: i: "),
        ({"sizes": {1: 2}}, "sizes: "),
        ({"data": ("gaussians", 3)}, "data: "),
        ({"data": ("gaussians", {"n_train": math.nan})}, "data: expected finite"),
        ({"rule": ("momentum", {"beta": print})}, "rule: expected numbers"),
        ({"data": ("gaussians", {3: 4})}, "data: expected texts"),
        ({"looks": 10**13}, "looks: "),
        ({"steps": 1.5}, "steps: "),
        ({"looks": 0}, "looks: "),
        ({"target": float("nan")}, "target: "),
        ({"spacing": 3}, "spacing: "),
        ({"measure": "accuracy"}, "measure: expected loss, test_error, got 'accuracy'"),
        ({"data": "mnist"}, "data: expected digits, gaussians, teacher, got 'mnist'"),
        ({"data": ("digits",)}, "data: "),
        ({"rule": "sgdm"}, "rule: "),
        ({"schedule": "linear"}, "schedule: "),
        ({"sizes": {"i": 5, "j": 4, "y": 3, "b": 8}}, "sizes: .* no b"),
        ({"equations": "L = ("}, "line 1"),
        ({"equations": mb.equations(MODEL).with_index("b")}, "equations: .* for one example"),
    ],
)
def test_wrong_settings(wrong, said):
    with pytest.raises(ValueError, match=said):
        replace(SETTING, **wrong)


@pytest.mark.parametrize(
    "error, said, changes",
    [
        (ValueError, "tasks: expected at least one", {"tasks": []}),
        (
            ValueError,
            r"tasks: expected each once, got twice \(B=4, lr=0.5, seed=0\)",
            {"tasks": [Task(4, 0.5), Task(8, 0.5), Task(4, 0.5)]},
        ),
        (TypeError, "tasks: ", {"tasks": [(8, 0.1, 0)]}),
        (
            ValueError,
            "B: expected at most the 120 examples of gaussians, got 121",
            {"tasks": [Task(121, 0.1)]},
        ),
        (TypeError, "setting: ", {"setting": {}}),
        (TypeError, "executor: ", {"executor": 2}),
        (TypeError, "executor: ", {"executor": ProcessPoolExecutor}),
        (TypeError, "executor: ", {"executor": multiprocessing.pool.Pool}),
        (
            TypeError,
            r"executor: .*client.get_executor\(\)",
            {"executor": type("Client", (), {"submit": print, "get_executor": print})()},
        ),
        (TypeError, "tasks: ", {"tasks": 3}),
        (TypeError, "tasks: ", {"tasks": Task(8, 0.5)}),
        (TypeError, "tasks: ", {"tasks": None}),
        (ValueError, "lr: .* that float32 can hold", {"tasks": [Task(8, 1e39)]}),
        (ValueError, "retries: ", {"retries": -1}),
        (ValueError, "chunk: ", {"chunk": 0}),
        (
            ValueError,
            "x: expected i=6",
            {"setting": replace(SETTING, sizes={"i": 6, "j": 4, "y": 3})},
        ),
        (
            ValueError,
            "target: labels must lie in 0 .. 1",
            {"setting": replace(SETTING, sizes={"i": 5, "j": 4, "y": 2})},
        ),
        (ValueError, "j: ", {"setting": replace(SETTING, sizes={"i": 5, "y": 3})}),
        (ValueError, "name: ", {"setting": replace(SETTING, equations=MODEL.replace("s[", "z["))}),
        (
            TypeError,
            "rule: .*'mass'",
            {"setting": replace(SETTING, rule=("momentum", {"mass": 1}))},
        ),
        (ValueError, "beta: ", {"setting": replace(SETTING, rule=("momentum", {"beta": 1}))}),
        (
            TypeError,
            "schedule: .*'first'",
            {"setting": replace(SETTING, schedule=("cosine", {"first": 1}))},
        ),
        (TypeError, "data: .*'n'", {"setting": replace(SETTING, data=("gaussians", {"n": 5}))}),
    ],
)
def test_refused_before_anything_runs(error, said, changes, tmp_path):
    """At the call itself, not at the first pull."""
    path = tmp_path / "r.jsonl"
    with pytest.raises(error, match=said):
        sweeping(**{"setting": SETTING, "tasks": TASKS, "results": path, **changes})
    assert not path.exists()
