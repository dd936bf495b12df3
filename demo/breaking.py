# SPDX-License-Identifier: BSD-2-Clause
"""Part 3: the module fails while two writers run, in each way at each level.

The module is faultyfs: the sources of SMFS, and a few lines (demo/faulty) that fail on request in the middle of
whichever call comes by. Nothing in Tadan knows about it.
"""

import os
import re
import signal
import subprocess
import sys
import time

from live import verify_ledgers
from mounts import Mount, Writers
from show import Broken, indent, note, part, proof, say, style

ATTRIBUTE = "user.tadan.fault"
WRITES_UNTIL = 40  # writes of the module to bufs until it strikes
DETECT_SECONDS = 20
WHAT = {
    "null": "a write to a null pointer",
    "wild": "a wild write into the kernel's memory",
    "loop": "an endless loop",
    "kill": "kill -9 of the module's process",
}
FARTHEST = 0xfffffff8  # what a pointer of 32 bits reaches: a sandboxed module has no word for the kernel's memory


class Score:
    def __init__(self):
        self.injected = self.detected = self.survived = 0
        self.notes = []


class Target:
    """Eight bytes of the server's own memory that nothing uses: the end of its last page of variables."""

    def __init__(self, pid, tadan):
        self.pid, self.address = pid, self.end_of_variables(pid, os.path.realpath(tadan)) - 8
        self.before = self.read()
        if any(self.before):
            raise Broken(f"the bytes at {self.address:#x} are not free after all")

    @staticmethod
    def end_of_variables(pid, program):
        """Those with a value come from the program's file; those without follow in a mapping without a name."""
        end = None
        with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
            for words in map(str.split, maps):
                first, last = (int(n, 16) for n in words[0].split("-"))
                if words[1].startswith("rw") and (words[-1] == program or (first == end and len(words) == 5)):
                    end = last
        if end is None:
            raise Broken(f"process {pid} has no variables of {program}")
        return end

    def memory(self, mode):
        mem = open(f"/proc/{self.pid}/mem", mode, buffering=0)
        mem.seek(self.address)
        return mem

    def read(self):
        with self.memory("rb") as mem:
            return mem.read(8)

    def mend(self):
        with self.memory("r+b") as mem:
            mem.write(self.before)


class Kept:
    """A file that is opened before the faults and stays open."""

    SIZE = 256 << 10

    def __init__(self, mount):
        self.fd = os.open(os.path.join(mount.dir, "kept"), os.O_RDWR | os.O_CREAT, 0o600)
        self.data = bytearray(os.urandom(self.SIZE))
        os.pwrite(self.fd, self.data, 0)
        os.fsync(self.fd)

    def still_works(self):
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        if os.pread(self.fd, self.SIZE, 0) != self.data:
            return False
        at, new = os.urandom(1)[0] << 10, os.urandom(1000)
        os.pwrite(self.fd, new, at)
        os.fsync(self.fd)
        self.data[at:at + len(new)] = new
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return os.pread(self.fd, self.SIZE, 0) == self.data

    def close(self):
        os.close(self.fd)


def wild_address(level, target):
    return FARTHEST if level == "sandboxed" else target.address


def arm(mount, kind, level, target):
    if kind == "kill":
        os.kill(mount.status()["module_pid"], signal.SIGKILL)
        return
    request = f"{kind} {WRITES_UNTIL}" + (f" {wild_address(level, target):#x}" if kind == "wild" else "")
    os.setxattr(mount.dir, ATTRIBUTE, request.encode())


def wait_until(condition, what, seconds=DETECT_SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Broken(f"{what}: not after {seconds} s")
        time.sleep(0.02)


def say_evidence(mount, then):
    """The report, without what is the same each time."""
    try:
        wait_until(lambda: mount.status()["faults"] > then["faults"], "a report", 1)
    except Broken:  # a process may end between two calls
        note("no call was under way: the module was started anew, and nobody noticed")
        return
    for line in mount.last_report().splitlines():
        if not re.match(r"fault \d+ of|  module ", line):
            indent(line)


def uncaught(kind, level):
    """What a level does not promise to catch."""
    return kind == "wild" and level in ("trusted", "guarded")


def break_once(mount, kind, level, target, kept, score, scratch):
    say(f"  {style(1, level)}: {WHAT[kind]}" + (f", to {wild_address(level, target):#x}" if kind == "wild" else ""))
    then = mount.status()
    writers = Writers(mount.dir, scratch)
    try:
        writers.wait_for(100)
        score.injected += 1
        arm(mount, kind, level, target)
        if uncaught(kind, level):
            wait_until(lambda: target.read() != target.before, "the wild write")
            note(f"not caught, as expected: the kernel's memory held {target.before.hex()}, now {target.read().hex()}")
            target.mend()
        else:
            wait_until(lambda: mount.status()["restarts"] > then["restarts"], "the module is restarted")
            score.detected += 1
            say_evidence(mount, then)
            if kind == "wild":
                proof(target.read() == target.before, f"the kernel's memory is as it was: {target.before.hex()}")
        writers.wait_for(200)
        verify_ledgers(writers.finish())
    finally:
        writers.stop()
    proof(kept.still_works(), "a file opened before the fault still reads and writes")
    if uncaught(kind, level):
        score.notes.append(f"{level}: a wild write into memory that is mapped is not caught; had it hit something that "
                           "is used, anything could have followed")
    else:
        score.survived += 1


# ---- Trusted: a mount of its own for each fault, because it is not expected to live

def sacrifice(mount, module, kind, score):
    """A fault that level trusted does not survive. The mount is thrown away."""
    say(f"  {style(1, 'trusted')}: {WHAT[kind]}, on a mount of its own")
    mount.start_child(module, "trusted")
    score.injected += 1
    os.setxattr(mount.dir, ATTRIBUTE, f"{kind} 1".encode())
    victim = subprocess.Popen([sys.executable, "-c", f"open({mount.dir + '/file'!r}, 'w').write('text')"],
                              stderr=subprocess.PIPE, text=True)
    try:
        if kind == "null":
            status = mount.server.wait(DETECT_SECONDS)
            error = victim.communicate(timeout=10)[1].strip().splitlines()[-1:]
            proof(status == -signal.SIGSEGV, "the whole server died of it: signal SIGSEGV; the writer got: " +
                  "".join(error))
            score.notes.append("trusted: a null write ends the server, and what it held in memory is lost")
        else:
            try:
                victim.wait(2)
                raise Broken("the call came back from an endless loop")
            except subprocess.TimeoutExpired:
                note("after 2 s the call has not come back, and it never will: no time limit at this level")
            mount.server.kill()
            victim.wait(10)
            score.notes.append("trusted: an endless loop keeps its caller for ever")
    finally:
        if victim.poll() is None:
            victim.kill()
            victim.wait()
        victim.stderr.close()
        mount.stop()


def show(mounts, tadan, module, levels, scratch, scores, make_mount):
    part("3. The module fails, while two writers run")
    for level in levels:
        scores[level] = Score()
    mount = make_mount("broken")
    mount.start_child(module, "trusted")
    target, kept = Target(mount.server.pid, tadan), Kept(mount)
    try:
        break_once(mount, "wild", "trusted", target, kept, scores["trusted"], scratch)
        for level in levels:
            if level == "trusted":
                continue
            mount.level(level)
            kinds = ["null", "wild", "loop"] + (["kill"] if mount.status()["module_pid"] else [])
            for kind in kinds:
                break_once(mount, kind, level, target, kept, scores[level], scratch)
        status = mount.status()
        proof(status["state"] == "running", f"after {status['faults']} faults and {status['restarts']} restarts the same mount "
              "is still running")
    finally:
        kept.close()
    mount.stop()
    for kind in ("null", "loop"):
        sacrifice(make_mount(f"sacrifice-{kind}"), module, kind, scores["trusted"])
