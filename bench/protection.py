# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench protection`: the table of the fail-safety paper, for each module and front end of this machine.

The case is the paper's: a file of 64 KiB copied by calls of 8 KiB. Each row turns one knob, or a wall, and costs what the
copy then takes longer than with its base; the share is that cost against the copy without any fail-safety. The rows that
are named "all that ..." turn everything on.
"""

import contextlib

import method
from method import Skip

BARE = "check=off,journal=off,deadlock=off,time=off"
FULL = "shared=unmapped,check=deep,journal=all,deadlock=10ms,time=5s"
COPY = "the copy without fail-safety"
CHECK = "deadlock check (each)"

# Milliseconds, Kourai, Chiba and Masuda: SMFS, SNFS.
PAPER = {
    "replication (all data)": (59, 82), "address-space switch": (44, 104), "shared memory unmapped": (317, 433),
    "shared memory read-only": (197, 326), CHECK: (0.1, 0.1), "writing the log": (0, 21), COPY: (38, 516),
}
PAPER_CHOICE = {"smfs": 0.024, "snfs": 0.001}
CHOICE = "being able to choose a level"

# protection, level, the level that it is compared with, what of the paper it stands beside
ROWS = [
    ("replication (all data)", "trusted,check=deep", "trusted", "replication (all data)"),
    ("address-space switch", f"isolated,shared=rw,{BARE}", "trusted", "address-space switch"),
    ("shared memory unmapped", f"isolated,shared=unmapped,{BARE}", f"isolated,shared=rw,{BARE}", "shared memory unmapped"),
    ("shared memory read-only", f"isolated,shared=ro,{BARE}", f"isolated,shared=rw,{BARE}", "shared memory read-only"),
    ("writing the log", "trusted,journal=all", "trusted", "writing the log"),
    ("catching faults (trap)", "trusted,trap=on", "trusted", None),
    ("time limit", "trusted,trap=on,time=5s", "trusted,trap=on", None),
    ("deadlock check every 10 ms", "trusted,deadlock=10ms", "trusted", None),
    ("protection keys", f"walled,shared=rw,{BARE}", "trusted", None),
    ("protection keys, shared memory read-only", f"walled,shared=ro,{BARE}", f"walled,shared=rw,{BARE}", None),
    ("protection keys, shared memory unmapped", f"walled,shared=unmapped,{BARE}", f"walled,shared=rw,{BARE}", None),
    ("sandbox", f"sandboxed,shared=rw,{BARE}", "trusted", None),
    ("sandbox, shared memory read-only", f"sandboxed,shared=ro,{BARE}", f"sandboxed,shared=rw,{BARE}", None),
    ("sandbox, shared memory unmapped", f"sandboxed,shared=unmapped,{BARE}", f"sandboxed,shared=rw,{BARE}", None),
    ("all that wall none has", "guarded,check=deep,deadlock=10ms", "trusted", None),
    ("all that wall pkey has", f"walled,{FULL}", "trusted", None),
    ("all that wall sfi has", f"sandboxed,{FULL}", "trusted", None),
    ("all that wall process has", f"isolated,{FULL}", "trusted", None),
]
QUICK = {"replication (all data)", "address-space switch", "shared memory unmapped", "shared memory read-only", "writing the log",
         "all that wall pkey has", "all that wall process has"}

# Whose single copies are drawn.
SAMPLES = 2000
LATENCY = {"unprotected": "trusted", "none, all": ROWS[-4][1], "pkey, all": ROWS[-3][1], "sfi, all": ROWS[-2][1],
           "process, all": ROWS[-1][1], "built-in": "builtin"}

# The whole copy against the unprotected one: in-process, through FUSE.
LIMITS = {"all that wall pkey has": (1.25, 1.03), "all that wall sfi has": (1.3, 1.03), "all that wall process has": (3, 1.25)}
CHOICE_LIMITS = {("smfs", "inproc"): 1.01, ("snfs", "inproc"): 1.001, ("smfs", "fuse"): 1.001, ("snfs", "fuse"): 1.001}


def paper(module, key):
    if key not in PAPER or module not in ("smfs", "snfs"):
        return None
    i = ("smfs", "snfs").index(module)
    return {"ms": PAPER[key][i], "share": PAPER[key][i] / PAPER[COPY][i]}


def levels_of(rows):
    return list(dict.fromkeys([level for r in rows for level in (r[2], r[1])]))


def make_row(name, mine, base, unprotected, known):
    cost = method.difference(mine, base)
    return {"protection": name, "ns": cost["median"], "share": cost["median"] / method.median(unprotected),
            "low": cost["low"], "high": cost["high"], "copy": method.summary(mine),
            "ratio": method.summary(method.each(lambda a, b: a / b, mine, unprotected)),
            "sure": method.sure(method.each(lambda a, b: a - b, mine, base), 0) is not None, "paper": known}


def skipped(name, why, known=None):
    return {"protection": name, "ns": None, "share": None, "skip": why, "paper": known}


class Table:
    """One module through one front end. `arms`: level -> arm; "builtin" is the baseline; `lacks`: level -> reason."""

    def __init__(self, module, front, arms, lacks):
        self.module, self.front, self.arms, self.lacks = module, front, arms, lacks

    def run(self, wanted, rounds, say):
        times = method.interleave(self.arms, rounds, say)
        plain = times["trusted"]
        rows = [{"protection": COPY, "ns": method.median(plain), "share": 1.0, "copy": method.summary(plain),
                 "ratio": method.summary([1.0] * len(plain)), "sure": True, "paper": paper(self.module, COPY)}]
        goals = []
        for name, level, base, known in wanted:
            lack = self.lacks.get(level) or self.lacks.get(base)
            if lack:
                rows.append(skipped(name, lack, paper(self.module, known)))
            else:
                rows.append(make_row(name, times[level], times[base], plain, paper(self.module, known)))
            if name in LIMITS:
                goals.append(method.goal(f"{self.module}, {self.front}: {name}, against unprotected",
                                         [] if lack else method.each(lambda a, b: a / b, times[level], plain),
                                         LIMITS[name][self.front == "fuse"]))
        self.choice(rows, goals, times, plain)
        found = {"module": self.module, "front": self.front, "rows": rows}
        if self.front == "inproc":
            found["latency"] = []
            for name, level in LATENCY.items():
                with contextlib.suppress(method.Failed):  # one that fails now has passed all rounds: it is not drawn
                    if level in self.arms:
                        found["latency"].append({"name": name, "quantiles": self.arms[level].quantiles(SAMPLES)})
        return found, goals

    def choice(self, rows, goals, times, plain):
        known = PAPER_CHOICE.get(self.module)
        known = {"ms": None, "share": known} if known else None
        built_in = times.get("builtin")
        if built_in:
            rows.append(make_row(CHOICE, plain, built_in, plain, known))
        else:
            rows.append(skipped(CHOICE, self.lacks.get("builtin", "not built in"), known))
        if (self.module, self.front) in CHOICE_LIMITS:
            goals.append(method.goal(f"{self.module}, {self.front}: trusted against built-in",
                                     method.each(lambda a, b: a / b, plain, built_in) if built_in else [],
                                     CHOICE_LIMITS[self.module, self.front]))


def in_process(bench, module, wanted):
    worker, arms, lacks = bench.worker("inproc"), {}, {}
    for level in levels_of(wanted):
        try:
            arm = method.Operation(worker, worker.open(module, level, bench.server_of(module)), "copy64k")
            arm.calibrate()
            arms[level] = arm
        except Skip as why:
            lacks[level] = str(why)
    if "trusted" not in arms:
        raise Skip(lacks["trusted"])
    try:
        other = bench.worker(f"inproc-{module}", "builtin")
        arms["builtin"] = method.Operation(other, other.open(module, "trusted", bench.server_of(module)), "copy64k")
    except Skip as why:
        lacks["builtin"] = str(why)
    return Table(module, "inproc", arms, lacks)


def through_fuse(bench, module, wanted):
    arms, lacks = {}, {}
    for level in ["builtin"] + levels_of(wanted):
        try:
            arms[level] = bench.mounted_copy(module, level)
        except Skip as why:
            lacks[level] = str(why)
    if "trusted" not in arms:
        raise Skip(lacks["trusted"])
    return Table(module, "fuse", arms, lacks)


def deadlock_row(bench, module, unprotected):
    worker = bench.worker("inproc")
    arm = method.Operation(worker, worker.open(module, "trusted,deadlock=10ms", bench.server_of(module)),
                           "deadlock")
    times = method.interleave({"check": arm}, bench.rounds)["check"]
    ns = method.median(times)
    return {"protection": CHECK, "ns": ns, "share": ns / unprotected, "copy": None, "ratio": None, "sure": True,
            "paper": paper(module, CHECK)}


def run(bench, args):
    wanted = [r for r in ROWS if not args.quick or r[0] in QUICK]
    results, goals, skips = [], [], []
    for module in args.module or bench.modules():
        for front, make in (("inproc", in_process), ("fuse", through_fuse)):
            if args.front and front not in args.front:
                continue
            try:
                with bench.section(f"protection, {module}, {front}") as say:
                    found, more = make(bench, module, wanted).run(wanted, bench.rounds if front == "inproc" else bench.fuse_rounds,
                                                                  say)
                    bench.renew()
                    found["rows"].append(deadlock_row(bench, module, found["rows"][0]["ns"]))
                    results.append(found)
                    goals += more
            except Skip as why:
                skips.append({"what": f"{module}, {front}", "why": str(why)})
    return {"results": results, "goals": goals, "skipped": skips}
