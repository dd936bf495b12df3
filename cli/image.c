/* SPDX-License-Identifier: BSD-2-Clause */
/* An image file is left as it was found if the mount fails: not made, not longer. */
#include "server.h"

#include <sys/stat.h>
#include <unistd.h>

void td__image_note(struct td__image *image, const char *path)
{
	struct stat st;

	image->path = path;
	image->existed = path && !stat(path, &st);
	image->size = image->existed && S_ISREG(st.st_mode) ? st.st_size : -1;
}

/* Only a regular file that is longer now is cut; what stood in it before is still there. */
void td__image_undo(const struct td__image *image)
{
	struct stat st;

	if (!image->path || stat(image->path, &st) || !S_ISREG(st.st_mode))
		return;
	if (!image->existed)
		unlink(image->path);
	else if (image->size >= 0 && st.st_size > image->size && truncate(image->path, image->size))
		td__cli_error("%s: cannot be cut to the size it had", image->path);
}
