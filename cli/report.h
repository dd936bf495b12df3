/* SPDX-License-Identifier: BSD-2-Clause */
/* Faults and knobs as JSON, and faults as text from that JSON. */
#ifndef TADAN_CLI_REPORT_H
#define TADAN_CLI_REPORT_H

#include <jansson.h>
#include <stdio.h>

struct td__module;
struct td_fault;

/* "wall=none,trap=on" as an object. */
json_t *td__report_knobs(const char *knobs);
/* What kinds of mistakes are called, by enum td_mistake. */
extern const char *const td__report_mistakes[];
/* Everything about a fault, or a mistake; addresses in the module file come with their source lines. */
json_t *td__report_fault(const char *dir, const struct td__module *m, const struct td_fault *f);
/* Is this line of a backtrace in the sdk's part of the module? */
int td__report_is_sdk(const char *line);
/* For a person to read and act on. */
void td__report_print(json_t *fault, FILE *to);

#endif
