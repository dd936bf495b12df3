# SPDX-License-Identifier: BSD-2-Clause
"""What a test works on: SNFS as a mount of Linux's, or as a volume in a process (tests/nfs/volume). Both have the same calls.

Paths are relative to the root. Errors are OSError. A file has write (at its end so far), read (all of it), sync, stat (its size), close.
"""
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import threading


class MountedFile:
    def __init__(self, path, mode):
        self.file = open(path, mode + "b", buffering=0)  # pylint: disable=consider-using-with

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write(self, data):
        view = memoryview(data)
        while view:
            view = view[self.file.write(view):]

    def read(self):
        self.file.seek(0)
        return self.file.read()

    def patch(self, at, data):
        self.file.seek(at)
        self.write(data)

    def sync(self):
        os.fsync(self.file.fileno())

    def stat(self):
        return os.fstat(self.file.fileno()).st_size

    def close(self):
        self.file.close()


class Mounted:
    """Through FUSE."""

    name = "fuse"

    def __init__(self, tadan, _helper, module, folder):
        self.program, self.module, self.dir = tadan, module, f"{folder}/m"
        os.environ["XDG_RUNTIME_DIR"] = folder
        os.makedirs(self.dir, exist_ok=True)

    def tadan(self, *words, check=True, timeout=60):
        return subprocess.run([self.program, *words], check=check, capture_output=True, text=True, timeout=timeout)

    def start(self, url, level, options):
        done = self.tadan("mount", self.module, url, self.dir, "--level", level, "--options", options, "--allow-other", check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())

    def end(self):
        """True: in good order."""
        done = self.tadan("umount", self.dir, check=False)
        if done.returncode:
            print(done.stderr)
            subprocess.run(["umount", "-l", self.dir], check=False)
        return not done.returncode

    def force(self):
        self.tadan("umount", "--force", self.dir, timeout=10)
        assert not os.path.ismount(self.dir)

    def status(self):
        return json.loads(self.tadan("status", self.dir, "--json").stdout)[0]

    def faults(self):
        return self.tadan("faults", self.dir).stdout

    def level(self, level):
        self.tadan("level", self.dir, level)

    def open(self, path, mode):
        return MountedFile(f"{self.dir}/{path}", mode)

    def mkdir(self, path):
        os.mkdir(f"{self.dir}/{path}")

    def rmdir(self, path):
        os.rmdir(f"{self.dir}/{path}")

    def unlink(self, path):
        os.unlink(f"{self.dir}/{path}")

    def rename(self, old, new):
        os.rename(f"{self.dir}/{old}", f"{self.dir}/{new}")

    def link(self, old, new):
        os.link(f"{self.dir}/{old}", f"{self.dir}/{new}")

    def symlink(self, target, path):
        os.symlink(target, f"{self.dir}/{path}")

    def readlink(self, path):
        return os.readlink(f"{self.dir}/{path}")

    def listdir(self, path=""):
        return os.listdir(f"{self.dir}/{path}")

    def stat(self, path):
        return os.stat(f"{self.dir}/{path}").st_size

    def rmtree(self, path):
        shutil.rmtree(f"{self.dir}/{path}")


class VolumeFile:
    def __init__(self, volume, path, mode):
        self.volume, self.at = volume, 0
        self.fd, _ = volume.ask("open", path, mode)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def write(self, data):
        self.patch(self.at, data)
        self.at += len(data)

    def patch(self, at, data):
        done = 0
        while done < len(data):
            piece = bytes(data[done:done + (1 << 20)])
            done += self.volume.ask("write", self.fd, at + done, len(piece), data=piece)[0]

    def read(self):
        data = b""
        while piece := self.volume.ask("read", self.fd, len(data), 1 << 20)[1]:
            data += piece
        return data

    def sync(self):
        self.volume.ask("sync", self.fd)

    def stat(self):
        return self.volume.ask("fstat", self.fd)[0]

    def close(self):
        fd, self.fd = self.fd, None
        if fd is not None:
            self.volume.ask("close", fd)


class Volume:
    """In-process."""

    name = "inproc"

    def __init__(self, _tadan, helper, module, _folder):
        self.helper, self.module, self.process, self.taker = helper, module, None, None
        self.lock, self.numbers, self.waiting, self.ended = threading.Lock(), itertools.count(1), {}, False

    def start(self, url, level, options):
        self.ended, self.waiting = False, {}
        self.process = subprocess.Popen([self.helper, self.module, level, url, options], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _, result, data = self.receive()
        if result:
            self.process.wait()
            raise RuntimeError(data.decode())
        self.taker = threading.Thread(target=self.take, daemon=True)
        self.taker.start()

    def receive(self):
        line = self.process.stdout.readline().split()
        if len(line) != 3:
            raise EOFError
        return line[0].decode(), int(line[1]), self.process.stdout.read(int(line[2]))

    def take(self):
        with contextlib.suppress(EOFError, ValueError):
            while True:
                number, result, data = self.receive()
                with self.lock:
                    waits = self.waiting.pop(number)
                waits[1:] = (result, data)
                waits[0].set()
        with self.lock:
            self.ended = True
            for waits in self.waiting.values():
                waits[0].set()

    def ask(self, command, *arguments, data=b""):
        """The result and what came with it."""
        number, waits = str(next(self.numbers)), [threading.Event()]
        with self.lock:
            assert not self.ended, f"the volume's process has ended: {self.process.wait(10)}"
            self.waiting[number] = waits
            self.process.stdin.write(" ".join(map(str, (number, command, *arguments))).encode() + b"\n" + data)
            self.process.stdin.flush()
        waits[0].wait()
        assert len(waits) == 3, f"the volume's process has ended: {self.process.wait(10)}"
        if waits[1] < 0:
            raise OSError(-waits[1], f"{os.strerror(-waits[1])}: {command} {' '.join(map(str, arguments))}")
        return waits[1:]

    def end(self):
        self.process.stdin.close()
        self.taker.join(60)
        return not self.process.wait(60)

    def force(self):
        self.ask("cut")
        self.process.stdin.close()
        self.taker.join(10)
        self.process.wait(10)

    def status(self):
        return json.loads(self.ask("status")[1])

    def faults(self):
        return "(a volume in a process)"

    def level(self, level):
        self.ask("level", level)

    def open(self, path, mode):
        return VolumeFile(self, path, mode)

    def mkdir(self, path):
        self.ask("mkdir", path)

    def rmdir(self, path):
        self.ask("rmdir", path)

    def unlink(self, path):
        self.ask("unlink", path)

    def rename(self, old, new):
        self.ask("rename", old, new)

    def link(self, old, new):
        self.ask("link", old, new)

    def symlink(self, target, path):
        self.ask("symlink", target, path)

    def readlink(self, path):
        return self.ask("readlink", path)[1].decode()

    def listdir(self, path="/"):
        return self.ask("list", path)[1].decode().split()

    def stat(self, path):
        return self.ask("stat", path)[0]

    def rmtree(self, path):
        for name in self.listdir(path):
            try:
                self.unlink(f"{path}/{name}")
            except OSError:
                self.rmtree(f"{path}/{name}")
        self.rmdir(path)


FRONTS = {front.name: front for front in (Mounted, Volume)}
