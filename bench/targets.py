# SPDX-License-Identifier: BSD-2-Clause
"""What the benchmarks run on: a directory in tmpfs, the peers, and Tadan at each level.

A target is started, gives a directory, and is stopped; stopping unmounts, ends the server by its
process id, and may be done at any time, more than once. A target that this machine cannot have
raises Skip with the reason, in the words of the program that refused.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from method import Skip, pinned

HERE = Path(__file__).resolve().parent
READY_SECONDS = 30
STOP_SECONDS = 15


def descendants(pid):
    """The process and all that it started, as far as they still live."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                found += descendants(int(child))
        except OSError:
            pass
    return found


class Target:
    """A directory to run workloads on, and the processes that serve it."""

    note = ""

    def __init__(self, name):
        self.name = name
        self.dir = None

    def start(self, scratch, cpus):
        raise NotImplementedError

    def servers(self):
        return []

    def stop(self):
        raise NotImplementedError


class Tmpfs(Target):
    """No FUSE at all: what the client's side of a workload costs by itself."""

    note = "a directory in /dev/shm, without FUSE"

    def start(self, scratch, cpus):
        if not os.path.ismount("/dev/shm"):
            raise Skip("/dev/shm is not a tmpfs")
        self.dir = tempfile.mkdtemp(prefix="tadan-bench.", dir="/dev/shm")

    def stop(self):
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)


class Mounted(Target):
    """A mount whose server stays in the foreground as a child of ours."""

    def __init__(self, name):
        super().__init__(name)
        self.proc = None
        self.log = None

    def command(self):
        raise NotImplementedError

    def unmount(self):
        raise NotImplementedError

    def start(self, scratch, cpus):
        self.dir = tempfile.mkdtemp(prefix="mnt-", dir=scratch)
        self.log = self.dir + ".log"
        with open(self.log, "wb") as log:
            self.proc = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=pinned(cpus))
        self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + READY_SECONDS
        while not os.path.ismount(self.dir):
            if self.proc.poll() is not None:
                raise Skip(self.last_words())
            if time.monotonic() > end:
                raise Skip(f"no mount after {READY_SECONDS} s: {self.last_words()}")
            time.sleep(0.02)
        os.statvfs(self.dir)

    def last_words(self):
        lines = Path(self.log).read_text(errors="replace").strip().splitlines()
        status = self.proc.poll()
        return lines[-1].removeprefix("tadan mount: ") if lines else f"exit status {status}, without a word"

    def servers(self):
        return descendants(self.proc.pid)

    def stop(self):
        if not self.proc:
            return
        self.unmount()
        if self.mounted():
            quiet(["fusermount3", "-u", "-z", self.dir])
        for sig in (signal.SIGTERM, signal.SIGKILL):
            try:
                self.proc.wait(timeout=STOP_SECONDS if sig == signal.SIGKILL else 5)
                break
            except subprocess.TimeoutExpired:
                os.killpg(self.proc.pid, sig)
        self.proc.wait()
        self.proc = None

    def mounted(self):
        # Not ismount(): that asks the file system, and a dead one does not answer.
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            return any(line.split()[1] == self.dir for line in mounts)


def quiet(command):
    try:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=STOP_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        pass


class Passthrough(Mounted):
    """libfuse's passthrough_ll over tmpfs."""

    script = str(HERE / "peers" / "passthrough_ll")

    def __init__(self, name, scratch, options):
        super().__init__(name)
        self.options = options
        self.out = os.path.join(scratch, "peers")
        self.note = "libfuse's passthrough_ll over tmpfs, -o " + options

    def command(self):
        return [self.script, "mount", self.out, self.dir, self.options]

    def start(self, scratch, cpus):
        done = subprocess.run([self.script, "build", self.out], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["it cannot be built"]
            raise Skip(words[-1])
        super().start(scratch, cpus)

    def unmount(self):
        """The script unmounts when it is ended, and removes what lay in tmpfs."""
        self.proc.send_signal(signal.SIGTERM)


class OnImage(Mounted):
    """A file system of disks on an image in memory, served through FUSE."""

    tools = ()
    size = 2 << 30

    def start(self, scratch, cpus):
        for tool in self.tools:
            if not shutil.which(tool) and not shutil.which("/sbin/" + tool):
                raise Skip(f"{tool} is not installed")
        if not os.path.ismount("/dev/shm"):
            raise Skip("/dev/shm is not a tmpfs")
        fd, self.image = tempfile.mkstemp(prefix="tadan-bench.", dir="/dev/shm")
        os.ftruncate(fd, self.size)
        os.close(fd)
        done = subprocess.run(self.format(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Skip((done.stderr.strip().splitlines() or ["cannot make the image"])[-1])
        super().start(scratch, cpus)

    def __init__(self, name):
        super().__init__(name)
        self.image = None

    def format(self):
        raise NotImplementedError

    def unmount(self):
        if self.mounted():
            quiet(["umount", self.dir])

    def stop(self):
        super().stop()
        if self.image:
            os.unlink(self.image)
            self.image = None


class Fuse2fs(OnImage):
    """ext4, by e2fsprogs."""

    tools = ("mkfs.ext4", "fuse2fs")
    note = "fuse2fs on an ext4 image of 2 GiB in memory"

    def format(self):
        return ["/sbin/mkfs.ext4", "-q", "-F", self.image]

    def command(self):
        return ["fuse2fs", "-f", "-o", "rw,fakeroot", self.image, self.dir]


class Ntfs3g(OnImage):
    """NTFS, by ntfs-3g."""

    tools = ("mkfs.ntfs", "ntfs-3g")
    note = "ntfs-3g on an NTFS image of 2 GiB in memory"

    def format(self):
        return ["/sbin/mkfs.ntfs", "-F", "-Q", "-q", self.image]

    def command(self):
        return ["ntfs-3g", "-o", "no_detach,big_writes", self.image, self.dir]


class Builtin(Mounted):
    """A module linked with the front end, without a gate."""

    def __init__(self, name, program, server=""):
        super().__init__(name)
        self.program = program
        self.server = server
        self.note = "the module's sources linked with the front end, called without a gate"

    def command(self):
        return [self.program, self.dir, self.server or str(2 << 30)]

    def start(self, scratch, cpus):
        if not os.access(self.program, os.X_OK):
            raise Skip(f"{self.program} is not built")
        super().start(scratch, cpus)

    def unmount(self):
        self.proc.send_signal(signal.SIGTERM)


class Tadan(Mounted):
    """A module at one level; without extended attributes, as passthrough_ll is by default."""

    def __init__(self, level, program, size, module="smfs", server=""):
        super().__init__(level)
        self.level = level
        self.size = size
        self.module = module
        self.program = program
        self.where = [server] if server else []
        self.how = ["--no-xattrs"] if server else ["--size", size, "--no-xattrs"]
        self.note = f"{module}, {' '.join(self.how)} --level {level}"

    def command(self):
        return [self.program, "mount", self.module, *self.where, self.dir, *self.how, "--level", self.level, "-f"]

    def unmount(self):
        if self.mounted():
            quiet([self.program, "umount", self.dir])


class TadanUring(Tadan):
    """The same with requests by io_uring, which is switched on in Linux for the time of mounting."""

    switch = Path("/sys/module/fuse/parameters/enable_uring")

    def __init__(self, level, program, size):
        super().__init__(level, program, size)
        self.name = level + "-uring"
        self.how = self.how + ["--uring", "on"]
        self.note += ", by io_uring"

    def start(self, scratch, cpus):
        try:
            before = self.switch.read_text(encoding="ascii")
            self.switch.write_text("Y", encoding="ascii")
        except OSError as why:
            raise Skip(f"FUSE over io_uring cannot be switched on: {why}") from why
        try:
            super().start(scratch, cpus)
        finally:
            self.switch.write_text(before, encoding="ascii")
