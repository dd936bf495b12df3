# SPDX-License-Identifier: BSD-2-Clause
"""How things are measured, whatever they are.

An arm is one thing that can be timed: a module at a level, a peer, a floor. Arms take turns, a batch each, in an order
that turns from round to round; so a machine that drifts moves all of them. A ratio or a difference is taken within a
round, between batches that stood next to one another, and reported as the median over the rounds with its quartiles.

Nothing is called dearer, met or missed unless so many rounds agree that chance alone would do it once in a hundred
times (all of them, where there are few); else the machine was too noisy to say.
"""

import contextlib
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from statistics import median, quantiles

BATCH_NS = 5e5  # shorter than the time slices that others get meanwhile
BATCH_THREADS_NS = 4e6  # of several threads: Linux takes its time to put each on a core of its own
WARM_UP = 2  # rounds that do not count


class Skip(Exception):
    """This machine, or this build, does not have it; the reason is for people."""


def pinned(cpus):
    """What a new process does before its program: it takes the cores that it is given."""
    return (lambda: os.sched_setaffinity(0, cpus)) if cpus else None


class Failed(Skip):
    """It was there, and went wrong."""


class Worker:
    """An inproc program, asked a line at a time."""

    def __init__(self, program, cpus, environment):
        if not os.access(program, os.X_OK):
            raise Skip(f"{program} is not built")
        self.next = 0
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, preexec_fn=pinned(cpus), env=environment)

    def ask(self, line):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            words = self.process.stderr.read().strip().splitlines() or [f"status {self.process.wait()}"]
            raise Failed(f"{os.path.basename(self.process.args[0])} ended at '{line}': {words[-1]}")
        answer = json.loads(answer)
        if "error" in answer:
            raise Failed(f"'{line}': {answer['error']}")
        return answer

    def open(self, module, level, url=""):
        number, self.next = self.next, self.next + 1
        answer = self.ask(f"open {number} {module} {level} {url}")
        if "skip" in answer:
            self.next = number
            raise Skip(answer["skip"])
        return number

    def stop(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()


class Operation:
    """An arm: one operation on one volume of a worker, in batches of some time."""

    def __init__(self, worker, volume, what, threads=1, batch=None):
        self.worker, self.volume, self.what, self.threads, self.count = worker, volume, what, threads, 0
        self.batch = batch or (BATCH_NS if threads == 1 else BATCH_THREADS_NS)

    def calibrate(self):
        count = 1
        while True:
            ns = min(self.run(count) for _ in range(3))
            if ns * count > self.batch / 4 or count > 1 << 24:
                break
            count *= 4
        self.count = max(1, int(self.batch / ns))

    def run(self, count):
        return self.worker.ask(f"run {self.volume} {self.what} {count} {self.threads}")["ns"]

    def take(self):
        if not self.count:
            self.calibrate()
        return self.run(self.count)

    def quantiles(self, count):
        return self.worker.ask(f"sample {self.volume} {self.what} {count}")["quantiles"]


def interleave(arms, rounds, say=None):
    """name -> arm with take(), a time in ns; gives name -> times, one a round."""
    names, times = list(arms), {name: [] for name in arms}
    for number in range(-WARM_UP, rounds):
        turn = number % len(names) if names else 0
        for name in names[turn:] + names[:turn]:
            ns = arms[name].take()
            if number >= 0:
                times[name].append(ns)
        if say and number >= 0:
            say(number + 1, rounds)
    return times


def summary(values):
    low, _, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": median(values), "low": low, "high": high, "least": min(values), "most": max(values), "rounds": len(values)}


def each(function, a, b):
    return [function(x, y) for x, y in zip(a, b)]


def ratio(a, b):
    return summary(each(lambda x, y: x / y, a, b))


def difference(a, b):
    return summary(each(lambda x, y: x - y, a, b))


def sure(values, limit):
    """Which side of the limit are they on? True: at most; False: above; None: too noisy to say."""
    below, n = sum(v <= limit for v in values), len(values)
    enough = min(n, n / 2 + 1.29 * n ** 0.5)  # of so many tosses of a coin, 99 times of 100 fewer are heads (or tails)
    return True if below >= enough else False if n - below >= enough else None


VERDICTS = {True: "met", False: "missed", None: "too noisy to say"}


def goal(text, values, limit):
    """values: a ratio for each round; none: it could not be measured."""
    if not values:
        return {"goal": text, "limit": limit, "verdict": "not measured"}
    return {"goal": text, "limit": limit, "ratio": summary(values), "verdict": VERDICTS[sure(values, limit)]}


# ---- The machine

def _cpu_times():
    return [int(x) for x in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


class Machine:
    """What a reader must know to trust the numbers."""

    def __init__(self):
        self.before, self.load = _cpu_times(), os.getloadavg()[0]

    def about(self):
        models = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")]
        spent = [b - a for a, b in zip(self.before, _cpu_times())]
        found = {"cpu": models[0] if models else platform.machine(), "cores": len(os.sched_getaffinity(0)),
                 "kernel": platform.release(), "load_before": self.load, "load_after": os.getloadavg()[0],
                 "stolen": spent[7] / (sum(spent) or 1),
                 "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}
        found["noisy"] = self.load > found["cores"] / 2 or found["stolen"] > 0.02
        return found
