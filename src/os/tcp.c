/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "os/sockaddr.h"

constexpr int backlog = 128;

static enum qe_error start_listening(
	int fd, const struct qe_endpoint *listen_at, struct qe_endpoint *ret_local)
{
	const int on = 1;
	struct sockaddr_storage address = {};
	socklen_t len = qe_sockaddr_from_endpoint(&address, listen_at, false);

	/* Of connections that have ended lately, nobody is to be kept waiting by. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&address, len) < 0 || listen(fd, backlog) < 0)
		return qe_error_errno();
	len = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0)
		return qe_error_errno();
	*ret_local = qe_sockaddr_to_endpoint(&address);
	return QE_OK;
}

enum qe_error qe_tcp_listen(
	int *ret_fd, const struct qe_endpoint *listen_at, struct qe_endpoint *ret_local)
{
	int family = listen_at->addr.family == QE_FAMILY_IPV4 ? AF_INET : AF_INET6;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enum qe_error error;

	if (fd < 0)
		return qe_error_errno();
	error = start_listening(fd, listen_at, ret_local);
	if (error != QE_OK) {
		close(fd);
		return error;
	}
	*ret_fd = fd;
	return QE_OK;
}

enum qe_error qe_tcp_accept(int listener, int *ret_fd)
{
	const int on = 1;
	int fd;

	do
		fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0)
		return qe_error_errno();
	/* What arrives in small pieces through the tunnel is to go on at once. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	*ret_fd = fd;
	return QE_OK;
}

static enum qe_error broken(void)
{
	return errno == ECONNRESET || errno == EPIPE ? QE_ERR_CLOSED : qe_error_errno();
}

enum qe_error qe_tcp_receive(int fd, void *to, size_t capacity, size_t *ret_len)
{
	ssize_t n;

	do
		n = recv(fd, to, capacity, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return broken();
	*ret_len = (size_t)n;
	return QE_OK;
}

enum qe_error qe_tcp_send(int fd, struct qe_bytes bytes, size_t *ret_sent)
{
	ssize_t n;

	do
		n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return broken();
	*ret_sent = (size_t)n;
	return QE_OK;
}

void qe_tcp_finish(int fd)
{
	(void)shutdown(fd, SHUT_WR);
}

void qe_tcp_close(int fd, bool abort)
{
	const struct linger at_once = {.l_onoff = 1};

	if (abort)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}
