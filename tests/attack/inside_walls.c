/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks from inside the address space, against the walls that share it with modules.
 *
 *   inside_walls FOLDER [none|ro|rw|unmapped [CASE]]
 *
 * FOLDER has the modules. Without more, all walls that this machine has; "ro" and so on are the
 * pkey wall by its knob `shared`. Each attack is followed by a call that must work: what matters
 * is not that the fault is seen but that the kernel goes on as before.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inside.h"

enum { SKIP = 77 };

/* Where an attack is aimed at. */
enum target {
	NOWHERE,
	NULL_PAGE,
	WEIRD, /* no canonical address */
	UNMAPPED,
	SECRET,	   /* data of the kernel's */
	HOST_CODE, /* a function of the kernel's */
	OWN_DATA,  /* data of the module's: not code */
	OWN_TEXT,
	DEVICE,
	OTHER_HEAP, /* of another domain */
	KERNEL_STACK,
	BLOCK, /* a number, not an address */
	ODD,   /* an address of the module's own, odd */
};

/* Columns: none with trap; pkey with shared ro, rw, unmapped. */
enum { COLUMNS = 4 };
static const char *const columns[COLUMNS] = { "none", "ro", "rw", "unmapped" };

/*
 * What is expected. OK: nothing stops it, and nothing needs to. HARM: done, though it should not be
 * possible.
 */
enum expect { OK, HARM, ACCESS, WALL, ILLEGAL, STACK, TIME, SERVICE, FAULT, EFAULT_, UNTRIED };
static const char *const expect_names[] = { "returned", "harm",	  "access",   "wall",
					    "illegal",	"stack",  "time",     "service",
					    "a fault",	"EFAULT", "not tried" };

struct attack {
	const char *name;
	enum act act;
	enum target target;
	enum expect expect[COLUMNS];
	const char *lay; /* beginning of the fault's `lay`; 0: not compared */
};

/* clang-format off */
static const struct attack attacks[] = {
	/*
	 * name                  act                target         none     ro       rw
	 * unmapped
	 */
	{ "plain call",          ACT_NOTHING,       NOWHERE,      { OK,      OK,      OK,      OK }, 0 },
	{ "heap, bufs, data",    ACT_GREET,         NOWHERE,      { OK,      OK,      OK,      OK }, 0 },
	{ "null read",           ACT_READ,          NULL_PAGE,    { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing" },
	{ "null write",          ACT_WRITE,         NULL_PAGE,    { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing" },
	{ "null call",           ACT_CALL,          NULL_PAGE,    { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing" },
	{ "unmapped write",      ACT_WRITE,         UNMAPPED,     { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing" },
	{ "non-canonical read",  ACT_READ,          WEIRD,        { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing: beyond all memory" },
	{ "non-canonical call",  ACT_CALL,          WEIRD,        { ACCESS,  ACCESS,  ACCESS,  ACCESS }, 0 },
	{ "kernel read",         ACT_READ,          SECRET,       { OK,      OK,      OK,      WALL }, "kernel memory" },
	{ "kernel write",        ACT_WRITE,         SECRET,       { HARM,    WALL,    WALL,    WALL }, "kernel memory" },
	{ "kernel stack write",  ACT_WRITE,         KERNEL_STACK, { HARM,    WALL,    WALL,    WALL }, "kernel memory" },
	{ "kernel text write",   ACT_WRITE,         HOST_CODE,    { ACCESS,  FAULT,   FAULT,   FAULT }, "kernel memory" },
	{ "own text write",      ACT_WRITE,         OWN_TEXT,     { ACCESS,  FAULT,   FAULT,   FAULT }, "module text" },
	{ "own data write",      ACT_WRITE,         OWN_DATA,     { OK,      OK,      OK,      OK }, 0 },
	{ "device read",         ACT_READ,          DEVICE,       { OK,      OK,      OK,      WALL }, "buf of block 3" },
	{ "device write",        ACT_WRITE,         DEVICE,       { HARM,    WALL,    OK,      WALL }, "buf of block 3" },
	{ "write through view",  ACT_VIEW_WRITE,    BLOCK,        { HARM,    WALL,    OK,      OK }, "buf of block 3" },
	{ "other domain read",   ACT_READ,          OTHER_HEAP,   { OK,      WALL,    WALL,    WALL }, "another domain" },
	{ "other domain write",  ACT_WRITE,         OTHER_HEAP,   { HARM,    WALL,    WALL,    WALL }, "another domain" },
	{ "call of data",        ACT_CALL,          OWN_DATA,     { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "module data" },
	{ "jump to data",        ACT_JUMP,          OWN_DATA,     { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "module data" },
	{ "jump to unmapped",    ACT_JUMP,          UNMAPPED,     { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing" },
	{ "call of the kernel",  ACT_CALL,          HOST_CODE,    { HARM,    WALL,    WALL,    WALL }, "kernel memory" },
	{ "stack overflow",      ACT_OVERFLOW,      NOWHERE,      { STACK,   STACK,   STACK,   STACK }, 0 },
	{ "overflow by service", ACT_OVERFLOW_IN_SERVICE, NOWHERE, { STACK,  STACK,   STACK,   STACK }, 0 },
	{ "lost stack pointer",  ACT_LOST_STACK,    UNMAPPED,     { ACCESS,  ACCESS,  ACCESS,  ACCESS }, "nothing" },
	{ "stack in the kernel", ACT_LOST_STACK,    SECRET,       { UNTRIED, WALL,    WALL,    WALL }, "kernel memory" },
	{ "endless loop",        ACT_LOOP,          NOWHERE,      { TIME,    TIME,    TIME,    TIME }, 0 },
	{ "endless services",    ACT_LOOP_SERVICES, NOWHERE,      { TIME,    TIME,    TIME,    TIME }, 0 },
	{ "undefined instruction", ACT_TRAP,        NOWHERE,      { ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL }, 0 },
	{ "breakpoint",          ACT_BREAKPOINT,    NOWHERE,      { ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL }, 0 },
	{ "division by zero",    ACT_DIVIDE,        NOWHERE,      { ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL }, 0 },
	{ "privileged",          ACT_PRIVILEGED,    NOWHERE,      { ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL }, 0 },
	{ "misaligned vector",   ACT_UNALIGNED,     ODD,          { ACCESS,  ACCESS,  ACCESS,  ACCESS }, 0 },
	{ "processor state",     ACT_OTHER_STATE,   NOWHERE,      { ACCESS,  ACCESS,  ACCESS,  ACCESS }, 0 },
	{ "beyond the block",    ACT_OUT_OF_BLOCK,  NOWHERE,      { OK,      OK,      OK,      OK }, 0 },
	{ "service: into null",  ACT_SERVICE_OUT,   NULL_PAGE,    { EFAULT_, EFAULT_, EFAULT_, EFAULT_ }, 0 },
	{ "service: from null",  ACT_SERVICE_IN,    NULL_PAGE,    { EFAULT_, EFAULT_, EFAULT_, EFAULT_ }, 0 },
	{ "service: from weird", ACT_SERVICE_IN,    WEIRD,        { EFAULT_, EFAULT_, EFAULT_, EFAULT_ }, 0 },
	{ "service: into kernel", ACT_SERVICE_OUT,  SECRET,       { HARM,    EFAULT_, EFAULT_, EFAULT_ }, 0 },
	{ "service: from kernel", ACT_SERVICE_IN,   SECRET,       { OK,      EFAULT_, EFAULT_, EFAULT_ }, 0 },
	{ "service: into bufs",  ACT_SERVICE_OUT,   DEVICE,       { HARM,    EFAULT_, EFAULT_, EFAULT_ }, 0 },
	{ "service: from bufs",  ACT_SERVICE_IN,    DEVICE,       { OK,      OK,      OK,      EFAULT_ }, 0 },
	{ "service: other heap", ACT_SERVICE_OUT,   OTHER_HEAP,   { HARM,    EFAULT_, EFAULT_, EFAULT_ }, 0 },
};
/* clang-format on */
enum { ATTACKS = sizeof(attacks) / sizeof(attacks[0]) };

/* What one column works with. */
struct stage {
	int column;
	struct td__module *module;
	struct td_level level;
	struct td__domain *domain, *other;
};

static int failures;
static const char *replay_column = "", *replay_attack = "";
static char *stack_bytes; /* memory on this thread's stack */

static void failed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void failed(const char *format, ...)
{
	va_list args;

	printf("FAILED %s '%s': ", replay_column, replay_attack);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	failures++;
}

/* ---- Targets */

__attribute__((noinline)) static void kernel_function(void)
{
	inside.secret[0] = 'x';
}

static uint64_t ask(struct td__domain *d, uint64_t what)
{
	struct td__call *c;
	uint64_t found;

	if (inside_act(d, 0, ACT_WHERE, what, &c, &found) != TD__RETURNED || !found)
		failed("the module does not say where its memory is");
	return found;
}

static uint64_t hole(void)
{
	char *p = mmap(0, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(p, 1 << 20);
	return (uintptr_t)p + (1 << 19);
}

static uint64_t aim(const struct stage *s, enum target t)
{
	switch (t) {
	case NULL_PAGE: return 16;
	case WEIRD: return 0x8000000000000000ull;
	case UNMAPPED: return hole();
	case SECRET: return (uintptr_t)inside.secret;
	case HOST_CODE: return (uintptr_t)kernel_function;
	case OWN_DATA: return ask(s->domain, 0);
	case ODD: return ask(s->domain, 0) + 1;
	case OWN_TEXT: return ask(s->domain, 1);
	case OTHER_HEAP: return ask(s->other, 2);
	case DEVICE: return (uintptr_t)td__device_at(&inside.device, 3) + 100;
	case KERNEL_STACK: return (uintptr_t)stack_bytes;
	case BLOCK: return 3;
	default: return 0;
	}
}

/*
 * What the kernel must find unchanged: the bytes at the target, where they are the kernel's or
 * another's.
 */
static const unsigned char *watched(const struct attack *a, uint64_t at)
{
	switch (a->target) {
	case SECRET:
	case DEVICE:
	case KERNEL_STACK:
	case OTHER_HEAP: return (const unsigned char *)at;
	case HOST_CODE:
		return a->act == ACT_WRITE ? (const unsigned char *)at
					   : (const unsigned char *)inside.secret;
	case BLOCK: return td__device_at(&inside.device, at);
	default: return 0;
	}
}

/* ---- The time limit, as the kernel's ticker keeps it */

struct limit {
	struct td__domain *domain;
	uint32_t slot;
	int over;
};

static void *limit_main(void *arg)
{
	struct limit *l = arg;
	struct timespec tick = { 0, 10000000 };

	nanosleep(&tick, 0);
	nanosleep(&tick, 0);
	while (!__atomic_load_n(&l->over, __ATOMIC_ACQUIRE)) {
		struct td__call *c = inside_call(l->domain, l->slot);

		__atomic_store_n(&c->doomed, TD_FAULT_TIME, __ATOMIC_RELEASE);
		l->domain->wall->interrupt(l->domain, c);
		nanosleep(&tick, 0);
	}
	return 0;
}

/* ---- One attack */

static enum expect result_of(int outcome, const struct td__call *c)
{
	if (outcome == TD__RETURNED)
		return inside.last_error == -TD_EFAULT ? EFAULT_ : OK;
	switch (c->fault.kind) {
	case TD_FAULT_ACCESS: return ACCESS;
	case TD_FAULT_WALL: return WALL;
	case TD_FAULT_ILLEGAL: return ILLEGAL;
	case TD_FAULT_STACK: return STACK;
	case TD_FAULT_TIME: return TIME;
	default: return FAULT;
	}
}

static int as_expected(enum expect want, enum expect got, int changed)
{
	if (want == FAULT)
		return got == ACCESS || got == WALL;
	if (want == HARM)
		return changed;
	return want == got && (!changed || want == OK);
}

static void check_evidence(const struct stage *s, const struct attack *a, const struct td_fault *f)
{
	char line[256] = "";

	td__module_line(s->module, f->wall, f->pc, line, sizeof(line));
	/*
	 * A jump as a function's last act, in a function that was itself jumped to, leaves no
	 * trace.
	 */
	if (a->act != ACT_JUMP && (!f->pc || !f->nframes || !strstr(line, ".c:")))
		failed("the report's place is 0x%llx with %u frames: %s", (unsigned long long)f->pc,
		       f->nframes, line);
	if (f->nframes && f->frames[0] != f->pc)
		failed("the backtrace does not begin at the fault");
	if (a->lay && (f->kind == TD_FAULT_ACCESS || f->kind == TD_FAULT_WALL) &&
	    strncmp(f->lay, a->lay, strlen(a->lay)))
		failed("'%s' is said to lie there, not '%s'", f->lay, a->lay);
	if (getenv("INSIDE_VERBOSE"))
		printf("    %s: kind %u address %llx write %u lay '%s' detail '%s' at %s, %u "
		       "frames\n",
		       a->name, f->kind, (unsigned long long)f->address, f->write, f->lay,
		       f->detail, line, f->nframes);
}

/* The kernel goes on: state of the processor, and the next call in the same slot and another. */
static void check_after(const struct stage *s)
{
	struct td__call *c;
	uint64_t found, flags;
	volatile double third = 1.0;

	__asm__ volatile("pushf\n\tpop %0" : "=r"(flags));
	if (flags & 0x40500)
		failed("the processor's flags are left changed: %llx", (unsigned long long)flags);
	third /= 3.0;
	if (fegetround() != FE_TONEAREST || third != 1.0 / 3.0)
		failed("the rounding mode is left changed");
	for (uint32_t slot = 0; slot < 2; slot++)
		if (inside_act(s->domain, slot, ACT_NOTHING, 41, &c, &found) != TD__RETURNED ||
		    found != 42)
			failed("no call gets through afterwards");
	if (inside_act(s->domain, 0, ACT_GREET, 0, &c, &found) != TD__RETURNED || !found)
		failed("no service gets through afterwards");
}

static void attack(const struct stage *s, const struct attack *a)
{
	enum expect want = a->expect[s->column], got;
	struct limit limit = { s->domain, 0, 0 };
	uint64_t at = aim(s, a->target), found;
	const unsigned char *seen = watched(a, at);
	unsigned char was = seen ? *seen : 0;
	struct td__call *c;
	pthread_t thread;
	int timed = want == TIME, outcome, changed;

	inside.last_error = 0;
	if (timed)
		pthread_create(&thread, 0, limit_main, &limit);
	outcome = inside_act(s->domain, 0, a->act, at, &c, &found);
	if (timed) {
		__atomic_store_n(&limit.over, 1, __ATOMIC_RELEASE);
		pthread_join(thread, 0);
	}
	got = result_of(outcome, c);
	changed = seen && *seen != was;
	if (!as_expected(want, got, changed))
		failed("%s%s, expected %s (lay '%s', detail '%s')", expect_names[got],
		       changed ? " and memory is changed" : "", expect_names[want], c->fault.lay,
		       c->fault.detail);
	if (outcome == TD__FAULTED)
		check_evidence(s, a, &c->fault);
	if (changed)
		*(unsigned char *)(uintptr_t)seen = was;
	memcpy(inside.secret, "the kernel's own", 17);
	check_after(s);
}

/* ---- What is not an attack */

/* A service that ends the call: the module does not run on. */
static void doomed_in_service(const struct stage *s)
{
	struct td__call *c;
	uint64_t found, before = inside.services;

	replay_attack = "doomed in a service";
	inside.doom = TD_FAULT_SERVICE;
	if (inside_act(s->domain, 0, ACT_GREET, 0, &c, &found) != TD__FAULTED)
		failed("the call returned");
	inside.doom = 0;
	if (inside.services != before + 1)
		failed("the module ran on after its call was ended");
	check_after(s);
}

/* An interrupt that comes late must not harm the call after. */
static void late_interrupt(const struct stage *s)
{
	struct td__call *c;
	uint64_t found;

	replay_attack = "late interrupt";
	for (int i = 0; i < 100; i++) {
		s->domain->wall->interrupt(s->domain, inside_call(s->domain, 0));
		if (inside_act(s->domain, 0, ACT_NOTHING, 1, &c, &found) != TD__RETURNED)
			failed("a call was ended that is not over its time");
	}
}

static void *thread_main(void *arg)
{
	const struct stage *s = arg;
	struct td__call *c;
	uint64_t found;

	if (inside_act(s->domain, 7, ACT_OVERFLOW, 0, &c, &found) != TD__FAULTED ||
	    c->fault.kind != TD_FAULT_STACK)
		failed("an overflow in another thread is a fault of kind %u", c->fault.kind);
	for (int i = 0; i < 200; i++) {
		if (inside_act(s->domain, 7, ACT_WRITE, 0, &c, &found) != TD__FAULTED ||
		    c->fault.kind != TD_FAULT_ACCESS)
			failed("a fault in another thread is lost");
		if (inside_act(s->domain, 7, ACT_GREET, 0, &c, &found) != TD__RETURNED)
			failed("a call in another thread is lost");
	}
	return 0;
}

/* Two threads fault at once; and threads come and go. */
static void threads(const struct stage *s)
{
	pthread_t thread;
	struct td__call *c;
	uint64_t found;

	replay_attack = "threads";
	for (int round = 0; round < 3; round++) {
		pthread_create(&thread, 0, thread_main, (void *)s);
		for (int i = 0; i < 200; i++)
			if (inside_act(s->domain, 8, ACT_DIVIDE, 0, &c, &found) != TD__FAULTED)
				failed("a fault beside another thread's is lost");
		pthread_join(thread, 0);
	}
	check_after(s);
}

/* A fault of the kernel's own, in a service, must end the process. */
static void kernel_fault(const struct stage *s)
{
	struct td__call *c;
	uint64_t found;
	int status;
	pid_t pid;

	replay_attack = "fault of the kernel itself";
	fflush(stdout);
	pid = fork();
	if (!pid) {
		inside.crash = (char *)8;
		inside_act(s->domain, 0, ACT_GREET, 0, &c, &found);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	/* By its signal, or as the handler before ours (a sanitizer's) wants it. */
	if (!status)
		failed("it looks like the module's");
}

/*
 * The program's own text and the stubs; not the C library, whose instructions are an attacker's to
 * find.
 */
static int is_ours(const char *line)
{
	return strstr(line, " r-xp ") && (strstr(line, "inside_walls") || !strchr(line, '/')) &&
	       !strchr(line, '[');
}

/*
 * Jump to every instruction that writes the key rights: none may leave the module with more than it
 * had.
 */
static void open_keys(const struct stage *s)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	int tried = 0;

	replay_attack = "jumps to WRPKRU";
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long start, end;

		if (!is_ours(line) || sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		for (const uint8_t *p = (void *)start; p + 3 <= (uint8_t *)end; p++) {
			struct td__call *c;
			uint64_t found;
			int outcome;

			if (memcmp(p, "\x0f\x01\xef", 3))
				continue;
			tried++;
			outcome = inside_act(s->domain, 0, ACT_OPEN_KEYS, (uintptr_t)p, &c, &found);
			if (inside.secret[0] == 'x' || (outcome == TD__FAULTED && !c->fault.kind))
				failed("%p in %s: outcome %d, kind %u, secret '%.8s'", (void *)p,
				       line, outcome, c->fault.kind, inside.secret);
			memcpy(inside.secret, "the kernel's own", 17);
			check_after(s);
		}
	}
	if (maps)
		fclose(maps);
	/* Two in the program, three in each domain's stubs, and those of the trap. */
	if (tried < 8)
		failed("only %d instructions found", tried);
}

/* Modules with instructions that open the wall are not let in, where there is one. */
static void refusals(const struct stage *s, const char *folder)
{
	static const char *const names[] = { "wrpkru", "syscall" }, *const words[] = { "WRPKRU",
										       "SYSCALL" };

	for (int i = 0; i < 2; i++) {
		char path[512], why[1024] = "";
		struct td__module *m;
		struct td__domain *d;
		int err;

		replay_attack = names[i];
		snprintf(path, sizeof(path), "%s/inside_%s.so", folder, names[i]);
		if (td__module_open(path, &m, why, sizeof(why))) {
			failed("%s", why);
			continue;
		}
		err = inside_start(m, &s->level, &d, why, sizeof(why));
		if (!err)
			inside_stop(d);
		if (s->column ? err != -TD_ENOEXEC || !strstr(why, words[i]) : err)
			failed("start says %d: %s", err, why);
		td__module_close(m);
	}
}

/* Keys run out with a clear word, and come back. */
static void exhaustion(const struct stage *s)
{
	struct td__domain *d[20];
	char why[512] = "";
	int n = 0, err = 0;

	replay_attack = "keys run out";
	while (n < 20 && !(err = inside_start(s->module, &s->level, &d[n], why, sizeof(why))))
		n++;
	if (s->column ? err >= 0 || n < 8 || !strstr(why, "no protection key left") : n != 20)
		failed("%d domains, then %d: %s", n, err, why);
	while (n)
		inside_stop(d[--n]);
}

static void restarts(struct stage *s)
{
	char why[256] = "";

	replay_attack = "stop and start";
	for (int i = 0; i < 40; i++) {
		inside_stop(s->domain);
		if (inside_start(s->module, &s->level, &s->domain, why, sizeof(why))) {
			failed("start %d: %s", i, why);
			exit(1);
		}
	}
	check_after(s);
}

/* ---- Columns */

static struct td_level level_of(int column)
{
	struct td_level l = { .memory = 64 << 20,
			      .trap = 1,
			      .wall = column ? TD_WALL_PKEY : TD_WALL_NONE };

	l.shared = column == 1 ? TD_SHARED_RO : column == 3 ? TD_SHARED_UNMAPPED : TD_SHARED_RW;
	return l;
}

static int open_stage(struct stage *s, const char *folder, int column)
{
	char path[512], why[512] = "";

	s->column = column;
	s->level = level_of(column);
	if (td__walls[s->level.wall]->available(why, sizeof(why))) {
		printf("%s: skipped: %s\n", columns[column], why);
		return SKIP;
	}
	snprintf(path, sizeof(path), "%s/inside_acts.so", folder);
	if (td__module_open(path, &s->module, why, sizeof(why)) ||
	    inside_start(s->module, &s->level, &s->domain, why, sizeof(why)) ||
	    inside_start(s->module, &s->level, &s->other, why, sizeof(why))) {
		failed("start: %s", why);
		return 1;
	}
	return 0;
}

static void close_stage(struct stage *s)
{
	inside_stop(s->domain);
	inside_stop(s->other);
	td__module_close(s->module);
}

static int run_column(const char *folder, int column, const char *only)
{
	struct stage s = { 0 };
	int before = failures, rc;

	replay_column = columns[column];
	replay_attack = "start";
	rc = open_stage(&s, folder, column);
	if (rc)
		return rc == SKIP;
	for (int i = 0; i < ATTACKS; i++) {
		if ((only && strcmp(only, attacks[i].name)) || attacks[i].expect[column] == UNTRIED)
			continue;
		replay_attack = attacks[i].name;
		attack(&s, &attacks[i]);
	}
	if (!only) {
		doomed_in_service(&s);
		late_interrupt(&s);
		threads(&s);
		kernel_fault(&s);
		if (column)
			open_keys(&s);
		refusals(&s, folder);
		exhaustion(&s);
		restarts(&s);
	}
	close_stage(&s);
	printf("%s: %d failed\n", columns[column], failures - before);
	return 0;
}

int main(int argc, char **argv)
{
	char bytes[64] = "on the stack";
	int skipped = 0, tried = 0;

	stack_bytes = bytes;
	setvbuf(stdout, 0, _IOLBF, 0);
	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER [none|ro|rw|unmapped [CASE]]\n", argv[0]);
		return 2;
	}
	inside_device();
	for (int i = 0; i < COLUMNS; i++) {
		if (argc > 2 && strcmp(argv[2], columns[i]))
			continue;
		tried++;
		skipped += run_column(argv[1], i, argc > 3 ? argv[3] : 0);
	}
	if (!tried)
		return 2;
	return failures ? 1 : skipped == tried ? SKIP : 0;
}
