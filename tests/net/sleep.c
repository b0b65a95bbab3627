/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A machine that sleeps when it is told to: preloaded into the program, it adds the nanoseconds
 * that stand in the file QE_SLEPT to the clock that goes on in sleep, and gives out the FIFO
 * QE_WAKE for a timer of the wall clock, which becomes readable when a machine resumes.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *slept;
static int wakes = -1;

/* While files can still be opened. */
[[gnu::constructor]] static void begin(void)
{
	int fd = open(getenv("QE_SLEPT"), O_RDONLY | O_CLOEXEC);
	void *file = mmap(nullptr, sizeof(*slept), PROT_READ, MAP_SHARED, fd, 0);

	if (file == MAP_FAILED)
		abort();
	slept = file;
	close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	constexpr int64_t second = 1000000000;
	int result = (int)syscall(SYS_clock_gettime, clock, now);

	if (result == 0 && clock == CLOCK_BOOTTIME) {
		now->tv_sec += *slept / second;
		now->tv_nsec += *slept % second;
		now->tv_sec += now->tv_nsec / second;
		now->tv_nsec %= second;
	}
	return result;
}

int timerfd_create(int clock, int flags)
{
	if (clock != CLOCK_REALTIME)
		return (int)syscall(SYS_timerfd_create, clock, flags);
	wakes = open(getenv("QE_WAKE"), O_RDWR | O_NONBLOCK | O_CLOEXEC);
	return wakes;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
	if (fd == wakes)
		return 0;
	return (int)syscall(SYS_timerfd_settime, fd, flags, value, old);
}
