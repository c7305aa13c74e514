"""The target's column: which classes there are, which each example has, and which are for testing.

    labelled    an array of labels -> Labels
    of_words    the words of a file -> Labels
    for_testing which examples are kept for testing: a share of each class

A target that is no class is refused here: a quantity, a date, an id, a missing entry.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .checking import WrongKind, shown
from .entries import MISSING, WHOLE, is_number, kept_word, trouble

FEW = 20            # so many classes or fewer are taken as classes, whatever their numbers
CUT = "cut a quantity into some, as np.digitize(y, np.quantile(y, [1/3, 2/3])) does"
IGNORED = -100      # PyTorch's label of an example that the loss leaves out


@dataclass(frozen=True)
class Labels:
    """classes: in order; whole numbers, words, or False and True. places[n]: int64, into them."""

    classes: tuple
    places: np.ndarray


def labelled(target: np.ndarray, argument: str, example: Callable) -> Labels:
    """The labels in target[n]: whole numbers, words or truth values.

    argument: what errors call the target. example: says where the k-th example is, in words.
    TypeError for what can be no label, ValueError for labels that make no classes.
    """
    check_axes(target, argument)
    kind = target.dtype.kind
    if kind in "OT":
        return _of_objects(target, argument, example)
    if kind == "U":
        values, places = np.unique(target, return_inverse=True)
        return of_words(values.tolist(), places, argument, example)
    if kind not in "biuf":
        names = {"c": "complex numbers", "M": "dates", "m": "times", "S": "bytes: decode them"}
        what = names.get(kind, str(target.dtype))
        raise WrongKind(f"{argument}: expected classes, whole numbers or words, got {what}")
    if kind == "f":
        _check_whole(target, argument, example)
    values, places = np.unique(target, return_inverse=True)
    whole = values.tolist() if kind != "f" else [int(value) for value in values]
    return _counted(whole, places, argument, example)


def of_words(words, places, argument, example, decimal=".") -> Labels:
    """The labels of examples of which the k-th has the word words[places[k]].

    Words that are all whole numbers are numbers, exactly, however long. Blanks around do not count.
    """
    stripped = [word.strip() for word in words]
    for k, word in enumerate(stripped):
        missing = word.lower() in MISSING
        if not missing and (WHOLE.fullmatch(word) or is_number(word, decimal) or kept_word(word)):
            continue
        where = f"{example(int(np.argmax(places == k)))} has {words[k]!r}"
        if missing:
            raise ValueError(
                f"{argument}: expected a class for each, {where}, which marks a missing "
                "one: leave the example out, or give the class another name"
            )
        raise ValueError(f"{argument}: expected classes, {where}, {trouble(word, decimal)}")
    if not all(is_number(word, decimal) for word in stripped):
        _check_looks(stripped, argument)
        return _joined(stripped, places, argument, example)
    numbers = [_number(word.replace(",", ".")) for word in stripped]
    for k, number in enumerate(numbers):
        if isinstance(number, float):
            raise _quantity(words[k], len(words), argument, example(int(np.argmax(places == k))))
    written = {}
    for word, number in zip(stripped, numbers):
        other = written.setdefault(number, word)
        if other != word:
            raise ValueError(f"{argument}: expected each class written in one way, "
                             f"got {other!r} and {word!r}")
    return _joined(numbers, places, argument, example)


def _check_looks(words, argument):
    """Refuse two words that look the same: signs that cannot be seen, an accent made of two."""
    seen = {}
    for word in words:
        visible = "".join(sign for sign in word if unicodedata.category(sign) not in ("Cc", "Cf"))
        look = " ".join(unicodedata.normalize("NFC", visible).split())
        other = seen.setdefault(look, word)
        if other != word:
            raise ValueError(f"{argument}: expected each class written in one way, got "
                             f"{other!a} and {word!a}, which look the same")


def _number(word):
    """The number as an int if it is whole, however long; else as a float."""
    if WHOLE.fullmatch(word):
        return int(word)
    value = float(word)
    return int(value) if value.is_integer() and abs(value) <= 2**53 else value


def _of_objects(target, argument, example):
    """The labels in an array of Python objects: all words, all whole numbers or all flags."""
    seen = {}
    kinds = {}                  # each kind of label, and the first example that has it
    places = np.empty(len(target), dtype=np.int64)
    for k, value in enumerate(target):
        if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
            value = value.item()            # a number of NumPy's or a tensor's
        kinds.setdefault(_kind_of_label(value), k)
        if "nothing" in kinds:
            raise ValueError(f"{argument}: expected a class for each, {example(k)} has none")
        if "something else" in kinds:
            raise WrongKind(f"{argument}: expected classes, whole numbers or words, "
                            f"{example(k)} has {shown(value)}, a {type(value).__name__}")
        places[k] = seen.setdefault(value, len(seen))
    if len(kinds) > 1:
        said = ", ".join(f"{example(first)} has {kind}" for kind, first in kinds.items())
        raise WrongKind(f"{argument}: expected labels of one kind, {said}")
    if "a word" in kinds:
        return of_words(list(seen), places, argument, example)
    if any(isinstance(value, float) for value in seen):
        _check_whole(np.array(target, dtype=np.float64), argument, example)
    return _joined([v if isinstance(v, bool) else int(v) for v in seen], places, argument, example)


def _kind_of_label(value):
    """What a Python object is as a label, in words."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return "nothing"
    if isinstance(value, float) and value != value:
        return "nothing"
    kinds = {str: "a word", bool: "True or False", int: "a number", float: "a number"}
    return next((word for kind, word in kinds.items() if isinstance(value, kind)), "something else")


def _check_whole(target, argument, example):
    """Refuse floating-point labels that are no whole numbers, or too large to be told apart."""
    most = 2.0 ** (np.finfo(target.dtype).nmant + 1)
    if not np.isfinite(target).all():
        k = int(np.argmin(np.isfinite(target)))
        raise ValueError(f"{argument}: expected a class for each, {example(k)} has {target[k]}")
    if abs(target).max() > most:
        k = int(np.argmax(abs(target)))
        raise ValueError(
            f"{argument}: expected whole numbers up to {most:.0f}, beyond which {target.dtype} "
            f"skips some, {example(k)} has {target[k]:.0f}; give labels as integers"
        )
    wrong = target != np.floor(target)
    if wrong.any():
        k = int(np.argmax(wrong))
        raise _quantity(target[k], len(np.unique(target)), argument, example(k))


def _quantity(value, distinct, argument, where):
    """The error for a target that is measured and not one of some classes."""
    return ValueError(
        f"{argument}: expected classes, whole numbers or words, {where} has {value}, one of "
        f"{distinct:,} different numbers. The losses here need classes: {CUT}"
    )


def _joined(values, places, argument, example):
    """Labels of values in any order, of which some may be the same."""
    classes = sorted(set(values))
    rank = {value: k for k, value in enumerate(classes)}
    return _counted(classes, np.array([rank[v] for v in values])[places], argument, example)


def _counted(classes, places, argument, example):
    """Labels of these classes, if they are some: two or more, and not one for each example."""
    n, k = len(places), len(classes)
    if k < 2:
        raise ValueError(f"{argument}: expected at least two classes, got {classes} alone")
    numbered = not isinstance(classes[0], (str, bool))
    if numbered and classes[0] == IGNORED and classes[1] >= 0:
        where = example(int(np.argmax(places == 0)))
        raise ValueError(f"{argument}: {where} has {IGNORED}, which PyTorch ignores: "
                         "leave such examples out")
    if 2 * k > n and (k > FEW or k == n):
        raise ValueError(
            f"{argument}: expected classes, got {k:,} different labels for {n:,} examples: "
            "is it an id, a name or a quantity? Most classes need two examples or more"
        )
    spread = classes[-1] - classes[0] + 1 if numbered else 0
    if k > FEW and (spread > 2 * k or spread > k and n < 10 * k):
        raise ValueError(
            f"{argument}: expected classes, got {k:,} different whole numbers from {classes[0]:,} "
            f"to {classes[-1]:,}, as a quantity or an id has: {CUT}; number classes with gaps "
            "anew, as np.unique(y, return_inverse=True)[1] does"
        )
    return Labels(tuple(classes), places.astype(np.int64))


def check_axes(target: np.ndarray, argument: str) -> None:
    """Refuse a target that is not target[n], and say what to do."""
    if target.ndim == 1:
        return
    hint = ""
    if target.ndim == 2:
        wide = target.shape[1] > 1
        hint = "; one-hot rows become labels by y.argmax(axis=1)" if wide else "; take y[:, 0]"
        hint = "; take y[0]" if len(target) == 1 and wide else hint
    raise ValueError(f"{argument}: expected one label for each example, "
                     f"got shape {target.shape}{hint}")


def for_testing(places: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Which examples are kept for testing, [n]: round(share n) of them, spread over the classes.

    A class of m gets its share of them, m/n, to a whole number (by the largest remainder), and at
    least one if there are enough for all classes of two and more. One member of each class stays to
    train on. ValueError where this leaves nothing to train or to test on.
    """
    members = np.bincount(places)
    n, wanted = len(places), round(share * len(places))
    most = members - 1
    if not 0 < wanted < n:
        raise ValueError("test: expected some examples to train on and some to test on, "
                         f"got {n - wanted} and {wanted}")
    if wanted > most.sum():
        raise ValueError(f"test: expected a share that leaves an example of each of {len(members)} "
                         f"classes to train on, got {share:g}, which leaves {n - wanted}")
    enough = wanted >= np.count_nonzero(most)
    counts = _apportioned(wanted, members, np.minimum(most, int(enough)), most, rng.spawn(1)[0])
    if np.count_nonzero(counts) < 2:
        raise ValueError(f"test: expected a share that tests two classes or more, "
                         f"got {share:g}: {wanted} of {n} examples, all of one class")
    test = np.zeros(n, dtype=bool)
    by_class = np.split(np.argsort(places, kind="stable"), np.cumsum(members)[:-1])
    for own, count in zip(by_class, counts):
        test[rng.permutation(own)[:count]] = True
    return test


def _apportioned(total, members, least, most, rng):
    """Whole numbers with this sum, near total * members / members.sum(), each from least to most.

    Each further one goes to the class that lacks most; which of equals, is drawn.
    """
    quota = total * members / members.sum()
    counts = np.clip(np.floor(quota).astype(int), least, most)
    order = rng.permutation(len(members))
    step = 1 if counts.sum() < total else -1
    while counts.sum() != total:
        free = counts < most if step == 1 else counts > least
        lacking = np.where(free, step * (quota - counts), -np.inf)
        ranked = order[np.argsort(-lacking[order], kind="stable")]
        # Those that lack less by one or more come after the first, even once it has been served.
        served = ranked[lacking[ranked] > lacking.max() - 1]
        counts[served[: abs(total - counts.sum())]] += step
    return counts
