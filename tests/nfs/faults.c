/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults in SNFS itself, on a real server: for every scene, every operation of the module that it leads to, and every service of that operation and
 * its end, the module falls there, once. With `cut` the connection is lost as well before the call is made again, so that requests reach the
 * server twice. The scene succeeds all the same, and what the server has then is what was asked for, once.
 *
 *   faults MODULE LEVEL EACH [SCENE [OPERATION [AT [KIND [cut]]]]]
 *
 * The module is snfs_planted (tests/undo). EACH: of all places only one in so many is tried. AT is the number of the service, or end. Server and
 * folder are in the environment: tests/nfs/ganesha. Exit status: 1 if something failed, 77 if the level cannot be had here.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../front/inproc/tadan.h"
#include "../stress/strikes.h"

enum { LONG = 200000, SOME = 50000, NAMES = 300, AT_MOST = 3000, OPS = 64 };

static struct td_volume *volume;
static struct td__fs *fs;
static struct td_task task = { .cwd = TD_CWD_ROOT, .umask = 022 };
static const char *there;
static char place[16]; /* the scene's directory: another one each time, and the task's working directory */
static uint8_t data[LONG], back[LONG + 1];
static uint32_t passed, failed;

static const char *const kinds[] = { [PLANT_NULL] = "null", [PLANT_RESULT] = "result" };

static struct {
	const char *module, *level;
	unsigned long each;
	const char *scene, *op, *kind;
	uint32_t at; /* 0: all */
	int cut;
} only;

/* ---- What the kernel's calls are seen to do */

static uint32_t seen[OPS];
static int cut;

int __real_td__call_begin(struct td__fs *f, uint32_t op, td__attempts *tries, struct td__call **c);
int __wrap_td__call_begin(struct td__fs *f, uint32_t op, td__attempts *tries, struct td__call **c);

int __wrap_td__call_begin(struct td__fs *f, uint32_t op, td__attempts *tries, struct td__call **c)
{
	if (op < OPS)
		seen[op]++;
	for (uint32_t i = 0; cut && tries->faults && i < TD_SOCK_MAX; i++)
		td__socket_close(&f->net, i | f->net.sockets[i].generation << 8);
	return __real_td__call_begin(f, op, tries, c);
}

/* ---- What scenes are made of. Each returns 0 or what is wrong. */

#define TRY(call)                                                                            \
	do {                                                                                 \
		int64_t result_ = (call);                                                    \
		if (result_ < 0)                                                             \
			return complain(#call, result_);                                     \
	} while (0)
#define MUST(so)                                   \
	do {                                       \
		if (!(so))                         \
			return "not so: " #so;     \
	} while (0)

static const char *complain(const char *what, int64_t err)
{
	static char text[300];

	snprintf(text, sizeof(text), "%s: %s", what, strerror((int)-err));
	return text;
}

static const char *path_there(const char *path)
{
	static char text[4200];

	snprintf(text, sizeof(text), "%s/%s/%s", there, place, path);
	return text;
}

static struct stat stat_there(const char *path)
{
	struct stat st = { 0 };

	if (lstat(path_there(path), &st))
		st.st_nlink = 0;
	return st;
}

static int is_there(const char *path)
{
	return stat_there(path).st_nlink != 0;
}

static int has_there(const char *path, const uint8_t *want, size_t len)
{
	int fd = open(path_there(path), O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, back, sizeof(back));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)len && !memcmp(back, want, len);
}

static const char *put(const char *path, size_t len)
{
	int fd = td_path_open(&task, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	TRY(fd);
	TRY(td_fd_pwrite(&task, fd, data, len, 0));
	TRY(td_fd_close(&task, fd));
	return 0;
}

/* What each scene begins with. */
static const char *prepare(void)
{
	static uint32_t number;
	const char *wrong = 0;

	snprintf(place, sizeof(place), "w%u", number++);
	task.cwd = TD_CWD_ROOT;
	TRY(td_path_mkdir(&task, place, 0755));
	task.cwd = td_path_open(&task, place, O_RDONLY | O_DIRECTORY, 0);
	TRY(task.cwd);
	TRY(td_path_mkdir(&task, "d", 0755));
	wrong = put("a", 1000);
	if (!wrong)
		wrong = put("b", SOME);
	if (!wrong)
		TRY(td_path_symlink(&task, "target", "l"));
	return wrong;
}

/* That nothing else is left is seen by rmdir. */
static const char *clean(void)
{
	static const char *const names[] = { "a", "b", "l", "new", "d/a", "d/new" };

	for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int err = td_path_unlink(&task, names[i]);

		if (err != -ENOENT)
			TRY(err);
	}
	int err = td_path_rmdir(&task, "d");
	if (err != -ENOENT)
		TRY(err);
	err = td_path_rmdir(&task, "e");
	if (err != -ENOENT)
		TRY(err);
	TRY(td_fd_close(&task, task.cwd));
	task.cwd = TD_CWD_ROOT;
	TRY(td_path_rmdir(&task, place));
	MUST(!is_there("."));
	return 0;
}

/* ---- Scenes */

static const char *create(int flags)
{
	int fd = td_path_open(&task, "new", O_WRONLY | O_CREAT | flags, 0640);

	TRY(fd);
	TRY(td_fd_pwrite(&task, fd, data, 1, 0));
	TRY(td_fd_close(&task, fd));
	struct stat st = stat_there("new");
	MUST(S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0640 && st.st_nlink == 1 && st.st_size == 1);
	return 0;
}

static const char *s_create(void)
{
	return create(O_EXCL);
}

static const char *s_create_or_open(void)
{
	return create(0);
}

static const char *s_write(void)
{
	int fd = td_path_open(&task, "a", O_RDWR, 0);

	TRY(fd);
	for (size_t at = 0; at < LONG; at += SOME)
		TRY(td_fd_pwrite(&task, fd, data + at, SOME, (int64_t)at));
	TRY(td_fd_pread(&task, fd, back, LONG, 0));
	MUST(!memcmp(back, data, LONG));
	TRY(td_fd_sync(&task, fd));
	MUST(has_there("a", data, LONG));
	TRY(td_fd_close(&task, fd));
	return 0;
}

static const char *s_write_close(void)
{
	const char *wrong = put("b", 5000);

	MUST(wrong || has_there("b", data, 5000));
	return wrong;
}

static const char *s_append(void)
{
	int fd = td_path_open(&task, "a", O_WRONLY | O_APPEND, 0);

	TRY(fd);
	TRY(td_fd_write(&task, fd, data + 1000, 500));
	TRY(td_fd_write(&task, fd, data + 1500, 500));
	TRY(td_fd_close(&task, fd));
	MUST(has_there("a", data, 2000));
	return 0;
}

static const char *s_truncate(void)
{
	TRY(td_path_truncate(&task, "b", 10));
	MUST(has_there("b", data, 10));
	return 0;
}

static const char *s_read(void)
{
	int fd = td_path_open(&task, "b", O_RDONLY, 0);

	TRY(fd);
	for (size_t at = 0; at < SOME; at += SOME / 4)
		TRY(td_fd_pread(&task, fd, back + at, SOME / 4, (int64_t)at));
	TRY(td_fd_close(&task, fd));
	MUST(!memcmp(back, data, SOME));
	return 0;
}

/* Here and there in a long file, made once. */
static const char *s_read_far(void)
{
	static const uint32_t places[] = { 0, 31, 7, 22, 1, 31 };
	int fd = td_path_open(&task, "/many/far", O_RDONLY, 0);

	TRY(fd);
	for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		TRY(td_fd_pread(&task, fd, back, 1000, (int64_t)places[i] * LONG + 77));
		MUST(!memcmp(back, data + 77, 1000));
	}
	TRY(td_fd_close(&task, fd));
	return 0;
}

static const char *s_unlink(void)
{
	TRY(td_path_unlink(&task, "b"));
	MUST(!is_there("b"));
	return 0;
}

static const char *s_unlink_open(void)
{
	int fd = td_path_open(&task, "b", O_RDWR, 0);

	TRY(fd);
	TRY(td_path_unlink(&task, "b"));
	MUST(!is_there("b"));
	TRY(td_fd_pwrite(&task, fd, data, 100, 100));
	TRY(td_fd_pread(&task, fd, back, SOME, 0));
	MUST(!memcmp(back, data, 100) && !memcmp(back + 100, data, 100) && !memcmp(back + 200, data + 200, SOME - 200));
	TRY(td_fd_close(&task, fd));
	return 0;
}

static const char *s_rename(void)
{
	TRY(td_path_rename(&task, "a", "d/new", 0));
	MUST(!is_there("a") && has_there("d/new", data, 1000));
	return 0;
}

static const char *s_replace(void)
{
	TRY(td_path_rename(&task, "a", "b", 0));
	MUST(!is_there("a") && has_there("b", data, 1000));
	return 0;
}

static const char *s_link(void)
{
	TRY(td_path_link(&task, "a", "d/a", 0));
	MUST(stat_there("a").st_nlink == 2 && stat_there("a").st_ino == stat_there("d/a").st_ino);
	return 0;
}

static const char *s_symlink(void)
{
	char text[16] = "";

	TRY(td_path_symlink(&task, "elsewhere", "new"));
	TRY(td_path_readlink(&task, "new", text, sizeof(text)));
	MUST(!memcmp(text, "elsewhere", 9) && S_ISLNK(stat_there("new").st_mode));
	return 0;
}

static const char *s_mkdir(void)
{
	TRY(td_path_mkdir(&task, "e", 0750));
	MUST(S_ISDIR(stat_there("e").st_mode) && (stat_there("e").st_mode & 07777) == 0750);
	return 0;
}

static const char *s_rmdir(void)
{
	TRY(td_path_rmdir(&task, "d"));
	MUST(!is_there("d"));
	return 0;
}

static const char *s_mknod(void)
{
	TRY(td_path_mknod(&task, "new", S_IFIFO | 0600, 0));
	MUST(S_ISFIFO(stat_there("new").st_mode));
	return 0;
}

static const char *s_attributes(void)
{
	const struct timespec times[2] = { { 1000, 0 }, { 2000, 0 } };
	struct td_fsinfo info;
	struct td_vnode v;

	TRY(td_path_chmod(&task, "a", 0604));
	TRY(td_path_chown(&task, "a", 12, 34, 0));
	TRY(td_path_utimens(&task, "a", times, 0));
	TRY(td_path_stat(&task, "a", 0, &v));
	TRY(td_path_statfs(&task, "/", &info));
	struct stat st = stat_there("a");
	MUST((st.st_mode & 07777) == 0604 && st.st_uid == 12 && st.st_gid == 34 && st.st_mtime == 2000 && v.mtime.sec == 2000);
	return 0;
}

/* A directory of several pages, and a long file: made once. */
static const char *make_many(void)
{
	char path[32];

	TRY(td_path_mkdir(&task, "/many", 0755));
	for (int i = 0; i < NAMES; i++) {
		snprintf(path, sizeof(path), "/many/name-%03d", i);
		TRY(td_path_mknod(&task, path, S_IFIFO | 0600, 0));
	}
	int fd = td_path_open(&task, "/many/far", O_WRONLY | O_CREAT, 0644);
	TRY(fd);
	for (int64_t i = 0; i < 32; i++)
		TRY(td_fd_pwrite(&task, fd, data, LONG, i * LONG));
	TRY(td_fd_close(&task, fd));
	return 0;
}

static const char *s_list(void)
{
	int fd = td_path_open(&task, "/many", O_RDONLY | O_DIRECTORY, 0), n = 0, err;
	uint8_t came[NAMES] = { 0 };
	struct td_entry e;

	TRY(fd);
	while ((err = td_fd_readdir(&task, fd, &e)) > 0) {
		int i;

		if (sscanf(e.name, "name-%d", &i) == 1 && i >= 0 && i < NAMES && !came[i]++)
			n++;
	}
	TRY(err);
	TRY(td_fd_close(&task, fd));
	MUST(n == NAMES);
	return 0;
}

/* What was acknowledged is there, though the module has fallen over something else. */
static const char *s_acknowledged(void)
{
	int fd = td_path_open(&task, "a", O_WRONLY, 0);
	struct td_vnode v;

	TRY(fd);
	TRY(td_fd_pwrite(&task, fd, data, SOME, 0));
	TRY(td_path_stat(&task, "b", 0, &v));
	TRY(td_path_chmod(&task, "b", 0600));
	TRY(td_fd_stat(&task, fd, &v));
	MUST(v.size == SOME);
	TRY(td_fd_close(&task, fd));
	MUST(has_there("a", data, SOME));
	return 0;
}

static const struct scene {
	const char *name;
	const char *(*act)(void);
} scenes[] = {
	{ "create", s_create }, { "create_or_open", s_create_or_open }, { "write", s_write }, { "write_close", s_write_close }, { "append", s_append }, { "truncate", s_truncate },
	{ "read", s_read }, { "read_far", s_read_far }, { "unlink", s_unlink }, { "unlink_open", s_unlink_open }, { "rename", s_rename }, { "replace", s_replace },
	{ "link", s_link }, { "symlink", s_symlink }, { "mkdir", s_mkdir }, { "rmdir", s_rmdir }, { "mknod", s_mknod },
	{ "attributes", s_attributes }, { "list", s_list }, { "acknowledged", s_acknowledged },
};
enum { SCENES = sizeof(scenes) / sizeof(scenes[0]) };

/* ---- Faults */

static void verdict(const struct scene *s, uint32_t op, uint32_t at, uint32_t kind, int with_cut, const char *wrong)
{
	char where[16];

	if (!wrong) {
		passed++;
		return;
	}
	failed++;
	snprintf(where, sizeof(where), at == PLANT_END ? "end" : "%u", at);
	printf("FAILED: %s\n   replay: faults %s %s 1 %s %s %s %s%s\n", wrong, only.module, only.level, s->name, td__op_names[op], where,
	       kinds[kind], with_cut ? " cut" : "");
}

/* One fault. 0: the place is none. */
static int try_at(const struct scene *s, uint32_t op, uint32_t at, uint32_t kind, int with_cut)
{
	const char *wrong = prepare(), *after;
	uint64_t before = strikes_noted();
	int struck;

	if (!wrong) {
		strikes_order(fs, op, at, kind, 0);
		cut = with_cut;
		wrong = s->act();
		cut = 0;
		strikes_end(fs);
	}
	struck = strikes_noted() != before;
	after = wrong ? 0 : clean();
	wrong = wrong ? wrong : after;
	if (wrong || struck)
		verdict(s, op, at, kind, with_cut, wrong);
	return struck && !wrong;
}

static int wanted(uint32_t op, uint32_t at, uint32_t kind, int with_cut)
{
	static unsigned long turn;

	return (!only.op || !strcmp(only.op, td__op_names[op])) && (!only.at || only.at == at) && (!only.kind || !strcmp(only.kind, kinds[kind])) &&
	       (!only.kind || only.cut == with_cut) && !(turn++ % only.each);
}

static void try_operation(const struct scene *s, uint32_t op)
{
	for (int with_cut = 0; with_cut < 2; with_cut++) {
		for (uint32_t kind = 0; kind < PLANT_KINDS; kind++)
			if (kinds[kind] && wanted(op, PLANT_END, kind, with_cut))
				try_at(s, op, PLANT_END, kind, with_cut);
		for (uint32_t at = 1, going = 1; going && at < AT_MOST; at++)
			if (wanted(op, at, PLANT_NULL, with_cut))
				going = (uint32_t)try_at(s, op, at, PLANT_NULL, with_cut);
	}
}

static void try_scene(const struct scene *s)
{
	uint32_t called[OPS];
	const char *wrong = prepare();

	memset(seen, 0, sizeof(seen));
	if (!wrong)
		wrong = s->act();
	memcpy(called, seen, sizeof(called));
	if (!wrong)
		wrong = clean();
	if (wrong) {
		verdict(s, 0, 0, PLANT_NULL, 0, wrong);
		return;
	}
	for (uint32_t op = TD_OP_mount + 1; op < TD_OP_MAX && failed < 20; op++)
		if (called[op] && op != TD_OP_unmount)
			try_operation(s, op);
}

static void parse(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: faults MODULE LEVEL EACH [SCENE [OPERATION [AT [KIND [cut]]]]]\n");
		exit(2);
	}
	only.module = argv[1];
	only.level = argv[2];
	only.each = strtoul(argv[3], 0, 10);
	only.scene = argc > 4 ? argv[4] : 0;
	only.op = argc > 5 ? argv[5] : 0;
	only.at = argc > 6 ? !strcmp(argv[6], "end") ? PLANT_END : (uint32_t)strtoul(argv[6], 0, 10) : 0;
	only.kind = argc > 7 ? argv[7] : 0;
	only.cut = argc > 8;
}

int main(int argc, char **argv)
{
	char level[80], why[512];
	struct td_volume_params p = { .level = level, .server = getenv("TADAN_NFS_URL") };
	const char *wrong;

	parse(argc, argv);
	there = getenv("TADAN_NFS_DIR");
	if (!p.server || !there || !only.each) {
		fprintf(stderr, "faults: a server is needed: tests/nfs/ganesha faults ...\n");
		return 2;
	}
	p.module = only.module;
	snprintf(level, sizeof(level), "%s,restart=1000000/1s", only.level);
	int err = td_volume_open(&p, &volume, why, sizeof(why));
	if (err) {
		printf("%s: %s\n0 passed, 0 failed, 1 skipped\n", only.level, why);
		return err == -EOPNOTSUPP ? 77 : 1;
	}
	task.volume = volume;
	fs = td_volume_fs(volume);
	for (size_t i = 0; i < LONG; i++)
		data[i] = (uint8_t)(i * 7 % 250 + i / 1000 + 1);
	wrong = make_many();
	if (wrong)
		verdict(&scenes[0], 0, 0, PLANT_NULL, 0, wrong);
	for (uint32_t i = 0; i < SCENES && !wrong; i++)
		if (!only.scene || !strcmp(only.scene, scenes[i].name))
			try_scene(&scenes[i]);
	if (td_volume_close(volume)) {
		printf("FAILED: the volume could not be closed in good order\n");
		failed++;
	}
	printf("%u passed, %u failed, 0 skipped\n", passed, failed);
	return failed != 0;
}
