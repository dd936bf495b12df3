/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tadan-lab: a campaign of faults on a module. `tadan lab` becomes this program.
 *
 * The parent reads the module and never runs it; each trial is a child, as many at a time as --jobs says. A trial's id is
 * LEVEL:KIND:SEED:NUMBER, and with the same build of the module it says everything about the trial.
 */
#include "lab.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, TRIAL_SECONDS = 30, IDS = 200, BATCH = 500,
       LOOPS = 200 /* that a trial may meet: each of its operations twice, if the module is not given up before */ };

struct options {
	const char *module, *level, *kinds, *replay;
	uint64_t first, trials, seed, soak; /* trials first to first + trials - 1 */
	uint32_t jobs;
	int json, quiet;
};

struct child {
	pid_t pid;
	uint64_t number, deadline_ns;
	const struct lab_kind *kind;
	char id[IDS];
};

struct campaign {
	struct options o;
	struct lab_image image;
	struct td__module *module;
	struct lab_batch *batch; /* 0: not at this level */
	char level[200], folder[64], path[256];
	const struct lab_kind *kinds[128];
	uint32_t nkinds;
	struct lab_result *results; /* shared with the children, one for each job */
	struct child children[JOBS_MAX];
	struct lab_row rows[128], sum;
	struct lab_campaign report;
	uint64_t started_ns, told_ns, unfit, trial_ns; /* trial_ns: until a trial is taken for hung */
	sigset_t ended; /* SIGCHLD, which is waited for and not delivered */
};

_Noreturn __attribute__((format(printf, 2, 3))) static void fail(int status, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fprintf(stderr, "tadan lab: ");
	vfprintf(stderr, format, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	exit(status);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- What to do */

/*
 * A level of which a fault in a loop does not take all day, though a busy machine is not taken for one; what the user has said of the
 * limits stays.
 */
static void set_level(struct campaign *c)
{
	struct td_level level;
	char why[256];

	if (td_level_parse(c->o.level, &level, why, sizeof(why)))
		fail(2, "%s", why);
	snprintf(c->level, sizeof(c->level), "%s%s", c->o.level, level.time_ms && !strstr(c->o.level, "time=") ? ",time=1s" : "");
	td_level_parse(c->level, &level, why, sizeof(why));
	c->trial_ns = TRIAL_SECONDS * 1000000000ull + (uint64_t)LOOPS * level.time_ms * 1000000;
	if (!td__walls[level.wall] || td__walls[level.wall]->available(why, sizeof(why)))
		fail(1, "this machine cannot have level %s: %s", c->o.level, td__walls[level.wall] ? why : "the build has no such wall");
	if (level.wall != TD_WALL_SFI)
		return;
	c->batch = lab_batch_make(c->module, why, sizeof(why));
	if (!c->batch)
		fail(1, "%s", why);
}

static int is_class(const char *word, size_t len, uint32_t *class)
{
	*class = len == 7 && !memcmp(word, "planted", 7) ? LAB_PLANTED : len == 7 && !memcmp(word, "machine", 7) ? LAB_MACHINE : LAB_NO_FAULT;
	return *class != LAB_NO_FAULT;
}

static int is_possible(const struct campaign *c, const struct lab_kind *k)
{
	return c->batch ? lab_batch_possible(c->batch, k) : lab_possible(&c->image, k);
}

static void add_kind(struct campaign *c, const struct lab_kind *k)
{
	if (is_possible(c, k))
		c->kinds[c->nkinds++] = k;
	else
		c->unfit++;
}

static void choose_kinds(struct campaign *c)
{
	for (const char *p = c->o.kinds; *p;) {
		size_t len = strcspn(p, ",");
		const struct lab_kind *k = lab_kind_named(p, len);
		uint32_t class;

		if (is_class(p, len, &class)) {
			for (const struct lab_kind *each = lab_kinds; each->name; each++)
				if (each->class == class)
					add_kind(c, each);
		} else if (k) {
			add_kind(c, k);
		} else {
			fail(2, "there is no kind of fault '%.*s'; `tadan lab --kinds list` shows those there are", (int)len, p);
		}
		p += len + (p[len] == ',');
	}
	if (!c->nkinds)
		fail(1, "none of these faults can be made in this module");
}

static void list_kinds(void)
{
	for (const struct lab_kind *k = lab_kinds; k->name; k++)
		printf("%-16s %-8s %s\n", k->name, k->class == LAB_PLANTED ? "planted" : k->class == LAB_MACHINE ? "machine" : "", k->about);
}

/* ---- Trials */

static void expect_children(struct campaign *c)
{
	sigemptyset(&c->ended);
	sigaddset(&c->ended, SIGCHLD);
	sigprocmask(SIG_BLOCK, &c->ended, 0);
}

static void start(struct campaign *c, uint32_t job, const struct lab_kind *kind, uint64_t number)
{
	struct child *child = &c->children[job];
	struct lab_trial t = { .image = &c->image, .good = c->module, .batch = c->batch, .kind = kind, .level = c->level, .seed = c->o.seed, .number = number, .folder = c->folder };

	memset(&c->results[job], 0, sizeof(c->results[job]));
	snprintf(child->id, IDS, "%s:%s:%llu:%llu", c->o.level, kind->name, (unsigned long long)c->o.seed, (unsigned long long)number);
	child->kind = kind;
	child->number = number;
	child->deadline_ns = now_ns() + c->trial_ns;
	fflush(0);
	child->pid = fork();
	if (child->pid < 0)
		fail(1, "no process can be started: %s", strerror(errno));
	if (child->pid)
		return;
	sigprocmask(SIG_UNBLOCK, &c->ended, 0);
	lab_trial_run(&t, &c->results[job]);
}

/* The faults of trials, of the same seed each time. A trial of another batch may go on: it is a process of its own. */
static void fill_batch(struct campaign *c, const struct lab_kind *const *kinds, uint32_t nkinds, uint64_t first, uint32_t n)
{
	struct lab_choice *choices = calloc(n, sizeof(*choices));
	char why[256] = "not enough memory";

	for (uint32_t i = 0; choices && i < n; i++)
		choices[i] = (struct lab_choice){ .kind = kinds[(first + i) % nkinds],
						  .seed = c->o.seed * 0x9fb21c651e98df25ull ^ (first + i) * 0xd6e8feb86659fd93ull,
						  .number = lab_trial_choice(first + i) };
	if (!choices || lab_batch_fill(c->batch, choices, n, c->folder, why, sizeof(why)))
		fail(1, "%s", why);
	free(choices);
}

/* The batch that begins with this trial of the campaign. */
static void next_batch(struct campaign *c, uint64_t first)
{
	uint64_t left = c->o.first + c->o.trials - first;

	fill_batch(c, c->kinds, c->nkinds, first, left < BATCH ? (uint32_t)left : BATCH);
}

/* A host that does not end in time hangs, which is as bad as its death. */
static int is_over(struct child *child, struct lab_result *r)
{
	int status, hung = now_ns() > child->deadline_ns;

	if (hung)
		kill(child->pid, SIGKILL);
	if (waitpid(child->pid, &status, hung ? 0 : WNOHANG) != child->pid)
		return 0;
	child->pid = 0;
	if (r->done)
		return 1;
	if (!hung && WIFEXITED(status) && WEXITSTATUS(status) == 2)
		fail(1, "trial %s: %s", child->id, r->evidence);
	r->died = hung ? LAB_HUNG : WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : SIGABRT;
	r->verdict = LAB_LOST;
	return 1;
}

/* Until a trial ends, or for a little while. */
static void wait_for_any(const struct campaign *c)
{
	sigtimedwait(&c->ended, 0, &(struct timespec){ .tv_nsec = 20000000 });
}

static void tell_progress(struct campaign *c)
{
	uint64_t now = now_ns();
	double seconds = (double)(now - c->started_ns) / 1e9;

	if (c->o.quiet || now - c->told_ns < (isatty(2) ? 1 : 10) * 1000000000ull)
		return;
	c->told_ns = now;
	fprintf(stderr, "%stadan lab: %llu of %llu trials, %llu wrong, %llu lost, %.0f s%s", isatty(2) ? "\r" : "",
		(unsigned long long)c->sum.trials, (unsigned long long)c->o.trials, (unsigned long long)c->sum.wrong,
		(unsigned long long)c->sum.lost, seconds, isatty(2) ? "  " : "\n");
}

static void take(struct campaign *c, uint32_t job)
{
	const struct lab_result *r = &c->results[job];
	const struct child *child = &c->children[job];

	lab_row_add(&c->rows[child->kind - lab_kinds], r);
	lab_row_add(&c->sum, r);
	if (r->verdict < LAB_WRONG)
		return;
	json_array_append_new(c->report.bad, lab_report_json_trial(child->id, r));
	if (!c->o.quiet && (r->verdict == LAB_LOST || isatty(2)))
		lab_report_trial(child->id, r, stderr);
}

static void run_all(struct campaign *c)
{
	uint64_t next = c->o.first, end = next + c->o.trials;

	while (c->sum.trials < c->o.trials) {
		int idle = 1;

		for (uint32_t j = 0; j < c->o.jobs; j++) {
			if (c->children[j].pid && is_over(&c->children[j], &c->results[j])) {
				take(c, j);
				idle = 0;
			}
			if (!c->children[j].pid && next < end) {
				if (c->batch && next > c->o.first && (next - c->o.first) % BATCH == 0)
					next_batch(c, next);
				start(c, j, c->kinds[next % c->nkinds], next);
				next++;
				idle = 0;
			}
		}
		tell_progress(c);
		if (idle)
			wait_for_any(c);
	}
	if (!c->o.quiet && isatty(2))
		fprintf(stderr, "\r%70s\r", "");
}

/* ---- Replaying */

static void read_id(struct campaign *c, const struct lab_kind **kind, uint64_t *number)
{
	static char level[200];
	const char *id = c->o.replay, *end = strchr(id, ':'), *name = end ? end + 1 : 0, *rest = name ? strchr(name, ':') : 0;
	unsigned long long seed, n;

	if (!rest || sscanf(rest, ":%llu:%llu", &seed, &n) != 2 || (size_t)(end - id) >= sizeof(level))
		fail(2, "'%s' is no trial's id: LEVEL:KIND:SEED:NUMBER", id);
	*kind = lab_kind_named(name, (size_t)(rest - name));
	if (!*kind)
		fail(2, "'%s': there is no such kind of fault", id);
	snprintf(level, sizeof(level), "%.*s", (int)(end - id), id);
	c->o.level = level;
	c->o.seed = seed;
	*number = n;
}

static int replay(struct campaign *c)
{
	const struct lab_kind *kind;
	uint64_t number;

	read_id(c, &kind, &number);
	set_level(c);
	if (!is_possible(c, kind))
		fail(1, "this fault cannot be made in this module");
	expect_children(c);
	if (c->batch)
		fill_batch(c, &kind, 1, number, 1);
	start(c, 0, kind, number);
	while (!is_over(&c->children[0], &c->results[0]))
		wait_for_any(c);
	if (c->o.json) {
		json_dumpf(lab_report_json_trial(c->children[0].id, &c->results[0]), stdout, JSON_INDENT(2));
		printf("\n");
	} else {
		lab_report_trial(c->children[0].id, &c->results[0], stdout);
	}
	return c->results[0].verdict == LAB_LOST;
}

/* ---- */

static void usage(FILE *to)
{
	fprintf(to, "usage: tadan lab MODULE [--level LEVEL] [--trials N] [--first N] [--seed N] [--kinds LIST] [--jobs N] [--json] [--quiet]\n"
		    "       tadan lab MODULE --replay ID\n"
		    "       tadan lab MODULE --soak SECONDS [--seed N]\n"
		    "       tadan lab --kinds list\n");
}

static void help(void)
{
	usage(stdout);
	printf("\nTry to break MODULE with faults of every kind, and verify that nothing acknowledged was lost.\n\n"
	       "Options:\n"
	       "  -l, --level LEVEL     the level of protection (isolated)\n"
	       "  -n, --trials N        how many faults, each in a process of its own (1000)\n"
	       "      --first N         begin with this trial of the campaign (0), to do it in parts\n"
	       "  -s, --seed N          where chance begins (1); the same seed repeats the campaign\n"
	       "  -k, --kinds LIST      kinds of fault with commas between them (planted,machine); `list` shows them all\n"
	       "  -j, --jobs N          trials at the same time (one for each processor)\n"
	       "      --replay ID       repeat the one trial that a report names\n"
	       "      --soak SECONDS    work, faults and changes of level, with an eye on memory and descriptors\n"
	       "      --json            the report as JSON\n"
	       "  -q, --quiet           no progress\n"
	       "  -h, --help            show this\n\n"
	       "Exit status: 0 nothing was lost, 1 something was, 2 asked for wrongly. See tadan-lab(1).\n");
}

static uint64_t number(const char *text, const char *what)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*end || !*text || *text == '-')
		fail(2, "%s is a number, not '%s'", what, text);
	return n;
}

static void read_options(struct options *o, int argc, char **argv)
{
	static const struct option options[] = { { "level", 1, 0, 'l' }, { "trials", 1, 0, 'n' }, { "seed", 1, 0, 's' },
						 { "kinds", 1, 0, 'k' }, { "jobs", 1, 0, 'j' },   { "json", 0, 0, 'J' },
						 { "quiet", 0, 0, 'q' }, { "replay", 1, 0, 'r' }, { "soak", 1, 0, 'S' }, { "help", 0, 0, 'h' },
						 { "first", 1, 0, 'f' }, { 0, 0, 0, 0 } };
	int c;

	*o = (struct options){ .level = "isolated", .kinds = "planted,machine", .trials = 1000, .seed = 1 };
	o->jobs = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
	while ((c = getopt_long(argc, argv, "l:n:s:k:j:qh", options, 0)) != -1) {
		switch (c) {
		case 'l': o->level = optarg; break;
		case 'n': o->trials = number(optarg, "--trials"); break;
		case 'f': o->first = number(optarg, "--first"); break;
		case 's': o->seed = number(optarg, "--seed"); break;
		case 'k': o->kinds = optarg; break;
		case 'j': o->jobs = (uint32_t)number(optarg, "--jobs"); break;
		case 'J': o->json = 1; break;
		case 'q': o->quiet = 1; break;
		case 'S': o->soak = number(optarg, "--soak"); break;
		case 'r': o->replay = optarg; break;
		case 'h': help(); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (!strcmp(o->kinds, "list")) {
		list_kinds();
		exit(0);
	}
	if (optind + 1 != argc) {
		usage(stderr);
		exit(2);
	}
	o->module = argv[optind];
	if (!o->jobs || o->jobs > JOBS_MAX)
		fail(2, "--jobs is a number from 1 to %d", JOBS_MAX);
	if (!o->trials)
		fail(2, "--trials is at least 1");
}

static void open_module(struct campaign *c)
{
	char why[TD__ELF_WHY];

	if (td__module_open(c->o.module, &c->module, why, sizeof(why)))
		fail(1, "%s", why);
	if (c->module->info.flags & TD_MODULE_NETWORK)
		fail(1, "%s is mounted on a server, and the laboratory cannot judge it: it gives each call to a good copy of the module as well, and a "
			"server would carry it out twice and answer otherwise; tests/nfs/faults of Tadan's sources plants faults over a real server",
		     c->module->info.name);
	if (!c->module->file)
		fail(1, "%s: the laboratory wants the module's native form, too, which says what the good answers are", c->module->path);
	snprintf(c->path, sizeof(c->path), "%s", c->module->path);
	if (lab_image_open(&c->image, c->path, why, sizeof(why)))
		fail(1, "%s %s", c->path, why);
}

/* Also where fail() ends the program. Trials are forks of this process and leave it alone. */
static struct {
	const char *path;
	pid_t owner;
} to_remove;

static void remove_folder(void)
{
	if (to_remove.owner == getpid())
		rmdir(to_remove.path);
}

static void prepare(struct campaign *c)
{
	const char *shm = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";

	snprintf(c->folder, sizeof(c->folder), "%s/tadan-lab-XXXXXX", shm);
	if (!mkdtemp(c->folder))
		fail(1, "no folder can be made in %s: %s", shm, strerror(errno));
	to_remove.path = c->folder;
	to_remove.owner = getpid();
	atexit(remove_folder);
	c->results = mmap(0, JOBS_MAX * sizeof(*c->results), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->results == MAP_FAILED)
		fail(1, "not enough memory");
	c->report.bad = json_array();
	c->started_ns = c->told_ns = now_ns();
}

/* Without a fault nothing may be found: else the laboratory or the module cannot be relied on. */
static void check_ground(struct campaign *c)
{
	const struct lab_kind *none = lab_kind_named("none", 4);

	if (c->batch)
		next_batch(c, c->o.first);
	for (uint64_t n = 0; n < 3; n++) {
		start(c, 0, none, n);
		while (!is_over(&c->children[0], &c->results[0]))
			wait_for_any(c);
		if (c->results[0].verdict == LAB_NOTHING && !c->results[0].diverged)
			continue;
		lab_report_trial(c->children[0].id, &c->results[0], stderr);
		fail(1, "already without a fault not everything is as it should be");
	}
}

int main(int argc, char **argv)
{
	static struct campaign c;
	int status = 0;

	read_options(&c.o, argc, argv);
	open_module(&c);
	prepare(&c);
	if (c.o.soak) {
		setvbuf(stdout, 0, _IOLBF, 0);
		status = lab_soak(&c.image, c.folder, c.o.seed, c.o.soak);
	} else if (c.o.replay) {
		status = replay(&c);
	} else {
		set_level(&c);
		choose_kinds(&c);
		expect_children(&c);
		check_ground(&c);
		run_all(&c);
		c.report.module = c.o.module;
		c.report.level = c.o.level;
		c.report.seed = c.o.seed;
		c.report.seconds = (double)(now_ns() - c.started_ns) / 1e9;
		(c.o.json ? lab_report_json : lab_report_text)(&c.report, c.rows, &c.sum, stdout);
		status = c.sum.lost != 0;
	}
	return status;
}
