/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/underlay.h"

#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/list.h"
#include "net/addr.h"
#include "os/clock.h"

/* The node looks at every announcement anew: not for each of many peers that come at once. */
constexpr qe_time settles = QE_SECOND / 10;

struct qe_underlay {
	struct qe_node *node;
	const struct qe_directory *directory;
	const struct qe_endpoints *endpoints;
	struct qe_router *router;
	struct qe_loop *loop;
	struct qe_alarm alarm;
	bool is_alarm_set;
	struct qe_addr
		*seen; /* by slot: where the last link went; QE_FAMILY_NONE: there was none */
	size_t n_slots;
};

/* ---- telling the node, and what gives the host its routes ---- */

struct addrs {
	struct qe_prefix *items;
	size_t n;
};

static void add(struct addrs *addrs, const struct qe_addr *addr)
{
	if (addr->family != QE_FAMILY_NONE)
		addrs->items[addrs->n++] = qe_prefix_host(addr);
}

static void add_peer(struct addrs *addrs, const struct qe_underlay *underlay, size_t slot)
{
	struct qe_endpoint known[QE_PEER_ENDPOINTS_MAX];
	size_t n = qe_endpoints_known(underlay->endpoints, slot, known);

	for (size_t i = 0; i < n; i++)
		add(addrs, &known[i].addr);
	if (slot < underlay->n_slots)
		add(addrs, &underlay->seen[slot]);
}

static enum qe_error tell(const struct qe_underlay *underlay)
{
	size_t n_peers = qe_directory_config(underlay->directory)->n_peers;
	struct addrs addrs = {
		.items = calloc(n_peers * (QE_PEER_ENDPOINTS_MAX + 1) + 1, sizeof(*addrs.items))};
	enum qe_error error;

	if (!addrs.items)
		return -ENOMEM;
	for (size_t i = 0; i < n_peers; i++)
		add_peer(&addrs, underlay, qe_directory_slot(underlay->directory, i));
	error = qe_node_set_forbidden(underlay->node, addrs.items, addrs.n, qe_clock_now());
	if (error == QE_OK)
		error = qe_router_set_underlay(underlay->router, addrs.items, addrs.n);
	free(addrs.items);
	return error;
}

static void alarm_rings(struct qe_alarm *alarm, qe_time)
{
	struct qe_underlay *underlay = QE_CONTAINER_OF(alarm, struct qe_underlay, alarm);

	underlay->is_alarm_set = false;
	if (tell(underlay) != QE_OK)
		qe_underlay_changed(underlay);
}

void qe_underlay_changed(struct qe_underlay *underlay)
{
	if (underlay->is_alarm_set)
		return;
	underlay->is_alarm_set = qe_loop_set_alarm(underlay->loop, &underlay->alarm,
					 qe_clock_now() + settles) == QE_OK;
}

/* ---- what is seen ---- */

static bool reserve(struct qe_underlay *underlay, size_t slot)
{
	size_t n = qe_directory_slots(underlay->directory);
	struct qe_addr *seen;

	if (slot < underlay->n_slots)
		return true;
	if (slot >= n)
		return false;
	seen = qe_array_grow(underlay->seen, underlay->n_slots, n, sizeof(*seen));
	if (!seen)
		return false;
	underlay->seen = seen;
	underlay->n_slots = n;
	return true;
}

void qe_underlay_seen(struct qe_underlay *underlay, size_t slot, const struct qe_addr *addr)
{
	if (!reserve(underlay, slot) || qe_addr_equal(&underlay->seen[slot], addr))
		return;
	/* A link through the tunnel. A member behind a gateway could end the route to all that is
	 * there by it, and what goes there would leave in the clear. */
	if (qe_host_routes_lead_to(qe_router_routes(underlay->router), addr))
		return;
	underlay->seen[slot] = *addr;
	qe_underlay_changed(underlay);
}

/* ---- life ---- */

enum qe_error qe_underlay_new(struct qe_underlay **ret_underlay, struct qe_node *node,
	const struct qe_directory *directory, const struct qe_endpoints *endpoints,
	struct qe_router *router, struct qe_loop *loop)
{
	struct qe_underlay *underlay = malloc(sizeof(*underlay));

	if (!underlay)
		return -ENOMEM;
	*underlay = (struct qe_underlay){
		node, directory, endpoints, router, loop, .alarm.ring = alarm_rings};
	qe_underlay_changed(underlay);
	*ret_underlay = underlay;
	return QE_OK;
}

struct qe_underlay *qe_underlay_free(struct qe_underlay *underlay)
{
	if (!underlay)
		return nullptr;
	(void)!qe_loop_set_alarm(underlay->loop, &underlay->alarm, QE_TIME_NEVER);
	free(underlay->seen);
	free(underlay);
	return nullptr;
}
