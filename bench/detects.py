# SPDX-License-Identifier: BSD-2-Clause
"""What each wall detects with all its knobs turned on, for the drawing of cost against detection; see CAVEATS.md."""

KINDS = ["bad argument to a service", "stale or foreign handle", "meaningless data in a record", "lock kept or misused",
         "deadlock", "access to unmapped memory", "stack overflow", "endless loop", "more memory or handles than allowed",
         "wild write into the kernel's memory", "wild write into shared memory", "read of the kernel's memory", "hostile code"]

_KERNEL, _TRAP = KINDS[:2], KINDS[:9]
BY_WALL = {"trusted": _KERNEL, "none": _TRAP, "pkey": _TRAP + KINDS[9:12], "sfi": KINDS, "process": KINDS}

# row of `tadan bench protection`, wall, label
WHOLE = [("the copy without fail-safety", "trusted", "trusted"), ("all that wall none has", "none", "none, all knobs"),
         ("all that wall pkey has", "pkey", "pkey, all knobs"), ("all that wall sfi has", "sfi", "sfi, all knobs"),
         ("all that wall process has", "process", "process, all knobs")]
