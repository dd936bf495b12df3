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
        if self.proxy.ask("request") == "cut":
            self.cut()
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
        self.seed(seed)
        self.plan = lambda kind, n: "pass"
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def seed(self, seed):
        self.random = random.Random(seed)

    def ask(self, kind):
        with self.lock:
            self.count[kind] += 1
            return self.plan(kind, self.count[kind])

    def calm(self):
        self.plan = lambda kind, n: "pass"

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
