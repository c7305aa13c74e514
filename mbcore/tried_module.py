"""A PyTorch module that `advise` tries out; see `tried`. PyTorch is never imported here: whoever
has a module has it.

The copy keeps the module's modes, so what is in evaluation mode or frozen stays so; a parameter
that requires no gradient is not trained. Hooks that somebody has put on the module would run
thousands of times on whatever they
hold: the copy goes without them, and the advice says so.
"""

from __future__ import annotations

import copy
import io
import random
import sys
import warnings
from contextlib import contextmanager

import numpy as np

from . import contract
from .backend import free_memory
from .checking import shown
from .hardware import last_that
from .tried import TRIED, Tried

COMPARED = 16  # examples whose loss together is compared with their own losses
LABELS = 256  # different targets that this comparison tries, at most
LARGER = 100.0  # times, the parameters at which a sigmoid at the end shows

# what PyTorch says of examples that do not fit, and what to do about it
HINTS = {
    "argument #1 'indices'": "An Embedding takes whole numbers: give a pair (x, target) with x of"
    " int64; a DataSet holds float32",
    "index out of range in self": "An Embedding needs as many rows as the largest number in x, plus"
    " 1",
    " is out of bounds": "Labels have to be 0 .. C - 1 for C scores",
    "Long or Byte": "Labels of classes have to be whole numbers: target.astype('int64')",
    "desired output type Long": "This loss takes numbers with a point as targets: give"
    " target.astype('float32'), or a loss that does t.float()",
    "two bool tensors": "This loss takes numbers with a point as targets: give"
    " target.astype('float32'), or a loss that does t.float()",
    "must have the same dtype": "Give x as numbers with a point: x.astype('float32')",
    "Target size": "Give both one shape: a target [n, 1], or a loss of scores.squeeze(1)",
    "target tensor expected": "Give labels of one axis: target.reshape(-1)",
}


class TriedModule(Tried):
    memory_note = (
        "estimated: the parameters, their gradients and what PyTorch keeps for the backward pass; "
        "what single operations need for a moment comes on top"
    )

    def __init__(self, torch, net, examples, loss, rng):
        super().__init__(examples, rng)
        if not callable(loss):
            raise TypeError(
                "loss: expected a function of (scores, target), as"
                f" torch.nn.functional.cross_entropy is, got {shown(loss)}"
            )
        self.torch, self._random, self._counted = torch, None, {}
        with torch.inference_mode(False):
            self.net = _copied(net, "net")
            own = isinstance(loss, torch.nn.Module)
            self._loss = _copied(loss, "loss") if own else loss
        self.notes = (*_notes(net), *_without_hooks(self.net))
        if any(torch.nn.parameter.is_lazy(p) for p in self.net.parameters()):
            raise ValueError(
                "net: expected a module whose parameters have shapes; run a lazy one on a batch"
                " first"
            )
        self.learned = [p for p in self.net.parameters() if p.requires_grad]
        self._trained_names = {name for name, p in self.net.named_parameters() if p.requires_grad}
        self.parameters = sum(p.numel() for p in self.learned)
        if not self.parameters:
            raise ValueError(
                "net: expected a module with parameters that require a gradient, got none"
            )
        self.on = self.learned[0].device
        if self.on.type == "meta":
            raise ValueError("net: expected a module with numbers in it, got one on device meta")
        for name, p in self.net.named_parameters():  # a buffer may be a mask of -inf
            if not p.isfinite().all():
                raise ValueError(f"net: expected finite parameters, got inf or nan in {name}")
        self.device = "gpu" if self.on.type == "cuda" else "cpu"
        with self.private(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns of broadcasting; it is refused below
            self._starts = [{name: t.detach().clone() for name, t in self._held()}]
            self._x, self._target = self._tensors(examples)
            self._check(net)
            free = self.free()
            self.largest = max(last_that(lambda B: self.nbytes(B) <= free), self.least)
        self.reset()

    # ------------------------------------------------------------------ what comes in

    def _held(self):
        """(name, tensor) of all that a training may change: parameters and buffers."""
        yield from self.net.named_parameters()
        yield from self.net.named_buffers()

    def _tensors(self, examples):
        """x and target on the module's device; numbers with a point in the module's own
        precision."""
        floating = next(
            (p.dtype for p in self.net.parameters() if p.is_floating_point()), self.torch.float32
        )
        for host in (examples.x, examples.target):
            tensor = self.torch.tensor(np.ascontiguousarray(host))
            if tensor.is_floating_point():
                tensor = tensor.to(floating)
                if not tensor.isfinite().all():
                    raise ValueError(
                        f"data: expected numbers that the module's {floating} can hold"
                    )
            elif tensor.dtype != self.torch.bool and host is examples.target:
                tensor = tensor.long()
            yield tensor.to(self.on)

    def _check(self, net):
        """Shapes, labels, the least batch, whether examples are coupled, and the loss's
        contract."""
        extremes = self.extremes()
        for self.least in (1, 2):  # batch normalisation cannot take one example
            try:
                for k in extremes:
                    self._grads(np.full(self.least, k))
                break
            except Exception as error:
                if self.least == 2 or str(error).startswith("loss:"):
                    raise ValueError(self._does_not_take(error, 2)) from error
        try:
            self._refuse_another_s_parameters(net)
            self.coupled = self._coupling()
            self._hold_to_contract(extremes)
        except Exception as error:
            raise ValueError(self._does_not_take(error, COMPARED)) from error

    def _refuse_another_s_parameters(self, net):
        """A penalty on the parameters, taken from the module itself, would stand still while the
        copy learns."""
        theirs = [p for p in net.parameters() if p.requires_grad]
        loss = self._mean_loss(np.full(self.least, 0))
        if any(g is not None for g in self.torch.autograd.grad(loss, theirs, allow_unused=True)):
            raise ValueError(
                "loss: expected a function of scores and target alone; this one uses the module's"
                " own parameters, and it is a copy that is tried. Leave the penalty out"
            )

    def _does_not_take(self, error, n):
        """What is wrong, in words: the error's own where it is one of ours."""
        if str(error).startswith(("loss:", "net:")):
            return str(error)
        x, target, scores = self._x[:n], self._target[:n], ""
        try:
            with self.torch.no_grad():
                scores = f", scores: {_kind(self.net(x))}"
        except Exception:  # it is the module itself that fails
            pass
        hint = next((f" {words}." for said, words in HINTS.items() if said in str(error)), "")
        return (
            f"net: the module or its loss does not take these examples: {error} (of {len(x)}"
            f" examples, x: {_kind(x)}, target: {_kind(target)}{scores}; the module is in"
            f" {self.learned[0].dtype}).{hint}"
        )

    def _coupling(self):
        """What makes the scores of one example depend on its neighbours in the batch, or None.

        The scores of the first and the last example are computed twice, at the same places of a
        batch of the same size with the same random numbers, so that dropout acts alike; only those
        between them differ.
        """
        size = min(8, self.N // 2 + 1)
        first, last, *others = self.order[: 2 * size - 2]
        seed = int(self.rng.integers(2**31))
        ends = []
        for between in (others[: size - 2], others[size - 2 :]):
            self.reset()
            self.torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed)
            with self.torch.no_grad():
                scores = self.net(self._x[self._places([first, *between, last])])
            found = [t.double() for t in _tensors_in(scores) if contract.has_rows(t, size)]
            if not found:
                raise ValueError(
                    f"net: expected scores with a row for each example, got {_kind(scores)} for"
                    f" {size} examples"
                )
            ends.append([t[[0, -1]] for t in found])
        self.reset()
        if all(self._alike(a, b) for a, b in zip(*ends)):
            return None
        names = [
            f"{name or 'the module'} ({type(m).__name__})"
            for name, m in self.net.named_modules()
            if _mixes(m)
        ]
        return f"{', '.join(names[:3]) or 'the module'} mixes the examples of a batch"

    def _alike(self, a, b):
        if a.shape != b.shape:
            return True  # no row for each example: nothing to compare
        tolerance = (
            50 * self.torch.finfo(self._x.dtype).eps if self._x.is_floating_point() else 1e-5
        )
        return (
            bool((a - b).abs().max() <= tolerance * (1e-3 + a.abs().max())) if a.numel() else True
        )

    def _hold_to_contract(self, extremes):
        """Some scores, repeated, beside as many different targets as there are, up to LABELS."""
        at = np.concatenate([extremes, self.order[:COMPARED]])[:COMPARED]
        at = at if len(at) >= 2 else self.order[:2]
        x, target = self._x[self._places(at)], self._target[self._places(at)]
        with self.torch.no_grad():
            scores = self.net(x)
            self.target_counts = self._told_apart(scores, target)
            wrong = contract.broken(self._loss, scores, target)
            wrong = wrong or self._squashed(x, scores, target)
            for other in () if wrong else self._other_targets(len(at)):
                wrong = wrong or contract.broken(
                    self._loss, scores, self._target[self._places(other)]
                )
        self.reset()
        if wrong:
            raise ValueError(f"loss: expected {wrong}")

    def _squashed(self, x, scores, target):
        """Whether a sigmoid is taken twice, in words. The copy's parameters are enlarged for it."""
        for p in self.learned:
            p.mul_(LARGER)
        try:
            return contract.squashed(self._loss, scores, self.net(x), target)
        except Exception:  # not of that kind: a distribution that refuses inf, for example
            return None

    def _told_apart(self, scores, target):
        """Whether another target makes another loss."""
        try:
            own, other = (contract.own_losses(self._loss, scores, t) for t in (target, target + 1))
        except Exception:  # a label beyond the last one
            return True
        if target.unique(dim=0).shape[0] > 1:
            other = contract.own_losses(self._loss, scores, target.roll(1, 0))
        return not np.array_equal(own, other, equal_nan=True)

    def _other_targets(self, size):
        """Places of examples, `size` at a time, whose targets are all different ones."""
        target = self.examples.target
        if target.ndim == 1:
            _, first = np.unique(target, return_index=True)
        else:
            first = self.order
        first = first[:LABELS]
        for cut in range(0, len(first), size):
            yield np.resize(first[cut : cut + size], size)

    # ------------------------------------------------------------------ what stays as it was

    @contextmanager
    def private(self):
        """Random numbers, dropout's for example, are the copy's own; the caller's stay where they
        were."""
        torch = self.torch
        kept = random.getstate(), np.random.get_state()
        devices = [self.on] if self.on.type == "cuda" else []
        with (
            torch.random.fork_rng(devices=devices),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            try:
                if self._random is None:
                    torch.manual_seed(int(self.rng.integers(2**31)))
                else:
                    torch.set_rng_state(self._random)
                yield
            finally:
                self._random = torch.get_rng_state()
                random.setstate(kept[0])
                np.random.set_state(kept[1])

    def reset(self, start=0):
        with self.torch.no_grad():
            for name, tensor in self._held():
                tensor.copy_(self._starts[start][name])

    def _shuffled(self, name, tensor):
        """What is frozen, and the buffers, are the same at each start."""
        if name not in self._trained_names:
            return tensor
        order = self.torch.as_tensor(self.rng.permutation(tensor.numel()), device=tensor.device)
        return tensor.reshape(-1)[order].reshape(tensor.shape)

    # ------------------------------------------------------------------ what is asked

    def _places(self, at):
        return self.torch.as_tensor(np.asarray(at), device=self.on)

    def _mean_loss(self, at):
        at = self._places(at)
        target = self._target[at]
        scores = None
        try:
            scores = self.net(self._x[at])
            found = self._loss(scores, target)
        except Exception:  # as torch.distributions do at nan: the training has diverged
            tensors = _tensors_in(scores) or self.learned
            if all(t.isfinite().all() for t in tensors):
                raise
            return self.learned[0].sum() * float("nan")
        wrong = contract.not_a_loss(found, len(target))
        if wrong:
            raise ValueError(f"loss: expected {wrong}")
        return found.double().mean() if found.ndim else found

    def _grads(self, at):
        loss = self._mean_loss(at)
        if loss.grad_fn is None:
            raise ValueError("loss: expected one that depends on the parameters, got a constant")
        grads = self.torch.autograd.grad(loss, self.learned, allow_unused=True)
        return loss, [g.to_dense() if g is not None and g.is_sparse else g for g in grads]

    def timed(self, B):
        self.step(self.batch(B), 0.0)

    def step(self, at, lr):
        loss, grads = self._grads(at)
        with self.torch.no_grad():
            for p, g in zip(self.learned, grads):
                if g is not None:
                    p.sub_(g, alpha=lr)
        return loss.item()  # on a GPU this waits for it

    def loss(self, at):
        with self.torch.no_grad():
            return self._mean_loss(at).item()

    def _losses_with(self, at, target_at):
        n = len(at)
        with self.torch.no_grad():  # at least as many as the module can take
            scores = self.net(self._x[self._places(np.resize(at, max(n, self.least)))])
            parts = [contract.part(scores, k, max(n, self.least)) for k in range(n)]
            found = [
                self._loss(part, self._target[j : j + 1]).double().mean()
                for part, row in zip(parts, np.asarray(target_at).tolist())
                for j in row
            ]
        return self.torch.stack(found).cpu().numpy().reshape(n, -1)

    def _losses_of_nothing(self):
        """Some examples' losses where the scores are 0; how many scores there are, none where the
        module returns more than one tensor."""
        at = self._places(self.order[: max(self.least, min(16, self.most))])
        with self.torch.no_grad():
            scores = self.net(self._x[at])
            if not isinstance(scores, self.torch.Tensor):
                return np.zeros(1), ()
            zeros = self.torch.zeros_like(scores)
            return contract.own_losses(self._loss, zeros, self._target[at]), scores.shape[1:2]

    def gradient(self, at):
        _, grads = self._grads(at)
        half = (self.torch.float16, self.torch.bfloat16)
        reached = [g.reshape(-1) for g in grads if g is not None]
        flat = self.torch.cat([g.float() if g.dtype in half else g for g in reached])
        return flat.cpu().numpy()

    # ------------------------------------------------------------------ memory

    def free(self):
        if self.on.type == "cuda":
            return int(self.torch.cuda.mem_get_info(self.on)[0])
        return free_memory("cpu")

    def nbytes(self, B):
        """Parameters twice, and what autograd keeps, by running B = 2 and 3 at most: it is a
        straight line in B."""
        if B not in self._counted:
            if B > 3:
                two, three = self.nbytes(2), self.nbytes(3)
                return two + (B - 2) * (three - two)
            self._counted[B] = self._traced(max(B, self.least))
        return self._counted[B]

    def _traced(self, B):
        own = {p.data_ptr() for p in self.learned}
        kept = {}

        def look(tensor):
            if tensor.data_ptr() not in own:
                kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with self.torch.autograd.graph.saved_tensors_hooks(look, lambda tensor: tensor):
            self._mean_loss(np.arange(B))
        return sum(2 * p.nbytes for p in self.learned) + sum(kept.values())


def _copied(module, name):
    """A copy, of a scripted module too, whose deepcopy stays connected with it. A tensor that a
    module has computed and kept, as old weight_norm does, is copied as a number."""
    computed = {
        id(t): t.detach().clone()
        for part in module.modules()
        for t in vars(part).values()
        if getattr(t, "grad_fn", None) is not None
    }
    try:
        if hasattr(module, "save_to_buffer"):
            torch = sys.modules["torch"]
            return torch.jit.load(io.BytesIO(module.save_to_buffer()))
        return copy.deepcopy(module, computed)
    except Exception as error:
        raise TypeError(f"{name}: expected a module that copy.deepcopy can copy: {error}") from None


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _without_hooks(net):
    """Take off all hooks that are not PyTorch's own, as those of spectral_norm are; a note where
    there were any."""
    taken = 0
    for module in net.modules():
        for kind in HOOKS:
            hooks = getattr(module, kind)
            for key in [k for k, hook in hooks.items() if not _of_torch(hook)]:
                del hooks[key]
                taken += 1
    return (f"The module's hooks ({taken}) were left out.",) if taken else ()


def _of_torch(hook):
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return home.partition(".")[0] == "torch"


def _notes(net):
    """What the module's modes leave out, for the advice to say."""
    asleep = [
        m
        for m in net.modules()
        if not m.training and ("Dropout" in type(m).__name__ or _normalises(m))
    ]
    if asleep:
        kinds = ", ".join(sorted({type(m).__name__ for m in asleep}))
        return (
            (
                f"{kinds} in evaluation mode was left so; if you train with it, call train() on the"
                " module first."
            ),
        )
    return ()


def _normalises(module):
    return "BatchNorm" in type(module).__name__


def _mixes(module):
    return _normalises(module) and (module.training or getattr(module, "running_mean", 1) is None)


def _tensors_in(scores):
    if isinstance(scores, dict):
        scores = list(scores.values())
    if isinstance(scores, (tuple, list)):
        return [t for value in scores for t in _tensors_in(value)]
    if hasattr(scores, "grad_fn"):
        return [scores]
    return _tensors_in(list(vars(scores).values())) if hasattr(scores, "__dict__") else []


def _kind(scores):
    found = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in _tensors_in(scores)]
    return ", ".join(found) or type(scores).__name__
