# SPDX-License-Identifier: BSD-2-Clause
"""Part 2: the mount of part 1 moves through the levels while programs write to it."""

import os
import time

import trees
from show import note, proof, say, step, style
from mounts import Refused, Writers

MEASURE_SECONDS = 3
MORE_MOVES = 12


def verify_ledgers(ledgers):
    """Everything that was acknowledged is there, and nothing else."""
    files = ops = 0
    wrong, errors = [], []
    for where, ledger in ledgers:
        wrong += [f"{where}/{name}" for name in trees.differences(ledger["files"], where)]
        errors += ledger["errors"]
        files, ops = files + len(ledger["files"]), ops + ledger["ops"]
    proof(not errors, f"{ops:,} operations, none failed" if not errors else f"operations failed: {errors[:3]}")
    proof(not wrong, f"the {files} files that the writers left hold what was acknowledged" if not wrong else
          f"{len(wrong)} files do not hold what was acknowledged, the first is {wrong[0]}")


def measure(writers):
    before, begin = writers.counts()[0], time.monotonic()
    time.sleep(MEASURE_SECONDS)
    return (writers.counts()[0] - before) / (time.monotonic() - begin)


def missing(mount, levels):
    """Which levels this machine has; tells about the others."""
    here = []
    for level in levels:
        if level["available"]:
            here.append(level["name"])
        else:
            say(style(33, f"  {level['name']} is left out: ") + level["reason"])
    return here


def show(mount, want, levels, scratch, rates):
    """Fills in operations per second for each level."""
    where = os.path.join(mount.dir, "tree")
    writers = Writers(mount.dir, scratch)
    try:
        writers.wait_for(50)
        for level in levels:
            if level != "trusted":
                note(mount.level(level).replace(mount.dir + ": ", "moved: "))
            with step(f"{level}: two writers, counted") as more:
                rates[level] = measure(writers)
                more.append(f"{rates[level]:,.0f} operations a second")
            with step(f"{level}: the tree of part 1, read meanwhile") as more:
                wrong = trees.differences(want, where)
                more.append("all as in the original" if not wrong else f"{wrong[0]} differs")
            if wrong:
                proof(False, f"the tree is as in the original at level {level}")
        with step(f"{MORE_MOVES} moves more, one after the other") as more:
            pauses = []
            for i in range(MORE_MOVES):
                mount.level(levels[i % len(levels)])
                pauses.append(mount.status()["last_pause_ns"] / 1e6)
            more.append(f"calls waited {min(pauses):.1f} to {max(pauses):.1f} ms")
        writers.wait_for(50)
        verify_ledgers(writers.finish())
    finally:
        writers.stop()


def refused_politely(mount, level):
    """A level that this machine lacks is refused, and nothing changes."""
    before = mount.status()["level"]
    try:
        mount.level(level)
    except Refused as why:
        note(f"asked for {level} all the same: {why}")
        proof(mount.status()["level"] == before, f"the mount stayed at {before}")
