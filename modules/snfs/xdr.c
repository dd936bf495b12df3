/* SPDX-License-Identifier: BSD-2-Clause */
/* XDR: see xdr.h. */
#include <tadan/module.h>
#include "xdr.h"

static uint32_t padding(uint32_t len)
{
	return -len & 3;
}

/* ---- Encoding */

/* Room for len bytes, or 0. */
static uint8_t *room(struct xdr_out *out, uint32_t len)
{
	uint8_t *at = out->data + out->used;

	if (out->bad || len > out->size - out->used) {
		out->bad = 1;
		return 0;
	}
	out->used += len;
	return at;
}

void xdr_put_u32(struct xdr_out *out, uint32_t value)
{
	uint8_t *at = room(out, 4);

	for (int i = 0; at && i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

void xdr_put_u64(struct xdr_out *out, uint64_t value)
{
	xdr_put_u32(out, (uint32_t)(value >> 32));
	xdr_put_u32(out, (uint32_t)value);
}

void xdr_put_fixed(struct xdr_out *out, const void *data, uint32_t len)
{
	uint8_t *at = room(out, len), *pad = at ? room(out, padding(len)) : 0;

	if (!pad)
		return;
	memcpy(at, data, len);
	memset(pad, 0, padding(len));
}

void xdr_put_opaque(struct xdr_out *out, const void *data, uint32_t len)
{
	xdr_put_u32(out, len);
	xdr_put_fixed(out, data, len);
}

/* ---- Decoding */

/* The next len bytes, or 0. Padding is skipped, whatever it holds: RFC 4506 has zeroes there, and some do not. */
static const uint8_t *next(struct xdr_in *in, uint32_t len)
{
	const uint8_t *at = in->data + in->pos;

	if (in->bad || len > xdr_left(in) || padding(len) > xdr_left(in) - len) {
		in->bad = 1;
		return 0;
	}
	in->pos += len + padding(len);
	return at;
}

uint32_t xdr_get_u32(struct xdr_in *in)
{
	const uint8_t *at = next(in, 4);

	return at ? (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3] : 0;
}

uint64_t xdr_get_u64(struct xdr_in *in)
{
	uint64_t high = xdr_get_u32(in), low = xdr_get_u32(in);

	return in->bad ? 0 : high << 32 | low;
}

uint32_t xdr_get_bool(struct xdr_in *in)
{
	uint32_t value = xdr_get_u32(in);

	if (value > 1)
		in->bad = 1;
	return in->bad ? 0 : value;
}

void xdr_get_fixed(struct xdr_in *in, void *to, uint32_t len)
{
	const uint8_t *at = next(in, len);

	if (at)
		memcpy(to, at, len);
	else
		memset(to, 0, len);
}

const uint8_t *xdr_get_opaque(struct xdr_in *in, uint32_t most, uint32_t *len)
{
	uint32_t n = xdr_get_u32(in);
	const uint8_t *at;

	if (n > most)
		in->bad = 1;
	at = next(in, n);
	*len = at ? n : 0;
	return at;
}
