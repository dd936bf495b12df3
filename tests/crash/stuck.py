#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""An image on a disk that gives no answer for a while: stuck.c is its file system.

    stuck.py TADAN STUCK LEVEL...

Who needs the disk gets EIO in time, others go on, what was acknowledged is there whenever one looks, and when the disk answers again all is
well. Ends with `N passed, N failed, N skipped`.
"""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from concurrent import futures

TADAN, STUCK, LEVELS = None, None, []
MIB = 1 << 20
LIMIT, SOON, TIMELY = 0.5, 0.4, 4.0     # seconds: what the disk gets; what needs no disk; what does, on a busy machine


class Stuck(unittest.TestCase):
    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="tadan-stuck."))
        for name in ("m", "disk", "orders", "run"):
            os.mkdir(os.path.join(self.top, name), 0o700)
        self.dir, self.backing = os.path.join(self.top, "m"), os.path.join(self.top, "backing")
        self.image = os.path.join(self.top, "disk", "image")
        self.env = dict(os.environ, TADAN_RUNTIME_DIR=os.path.join(self.top, "run"), TADAN_STATE_DIR=os.path.join(self.top, "state"))
        with open(self.backing, "wb") as backing:
            backing.truncate(64 * MIB)
        self.disk = subprocess.Popen([STUCK, self.backing, os.path.join(self.top, "orders"), os.path.dirname(self.image), "-f"])
        self.wait(lambda: os.path.exists(self.image))

    def tearDown(self):
        for what in ("read", "write", "fsync"):
            self.answer(what)
        if os.path.ismount(self.dir):
            self.tadan("umount", self.dir)
        self.wait(lambda: not subprocess.run(["umount", os.path.dirname(self.image)], stderr=subprocess.DEVNULL, check=False).returncode)
        self.disk.wait(20)
        shutil.rmtree(self.top)

    def wait(self, condition):
        until = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), until, "it takes too long")
            time.sleep(0.02)

    def hang(self, what):
        with open(os.path.join(self.top, "orders", what), "wb"):
            pass

    def answer(self, what):
        try:
            os.unlink(os.path.join(self.top, "orders", what))
        except FileNotFoundError:
            pass

    def tadan(self, *words):
        return subprocess.run([TADAN, *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def well(self, *words):
        done = self.tadan(*words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def mount(self, level, image=None):
        self.well("mount", "smfs", self.dir, "--image", image or self.image, "--level", level, "--commit", "3600",
                  "--device-timeout", f"{int(LIMIT * 1000)}ms")

    def status(self):
        return json.loads(self.well("status", "--json", self.dir))[0]["disk"]

    def is_well(self):
        return not self.status()["late"]

    def path(self, name):
        return os.path.join(self.dir, name)

    def put(self, name, byte, size, sync=True):
        with open(self.path(name), "wb") as f:
            f.write(byte * size)
            f.flush()
            if sync:
                os.fsync(f.fileno())

    def holds(self, name, byte, size):
        with open(self.path(name), "rb") as f:
            self.assertTrue(f.read() == byte * size, f"{name} is another")

    def fails(self, call, *words, within=TIMELY):
        begin = time.monotonic()
        with self.assertRaises(OSError) as caught:
            call(*words)
        self.assertEqual(caught.exception.errno, errno.EIO)
        self.assertLess(time.monotonic() - begin, within)

    def others_go_on(self):
        best = 100.0
        for i in range(3):
            begin = time.monotonic()
            self.holds("near", b"n", 3 * MIB)
            self.put(f"new{i}", b"x", 10000, sync=False)
            self.holds(f"new{i}", b"x", 10000)
            os.unlink(self.path(f"new{i}"))
            best = min(best, time.monotonic() - begin)
        self.assertLess(best, SOON, "others waited for the disk")

    def remount_and_check(self, level):
        self.well("umount", self.dir)
        self.well("check", self.image)
        self.mount(level)

    def reading(self, level):
        self.mount(level)
        self.put("near", b"n", 3 * MIB)
        self.put("far", b"f", 2 * MIB)
        self.remount_and_check(level)
        self.holds("near", b"n", 3 * MIB)
        self.put("new", b"x", 10)
        os.stat(self.path("far"))
        self.hang("read")
        with futures.ThreadPoolExecutor(1) as other:
            reader = other.submit(self.fails, self.holds, "far", b"f", 2 * MIB)
            self.others_go_on()
            reader.result()
        self.assertGreater(self.status()["timeouts"], 0)
        self.assertIn("NO ANSWER", self.well("status", self.dir))
        self.others_go_on()
        self.answer("read")
        self.wait(self.is_well)
        self.holds("far", b"f", 2 * MIB)

    def writing(self, level):
        """At fsync, in place and in the log, and the flush; a crash at that moment loses nothing that was acknowledged."""
        self.mount(level)
        self.put("near", b"n", 3 * MIB)
        for i, (what, size) in enumerate((("write", MIB), ("write", 5000), ("fsync", MIB), ("fsync", 5000))):
            name, copy = f"{what}{size}", os.path.join(self.top, f"copy{i}")
            self.put(name, b"1", size)
            with open(self.path(name), "r+b") as f:
                f.write(b"2" * size)
                f.flush()
                self.hang(what)
                self.fails(os.fsync, f.fileno())
                shutil.copyfile(self.backing, copy)
                self.others_go_on()
                self.fails(os.fsync, f.fileno(), within=LIMIT)    # at once
                self.answer(what)
                self.wait(self.is_well)
                os.fsync(f.fileno())
            self.well("check", copy)
        self.remount_and_check(level)
        for name, size in (("write", MIB), ("write", 5000), ("fsync", MIB), ("fsync", 5000)):
            self.holds(f"{name}{size}", b"2", size)

    def leaving(self, level):
        self.mount(level)
        self.put("kept", b"k", MIB)
        self.put("lost", b"l", MIB, sync=False)
        self.hang("write")
        begin = time.monotonic()
        done = self.tadan("umount", self.dir)
        self.assertLess(time.monotonic() - begin, 2 * TIMELY)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "disk does not answer; changes of 1(\\.[0-9])? ?M.* are lost")
        self.assertIn("in use", self.tadan("check", self.image).stderr)    # what it owes may still come
        self.answer("write")
        self.wait(lambda: not self.tadan("check", self.image).returncode)
        self.mount(level)
        self.holds("kept", b"k", MIB)


def each(name):
    def test(self):
        for level in LEVELS:
            with self.subTest(level=level):
                getattr(self, name)(level)
            self.tearDown()
            self.setUp()
    return test


for _name in ("reading", "writing", "leaving"):
    setattr(Stuck, "test_" + _name, each(_name))


def main():
    global TADAN, STUCK
    TADAN, STUCK, LEVELS[:] = sys.argv[1], sys.argv[2], sys.argv[3:]
    if not os.access("/dev/fuse", os.W_OK) or not shutil.which("fusermount3"):
        print("skip: no file system can be mounted here\n0 passed, 0 failed, 1 skipped")
        return 77
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Stuck)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(suite)
    bad = len(result.failures) + len(result.errors)
    print(f"{max(result.testsRun - bad, 0)} passed, {bad} failed, {len(result.skipped)} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
