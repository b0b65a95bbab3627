/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A kernel that cannot do everything: preloaded into the program, it refuses what QE_REFUSE names
 * (words with commas between them) as a kernel without it would, and lets all else pass.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static bool is_refused(const char *what)
{
	const char *at = getenv("QE_REFUSE");
	size_t len = strlen(what);

	while (at) {
		if (strncmp(at, what, len) == 0 && (at[len] == ',' || at[len] == 0))
			return true;
		at = strchr(at, ',');
		at = at ? at + 1 : nullptr;
	}
	return false;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

static bool are_offloads_refused(unsigned long offloads)
{
	return (is_refused("csum") && offloads & TUN_F_CSUM) ||
	       (is_refused("tso") && offloads & (TUN_F_TSO4 | TUN_F_TSO6)) ||
	       (is_refused("uso") && offloads & (TUN_F_USO4 | TUN_F_USO6));
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == TUNSETOFFLOAD && are_offloads_refused((unsigned long)argument))
		return fail(EINVAL);
	if (request == TUNSETIFF && is_refused("header") &&
		((const struct ifreq *)argument)->ifr_flags & IFF_VNET_HDR)
		return fail(EINVAL);
	if (request == TUNSETSTEERINGEBPF && is_refused("steering"))
		return fail(EINVAL);
	return (int)syscall(SYS_ioctl, fd, request, argument);
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
	if (level == IPPROTO_UDP && ((option == UDP_SEGMENT && is_refused("segment")) ||
					    (option == UDP_GRO && is_refused("gro"))))
		return fail(ENOPROTOOPT);
	if (level == SOL_SOCKET && option == SO_ATTACH_REUSEPORT_CBPF && is_refused("steering"))
		return fail(ENOPROTOOPT);
	return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
}

static bool is_train(const struct msghdr *message)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at;
		at = CMSG_NXTHDR((struct msghdr *)message, at))
		if (at->cmsg_level == IPPROTO_UDP && at->cmsg_type == UDP_SEGMENT)
			return true;
	return false;
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	if (is_train(message) && is_refused("segment_eio"))
		return fail(EIO);
	if (is_train(message) && is_refused("segment_einval"))
		return fail(EINVAL);
	return syscall(SYS_sendmsg, fd, message, flags);
}
