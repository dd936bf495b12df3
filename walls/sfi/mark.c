/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Positions in translated code: see mark.h.
 *
 * wasm2c writes the functions in their order, and in each the instructions in theirs, one statement for each that does
 * something; what follows an unconditional branch within its block it leaves out. So both are walked side by side from one
 * instruction that can fault, or call, to the next.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mark.h"
#include "wasm.h"

enum { BULK = 256 }; /* opcodes behind the prefix 0xfc are counted from here */

struct walk {
	struct td__cursor c;
	int depth;  /* of blocks */
	int dead;   /* what follows is left out until the block at this depth has ended; 0: nothing is */
};

/* How an instruction looks in C; 0: it is passed over. */
static const char *in_c(uint32_t opcode)
{
	static const char *const accesses[] = {
		"i32_load(", "i64_load(", "f32_load(", "f64_load(", "i32_load8_s(", "i32_load8_u(", "i32_load16_s(",
		"i32_load16_u(", "i64_load8_s(", "i64_load8_u(", "i64_load16_s(", "i64_load16_u(", "i64_load32_s(",
		"i64_load32_u(", "i32_store(", "i64_store(", "f32_store(", "f64_store(", "i32_store8(", "i32_store16(",
		"i64_store8(", "i64_store16(", "i64_store32(",
	};

	if (opcode >= 0x28 && opcode <= 0x3e)
		return accesses[opcode - 0x28];
	switch (opcode) {
	case 0x00: return "UNREACHABLE;";
	case 0x0c: case 0x0d: case 0x0f: return "goto w2c_";
	case 0x10: return "(instance";
	case 0x11: return "CALL_INDIRECT(";
	case 0x40: return "wasm_rt_grow_memory(";
	case 0x6d: case 0x7f: return "_DIV_S(";
	case 0x6e: case 0x80: return "DIV_U(";
	case 0x6f: case 0x81: return "_REM_S(";
	case 0x70: case 0x82: return "REM_U(";
	case 0xa8 ... 0xab: case 0xae ... 0xb1: case BULK ... BULK + 7: return "_TRUNC_";
	case BULK + 8: return "memory_init(";
	case BULK + 10: return "memory_copy(";
	case BULK + 11: return "memory_fill(";
	default: return NULL;
	}
}

/* Does a line of C hold any of them? The branches of a table are one instruction, which is passed over. */
static int is_mark(const char *line)
{
	line += strspn(line, " ");
	if (!strncmp(line, "case ", 5) || !strncmp(line, "default:", 8))
		return 0;
	for (uint32_t opcode = 0; opcode < BULK + 12; opcode++)
		if (in_c(opcode) && strstr(line, in_c(opcode)))
			return 1;
	return 0;
}

static void skip_table(struct td__cursor *c)
{
	for (uint32_t n = td__read_u32(c) + 1; n && !c->bad; n--)
		td__read_u32(c);
}

/* Pass over what stands behind an opcode. */
static void skip_immediate(struct td__cursor *c, uint32_t opcode)
{
	if (opcode >= 0x28 && opcode <= 0x3e) {
		td__read_u32(c);
		td__read_u32(c);
		return;
	}
	switch (opcode) {
	case 0x02 ... 0x04: td__read_s64(c); break; /* the type of a block */
	case 0x0c: case 0x0d: case 0x10: case 0x20 ... 0x24: td__read_u32(c); break;
	case 0x0e: skip_table(c); break;
	case 0x11: td__read_u32(c); td__read_u32(c); break;
	case 0x3f: case 0x40: case BULK + 11: td__read_byte(c); break;
	case 0x41: td__read_s32(c); break;
	case 0x42: td__read_s64(c); break;
	case 0x43: c->at += 4; break;
	case 0x44: c->at += 8; break;
	case BULK + 10: td__read_byte(c); td__read_byte(c); break;
	case BULK + 8: td__read_u32(c); td__read_byte(c); break;
	default: break;
	}
}

static void follow_blocks(struct walk *w, uint32_t opcode)
{
	if (opcode >= 0x02 && opcode <= 0x04)
		w->depth++;
	if ((opcode == 0x05 || opcode == 0x0b) && w->dead == w->depth)
		w->dead = 0;
	if (opcode == 0x0b)
		w->depth--;
	if (!w->dead && (opcode == 0x00 || opcode == 0x0c || opcode == 0x0e || opcode == 0x0f))
		w->dead = w->depth;
}

/* The next instruction that shows in C, and where it stands; 0: the function is at its end. */
static const char *next(struct walk *w, uint32_t *offset)
{
	while (w->c.at < w->c.end && !w->c.bad) {
		int dead = w->dead;
		uint32_t opcode;

		*offset = w->c.at;
		opcode = td__read_byte(&w->c);
		if (opcode == 0xfc)
			opcode = BULK + td__read_u32(&w->c);
		skip_immediate(&w->c, opcode);
		follow_blocks(w, opcode);
		if (!dead && in_c(opcode))
			return in_c(opcode);
	}
	return NULL;
}

static void put_mark(FILE *to, uint32_t offset)
{
	fprintf(to, "#line %u \"" TD__SFI_MARKED "\"\n", offset);
}

/* The body of one function, up to its end in C. */
static int mark_body(const struct td__wasm *w, const struct td__wasm_function *f, FILE *from, FILE *to, char **line, size_t *room)
{
	struct walk walk = { .c = { w->data, f->code, f->end, 0 }, .depth = 1 };
	uint32_t offset = f->code;
	const char *wanted;
	int in_step = 1;

	while (getline(line, room, from) > 0 && strncmp(*line, "}", 1)) {
		if (in_step && is_mark(*line)) {
			wanted = next(&walk, &offset);
			in_step = wanted && strstr(*line, wanted);
			if (!in_step)
				fputs("#line 1 \"translated.c\"\n", to);
		}
		/* What follows an instruction belongs to it, until the next. */
		if (in_step)
			put_mark(to, offset);
		fputs(*line, to);
	}
	fputs("}\n#line 1 \"translated.c\"\n", to);
	return ferror(from) || ferror(to) ? -EIO : 0;
}

/* The head of a function's definition, which is at least two lines before its FUNC_PROLOGUE. */
static int is_head(const char *line)
{
	return !strncmp(line, "static ", 7) && strstr(line, " w2c_") && strstr(line, ") {\n");
}

/* What stands before the declaration of a function that every call passes, or of one that few do: as the sdk names them. */
static const char *in_front(const char *line)
{
	if (strncmp(line, "static ", 7) || !strstr(line, ");\n"))
		return "";
	return strstr(line, " w2c_td__enter(") ? "inline " : strstr(line, " w2c_td__begin(") ? "__attribute__((cold)) " : "";
}

static int mark_all(const struct td__wasm *w, FILE *from, FILE *to)
{
	uint32_t function = w->nimported;
	char *line = NULL;
	size_t room = 0;
	int err = 0;

	while (!err && getline(&line, &room, from) > 0) {
		if (is_head(line) && function < w->nfunctions)
			put_mark(to, w->functions[function].code);
		fputs(in_front(line), to);
		fputs(line, to);
		if (strcmp(line, "  FUNC_PROLOGUE;\n"))
			continue;
		if (function == w->nfunctions)
			err = -ENOEXEC;
		else
			err = mark_body(w, &w->functions[function++], from, to, &line, &room);
	}
	free(line);
	return err ? err : ferror(from) || ferror(to) ? -EIO : 0;
}

int td__sfi_mark(const void *wasm, size_t size, FILE *from, FILE *to)
{
	struct td__sfi_report report = { 0 };
	struct td__wasm w = { .data = wasm, .size = size, .report = &report };
	int err = td__wasm_open(&w);

	if (!err)
		err = td__wasm_check(&w); /* finds where the code of each function begins, too */
	if (!err)
		err = mark_all(&w, from, to);
	td__wasm_close(&w);
	return err;
}
