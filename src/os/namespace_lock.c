/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "os/namespace_lock.h"

/* A file that is there in every namespace, and another one in each; and that none but root opens,
 * or anybody on the host could keep the lock for good. */
static const char path[] = "/proc/sys/net/ipv4/tcp_fastopen_key";

int qe_namespace_lock(void)
{
	int lock = open(path, O_RDONLY | O_CLOEXEC);

	if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) < 0) {
		close(lock);
		return -1;
	}
	return lock;
}

void qe_namespace_unlock(int lock)
{
	if (lock >= 0)
		close(lock);
}
