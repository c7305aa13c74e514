"""Data sets that come with the package or are made from a seed, a known text, batches."""

from bisect import bisect
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from math import exp

import numpy as np

from .checking import WrongKind, flag, generator, numbers, real, shown, whole
from .examples import DataSet

MADE = "Made by this package from a seed; no rights reserved."


@cache      # its arrays are read-only
def digits():
    """The 8x8 handwritten digits: 1,437 to train on, 360 to test on, balanced, always the same."""
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        x = stored["images"].astype(np.float32) / 16
        target, test = stored["labels"].astype(np.int64), stored["test"]
    return DataSet(
        name="digits",
        x_train=x[~test],
        target_train=target[~test],
        x_test=x[test],
        target_test=target[test],
        classes=tuple(range(10)),
        description="1,797 images of handwritten digits, 8x8 pixels; "
        "a pixel counts the ink in a 4x4 block, divided by 16.",
        licence="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test set), "
        "UCI Machine Learning Repository, 1998, doi:10.24432/C50P49, CC BY 4.0. "
        "Changed: pixels divided by 16, split into train and test.",
    )


def gaussians(n_train=2000, n_test=1000, i=20, classes=4, distance=3.0, noise=0.0, seed=0):
    """A mixture of Gaussians: x = mean of its class + N(0, I), any two means `distance` apart.

    Classes are equally likely. noise: the share of training labels, exactly round(noise n_train),
    that are changed to another class, drawn evenly; more noise changes the same labels and further
    ones. Test labels are the true ones. With two classes no classifier does better than the error
    Phi(-distance / 2). classes: 2 to i. seed: a whole number.

    TypeError or ValueError names the argument that does not fit.
    """
    n_train, n_test = whole("n_train", n_train), whole("n_test", n_test)
    i, classes, seed = whole("i", i), whole("classes", classes), whole("seed", seed, 0)
    if not 2 <= classes <= i:
        why = "so that all means can be equally far apart"
        raise ValueError(f"classes: expected from 2 to i = {i}, {why}; got {classes}")
    noise = real("noise", noise, least=0, most=1)
    distance = real("distance", distance, least=0, most=1e30)      # float32 ends at 3e38
    for_means, for_train, for_test, for_noise = np.random.default_rng(seed).spawn(4)
    means = np.linalg.qr(for_means.normal(size=(i, classes)))[0].T * distance / 2 ** 0.5

    def draw(n, rng):
        target = rng.integers(classes, size=n)
        return means[target] + rng.normal(size=(n, i)), target

    x, target = draw(n_train, for_train)
    test = draw(n_test, for_test)
    order, shift = for_noise.permutation(n_train), for_noise.integers(1, classes, n_train)
    wrong = order[: round(noise * n_train)]
    target[wrong] = (target[wrong] + shift[wrong]) % classes
    description = (f"{classes} Gaussians in {i} dimensions, means {distance:g} apart; "
                   f"{100 * len(wrong) / n_train:.3g}% of the training labels are wrong.")
    return _made("gaussians", (x, target), test, classes, description)


def teacher(n_train=2000, n_test=1000, i=20, j=8, classes=4, seed=0):
    """Labels from a network: target = argmax over y of W1[y,j] tanh(W0[j,i] x[i]).

    x ~ N(0, I), W0 ~ N(0, 4/i), W1 ~ N(0, 1). No label is noise, and by symmetry (x and -x) no
    class has a bias of its own, but classes differ in size. classes: 2 or more.
    seed: a whole number.

    TypeError or ValueError names the argument that does not fit.
    """
    n_train, n_test = whole("n_train", n_train), whole("n_test", n_test)
    i, j = whole("i", i), whole("j", j)
    classes, seed = whole("classes", classes, 2), whole("seed", seed, 0)
    for_weights, for_train, for_test = np.random.default_rng(seed).spawn(3)
    W0 = for_weights.normal(size=(j, i)) * (4 / i) ** 0.5
    W1 = for_weights.normal(size=(classes, j))

    def draw(n, rng):
        x = rng.normal(size=(n, i))
        return x, (np.tanh(x @ W0.T) @ W1.T).argmax(axis=1)

    description = f"Gaussian inputs in {i} dimensions, labelled by a network with {j} hidden units."
    return _made("teacher", draw(n_train, for_train), draw(n_test, for_test), classes, description)


def _made(name, train, test, classes, description):
    """A DataSet of (x, target) to train on and to test on."""
    arrays = []
    for x, target in (train, test):
        arrays += [x.astype(np.float32), target.astype(np.int64)]
    return DataSet(name, *arrays, tuple(range(classes)), description, MADE)


@dataclass(frozen=True, eq=False)
class Characters:
    """A text from a Markov chain: text[n], int64, places in `alphabet`.

    transitions[k,l] = P(l follows k); stationary[k], the share of character k in the long run.
    entropy: H = -sum_k stationary[k] sum_l transitions[k,l] ln transitions[k,l], nats a character,
    exactly. perplexity: exp(H), which no model of this text undercuts on average; the chain itself
    reaches it.
    """

    text: np.ndarray = field(repr=False)
    alphabet: str
    transitions: np.ndarray = field(repr=False)
    stationary: np.ndarray = field(repr=False)
    entropy: float
    perplexity: float

    def __str__(self):
        return "".join(self.alphabet[k] for k in self.text)


def characters(n, alphabet="abcdefgh ", transitions=None, concentration=0.3, seed=0):
    """n characters of a stationary Markov chain of order 1, over two or more different characters.

    transitions: rows of probabilities; by default each row is drawn from a Dirichlet distribution,
    the less `concentration`, the more predictable. seed: a whole number.
    The entropy rate is C. Shannon's, 1948.

    ValueError for rows that are no probabilities, and for a chain with more than one stationary
    distribution; TypeError or ValueError names any other argument that does not fit.
    """
    n, seed = whole("n", n), whole("seed", seed, 0)
    concentration = real("concentration", concentration, least=1e-3, most=1e6)
    if not isinstance(alphabet, str):
        raise WrongKind(f"alphabet: expected a text; got {shown(alphabet)}")
    A = len(alphabet)
    if A < 2 or len(set(alphabet)) != A:
        wanted = "two or more different characters"
        raise ValueError(f"alphabet: expected {wanted}; got {shown(alphabet)}")
    for_rows, for_text = np.random.default_rng(seed).spawn(2)
    if transitions is None:
        P = for_rows.dirichlet(np.full(A, concentration), size=A)
    else:
        P = numbers("transitions", transitions)
    if P.shape != (A, A) or not (P >= 0).all() or not np.allclose(P.sum(axis=1), 1, atol=1e-12):
        wanted = f"{A} rows of {A} probabilities, each row with the sum 1"
        raise ValueError(f"transitions: expected {wanted}; got {shown(transitions)}")
    pi = _stationary(P)
    if pi is None:
        said = "seed, concentration" if transitions is None else "transitions"
        raise ValueError(f"{said}: expected one stationary distribution; "
                         "got a chain that falls apart into several")
    # + 0.0: no -0.0 of a text that is certain
    entropy = float(-(pi[:, None] * P * np.log(np.where(P > 0, P, 1))).sum()) + 0.0
    text = _walk(np.cumsum(P, axis=1), np.cumsum(pi), for_text.random(n))
    for array in (text, P, pi):
        array.setflags(write=False)
    return Characters(text, alphabet, P, pi, entropy, exp(entropy))


def _stationary(P):
    """pi[k] with pi P = pi, to rounding also where states are hardly ever left; None if several.

    Nothing is subtracted: W. Grassmann, M. Taksar and D. Heyman 1985, doi:10.1287/opre.33.5.1107.
    """
    reached = np.eye(len(P)) + P > 0            # reached[k,l]: l comes after k at some time
    while True:
        farther = reached.astype(np.float32) @ reached > 0
        if (farther == reached).all():
            break
        reached = farther
    lasting = (reached <= reached.T).all(axis=1)        # whatever comes after k leads back to it
    if not reached[np.ix_(lasting, lasting)].all():
        return None
    Q = P[np.ix_(lasting, lasting)]
    own = np.ones(len(Q))
    for k in range(len(Q) - 1, 0, -1):          # leave out state k: its ways go on through it
        Q[:k, k] /= Q[k, :k].sum()
        Q[:k, :k] += np.outer(Q[:k, k], Q[k, :k])
    for k in range(1, len(Q)):
        own[k] = own[:k] @ Q[:k, k]
    pi = np.zeros(len(P))
    pi[lasting] = own / own.sum()
    return pi


def _walk(rows, first, draws):
    """The chain, one character a uniform number; rows[k] and first are cumulative probabilities."""
    rows = (rows / rows[:, -1:]).tolist()
    now = (first / first[-1]).tolist()
    text = []
    for u in draws.tolist():
        text.append(bisect(now, u))
        now = rows[text[-1]]
    return np.array(text, dtype=np.int64)


def batches(n, B, rng, replacement=False, drop_last=False, epochs=1):
    """Iterate over batches of indices into n examples, int64 arrays, for a number of passes.

    Without replacement every pass is a fresh permutation cut into ceil(n/B) parts: each index comes
    once per pass. The last part is smaller where B does not divide n; drop_last leaves it out.
    The mean over a batch of B has the variance (sigma^2/B) (n-B)/(n-1), sigma^2 with ddof 0.

    With replacement a pass is ceil(n/B) batches, floor(n/B) with drop_last, all of B independent
    uniform indices, and B may exceed n. The mean over a batch has the variance sigma^2/B.

    The arguments are checked here; rng, a numpy.random.Generator, is drawn from as the batches are
    taken.
    TypeError or ValueError names the argument that does not fit.
    """
    n, B, epochs, rng = whole("n", n), whole("B", B), whole("epochs", epochs), generator(rng)
    replacement, drop_last = flag("replacement", replacement), flag("drop_last", drop_last)
    if B > n and not replacement:
        raise ValueError(f"B: expected at most n = {n} without replacement; got {B}")
    if B > n and drop_last:
        raise ValueError(f"drop_last: leaves no batch, because B = {B} exceeds n = {n}; "
                         "expected B of at most n, or False")
    parts = n // B if drop_last else -(-n // B)
    draw = _with_replacement if replacement else _without_replacement
    return (batch for _ in range(epochs) for batch in draw(n, B, rng, parts))


def _with_replacement(n, B, rng, parts):
    for _ in range(parts):
        yield rng.integers(n, size=B)


def _without_replacement(n, B, rng, parts):
    order = rng.permutation(n)
    for k in range(parts):
        yield order[k * B : (k + 1) * B]
