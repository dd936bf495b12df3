#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The command `tadan` as a person uses it: what it says, what it ends with, and what is left.

    test_cli.py TADAN NAUGHTY.so [NAME...]

Each test has a folder of its own with a runtime folder in it, so that it sees no mounts but its own, and unmounts and
ends what it started, whether it passed or not. Ends with `N passed, N failed, N skipped`.
"""

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

TADAN = NAUGHTY = None
OK, FAILED, USAGE = 0, 1, 2
SECONDS = 30


def why_no_mounts():
    """Why this machine cannot mount, or None."""
    if not os.path.exists("/dev/fuse"):
        return "there is no /dev/fuse"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse may not be opened"
    if os.geteuid() and not shutil.which("fusermount3"):
        return "fusermount3 is not installed"
    return None


needs_fuse = unittest.skipIf(why_no_mounts(), why_no_mounts())


def mounts():
    """The directories where something is mounted, without asking what is mounted there."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as lines:
        return [line.split()[1].replace("\\040", " ") for line in lines]


def is_running(pid):
    """A zombie has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(true, what, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not after {seconds} s")
        time.sleep(0.01)


class Case(unittest.TestCase):
    def setUp(self):
        self.top = os.path.realpath(tempfile.mkdtemp(prefix="tadan-cli."))
        self.dir = self.path("m")
        os.mkdir(self.dir)
        os.mkdir(self.path("run"), 0o700)
        self.env = dict(os.environ, TADAN_RUNTIME_DIR=self.path("run"), TADAN_STATE_DIR=self.path("state"), LC_ALL="C")
        self.started = []

    def tearDown(self):
        for proc in self.started:
            if proc.poll() is None:
                proc.kill()
            proc.wait()
            for stream in (proc.stdout, proc.stderr):
                if stream:
                    stream.close()
        for pid in self.servers():
            os.kill(pid, signal.SIGTERM)
            try:
                wait_until(lambda p=pid: not is_running(p), "the server's end", 10)
            except AssertionError:
                os.kill(pid, signal.SIGKILL)
        for place in [m for m in mounts() if m.startswith(self.top + "/")]:
            subprocess.run(["umount", "-l", place] if not os.geteuid() else ["fusermount3", "-uz", place], check=False)
        shutil.rmtree(self.top)

    def path(self, *names):
        return os.path.join(self.top, *names)

    def servers(self):
        """The pids in lock files, of servers that still live."""
        pids = []
        for name in os.listdir(self.path("run")):
            if name.endswith(".lock"):
                with open(self.path("run", name), encoding="utf-8") as lock:
                    pids.append(int(lock.readline()))
        return [pid for pid in pids if is_running(pid)]

    def run_tadan(self, *words, **more):
        more = {"env": self.env, "cwd": self.top, "timeout": SECONDS, **more}
        return subprocess.run([TADAN, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              **more)

    def start(self, *words, **more):
        proc = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, env=self.env, cwd=self.top, **more)
        self.started.append(proc)
        return proc

    def good(self, *words):
        """It works, and says nothing on standard error."""
        done = self.run_tadan(*words)
        self.assertEqual((done.returncode, done.stderr), (OK, ""), f"tadan {' '.join(words)}: {done.stdout}")
        return done.stdout

    def bad(self, status, pattern, *words):
        """It ends with this status and one line on standard error like this; nothing stands on standard output."""
        done = self.run_tadan(*words)
        what = f"tadan {' '.join(words)}: {done.stderr}"
        self.assertEqual(done.returncode, status, what)
        self.assertRegex(done.stderr, pattern, what)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, what)
        self.assertTrue(done.stderr.startswith("tadan"), what)
        self.assertEqual(done.stdout, "", what)
        return done.stderr

    def json(self, *words):
        return json.loads(self.good(*words, "--json"))

    def mount(self, *more, module="smfs"):
        self.good("mount", module, self.dir, "--level", "guarded", *more)

    def status(self):
        return self.json("status", self.dir)[0]

    def check_space(self, *more):
        """Space of a removed file is there for who asks for it right after the removal, though Linux says of the two in any order."""
        self.mount("--size", "8M", *more)
        size = os.statvfs(self.dir).f_bavail * os.statvfs(self.dir).f_bsize // 10 * 6
        with open(os.path.join(self.dir, "kept"), "wb") as kept:
            for _ in range(100):
                with open(os.path.join(self.dir, "removed"), "wb") as removed:
                    os.posix_fallocate(removed.fileno(), 0, size)
                with self.assertRaises(OSError) as full:
                    os.posix_fallocate(kept.fileno(), 0, size)
                self.assertEqual(full.exception.errno, errno.ENOSPC)
                os.unlink(removed.name)
                os.posix_fallocate(kept.fileno(), 0, size)
                os.ftruncate(kept.fileno(), 0)

    def assert_nothing_left(self):
        self.assertNotIn(self.dir, mounts())
        self.assertEqual(os.listdir(self.path("run")), [])


class Words(Case):
    """What needs no mount."""

    COMMANDS = ["mount", "umount", "status", "level", "faults", "levels", "modules", "build", "verify", "demo", "bench", "version"]

    def test_help(self):
        lab = ["lab"] if os.path.exists(os.path.join(os.path.dirname(TADAN), "tadan-lab")) else []
        for command in self.COMMANDS + lab:
            text = self.good(command, "--help")
            self.assertIn(f"tadan {command}", text)
            self.assertIn("Exit status", text)
            self.assertEqual(text, self.good("help", command))
        overview = self.good("--help")
        for command in self.COMMANDS:
            self.assertIn(f"tadan {command} ", overview)
        self.assertEqual(self.run_tadan().returncode, USAGE)

    def test_version(self):
        self.assertRegex(self.good("version"), r"^tadan \d+\.\d+\S*\n$")
        self.assertEqual(self.good("version"), self.good("--version"))

    def test_usage(self):
        for pattern, words in [
            ("unknown command moutn; did you mean `tadan mount`", ["moutn"]),
            ("did you mean `tadan umount`", ["unmount"]),
            ("unknown command xyzzy; `tadan --help`", ["xyzzy"]),
            ("unknown option --sise; did you mean --size", ["mount", "smfs", "m", "--sise", "1G"]),
            ("unknown option --frobnicate; `tadan mount --help`", ["mount", "smfs", "m", "--frobnicate"]),
            ("unknown option -y", ["mount", "smfs", "m", "-y"]),
            (r"something is missing: tadan mount MODULE \[SERVER\] DIR", ["mount", "smfs"]),
            ("one word too many", ["umount", "m", "n"]),
            ("--size needs a value", ["mount", "smfs", "m", "--size"]),
            ("--size is given twice", ["mount", "smfs", "m", "-s", "1G", "--size=2G"]),
            ("--json takes no value", ["levels", "--json=yes"]),
            ("--follow needs the directory", ["faults", "--follow"]),
        ]:
            self.bad(USAGE, pattern, *words)

    def test_bad_sizes(self):
        for size in ["", "0", "-1", "1X", "G", "1.5G", "4K", "99999999999999999999", "9000000000T", "1G 2", "0x10000"]:
            self.bad(USAGE, "--size .*(is no size|is too small)", "mount", "smfs", self.dir, "--size", size)
        for number in ["0", "-3", "many", "", "1 "]:
            self.bad(USAGE, "--commit", "mount", "smfs", self.dir, "--image", "img", f"--commit={number}")
            self.bad(USAGE, "--cache", "mount", "smfs", self.dir, "--image", "img", f"--cache={number}")
            self.bad(USAGE, "--max-files", "mount", "smfs", self.dir, f"--max-files={number}")
        for time in ("no", "-1s", "5h", "99ms", "25000h", "1441m"):
            self.bad(USAGE, "--device-timeout", "mount", "smfs", self.dir, "--image", "img", f"--device-timeout={time}")
        self.bad(USAGE, "--device-timeout", "mount", "smfs", self.dir, "--device-timeout=1s")
        self.assert_nothing_left()

    def test_bad_levels(self):
        for pattern, level in [
            ("did you mean `isolated`", "isolatd"),
            ("the levels are trusted", "xyzzy"),
            ("did you mean `journal`", "isolated,jurnal=all"),
            ("journal is off, locks or all", "isolated,journal=some"),
            ("knob", "isolated,journal"),
            ("wall is none", "isolated,wall=paper"),
            ("time is off, or a limit", "isolated,time=fast"),
            ("the levels are", ""),
        ]:
            self.bad(USAGE, pattern, "mount", "smfs", self.dir, "--level", level)
            self.bad(USAGE, pattern, "level", self.dir, level)
        self.assert_nothing_left()

    def test_levels(self):
        levels = {level["name"]: level for level in self.json("levels")}
        self.assertEqual(list(levels), ["trusted", "guarded", "walled", "sandboxed", "isolated", "debug"])
        self.assertEqual(levels["guarded"]["knobs"]["wall"], "none")
        self.assertTrue(levels["guarded"]["available"])
        text = self.good("levels")
        for level in levels.values():
            self.assertIn(level["name"], text)
            self.assertIn(level["purpose"], text)
            self.assertNotEqual(level["available"], bool(level["reason"]))
            self.assertIn(level["reason"] or "", text)

    def test_modules(self):
        found = {m["name"]: m for m in self.json("modules")}
        self.assertEqual((found["smfs"]["interface"], found["smfs"]["version"]), ("fs", 1))
        self.assertIn("none", found["smfs"]["walls"])
        self.assertRegex(found["smfs"]["build"], "^[0-9a-f]{16}$")
        self.assertTrue(os.path.isfile(found["smfs"]["file"]))
        os.mkdir(self.path("mods"))
        shutil.copy(NAUGHTY, self.path("mods", "naughty.so"))
        with open(self.path("mods", "text.so"), "w", encoding="utf-8") as text:
            text.write("no module\n")
        self.env["TADAN_MODULES"] = "/nowhere:" + self.path("mods")
        found = {m["name"]: m for m in self.json("modules")}
        self.assertEqual(found["naughty"]["file"], self.path("mods", "naughty.so"))
        self.assertIn("error", found["text"])
        text = self.good("modules")
        for name in ("smfs", "naughty", "unusable"):
            self.assertIn(name, text)

    def test_nothing_mounted(self):
        self.assertEqual(self.json("status"), [])
        self.assertEqual(self.json("faults"), [])
        self.assertIn("nothing is mounted", self.good("status"))
        self.assertIn("no faults", self.good("faults"))
        for words in (["status", self.dir], ["faults", self.dir], ["level", self.dir, "guarded"]):
            self.bad(FAILED, "Tadan has mounted nothing there", *words)
        self.bad(FAILED, "nothing is mounted there", "umount", self.dir)
        for words in (["status", "no/such"], ["umount", "no/such"]):
            self.bad(FAILED, "No such file or directory", *words)

    def test_colour(self):
        """None without a terminal, some on one, none if that is not wanted."""
        for env, colour in [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]:
            master, slave = os.openpty()
            subprocess.run([TADAN, "levels"], env={**self.env, "TERM": "xterm", **env}, stdout=slave, check=True,
                           timeout=SECONDS)
            os.close(slave)
            text = b""
            try:
                while part := os.read(master, 65536):
                    text += part
            except OSError as error:
                self.assertEqual(error.errno, errno.EIO)
            os.close(master)
            self.assertEqual(b"\033[" in text, colour, env)
        self.assertNotIn("\033", self.good("levels"))

    def test_full_output(self):
        """What cannot be written is not passed over."""
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([TADAN, "levels"], stdout=full, stderr=subprocess.PIPE, check=False, timeout=SECONDS)
        self.assertEqual(done.returncode, FAILED)

    def test_demo(self):
        with open(self.path("demo"), "w", encoding="utf-8") as script:
            script.write('#!/bin/sh\necho "$#: $*"\nexit 7\n')
        os.chmod(self.path("demo"), 0o755)
        self.env["TADAN_DEMO"] = self.path("demo")
        done = self.run_tadan("demo", "--quick", "a b")
        self.assertEqual((done.returncode, done.stdout), (7, "2: --quick a b\n"))
        self.env["TADAN_DEMO"] = self.path("nowhere")
        self.bad(FAILED, "nowhere: No such file", "demo")

    @unittest.skipUnless(shutil.which("bash"), "bash is not installed")
    def test_completion(self):
        """What the shell offers is what there is."""
        script = os.path.join(os.path.dirname(__file__), "../../cli/completion/tadan.bash")

        def offered(*words):
            ask = 'tadan() { "$TADAN" "$@"; }; . "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tadan; echo "${COMPREPLY[*]}"'
            return subprocess.run(["bash", "-c", ask, script, "tadan", *words], env=dict(self.env, TADAN=TADAN), capture_output=True,
                                  text=True, check=True, timeout=SECONDS).stdout.split()

        self.assertEqual(offered("um"), ["umount"])
        self.assertIn("lab", offered(""))
        self.assertIn("smfs", offered("mount", "s"))
        self.assertEqual(offered("mount", "smfs", "--le"), ["--level"])
        self.assertEqual(offered("mount", "smfs", "--level", "g"), ["guarded"])
        self.assertEqual(offered("level", "somewhere", "iso"), ["isolated"])
        self.assertIn("--sandboxed", offered("build", "--"))
        self.assertEqual(offered("bench", "prot"), ["protection"])
        self.assertEqual(offered("bench", "compare", "--th"), ["--threshold"])

    def test_runtime_folder(self):
        """It is used only if nobody else can reach into it."""
        os.chmod(self.path("run"), 0o755)
        self.bad(FAILED, "not a folder that only you can use", "mount", "smfs", self.dir, "--level", "guarded")
        os.rmdir(self.path("run"))
        os.mkdir(self.path("other"), 0o700)
        os.symlink(self.path("other"), self.path("run"))
        self.bad(FAILED, "not a folder that only you can use", "mount", "smfs", self.dir, "--level", "guarded")
        os.unlink(self.path("run"))
        os.mkdir(self.path("run"), 0o700)
        for folder in ("relative", self.path("x" * 100), "/proc/nowhere"):
            self.env["TADAN_RUNTIME_DIR"] = folder
            self.bad(FAILED, "TADAN_RUNTIME_DIR", "mount", "smfs", self.dir, "--level", "guarded")
        self.assert_nothing_left()


@needs_fuse
class Refused(Case):
    """A mount that cannot be: one line that says why, and nothing changed."""

    def refused(self, pattern, *words):
        self.bad(FAILED, pattern, "mount", *words, "--level", "guarded")
        self.assert_nothing_left()

    def test_directories(self):
        with open(self.path("file"), "w", encoding="utf-8"):
            pass
        self.refused("mkdir", "smfs", self.path("missing"))
        self.refused("missing", "smfs", self.path("missing", "deeper"))
        self.refused("is not a directory", "smfs", self.path("file"))
        self.refused("is a mount point already", "smfs", "/proc")
        self.refused(".", "smfs", "")
        self.assertFalse(os.path.exists(self.path("missing")))

    def test_modules(self):
        self.refused("no module named smsf.*did you mean `smfs`", "smsf", self.dir)
        self.refused("no such module file", "./missing.so", self.dir)
        with open(self.path("text.so"), "w", encoding="utf-8") as text:
            text.write("no module\n")
        self.refused(re.escape(self.path("text.so")), "./text.so", self.dir)
        self.refused(".", "./m", self.dir)

    def test_other_versions(self):
        """A module that was built for another Tadan."""
        with open(NAUGHTY, "rb") as file:
            built = file.read()
        info = built.index((0x6E616454).to_bytes(4, "little"))
        for field, pattern in [(4, "another version of Tadan"), (8, "interface that this kernel does not know"),
                               (12, "another version of its interface")]:
            other = bytearray(built)
            other[info + field] += 1
            with open(self.path("other.so"), "wb") as file:
                file.write(other)
            self.refused(pattern, "./other.so", self.dir)

    def test_levels(self):
        for level in self.json("levels"):
            if not level["available"]:
                self.bad(FAILED, re.escape(level["reason"]), "mount", "smfs", self.dir, "--level", level["name"])
                self.assert_nothing_left()

    def test_images(self):
        self.refused("give --size to make it", "smfs", self.dir, "--image", "missing.img")
        self.refused(".", "smfs", self.dir, "--image", ".")
        self.refused("No such file or directory|no such image", "smfs", self.dir, "--image", "no/such.img", "--size", "16M")
        self.bad(USAGE, "--read-only needs --image", "mount", "smfs", self.dir, "--read-only")
        self.assertEqual(sorted(os.listdir(self.top)), ["m", "run"])

    def test_foreign_image(self):
        """Somebody's data is neither formatted nor lengthened."""
        data = b"precious" * 4096
        with open(self.path("img"), "wb") as image:
            image.write(data)
        self.refused(re.escape(self.path("img")), "smfs", self.dir, "--image", "img")
        self.refused(re.escape(self.path("img")), "smfs", self.dir, "--image", "img", "--size", "64M")
        with open(self.path("img"), "rb") as image:
            self.assertEqual(image.read(), data)

    def test_new_image_is_taken_back(self):
        """The last steps fail: an image that was made before is gone again."""
        os.mkdir(self.path("mods"))
        self.refused(".", NAUGHTY, self.path("run"), "--image", "img", "--size", "4096T")
        self.assertFalse(os.path.exists(self.path("img")))

    def test_damaged_image(self):
        self.mount("--image", "img", "--size", "16M")
        self.good("umount", self.dir)
        with open(self.path("img"), "r+b") as image:
            image.seek(8)
            image.write(b"\xff" * 32)
        before = os.stat(self.path("img")).st_mtime_ns
        self.refused("damaged|image", "smfs", self.dir, "--image", "img")
        self.assertEqual(os.stat(self.path("img")).st_mtime_ns, before)

    def test_foreground(self):
        """The reason is the last line of standard error there, too."""
        self.bad(FAILED, "is not a directory", "mount", "smfs", TADAN, "-f", "--level", "guarded")

    @unittest.skipIf(os.geteuid(), "only root can take its rights away")
    def test_no_right(self):
        """Without the right to mount: no capability, and no fusermount3."""
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", TADAN, "mount", "smfs",
                               self.dir, "--level", "guarded"], env=self.env, capture_output=True, text=True,
                              check=False, timeout=SECONDS)
        self.assertEqual(done.returncode, FAILED, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assert_nothing_left()


@needs_fuse
class Life(Case):
    """Mounts, from the beginning to the end."""

    def test_background(self):
        """The mount answers when the command returns, and the server holds nothing of the caller's."""
        self.mount()
        self.assertIn(self.dir, mounts())
        with open(os.path.join(self.dir, "a"), "w", encoding="utf-8") as file:
            file.write("hello")
        status = self.status()
        self.assertEqual(os.readlink(f"/proc/{status['pid']}/cwd"), "/")
        for fd in range(3):
            self.assertEqual(os.readlink(f"/proc/{status['pid']}/fd/{fd}"), "/dev/null")
        self.assertEqual(os.getsid(status["pid"]), status["pid"])
        self.assertEqual(self.good("umount", self.dir), "")
        self.assertFalse(is_running(status["pid"]))
        self.assert_nothing_left()

    def test_foreground(self):
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            proc = self.start(TADAN, "mount", "smfs", self.dir, "-f", "--level=isolated")
            wait_until(lambda: self.dir in mounts(), "the mount")
            status = self.status()
            self.assertEqual(status["pid"], proc.pid)
            with open(f"/proc/{status['module_pid']}/stat", encoding="utf-8") as stat:
                self.assertEqual(int(stat.read().rsplit(")", 1)[1].split()[1]), proc.pid)
            proc.send_signal(sig)
            self.assertEqual(proc.wait(SECONDS), OK)
            self.assert_nothing_left()
            self.assertFalse(is_running(status["module_pid"]))

    def test_foreground_ends_with_the_unmount(self):
        proc = self.start(TADAN, "mount", "smfs", self.dir, "-f", "-l", "guarded")
        wait_until(lambda: self.dir in mounts(), "the mount")
        self.good("umount", self.dir)
        self.assertEqual(proc.wait(SECONDS), OK)
        self.assert_nothing_left()

    def test_names_of_the_directory(self):
        """Relative, with slashes behind, through a symbolic link, from inside, with spaces and other letters."""
        os.symlink("m", self.path("link"))
        self.mount()
        for name in ("m", "m/", "./m//", "../" + os.path.basename(self.top) + "/m", "link", "link/"):
            self.assertEqual(self.json("status", name)[0]["dir"], self.dir, name)
        done = self.run_tadan("status", ".", "--json", cwd=self.dir)
        self.assertEqual(json.loads(done.stdout)[0]["dir"], self.dir)
        self.good("umount", "link")
        for name in ("with space", "tab\there", "ümlaut", "back\\slash", "co,mma"):
            os.mkdir(self.path(name))
            self.good("mount", "smfs", name, "--level", "guarded")
            self.assertEqual(self.json("status", name)[0]["dir"], self.path(name))
            self.good("umount", name)
        self.assert_nothing_left()

    def test_status(self):
        self.mount("--size", "64M")
        with open(os.path.join(self.dir, "a"), "w", encoding="utf-8") as file:
            file.write("hello")
        status = self.status()
        self.assertEqual((status["dir"], status["module"], status["level"], status["state"]),
                         (self.dir, "smfs", "guarded", "running"))
        self.assertEqual((status["size"], status["image"], status["module_pid"]), (64 << 20, None, None))
        self.assertEqual((status["faults"], status["restarts"]), (0, 0))
        self.assertEqual(status["knobs"]["wall"], "none")
        self.assertGreater(status["calls"], 0)
        self.assertEqual(status["calls"], sum(status["calls_by_operation"].values()))
        self.assertRegex(status["since"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual([s["dir"] for s in self.json("status")], [self.dir])
        table = self.good("status").splitlines()
        self.assertEqual(len(table), 2)
        self.assertTrue(table[0].startswith("DIR ") and table[1].startswith(self.dir))
        self.assertIn("running", self.good("status", self.dir))

    def test_size(self):
        self.mount("--size", "32M", "--max-files", "10")
        fs = os.statvfs(self.dir)
        self.assertLessEqual(fs.f_blocks * fs.f_frsize, 32 << 20)
        self.assertGreater(fs.f_blocks * fs.f_frsize, 24 << 20)
        with self.assertRaises(OSError) as full:
            with open(os.path.join(self.dir, "big"), "wb") as file:
                for _ in range(33):
                    file.write(b"x" * (1 << 20))
                    os.fsync(file.fileno())
        self.assertEqual(full.exception.errno, errno.ENOSPC)
        with self.assertRaises(OSError) as many:
            for i in range(20):
                os.mkdir(os.path.join(self.dir, f"d{i}"))
        self.assertIn(many.exception.errno, (errno.ENOSPC, errno.EDQUOT))
        self.good("umount", self.dir)

    def check(self, status, *words):
        """What `tadan check --json` says, and that it ends with this status."""
        ran = self.run_tadan("check", "--json", *words)
        self.assertEqual(ran.returncode, status, ran.stdout + ran.stderr)
        return json.loads(ran.stdout)

    def test_check(self):
        self.mount("--image", "img", "--size", "16M")
        os.mkdir(os.path.join(self.dir, "d"))
        fid = os.stat(os.path.join(self.dir, "d")).st_ino
        self.bad(8, "in use", "check", "img")
        self.good("umount", self.dir)
        said = self.check(0, "img")
        self.assertEqual((said["state"], said["module"], said["problems"]), ("clean", "smfs", []))
        self.check(0, "img", "--module", "smfs", "--level", "guarded")
        self.bad(8, "cannot check|holds no file system", "check", "img", "--module", "hellofs")
        self.bad(8, "no such image", "check", "missing")
        with open(self.path("img"), "r+b") as image:
            base = int.from_bytes(image.read(40)[32:], "little")
            image.seek(base + fid * 256 + 28)  # how many links the directory has
            image.write(b"\x07")
        said = self.check(4, "img")
        self.assertEqual([(p["fid"], p["found"], p["right"], p["repairable"]) for p in said["problems"]], [(fid, 7, 2, True)])
        self.assertEqual(self.check(1, "img", "--repair")["left"], 0)
        self.check(0, "img")
        with open(self.path("img"), "r+b") as image:
            image.seek(base)
            image.write(b"\xff" * 64)
        self.bad(8, "name its module", "check", "img")
        with open(self.path("img"), "r+b") as image:
            image.seek(24)
            image.write(b"\xff")
        self.assertRegex(self.check(4, "img")["why"], "header is damaged")
        self.bad(USAGE, "--level", "check", "img", "--level", "nowhere")

    def test_image(self):
        self.mount("--image", "img", "--size", "16M")
        with open(os.path.join(self.dir, "a"), "w", encoding="utf-8") as file:
            file.write("kept")
        self.assertEqual(self.status()["image"], self.path("img"))
        os.mkdir(self.path("n"))
        self.bad(FAILED, "in use", "mount", "smfs", self.path("n"), "--image", "img", "--level", "guarded")
        self.good("umount", self.dir)
        self.assertEqual(os.stat(self.path("img")).st_size, 16 << 20)
        self.mount("--image", self.path("img"))
        with open(os.path.join(self.dir, "a"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "kept")
        self.good("umount", self.dir)
        self.mount("--image", "img", "--read-only")
        with open(os.path.join(self.dir, "a"), encoding="utf-8") as file:
            self.assertEqual(file.read(), "kept")
        with self.assertRaises(OSError) as refused:
            os.mkdir(os.path.join(self.dir, "d"))
        self.assertEqual(refused.exception.errno, errno.EROFS)
        self.good("umount", self.dir)
        self.assert_nothing_left()

    def test_image_after_sigterm(self):
        """What was written, without fsync, is in the image when the server has ended."""
        self.mount("--image", "img", "--size", "16M")
        with open(os.path.join(self.dir, "a"), "wb") as file:
            file.write(b"y" * 3000000)
        pid = self.status()["pid"]
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid), "the server's end")
        self.assert_nothing_left()
        self.mount("--image", "img")
        with open(os.path.join(self.dir, "a"), "rb") as file:
            self.assertEqual(file.read(), b"y" * 3000000)

    def test_kill_under_load(self):
        """kill -9 of the server while files are written: what fsync has acknowledged is there after the next mount."""
        known = {}
        for round_ in range(3):
            self.mount("--image", "img", "--size", "64M")
            writers = [threading.Thread(target=self.write_until_it_ends, args=(round_, n, known)) for n in range(3)]
            for writer in writers:
                writer.start()
            time.sleep(0.4 + 0.2 * round_)
            pid = self.status()["pid"]
            os.kill(pid, signal.SIGKILL)
            for writer in writers:
                writer.join()
            self.good("umount", self.dir)
            for _ in range(500):  # it holds the image until it has ended
                if not os.path.exists(f"/proc/{pid}"):
                    break
                time.sleep(0.01)
            self.mount("--image", "img")
            for name, content in known.items():
                with open(os.path.join(self.dir, name), "rb") as file:
                    self.assertEqual(file.read(), content, f"{name}, round {round_}")
            self.good("umount", self.dir)
        self.assertGreater(len(known), 3)

    def write_until_it_ends(self, round_, writer, known):
        try:
            for count in range(100000):
                name = f"file-{round_}-{writer}-{count}"
                content = (name * (1 + count * 37 % 900)).encode()
                with open(os.path.join(self.dir, name), "wb", buffering=0) as file:
                    file.write(content)
                    os.fsync(file.fileno())
                    known[name] = content
        except OSError:
            pass

    @unittest.skipIf(os.geteuid(), "needs root to mount a small tmpfs")
    def test_full_disk(self):
        """There is no room for the image any more: fsync fails, and so does the unmount, with the reason."""
        os.mkdir(self.path("small"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.path("small")], check=True)
        self.mount("--image", "small/img", "--size", "64M")
        with self.assertRaises(OSError):
            with open(os.path.join(self.dir, "big"), "wb") as file:
                file.write(os.urandom(1 << 20) * 8)
                file.flush()
                os.fsync(file.fileno())
        self.assertEqual(self.status()["state"], "running")
        self.bad(FAILED, "unmounted, but not everything could be written back", "umount", self.dir)
        self.assert_nothing_left()

    def test_space_of_a_removed_file(self):
        self.check_space("--uring", "off")

    def test_module_by_path(self):
        shutil.copy(NAUGHTY, self.path("evil.so"))
        self.mount(module="./evil.so")
        self.assertEqual(self.status()["file"], self.path("evil.so"))
        self.good("umount", self.dir)

    def test_used_directory(self):
        self.mount()
        pid = self.status()["pid"]
        self.bad(FAILED, "mounted already; unmount it first: tadan umount", "mount", "smfs", self.dir, "--level", "guarded")
        self.assertEqual(self.status()["pid"], pid)
        self.assertEqual(mounts().count(self.dir), 1)

    def test_two_at_once(self):
        """Of several that want the same directory one gets it."""
        procs = [self.start(TADAN, "mount", "smfs", self.dir, "--level", "guarded") for _ in range(4)]
        for proc in procs:
            proc.communicate(timeout=SECONDS)
        self.assertEqual(sorted(p.returncode for p in procs), [OK, FAILED, FAILED, FAILED])
        self.assertEqual(mounts().count(self.dir), 1)
        self.good("umount", self.dir)
        self.assert_nothing_left()

    def test_busy(self):
        self.mount()
        with open(os.path.join(self.dir, "a"), "w", encoding="utf-8") as file:
            file.write("open")
            file.flush()
            text = self.bad(FAILED, "is busy", "umount", self.dir)
            self.assertIn(f"({os.getpid()})", text)
            self.assertEqual(self.status()["state"], "running")
            for _ in range(10):  # who could not unmount is not waited for
                self.bad(FAILED, "is busy", "umount", self.dir)
        self.good("umount", self.dir)
        self.assert_nothing_left()

    @unittest.skipIf(os.geteuid(), "needs root to make a mount namespace")
    def test_other_namespace(self):
        """A program that holds the mount in a namespace of its own is named."""
        self.mount()
        pid = self.status()["pid"]
        holder = self.start("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready; exec sleep 60")
        self.assertEqual(holder.stdout.readline(), "ready\n")
        text = self.bad(FAILED, "mount namespace", "umount", self.dir)
        self.assertIn(f"({holder.pid})", text)
        self.assertNotIn(self.dir, mounts())
        holder.kill()
        wait_until(lambda: not is_running(pid), "the server's end")
        self.assert_nothing_left()

    def test_others_mounts(self):
        self.bad(FAILED, "is not Tadan's", "umount", "/proc")

    def test_killed_server(self):
        self.mount("--image", "img", "--size", "16M")
        pid = self.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid), "the server's end")
        with self.assertRaises(OSError) as gone:
            os.listdir(self.dir)
        self.assertIn(gone.exception.errno, (errno.ENOTCONN, errno.ECONNABORTED, errno.ECANCELED))  # the last one where it had rings
        self.assertEqual(self.json("status"), [{"dir": self.dir, "state": "server ended"}])
        self.assertIn("server ended", self.good("status"))
        for words in (["level", self.dir, "trusted"], ["faults", self.dir], ["mount", "smfs", self.dir]):
            self.bad(FAILED, "server.* has ended; clear it.*: tadan umount", *words)
        self.good("umount", self.dir)
        self.assert_nothing_left()
        self.mount("--image", "img")

    def test_stale_socket(self):
        """The server was killed, and somebody else unmounted: the next command tidies up."""
        self.mount()
        pid = self.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid), "the server's end")
        subprocess.run(["umount", "-l", self.dir] if not os.geteuid() else ["fusermount3", "-uz", self.dir], check=True)
        self.assertEqual(len(os.listdir(self.path("run"))), 2)
        self.assertEqual(self.json("status"), [])
        self.assert_nothing_left()

    def test_stale_socket_does_not_hinder(self):
        self.mount()
        pid = self.status()["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid), "the server's end")
        subprocess.run(["umount", "-l", self.dir] if not os.geteuid() else ["fusermount3", "-uz", self.dir], check=True)
        self.mount()
        self.assertEqual(self.status()["state"], "running")

    def test_unmounted_by_others(self):
        self.mount()
        pid = self.status()["pid"]
        subprocess.run(["fusermount3", "-u", self.dir], check=True)
        wait_until(lambda: not is_running(pid), "the server's end")
        self.assert_nothing_left()

    def test_many(self):
        for i in range(5):
            os.mkdir(self.path(f"m{i}"))
            self.good("mount", "smfs", f"m{i}", "--level", "guarded")
        self.assertEqual([s["dir"] for s in self.json("status")], [self.path(f"m{i}") for i in range(5)])
        for i in range(5):
            self.good("umount", f"m{i}")
        self.assert_nothing_left()

    @unittest.skipIf(os.geteuid(), "needs root to become another user")
    def test_plain_user(self):
        """Who is no root may mount, too, and use what he mounted."""
        uid = 65534
        for path in (self.top, self.dir, self.path("run")):
            os.chown(path, uid, uid)
        user = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups"]
        done = subprocess.run([*user, TADAN, "mount", "smfs", self.dir, "--level", "guarded"], env=self.env, check=False,
                              capture_output=True, text=True, timeout=SECONDS)
        if done.returncode and re.search("fusermount3|/dev/fuse|fuse device", done.stderr):
            self.skipTest("a plain user cannot mount here: " + done.stderr.strip())
        self.assertEqual(done.returncode, OK, done.stderr)
        for command in (["mkdir", self.path("m", "d")], [TADAN, "level", self.dir, "trusted"], [TADAN, "umount", self.dir]):
            done = subprocess.run([*user, *command], env=self.env, check=False, capture_output=True, text=True,
                                  timeout=SECONDS)
            self.assertEqual((done.returncode, done.stderr), (OK, ""), command)
        self.assert_nothing_left()


@needs_fuse
class Levels(Case):
    @staticmethod
    def has_form(level):
        """The sandboxed form is there only where the tools that make it were."""
        return level != "sandboxed" or os.path.exists(os.path.join(os.path.dirname(TADAN), "modules/smfs/smfs.sandboxed"))

    def test_live_change(self):
        """A file that is open stays open through every level that there is."""
        self.mount()
        names = [level["name"] for level in self.json("levels") if level["available"] and self.has_form(level["name"])]
        with open(os.path.join(self.dir, "a"), "w+", encoding="utf-8") as file:
            for name in [*names, "guarded,journal=locks"]:
                text = self.good("level", self.dir, name)
                self.assertRegex(text, r"^\S+/m: \S+ -> \S+, calls waited \d+(\.\d)? (ns|us|ms|s)\n$")
                file.write(name + "\n")
                file.flush()
                os.fsync(file.fileno())
            file.seek(0)
            self.assertEqual(file.read().split(), [*names, "guarded,journal=locks"])
        status = self.status()
        self.assertEqual((status["level"], status["knobs"]["journal"]), ("guarded*", "locks"))
        self.assertEqual(status["level_changes"], len(names) + 1)

    def test_refused_change(self):
        self.mount()
        for level in self.json("levels"):
            if not level["available"]:
                self.bad(FAILED, re.escape(level["reason"]), "level", self.dir, level["name"])
        self.assertEqual((self.status()["level"], self.status()["level_changes"]), ("guarded", 0))

    def test_auto(self):
        """Clean work moves it down to the floor and no further; a fault moves it up; the next mount knows."""
        for wrong in ("auto,floor=cellar", "auto,clean=5", "auto,speed=high"):
            self.bad(USAGE, r"floor is|clean is|knobs are", "mount", "smfs", self.dir, "--level", wrong)
        levels = {level["name"]: level for level in self.json("levels")}
        if not levels["isolated"]["available"]:
            self.skipTest(levels["isolated"]["reason"])
        self.good("mount", NAUGHTY, self.dir, "--level", "auto,floor=guarded,clean=20/0s,restart=1000/1s")
        self.assertEqual(self.status()["auto"]["floor"], "guarded")

        def look():
            for i in range(20):
                os.path.exists(os.path.join(self.dir, f"quiet{i}-{time.monotonic()}"))
            return self.status()["level"].rstrip("*")

        wait_until(lambda: look() == "guarded", "the way down", SECONDS)
        self.assertEqual(self.status()["auto"]["next"], None)
        os.path.exists(os.path.join(self.dir, "null"))
        wait_until(lambda: self.status()["level"] != "guarded*", "the way up", SECONDS)
        auto = self.status()["auto"]
        self.assertEqual((auto["faults"]["guarded"], auto["next"]), (2, "guarded"))
        self.assertEqual(auto["calls_wanted"], 80)
        self.good("level", self.dir, "guarded")
        self.assertIsNone(self.status()["auto"])
        self.good("umount", self.dir)
        self.good("mount", NAUGHTY, self.dir, "--level", "auto,floor=guarded,clean=20/0s")
        self.assertEqual(self.status()["auto"]["faults"], {"guarded": 2})

    def test_killed_process(self):
        levels = {level["name"]: level for level in self.json("levels")}
        if not levels["isolated"]["available"]:
            self.skipTest(levels["isolated"]["reason"])
        self.mount()
        self.good("level", self.dir, "isolated")
        with open(os.path.join(self.dir, "a"), "w+", encoding="utf-8") as file:
            file.write("before")
            file.flush()
            pid = self.status()["module_pid"]
            os.kill(pid, signal.SIGKILL)
            os.mkdir(os.path.join(self.dir, "after"))
            file.seek(0)
            self.assertEqual(file.read(), "before")
        self.assertNotEqual(self.status()["module_pid"], pid)
        self.assertGreater(self.status()["restarts"], 0)


@needs_fuse
class Faults(Case):
    def provoke(self, name):
        with self.assertRaises(OSError) as failed:
            os.stat(os.path.join(self.dir, name))
        self.assertEqual(failed.exception.errno, errno.EIO)

    def faults(self):
        return self.json("faults", self.dir)

    def check_report(self, level):
        self.good("mount", NAUGHTY, self.dir, "--level", level)
        self.provoke("null")
        first, second = self.faults()
        self.assertEqual((first["number"], first["attempt"], second["number"], second["attempt"]), (1, 1, 2, 2))
        self.assertEqual((first["module"], first["operation"], first["dir"]), ("naughty", "lookup", self.dir))
        self.assertEqual((first["access"], first["address"], first["kind"]), ("store", "0x0", "bad memory access"))
        self.assertRegex(first["line"], r"naughty\.c:\d+ \(store\)")
        self.assertRegex(json.dumps(first["backtrace"]), r"naughty_lookup")
        self.assertGreater(first["recovery_ns"], 0)
        text = self.good("faults", self.dir)
        for part in ("fault 1 of " + self.dir, "fault 2 of", "a store to 0x0", first["line"], first["action"]):
            self.assertIn(part, text)
        self.assertEqual(self.json("faults"), [first, second])
        self.assertEqual(self.status()["faults"], 2)
        return first

    def test_guarded(self):
        fault = self.check_report("guarded")
        self.assertEqual(fault["undone"], 1)
        self.assertEqual(fault["journal"], [{"what": "bytes written", "block": 3, "offset": 128, "length": 7}])

    def test_isolated(self):
        levels = {level["name"]: level for level in self.json("levels")}
        if not levels["isolated"]["available"]:
            self.skipTest(levels["isolated"]["reason"])
        self.check_report("isolated")

    def test_kinds(self):
        self.good("mount", NAUGHTY, self.dir, "--level", "guarded,time=100ms")
        for name, kind in [("jump", "bad memory access"), ("stack", "stack overflow"), ("loop", "over the time limit")]:
            self.provoke(name)
            self.assertEqual(self.faults()[-1]["kind"], kind)
            self.assertRegex(json.dumps(self.faults()[-1]["backtrace"]), r"naughty\.c:")
        self.assertEqual([f["number"] for f in self.faults()], list(range(1, 7)))

    def test_detached(self):
        self.good("mount", NAUGHTY, self.dir, "--level", "guarded,restart=1/60s")
        self.provoke("null")
        self.assertEqual(self.status()["state"], "detached")
        self.assertIn("detached", self.faults()[-1]["action"])
        self.assertIn("detached -> guarded", self.good("level", self.dir, "guarded"))
        self.assertEqual(self.status()["state"], "running")
        self.good("umount", self.dir)

    def test_mistakes(self):
        """Each unlike one once, before the faults that come after it."""
        self.good("mount", NAUGHTY, self.dir, "--level", "guarded")
        self.assertFalse(os.path.exists(self.path("m", "thrice")))
        self.provoke("null")
        mistake, *faults = self.faults()
        self.assertEqual(([f["number"] for f in faults], [f["mistake"] for f in faults]), ([1, 2], [None, None]))
        self.assertEqual((mistake["number"], mistake["mistake"], mistake["kind"]), (1, "handles", "stale or foreign handle"))
        self.assertEqual(mistake["times"], self.status()["mistakes"]["handles"])
        self.assertEqual(mistake["times"], 2)
        self.assertRegex(mistake["line"], r"naughty\.c:\d+ \((thrice|naughty_lookup)")
        self.assertRegex(mistake["object"], r"^buf 0x")
        text = self.good("faults", self.dir)
        for part in ("mistake 1 of " + self.dir, f"the first of {mistake['times']}", mistake["detail"], "to do", mistake["remedy"]):
            self.assertIn(part, text)

    def test_follow(self):
        self.good("mount", NAUGHTY, self.dir, "--level", "guarded")
        proc = self.start(TADAN, "faults", self.dir, "--follow", "--json")
        os.path.exists(self.path("m", "thrice"))
        self.assertEqual(json.loads(proc.stdout.readline())["mistake"], "handles")
        self.provoke("null")
        self.assertEqual([json.loads(proc.stdout.readline())["number"] for _ in range(2)], [1, 2])
        self.good("umount", self.dir)
        out, _ = proc.communicate(timeout=SECONDS)
        self.assertEqual((proc.returncode, out), (OK, ""))

    def test_no_terminal_tricks(self):
        """A name with control characters in it is not sent to a terminal as it is."""
        os.mkdir(self.path("\033[31mred"))
        self.good("mount", NAUGHTY, self.path("\033[31mred"), "--level", "guarded")
        for words in (["status"], ["status", "\033[31mred"]):
            self.assertNotIn("\033", self.good(*words))


@needs_fuse
class Control(Case):
    """The control socket, and clients that are no good."""

    def setUp(self):
        super().setUp()
        self.mount()
        self.socket = self.path("run", [n for n in os.listdir(self.path("run")) if n.endswith(".sock")][0])

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        self.addCleanup(s.close)
        s.connect(self.socket)
        s.settimeout(SECONDS)
        return s

    def ask(self, request):
        s = self.connect()
        s.sendall(request)
        answer = b""
        while not answer.endswith(b"\n"):
            part = s.recv(65536)
            if not part:
                break
            answer += part
        s.close()
        return answer

    def test_rights(self):
        self.assertEqual(os.stat(self.path("run")).st_mode & 0o777, 0o700)
        self.assertEqual(os.stat(self.socket).st_mode & 0o777, 0o600)

    def test_bad_requests(self):
        for request in (b"\n", b"{}\n", b"[]\n", b"null\n", b"x\n", b'{"do": 1}\n', b'{"do": "fly"}\n', b'{"do": "level"}\n',
                        b'{"do": "level", "level": 7}\n', b'{"do": "level", "level": "high"}\n', b"\xff\xfe\n",
                        b'{"do": "status", "do": "level"}\n', b"[" * 4000 + b"\n", b"x" * 5000 + b"\n",
                        b'{"do": "level", "level": "' + b"a" * 3900 + b'"}\n'):
            answer = json.loads(self.ask(request))
            self.assertFalse(answer["ok"], request)
            self.assertTrue(answer["error"], request)
        self.assertTrue(json.loads(self.ask(b'{"do": "faults", "after": -5}\n'))["ok"])
        self.assertEqual(self.status()["level"], "guarded")

    def test_stuck_clients(self):
        """Who says nothing, or takes no answer, holds nobody up for long, nor the end."""
        stuck = [self.connect() for _ in range(6)]
        stuck[0].sendall(b'{"do": ')
        begin = time.monotonic()
        self.assertEqual(self.status()["state"], "running")
        self.assertLess(time.monotonic() - begin, 4)
        more = [self.connect() for _ in range(10)]  # more than are served at once
        self.assertEqual(self.status()["state"], "running")
        self.good("umount", self.dir)
        self.assert_nothing_left()
        self.assertEqual(len(stuck) + len(more), 16)

    def test_client_that_goes_away(self):
        for _ in range(50):
            s = self.connect()
            s.sendall(b'{"do": "status"}\n')
            s.close()
        self.assertEqual(self.status()["state"], "running")

    @unittest.skipIf(os.geteuid(), "needs root to become another user")
    def test_other_users(self):
        """Even where the folder lets them in, others are not answered."""
        os.chmod(self.top, 0o755)
        os.chmod(self.path("run"), 0o755)
        os.chmod(self.socket, 0o666)
        code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
                "s.sendall(b'{\"do\": \"status\"}\\n'); print(len(s.recv(100)))")
        done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", code,
                               self.socket], capture_output=True, text=True, check=False, timeout=SECONDS)
        if "Permission denied" in done.stderr and "python" in done.stderr:
            self.skipTest("another user cannot run " + sys.executable)
        self.assertTrue(done.stdout.strip() == "0" or "reset" in done.stderr.lower() or "BrokenPipe" in done.stderr,
                        done.stdout + done.stderr)
        os.chmod(self.path("run"), 0o700)


def main(module):
    global TADAN, NAUGHTY
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    TADAN, NAUGHTY = map(os.path.abspath, sys.argv[1:3])
    loader = unittest.defaultTestLoader
    tests = loader.loadTestsFromNames(sys.argv[3:], module) if sys.argv[3:] else loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    failed = len(result.failures) + len(result.errors)
    for test, why in result.skipped:
        print(f"skipped: {test.id()}: {why}")
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{passed} passed, {failed} failed, {len(result.skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.modules[__name__]))
