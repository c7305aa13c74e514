"""Interrupt a call (as Ctrl-C does) at any place where Python would look for an interrupt."""

from __future__ import annotations

import dis
import functools
import sys

# Python looks for a signal after a call has returned, at the start of a function and at the end of a loop's round.
LOOKS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW", "RESUME")


class Interrupt(BaseException):
    """As KeyboardInterrupt, but nobody else's."""


@functools.cache
def places(code):
    """The offsets of the instructions that come after one at which Python looks for a signal."""
    steps = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    after = {at.offset: then.offset for at, then in zip(steps, steps[1:])}
    jumps = {at.argval for at in steps if at.opname == "JUMP_BACKWARD"}
    return jumps | {after[at.offset] for at in steps if at.opname in LOOKS and at.offset in after}


def interrupted(number, act, files=(".py",)):
    """Run act() and raise an Interrupt at its place number `number`, counted from 0; returns how many there were.

    files: endings of the names of the files in which places count. An interrupt between two other instructions cannot
    happen, so none is tried there: it would, for example, leave a lock that a `with` has taken and not yet given back.
    """
    count = 0

    def look(frame, event, arg):
        nonlocal count
        if not frame.f_code.co_filename.endswith(files):
            return look
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_lasti in places(frame.f_code):
            count += 1
            if count == number + 1:
                raise Interrupt
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        act()
    except Interrupt:
        pass
    finally:
        sys.settrace(before)
    return count
