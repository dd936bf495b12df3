#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Install the kit that `tadan build` works with: install.py KIT FOLDER-BELOW-THE-PREFIX"""
import os
import shutil
import sys

shutil.copytree(sys.argv[1], os.path.join(os.environ["MESON_INSTALL_DESTDIR_PREFIX"], sys.argv[2]), dirs_exist_ok=True)
