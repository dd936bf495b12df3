# SPDX-License-Identifier: BSD-2-Clause
"""Reading the description of an interface. Its syntax is explained at the head of interface/fs.if."""
import re
import sys

SCALAR = {"u32": 4, "u64": 8, "i64": 8}
CTYPE = {"u32": "uint32_t", "u64": "uint64_t", "i64": "int64_t"}


class Block:
    def __init__(self, kind, number, name, doc, extra):
        self.kind, self.number, self.name, self.doc, self.extra = kind, number, name, doc, extra
        self.args, self.errors, self.default, self.verify = [], [], None, False
        self.remote_errors, self.changes, self.each = [], {}, None


class Arg:
    """One argument of an op or service, or one field of a record."""

    def __init__(self, way, ctype, name, doc="", **more):
        self.way, self.ctype, self.name, self.doc = way, ctype, name, doc
        self.__dict__.update(more)


def fail(number, why):
    sys.exit(f"{sys.argv[1]}:{number}: {why}")


def split(line):
    """Words of a line, the quoted documentation last."""
    m = re.match(r'^(.*?)\s*(?:"(.*)")?\s*$', line)
    return m.group(1).split(), m.group(2) or ""


def parse(path):
    blocks, current, names = [], None, {}
    for number, raw in enumerate(open(path), 1):
        line = raw.rstrip("\n")
        if not line.strip() or line.startswith("#"):
            continue
        words, doc = split(line)
        if not line.startswith("\t"):
            current = parse_head(number, words, doc)
            blocks.append(current)
            if current.kind in ("op", "service"):
                other = names.setdefault((current.kind, current.number), current.name)
                if other != current.name:
                    fail(number, f"{current.kind} {current.number} is {other} already")
        elif current.kind == "enum":
            current.args.append(Arg("value", None, words[0], doc, value=int(words[1])))
        elif current.kind == "record":
            current.args.append(parse_field(number, words, doc))
        else:
            parse_line(number, current, words, doc)
    expand_sets(blocks)
    return blocks


# By how much the links of a record may change: [at least, at most]; without a number in the word, at will.
DELTAS = {"nlink+1": (1, 1), "nlink-1": (-1, -1), "nlink~1": (-1, 1), "nlink-": (-128, 0), "nlink": (-128, 127)}


def read_change(number, words):
    """Fields that an operation may change in a record: (names, least, most, the links become 0)."""
    fields, delta, gone = [], (0, 0), False
    for word in words:
        if word in DELTAS:
            delta = DELTAS[word]
        elif word == "nlink=0":
            gone = True
        elif re.match(r"^[a-z]+$", word):
            fields.append(word)
        else:
            fail(number, f"'{word}' is no field and none of {', '.join(DELTAS)}, nlink=0")
    return fields, *delta, gone


def expand_sets(blocks):
    sets = {b.name: b.errors for b in blocks if b.kind == "set"}
    for b in blocks:
        if b.kind != "set":
            whole = list(dict.fromkeys(e for name in b.errors for e in sets.get(name, [name])))
            at = min([b.errors.index(n) for n in sets if n in b.errors], default=len(b.errors))
            near = b.errors[:at]
            b.remote_errors = [e for e in whole if e not in near]
            b.errors = near


def parse_head(number, words, doc):
    kind = words[0]
    if kind in ("interface", "record"):
        return Block(kind, int(words[2]), words[1], doc, [])
    if kind in ("enum", "set"):
        return Block(kind, 0, words[1], doc, [])
    if kind in ("op", "service"):
        return Block(kind, int(words[1]), words[2], doc, words[3:])
    fail(number, f"unknown block '{kind}'")


def parse_field(number, words, doc):
    ctype, name = words[0], words[1]
    if ctype not in SCALAR:
        return Arg("field", ctype, name, doc, lo=None, hi=None, fixed=False)
    if words[2] == "fixed":
        return Arg("field", ctype, name, doc, lo=None, hi=None, fixed=True)
    m = re.match(r"^(-?\d+)\.\.(-?\d+|@?[a-z]+)$", words[2])
    if not m:
        fail(number, f"field {name} needs a range min..max or 'fixed'")
    hi = int(m.group(2)) if m.group(2)[-1].isdigit() else m.group(2)
    return Arg("field", ctype, name, doc, lo=int(m.group(1)), hi=hi, fixed=False)


def parse_line(number, block, words, doc):
    if words[0] == "errors":
        block.errors = words[1:]
    elif words[0] == "change":
        block.changes[words[1]] = read_change(number, words[2:])
    elif words[0] == "verify":
        block.verify = True
    elif words[0] == "each":
        block.each = words[1]
    elif words[0] == "default":
        block.default = words[1] if len(words) > 1 else doc
    elif words[0] == "vnode":
        block.args.append(Arg("vnode", None, words[1], doc, lock=words[2],
                              optional="optional" in words[3:]))
    elif words[0] == "name":
        block.args.append(Arg("name", None, words[1], doc))
    elif words[0] == "uio":
        block.args.append(Arg("uio", None, words[1], doc))
    elif words[1] == "bytes":
        block.args.append(Arg(words[0] + "bytes", None, words[2], doc))
    elif words[1] == "record":
        block.args.append(Arg(words[0] + "record", words[2], words[3], doc))
    elif words[1] == "records":
        block.args.append(Arg("outrecords", words[2], words[3], doc, most=int(words[4])))
    elif words[1] in SCALAR:
        block.args.append(Arg(words[0], words[1], words[2], doc))
    else:
        fail(number, f"cannot read '{' '.join(words)}'")


def of(blocks, kind):
    return [b for b in blocks if b.kind == kind]
