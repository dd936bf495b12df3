# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench levels`: real work at every level, beside the peers; and threads, in this process."""

import method
import targets
from method import Skip

# workload of fsbench -> its options under --quick
WORKLOADS = {
    "unpack": ["--count", "1000"], "meta": ["--count", "1000"], "copy64k": ["--count", "300"],
    "randread4k": ["--count", "2000", "--size", "8388608"], "randwrite4k": ["--count", "2000", "--size", "8388608"],
    "seqread128k": ["--size", "16777216"], "seqwrite128k": ["--size", "16777216"], "git": ["--count", "100"],
    "sqlite": ["--count", "300"], "compile": ["--count", "2"],
}
LEVELS = ["trusted", "guarded", "walled", "sandboxed", "isolated"]
# Two threads must do so many times the work of one; None: what this machine lets any two threads do.
THREADED = {"nothing_shared": None, "warm_read": 1.8, "create_unlink": 1.8}

METADATA = ("unpack", "create", "stat", "rename", "unlink")
DATA = ("copy64k", "randread4k", "randwrite4k", "seqread128k", "seqwrite128k", "git", "sqlite", "compile")


def wanted(bench, args):
    yield targets.Tmpfs("tmpfs")
    if not args.no_peers:
        yield targets.Passthrough("passthrough_ll", bench.scratch, "cache=always,writeback")
        yield targets.Passthrough("passthrough_ll-auto", bench.scratch, "cache=auto")
        yield targets.Fuse2fs("fuse2fs")
        yield targets.Ntfs3g("ntfs-3g")
    yield targets.Builtin("built-in", bench.find_program("mount-smfs"))
    for level in args.level or LEVELS:
        yield targets.Tadan(level, bench.tadan, "2G")
        if args.uring:
            yield targets.TadanUring(level, bench.tadan, "2G")


def mount_all(bench, args):
    live = []
    for target in wanted(bench, args):
        try:
            live.append(bench.mount(target))
        except (Skip, OSError) as why:
            bench.skip(target.name, str(why))
    return live


def measure(bench, args, live, times, number):
    for workload in args.workload or WORKLOADS:
        turn = number % len(live)
        for target in live[turn:] + live[:turn]:
            options = (WORKLOADS[workload] if args.quick else []) + ([] if number == 0 else ["--no-verify"])
            for row in bench.fsbench(workload, target, options):
                times.setdefault((row["name"], target.name), {})[number] = row["ns"]


def ratio_to(times, workload, target, base):
    mine, theirs = times.get((workload, target), {}), times.get((workload, base), {})
    return [mine[r] / theirs[r] for r in sorted(mine) if r in theirs]


def fuse_goals(times):
    for workload in METADATA + DATA:
        for peer in ("passthrough_ll", "passthrough_ll-auto"):
            limit = 1 / 1.5 if workload in METADATA else 1.0
            yield method.goal(f"{workload}: trusted against {peer}", ratio_to(times, workload, "trusted", peer), limit)
        for peer in ("fuse2fs", "ntfs-3g"):
            yield method.goal(f"{workload}: isolated against {peer}", ratio_to(times, workload, "isolated", peer), 1.0)
        yield method.goal(f"{workload}: trusted against built-in", ratio_to(times, workload, "trusted", "built-in"), 1.001)
    for workload in ("unpack", "git", "sqlite", "copy64k"):
        yield method.goal(f"{workload}: sandboxed against trusted", ratio_to(times, workload, "sandboxed", "trusted"), 1.05)


def threads(bench, args, work, goals):
    most = min(bench.cores, 16)
    for what, times_more in THREADED.items():
        arms = {}
        for level in (args.level or LEVELS) if times_more else ["trusted"]:
            for n in (1, most) if most > 1 else (1,):
                try:
                    worker = bench.worker("inproc", f"{what}", cpus=None)
                    arms[level, n] = method.Operation(worker, worker.open("smfs", level), what, n)
                except Skip as why:
                    bench.skip(f"threads at {level}", str(why))
        times = method.interleave(arms, bench.rounds)
        for (level, n), values in times.items():
            work.append({"workload": f"{what}, {n} thread{'s' if n > 1 else ''}", "target": f"in-process {level}",
                         "ns": method.summary(values)})
        if most > 1 and ("trusted", 1) in times:
            each = method.each(lambda one, many: many / (one * most), times["trusted", 1], times["trusted", most])
            goals.append(method.goal(f"{what}: time of {most} threads' work against one thread's doing it all", each,
                                     2 / times_more / most if times_more else 1))


def run(bench, args):
    times, work, goals = {}, [], []
    if args.threads:
        with bench.section("threads"):
            threads(bench, args, work, goals)
        return {"targets": {}, "work": work, "goals": goals}
    with bench.section("levels") as say:
        live = mount_all(bench, args)
        notes = {t.name: t.note for t in live}
        for number in range(bench.work_rounds):
            measure(bench, args, live, times, number)
            say(number + 1, bench.work_rounds)
    for (workload, target), by_round in times.items():
        row = {"workload": workload, "target": target, "ns": method.summary(list(by_round.values())), "ratio": {}}
        for base in ("trusted", "built-in", "passthrough_ll", "fuse2fs", "ntfs-3g", "tmpfs"):
            values = ratio_to(times, workload, target, base)
            if values:
                row["ratio"][base] = method.summary(values)
        work.append(row)
    work.sort(key=lambda r: list(dict.fromkeys(w for w, _ in times)).index(r["workload"]))
    goals += fuse_goals(times)
    if not args.workload:
        with bench.section("threads"):
            threads(bench, args, work, goals)
    return {"targets": notes, "work": work, "goals": [g for g in goals if g["verdict"] != "not measured"]}
