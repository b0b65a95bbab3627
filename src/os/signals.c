/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "os/signals.h"

static sigset_t end_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

enum qe_error qe_signals_take(int *ret_fd)
{
	sigset_t set = end_signals();
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);

	if (fd < 0)
		return qe_error_errno();
	sigprocmask(SIG_BLOCK, &set, nullptr);
	signal(SIGPIPE, SIG_IGN);
	*ret_fd = fd;
	return QE_OK;
}

const char *qe_signals_read(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return nullptr;
	return sigabbrev_np((int)info.ssi_signo);
}

void qe_signals_release(int fd)
{
	sigset_t set = end_signals();

	close(fd);
	sigprocmask(SIG_UNBLOCK, &set, nullptr);
}
