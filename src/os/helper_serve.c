/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The helper's side. Whoever has taken over the daemon can ask what the daemon can ask, and so must
 * not get more by it than what is needed: no request names an interface, a routing table, a
 * protocol number, a metric or an nftables table, and no socket is made but such as
 * os/names_socket.h has. All that is checked here, and bounded: numbers of
 * prefixes by the size of a message, time by nft's alarm.
 *
 * Of two daemons in one network namespace the first one that makes the host forward is the one that
 * puts it back. It holds a lock while there is something to give back, as the daemon that comes
 * right after a crash must not take for the host's own state what is about to be undone.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/forwarding.h"
#include "os/helper_messages.h"
#include "os/names_socket.h"
#include "os/netlink.h"
#include "os/nft.h"

/* A file that is there in every namespace, and another one in each. */
constexpr char lock_path[] = "/proc/sys/net/ipv4/ip_forward";
constexpr unsigned lock_tries = 200;
constexpr int lock_pause_ms = 10;

struct state {
	const char *interface;
	struct qe_netlink *netlink;
	struct qe_forwarding forwarding;
	uint8_t families; /* that we were asked to forward */
	uint8_t defaults; /* families whose default route we have taken */
	bool masquerades;
	int lock;
	int made; /* socket that goes with the answer, or -1 */
};

/* ---- what may be asked for ---- */

static bool is_addr(const struct qe_addr *addr)
{
	return (addr->family == QE_FAMILY_IPV4 || addr->family == QE_FAMILY_IPV6) &&
	       !qe_addr_is_loopback(addr) && !qe_addr_is_multicast(addr);
}

static bool is_interface_addr(const struct qe_prefix *prefix)
{
	return is_addr(&prefix->addr) && !qe_addr_is_unspecified(&prefix->addr) &&
	       prefix->length <= qe_addr_bits(&prefix->addr);
}

static bool is_prefix(const struct qe_prefix *prefix)
{
	struct qe_prefix masked = *prefix;

	if (!is_addr(&prefix->addr) || prefix->length > qe_addr_bits(&prefix->addr))
		return false;
	qe_prefix_mask(&masked);
	return qe_prefix_compare(&masked, prefix) == 0;
}

/* A default route like any other would take what the daemon itself sends to its peers. */
static bool is_route(const struct qe_prefix *prefix)
{
	return is_prefix(prefix) && prefix->length > 0;
}

static bool has_only(
	const struct qe_helper_request *request, bool (*good)(const struct qe_prefix *))
{
	for (size_t i = 0; i < request->n; i++) {
		if (!good(&request->prefixes[i]))
			return false;
	}
	return true;
}

/* ---- addresses and routes ---- */

static enum qe_error find_interface(const struct state *state, unsigned *ret_index)
{
	unsigned index = if_nametoindex(state->interface);

	if (index == 0)
		return -ENODEV;
	*ret_index = index;
	return QE_OK;
}

static enum qe_error change_addr(struct state *state, const struct qe_helper_request *request)
{
	const struct qe_prefix *prefix = &request->prefixes[0];
	unsigned index;

	if (request->n != 1 || !has_only(request, is_interface_addr))
		return QE_ERR_RANGE;
	QE_TRY(find_interface(state, &index));
	return (request->kind == QE_HELPER_ADD_ADDR ? qe_netlink_add_addr : qe_netlink_remove_addr)(
		state->netlink, index, &prefix->addr, prefix->length);
}

static enum qe_error change_route(
	struct state *state, unsigned index, bool add, const struct qe_prefix *prefix)
{
	enum qe_error error = (add ? qe_netlink_add_route : qe_netlink_remove_route)(
		state->netlink, index, prefix);

	return !add && error == -ENODEV ? QE_OK : error;
}

static enum qe_error change_routes(struct state *state, const struct qe_helper_request *request,
	struct qe_helper_answer *answer)
{
	bool add = request->kind == QE_HELPER_ADD_ROUTES;
	enum qe_error first = QE_OK;
	unsigned index;

	if (!has_only(request, is_route))
		return QE_ERR_RANGE;
	QE_TRY(find_interface(state, &index));
	for (size_t i = 0; i < request->n; i++) {
		enum qe_error error = change_route(state, index, add, &request->prefixes[i]);

		answer->errors[i] = (int16_t)error;
		if (first == QE_OK)
			first = error;
	}
	answer->n = request->n;
	return first;
}

/* ---- what outlives the interface ---- */

/* Another daemon may keep it for as long as it runs. */
static void take_lock(struct state *state)
{
	if (state->lock >= 0)
		return;
	state->lock = open(lock_path, O_RDONLY | O_CLOEXEC);
	for (unsigned i = 0; state->lock >= 0 && i < lock_tries; i++) {
		if (flock(state->lock, LOCK_EX | LOCK_NB) == 0)
			return;
		poll(nullptr, 0, lock_pause_ms);
	}
}

static const struct {
	enum qe_helper_flag flag;
	enum qe_family family;
} all_families[] = {{QE_HELPER_IPV4, QE_FAMILY_IPV4}, {QE_HELPER_IPV6, QE_FAMILY_IPV6}};

static bool is_of_families(const struct qe_helper_request *request)
{
	return request->n == 0 && !(request->flags & ~(QE_HELPER_IPV4 | QE_HELPER_IPV6));
}

static void leave_defaults(struct state *state, uint8_t families)
{
	unsigned index = if_nametoindex(state->interface);

	for (size_t i = 0; i < 2; i++) {
		if (families & all_families[i].flag)
			qe_netlink_leave_default(state->netlink, index, all_families[i].family);
	}
	state->defaults &= (uint8_t)~families;
}

/* One that is taken in part is left again. */
static enum qe_error take_default(struct state *state, unsigned index, size_t i)
{
	enum qe_error error = qe_netlink_take_default(
		state->netlink, index, all_families[i].family);

	state->defaults |= all_families[i].flag;
	if (error != QE_OK)
		leave_defaults(state, all_families[i].flag);
	return error;
}

static enum qe_error take_defaults(struct state *state, const struct qe_helper_request *request)
{
	uint8_t wanted = request->flags;
	enum qe_error first = QE_OK;
	unsigned index;

	if (!is_of_families(request))
		return QE_ERR_RANGE;
	QE_TRY(find_interface(state, &index));
	take_lock(state);
	leave_defaults(state, state->defaults & (uint8_t)~wanted);
	for (size_t i = 0; i < 2; i++) {
		enum qe_error error = QE_OK;

		if (wanted & all_families[i].flag & ~state->defaults)
			error = take_default(state, index, i);
		if (first == QE_OK)
			first = error;
	}
	return first;
}

static enum qe_error enable(struct state *state, uint8_t families)
{
	enum qe_error first = QE_OK;

	for (size_t i = 0; i < 2; i++) {
		enum qe_error error = QE_OK;

		if (families & all_families[i].flag)
			error = qe_forwarding_enable(&state->forwarding, all_families[i].family);
		if (first == QE_OK)
			first = error;
	}
	return first;
}

static enum qe_error forward(struct state *state, const struct qe_helper_request *request)
{
	uint8_t families = request->flags;

	if (!is_of_families(request))
		return QE_ERR_RANGE;
	if (families != 0)
		take_lock(state);
	if (state->families & ~families)
		qe_forwarding_restore(&state->forwarding);
	state->families = families;
	return enable(state, families);
}

static enum qe_error masquerade(struct state *state, const struct qe_helper_request *request,
	struct qe_helper_answer *answer)
{
	struct qe_text why = qe_text_init(answer->why, sizeof(answer->why));
	enum qe_error error;

	if (!has_only(request, is_prefix))
		return QE_ERR_RANGE;
	if (request->n == 0 && !state->masquerades)
		return QE_OK;
	take_lock(state);
	error = qe_nft_masquerade(state->interface, request->prefixes, request->n, &why);
	if (error == QE_OK)
		state->masquerades = request->n > 0;
	return error;
}

/* ---- sockets ---- */

static enum qe_error make_marked_socket(
	struct state *state, const struct qe_helper_request *request)
{
	uint8_t family = request->flags & (uint8_t)~QE_HELPER_STREAM;

	if (request->n != 0 || (family != QE_HELPER_IPV4 && family != QE_HELPER_IPV6))
		return QE_ERR_RANGE;
	return qe_marked_socket(&state->made,
		family == QE_HELPER_IPV4 ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6,
		request->flags & QE_HELPER_STREAM);
}

static enum qe_error make_names_socket(struct state *state, const struct qe_helper_request *request)
{
	const struct qe_prefix *host = &request->prefixes[0];

	if (request->n != 1 || (request->flags & ~QE_HELPER_STREAM) ||
		(host->addr.family != QE_FAMILY_IPV4 && host->addr.family != QE_FAMILY_IPV6) ||
		host->length != qe_addr_bits(&host->addr))
		return QE_ERR_RANGE;
	return qe_names_socket(&state->made, state->netlink, state->interface, &host->addr,
		request->flags & QE_HELPER_STREAM);
}

/* The routes and addresses are gone with the interface, or will be. */
static void give_back(struct state *state)
{
	char unheard[1];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));

	if (state->masquerades)
		(void)!qe_nft_masquerade(state->interface, nullptr, 0, &why);
	leave_defaults(state, state->defaults);
	qe_forwarding_restore(&state->forwarding);
	if (state->lock >= 0)
		close(state->lock);
	qe_netlink_free(state->netlink);
}

/* ---- requests ---- */

static enum qe_error perform(struct state *state, const struct qe_helper_request *request,
	struct qe_helper_answer *answer)
{
	switch ((enum qe_helper_kind)request->kind) {
	case QE_HELPER_ADD_ADDR:
	case QE_HELPER_REMOVE_ADDR:
		return change_addr(state, request);
	case QE_HELPER_ADD_ROUTES:
	case QE_HELPER_REMOVE_ROUTES:
		return change_routes(state, request, answer);
	case QE_HELPER_TAKE_DEFAULTS:
		return take_defaults(state, request);
	case QE_HELPER_FORWARD:
		return forward(state, request);
	case QE_HELPER_MASQUERADE:
		return masquerade(state, request, answer);
	case QE_HELPER_MARKED_SOCKET:
		return make_marked_socket(state, request);
	case QE_HELPER_NAMES_SOCKET:
		return make_names_socket(state, request);
	}
	return QE_ERR_RANGE;
}

static bool is_whole(const struct qe_helper_request *request, size_t len)
{
	size_t head = offsetof(struct qe_helper_request, prefixes);

	return len >= head && request->n <= QE_HELPER_PREFIXES_MAX &&
	       len == head + request->n * sizeof(request->prefixes[0]);
}

/* The socket that was made, if any, is the daemon's alone then. */
static bool send_answer(struct state *state, int fd, struct qe_helper_answer *answer)
{
	union {
		struct cmsghdr head;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	size_t size = offsetof(struct qe_helper_answer, errors) +
		      answer->n * sizeof(answer->errors[0]);
	struct iovec part = {answer, size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t n;

	if (state->made >= 0) {
		memcpy(CMSG_DATA(&control.head), &state->made, sizeof(state->made));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	n = sendmsg(fd, &message, MSG_NOSIGNAL);
	if (state->made >= 0)
		close(state->made);
	state->made = -1;
	return n == (ssize_t)size;
}

static bool serve_one(struct state *state, int fd)
{
	struct qe_helper_request request;
	struct qe_helper_answer answer = {};
	ssize_t n = recv(fd, &request, sizeof(request), 0);

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0 || !is_whole(&request, (size_t)n))
		return false;
	answer.number = request.number;
	answer.error = perform(state, &request, &answer);
	return send_answer(state, fd, &answer);
}

void qe_helper_serve(int fd, const char *interface)
{
	struct state state = {.interface = interface, .lock = -1, .made = -1};

	if (qe_netlink_new(&state.netlink) == QE_OK) {
		while (serve_one(&state, fd))
			;
	}
	give_back(&state);
}
