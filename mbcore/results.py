"""The file of a sweep's results, which a sweep that was stopped or killed goes on from."""

from __future__ import annotations

import json
import logging
import os
import zlib
from dataclasses import asdict, fields
from pathlib import Path

from .checking import file_path, one_of, real, whole
from .setting import STATUSES, Outcome, Task, data_hash
from .writing import lock

# of the file, and of what its numbers mean; another one is written when equal settings give other
# results
FORM = 3

log = logging.getLogger("mbcore.sweep")


class Results:
    """One line for the setting, then one for each outcome. JSON holds floats by their shortest
    exact digits. Each outcome has a checksum, "check": a changed digit makes another number that
    looks as right as the one before.

    path: the file, None for none. It is locked against other sweeps until `close`; a ValueError
        names it where another sweep has it, and where it is of another setting, of other data, of
        another version, or no file of a sweep at all.
    found: task -> Outcome, what the file held. A line that cannot be what a sweep wrote is left
    out, with a warning. Nothing is changed before the first `add`. That also cuts off half a line,
    which a killed sweep has left at the end.
    """

    def __init__(self, path, setting):
        self.found, self.path, self._file = {}, None, None
        if path is None:
            return
        self.path = Path(file_path("results", path, "a file or None"))
        self._setting = setting
        head = {"sweep": FORM, "setting": json.loads(setting.key), "data": data_hash(setting.data)}
        self._head = json.dumps(head).encode() + b"\n"
        if self.path.exists() and not self.path.is_file():
            raise ValueError(f"results: expected the path of a file, {self.path} is a folder, a "
                             "device or a pipe")
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"results: there is no folder {self.path.parent}")
        self.writable = self._opened()
        try:
            self._read(self.path.read_bytes())
        except BaseException:
            self.close()
            raise

    def _opened(self):
        """Open the file for appending, and lock it; returns whether that is allowed."""
        try:
            self._file = open(self.path, "a+b", buffering=0)
        except PermissionError:
            if not self.path.exists():
                raise
            return False  # it can still be read
        try:
            self._locked = lock(self._file)
        except BlockingIOError:
            self.close()
            raise ValueError(
                f"results: {self.path} is being written by another sweep; "
                "wait for its end, or give another path"
            ) from None
        return True

    def close(self):
        """Let other sweeps have the file."""
        if self._file is not None:
            self._file.close()

    __del__ = close

    def _read(self, raw):
        """Take what is there; `_size` bytes of it are whole lines."""
        whole_lines = raw[: raw.rfind(b"\n") + 1]  # a kill may tear the last line
        if not whole_lines and self._head.startswith(raw):
            lines = []
        else:
            head, *lines = whole_lines.split(b"\n")[:-1] or [b""]
            self._same(head)
        for number, line in enumerate(lines, 2):
            try:
                outcome = _outcome(self._setting, line)
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                log.warning(
                    "%s: line %d is damaged; its task is trained again (%s)",
                    self.path,
                    number,
                    error,
                )
                continue
            if outcome.task in self.found:
                log.warning(
                    "%s: line %d repeats a task; the first of its lines counts", self.path, number
                )
            self.found.setdefault(outcome.task, outcome)
        self._size, self._there = len(whole_lines), len(raw)
        if self._size < self._there and self.writable and not self._locked:
            raise ValueError(
                f"results: {self.path} ends in half a line, and as files cannot be locked here "
                "another sweep may be "
                "writing it; cut the line off or give another path"
            )

    def _same(self, head):
        """Refuse a file whose numbers would not be those of this setting."""
        here = json.loads(self._head)
        try:
            there = json.loads(head)
            form, own = whole("sweep", there["sweep"]), dict(there["setting"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise ValueError(
                f"results: {self.path} is no file of a sweep; give another path"
            ) from None
        for name, value in here["setting"].items():
            if own.get(name) != value:
                raise ValueError(
                    f"results: {self.path} belongs to another setting, {name} {own.get(name)!r} "
                    "there and "
                    f"{value!r} here; give another path"
                )
        if form != FORM:
            raise ValueError(
                f"results: {self.path} was written by another version of mbcore (form {form} "
                f"there and {FORM} here), "
                "whose numbers may differ; give another path"
            )
        if there.get("data") != here["data"]:
            raise ValueError(
                f"results: {self.path} belongs to other numbers of the data "
                f"{self._setting.data[0]}; give another path"
            )

    def add(self, outcomes):
        """Append these outcomes; after an error the file is as it was."""
        if self.path is None or not outcomes:
            return
        if not self.writable:
            raise PermissionError(f"results: {self.path} may not be written")
        if os.fstat(self._file.fileno()).st_size != self._there:
            raise ValueError(
                f"results: {self.path} was changed by another process meanwhile; nothing was added"
            )
        lines = [_line(asdict(outcome)) for outcome in outcomes]
        left = memoryview((b"" if self._size else self._head) + b"".join(lines))
        try:
            self._file.truncate(self._size)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            self._file.truncate(self._size)
            self._there = self._size
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(self.path)) from error
            raise
        self._size = self._there = os.fstat(self._file.fileno()).st_size


def _line(stored):
    """The line of an outcome, given as a dictionary."""
    checked = {**stored, "check": _checksum(stored)}
    return json.dumps(checked, allow_nan=False).encode() + b"\n"


def _checksum(stored):
    return zlib.crc32(json.dumps(stored).encode())


def _outcome(setting, line):
    """The Outcome of a line; ValueError, TypeError or KeyError where a sweep of this setting cannot
    have written it."""
    stored = json.loads(line)
    check = stored.pop("check", None) if isinstance(stored, dict) else None
    if check is None or set(stored) != {field.name for field in fields(Outcome)}:
        raise ValueError("not the fields of an outcome")
    if check != _checksum(stored):
        raise ValueError("its checksum is another one")
    task, status = Task(**stored["task"]), one_of("status", stored["status"], STATUSES)
    looks = tuple(whole("looks", step, 0) for step in stored["looks"])
    loss = tuple(real("loss", value) for value in stored["loss"])
    test_error = tuple(real("test_error", value, 0, 1) for value in stored["test_error"])
    marks = tuple(setting.marks(task.B))
    if not len(looks) == len(loss) == len(test_error) or looks != marks[: len(looks)]:
        raise ValueError("its looks are not those of this setting")
    ends = [setting.reached(*seen) for seen in zip(loss, test_error)]
    if any(ends[:-1]) or (status == "reached") != any(ends):
        raise ValueError(f"status {status!r} does not follow from what was seen")
    if status == "reached":
        steps = setting.crossing(looks, loss, test_error)
        seconds = real("seconds", stored["seconds"], 0)
        right = (
            real("steps", stored["steps"]) == steps
            and real("examples", stored["examples"]) == steps * task.B
        )
    else:
        steps = seconds = None
        wild = len(looks) < len(marks) or loss[-1] > 10 * loss[0]
        right = (
            stored["steps"] is stored["examples"] is stored["seconds"] is None
            and (status == "diverged") == wild
        )
    if not right:
        raise ValueError("status, steps and examples do not follow from what was seen")
    return Outcome(
        task,
        status,
        steps,
        None if steps is None else steps * task.B,
        seconds,
        looks,
        loss,
        test_error,
    )
