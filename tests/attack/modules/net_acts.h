/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the module net_acts can be told to do: in `whence` of seek, where `off` is its argument and `found` its result, with the error in
 * the bits from NET_ERROR on; or, where the vnode must be ours alone, in the size that truncate is to set: ENOSPC stands for any error.
 * A message is its tag and a byte that says what the server is to do: e: send it back, n: nothing, c: close the connection.
 */
#ifndef NET_ACTS_H
#define NET_ACTS_H

enum net_act {
	NET_NOTHING,
	/* Messages */
	NET_LEAVE,        /* open this many, and leave them */
	NET_NUMBER,       /* open one by this number */
	NET_SELF,         /* append a chain to itself, this many times; found: its length, if every byte is right */
	NET_BEYOND,       /* bytes that a chain does not have, in NET_BEYONDS ways */
	NET_FREED,        /* use a chain that is freed */
	NET_FREED_TWICE,
	NET_OLD,          /* use the chain of an earlier call */
	NET_HOLD,         /* have one open for so many milliseconds */
	NET_USE,          /* use the handle */
	NET_GROW,         /* let a chain grow until that is refused; found: bytes */
	NET_GROW_MANY,    /* as many chains as there are; found: bytes */
	NET_UIO,          /* the caller's buffer of a call that has none */
	NET_TEXTS,        /* longer than they may be, or of another kind */
	/* What is kept; with truncate, but for the first */
	NET_KEEP_SHARED,  /* with a vnode that is not ours alone */
	NET_KEEP_FOREIGN, /* with a vnode that the call does not have */
	NET_KEEP_MUCH,    /* until that is refused */
	NET_KEEP_AND_FALL, /* keep and send, then store to address 8 */
	NET_DROP,         /* all that is kept */
	/* Sockets */
	NET_CALL,         /* the command `off`, there and back */
	NET_INVENTED,     /* send, call and receive on this handle */
	NET_LOST,         /* let the server close, then use the handle; found: 1 if another can be had */
	NET_OPEN,         /* this port, and flags above 32 bits */
	NET_PORTS,        /* that many ports, from the server's on; found: how many were had */
	NET_TAGLESS,      /* a message of three bytes */
	NET_SAME_TAG,     /* two messages with one tag */
	NET_FLOOD,        /* send so many that are not answered */
	NET_ROOM,         /* take a reply into less than its record */
	/* Addresses that are not the module's */
	NET_LOAD,
	NET_STORE,
	NET_GET_TO,       /* a chain's bytes */
	NET_PUT_FROM,     /* into a chain */
	NET_REPLY_TO,     /* a reply */
};

enum { NET_BEYONDS = 7, NET_SELF_BYTES = 64, NET_ERROR = 48 };

#endif
