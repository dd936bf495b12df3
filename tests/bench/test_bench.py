#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench`: what a short run hands out has the shape that is promised, and compare finds what was planted.

    test_bench.py TADAN

No number is judged: only that it is there, that shares and ratios are those of the numbers beside them, and that what
cannot be measured here says why.
"""

import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

TADAN = sys.argv[1]
passed, failed = 0, 0


def check(what, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print(f"FAIL {what} {detail}")


def bench(*words):
    done = subprocess.run([TADAN, "bench", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout, done.stderr


def measured(*words):
    status, out, err = bench(*words, "--json")
    check(f"{words[0]} ends well", status == 0, err)
    return json.loads(out) if status == 0 else {}


def is_summary(s):
    return s["least"] <= s["low"] <= s["median"] <= s["high"] <= s["most"] and s["rounds"] > 0


def protection(folder, *fronts):
    svg, path = os.path.join(folder, "p.svg"), os.path.join(folder, "p.json")
    words = [w for f in fronts for w in ("--front", f)]
    status, out, err = bench("protection", "--quick", "--rounds", "3", *words, "--json", path, "--plot", svg)
    check("protection ends well", status == 0, err)
    check("protection prints its table", "the copy without fail-safety" in out and "goals" in out, out)
    with open(path, encoding="utf-8") as f:
        found = json.load(f)
    check("the machine is noted", found["machine"]["cpu"] and found["machine"]["kernel"] and found["machine"]["cores"] > 0)
    check("smfs is measured in-process", any(t["module"] == "smfs" and t["front"] == "inproc" for t in found["results"]))
    for table in found["results"]:
        rows = {r["protection"]: r for r in table["rows"]}
        base = rows["the copy without fail-safety"]
        check("the unprotected copy is the whole", base["share"] == 1 and base["ns"] > 0)
        for name, r in rows.items():
            if r["ns"] is None:
                check(f"{name}: says why it is missing", len(r["skip"]) > 10)
            else:
                check(f"{name}: its share", abs(r["share"] - r["ns"] / base["ns"]) < 1e-6, r)
        for name in ("replication (all data)", "address-space switch", "shared memory unmapped", "shared memory read-only",
                     "deadlock check (each)", "writing the log", "being able to choose a level"):
            check(f"row {name}", name in rows)
        check("the paper's figures", rows["writing the log"]["paper"]["ms"] == {"smfs": 0, "snfs": 21}[table["module"]])
    for s in found["skipped"]:
        check("a skip has a reason", s["what"] and s["why"], s)
    check("the drawing is XML", xml.parse(svg).getroot().tag.endswith("svg"))
    return path, found


def other_measures(folder):
    path, page = os.path.join(folder, "g.json"), os.path.join(folder, "g.html")
    status, out, err = bench("gates", "--quick", "--json", path, "--csv", "-", "--plot", page)
    check("gates end well", status == 0, err)
    rows = list(csv.DictReader(io.StringIO(out)))
    check("CSV", any(r["line"] == "null: none" and float(r["ns"]) > 0 for r in rows), out)
    check("a page", "<svg" in open(page, encoding="utf-8").read())
    found = json.load(open(path, encoding="utf-8"))
    names = [g["name"] for g in found["gates"]]
    check("gates of walls none and process", "null: none" in names and "service: process, shared ro" in names, names)
    check("floors", {"indirect_call", "sigsetjmp_call", "futex_same_core"} <= {f["name"] for f in found["floors"]})
    check("summaries", all(is_summary(r["ns"]) for r in found["gates"] + found["floors"]))
    found = measured("yields", "--quick", "--rounds", "3")
    check("yields are measured, or it is said why not", found["rows"] or found["skipped"])
    check("neither is 1", all(r["ratio"]["median"] == 1 for r in found["rows"] if r["liveness"] == "neither"))
    found = measured("hook")
    for p in found["paths"]:
        check("instructions", 10 < p["without"] <= p["unbound"] and abs(p["unbound"] - p["without"] - p["more"]) < 1e-9, p)


def through_fuse():
    if not os.access("/dev/fuse", os.W_OK):
        return
    found = measured("levels", "--quick", "--rounds", "1", "--workload", "copy64k", "--level", "trusted", "--level", "isolated")
    if found["work"]:
        targets = {r["target"] for r in found["work"]}
        check("levels and the baseline", {"trusted", "isolated", "built-in"} <= targets, targets)
        check("every peer is there or says why not",
              all(p in targets or any(s["what"] == p for s in found["skipped"])
                  for p in ("passthrough_ll", "fuse2fs", "ntfs-3g", "tmpfs")), found["skipped"])


def compare(folder, old, found):
    status, out, _ = bench("compare", old, old)
    check("a run against itself", status == 0 and "0 slower" in out, out)
    row = next(r for r in found["results"][0]["rows"] if r["protection"] == "writing the log")
    for key in ("median", "low", "high", "least", "most"):
        row["copy"][key] *= 3
    new = os.path.join(folder, "new.json")
    with open(new, "w", encoding="utf-8") as f:
        json.dump(found, f)
    status, out, _ = bench("compare", old, new, "--json")
    slower = [c["name"] for c in json.loads(out)["changes"] if c["verdict"] == "slower"]
    check("the planted regression, and no other", status == 1 and slower == ["smfs, inproc: writing the log"], slower)
    status, out, _ = bench("compare", new, old)
    check("the other way round it is faster", status == 0 and "FASTER" in out, out)
    status, _, err = bench("compare", old, TADAN)
    check("what is no result", status == 1 and "is no result" in err, err)


def main():
    with tempfile.TemporaryDirectory() as folder:
        path, found = protection(folder, "inproc")
        compare(folder, path, found)
        other_measures(folder)
        through_fuse()
        status, _, err = bench("protections")
        check("a misspelled command", status == 2 and "protection" in err, err)
        status, _, err = bench("gates", "--plot", "x.png")
        check("a picture of another kind", status == 2 and ".svg" in err, err)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


sys.exit(main())
