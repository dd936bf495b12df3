#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Mounts whose requests come by io_uring: the same files, and the same ways to end.

    test_uring.py TADAN NAUGHTY.so [NAME...]

Linux has it switched off by default. Root may switch it on: then this test does, one of them at a time, and back at
its end. That changes nothing for others but how mounts that they make meanwhile are served.
"""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import unittest

import test_cli as cli

SWITCH = "/sys/module/fuse/parameters/enable_uring"
HERE = os.path.dirname(os.path.abspath(__file__))


@contextlib.contextmanager
def switched(to):
    """Nobody else switches meanwhile."""
    with open(SWITCH, "r+", encoding="ascii") as switch:
        fcntl.flock(switch, fcntl.LOCK_EX)
        before = switch.read(1)
        with open(SWITCH, "w", encoding="ascii") as turn:
            turn.write(to)
        try:
            yield
        finally:
            with open(SWITCH, "w", encoding="ascii") as turn:
                turn.write(before)


def why_not():
    if not os.path.exists(SWITCH):
        return "this Linux has no FUSE over io_uring"
    if not os.access(SWITCH, os.W_OK):
        return f"{SWITCH} may not be written"
    return cli.why_no_mounts()


class Writers:
    """Threads that write files and read them again until they are told to stop, or the mount ends."""

    def __init__(self, folder, count=4):
        self.stop, self.ended, self.wrong, self.turns = False, [], [], 0
        self.threads = [threading.Thread(target=self.work, args=(folder, i)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def work(self, folder, number):
        path = os.path.join(folder, f"f{number}")
        try:
            while not self.stop:
                data = bytes([self.turns % 251]) * 70000
                with open(path, "wb") as file:
                    file.write(data)
                os.rename(path, path + "-moved")
                with open(path + "-moved", "rb", buffering=0) as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                    if file.read(100000) != data:
                        self.wrong.append(path)
                os.unlink(path + "-moved")
                self.turns += 1
        except OSError as error:
            self.ended.append(error.errno)

    def join(self):
        for thread in self.threads:
            thread.join(cli.SECONDS)
        return not any(thread.is_alive() for thread in self.threads)


@unittest.skipIf(why_not(), why_not())
class Uring(cli.Case):
    def setUp(self):
        super().setUp()
        stack = contextlib.ExitStack()
        stack.enter_context(switched("Y"))
        self.addCleanup(stack.close)  # after tearDown
        done = self.run_tadan("mount", "smfs", self.dir, "--level", "guarded", "--uring", "on")
        if "io_uring is forbidden" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual((done.returncode, done.stderr), (cli.OK, ""))
        self.assertEqual((self.status()["channel"], self.status()["no_uring"]), ("io_uring", None))

    def work_until(self, turns):
        writers = Writers(self.dir)
        cli.wait_until(lambda: writers.turns > turns or writers.ended, "files were written")
        return writers

    def done_well(self, writers):
        writers.stop = True
        self.assertTrue(writers.join())
        self.assertEqual((writers.ended, writers.wrong), ([], []))
        self.assertEqual(os.listdir(self.dir), [])
        self.good("umount", self.dir)
        self.assert_nothing_left()

    def test_levels_and_killed_process(self):
        """With requests in flight the module moves, and its process is killed."""
        levels = {level["name"]: level for level in self.json("levels")}
        writers = self.work_until(20)
        if levels["isolated"]["available"]:
            self.good("level", self.dir, "isolated")
            for _ in range(3):
                turns, before = writers.turns, self.status()
                os.kill(before["module_pid"], signal.SIGKILL)
                cli.wait_until(lambda n=before["restarts"]: self.status()["restarts"] > n, "the module runs again")
                cli.wait_until(lambda t=turns: writers.turns > t + 10 or writers.ended, "files were written again")
            self.assertGreaterEqual(self.status()["restarts"], 3)
        self.good("level", self.dir, "trusted")
        self.assertEqual(self.status()["channel"], "io_uring")
        self.done_well(writers)

    def test_interrupted(self):
        """Who waits for an answer gets signals all the time."""
        code = ("import os, signal, sys\n"
                "signal.signal(signal.SIGALRM, lambda *_: None)\n"
                "signal.setitimer(signal.ITIMER_REAL, .0003, .0003)\n"
                "for i in range(400):\n"
                "    p = os.path.join(sys.argv[1], str(i))\n"
                "    with open(p, 'wb') as f: f.write(bytes(5000))\n"
                "    assert os.stat(p).st_size == 5000\n"
                "    os.unlink(p)\n"
                "signal.setitimer(signal.ITIMER_REAL, 0)\n")
        subprocess.run([sys.executable, "-c", code, self.dir], check=True, timeout=cli.SECONDS)
        self.done_well(self.work_until(0))

    def test_space_of_a_removed_file(self):
        self.good("umount", self.dir)
        self.check_space("--uring", "on")

    def test_refused_while_off(self):
        """Mounts that are there go on; a new one says what to do, or does without."""
        other = self.path("other")
        os.mkdir(other)
        with open(SWITCH, "w", encoding="ascii") as turn:
            turn.write("N")
        self.bad(cli.FAILED, r"switched off: as root, echo Y > " + SWITCH, "mount", "smfs", other, "--uring", "on")
        self.good("mount", "smfs", other, "--level", "guarded")
        self.assertEqual(self.json("status", other)[0]["channel"], "/dev/fuse")
        self.good("umount", other)
        self.done_well(self.work_until(20))

    def test_killed_server(self):
        writers = self.work_until(20)
        os.kill(self.servers()[0], signal.SIGKILL)
        self.assertTrue(writers.join())
        self.assertLessEqual(set(writers.ended), {errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED})
        self.good("umount", self.dir)

    def test_stopped_server(self):
        """SIGTERM while files are open: it ends, and they fail."""
        writers, pid = self.work_until(20), self.servers()[0]
        with open(os.path.join(self.dir, "open"), "wb"):
            os.kill(pid, signal.SIGTERM)
            cli.wait_until(lambda: not cli.is_running(pid), "the server's end")
        writers.stop = True
        self.assertTrue(writers.join())
        self.assert_nothing_left()

    def test_forced_unmount(self):
        """The connection is cut with requests in flight."""
        writers, pid = self.work_until(20), self.servers()[0]
        subprocess.run(["umount", "-f", "-l", self.dir], check=True, timeout=cli.SECONDS)
        cli.wait_until(lambda: not cli.is_running(pid), "the server's end")
        writers.stop = True
        self.assertTrue(writers.join())

    def test_conformance(self):
        """Some of it: all runs through /dev/fuse, where requests are the same."""
        self.good("umount", self.dir)
        build = os.path.dirname(cli.TADAN)
        body = os.path.join(build, "tests/conformance/conformance")
        for level in ("trusted", "isolated"):
            for what in ("data.", "create."):
                done = subprocess.run([os.path.join(HERE, "../conformance/run-fuse"), cli.TADAN, body, "smfs", level, "--filter", what],
                                      env=dict(self.env, TADAN_URING="on"), capture_output=True, text=True, check=False,
                                      timeout=3 * cli.SECONDS)
                self.assertIn(done.returncode, (0, 77), done.stdout + done.stderr)


if __name__ == "__main__":
    sys.exit(cli.main(sys.modules[__name__]))
