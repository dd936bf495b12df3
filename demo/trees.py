# SPDX-License-Identifier: BSD-2-Clause
"""Checksums of files and trees, read from the file system and not from what Linux remembers of it."""

import hashlib
import os
from pathlib import Path


def checksum(path):
    """Or the error: whatever it is, the file is then not what it should be."""
    try:
        with open(path, "rb") as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return hashlib.sha256(f.read()).hexdigest()
    except OSError as error:
        return os.strerror(error.errno)


def tree(top):
    """Relative path -> checksum, target of a symbolic link, or "directory"."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            key = os.path.relpath(path, top)
            if os.path.islink(path):
                found[key] = "-> " + os.readlink(path)
            else:
                found[key] = "directory" if os.path.isdir(path) else checksum(path)
    return found


def differences(want, top):
    """What is missing, too much or different below `top`."""
    have = tree(top)
    return sorted(k for k in want.keys() | have.keys() if want.get(k) != have.get(k))


def headers():
    """A tree of sources with thousands of files that this machine has."""
    found = sorted(Path("/usr/src").glob("linux-headers-*-common"))
    return found[-1] if found else Path("/usr/include")
