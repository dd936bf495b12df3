# SPDX-License-Identifier: BSD-2-Clause
"""A small assembler of wasm binaries, for modules that no compiler would make, and an interpreter that counts steps.

    m = Module()
    m.function("i32 i32 -> i32", "local i32; local.get 0; i32.load offset=4; ...", export="td__enter")
    open("x.wasm", "wb").write(m.bytes())

Instructions are separated by `;`. A block's result stands behind it: `block i32`. Whatever is no instruction: $NAME, the number
of a function or import; 0x.., bytes as they are after `raw`. Module() without arguments is one that the wall takes: it has the memory,
the info and the exports that it wants; each test then breaks one thing.
"""

import re
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TYPES = {"i32": 0x7F, "i64": 0x7E, "f32": 0x7D, "f64": 0x7C}
BASE = 65536


def _opcodes():
    ops = {"unreachable": 0, "nop": 1, "block": 2, "loop": 3, "if": 4, "else": 5, "end": 0x0B, "br": 0x0C, "br_if": 0x0D,
           "br_table": 0x0E, "return": 0x0F, "call": 0x10, "call_indirect": 0x11, "drop": 0x1A, "select": 0x1B,
           "local.get": 0x20, "local.set": 0x21, "local.tee": 0x22, "global.get": 0x23, "global.set": 0x24,
           "memory.size": 0x3F, "memory.grow": 0x40, "i32.const": 0x41, "i64.const": 0x42, "f32.const": 0x43, "f64.const": 0x44}
    n = 0x28
    for name in ("i32.load i64.load f32.load f64.load i32.load8_s i32.load8_u i32.load16_s i32.load16_u i64.load8_s i64.load8_u "
                 "i64.load16_s i64.load16_u i64.load32_s i64.load32_u i32.store i64.store f32.store f64.store i32.store8 "
                 "i32.store16 i64.store8 i64.store16 i64.store32").split():
        ops[name] = n
        n += 1
    n = 0x45
    for t in ("i32", "i64"):
        for name in "eqz eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u".split():
            ops[f"{t}.{name}"] = n
            n += 1
    for t in ("f32", "f64"):
        for name in "eq ne lt gt le ge".split():
            ops[f"{t}.{name}"] = n
            n += 1
    for t in ("i32", "i64"):
        for name in "clz ctz popcnt add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr".split():
            ops[f"{t}.{name}"] = n
            n += 1
    ops.update({"i32.wrap_i64": 0xA7, "i64.extend_i32_s": 0xAC, "i64.extend_i32_u": 0xAD, "i32.extend8_s": 0xC0,
                "i32.extend16_s": 0xC1, "i64.extend8_s": 0xC2, "i64.extend16_s": 0xC3, "i64.extend32_s": 0xC4})
    return ops


OPS = _opcodes()
NAMES = {code: name for name, code in OPS.items()}


def u(n):
    out = bytearray()
    while True:
        out.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def s(n):
    out = bytearray()
    while True:
        byte, n = n & 0x7F, n >> 7
        done = (n == 0 and not byte & 0x40) or (n == -1 and byte & 0x40)
        out.append(byte | (0 if done else 0x80))
        if done:
            return bytes(out)


def signed(n, bits):
    n &= (1 << bits) - 1
    return n - (1 << bits) if n >> (bits - 1) else n


def name(text):
    return u(len(text.encode())) + text.encode()


def vector(items):
    return u(len(items)) + b"".join(items)


def number(text):
    return int(text, 0)


def constant(header, key):
    """A number of the sdk's headers: what the tests say follows it."""
    text = (ROOT / "sdk/tadan" / header).read_text(encoding="utf-8")
    return number(re.search(rf"\b{key} = (0x[0-9a-f]+|\d+)", text).group(1))


def operations():
    text = (ROOT / "interface/fs.if").read_text(encoding="utf-8")
    return {m[2]: int(m[1]) for m in re.finditer(r"^op (\d+) (\w+)", text, re.M)}


def header(size):
    """Of every frame; `end`: what comes behind it."""
    text = re.search(r"struct td_frame \{(.*?)\}", (ROOT / "sdk/tadan/types.h").read_text(encoding="utf-8"), re.S).group(1)
    at, out = 0, {"end": size}
    for m in re.finditer(r"^\tu?int(\d+)_t ([\w, ]+)(?:\[|;)", text, re.M):
        for field in m[2].split(", "):
            out[field] = at
            at += int(m[1]) // 8
    return out


def layouts():
    """Where the fields of each operation's frame, and of each record, lie: {"lookup": {"name_len": 72, ...}, "vnode": ...}."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(ROOT / "interface"))
    import generate
    blocks = generate.parse(str(ROOT / "interface/fs.if"))
    generate.RECORDS = {r.name: r for r in generate.of(blocks, "record")}
    out = {"header": header(generate.FRAME_HEADER)}
    for op in generate.of(blocks, "op"):
        at, out[op.name] = generate.FRAME_HEADER, {}
        for width, text in generate.frame_fields(op):
            out[op.name][re.sub(r"\[.*", "", text.split()[-1])] = at
            at += width
    for record in generate.of(blocks, "record"):
        at, out[record.name] = 0, {}
        for field in record.args:
            out[record.name][field.name] = at
            at += generate.SCALAR.get(field.ctype) or generate.RECORDS[field.ctype].number
    return out


def info(title="handmade"):
    version = number(re.search(r"^interface fs (\d+)", (ROOT / "interface/fs.if").read_text(encoding="utf-8"), re.M).group(1))
    return struct.pack("<6I32s", constant("types.h", "TD_MAGIC"), constant("types.h", "TD_ABI"), 1, version, 0, 4, title.encode())


class Module:
    def __init__(self, bare=False):
        self.types, self.imports, self.functions, self.globals, self.exports = [], [], [], [], []
        self.elements, self.data, self.customs = [], [], []
        self.table = self.memory = self.start = None
        self.names = {}
        if not bare:
            self.memory = (2, None)
            self.globals = [("i32", 1, BASE), ("i32", 0, BASE)]
            self.exports = [("memory", 2, 0), ("__stack_pointer", 3, 0), ("td_module_info", 3, 1)]
            self.data = [(BASE, info())]

    def type(self, text):
        params, _, results = text.partition("->")
        entry = (tuple(params.split()), tuple(results.split()))
        if entry not in self.types:
            self.types.append(entry)
        return self.types.index(entry)

    def service(self, title, text, module="env"):
        """Import a function, before any is defined."""
        self.names[title] = len(self.imports)
        self.imports.append((module, title, 0, u(self.type(text))))

    def function(self, text, body, export=None, title=None):
        number = len([i for i in self.imports if i[2] == 0]) + len(self.functions)
        self.names[title or export] = number
        self.functions.append([self.type(text), body])
        if export:
            self.exports.append((export, 0, number))
        return number

    def enter(self, body):
        return self.function("i32 i32 -> i32", body, export="td__enter")

    # ---- Code

    def argument(self, op, words):
        if op in ("block", "loop", "if"):
            return bytes([TYPES[words[0]] if words else 0x40])
        if op in ("i32.const", "i64.const"):
            return s(signed(number(words[0]), int(op[1:3])))
        if op in ("f32.const", "f64.const"):
            return struct.pack("<f" if op[1] == "3" else "<d", float(words[0]))
        if op == "br_table":
            return vector([u(number(w)) for w in words[:-1]]) + u(number(words[-1]))
        if op == "call_indirect":
            return u(self.type(" ".join(words))) + b"\0"
        if 0x28 <= OPS[op] <= 0x3E:
            given = dict(w.split("=") for w in words)
            natural = {"8": 0, "6": 1}.get(op.split("load")[-1].split("store")[-1].split("_")[0][-1:], None)
            if natural is None:
                natural = 2 if "32" in op.split(".")[1] or op.startswith(("i32", "f32")) else 3
            return u(number(given.get("align", str(natural)))) + u(number(given.get("offset", "0")))
        if op in ("memory.size", "memory.grow"):
            return b"\0"
        return b"".join(u(self.names[w[1:]] if w[0] == "$" else number(w)) for w in words)

    def assemble(self, body):
        code, groups = bytearray(), []
        for line in body.replace("\n", ";").split(";"):
            words = line.split()
            if not words:
                continue
            if words[0] == "local":
                groups += [u(1) + bytes([TYPES[t]]) for t in words[1:]]
            elif words[0] == "raw":
                code += bytes(number(w) for w in words[1:])
            elif words[0] == "memory.copy":
                code += b"\xfc\x0a\0\0"
            elif words[0] == "memory.fill":
                code += b"\xfc\x0b\0"
            else:
                code += bytes([OPS[words[0]]]) + self.argument(words[0], words[1:])
        return vector(groups) + bytes(code) + b"\x0b"

    # ---- Sections

    def limits(self, given):
        least, most = given
        return bytes([0 if most is None else 1]) + u(least) + (b"" if most is None else u(most))

    def constant(self, t, value):
        return (b"\x41" if t == "i32" else b"\x42") + s(signed(value, int(t[1:]))) + b"\x0b"

    def bytes(self):
        bodies = [self.assemble(body) for _, body in self.functions]
        out = b"\0asm\1\0\0\0"
        sections = [
            (1, [b"\x60" + vector([bytes([TYPES[t]]) for t in p]) + vector([bytes([TYPES[t]]) for t in r]) for p, r in self.types]),
            (2, [name(m) + name(n) + bytes([k]) + what for m, n, k, what in self.imports]),
            (3, [u(t) for t, _ in self.functions]),
            (4, [b"\x70" + self.limits(self.table)] if self.table else []),
            (5, [self.limits(self.memory)] if self.memory else []),
            (6, [bytes([TYPES[t], m]) + self.constant(t, v) for t, m, v in self.globals]),
            (7, [name(n) + bytes([k]) + u(i) for n, k, i in self.exports]),
            (8, self.start),
            (9, [b"\0" + self.constant("i32", at) + vector([u(f) for f in items]) for at, items in self.elements]),
            (10, [u(len(b)) + b for b in bodies]),
            (11, [b"\0" + self.constant("i32", at) + u(len(d)) + d for at, d in self.data]),
        ]
        for number_, items in sections:
            if number_ == 8 and items is not None:
                out += bytes([8]) + u(len(u(items))) + u(items)
            elif number_ != 8 and items:
                content = vector(items)
                out += bytes([number_]) + u(len(content)) + content
        for title, content in self.customs:
            content = name(title) + content
            out += b"\0" + u(len(content)) + content
        return out
