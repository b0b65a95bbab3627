/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A timer that never comes, on the wall clock, is cancelled when that clock is set, and the kernel
 * sets it when it resumes. Whether that was the reason is told by two clocks, one of which goes on
 * in sleep: how far they are apart is how long the machine has slept.
 */
#include "os/wakes.h"

#include <errno.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"

/* The clocks are read one after the other. */
constexpr qe_time noise = QE_SECOND / 10;

static enum qe_error arm(int fd)
{
	const struct itimerspec never = {.it_value.tv_sec = INT64_MAX / QE_SECOND};

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, nullptr) < 0
		       ? qe_error_errno()
		       : QE_OK;
}

enum qe_error qe_wakes_init(struct qe_wakes *wakes)
{
	int fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	enum qe_error error = fd < 0 ? qe_error_errno() : arm(fd);

	if (error != QE_OK && fd >= 0)
		close(fd);
	if (error == QE_OK)
		*wakes = (struct qe_wakes){fd, qe_clock_slept()};
	return error;
}

void qe_wakes_done(struct qe_wakes *wakes)
{
	if (wakes->fd >= 0)
		close(wakes->fd);
	wakes->fd = -1;
}

/* What is read is of no account: that the timer was cancelled is an error. */
qe_time qe_wakes_take(struct qe_wakes *wakes)
{
	qe_time before = wakes->slept;
	uint64_t unwanted;

	(void)!read(wakes->fd, &unwanted, sizeof(unwanted));
	(void)!arm(wakes->fd);
	wakes->slept = qe_clock_slept();
	return qe_time_since(before, wakes->slept) > noise ? qe_time_since(before, wakes->slept)
							   : 0;
}
