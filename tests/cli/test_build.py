#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""`tadan build` and the files it makes: both forms, seals, what is refused and why.

    test_build.py TADAN NAUGHTY.so [NAME...]
"""

import os
import shutil
import stat
import subprocess
import sys
import unittest

import test_cli
from test_cli import FAILED, OK, USAGE, needs_fuse

HERE = os.path.dirname(os.path.abspath(__file__))
HELLOFS = os.path.join(HERE, "../../modules/hellofs")
BUILD_SECONDS = 120


def lacking():
    """What a sandboxed form takes and this machine has not, or None."""
    for names, package in [(["clang", "clang-14"], "clang"), (["wasm-ld", "wasm-ld-14"], "lld"), (["wasm2c"], "wabt")]:
        if not any(map(shutil.which, names)):
            return f"{names[0]} is missing (package {package})"
    return None


class Build(test_cli.Case):
    def setUp(self):
        super().setUp()
        self.env["XDG_STATE_HOME"] = self.path("state")

    def build(self, *words, status=OK, **more):
        done = self.run_tadan("build", *words, timeout=BUILD_SECONDS, **more)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def key(self):
        return self.path("state", "tadan", "seal.key")


class Words(Build):
    def test_usage(self):
        os.mkdir(self.path("empty"))
        for status, pattern, words in [
            (USAGE, "something is missing: tadan build SOURCES", []),
            (USAGE, "exclude each other", ["--native", "--sandboxed", HELLOFS]),
            (USAGE, "neither the sources of a module", [test_cli.NAUGHTY]),
            (FAILED, "nothere: No such file", ["nothere"]),
            (FAILED, r"no sources \(\*\.c\)", ["empty"]),
        ]:
            self.bad(status, pattern, "build", *words)
        self.env["TADAN_SDK"] = self.top
        self.bad(FAILED, "there is no tadan/fs.h", "build", HELLOFS)

    def test_native(self):
        self.build(HELLOFS, "--native", "-o", self.path("o"))
        self.assertEqual(os.listdir(self.path("o")), ["hellofs.so"])

    def test_mistake(self):
        """A compiler's complaint, and what was there stays."""
        shutil.copytree(HELLOFS, self.path("hello"))
        self.build("hello", "--native")
        with open(self.path("hello/hello.so"), "rb") as f:
            before = f.read()
        with open(self.path("hello/hellofs.c"), "a", encoding="utf-8") as f:
            f.write("int wrong = ;\n")
        done = self.build("hello", "--native", status=FAILED)
        self.assertIn("hellofs.c", done.stderr)
        self.assertIn("has failed; what it says stands above", done.stderr)
        with open(self.path("hello/hello.so"), "rb") as f:
            self.assertEqual(f.read(), before)

    def test_no_tools(self):
        """Without them the native form is built all the same; asked for by itself, the sandboxed one fails."""
        os.mkdir(self.path("bin"))
        for name in ["cc", "gcc", "as", "ld", "sh"]:
            if shutil.which(name):
                os.symlink(shutil.which(name), self.path("bin", name))
        env = dict(self.env, PATH=self.path("bin"))
        done = self.build(HELLOFS, "-o", self.path("o"), env=env)
        self.assertIn("no sandboxed form: there is no clang", done.stdout)
        self.assertEqual(os.listdir(self.path("o")), ["hellofs.so"])
        self.assertIn("install clang", self.build(HELLOFS, "--sandboxed", status=FAILED, env=env).stderr)


@unittest.skipIf(lacking(), lacking())
class Sandboxed(Build):
    """One build serves all: a test that changes the files works on a copy."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.made = None

    def setUp(self):
        super().setUp()
        if not type(self).made:
            type(self).made = test_cli.tempfile.mkdtemp(prefix="tadan-built.")
            self.addClassCleanup(shutil.rmtree, self.made)
            env = dict(self.env, XDG_STATE_HOME=self.made)
            self.build(HELLOFS, "-o", self.made, env=env)
            kept = self.build(os.path.join(HERE, "naughty.c"), "-o", self.made, "--keep", env=env).stdout
            work = kept.split("kept: ")[1].strip()
            shutil.move(os.path.join(work, "module.wasm"), os.path.join(self.made, "naughty.wasm"))
            shutil.rmtree(work)
        os.mkdir(self.path("mods"))
        for name in os.listdir(self.made):
            if os.path.isfile(os.path.join(self.made, name)):
                shutil.copy(os.path.join(self.made, name), self.path("mods", name))
        shutil.copytree(os.path.join(self.made, "tadan"), self.path("state", "tadan"))
        self.form = self.path("mods/hellofs.sandboxed")

    def refused(self, pattern, module="mods/hellofs.so"):
        self.bad(FAILED, pattern, "mount", "./" + module, self.dir, "--level", "sandboxed")

    def patch(self, offset, data):
        with open(self.form, "r+b") as f:
            f.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
            f.write(data)

    def test_key(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.key()).st_mode), 0o600)
        self.assertEqual(os.stat(self.key()).st_size, 32)

    def test_damage(self):
        size = os.path.getsize(self.form)
        for cut in [0, 10, size // 2, size - 1]:
            with self.subTest(cut=cut):
                shutil.copy(os.path.join(self.made, "hellofs.sandboxed"), self.form)
                os.truncate(self.form, cut)
                self.refused("cut short: build it again")
        for at in [0, 4096, size // 2, size - 200]:
            with self.subTest(flipped=at):
                shutil.copy(os.path.join(self.made, "hellofs.sandboxed"), self.form)
                with open(self.form, "rb") as f:
                    f.seek(at)
                    byte = f.read(1)[0]
                self.patch(at, bytes([byte ^ 1]))
                self.refused("is damaged: build it again")

    def test_other_version(self):
        self.patch(-72, b"\xff")
        self.refused("another version of Tadan: build it again")

    def test_somebody_elses(self):
        os.unlink(self.key())
        self.refused("you have no key to tell")
        with open(self.key(), "wb") as f:
            f.write(bytes(32))
        os.chmod(self.key(), 0o600)
        self.refused("has the seal of somebody else: build it yourself")
        os.chmod(self.key(), 0o644)
        self.refused("must be a file of yours with mode 0600")

    def test_no_seal(self):
        """Somebody who takes the seal away, and makes the digest right, is not believed."""
        self.patch(-68, bytes(4))
        self.refused("does not have your seal")

    def test_another_module(self):
        shutil.copy(self.path("mods/naughty.sandboxed"), self.form)
        self.refused("is the form of another module than")

    def test_no_form(self):
        os.unlink(self.form)
        self.refused("there is no sandboxed form of the module: `tadan build` makes it")

    @needs_fuse
    def test_moves(self):
        self.env["TADAN_MODULES"] = self.path("mods")
        self.good("mount", "hellofs", self.dir, "--level", "sandboxed")
        with open(os.path.join(self.dir, "hello"), encoding="utf-8") as f:
            self.assertEqual(f.read(), "hello\n")
        for level in ["trusted", "sandboxed,shared=unmapped", "sandboxed,shared=rw", "isolated", "sandboxed"]:
            self.good("level", self.dir, level)
            with open(os.path.join(self.dir, "hello"), encoding="utf-8") as f:
                self.assertEqual(f.read(), "hello\n", level)
        self.good("umount", self.dir)

    @needs_fuse
    def test_faults(self):
        self.good("mount", "./mods/naughty.so", self.dir, "--level", "sandboxed,time=300ms")
        for name in ["null", "jump", "stack", "loop"]:
            with self.assertRaises(OSError):
                os.stat(os.path.join(self.dir, name))
        faults = [f for f in self.json("faults", self.dir) if f["attempt"] == 1]
        self.assertEqual([f["kind"] for f in faults],
                         ["bad memory access", "illegal instruction", "stack overflow", "over the time limit"])
        self.assertEqual(faults[0]["address"], "0x0")
        self.assertRegex(str(faults[0]), r"naughty\.c:\d+ \(store\), inlined at naughty\.c:\d+ \(naughty_lookup\)")
        self.assertRegex(str(faults[2]), r"naughty\.c:\d+ \(deeper\)")
        self.assertRegex(str(faults[3]), r"naughty\.c")
        with self.assertRaises(FileNotFoundError):
            os.stat(os.path.join(self.dir, "quiet"))
        self.good("umount", self.dir)

    @needs_fuse
    def test_wasm(self):
        """What somebody else compiled: translated once, at this level only."""
        os.unlink(self.path("mods/naughty.so"))
        os.unlink(self.path("mods/naughty.sandboxed"))
        done = self.run_tadan("mount", "./mods/naughty.wasm", self.dir, timeout=BUILD_SECONDS)
        self.assertEqual(done.returncode, OK, done.stderr)
        self.assertEqual(self.status()["level"], "sandboxed")
        self.bad(FAILED, "the sandboxed form only; use --level sandboxed", "level", self.dir, "guarded")
        self.good("umount", self.dir)
        made = os.stat(self.path("mods/naughty.sandboxed")).st_mtime_ns
        self.good("mount", "./mods/naughty.wasm", self.dir)
        self.assertEqual(os.stat(self.path("mods/naughty.sandboxed")).st_mtime_ns, made)
        self.good("umount", self.dir)
        self.bad(FAILED, "the sandboxed form only", "mount", "./mods/naughty.sandboxed", self.dir, "--level", "trusted")

    def test_bad_wasm(self):
        with open(self.path("mods/naughty.wasm"), "rb") as f:
            code = f.read()
        for name, data in [("empty", b""), ("text", b"hello"), ("cut", code[: len(code) // 3]),
                           ("import", code.replace(b"td__svc_bread", b"td__svc_brexd"))]:
            with self.subTest(name), open(self.path("mods", name + ".wasm"), "wb") as f:
                f.write(data)
                f.close()
                done = self.build(f"mods/{name}.wasm", status=FAILED)
                self.assertRegex(done.stderr, r"is refused \(|wasm2c has failed")
                self.assertFalse(os.path.exists(self.path("mods", name + ".sandboxed")))


if __name__ == "__main__":
    sys.exit(test_cli.main(sys.modules[__name__]))
