/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/sockaddr.h"

static enum qe_error connect_to(int fd, const struct qe_endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t size = qe_sockaddr_from_endpoint(&address, to, false);

	return connect(fd, (struct sockaddr *)&address, size) == 0 || errno == EINPROGRESS
		       ? QE_OK
		       : qe_error_errno();
}

static enum qe_error open_socket(int *ret_fd, int type, const struct qe_endpoint *to)
{
	int fd = socket(to->addr.family == QE_FAMILY_IPV4 ? AF_INET : AF_INET6,
		type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enum qe_error error;

	if (fd < 0)
		return qe_error_errno();
	error = connect_to(fd, to);
	if (error == QE_OK)
		*ret_fd = fd;
	else
		close(fd);
	return error;
}

enum qe_error qe_socket_datagram(int *ret_fd, const struct qe_endpoint *to)
{
	return open_socket(ret_fd, SOCK_DGRAM, to);
}

enum qe_error qe_socket_stream(int *ret_fd, const struct qe_endpoint *to)
{
	return open_socket(ret_fd, SOCK_STREAM, to);
}

enum qe_error qe_socket_connect(int fd, const struct qe_endpoint *to)
{
	return connect_to(fd, to);
}

enum qe_error qe_socket_accept(int fd, int *ret_fd, struct qe_endpoint *ret_from)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	int accepted = accept4(
		fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (accepted < 0)
		return qe_error_errno();
	*ret_fd = accepted;
	*ret_from = qe_sockaddr_to_endpoint(&address);
	return QE_OK;
}

void qe_socket_close(int fd)
{
	close(fd);
}

enum qe_error qe_socket_source(struct qe_addr *ret_source, const struct qe_addr *to)
{
	const struct qe_endpoint endpoint = {.addr = *to, .port = 53};
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	enum qe_error error = QE_OK;
	int fd;

	QE_TRY(qe_socket_datagram(&fd, &endpoint));
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		error = qe_error_errno();
	else
		*ret_source = qe_sockaddr_to_endpoint(&address).addr;
	close(fd);
	return error;
}

enum qe_error qe_socket_send(int fd, struct qe_bytes bytes, size_t *ret_sent)
{
	ssize_t n = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return qe_error_errno();
	*ret_sent = (size_t)n;
	return QE_OK;
}

/* Of a datagram MSG_TRUNC gives the whole length; of a stream it would throw bytes away. */
enum qe_error qe_socket_receive(int fd, void *to, size_t capacity, size_t *ret_len)
{
	ssize_t n = recv(fd, to, capacity, MSG_DONTWAIT);

	if (n < 0)
		return qe_error_errno();
	*ret_len = (size_t)n;
	return n == 0 ? QE_ERR_CLOSED : QE_OK;
}

enum qe_error qe_socket_send_to(int fd, struct qe_bytes bytes, const struct qe_endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t size = qe_sockaddr_from_endpoint(&address, to, false);

	return sendto(fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT,
		       (struct sockaddr *)&address, size) < 0
		       ? qe_error_errno()
		       : QE_OK;
}

enum qe_error qe_socket_receive_from(
	int fd, void *to, size_t capacity, size_t *ret_len, struct qe_endpoint *ret_from)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	ssize_t n = recvfrom(
		fd, to, capacity, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&address, &size);

	if (n < 0)
		return qe_error_errno();
	if ((size_t)n > capacity)
		return QE_ERR_TRUNCATED;
	*ret_len = (size_t)n;
	*ret_from = qe_sockaddr_to_endpoint(&address);
	return QE_OK;
}
