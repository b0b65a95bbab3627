/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The daemon's side of the helper, and its birth. It is born by fork alone, so that there is
 * nothing to install and to find; before the daemon has made anything, so that there is little in
 * its memory and nothing among its descriptors. All of these are closed: an interface or a port
 * that it held would outlive the daemon.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/helper_messages.h"
#include "os/journal.h"
#include "os/process.h"
#include "os/sandbox.h"

/* Longer than the helper waits for nft. */
constexpr int patience_ms = 15000;
constexpr int own_fd = 3;
constexpr int folder_fd = 4;

struct qe_helper {
	int fd;
	pid_t pid;
	uint32_t number; /* of the last request */
	bool said_goodbye;
};

/* ---- birth ---- */

/* A terminal's signals are for the daemon, and so is a service manager's first one: what the helper
 * listens to is the end of its socket. */
static void leave_terminal(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGXFSZ};

	setsid();
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	(void)qe_process_detach();
	prctl(PR_SET_NAME, "quicether-host", 0, 0, 0);
}

/* Standard streams are open, see qe_process_fill_streams: the descriptors are none of them. */
static bool keep_only(int fd, int folder)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, own_fd + 2);
	int folder_copy = folder < 0 ? -1 : fcntl(folder, F_DUPFD_CLOEXEC, own_fd + 2);

	if (copy < 0 || (folder >= 0 && folder_copy < 0) || dup2(copy, own_fd) < 0 ||
		(folder >= 0 && dup3(folder_copy, folder_fd, O_CLOEXEC) < 0))
		return false;
	return close_range(folder < 0 ? folder_fd : folder_fd + 1, ~0U, 0) == 0;
}

/* The first message is an answer without a request: whether it has come so far, and is confined. */
[[noreturn]] static void become_helper(
	int fd, int folder, const char *interface, void (*forget)(void *ctx), void *ctx)
{
	const struct qe_sandbox_folder uses = {folder_fd, QE_SANDBOX_REPLACE};
	struct qe_helper_answer hello = {};
	bool confined = false;

	if (forget)
		forget(ctx);
	if (!keep_only(fd, folder))
		_exit(1);
	leave_terminal();
	hello.error = qe_sandbox_enter_helper(&uses, folder < 0 ? 0 : 1, &confined);
	hello.n = confined;
	qe_process_shed();
	if (send(own_fd, &hello, sizeof(hello), MSG_NOSIGNAL) == sizeof(hello) &&
		hello.error == QE_OK)
		qe_helper_serve(own_fd, interface, folder < 0 ? -1 : folder_fd);
	_exit(0);
}

/* With the descriptor that came along, or -1. */
static ssize_t receive_packet(int socket, struct qe_helper_answer *answer, int *ret_fd)
{
	union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = {answer, sizeof(*answer)};
	struct msghdr message = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	struct cmsghdr *head = n < 0 ? nullptr : CMSG_FIRSTHDR(&message);

	*ret_fd = -1;
	if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(head), sizeof(*ret_fd));
	return n;
}

/* ret_fd: -1 when none has come; may be NULL. */
static enum qe_error receive(const struct qe_helper *helper, uint32_t number,
	struct qe_helper_answer *ret_answer, int *ret_fd)
{
	struct qe_helper_answer answer;
	int with;

	for (;;) {
		struct pollfd poller = {.fd = helper->fd, .events = POLLIN};
		int ready = poll(&poller, 1, patience_ms);
		ssize_t n;

		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 && errno == EINTR)
			continue;
		n = receive_packet(helper->fd, &answer, &with);
		if (with >= 0 && (n <= 0 || answer.number != number || !ret_fd))
			close(with);
		if (n < (ssize_t)offsetof(struct qe_helper_answer, errors))
			return -EPIPE;
		/* An older one is that of a call which did not wait for it. */
		if (answer.number != number)
			continue;
		*ret_answer = answer;
		if (ret_fd)
			*ret_fd = with;
		return QE_OK;
	}
}

static enum qe_error start(struct qe_helper *helper, int folder, const char *interface,
	void (*forget)(void *ctx), void *ctx, bool *ret_confined)
{
	struct qe_helper_answer hello;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return qe_error_errno();
	helper->fd = ends[0];
	helper->pid = fork();
	if (helper->pid == 0)
		become_helper(ends[1], folder, interface, forget, ctx);
	close(ends[1]);
	if (helper->pid < 0)
		return -EAGAIN;
	QE_TRY(receive(helper, 0, &hello, nullptr));
	QE_TRY((enum qe_error)hello.error);
	*ret_confined = hello.n;
	return QE_OK;
}

/* Where the folder cannot be had, the control socket cannot either, of which more is said. */
enum qe_error qe_helper_new(struct qe_helper **ret_helper, const char *interface,
	const char *socket_path, void (*forget)(void *ctx), void *ctx, bool *ret_confined)
{
	struct qe_helper *helper = malloc(sizeof(*helper));
	enum qe_error error;
	int folder = -1;

	if (!helper)
		return -ENOMEM;
	*helper = (struct qe_helper){.fd = -1, .pid = -1};
	if (socket_path)
		(void)!qe_journal_open_folder(&folder, socket_path);
	error = start(helper, folder, interface, forget, ctx, ret_confined);
	if (folder >= 0)
		qe_journal_close_folder(folder);
	if (error != QE_OK) {
		qe_helper_free(helper);
		return error;
	}
	*ret_helper = helper;
	return QE_OK;
}

struct qe_helper *qe_helper_free(struct qe_helper *helper)
{
	if (!helper)
		return nullptr;
	if (helper->fd >= 0 && !helper->said_goodbye)
		qe_helper_goodbye(helper, QE_GOODBYE);
	if (helper->fd >= 0)
		close(helper->fd);
	while (helper->pid > 0 && waitpid(helper->pid, nullptr, 0) < 0 && errno == EINTR)
		;
	free(helper);
	return nullptr;
}

int qe_helper_fd(const struct qe_helper *helper)
{
	return helper->fd;
}

/* What else there is to read is an answer that nobody has waited for. */
bool qe_helper_is_alive(struct qe_helper *helper)
{
	struct qe_helper_answer unwanted;
	ssize_t n;

	do
		n = recv(helper->fd, &unwanted, sizeof(unwanted), MSG_DONTWAIT);
	while (n > 0);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

/* ---- requests ---- */

static enum qe_error send_request(struct qe_helper *helper, struct qe_helper_request *request,
	const struct qe_prefix *prefixes, size_t n)
{
	size_t size = offsetof(struct qe_helper_request, prefixes) + n * sizeof(*prefixes);

	size += qe_helper_body_size(request);
	if (n > QE_HELPER_PREFIXES_MAX)
		return QE_ERR_FULL;
	request->number = ++helper->number;
	request->n = (uint16_t)n;
	if (n > 0)
		memcpy(request->prefixes, prefixes, n * sizeof(*prefixes));
	return send(helper->fd, request, size, MSG_NOSIGNAL) == (ssize_t)size ? QE_OK : -EPIPE;
}

static enum qe_error ask(struct qe_helper *helper, struct qe_helper_request *request,
	const struct qe_prefix *prefixes, size_t n, struct qe_helper_answer *ret_answer)
{
	QE_TRY(send_request(helper, request, prefixes, n));
	return receive(helper, request->number, ret_answer, nullptr);
}

static enum qe_error change_addr(struct qe_helper *helper, enum qe_helper_kind kind,
	const struct qe_addr *addr, uint8_t length)
{
	struct qe_helper_request request = {.kind = kind};
	struct qe_prefix prefix = {*addr, length};
	struct qe_helper_answer answer;

	QE_TRY(ask(helper, &request, &prefix, 1, &answer));
	return (enum qe_error)answer.error;
}

enum qe_error qe_helper_add_addr(
	struct qe_helper *helper, const struct qe_addr *addr, uint8_t length)
{
	return change_addr(helper, QE_HELPER_ADD_ADDR, addr, length);
}

enum qe_error qe_helper_remove_addr(
	struct qe_helper *helper, const struct qe_addr *addr, uint8_t length)
{
	return change_addr(helper, QE_HELPER_REMOVE_ADDR, addr, length);
}

/* Nothing went through: that is so for each of them. */
static enum qe_error fail_all(enum qe_error error, size_t n, enum qe_error *ret_errors)
{
	for (size_t i = 0; ret_errors && i < n; i++)
		ret_errors[i] = error;
	return error;
}

static enum qe_error change_routes(struct qe_helper *helper, enum qe_helper_kind kind,
	const struct qe_prefix *prefixes, size_t n, enum qe_error *ret_errors)
{
	struct qe_helper_request request = {.kind = kind};
	struct qe_helper_answer answer;
	enum qe_error error = ask(helper, &request, prefixes, n, &answer);

	if (error == QE_OK && answer.n != n)
		error = (enum qe_error)answer.error;
	if (error != QE_OK)
		return fail_all(error, n, ret_errors);
	for (size_t i = 0; ret_errors && i < n; i++)
		ret_errors[i] = (enum qe_error)answer.errors[i];
	return (enum qe_error)answer.error;
}

enum qe_error qe_helper_add_routes(struct qe_helper *helper, const struct qe_prefix *prefixes,
	size_t n, enum qe_error *ret_errors)
{
	return change_routes(helper, QE_HELPER_ADD_ROUTES, prefixes, n, ret_errors);
}

enum qe_error qe_helper_remove_routes(struct qe_helper *helper, const struct qe_prefix *prefixes,
	size_t n, enum qe_error *ret_errors)
{
	return change_routes(helper, QE_HELPER_REMOVE_ROUTES, prefixes, n, ret_errors);
}

static enum qe_error ask_of_families(
	struct qe_helper *helper, enum qe_helper_kind kind, bool ipv4, bool ipv6)
{
	struct qe_helper_request request = {
		.kind = kind,
		.flags = (uint8_t)((ipv4 ? QE_HELPER_IPV4 : 0) | (ipv6 ? QE_HELPER_IPV6 : 0)),
	};
	struct qe_helper_answer answer;

	QE_TRY(ask(helper, &request, nullptr, 0, &answer));
	return (enum qe_error)answer.error;
}

enum qe_error qe_helper_take_defaults(struct qe_helper *helper, bool ipv4, bool ipv6)
{
	return ask_of_families(helper, QE_HELPER_TAKE_DEFAULTS, ipv4, ipv6);
}

enum qe_error qe_helper_forward(struct qe_helper *helper, bool ipv4, bool ipv6)
{
	return ask_of_families(helper, QE_HELPER_FORWARD, ipv4, ipv6);
}

enum qe_error qe_helper_gateway(
	struct qe_helper *helper, const struct qe_nft_gateway *gateway, struct qe_text *why)
{
	struct qe_helper_request request = {
		.kind = QE_HELPER_GATEWAY, .flags = gateway ? QE_HELPER_ON : 0};
	struct qe_helper_answer answer;

	if (gateway)
		request.gateway = *gateway;
	QE_TRY(ask(helper, &request, nullptr, 0, &answer));
	answer.why[sizeof(answer.why) - 1] = '\0';
	qe_text_add(why, answer.why);
	return (enum qe_error)answer.error;
}

/* ---- VPN mode ---- */

static void hear(struct qe_helper_answer *answer, struct qe_text *why)
{
	answer->why[sizeof(answer->why) - 1] = '\0';
	answer->via[sizeof(answer->via) - 1] = '\0';
	qe_text_add(why, answer->why);
}

static enum qe_error ask_and_hear(
	struct qe_helper *helper, struct qe_helper_request *request, struct qe_text *why)
{
	struct qe_helper_answer answer;

	QE_TRY(ask(helper, request, nullptr, 0, &answer));
	hear(&answer, why);
	return (enum qe_error)answer.error;
}

enum qe_error qe_helper_recover(struct qe_helper *helper, bool keep,
	char ret_via[static QE_NODE_ID_TEXT_SIZE], struct qe_text *why)
{
	struct qe_helper_request request = {
		.kind = QE_HELPER_RECOVER, .flags = keep ? QE_HELPER_KEEP : 0};
	struct qe_helper_answer answer;

	QE_TRY(ask(helper, &request, nullptr, 0, &answer));
	hear(&answer, why);
	QE_TRY((enum qe_error)answer.error);
	memcpy(ret_via, answer.via, QE_NODE_ID_TEXT_SIZE);
	return QE_OK;
}

enum qe_error qe_helper_vpn(
	struct qe_helper *helper, const struct qe_vpn_plan *plan, struct qe_text *why)
{
	struct qe_helper_request request = {
		.kind = QE_HELPER_VPN, .flags = plan ? QE_HELPER_ON : 0};

	if (plan)
		request.plan = *plan;
	return ask_and_hear(helper, &request, why);
}

/* The answer is its end. */
void qe_helper_goodbye(struct qe_helper *helper, enum qe_goodbye goodbye)
{
	struct qe_helper_request request = {.kind = QE_HELPER_GOODBYE, .flags = goodbye};

	helper->said_goodbye = true;
	(void)!send_request(helper, &request, nullptr, 0);
}

/* ---- sockets ---- */

static enum qe_error ask_for_socket(struct qe_helper *helper, struct qe_helper_request *request,
	const struct qe_prefix *prefixes, size_t n, int *ret_fd)
{
	struct qe_helper_answer answer;
	int fd;

	QE_TRY(send_request(helper, request, prefixes, n));
	QE_TRY(receive(helper, request->number, &answer, &fd));
	if (fd >= 0)
		*ret_fd = fd;
	/* A process that may have no more descriptors loses the one that came. */
	return fd < 0 && answer.error == QE_OK ? -EMFILE : (enum qe_error)answer.error;
}

enum qe_error qe_helper_marked_socket(
	struct qe_helper *helper, enum qe_family family, bool stream, int *ret_fd)
{
	struct qe_helper_request request = {
		.kind = QE_HELPER_MARKED_SOCKET,
		.flags = (uint8_t)((family == QE_FAMILY_IPV4 ? QE_HELPER_IPV4 : QE_HELPER_IPV6) |
				   (stream ? QE_HELPER_STREAM : 0)),
	};

	return ask_for_socket(helper, &request, nullptr, 0, ret_fd);
}

enum qe_error qe_helper_names_socket(
	struct qe_helper *helper, const struct qe_addr *addr, bool stream, int *ret_fd)
{
	struct qe_helper_request request = {
		.kind = QE_HELPER_NAMES_SOCKET, .flags = stream ? QE_HELPER_STREAM : 0};
	const struct qe_prefix host = qe_prefix_host(addr);

	return ask_for_socket(helper, &request, &host, 1, ret_fd);
}

/* ---- names ---- */

static enum qe_error set_dns(struct qe_helper *helper, const char *search,
	struct qe_host_dns_answer *ret, struct qe_text *why)
{
	struct qe_helper_request request = {.kind = QE_HELPER_SET_DNS, .number = ++helper->number};
	size_t len = search ? strlen(search) : 0;
	size_t size = offsetof(struct qe_helper_request, domain) + len;
	struct qe_helper_answer answer;

	if (len > QE_HELPER_DOMAIN_MAX)
		return QE_ERR_RANGE;
	request.n = (uint16_t)len;
	if (len > 0)
		memcpy(request.domain, search, len);
	if (send(helper->fd, &request, size, MSG_NOSIGNAL) != (ssize_t)size)
		return -EPIPE;
	QE_TRY(receive(helper, request.number, &answer, nullptr));
	answer.why[sizeof(answer.why) - 1] = '\0';
	qe_text_add(why, answer.why);
	if (answer.n == 1)
		*ret = answer.dns;
	return (enum qe_error)answer.error;
}

static enum qe_error ask_of_dns(struct qe_helper *helper, enum qe_helper_kind kind)
{
	struct qe_helper_request request = {.kind = kind};
	struct qe_helper_answer answer;

	QE_TRY(ask(helper, &request, nullptr, 0, &answer));
	return (enum qe_error)answer.error;
}

enum qe_error qe_helper_set_dns(struct qe_helper *helper, const struct qe_addr *server,
	const char *search, struct qe_host_dns_answer *ret, struct qe_text *why)
{
	const struct qe_addr own = QE_HOST_DNS_SERVER;

	if (!server)
		return ask_of_dns(helper, QE_HELPER_UNSET_DNS);
	return qe_addr_equal(server, &own) ? set_dns(helper, search, ret, why) : QE_ERR_RANGE;
}

bool qe_helper_has_dns(struct qe_helper *helper)
{
	return ask_of_dns(helper, QE_HELPER_HAS_DNS) != QE_ERR_NOT_FOUND;
}
