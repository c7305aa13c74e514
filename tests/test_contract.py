"""What `advise` says of a loss, a module and its examples: each kind of mistake by its words, each
right one taken."""

import copy
import random
import warnings
from types import SimpleNamespace

import numpy as np
import pandas
import pytest

from mbcore import contract, data
from mbcore.advise import advise, advising
from mbcore.subject import subject

DATA = data.gaussians(n_train=240, n_test=20, i=6, classes=3)
X, T = DATA.x_train, DATA.target_train
VALUES = (X @ np.arange(1, 7)).astype("float32")


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield torch
    torch.set_num_threads(before)


def module(torch, outputs=3, *between):
    nn = torch.nn
    return nn.Sequential(nn.Linear(6, 5), *between, nn.ReLU(), nn.Linear(5, outputs))


def tried(torch, net=None, given=DATA, loss=None):
    return subject(
        net or module(torch),
        given,
        loss or torch.nn.functional.cross_entropy,
        np.random.default_rng(0),
    )


# ------------------------------------------------------------------ the loss


def losses(torch):
    """name -> (loss, outputs, targets, the words expected, or None where it is right)."""
    F = torch.nn.functional
    each = dict(reduction="none")
    weight = torch.tensor([1.0, 2.0, 9.0])
    ignored = np.where(np.arange(len(T)) % 9 == 0, -100, T)
    labels = lambda loss, said, target=T: (loss, 3, target, said)
    values = lambda loss, said, target: (loss, 1, target, said)
    return {
        "mean": labels(F.cross_entropy, None),
        "each": labels(lambda s, t: F.cross_entropy(s, t, **each), None),
        "smoothed": labels(lambda s, t: F.cross_entropy(s, t, label_smoothing=0.1), None),
        "weighted each": labels(lambda s, t: weight[t] * F.cross_entropy(s, t, **each), None),
        "margin": labels(F.multi_margin_loss, None),
        "squares": values(F.mse_loss, None, VALUES[:, None]),
        "squares, each": values(lambda s, t: F.mse_loss(s, t, **each), None, VALUES[:, None]),
        "squares, each, broadcast": values(
            lambda s, t: F.mse_loss(s, t, **each), "broadcast", VALUES
        ),
        "each of three": (lambda s, t: F.mse_loss(s, t, **each), 3, np.eye(3)[T], "mean over"),
        "of a distribution": labels(
            lambda s, t: -torch.distributions.Categorical(s.softmax(1)).log_prob(t), None
        ),
        "without its minus": labels(lambda s, t: -F.cross_entropy(s, t), "minus of -log P"),
        "log P": labels(
            lambda s, t: s.log_softmax(1).gather(1, t[:, None]).mean(), "minus of -log P"
        ),
        "whole numbers for two classes": values(
            lambda s, t: F.binary_cross_entropy_with_logits(s[:, 0], t), "float32", T
        ),
        "huber, squeezed": values(lambda s, t: F.huber_loss(s[:, 0], t), None, VALUES),
        "negative": values(
            lambda s, t: F.gaussian_nll_loss(s, t, torch.full_like(s, 1e-2)) - 9,
            None,
            VALUES[:, None] * 0,
        ),
        "two classes": values(
            F.binary_cross_entropy_with_logits, None, (T[:, None] > 0).astype("float32")
        ),
        "1/B twice": labels(lambda s, t: F.cross_entropy(s, t) / len(t), "1/B stands twice"),
        "1/B twice, each": labels(
            lambda s, t: F.cross_entropy(s, t, **each) / len(t), "1/B stands twice"
        ),
        "sum": labels(lambda s, t: F.cross_entropy(s, t, reduction="sum"), "as a sum does"),
        "sum of squares": values(
            lambda s, t: ((s - t) ** 2).sum(), "as a sum does", VALUES[:, None]
        ),
        "half of a sum": values(
            lambda s, t: ((s - t) ** 2).sum() / 2, "as a sum does", VALUES[:, None]
        ),
        "root": values(
            lambda s, t: F.mse_loss(s, t) ** 0.5, "each example's own loss", VALUES[:, None]
        ),
        "broadcast": values(F.mse_loss, "broadcast", VALUES),
        "broadcast, l1": values(F.l1_loss, "broadcast", VALUES),
        "ignored": labels(F.cross_entropy, "ignored label", ignored),
        "all ignored": labels(F.cross_entropy, "ignored label", np.full(len(T), -100)),
        "a class ignored": labels(
            lambda s, t: F.cross_entropy(s, t, ignore_index=2), "ignored label"
        ),
        "weights": labels(lambda s, t: F.cross_entropy(s, t, weight=weight), "class weights"),
        "contrast": labels(
            lambda s, t: F.cross_entropy(s @ s.T, torch.arange(len(s))), "compare examples"
        ),
        "the batch's range": labels(
            lambda s, t: F.cross_entropy(s - s.mean(0), t), "each example's own loss"
        ),
        "a vector that knows the batch": labels(
            lambda s, t: F.cross_entropy(s, t, **each).flip(0), "to be its own"
        ),
        "nan": labels(
            lambda s, t: F.cross_entropy(s, t) * np.nan, "finite loss of each example; got nan"
        ),
        "log of 0": labels(
            lambda s, t: F.cross_entropy(s, t) - torch.log((t != 1).float()).mean(), "got inf"
        ),
        "no tensor": labels(lambda s, t: 1.0, "got float"),
        "nothing": labels(lambda s, t: None, "got NoneType"),
        "the scores": labels(lambda s, t: s, "got shape"),
        "counts": labels(lambda s, t: (s.argmax(1) != t).sum(), "whole numbers"),
        "a constant": labels(lambda s, t: torch.zeros(()), "constant"),
        "detached": labels(lambda s, t: F.cross_entropy(s.detach(), t), "constant"),
        "accuracy": labels(lambda s, t: (s.argmax(1) == t).float().mean(), "constant"),
    }


def names(torch=pytest.importorskip("torch")):
    return list(losses(torch))


@pytest.mark.parametrize("name", names())
def test_a_loss_is_taken_or_named(torch, name):
    loss, outputs, target, said = losses(torch)[name]
    given = SimpleNamespace(x_train=X, target_train=target)
    if said is None:
        found = tried(torch, module(torch, outputs), given, loss)
        at = np.arange(50)
        assert found.own_losses(at).mean() == pytest.approx(found.loss(at), rel=1e-5)
    else:
        with pytest.raises(ValueError, match=f"^(loss|net): .*{said}"):
            tried(torch, module(torch, outputs), given, loss)


def test_a_softmax_too_many_or_too_few_is_named(torch):
    F, nn = torch.nn.functional, torch.nn
    ends = {
        nn.Softmax(1): (F.cross_entropy, "probabilities already"),
        nn.LogSoftmax(1): (F.nll_loss, None),
        nn.Identity(): (F.nll_loss, "these are scores"),
        nn.Dropout(0.0): (F.cross_entropy, None),
        nn.Sigmoid(): (F.multi_margin_loss, None),
    }
    for end, (loss, said) in ends.items():
        net = nn.Sequential(module(torch), end)
        if said is None:
            tried(torch, net, loss=loss)
        else:
            with pytest.raises(ValueError, match=f"^loss: .*{said}"):
                tried(torch, net, loss=loss)


def test_a_sigmoid_too_many_is_named(torch):
    """By scores between 0 and 1 whatever the parameters are; raw scores may lie there too."""
    F, nn = torch.nn.functional, torch.nn
    given = (X, (T[:, None] > 0).astype("float32"))
    for end in (nn.Sigmoid(), nn.Identity()):
        net = nn.Sequential(module(torch, 1), end)
        with torch.no_grad():
            net[0][-1].weight.mul_(0.01)
            net[0][-1].bias.fill_(0.5)
        tried(torch, net, given, F.mse_loss)
        if isinstance(end, nn.Identity):
            tried(torch, net, given, F.binary_cross_entropy_with_logits)
        else:
            tried(torch, net, given, F.binary_cross_entropy)
            with pytest.raises(ValueError, match="^loss: .*takes the sigmoid itself"):
                tried(torch, net, given, F.binary_cross_entropy_with_logits)


def test_a_rare_ignored_label_is_found(torch):
    target = T.copy()
    target[17] = 99
    with pytest.raises(ValueError, match="loss: .*target 99.*ignored label"):
        tried(
            torch,
            given=(X, target),
            loss=lambda s, t: torch.nn.functional.cross_entropy(s, t, ignore_index=99),
        )


def test_the_contract_knows_more_than_tensors(torch):
    """Scores in a tuple and in a dictionary; a part without a row for each example is left
    whole."""
    loss = lambda s, t: torch.nn.functional.cross_entropy(s["scores"][0], t)
    scores = {"scores": (torch.randn(8, 3), torch.randn(5)), "other": torch.randn(2, 8)}
    target = torch.arange(8) % 3
    assert contract.broken(loss, scores, target) is None
    assert "twice" in contract.broken(lambda s, t: loss(s, t) / len(t), scores, target)


def test_own_losses_are_the_examples_own(torch):
    scores, target = torch.randn(7, 4, dtype=torch.float64), torch.arange(7) % 4
    own = contract.own_losses(torch.nn.functional.cross_entropy, scores, target)
    each = torch.nn.functional.cross_entropy(scores, target, reduction="none")
    np.testing.assert_allclose(own, each.numpy(), rtol=1e-12)


def test_a_penalty_on_the_module_s_own_parameters_is_named(torch):
    net = module(torch)
    penalty = lambda s, t: torch.nn.functional.cross_entropy(s, t) + sum(
        (p**2).sum() for p in net.parameters()
    )
    with pytest.raises(ValueError, match="loss: .*own parameters"):
        tried(torch, net, loss=penalty)


# ------------------------------------------------------------------ coupled examples


def coupled(torch):
    """name -> (module, whether its scores depend on the neighbours in the batch)."""
    nn = torch.nn

    class OverTime(nn.Module):
        """Takes the batch for the time, as an LSTM does without batch_first=True."""

        def __init__(self):
            super().__init__()
            self.inner, self.last = nn.LSTM(6, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.last(self.inner(x[:, None])[0][:, 0])

    class Centred(nn.Module):
        def forward(self, x):
            return x - x.mean(dim=0)

    class Hidden(nn.Module):
        """Returns what an LSTM returns as well, which is [layer, example, j]."""

        def __init__(self):
            super().__init__()
            self.inner, self.last = nn.LSTM(1, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x):
            hidden = self.inner(x[:, :, None])[1]
            return self.last(hidden[0][-1]), hidden

    class Drawing(nn.Module):
        def forward(self, x):
            return x * random.random() + np.random.random()

    return {
        "plain": (module(torch), False),
        "hidden state": (Hidden(), False),
        "random numbers of Python and NumPy": (module(torch, 3, Drawing()), False),
        "dropout": (module(torch, 3, nn.Dropout(0.5)), False),
        "layer norm": (module(torch, 3, nn.LayerNorm(5)), False),
        "batch norm": (module(torch, 3, nn.BatchNorm1d(5)), True),
        "batch norm and dropout": (module(torch, 3, nn.BatchNorm1d(5), nn.Dropout(0.5)), True),
        "batch norm asleep": (module(torch, 3, nn.BatchNorm1d(5)).eval(), False),
        "asleep, but without statistics": (
            module(torch, 3, nn.BatchNorm1d(5, track_running_stats=False)).eval(),
            True,
        ),
        "centred": (module(torch, 3, Centred()), True),
        "over time": (OverTime(), True),
    }


@pytest.mark.parametrize("name", list(coupled(pytest.importorskip("torch"))))
def test_coupled_examples_are_known(torch, name):
    net, expected = coupled(torch)[name]
    cross_entropy = torch.nn.functional.cross_entropy
    loss = lambda s, t: cross_entropy(s[0] if isinstance(s, tuple) else s, t)
    found = tried(torch, net, loss=loss)
    assert bool(found.coupled) == expected
    if expected:
        a = advise(net, DATA, torch.nn.functional.cross_entropy, seconds=0.2)
        assert (
            a.batch is None
            and a.lr is None
            and "mixes the examples" in a.why_not
            and a.line is not None
        )
        assert (
            a.noise is None
            and "No batch size follows" in str(a)
            and "No batch size follows" in a._repr_markdown_()
        )


# ------------------------------------------------------------------ the module stays as it was


def test_modes_and_frozen_parts_stay(torch):
    net = module(torch, 3, torch.nn.BatchNorm1d(5), torch.nn.Dropout(0.5))
    net[1].eval()
    net[0].requires_grad_(False)
    found = tried(torch, net)
    modes = [m.training for m in found.net.modules()]
    before = {name: p.clone() for name, p in found.net.state_dict().items()}
    found.step(np.arange(32), 1.0)
    assert modes == [m.training for m in net.modules()] and modes == [
        m.training for m in found.net.modules()
    ]
    changed = {
        name for name, p in found.net.state_dict().items() if not torch.equal(p, before[name])
    }
    assert changed == {name for name, p in net.named_parameters() if p.requires_grad}
    assert found.parameters == sum(p.numel() for p in net.parameters() if p.requires_grad)


def snapshot(torch, net):
    states = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    return copy.deepcopy(
        (
            net.state_dict(),
            [p.grad for p in net.parameters()],
            [m.training for m in net.modules()],
            states,
        )
    )


def assert_same(torch, one, other):
    for a, b in zip(one[0].items(), other[0].items()):
        assert a[0] == b[0] and torch.equal(a[1], b[1])
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(one[1], other[1]))
    assert one[2] == other[2] and torch.equal(one[3][0], other[3][0])
    np.testing.assert_array_equal(one[3][1], other[3][1])
    assert one[3][2] == other[3][2]


@pytest.mark.parametrize("after", [0, 1, 5, 40, 300])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_error_or_an_interrupt_leaves_all_as_it_was(torch, after, error):
    net = module(torch, 3, torch.nn.Dropout(0.5))
    net(torch.zeros(4, 6)).sum().backward()
    calls = []

    def loss(s, t):
        np.random.random(), random.random(), torch.rand(1)  # as one that draws noise itself
        calls.append(0)
        if len(calls) > after:
            raise error("stopped")
        return torch.nn.functional.cross_entropy(s, t)

    before = snapshot(torch, net)
    with pytest.raises((error, ValueError), match="stopped"):
        advise(net, DATA, loss, seconds=1.0)
    assert_same(torch, before, snapshot(torch, net))
    assert torch.is_grad_enabled()


def test_hooks_and_a_loss_with_a_state_stay_untouched(torch):
    class Counting(torch.nn.CrossEntropyLoss):
        calls = 0

        def forward(self, s, t):
            self.calls += 1
            return super().forward(s, t)

    net, seen, loss = module(torch), [], Counting()
    net[0].register_forward_hook(lambda *_: seen.append(1))
    net[2].register_full_backward_hook(lambda *_: seen.append(1))
    a = advise(net, DATA, loss, seconds=0.3)
    assert not seen and loss.calls == 0 and "hooks (2)" in str(a)
    net(torch.zeros(1, 6))
    assert seen == [1]


def test_spectral_norm_keeps_its_hook(torch):
    net = module(torch)
    net[0] = torch.nn.utils.spectral_norm(net[0])
    found = tried(torch, net)
    assert not found.notes and len(found.net[0]._forward_pre_hooks) == 1


def test_under_inference_mode(torch):
    net = module(torch)
    with torch.inference_mode():
        a = advise(net, DATA, torch.nn.functional.cross_entropy, seconds=0.3)
        assert torch.is_inference_mode_enabled()
    assert a.throughput is not None and all(p.grad is None for p in net.parameters())


def test_modules_that_are_hard_to_copy(torch):
    """Scripted, with a computed tensor kept, with scores in an object: all are advised on, none is
    changed."""
    nn, F = torch.nn, torch.nn.functional

    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = module(torch)
            self.register_buffer("mask", torch.tensor(-np.inf))

        def forward(self, x):
            self.scores = self.inner(x)
            return SimpleNamespace(scores=self.scores)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what PyTorch calls old
        normed = nn.Sequential(nn.utils.weight_norm(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 3))
        nets = (torch.jit.script(module(torch)), normed, Keeping())
        for net in nets:
            net(torch.zeros(2, 6))
            before = copy.deepcopy(dict(net.state_dict()))
            loss = lambda s, t: F.cross_entropy(getattr(s, "scores", s), t)
            found = tried(torch, net, loss=loss)
            start = found.loss(np.arange(60))
            found.step(np.arange(60), 0.1)
            assert found.loss(np.arange(60)) < start
            assert all(torch.equal(p, before[name]) for name, p in net.state_dict().items())


def test_a_loss_that_raises_at_nan_has_diverged(torch):
    """As torch.distributions do; what is raised at finite scores is passed on."""
    normal = torch.distributions.Normal
    loss = lambda s, t: -normal(s[:, 0], s[:, 1].exp()).log_prob(t).mean()
    found = tried(torch, module(torch, 2), (X, VALUES), loss)
    at = np.arange(32)
    for _ in range(9):
        found.step(at, 1e9)
    assert np.isnan(found.step(at, 1e9)) and np.isnan(found.loss(at))


def test_a_loss_without_targets(torch):
    """A triplet in x, with targets that mean nothing; but one target for all is no data for a loss
    that asks for it."""
    F = torch.nn.functional
    triplets = np.stack([X, X + 0.1, np.roll(X, 1, axis=0)], axis=1)
    loss = lambda s, t: F.triplet_margin_loss(s[:, 0], s[:, 1], s[:, 2])
    net = torch.nn.Linear(6, 3)
    for target in (np.zeros(240), T):
        assert not tried(torch, net, (triplets, target), loss).target_counts
        a = advise(net, (triplets, target), loss, seconds=0.5)
        assert a.batch is not None and not a.held.targets and a.held.own < a.held.others
    assert tried(torch, given=(X, T * 0)).target_counts


# ------------------------------------------------------------------ precision


@pytest.mark.parametrize(
    "kind, off", [("float64", 1e-6), ("float32", 1e-4), ("float16", 0.02), ("bfloat16", 0.15)]
)
def test_norms_are_summed_in_float64(torch, kind, off):
    """The same network in each precision: tr(Sigma) and ||g||^2 of the same groups, at large
    gradients too."""
    from mbcore.trial import jackknifed

    big = lambda s, t: 300 * torch.nn.functional.cross_entropy(s, t)
    net = module(torch)
    found = []
    for dtype in (torch.float64, getattr(torch, kind)):
        one = tried(torch, copy.deepcopy(net).to(dtype), loss=big)
        found.append(jackknifed(*one.gradients(240), 240))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=off)
    np.testing.assert_allclose(found[1][1], found[0][1], rtol=off)


def test_b_simple_of_a_frozen_batch_norm_is_that_of_its_linear_map(torch):
    """In evaluation mode with fresh statistics batch normalisation is division by sqrt(1 + eps):
    beside it without."""
    from mbcore.trial import jackknifed

    net = module(torch, 3, torch.nn.BatchNorm1d(5, affine=False)).eval()
    plain = torch.nn.Sequential(net[0], net[2], net[3])
    one, other = (jackknifed(*tried(torch, n).gradients(240), 240) for n in (net, plain))
    np.testing.assert_allclose(one[0], other[0], rtol=1e-4)


# ------------------------------------------------------------------ the data


def right(torch):
    """name -> (module, loss, data)."""
    nn, F = torch.nn, torch.nn.functional
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    letters = np.random.default_rng(0).integers(0, 9, (240, 4))
    embedding = nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(12, 3))
    images = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(4, 3))
    tensors = torch.tensor(X, requires_grad=True), torch.tensor(T)
    return {
        "a pair": (module(torch), F.cross_entropy, (X, T)),
        "a list": (module(torch), F.cross_entropy, [X, T]),
        "lists": (module(torch), F.cross_entropy, (X.tolist(), T.tolist())),
        "tensors": (module(torch), F.cross_entropy, tensors),
        "TensorDataset": (module(torch), F.cross_entropy, torch.utils.data.TensorDataset(*tensors)),
        "a frame": (module(torch), F.cross_entropy, (frame, pandas.Series(T))),
        "float64": (module(torch), F.cross_entropy, (X.astype(float), T)),
        "int32 labels": (module(torch), F.cross_entropy, (X, T.astype("int32"))),
        "bfloat16": (module(torch).bfloat16(), F.cross_entropy, (tensors[0].bfloat16(), T)),
        "shares": (module(torch), F.cross_entropy, (X, np.eye(3)[T])),
        "whole values": (module(torch, 1), F.mse_loss, (X, T[:, None])),
        "an autoencoder": (module(torch, 6), F.mse_loss, (X, X)),
        "sparse letters": (
            nn.Sequential(nn.Embedding(9, 3, sparse=True), nn.Flatten(), nn.Linear(12, 3)),
            F.cross_entropy,
            (letters, T),
        ),
        "letters": (embedding, F.cross_entropy, (letters, T)),
        "images": (images, F.cross_entropy, (X.reshape(240, 1, 2, 3), T)),
    }


@pytest.mark.parametrize("name", list(right(pytest.importorskip("torch"))))
def test_data_are_taken(torch, name):
    net, loss, given = right(torch)[name]
    found = tried(torch, net, given, loss)
    at = np.arange(32)
    before = found.loss(at)
    found.step(at, 0.05)
    assert np.isfinite(before) and found.loss(at) < before


def wrong(torch):
    """name -> (module, loss, data, the words expected)."""
    nn, F = torch.nn, torch.nn.functional
    pairs = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(T))
    words = np.array(["a", "b", "c"])[T]
    lost = np.where(X > 2, np.nan, X)
    letters = np.random.default_rng(0).integers(0, 9, (240, 4))
    entries = [
        (
            "a loader",
            (torch.utils.data.DataLoader(pairs, batch_size=4),),
            "data: .*DataLoader.*loader.dataset",
        ),
        ("an array", (X,), "data: .*array of float32.*a pair of arrays"),
        ("a frame", (pandas.DataFrame(X),), "data: .*a pair of arrays"),
        ("nothing", (None,), "data: .*x_train"),
        ("three", ((X, T, T),), "data: "),
        ("words", ((X, words),), "data: target: expected real numbers"),
        (
            "dates",
            ((X, np.full(240, np.datetime64("2020-01-01"))),),
            "data: target: expected real numbers",
        ),
        ("complex", ((X * 1j, T),), "data: x: expected real numbers"),
        ("objects", ((X.astype(object), T),), "data: x: expected real numbers"),
        ("nan", ((lost, T),), "data: expected finite numbers, x"),
        ("nan targets", ((X, np.full(240, np.nan)),), "data: expected finite numbers, target"),
        ("masked", ((np.ma.masked_greater(X, 2), T),), "data: x: .*masked"),
        ("too few", ((X[:7], T[:7]),), "data: expected at least 8"),
        ("a number", ((1.0, T),), "data: expected at least 8"),
        ("fewer targets", ((X, T[:9]),), "data: expected a label for each of 240"),
        ("bytes", ((np.abs(X * 9).astype("uint8"), T),), r"net: .*uint8 \[\d, 6\]"),
        ("a target too many axes", ((X, T[:, None]),), r"net: .*target: int64 \[\d, 1\]"),
        ("labels out of range", ((X, T + 5),), "net: .*does not take"),
        ("other width", ((X[:, :4], T),), r"net: .*float32 \[\d, 4\]"),
    ]
    found = {
        name: (module(torch), F.cross_entropy, given[0], said) for name, given, said in entries
    }
    found["beyond float16"] = (
        module(torch).half(),
        F.cross_entropy,
        (X * 1e5, T),
        "data: .*float16 can hold",
    )
    small = nn.Sequential(nn.Embedding(8, 3), nn.Flatten(), nn.Linear(12, 3))
    found["letters out of range"] = (
        small,
        F.cross_entropy,
        (letters, T),
        "net: .*index out of range",
    )
    lazy = nn.Sequential(nn.LazyLinear(3))
    found["letters with a point"] = (
        nn.Sequential(nn.Embedding(9, 3), nn.Flatten(), nn.Linear(12, 3)),
        F.cross_entropy,
        (letters.astype("float32"), T),
        "net: .*Embedding takes whole numbers",
    )
    found["two scores for one target"] = (
        module(torch, 2),
        F.mse_loss,
        (X, VALUES),
        r"net: .*float32 \[16, 2\]",
    )
    found["no row for each example"] = (
        nn.Sequential(nn.Linear(6, 3), nn.Flatten(0), nn.Unflatten(0, (3, -1))),
        lambda s, t: F.cross_entropy(s.T, t),
        (X, T),
        "net: expected scores with a row for each example",
    )
    broken = module(torch)
    nn.init.constant_(broken[0].bias, np.nan)
    found["nan within"] = (broken, F.cross_entropy, (X, T), "net: .*nan in 0.bias")
    found["without numbers"] = (module(torch).to("meta"), F.cross_entropy, (X, T), "net: .*meta")
    found["a lazy module"] = (lazy, F.cross_entropy, (X, T), "net: .*lazy")
    found["nothing to learn"] = (
        module(torch).requires_grad_(False),
        F.cross_entropy,
        (X, T),
        "net: .*require a gradient",
    )
    found["no loss"] = (module(torch), "mean", (X, T), "loss: expected a function")
    return found


@pytest.mark.parametrize("name", list(wrong(pytest.importorskip("torch"))))
def test_data_and_modules_are_refused_by_name(torch, name):
    net, loss, given, said = wrong(torch)[name]
    with pytest.raises((TypeError, ValueError), match=f"^{said}"):
        advising(net, given, loss)
