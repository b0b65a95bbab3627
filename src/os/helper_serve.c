/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The helper's side. Whoever has taken over the daemon can ask what the daemon can ask, and so must
 * not get more by it than what is needed: no request names a routing table, a protocol number, a
 * metric or an nftables table, nor an interface but a LAN's; and no socket is made but such as
 * os/names_socket.h has. All that is checked here, and bounded: numbers of
 * prefixes by the size of a message, time by nft's alarm.
 *
 * All that outlives the interface is written to the journal first, and given back by undoing that,
 * here at the end, or by whoever finds it when this process was killed, too.
 *
 * Of two daemons in one network namespace the first one that makes the host forward is the one that
 * puts it back. It holds a lock while there is something to give back, as the daemon that comes
 * right after a crash must not take for the host's own state what is about to be undone. Another
 * lock is that on the journal, for those who share one.
 */
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/default_route.h"
#include "os/forwarding.h"
#include "os/helper_checks.h"
#include "os/helper_vpn.h"
#include "os/names_socket.h"
#include "os/namespace_lock.h"
#include "os/netlink.h"
#include "os/nft.h"

constexpr unsigned lock_tries = 200;
constexpr unsigned journal_tries = 500;
constexpr int lock_pause_ms = 10;

struct state {
	const char *interface;
	int folder; /* of the journal; -1: none */
	struct qe_netlink *netlink;
	struct qe_journal *journal; /* NULL: not open yet */
	struct qe_vpn_host vpn;
	bool found_block; /* of a daemon before */
	uint8_t families; /* that we were asked to forward */
	uint8_t defaults; /* families whose default route we have taken */
	int lock;
	bool has_waited;   /* for the lock */
	bool said_goodbye; /* and how */
	enum qe_goodbye goodbye;
	struct qe_host_dns dns;
	int made; /* socket that goes with the answer, or -1 */
};

/* ---- the journal ---- */

static void tell(void *ctx, enum qe_undone, const char *what)
{
	struct qe_text *why = ctx;

	qe_text_addf(why, "%s%s", why->len > 0 ? "; " : "", what);
}

static bool is_no_block(void *ctx, const struct qe_journal_entry *entry)
{
	return !qe_vpn_is_block(ctx, entry);
}

/* What a helper before this one has left behind; not while that is still undoing it. */
static enum qe_error recover(struct state *state, bool keep, struct qe_text *why)
{
	struct qe_undo undo = {.netlink = state->netlink, .say = tell, .ctx = why};
	enum qe_error error = -EBUSY;

	for (unsigned i = 0; i < journal_tries && error == -EBUSY; i++) {
		if (i > 0)
			poll(nullptr, 0, lock_pause_ms);
		error = qe_journal_open(&state->journal, state->folder);
	}
	QE_TRY(error);
	state->vpn = (struct qe_vpn_host){
		state->interface, state->netlink, state->journal, nullptr, false};
	if ((keep || qe_vpn_host_gateway(&state->vpn)) &&
		qe_journal_has(state->journal, QE_JOURNAL_NFT, QE_VPN_NFT_TABLE))
		state->vpn.is_held = state->found_block = true;
	(void)!qe_undo_run(
		&undo, state->journal, state->found_block ? is_no_block : nullptr, nullptr);
	if (!state->found_block)
		qe_host_dns_recover();
	return QE_OK;
}

static enum qe_error need_journal(struct state *state)
{
	char unheard[1];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));

	return state->journal ? QE_OK : recover(state, false, &why);
}

static enum qe_error note(struct state *state, const char *kind, const char *which)
{
	const struct qe_journal_entry entry = {{kind, which}, 2};

	QE_TRY(need_journal(state));
	return qe_journal_add(state->journal, &entry, 1);
}

static enum qe_error undo_one(struct state *state, const char *kind, const char *which)
{
	struct qe_undo undo = {.netlink = state->netlink};

	return qe_undo_one(&undo, state->journal, kind, which);
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

	if (request->n != 1 || !qe_helper_has_only(request, qe_helper_is_interface_addr))
		return QE_ERR_RANGE;
	QE_TRY(note(state, QE_JOURNAL_INTERFACE, state->interface));
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

	if (!qe_helper_has_only(request, qe_helper_is_route))
		return QE_ERR_RANGE;
	QE_TRY(note(state, QE_JOURNAL_INTERFACE, state->interface));
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
static bool take_lock(struct state *state)
{
	unsigned tries = state->has_waited ? 1 : lock_tries;

	if (state->lock >= 0)
		return true;
	for (unsigned i = 0; i < tries; i++) {
		if (i > 0)
			poll(nullptr, 0, lock_pause_ms);
		state->lock = qe_namespace_lock();
		if (state->lock >= 0)
			return true;
	}
	state->has_waited = true;
	return false;
}

static const struct {
	enum qe_helper_flag flag;
	enum qe_family family;
} all_families[] = {{QE_HELPER_IPV4, QE_FAMILY_IPV4}, {QE_HELPER_IPV6, QE_FAMILY_IPV6}};

static enum qe_error change_default(struct state *state, unsigned index, size_t i, bool take)
{
	enum qe_helper_flag flag = all_families[i].flag;
	enum qe_error error = QE_OK;

	if (take)
		error = qe_default_route_take(
			state->netlink, state->journal, index, all_families[i].family);
	else
		qe_default_route_leave(state->netlink, state->journal, all_families[i].family);
	state->defaults &= (uint8_t)~flag;
	if (take && error == QE_OK)
		state->defaults |= flag;
	return error;
}

static enum qe_error take_defaults(struct state *state, const struct qe_helper_request *request)
{
	uint8_t wanted = request->flags;
	enum qe_error first = QE_OK;
	unsigned index;

	if (!qe_helper_is_of_families(request))
		return QE_ERR_RANGE;
	QE_TRY(need_journal(state));
	if (state->vpn.plan || state->vpn.is_held)
		return wanted ? QE_ERR_CONFLICT : QE_OK;
	QE_TRY(find_interface(state, &index));
	if (wanted && !state->defaults)
		QE_TRY(qe_default_route_check(state->netlink, take_lock(state)));
	for (size_t i = 0; i < 2; i++) {
		uint8_t flag = all_families[i].flag;
		enum qe_error error = QE_OK;

		/* One that is held may have gone with the interface. */
		if ((wanted | state->defaults) & flag)
			error = change_default(state, index, i, wanted & flag);
		if (first == QE_OK)
			first = error;
	}
	return first;
}

static enum qe_error set_forwarding(struct state *state, size_t i, bool on)
{
	struct qe_undo undo = {.netlink = state->netlink};
	enum qe_error error = QE_OK;

	if (on)
		error = qe_forwarding_enable(state->journal, all_families[i].family);
	if (!on || error != QE_OK)
		(void)!qe_forwarding_restore(&undo, state->journal, all_families[i].family);
	return error;
}

static enum qe_error forward(struct state *state, const struct qe_helper_request *request)
{
	uint8_t families = request->flags;
	enum qe_error first = QE_OK;

	if (!qe_helper_is_of_families(request))
		return QE_ERR_RANGE;
	QE_TRY(need_journal(state));
	if (families != 0)
		(void)take_lock(state);
	for (size_t i = 0; i < 2; i++) {
		enum qe_error error = set_forwarding(state, i, families & all_families[i].flag);

		if (first == QE_OK)
			first = error;
	}
	return first;
}

static enum qe_error set_gateway(struct state *state, const struct qe_helper_request *request,
	struct qe_helper_answer *answer)
{
	struct qe_text why = qe_text_init(answer->why, sizeof(answer->why));
	char table[32];

	snprintf(table, sizeof(table), "quicether_%s", state->interface);
	QE_TRY(need_journal(state));
	if (!(request->flags & QE_HELPER_ON))
		return undo_one(state, QE_JOURNAL_NFT, table);
	if (!qe_helper_is_gateway(&request->gateway))
		return QE_ERR_RANGE;
	QE_TRY(qe_nft_check_gateway(state->interface, &why));
	(void)take_lock(state);
	QE_TRY(note(state, QE_JOURNAL_NFT, table));
	return qe_nft_set_gateway(state->interface, &request->gateway, &why);
}

/* ---- beginning and end, as the daemon says ---- */

static enum qe_error recover_when_asked(struct state *state,
	const struct qe_helper_request *request, struct qe_helper_answer *answer)
{
	struct qe_text why = qe_text_init(answer->why, sizeof(answer->why));

	if (request->n != 0 || request->flags & ~QE_HELPER_KEEP || state->journal)
		return QE_ERR_RANGE;
	QE_TRY(recover(state, request->flags & QE_HELPER_KEEP, &why));
	const char *via = state->found_block ? qe_vpn_host_gateway(&state->vpn) : nullptr;

	if (via)
		snprintf(answer->via, sizeof(answer->via), "%s", via);
	return QE_OK;
}

static enum qe_error hear_goodbye(struct state *state, const struct qe_helper_request *request)
{
	if (request->n != 0 || request->flags > QE_GOODBYE_AS_FOUND)
		return QE_ERR_RANGE;
	state->said_goodbye = true;
	state->goodbye = (enum qe_goodbye)request->flags;
	return QE_OK;
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

/* ---- names ---- */

static enum qe_error set_dns(struct state *state, const struct qe_helper_request *request,
	struct qe_helper_answer *answer)
{
	struct qe_text why = qe_text_init(answer->why, sizeof(answer->why));
	char domain[QE_HELPER_DOMAIN_MAX + 1] = "";

	memcpy(domain, request->domain, request->n);
	if (!qe_helper_is_domain(domain))
		return QE_ERR_RANGE;
	QE_TRY(need_journal(state));
	state->dns.journal = state->journal;
	answer->n = 1;
	return qe_host_dns_set(&state->dns, domain[0] ? domain : nullptr, &answer->dns, &why);
}

static enum qe_error unset_dns(struct state *state)
{
	QE_TRY(need_journal(state));
	state->dns.journal = state->journal;
	return qe_host_dns_unset(&state->dns);
}

/* ---- VPN mode ---- */

/* Usually that is done already. */
static enum qe_error give_back_names(struct state *state, struct qe_text *why)
{
	enum qe_error error = unset_dns(state);

	if (error != QE_OK)
		qe_text_add(why, "names cannot be asked for as before: \"quicether repair\" tries "
				 "again, once the daemon is stopped");
	return error;
}

/* What a default route alone has made is a part of what VPN mode makes. */
static enum qe_error set_vpn(struct state *state, const struct qe_helper_request *request,
	struct qe_helper_answer *answer)
{
	const struct qe_vpn_plan *plan = request->flags & QE_HELPER_ON ? &request->plan : nullptr;
	struct qe_text why = qe_text_init(answer->why, sizeof(answer->why));
	enum qe_error error;

	if (request->n != 0 || request->flags & ~QE_HELPER_ON)
		return QE_ERR_RANGE;
	if (plan && !qe_vpn_plan_is_sound(plan, state->interface)) {
		qe_text_add(&why, "this is no sound plan of VPN mode");
		return QE_ERR_RANGE;
	}
	QE_TRY(need_journal(state));
	if (!plan)
		QE_TRY(give_back_names(state, &why));
	error = qe_vpn_host_set(&state->vpn, plan, plan && take_lock(state), &why);
	if (plan && error == QE_OK)
		state->defaults = 0;
	return error;
}

/* ---- the end ---- */

static bool is_to_block(const struct state *state)
{
	bool blocks = state->vpn.is_held || (state->vpn.plan && state->vpn.plan->kill_switch);

	if (!state->said_goodbye)
		return blocks;
	switch (state->goodbye) {
	case QE_GOODBYE:
		return false;
	case QE_GOODBYE_HOLD:
		return blocks;
	case QE_GOODBYE_AS_FOUND:
		return blocks && state->found_block;
	}
	return false;
}

/* The routes and addresses are gone with the interface, or will be. */
static void give_back(struct state *state)
{
	struct qe_undo undo = {.netlink = state->netlink};

	qe_host_dns_done(&state->dns);
	if (state->journal)
		(void)!qe_undo_run(
			&undo, state->journal, is_to_block(state) ? is_no_block : nullptr, nullptr);
	free(state->vpn.plan);
	qe_journal_close(state->journal);
	qe_namespace_unlock(state->lock);
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
	case QE_HELPER_GATEWAY:
		return set_gateway(state, request, answer);
	case QE_HELPER_MARKED_SOCKET:
		return make_marked_socket(state, request);
	case QE_HELPER_NAMES_SOCKET:
		return make_names_socket(state, request);
	case QE_HELPER_RECOVER:
		return recover_when_asked(state, request, answer);
	case QE_HELPER_VPN:
		return set_vpn(state, request, answer);
	case QE_HELPER_GOODBYE:
		return hear_goodbye(state, request);
	case QE_HELPER_SET_DNS:
		return set_dns(state, request, answer);
	case QE_HELPER_UNSET_DNS:
		return unset_dns(state);
	case QE_HELPER_HAS_DNS:
		return qe_host_dns_holds(&state->dns) ? QE_OK : QE_ERR_NOT_FOUND;
	}
	return QE_ERR_RANGE;
}

/* The socket that was made, if any, is the daemon's alone then. */
static bool send_answer(struct state *state, int fd, struct qe_helper_answer *answer, bool dns)
{
	union {
		struct cmsghdr head;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	size_t each = dns ? sizeof(answer->dns) : sizeof(answer->errors[0]);
	size_t size = offsetof(struct qe_helper_answer, errors) + answer->n * each;
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
	if (n <= 0 || !qe_helper_is_whole(&request, (size_t)n))
		return false;
	answer.number = request.number;
	answer.error = perform(state, &request, &answer);
	return send_answer(state, fd, &answer, request.kind == QE_HELPER_SET_DNS);
}

void qe_helper_serve(int fd, const char *interface, int folder)
{
	struct state state = {.interface = interface, .folder = folder, .lock = -1, .made = -1};

	qe_host_dns_init(&state.dns, interface);
	if (qe_netlink_new(&state.netlink) == QE_OK) {
		while (serve_one(&state, fd))
			;
	}
	give_back(&state);
}
