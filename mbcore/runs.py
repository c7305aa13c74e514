"""A training run kept in one NPZ file, so that it goes on where it was stopped, to the same
numbers.

    identity    all that decides the numbers of a run, as texts
    File        the run's file: write the run so far, read it again, take it up

The file holds the identity (JSON), one array for each column of the record, the parameters
("parameter.W0"), and the state of the update rule ("rule.steps", "rule.v.W0").
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import fields, is_dataclass
from functools import partial

import numpy as np

from .backend import at_once, device_of, to_cpu
from .checking import host_array, shown
from .derivatives import learned
from .optim import Kept
from .stored import read_npz
from .writing import in_place

LEFT = "Nothing was changed; give another path, or remove the file to start anew"
COLUMNS = ("steps", "epochs", "seconds", "loss", "test_error")


def identity(program, sets, rng, given, *names):
    """name -> text, for all that decides the numbers of a run; two runs with the same texts are
    the same run.

    program, its parameters as they are now; sets: {"train": {"x": array, ...}, ...}; rng: the
    generator; given: the other arguments of `training` by name. ValueError for what cannot be told
    from another one, such as a lambda. names: only these of the texts.
    """
    batch = program.graph.batch
    source = (
        rng.bit_generator.seed_seq if program.graph.replicas else None
    )  # replicas are fed by spawns alone
    facts = {
        "equations": program.graph.text,
        "sizes": {i: n for i, n in program.sizes.items() if i != batch},
        "dtype": str(program.dtype),
        "device": program.device,
        "mean_in": list(program.mean_in),
        "first parameters": program.params,
        **{f"{part} data": arrays for part, arrays in sets.items()},
        "rng": repr(source) if source else rng.bit_generator.state,
        **given,
    }
    return {name: _described(name, facts[name]) for name in names or facts}


def _described(name, value):
    """A text that is another one as soon as the value is."""
    if isinstance(value, np.generic):
        return repr(value.item())
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_described(name, v)}" for key, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_described(name, v) for v in value) + "]"
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: getattr(value, field.name) for field in fields(value)}
        if hasattr(value, "state"):
            state = {"state": value.state}
        else:                                   # whatever it keeps beside its fields decides too
            state = getattr(value, "__dict__", {})
        return (
            f"{type(value).__module__}.{type(value).__qualname__}{_described(name, parts | state)}"
        )
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _array_described(value)
    raise ValueError(
        f"saved: {name} is {shown(value)}, which cannot be told from another one when the run "
        f"goes on; "
        "use a number, a schedule of mbcore.schedule, a rule of mbcore.optim, or a dataclass of "
        "your own"
    )


def _array_described(array):
    array = to_cpu(array) if device_of(array) == "gpu" else host_array("saved", array)
    if not array.ndim:
        return repr(array.item())
    return f"{array.dtype}{list(array.shape)} {_hashed(np.ascontiguousarray(array).tobytes())}"


def _hashed(content):
    return hashlib.sha256(content).hexdigest()[:32]


class File:
    """The file of one run. What stands there already is read and checked when this is made, and
    nothing is changed by it.

    path: a text. describe: a function that gives the identity as it is when it is called. marks:
        the steps at which the run is looked at.
    ValueError, which names the file and what is wrong with it, for another run's file or a damaged
    one.
    """

    def __init__(self, path, describe, program, rule, marks, epochs):
        self.path, self.describe, self.program, self.rule = path, describe, program, rule
        self.identity = describe()
        self.kept = {name: self.identity[name] for name in ("lr", "rule")}
        self.marks, self.epochs = marks, epochs
        self.first_updates = rule.steps if isinstance(rule, Kept) else 0
        self._seen = _mark(path)
        self.found = self._read() if os.path.exists(path) else None
        if self.found is not None:
            self._check()

    def write(self, rows):
        """Put the run so far into the file: whole, or the older one stays.

        ValueError where another run has written it meanwhile: what that one found is left alone.
        """
        if _mark(self.path) not in (self._seen, None):
            self._refuse("was written by another run meanwhile")
        self._check_kept()
        state = self.rule.state if hasattr(self.rule, "state") else {}
        arrays = {
            "identity": json.dumps(self.identity),
            **dict(zip(COLUMNS, map(np.array, zip(*rows)))),
            **{f"parameter.{name}": to_cpu(p) for name, p in self.program.params.items()},
            **{f"rule.{name}": to_cpu(a) for name, a in state.items()},
        }
        with in_place(self.path) as file:
            np.savez(file, **arrays)
        self._seen = _mark(self.path)

    def _check_kept(self):
        """Refuse a schedule or a rule that has changed and has no state: it would go on anew."""
        found = self.describe("lr", "rule")
        for name, value in found.items():
            if name == "rule" and hasattr(self.rule, "state"):
                continue
            if value != self.kept[name]:
                raise ValueError(
                    f"saved: {name} changes along the run, and what it keeps is not in the file, "
                    "so a run taken up would come to other numbers; give a rule a property "
                    "`state`, make a schedule of the step alone, or leave saved out"
                )

    def take_up(self):
        """Set the parameters and the rule's state to what the file holds, all or none; returns its
        rows, [] without a file."""
        if self.describe() != self.identity:
            raise ValueError(
                "saved: an argument was changed between the call of training and its first step, "
                "so the file would say another run; call training when all is as it should be"
            )
        if not self.found:
            return []
        calls = [self._assignment()] if self.rule is not None else []
        for name, p in self.program.params.items():
            calls.append(
                partial(
                    p.__setitem__, ..., self.program.xp.asarray(self.found[f"parameter.{name}"])
                )
            )
        at_once(calls)
        return list(zip(*(self.found[name] for name in COLUMNS)))

    def _assignment(self):
        """The call that sets the rule's state."""
        state = self._under("rule.")
        if isinstance(self.rule, Kept):
            return self.rule.assignment(state)
        return partial(setattr, self.rule, "state", state)

    def _under(self, prefix):
        return {name[len(prefix) :]: a for name, a in self.found.items() if name.startswith(prefix)}

    # ------------------------------------------------------------------ reading

    def _read(self):
        """name -> array, as the file holds them."""
        try:
            return read_npz("saved", self.path, "the NPZ file of a run").arrays
        except ValueError as error:
            raise ValueError(f"{error}. {LEFT}") from error

    def _refuse(self, why):
        raise ValueError(f"saved: {self.path} {why}. {LEFT}")

    def _check(self):
        """Refuse a file that is not this run's, or not whole."""
        self._check_identity()
        parameters = {f"parameter.{name}": p for name, p in self.program.params.items()}
        names = {name for name in self.found if not name.startswith("rule.")}
        wanted = {"identity", *COLUMNS, *parameters}
        if names != wanted:
            missing, extra = sorted(wanted - names), sorted(names - wanted)
            said = f"it lacks {', '.join(missing)}" if missing else f"it has also {', '.join(extra)}"
            self._refuse(f"is damaged: {said}")
        self._check_rows()
        for name, p in parameters.items():
            self._check_parameter(name, p)
        self._check_state()

    def _check_identity(self):
        try:
            theirs = json.loads(str(self.found["identity"]))
            assert isinstance(theirs, dict)
        except (KeyError, ValueError, AssertionError):
            self._refuse("holds another run, or none: it does not say which")
        other = [
            name for name in self.identity | theirs if theirs.get(name) != self.identity.get(name)
        ]
        if other:
            said = (
                f"{name} was {_cut(theirs.get(name))}, this run's is "
                f"{_cut(self.identity.get(name))}"
                for name in other
            )
            self._refuse(f"holds another run: {'; '.join(said)}")

    def _check_rows(self):
        """The record so far, of all looks up to the last one."""
        columns = [self.found[name] for name in COLUMNS]
        count, replicas = (
            self.found["steps"].size,
            tuple(self.program.sizes[r] for r in self.program.graph.replicas),
        )
        shapes = [(count,), (count,), (count,), (count, *replicas), (count, *replicas)]
        if (
            not count
            or [a.shape for a in columns] != shapes
            or any(a.dtype.kind not in "iuf" for a in columns)
        ):
            self._refuse("is damaged: the record's columns do not fit together")
        steps, epochs, seconds, loss, error = columns
        marks = np.array(self.marks[:count])
        if steps.dtype.kind not in "iu" or not np.array_equal(steps, marks):
            self._refuse("is damaged: the steps are not those at which this run is looked at")
        if not np.array_equal(epochs, marks * self.epochs / self.marks[-1]):
            self._refuse("is damaged: the epochs do not fit the steps")
        if not np.isfinite(seconds).all() or seconds[0] < 0 or (np.diff(seconds) < 0).any():
            self._refuse("is damaged: the seconds do not rise")
        if not ((0 <= error) & (error <= 1)).all():
            self._refuse("is damaged: a test error is not a share")
        if count > 1 and not np.isfinite(loss[:-1]).reshape(count - 1, -1).any(axis=1).all():
            self._refuse("is damaged: it goes on after its loss had stopped being a number")

    def _check_parameter(self, name, p):
        """Its shape and type, and finite numbers unless the run's loss is not finite either."""
        found = self.found[name]
        if found.shape != p.shape or found.dtype != p.dtype:
            self._refuse(
                f"is damaged: {name} is {found.dtype} of shape {found.shape}, not {p.dtype} of "
                f"shape {p.shape}"
            )
        lead = self.found["loss"][-1]
        finite = np.isfinite(found).reshape(*lead.shape, -1).all(axis=-1)
        if (~finite & np.isfinite(lead)).any():
            self._refuse(f"is damaged: {name} holds inf or nan where the loss is a number")

    def _check_state(self):
        """The rule's state fits the rule and the parameters."""
        state, ended = self._under("rule."), not np.isfinite(self.found["loss"][-1]).any()
        if self.rule is None or not hasattr(self.rule, "state"):
            if state:
                self._refuse(
                    f"is damaged: it has also {', '.join('rule.' + name for name in state)}"
                )
            return
        if not isinstance(self.rule, Kept):
            return
        try:
            if not ended:
                self.rule.assignment(state)
        except (TypeError, ValueError) as error:
            self._refuse(f"is damaged: rule.{error}")
        updates = self.first_updates + int(self.found["steps"][-1])
        if not ended and int(state["steps"]) != updates:
            self._refuse(f"is damaged: rule.steps is {state['steps']}, not {updates}")
        wanted = [
            f"{kind}.{name}" for kind in self.rule.kinds for name in learned(self.program.graph)
        ]
        missing = [f"rule.{key}" for key in wanted if key not in state and updates]
        if missing:
            self._refuse(f"is damaged: it lacks {', '.join(missing)}")
        for key, a in state.items():
            p = self.program.params.get(key.partition(".")[2])
            if key != "steps" and (p is None or a.shape != p.shape or a.dtype != p.dtype):
                self._refuse(f"is damaged: rule.{key} fits no parameter")


def _mark(path):
    """What tells the file from one that is put in its place; None where there is none."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _cut(text):
    text = "not given" if text is None else text
    return text if len(text) <= 60 else text[:57] + "..."
