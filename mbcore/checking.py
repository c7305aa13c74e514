"""One set of argument checks, which every module asks where a value comes in.

    whole     a whole number, within limits
    real      a finite number, within limits
    flag      True or False
    one_of    one word of a list
    generator a numpy.random.Generator
    numbers   an array of finite real numbers
    rate      a learning rate: a number, or one for each replica
    file_path a path, of a file that may be there or not
    existing_file  the path of a file that can be read
    shown     a value in an error message, cut short

Each returns the value as Python or NumPy holds it, or raises an error that names the argument, what was expected and
what came: ValueError for a value outside the limits, WrongKind, which is a TypeError too, for one of the wrong kind.
NumPy's scalars, arrays without axes and PyTorch's tensors count as what they hold, also where they require grad.
"""

from __future__ import annotations

import math
import os
from numbers import Integral, Rational, Real
from operator import index

import numpy as np

LARGEST = 2**63 - 1         # what NumPy can count to


class WrongKind(TypeError, ValueError):
    """A value of the wrong kind: a text for a number. Whoever catches either of the two errors has it."""


def whole(name: str, value: object, least: int = 1, most: int = LARGEST) -> int:
    """The value as an int between `least` and `most`.

    Example: whole("B", np.int64(8)) -> 8; whole("B", 0) raises
    ValueError("B: expected a whole number of at least 1, got 0").
    """
    wanted = f"{name}: expected a whole number of at least {least}"
    wanted += f" and at most {most}" if most != LARGEST else ""
    plain = _scalar(value)
    if isinstance(plain, (bool, np.bool_)) or not isinstance(plain, Integral):
        raise WrongKind(f"{wanted}, got {shown(value)}")
    number = index(plain)
    if number > LARGEST:
        raise ValueError(f"{wanted}, got {shown(value)}, which is beyond 2**63")
    if not least <= number <= most:
        raise ValueError(f"{wanted}, got {shown(value)}")
    return number


def real(
    name: str,
    value: object,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """The value as a finite float: least <= value <= most, above < value < below, each limit where it is given."""
    limits = ((least, "of at least"), (above, "above"), (most, "at most"), (below, "below"))
    words = " and ".join(f"{word} {limit:g}" for limit, word in limits if limit is not None)
    wanted = f"{name}: expected a finite number{' ' * bool(words)}{words}"
    plain = _scalar(value)
    if isinstance(plain, (bool, np.bool_)) or not isinstance(plain, Real):
        raise WrongKind(f"{wanted}, got {shown(value)}")
    try:
        number = float(plain)
    except OverflowError:
        number = math.inf
    inside = (least is None or number >= least) and (most is None or number <= most)
    between = (above is None or number > above) and (below is None or number < below)
    if not math.isfinite(number) or not inside or not between:
        raise ValueError(f"{wanted}, got {shown(value)}")
    return number


def flag(name: str, value: object) -> bool:
    """The value as a bool; 0, 1, "no" and None are refused."""
    if not isinstance(_scalar(value), (bool, np.bool_)):
        raise WrongKind(f"{name}: expected True or False, got {shown(value)}")
    return bool(_scalar(value))


def one_of(name: str, value: object, allowed) -> str:
    """The value, if it is one of the words in `allowed`."""
    wanted = f"{name}: expected {', '.join(map(str, allowed))}, got {shown(value)}"
    if not isinstance(value, str):
        raise WrongKind(wanted)
    if value not in allowed:
        raise ValueError(wanted)
    return str(value)


def generator(rng: object, name: str = "rng", spawns: bool = False) -> np.random.Generator:
    """The generator itself; a seed, or NumPy's older RandomState, is refused with what to write instead.

    spawns: whether others are spawned from it, as one made from a RandomState's bits cannot do.
    """
    if not isinstance(rng, np.random.Generator):
        raise WrongKind(f"{name}: expected a numpy.random.Generator (np.random.default_rng(seed)), got {shown(rng)}")
    source = getattr(rng.bit_generator, "seed_seq", None)
    if spawns and not isinstance(source, np.random.bit_generator.ISpawnableSeedSequence):
        raise ValueError(f"{name}: expected a generator that others can be spawned from, one for each replica "
                         f"(np.random.default_rng(seed)), got {shown(rng)} without a seed of its own")
    return rng


def numbers(name: str, value: object, ndim: int | None = None, dtype=np.float64) -> np.ndarray:
    """The value as an array of finite real numbers of this dtype, with `ndim` axes if that is given, on the CPU.

    Refused: masked entries, booleans, complex numbers, dates, Python objects, ragged lists, and numbers that the
    dtype cannot hold.
    """
    found = host_array(name, value)
    if found.dtype.kind not in "iuf":
        raise WrongKind(f"{name}: expected real numbers, got {found.dtype}")
    if ndim is not None and found.ndim != ndim:
        raise ValueError(f"{name}: expected {ndim} {'axis' if ndim == 1 else 'axes'}, got shape {found.shape}")
    with np.errstate(over="ignore"):
        cast = found.astype(dtype)
    if not np.isfinite(cast).all():
        where = tuple(int(k) for k in np.argwhere(~np.isfinite(cast))[0])
        held = f"; {np.dtype(dtype)} ends at {np.finfo(dtype).max:.1e}" if np.isfinite(found[where]) else ""
        raise ValueError(f"{name}: expected finite numbers, got {found[where]} at {list(where)}{held}")
    return cast


def host_array(name: str, value: object) -> np.ndarray:
    """The value as a NumPy array of whatever it holds; a tensor is detached, a masked entry refused."""
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.getmaskarray(value).any():
            raise ValueError(f"{name}: expected numbers, got a masked array with entries missing; fill them or leave them out")
        return np.asarray(value.data)
    if is_tensor(value):
        return _array_of_tensor(name, value)
    plain = _without_odd(name, value)
    try:
        return np.asarray(plain)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise WrongKind(f"{name}: expected an array of numbers, got what NumPy makes none of: {error}") from None


def _without_odd(name, value):
    """A list whose masked arrays and tensors, at any depth, are read already: NumPy forgets masks,
    and stops at a tensor that requires grad."""
    if isinstance(value, (list, tuple)):
        return [v if type(v) in (float, int) else _without_odd(name, v) for v in value]
    odd = isinstance(value, np.ma.MaskedArray) or is_tensor(value)
    return host_array(name, value) if odd else value


def _array_of_tensor(name, value):
    """A tensor as a NumPy array: detached, its pending signs applied, bfloat16 as float32."""
    try:
        value = value.detach().cpu().resolve_conj().resolve_neg()
        return (value if str(value.dtype) != "torch.bfloat16" else value.float()).numpy()
    except (RuntimeError, TypeError) as error:
        raise WrongKind(f"{name}: expected an array, got a tensor that NumPy makes none of: "
                        f"{error}") from None


def file_path(name: str, path: object, wanted: str = "a file") -> str:
    """The path as a text, of a file that may be there or not: a text or a pathlib.Path."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise WrongKind(f"{name}: expected the path of {wanted}, got {shown(path)}")
    return text


def existing_file(name: str, path: object, wanted: str) -> str:
    """The path as a text, of a file that is there, which is neither a folder nor a pipe.

    Example: existing_file("path", "own.csv", "a CSV file"). WrongKind, FileNotFoundError,
    IsADirectoryError or ValueError for anything else.
    """
    text = file_path(name, path, wanted)
    if os.path.isdir(text):
        raise IsADirectoryError(f"{name}: expected {wanted}, {text} is a folder")
    if not os.path.exists(text):
        raise FileNotFoundError(f"{name}: there is no {shown_text(text)}")
    if not os.path.isfile(text):            # to read a pipe may wait for ever
        raise ValueError(f"{name}: expected {wanted}, {text} is a device or a pipe")
    return text


def rate(lr: object, replicas: tuple = (), dtype=np.float64, name: str = "lr") -> float | np.ndarray:
    """A learning rate: a finite number, or an array of the shape `replicas`, that fits into the dtype.

    Example: rate(1e39, dtype=np.float32) raises ValueError, since 1e39 is inf there and would make the weights so.
    """
    if type(lr) is float and -_LARGEST[np.float32] <= lr <= _LARGEST[np.float32]:
        return lr                           # the usual case, asked once a step
    wanted = f"{name}: expected a finite number{f' or an array of shape {replicas}' if replicas else ''}"
    try:
        fraction = isinstance(lr, Rational) and not isinstance(lr, Integral)
        array = host_array(name, float(lr) if fraction else lr)
    except (TypeError, ValueError, OverflowError):
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        raise WrongKind(f"{wanted}, got {shown(lr)}")
    if array.shape not in ((), tuple(replicas)) or not np.isfinite(array).all():
        raise ValueError(f"{wanted}, got {shown(lr)}")
    if (abs(array) > np.finfo(dtype).max).any():
        raise ValueError(f"{wanted} that {np.dtype(dtype)} can hold (up to {np.finfo(dtype).max:.1e}), got {shown(lr)}")
    return array.astype(float) if array.ndim else float(array)


_LARGEST = {kind: float(np.finfo(kind).max) for kind in (np.float32, np.float64)}


def is_tensor(value: object) -> bool:
    """Whether this is a PyTorch tensor. PyTorch is never imported here: a caller who has a tensor has imported it."""
    return type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach")


def shown(value: object) -> str:
    """The value for an error message, cut to 80 characters; an array by its dtype and shape."""
    if isinstance(value, np.ndarray) and value.ndim or is_tensor(value) and value.ndim:
        masked = isinstance(value, np.ma.MaskedArray)
        kind = "a tensor" if is_tensor(value) else "a masked array" if masked else "an array"
        return f"{kind} of {value.dtype} of shape {tuple(value.shape)}"
    try:
        text = repr(value)
    except Exception:                       # a value whose repr fails still gets a message
        text = f"a {type(value).__name__}"
    return shown_text(" ".join(text.split()) if "\n" in text else text)


def shown_text(text: str) -> str:
    """The text, cut to 80 characters."""
    return text if len(text) <= 80 else text[:77] + "..."


def _scalar(value):
    """The number in an array or tensor without axes, else the value itself."""
    if value is np.ma.masked or isinstance(value, (str, bytes)):
        return None
    if is_tensor(value) and value.ndim == 0:
        return value.detach().item()
    if isinstance(value, np.ndarray) and value.ndim == 0:
        return None if np.ma.is_masked(value) else value.item()
    return value
