/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One socket serves IPv4 and IPv6: where it is of both families, IPv4 addresses travel mapped, but
 * their control messages are IPv4's own (IP_PKTINFO, IP_TOS), set and read on the IPv6 socket.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/netlink.h"
#include "os/sockaddr.h"
#include "os/steering.h"
#include "os/udp.h"

constexpr size_t receive_size = 65536;
constexpr size_t train_segments_max = 64; /* UDP_MAX_SEGMENTS of older kernels */
constexpr size_t train_bytes_max = 65000; /* below 65,535 less the IP and UDP headers */
constexpr unsigned refusals_max = 8;      /* trains in a row */
constexpr int socket_buffer = 4 * 1024 * 1024;
constexpr int send_patience_ms = 5;
constexpr int receive_tries = 16;
constexpr uint8_t ecn_mask = 3;

struct qe_udp {
	int fd;
	bool ipv6;             /* the socket's family, which may take IPv4 too */
	uint8_t traffic_class; /* without the ECN bits, which each train brings */
	struct qe_endpoint local;
	unsigned refusals; /* of trains in a row, for no reason of their own */
	struct qe_udp_counters counters;
	uint8_t buffer[receive_size];
};

union control {
	struct cmsghdr align;
	uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) +
		      CMSG_SPACE(sizeof(struct in_pktinfo)) + 3 * CMSG_SPACE(sizeof(int))];
};

static bool set(const struct qe_udp *udp, int level, int option, int value)
{
	return setsockopt(udp->fd, level, option, &value, sizeof(value)) == 0;
}

/* More than net.core.rmem_max allows takes CAP_NET_ADMIN; without it, as much as there is. */
static void grow_buffers(const struct qe_udp *udp)
{
	if (!set(udp, SOL_SOCKET, SO_RCVBUFFORCE, socket_buffer))
		set(udp, SOL_SOCKET, SO_RCVBUF, socket_buffer);
	if (!set(udp, SOL_SOCKET, SO_SNDBUFFORCE, socket_buffer))
		set(udp, SOL_SOCKET, SO_SNDBUF, socket_buffer);
}

/* PMTUDISC_PROBE: DF is set, and the kernel's own idea of the path's MTU, which a forged ICMP
 * message can lower, is left out of it: QUIC finds the MTU itself. */
static bool set_options(const struct qe_udp *udp)
{
	bool good = set(udp, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE) &&
		    set(udp, IPPROTO_IP, IP_PKTINFO, 1) && set(udp, IPPROTO_IP, IP_RECVTOS, 1);

	if (udp->ipv6)
		good = good && set(udp, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE) &&
		       set(udp, IPPROTO_IPV6, IPV6_DONTFRAG, 1) &&
		       set(udp, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) &&
		       set(udp, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
	return good;
}

/* shares: bind to a port that a socket of this process has. */
static enum qe_error open_socket(struct qe_udp *udp, const struct qe_endpoint *listen, bool shares)
{
	struct sockaddr_storage address;
	socklen_t size = qe_sockaddr_from_endpoint(&address, listen, false);

	udp->ipv6 = listen->addr.family == QE_FAMILY_IPV6;
	udp->fd = socket(address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (udp->fd < 0)
		return qe_error_errno();
	if (udp->ipv6 &&
		!set(udp, IPPROTO_IPV6, IPV6_V6ONLY, !qe_addr_is_unspecified(&listen->addr)))
		return qe_error_errno();
	if (!set_options(udp))
		return qe_error_errno();
	/* Takes CAP_NET_ADMIN; without it nothing can send all of the host's packets to us. */
	set(udp, SOL_SOCKET, SO_MARK, QE_DEFAULT_TABLE);
	grow_buffers(udp);
	udp->counters.segment_off = !set(udp, IPPROTO_UDP, UDP_SEGMENT, 0);
	udp->counters.gro_off = !set(udp, IPPROTO_UDP, UDP_GRO, 1);
	if (shares && !set(udp, SOL_SOCKET, SO_REUSEPORT, 1))
		return qe_error_errno();
	if (bind(udp->fd, (struct sockaddr *)&address, size) < 0)
		return qe_error_errno();
	size = sizeof(address);
	if (getsockname(udp->fd, (struct sockaddr *)&address, &size) < 0)
		return qe_error_errno();
	udp->local = qe_sockaddr_to_endpoint(&address);
	return QE_OK;
}

static bool is_lack_of_ipv6(enum qe_error error)
{
	return error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;
}

static enum qe_error new_socket(
	struct qe_udp **ret_udp, const struct qe_endpoint *listen, bool shares)
{
	struct qe_udp *udp = malloc(sizeof(*udp));
	enum qe_error error;

	if (!udp)
		return -ENOMEM;
	*udp = (struct qe_udp){.fd = -1};
	error = open_socket(udp, listen, shares);
	if (is_lack_of_ipv6(error) && qe_addr_is_unspecified(&listen->addr)) {
		struct qe_endpoint ipv4 = {.addr.family = QE_FAMILY_IPV4, .port = listen->port};

		if (udp->fd >= 0)
			close(udp->fd);
		error = open_socket(udp, &ipv4, shares);
	}
	if (error != QE_OK) {
		qe_udp_free(udp);
		return error;
	}
	*ret_udp = udp;
	return QE_OK;
}

enum qe_error qe_udp_new(struct qe_udp **ret_udp, const struct qe_endpoint *listen)
{
	return new_socket(ret_udp, listen, false);
}

/* The first one binds alone, so that it fails where another program has the port; only then may the
 * others join it. The group is in the order in which they came. */
static enum qe_error join(struct qe_udp *udps[], unsigned n)
{
	for (unsigned i = 1; i < n; i++) {
		if (i == 1 && !set(udps[0], SOL_SOCKET, SO_REUSEPORT, 1))
			return qe_error_errno();
		QE_TRY(new_socket(&udps[i], &udps[0]->local, true));
	}
	udps[0]->counters.steering_off = n > 1 && qe_steer_datagrams(udps[0]->fd, n) != QE_OK;
	return QE_OK;
}

enum qe_error qe_udp_new_group(
	struct qe_udp *ret_udps[], unsigned n, const struct qe_endpoint *listen)
{
	struct qe_udp *udps[QE_WORKERS_MAX] = {};
	enum qe_error error = n > 0 && n <= QE_WORKERS_MAX ? QE_OK : QE_ERR_RANGE;

	if (error == QE_OK)
		error = qe_udp_new(&udps[0], listen);
	if (error == QE_OK)
		error = join(udps, n);
	if (error != QE_OK) {
		for (unsigned i = 0; i < QE_WORKERS_MAX; i++)
			qe_udp_free(udps[i]);
		return error;
	}
	memcpy(ret_udps, udps, n * sizeof(udps[0]));
	return QE_OK;
}

struct qe_udp *qe_udp_free(struct qe_udp *udp)
{
	if (!udp)
		return nullptr;
	if (udp->fd >= 0)
		close(udp->fd);
	free(udp);
	return nullptr;
}

enum qe_error qe_udp_set_dscp(struct qe_udp *udp, uint8_t dscp)
{
	udp->traffic_class = (uint8_t)(dscp << 2);
	if (!set(udp, IPPROTO_IP, IP_TOS, udp->traffic_class) ||
		(udp->ipv6 && !set(udp, IPPROTO_IPV6, IPV6_TCLASS, udp->traffic_class)))
		return qe_error_errno();
	return QE_OK;
}

int qe_udp_fd(const struct qe_udp *udp)
{
	return udp->fd;
}

struct qe_endpoint qe_udp_local(const struct qe_udp *udp)
{
	return udp->local;
}

const struct qe_udp_counters *qe_udp_get_counters(const struct qe_udp *udp)
{
	return &udp->counters;
}

void qe_udp_counters_add(struct qe_udp_counters *sum, const struct qe_udp_counters *counters)
{
	sum->sent += counters->sent;
	sum->no_buffer += counters->no_buffer;
	sum->unreachable += counters->unreachable;
	sum->too_big += counters->too_big;
	sum->failed += counters->failed;
	sum->truncated += counters->truncated;
	sum->receive_errors += counters->receive_errors;
	sum->segment_off |= counters->segment_off;
	sum->gro_off |= counters->gro_off;
	sum->steering_off |= counters->steering_off;
	sum->trains_split += counters->trains_split;
	sum->send_waits += counters->send_waits;
}

/* ---- receiving ---- */

static void take_control(struct qe_udp_train *train, struct cmsghdr *control)
{
	const uint8_t *data = CMSG_DATA(control);
	struct in6_pktinfo info6;
	struct in_pktinfo info4;
	int value;

	if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
		memcpy(&info6, data, sizeof(info6));
		train->path.local.addr = qe_sockaddr_unmap(info6.ipi6_addr.s6_addr);
		if (qe_addr_is_link_local(&train->path.local.addr))
			train->path.local.scope = info6.ipi6_ifindex;
	} else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
		memcpy(&info4, data, sizeof(info4));
		train->path.local.addr = qe_addr_ipv4((const uint8_t *)&info4.ipi_addr.s_addr);
	} else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
		train->ecn = data[0] & ecn_mask;
	} else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
		memcpy(&value, data, sizeof(value));
		train->ecn = (uint8_t)value & ecn_mask;
	} else if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == UDP_GRO) {
		memcpy(&value, data, sizeof(value));
		train->segment_size = (size_t)value;
	}
}

static ssize_t receive(struct qe_udp *udp, struct qe_udp_train *ret_train)
{
	struct sockaddr_storage from;
	struct iovec part = {udp->buffer, sizeof(udp->buffer)};
	union control control;
	struct msghdr message = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(udp->fd, &message, 0);

	if (n <= 0)
		return n;
	*ret_train = (struct qe_udp_train){
		.path.local.port = udp->local.port,
		.path.remote = qe_sockaddr_to_endpoint(&from),
		.data = udp->buffer,
		.len = (size_t)n,
		.segment_size = (size_t)n,
	};
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at))
		take_control(ret_train, at);
	if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		udp->counters.truncated++;
		return 0;
	}
	return n;
}

/* Empty datagrams, cut ones and errors that some ICMP message left behind are passed over; but one
 * call does not go on for ever about them. */
enum qe_error qe_udp_receive(struct qe_udp *udp, struct qe_udp_train *ret_train)
{
	for (int i = 0; i < receive_tries; i++) {
		ssize_t n = receive(udp, ret_train);

		if (n > 0)
			return QE_OK;
		if (n < 0 && errno == EAGAIN)
			return -EAGAIN;
		udp->counters.receive_errors += n < 0;
	}
	return -EINTR;
}

/* ---- sending ---- */

static void add_control(
	struct msghdr *message, int level, int type, const void *data, size_t data_size)
{
	uint8_t *place = (uint8_t *)message->msg_control + message->msg_controllen;
	struct cmsghdr *control = (struct cmsghdr *)place;

	control->cmsg_level = level;
	control->cmsg_type = type;
	control->cmsg_len = CMSG_LEN(data_size);
	memcpy(CMSG_DATA(control), data, data_size);
	message->msg_controllen += CMSG_SPACE(data_size);
}

/* From the address that the peer knows us by, not from the one that the system would choose now. */
static void add_source(struct msghdr *message, const struct qe_endpoint *local)
{
	struct in6_pktinfo info6 = {.ipi6_ifindex = local->scope};
	struct in_pktinfo info4 = {};

	if (local->addr.family == QE_FAMILY_IPV4) {
		memcpy(&info4.ipi_spec_dst, local->addr.bytes, 4);
		add_control(message, IPPROTO_IP, IP_PKTINFO, &info4, sizeof(info4));
	} else if (local->addr.family == QE_FAMILY_IPV6) {
		memcpy(&info6.ipi6_addr, local->addr.bytes, 16);
		add_control(message, IPPROTO_IPV6, IPV6_PKTINFO, &info6, sizeof(info6));
	}
}

/* segment_size 0: one datagram. Returns 0 or the errno. */
static int send_once(const struct qe_udp *udp, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, uint16_t segment_size)
{
	struct sockaddr_storage to;
	struct iovec part = {(void *)data, len};
	union control control = {};
	struct msghdr message = {
		.msg_name = &to,
		.msg_namelen = qe_sockaddr_from_endpoint(&to, &path->remote, udp->ipv6),
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
	};
	int mark = udp->traffic_class | ecn;

	add_source(&message, &path->local);
	if (ecn && path->remote.addr.family == QE_FAMILY_IPV4)
		add_control(&message, IPPROTO_IP, IP_TOS, &mark, sizeof(mark));
	else if (ecn)
		add_control(&message, IPPROTO_IPV6, IPV6_TCLASS, &mark, sizeof(mark));
	if (segment_size)
		add_control(
			&message, IPPROTO_UDP, UDP_SEGMENT, &segment_size, sizeof(segment_size));
	return sendmsg(udp->fd, &message, MSG_NOSIGNAL) < 0 ? errno : 0;
}

static int send_patiently(struct qe_udp *udp, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, uint16_t segment_size)
{
	struct pollfd writable = {.fd = udp->fd, .events = POLLOUT};
	int error = send_once(udp, path, ecn, data, len, segment_size);

	udp->counters.send_waits += error == EAGAIN;
	if (error == EINTR || (error == EAGAIN && poll(&writable, 1, send_patience_ms) > 0))
		error = send_once(udp, path, ecn, data, len, segment_size);
	return error;
}

/* What became of so many datagrams. */
static void count(struct qe_udp *udp, int error, size_t n)
{
	switch (error) {
	case 0:
		udp->counters.sent += n;
		break;
	case EAGAIN:
	case ENOBUFS:
		udp->counters.no_buffer += n;
		break;
	case EMSGSIZE:
		udp->counters.too_big += n;
		break;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ENETDOWN:
	case EADDRNOTAVAIL:
	case EACCES:
	case EPERM:
	case EINVAL: /* a source address that is no longer ours */
		udp->counters.unreachable += n;
		break;
	default:
		udp->counters.failed += n;
	}
}

static size_t datagrams(size_t len, size_t segment_size)
{
	return (len + segment_size - 1) / segment_size;
}

static void send_singly(struct qe_udp *udp, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size)
{
	for (size_t at = 0; at < len; at += segment_size) {
		size_t size = len - at < segment_size ? len - at : segment_size;

		count(udp, send_patiently(udp, path, ecn, data + at, size, 0), 1);
	}
}

/* EIO: the device behind this route cannot do what trains need, and the socket does without from
 * then on. EINVAL, EMSGSIZE: perhaps only this train's segments are larger than the device's MTU,
 * or its source is gone; but where trains are refused again and again, and each of their datagrams
 * is taken, it is trains that are not liked. */
static void note_refusal(struct qe_udp *udp, int error, bool each_was_taken)
{
	if (error == EINVAL && each_was_taken)
		udp->refusals++;
	if (error == EIO || udp->refusals == refusals_max)
		udp->counters.segment_off = true;
}

static void send_train(struct qe_udp *udp, const struct qe_path *path, uint8_t ecn,
	const uint8_t *data, size_t len, size_t segment_size)
{
	int error = send_patiently(udp, path, ecn, data, len, (uint16_t)segment_size);
	size_t n = datagrams(len, segment_size);
	uint64_t sent = udp->counters.sent;

	if (error != EIO && error != EINVAL && error != EMSGSIZE) {
		udp->refusals = 0;
		count(udp, error, n);
		return;
	}
	udp->counters.trains_split++;
	send_singly(udp, path, ecn, data, len, segment_size);
	note_refusal(udp, error, udp->counters.sent - sent == n);
}

static size_t train_max(size_t segment_size)
{
	size_t segments;

	assert(segment_size > 0 && segment_size <= train_bytes_max);
	segments = train_bytes_max / segment_size;
	return (segments < train_segments_max ? segments : train_segments_max) * segment_size;
}

void qe_udp_send(struct qe_udp *udp, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	size_t max = train_max(segment_size);

	if (!udp->ipv6 && path->remote.addr.family != QE_FAMILY_IPV4) {
		count(udp, ENETUNREACH, datagrams(len, segment_size));
		return;
	}
	if (udp->counters.segment_off || len <= segment_size) {
		send_singly(udp, path, ecn, data, len, segment_size);
		return;
	}
	for (size_t at = 0; at < len; at += max) {
		size_t size = len - at < max ? len - at : max;

		send_train(udp, path, ecn, data + at, size, segment_size);
	}
}

bool qe_udp_has_way(const struct qe_endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t size = qe_sockaddr_from_endpoint(&address, to, false);
	int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && connect(fd, (struct sockaddr *)&address, size) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}
