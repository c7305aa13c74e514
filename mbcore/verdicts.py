"""Every claim of the sources, the experiment that answers it, and the lesson that teaches it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module

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
SOURCES = "TQNFB"       # the order in which the sources are listed


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
        """A table for a notebook; each lesson is a link."""
        rows = [f"| {v.claim} | {v.label} | {v.because} | [{lesson[:2]}]({lesson}.ipynb) |" for v, lesson in self.found.values()]
        return "\n".join(["| claim | verdict | because | lesson |", "|---|---|---|---|", *rows])


def modules():
    """name -> the module of each experiment."""
    return {name: import_module(f"mbcore.experiments.{name}") for name in LESSONS}


def claims():
    """Every claim -> the name of the experiment that answers it, in the order of the sources."""
    found = {claim: name for name, module in modules().items() for claim in module.CLAIMS}
    return dict(sorted(found.items(), key=lambda item: (SOURCES.index(item[0][0]), int(item[0][1:]))))


def judging(*wanted):
    """Run each experiment that answers one of these claims (none named: all) at its small budget; yields (fraction, Verdicts so far)."""
    answered_by, found = claims(), {}
    for claim in wanted:
        if claim not in answered_by:
            raise ValueError(f"claim: expected one of {', '.join(answered_by)}, got {claim!r}")
    wanted = wanted or tuple(answered_by)
    needed = list(dict.fromkeys(answered_by[claim] for claim in wanted))
    for done, name in enumerate(needed, 1):
        module = modules()[name]
        found.update({v.claim: (v, LESSONS[name]) for v in module.run(module.SMALL).verdicts if v.claim in module.CLAIMS})
        yield done / len(needed), Verdicts({claim: found[claim] for claim in answered_by if claim in found and claim in wanted})


def verdicts(*claims):
    """The computed verdicts on these claims, "T1", "N4" (none named: on all), each experiment at its small budget: Verdicts.

    All of them take about a minute; a line on the terminal tells how far it is.
    """
    return last(watched(judging(*claims), "Verdicts"))
