"""What training refuses, at the call and before anything is changed. Oracles: states before and
after, one pass in float64."""

from types import SimpleNamespace

import fake_cupy
import numpy as np
import pytest
from models import USUAL

import mbcore as mb
from mbcore.averages import PolyakRuppert
from mbcore.data import gaussians
from mbcore.derivatives import coupling
from mbcore.optim import Adam, Momentum
from mbcore.schedule import Cosine
from mbcore.train import Record, accumulated, accuracy, predicted, train, training

BATCH = mb.equations(USUAL).with_index("b")
DATA = gaussians(40, 20, 4, 3)
NORMALISED = """z[j] = W0[j,i] * x[i]
    m[j] = mean(z[j], over=b)
    h[j] = sigmoid(z[j] - m[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L = cross_entropy(s[y], target)"""


def net(text=USUAL, b=8, dtype="float32", **sizes):
    model = mb.equations(text).with_index("b")
    wanted = {"b": b, "i": 4, "j": 6, "y": 3, **sizes}
    used = {i for indices in model.graph.shapes.values() for i in indices}
    program = model.compile(dtype=dtype, **{i: n for i, n in wanted.items() if i in used})
    return program.init(np.random.default_rng(1))


def rng():
    return np.random.default_rng(2)


def changed(**arrays):
    names = ("x_train", "target_train", "x_test", "target_test")
    return SimpleNamespace(**{name: arrays.get(name, getattr(DATA, name)) for name in names})


BAD_LABEL = np.where(np.arange(40) == 7, 3, DATA.target_train)


@pytest.mark.parametrize(
    "bad, words",
    [
        (dict(looks=0), "looks: expected a whole number of at least 1, got 0"),
        (dict(looks="2"), "looks: expected a whole number"),
        (dict(looks=2.0), "looks: expected a whole number"),
        (dict(looks=True), "looks: expected a whole number"),
        (dict(epochs=None), "epochs: expected a whole number of at least 1, got None"),
        (dict(epochs=0), "epochs: expected a whole number"),
        (dict(epochs=2**70), "epochs: expected a whole number.*beyond"),
        (dict(B=0), "B: expected a whole number of at least 1, got 0"),
        (dict(B=41), "B: expected at most n = 40 without replacement; got 41"),
        (dict(B="8"), "B: expected a whole number"),
        (dict(compute=9), "compute: expected a whole number of at least 1 and at most 8, got 9"),
        (dict(rng=3), "rng: expected a numpy.random.Generator"),
        (dict(rng=np.random.RandomState(0)), "rng: expected a numpy.random.Generator"),
        (dict(rule="adam"), "rule: expected an update rule.*got 'adam'"),
        (dict(rule=Adam), "rule: expected an update rule"),
        (dict(rule=PolyakRuppert()), "rule: expected an update rule"),
        (dict(lr=None), "lr: expected a finite number, got None"),
        (dict(lr=0), "lr: expected a learning rate above 0, got 0"),
        (dict(lr=-0.1), "lr: expected a learning rate of at least 0, got -0.1"),
        (dict(lr=float("nan")), "lr: expected a finite number"),
        (dict(lr=1e39), "lr: expected a finite number that float32 can hold"),
        (dict(lr=[0.1, 0.2]), "lr: expected a finite number"),
        (dict(lr=True), "lr: expected a finite number"),
        (dict(lr=lambda: 0.1), "lr: expected a number or a function of the step"),
        (dict(lr=Cosine), "lr: expected a number or a function of the step"),
        (dict(saved=3), "saved: expected the path of a file, got 3"),
        (dict(saved=""), "saved: expected the path of a file"),
        (dict(data=None), "data: expected a DataSet, with x_train, .*, got None"),
        (dict(data=changed(x_train=DATA.x_train[:, :3])), r"data \(train\): x: expected i=4"),
        (
            dict(data=changed(x_test=DATA.x_test[:0], target_test=DATA.target_test[:0])),
            r"data \(test\): .*empty",
        ),
        (
            dict(data=changed(target_train=DATA.target_train[:39])),
            r"data \(train\): target: expected",
        ),
        (
            dict(data=changed(target_train=BAD_LABEL)),
            r"data \(train\): target: labels must lie in 0 .. 2",
        ),
        (
            dict(data=changed(target_test=DATA.target_test.astype(float))),
            r"data \(test\): target: expected whole-number labels",
        ),
        (
            dict(data=changed(x_train=np.where(DATA.x_train > 1, np.nan, DATA.x_train))),
            r"data \(train\): x: expected finite",
        ),
        (
            dict(data=changed(x_train=DATA.x_train.astype(complex))),
            r"data \(train\): x: expected real numbers",
        ),
        (
            dict(data=changed(x_test=np.ma.masked_greater(DATA.x_test, 0))),
            r"data \(test\): x: expected numbers, got a masked",
        ),
        (
            dict(data=changed(x_train=DATA.x_train[:5], target_train=DATA.target_train[:5])),
            "B: expected at most the 5 examples of the training set, got 8, for which the "
            "program was compiled; give B=5",
        ),
        (dict(program=None), "program: expected a Program"),
        (dict(program=mb.equations(USUAL)), "program: expected a Program"),
    ],
)
def test_bad_arguments_are_named_at_the_call(bad, words):
    program = net()
    before = {name: p.copy() for name, p in program.params.items()}
    with pytest.raises((ValueError, TypeError), match="^" + words):
        training(
            **{**dict(program=program, data=DATA, lr=0.1, epochs=1, rng=rng()), **bad}
        )  # not pulled once
    assert all(np.array_equal(p, before[name]) for name, p in program.params.items())


@pytest.mark.parametrize(
    "text, index, words",
    [
        (
            USUAL,
            None,
            "program: expected a loss for each example, L.b., got L without a batch index",
        ),
        ("s[y] = W[y,i] * x[i]", "b", "program: expected equations that compute a loss L"),
        (
            "q[y] = W[y,i] * x[i]\nL = cross_entropy(q[y], target)",
            "b",
            "program: expected scores 's' among what it computes, got q, L",
        ),
        (
            "s[y] = W[y,i] * u[i]\nL = cross_entropy(s[y], target)",
            "b",
            r"program: expected the inputs x and target, .*got u\[b,i\]",
        ),
        (
            "s[y] = W[y,i] * x[i]\nL = squared_error(s[y], target[y])",
            "b",
            r"program: expected the inputs x and target, .*target\[b,y\]",
        ),
        (
            "s = W[i] * x[i]\nq[y] = V[y] * s\nL = cross_entropy(q[y], target)",
            "b",
            r"program: expected scores s\[b,y\].*got s\[b\]",
        ),
        (
            "s[y] = 2 * x[y]\nL = cross_entropy(s[y], target)",
            "b",
            "program: expected parameters, got equations that have none",
        ),
        (
            "s[y] = 2 * x[y]\nq[y] = W[y] * x[y]\nL = cross_entropy(s[y], target)",
            "b",
            "program: L depends on none of the parameters W",
        ),
    ],
)
def test_programs_that_cannot_be_trained(text, index, words):
    model = mb.equations(text)
    model = model.with_index(index) if index else model
    used = {i for indices in model.graph.shapes.values() for i in indices}
    program = model.compile(
        **{i: n for i, n in dict(b=8, i=4, j=6, y=4).items() if i in used}
    ).init(rng())
    with pytest.raises(ValueError, match="^" + words):
        training(program, DATA, 0.1, 1, rng())


def test_unrolled_copies_have_no_batch():
    program = mb.equations(USUAL).unrolled(2).compile(i=4, j=6, y=3).init(rng())
    with pytest.raises(ValueError, match="^program: expected a loss for each example"):
        training(program, DATA, 0.1, 1, rng())
    with pytest.raises(ValueError, match="^program: expected a loss for each example"):
        accumulated(program, 1, x_0=DATA.x_train[0], x_1=DATA.x_train[1], target_0=0, target_1=1)


def test_a_program_that_was_never_initialised():
    program = BATCH.compile(b=8, i=4, j=6, y=3)
    for never in (program, program.resized(b=10)):
        with pytest.raises(
            ValueError,
            match="^program: its parameters were never set and are all 0; call program.init",
        ):
            training(never, DATA, 0.1, 1, rng())
    program.params["W0"][...] = 0.1  # set by hand
    training(program, DATA, 0.1, 1, rng())
    zero = net()
    for p in zero.params.values():
        p[...] = 0  # on purpose, after init
    training(zero, DATA, 0.1, 1, rng())


@pytest.mark.parametrize("number", [np.int64(8), np.int8(8), np.array(8)])
def test_whole_numbers_of_numpy_and_of_pytorch(number):
    torch = pytest.importorskip(
        "torch", reason="PyTorch, whose tensors are tried, is not installed"
    )
    plain = train(net(), DATA, 0.25, 2, rng(), B=8, looks=2, compute=4)
    for more in (number, torch.tensor(8)):
        lr = torch.tensor(0.25, requires_grad=True)
        found = train(
            net(), DATA, lr, np.int16(2), rng(), B=more, looks=np.uint8(2), compute=np.int64(4)
        )
        np.testing.assert_array_equal(found.loss, plain.loss)


@pytest.mark.parametrize(
    "value, words",
    [
        ("0.1", r"lr\(3\): expected a finite number, got '0.1'"),
        (None, r"lr\(3\): expected a finite number, got None"),
        (float("nan"), r"lr\(3\): expected a finite number, got nan"),
        (-1, r"lr\(3\): expected a learning rate of at least 0, got -1"),
        (1e39, r"lr\(3\): expected a finite number that float32 can hold"),
        (np.ones(2), r"lr\(3\): expected a finite number"),
    ],
)
@pytest.mark.parametrize("rule", [None, Momentum])
def test_a_schedule_that_fails_is_named_with_its_step(value, words, rule):
    """The three steps before it stand, and nothing of the fourth."""
    program, other = net(), net()
    with pytest.raises(ValueError, match="^" + words):
        train(
            program, DATA, lambda step: value if step == 3 else 0.1, 1, rng(), rule=rule and rule()
        )
    run = training(other, DATA, 0.1, 1, rng(), looks=5, rule=rule and rule())
    for _ in range(4):
        next(run)
    assert all(np.array_equal(p, other.params[name]) for name, p in program.params.items())


def test_more_looks_than_steps_look_at_every_step():
    np.testing.assert_array_equal(
        train(net(), DATA, 0.1, 1, rng(), looks=10**15).steps, np.arange(6)
    )


def test_a_schedule_may_reach_0():
    train(net(), DATA, lambda step: max(0.0, 0.1 - step), 1, rng())


def test_of_replicas_all_have_to_diverge():
    steps = np.arange(2)
    record = lambda last: Record(8, steps, steps, steps, np.array([[1.0, 2.0], last]), steps)
    assert not record([np.nan, 1.0]).diverged and not record([5.0, np.inf]).diverged
    assert record([np.nan, np.inf]).diverged and record([10.5, 20.5]).diverged
    assert (
        not record([10.0, 20.0]).diverged and not record([10.5, 20.0]).diverged
    )  # ten times is not above ten times


# ------------------------------------------------------------------ coupled examples


@pytest.mark.parametrize(
    "text, of, mixed",
    [
        (USUAL, "L", None),
        (NORMALISED, "L", "m[j] mixes the examples of z[b,j]"),
        (NORMALISED, "z", None),
        ("s[y] = W[y,i] * x[i]\nL = cross_entropy(s[y], target)\nm = mean(L, over=b)", "L", None),
        (
            "s[y] = W[y,i] * x[i]\na[y] = softmax(s[y], over=b)\nL = squared_error(a[y], t[y])",
            "L",
            "mixes the examples of",
        ),
    ],
)
def test_what_mixes_the_examples(text, of, mixed):
    found = coupling(mb.equations(text).with_index("b").graph, of)
    assert found is None if mixed is None else mixed in found


def test_coupled_examples_are_refused_with_one_sentence():
    program, x, target = net(NORMALISED), DATA.x_train, DATA.target_train
    program.forward(x=x[:8], target=target[:8])
    asked = [
        lambda: program.per_example_grads("W0"),
        lambda: accumulated(program, 4, x=x[:8], target=target[:8]),
        lambda: accumulated(program, 8, x=x[:9], target=target[:9]),
        lambda: predicted(program, x),
        lambda: accuracy(program, x, target),
        lambda: training(program, DATA, 0.1, 1, rng(), compute=4),
        lambda: training(program, DATA, 0.1, 1, rng(), B=16),
        lambda: training(program, DATA, 0.1, 1, rng(), B=16, rule=Momentum()),
    ]
    for ask in asked:
        with pytest.raises(ValueError, match=r"m\[j\] mixes the examples of z\[b,j\], so "):
            ask()


def test_coupled_examples_in_one_pass_are_trained_and_measured_as_one_batch():
    """Momentum with beta 0 forms the gradients apart from the update, a last batch of 4 included;
    both sets are one batch each."""
    one, two = net(NORMALISED, dtype="float64", b=12), net(NORMALISED, dtype="float64", b=12)
    found, plain = (
        train(one, DATA, 0.1, 2, rng(), rule=Momentum(0)),
        train(two, DATA, 0.1, 2, rng()),
    )
    np.testing.assert_allclose(found.loss, plain.loss, rtol=1e-12)
    s = two.resized(b=20).evaluate("s", x=DATA.x_test)
    assert plain.test_error[-1] == pytest.approx(np.mean(s.argmax(axis=1) != DATA.target_test))
    L = two.resized(b=40).forward(x=DATA.x_train, target=DATA.target_train)
    assert plain.loss[-1] == pytest.approx(L.mean())


def test_scores_before_the_coupling_are_predicted():
    text = "s[y] = W[y,i] * x[i]\nm[y] = mean(s[y], over=b)\n"
    text += "q[y] = s[y] - m[y]\nL = cross_entropy(q[y], target)"
    assert predicted(net(text), DATA.x_test).shape == (20,)
    with pytest.raises(ValueError, match="mixes the examples"):
        predicted(net(text), DATA.x_test, scores="q")


# ------------------------------------------------------------------ accumulation


def gradients(program, **inputs):
    program.forward(**inputs)
    program.backward()
    return {name: program.grads[name].copy() for name in program.params if name in program.grads}


@pytest.mark.parametrize("compute", [1, 3, 5])
@pytest.mark.parametrize(
    "text, shared, inputs",
    [
        ("o[y] = W[y,i] * u[i]\nL = squared_error(o[y], t[y])", (), dict(u=(7, 4), t=(7, 3))),
        (
            "o[y] = W[y,i] * u[i]\nL = squared_error(o[y], t[y]) + lam * W[k,l] * W[k,l]",
            ("lam",),
            dict(u=(7, 4), t=(7, 3), lam=()),
        ),
        (
            "o[y] = W[y,i] * u[i] * v[i]\nL = squared_error(o[y], t[y])",
            ("v",),
            dict(u=(7, 4), t=(7, 3), v=(4,)),
        ),
    ],
)
def test_parts_are_cut_along_the_batch_alone(text, shared, inputs, compute):
    model = mb.equations(text).with_index("b", shared=shared)
    draw = np.random.default_rng(3)
    arrays = {name: draw.normal(size=shape) for name, shape in inputs.items()}
    sizes = {
        i: n
        for i, n in dict(i=4, y=3, k=3, l=4).items()
        if any(i in v for v in model.graph.shapes.values())
    }
    sizes |= {
        used: sizes.get(used, dict(i=4, y=3, k=3, l=4)[used])
        for used, _, _ in model.graph.same_sizes
    }
    parts, whole = (model.compile(b=b, dtype="float64", **sizes).init(rng()) for b in (5, 7))
    found, right = accumulated(parts, compute, **arrays), gradients(whole, **arrays)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-12)


def test_a_replica_axis_stands_before_the_batch():
    """x[r,b,i] for each replica, target[b] for all of them."""
    many = (
        BATCH.with_index("r", parameters=True)
        .compile(r=2, b=3, i=4, j=6, y=3, dtype="float64")
        .init(rng())
    )
    x, target = np.random.default_rng(0).normal(size=(2, 8, 4)), DATA.target_train[:8]
    one = many.resized(b=8)
    right = gradients(one, x=x, target=target)
    found = accumulated(many, 3, x=x, target=target)
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-12)


@pytest.mark.parametrize(
    "inputs, words",
    [
        (dict(x=DATA.x_train[:6]), "target: missing"),
        (dict(x=DATA.x_train[:6], target=DATA.target_train[:5]), "target: expected b=6"),
        (dict(x=DATA.x_train[:0], target=DATA.target_train[:0]), "x: the batch is empty"),
        (dict(x=1.0, target=DATA.target_train[:5]), "x: expected"),
        (
            dict(x=DATA.x_train[:6], target=DATA.target_train[:6], W0=1),
            "W0: a capital makes a parameter",
        ),
        (
            dict(x=np.ma.masked_greater(DATA.x_train[:6], 0), target=DATA.target_train[:6]),
            "x: expected numbers, got a masked",
        ),
    ],
)
def test_inputs_of_accumulation(inputs, words):
    with pytest.raises((ValueError, TypeError), match=words):
        accumulated(net(), 3, **inputs)


def test_lists_are_accumulated():
    x, target = DATA.x_train[:6], DATA.target_train[:6]
    one, two = (
        accumulated(net(), 4, x=a, target=t)
        for a, t in ((x, target), (x.tolist(), target.tolist()))
    )
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_parameter_that_L_does_not_need_has_no_gradient_and_stays():
    text = "s[y] = W[y,i] * x[i]\nq[y] = V[y] * s[y]\nL = cross_entropy(s[y], target)"
    program = net(text)
    before = program.params["V"].copy()
    assert set(accumulated(program, 3, x=DATA.x_train[:6], target=DATA.target_train[:6])) == {"W"}
    train(program, DATA, 0.1, 1, rng(), rule=Adam(weight_decay=0.1), compute=3)
    np.testing.assert_array_equal(program.params["V"], before)


# ------------------------------------------------------------------ predictions


@pytest.mark.parametrize(
    "target, words",
    [
        (DATA.target_test[:19], "target: expected a label for each of 20 examples"),
        (
            DATA.target_test.astype(float),
            "target: expected labels, whole numbers from 0 to 2, got float64",
        ),
        (DATA.target_test + 1, "target: expected labels from 0 to 2, got 1 to 3"),
        (DATA.target_test[:, None], "target: expected a label for each of 20 examples"),
        (1, "target: expected a label for each"),
    ],
)
def test_labels_that_do_not_fit(target, words):
    with pytest.raises((ValueError, TypeError), match=words):
        accuracy(net(), DATA.x_test, target)


def test_scores_that_are_no_scores():
    for scores, words in (
        ("z", "program: expected scores 'z'"),
        ("L", r"program: expected scores L\[b,y\]"),
        (3, "program: expected scores 3"),
    ):
        with pytest.raises(ValueError, match=words):
            predicted(net(), DATA.x_test, scores)


def test_nan_is_no_class():
    program = net()
    program.params["C1"][1] = np.nan
    with pytest.raises(ValueError, match="s: expected numbers, got nan for 20 of 20 examples"):
        predicted(program, DATA.x_test)
    assert accuracy(program, DATA.x_test, DATA.target_test) == 0
    assert train(program, DATA, 0.1, 1, rng(), looks=1).test_error[-1] == 1


# ------------------------------------------------------------------ a GPU


@pytest.fixture
def gpu(fake_gpu):
    return DATA.on("gpu")


@pytest.mark.parametrize("replicas", [None, 2])
@pytest.mark.parametrize(
    "how",
    [dict(), dict(compute=3), dict(B=16), dict(rule=Adam), dict(rule=Momentum, compute=3)],
    ids=str,
)
def test_training_on_a_gpu_is_training(gpu, tmp_path, how, replicas):
    """The numbers are the CPU's, the run is taken up from its file, and no example goes to the
    device again."""
    model = BATCH.with_index("r", parameters=True) if replicas else BATCH
    sizes = dict(b=8, i=4, j=6, y=3, **({"r": replicas} if replicas else {}))
    make = lambda device: model.compile(device=device, **sizes).init(np.random.default_rng(1))
    options = lambda: {k: v() if k == "rule" else v for k, v in how.items()}
    lr = np.array([0.05, 0.1]) if replicas else 0.1
    right = train(make("cpu"), DATA, lr, 2, rng(), looks=4, **options())
    for _ in zip(
        range(3),
        training(make("gpu"), gpu, lr, 2, rng(), looks=4, saved=tmp_path / "run", **options()),
    ):
        pass
    found = train(make("gpu"), gpu, lr, 2, rng(), looks=4, saved=tmp_path / "run", **options())
    np.testing.assert_allclose(found.loss, right.loss, rtol=1e-5)
    np.testing.assert_array_equal(found.steps, right.steps)


def test_a_step_on_a_gpu_moves_its_places_once_and_waits_for_nothing(gpu):
    program = BATCH.compile(device="gpu", b=8, i=4, j=6, y=3).init(rng())
    run = training(program, gpu, 0.1, 1, rng(), looks=1)
    next(run)
    fake_cupy.transfers.clear(), fake_cupy.synchronisations.clear()
    next(run)
    assert (
        len(fake_cupy.transfers) == 5 and len(fake_cupy.synchronisations) <= 2
    )  # five steps; one look at the end


def test_data_on_the_other_device(gpu):
    with pytest.raises(
        TypeError, match=r"^data \(train\): x: the program is on the cpu, the array is on the gpu"
    ):
        training(net(), gpu, 0.1, 1, rng())
