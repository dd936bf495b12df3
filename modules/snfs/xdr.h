/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XDR (RFC 4506) over buffers with an end. Both directions have a sticky error: after the first item that does not
 * fit or makes no sense, all later ones do nothing, and what was asked for is zero. So a whole message is
 * coded, then `bad` is looked at once.
 *
 * What is decoded was written by somebody else: no length is used before it has been held against what is left.
 */
#ifndef SNFS_XDR_H
#define SNFS_XDR_H

#include <tadan/types.h>

struct xdr_out {
	uint8_t *data;
	uint32_t size, used;
	uint32_t bad; /* something did not fit */
};

struct xdr_in {
	const uint8_t *data;
	uint32_t len, pos; /* pos <= len */
	uint32_t bad;      /* cut short, or a value that cannot be */
};

static inline uint32_t xdr_left(const struct xdr_in *in)
{
	return in->len - in->pos;
}

void xdr_put_u32(struct xdr_out *out, uint32_t value);
void xdr_put_u64(struct xdr_out *out, uint64_t value);
/* Bytes of a length that both sides know, padded to four. */
void xdr_put_fixed(struct xdr_out *out, const void *data, uint32_t len);
/* Bytes behind their length; strings are the same. */
void xdr_put_opaque(struct xdr_out *out, const void *data, uint32_t len);

uint32_t xdr_get_u32(struct xdr_in *in);
uint64_t xdr_get_u64(struct xdr_in *in);
/* A boolean is 0 or 1 and nothing else. */
uint32_t xdr_get_bool(struct xdr_in *in);
void xdr_get_fixed(struct xdr_in *in, void *to, uint32_t len);
/* Where the bytes lie, within the buffer; at most `most` of them. 0 with *len 0 where they make no sense. */
const uint8_t *xdr_get_opaque(struct xdr_in *in, uint32_t most, uint32_t *len);

#endif
