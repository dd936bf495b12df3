#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""SNFS against a real server that dies, and a network that does what it likes.

    tests/nfs/ganesha tests/nfs/siege.py TADAN [--level LEVEL] [--seed N] [--rounds N] [NAME...]

Each test works on a mount: files are made, changed, moved and read, while something goes wrong. Then what the
server has is compared with what should be there. A file may be missing work only if somebody was told: silently wrong is never
right. The module is not to be faulted for anything that comes from outside. A failure prints what replays it.
"""
import argparse
import contextlib
import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from proxy import HARMFUL, HARMLESS, Proxy

PORT = 3049


class World:
    def __init__(self, args):
        self.args = args
        self.there = os.environ["TADAN_NFS_DIR"]
        self.folder = tempfile.mkdtemp(prefix="tadan-siege.")
        self.dir = f"{self.folder}/m"
        os.environ["XDG_RUNTIME_DIR"] = self.folder
        os.mkdir(self.dir)
        self.proxy = Proxy(PORT, 2049, args.seed)
        self.random = random.Random(args.seed)

    def tadan(self, *words, check=True, timeout=60):
        return subprocess.run([self.args.tadan, *words], check=check, capture_output=True, text=True, timeout=timeout)

    def server(self, word):
        with socket.socket(socket.AF_UNIX) as s, s.makefile("rw") as f:
            s.connect(os.environ["TADAN_NFS_CTL"])
            f.write(word + "\n")
            f.flush()
            assert f.readline() == "ok\n"

    def status(self):
        return json.loads(self.tadan("status", self.dir, "--json").stdout)[0]

    def mount(self, options):
        self.proxy.calm()
        self.tadan("mount", "snfs", f"nfs://127.0.0.1:{PORT}/export", self.dir, "--level", self.args.level, "--options", options)

    @contextlib.contextmanager
    def mounted(self, options="timeo=10"):
        self.mount(options)
        try:
            yield
        finally:
            self.proxy.calm()
            done = self.tadan("umount", self.dir, check=False)
            if done.returncode:
                print(done.stderr)
                subprocess.run(["umount", "-l", self.dir], check=False)
        assert not done.returncode, "the mount could not be ended in good order"


def work(world, name, size=300_000):
    """Make a small tree, change it, and say what must be there: {path: content}."""
    top, want = f"{world.dir}/{name}", {}
    os.mkdir(top)
    for i in range(4):
        data = world.random.randbytes(world.random.randrange(size))
        with open(f"{top}/f{i}", "wb") as f:
            f.write(data)
        want[f"{name}/f{i}"] = data
    os.rename(f"{top}/f0", f"{top}/moved")
    want[f"{name}/moved"] = want.pop(f"{name}/f0")
    os.unlink(f"{top}/f1")
    del want[f"{name}/f1"]
    with open(f"{top}/f2", "r+b") as f:
        f.seek(1000)
        f.write(b"changed")
    data = bytearray(want[f"{name}/f2"].ljust(1007, b"\0"))
    data[1000:1007] = b"changed"
    want[f"{name}/f2"] = bytes(data)
    os.link(f"{top}/f3", f"{top}/other")
    want[f"{name}/other"] = want[f"{name}/f3"]
    os.mkdir(f"{top}/d")
    os.symlink("nowhere", f"{top}/d/link")
    os.rename(f"{top}/d/link", f"{top}/link")
    os.rmdir(f"{top}/d")
    assert os.readlink(f"{top}/link") == "nowhere"
    return want


def compare(want, top, where):
    for path, data in want.items():
        with open(f"{top}/{path}", "rb") as f:
            got = f.read()
        assert got == data, f"{where}: {path} has {len(got)} bytes, {len(data)} were written" if len(got) != len(data) else \
            f"{where}: {path} differs from byte {next(i for i in range(len(data)) if got[i] != data[i])} on"


def settled(world, want, name):
    compare(want, world.dir, "through the mount")
    compare(want, world.there, "on the server")
    have = sorted(f"{name}/{n}" for n in os.listdir(f"{world.there}/{name}"))
    assert have == sorted([*want, f"{name}/link"]), f"names: {have}"
    shutil.rmtree(f"{world.dir}/{name}")
    assert not os.path.exists(f"{world.there}/{name}"), "removed, and still there"


def no_faults(world):
    s = world.status()
    assert s["faults"] == 0 and s["restarts"] == 0, world.tadan("faults", world.dir).stdout


# ---- The tests

def test_calm(world):
    with world.mounted():
        settled(world, work(world, "calm"), "calm")
        no_faults(world)


def cut_everywhere(world, kind, what):
    with world.mounted():
        world.proxy.at(kind, 0, "pass")
        settled(world, work(world, "count", 3000), "count")
        messages = world.proxy.count[kind]
        step = max(1, messages // world.args.rounds)
        for n in range(1 + world.args.seed % step, messages, step):
            world.proxy.at(kind, n, what)
            try:
                settled(world, work(world, f"n{n}", 3000), f"n{n}")
            except (OSError, AssertionError) as e:
                raise AssertionError(f"{what} at {kind} {n} of {messages}: {e!r}") from e
        no_faults(world)


def test_cut_requests(world):
    """The connection ends before the server has seen the message."""
    cut_everywhere(world, "request", "cut")


def test_cut_replies(world):
    """It ends after the server has done what it was asked for."""
    cut_everywhere(world, "reply", "cut")


def test_half_replies(world):
    cut_everywhere(world, "reply", "half")


def test_bad_weather(world):
    """All that a network may do, at random; nothing of it may show."""
    with world.mounted():
        for i in range(max(2, world.args.rounds // 5)):
            world.proxy.at_random(HARMLESS, 6)
            want = work(world, f"w{i}", 60_000)
            settled(world, want, f"w{i}")
        no_faults(world)


def test_bad_server(world):
    """Replies that are none. Callers may get errors, the module may not fall; and after it all is as it was."""
    with world.mounted("soft,timeo=5,retrans=2"):
        for i in range(world.args.rounds):
            world.proxy.at_random(HARMFUL, 3)
            with contextlib.suppress(OSError, AssertionError):
                work(world, f"b{i}", 20_000)
            with contextlib.suppress(OSError):
                for entry in os.scandir(world.dir):
                    entry.stat()
        world.proxy.calm()
        s = world.status()
        assert s["state"] == "running" and not s["faults"], world.tadan("faults", world.dir).stdout
    subprocess.run(f"rm -rf {world.there}/*", shell=True, check=True)
    with world.mounted():
        settled(world, work(world, "after"), "after")


def copy_during(world, disturb, size=24 << 20, options="timeo=20"):
    """A copy of one large file, and something that happens while it goes on."""
    data = world.random.randbytes(size)
    with world.mounted(options):
        stop = threading.Event()
        thread = threading.Thread(target=disturb, args=(stop,))
        with open(f"{world.dir}/big", "wb") as f:
            thread.start()
            for at in range(0, size, 1 << 18):
                f.write(data[at:at + (1 << 18)])
                time.sleep(0.02)  # so that it takes a while
            os.fsync(f.fileno())
        stop.set()
        thread.join()
        world.proxy.calm()
        with open(f"{world.dir}/big", "rb") as f:
            assert f.read() == data, "through the mount: the copy is another"
        with open(f"{world.there}/big", "rb") as f:
            assert f.read() == data, "on the server: the copy is another"
        os.unlink(f"{world.dir}/big")
        return world.status()


def test_server_dies(world):
    """kill -9 of the server, again and again: what it had not committed is sent again."""
    times = []

    def disturb(stop):
        while len(times) < 5 and not stop.wait(0.3):
            world.server("restart")
            times.append(1)

    s = copy_during(world, disturb)
    assert times, "the copy was too fast: nothing was tested"
    assert not s["faults"], s


def test_module_dies(world):
    """kill -9 of the module's process: the mount goes on."""
    if world.args.level not in ("isolated", "debug"):
        return "a level without a process"
    times = []

    def disturb(stop):
        while not stop.wait(0.2):
            with contextlib.suppress(ProcessLookupError, subprocess.SubprocessError):
                os.kill(world.status()["module_pid"], signal.SIGKILL)
                times.append(1)
            if len(times) == 10:
                return

    s = copy_during(world, disturb)
    assert times and s["restarts"], "the copy was too fast: nothing was tested"
    return None


def test_levels(world):
    """From level to level while a copy goes on."""
    times = []

    def disturb(stop):
        while not stop.wait(0.1):
            world.tadan("level", world.dir, ("trusted", "isolated", "guarded")[len(times) % 3])
            times.append(1)

    s = copy_during(world, disturb)
    assert times and not s["faults"], s


def test_server_gone(world):
    """While the server is away, callers wait, and the level changes all the same."""
    with world.mounted("hard,timeo=5"):
        world.server("kill")
        try:
            reader = subprocess.Popen(["ls", world.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.5)
            assert reader.poll() is None, "ls did not wait for the server"
            began = time.monotonic()
            world.tadan("level", world.dir, "guarded")
            assert time.monotonic() - began < 5, "the level changed only after a long time"
        finally:
            world.server("start")
        assert reader.wait(20) == 0, "ls failed though the server came back"


def test_force(world):
    """A server that stays away: the unmount works by force, and who waits hears so."""
    world.mount("hard,timeo=5")
    world.server("kill")
    try:
        reader = subprocess.Popen(["ls", world.dir], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.3)
        assert reader.poll() is None, "ls did not wait for the server"
        world.tadan("umount", "--force", world.dir, timeout=10)
        assert reader.wait(5), "ls succeeded without a server"
        assert not os.path.ismount(world.dir)
    finally:
        world.server("start")
        subprocess.run(["umount", "-l", world.dir], check=False, stderr=subprocess.DEVNULL)


def test_stale(world):
    """Somebody else removes what is open here."""
    with world.mounted("actimeo=0"):
        with open(f"{world.dir}/here", "wb") as f:
            f.write(b"x" * 1000)
        with open(f"{world.dir}/here", "rb") as f:
            os.unlink(f"{world.there}/here")
            world.server("restart")  # it has the file open, too, and would keep it
            try:
                os.fstat(f.fileno())
                raise AssertionError("what is gone has attributes")
            except OSError as e:
                assert e.errno == errno.ESTALE, e
        assert not os.path.exists(f"{world.dir}/here")
        with open(f"{world.there}/here", "wb") as f:
            f.write(b"another")
        with open(f"{world.dir}/here", "rb") as f:
            assert f.read() == b"another"
        os.unlink(f"{world.dir}/here")
        no_faults(world)


def test_close_to_open(world):
    """What another client wrote and closed is what an open here reads, whatever was read before."""
    with world.mounted():
        for i in range(10):
            text = f"{i} " * (100 + i)
            with open(f"{world.there}/shared", "w", encoding="ascii") as f:
                f.write(text)
            with open(f"{world.dir}/shared", encoding="ascii") as f:
                assert f.read() == text, f"round {i}"
        os.unlink(f"{world.dir}/shared")


def main():
    tests = {n[5:]: f for n, f in globals().items() if n.startswith("test_")}
    parser = argparse.ArgumentParser()
    parser.add_argument("tadan")
    parser.add_argument("--level", default="isolated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    world = World(args)
    passed = failed = skipped = 0
    for name in args.names or tests:
        began = time.monotonic()
        try:
            why = tests[name](world)
            passed, skipped = passed + (not why), skipped + bool(why)
            print(f"{'skip' if why else 'ok  '} {name}{': ' + why if why else ''} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as e:  # a test that fails in whatever way has failed
            failed += 1
            print(f"FAIL {name}: {e!r}\n  replay: siege.py --level {args.level} --seed {args.seed} --rounds {args.rounds} {name}", flush=True)
    shutil.rmtree(world.folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # threads of the proxy may still wait


main()
