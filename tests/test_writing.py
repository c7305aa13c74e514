"""A file is there whole or not at all: full disks, interrupts, permissions, links."""

import errno
import io
import json
import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager

import numpy as np
import pytest

from mbcore.writing import in_place

OLD = b"the older file"


@pytest.fixture
def place(tmp_path):
    """A file with something in it, in a folder of its own."""
    path = tmp_path / "run.npz"
    path.write_bytes(OLD)
    return path


def alone(path):
    """Whether the path's folder holds nothing else: no new file was left behind."""
    return os.listdir(path.parent) == [path.name]


class SmallDisk(io.FileIO):
    """A file whose disk holds `space` bytes, and then is full; each write takes what still fits, as
    a real one does."""

    space = 0

    def write(self, data):
        fits = bytes(memoryview(data).cast("B")[: max(self.space, 0)])
        if not fits and len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.space -= len(fits)
        return super().write(fits)


def small_disk(space):
    @contextmanager
    def opened(path, mode):
        raw = SmallDisk(path, mode)
        raw.space = space
        file = io.BufferedWriter(raw)
        try:
            yield file
            file.flush()
        finally:
            try:
                file.close()
            except OSError:
                raw.close()
                raise

    return opened


def test_what_was_written_stands_at_the_path(place):
    with in_place(place) as file:
        file.write(b"new")
        assert place.read_bytes() == OLD  # until the end
    assert place.read_bytes() == b"new" and alone(place)


def test_a_file_that_was_not_there_has_the_usual_permissions(tmp_path):
    with in_place(tmp_path / "new") as file:
        file.write(b"a")
    (tmp_path / "usual").touch()
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "usual").stat().st_mode


def arrays(file):
    np.savez(file, W0=np.arange(6.0), C0=np.ones(3))


def text(file):
    file.write(json.dumps({"a": list(range(90))}).encode())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("write", [arrays, text])
def test_a_disk_that_is_full_after_k_bytes_leaves_the_older_file(place, write):
    with in_place(place) as file:
        write(file)
    whole = place.read_bytes()
    for k in range(len(whole)):
        place.write_bytes(OLD)
        with pytest.raises(OSError, match="No space left on device") as caught:
            with in_place(place, small_disk(k)) as file:
                write(file)
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(place)
        assert place.read_bytes() == OLD and alone(place)
    with in_place(place, small_disk(10**6)) as file:
        write(file)
    assert place.read_bytes() == whole


def test_a_real_limit_on_the_size_of_files(place):
    pytest.importorskip("resource")
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(f"""
        import resource
        from mbcore.writing import in_place
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with in_place({str(place)!r}) as file:
            file.write(b"x" * 5000)
        """),
        ],
        capture_output=True,
        text=True,
        cwd=os.getcwd(),
    )
    assert (
        run.returncode == 1
        and str(place) in run.stderr.splitlines()[-1]
        and "File too large" in run.stderr
    )
    assert place.read_bytes() == OLD and alone(place)


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt, ValueError, GeneratorExit, OSError(errno.EIO, "of the block", "elsewhere")],
)
def test_an_error_or_interrupt_in_the_block_leaves_the_older_file(place, error):
    with pytest.raises(error if isinstance(error, type) else OSError) as caught:
        with in_place(place) as file:
            file.write(b"half")
            raise error
    assert place.read_bytes() == OLD and alone(place)
    assert (
        isinstance(error, type) or caught.value is error
    )  # an error about another file keeps its name


def test_an_interrupt_at_any_line_leaves_one_of_the_two_files(place):
    """A trace raises KeyboardInterrupt at the k-th line of the module that runs, for every k."""
    import mbcore.writing as writing

    whole, k = {"older": 0, "newer": 0}, 0
    while True:
        place.write_bytes(OLD)
        seen = 0

        def trace(frame, event, _):
            nonlocal seen
            if frame.f_code.co_filename == writing.__file__ and event == "line":
                seen += 1
                if seen == k + 1:
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with in_place(place) as file:
                file.write(b"new")
            break
        except KeyboardInterrupt:
            assert place.read_bytes() in (OLD, b"new")
            whole["older" if place.read_bytes() == OLD else "newer"] += 1
        finally:
            sys.settrace(before)
        k += 1
    assert whole["older"] > 10 and whole["newer"] > 0 and place.read_bytes() == b"new"


def test_a_link_is_followed_and_permissions_are_kept(place, tmp_path_factory):
    link = tmp_path_factory.mktemp("links") / "link"
    try:
        link.symlink_to(place)
    except OSError:
        pytest.skip("no links here")
    place.chmod(0o640)
    with in_place(link) as file:
        file.write(b"new")
    assert (
        link.is_symlink() and place.read_bytes() == b"new" and place.stat().st_mode & 0o777 == 0o640
    )


@pytest.mark.parametrize(
    "path, error, words",
    [
        ("no folder/run.npz", FileNotFoundError, "no folder"),
        (".", IsADirectoryError, "folder"),
        ("", TypeError, "path: expected the path of a file"),
        (None, TypeError, "got None"),
        (3, TypeError, "got 3"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(place, monkeypatch, path, error, words):
    monkeypatch.chdir(place.parent)
    with pytest.raises(error, match=words), in_place(path):
        pytest.fail("the block ran")
    assert alone(place)


@pytest.mark.skipif(not os.path.exists("/dev/null"), reason="no devices here")
def test_a_device_is_not_replaced():
    with pytest.raises(OSError, match="device.*/dev/null"), in_place("/dev/null"):
        pytest.fail("the block ran")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_without_permission_nothing_changes(place):
    place.chmod(0o400)
    with pytest.raises(PermissionError, match="run.npz"), in_place(place):
        pytest.fail("the block ran")
    assert place.read_bytes() == OLD
