"""What every check shares: numbers, and functions that return several arrays. Functions of one
array: test_checks_batch_index."""

import numpy as np
import pytest

from mbcore.checks import (
    choosing,
    gradient_averaging,
    hardware,
    last_batch,
    learning_rates,
    many_workers,
    steps_to_target,
    two_graphs,
    variance,
)
from mbcore.checks.feedback import (
    Case,
    Feedback,
    as_set,
    count,
    equal,
    function,
    number,
    word,
    written,
)

ANSWER = dict(
    right=8.0,
    wrong={"you forgot the root.": 64.0, "not a finite one.": float("inf")},
    praise="yes.",
    hint="look again.",
)


@pytest.mark.parametrize(
    "answer, expected",
    [
        (8, Feedback(True, "yes.")),
        (8.1, Feedback(True, "yes.")),
        (np.float32(8), Feedback(True, "yes.")),
        (np.int64(8), Feedback(True, "yes.")),
        (64, Feedback(False, "you forgot the root.")),
        (9, Feedback(False, "look again.")),
        (-8, Feedback(False, "look again.")),
    ],
)
def test_numbers(answer, expected):
    assert number(answer, **ANSWER) == expected


@pytest.mark.parametrize("answer", [None, "8", True, [8], float("nan"), float("inf"), 8j])
def test_what_is_no_number(answer):
    assert number(answer, **ANSWER, expected="a batch size") == Feedback(
        False, f"expected a batch size, got {answer!r}."
    )


def both(a, b):
    return a + b, a - b


PAIR = dict(
    right=both,
    wrong={"swapped.": lambda a, b: (a - b, a + b), "a copy.": lambda a, b: (a, a)},
    cases=[
        Case({"B": 2}, (np.ones(2), np.arange(2.0))),
        Case({"B": 3}, (np.ones(3), np.arange(3.0))),
    ],
    takes="a and b",
    returns="(x.grad, W.grad)",
    praise="yes.",
    hint="look again.",
)


@pytest.mark.parametrize(
    "solution, right, said",
    [
        (both, True, "yes."),
        (lambda a, b: list(both(a, b)), True, "yes."),
        (lambda a, b: (a - b, a + b), False, "swapped."),
        (lambda a, b: (a, b), False, "the numbers differ"),
        (lambda a, b: a + b, False, "your result has the shape (2,)"),
        (lambda a, b: (a + b,), False, "your result has the shape ((2,),)"),
        (lambda a, b: None, False, "your function returns nothing"),
        (
            lambda a, b: (a + b, a - b if len(a) == 2 else a),
            False,
            "right when B = 2, but not when B = 3",
        ),
    ],
)
def test_several_arrays(solution, right, said):
    found = function(solution, **PAIR)
    assert found.right == right and found.because.startswith(said)


def test_a_solution_cannot_change_the_case():
    def greedy(a, b):
        a += b
        return a, a - 2 * b

    assert function(greedy, **PAIR).right and function(greedy, **PAIR).right


# ---------------------------------------------------------------- numbers in any form, counts,
# words, sets


def as_others(value):
    """The same number as others hold it."""
    torch = pytest.importorskip("torch")
    return [
        np.float64(value),
        np.array(value),
        torch.tensor(value),
        torch.tensor(float(value), requires_grad=True),
        np.float32(value),
    ]


@pytest.mark.parametrize(
    "check, right",
    [
        (hardware.ninety, 540),
        (many_workers.ring_bytes, 6_000_000),
        (choosing.best_batch, 2000),
        (learning_rates.linear_rate, 3.2),
        (steps_to_target.extra_examples, 4),
        (gradient_averaging.loss_of_tokens, 1.5),
        (last_batch.never_seen, 0.3677),
    ],
)
def test_a_right_number_is_right_in_any_form(check, right):
    for form in (right, *as_others(right)):
        assert check(form).right, form
    for form in (
        None,
        str(right),
        [right],
        np.array([right]),
        {right},
        True,
        complex(right),
        np.ma.masked,
        object(),
        float("nan"),
        10**400,
    ):
        assert not check(form).right and "expected" in check(form).because, form


class Unwritable:
    def __repr__(self):
        raise RuntimeError("no text")


def test_an_answer_that_cannot_be_written_is_still_answered():
    assert number(Unwritable(), **ANSWER).because == "expected a number, got a Unwritable."


@pytest.mark.parametrize(
    "check, wrong, said",
    [
        (hardware.ninety, 539, "nearly, but 539 is not it"),
        (hardware.ninety, 541, "nearly, but 541"),
        (hardware.ninety, 539.9999, "no whole number"),
        (many_workers.ring_bytes, 5.9e6, "nearly, but 5,900,000"),
        (many_workers.ring_bytes, 6_000_001, "nearly"),
        (learning_rates.linear_rate, 3.25, "nearly, but not near enough"),
        (hardware.ninety, 66, "the knee over 0.9"),
        (hardware.ninety, 67, "the knee over 0.9"),
        (hardware.ninety, 60, "that is the knee"),
        (hardware.ninety, 61, "images per second"),
    ],
)
def test_a_count_is_no_measurement(check, wrong, said):
    assert not check(wrong).right and said in check(wrong).because


COUNT = dict(
    right=540, wrong={"the knee.": 60, "over.": 60 / 0.9}, praise="yes.", hint="look again."
)


@pytest.mark.parametrize(
    "answer, expected",
    [
        (540, "yes."),
        (540.0, "yes."),
        (60, "the knee."),
        (60.0, "the knee."),
        (66, "over."),
        (67, "over."),
        (66.7, "over."),
        (61, "look again."),
        (59.5, "59.5 is no whole number. look again."),
        (-540, "look again."),
        (None, "expected a whole number, got None."),
    ],
)
def test_counts(answer, expected):
    assert count(answer, **COUNT) == Feedback(expected == "yes.", expected)


@pytest.mark.parametrize(
    "answer, said",
    [
        (2048, "2,048 is within a factor of 2"),
        (1000, "1,000 is within"),
        (4000, "4,000 is within"),
        (2000, "sqrt(400 x 10,000) = 2,000"),
        (2010, "sqrt(400"),
    ],
)
def test_within_a_factor_of_two_is_right(answer, said):
    assert choosing.best_batch(answer).right and choosing.best_batch(answer).because.startswith(
        said
    )


@pytest.mark.parametrize("answer", [999, 4001, 10_000, 400])
def test_beyond_a_factor_of_two_is_not(answer):
    assert not choosing.best_batch(answer).right


@pytest.mark.parametrize(
    "answer",
    [
        {"weight": "w0", "bias": "- C0", "s.grad": "s.grad/B"},
        {" Weight": "W0 ", "BIAS": "\N{MINUS SIGN}c0", "s.grad": "S.grad  /b"},
    ],
)
def test_texts_are_evened_out(answer):
    assert choosing.crosswalk(answer).right


def test_two_keys_of_one_name_are_refused():
    assert (
        "expected a dictionary"
        in choosing.crosswalk(
            {"weight": "W0", "Weight": "W0", "bias": "-C0", "s.grad": "s.grad/B"}
        ).because
    )


@pytest.mark.parametrize(
    "text, found",
    [
        ("s.grad/B", "s.grad / B"),
        (" S.GRAD", "s.grad"),
        ("l", "L"),
        ("L", "L"),
        ("ell", "ell"),
        ("q", None),
        (3, None),
        (None, None),
    ],
)
def test_words(text, found):
    assert word(text, ("s.grad", "s.grad / B", "L", "ell")) == found


@pytest.mark.parametrize(
    "answer, found",
    [
        ({"c", "d"}, {"C", "D"}),
        ("C, D", {"C", "D"}),
        ("c D", {"C", "D"}),
        ("{C; D}", {"C", "D"}),
        (["C ", " d"], {"C", "D"}),
        (np.array(["C", "D"]), {"C", "D"}),
        ("C", {"C"}),
        ("CD", None),
        ("", None),
        ({"E", "C"}, {"E", "C"}),
        ({1}, None),
        (None, None),
        (3, None),
        ([["C"]], None),
        (set(), set()),
    ],
)
def test_sets_of_words(answer, found):
    assert as_set(answer, ("C", "D")) == found


@pytest.mark.parametrize(
    "answer, found",
    [
        ({1, 32}, {1, 32}),
        ([1.0, np.int64(32)], {1, 32}),
        (np.array([1, 32]), {1, 32}),
        (range(1, 3), {1, 2}),
        (32, {32}),
        (np.array(32), {32}),
        ({True, 32}, None),
        ({1.5}, None),
        ("32", None),
        (["1"], None),
        (None, None),
        ([None], None),
    ],
)
def test_sets_of_whole_numbers(answer, found):
    assert as_set(answer) == found


def test_sets_of_tensors():
    torch = pytest.importorskip("torch")
    assert as_set(torch.tensor([1, 32])) == as_set({torch.tensor(1), torch.tensor(32)}) == {1, 32}


@pytest.mark.parametrize(
    "answer, right", [({"c", "d"}, True), ("c, d", True), ({"A"}, False), ("c", False)]
)
def test_the_graphs_that_copied(answer, right):
    assert two_graphs.copied_a_parameter(answer).right == right


def test_pairs_and_triples_in_any_form():
    torch = pytest.importorskip("torch")
    triple = [0.001 * 8**0.5, 0.2, 0.992]
    for form in (
        triple,
        np.array(triple),
        torch.tensor(triple, dtype=torch.float64),
        tuple(map(np.array, triple)),
    ):
        assert learning_rates.adam_numbers(form).right
    for form in ([29, 0], np.array([29, 0]), torch.tensor([29, 0]), (np.array(29), 0.0)):
        assert last_batch.dropped(form).right
    for form in ("123", ["0.0028", 0.2, 0.992], [0.0028, 0.2, None], [0.0028, 0.2, True], 3, None):
        assert "expected three numbers" in learning_rates.adam_numbers(form).because
    for form in ({29, 0}, {29: 0, 0: 1}, "29", (29,), (29, None), None):
        assert "expected two numbers" in last_batch.dropped(form).because
    assert not learning_rates.adam_numbers([triple[0], 0.21, 0.992]).right
    better = {"Steps": np.int64(359), "examples ": 22.0, "seconds": torch.tensor(359)}
    assert steps_to_target.better(better).right


def test_the_ratio_that_is_told_is_not_the_one_that_is_asked():
    """It used to say: the ratio is 2; asked is 2."""
    right = next(B for B in range(1, 5000) if variance.smallest_batch(B).right)
    for B in (right + 1, right + 2, right + 8):
        told = variance.smallest_batch(B).because
        assert "is 2;" not in told and "fewer examples reach it" in told


# ---------------------------------------------------------------- functions: any return, and an
# example for what is not known


def row_sums(x):
    return x.sum(axis=1)


ROWS = dict(
    right=row_sums,
    wrong={"a mean.": lambda x: x.mean(axis=1)},
    takes="x",
    returns="s[b]",
    praise="yes.",
    hint="Look.",
    cases=[
        Case({"B": 3}, (np.arange(9.0).reshape(3, 3),)),
        Case({"B": 2}, (np.arange(8.0).reshape(2, 4),)),
    ],
    small=[Case({"B": 1}, (np.array([[2.0]]),)), Case({"B": 1}, (np.array([[1.0, 3.0]]),))],
)


def test_any_kind_of_array_is_right():
    torch = pytest.importorskip("torch")
    tensor = lambda x: torch.tensor(x, requires_grad=True).sum(dim=1)
    for solution in (
        row_sums,
        tensor,
        lambda x: row_sums(x).tolist(),
        lambda x: tuple(row_sums(x)),
        lambda x: list(tensor(x)),
        lambda x: row_sums(x).astype("float32"),
        lambda x: [np.array(s) for s in row_sums(x)],
        lambda x: np.ma.array(row_sums(x)),
    ):
        assert function(solution, **ROWS).right


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "text",
        b"",
        {},
        {1.0},
        object(),
        1j,
        [None],
        [[1], [1, 2]],
        ["1", "2", "3"],
        Unwritable(),
        iter([1]),
        np.ma.masked,
        np.array(["a"]),
        Ellipsis,
        ValueError,
        print,
        [3.0, None, 1.0],
    ],
)
def test_nonsense_never_breaks_a_check(answer):
    told = function(lambda x: answer, **ROWS)
    assert not told.right and told.because.endswith(".") and repr(told)
    assert not equal(answer, np.array([3.0, 12.0, 21.0]))


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "error, said",
    [
        (ValueError("no"), "ValueError: no"),
        (SystemExit(3), "SystemExit: 3"),
        (RecursionError("deep"), "RecursionError"),
        (Unspeakable(), "stopped with Unspeakable"),
    ],
)
def test_an_error_of_the_students_function_is_told(error, said):
    def failing(x):
        raise error

    assert said in function(failing, **ROWS).because


def test_an_interrupt_is_not_swallowed():
    def failing(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        function(failing, **ROWS)


@pytest.mark.parametrize(
    "solution, said",
    [
        (
            lambda x: x.sum(axis=1) + 1,
            "the numbers differ, and not in a way this check knows. Look. For example, with x = "
            "[[2]] it gives [3]; right is [2].",
        ),
        (
            lambda x: x.max(axis=1),
            "with x = [[1, 3]] it gives [3]; right is [4].",
        ),  # the first small one is right
        (
            lambda x: x.sum(axis=1) + (len(x) == 3),
            "with x = [[0, 1, 2], [3, 4, 5], [6, 7, 8]] it gives [4, 13, 22]; right is [3, 12, "
            "21].",
        ),
        (
            lambda x: x.sum(axis=1) + 1e-4 * (1 + x[:, 0]),
            "it gives [2.0003]; right is [2].",
        ),  # as many digits as tell them apart
        (
            lambda x: x.sum(axis=1) * (1 if len(x) == 3 else 2),
            "right when B = 3, but not when B = 2. Something works only while sizes agree. For "
            "example, with x = [[2]] it gives [4]",
        ),
        (
            lambda x: x.sum(axis=1) if len(x) == 3 else 1 / 0,
            "For example, with x = [[2]] it stops with ZeroDivisionError",
        ),
    ],
)
def test_the_smallest_failing_example_is_shown(solution, said):
    assert said in function(solution, **ROWS).because


def test_a_function_that_is_not_the_same_twice():
    calls = []

    def first_wrong(x):
        calls.append(1)
        return row_sums(x) + (len(calls) == 1)

    assert "it has to give the same each time" in function(first_wrong, **ROWS).because


def test_every_check_of_a_function_shows_an_example():
    """A wrong answer of the right shape that no misconception explains."""
    from mbcore.checks import backpropagation, batch_index, flat_minima, perplexity

    odd = {
        batch_index.layer: lambda x, W0, C0: x @ W0.T * 0.123,
        two_graphs.shared_gradient: lambda own: own[0] * 0.123,
        backpropagation.backward: lambda x, W0, h, g: (x * 0.123, W0, h[0]),
        backpropagation.regularised: lambda g, W, lam: W * 0.123,
        gradient_averaging.accumulated: lambda m, B, n: m(0, 1) * 0.123,
        variance.scatter: lambda v, B: 0.123,
        hardware.line: lambda *a: (0.1, 0.2, 0.3),
        hardware.largest: lambda *a: 3,
        steps_to_target.seconds: lambda *a: 0.123,
        flat_minima.rescale: lambda W0, C0, W1, C1, a: (W0 * 0.123, C0, W1, C1),
        flat_minima.filter_normalise: lambda d_W, d_C, W, C: (W * 0.123, C),
        perplexity.perplexity: lambda P: 0.123,
        perplexity.floor: lambda P, pi: 0.123,
        last_batch.advantage: lambda L, F, lag: 0.123,
        many_workers.average: lambda g, shards: g[0] * 0.123,
    }
    for check, solution in odd.items():
        told = check(solution).because
        assert "For example, with " in told and "right is" in told and len(told) < 500, check


def test_numbers_are_written_short():
    assert (
        written((1 / 3, 2)) == "[0.333, 2]"
        and written((np.ones(2), 0.5)) == "([1, 1], 0.5)"
        and written(None) == "nothing"
    )
    assert (
        written(1e-9) == "1e-09"
        and written(np.eye(2)) == "[[1, 0], [0, 1]]"
        and len(written(np.ones(1000))) < 60
        and written("a") == "'a'"
    )


def test_no_two_sizes_of_the_first_case_are_equal():
    """With B = 7 and n = 3 there were 3 parts too, and dividing by n was taken for dividing by
    their number."""
    told = gradient_averaging.accumulated(
        lambda m, B, n: sum(m(k, min(k + n, B)) for k in range(0, B, n)) / n
    ).because
    assert "the numbers differ" in told
    told = gradient_averaging.accumulated(
        lambda m, B, n: sum(m(k, min(k + n, B)) for k in range(0, B, n)) / -(-B // n)
    ).because
    assert "mean of the parts' means" in told
