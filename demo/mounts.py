# SPDX-License-Identifier: BSD-2-Clause
"""Mounts as a person makes them, with the command `tadan`; and writers on them.

Everything that is started here is ended here: stop() may be called at any time, more than once.
"""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from show import Broken

HERE = Path(__file__).resolve().parent
ANSWER_SECONDS = 30


class Refused(Exception):
    """`tadan` said no; the text says why."""


class Mount:
    def __init__(self, tadan, folder):
        self.tadan, self.dir = tadan, str(folder)
        self.server = None  # a server in the foreground is this process's child
        os.mkdir(folder)

    def command(self, *words):
        done = subprocess.run([self.tadan, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120, check=False)
        if done.returncode:
            raise Refused(done.stderr.strip() or f"tadan {words[0]}: exit status {done.returncode}")
        return done.stdout

    def start(self, module, level, size="1G"):
        """In the background, as usual."""
        self.command("mount", str(module), self.dir, "--level", level, "--size", size)

    def start_child(self, module, level, size="256M"):
        """In the foreground: so this process may look into the server's memory, and hears how it ends."""
        self.server = subprocess.Popen([self.tadan, "mount", str(module), self.dir, "--level", level, "--size", size, "-f"],
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=no_core)
        end = time.monotonic() + ANSWER_SECONDS
        while not os.path.ismount(self.dir):
            if self.server.poll() is not None:
                raise Refused(self.server.stderr.read().strip())
            if time.monotonic() > end:
                raise Broken(f"no mount after {ANSWER_SECONDS} s")
            time.sleep(0.02)

    def status(self):
        return json.loads(self.command("status", self.dir, "--json"))[0]

    def level(self, level):
        return self.command("level", self.dir, level).strip()

    def faults(self):
        return json.loads(self.command("faults", self.dir, "--json"))

    def last_report(self):
        """The newest fault, as `tadan faults` prints it."""
        blocks = self.command("faults", self.dir).strip().split("\n\n")
        return blocks[-1]

    def stop(self):
        if is_mounted(self.dir):
            try:
                self.command("umount", self.dir)
            except (Refused, subprocess.TimeoutExpired):
                subprocess.run(["fusermount3", "-u", "-z", self.dir], capture_output=True, check=False)
        if self.server:
            try:
                self.server.wait(10)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
            self.server.stderr.close()
            self.server = None


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_mounted(path):
    """Without asking the mount, whose server may be dead."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as f:
        return any(line.split(" ")[1] == path for line in f)


class Writers:
    """Processes of load.py on a mount."""

    def __init__(self, folder, scratch, count=2):
        self.scratch = Path(scratch)
        self.children = []
        for i in range(count):
            stem = f"{time.monotonic_ns()}-{i}"
            where = os.path.join(folder, f"writer-{stem}")
            counter, ledger = self.scratch / f"counter-{stem}", self.scratch / f"ledger-{stem}"
            process = subprocess.Popen([sys.executable, str(HERE / "load.py"), where, str(counter), str(ledger)],
                                       stdin=subprocess.PIPE, start_new_session=True)
            self.children.append((process, where, counter, ledger))

    def counts(self):
        """Operations done, operations failed."""
        done = failed = 0
        for _, _, counter, _ in self.children:
            try:
                pair = struct.unpack_from("<QQ", counter.read_bytes())
            except (OSError, struct.error):
                continue  # not there yet
            done, failed = done + pair[0], failed + pair[1]
        return done, failed

    def wait_for(self, more, seconds=15):
        """Until that many operations more are done."""
        goal, end = self.counts()[0] + more, time.monotonic() + seconds
        while self.counts()[0] < goal:
            if time.monotonic() > end:
                raise Broken(f"the writers did not do {more} operations in {seconds} s")
            for process, *_ in self.children:
                if process.poll() is not None:
                    raise Broken(f"a writer ended by itself, exit status {process.returncode}")
            time.sleep(0.01)

    def finish(self):
        """Ends them. Returns what each wrote down: the folder, and the ledger."""
        ledgers = []
        for process, where, _, ledger in self.children:
            process.stdin.close()
            if process.wait(60):
                raise Broken(f"a writer failed, exit status {process.returncode}")
            ledgers.append((where, json.loads(ledger.read_text(encoding="utf-8"))))
        self.children = []
        return ledgers

    def stop(self):
        for process, *_ in self.children:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                pass  # in a call of a mount that is about to go
        self.children = []
