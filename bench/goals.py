# SPDX-License-Identifier: BSD-2-Clause
"""Ratios, and whether they reach the goals.

A ratio is taken round by round, between runs that stood next to one another in time, so that a
machine that drifts moves both. It is always a ratio of times: a rate at least twice as high is a
time of at most a half. A goal counts as met or missed only if four rounds of five agree.

passthrough_ll stands in twice, since neither of its set-ups is the faster one for all workloads;
to reach a goal is to reach it against both.

The in-process benchmark, build/bench/inproc, prints JSON objects as `floor` does, one a line: name,
ns (the median time of one operation) and n. Its rows "null/LEVEL" and "warm_read/LEVEL" have goals;
any other row is shown.
"""

from statistics import median

AGREE = 0.8
WIDE = 1.5  # a row whose slowest round took that much longer than its fastest is marked as noisy

PEERS = ("passthrough_ll", "passthrough_ll-auto")
VERSUS_PEER = {
    "unpack": 0.6, "create": 0.5, "stat": 0.5, "rename": 0.5, "unlink": 0.5, "copy64k": 0.6,
    "randread4k": 1.0, "randwrite4k": 1.0, "seqread128k": 1.0, "seqwrite128k": 1.0,
}
VERSUS_TRUSTED = {"walled": 1.05, "isolated": 1.25}
LEVEL_WORKLOADS = ("unpack", "git", "sqlite", "copy64k")


def summary(values):
    return {"median": median(values), "min": min(values), "max": max(values), "rounds": values}


def ratio(results, workload, target, base):
    """Target's time over base's, in each round that has both; None if no round has."""
    mine = results.get((workload, target), {})
    theirs = results.get((workload, base), {})
    each = [mine[r]["ns"] / theirs[r]["ns"] for r in sorted(mine) if r in theirs]
    return summary(each) if each else None


def verdict(found, limit):
    if not found:
        return "not measured"
    met = sum(r <= limit for r in found["rounds"]) / len(found["rounds"])
    if met >= AGREE:
        return "met"
    return "missed" if met <= 1 - AGREE else "cannot tell"


def goal(text, found, limit):
    return {"goal": text, "limit": limit, "ratio": found, "verdict": verdict(found, limit)}


def fuse_goals(results):
    goals = []
    for peer in PEERS:
        for workload, limit in VERSUS_PEER.items():
            goals.append(goal(f"{workload}: trusted / {peer}",
                              ratio(results, workload, "trusted", peer), limit))
    for level, limit in VERSUS_TRUSTED.items():
        for workload in LEVEL_WORKLOADS:
            goals.append(goal(f"{workload}: {level} / trusted",
                              ratio(results, workload, level, "trusted"), limit))
    return goals


def inproc_goals(floors, inproc, one_core):
    """floors and inproc: (name, "") -> round -> row, in the shape that ratio() takes."""
    trip = "futex_same_core" if one_core else "futex_other_core"
    rows = {**floors, **inproc}

    def between(mine, base):
        both = {("x", "mine"): rows.get((mine, ""), {}), ("x", "base"): rows.get((base, ""), {})}
        return ratio(both, "x", "mine", "base")

    goals = [goal("null call in-process: walled / two WRPKRU and a change of stack",
                  between("null/walled", "pkru_stack_call"), 1.5),
             goal(f"null call in-process: isolated / {trip}", between("null/isolated", trip), 1.3)]
    for level in ("guarded", "walled", "isolated"):
        # "The same speed" allows for the noise of a measurement, no more.
        goals.append(goal(f"warm read in-process: {level} / trusted",
                          between(f"warm_read/{level}", "warm_read/trusted"), 1.05))
    return goals
