# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench compare OLD NEW`: what has become slower or faster between two runs that were written with --json.

A line counts as changed if its median moved by more than the threshold and its quartiles no longer touch.
"""

import json
import sys


def flat(found):
    """Every time that a file holds: (what, summary of ns)."""
    for part in found.get("parts", [found]):
        for table in part.get("results", []):
            for row in table["rows"]:
                if row.get("copy"):
                    yield f"{table['module']}, {table['front']}: {row['protection']}", row["copy"]
        for key in ("floors", "gates"):
            for row in part.get(key, []):
                yield f"{key}: {row['name']}", row["ns"]
        for row in part.get("work", []):
            yield f"{row['workload']} on {row['target']}", row["ns"]
        for row in part.get("rows", []):
            yield f"{row['form']}, {row['work']}: {row['liveness']}", row["ns"]


def load(path):
    try:
        with open(path, encoding="utf-8") as f:
            found = json.load(f)
        return found, dict(flat(found))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as why:
        sys.exit(f"tadan bench compare: {path} is no result of `tadan bench --json`: {why}")


def change(name, old, new, threshold):
    ratio = new["median"] / old["median"]
    verdict = "same"
    if ratio > 1 + threshold and new["low"] > old["high"]:
        verdict = "slower"
    elif ratio < 1 - threshold and new["high"] < old["low"]:
        verdict = "faster"
    return {"name": name, "old_ns": old["median"], "new_ns": new["median"], "ratio": ratio, "verdict": verdict}


def run(args):
    (old, old_times), (new, new_times) = load(args.old), load(args.new)
    common = [n for n in old_times if n in new_times]
    if not common:
        sys.exit("tadan bench compare: the two files have no line in common")
    changes = [change(n, old_times[n], new_times[n], args.threshold / 100) for n in common]
    return {"old": old.get("machine"), "new": new.get("machine"), "changes": changes,
            "only_old": [n for n in old_times if n not in new_times], "only_new": [n for n in new_times if n not in old_times],
            "regressions": sum(c["verdict"] == "slower" for c in changes)}
