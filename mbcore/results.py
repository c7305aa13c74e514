"""The file of a sweep's results, which a sweep that was stopped or killed goes on from."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path

from .setting import Outcome, Task

log = logging.getLogger("mbcore.sweep")


class Results:
    """One line for the setting, then one for each outcome. JSON holds floats by their shortest exact digits."""

    def __init__(self, path, setting):
        self.path, self.found = None if path is None else Path(path), {}
        self.head = json.dumps({"sweep": 1, "setting": json.loads(setting.key)}).encode() + b"\n"
        if self.path is not None and not self.path.parent.is_dir():
            raise FileNotFoundError(f"results: there is no folder {self.path.parent}")
        if self.path is not None and self.path.exists():
            self._read(self.path.read_bytes())

    def _read(self, raw):
        whole = raw[:raw.rfind(b"\n") + 1]                          # a kill may tear the last line
        if not whole and self.head.startswith(raw):
            head, lines = None, []
        else:
            head, *lines = whole.splitlines() or [b""]
            self._same(head)
        for number, line in enumerate(lines, 2):
            try:
                stored = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(line).items()}
                outcome = Outcome(**stored | {"task": Task(**stored["task"])})
            except (ValueError, TypeError, KeyError, AttributeError):
                log.warning("%s: line %d is damaged; its task is trained again", self.path, number)
            else:
                self.found[outcome.task] = outcome
        if len(whole) < len(raw):
            os.truncate(self.path, len(whole))

    def _same(self, head):
        try:
            there, here = (dict(json.loads(line)["setting"]) for line in (head, self.head))
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"results: {self.path} is no file of a sweep; give another path") from None
        for name in here:
            if there.get(name) != here[name]:
                raise ValueError(f"results: {self.path} belongs to another setting, {name} {there.get(name)!r} there and "
                                 f"{here[name]!r} here; give another path")

    def add(self, outcomes):
        if self.path is None or not outcomes:
            return
        with open(self.path, "ab") as file:
            lines = [json.dumps(asdict(outcome), allow_nan=False).encode() + b"\n" for outcome in outcomes]
            file.write((b"" if file.tell() else self.head) + b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
