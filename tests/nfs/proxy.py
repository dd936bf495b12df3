# SPDX-License-Identifier: BSD-2-Clause
"""A proxy between an NFS client and a real server, that does what networks and bad servers do.

Messages pass one by one, framed by record marks. `plan` is asked about each and says what is to happen to it, so that
a test can aim at the nth message; or it is drawn from a seed, so that a run can be repeated.
"""
import random
import socket
import struct
import threading
import time

# What can happen to a reply. The first line leaves a careful client's files correct; the second may cost it an error.
NFS, WRITE, COMMIT, UNSTABLE, JUKEBOX = 100003, 7, 21, 0, 10008

# Words that follow the status of a reply that is an error: NULL to COMMIT (RFC 1813), all of them "nothing is known".
AFTER_ERROR = (0, 0, 2, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 4, 3, 1, 1, 1, 1, 1, 2)

HARMLESS = ("pass", "cut", "half", "delay", "swap", "twice", "stranger", "oversized", "dribble", "lost")
HARMFUL = ("short", "noise", "empty", "long")


def record(data):
    return struct.pack(">I", len(data) | 1 << 31) + data


def read_exactly(sock, n):
    data = bytearray()
    while len(data) < n:
        piece = sock.recv(n - len(data))
        if not piece:
            raise ConnectionError
        data += piece
    return bytes(data)


def read_record(sock):
    data = b""
    while True:
        mark = struct.unpack(">I", read_exactly(sock, 4))[0]
        data += read_exactly(sock, mark & 0x7FFFFFFF)
        if mark >> 31:
            return data


class Request:
    """A call as the server sees it (RFC 5531)."""

    def __init__(self, data):
        self.data, self.xid = data, data[:4]
        self.program, _, self.proc, _, length = struct.unpack(">5I", data[12:32])
        self.cred, self.args = data[32:32 + length], 40 + length

    def auth_sys(self):
        """uid and groups, the first one included."""
        name, = struct.unpack(">I", self.cred[4:8])
        at = 8 + (name + 3 & ~3)
        uid, gid, n = struct.unpack(">3I", self.cred[at:at + 12])
        return uid, {gid, *struct.unpack(f">{n}I", self.cred[at + 12:at + 12 + 4 * n])}

    def reply(self, results):
        return self.xid + struct.pack(">5I", 1, 0, 0, 0, 0) + results

    def write(self):
        """Of a WRITE: how many bytes, and how stable."""
        length, = struct.unpack(">I", self.data[self.args:self.args + 4])
        at = self.args + 4 + (length + 3 & ~3) + 8
        return struct.unpack(">II", self.data[at:at + 8])


class Pair:
    """One connection of a client, and ours to the server."""

    def __init__(self, proxy, client):
        self.proxy, self.client = proxy, client
        self.server = socket.create_connection(("127.0.0.1", proxy.to))
        for s in (self.client, self.server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = None
        for work in (self.up, self.down):
            threading.Thread(target=self.run, args=(work,), daemon=True).start()

    def run(self, work):
        try:
            while True:
                work()
        except OSError:
            self.cut()

    def cut(self):
        for s in (self.client, self.server):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def up(self):
        data = read_record(self.client)
        request = Request(data)
        self.proxy.note(request)
        what = self.proxy.ask("request", request)
        if what == "cut":
            self.cut()
        elif what == "swallow":
            return
        elif isinstance(what, bytes):
            self.client.sendall(record(what))
            return
        self.server.sendall(record(data))

    def send(self, data):
        self.client.sendall(record(data))
        if self.held:
            held, self.held = self.held, None
            self.client.sendall(record(held))

    def down(self):
        data = read_record(self.server)
        getattr(self, "do_" + self.proxy.ask("reply"))(data)

    def do_pass(self, data):
        self.send(data)

    def do_cut(self, data):
        self.cut()

    def do_half(self, data):
        self.client.sendall(record(data)[:len(data) // 2 + 4])
        self.cut()

    def do_delay(self, data):
        time.sleep(0.05)
        self.send(data)

    def do_swap(self, data):
        """It comes after the next one; if there is none, later."""
        if self.held:
            self.send(data)
            return
        self.held = data
        threading.Timer(0.05, self.release).start()

    def release(self):
        held, self.held = self.held, None
        if held:
            try:
                self.client.sendall(record(held))
            except OSError:
                pass

    def do_twice(self, data):
        self.send(data)
        self.send(data)

    def do_stranger(self, data):
        self.client.sendall(record(self.proxy.random.randbytes(4) + data[4:]))
        self.send(data)

    def do_oversized(self, data):
        self.client.sendall(struct.pack(">I", 0xFFFFFFF0) + data)
        time.sleep(0.2)
        self.cut()

    def do_dribble(self, data):
        for at in range(0, len(data), max(1, len(data) // 7)):
            piece = data[at:at + max(1, len(data) // 7)]
            self.client.sendall(struct.pack(">I", len(piece)) + piece)
        self.client.sendall(struct.pack(">I", 1 << 31))

    def do_lost(self, data):
        """The reply never comes, and the connection stays until the client gives it up: here soon, so that tests end."""
        time.sleep(0.3)
        self.cut()

    def do_short(self, data):
        self.send(data[:4 + self.proxy.random.randrange(max(1, len(data) - 4))])

    def do_empty(self, data):
        self.send(data[:4])

    def do_long(self, data):
        self.send(data + self.proxy.random.randbytes(1000))

    def do_noise(self, data):
        noisy = bytearray(data)
        for _ in range(1 + self.proxy.random.randrange(4)):
            noisy[self.proxy.random.randrange(4, len(noisy))] = self.proxy.random.randrange(256)
        self.send(bytes(noisy))


class Proxy:
    def __init__(self, port, to, seed=1):
        self.to, self.count, self.lock = to, {"request": 0, "reply": 0}, threading.Lock()
        self.seen, self.credentials, self.put_off, self.forgotten, self.forgetting = [], [], set(), 0, False
        self.seed(seed)
        self.plan = lambda kind, n: "pass"
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def seed(self, seed):
        self.random = random.Random(seed)

    def note(self, request):
        with self.lock:
            self.seen.append((request.program, request.proc))
            if len(request.cred) >= 20:
                self.credentials.append(request.auth_sys())

    def groups(self, uid):
        """Of which groups the server was told that this user has them, his own one aside."""
        return set().union(*(groups for who, groups in self.credentials if who == uid)) - {uid}

    def ask(self, kind, request=None):
        """What is to happen to a message; bytes: this is the answer, and the server does not see the request."""
        with self.lock:
            self.count[kind] += 1
            what = self.plan(kind, self.count[kind])
            if request and self.forgetting:
                return self.forgets(request) or what
            if what == "jukebox":
                return self.puts_off(request)
            return what

    def puts_off(self, request):
        """The first request of each procedure."""
        if request.program != NFS or not 0 < request.proc < len(AFTER_ERROR) or request.proc in self.put_off:
            return "pass"
        self.put_off.add(request.proc)
        return request.reply(struct.pack(">I", JUKEBOX) + bytes(4 * AFTER_ERROR[request.proc]))

    def forget(self):
        """Data that is written unstable is acknowledged and lost; the next COMMIT has another verifier, and that is all."""
        self.forgotten, self.forgetting = 0, True

    def forgets(self, request):
        if request.program != NFS:
            return None
        if request.proc == WRITE:
            count, stable = request.write()
            if stable != UNSTABLE:
                return None
            self.forgotten += count
            return request.reply(struct.pack(">5I", 0, 0, 0, count, UNSTABLE) + b"forgets!")
        if request.proc == COMMIT and self.forgotten:
            self.forgetting = False
            return request.reply(struct.pack(">3I", 0, 0, 0) + b"another!")
        return None

    def calm(self):
        self.plan = lambda kind, n: "pass"
        self.forgetting = False
        self.seen, self.credentials = [], []

    def at(self, kind, n, what):
        """From now on the nth message of this kind, and no other."""
        with self.lock:
            self.count[kind] = 0
            self.plan = lambda k, i: what if k == kind and i == n else "pass"

    def at_random(self, words, one_in):
        self.plan = lambda k, i: self.random.choice(words) if k == "reply" and not self.random.randrange(one_in) else "pass"

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            try:
                Pair(self, client)
            except OSError:
                client.close()
