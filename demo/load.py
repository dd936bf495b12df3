#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A writer that remembers what was acknowledged.

    demo/load.py DIR COUNTER LEDGER

Makes, writes, renames, reads and removes files in DIR until its standard input ends, and appends to a log
that it opened at the beginning. COUNTER is a file in which others may watch it: two numbers of 8 bytes,
operations done and operations that failed. Then it writes into LEDGER, as JSON, what must be there: for
each file the checksum of what was acknowledged, and each error that it met.

A write counts as acknowledged when the call returned; every eighth is followed by fsync().
"""

import hashlib
import json
import mmap
import os
import random
import select
import struct
import sys

KEPT = 300  # files at a time
SYNC_EACH = 8


class Writer:
    def __init__(self, folder, counter):
        self.folder = folder
        self.counter = counter
        self.random = random.Random(folder)
        self.ops = self.failed = self.number = 0
        self.files = {}  # name -> checksum, oldest first
        self.errors = []
        os.mkdir(folder)
        self.log = os.open(os.path.join(folder, "log"), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self.logged = hashlib.sha256()

    def tell(self):
        struct.pack_into("<QQ", self.counter, 0, self.ops, self.failed)

    def path(self, name):
        return os.path.join(self.folder, name)

    def make(self):
        data = self.random.randbytes(self.random.randint(1, 24000))
        name, temporary = f"f{self.number}", self.path("new")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            for at in range(0, len(data), 8192):
                if os.write(fd, data[at:at + 8192]) != len(data[at:at + 8192]):
                    raise OSError(0, "short write")
                self.ops += 1
            if self.number % SYNC_EACH == 0:
                os.fsync(fd)
                self.ops += 1
        finally:
            os.close(fd)
        os.rename(temporary, self.path(name))
        self.files[name] = hashlib.sha256(data).hexdigest()
        self.ops += 3

    def read(self):
        name = self.random.choice(list(self.files))
        with open(self.path(name), "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != self.files[name]:
                raise OSError(0, f"{name} does not hold what was written")
        self.ops += 3

    def remove(self):
        if len(self.files) > KEPT:
            name = next(iter(self.files))
            os.unlink(self.path(name))
            del self.files[name]
            self.ops += 1

    def append(self):
        line = b"%d %s\n" % (self.number, b"." * self.random.randint(1, 200))
        if os.write(self.log, line) != len(line):
            raise OSError(0, "short write")
        self.logged.update(line)
        self.ops += 1

    def step(self):
        """One round; after an error it goes on with the next part."""
        self.number += 1
        for part in (self.make, self.read, self.append, self.remove):
            try:
                part()
            except OSError as error:
                self.failed += 1
                if len(self.errors) < 20:
                    self.errors.append(f"{part.__name__}: {error}")
            self.tell()

    def ledger(self):
        return {"files": self.files | {"log": self.logged.hexdigest()}, "errors": self.errors,
                "ops": self.ops, "failed": self.failed}


def main(folder, counter, ledger):
    with open(counter, "w+b") as f:
        f.truncate(mmap.PAGESIZE)
        writer = Writer(folder, mmap.mmap(f.fileno(), mmap.PAGESIZE))
    while not select.select([sys.stdin], [], [], 0)[0]:
        writer.step()
    os.close(writer.log)
    with open(ledger, "w", encoding="utf-8") as f:
        json.dump(writer.ledger(), f)


if __name__ == "__main__":
    main(*sys.argv[1:])
