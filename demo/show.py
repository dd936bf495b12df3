# SPDX-License-Identifier: BSD-2-Clause
"""How the demonstration talks: steps with their time, proofs that hold or do not, and the table at the end."""

import contextlib
import sys
import time

BEGIN = time.monotonic()
colours = sys.stdout.isatty()


class Broken(Exception):
    """A proof failed, or something that must work did not."""


def style(code, text):
    return f"\033[{code}m{text}\033[0m" if colours else text


def say(text=""):
    print(text, flush=True)


def part(text):
    say(f"\n{style(1, text)}   [{time.monotonic() - BEGIN:.0f} s]")


def note(text):
    say("  " + text)


@contextlib.contextmanager
def step(text):
    """Something that takes a moment. What the body puts into the list is told behind it."""
    more, begin = [], time.monotonic()
    print(f"  {text} ... ", end="", flush=True)
    try:
        yield more
    except BaseException:
        say(style(31, "failed"))
        raise
    say(f"{time.monotonic() - begin:.1f} s" + "".join(f", {m}" for m in more))


def proof(holds, text):
    if not holds:
        say("  " + style(31, "DOES NOT HOLD: ") + text)
        raise Broken(text)
    say("  " + style(32, "proved: ") + text)


def indent(text):
    for line in text.rstrip().splitlines():
        say("      | " + line)


def table(heads, rows):
    cells = [heads] + [[str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    for number, row in enumerate(cells):
        line = "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths)))
        say("  " + (style(1, line) if number == 0 else line))
