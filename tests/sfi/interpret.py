# SPDX-License-Identifier: BSD-2-Clause
"""Run a function of wasm.Module and count its steps: instructions, and bytes of bulk operations.

Only what the tests of bounds use: integers, control flow, memory, calls. A trap ends the run, as it ends a call.
"""

import wasm

MASK = {32: 0xFFFFFFFF, 64: 0xFFFFFFFFFFFFFFFF}


class Trap(Exception):
    pass


class TooLong(Exception):
    pass


class Run:
    def __init__(self, module, most, memory=None, services=None):
        self.module, self.most, self.steps = module, most, 0
        self.memory = memory or (lambda at, size: 0)
        self.stored = {}
        self.services = services or (lambda name, args: 0)
        self.decoded = {}
        self.imported = [i for i in module.imports if i[2] == 0]

    def step(self, n=1):
        self.steps += n
        if self.steps > self.most:
            raise TooLong

    def code(self, f):
        """A function's instructions as (op, words), and for each block where it ends."""
        if f in self.decoded:
            return self.decoded[f]
        code, types, stack, ends, elses = [], [], [], {}, {}
        for line in self.module.functions[f][1].replace("\n", ";").split(";"):
            words = line.split()
            if words and words[0] == "local":
                types += words[1:]
            elif words:
                code.append((words[0], words[1:]))
        code.append(("end", []))
        for at, (op, _) in enumerate(code):
            if op in ("block", "loop", "if"):
                stack.append(at)
            elif op == "else":
                elses[stack[-1]] = at
            elif op == "end" and stack:
                ends[stack.pop()] = at
        self.decoded[f] = code, types, ends, elses
        return self.decoded[f]

    def load(self, at, size):
        if at + size > 1 << 32:
            raise Trap
        value = self.memory(at, size)
        return value & ((1 << 8 * size) - 1)

    def call(self, number, args):
        if number < len(self.imported):
            return self.services(self.imported[number][1], args)
        if number - len(self.imported) >= len(self.module.functions):
            raise Trap
        return self.run(number - len(self.imported), args)

    def run(self, f, args):
        code, types, ends, elses = self.code(f)
        signature = self.module.types[self.module.functions[f][0]]
        local = list(args) + [0] * len(types)
        stack, labels, at = [], [(-1, "block", 0, signature[1])], 0

        def branch(depth):
            nonlocal at, labels
            start, op, height, result = labels[-1 - depth]
            if op == "loop":
                del stack[height:]
                labels = labels[:len(labels) - depth]
                at = start + 1
                return
            kept = stack[-1:] if result else []
            del stack[height:]
            stack.extend(kept)
            labels = labels[:len(labels) - 1 - depth]
            at = ends[start] + 1 if start >= 0 else len(code)

        while at < len(code):
            op, words = code[at]
            self.step()
            if op in ("block", "loop"):
                labels.append((at, op, len(stack), words))
            elif op == "if":
                taken = stack.pop()
                labels.append((at, op, len(stack), words))
                if not taken:
                    if at in elses:
                        at = elses[at] + 1
                        continue
                    labels.pop()
                    at = ends[at] + 1
                    continue
            elif op == "else":
                start = labels.pop()[0]
                at = ends[start] + 1
                continue
            elif op == "end":
                labels.pop()
            elif op == "br":
                branch(int(words[0]))
                continue
            elif op == "br_if":
                if stack.pop():
                    branch(int(words[0]))
                    continue
            elif op == "br_table":
                branch(int(words[min(stack.pop(), len(words) - 1)]))
                continue
            elif op == "return":
                branch(len(labels) - 1)
                continue
            elif op == "unreachable":
                raise Trap
            elif op != "nop":
                self.plain(op, words, stack, local)
            at += 1
        return stack[-1] if signature[1] else None

    def plain(self, op, words, stack, local):
        kind = op.split(".")[-1]
        bits = 64 if op.startswith("i64") else 32
        if op == "drop":
            stack.pop()
        elif op == "select":
            c, b, a = stack.pop(), stack.pop(), stack.pop()
            stack.append(a if c else b)
        elif op == "local.get":
            stack.append(local[int(words[0])])
        elif op == "local.set":
            local[int(words[0])] = stack.pop()
        elif op == "local.tee":
            local[int(words[0])] = stack[-1]
        elif kind == "const":
            stack.append(wasm.number(words[0]) & MASK[bits])
        elif op in ("call", "call_indirect"):
            number = self.target(op, words, stack)
            signature = self.module.types[self.type_of(number)]
            args = [stack.pop() for _ in signature[0]][::-1]
            got = self.call(number, args)
            if signature[1]:
                stack.append(got & MASK[64 if signature[1][0] == "i64" else 32])
        elif op in ("memory.fill", "memory.copy"):
            self.step(stack[-1])
            del stack[-3:]
        elif kind.startswith("load"):
            offset = int(dict(w.split("=") for w in words).get("offset", "0"), 0)
            size = {"load": bits // 8, "load8_u": 1, "load16_u": 2, "load8_s": 1, "load16_s": 2, "load32_u": 4}[kind]
            value = self.load(stack.pop() + offset, size)
            stack.append((wasm.signed(value, 8 * size) if kind.endswith("_s") else value) & MASK[bits])
        elif kind.startswith("store"):
            del stack[-2:]
        else:
            self.number(op, kind, bits, stack)

    def target(self, op, words, stack):
        if op == "call":
            return self.module.names[words[0][1:]] if words[0][0] == "$" else int(words[0])
        index = stack.pop()
        for at, items in self.module.elements:
            if at <= index < at + len(items) and self.type_of(items[index - at]) == self.module.type(" ".join(words)):
                return items[index - at]
        raise Trap

    def type_of(self, number):
        if number < len(self.imported):
            return self.imported[number][3][0]
        return self.module.functions[number - len(self.imported)][0]

    def number(self, op, kind, bits, stack):
        mask = MASK[bits]
        if op == "i32.wrap_i64":
            stack[-1] &= MASK[32]
        elif op == "i64.extend_i32_u":
            pass
        elif op == "i64.extend_i32_s":
            stack[-1] = wasm.signed(stack[-1], 32) & mask
        elif kind in ("extend8_s", "extend16_s", "extend32_s"):
            stack[-1] = wasm.signed(stack[-1], int(kind[6:-2])) & mask
        elif kind == "eqz":
            stack[-1] = int(stack[-1] == 0)
        else:
            b, a = stack.pop(), stack.pop()
            x, y = wasm.signed(a, bits), wasm.signed(b, bits)
            if kind[:3] in ("div", "rem") and not b:
                raise Trap
            stack.append({
                "eq": lambda: a == b, "ne": lambda: a != b, "lt_u": lambda: a < b, "gt_u": lambda: a > b,
                "le_u": lambda: a <= b, "ge_u": lambda: a >= b, "lt_s": lambda: x < y, "gt_s": lambda: x > y,
                "le_s": lambda: x <= y, "ge_s": lambda: x >= y, "add": lambda: a + b, "sub": lambda: a - b,
                "mul": lambda: a * b, "and": lambda: a & b, "or": lambda: a | b, "xor": lambda: a ^ b,
                "shl": lambda: a << b % bits, "shr_u": lambda: a >> b % bits, "shr_s": lambda: x >> b % bits,
                "div_u": lambda: a // b, "rem_u": lambda: a % b,
            }[kind]() & mask)
