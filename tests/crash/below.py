#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Trouble below an image, through FUSE: the file system that it is on is full, the image is cut while it is in use, its file may not grow.

    below.py TADAN LEVEL...

Who gets which error, whether the rest goes on, and whether all is there when the trouble is over. Ends with `N passed, N failed, N skipped`.
"""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import unittest

TADAN, LEVELS = None, []
MIB = 1 << 20


class Below(unittest.TestCase):
    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="tadan-below."))
        self.dir, self.small = os.path.join(self.top, "m"), os.path.join(self.top, "small")
        for name in ("m", "small", "run"):
            os.mkdir(os.path.join(self.top, name), 0o700)
        self.env = dict(os.environ, TADAN_RUNTIME_DIR=os.path.join(self.top, "run"), TADAN_STATE_DIR=os.path.join(self.top, "state"))
        self.image = os.path.join(self.small, "image")
        self.open_files = []
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "none", self.small], check=True)

    def close(self, fd):
        self.open_files.remove(fd)
        os.close(fd)

    def close_all(self):
        while self.open_files:
            try:
                self.close(self.open_files[-1])
            except OSError:
                pass

    def tearDown(self):
        self.close_all()
        if os.path.ismount(self.dir):
            self.tadan("umount", self.dir)
        subprocess.run(["umount", "-l", self.small], check=False)
        shutil.rmtree(self.top)

    def tadan(self, *words):
        return subprocess.run([TADAN, *words], env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    def mount(self, level):
        done = self.tadan("mount", "smfs", self.dir, "--image", self.image, "--size", "64M", "--level", level, "--commit", "3600")
        self.assertEqual(done.returncode, 0, done.stderr)

    def open(self, name, flags=os.O_RDWR | os.O_CREAT):
        self.open_files.append(os.open(os.path.join(self.dir, name), flags, 0o644))
        return self.open_files[-1]

    def fails(self, error, call, *words):
        with self.assertRaises(OSError) as caught:
            call(*words)
        self.assertEqual(caught.exception.errno, error, errno.errorcode.get(caught.exception.errno))

    def put(self, fd, byte, count):
        for at in range(count):
            self.assertEqual(os.pwrite(fd, byte * MIB, at * MIB), MIB)

    def umount_and_check(self):
        self.close_all()
        done = self.tadan("umount", self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = self.tadan("check", self.image)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def full(self, level):
        self.mount(level)
        old, a, b = self.open("old"), self.open("a"), self.open("a")
        self.put(old, b"o", 2)
        os.fsync(old)
        with open(os.path.join(self.small, "filler"), "wb") as filler:
            filler.write(bytes(4 * MIB))
        self.put(a, b"a", 8)
        for _ in range(2):
            self.fails(errno.ENOSPC, os.fsync, a)
        late = self.open("a")
        self.assertEqual(os.pread(late, 8, 7 * MIB), b"a" * 8)
        os.fsync(old)
        os.mkdir(os.path.join(self.dir, "made-meanwhile"))
        os.remove(os.path.join(self.small, "filler"))
        os.fsync(a)                               # it has been told
        os.fsync(late)                            # who came later need not know
        self.fails(errno.ENOSPC, os.fsync, b)     # this one was open
        os.fsync(b)
        self.put(a, b"A", 8)
        with open(os.path.join(self.small, "filler"), "wb") as filler:
            filler.write(bytes(MIB))
        os.fsync(a)
        self.umount_and_check()
        self.mount(level)
        again = self.open("a", os.O_RDONLY)
        self.assertEqual(os.pread(again, 8 * MIB, 0), b"A" * (8 * MIB))
        self.assertTrue(os.path.isdir(os.path.join(self.dir, "made-meanwhile")))

    def closing(self, level):
        """close(2) tells, too, and only who can have written."""
        self.mount(level)
        with open(os.path.join(self.small, "filler"), "wb") as filler:
            filler.write(bytes(8 * MIB))
        a, b, reader = self.open("a"), self.open("a"), self.open("a", os.O_RDONLY)
        self.put(a, b"a", 6)
        self.fails(errno.ENOSPC, os.fsync, a)
        os.remove(os.path.join(self.small, "filler"))
        self.close(a)
        self.fails(errno.ENOSPC, self.close, b)
        self.close(reader)
        self.umount_and_check()

    def cut(self, level):
        """What is beyond the end cannot be read; the rest can, and the server lives."""
        self.mount(level)
        a = self.open("a")
        self.put(a, b"a", 6)
        os.fsync(a)
        self.close(a)
        self.assertEqual(self.tadan("umount", self.dir).returncode, 0)
        self.mount(level)
        size = os.stat(self.image).st_size
        a = self.open("a", os.O_RDONLY)
        self.assertEqual(os.pread(a, 4096, 0), b"a" * 4096)
        kept_at = os.path.join(self.top, "kept")
        shutil.copyfile(self.image, kept_at)
        os.truncate(self.image, 5 * MIB)
        self.fails(errno.EIO, os.pread, a, 4096, 5 * MIB)
        self.assertEqual(os.pread(a, 4096, 0), b"a" * 4096)
        self.fails(errno.EIO, os.pread, a, 4096, 5 * MIB)
        with open(kept_at, "rb") as kept, open(self.image, "r+b") as image:
            kept.seek(5 * MIB)
            image.seek(5 * MIB)
            image.write(kept.read(7 * MIB))
        os.truncate(self.image, size)
        self.assertEqual(os.pread(a, 4096, 5 * MIB), b"a" * 4096)
        self.umount_and_check()

    def limited(self, level):
        """The server's files may not be longer than so much (RLIMIT_FSIZE): an error, not a signal."""
        self.mount(level)
        server = json.loads(self.tadan("status", "--json", self.dir).stdout)[0]["pid"]
        resource.prlimit(server, resource.RLIMIT_FSIZE, (6 * MIB, resource.RLIM_INFINITY))
        a = self.open("a")
        self.put(a, b"a", 8)
        self.fails(errno.ENOSPC, os.fsync, a)
        self.assertEqual(os.pread(a, 8, 7 * MIB), b"a" * 8)
        resource.prlimit(server, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        os.fsync(a)
        self.umount_and_check()


def each(name):
    def test(self):
        for level in LEVELS:
            with self.subTest(level=level):
                getattr(self, name)(level)
            self.tearDown()
            self.setUp()
    return test


for _name in ("full", "closing", "cut", "limited"):
    setattr(Below, "test_" + _name, each(_name))


def main():
    global TADAN
    TADAN, LEVELS[:] = sys.argv[1], sys.argv[2:]
    if os.geteuid() or not os.access("/dev/fuse", os.W_OK):
        print("skip: only root can mount a small file system below an image\n0 passed, 0 failed, 1 skipped")
        return 77
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Below)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0).run(suite)
    bad = len(result.failures) + len(result.errors)
    print(f"{max(result.testsRun - bad, 0)} passed, {bad} failed, {len(result.skipped)} skipped")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
