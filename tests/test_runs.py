"""A run in a file: what tells it from another one, what is refused, and that nothing is changed by
what is refused."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from interrupts import interrupted
from models import USUAL

import mbcore as mb
from mbcore.data import gaussians
from mbcore.optim import Adam, Momentum
from mbcore.schedule import Cosine, Stages, WarmUp, constant
from mbcore.train import training

BATCH = mb.equations(USUAL).with_index("b")
DATA = gaussians(40, 20, 4, 3)


def net(seed=1, model=BATCH, **how):
    return model.compile(**{**dict(b=8, i=4, j=6, y=3), **how}).init(np.random.default_rng(seed))


def run(**change):
    """A training of two epochs with four looks, not started."""
    given = dict(
        program=net(),
        data=DATA,
        lr=0.1,
        epochs=2,
        rng=np.random.default_rng(2),
        looks=4,
        rule=Momentum(),
    )
    return training(**{**given, **change})


def copies(program, rule):
    return {name: p.copy() for name, p in program.params.items()}, rule.state


def same(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


@pytest.fixture
def path(tmp_path):
    """A run that was stopped after its third look."""
    for _ in zip(range(3), run(saved=tmp_path / "run.npz")):
        pass
    return tmp_path / "run.npz"


def moved(**arrays):
    names = ("x_train", "target_train", "x_test", "target_test")
    return SimpleNamespace(**{name: arrays.get(name, getattr(DATA, name)) for name in names})


def nudged(array):
    other = array.copy()
    other[3] = 1 - other[3] if other.dtype.kind == "i" else other[3] * np.float32(1.0001)
    return other


OTHER = mb.equations(USUAL.replace("sigmoid", "tanh")).with_index("b")
CHANGES = {
    "equations": lambda: dict(program=net(model=OTHER)),
    "sizes": lambda: dict(program=net(j=5)),
    "dtype": lambda: dict(program=net(dtype="float64")),
    "first parameters": lambda: dict(program=net(seed=3)),
    "train data": lambda: dict(data=moved(x_train=nudged(DATA.x_train))),
    "test data": lambda: dict(data=moved(target_test=nudged(DATA.target_test))),
    "lr": lambda: dict(lr=0.1 + 1e-12),
    "lr, a schedule": lambda: dict(lr=Cosine(0.1, 10)),
    "epochs": lambda: dict(epochs=3),
    "B": lambda: dict(B=7),
    "compute": lambda: dict(compute=3),
    "looks": lambda: dict(looks=5),
    "rng": lambda: dict(rng=np.random.default_rng(3)),
    "rule": lambda: dict(rule=Momentum(0.8)),
    "rule, another one": lambda: dict(rule=Adam()),
    "rule, none": lambda: dict(rule=None),
}


@pytest.mark.parametrize("what", CHANGES)
def test_all_that_decides_the_result_tells_a_run_from_another(path, what):
    change = CHANGES[what]()
    change = {"program": net(), "rule": Momentum(), **change}
    before = copies(change["program"], change["rule"] or Momentum())
    content = path.read_bytes()
    with pytest.raises(
        ValueError, match=f"^saved: .* holds another run: .*{what.partition(',')[0]} was"
    ):
        run(saved=path, **change)  # at the call
    after = copies(change["program"], change["rule"] or Momentum())
    assert same(before[0], after[0]) and same(before[1], after[1]) and path.read_bytes() == content


def test_what_a_rule_starts_from_counts(path):
    rule = Momentum()
    rule.update({"W": np.ones(2)}, {"W": np.ones(2)}, 0.1)
    with pytest.raises(ValueError, match="holds another run: rule was"):
        run(saved=path, rule=rule)


def test_the_compiled_batch_size_decides_nothing(path):
    large = net()
    whole = list(run())[-1][1]
    found = list(run(saved=path, program=large.resized(b=11), B=8, compute=8))[-1][1]
    np.testing.assert_array_equal(found.loss, whole.loss)


@pytest.mark.parametrize(
    "lr",
    [
        lambda: Cosine(0.1, 10),
        lambda: WarmUp(Stages((0.1, 0.01), (4,)), 3, 0.5),
        lambda: np.float32(0.1),
    ],
)
def test_schedules_are_told_by_their_parameters(tmp_path, lr):
    whole = list(run(lr=lr()))[-1][1]
    for _ in zip(range(2), run(lr=lr(), saved=tmp_path / "run")):
        pass
    np.testing.assert_array_equal(
        list(run(lr=lr(), saved=tmp_path / "run"))[-1][1].loss, whole.loss
    )


@dataclass(frozen=True)
class Halved:
    after: object

    def __call__(self, step):
        return self.after(step) / 2


@pytest.mark.parametrize(
    "change",
    [
        dict(lr=lambda step: 0.1),
        dict(lr=WarmUp(lambda step: 0.1, 3, 0.5)),
        dict(lr=Halved(lambda step: 0.1)),
        dict(rule=SimpleNamespace(update=lambda params, grads, lr: None)),
    ],
)
def test_what_cannot_be_told_from_another_is_refused_with_a_file_alone(tmp_path, change):
    run(**change)
    with pytest.raises(
        ValueError, match="^saved: (lr|rule) is .*, which cannot be told from another"
    ):
        run(saved=tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()


def test_a_schedule_of_ones_own_is_told_by_its_fields(tmp_path):
    list(run(lr=Halved(constant(0.1)), saved=tmp_path / "run"))
    with pytest.raises(ValueError, match="holds another run: lr was"):
        run(lr=Halved(constant(0.2)), saved=tmp_path / "run")


def test_replicas_are_told_by_what_their_streams_spring_from(tmp_path):
    model = BATCH.with_index("r", parameters=True)
    used = np.random.default_rng(2)
    used.spawn(1)  # its next spawns are others
    list(run(program=net(model=model, r=2), saved=tmp_path / "run"))
    with pytest.raises(ValueError, match="holds another run: rng was"):
        run(program=net(model=model, r=2), saved=tmp_path / "run", rng=used)


# ------------------------------------------------------------------ damaged files


def without(name):
    return lambda found: found.pop(name)


def put(name, change):
    return lambda found: found.update({name: change(found[name])})


def first_nan(array):
    array = array.copy()
    array.flat[0] = np.nan
    return array


@pytest.mark.parametrize(
    "damage, words",
    [
        (without("parameter.W0"), "is damaged: it lacks parameter.W0"),
        (without("loss"), "is damaged: it lacks loss"),
        (without("identity"), "holds another run, or none"),
        (put("identity", lambda a: np.array("3")), "holds another run, or none"),
        (
            lambda found: found.update({"parameter.W7": np.ones(2)}),
            "is damaged: it has also parameter.W7",
        ),
        (lambda found: found.update({"more": np.ones(2)}), "is damaged: it has also more"),
        (put("parameter.W0", first_nan), "is damaged: parameter.W0 holds inf or nan"),
        (
            put("parameter.W0", lambda a: a * np.float32(np.inf)),
            "is damaged: parameter.W0 holds inf or nan",
        ),
        (put("parameter.W0", lambda a: a.T), "is damaged: parameter.W0 is float32 of shape"),
        (put("parameter.W0", lambda a: a.astype(float)), "is damaged: parameter.W0 is float64"),
        (put("parameter.W0", lambda a: a.astype(str)), "is damaged: parameter.W0 is <U"),
        (put("steps", lambda a: a - 1), "is damaged: the steps"),
        (put("steps", lambda a: a.astype(float)), "is damaged: the steps"),
        (put("steps", lambda a: a[:2]), "is damaged: the record's columns"),
        (put("epochs", lambda a: 2 * a), "is damaged: the epochs"),
        (put("seconds", lambda a: -a), "is damaged: the seconds"),
        (put("seconds", first_nan), "is damaged: the seconds"),
        (put("test_error", lambda a: a + 1), "is damaged: a test error"),
        (put("test_error", first_nan), "is damaged: a test error"),
        (put("loss", first_nan), "is damaged: it goes on after"),
        (put("loss", lambda a: a.astype(str)), "is damaged: the record's columns"),
        (put("rule.steps", lambda a: a * -1), "is damaged: rule.steps: expected a whole number"),
        (put("rule.steps", lambda a: a + 1), "is damaged: rule.steps is"),
        (
            put("rule.v.W0", first_nan),
            r"is damaged: rule.state\['v.W0'\]: expected numbers, got nan",
        ),
        (put("rule.v.W0", lambda a: a[:2]), "is damaged: rule.v.W0 fits no parameter"),
        (without("rule.v.W0"), "is damaged: it lacks rule.v.W0"),
        (lambda found: found.update({"rule.m.W0": np.ones(2)}), "is damaged: rule.state: expected"),
    ],
)
def test_a_damaged_file_is_refused_by_name_and_changes_nothing(path, damage, words):
    with np.load(path) as file:
        found = dict(file)
    damage(found)
    np.savez(path, **found)
    program, rule = net(), Momentum()
    before = copies(program, rule)
    with pytest.raises(ValueError, match=f"^saved: .*run.npz {words}"):
        run(saved=path, program=program, rule=rule)
    after = copies(program, rule)
    assert same(before[0], after[0]) and same(before[1], after[1])


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_run(path, content):
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="^saved: .*run.npz (is none|holds another run, or none)"
    ):
        run(saved=path)


def test_every_flipped_byte_and_every_cut_is_refused_or_harmless(path):
    """A changed byte in the archive's own headers may change nothing that is read; else the file
    is refused."""
    whole = path.read_bytes()
    program, rule = net(), Momentum()
    right = list(run(saved=path))[-1][1].loss  # writes on: the file is put back
    for at in np.random.default_rng(0).integers(0, len(whole), 60):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        before = copies(program, rule)
        try:
            run(saved=path, program=program, rule=rule)
        except ValueError as error:
            assert str(error).startswith("saved: ")
        else:
            assert np.array_equal(list(run(saved=path))[-1][1].loss, right)
        after = copies(program, rule)
        assert same(before[0], after[0]) and same(before[1], after[1])
        path.write_bytes(whole[:at])
        with pytest.raises(ValueError, match="^saved: "):
            run(saved=path, program=program, rule=rule)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises((OSError, ValueError), match="run"):
        list(run(saved=tmp_path / "run"))


def test_a_write_that_fails_leaves_the_older_file(path, monkeypatch):
    content = path.read_bytes()

    def full(file, **arrays):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        list(run(saved=path))
    assert path.read_bytes() == content and [p.name for p in path.parent.iterdir()] == ["run.npz"]


def test_a_run_that_ended_without_a_number_is_not_taken_further(tmp_path):
    wild = mb.equations(
        "h[j] = W0[j,i] * x[i]\ns[y] = W1[y,j] * h[j]**3\nL = cross_entropy(s[y], target)"
    ).with_index("b")
    start = lambda: run(
        program=net(model=wild), lr=1e3, epochs=20, looks=100, saved=tmp_path / "run"
    )
    first, again = list(start()), list(start())
    assert not np.isfinite(first[-1][1].loss[-1]) and len(first) < 50
    assert [done for done, _ in again] == [1.0]
    np.testing.assert_array_equal(again[0][1].loss, first[-1][1].loss)


def test_an_interrupt_while_a_run_is_taken_up_sets_all_or_nothing(path):
    with np.load(path) as file:
        saved = {
            name.removeprefix("parameter."): a
            for name, a in file.items()
            if name.startswith("parameter.")
        }
        v = file["rule.v.W0"]
    files, seen = ("runs.py", "optim.py", "backend.py"), set()
    for at in range(0, 20_000, 2):
        program, rule = net(), Momentum()
        before, going = copies(program, rule), run(saved=path, program=program, rule=rule)
        done = interrupted(at, lambda: next(going), files) <= at
        old = (
            same(program.params, before[0])
            and rule.steps == 0
            and not rule.state.keys() - {"steps"}
        )
        new = same(program.params, saved) and np.array_equal(rule.state.get("v.W0"), v)
        assert old != new
        seen.add((old, done))
        if done:
            break
    assert {(True, False), (False, False), (False, True)} == seen


def test_of_two_runs_at_once_the_second_leaves_the_file(tmp_path):
    """Both start where there is no file; the one that writes later finds it, says so, and changes nothing."""
    path = tmp_path / "run.npz"
    one, two = run(saved=path), run(saved=path, lr=0.2)
    next(one)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="saved: .*run.npz was written by another run meanwhile. Nothing was changed"):
        next(two)
    assert path.read_bytes() == before
    for _ in one:
        pass
    path.unlink()                                               # who removes it starts it anew
    for _ in run(saved=path, lr=0.2):
        pass
