/* SPDX-License-Identifier: BSD-2-Clause */
/* One trial: see lab.h for its course and its witnesses. */
#include "lab.h"
#include "../walls/sfi/form.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum { BEFORE = 40, DURING = 60, AFTER = 12 };

const char *const lab_stages[] = { "opening", "work before the fault", "the fault's going in", "work with the fault",
				   "the good module's coming back", "verification", "work after the fault", "a mount anew", "the unmount" };
enum stage { OPENING, BEFORE_FAULT, GOING_IN, WITH_FAULT, COMING_BACK, VERIFYING, AFTERWARDS, ANEW, CLOSING };

const char *const lab_verdict_names[LAB_VERDICTS] = { "nothing happened", "recovered", "ended", "wrong", "lost" };

/* Memory of the kernel that no module has any business with, and a function that none may call. */
static volatile uint64_t precious[512] __attribute__((aligned(4096)));
static volatile uint64_t reached;

__attribute__((noinline)) static void never(void)
{
	reached = 1;
}

struct run {
	const struct lab_trial *t;
	struct lab_result *r;
	struct lab_random random;
	struct td_volume *vol;
	struct td__fs *fs;
	struct td__module *bad;
	struct lab_model model;
	struct lab_work work;
	uint64_t calls_then; /* when the fault went in */
	uint64_t faults_then, careless_then;
	const volatile uint64_t *foreign; /* a word of another domain's memory that is 0; 0: none */
	uint64_t breach; /* block that changed past the interface, plus 1 */
	uint32_t differences;
	char why[300];
};

_Noreturn static void over(struct run *run, uint32_t verdict)
{
	run->r->verdict = verdict;
	run->r->done = 1;
	_exit(0);
}

/* The laboratory itself cannot go on: not a finding about the module. */
_Noreturn static void give_up(struct run *run, const char *what)
{
	snprintf(run->r->evidence, LAB_TEXT, "%s: %.120s", what, run->why);
	_exit(2);
}

/* ---- The faulty copy */

/* The last page of what addresses Linux gives to processes, where it lets nobody map anything. */
static const uint64_t unmapped_address = 0x7ffffffff000 + 136;

/* A word of the memory of another mount's domain, at the same level in the same host. */
static uint64_t other_domain(struct run *run)
{
	struct td_volume_params p = { .module = run->t->image->path, .size = (uint64_t)LAB_BLOCKS * LAB_BSIZE, .bsize = LAB_BSIZE, .level = run->t->level };
	struct td_volume *other;

	if (td_volume_open(&p, &other, run->why, sizeof(run->why)))
		give_up(run, "there is no other domain");
	run->foreign = td_volume_fs(other)->domain->slots[7].window;
	return (uint64_t)(uintptr_t)run->foreign;
}

static void act_params(struct run *run, struct lab_act_params *p)
{
	memset(p, 0, sizeof(*p));
	p->bsize = LAB_BSIZE;
	p->blocks = LAB_BLOCKS;
	switch (run->t->kind->number) {
	case LAB_WRITE_UNMAPPED:
		p->address = unmapped_address;
		break;
	case LAB_WRITE_DOMAIN:
		p->address = other_domain(run);
		break;
	case LAB_JUMP_KERNEL:
		p->address = (uint64_t)(uintptr_t)never;
		break;
	default:
		p->address = (uint64_t)(uintptr_t)&precious[17];
	}
}

int lab_write_file(const char *path, const uint8_t *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), err = fd < 0 ? -errno : 0;

	if (!err && write(fd, bytes, size) != (ssize_t)size)
		err = -EIO;
	if (fd >= 0)
		close(fd);
	return err;
}

/* The number of a trial's fault among those of its batch. */
uint32_t lab_trial_choice(uint64_t number)
{
	return (uint32_t)number % 1000000 + 1;
}

static int choose_bad(struct run *run)
{
	uint32_t number = run->t->kind->class == LAB_NO_FAULT ? 0 : lab_trial_choice(run->t->number);
	const char *what = "";

	run->bad = lab_batch_choose(run->t->batch, number, &what);
	snprintf(run->r->site, LAB_TEXT, "%s", what);
	return run->bad ? 0 : -ENOENT;
}

/* A file in which this trial's fault is; what the loader says of it is the loader's verdict. */
static int make_bad_file(struct run *run)
{
	const struct lab_image *im = run->t->image;
	const struct lab_kind *k = run->t->kind;
	uint8_t *bytes = malloc(im->elf->size);
	struct lab_act_params params;
	char path[300];
	int err = bytes ? 0 : -ENOMEM;

	if (err)
		return err;
	memcpy(bytes, im->elf->file, im->elf->size);
	if (k->class == LAB_MACHINE) {
		err = lab_mutate(im, k->number, &run->random, bytes, run->r->site, LAB_TEXT);
	} else if (k->class == LAB_PLANTED && k->number != LAB_KILLED) {
		act_params(run, &params);
		err = lab_plant(im, k->number, &params, bytes);
		snprintf(run->r->site, LAB_TEXT, "at the module's entry: %s", k->about);
	}
	snprintf(path, sizeof(path), "%s/%d.so", run->t->folder, (int)getpid());
	if (!err)
		err = lab_write_file(path, bytes, im->elf->size);
	free(bytes);
	if (err)
		return err;
	err = td__module_open(path, &run->bad, run->why, sizeof(run->why));
	unlink(path);
	return err;
}

/* ---- The course */

static void stage(struct run *run, enum stage s)
{
	run->r->stage = s;
}

/* From now on new domains are made of this copy; the first of them at once. */
static int swap(struct run *run, const struct td__module *m)
{
	run->fs->module = m;
	return td_volume_level(run->vol, run->t->level, 0, run->why, sizeof(run->why));
}

/* A sandboxed form is verified when it is opened, and the campaign has done that: so the volume begins without it. */
static void open_volume(struct run *run)
{
	struct td_volume_params p = { .module = run->t->image->path, .size = (uint64_t)LAB_BLOCKS * LAB_BSIZE, .bsize = LAB_BSIZE,
				      .level = run->t->batch ? "guarded" : run->t->level };

	if (td_volume_open(&p, &run->vol, run->why, sizeof(run->why)))
		give_up(run, "the module cannot be mounted");
	run->fs = td_volume_fs(run->vol);
	if (run->t->batch && swap(run, run->t->good))
		give_up(run, "the module cannot be moved");
	if (lab_watch_start(run->fs, run->t->good))
		give_up(run, "no oracle");
	if (lab_model_load(&run->model, run->vol))
		give_up(run, "what the file system holds at first is more than the laboratory can remember");
	lab_work_init(&run->work, &run->model, run->vol, &run->random);
	lab_work_probe(&run->work);
}

static void work(struct run *run, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		lab_work_once(&run->work);
}

static uint64_t careless(const struct run *run)
{
	struct td_status s;

	td_get_status(run->fs, &s);
	return s.careless;
}

static void say_where(const struct run *run, uintptr_t pc, char *place, size_t size)
{
	const struct td__elf *e = run->bad->file;
	struct td__sfi_content form;

	if (run->t->batch && !td__sfi_form_get(run->bad->sandboxed, &form, place, size))
		e = form.elf;
	td__elf_where(e, 0, pc, place, size);
}

/* The first fault since the bad copy went in. */
static void note_detection(struct run *run)
{
	struct lab_result *r = run->r;
	struct td_fault f;
	char place[100] = "";

	if (r->detected || !td_get_faults(run->fs, run->faults_then, &f, 1))
		return;
	r->detected = 1;
	r->fault = f.kind;
	r->calls = lab_watch_calls() - run->calls_then;
	r->recovery_ns = f.recovery_ns;
	if (f.pc)
		say_where(run, (uintptr_t)f.pc, place, sizeof(place));
	snprintf(r->fault_text, LAB_TEXT, "%s%s%s%s%s%s", td_fault_names[f.kind], f.detail[0] ? ": " : "", f.detail, f.lay[0] ? ", " : "",
		 f.lay, place[0] ? ", at " : "");
	snprintf(r->fault_text + strlen(r->fault_text), LAB_TEXT - strlen(r->fault_text), "%s", place);
}

static void put_fault_in(struct run *run)
{
	int err;

	stage(run, GOING_IN);
	run->careless_then = careless(run);
	run->faults_then = run->fs->nfaults;
	err = run->t->batch ? choose_bad(run) : make_bad_file(run);
	if (!err && run->bad)
		err = swap(run, run->bad);
	run->calls_then = lab_watch_started();
	if (err) {
		run->r->detected = run->r->refused = 1;
		note_detection(run);
		if (!run->r->fault_text[0])
			snprintf(run->r->fault_text, LAB_TEXT, "not started: %.150s", run->why);
		run->r->calls = 0;
	}
	if (!run->r->lasting || err)
		run->fs->module = run->t->good;
	if (run->t->kind->number == LAB_KILLED && run->t->kind->class == LAB_PLANTED && run->fs->domain && run->fs->domain->process)
		kill((pid_t)run->fs->domain->process, SIGKILL);
}

static void work_with_fault(struct run *run)
{
	uint32_t n = DURING / 2 + lab_below(&run->random, DURING);

	stage(run, WITH_FAULT);
	for (uint32_t i = 0; i < n; i++) {
		lab_work_once(&run->work);
		note_detection(run);
	}
}

static void bring_back(struct run *run)
{
	stage(run, COMING_BACK);
	run->r->detached = run->fs->state == TD_STATE_DETACHED;
	run->fs->module = run->t->good;
	if (swap(run, run->t->good))
		run->differences++, snprintf(run->r->evidence, LAB_TEXT, "the good module does not come back: %.150s", run->why);
	note_detection(run);
	run->r->faults = (uint32_t)(run->fs->nfaults - run->faults_then);
	run->r->careless = (uint32_t)(careless(run) - run->careless_then);
}

static void verify(struct run *run, struct td_volume *vol, enum stage s)
{
	char what[LAB_TEXT] = "";
	uint32_t n;

	stage(run, s);
	n = lab_model_verify(&run->model, vol, what, sizeof(what));
	if (n && !run->differences)
		snprintf(run->r->evidence, LAB_TEXT, "%s: %.150s", lab_stages[s], what);
	run->differences += n;
}

/* What is on the device now, seen by a kernel that has never seen it before. */
static void mount_anew(struct run *run)
{
	struct td_volume_params p = { .module = run->t->image->path, .bsize = LAB_BSIZE, .level = "guarded" };
	const struct td__device *dev = run->fs->device;
	struct td_volume *vol;

	stage(run, ANEW);
	if (td_volume_sync(run->vol) || td__device_create(dev->blocks, dev->bsize, 0, dev->flags, &p.device)) {
		if (!run->differences++)
			snprintf(run->r->evidence, LAB_TEXT, "cannot be synchronized");
		return;
	}
	lab_blocks_copy(td__device_at(p.device, 0), dev);
	if (td_volume_open(&p, &vol, run->why, sizeof(run->why))) {
		if (!run->differences++)
			snprintf(run->r->evidence, LAB_TEXT, "cannot be mounted anew: %.150s", run->why);
	} else {
		verify(run, vol, ANEW);
		td_volume_close(vol);
	}
}

/* Nobody but the watched kernel has changed the device. Held against it before the kernel of the next mount changes anything. */
static void look_at_shadow(struct run *run)
{
	uint64_t block = lab_watch_shadow();

	if (block && !run->breach)
		run->breach = block;
}

static uint32_t judge(struct run *run)
{
	struct lab_result *r = run->r;
	const char *divergence;

	r->diverged = lab_watch_diverged(&divergence);
	snprintf(r->divergence, LAB_TEXT, "%s", r->diverged ? divergence : "");
	r->operations = run->work.operations;
	r->failed = run->work.failed;
	r->breached = run->breach || precious[17] || reached || (run->foreign && *run->foreign);
	if (run->work.wrong && !run->differences)
		snprintf(r->evidence, LAB_TEXT, "%.190s", run->work.first_wrong);
	if (run->differences || run->work.wrong) {
		if (run->breach)
			snprintf(r->divergence, LAB_TEXT, "block %llu changed past the interface", (unsigned long long)run->breach - 1);
		return r->diverged && !run->breach ? LAB_WRONG : LAB_LOST;
	}
	if (!r->detected)
		return LAB_NOTHING;
	return r->detached ? LAB_ENDED : LAB_RECOVERED;
}

_Noreturn void lab_trial_run(const struct lab_trial *t, struct lab_result *r)
{
	static struct run run;
	uint32_t verdict;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run.t = t;
	run.r = r;
	run.random.state = t->seed * 0x2545f4914f6cdd1dull ^ t->number * 0x9e3779b97f4a7c15ull;
	r->lasting = lab_below(&run.random, 4) == 0;
	stage(&run, OPENING);
	open_volume(&run);
	stage(&run, BEFORE_FAULT);
	work(&run, BEFORE / 2 + lab_below(&run.random, BEFORE));
	put_fault_in(&run);
	work_with_fault(&run);
	bring_back(&run);
	look_at_shadow(&run);
	verify(&run, run.vol, VERIFYING);
	stage(&run, AFTERWARDS);
	work(&run, AFTER);
	look_at_shadow(&run);
	mount_anew(&run);
	verdict = judge(&run);
	stage(&run, CLOSING);
	lab_work_end(&run.work);
	lab_watch_stop();
	td_volume_close(run.vol);
	over(&run, verdict);
}
