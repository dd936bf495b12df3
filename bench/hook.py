# SPDX-License-Identifier: BSD-2-Clause
"""`tadan bench hook`: that the potential for an extension costs nothing, counted in instructions.

The same path is run with a hook that no module has bound, and in a build of the core from which the hook is left out.
Valgrind counts the instructions of a thousand turns of the path.
"""

import os
import re
import shutil
import subprocess

import method

TURNS = 1000
PATHS = {"release of an open file": "release"}


def instructions(bench, program, what, turns):
    """Of `turns` runs of the function `what` in the program, and what it calls."""
    log = os.path.join(bench.scratch, "callgrind.log")
    commands = f"open 0 {bench.own_module('smfs')} trusted\nrun 0 {what} {turns}\n"
    subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={bench.scratch}/callgrind.out", f"--log-file={log}",
                    f"--toggle-collect={what}", program], input=commands, text=True, stdout=subprocess.DEVNULL, env=bench.environment, check=True)
    return int(re.search(r"Collected : (\d+)", open(log, encoding="utf-8").read()).group(1))


def of_one(bench, program, what):
    return instructions(bench, program, what, TURNS) / TURNS


def run(bench, args):
    paths, goals = [], []
    if not shutil.which("valgrind"):
        bench.skip("hook", "valgrind is not installed")
        return {"paths": [], "goals": []}
    for text, what in PATHS.items():
        with bench.section(f"hook, {text}"):
            unbound = of_one(bench, bench.program("inproc"), what)
            without = of_one(bench, bench.program("inproc-hookless"), what)
        paths.append({"path": text, "unbound": unbound, "without": without, "more": unbound - without})
        goals.append(method.goal(f"{text}: instructions more than without a hook", [unbound - without], 1))
    return {"paths": paths, "goals": goals}
