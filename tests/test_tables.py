"""Own data from CSV and NPZ files: read right, or refused by name. Oracle: what was written."""

import gzip
import os
import re
import tracemalloc

import numpy as np
import pytest

from mbcore.entries import is_number, kept_word, trouble
from mbcore.sources import from_csv, from_npz, mnist

GOOD = "height,kind,width\n"
GOOD += "".join(f"{k},{'cat' if k % 2 else 'dog'},{k * 0.5}\n" for k in range(20))


@pytest.fixture
def csv(tmp_path):
    """Writes a text, or bytes, to own.csv and gives its path."""

    def write(text, name="own.csv"):
        raw = text if isinstance(text, bytes) else text.encode("utf-8")
        (tmp_path / name).write_bytes(raw)
        return tmp_path / name

    return write


def rows(line, n=20):
    return "".join(line(k) + "\n" for k in range(n))


def numbers(data):
    """All examples of a data set with their classes, in the order of the first column."""
    x = np.concatenate([data.x_train, data.x_test])
    target = np.concatenate([data.target_train, data.target_test])
    order = np.argsort(x[:, 0], kind="stable")
    return x[order], [data.classes[k] for k in target[order]]


# ---- what is read


def test_csv(csv):
    d = from_csv(csv(GOOD), target="kind")
    assert (d.classes, d.name, d.x_train.shape) == (("cat", "dog"), "own", (16, 2))
    x, kinds = numbers(d)
    np.testing.assert_array_equal(x, np.stack([np.arange(20), np.arange(20) / 2], axis=1))
    assert kinds == ["dog", "cat"] * 10
    assert np.bincount(d.target_test).tolist() == [2, 2]
    assert "from own.csv: 16 to train on, 4 (20.0%) to test on" in d.description
    other = from_csv(csv(GOOD), target="kind", seed=1)
    assert not np.array_equal(other.x_test, d.x_test)


READ = {            # k and k / 2 and two classes, each time written in another way
    "semicolons": "height;kind;width\n" + rows(lambda k: f"{k};a{k % 2};{k / 2}"),
    "tabs": "height\tkind\twidth\n" + rows(lambda k: f"{k}\ta{k % 2}\t{k / 2}"),
    "bars": "height|kind|width\n" + rows(lambda k: f"{k}|a{k % 2}|{k / 2}"),
    "quoted names": '"height";"kind";"width"\n' + rows(lambda k: f"{k};a{k % 2};{k / 2}"),
    "all quoted": '"height","kind","width"\n' + rows(lambda k: f'"{k}","a{k % 2}","{k / 2}"'),
    "decimal commas": "height;kind;width\n"
    + rows(lambda k: f"{k};a{k % 2};{k / 2}".replace(".", ",")),
    "quoted commas": "height,kind,width\n" + rows(lambda k: f'{k},a{k % 2},"{k // 2},{k % 2 * 5}"'),
    "blanks": " height , kind ,width \n" + rows(lambda k: f" {k} ,\ta{k % 2} , {k / 2} "),
    "quotes after a blank": 'height, "kind", width\n' + rows(lambda k: f'{k}, "a{k % 2}", {k / 2}'),
    "quotes before a blank": '"height" ,"kind" , "width" \n'
    + rows(lambda k: f'"{k}" ,"a{k % 2}"  ,"{k / 2}" '),
    "blank lines": "\n\nheight,kind,width\n\n" + rows(lambda k: f"{k},a{k % 2},{k / 2}\n  "),
    "Windows": "height,kind,width\r\n" + rows(lambda k: f"{k},a{k % 2},{k / 2}\r"),
    "a byte order mark": "\ufeffheight,kind,width\n" + rows(lambda k: f"{k},a{k % 2},{k / 2}"),
    "powers of ten": "height,kind,width\n" + rows(lambda k: f"{k}E0,a{k % 2},+{k * 5}e-1"),
    "bare points": "height,kind,width\n" + rows(lambda k: f"{k}.,a{k % 2},{k // 2}.{k % 2 * 5}"),
    "no last line end": "height,kind,width\n" + rows(lambda k: f"{k},a{k % 2},{k / 2}").rstrip(),
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_other_ways_of_writing(csv, text):
    x, kinds = numbers(from_csv(csv(text), target=" kind "))
    np.testing.assert_array_equal(x, np.stack([np.arange(20), np.arange(20) / 2], axis=1))
    assert kinds == ["a0", "a1"] * 10


def test_what_is_passed(csv):
    text = "height kind width\n" + rows(lambda k: f"{k} größe{k % 2}  1,{100 + k}")
    path = csv(text.encode("latin-1"))
    x, kinds = numbers(from_csv(path, "kind", separator=" ", decimal=",", encoding="latin-1"))
    np.testing.assert_allclose(x[:, 1], 1.1 + np.arange(20) / 1000, rtol=1e-6)
    assert kinds == ["größe0", "größe1"] * 10
    path = csv(GOOD.encode("utf-16"))
    assert from_csv(path, "kind", encoding="utf-16").classes == ("cat", "dog")


def test_a_comma_that_may_be_one_or_the_other(csv):
    path = csv("height;kind\n" + rows(lambda k: f"1,{200 + k};a{k % 2}"))
    with pytest.raises(ValueError, match="decimal: .* like 1,200: .* Pass decimal=','"):
        from_csv(path, "kind")
    x, _ = numbers(from_csv(path, "kind", decimal=","))
    np.testing.assert_allclose(x[:, 0], 1.2 + np.arange(20) / 1000, rtol=1e-6)
    with pytest.raises(ValueError, match="'1,200' .* thousands separators"):
        from_csv(path, "kind", decimal=".")
    x, _ = numbers(from_csv(csv("h;kind\n" + rows(lambda k: f"0,{200 + k};a{k % 2}")), "kind"))
    np.testing.assert_allclose(x[:, 0], 0.2 + np.arange(20) / 1000, rtol=1e-6)


def test_a_point_that_may_part_thousands(csv):
    """Where commas do not part the entries, they may be decimal, and 1.200 then is 1200."""
    text = "height;kind\n" + rows(lambda k: f"{'' if k else '-'}1.{200 + k};a{k % 2}")
    with pytest.raises(ValueError, match="decimal: .* like -1.200: .* Pass decimal='.'"):
        from_csv(csv(text), "kind")
    for sure in (from_csv(csv(text), "kind", decimal="."), from_csv(csv(text + "1.5;a0\n"), "kind"),
                 from_csv(csv(text.replace(";", ",")), "kind")):
        x, _ = numbers(sure)
        np.testing.assert_allclose(x[0], -1.2)
    with pytest.raises(ValueError, match="decimal: .* has '1,5', line 2 has '-1.200'"):
        from_csv(csv(text + "1,5;a0\n"), "kind")


def test_the_target_shows_its_decimal_mark_too(csv):
    x, kinds = numbers(from_csv(csv("h;kind\n" + rows(lambda k: f"{k};{k % 2},0")), "kind"))
    assert kinds == [0, 1] * 10 and (x[:, 0] == np.arange(20)).all()
    for mark in ".,":
        with pytest.raises(ValueError, match=f"decimal: .* like 1.000: .* Pass decimal='{mark}'"):
            from_csv(csv("h;kind\n" + rows(lambda k: f"{k};{1 + k % 2}{mark}000")), "kind")
    with pytest.raises(ValueError, match="decimal: .* has '0,0', line 2 has '0.5'"):
        from_csv(csv("h;kind\n" + rows(lambda k: f"{k}.5;{k % 2},0")), "kind")


def test_blanks_inside_quotes_are_part_of_a_word(csv):
    text = 'h,kind\n' + rows(lambda k: f'{k},"say ""{k % 2}"" , so"')
    assert from_csv(csv(text), "kind").classes == ('say "0" , so', 'say "1" , so')


def test_an_entry_is_shown_as_it_is_written(csv):
    with pytest.raises(ValueError, match="line 3 .* has '1,2,3'"):
        from_csv(csv("h;kind\n1,2;a\n1,2,3;a\n"), "kind", decimal=",")


def test_quoted_lines_and_the_number_of_a_line(csv):
    text = 'h,kind\n1,"big\ncat"\n2,dog\n3,"big\ncat"\n4,dog\n'
    with pytest.warns(UserWarning, match="2 of 2 classes have one or two examples"):
        d = from_csv(csv(text), "kind", test=0.5)
    assert d.classes == ("big\ncat", "dog")
    with pytest.raises(ValueError, match="line 8 of .*own.csv has 'x'"):
        from_csv(csv(text + "x,dog\n"), "kind")


def test_classes_in_order_as_numbers_and_standardised(csv):
    text = "\ufeffx,same,y\n\n" + rows(lambda k: f"{k},0.1,{10 if k < 6 else 9}", 12)
    d = from_csv(csv(text), target="y", test=0.5, standardise=True)
    assert d.classes == (9, 10)
    np.testing.assert_allclose(d.x_train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(d.x_train.std(axis=0), [1, 0], atol=1e-6)


# ---- what is refused


LINES = {           # a last line, and what is said of it
    "tall,cat,3": "expected numbers, line 22 of .*own.csv has 'tall' in the column 'height'",
    "1,cat,": "line 22 .* has '' in the column 'width', which marks a missing entry",
    "1,cat": "expected 3 entries in each line, line 22 of .* has 2",
    "1,cat,3,": "expected 3 entries in each line, line 22 of .* has 4; does a comma stand inside",
    ",,": "line 22 .* has '' in the column 'height'",
    "height,kind,width": "line 22 .* has 'height' in the column 'height', which is no number",
    '1,"cat,3': "is no CSV file: line 22: unexpected end of data",
    '"1"2,cat,3': "is no CSV file: line 22: ',' expected after",
    "1e300,cat,3": "column 'height' has 1e.300; standardise=True helps",
    '"1,5",cat,3': "decimal: expected one mark in all .* line 22 has '1,5', line 2 has '0.0'",
    "1,,3": "target: expected a class for each, line 22 of own.csv has ''",
    "1,2026-12-01,3": "target: expected classes, line 22 .* a date or a time",
    "1,2+1j,3": "target: expected classes, line 22 .* a complex number",
    "1,inf,3": "target: expected classes, line 22 .* not finite",
    '1,"1,000",3': "target: expected classes, line 22 .* thousands separators",
}
for mark in ("NA", "n/a", "NaN", "null", "None", "?", "-", "--", "#N/A", ".", "<NA>"):
    LINES[f"{mark},cat,3"] = "line 22 .* has .* in the column 'height', which marks a missing entry"
    LINES[f"1,{mark},3"] = "target: expected a class for each, line 22 .* which marks a missing one"

ENTRIES = {         # no number, in a column of numbers
    "1_000": "underscores",
    "(5)": "a number below 0 as bookkeepers write it",
    "5.5-": "a number below 0 as bookkeepers write it",
    "0x10": "another base",
    "1 000": "thousands",
    "1'000": "thousands",
    "1,234,567": "thousands",
    "1\u202f000": "thousands",
    "inf": "not finite",
    "-Infinity": "not finite",
    "1e400": "beyond 1.8e308",
    "9007199254740993": "beyond 2..53",
    "-12345678901234567890": "beyond 2..53",
    "9007199254740993.0": "beyond 2..53",
    "2026-12-01": "a date",
    "1.12.2026": "a date",
    "12/1/26": "a date",
    "2026-12-01T10:00:00Z": "a date",
    "10:30": "a time",
    "1 Dec 2026": "a date",
    "2+1j": "complex",
    "3i": "complex",
    "True": "truth value",
    "5 %": "unit",
    "$12.50": "unit",
    "\u22125": "no keyboard",
    "\uff11\uff12": "no keyboard",
    "1d5": "no number",
    "1e": "no number",
    "1.2.3": "no number",
    "e5": "no number",
    "+": "no number",
}


@pytest.mark.parametrize("line, words", LINES.items(), ids=LINES)
def test_a_line_that_is_refused(csv, line, words):
    with pytest.raises(ValueError, match=words):
        from_csv(csv(GOOD + line + "\n"), target="kind")


@pytest.mark.parametrize("entry, words", ENTRIES.items(), ids=ascii)
def test_an_entry_that_is_refused(csv, entry, words):
    assert re.search(words, trouble(entry))
    with pytest.raises(ValueError, match=f"line 22 of .* has .* 'height', .*{words}"):
        from_csv(csv(GOOD + f'"{entry}",cat,3\n'), target="kind")


NUMBERS = ["0", "-0.0", "1e5", "+3.", ".5", "007", "9007199254740992", "1e300"]


@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_a_number(number):
    assert is_number(number) and trouble(number) is None
    swapped = number.replace(".", ",")
    assert is_number(swapped, ",") and trouble(swapped, ",") is None


@pytest.mark.parametrize("word", ["cat", "true", "5 %", "1_2", "j", "e", "big cat", "3d", "v1.2.3"])
def test_words_that_name_classes(word):
    assert kept_word(word) and not is_number(word)


FILES = {
    "nothing": ("", "is empty"),
    "blank lines": ("\n \n", "is empty"),
    "names alone": ("height,kind\n", "names alone"),
    "another name": (GOOD.replace("kind", "sort"), "target: .* has no column 'kind'; "
                     "cut at each comma, it has height, sort, width$"),
    "no names": (rows(lambda k: f"{k},{k % 2},1"), "holds numbers: are the names missing"),
    "blanks between": (GOOD.replace(",", " "), "another separator than comma, semicolon"),
    "a comment": ("# mine, 2026\n" + GOOD, "the first line must be the names of the columns"),
    "a hint of Excel": ("sep=;\n" + GOOD.replace(",", ";"), "the first line must be the names"),
    "target alone": ("kind\ncat\ndog\n", "expected columns beside 'kind'"),
    "a name twice": (GOOD.replace("height", "kind"), "different names .* has kind, kind, width"),
    "twice with blanks": (GOOD.replace("height", "width "), "different names of columns"),
    "no name": (GOOD.replace("height", ""), "a name for each column, column 1 of .* index=False"),
    "an end of lines": (GOOD.replace("\n", ",\n"), "a name for each column, column 4"),
    "words": (GOOD.replace("0.5", "red"), "has 'red' in the column 'width', which is no number"),
    "many digits": (GOOD.replace("0.5", "9" * 5000), r"line 3 of .* has '9{76}\.\.\. in the"),
    "a column of words": ("h,c,kind\n" + rows(lambda k: f"{k},red{k % 3},{k % 2}"),
                          "the column 'c' of .* holds words from line 2 on: red0, red1, red2. "
                          "Encode it one-hot"),
    "truth values": ("h,c,kind\n" + rows(lambda k: f"{k},{k > 9},{k % 2}"), "False, True. Encode"),
    "one class": (GOOD.replace("cat", "dog"), r"target: .* two classes, got \['dog'\] alone"),
    "a quantity": (GOOD.replace("cat", "0.5").replace("dog", "1"),
                   "line 3 of own.csv has 0.5, one of 2 different numbers. .* cut a quantity"),
    "two ways": (GOOD.replace("cat", "1").replace("dog", "1.0"), "one way, got '1.0' and '1'"),
    "Latin-1": ("größe,kind\n1,cat\n".encode("latin-1"), "in UTF-8: line 1, .*cp1252"),
    "Latin-1 later": ("a,kind\n1,größe\n".encode("latin-1"), "no CSV file in UTF-8: line 2, "),
    "UTF-16": (GOOD.encode("utf-16"), "written in UTF-16: .*encoding=.utf-16"),
    "gzip": (gzip.compress(GOOD.encode()), "compressed by gzip: unpack it first"),
    "xlsx": (b"PK\x03\x04\x14\0\x06\0", "a ZIP archive, as .xlsx and .zip are"),
    "UTF-32": (GOOD.encode("utf-32"), "written in UTF-32"),
    "zeros": (b"height,kind\0\0\n", "is no text: some bytes are zero"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "is no text"),
}


@pytest.mark.parametrize("text, words", FILES.values(), ids=FILES)
def test_a_file_that_is_refused(csv, text, words):
    with pytest.raises(ValueError, match=words):
        from_csv(csv(text), target="kind")


def test_what_is_no_file(csv, tmp_path):
    for read, kind in ((lambda path: from_csv(path, "kind"), "CSV"), (from_npz, "NPZ")):
        with pytest.raises(IsADirectoryError, match=f"expected an? {kind} file.*, .* is a folder"):
            read(tmp_path)
        with pytest.raises(FileNotFoundError, match="path: there is no .*none.csv"):
            read(tmp_path / "none.csv")
        for bad in (5, "", b"own.csv", "a\0b"):
            with pytest.raises(TypeError, match=f"path: expected the path of an? {kind} file.*, got"):
                read(bad)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (lambda path: from_csv(path, "kind"), from_npz, mnist):
        with pytest.raises(ValueError, match="path: .* is a device or a pipe"):
            read(tmp_path / "pipe")


@pytest.mark.parametrize("changed, error, words", [
    ({"target": 1}, TypeError, "target: expected the name of a column, got 1"),
    ({"separator": 5}, TypeError, "separator: expected one character, got 5"),
    ({"separator": ", "}, ValueError, "separator: expected one character .* got ', '"),
    ({"separator": "\n"}, ValueError, "separator: expected one character .* got"),
    ({"separator": "."}, ValueError, "separator: expected one character .* got '.'"),
    ({"decimal": "'"}, ValueError, "decimal: expected ., ,, got"),
    ({"encoding": "klingon"}, ValueError, "encoding: expected utf-8, .* got 'klingon'"),
    ({"encoding": "utf\0"}, ValueError, "encoding: expected utf-8, .* got 'utf.x00'"),
    ({"encoding": "undefined"}, ValueError, "encoding: expected utf-8, .* got 'undefined'"),
    ({"encoding": None}, TypeError, "encoding: expected the name of an encoding, got None"),
    ({"standardise": "no"}, TypeError, "standardise: expected True or False, got 'no'"),
    ({"seed": 1.5}, TypeError, "seed: expected a whole number of at least 0, got 1.5"),
    ({"test": 1.5}, ValueError, "test: expected a finite number .* at most 1, got 1.5"),
    ({"test": "0.2"}, TypeError, "test: expected a finite number .* got '0.2'"),
])
def test_arguments_that_are_refused(csv, changed, error, words):
    with pytest.raises(error, match=words):
        from_csv(csv(GOOD), **{"target": "kind", **changed})


# ---- digits and memory


def test_standardised_before_the_cast(csv):
    """Of 1e9 + z float32 keeps no digit of z; standardised first, it keeps all."""
    z = np.random.default_rng(0).normal(size=200)
    path = csv("x,kind\n" + rows(lambda k: f"{float(1e9 + z[k])!r},{k % 2}", 200))
    d = from_csv(path, "kind", standardise=True)
    x, _ = numbers(d)
    written = np.sort(1e9 + z)
    np.testing.assert_allclose(np.diff(x[:, 0]) * d_std(d, 1e9 + z), np.diff(written), atol=1e-6)
    with pytest.raises(ValueError, match="column 'x' goes from .* pass standardise=True"):
        from_csv(path, "kind")


def d_std(data, x):
    """The deviation by which x was divided: the ratio of the spreads, before and after."""
    after = np.concatenate([data.x_train, data.x_test]).astype(float)
    return np.ptp(x) / np.ptp(after)


def test_memory_is_at_most_four_times_the_result(csv):
    numbers_of = np.random.default_rng(0).normal(size=(20_000, 30))
    names = ",".join(f"c{k}" for k in range(30))
    lines = (",".join(f"{v:.8g}" for v in row) for row in numbers_of)
    path = csv(f"{names},kind\n" + "".join(f"{line},k{n % 5}\n" for n, line in enumerate(lines)))
    tracemalloc.start()
    try:
        d = from_csv(path, "kind", standardise=True)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    arrays = (d.x_train, d.x_test, d.target_train, d.target_test)
    assert most < 4 * sum(array.nbytes for array in arrays)


# ---- NPZ


def test_npz(tmp_path):
    x, target = np.arange(60).reshape(10, 2, 3), np.arange(10) % 2 + 3
    np.savez(tmp_path / "a.npz", x=x, target=target)
    d = from_npz(tmp_path / "a.npz", test=0.4)
    assert (d.x_train.shape, d.x_test.shape, d.classes) == ((6, 6), (4, 6), (3, 4))
    assert set(d.target_train) == {0, 1}
    assert "2 x 3 numbers, laid out as a row of 6" in d.description
    test = {"x_test": x[7:], "target_test": target[7:]}
    np.savez(tmp_path / "b.npz", x_train=x[:7], target_train=target[:7], **test)
    d = from_npz(tmp_path / "b.npz")
    np.testing.assert_array_equal(d.x_test, x[7:].reshape(3, 6))
    np.testing.assert_array_equal(d.target_train, target[:7] - 3)


HALVES = np.arange(4) % 2
SPLIT = {"x_train": np.ones((4, 2)), "target_train": HALVES, "x_test": np.ones((4, 2))}


@pytest.mark.parametrize("arrays, words", [
    ({"x": np.ones((4, 2))}, "path: .* has no array 'target'; expected x, target, got x"),
    ({"x_train": np.ones((4, 2)), "target_train": HALVES}, "has no array 'x_test'"),
    ({"x": np.ones((4, 2)), "target": HALVES[:3]}, "target: .* a label for each of 4 examples"),
    ({"x": np.ones(4), "target": HALVES}, r"path: expected numbers x\[n,...\], got shape \(4,\)"),
    ({"x": np.full((4, 2), 1j), "target": HALVES}, "path: .* got complex numbers"),
    ({"x": np.full((4, 2), "a"), "target": HALVES}, "path: .* got words"),
    ({"x": np.zeros((4, 2), "M8[s]"), "target": HALVES}, "path: .* got dates"),
    ({"x": np.full((20, 2), np.nan), "target": np.arange(20) % 2}, "example 0 of a.npz has nan"),
    ({"x": np.full((4, 2), 2**53 + 1), "target": HALVES}, r"path: .* up to 2\*\*53"),
    ({"x": np.ones((4, 2)), "target": [0, 1, np.nan, 1]}, "target: .* example 2 of a.npz has nan"),
    ({"x": np.ones((4, 2)), "target": np.zeros(4)}, "target: expected at least two classes"),
    ({"x": np.ones((4, 2)), "target": np.array([0, 1, None, 1])}, "more than plain arrays: Object arrays"),
    ({**SPLIT, "target_test": np.arange(3) % 2}, "target: expected a label for each of 4 .* got 3"),
    ({**SPLIT, "target_test": np.zeros(4)}, "expected two classes or more to test on, got 0 alone"),
    ({**SPLIT, "target_test": ["0", "1", "0", "1"]}, "labels of one kind, example 0 .* to test on"),
    ({**SPLIT, "x_test": np.full((4, 2), np.inf), "target_test": HALVES}, "example 0 to test on"),
])
def test_bad_npz(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=words):
        from_npz(tmp_path / "a.npz")


def test_what_is_no_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    (tmp_path / "a.npz").write_text("hello")
    (tmp_path / "b.npz").write_text("")
    for name in ("a.npz", "b.npz", "a.npy"):
        with pytest.raises(ValueError, match="path: expected an NPZ file of plain arrays, .* is none"):
            from_npz(tmp_path / name)


def test_a_damaged_npz_is_refused_or_harmless(tmp_path):
    """Each byte of the archive's own records in turn; the arrays' bytes have a checksum."""
    path = tmp_path / "a.npz"
    np.savez(path, x=np.eye(4), target=HALVES)
    good, before = path.read_bytes(), from_npz(path, test=0.5)
    for k in range(0, len(good), 3):
        for flipped in (1, 255):
            path.write_bytes(good[:k] + bytes([good[k] ^ flipped]) + good[k + 1:])
            try:
                found = from_npz(path, test=0.5)
            except ValueError as error:
                assert "a.npz" in str(error), k
            else:
                assert np.array_equal(found.x_train, before.x_train), k
                assert np.array_equal(found.target_test, before.target_test), k
