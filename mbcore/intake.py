"""What may come into a program: sizes, inputs, learning rates. Each refusal names the argument, what was expected and what came."""

from __future__ import annotations

import numpy as np

from .backend import device_of
from .checking import WrongKind, host_array, numbers, shown, whole

LARGEST = {np.dtype(kind): np.finfo(kind).max for kind in (np.float32, np.float64)}
MEAN_IN = ("parameters", "loss", "update")

NO_BATCH = (
    "L has no batch index here, so every size is fixed; "
    "let L be the loss of one example, without a mean over b"
)


def float_dtype(dtype):
    try:
        found = None if dtype is None else np.dtype(dtype)      # NumPy takes None for float64
    except (TypeError, ValueError):
        found = None
    if found not in (np.float32, np.float64):
        raise ValueError(f"dtype: expected 'float32' or 'float64', got {shown(dtype)}")
    return found


def check_nothing_pending(graph):
    """An index in over= that no value has: with_index has not been called, or not with this letter."""
    if graph.pending:
        raise ValueError(f"over={graph.pending[0]}: no value here has the index {graph.pending[0]}; "
                         f"add it by with_index({graph.pending[0]!r}) before compile")


def checked_sizes(graph, sizes):
    """Every index has one size; an error names the first index that has none, a wrong one, or two."""
    check_nothing_pending(graph)
    letters, written = graph.letters, graph.written or graph
    for i, n in sizes.items():
        if i not in (*letters, *written.letters):
            hint = "" if graph.batch else f"; they are for one example, and with_index({i!r}) before compile adds the batch index"
            raise ValueError(f"{i}: there is no such index; the equations have {', '.join(written.letters) or 'none'}{hint}")
        whole(i, n)
    for i in letters:
        if i not in sizes:
            raise ValueError(f"{i}: the size of this index is missing; compile(..., {i}=...)")
    for used, own, name in (*graph.same_sizes, *written.same_sizes):
        if {used, own} <= sizes.keys() and sizes[used] != sizes[own]:
            raise ValueError(f"{used}: {used}={sizes[used]} and {own}={sizes[own]} contradict each other: "
                             f"both are the same position of {name}")
    return {i: whole(i, sizes[i]) for i in letters}


def check_numbers(graph, sizes, dtype):
    """The numbers in the equations fit into the dtype.

    1e300 * x[i] and 1e-50 * x[i] do in float64 alone.
    """
    largest = float(np.finfo(dtype).max)
    for node in graph.nodes:
        for term in (*getattr(node, "terms", ()), *_number_of_norm(node)):
            number = term.times(sizes)
            told = f"{node.out.name}: the number {number:g} in its equation"
            if abs(number) > largest:
                raise ValueError(
                    f"{told} is too large for {dtype}, which ends at {largest:.1e}; "
                    "compile with dtype='float64' or use smaller units"
                )
            if number and not dtype.type(number):
                raise ValueError(
                    f"{told} is too small for {dtype}, where it would be 0; "
                    "compile with dtype='float64' or use other units"
                )


def _number_of_norm(node):
    """The number under the root of a sum of squares."""
    return (node.number,) if getattr(node, "function", "") == "norm" else ()


def checked_mean_in(mean_in):
    if not isinstance(mean_in, (str, tuple, list, set, frozenset)):
        raise WrongKind(f"mean_in: expected places among {', '.join(MEAN_IN)}, got {shown(mean_in)}")
    places = (mean_in,) if isinstance(mean_in, str) else tuple(mean_in)
    for place in places:
        if place not in MEAN_IN:
            raise ValueError(f"mean_in: expected places among {', '.join(MEAN_IN)}, got {shown(place)}")
    return tuple(dict.fromkeys(places))


def check_parameters(name, arrays, shapes, dtype):
    """Finite real numbers for each parameter and nothing else, which the dtype can hold.

    name: the argument by which they came.
    """
    wanted = f"{name}: expected an array for each parameter, of shapes {shapes}"
    for key in {**shapes, **arrays}:
        if key not in arrays:
            raise ValueError(f"{wanted}; {key} is missing")
        if key not in shapes:
            raise ValueError(f"{wanted}; got {key} as well")
        if arrays[key].shape != shapes[key]:
            raise ValueError(f"{wanted}; got {key} of shape {arrays[key].shape}")
    for key, a in arrays.items():
        if a.dtype.kind not in "iuf":
            raise WrongKind(f"{name}: expected finite real numbers in {key}, got {a.dtype}")
        if not (abs(a) <= np.finfo(dtype).max).all():
            largest = f"up to {np.finfo(dtype).max:.1e}, which is where {dtype} ends"
            raise ValueError(f"{name}: expected finite real numbers in {key}, {largest}; got {abs(a).max()}")


def parameter(name, value, array):
    """What may be written into a parameter's array: real numbers of its shape, on its device."""
    if device_of(value) != device_of(array) and np.ndim(value):
        raise TypeError(f"params[{name!r}]: the program is on the {device_of(array)}, the array is "
                        f"on the {device_of(value)}; move it by mb.to_cpu or mb.to_gpu")
    if device_of(value) == "cpu":
        value = numbers(f"params[{name!r}]", value, dtype=array.dtype)
    if value.shape not in ((), array.shape):
        raise ValueError(f"params[{name!r}]: expected shape {array.shape}, got {value.shape}")
    return value if value.ndim or device_of(value) == "gpu" else value.item()


def check_names(inputs, wanted, parameters):
    """Exactly the inputs that are wanted, and no parameter among them."""
    for name in inputs:
        if name in parameters:
            raise ValueError(f"{name}: a capital makes a parameter, which the program holds itself (params[{name!r}]); "
                             f"call an input {name.lower()}")
        if name not in wanted:
            raise ValueError(f"{name}: there is no such input here; expected {', '.join(wanted) or 'none'}")
    for name in wanted:
        if name not in inputs:
            raise ValueError(f"{name}: missing; a small initial makes it an input, so its values must be given "
                             f"({name}=...). A parameter has a capital")


def checked_input(name, array, xp, device, classes, sizes, dtype):
    """The input as an array of the program's dtype. classes: the indices that labels count in, None for real numbers.

    Values are looked at on the CPU only: on a GPU that would wait for it at every step.
    """
    if type(array) is not np.ndarray or device != "cpu":        # the usual case asks no further
        array = _on_device(name, array, xp, device)
    kind = array.dtype.kind
    if classes and kind not in "iu":
        raise WrongKind(f"{name}: expected whole-number labels, got {array.dtype}; for a distribution write "
                        f"{name}[{classes[0]}] in the equations")
    if kind not in "iuf":
        raise WrongKind(f"{name}: expected real numbers, got {array.dtype}")
    if not array.size:
        raise ValueError(f"{name}: the batch is empty, shape {array.shape}; give at least one example")
    if device == "cpu" and classes:
        _check_labels(name, array, min(classes, key=sizes.get), sizes)
    elif device == "cpu":
        _check_finite(name, array, dtype)
    return array


def _on_device(name, array, xp, device):
    """An input that is no NumPy array for a program on the CPU: a list, a tensor, an array on a GPU."""
    own = device_of(array)
    if own != device and (own == "gpu" or np.ndim(array)):      # a plain number may go to either
        raise TypeError(f"{name}: the program is on the {device}, the array is on the {own}; "
                        "move it by mb.to_cpu or mb.to_gpu")
    if own == "cpu" and type(array) is not np.ndarray:
        array = host_array(name, array)
    return xp.asarray(array) if device == "gpu" else array


def _check_labels(name, array, y, sizes):
    low, high = _extremes(array)
    if low < 0 or high >= sizes[y]:
        raise ValueError(f"{name}: labels must lie in 0 .. {sizes[y] - 1} ({y}={sizes[y]}), got {low if low < 0 else high}")


def _check_finite(name, array, dtype):
    """Entries are looked at one by one only to name the bad one."""
    largest = LARGEST[dtype]
    if array.dtype == dtype and array.flags.c_contiguous and np.vdot(array, array) <= largest:
        return                              # one pass, and no warning where the squares overflow
    low, high = _extremes(array)
    if -largest <= low and high <= largest:
        return
    bad = np.argwhere(~(np.abs(array) <= largest))
    where = tuple(int(k) for k in bad[0])
    held = f"; {dtype} ends at {largest:.1e}" if np.isfinite(array[where]) else ""
    raise ValueError(f"{name}: expected finite numbers, got {array[where]} at {list(where)}{held}")


def _extremes(array):
    """The least and the greatest number; `array.min()` asks the same by way of Python, at each step."""
    return np.minimum.reduce(array, axis=None), np.maximum.reduce(array, axis=None)


def sizes_of(arrays, graph, sizes):
    """The sizes with the batch size that the arrays have; an error names the array and the index that does not fit."""
    b, first = graph.batch, None
    for name, array in arrays.items():
        indices = graph.shapes[name]
        if array.ndim == len(indices) - 1 and indices[0] in graph.replicas:
            indices = indices[1:]               # one array for all replicas
        if array.ndim != len(indices):
            one = b is None and array.ndim == len(indices) + 1
            hint = '; the equations are for one example: with_index("b") before compile adds the batch index' if one else ""
            raise ValueError(f"{name}: expected the indices [{','.join(indices)}], so {len(indices)} axes, got shape {array.shape}{hint}")
        for i, n in zip(indices, array.shape):
            if i == b and first is None:
                if n > sizes[b]:
                    raise ValueError(f"{name}: {n} examples and the program was compiled for {b}={sizes[b]}; use resized({b}={n})")
                sizes, first = {**sizes, b: n}, name
            elif n != sizes[i]:
                said = f"{first} has {sizes[i]}" if i == b else f"the program was compiled for {i}={sizes[i]}"
                hint = ""
                if b is None and "L" in graph.shapes and i not in graph.owners:
                    hint = f"; if {i} is the batch index, let L be the loss of one example"
                    hint += f", without a mean over {i}"
                raise ValueError(
                    f"{name}: expected {i}={sizes[i]}, as {said}, "
                    f"got {n} (shape {array.shape}){hint}"
                )
    return sizes
