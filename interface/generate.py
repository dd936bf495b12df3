#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Make the code and the reference page of an interface from its description.

  generate.py INTERFACE.if KIND > FILE

KIND is one of the functions named emit_* below: each makes one file. The syntax of a description is
explained at the head of interface/fs.if.
"""
import re
import sys

from description import SCALAR, CTYPE, of, parse

FRAME_HEADER = 144


def wrap(text, indent, width=96):
    out, line = [], ""
    for word in text.split():
        if len(line) + len(word) + 1 > width - len(indent):
            out.append(indent + line)
            line = word
        else:
            line = (line + " " + word).strip()
    return "\n".join(out + [indent + line]) if line else ""


def banner(what):
    print("/* SPDX-License-Identifier: BSD-2-Clause */")
    print(f"/* {what} Made from {sys.argv[1].split('/')[-1]} by generate.py: change that file, not this one. */")


# ---- The sdk's header: enums, records, the op table, frames, prototypes of the services

def op_params(op):
    out = []
    for a in op.args:
        out.append({
            "vnode": lambda: f"struct td_vnode *{a.name}",
            "name": lambda: f"struct td_name {a.name}",
            "uio": lambda: f"uint32_t {a.name}",
            "in": lambda: f"{CTYPE[a.ctype]} {a.name}",
            "out": lambda: f"{CTYPE[a.ctype]} *{a.name}",
            "inrecord": lambda: f"const struct td_{a.ctype} *{a.name}",
            "outrecord": lambda: f"struct td_{a.ctype} *{a.name}",
            "outrecords": lambda: f"struct td_{a.ctype} *{a.name}, uint32_t *n{a.name}",
            "inbytes": lambda: f"struct td_in {a.name}",
            "outbytes": lambda: f"struct td_out *{a.name}",
        }[a.way]())
    return ", ".join(out) or "void"


def frame_fields(op):
    """(width, declaration) of a frame's fields, widest alignment first, so that no padding is hidden."""
    eight, four, rest = [], [], []
    for a in op.args:
        if a.way == "vnode":
            eight.append((8, f"int64_t {a.name}_at"))
            rest.append((RECORDS["vnode"].number, f"struct td_vnode {a.name}"))
        elif a.way in ("inbytes", "outbytes"):
            eight.append((8, f"int64_t {a.name}_at"))
            four.append((4, f"uint32_t {a.name}_len"))
            four.append((4, f"uint32_t {a.name}_size"))
        elif a.way == "name":
            four.append((4, f"uint32_t {a.name}_len"))
            rest.append((256, f"uint8_t {a.name}[256]"))
        elif a.way == "uio":
            four.append((4, f"uint32_t {a.name}"))
        elif a.way in ("in", "out"):
            (eight if SCALAR[a.ctype] == 8 else four).append((SCALAR[a.ctype], f"{CTYPE[a.ctype]} {a.name}"))
        elif a.way in ("inrecord", "outrecord"):
            rest.append((RECORDS[a.ctype].number, f"struct td_{a.ctype} {a.name}"))
        elif a.way == "outrecords":
            four.append((4, f"uint32_t n{a.name}"))
            rest.append((a.most * RECORDS[a.ctype].number, f"struct td_{a.ctype} {a.name}[{a.most}]"))
    if len(four) % 2:
        four.append((4, "uint32_t pad"))
    return eight + four + rest


def service_params(s):
    out = []
    for a in s.args:
        if a.way == "in":
            out.append(f"{CTYPE[a.ctype]} {a.name}")
        elif a.way == "out":
            out.append(f"{CTYPE[a.ctype]} *{a.name}")
        elif a.way == "inbytes":
            out.append(f"const void *{a.name}, uint32_t {a.name}_len")
        elif a.way == "outbytes":
            out.append(f"void *{a.name}, uint32_t {a.name}_len")
    return ", ".join(out)


def service_names(s):
    out = []
    for a in s.args:
        out.append(a.name)
        if a.way in ("inbytes", "outbytes"):
            out.append(a.name + "_len")
    return ", ".join(out)


def own(blocks):
    """Operations that a module implements itself."""
    return [op for op in of(blocks, "op") if not op.each]


def called(op, ops):
    """A call of the module's function up to the first argument."""
    return f"td__each_{op.each}({ops}{op.each}, " if op.each else f"{ops}{op.name}("


def posted(s):
    return "posted" in s.extra


def emit_sdk(blocks):
    iface = of(blocks, "interface")[0]
    banner(f"The {iface.name} interface: what a module implements and what it can ask for.")
    guard = f"TADAN_{iface.name.upper()}_IF_H"
    print(f"#ifndef {guard}\n#define {guard}\n\n#include <tadan/module.h>\n")
    print(f"#define TD_{iface.name.upper()}_VERSION {iface.number}\n")
    for e in of(blocks, "enum"):
        print(f"/* {e.doc} */\nenum td_{e.name} {{")
        for v in e.args:
            print(f"\tTD_{v.name} = {v.value}, /* {v.doc} */")
        print("};\n")
    for r in of(blocks, "record"):
        print(wrap(r.doc, " * ").replace(" * ", "/* ", 1) + f" */\nstruct td_{r.name} {{")
        for f in r.args:
            ctype = CTYPE.get(f.ctype, f"struct td_{f.ctype}")
            print(f"\t{ctype} {f.name}; /* {f.doc} */")
        print("} __attribute__((aligned(8)));")
        print(f'_Static_assert(sizeof(struct td_{r.name}) == {r.number}, "record {r.name}");\n')
    print("/* Numbers of the operations. */\nenum td_op {")
    for op in of(blocks, "op"):
        print(f"\tTD_OP_{op.name} = {op.number},")
    print(f"\tTD_OP_MAX = {max(o.number for o in of(blocks, 'op')) + 1},\n}};\n")
    print("/* The table that a module fills; an operation left out has the default that is named here. */")
    print(f"struct td_{iface.name}_ops {{")
    for op in own(blocks):
        print("\t/*\n" + wrap(op.doc, "\t * "))
        locks = ", ".join(f"{a.name} {a.lock}" for a in op.args if a.way == "vnode")
        if locks:
            print(f"\t * Locks held: {locks}.")
        for a in op.args:
            if a.doc:
                print(wrap(f"{a.name}: {a.doc}.", "\t * "))
        print(wrap("Errors: " + errors_text(op) + f". Default: {op.default}. May sleep.", "\t * "))
        print("\t */")
        print(f"\tint (*{op.name})({op_params(op)});\n")
    print("};\n")
    for op in of(blocks, "op"):
        fields = frame_fields(op)
        print(f"struct td_frame_{op.name} {{\n\tstruct td_frame h;")
        for _, decl in fields:
            print(f"\t{decl};")
        print("} __attribute__((aligned(8)));")
        size = FRAME_HEADER + sum(w for w, _ in fields)
        print(f'_Static_assert(sizeof(struct td_frame_{op.name}) == {size}, "frame {op.name}");')
        if size > 4096:
            sys.exit(f"frame {op.name} has {size} bytes, over 4096")
    print("\n/* The services' numbers and the functions that each wall supplies. */\nenum td_svc {")
    for s in of(blocks, "service"):
        print(f"\tTD_SVC_{s.name} = {s.number},")
    print(f"\tTD_SVC_MAX = {max(s.number for s in of(blocks, 'service')) + 1},\n}};\n")
    for s in of(blocks, "service"):
        how = "Posted: has no result." if posted(s) else "Waits for its result."
        print("/*\n" + wrap(f"{s.doc} {how}", " * "))
        for a in s.args:
            if a.doc:
                print(wrap(f"{a.name}: {a.doc}.", " * "))
        print(" * Errors: " + ", ".join(s.errors) + ".\n */")
        print(f"TD_IMPORT int td__svc_{s.name}({service_params(s) or 'void'});\n")
    print("#endif")


# ---- The module's side: unpack a frame, call the operation

def errors_text(op):
    near = ", ".join(op.errors) or "none"
    return near + ("; with TD_FS_REMOTE also " + ", ".join(op.remote_errors) if op.remote_errors else "")


def changes_text(change):
    fields, least, most, gone = change
    links = {(0, 0): [], (-128, 127): ["nlink"], (-128, 0): ["nlink, down"]}.get(
        (least, most), [f"nlink by {least}" if least == most else f"nlink by {least} to {most}"])
    return ", ".join(fields + (["nlink to 0"] if gone else links)) or "nothing"


def dispatch_args(op):
    out = []
    for a in op.args:
        out.append({
            "vnode": lambda: f"td__at(f, f->{a.name}_at)",
            "name": lambda: f"(struct td_name){{ f->{a.name}, f->{a.name}_len }}",
            "uio": lambda: f"f->{a.name}",
            "in": lambda: f"f->{a.name}",
            "out": lambda: f"&f->{a.name}",
            "inrecord": lambda: f"&f->{a.name}",
            "outrecord": lambda: f"&f->{a.name}",
            "outrecords": lambda: f"f->{a.name}, &f->n{a.name}",
            "inbytes": lambda: f"(struct td_in){{ td__at(f, f->{a.name}_at), f->{a.name}_len }}",
            "outbytes": lambda: f"&{a.name}",
        }[a.way]())
    return ", ".join(out)


def emit_dispatch(blocks):
    iface = of(blocks, "interface")[0]
    banner("The module's side of the gate: a frame becomes a call of the module's own function.")
    print("#include <tadan/each.h>\n#include <tadan/module.h>\n#include \"runtime.h\"\n")
    print("/* Each of its own: a call saves the registers that its operation needs, and not those of all of them. They add nothing to a\n"
          " * backtrace, so those that only pass on what they were given leave no frame in it. */")
    print("#if defined(__GNUC__) && !defined(__clang__)\n#pragma GCC optimize(\"optimize-sibling-calls\")\n#endif")
    for op in of(blocks, "op"):
        print(f"static __attribute__((noinline)) int32_t call_{op.name}(const struct td_{iface.name}_ops *ops, struct td_frame *h)\n{{")
        print(f"\tstruct td_frame_{op.name} *f = (void *)h;\n\n\t(void)f;")
        outs = [a for a in op.args if a.way == "outbytes"]
        for a in outs:
            print(f"\tstruct td_out {a.name} = {{ td__at(f, f->{a.name}_at), f->{a.name}_size, 0 }};")
        print(f"\tint err = {called(op, 'ops->')}{dispatch_args(op)});")
        for a in outs:
            print(f"\tf->{a.name}_len = {a.name}.used;")
        print("\treturn err;\n}\n")
    print(f"static uint64_t bound(const struct td_{iface.name}_ops *ops)\n{{\n\tuint64_t set = 0;\n")
    for op in of(blocks, "op"):
        print(f"\tset |= ops->{op.each or op.name} ? 1ull << TD_OP_{op.name} : 0;")
    print("\treturn set;\n}\n")
    call = f"(const struct td_{iface.name}_ops *ops, struct td_frame *h"
    print(f"#ifndef __wasm__\nint32_t (*const td__calls_{iface.name}[TD_OP_MAX]){call}) = {{")
    for op in of(blocks, "op"):
        print(f"\t[TD_OP_{op.name}] = call_{op.name},")
    print("};\n#endif\n")
    print(f"int32_t td__dispatch_{iface.name}{call}, uint32_t op)\n{{")
    print("\tif (op == TD_OP_HELLO) {\n\t\th->bound = bound(ops);\n\t\treturn 0;\n\t}")
    print("#ifdef __wasm__ /* no indirect calls, which say nothing to the verifier */\n\tswitch (op) {")
    for op in of(blocks, "op"):
        print(f"\tcase TD_OP_{op.name}:\n\t\treturn call_{op.name}(ops, h);")
    print("\tdefault:\n\t\treturn -TD_ENOSYS;\n\t}\n#else")
    print(f"\treturn op < TD_OP_MAX && td__calls_{iface.name}[op] ? td__calls_{iface.name}[op](ops, h) : -TD_ENOSYS;\n#endif\n}}")


# ---- The kernel's side: one function an operation, which packs, crosses, checks and unpacks

def gate_params(op):
    out = []
    for a in op.args:
        out.append({
            "vnode": lambda: f"struct td_vnode *{a.name}" if a.lock == "new" else f"struct td__vnode *{a.name}",
            "name": lambda: f"struct td_name {a.name}",
            "uio": lambda: f"struct td__uio *{a.name}",
            "in": lambda: f"{CTYPE[a.ctype]} {a.name}",
            "out": lambda: f"{CTYPE[a.ctype]} *{a.name}",
            "inrecord": lambda: f"const struct td_{a.ctype} *{a.name}",
            "outrecord": lambda: f"struct td_{a.ctype} *{a.name}",
            "outrecords": lambda: f"struct td_{a.ctype} *{a.name}, uint32_t *n{a.name}",
            "inbytes": lambda: f"struct td_in {a.name}",
            "outbytes": lambda: f"struct td_out *{a.name}",
        }[a.way]())
    return ", ".join(["struct td__fs *fs"] + out)


def gate_names(op):
    out = ["fs"]
    for a in op.args:
        out.append(f"{a.name}, *n{a.name}" if a.way == "outrecords" else a.name)
    return ", ".join(out)


def forward_names(op):
    return ", ".join(re.findall(r"(\w+)(?=,|$)", gate_params(op)))


def verify_params(op):
    """As gate_params, but results are read."""
    out = gate_params(op)
    for a in op.args:
        if a.way == "outrecords":
            out = out.replace(f"struct td_{a.ctype} *{a.name}, uint32_t *n{a.name}",
                              f"const struct td_{a.ctype} *{a.name}, uint32_t n{a.name}")
    return out


def gate_default(op):
    if op.each:
        return "-TD_ENOSYS"
    if op.default == "nothing":
        return "0"
    if op.default and re.match(r"^E[A-Z]+$", op.default):
        return f"-TD_{op.default}"
    return "-TD_ENOSYS"


def emit_gateway_h(blocks):
    banner("The kernel's way into a module: one function an operation.")
    print("#ifndef TD__FS_GATEWAY_H\n#define TD__FS_GATEWAY_H\n\n#include \"gateway.h\"\n")
    print("/*\n * Each takes its arguments from the kernel, never from the module; results are copies, already checked.\n"
          " * Returns 0, an error that the operation may give, its default where the module leaves it out\n"
          " * (-TD_ENOSYS where the default is the kernel's to supply), or -TD_EIO after a fault that came again.\n */")
    print("#ifdef TD__BUILTIN /* the module is linked to the kernel */")
    for op in of(blocks, "op"):
        print(f"int td__fs_{op.name}({gate_params(op)});")
    print("#else")
    for op in of(blocks, "op"):
        print(f"int td__cross_{op.name}({gate_params(op)});")
        print(f"static inline int td__fs_{op.name}({gate_params(op)})\n{{")
        print(f"\treturn td__hook_bound(fs, TD_OP_{op.name}) ? td__cross_{op.name}({forward_names(op)}) : {gate_default(op)};\n}}\n")
    print("#endif")
    for op in of(blocks, "op"):
        if op.verify:
            print(f"\n/* Written by hand: 0, or what is wrong with an answer whose records are each possible. */")
            print(f"const char *td__verify_{op.name}({verify_params(op)});")
    print("\nextern const char *const td__op_names[TD_OP_MAX];")
    print("extern const char *const td__svc_names[TD_SVC_MAX];")
    print("\n/* Bytes of an operation's frame: what walls that copy frames must copy. */")
    print("extern const uint16_t td__frame_sizes[TD_OP_MAX];")
    print("\n/* What records consist of, for reports. */")
    for r in of(blocks, "record"):
        print(f"extern const struct td__fields td__fields_{r.name};")
    for r in of(blocks, "record"):
        print(f"\n/* 0, or the name of the first field of the record whose value no good {r.name} can have. */")
        print(f"const char *td__check_{r.name}(const struct td_{r.name} *r, const struct td__limits *l);")
    fixed = [(r, [f for f in r.args if f.fixed]) for r in of(blocks, "record")]
    for r, fields in fixed:
        if fields:
            print(f"\n/* 0, or the name of the first field that a module changed though it is the kernel's. */")
            print(f"const char *td__fixed_{r.name}(const struct td_{r.name} *was, const struct td_{r.name} *is);")
    print("\n/* 0, or the name of the first field of a vnode's record that an operation changed without being allowed to. */")
    print("const char *td__change_vnode(const struct td__may *may, const struct td_vnode *was, const struct td_vnode *is);")
    print("\n/* May the operation give this error (a positive TD_E value)? remote: others change the file system, too. */")
    print("int td__op_may_fail(uint32_t op, int error, uint32_t remote);")
    print("\n#endif")


def emit_fields(r):
    """Nested records have no value that could be said in a word."""
    print(f"static const struct td__field fields_{r.name}[] = {{")
    for f in r.args:
        size = SCALAR.get(f.ctype, 0)
        print(f"\t{{ \"{f.name}\", __builtin_offsetof(struct td_{r.name}, {f.name}), {size} }},")
    print(f"}};\nconst struct td__fields td__fields_{r.name} = {{ \"{r.name}\", {len(r.args)}, fields_{r.name} }};\n")


def nested():
    """Records that are fields of others."""
    return {f.ctype for r in RECORDS.values() for f in r.args if f.ctype in RECORDS}


def emit_check(r):
    inline = "inline " if r.name in nested() else ""
    print(f"{inline}const char *td__check_{r.name}(const struct td_{r.name} *r, const struct td__limits *l)\n{{\n\t(void)l;")
    for f in r.args:
        if f.ctype not in SCALAR:
            print(f"\tif (td__check_{f.ctype}(&r->{f.name}, l))\n\t\treturn \"{f.name}\";")
        elif not f.fixed:
            tests = []
            if f.ctype == "i64":
                tests += [f"r->{f.name} < {f.lo}", f"r->{f.name} > {f.hi}"]
            else:
                if f.lo > 0:
                    tests.append(f"r->{f.name} < {f.lo}u")
                if isinstance(f.hi, str):
                    tests.append(f"r->{f.name} > {'l->' + f.hi[1:] if f.hi[0] == '@' else 'r->' + f.hi}")
                elif f.hi < (1 << 8 * SCALAR[f.ctype]) - 1:
                    tests.append(f"r->{f.name} > {f.hi}u")
            if tests:
                print(f"\tif ({' || '.join(tests)})\n\t\treturn \"{f.name}\";")
    if not any(f.ctype not in SCALAR or not f.fixed for f in r.args):
        print("\t(void)r;")
    print("\treturn 0;\n}\n")


def emit_fixed(r):
    fields = [f for f in r.args if f.fixed]
    if not fields:
        return
    print(f"const char *td__fixed_{r.name}(const struct td_{r.name} *was, const struct td_{r.name} *is)\n{{")
    for f in fields:
        print(f"\tif (was->{f.name} != is->{f.name})\n\t\treturn \"{f.name}\";")
    print("\treturn 0;\n}\n")


def emit_change_check():
    """The check of a record against what the operation may change in it."""
    free = [f for f in RECORDS["vnode"].args if not f.fixed]
    bit = {f.name: i for i, f in enumerate(free)}
    print("const char *td__change_vnode(const struct td__may *may, const struct td_vnode *was, const struct td_vnode *is)\n{")
    print("\tint64_t more = (int64_t)is->nlink - (int64_t)was->nlink;\n")
    print("\tif (may->gone ? is->nlink != 0 : (may->least > -128 && more < may->least) || (may->most < 127 && more > may->most))")
    print("\t\treturn \"nlink\";")
    for f in free:
        if f.name == "nlink":
            continue
        parts = [f.name] if f.ctype in SCALAR else [f"{f.name}.{part.name}" for part in RECORDS[f.ctype].args]
        differs = " | ".join(f"(was->{part} != is->{part})" for part in parts)
        print(f"\tif (!(may->fields >> {bit[f.name]} & 1) && ({differs}))\n\t\treturn \"{f.name}\";")
    print("\treturn 0;\n}\n")

def emit_changes(blocks):
    """What each operation may change in the records that it gets."""
    free = [f for f in RECORDS["vnode"].args if not f.fixed]
    bit = {f.name: i for i, f in enumerate(free)}
    for op in of(blocks, "op"):
        for a in op.args:
            if a.way != "vnode" or a.lock == "shared":
                continue
            if a.name not in op.changes:
                sys.exit(f"op {op.name}: what may it change in {a.name}? (change {a.name} ...)")
            fields, least, most, gone = op.changes[a.name]
            if fields == ["any"]:
                fields, least, most = [f.name for f in free if f.name != "nlink"], -128, 127
            mask = sum(1 << bit[f] for f in fields)
            print(f"static const struct td__may may_{op.name}_{a.name} = {{ 0x{mask:x}, {least}, {most}, {int(gone)} }};")
    print()


def straight_args(op):
    out = []
    for a in op.args:
        out.append({
            "vnode": lambda: a.name if a.lock == "new" else f"td__straight_vnode(c, {a.name}, TD_{a.lock.upper()})",
            "uio": lambda: f"td__put_uio(c, {a.name})",
            "outrecords": lambda: f"{a.name}, n{a.name}",
        }.get(a.way, lambda: a.name)())
    return ", ".join(out)


def emit_straight(op):
    """Without a frame: the kernel's own records, and the caller's bytes."""
    print("\t\tif (c->straight) {")
    for a in op.args:
        if a.way == "vnode" and a.lock == "new":
            print(f"\t\t\tif (c->again)\n\t\t\t\t*{a.name} = {a.name}_was;")
        if a.way == "outrecord":
            print(f"\t\t\ttd__zero({a.name}, sizeof(*{a.name}));")
        elif a.way == "out":
            print(f"\t\t\t*{a.name} = 0;")
        elif a.way == "outrecords":
            print(f"\t\t\t*n{a.name} = 0;")
        elif a.way == "outbytes":
            print(f"\t\t\t{a.name}->used = 0;")
    print("\t\t\ttd__straight_begin(c);")
    print(f"\t\t\terr = td__straight_end(c, {called(op, 'c->straight->ops->')}{straight_args(op)}));\n\t\t\tcontinue;\n\t\t}}")


def emit_gate_op(op):
    print(f"int td__cross_{op.name}({gate_params(op)})\n{{")
    for a in op.args:
        if a.way == "vnode" and a.lock == "new":
            print(f"\tconst struct td_vnode {a.name}_was = *{a.name};")
    print("\tstruct td__call *c;\n\tint err;\n\n\ttd__attempts tries = { 0 };\n\tdo {")
    print(f"\t\terr = td__call_begin(fs, TD_OP_{op.name}, &tries, &c);\n\t\tif (err)\n\t\t\treturn err;")
    emit_straight(op)
    print(f"\t\tstruct td_frame_{op.name} *f = (void *)c->frame;\n\n\t\t(void)f;")
    for a in op.args:
        if a.way == "vnode" and a.lock == "new":
            print(f"\t\ttd__put_new(c, &f->{a.name}_at, &f->{a.name}, {a.name}, &may_{op.name}_{a.name});")
        elif a.way == "vnode":
            may = f"&may_{op.name}_{a.name}" if a.lock == "exclusive" else "0"
            print(f"\t\ttd__put_vnode(c, &f->{a.name}_at, &f->{a.name}, {a.name}, TD_{a.lock.upper()}, {may});")
        elif a.way == "name":
            print(f"\t\tf->{a.name}_len = td__put_name(f->{a.name}, {a.name});")
        elif a.way == "uio":
            print(f"\t\tf->{a.name} = td__put_uio(c, {a.name});")
        elif a.way == "in":
            print(f"\t\tf->{a.name} = {a.name};")
        elif a.way == "inrecord":
            print(f"\t\tf->{a.name} = *{a.name};")
        elif a.way == "outrecord":
            print(f"\t\ttd__zero(&f->{a.name}, sizeof(f->{a.name}));")
        elif a.way == "out":
            print(f"\t\tf->{a.name} = 0;")
        elif a.way == "outrecords":
            print(f"\t\tf->n{a.name} = 0;")
        elif a.way == "inbytes":
            print(f"\t\terr = td__put_bytes(c, &f->{a.name}_at, &f->{a.name}_len, {a.name});")
        elif a.way == "outbytes":
            print(f"\t\terr = td__put_out(c, &f->{a.name}_at, &f->{a.name}_size, {a.name}->size);")
    print("\t\tif (!err)\n\t\t\terr = td__call_enter(c);" if any(a.way in ("inbytes", "outbytes") for a in op.args)
          else "\t\terr = td__call_enter(c);")
    outs = []
    for a in op.args:
        if a.way == "out":
            outs.append(f"\t\t\t*{a.name} = f->{a.name};")
        elif a.way == "outrecord":
            outs.append(f"\t\t\t*{a.name} = f->{a.name};\n\t\t\ttd__fetched();")
            outs.append(f"\t\t\terr = td__call_check(c, &td__fields_{a.ctype}, 0, {a.name}, td__check_{a.ctype}({a.name}, td__limits_of(fs)));")
        elif a.way == "outrecords":
            outs.append(f"\t\t\terr = td__take_count(c, \"{a.name}\", f->n{a.name}, {a.most}, n{a.name});")
            outs.append(f"\t\t\tfor (uint32_t i = 0; !err && i < *n{a.name}; i++) {{")
            outs.append(f"\t\t\t\t{a.name}[i] = f->{a.name}[i];\n\t\t\t\ttd__fetched();")
            outs.append(f"\t\t\t\terr = td__call_check(c, &td__fields_{a.ctype}, 0, &{a.name}[i], td__check_{a.ctype}(&{a.name}[i], td__limits_of(fs)));\n\t\t\t}}")
        elif a.way == "outbytes":
            outs.append(f"\t\t\terr = td__take_bytes(c, f->{a.name}_len, {a.name});")
    if op.verify:
        outs.append(f"\t\t\tif (!err)\n\t\t\t\terr = td__call_wrong(c, \"{op.name}\", td__verify_{op.name}({gate_names(op)}));")
    if outs:
        print("\t\tif (!err) {\n" + "\n".join(outs) + "\n\t\t}")
    print("\t} while (td__call_end(c, &tries, &err));\n\treturn err;\n}\n")


def direct_args(op):
    out = []
    for a in op.args:
        out.append({
            "vnode": lambda: a.name if a.lock == "new" else f"td__builtin_vnode(c, {a.name}, TD_{a.lock.upper()})",
            "uio": lambda: f"td__put_uio(c, {a.name})",
            "outrecords": lambda: f"{a.name}, n{a.name}",
        }.get(a.way, lambda: a.name)())
    return ", ".join(out)


def emit_direct_op(op):
    """The same function for a module that is built in: no frame, no crossing, no check."""
    print(f"int td__fs_{op.name}({gate_params(op)})\n{{")
    print(f"\tif (!td__ops.{op.each or op.name})\n\t\treturn {gate_default(op)};")
    print(f"\tstruct td__call *c = td__builtin_begin(fs, TD_OP_{op.name});")
    for a in op.args:
        if a.way == "outrecord":
            print(f"\ttd__zero({a.name}, sizeof(*{a.name}));")
        elif a.way == "out":
            print(f"\t*{a.name} = 0;")
        elif a.way == "outrecords":
            print(f"\t*n{a.name} = 0;")
    print(f"\tint err = {called(op, 'td__ops.')}{direct_args(op)});")
    for a in op.args:
        if a.way == "vnode" and a.lock == "exclusive":
            print(f"\ttd__builtin_changed(c, {a.name}, err);")
    print("\treturn td__builtin_end(c, err);\n}\n")


def emit_gateway(blocks):
    banner("The kernel's way into a module.")
    print("#include <tadan/each.h>\n#include \"straight.h\"\n")
    print("const char *const td__op_names[TD_OP_MAX] = {\n\t[TD_OP_HELLO] = \"hello\",")
    for op in of(blocks, "op"):
        print(f"\t[TD_OP_{op.name}] = \"{op.name}\",")
    print("};\n\nconst char *const td__svc_names[TD_SVC_MAX] = {")
    for s in of(blocks, "service"):
        print(f"\t[TD_SVC_{s.name}] = \"{s.name}\",")
    print("};\n\nconst uint16_t td__frame_sizes[TD_OP_MAX] = {\n\t[TD_OP_HELLO] = sizeof(struct td_frame_hello),")
    for op in of(blocks, "op"):
        print(f"\t[TD_OP_{op.name}] = sizeof(struct td_frame_{op.name}),")
    print("};\n")
    for r in of(blocks, "record"):
        emit_fields(r)
        emit_check(r)
        emit_fixed(r)
    print("int td__op_may_fail(uint32_t op, int error, uint32_t remote)\n{\n\tswitch (op) {")
    for op in of(blocks, "op"):
        tests = " || ".join(f"error == TD_{e}" for e in op.errors) or "0"
        if op.remote_errors:
            # Only the answer to mount says whether it is one.
            remote = "" if op.name == "mount" else "remote && "
            tests += f" || ({remote}(" + " || ".join(f"error == TD_{e}" for e in op.remote_errors) + "))"
        print(f"\tcase TD_OP_{op.name}:\n\t\treturn {tests};")
    print("\tdefault:\n\t\treturn 0;\n\t}\n}\n")
    emit_change_check()
    print("#ifndef TD__BUILTIN")
    emit_changes(blocks)
    for op in of(blocks, "op"):
        emit_gate_op(op)
    print("#else /* for measuring what a gate costs: see bench/builtin */\n#include \"builtin.h\"\n")
    for op in of(blocks, "op"):
        emit_direct_op(op)
    print("#endif")


# ---- The kernel's services: prototypes, and the message form for walls that cannot call

def kernel_params(s):
    rest = service_params(s)
    return "struct td__call *c" + (", " + rest if rest else "")


def emit_services_h(blocks):
    banner("The services as the kernel implements them, and as messages.")
    print("#ifndef TD__FS_SERVICES_H\n#define TD__FS_SERVICES_H\n\n#include \"gateway.h\"\n")
    print("/* Memory arguments are the kernel's own memory, or the module's in walls that share an address space. */")
    for s in of(blocks, "service"):
        print(f"int td__svc_do_{s.name}({kernel_params(s)});")
    print("\n/* For a table of imports: X(name) for every service. */\n#define TD__SERVICES(X) \\")
    print(" \\\n".join(f"\tX({s.name})" for s in of(blocks, "service")))
    print("\n\n/* The same with the types and names of the arguments, and where the pointers are:\n"
          " * X(name, (parameters), (arguments), memory, size, writes) */\n#define TD__SERVICES_TYPED(X) \\")
    rows = []
    for s in of(blocks, "service"):
        mem = [a for a in s.args if a.way in ("inbytes", "outbytes", "out")]
        if mem:
            a = mem[0]
            m = a.name
            size = f"{a.name}_len" if a.way != "out" else f"{SCALAR[a.ctype]}"
            writes = "0" if a.way == "inbytes" else "1"
        else:
            m, size, writes = "0", "0", "0"
        rows.append(f"\tX({s.name}, ({service_params(s) or 'void'}), ({service_names(s)}), {m}, {size}, {writes})")
    print(" \\\n".join(rows))
    print("""
/*
 * Carry out one message of a module's ring. `m` is the kernel's private copy, `payload` has `len` bytes
 * and is private too. A service with results writes them to `r` (8 bytes) and `out` (room for `size`).
 * Returns the service's own result in *result. A message that cannot be one is -TD_EBADMSG, a fault.
 */
int td__svc_message(struct td__call *c, const struct td_msg *m, const void *payload, uint32_t len,
		    int *result, uint64_t *r, void *out, uint32_t size);
""")
    print("#endif")


def msg_args(s):
    """Scalars go in a[0..3] of the message, in order; bytes go in the payload."""
    slot, out = 0, []
    for a in s.args:
        if a.way == "in":
            out.append(f"({CTYPE[a.ctype]})m->a[{slot}]")
            slot += 1
        elif a.way == "out":
            out.append("r")
        elif a.way == "inbytes":
            out.append("payload, len")
        elif a.way == "outbytes":
            out.append("out, m->want")
    if slot > 4:
        sys.exit(f"service {s.name}: more than 4 scalars")
    if service_params(s).count(",") > 5:
        sys.exit(f"service {s.name}: more than 6 parameters, which walls pass in registers")
    return ", ".join(["c"] + out)


def emit_services(blocks):
    banner("Messages of a module's ring become services.")
    print("#include \"fs_services.h\"\n")
    print("int td__svc_message(struct td__call *c, const struct td_msg *m, const void *payload, uint32_t len,\n"
          "\t\t    int *result, uint64_t *r, void *out, uint32_t size)\n{\n\tswitch (m->service) {")
    for s in of(blocks, "service"):
        print(f"\tcase TD_SVC_{s.name}:")
        tests = []
        if not any(a.way == "inbytes" for a in s.args):
            tests.append("len")
        if any(a.way == "outbytes" for a in s.args):
            tests.append("m->want > size")
        for i, a in enumerate([a for a in s.args if a.way == "in"]):
            if a.ctype == "u32":
                tests.append(f"m->a[{i}] > 4294967295u")
        if tests:
            print(f"\t\tif ({' || '.join(tests)})\n\t\t\treturn -TD_EBADMSG;")
        print(f"\t\t*result = td__svc_do_{s.name}({msg_args(s)});\n\t\treturn 0;")
    print("\tdefault:\n\t\treturn -TD_EBADMSG;\n\t}\n}")


def emit_remote(blocks):
    """The module's side of walls that send messages: td__svc_NAME() in terms of td__post and td__ask."""
    banner("Services as messages, on the module's side of a wall that cannot call.")
    print("#include <tadan/fs_if.h>\n#include \"remote.h\"\n")
    for s in of(blocks, "service"):
        print(f"int td__remote_{s.name}({service_params(s) or 'void'})\n{{")
        scalars = [a for a in s.args if a.way == "in"]
        inb = [a for a in s.args if a.way == "inbytes"]
        outb = [a for a in s.args if a.way == "outbytes"]
        outs = [a for a in s.args if a.way == "out"]
        init = ", ".join(["." + "service = TD_SVC_" + s.name] +
                         [f".a[{i}] = {a.name}" for i, a in enumerate(scalars)] +
                         ([f".want = {outb[0].name}_len"] if outb else []))
        print(f"\tstruct td_msg m = {{ {init} }};\n")
        data = f"{inb[0].name}, {inb[0].name}_len" if inb else "0, 0"
        if posted(s):
            print(f"\treturn td__post(&m, {data});\n}}\n")
        else:
            res = outs[0].name if outs else "0"
            out = f"{outb[0].name}, {outb[0].name}_len" if outb else "0, 0"
            print(f"\treturn td__ask(&m, {data}, {res}, {out});\n}}\n")
    print("const struct td__import td__remote_imports[] = {")
    for s in of(blocks, "service"):
        print(f"\t{{ \"td__svc_{s.name}\", td__remote_{s.name} }},")
    print("};\nconst size_t td__remote_nimports = sizeof(td__remote_imports) / sizeof(td__remote_imports[0]);")


# ---- The sandboxed wall: services as imports of translated code. Places in its memory are 32-bit numbers.

def sandbox_params(s):
    out = ["struct td__sandbox_env *env"]
    for a in s.args:
        if a.way == "in":
            out.append(f"uint{8 * SCALAR[a.ctype]}_t {a.name}")
        elif a.way == "out":
            out.append(f"uint32_t {a.name}_at")
        else:
            out.append(f"uint32_t {a.name}_at, uint32_t {a.name}_len")
    return ", ".join(out)


def emit_sandbox_imports(blocks):
    """For the translated code: an import under another type does not compile."""
    banner("The services as translated code calls them.")
    print("#pragma GCC visibility push(default)")
    for s in of(blocks, "service"):
        print(f"uint32_t Z_envZ_td__svc_{s.name}({sandbox_params(s)});")
    print("_Noreturn void td__sandbox_trap(uint32_t trap);\n#pragma GCC visibility pop")


def emit_sandbox(blocks):
    """The wall's side: arguments are checked against the sandbox's memory before the kernel sees a pointer."""
    banner("Services for translated code.")
    print("#include \"serve.h\"\n")
    for s in of(blocks, "service"):
        mem = [a for a in s.args if a.way in ("inbytes", "outbytes")]
        outs = [a for a in s.args if a.way == "out"]
        args = ["c"]
        for a in s.args:
            args.append({"in": a.name, "out": f"&{a.name}",
                         "inbytes": f"td__sfi_at(env, {a.name}_at), {a.name}_len",
                         "outbytes": f"td__sfi_at(env, {a.name}_at), {a.name}_len"}[a.way])
        print(f"static uint32_t serve_{s.name}({sandbox_params(s)})\n{{")
        print("\tstruct td__call *c = TD__SFI_BEGIN(env);")
        for a in outs:
            print(f"\t{CTYPE[a.ctype]} {a.name} = 0;")
        print("\tint err;\n")
        call = f"err = td__svc_do_{s.name}({', '.join(args)});"
        for a in mem:
            print(f"\tif (!td__sfi_holds({a.name}_at, {a.name}_len))\n\t\terr = td__sfi_stray(c);\n\telse")
        print(("\t" if mem else "") + "\t" + call)
        for a in outs:
            tell = f"td__sfi_view(env, {a.name})" if a.name == "view" else a.name
            print(f"\tif (!err)\n\t\terr = td__sfi_tell(env, {a.name}_at, {tell}, {SCALAR[a.ctype]});")
        print("\tTD__SFI_END(env);\n\treturn (uint32_t)err;\n}\n")
    print("const struct td__import td__sfi_services[] = {")
    for s in of(blocks, "service"):
        print(f"\t{{ \"Z_envZ_td__svc_{s.name}\", (void *)serve_{s.name} }},")
    print("};\nconst size_t td__sfi_nservices = sizeof(td__sfi_services) / sizeof(td__sfi_services[0]);")


# ---- The services as a sandboxed module may import them

def emit_sandbox_services(blocks):
    code = {"u32": "TD__I32", "u64": "TD__I64", "i64": "TD__I64"}
    banner("The services with their types in wasm. Pointers and lengths are 32 bits wide; each gives an int.")
    print("#include \"sfi/wasm.h\"\n\nconst struct td__wasm_service td__wasm_services[] = {")
    for s in of(blocks, "service"):
        types = []
        for a in s.args:
            types += [code[a.ctype]] if a.way == "in" else ["TD__I32"] if a.way == "out" else ["TD__I32", "TD__I32"]
        print(f"\t{{ \"td__svc_{s.name}\", {len(types)}, TD__I32, {{ {', '.join(types) or '0'} }} }},")
    print("\t/* The wall's own: where the call's context is, and atomic operations. */")
    print("\t{ \"td__svc_context\", 0, TD__I32, { 0 } },")
    print("\t{ \"td__svc_atomic\", 4, TD__I64, { TD__I32, TD__I32, TD__I64, TD__I64 } },\n};")
    print("const uint32_t td__wasm_nservices = sizeof(td__wasm_services) / sizeof(td__wasm_services[0]);")


def emit_page(blocks):
    """The reference page, in scdoc's language."""
    iface = of(blocks, "interface")[0]
    esc = lambda t: t.replace("_", "\\_").replace("*", "\\*")
    print(f"tadan-{iface.name}(7) \"\" \"Tadan modules\"\n\n# NAME\n\ntadan-{iface.name} - operations of a {iface.name} module "
          f"and services of the kernel\n\n# DESCRIPTION\n\n{esc(iface.doc)} An operation that a module leaves out has the default named here.\n")
    print("# OPERATIONS\n")
    for op in own(blocks):
        print(f"*{esc(op.name)}*({esc(op_params(op))})\n\n\t{esc(op.doc)}\n")
        locks = ", ".join(f"{a.name} {a.lock}" for a in op.args if a.way == "vnode")
        if locks:
            print(f"\tLocks held: {esc(locks)}.\n")
        for a in op.args:
            if a.doc:
                print(f"\t_{esc(a.name)}_: {esc(a.doc)}.\n")
        for name, change in op.changes.items():
            print(f"\tMay change in _{esc(name)}_: {esc(changes_text(change))}.\n")
        print(f"\tErrors: {esc(errors_text(op))}. Default: {esc(op.default or 'none')}.\n")
    print("# RECORDS\n")
    for r in of(blocks, "record"):
        print(f"*struct td\\_{esc(r.name)}*, {r.number} bytes\n\n\t{esc(r.doc)}\n")
        for f in r.args:
            rng = "the kernel's, fixed" if f.fixed else "" if f.lo is None else f"{f.lo} to {f.hi}"
            print(f"\t_{esc(f.name)}_ ({f.ctype}{', ' + rng if rng else ''}): {esc(f.doc)}.\n")
    print("# SERVICES\n\nAuthors use the functions of _tadan/fs.h_, which are made of these.\n")
    for s in of(blocks, "service"):
        print(f"*{esc(s.name)}*({esc(service_params(s))}){', posted' if posted(s) else ''}\n\n\t{esc(s.doc)} Errors: {', '.join(s.errors)}.\n")
    print("# SEE ALSO\n\n*tadan*(1)")


def main():
    global RECORDS
    emitters = {name[5:]: f for name, f in globals().items() if name.startswith("emit_")}
    if len(sys.argv) != 3 or sys.argv[2] not in emitters:
        sys.exit(f"usage: generate.py FILE.if KIND\nkinds: {', '.join(sorted(emitters))}")
    blocks = parse(sys.argv[1])
    RECORDS = {r.name: r for r in of(blocks, "record")}
    emitters[sys.argv[2]](blocks)


if __name__ == "__main__":
    main()
