"""One set of checks: what each takes, what it refuses, and in which words."""

import numpy as np
import pytest

from mbcore import checking
from mbcore.checking import existing_file, file_path, host_array, shown

NOT_WHOLE = [None, "2", True, np.True_, 2.0, np.float64(2), 1j, [2], np.array([2]), np.ma.masked, object(), b"2"]
NOT_REAL = [None, "2", True, np.True_, 1j, [2.0], np.array([2.0]), np.ma.masked, np.datetime64(1, "s"), object()]


@pytest.mark.parametrize("value", [8, np.int8(8), np.uint64(8), np.array(8)], ids=repr)
def test_whole_numbers_of_any_kind(value):
    found = checking.whole("B", value)
    assert found == 8 and type(found) is int


@pytest.mark.parametrize("value", NOT_WHOLE, ids=lambda v: type(v).__name__)
def test_what_is_no_whole_number(value):
    with pytest.raises(TypeError, match="^B: expected a whole number of at least 1, got "):
        checking.whole("B", value)


@pytest.mark.parametrize("value, least, most", [(0, 1, 9), (10, 1, 9), (2**63, 1, checking.LARGEST), (-1, 0, 9)])
def test_whole_numbers_out_of_bounds(value, least, most):
    with pytest.raises(ValueError, match=f"^B: expected a whole number of at least {least}.*got {value}"):
        checking.whole("B", value, least, most)


def test_limits_are_inside():
    assert [checking.whole("B", n, 1, 9) for n in (1, 9)] == [1, 9]
    assert [checking.real("p", n, least=0, most=1) for n in (0, 1)] == [0.0, 1.0]
    for limit in (0, 1):
        with pytest.raises(ValueError, match="^p: expected a finite number above 0 and below 1, got"):
            checking.real("p", limit, above=0, below=1)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5)], ids=repr)
def test_real_numbers_of_any_kind(value):
    found = checking.real("p", value)
    assert found == 0.5 and type(found) is float


@pytest.mark.parametrize("value", NOT_REAL, ids=lambda v: type(v).__name__)
def test_what_is_no_real_number(value):
    with pytest.raises(TypeError, match="^p: expected a finite number, got "):
        checking.real("p", value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -np.inf, 10**400, np.float32("inf")], ids=lambda v: repr(v)[:9])
def test_numbers_without_end(value):
    with pytest.raises(ValueError, match="^p: expected a finite number, got "):
        checking.real("p", value)


def test_flags_and_words():
    assert checking.flag("f", np.True_) is True
    for value in (1, 0, "no", None):
        with pytest.raises(TypeError, match="^f: expected True or False"):
            checking.flag("f", value)
    assert checking.one_of("w", "a", ("a", "b")) == "a"
    with pytest.raises(ValueError, match="^w: expected a, b, got 'c'"):
        checking.one_of("w", "c", ("a", "b"))
    with pytest.raises(TypeError, match="^w: expected a, b, got 1"):
        checking.one_of("w", 1, ("a", "b"))


@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0), np.random], ids=lambda r: type(r).__name__)
def test_generators_alone(rng):
    with pytest.raises(TypeError, match=r"^rng: expected a numpy.random.Generator"):
        checking.generator(rng)


def test_arrays_of_numbers():
    assert checking.numbers("a", [[1, 2]]).dtype == np.float64
    assert checking.numbers("a", np.ma.array([1.0, 2.0], mask=False)).tolist() == [1.0, 2.0]
    for value in ([True], [1j], ["1"], [None], [[1], [1, 2]], np.array(["2020-01-01"], dtype="datetime64[D]")):
        with pytest.raises(TypeError, match="^a: expected"):
            checking.numbers("a", value)
    with pytest.raises(ValueError, match="^a: .*masked"):
        checking.numbers("a", np.ma.array([1.0, 2.0], mask=[0, 1]))
    with pytest.raises(ValueError, match=r"^a: expected finite numbers, got nan at \[1\]$"):
        checking.numbers("a", [0, np.nan])
    with pytest.raises(ValueError, match=r"^a: expected finite numbers, got 1e\+39 at \[0\]; float32 ends at 3.4e\+38"):
        checking.numbers("a", [1e39], dtype=np.float32)
    with pytest.raises(ValueError, match=r"^a: expected 1 axis, got shape \(1, 1\)"):
        checking.numbers("a", [[1]], ndim=1)


def test_rates():
    assert checking.rate(1) == 1.0 and checking.rate(np.float32(0.5)) == 0.5
    assert checking.rate([0.1, 0.2], (2,)).tolist() == [0.1, 0.2]
    assert checking.rate(1e39, dtype=np.float64) == 1e39
    for lr in (1e39, [1e39, 0.1]):
        with pytest.raises(ValueError, match="^lr: expected a finite number.* float32 can hold"):
            checking.rate(lr, (2,), np.float32)
    for lr in (np.nan, np.inf, [0.1, 0.2, 0.3], 10**400):
        with pytest.raises((TypeError, ValueError), match="^lr: expected a finite number or an array of shape"):
            checking.rate(lr, (2,))
    for lr in ("0.1", True, None, 1j):
        with pytest.raises(TypeError, match="^lr: expected a finite number"):
            checking.rate(lr)


def test_tensors_count_as_what_they_hold():
    torch = pytest.importorskip("torch")
    weight = torch.tensor(0.5, requires_grad=True)
    assert checking.real("p", weight) == 0.5 and checking.whole("B", torch.tensor(8)) == 8
    assert checking.numbers("a", torch.ones(2, requires_grad=True)).tolist() == [1.0, 1.0]
    assert checking.numbers("a", torch.ones(2, dtype=torch.bfloat16)).tolist() == [1.0, 1.0]
    with pytest.raises(TypeError, match="^B: "):
        checking.whole("B", torch.tensor(True))


def test_a_message_stays_short():
    assert len(checking.shown("x" * 1000)) == 80
    assert checking.shown(np.zeros((3, 4))) == "an array of float64 of shape (3, 4)"

    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert checking.shown(Broken()) == "a Broken"


@pytest.mark.parametrize("check", [lambda: checking.whole("B", "8"), lambda: checking.real("p", None), lambda: checking.one_of("w", 1, "ab"),
                                   lambda: checking.numbers("a", ["x"]), lambda: checking.rate("fast")])
def test_a_wrong_kind_is_both_errors(check):
    for error in (TypeError, ValueError):
        with pytest.raises(error, match="expected"):
            check()


@pytest.mark.parametrize("bad", [None, 3, "", b"own.csv", "a\0b", ["own.csv"]])
def test_what_is_no_path_of_a_file(bad):
    for check in (file_path, lambda *given: existing_file(*given, "a CSV file")):
        with pytest.raises(TypeError, match="^path: expected the path of a (CSV )?file, got "):
            check("path", bad)


def test_paths_of_files(tmp_path):
    own = tmp_path / "own.csv"
    assert file_path("path", own) == str(own)
    with pytest.raises(FileNotFoundError, match="^path: there is no "):
        existing_file("path", own, "a CSV file")
    own.touch()
    assert existing_file("path", own, "a CSV file") == str(own)
    with pytest.raises(IsADirectoryError, match="^path: expected a CSV file, .* is a folder"):
        existing_file("path", tmp_path, "a CSV file")


def test_a_mask_in_a_list_is_noticed():
    rows = [np.ma.masked_array([1.0, 2.0], [0, 1]), [3.0, 4.0]]
    with pytest.raises(ValueError, match="^x: .* masked array with entries missing"):
        host_array("x", rows)
    whole_rows = [np.ma.masked_array([1.0, 2.0]), (3.0, 4.0)]
    assert (host_array("x", whole_rows) == [[1, 2], [3, 4]]).all()


def test_a_value_of_many_lines_is_shown_in_one():
    class Table:
        def __repr__(self):
            return "a  b\n1  2"

    assert shown(Table()) == "a b 1 2"
    assert shown(np.ma.masked_array([1.0])) == "a masked array of float64 of shape (1,)"
