# SPDX-License-Identifier: BSD-2-Clause
"""Running the laboratory: what campaigns and matrix share."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

PART = 250  # trials in one emulated machine
VM = Path(__file__).resolve().parent.parent / "vm/run"


def available(build):
    """Which levels does this machine have, and why not the others?"""
    out = subprocess.run([build / "tadan", "levels", "--json"], capture_output=True, check=True, timeout=30).stdout
    levels = {level["name"]: level for level in json.loads(out)}
    if not shutil.which("wasm2c"):
        levels["sandboxed"] |= {"available": False, "reason": "faulty forms are built with wasm2c, of the package wabt"}
    return levels


class MachineEnded(Exception):
    """The guest's Linux has ended, or its emulator."""


def file_of(build, module):
    """The module's file: it is named, or one of ours."""
    return Path(module) if "/" in module else build / "modules" / module / f"{module}.so"


def run(build, module, level, trials, *options, emulated=False):
    """The report of a campaign; None where it was to be run in an emulated machine, and there is none."""
    build = build.resolve()
    command = [build / "tadan", "lab"]
    if emulated:
        module = file_of(build, module)
        command = [VM, "--counted", "--timeout", 120 + 10 * trials, "--with", module, "--", build / "tadan-lab", "--quiet"]
    command += [module, "--level", level, "--trials", trials, "--json", *options]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    if emulated and done.returncode == 77:
        return None
    if emulated and done.returncode == 125:
        raise MachineEnded
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"{level}: the laboratory ended with {done.returncode}")
    return json.loads(done.stdout)


def run_part(build, module, level, first, n, *options):
    """
    A report of these trials but those that end the machine, whose numbers are its "unjudged". No process can end Linux, but what it does can be emulated
    wrongly: QEMU 7.2 carries out a far return (lret) with the kernel's rights and half of the stack's address, which Linux takes for its own error.
    """
    try:
        report = run(build, module, level, n, "--first", first, *options, emulated=True)
        return report and report | {"unjudged": []}
    except MachineEnded:
        if n == 1:
            return {"unjudged": [first]}
    half = n // 2
    return merge([run_part(build, module, level, first, half, *options), run_part(build, module, level, first + half, n - half, *options)])


def run_in_parts(build, module, level, trials, out, *options):
    """
    The report of an emulated campaign, of PART trials in each machine. With a folder `out` the report of each part stays there, by a name that says
    what it is of, and is not made again: a campaign can be interrupted.
    """
    what = hashlib.sha256(repr((level, options)).encode())
    for path in (build / "tadan-lab", file_of(build, module)):
        what.update(path.read_bytes())
    reports = []
    for first in range(0, trials, PART):
        n = min(PART, trials - first)
        kept = out / f"{level.split(',')[0]}-{what.hexdigest()[:12]}-{first:05}-{n}.json" if out else None
        if kept and kept.exists():
            reports.append(json.loads(kept.read_text()))
            continue
        report = run_part(build, module, level, first, n, *options)
        if not report:
            return None
        reports.append(report)
        if kept:
            kept.with_suffix(".part").write_text(json.dumps(report))
            kept.with_suffix(".part").rename(kept)
    return merge(reports)


def merge(reports):
    """One report of a campaign's parts: what is counted is added, what is listed is joined."""
    first = reports[0]
    if isinstance(first, (int, float)):
        return sum(reports)
    if isinstance(first, list):
        return [item for report in reports for item in report]
    if "each" in first:
        each = sorted(n for report in reports for n in report["each"])
        return {"median": quantile(each, 50), "p99": quantile(each, 99), "each": each}
    return {key: merge_field(key, [report[key] for report in reports if key in report])
            for key in dict.fromkeys(key for report in reports for key in report)}


def merge_field(key, values):
    if key == "kinds":
        rows = [row for value in values for row in value]
        return [merge([row for row in rows if row["kind"] == name]) for name in dict.fromkeys(row["kind"] for row in rows)]
    return values[0] if key == "seed" or isinstance(values[0], str) else merge(values)


def quantile(sorted_list, hundredths):
    """As the laboratory itself does it."""
    return sorted_list[(len(sorted_list) - 1) * hundredths // 100] if sorted_list else 0
