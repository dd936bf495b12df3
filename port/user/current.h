/* SPDX-License-Identifier: BSD-2-Clause */
/* The call that this thread is in, for walls whose services are as cheap as a function: td__port_call() without the call. */
#ifndef TADAN_PORT_USER_CURRENT_H
#define TADAN_PORT_USER_CURRENT_H

struct td__call;
extern __thread struct td__call *td__port_current __attribute__((tls_model("initial-exec")));

#endif
