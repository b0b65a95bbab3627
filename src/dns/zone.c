/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "dns/zone.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

constexpr uint32_t TTL_NODE = 60;
constexpr uint32_t TTL_FIXED = 3600;
constexpr uint32_t TTL_EXIT = 5; /* the gateway's uplink may change */

struct node {
	struct qe_dns_name name;
	size_t first, n; /* among the addresses */
};

struct reverse {
	struct qe_addr addr;
	const struct node *node;
};

struct domain {
	size_t place; /* in the settings */
	struct qe_dns_name suffix;
	struct qe_endpoint server;
};

struct servers {
	struct qe_endpoint list[QE_DNS_SERVERS_MAX];
	size_t n;
};

struct qe_dns_zone {
	bool has_network;
	struct qe_dns_name network, exit_address;
	struct node *nodes; /* by name */
	size_t n_nodes;
	struct qe_addr *addrs;
	struct reverse *reverses; /* by address */
	size_t n_addrs;
	struct qe_prefix *overlay;
	size_t n_overlay;
	struct domain *domains; /* the longest suffix first */
	size_t n_domains;
	struct qe_dns_owners owners;
	struct servers host, members;
	struct qe_addr exit_addrs[2];
	size_t n_exit_addrs;
};

/* ---- what is made of settings ---- */

static int by_name(const void *a, const void *b)
{
	return qe_dns_name_compare(
		&((const struct node *)a)->name, &((const struct node *)b)->name);
}

static int by_addr(const void *a, const void *b)
{
	return qe_addr_compare(
		&((const struct reverse *)a)->addr, &((const struct reverse *)b)->addr);
}

static int by_length(const void *a, const void *b)
{
	const struct domain *x = a, *y = b;

	if (x->suffix.len != y->suffix.len)
		return y->suffix.len - x->suffix.len;
	return x->place < y->place ? -1 : x->place > y->place;
}

static enum qe_error append(struct qe_dns_name *name, const struct qe_dns_name *suffix)
{
	if (name->len - 1 + suffix->len > QE_DNS_NAME_MAX)
		return QE_ERR_RANGE;
	memcpy(name->wire + name->len - 1, suffix->wire, suffix->len);
	name->len = (uint8_t)(name->len - 1 + suffix->len);
	return QE_OK;
}

static enum qe_error make_network(struct qe_dns_zone *zone, const char *network)
{
	struct qe_dns_name top;

	QE_TRY(qe_dns_name_parse(&zone->exit_address, QE_DNS_EXIT_ADDRESS));
	if (!network)
		return QE_OK;
	QE_TRY(qe_dns_name_parse(&top, QE_DNS_TOP));
	QE_TRY(qe_dns_name_parse(&zone->network, network));
	zone->has_network = true;
	return append(&zone->network, &top);
}

static bool make_node(struct qe_dns_zone *zone, const struct qe_dns_node *from)
{
	struct node *node = &zone->nodes[zone->n_nodes];

	if (qe_dns_name_parse(&node->name, from->name) != QE_OK ||
		append(&node->name, &zone->network) != QE_OK)
		return false;
	node->first = zone->n_addrs;
	node->n = from->n;
	memcpy(zone->addrs + zone->n_addrs, from->addrs, from->n * sizeof(*from->addrs));
	zone->n_addrs += from->n;
	zone->n_nodes++;
	return true;
}

/* Sorted, the same name stands side by side, and the first given has the first addresses. */
static void forget_doubles(struct qe_dns_zone *zone)
{
	size_t kept = 0;

	for (size_t i = 0; i < zone->n_nodes; i++) {
		struct node *last = kept > 0 ? &zone->nodes[kept - 1] : nullptr;

		if (!last || !qe_dns_name_equal(&last->name, &zone->nodes[i].name))
			zone->nodes[kept++] = zone->nodes[i];
		else if (zone->nodes[i].first < last->first)
			*last = zone->nodes[i];
	}
	zone->n_nodes = kept;
}

static void make_reverses(struct qe_dns_zone *zone)
{
	size_t n = 0;

	for (size_t i = 0; i < zone->n_nodes; i++) {
		const struct node *node = &zone->nodes[i];

		for (size_t j = 0; j < node->n; j++)
			zone->reverses[n++] = (struct reverse){zone->addrs[node->first + j], node};
	}
	zone->n_addrs = n;
	qsort(zone->reverses, n, sizeof(*zone->reverses), by_addr);
}

static enum qe_error make_nodes(struct qe_dns_zone *zone, const struct qe_dns_settings *from)
{
	size_t n = 0;

	if (!from->network)
		return QE_OK;
	for (size_t i = 0; i < from->n_nodes; i++)
		n += from->nodes[i].n;
	zone->nodes = calloc(from->n_nodes + 1, sizeof(*zone->nodes));
	zone->addrs = calloc(n + 1, sizeof(*zone->addrs));
	zone->reverses = calloc(n + 1, sizeof(*zone->reverses));
	if (!zone->nodes || !zone->addrs || !zone->reverses)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_nodes; i++)
		make_node(zone, &from->nodes[i]);
	qsort(zone->nodes, zone->n_nodes, sizeof(*zone->nodes), by_name);
	forget_doubles(zone);
	make_reverses(zone);
	return QE_OK;
}

static struct qe_endpoint with_port(struct qe_endpoint server)
{
	server.port = server.port ? server.port : QE_DNS_PORT;
	return server;
}

static enum qe_error make_domains(struct qe_dns_zone *zone, const struct qe_dns_settings *from)
{
	zone->domains = calloc(from->n_domains + 1, sizeof(*zone->domains));
	if (!zone->domains)
		return -ENOMEM;
	for (size_t i = 0; i < from->n_domains; i++) {
		struct domain *domain = &zone->domains[i];

		QE_TRY(qe_dns_name_parse(&domain->suffix, from->domains[i].suffix));
		domain->place = i;
		domain->server = with_port(from->domains[i].server);
	}
	zone->n_domains = from->n_domains;
	qsort(zone->domains, zone->n_domains, sizeof(*zone->domains), by_length);
	return QE_OK;
}

static struct servers make_servers(const struct qe_endpoint *list, size_t n)
{
	struct servers servers = {.n = n < QE_DNS_SERVERS_MAX ? n : QE_DNS_SERVERS_MAX};

	for (size_t i = 0; i < servers.n; i++)
		servers.list[i] = with_port(list[i]);
	return servers;
}

static enum qe_error make_overlay(struct qe_dns_zone *zone, const struct qe_dns_settings *from)
{
	zone->overlay = calloc(from->n_overlay + 1, sizeof(*zone->overlay));
	if (!zone->overlay)
		return -ENOMEM;
	if (from->n_overlay > 0)
		memcpy(zone->overlay, from->overlay, from->n_overlay * sizeof(*zone->overlay));
	zone->n_overlay = from->n_overlay;
	return QE_OK;
}

static enum qe_error make(struct qe_dns_zone *zone, const struct qe_dns_settings *from)
{
	QE_TRY(make_network(zone, from->network));
	QE_TRY(make_nodes(zone, from));
	QE_TRY(make_overlay(zone, from));
	QE_TRY(qe_dns_owners_init(&zone->owners, from->owners, from->n_owners));
	zone->host = make_servers(from->upstream, from->n_upstream);
	zone->members = make_servers(from->members_upstream, from->n_members_upstream);
	zone->n_exit_addrs = from->n_exit_addrs < 2 ? from->n_exit_addrs : 2;
	memcpy(zone->exit_addrs, from->exit_addrs, sizeof(zone->exit_addrs));
	return make_domains(zone, from);
}

enum qe_error qe_dns_zone_new(struct qe_dns_zone **ret_zone, const struct qe_dns_settings *settings)
{
	struct qe_dns_zone *zone = calloc(1, sizeof(*zone));
	enum qe_error error;

	if (!zone)
		return -ENOMEM;
	error = make(zone, settings);
	if (error != QE_OK) {
		qe_dns_zone_free(zone);
		return error;
	}
	*ret_zone = zone;
	return QE_OK;
}

struct qe_dns_zone *qe_dns_zone_free(struct qe_dns_zone *zone)
{
	if (!zone)
		return nullptr;
	free(zone->nodes);
	free(zone->addrs);
	free(zone->reverses);
	free(zone->overlay);
	qe_dns_owners_done(&zone->owners);
	free(zone->domains);
	free(zone);
	return nullptr;
}

/* ---- what is answered ---- */

static bool answer_node(
	const struct qe_dns_zone *zone, const struct qe_dns_name *name, struct qe_dns_own *ret_own)
{
	const struct node key = {.name = *name};
	const struct node *node = zone->nodes ? bsearch(&key, zone->nodes, zone->n_nodes,
							sizeof(key), by_name)
					      : nullptr;

	*ret_own = (struct qe_dns_own){.rcode = QE_DNS_NXDOMAIN,
		.authoritative = true,
		.ttl = TTL_NODE,
		.zone = &zone->network};
	if (node) {
		ret_own->addrs = zone->addrs + node->first;
		ret_own->n_addrs = node->n;
	}
	if (node || qe_dns_name_equal(name, &zone->network))
		ret_own->rcode = QE_DNS_NOERROR;
	return true;
}

static bool is_overlay(const struct qe_dns_zone *zone, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < zone->n_overlay; i++) {
		if (qe_prefix_covers(&zone->overlay[i], prefix))
			return true;
	}
	return false;
}

/* A whole address of a node, or anything within the overlay: "no", where there is no name. */
static bool answer_reverse(
	const struct qe_dns_zone *zone, const struct qe_dns_name *name, struct qe_dns_own *ret_own)
{
	struct reverse key = {}, *reverse = nullptr;
	struct qe_prefix prefix;
	struct qe_dns_name whole;

	if (!qe_dns_name_prefix(name, &prefix))
		return false;
	key.addr = prefix.addr;
	if (prefix.length == qe_addr_bits(&prefix.addr) && zone->reverses)
		reverse = bsearch(&key, zone->reverses, zone->n_addrs, sizeof(key), by_addr);
	if (!reverse && !is_overlay(zone, &prefix))
		return false;
	qe_dns_name_reverse(&whole, &prefix.addr);
	*ret_own = (struct qe_dns_own){
		.rcode = QE_DNS_NXDOMAIN, .authoritative = true, .ttl = TTL_NODE};
	if (reverse && qe_dns_name_equal(name, &whole)) {
		ret_own->rcode = QE_DNS_NOERROR;
		ret_own->target = &reverse->node->name;
	}
	return true;
}

static bool answer_exit(const struct qe_dns_zone *zone, bool member, struct qe_dns_own *ret_own)
{
	*ret_own = (struct qe_dns_own){.rcode = QE_DNS_NXDOMAIN, .authoritative = true};
	if (member && zone->n_exit_addrs > 0) {
		ret_own->rcode = QE_DNS_NOERROR;
		ret_own->ttl = TTL_EXIT;
		ret_own->addrs = zone->exit_addrs;
		ret_own->n_addrs = zone->n_exit_addrs;
	}
	return true;
}

/* Names for which no server may be asked: RFC 6761 (localhost, invalid), RFC 7686 (onion). */
static bool answer_special(const struct qe_dns_name *name, struct qe_dns_own *ret_own)
{
	static const struct qe_addr loopback[] = {
		{QE_FAMILY_IPV4, {127, 0, 0, 1}}, {QE_FAMILY_IPV6, {[15] = 1}}};
	static const struct qe_dns_name localhost = {11, "\11localhost"};
	static const struct qe_dns_name none[] = {{9, "\7invalid"}, {7, "\5onion"}};

	if (qe_dns_name_is_under(name, &localhost)) {
		*ret_own = (struct qe_dns_own){.ttl = TTL_FIXED, .addrs = loopback, .n_addrs = 2};
		return true;
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		if (qe_dns_name_is_under(name, &none[i])) {
			*ret_own = (struct qe_dns_own){.rcode = QE_DNS_NXDOMAIN};
			return true;
		}
	}
	return false;
}

static const struct domain *find_domain(
	const struct qe_dns_zone *zone, const struct qe_dns_name *name)
{
	for (size_t i = 0; i < zone->n_domains; i++) {
		if (qe_dns_name_is_under(name, &zone->domains[i].suffix))
			return &zone->domains[i];
	}
	return nullptr;
}

/* The address of a name without a dot is asked of nobody: it belongs to the place where the host
 * is, and top-level domains have none. */
static bool answer_dotless(const struct qe_dns_question *question, struct qe_dns_own *ret_own)
{
	if ((question->type != QE_DNS_A && question->type != QE_DNS_AAAA) ||
		qe_dns_name_labels(&question->name) != 1)
		return false;
	*ret_own = (struct qe_dns_own){.rcode = QE_DNS_NXDOMAIN};
	return true;
}

bool qe_dns_zone_answer(const struct qe_dns_zone *zone, const struct qe_dns_question *question,
	bool member, struct qe_dns_own *ret_own)
{
	const struct qe_dns_name *name = &question->name;

	if (qe_dns_name_is_under(name, &zone->exit_address))
		return answer_exit(zone, member, ret_own);
	if (zone->has_network && qe_dns_name_is_under(name, &zone->network))
		return answer_node(zone, name, ret_own);
	if (answer_reverse(zone, name, ret_own) || answer_special(name, ret_own))
		return true;
	return !find_domain(zone, name) && answer_dotless(question, ret_own);
}

uint32_t qe_dns_zone_owner(const struct qe_dns_zone *zone, const struct qe_addr *addr)
{
	return qe_dns_owners_find(&zone->owners, addr);
}

size_t qe_dns_zone_servers(const struct qe_dns_zone *zone, const struct qe_dns_name *name,
	bool member, struct qe_endpoint to[QE_DNS_SERVERS_MAX])
{
	const struct servers *servers = member ? &zone->members : &zone->host;
	size_t n = 0, len = 0;

	for (size_t i = 0; i < zone->n_domains; i++) {
		const struct domain *domain = &zone->domains[i];

		if (!qe_dns_name_is_under(name, &domain->suffix))
			continue;
		/* Several servers of one domain stand in several rows. */
		if (n > 0 && domain->suffix.len < len)
			break;
		len = domain->suffix.len;
		if (n < QE_DNS_SERVERS_MAX)
			to[n++] = domain->server;
	}
	if (n > 0)
		return n;
	memcpy(to, servers->list, servers->n * sizeof(*to));
	return servers->n;
}
