# SPDX-License-Identifier: BSD-2-Clause
"""What the checks of the sources share: the files, and how a result is told."""

import os
import subprocess
import sys
from pathlib import Path

SKIP = 77
ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
BUILD = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else None
count = {"passed": 0, "failed": 0}


def result(name, complaints):
    """A check is passed if there is nothing to complain about."""
    count["failed" if complaints else "passed"] += 1
    print(("FAIL " if complaints else "ok   ") + name)
    for line in complaints:
        print("     " + line)


def end():
    print(f"{count['passed']} passed, {count['failed']} failed, 0 skipped")
    sys.exit(1 if count["failed"] else 0)


def skip(why):
    print(f"skip: {why}\n0 passed, 0 failed, 1 skipped")
    sys.exit(SKIP)


def sources(folder=".", endings=None):
    """The project's own files below a folder, as paths from the root: no build, nothing hidden."""
    for top, folders, files in os.walk(ROOT / folder):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "build", "__pycache__")))
        for name in sorted(files):
            path = (Path(top) / name).relative_to(ROOT)
            if not name.startswith(".") and (not endings or name.endswith(endings)):
                yield path


def run(*command):
    """Empty if the command succeeds, else what it said."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    return (done.stderr + done.stdout).strip().splitlines()[:20] or [f"exit status {done.returncode}"]
