"""The computer in plain words."""

from mbcore import environment as module
from mbcore.environment import environment


def test_five_sentences():
    lines = environment()
    assert len(lines) == 5 and all(line.endswith(".") for line in lines)
    assert "Python 3" in lines[0] and "core" in lines[1] and "GB of memory" in lines[3] and "GPU" in lines[4]


def test_little_memory_is_said():
    assert module._memory(4e8) == "0.4 GB of memory are free, little: close other programs before you go on."
    assert "enough for every lesson" in module._memory(8e9)


def test_a_gpu_is_said():
    assert module._gpu(True).startswith("There is a GPU") and module._gpu(False).startswith("There is no GPU")


def test_cores_and_threads(monkeypatch):
    monkeypatch.setattr(module.os, "cpu_count", lambda: 1)
    monkeypatch.setattr(module, "threadpool_info", lambda: [])
    assert module._processor() == "1 processor core; matrix products may use 1 thread."
