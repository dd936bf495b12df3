# SPDX-License-Identifier: BSD-2-Clause
"""Results as text and as CSV."""

import csv
import io
import sys

_shown = False


def progress(what, quiet):
    def say(number, of):
        global _shown
        if sys.stderr.isatty() and not quiet:
            print(f"\r{what}: {number} of {of}   ", end="", file=sys.stderr, flush=True)
            _shown = True
    return say


def progress_end():
    global _shown
    if _shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    _shown = False


def time_text(ns):
    if ns is None:
        return "-"
    for unit, size in (("s ", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= size:
            return f"{ns / size:.3g} {unit}" if abs(ns) < 100 * size else f"{ns / size:.0f} {unit}"
    return f"{ns:.3g} ns"


def percent(share):
    return "-" if share is None else f"{share:.1%}" if abs(share) < 9.995 else f"{share:.0%}"


def span(s):
    return f"{time_text(s['low'])} - {time_text(s['high'])}"


def ratio_text(s):
    return f"{s['median']:.2f} ({s['low']:.2f}-{s['high']:.2f})" if s else "-"


def show_machine(found):
    m = found["machine"]
    where = "all on one core" if found["pin"] == "one" else "on all cores"
    print(f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}; {where}{', quick' if found['quick'] else ''}")
    print(f"load {m['load_before']:.2f} before and {m['load_after']:.2f} after, {m['stolen']:.1%} of the time stolen by the host")
    if m["noisy"]:
        print("The machine was busy with other work: trust the ratios more than the times.")


def show_protection(found):
    for table in found["results"]:
        print(f"\n{table['module']}, {'in-process' if table['front'] == 'inproc' else 'through FUSE'}: "
              f"a copy of 64 KiB by calls of 8 KiB\n")
        print(f"  {'protection':44}{'cost':>9} {'share':>8}   {'quartiles':23}{'copy':>9}  {'paper':>8} {'share':>8}")
        for r in table["rows"]:
            known = r.get("paper") or {}
            ms = known.get("ms")
            right = f"{ms:>5} ms" if ms is not None else f"{'-':>8}"
            right += f" {percent(known.get('share')):>8}"
            if r.get("skip"):
                print(f"  {r['protection']:44}{'-':>9} {'-':>8}   {'':23}{'-':>9}  {right}   {r['skip']}")
                continue
            spread = f"{time_text(r['low'])} - {time_text(r['high'])}" if "low" in r else ""
            copy = time_text(r["copy"]["median"]) if r.get("copy") else "-"
            print(f"  {r['protection']:44}{time_text(r['ns']):>9} {percent(r['share']):>8}   {spread:23}{copy:>9}  {right}"
                  f"{'' if r['sure'] else '   too noisy to say'}")


def show_times(title, rows):
    if rows:
        print(f"\n{title}")
    for r in rows:
        print(f"  {r['name']:34}{time_text(r['ns']['median']):>9}   {span(r['ns'])}")


def show_work(found):
    bases = ("trusted", "built-in", "passthrough_ll", "fuse2fs", "ntfs-3g")
    for name, note in found.get("targets", {}).items():
        print(f"  {name:20} {note}")
    print(f"\n  {'':22}{'median':>9}   {'quartiles':23}" + "".join(f"{'/ ' + b:20}" for b in bases))
    last = None
    for r in found["work"]:
        if r["workload"] != last:
            print(f"{r['workload']}")
            last = r["workload"]
        print(f"  {r['target']:22}{time_text(r['ns']['median']):>9}   {span(r['ns']):23}" +
              "".join(f"{ratio_text(r.get('ratio', {}).get(b)):20}" for b in bases))


def show_yields(rows):
    print(f"\n  {'':12}{'':28}{'':18}{'median':>9}   ratio to neither")
    for r in rows:
        print(f"  {r['form']:12}{r['work']:28}{r['liveness']:18}{time_text(r['ns']['median']):>9}   {ratio_text(r['ratio'])}")


def show_hook(paths):
    print(f"\n  {'path':34}{'no hook':>10}{'unbound':>10}   more")
    for p in paths:
        print(f"  {p['path']:34}{p['without']:>10.1f}{p['unbound']:>10.1f}   {p['more']:+.1f} instructions")


def show_goals(goals):
    if goals:
        print("\ngoals")
    for g in goals:
        print(f"  {g['goal']:74} <= {g['limit']:<6.4g} {ratio_text(g.get('ratio')):22} {g['verdict']}")


def text(found):
    show_machine(found)
    if "results" in found:
        show_protection(found)
    show_times("floors", found.get("floors", []))
    show_times("gates", found.get("gates", []))
    if "work" in found:
        show_work(found)
    if "rows" in found:
        show_yields(found["rows"])
    if "paths" in found:
        show_hook(found["paths"])
    show_goals(found["goals"])
    for s in found["skipped"]:
        print(f"skipped: {s['what']}: {s['why']}")


def changes(found):
    for c in found["changes"]:
        mark = "" if c["verdict"] == "same" else "  " + c["verdict"].upper()
        print(f"  {c['name']:64}{time_text(c['old_ns']):>9} -> {time_text(c['new_ns']):>9}  {c['ratio']:.3f}{mark}")
    for what, names in (("only in the old run", found["only_old"]), ("only in the new run", found["only_new"])):
        if names:
            print(f"{what}: {', '.join(names)}")
    if (found["old"] or {}).get("cpu") != (found["new"] or {}).get("cpu"):
        print("The two runs are of different processors: the times say little.")
    print(f"{found['regressions']} slower of {len(found['changes'])}")


# ---- CSV: a line for each number

def _lines(found):
    for table in found.get("results", []):
        for r in table["rows"]:
            yield [f"{table['module']} {table['front']}", r["protection"], "cost", r["ns"], r.get("low"), r.get("high"), r["share"],
                   r.get("skip", "")]
    for key in ("floors", "gates"):
        for r in found.get(key, []):
            yield [key, r["name"], "time", r["ns"]["median"], r["ns"]["low"], r["ns"]["high"], "", ""]
    for r in found.get("work", []):
        trusted = r.get("ratio", {}).get("trusted", {}).get("median", "")
        yield [r["workload"], r["target"], "time", r["ns"]["median"], r["ns"]["low"], r["ns"]["high"], trusted, ""]
    for r in found.get("rows", []):
        yield [r["work"], r["liveness"], "time", r["ns"]["median"], r["ns"]["low"], r["ns"]["high"], r["ratio"]["median"], ""]
    for p in found.get("paths", []):
        yield ["hook", p["path"], "instructions", p["more"], "", "", "", ""]


def csv_text(found):
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["what", "line", "kind", "ns", "low", "high", "ratio", "skipped"])
    rows.writerows(_lines(found))
    return out.getvalue()
