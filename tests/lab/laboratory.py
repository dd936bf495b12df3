# SPDX-License-Identifier: BSD-2-Clause
"""Running the laboratory: what campaigns and matrix share."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

VM = Path(__file__).resolve().parent.parent / "vm/run"


def available(build):
    """Which levels does this machine have, and why not the others?"""
    out = subprocess.run([build / "tadan", "levels", "--json"], capture_output=True, check=True, timeout=30).stdout
    levels = {level["name"]: level for level in json.loads(out)}
    if not shutil.which("wasm2c"):
        levels["sandboxed"] |= {"available": False, "reason": "faulty forms are built with wasm2c, of the package wabt"}
    return levels


def run(build, module, level, trials, *options, emulated=False):
    """The report of a campaign; None where it was to be run in an emulated machine, and there is none."""
    build = build.resolve()
    command = [build / "tadan", "lab"]
    if emulated:
        if "/" not in module:
            module = build / "modules" / module / f"{module}.so"
        command = [VM, "--timeout", 120 + 10 * trials, "--with", module, "--", build / "tadan-lab", "--quiet"]
    command += [module, "--level", level, "--trials", trials, "--json", *options]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    if emulated and done.returncode == 77:
        return None
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"{level}: the laboratory ended with {done.returncode}")
    return json.loads(done.stdout)
