/* SPDX-License-Identifier: BSD-2-Clause */
/* Tables of text: each column as wide as its widest cell, the last one as it comes. */
#ifndef TADAN_CLI_TABLE_H
#define TADAN_CLI_TABLE_H

#include <stddef.h>

struct td__table {
	size_t columns, cells;
	char **text; /* row by row; the first row is the head */
};

/* The cells of a row come one after the other. */
void td__table_add(struct td__table *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Print and free. */
void td__table_print(struct td__table *t);

#endif
