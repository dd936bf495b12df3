# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench gates`: what it costs to go into a module and back, at every wall, next to the floor below each."""

import json
import subprocess

import method
from method import Skip
from protection import BARE

WALLS = {"none": "trusted", "none, trap": "trusted,trap=on", "pkey": "walled", "sfi": "sandboxed", "process": "isolated"}
SHARED = ("rw", "ro", "unmapped")
FLOOR_ROUNDS = 7
TWO_CORES = "null: process on two cores"
TWO_CORES_NS = 4e6  # each batch begins asleep, and to wake the other core takes some 100 us: as of several threads


def settings(quick):
    """name -> level"""
    for wall, level in WALLS.items():
        if wall.startswith("none"):
            yield wall, level
        else:
            for shared in ("ro",) if quick else SHARED:
                yield f"{wall}, shared {shared}", f"{level},shared={shared},{BARE}"


def floors(bench, into, divisor):
    """One more round of each floor. They need both cores."""
    done = subprocess.run([bench.program("floor"), str(divisor)], capture_output=True, text=True, check=True)
    for row in map(json.loads, done.stdout.splitlines()):
        if "skip" in row:
            bench.skip(f"floor {row['name']}", row["skip"])
        else:
            into.setdefault(row["name"], []).append(row["ns"])


def open_arms(bench, quick):
    arms, cpus = {}, bench.cpus
    for name, level in settings(quick):
        for what in ("null", "call", "service"):
            try:
                worker = bench.worker("inproc")
                arms[f"{what}: {name}"] = method.Operation(worker, worker.open(bench.own_module("nullfs"), level), what)
            except Skip as why:
                bench.skip(f"gate {name}", str(why))
    single = {"bare: sfi": (f"sandboxed,{BARE}", "bare", cpus, method.BATCH_NS)}
    if cpus and bench.cores > 1:
        single[TWO_CORES] = (f"isolated,shared=ro,{BARE}", "null", None, TWO_CORES_NS)
    for name, (level, what, cores, batch) in single.items():
        try:
            worker = bench.worker("inproc", cpus=cores)
            arms[name] = method.Operation(worker, worker.open(bench.own_module("nullfs"), level), what, batch=batch)
        except Skip as why:
            bench.skip(name, str(why))
    return arms


def goals(times, floor):
    def against(name, base, limit, text):
        mine, other = times.get(name), floor.get(base) or times.get(base)
        values = method.each(lambda a, b: a / b, mine, other) if mine and other else []
        return method.goal(text, values, limit)

    trap = [a - b for a, b in zip(times.get("null: none, trap", []), times.get("null: none", []))]
    return [
        against("null: none", "indirect_call", 1.5, "null call: none against an indirect call"),
        method.goal("null call: none with trap, ns above none", trap, 5),
        against("null: pkey, shared ro", "pkru_stack_call", 1.5, "null call: pkey against two WRPKRU and a change of stack"),
        against("null: sfi, shared ro", "wasm_sigsetjmp_call", 1.5, "null call: sfi against a bare wasm2c call with sigsetjmp"),
        against("null: sfi, shared ro", "bare: sfi", 1.5, "null call: sfi against the same function called bare"),
        against("null: process, shared ro", "futex_same_core", 1.3, "null call: process against a futex round trip on one core"),
        against(TWO_CORES, "spin_other_core", 1.5, "null call: process against spinning on two cores"),
    ]


def run(bench, args):
    rounds, floor = FLOOR_ROUNDS if not args.quick else 2, {}
    with bench.section("gates") as say:
        arms = open_arms(bench, args.quick)
        times = {name: [] for name in arms}
        for number in range(rounds):
            floors(bench, floor, 10 if args.quick else 1)
            for name, values in method.interleave(arms, 5 if not args.quick else 1).items():
                times[name].append(method.median(values))
            say(number + 1, rounds)
    return {"floors": [{"name": n, "ns": method.summary(v)} for n, v in floor.items()],
            "gates": [{"name": n, "ns": method.summary(v)} for n, v in times.items()],
            "goals": goals(times, floor)}
