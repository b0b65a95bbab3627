/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/names_listeners.h"

#include <errno.h>

constexpr qe_time pause_step = 5 * QE_SECOND;
constexpr qe_time pause_max = 60 * QE_SECOND;

/* ---- one ---- */

/* What is missing of the two; the error is that of the first one which stays so. */
static enum qe_error open_both(
	struct qe_names_listeners *listeners, struct qe_names_listener *listener, bool members)
{
	int udp = -1, tcp = -1;
	enum qe_error error = QE_OK;

	if (!listener->has_udp)
		error = qe_helper_names_socket(listeners->helper, &listener->addr, false, &udp);
	if (error != QE_OK)
		return error;
	error = qe_helper_names_socket(listeners->helper, &listener->addr, true, &tcp);
	if (error != QE_OK)
		tcp = -1;
	if (udp < 0 && tcp < 0)
		return error;
	QE_TRY(qe_dns_listen(listeners->dns, udp, tcp, members));
	listener->has_udp = true;
	listener->has_tcp = tcp >= 0;
	return error;
}

static void say_not_open(const struct qe_names_listeners *listeners,
	struct qe_names_listener *listener, bool members, enum qe_error error)
{
	char text[QE_ADDR_TEXT_SIZE];

	listener->is_said = true;
	qe_addr_format(text, &listener->addr);
	qe_log(listeners->log, QE_LOG_WARN, "names_failed", nullptr,
		"no names are answered at %s port 53%s%s: %s", text,
		listener->has_udp ? " by TCP" : "",
		members ? ", and members find whatever else is there" : "",
		error == -EADDRINUSE ? "another program has it" : qe_error_text(error));
}

static void open_one(struct qe_names_listeners *listeners, struct qe_names_listener *listener,
	bool members, qe_time now)
{
	enum qe_error error;

	if ((listener->has_udp && listener->has_tcp) || now < listener->next)
		return;
	error = open_both(listeners, listener, members);
	if (error == QE_OK)
		return;
	listener->pause = qe_time_min(listener->pause + pause_step, pause_max);
	listener->next = now + listener->pause;
	/* Without IPv6 the interface does without the overlay address. */
	if (!listener->is_said &&
		!(error == QE_ERR_RANGE && qe_addr_equal(&listener->addr, &listeners->overlay)))
		say_not_open(listeners, listener, members, error);
}

void qe_names_listeners_open_host(struct qe_names_listeners *listeners, qe_time now)
{
	open_one(listeners, &listeners->host, false, now);
}

/* ---- those of members ---- */

static bool is_among(const struct qe_addr *addrs, size_t n, const struct qe_addr *addr)
{
	for (size_t i = 0; i < n; i++) {
		if (qe_addr_equal(&addrs[i], addr))
			return true;
	}
	return false;
}

static void add(struct qe_names_listeners *listeners, const struct qe_addr *addr)
{
	for (size_t i = 0; i < listeners->n_members; i++) {
		if (qe_addr_equal(&listeners->members[i].addr, addr))
			return;
	}
	if (listeners->n_members < sizeof(listeners->members) / sizeof(listeners->members[0]))
		listeners->members[listeners->n_members++] = (struct qe_names_listener){
			.addr = *addr};
}

/* Nothing comes any more to an address that is taken away, and its sockets may stay: until the end,
 * or until there are too many of them. */
static void drop_unopened(
	struct qe_names_listeners *listeners, const struct qe_addr *addrs, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < listeners->n_members; i++) {
		const struct qe_names_listener *listener = &listeners->members[i];

		if (listener->has_udp || is_among(addrs, n, &listener->addr))
			listeners->members[kept++] = *listener;
	}
	listeners->n_members = kept;
}

void qe_names_listeners_set_members(
	struct qe_names_listeners *listeners, const struct qe_addr *addrs, size_t n, qe_time now)
{
	if (n == 0) {
		if (listeners->n_members > 0)
			(void)!qe_dns_unlisten(listeners->dns, true);
		listeners->n_members = 0;
		return;
	}
	drop_unopened(listeners, addrs, n);
	for (size_t i = 0; i < n; i++)
		add(listeners, &addrs[i]);
	for (size_t i = 0; i < listeners->n_members; i++)
		open_one(listeners, &listeners->members[i], true, now);
}
