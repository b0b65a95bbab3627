/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The overlay's choice of routes comes in single changes; the host's table is changed in batches,
 * as each is a question to the helper. What is wanted is a sorted array: a batch of changes is
 * sorted and merged into it, so that ten thousand routes at once cost no more than sorting them.
 *
 * A network that the host is connected to wins over an accepted route that overlaps it in any way:
 * an overlay that announces 10.0.0.0/8 must not take a laptop's way to its router, or to its peers,
 * in a strange 10.1.2.0/24. Routes by way of a router are weaker: only one for the very same prefix
 * keeps ours out, else the longer one wins in the kernel as it would anywhere. Where the operator
 * lets an accepted route win over the very network of an interface, it is installed as its two
 * halves, which are more specific; so all that we install has our metric, and no more is needed.
 *
 * A route that holds an address at which a peer is reached would take the tunnel's own packets into
 * the tunnel; it is kept out, too.
 *
 * A default route would take all that the host sends, the daemon's own packets to its peers, too.
 * So it needs a word of its own from the operator, and is not a route like others but rules, which
 * leave these packets alone (qe_netlink_take_default).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/networks.h"
#include "daemon/routes.h"

/* Of one kind in one run; the rest is counted. */
constexpr size_t lines_max = 8;

/* What of an entry is in the host's table. */
enum form : uint8_t { NOTHING, WHOLE, HALVES };

struct entry {
	struct qe_host_route route;
	enum form has, should; /* should: as decided last */
	bool wanted, dirty;
	bool may_stand; /* though it seems lost */
};

struct change {
	struct qe_prefix prefix;
	size_t number; /* the later of two holds */
	bool wanted;
};

struct qe_host_routes {
	struct qe_helper *helper;
	struct qe_netlink *netlink;
	const struct qe_log *log;
	char interface[QE_INTERFACE_NAME_SIZE];
	struct qe_prefix *accept;
	size_t n_accept;
	struct qe_prefix *underlay; /* in the order of qe_prefix_compare */
	size_t n_underlay;
	bool defaults, over_lan, vpn;
	bool has_ipv4_default, has_ipv6_default;
	bool defaults_failed; /* one of them may be there all the same */

	struct entry *entries;
	size_t n_entries;
	struct change *changes;
	size_t n_changes, changes_capacity;
	struct qe_networks networks; /* of the host */
	bool host_changed, settings_changed;
};

/* ---- what is wanted ---- */

static int compare_changes(const void *a, const void *b)
{
	const struct change *one = a, *other = b;
	int order = qe_prefix_compare(&one->prefix, &other->prefix);

	if (order != 0)
		return order;
	return one->number < other->number ? -1 : 1;
}

static bool is_last_of_its_kind(const struct qe_host_routes *routes, size_t i)
{
	return i + 1 == routes->n_changes ||
	       qe_prefix_compare(&routes->changes[i].prefix, &routes->changes[i + 1].prefix) != 0;
}

static struct entry to_entry(const struct change *change)
{
	return (struct entry){
		.route.prefix = change->prefix, .wanted = change->wanted, .dirty = true};
}

/* Both are sorted; an entry that a change is for is changed in its place. */
static size_t merge(struct qe_host_routes *routes, struct entry *to)
{
	size_t n = 0, i = 0;

	for (size_t j = 0; j < routes->n_changes; j++) {
		const struct change *change = &routes->changes[j];

		if (!is_last_of_its_kind(routes, j))
			continue;
		while (i < routes->n_entries &&
			qe_prefix_compare(&routes->entries[i].route.prefix, &change->prefix) < 0)
			to[n++] = routes->entries[i++];
		if (i < routes->n_entries &&
			qe_prefix_compare(&routes->entries[i].route.prefix, &change->prefix) == 0) {
			to[n] = routes->entries[i++];
			to[n].wanted = change->wanted;
			to[n++].dirty = true;
		} else if (change->wanted) {
			to[n++] = to_entry(change);
		}
	}
	while (i < routes->n_entries)
		to[n++] = routes->entries[i++];
	return n;
}

static enum qe_error take_changes(struct qe_host_routes *routes)
{
	size_t most = routes->n_entries + routes->n_changes;
	struct entry *merged;

	if (routes->n_changes == 0)
		return QE_OK;
	merged = calloc(most, sizeof(*merged));
	if (!merged)
		return -ENOMEM;
	qsort(routes->changes, routes->n_changes, sizeof(*routes->changes), compare_changes);
	routes->n_entries = merge(routes, merged);
	free(routes->entries);
	routes->entries = merged;
	routes->n_changes = 0;
	return QE_OK;
}

/* ---- what should be there ---- */

static bool is_accepted(const struct qe_host_routes *routes, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < routes->n_accept; i++) {
		if (qe_prefix_covers(&routes->accept[i], prefix))
			return true;
	}
	return false;
}

static bool holds_underlay(const struct qe_host_routes *routes, const struct qe_prefix *prefix)
{
	size_t low = 0, high = routes->n_underlay;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (qe_prefix_compare(&routes->underlay[middle], prefix) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < routes->n_underlay && qe_prefix_covers(prefix, &routes->underlay[low]);
}

static void add_line(const struct qe_host_routes *routes, const struct qe_host_route *route)
{
	char ours[QE_PREFIX_TEXT_SIZE], theirs[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(ours, &route->prefix);
	qe_prefix_format(theirs, &route->network);
	qe_log(routes->log, QE_LOG_WARN, "route_overlaps", nullptr,
		"%s is not routed into the overlay: this host has %s%s%s itself "
		"(overlay.accept_routes_over_lan = true overrides)",
		ours, theirs, route->interface[0] ? " on " : "", route->interface);
}

static enum form keep_out(struct entry *entry, enum qe_host_route_state state)
{
	entry->route.state = state;
	return NOTHING;
}

static enum form decide(const struct qe_host_routes *routes, struct entry *entry)
{
	struct qe_host_route *route = &entry->route;
	const struct qe_network_entry *network;

	if (!entry->wanted)
		return NOTHING;
	if (!is_accepted(routes, &route->prefix))
		return keep_out(entry, QE_HOST_ROUTE_NOT_ACCEPTED);
	if (route->prefix.length == 0)
		return routes->defaults && !routes->vpn ? WHOLE
							: keep_out(entry, QE_HOST_ROUTE_DEFAULT);
	if (holds_underlay(routes, &route->prefix))
		return keep_out(entry, QE_HOST_ROUTE_UNDERLAY);
	network = qe_networks_overlap(&routes->networks, &route->prefix);
	if (network && !routes->over_lan) {
		route->network = network->prefix;
		memcpy(route->interface, network->interface, sizeof(route->interface));
		return keep_out(entry, QE_HOST_ROUTE_OVERLAPS);
	}
	if (route->prefix.length < qe_addr_bits(&route->prefix.addr) &&
		qe_networks_contain(&routes->networks, &route->prefix))
		return HALVES;
	return WHOLE;
}

static void decide_all(struct qe_host_routes *routes, bool all)
{
	size_t lines = 0;

	for (size_t i = 0; i < routes->n_entries; i++) {
		struct entry *entry = &routes->entries[i];
		bool overlapped = entry->route.state == QE_HOST_ROUTE_OVERLAPS;

		entry->dirty |= all;
		if (!entry->dirty)
			continue;
		entry->should = decide(routes, entry);
		if (entry->wanted && entry->route.state == QE_HOST_ROUTE_OVERLAPS && !overlapped &&
			lines++ < lines_max)
			add_line(routes, &entry->route);
	}
	if (lines > lines_max)
		qe_log(routes->log, QE_LOG_WARN, "route_overlaps", nullptr, "and so are %zu more",
			lines - lines_max);
}

/* ---- making it so ---- */

/* Prefixes of one kind of change, and whose they are. */
struct batch {
	struct qe_host_routes *routes;
	bool add;
	size_t n, failed;
	struct qe_prefix prefixes[QE_HELPER_PREFIXES_MAX];
	struct entry *entries[QE_HELPER_PREFIXES_MAX];
	enum qe_error errors[QE_HELPER_PREFIXES_MAX];
};

static void note_failure(struct batch *batch, size_t i)
{
	struct qe_host_route *route = &batch->entries[i]->route;
	char text[QE_PREFIX_TEXT_SIZE];

	if (batch->add) {
		route->state = QE_HOST_ROUTE_FAILED;
		route->error = batch->errors[i];
	}
	if (batch->failed++ >= lines_max)
		return;
	qe_prefix_format(text, &batch->prefixes[i]);
	qe_log(batch->routes->log, QE_LOG_WARN, "route_failed", nullptr,
		"the route to %s cannot be %s: %s", text, batch->add ? "added" : "removed",
		qe_error_text(batch->errors[i]));
}

static void flush(struct batch *batch)
{
	if (batch->n == 0)
		return;
	(void)!(batch->add ? qe_helper_add_routes : qe_helper_remove_routes)(
		batch->routes->helper, batch->prefixes, batch->n, batch->errors);
	for (size_t i = 0; i < batch->n; i++) {
		bool stands = batch->entries[i]->may_stand && batch->errors[i] == -EEXIST;

		if (batch->errors[i] != QE_OK && !stands)
			note_failure(batch, i);
	}
	batch->n = 0;
}

static void begin(struct batch *batch, struct qe_host_routes *routes, bool add)
{
	batch->routes = routes;
	batch->add = add;
	batch->n = batch->failed = 0;
}

static void put(struct batch *batch, struct entry *entry, const struct qe_prefix *prefix)
{
	batch->prefixes[batch->n] = *prefix;
	batch->entries[batch->n++] = entry;
}

static void put_form(struct batch *batch, struct entry *entry, enum form form)
{
	struct qe_prefix half = entry->route.prefix;

	if (batch->n + 2 > QE_HELPER_PREFIXES_MAX)
		flush(batch);
	if (form == WHOLE && half.length > 0)
		put(batch, entry, &half);
	if (form != HALVES)
		return;
	half.addr.bytes[half.length / 8] |= (uint8_t)(0x80 >> half.length % 8);
	half.length++;
	put(batch, entry, &half);
	half.addr = entry->route.prefix.addr;
	put(batch, entry, &half);
}

/* What is to go goes first, lest a new route find its place taken. */
static void apply(struct qe_host_routes *routes, bool add)
{
	struct batch batch;

	begin(&batch, routes, add);
	for (size_t i = 0; i < routes->n_entries; i++) {
		struct entry *entry = &routes->entries[i];

		if (!entry->dirty || entry->has == entry->should)
			continue;
		put_form(&batch, entry, add ? entry->should : entry->has);
		if (add && entry->should != NOTHING)
			entry->route.state = QE_HOST_ROUTE_INSTALLED;
		entry->has = add ? entry->should : NOTHING;
	}
	flush(&batch);
}

static bool should_have_default(const struct qe_host_routes *routes, enum qe_family family)
{
	for (size_t i = 0; i < routes->n_entries; i++) {
		const struct entry *entry = &routes->entries[i];

		if (entry->route.prefix.length == 0 && entry->should != NOTHING &&
			entry->route.prefix.addr.family == family)
			return true;
	}
	return false;
}

static void fail_defaults(struct qe_host_routes *routes, enum qe_error error)
{
	qe_log(routes->log, QE_LOG_WARN, "route_failed", nullptr,
		"the default route cannot be changed: %s", qe_error_text(error));
	for (size_t i = 0; i < routes->n_entries; i++) {
		struct entry *entry = &routes->entries[i];

		if (entry->route.prefix.length > 0 || entry->should == NOTHING)
			continue;
		entry->route.state = QE_HOST_ROUTE_FAILED;
		entry->route.error = error;
	}
}

static void apply_defaults(struct qe_host_routes *routes)
{
	bool ipv4 = should_have_default(routes, QE_FAMILY_IPV4);
	bool ipv6 = should_have_default(routes, QE_FAMILY_IPV6);
	enum qe_error error;

	if (ipv4 == routes->has_ipv4_default && ipv6 == routes->has_ipv6_default &&
		!routes->defaults_failed)
		return;
	error = qe_helper_take_defaults(routes->helper, ipv4, ipv6);
	routes->defaults_failed = error != QE_OK;
	routes->has_ipv4_default = ipv4 && error == QE_OK;
	routes->has_ipv6_default = ipv6 && error == QE_OK;
	if (error != QE_OK)
		fail_defaults(routes, error);
}

/* Of two halves one may have been added. It is tried again when the host changes. */
static void give_up(struct qe_host_routes *routes, struct entry *entry)
{
	struct batch batch;

	begin(&batch, routes, false);
	put_form(&batch, entry, entry->has);
	flush(&batch);
	entry->has = NOTHING;
}

static void tidy(struct qe_host_routes *routes)
{
	size_t n = 0;

	for (size_t i = 0; i < routes->n_entries; i++) {
		struct entry *entry = &routes->entries[i];

		if (!entry->wanted)
			continue;
		if (entry->route.state == QE_HOST_ROUTE_FAILED && entry->has != NOTHING)
			give_up(routes, entry);
		entry->dirty = entry->may_stand = false;
		routes->entries[n++] = *entry;
	}
	routes->n_entries = n;
}

void qe_host_routes_run(struct qe_host_routes *routes)
{
	bool all = routes->host_changed || routes->settings_changed;
	enum qe_error error = QE_OK;

	if (!routes->netlink || (!all && routes->n_changes == 0) || take_changes(routes) != QE_OK)
		return;
	if (routes->host_changed)
		error = qe_networks_read(&routes->networks, routes->netlink, routes->interface);
	if (error != QE_OK)
		qe_log(routes->log, QE_LOG_WARN, "routes_unseen", nullptr,
			"the host's routes cannot be read: %s", qe_error_text(error));
	routes->host_changed = routes->settings_changed = false;
	decide_all(routes, all);
	apply(routes, false);
	apply(routes, true);
	apply_defaults(routes);
	tidy(routes);
}

/* ---- the outside ---- */

enum qe_error qe_host_routes_configure(
	struct qe_host_routes *routes, const struct qe_host_routes_settings *settings)
{
	struct qe_prefix *accept = calloc(settings->n_accept + 1, sizeof(*accept));

	if (!accept)
		return -ENOMEM;
	for (size_t i = 0; i < settings->n_accept; i++)
		accept[i] = settings->accept[i];
	free(routes->accept);
	routes->accept = accept;
	routes->n_accept = settings->n_accept;
	routes->defaults = settings->defaults;
	routes->over_lan = settings->over_lan;
	routes->settings_changed = true;
	return QE_OK;
}

static int compare_hosts(const void *a, const void *b)
{
	return qe_prefix_compare(a, b);
}

enum qe_error qe_host_routes_set_underlay(
	struct qe_host_routes *routes, const struct qe_prefix *hosts, size_t n)
{
	struct qe_prefix *underlay = calloc(n + 1, sizeof(*underlay));

	if (!underlay)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		underlay[i] = hosts[i];
	qsort(underlay, n, sizeof(*underlay), compare_hosts);
	free(routes->underlay);
	routes->underlay = underlay;
	routes->n_underlay = n;
	routes->settings_changed = true;
	return QE_OK;
}

enum qe_error qe_host_routes_new(struct qe_host_routes **ret_routes,
	const struct qe_host_routes_settings *settings, struct qe_helper *helper,
	const struct qe_log *log)
{
	struct qe_host_routes *routes = malloc(sizeof(*routes));
	enum qe_error error;

	if (!routes)
		return -ENOMEM;
	*routes = (struct qe_host_routes){.helper = helper, .log = log};
	strncpy(routes->interface, settings->interface, sizeof(routes->interface) - 1);
	error = qe_host_routes_configure(routes, settings);
	if (error != QE_OK) {
		qe_host_routes_free(routes);
		return error;
	}
	*ret_routes = routes;
	return QE_OK;
}

void qe_host_routes_start(struct qe_host_routes *routes, struct qe_netlink *netlink)
{
	routes->netlink = netlink;
	routes->host_changed = true;
}

struct qe_host_routes *qe_host_routes_free(struct qe_host_routes *routes)
{
	if (!routes)
		return nullptr;
	free(routes->underlay);
	free(routes->accept);
	free(routes->entries);
	free(routes->changes);
	qe_networks_done(&routes->networks);
	free(routes);
	return nullptr;
}

enum qe_error qe_host_routes_set(
	struct qe_host_routes *routes, const struct qe_prefix *prefix, bool wanted)
{
	if (routes->n_changes == routes->changes_capacity) {
		size_t capacity = 2 * routes->changes_capacity + 16;
		struct change *changes = reallocarray(routes->changes, capacity, sizeof(*changes));

		if (!changes)
			return -ENOMEM;
		routes->changes = changes;
		routes->changes_capacity = capacity;
	}
	routes->changes[routes->n_changes] = (struct change){*prefix, routes->n_changes, wanted};
	routes->n_changes++;
	return QE_OK;
}

void qe_host_routes_host_changed(struct qe_host_routes *routes)
{
	routes->host_changed = true;
}

void qe_host_routes_lost(struct qe_host_routes *routes)
{
	for (size_t i = 0; i < routes->n_entries; i++) {
		struct entry *entry = &routes->entries[i];

		entry->may_stand |= entry->has != NOTHING;
		entry->has = NOTHING;
	}
	routes->has_ipv4_default = routes->has_ipv6_default = false;
	routes->settings_changed = true;
}

void qe_host_routes_set_vpn(struct qe_host_routes *routes, bool on)
{
	if (on && !routes->vpn)
		routes->has_ipv4_default = routes->has_ipv6_default = false;
	routes->vpn = on;
	routes->settings_changed = true;
}

bool qe_host_routes_lead_to(const struct qe_host_routes *routes, const struct qe_addr *addr)
{
	const struct qe_prefix host = qe_prefix_host(addr);

	for (size_t i = 0; i < routes->n_entries; i++) {
		const struct entry *entry = &routes->entries[i];

		if (entry->has != NOTHING && entry->route.prefix.length > 0 &&
			qe_prefix_covers(&entry->route.prefix, &host))
			return true;
	}
	return false;
}

void qe_host_routes_visit(const struct qe_host_routes *routes,
	void (*visit)(void *ctx, const struct qe_host_route *route), void *ctx)
{
	for (size_t i = 0; i < routes->n_entries; i++)
		visit(ctx, &routes->entries[i].route);
}
