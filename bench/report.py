# SPDX-License-Identifier: BSD-2-Clause
"""Turns what was measured into one plain structure, and that into text."""

from statistics import median

import goals

TOTAL = {"unpack", "git", "sqlite"}  # a person waits for these as a whole


def row(results, workload, target):
    """One workload on one target: the times of its rounds and the ratios that are of interest."""
    runs = results[(workload, target)]
    one = next(iter(runs.values()))
    key = "total_ns" if workload in TOTAL else "ns"
    found = {"workload": workload, "target": target, "n": one["n"],
             "unit": "whole" if workload in TOTAL else "operation",
             "ns": goals.summary([runs[r][key] for r in sorted(runs)]),
             "rate": median(1e9 / r["ns"] for r in runs.values()),
             "cpu_ns": median(r["cpu_ns"] / r["total_ns"] * r[key] for r in runs.values()),
             "ratio": {}}
    if "note" in one:
        found["note"] = one["note"]
    for base in (*goals.PEERS, "trusted"):
        if base != target:
            found["ratio"][base] = goals.ratio(results, workload, target, base)
    return found


def plain(rows):
    """Rows of the floors or of the in-process benchmark."""
    return [{"name": name, "n": sum(r["n"] for r in runs.values()),
             "ns": goals.summary([runs[r]["ns"] for r in sorted(runs)])}
            for (name, _), runs in rows.items()]


def collect(run, about):
    return {"machine": about,
            "results": [row(run.results, w, t) for w, t in sorted_keys(run)],
            "floors": plain(run.floors), "inproc": plain(run.inproc),
            "goals": [] if run.args.no_tadan else goals.fuse_goals(run.results) +
            goals.inproc_goals(run.floors, run.inproc, about["pin"] == "one"),
            "skipped": run.skipped, "failed": run.failed}


def sorted_keys(run):
    workloads = list(dict.fromkeys(w for w, _ in run.results))
    names = list(dict.fromkeys(t for _, t in run.results))
    order = [t for t in run_order(run) if t in names]
    return [(w, t) for w in workloads for t in order if (w, t) in run.results]


def run_order(run):
    return [t.name for t in run.wanted()]


def time_text(ns):
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 100 * size else f"{ns / size:.0f} {unit}"
    return f"{ns:.3g} ns"


def ratio_text(found):
    if not found:
        return "-"
    return f"{found['median']:.2f} ({found['min']:.2f}-{found['max']:.2f})"


def noisy(summary):
    return summary["max"] > goals.WIDE * summary["min"]


def show_machine(m):
    print(f"\n{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}")
    print(f"load {m['load_before'][0]:.2f} before and {m['load_after'][0]:.2f} after; "
          f"{m['steal']:.1%} of the time stolen by the host, {m['idle']:.0%} idle")
    where = "server and client on one core" if m["pin"] == "one" else "on all cores"
    print(f"{m['rounds']} rounds, {where}{', quick (smaller) workloads' if m['quick'] else ''}")
    if m["load_before"][0] > m["cores"] / 2 or m["steal"] > 0.02:
        print("The machine was busy with other work: trust the ratios more than the times.")
    for name, note in m["targets"].items():
        print(f"  {name:20} {note}")


def show_results(results):
    last = None
    print(f"\n{'':22}{'median':>9}   {'min - max':<22}{'op/s':>9} {'cpu time':>9}"
          f"   {'/ passthrough_ll':20}{'/ passthrough_ll-auto':23}/ trusted")
    for r in results:
        if r["workload"] != last:
            note = f" ({r['note']})" if "note" in r and r["target"] != "tmpfs" else ""
            print(f"{r['workload']}: {r['n']} operations, time of "
                  f"{'all' if r['unit'] == 'whole' else 'one'}{note}")
            last = r["workload"]
        ns = r["ns"]
        span = f"{time_text(ns['min'])} - {time_text(ns['max'])}{' ~' if noisy(ns) else ''}"
        ratios = [ratio_text(r["ratio"].get(base)) for base in (*goals.PEERS, "trusted")]
        print(f"  {r['target']:20}{time_text(ns['median']):>9}   {span:<22}{r['rate']:>9.0f} "
              f"{time_text(r['cpu_ns']):>9}   {ratios[0]:20}{ratios[1]:23}{ratios[2]}")
    if any(noisy(r["ns"]) for r in results):
        print(f"~ the slowest round took over {goals.WIDE} times as long as the fastest")


def show_plain(title, rows):
    if rows:
        print(f"\n{title}")
    for r in rows:
        ns = r["ns"]
        print(f"  {r['name']:28}{time_text(ns['median']):>9}   "
              f"{time_text(ns['min'])} - {time_text(ns['max'])}{' ~' if noisy(ns) else ''}")


def show_goals(found):
    if not found:
        return
    print("\ngoals (ratios of times)")
    for g in found:
        print(f"  {g['goal']:66} <= {g['limit']:<5}{ratio_text(g['ratio']):20} {g['verdict']}")
    count = {v: sum(g["verdict"] == v for g in found)
             for v in ("met", "missed", "cannot tell", "not measured")}
    print("  " + ", ".join(f"{n} {v}" for v, n in count.items()))
    if count["cannot tell"]:
        print("  cannot tell: the rounds disagree; run it longer (--rounds) or on a quiet machine")


def show(everything):
    show_machine(everything["machine"])
    show_results(everything["results"])
    show_plain("floors", everything["floors"])
    show_plain("in-process", everything["inproc"])
    show_goals(everything["goals"])
    for what in ("skipped", "failed"):
        for item in everything[what]:
            print(f"{what}: {item['what']}: {item['why']}")
