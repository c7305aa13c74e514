"""Write a file so that it is there whole or not at all.

    with in_place("run.npz") as file:
        np.savez(file, W0=W0)

The bytes go into a new file of the same folder, which takes the older one's place at the end, in
one step. After an error, an interrupt or a full disk the older file is as it was, and the new one
is gone.

    lock(file)      # while a file grows line by line: no second process writes it at the same time
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from weakref import WeakSet

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # everywhere else
    msvcrt = None


@contextmanager
def in_place(path, opened=open):
    """Yield a binary file; when the block ends without an error, what was written stands at `path`.

    path: a text or a pathlib.Path. A link is followed, and an older file's permissions are kept.
    opened: the function that opens the new file; tests give one whose disk is full.
    Raises OSError, which names the path, where nothing can be written: a folder that is not there,
    a folder or a device in the file's place, no permission, no space. TypeError for what is no
    path.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise TypeError(f"path: expected the path of a file, got {path!r}")
    place = Path(os.path.realpath(path))
    new = place.with_name(f".{os.urandom(16).hex()}.new")
    try:
        _refuse_what_is_no_file(place)
        with opened(new, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the bytes are on the disk before the name points to them
        if place.exists():
            os.chmod(new, stat.S_IMODE(os.stat(place).st_mode))
        os.replace(new, place)
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(new), str(place)):
            raise  # of something else that the block did
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error
    finally:
        with suppress(OSError):
            os.unlink(new)
    _settle(place.parent)


def _refuse_what_is_no_file(place):
    """OSError where the path is taken by a folder, a device, or a file that may not be written."""
    try:
        mode = os.stat(place).st_mode
    except FileNotFoundError:
        return  # nothing is there yet
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "Is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Is a device, not a file")
    if not os.access(place, os.W_OK):  # the folder would let us, the file's owner would not
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _settle(folder):
    """Make the new name last over a power cut, where the system can (not on Windows, nor on some
    network disks)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


FAR = 2**40  # the byte that Windows locks: beyond what is written, so that others may still read
_locked = WeakSet()  # the files that this process has locked


def lock(file):
    """Lock an open file until it is closed or its process ends, however that comes about. Returns
    whether the system can.

    BlockingIOError where another opening of the file has the lock, in this process or in another
    one. Only those who ask for the lock notice it: readers do not. A forked child lets go of it, so
    it does not outlive its owner in a pool's worker.
    """
    try:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt:
            os.lseek(file.fileno(), FAR, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            return False
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise BlockingIOError(errno.EAGAIN, "Another process has locked it") from error
        return False  # some network disks have no locks
    _locked.add(file)
    return True


def _let_go():
    """In a forked child: close what the parent has locked."""
    for file in list(_locked):
        with suppress(OSError):
            file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
