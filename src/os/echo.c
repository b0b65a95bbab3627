/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Linux has sockets for just this, which give only the answers to one's own questions; but who may
 * have them is a setting that is often left at nobody. A raw socket does the same, and gets the
 * answers to all others' questions too.
 */
#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

/* After what it would else declare in part. */
#include <linux/icmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/checksum.h"
#include "os/echo.h"
#include "os/sockaddr.h"

constexpr size_t ipv4_header_max = 60;
constexpr size_t token_size = 8;
constexpr unsigned foreign_max = 64; /* answers of others to look at in one call */

struct message {
	uint8_t type, code;
	uint16_t checksum, id, sequence;
	uint8_t token[token_size]; /* as nobody can guess */
};

struct qe_echo {
	int fd;
	bool ipv4, raw;
	struct message question;
};

static bool set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool filter(const struct qe_echo *echo)
{
	const struct icmp_filter ipv4 = {~(1U << ICMP_ECHOREPLY)};
	struct icmp6_filter ipv6;

	if (echo->ipv4)
		return setsockopt(echo->fd, SOL_RAW, ICMP_FILTER, &ipv4, sizeof(ipv4)) == 0;
	ICMP6_FILTER_SETBLOCKALL(&ipv6);
	ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &ipv6);
	return setsockopt(echo->fd, IPPROTO_ICMPV6, ICMP6_FILTER, &ipv6, sizeof(ipv6)) == 0;
}

static enum qe_error open_socket(struct qe_echo *echo)
{
	int family = echo->ipv4 ? AF_INET : AF_INET6;
	int protocol = echo->ipv4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;

	echo->fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (echo->fd < 0) {
		echo->fd = socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
		echo->raw = true;
	}
	if (echo->fd < 0 || (echo->raw && !filter(echo)))
		return qe_error_errno();
	if (!set(echo->fd, echo->ipv4 ? IPPROTO_IP : IPPROTO_IPV6,
		    echo->ipv4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1))
		return qe_error_errno();
	return QE_OK;
}

enum qe_error qe_echo_new(struct qe_echo **ret_echo, enum qe_family family)
{
	struct qe_echo *echo = malloc(sizeof(*echo));
	enum qe_error error;

	if (!echo)
		return -ENOMEM;
	*echo = (struct qe_echo){.fd = -1, .ipv4 = family == QE_FAMILY_IPV4};
	echo->question.type = echo->ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
	error = getentropy(&echo->question.id, sizeof(echo->question.id)) < 0 ||
				getentropy(echo->question.token, token_size) < 0
			? qe_error_errno()
			: open_socket(echo);
	if (error != QE_OK) {
		qe_echo_free(echo);
		return error;
	}
	*ret_echo = echo;
	return QE_OK;
}

struct qe_echo *qe_echo_free(struct qe_echo *echo)
{
	if (echo && echo->fd >= 0)
		close(echo->fd);
	free(echo);
	return nullptr;
}

int qe_echo_fd(const struct qe_echo *echo)
{
	return echo->fd;
}

/* For IPv6, and by sockets for just this, the kernel writes the checksum. */
void qe_echo_send(struct qe_echo *echo, const struct qe_addr *to)
{
	struct qe_endpoint endpoint = {.addr = *to};
	struct sockaddr_storage address;
	socklen_t size = qe_sockaddr_from_endpoint(&address, &endpoint, false);
	struct message *question = &echo->question;
	uint64_t sum;

	question->sequence++;
	question->checksum = 0;
	sum = qe_checksum_add(0, (struct qe_bytes){(const uint8_t *)question, sizeof(*question)});
	qe_store_u16((uint8_t *)&question->checksum, (uint16_t)~qe_checksum_fold(sum));
	(void)!sendto(echo->fd, question, sizeof(*question), 0, (struct sockaddr *)&address, size);
}

static bool is_answer(const struct qe_echo *echo, const uint8_t *bytes, size_t len)
{
	size_t header = echo->raw && echo->ipv4 && len > 0 ? 4 * (bytes[0] & 15U) : 0;
	struct message answer;

	if (len != header + sizeof(answer))
		return false;
	memcpy(&answer, bytes + header, sizeof(answer));
	return answer.type == (echo->ipv4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY) &&
	       (!echo->raw || answer.id == echo->question.id) &&
	       memcmp(answer.token, echo->question.token, token_size) == 0;
}

static unsigned find_interface(struct msghdr *message)
{
	for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
		struct in_pktinfo ipv4;
		struct in6_pktinfo ipv6;

		if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
			memcpy(&ipv4, CMSG_DATA(at), sizeof(ipv4));
			return (unsigned)ipv4.ipi_ifindex;
		}
		if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
			memcpy(&ipv6, CMSG_DATA(at), sizeof(ipv6));
			return ipv6.ipi6_ifindex;
		}
	}
	return 0;
}

bool qe_echo_receive(struct qe_echo *echo, struct qe_addr *ret_from, unsigned *ret_interface)
{
	for (unsigned i = 0; i < foreign_max; i++) {
		alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		uint8_t bytes[ipv4_header_max + sizeof(struct message)];
		struct iovec part = {bytes, sizeof(bytes)};
		struct sockaddr_storage address;
		struct msghdr message = {
			&address, sizeof(address), &part, 1, control, sizeof(control), 0};
		ssize_t n = recvmsg(echo->fd, &message, 0);

		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0 || !is_answer(echo, bytes, (size_t)n))
			continue;
		*ret_from = qe_sockaddr_to_endpoint(&address).addr;
		*ret_interface = find_interface(&message);
		return true;
	}
	return false;
}
