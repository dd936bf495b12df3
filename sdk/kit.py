#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Lay out what `tadan build` works with, as it is installed: the kit.

  kit.py STAMP NATIVE-ARGS LINK-ARGS FILE...

Each FILE goes to the folder tadan-sdk next to STAMP, below a folder named after what it is. native.args is what a compiler
takes as @native.args; translated code is compiled alike, with headers of the system.
"""
import shutil
import sys
from pathlib import Path


def place(path):
    if path.suffix == ".so":
        return "."
    if path.name == "fs_if.h" or path.parent.name == "tadan":
        return "tadan"
    return "sandbox" if path.parent.name == "unit" or path.name == "fs_sandbox_imports.h" else "runtime"


def main():
    stamp, native, link, files = Path(sys.argv[1]), sys.argv[2], sys.argv[3], [Path(f) for f in sys.argv[4:]]
    kit = stamp.parent / "tadan-sdk"
    shutil.rmtree(kit, ignore_errors=True)
    for f in files:
        to = kit / place(f)
        to.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(f, to / f.name)
    (kit / "native.args").write_text(f"{native}\n{link}\n")
    (kit / "translated.args").write_text(f"{native.replace(' -nostdinc', '')}\n{link}\n")
    stamp.write_text("".join(f"{f}\n" for f in files))


main()
