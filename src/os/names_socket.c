/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Each socket is bound to its device, loopback or the interface: an address alone would take what
 * comes to it from any network, and even to one of loopback where somebody has set route_localnet.
 */
#include "os/names_socket.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/host_dns.h"
#include "os/sockaddr.h"

constexpr uint16_t port = 53;
constexpr int backlog = 64;

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static enum qe_error open_socket(int *ret_fd, enum qe_family family, bool stream)
{
	int type = (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
	int fd = socket(family == QE_FAMILY_IPV4 ? AF_INET : AF_INET6, type, 0);

	if (fd < 0 || (family == QE_FAMILY_IPV6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))) {
		enum qe_error error = qe_error_errno();

		if (fd >= 0)
			close(fd);
		return error;
	}
	*ret_fd = fd;
	return QE_OK;
}

static enum qe_error finish(int *ret_fd, int fd, bool good)
{
	enum qe_error error = good ? QE_OK : qe_error_errno();

	if (good)
		*ret_fd = fd;
	else
		close(fd);
	return error;
}

enum qe_error qe_marked_socket(int *ret_fd, enum qe_family family, bool stream)
{
	int fd = -1;

	QE_TRY(open_socket(&fd, family, stream));
	return finish(ret_fd, fd, set(fd, SOL_SOCKET, SO_MARK, QE_DEFAULT_TABLE));
}

/* ---- port 53 ---- */

struct search {
	const char *interface;
	struct qe_addr addr;
	bool found;
};

static void look(void *ctx, const struct qe_host_entry *entry)
{
	struct search *search = ctx;

	search->found |= !entry->is_route && strcmp(entry->interface, search->interface) == 0 &&
			 qe_addr_equal(&entry->addr, &search->addr);
}

/* Loopback for what is asked by this host. */
static enum qe_error find_device(const char **ret_device, struct qe_netlink *netlink,
	const char *interface, const struct qe_addr *addr)
{
	struct search search = {interface, *addr, false};
	const struct qe_addr own = QE_HOST_DNS_SERVER;

	if (qe_addr_equal(addr, &own)) {
		*ret_device = "lo";
		return QE_OK;
	}
	QE_TRY(qe_netlink_visit(netlink, look, &search));
	if (!search.found)
		return QE_ERR_RANGE;
	*ret_device = interface;
	return QE_OK;
}

/* What was connected before a restart does not keep the address. */
static bool bind_socket(int fd, const char *device, const struct qe_addr *addr, bool stream)
{
	const struct qe_endpoint endpoint = {.addr = *addr, .port = port};
	struct sockaddr_storage address;
	socklen_t size = qe_sockaddr_from_endpoint(&address, &endpoint, false);

	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) ==
		       0 &&
	       (!stream || set(fd, SOL_SOCKET, SO_REUSEADDR, 1)) &&
	       bind(fd, (struct sockaddr *)&address, size) == 0 &&
	       (!stream || listen(fd, backlog) == 0);
}

enum qe_error qe_names_socket(int *ret_fd, struct qe_netlink *netlink, const char *interface,
	const struct qe_addr *addr, bool stream)
{
	const char *device;
	int fd = -1;

	QE_TRY(find_device(&device, netlink, interface, addr));
	QE_TRY(open_socket(&fd, addr->family, stream));
	return finish(ret_fd, fd, bind_socket(fd, device, addr, stream));
}
