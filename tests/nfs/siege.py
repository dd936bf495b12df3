#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""SNFS against a real server that dies, and a network that does what it likes.

    tests/nfs/ganesha --believe 0 tests/nfs/siege.py TADAN VOLUME MODULE [--front FRONT] [--level LEVEL] [--seed N] [--rounds N] [NAME...]

Each test works through a front (fronts.py): a mount, by TADAN, or VOLUME, in-process. Files are made, changed, moved and read, while something goes wrong. Then what the
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

from fronts import FRONTS
from proxy import HARMFUL, HARMLESS, Proxy

PORT, MOUNT_PORT = 3049, 3048
MOUNT = 100005
MNT, UMNT = 1, 3
PROCESS = ("isolated", "debug")


class World:
    def __init__(self, args):
        self.args = args
        self.there = os.environ["TADAN_NFS_DIR"]
        self.folder = tempfile.mkdtemp(prefix="tadan-siege.")
        os.chmod(self.folder, 0o755)
        self.fs = FRONTS[args.front](args.tadan, args.volume, args.module, self.folder)
        self.proxy = Proxy(PORT, 2049, args.seed)
        self.mountd = Proxy(MOUNT_PORT, 20048, args.seed)
        self.random = random.Random(args.seed)

    def server(self, word):
        with socket.socket(socket.AF_UNIX) as s, s.makefile("rw") as f:
            s.connect(os.environ["TADAN_NFS_CTL"])
            f.write(word + "\n")
            f.flush()
            assert f.readline() == "ok\n"

    def mount(self, options):
        self.proxy.calm()
        self.mountd.calm()
        self.fs.start(f"nfs://127.0.0.1:{PORT}/export", self.args.level, f"{options},mountport={MOUNT_PORT}")

    @contextlib.contextmanager
    def mounted(self, options="timeo=10"):
        self.mount(options)
        good = False
        try:
            yield
        finally:
            self.proxy.calm()
            good = self.fs.end()
        assert good, "the mount could not be ended in good order"


def work(world, name, size=300_000):
    """Make a small tree, change it, and say what must be there: {path: content}."""
    fs, want = world.fs, {}
    fs.mkdir(name)
    for i in range(4):
        data = world.random.randbytes(world.random.randrange(size))
        with fs.open(f"{name}/f{i}", "wx"[i % 2]) as f:
            f.write(data)
        want[f"{name}/f{i}"] = data
    fs.rename(f"{name}/f0", f"{name}/moved")
    want[f"{name}/moved"] = want.pop(f"{name}/f0")
    fs.unlink(f"{name}/f1")
    del want[f"{name}/f1"]
    with fs.open(f"{name}/f2", "r+") as f:
        f.patch(1000, b"changed")
    data = bytearray(want[f"{name}/f2"].ljust(1007, b"\0"))
    data[1000:1007] = b"changed"
    want[f"{name}/f2"] = bytes(data)
    fs.link(f"{name}/f3", f"{name}/other")
    want[f"{name}/other"] = want[f"{name}/f3"]
    fs.mkdir(f"{name}/d")
    fs.symlink("nowhere", f"{name}/d/link")
    fs.rename(f"{name}/d/link", f"{name}/link")
    fs.rmdir(f"{name}/d")
    assert fs.readlink(f"{name}/link") == "nowhere"
    return want


def read_there(world, path):
    with open(f"{world.there}/{path}", "rb") as f:
        return f.read()


def read_here(world, path):
    with world.fs.open(path, "r") as f:
        return f.read()


def compare(want, read, where):
    for path, data in want.items():
        got = read(path)
        assert got == data, f"{where}: {path} has {len(got)} bytes, {len(data)} were written" if len(got) != len(data) else \
            f"{where}: {path} differs from byte {next(i for i in range(len(data)) if got[i] != data[i])} on"


def settled(world, want, name):
    compare(want, lambda path: read_here(world, path), "through the mount")
    compare(want, lambda path: read_there(world, path), "on the server")
    have = sorted(f"{name}/{n}" for n in os.listdir(f"{world.there}/{name}"))
    assert have == sorted([*want, f"{name}/link"]), f"names: {have}"
    world.fs.rmtree(name)
    assert not os.path.exists(f"{world.there}/{name}"), "removed, and still there"


def no_faults(world):
    s = world.fs.status()
    assert s["faults"] == 0 and s["restarts"] == 0, world.fs.faults()


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
                for name in world.fs.listdir():
                    world.fs.stat(name)
        world.proxy.calm()
        s = world.fs.status()
        assert s["state"] == "running" and not s["faults"], world.fs.faults()
    subprocess.run(f"rm -rf {world.there}/*", shell=True, check=True)
    with world.mounted():
        settled(world, work(world, "after"), "after")


def repeat(stop, pause, most, what):
    """Do it again and again while the test goes on; returns a list that grows by one each time."""
    times = []

    def run():
        while len(times) < most and not stop.wait(pause):
            with contextlib.suppress(ProcessLookupError):
                what(len(times))
                times.append(1)

    thread = threading.Thread(target=run)
    thread.start()
    return times, thread


def copy_during(world, pause, most, what, size=24 << 20, options="timeo=20"):
    """A copy of one large file, and something that happens again and again while it goes on."""
    data, stop = world.random.randbytes(size), threading.Event()
    with world.mounted(options):
        with world.fs.open("big", "w") as f:
            times, thread = repeat(stop, pause, most, what)
            try:
                for at in range(0, size, 1 << 18):
                    f.write(data[at:at + (1 << 18)])
                    time.sleep(0.02)  # so that it takes a while
                f.sync()
            finally:
                stop.set()
                thread.join()
        world.proxy.calm()
        assert times, "the copy was too fast: nothing was tested"
        assert read_here(world, "big") == data, "through the mount: the copy is another"
        assert read_there(world, "big") == data, "on the server: the copy is another"
        world.fs.unlink("big")
        return world.fs.status()


def kill_module(world, _n=0):
    os.kill(world.fs.status()["module_pid"] or 0x7FFFFFFF, signal.SIGKILL)


def test_server_dies(world):
    """kill -9 of the server, again and again: what it had not committed is sent again."""
    s = copy_during(world, 0.3, 5, lambda n: world.server("restart"))
    assert not s["faults"], s
    assert s["network"]["resent"], "nothing was under way when the server died"


def test_server_stops(world):
    """It ends in good order, is away for a while, and comes back."""

    def pause(_n):
        world.server("stop")
        time.sleep(0.3)
        world.server("start")

    assert not copy_during(world, 0.3, 3, pause)["faults"]


def test_module_dies(world):
    """kill -9 of the module's process: the mount goes on."""
    if world.args.level not in PROCESS:
        return "a level without a process"
    assert copy_during(world, 0.2, 10, lambda n: kill_module(world))["restarts"]
    return None


def soon(what, text):
    """Linux tells of the last close when it has time."""
    end = time.monotonic() + 5
    while not what():
        assert time.monotonic() < end, text
        time.sleep(0.02)


def test_open_files_stay(world):
    """Files that are open, one of them removed, while the module is killed (or moved) and the server started again, at each step."""
    fs, there = world.fs, world.there

    def disturb(n):
        if n % 3 == 2:
            world.server("restart")
        elif world.args.level in PROCESS:
            kill_module(world)
        else:
            fs.level("isolated" if n % 2 else world.args.level)

    with world.mounted():
        fs.mkdir("open")
        for name in ("kept", "gone"):
            with fs.open(f"open/{name}", "w") as f:
                f.write(name.encode() * 1000)
        with fs.open("open/kept", "r+") as kept, fs.open("open/gone", "r+") as gone:
            disturb(0)
            fs.unlink("open/gone")
            silly = os.listdir(f"{there}/open")
            assert len(silly) == 2 and any(n.startswith(".nfs") for n in silly), silly
            for n in range(1, 7):
                disturb(n)
                for f, name in ((kept, b"kept"), (gone, b"gone")):
                    f.patch(n * 10, b"%d" % n)
                    assert f.stat() == 4000
                    data = f.read()
                    assert len(data) == 4000 and data[n * 10:n * 10 + 1] == b"%d" % n and data[-4:] == name, name
            kept.sync()
        soon(lambda: os.listdir(f"{there}/open") == ["kept"], "what was removed while it was open is still there")
        assert read_there(world, "open/kept")[60:61] == b"6"
        fs.rmtree("open")


def test_levels(world):
    """From level to level while a copy goes on."""
    levels = [level for level in ("trusted", "isolated", "guarded", "sandboxed", "debug") if level in world.args.levels]
    s = copy_during(world, 0.1, 1000, lambda n: world.fs.level(levels[n % len(levels)]))
    assert not s["faults"], s


def in_background(what):
    """The thread, and a list that gets what came of it: a result or an exception."""
    came = []

    def run():
        try:
            came.append(what())
        except OSError as e:
            came.append(e)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, came


def test_server_gone(world):
    """While the server is away, callers wait, and the level changes all the same."""
    with world.mounted("hard,timeo=5"):
        world.server("kill")
        try:
            thread, came = in_background(world.fs.listdir)
            time.sleep(0.5)
            assert not came, "listing did not wait for the server"
            began = time.monotonic()
            world.fs.level("guarded")
            assert time.monotonic() - began < 5, "the level changed only after a long time"
        finally:
            world.server("start")
        thread.join(20)
        assert came and isinstance(came[0], list), f"listing failed though the server came back: {came}"


def test_force(world):
    """A server that stays away: the unmount works by force, and who waits hears so."""
    world.mount("hard,timeo=5")
    world.server("kill")
    try:
        thread, came = in_background(world.fs.listdir)
        time.sleep(0.3)
        assert not came, "listing did not wait for the server"
        world.fs.force()
        thread.join(5)
        assert came and isinstance(came[0], OSError), f"listing succeeded without a server: {came}"
    finally:
        world.server("start")


def must_be_stale(what, text):
    try:
        what()
    except OSError as e:
        assert e.errno == errno.ESTALE, e
        return
    raise AssertionError(text)


def test_stale(world):
    """Somebody else removes what is open here."""
    with world.mounted("actimeo=0"):
        with world.fs.open("here", "w") as f:
            f.write(b"x" * 1000)
        world.fs.mkdir("dir")
        with world.fs.open("here", "r") as f:
            os.unlink(f"{world.there}/here")
            world.server("restart")  # it has the file open, too, and would keep it
            must_be_stale(f.stat, "what is gone has attributes")
            must_be_stale(f.read, "what is gone can be read")
        os.rmdir(f"{world.there}/dir")
        for what in (lambda: world.fs.listdir("dir"), lambda: world.fs.mkdir("dir/sub")):
            try:
                what()
                raise AssertionError("a directory that is gone can be used")
            except OSError as e:
                assert e.errno in (errno.ESTALE, errno.ENOENT), e
        assert not world.fs.listdir(), f"what is gone is listed: {world.fs.listdir()}"
        with open(f"{world.there}/here", "wb") as f:
            f.write(b"another")
        assert read_here(world, "here") == b"another"
        world.fs.unlink("here")
        no_faults(world)


def test_close_to_open(world):
    """What another client wrote and closed is what an open here reads, whatever was read before."""
    with world.mounted():
        for i in range(10):
            text = b"%d " % i * (100 + i)
            with open(f"{world.there}/shared", "wb") as f:
                f.write(text)
            assert read_here(world, "shared") == text, f"round {i}"
        world.fs.unlink("shared")
        for mode in "wx":  # a name that is known not to be there: whoever takes another's file gets it
            with open(f"{world.there}/shared", "wb") as f:
                f.write(b"another's")
            try:
                world.fs.open("shared", mode).close()
                assert mode == "w", "O_EXCL took another's file"
            except FileExistsError:
                assert mode == "x", "open() failed because the file was there"
            assert os.path.getsize(f"{world.there}/shared") == (0 if mode == "w" else 9), mode
            world.fs.unlink("shared")


def test_unmount(world):
    """The server is told, once, and not at changes of level; one that does not answer keeps nobody waiting."""
    with world.mounted():
        world.fs.level("guarded")
    assert world.mountd.seen.count((MOUNT, MNT)) == 1 and world.mountd.seen.count((MOUNT, UMNT)) == 1, world.mountd.seen
    for what in ("swallow", "cut"):
        world.mount("timeo=600")
        world.mountd.plan = lambda kind, n, what=what: what if kind == "request" else "pass"
        began = time.monotonic()
        assert world.fs.end(), what
        assert time.monotonic() - began < 10, f"{what}: the unmount waited"


def test_jukebox(world):
    """The server says that it will take a while, to the first request of each procedure: that is waited for."""
    with world.mounted():
        world.proxy.plan = lambda kind, n: "jukebox" if kind == "request" else "pass"
        want = work(world, "j", 3000)
        compare(want, lambda path: read_here(world, path), "through the mount")
        world.proxy.calm()
        settled(world, want, "j")
        no_faults(world)
    assert len(world.proxy.put_off) >= 10, f"put off were only {world.proxy.put_off}"


def test_verifier(world):
    """A server that forgets what it was not told to keep, and says so by another verifier: it is sent again."""
    with world.mounted():
        world.proxy.forget()
        data = world.random.randbytes(6 << 20)
        with world.fs.open("forgotten", "w") as f:
            f.write(data)
            f.sync()
        assert world.proxy.forgotten, "no data was sent unstable: nothing was tested"
        assert read_there(world, "forgotten") == data, "what the server forgot was not sent again"
        assert read_here(world, "forgotten") == data
        world.fs.unlink("forgotten")
        no_faults(world)


def test_groups(world):
    """What belongs to a group is for its members, of whom the server is told up to 16 groups."""
    if world.fs.name != "fuse":
        return "the caller of a volume says himself which groups he has: conformance asks"
    os.mkdir(f"{world.there}/g")
    os.chmod(f"{world.there}/g", 0o755)
    for i in (7, 15, 40):
        with open(f"{world.there}/g/f{i}", "wb") as f:
            f.write(b"for members")
        os.chown(f"{world.there}/g/f{i}", 0, 5000 + i)
        os.chmod(f"{world.there}/g/f{i}", 0o040)

    def read_as(path, groups):
        return subprocess.run(["cat", f"{world.fs.dir}/g/{path}"], user=4711, group=4711, extra_groups=groups, capture_output=True,
                              check=False).returncode == 0

    with world.mounted("actimeo=0"):
        sixteen = range(5000, 5016)
        assert read_as("f7", sixteen) and read_as("f15", sixteen), "a member of the group may not read"
        assert not read_as("f40", sixteen) and not read_as("f7", [5040]), "who is no member may read"
        assert world.proxy.groups(4711) == set(sixteen) | {5040}, "the server was told of others"
        assert not read_as("f40", range(5000, 5041)), "AUTH_SYS has no room for the 41st group"
    shutil.rmtree(f"{world.there}/g")
    return None


def main():
    tests = {n[5:]: f for n, f in globals().items() if n.startswith("test_")}
    parser = argparse.ArgumentParser()
    parser.add_argument("tadan")
    parser.add_argument("volume")
    parser.add_argument("module")
    parser.add_argument("--front", choices=FRONTS, default="fuse")
    parser.add_argument("--level", default="isolated")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("names", nargs="*")
    args = parser.parse_intermixed_args()
    levels = json.loads(subprocess.run([args.tadan, "levels", "--json"], capture_output=True, check=True).stdout)
    args.levels = {level["name"] for level in levels if level["available"]}
    if args.level not in args.levels:
        print(f"skipped: this machine has no level {args.level}\n0 passed, 0 failed, 1 skipped")
        sys.exit(77)
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
            print(f"FAIL {name}: {e!r}\n  replay: siege.py --front {args.front} --level {args.level} --seed {args.seed} --rounds {args.rounds} {name}", flush=True)
    shutil.rmtree(world.folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.stdout.flush()
    os._exit(1 if failed else 0)  # threads of the proxy may still wait


main()
