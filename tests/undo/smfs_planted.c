/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sandboxed form of the planted SMFS is made of besides SMFS: a form is named after its source. */
#include "planted.c"
