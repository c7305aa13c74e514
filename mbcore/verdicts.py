"""Every claim of the sources, the experiment that answers it, and the lesson that teaches it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

from .checking import shown
from .progress import last, watched

LESSONS = {             # experiment -> the lesson that runs it
    "batch_index": "01_the_batch_index", "vector_operations": "01_the_batch_index", "two_meanings": "01_the_batch_index",
    "two_graphs": "02_batching_a_computation_graph", "backpropagation": "03_backpropagation_with_a_batch",
    "conventions": "03_backpropagation_with_a_batch", "regulariser": "03_backpropagation_with_a_batch",
    "accumulation": "04_gradient_averaging", "race": "04_gradient_averaging", "averages_over_time": "04_gradient_averaging",
    "variance": "05_variance", "batch_noise": "05_variance", "noise_floor": "05_variance",
    "throughput": "06_hardware", "powers_of_two": "06_hardware", "transfer": "06_hardware",
    "steps_to_target": "07_steps_to_target", "scaling_rules": "08_learning_rate_and_batch_size", "flat_minima": "09_flat_minima", "landscapes": "09_flat_minima",
    "perplexity": "10_perplexity", "last_batch": "11_what_the_model_remembers", "many_workers": "12_many_workers",
    "choosing": "13_choosing_a_batch_size",
}
CLAIMS = {              # claim -> the experiment that answers it, and what it says in a few words of ours; in the order of the sources
    "T1": ("batch_index", "Run several instances together, then make one update with the average of their gradients."),
    "T2": ("vector_operations", "In NumPy a batch pays because large vector operations hide the slowness of Python, less by parallelism."),
    "T3": ("throughput", "On a GPU a batch buys parallelism over its examples."),
    "T4": ("batch_index", "Every input and every computed value gets a batch index b, as its first."),
    "T5": ("batch_index", "Parameters get no batch index."),
    "T6": ("batch_index", "The lecture's network with a batch index, with its minus before C and its sigma on s."),
    "T7": ("backpropagation", "Backpropagation is three loops; the one for W.grad has a 1/B."),
    "T8": ("conventions", "By convention parameter gradients are averaged over the batch."),
    "T9": ("throughput", "The batch is typically made as large as the hardware supports."),
    "T10": ("steps_to_target", "Extremely large batches need more epochs, and so more energy, even in parallel."),
    "T11": ("steps_to_target", "Short of thousands of GPUs the batch can be as large as possible without additional epochs."),
    "Q1": ("two_graphs", "Minibatching the graph means copies that share the parameters, and a node that averages their losses."),
    "Q2": ("two_graphs", "There is a gain also without hardware that runs the copies in parallel."),
    "Q3": ("race", "The two sizes, computed and averaged, may differ; but two steps of 5 get farther than one of 10 in two passes."),
    "Q4": ("two_graphs", "An environment that differentiates any graph need not know that the graph is a minibatch."),
    "Q5": ("two_graphs", "Any reasonable way from the graph of one example to that of the batch would do."),
    "Q6": ("regulariser", "The gradient of the average is the average of gradients; the regulariser's part is not divided by B again."),
    "Q7": ("two_meanings", "\"Minibatching\" names two things: evaluating several examples at once, and estimating from a subsample."),
    "Q8": ("noise_floor", "The batch size is a bias-variance trade-off for the optimiser, not only a computational trick."),
    "Q9": ("averages_over_time", "Storing gradients and averaging them over iterations gains little for more code."),
    "N1": ("throughput", "In images per second the batch can grow indefinitely."),
    "N2": ("steps_to_target", "In steps to convergence there are limits: perfect scaling, diminishing returns, none."),
    "N3": ("scaling_rules", "Naive large minibatches lose accuracy."),
    "N4": ("flat_minima", "Large batches generalise worse because they end in sharp minima."),
    "N5": ("flat_minima", "Small batches stay out of sharp minima because their updates are noisy."),
    "N6": ("landscapes", "Filter-normalised pictures of the loss look flatter where the test error is lower."),
    "N7": ("many_workers", "One batch spread over workers, with gradients averaged by all-reduce, trains as one worker does."),
    "F1": ("batch_noise", "As the batch grows, the update gets smaller."),
    "F2": ("variance", "The batch's gradient converges to the expected one."),
    "F3": ("scaling_rules", "Smaller updates can be undone by the learning rate."),
    "F4": ("perplexity", "Perplexity falls as the batch grows, and then rises."),
    "B1": ("powers_of_two", "A batch is best a power of two."),
    "B2": ("transfer", "Too small a batch trains slowly, since the overhead of the transfer dominates."),
    "B3": ("noise_floor", "Too small a batch may not converge: its gradients vary too much."),
    "B4": ("batch_noise", "Too large a batch trains slowly too: its gradients average to almost zero."),
    "B5": ("choosing", "Choose by trying several, before you commit to the whole data set."),
    "B6": ("last_batch", "A model that is too small or updates too much may remember only its last batch; in practice it hardly does."),
}


@dataclass(frozen=True)
class Verdicts:
    """found: claim -> (Verdict, lesson), in the order of the sources."""

    found: dict

    def __getitem__(self, claim):
        return self.found[claim][0]

    def __iter__(self):
        return iter(self.found)

    def __len__(self):
        return len(self.found)

    def __str__(self):
        return "\n".join(str(verdict) for verdict, _ in self.found.values())

    __repr__ = __str__

    def _repr_markdown_(self):
        """A table for a notebook: the claim, what it says, what was found; each lesson is a link."""
        rows = [f"| {v.claim} | {stated(v.claim)} | {v.label} | {v.because} | [{lesson[:2]}]({lesson}.ipynb) |" for v, lesson in self.found.values()]
        return "\n".join(["| claim | it says | verdict | because | lesson |", "|---|---|---|---|---|", *rows])


def modules():
    """name -> the module of each experiment."""
    return {name: _module(name) for name in LESSONS}


def _module(name):
    return import_module(f"mbcore.experiments.{name}")


def claims():
    """Every claim -> the name of the experiment that answers it, in the order of the sources. Nothing is imported for it."""
    return {claim: name for claim, (name, _) in CLAIMS.items()}


def stated(claim):
    """What this claim says."""
    _check(claim)
    return CLAIMS[claim][1]


def _check(claim):
    """ValueError for what is no claim's id."""
    if not isinstance(claim, str) or claim not in CLAIMS:
        raise ValueError(f"claim: expected one of {', '.join(CLAIMS)}, got {shown(claim)}")


def judging(*wanted):
    """Run each experiment that answers one of these claims (none named: all) at its small budget; yields (fraction, Verdicts so far)."""
    answered_by = claims()
    for claim in wanted:
        _check(claim)
    return _judging(answered_by, wanted or tuple(answered_by))


def _judging(answered_by, wanted):
    """The generator of `judging`."""
    found = {}
    needed = list(dict.fromkeys(answered_by[claim] for claim in wanted))
    for done, name in enumerate(needed, 1):
        module = _module(name)
        found.update({v.claim: (v, LESSONS[name]) for v in module.run(module.SMALL).verdicts if v.claim in module.CLAIMS})
        yield done / len(needed), Verdicts({claim: found[claim] for claim in answered_by if claim in found and claim in wanted})


def verdicts(*claims):
    """The computed verdicts on these claims, "T1", "N4" (none named: on all), each experiment at its small budget: Verdicts.

    All of them take about a minute; a line on the terminal tells how far it is.
    """
    return last(watched(judging(*claims), "Verdicts"))
