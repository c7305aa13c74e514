"""DataSet: its arrays, and where they live; mb.dataset: data in memory, of any library."""

import dataclasses
import decimal
import warnings

import fake_cupy
import numpy as np
import pytest

import mbcore as mb
from mbcore import backend
from mbcore.data import gaussians
from mbcore.examples import ARRAYS, DataSet
from mbcore.train import train


def made(**changed):
    """A data set of 6 and 4 examples of 3 numbers, some of its fields changed."""
    rng = np.random.default_rng(0)
    fields = {
        "name": "own",
        "x_train": rng.normal(size=(6, 3)).astype(np.float32),
        "target_train": np.arange(6) % 2,
        "x_test": rng.normal(size=(4, 3)).astype(np.float32),
        "target_test": np.arange(4) % 2,
        "classes": ("no", "yes"),
        "description": "made",
        "licence": "none",
    }
    return DataSet(**{**fields, **changed})


HOLED = np.ones((6, 3), dtype=np.float32)
HOLED[2, 1] = np.nan


@pytest.mark.parametrize("changed, error, words", [
    ({"x_train": [[1.0, 2.0]]}, TypeError, "x_train: expected an array of NumPy or CuPy"),
    ({"x_train": np.ma.masked_array(np.ones((6, 3)), np.eye(6, 3))}, TypeError, "a masked array"),
    ({"classes": None}, TypeError, "classes: expected what each label means, .* got None"),
    ({"classes": 2}, TypeError, "classes: expected what each label means, .* got 2"),
    ({"classes": (3, 3)}, ValueError, "classes: expected different ones, got"),
    ({"x_train": np.ones((6, 3), int)}, TypeError, "x_train: expected floating.* got int64"),
    ({"x_test": np.ones((4, 3), complex)}, TypeError, "x_test: expected floating.* complex128"),
    ({"x_train": np.ones(6)}, ValueError, r"x_train: expected one or more .* shape \(6,\)"),
    ({"x_test": np.ones((0, 3))}, ValueError, r"x_test: expected one or more examples.* \(0, 3\)"),
    ({"x_train": HOLED}, ValueError, r"x_train: expected finite numbers, got nan at \[2, 1\]"),
    ({"x_test": np.ones((4, 2))}, ValueError, r"x_test: .* shape \(3,\), as x_train, got \(2,\)"),
    ({"target_train": np.arange(5) % 2}, ValueError, r"target_train: .* each of 6 .* shape \(5,\)"),
    ({"target_train": np.zeros((6, 1), int)}, ValueError, r"target_train: .* shape \(6, 1\)"),
    ({"target_test": np.ones(4)}, TypeError, "target_test: expected whole numbers .* got float64"),
    ({"target_test": np.arange(4)}, ValueError, "target_test: .* from 0 to 1, .* got 2 at 2"),
    ({"target_train": np.arange(6) % 2 - 1}, ValueError, "target_train: .* got -1 at 0"),
])
def test_arrays_that_do_not_fit_are_named(changed, error, words):
    with pytest.raises(error, match=words):
        made(**changed)


def test_the_owners_array_stays_writable():
    x = np.ones((6, 3), dtype=np.float32)
    data = made(x_train=x)
    x[0] = 2
    with pytest.raises(ValueError, match="read-only"):
        data.x_train[0] = 1


def test_replace_checks_again():
    data = made()
    half = dataclasses.replace(data, x_train=data.x_train[:3], target_train=data.target_train[:3])
    assert half.x_train.shape == (3, 3)
    with pytest.raises(ValueError, match="target_train: expected a label for each of 3"):
        dataclasses.replace(data, x_train=data.x_train[:3])


# ---- where the arrays live


def test_on_moves_all_arrays_once(fake_gpu):
    data = gaussians(n_train=20, n_test=10)
    there = data.on("gpu")
    assert (data.device, there.device) == ("cpu", "gpu") and not fake_cupy.synchronisations
    assert there.on("gpu") is there and data.on("cpu") is data
    back = there.on("cpu")
    for name in ARRAYS:
        assert backend.device_of(getattr(there, name)) == "gpu"
        np.testing.assert_array_equal(getattr(back, name), getattr(data, name))
        assert not getattr(back, name).flags.writeable
    assert (there.classes, there.description) == (data.classes, data.description)


def test_training_on_a_device_copies_no_example_again(fake_gpu, monkeypatch):
    """The same losses as on the CPU; a step moves the places of its batch and nothing else."""
    text = "s[y] = W0[y,i] * x[i]\nL = cross_entropy(s[y], target)"
    data = gaussians(n_train=20, n_test=10, i=5, classes=3)
    moved = []
    asarray = fake_gpu.asarray

    def counted(array, *args, **how):
        moved.append(np.shape(array) if isinstance(array, np.ndarray) else None)
        return asarray(array, *args, **how)

    def losses(device):
        net = mb.equations(text).with_index("b").compile(device=device, b=4, i=5, y=3)
        net.init(np.random.default_rng(0))
        there = data.on(device)
        moved.clear()
        return train(net, there, 0.5, 2, np.random.default_rng(1)).loss

    expected = losses("cpu")
    monkeypatch.setattr(fake_gpu, "asarray", counted)
    np.testing.assert_allclose(losses("gpu"), expected, rtol=1e-5)
    assert [shape for shape in moved if shape] == [(4,)] * 10


def test_arrays_of_a_gpu_are_checked_too(fake_gpu):
    there = {name: mb.to_gpu(getattr(made(), name)) for name in ARRAYS}
    assert made(**there).device == "gpu"
    with pytest.raises(ValueError, match="target_test: .* got 5 at 0"):
        made(**{**there, "target_test": mb.to_gpu(np.full(4, 5))})
    with pytest.raises(TypeError, match="target_test: expected an array on the gpu"):
        made(**{**there, "target_test": np.zeros(4, int)})


def test_no_gpu_and_no_such_device(monkeypatch):
    monkeypatch.setattr(backend, "_cupy", lambda: None)
    with pytest.raises(RuntimeError, match="device: .gpu. was asked for"):
        made().on("gpu")
    with pytest.raises(ValueError, match="device: expected .*cpu.*gpu"):
        made().on("cuda")


@pytest.mark.skipif(not mb.gpu_available(), reason="CuPy finds no GPU on this machine")
def test_a_real_gpu():
    data = gaussians(n_train=20, n_test=10)
    back = data.on("gpu").on("cpu")
    assert all(np.array_equal(getattr(back, name), getattr(data, name)) for name in ARRAYS)


# ---- data in memory

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 3))
Y = np.arange(20) % 2


def same(found, classes=(0, 1)):
    """Whether this is the data set of X and Y: the same examples, with the same labels."""
    expected = mb.dataset(X, Y)
    assert found.classes == classes
    for name in ARRAYS:
        array = getattr(found, name)
        np.testing.assert_array_equal(array, getattr(expected, name), err_msg=name)
        assert array.dtype == (np.float32 if name.startswith("x") else np.int64)


def test_what_was_given_is_what_comes_out():
    found = mb.dataset(X, Y)
    x = np.concatenate([found.x_train, found.x_test])
    target = np.concatenate([found.target_train, found.target_test])
    order = [int(np.flatnonzero((X.astype(np.float32) == row).all(axis=1))[0]) for row in x]
    assert sorted(order) == list(range(20)) and (Y[order] == target).all()
    assert len(found.x_test) == 4 and np.bincount(found.target_test).tolist() == [2, 2]
    assert found.description == "20 examples of 3 numbers: 16 to train on, 4 (20.0%) to test on."
    assert not np.array_equal(mb.dataset(X, Y, seed=1).x_test, found.x_test)


def test_numpy_and_lists():
    same(mb.dataset(X.tolist(), Y.tolist()))
    same(mb.dataset((X, Y)))
    same(mb.dataset(np.asfortranarray(X), Y.astype(np.uint8)))
    same(mb.dataset(X, Y.astype(float)))
    same(mb.dataset(X, ["b" if y else "a" for y in Y]), ("a", "b"))
    same(mb.dataset(X, Y == 1), (False, True))


def test_the_owners_arrays_are_left_alone():
    x, y = X.copy(), Y.copy()
    mb.dataset(x, y, standardise=True)
    assert x.flags.writeable and (x == X).all() and (y == Y).all()


def test_tensors():
    torch = pytest.importorskip("torch")
    x = torch.tensor(X, requires_grad=True)
    y = torch.tensor(Y)
    same(mb.dataset(x, y))
    same(mb.dataset(x, [int(label) for label in y]))
    same(mb.dataset(x, list(y)))
    pairs = torch.utils.data.TensorDataset(x.detach(), y)
    same(mb.dataset(pairs))
    assert (mb.dataset(pairs, test=pairs).x_test == mb.dataset(X, Y, test=(X, Y)).x_test).all()
    same(mb.dataset((x.detach() * -1j).conj().imag, y))      # a sign that is still to be applied
    with pytest.raises(TypeError, match=r"of .train, test. write mb.dataset\(train, test=test\)"):
        mb.dataset(pairs, pairs)
    halves = mb.dataset(torch.ones(20, 3).bfloat16() / 2, y)
    assert (halves.x_train == 0.5).all()


def test_torch_data_that_are_no_tensors():
    torch = pytest.importorskip("torch")
    x, y = torch.tensor(X), torch.tensor(Y)
    pairs = torch.utils.data.TensorDataset(x, y)

    class OneByOne(torch.utils.data.Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, k):
            return x[k], y[k]

    class Vision(OneByOne):
        data, targets = x, y

    for value, words in (
        (torch.utils.data.DataLoader(pairs), "got a DataLoader.*loader.dataset.tensors"),
        (OneByOne(), "got a OneByOne, which gives one example at a time; pass torch.stack"),
        (Vision(), "got a Vision; pass its data and its targets"),
        (torch.utils.data.TensorDataset(x), "expected two tensors in it, got 1"),
    ):
        with pytest.raises(ValueError, match=f"x: .*{words}"):
            mb.dataset(value)
    with pytest.raises(TypeError, match="x: .* got a DataLoader"):
        mb.dataset(torch.utils.data.DataLoader(pairs), y)
    listed = mb.dataset(list(x.clone().requires_grad_()), list(y))
    as_they_are = mb.dataset(x, y)
    np.testing.assert_array_equal(listed.x_train, as_they_are.x_train)
    with pytest.raises(TypeError, match="x: expected an array, got a tensor that .*to_dense"):
        mb.dataset(x.to_sparse(), y)


def test_frames():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(X, columns=["a", "b", "c"])
    words = ["b" if y else "a" for y in Y]
    whole = x.assign(species=words)
    same(mb.dataset(whole, "species"), ("a", "b"))
    same(mb.dataset(x, whole["species"]), ("a", "b"))
    same(mb.dataset(x, pandas.Series(words, dtype="category")), ("a", "b"))
    same(mb.dataset(x.convert_dtypes(), pandas.Series(Y, dtype="Int64")))
    same(mb.dataset(x, Y))
    same(mb.dataset(pandas.DataFrame(X).assign(y=Y), "y"))
    same(mb.dataset(pandas.DataFrame(np.c_[X, Y]), 3))
    same(mb.dataset(pandas.DataFrame(np.c_[X, Y]), np.int64(3)))
    same(mb.dataset(pandas.DataFrame(np.c_[X, Y], columns=[0.5, 1.5, 2.5, 3.5]), 3.5))
    same(mb.dataset(x.astype(object), Y))
    names = ["data", "collect", "nnz"]          # pandas makes attributes of columns
    same(mb.dataset(pandas.DataFrame(X, columns=names).assign(targets=Y), "targets"))


def test_frames_that_are_refused():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(X, columns=["a", "b", "c"])
    whole = x.assign(y=Y)
    days = pandas.date_range("2026-01-01", periods=20)
    holed = whole.convert_dtypes()
    holed.loc[3, "b"] = pandas.NA
    for frame, words in (
        (whole.assign(d="red"), "column 'd' has 'red' in row 0, .*pandas.get_dummies"),
        (whole.assign(d=pandas.Categorical(["u", "v"] * 10)), "column 'd' has 'u' in row 0"),
        (whole.assign(d="1.5"), "column 'd' has '1.5' in row 0, .*pandas.to_numeric"),
        (whole.assign(d=days), "column 'd' holds datetime64"),
        (whole.assign(d=days.tz_localize("UTC")), "column 'd' has Timestamp.* in row 0"),
        (whole.assign(d=1j), "column 'd' holds complex128"),
        (whole.assign(d=2**53 + np.arange(20)), r"column 'd' has whole numbers beyond 2\*\*53"),
        (whole.assign(d=np.array([1, None] * 10)), "column 'd' has nothing in row 1"),
        (whole.assign(d=[{}] * 20), "column 'd' has {} in row 0, a dict"),
        (whole.assign(d=[1.0, np.nan] * 10), "example 1 has nan in the column 'd'"),
        (holed, "in the column 'b'|column 'b' has nothing in row 3"),
        (pandas.concat([whole, x[["a"]]], axis=1), "different names of columns, got 'a' twice"),
        (whole[["y"]], "expected columns beside the target, got none"),
    ):
        with pytest.raises(ValueError, match=f"x: .*{words}"):
            mb.dataset(frame, "y")
    shuffled = whole["y"].sample(frac=1, random_state=0)
    for y, words in (
        (shuffled, "y: expected the index of x, got another"),
        ("sort", "y: expected a column's name, one of .* got 'sort'"),
        (whole[["y"]], "y: expected labels, got a DataFrame"),
        (None, "y: .* pass the name of the target's column as y"),
        (whole["y"].mask(whole.index == 4), "y: expected a class for each, example 4 has nan"),
    ):
        with pytest.raises(ValueError, match=words):
            mb.dataset(x, y) if y is not None and not isinstance(y, str) else mb.dataset(whole, y)


def test_a_frame_that_holds_what_float64_does_not():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
    for large in (2**53 + 1, 2**63, 2**70):
        ids = np.array([large, 0.5] * 10, dtype=object)
        with pytest.raises(ValueError, match=r"column 'd' has whole numbers beyond 2\*\*53"):
            mb.dataset(frame.assign(d=ids), "y")
    with pytest.raises(ValueError, match=r"x: expected numbers .* shape \(0, 3\)"):
        mb.dataset(frame.astype(int).head(0), "y")
    with pytest.raises(TypeError, match=r"Decimal\('1'\) in row 0: make it floats"):
        mb.dataset(frame.assign(d=decimal.Decimal(1)), "y")


def test_a_target_that_is_among_the_features_is_said():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
    with pytest.raises(ValueError, match=r"y: .* its column 'y': write mb.dataset\(x, 'y'\)"):
        mb.dataset(frame, frame["y"])
    told = "y: column 3 of x is the target itself."
    with pytest.warns(UserWarning, match=told):
        assert told[3:] in mb.dataset(np.c_[X, Y], Y).description
    with pytest.warns(UserWarning, match="the column 'kind' is the target itself"):
        mb.dataset(frame.assign(kind=Y), "y", test=(frame.assign(kind=Y), "y"))


def test_test_sets_of_other_columns_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"]).assign(y=Y)
    for test in ((frame[["c", "b", "a", "y"]], "y"), (X, Y)):
        with pytest.raises(ValueError, match="test: expected the columns of x in the same order"):
            mb.dataset(frame, "y", test=test)


def test_a_test_set_of_its_own():
    found = mb.dataset(X[:14], Y[:14], test=(X[14:], Y[14:]))
    np.testing.assert_array_equal(found.x_train, X[:14].astype(np.float32))
    np.testing.assert_array_equal(found.x_test, X[14:].astype(np.float32))
    np.testing.assert_array_equal(found.target_test, Y[14:])
    scaled = mb.dataset(X[:14], Y[:14], test=(X[14:], Y[14:]), standardise=True)
    mean, deviation = X[:14].mean(axis=0), X[:14].std(axis=0)
    np.testing.assert_allclose(scaled.x_test, (X[14:] - mean) / deviation, rtol=1e-5)


def test_the_gpu_and_other_devices(fake_gpu):
    same(mb.dataset(mb.to_gpu(X), mb.to_gpu(Y)))
    same(mb.dataset((mb.to_gpu(X), Y)))


MANY = np.arange(20) % 7


@pytest.mark.parametrize("given, error, words", [
    ((X,), TypeError, "y: expected a label for each example, got none"),
    ((X[:, 0], Y), ValueError, r"x: .* got shape \(20,\); one number an example is x\[:, None\]"),
    ((X[:0], Y[:0]), ValueError, r"x: expected numbers x\[n,...\], got shape \(0, 3\)"),
    ((X, Y[:5]), ValueError, "y: expected a label for each of 20 examples, got 5"),
    ((X, iter(Y)), TypeError, "y: expected a label for each example, in an array or a list, got <"),
    ((X, set(Y)), TypeError, "y: expected a label for each example, .* got {"),
    ((X, dict(enumerate(Y))), TypeError, "y: expected a label for each example, .* got {"),
    ((X, b"ab" * 10), TypeError, "y: expected a label for each example, .* got b'abab"),
    ((X, None, (X, Y)), TypeError, "y: expected a label for each example, got none"),
    ((X, Y[None]), ValueError, r"y: .* got shape \(1, 20\); take y\[0\]"),
    ((None, Y), TypeError, "x: expected an array, got None"),
    (([[2**53 + 1, 0.5]] * 20, Y), ValueError, r"x: .* up to 2\*\*53, got 9007199254740993"),
    (([[2**63, 1]] * 10 + [[-1, 1]] * 10, Y), ValueError, r"x: .* got 9223372036854775808"),
    (([np.ma.masked_array([1.0, 2.0], [1, 0])] * 20, Y), ValueError, "x: .* entries missing"),
    ((np.zeros(20, "f8,f8"), Y), TypeError, "x: .* records with the fields f0, f1"),
    ((X, Y, np.arange(5)), TypeError, r"test: expected a share or \(x_test, y_test\), got an array"),
    ((X, Y, None), TypeError, r"test: expected a share or \(x_test, y_test\), got None"),
    ((X, Y, (X, Y), False, "x"), TypeError, "seed: expected a whole number"),
    ((X * 1j, Y), TypeError, "x: .* got complex numbers"),
    ((X.astype("M8[s]"), Y), TypeError, "x: .* got dates"),
    ((X.astype(str), Y), TypeError, "x: .* got words"),
    ((X.astype(object), Y), TypeError, "x: .* got Python objects"),
    (([[1, 2], [3]], [0, 1]), TypeError, "x: expected an array of numbers"),
    ((np.ma.masked_array(X, X > 1), Y), ValueError, "x: .* masked array with entries missing"),
    ((np.where(X > 1, np.nan, X), Y), ValueError, "x: expected finite numbers, example .* column"),
    ((X * 1e300, Y), ValueError, "x: .* where float32 ends, column 0 of x has"),
    ((X + 1e9, Y), ValueError, "x: column 0 of x goes from .* pass standardise=True"),
    ((X * 1e-60, Y), ValueError, "x: column 0 of x goes from .* pass standardise=True"),
    ((np.full((20, 2), 2**60 + 1), Y), ValueError, r"x: expected whole numbers up to 2\*\*53"),
    (((X, Y), (X, Y)), TypeError, "x|y"),
    ((((X, Y), (X, Y)),), TypeError, r"x: .* two pairs; .*mb.dataset\(\*train, test=test\)"),
    (({"x": X}, Y), TypeError, "x: expected an array, got a dictionary"),
    (("own.csv",), TypeError, "x: .* files are read by mbcore.sources.from_csv"),
    (({"data": X, "target": Y},), TypeError, r"x: .* mb.dataset\(d.data, d.target\)"),
    ((iter(X), Y), TypeError, "x: expected all examples at once, got an iterator"),
    ((mb.dataset(X, Y),), TypeError, "x: expected arrays, got a data set already"),
    ((X, "species"), TypeError, "y: .* the name of a column goes with a DataFrame"),
    ((X, Y, 0.99), ValueError, "test: "),
    ((X, Y, True), TypeError, "test: expected a finite number .* got True"),
    ((X, Y, (X, Y, X)), ValueError, r"test: expected a share or \(x_test, y_test\), got 3 things"),
    ((X, Y, (X[:, :2], Y)), ValueError, r"x: expected examples of one shape, got \(3,\)"),
    ((X, Y, (X, Y[:3])), ValueError, "y: expected a label for each of 20 examples, got 3"),
    ((X, Y, (X, Y == 1)), TypeError, "y: expected labels of one kind"),
    ((X, Y, (X * np.inf, Y)), ValueError, "example 0 to test on has"),
    ((X, Y, 0.2, "yes"), TypeError, "standardise: expected True or False, got 'yes'"),
    ((X, Y, 0.2, False, None), TypeError, "seed: expected a whole number of at least 0, got None"),
])
def test_what_is_refused(given, error, words):
    with pytest.raises(error, match=words):
        mb.dataset(*given)


def test_lazy_arrays():
    lazy = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match=r"x: expected data in memory, .* pass x.compute\(\)"):
        mb.dataset(lazy.from_array(X), Y)


def test_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"x: .* a sparse one; use x.toarray\(\)"):
        mb.dataset(sparse.csr_matrix(X), Y)


def test_images_are_laid_out_and_it_says_so():
    images = RNG.normal(size=(20, 4, 5))
    found = mb.dataset(images, Y)
    assert found.x_train.shape == (16, 20)
    assert "20 examples of 4 x 5 numbers, laid out as a row of 20:" in found.description


def test_rare_classes_are_said():
    with pytest.warns(UserWarning, match="y: 1 of 3 classes have one or two examples; "
                                         "1 of 3 classes have no example to test on.") as said:
        found = mb.dataset(X, [2, *Y[1:]])
    assert said[0].filename == __file__ and "1 of 3 classes have one or two" in found.description
    with pytest.warns(UserWarning, match="1 of 3 classes have no example to train on"):
        mb.dataset(X, Y, test=(X[:6], [0, 1, 2, 2, 2, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mb.dataset(X, Y)


def test_standardised_in_float64():
    """Beside the same in extended precision: large offsets, large and tiny units, constants."""
    x = X * [1e-3, 1e200, 1e-200] + [1e9, 0, 0]
    x = np.c_[x, np.full(20, 0.1)]
    found = mb.dataset(x, Y, standardise=True)
    train = mb.dataset(X, Y).x_train
    at = [int(np.flatnonzero((X.astype(np.float32) == row).all(axis=1))[0]) for row in train]
    exact = x[at].astype(np.longdouble)
    exact -= exact.mean(axis=0)
    deviation = np.sqrt((exact ** 2).mean(axis=0))
    expected = exact[:, :3] / deviation[:3]
    np.testing.assert_allclose(found.x_train[:, :3], expected, rtol=1e-5, atol=1e-7)
    assert (found.x_train[:, 3] == 0).all() and (found.x_test[:, 3] == 0).all()


def test_a_constant_that_changes_in_the_test_set_is_only_centred():
    x = np.c_[X[:, :1], np.full(20, 5.0)]
    found = mb.dataset(x, Y, test=(np.c_[X[:, :1], np.full(20, 7.0)], Y), standardise=True)
    assert (found.x_train[:, 1] == 0).all() and (found.x_test[:, 1] == 2).all()
