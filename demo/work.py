# SPDX-License-Identifier: BSD-2-Clause
"""Part 1: what people do with a file system, on SMFS at level trusted."""

import os
import shutil
import subprocess
from pathlib import Path

import trees
from show import Broken, note, proof, step

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parent / "bench"  # a real program in C: the benchmark itself


def run(command, cwd, text=None):
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(map(str, command[:3]))}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def unpack(source, to, scratch):
    """Unpack an archive of `source`. Returns the checksums that the original has."""
    archive = os.path.join(scratch, "tree.tar")
    with step(f"an archive and the checksums of {source}") as more:
        run(["tar", "cf", archive, "-C", str(source), "."], scratch)
        want = trees.tree(source)
        files = sum(v != "directory" for v in want.values())
        more.append(f"{files:,} files, {os.path.getsize(archive) / 1e6:.0f} MB")
    os.mkdir(to)
    with step("tar unpacks it onto the mount"):
        run(["tar", "xf", archive, "-C", to], to)
    os.unlink(archive)
    return want


def verify(want, where, what):
    run(["sync", "-f", where], where)  # so that what is read now comes from the file system
    with step(f"reading {what} back"):
        wrong = trees.differences(want, where)
    proof(not wrong, f"all {len(want):,} entries are as in the original" if not wrong else
          f"{len(wrong)} entries differ from the original, the first is {wrong[0]}")


def compile_program(mount):
    where = os.path.join(mount, "program")
    os.mkdir(where)
    sources = [p for p in PROGRAM.glob("*.[ch]") if p.name.startswith("fs")]
    for path in sources:
        shutil.copy(path, where)
    with step(f"gcc compiles a program of {len(sources)} files there"):
        run(["gcc", "-std=gnu11", "-O2", "-D_GNU_SOURCE", "-o", "fsbench"] +
            sorted(p.name for p in sources if p.suffix == ".c"), where)
    with step("the program runs from the mount") as more:
        more.append(run(["./fsbench", "meta", where, "--count", "500"], where).strip().splitlines()[-1].strip())


def git(where):
    command = ["git", "-c", "user.name=demo", "-c", "user.email=demo@example.org", "-c", "gc.auto=0",
               "-c", "core.fsync=none", "-c", "safe.directory=*"]
    with step("git init, add, commit"):
        run(command + ["init", "-q", "."], where)
        run(command + ["add", "."], where)
        run(command + ["commit", "-q", "-m", "All of it"], where)
    with step("git fsck and status"):
        run(command + ["fsck", "--strict", "--no-progress"], where)
        changed = run(command + ["status", "--porcelain"], where)
    proof(not changed, "git finds every object whole and no file changed")
    shutil.rmtree(os.path.join(where, ".git"))


def fill(db, rounds=150, rows=40):
    """The same for each database: transactions of inserts, updates and deletes. Returns what must be in it."""
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, n INTEGER)")
    db.execute("CREATE INDEX by_word ON t (word)")
    db.commit()
    for i in range(rounds):
        db.executemany("INSERT INTO t (word, n) VALUES (?, ?)",
                       ((f"word {(i * rows + j) * 7919 % 10007}", j) for j in range(rows)))
        db.execute("UPDATE t SET n = n + 1 WHERE id % 50 = ?", (i % 50,))
        db.execute("DELETE FROM t WHERE id % 97 = ?", (i % 97,))
        db.commit()
    return db.execute("SELECT count(*), sum(n), sum(length(word)) FROM t").fetchone()


def sqlite(mount):
    try:
        import sqlite3
    except ImportError:
        note("no SQLite in this Python: this step is left out")
        return
    want = fill(sqlite3.connect(":memory:"))
    for mode in ("delete", "wal"):
        path = os.path.join(mount, f"{mode}.db")
        with step(f"SQLite, 150 transactions, journal_mode={mode}"):
            db = sqlite3.connect(path)
            db.execute(f"PRAGMA journal_mode={mode}")
            fill(db)
            db.close()
        db = sqlite3.connect(path)
        have = db.execute("SELECT count(*), sum(n), sum(length(word)) FROM t").fetchone()
        whole = db.execute("PRAGMA integrity_check").fetchone()[0]
        db.close()
        proof(have == want and whole == "ok", "its content is that of the same database in memory")


def show(mount, source, scratch):
    """Returns the checksums of the tree, which stays on the mount in `tree`."""
    where = os.path.join(mount.dir, "tree")
    want = unpack(source, where, scratch)
    verify(want, where, "the tree")
    compile_program(mount.dir)
    git(where)
    sqlite(mount.dir)
    return want
