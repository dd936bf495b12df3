# SPDX-License-Identifier: BSD-2-Clause
"""Results drawn as SVG, or as a page of HTML with the SVG in it. No library: panels below one another, each one of

  bars    a line for each thing: value, quartiles as a whisker, and a second mark for the paper's figure
  points  what a level costs against how much of it is detected
  curves  the share of calls that took at most so long
"""

import math
from html import escape

import detects
from show import time_text

WIDTH, LEFT, RIGHT, LINE, GAP = 860, 300, 90, 20, 46
INK, FAINT, MINE, PAPER = "#222222", "#d8d8d8", "#2a6f97", "#d98324"
COLOURS = ("#2a6f97", "#d98324", "#4f9d69", "#a23b72", "#6c6f7d", "#b8a01e", "#1b998b", "#c44536")


class Scale:
    """From a value to a place between LEFT and WIDTH - RIGHT."""

    def __init__(self, values, log):
        values = [v for v in values if v is not None and (v > 0 or not log)] or [1]
        self.log = log
        self.low = 10 ** math.floor(math.log10(min(values))) if log else min(0, *values) if len(values) > 1 else 0
        self.high = 10 ** math.ceil(math.log10(max(values) * 1.0001)) if log else (max(values) or 1) * 1.05

    def __call__(self, v):
        if self.log:
            v = max(v, self.low)
            part = (math.log10(v) - math.log10(self.low)) / (math.log10(self.high) - math.log10(self.low))
        else:
            part = (v - self.low) / (self.high - self.low)
        return LEFT + min(1, max(0, part)) * (WIDTH - LEFT - RIGHT)

    def ticks(self):
        if self.log:
            n = round(math.log10(self.high / self.low))
            return [self.low * 10 ** i for i in range(n + 1)]
        step = 10 ** math.floor(math.log10(self.high - self.low))
        step = step / 5 if (self.high - self.low) / step < 2 else step / 2 if (self.high - self.low) / step < 5 else step
        return [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


class Canvas:
    def __init__(self):
        self.parts, self.y = [], 0

    def text(self, x, y, words, anchor="start", size=12, colour=INK, weight="normal"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}" '
                          f'font-weight="{weight}">{escape(words)}</text>')

    def line(self, x1, y1, x2, y2, colour=INK, width=1.0):
        self.parts.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}"/>')

    def box(self, x, y, width, height, colour):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>')

    def dot(self, x, y, colour, size=4.5):
        self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>')

    def path(self, points, colour):
        words = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.parts.append(f'<polyline points="{words}" fill="none" stroke="{colour}" stroke-width="1.8"/>')

    def title(self, words, note=""):
        self.y += GAP
        self.text(16, self.y, words, size=15, weight="bold")
        if note:
            self.y += 18
            self.text(16, self.y, note, size=11, colour="#666666")
        self.y += 12

    def grid(self, scale, top, bottom, show):
        ticks = scale.ticks()
        for v in ticks:
            self.line(scale(v), top, scale(v), bottom, FAINT)
            self.text(scale(v), bottom + 15, show(v), "middle", 10, "#666666")

    def svg(self):
        height = self.y + 30
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height:.0f}" '
                f'viewBox="0 0 {WIDTH} {height:.0f}" font-family="sans-serif">'
                f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


def bars(canvas, title, rows, show, log=False, note="", second=None):
    """rows: (label, value, low, high, the second mark or None, words where there is no value)"""
    scale = Scale([v for r in rows for v in r[1:5] if v is not None], log)
    canvas.title(title, note)
    top = canvas.y
    bottom = top + len(rows) * LINE + 4
    canvas.grid(scale, top, bottom, show)
    zero = scale(scale.low if log else 0)
    for i, (label, value, low, high, mark, words) in enumerate(rows):
        y = top + i * LINE + 4
        canvas.text(LEFT - 10, y + 11, label, "end", 11)
        if value is None:
            canvas.text(zero + 6, y + 11, words, size=10, colour="#999999")
            continue
        end = scale(value)
        canvas.box(min(zero, end), y + 2, abs(end - zero), LINE - 8, MINE)
        if low is not None:
            canvas.line(scale(low), y + 8, scale(high), y + 8, INK, 1.4)
        if mark is not None:
            canvas.dot(scale(mark), y + 8, PAPER)
        canvas.text(WIDTH - RIGHT + 8, y + 12, show(value), size=11)
    canvas.y = bottom + 18
    if second:
        canvas.box(LEFT, canvas.y + 6, 14, 9, MINE)
        canvas.text(LEFT + 20, canvas.y + 15, "here", size=11)
        canvas.dot(LEFT + 74, canvas.y + 11, PAPER)
        canvas.text(LEFT + 84, canvas.y + 15, second, size=11)
        canvas.y += 20


def points(canvas, title, note, found, high):
    """found: (label, cost as a share, kinds of misbehaviour detected)"""
    scale = Scale([max(c, 0) for _, c, _ in found] + [0], False)
    canvas.title(title, note)
    top, height = canvas.y + 6, 240
    bottom = top + height
    canvas.grid(scale, top, bottom, lambda v: f"{v:.0%}")
    for n in range(0, high + 1, 2):
        y = bottom - n / high * height
        canvas.line(LEFT, y, WIDTH - RIGHT, y, FAINT)
        canvas.text(LEFT - 10, y + 4, str(n), "end", 10, "#666666")
    canvas.text(LEFT - 40, top - 4, "detected", "end", 11)
    for i, (label, cost, n) in enumerate(found):
        x, y = scale(max(cost, 0)), bottom - n / high * height
        canvas.dot(x, y, COLOURS[i % len(COLOURS)], 6)
        left = x > WIDTH - RIGHT - 60
        canvas.text(x - 10 if left else x + 10, y + (16 if i % 2 else -8), label, "end" if left else "start", 11)
    canvas.y = bottom + 18


def curves(canvas, title, found):
    """found: (label, [[share, ns], ...])"""
    scale = Scale([ns for _, q in found for _, ns in q], True)
    canvas.title(title, "share of single copies that took at most so long")
    top, height = canvas.y + 4, 200
    bottom = top + height
    canvas.grid(scale, top, bottom, time_text)
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - share * height
        canvas.line(LEFT, y, WIDTH - RIGHT, y, FAINT)
        canvas.text(LEFT - 10, y + 4, f"{share:.0%}", "end", 10, "#666666")
    for i, (label, q) in enumerate(found):
        canvas.path([(scale(ns), bottom - share * height) for share, ns in q], COLOURS[i % len(COLOURS)])
        canvas.box(40, top + 10 + i * 18, 14, 4, COLOURS[i % len(COLOURS)])
        canvas.text(60, top + 16 + i * 18, label, size=11)
    canvas.y = bottom + 18


def share_text(v):
    return f"{v:.1%}" if abs(v) < 0.1 else f"{v:.0%}"


def draw_protection(canvas, table):
    where = f"{table['module']}, {'in-process' if table['front'] == 'inproc' else 'through FUSE'}"
    rows = []
    for r in table["rows"]:
        known = (r.get("paper") or {}).get("share")
        if r["ns"] is None:
            rows.append((r["protection"], None, None, None, None, "not to be had on this machine"))
        else:
            unit = r["ns"] / r["share"] if r["share"] else 0
            spread = (r["low"] / unit, r["high"] / unit) if unit and "low" in r else (None, None)
            rows.append((r["protection"], r["share"], *spread, known, ""))
    bars(canvas, f"What protection costs a copy of 64 KiB: {where}", rows, share_text, second="the paper",
         note="as a share of the copy without fail-safety; the line is from the first quartile to the third")
    whole = {r["protection"]: r for r in table["rows"] if r.get("ratio")}
    found = [(label, whole[name]["ratio"]["median"] - 1, len(detects.BY_WALL[wall]))
             for name, wall, label in detects.WHOLE if name in whole]
    points(canvas, f"The trade-off: {where}", "kinds of misbehaviour that are detected, against what it costs the copy", found,
           len(detects.KINDS))
    if table.get("latency"):
        curves(canvas, f"Latency of a copy: {where}", [(x["name"], x["quantiles"]) for x in table["latency"]])


def times(canvas, title, rows):
    bars(canvas, title, [(r["name"], r["ns"]["median"], r["ns"]["low"], r["ns"]["high"], None, "") for r in rows], time_text, log=True)


def draw_work(canvas, work):
    for workload in dict.fromkeys(r["workload"] for r in work):
        rows = [(r["target"], r["ns"]["median"], r["ns"]["low"], r["ns"]["high"], None, "") for r in work if r["workload"] == workload]
        bars(canvas, f"{workload}: time of one operation, or of all", rows, time_text)


def draw(found):
    canvas = Canvas()
    m = found["machine"]
    for table in found.get("results", []):
        draw_protection(canvas, table)
    for key, title in (("floors", "Floors"), ("gates", "Gates: a null call, and a null service")):
        if found.get(key):
            times(canvas, title, found[key])
    if found.get("work"):
        draw_work(canvas, found["work"])
    if found.get("rows"):
        bars(canvas, "Liveness: time against neither yields nor timer",
             [(f"{r['form']}, {r['work']}: {r['liveness']}", r["ratio"]["median"], r["ratio"]["low"], r["ratio"]["high"], None, "") for r in found["rows"]],
             lambda v: f"{v:.2f}")
    if found.get("paths"):
        bars(canvas, "Instructions of a path", [(f"{p['path']}: {k}", p[k], None, None, None, "") for p in found["paths"]
                                                for k in ("without", "unbound")], lambda v: f"{v:.0f}")
    canvas.y += 20
    canvas.text(16, canvas.y, f"{m['cpu']}, {m['cores']} cores, Linux {m['kernel']}, {m['date']}"
                f"{'; the machine was busy with other work' if m['noisy'] else ''}", size=11, colour="#666666")
    return canvas.svg()


def write(path, found):
    picture = draw(found)
    if path.endswith(".html"):
        picture = ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>tadan bench '
                   f'{escape(found["command"])}</title></head>\n<body>\n{picture}</body></html>\n')
    with open(path, "w", encoding="utf-8") as f:
        f.write(picture)
