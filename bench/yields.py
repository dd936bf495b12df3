# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench yields`: what liveness costs: yields that the compiler inserted, beside the timer of the time limit."""

import method
from method import Skip

LOOPS = {"hash": "hash of names", "checksum": "checksum of a block", "search": "search of a tree"}
OPERATIONS = {"lookup": "SMFS: lookup", "create_unlink": "SMFS: create and unlink", "copy64k": "SMFS: copy of 64 KiB"}
PLAIN, YIELDS, TIMER, BOTH = "neither", "yields", "timer", "yields and timer"
FORMS = {"native": "guarded", "sandboxed": "sandboxed"}
LIMIT = 1.1


def open_arms(bench, what, level, plain, yielding):
    worker = bench.worker("inproc")
    untimed, timed = f"{level},time=off", f"{level},time=5s"
    made = {PLAIN: (plain, untimed), TIMER: (plain, timed), YIELDS: (yielding, untimed), BOTH: (yielding, timed)}
    return {name: method.Operation(worker, worker.open(module, level), what) for name, (module, level) in made.items()}


def run(bench, args):
    rows, goals = [], []
    kinds = [(w, t, "work", "work_yields") for w, t in LOOPS.items()] + [(w, t, "smfs", "smfs_yields") for w, t in OPERATIONS.items()]
    for form, level, what, text, plain, yielding in [(f, level, *k) for f, level in FORMS.items() for k in kinds]:
        section = f"yields, {form}, {text}"
        try:
            with bench.section(section) as say:
                arms = open_arms(bench, what, level, bench.own_module(plain), bench.own_module(yielding))
                times = method.interleave(arms, bench.rounds, say)
        except Skip as why:
            bench.skip(section, str(why))
            continue
        for name, values in times.items():
            rows.append({"form": form, "work": text, "liveness": name, "ns": method.summary(values),
                         "ratio": method.ratio(values, times[PLAIN])})
        goals.append(method.goal(f"{form}, {text}: yields against neither",
                                 method.each(lambda a, b: a / b, times[YIELDS], times[PLAIN]), LIMIT))
    return {"rows": rows, "goals": goals}
