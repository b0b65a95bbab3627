/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <stdio.h>

#include "crypto/node_id.h"
#include "daemon/report.h"
#include "daemon/report_parts.h"
#include "net/addr.h"

/* ---- small things ---- */

json_t *qe_report_prefix(const struct qe_prefix *prefix)
{
	char text[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(text, prefix);
	return json_string(text);
}

/* Of an interface: the address with the length of its network. */
static json_t *interface_addr_json(const struct qe_addr *addr, uint8_t length)
{
	char text[QE_ADDR_TEXT_SIZE];

	qe_addr_format(text, addr);
	return json_sprintf("%s/%u", text, length);
}

static json_t *endpoint_json(const struct qe_endpoint *endpoint)
{
	char text[QE_ENDPOINT_TEXT_SIZE];

	if (endpoint->addr.family == QE_FAMILY_NONE)
		return json_null();
	qe_endpoint_format(text, endpoint);
	return json_string(text);
}

json_t *qe_report_event_peer(const struct qe_directory *directory, const struct qe_event *event)
{
	const struct qe_config_peer *peer = qe_directory_peer(directory, event->peer);

	return json_pack("{s:s?, s:o, s:o}", "node", peer ? peer->name : nullptr, "id",
		qe_report_id(&event->id), "remote", endpoint_json(&event->path.remote));
}

json_t *qe_report_id(const struct qe_node_id *id)
{
	char text[QE_NODE_ID_TEXT_SIZE];

	qe_node_id_format(text, id);
	return json_string(text);
}

static json_t *overlay_json(const struct qe_node_id *id)
{
	struct qe_addr addr = qe_node_id_overlay_addr(id);
	struct qe_prefix prefix = qe_prefix_host(&addr);

	return qe_report_prefix(&prefix);
}

static json_t *seconds_json(qe_time duration)
{
	return json_integer((json_int_t)(duration / QE_SECOND));
}

json_t *qe_report_ms(qe_time duration)
{
	return json_real((double)(duration / QE_MICROSECOND) / 1000);
}

static json_t *count_json(uint64_t count)
{
	return json_integer((json_int_t)count);
}

static const char *state_name(enum qe_peer_state state)
{
	switch (state) {
	case QE_PEER_IDLE:
		return "idle";
	case QE_PEER_CONNECTING:
		return "connecting";
	case QE_PEER_CONNECTED:
		return "connected";
	}
	return "unknown";
}

/* What the workers know of peer i of the configuration; nothing, if it was added since they were
 * asked. */
static const struct qe_worker_peer *known_of(
	const struct qe_directory *directory, const struct qe_worker_query *query, size_t i)
{
	static const struct qe_worker_peer nothing = {.status.next_dial = QE_TIME_NEVER};
	size_t slot = qe_directory_slot(directory, i);

	return slot < query->n ? &query->peers[slot] : &nothing;
}

/* ---- status ---- */

static json_t *node_json(const struct qe_report_facts *facts)
{
	const struct qe_config *config = qe_directory_config(facts->directory);
	struct qe_addr overlay = qe_node_id_overlay_addr(facts->id);
	char text[QE_ADDR_TEXT_SIZE];

	qe_addr_format(text, &overlay);
	return json_pack("{s:s, s:o, s:s, s:s}", "name", config->node.name, "id",
		qe_report_id(facts->id), "overlay", text, "role", qe_role_name(config->node.role));
}

static json_t *tun_json(const struct qe_report_facts *facts)
{
	const struct qe_config *config = qe_directory_config(facts->directory);
	const struct qe_config_list *addrs = &config->network.tun_addr;
	json_t *list = json_array();

	json_array_append_new(list, overlay_json(facts->id));
	for (size_t i = 0; i < addrs->n; i++)
		json_array_append_new(list,
			interface_addr_json(&addrs->addrs[i].addr, addrs->addrs[i].prefix.length));
	return json_pack("{s:s, s:i, s:o, s:b}", "name", config->network.tun_name, "mtu",
		config->network.mtu, "addresses", list, "udp_segmentation",
		facts->tun_segments_udp);
}

static json_t *crypto_json(const struct qe_report_facts *facts)
{
	const struct qe_config *config = qe_directory_config(facts->directory);
	return json_pack("{s:s, s:s, s:s}", "provider", facts->crypto_provider, "pq",
		qe_pq_name(config->security.pq), "cipher", qe_cipher_name(config->security.cipher));
}

static json_t *peer_counts_json(
	const struct qe_directory *directory, const struct qe_worker_query *query)
{
	const struct qe_config *config = qe_directory_config(directory);
	size_t connected = 0;

	for (size_t i = 0; i < config->n_peers; i++)
		connected += known_of(directory, query, i)->status.state == QE_PEER_CONNECTED;
	return json_pack("{s:o, s:o}", "configured", count_json(config->n_peers), "connected",
		count_json(connected));
}

struct count {
	const char *name;
	uint64_t count;
};

static json_t *counts_json(const struct count *counts, size_t n)
{
	json_t *json = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(json, counts[i].name, count_json(counts[i].count));
	return json;
}

static json_t *drops_json(const struct qe_worker_query *query)
{
	json_t *drops = json_object();

	for (enum qe_drop drop = 0; drop < QE_DROP_COUNT; drop++)
		json_object_set_new(
			drops, qe_drop_name(drop), count_json(query->shard.drops[drop]));
	return drops;
}

/* What goes slower than it could, and how often, or 1 where it is all the time. */
static json_t *fallbacks_json(const struct qe_worker_query *query)
{
	const struct count counts[] = {
		{"udp_segment_off", query->udp.segment_off},
		{"udp_gro_off", query->udp.gro_off},
		{"udp_steering_off", query->udp.steering_off},
		{"udp_trains_split", query->udp.trains_split},
		{"udp_send_waits", query->udp.send_waits},
		{"tun_header_off", query->tun.header_off},
		{"tun_csum_off", query->tun.csum_off},
		{"tun_tso_off", query->tun.tso_off},
		{"tun_uso_off", query->tun.uso_off},
		{"tun_steering_off", query->tun.steering_off},
		{"tun_writes_split", query->tun.writes_split},
		{"crypto_provider", query->shard.crypto_fallback},
	};

	return counts_json(counts, sizeof(counts) / sizeof(counts[0]));
}

static json_t *counters_json(const struct qe_worker_query *query)
{
	const struct qe_shard_counters *shard = &query->shard;
	const struct count counts[] = {
		{"tun_rx_packets", shard->tun_rx_packets},
		{"split_packets", shard->split_packets},
		{"queued_packets", shard->queued_packets},
		{"tx_packets", shard->tx_packets},
		{"tx_bytes", shard->tx_bytes},
		{"rx_frames", shard->rx_frames},
		{"joined_frames", shard->joined_frames},
		{"waiting_frames", shard->waiting_frames},
		{"rx_packets", shard->rx_packets},
		{"rx_bytes", shard->rx_bytes},
		{"forwarded_packets", shard->forwarded_packets},
		{"icmp_packets", shard->icmp_packets},
		{"icmp_tx_packets", shard->icmp_tx_packets},
		{"tun_tx_packets", shard->tun_tx_packets},
		{"tx_datagrams", shard->tx_datagrams},
		{"rx_datagrams", shard->rx_datagrams},
		{"link_datagrams", shard->link_datagrams},
		{"handshakes", shard->handshakes},
		{"handshake_failures", shard->handshake_failures},
		{"retries", shard->retries},
		{"stateless_resets", shard->stateless_resets},
		{"ignored", shard->ignored},
		{"udp_sent", query->udp.sent},
		{"udp_no_buffer", query->udp.no_buffer},
		{"udp_unreachable", query->udp.unreachable},
		{"udp_too_big", query->udp.too_big},
		{"udp_failed", query->udp.failed},
		{"udp_truncated", query->udp.truncated},
		{"udp_receive_errors", query->udp.receive_errors},
		{"udp_handed_over", query->strays.handed_over},
		{"udp_handed_over_lost", query->strays.lost},
		{"tun_reads", query->tun.reads},
		{"tun_read_errors", query->tun.read_errors},
		{"tun_writes", query->tun.writes},
		{"tun_packets_lost", query->tun.packets_lost},
		{"events_lost", query->events_lost},
	};
	json_t *counters = counts_json(counts, sizeof(counts) / sizeof(counts[0]));

	json_object_set_new(counters, "drops", drops_json(query));
	json_object_set_new(counters, "fallbacks", fallbacks_json(query));
	return counters;
}

/* In the order of their numbers. */
static json_t *workers_json(const struct qe_worker_query *query)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < query->n_workers; i++) {
		const struct qe_shard_counters *worker = &query->workers[i];
		const struct count counts[] = {
			{"tx_packets", worker->tx_packets},
			{"tx_bytes", worker->tx_bytes},
			{"rx_packets", worker->rx_packets},
			{"rx_bytes", worker->rx_bytes},
			{"tx_datagrams", worker->tx_datagrams},
			{"rx_datagrams", worker->rx_datagrams},
			{"handshakes", worker->handshakes},
		};

		json_array_append_new(
			list, counts_json(counts, sizeof(counts) / sizeof(counts[0])));
	}
	return list;
}

/* Routes of the overlay that the host has, and has not. */
struct host_routes {
	size_t installed;
	json_t *kept_out;
};

const char *qe_report_host_route(enum qe_host_route_state state)
{
	switch (state) {
	case QE_HOST_ROUTE_INSTALLED:
		return "installed";
	case QE_HOST_ROUTE_NOT_ACCEPTED:
		return "not_accepted";
	case QE_HOST_ROUTE_OVERLAPS:
		return "overlaps";
	case QE_HOST_ROUTE_UNDERLAY:
		return "underlay";
	case QE_HOST_ROUTE_DEFAULT:
		return "default";
	case QE_HOST_ROUTE_FAILED:
		return "failed";
	}
	return "unknown";
}

static void add_host_route(void *ctx, const struct qe_host_route *route)
{
	struct host_routes *routes = ctx;
	json_t *json;

	if (route->state == QE_HOST_ROUTE_INSTALLED) {
		routes->installed++;
		return;
	}
	json = json_pack("{s:o, s:s}", "prefix", qe_report_prefix(&route->prefix), "reason",
		qe_report_host_route(route->state));
	if (route->state == QE_HOST_ROUTE_OVERLAPS) {
		json_object_set_new(json, "network", qe_report_prefix(&route->network));
		json_object_set_new(json, "interface", json_string(route->interface));
	}
	if (route->state == QE_HOST_ROUTE_FAILED)
		json_object_set_new(json, "error", json_string(qe_error_text(route->error)));
	json_array_append_new(routes->kept_out, json);
}

static json_t *host_routes_json(const struct qe_report_facts *facts)
{
	struct host_routes routes = {.kept_out = json_array()};

	qe_host_routes_visit(facts->host_routes, add_host_route, &routes);
	return json_pack("{s:o, s:o}", "installed", count_json(routes.installed), "kept_out",
		routes.kept_out);
}

static json_t *routes_json(const struct qe_report_facts *facts)
{
	const struct count counts[] = {
		{"prefixes", facts->routes.prefixes},
		{"ways", facts->routes.ways},
		{"refused", facts->routes.refused},
		{"malformed", facts->routes.malformed},
		{"changes", facts->routes.changes},
	};

	return counts_json(counts, sizeof(counts) / sizeof(counts[0]));
}

json_t *qe_report_status(const struct qe_report_facts *facts, const struct qe_worker_query *query)
{
	const struct qe_config *config = qe_directory_config(facts->directory);

	return json_pack("{s:s, s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:I}",
		"version", QE_VERSION, "node", node_json(facts), "state", "running", "uptime_secs",
		seconds_json(qe_time_since(facts->started, query->now)), "listen",
		endpoint_json(&facts->listen), "tun", tun_json(facts), "routes", routes_json(facts),
		"host_routes", host_routes_json(facts), "crypto", crypto_json(facts), "rotate_secs",
		config->security.rotate_secs, "peers", peer_counts_json(facts->directory, query),
		"counters", counters_json(query), "workers", workers_json(query), "audit_lost",
		(json_int_t)facts->audit_lost);
}

/* ---- peers ---- */

static json_t *addresses_json(const struct qe_config_peer *peer)
{
	json_t *list = json_array();

	json_array_append_new(list, overlay_json(&peer->id));
	for (size_t i = 0; i < peer->n_prefixes; i++)
		json_array_append_new(list, qe_report_prefix(&peer->prefixes[i]));
	return list;
}

static json_t *prefixes_json(const struct qe_config_list *prefixes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < prefixes->n; i++)
		json_array_append_new(list, qe_report_prefix(&prefixes->prefixes[i]));
	return list;
}

static json_t *names_json(const struct qe_config_list *names)
{
	json_t *list = json_array();

	for (size_t i = 0; i < names->n; i++)
		json_array_append_new(list, json_string(names->names[i]));
	return list;
}

static json_t *endpoints_json(const struct qe_config_list *endpoints)
{
	json_t *list = json_array();

	for (size_t i = 0; i < endpoints->n; i++) {
		const struct qe_host_port *at = &endpoints->endpoints[i];
		struct qe_addr addr;
		bool is_ipv6 = qe_addr_parse(&addr, at->host) == QE_OK &&
			       addr.family == QE_FAMILY_IPV6;

		json_array_append_new(
			list, json_sprintf(is_ipv6 ? "[%s]:%u" : "%s:%u", at->host, at->port));
	}
	return list;
}

json_t *qe_report_link(const struct qe_worker_peer *peer, qe_time now)
{
	const struct qe_link_status *link = &peer->status.link;

	if (!peer->status.has_link)
		return json_null();
	return json_pack("{s:o, s:o, s:b, s:s, s:s, s:o, s:o, s:o, s:o, s:i, s:o, s:o}", "remote",
		endpoint_json(&link->path.remote), "local", endpoint_json(&link->path.local),
		"dialled", link->dialled, "cipher", link->cipher, "key_exchange",
		peer->key_exchange, "age_secs", seconds_json(qe_time_since(link->established, now)),
		"handshake_ms", qe_report_ms(link->handshake), "rtt_ms", qe_report_ms(link->rtt),
		"rtt_min_ms", qe_report_ms(link->rtt_min), "path_mtu", link->path_mtu, "cwnd",
		count_json(link->cwnd), "lost_packets", count_json(link->lost_packets));
}

static json_t *last_rx_json(const struct qe_peer_status *status, qe_time now)
{
	return status->last_rx ? seconds_json(qe_time_since(status->last_rx, now)) : json_null();
}

static json_t *next_dial_json(const struct qe_peer_status *status, qe_time now)
{
	if (status->next_dial == QE_TIME_NEVER)
		return json_null();
	return seconds_json(qe_time_since(now, status->next_dial));
}

static json_t *peer_json(
	const struct qe_config_peer *peer, const struct qe_worker_peer *known, qe_time now)
{
	const struct qe_peer_status *status = &known->status;

	return json_pack(
		"{s:s?, s:o, s:s, s:o, s:o, s:b, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o}",
		"name", peer->name, "id", qe_report_id(&peer->id), "state",
		state_name(status->state), "addresses", addresses_json(peer), "gateway_subnets",
		prefixes_json(&peer->gateway_subnets), "exit", peer->exit, "groups",
		names_json(&peer->groups), "endpoints", endpoints_json(&peer->endpoints), "links",
		(int)status->n_links, "link", qe_report_link(known, now), "tx_packets",
		count_json(status->tx_packets), "tx_bytes", count_json(status->tx_bytes),
		"rx_packets", count_json(status->rx_packets), "rx_bytes",
		count_json(status->rx_bytes), "rotations", count_json(status->rotations),
		"reconnects", count_json(status->reconnects), "last_rx_secs",
		last_rx_json(status, now), "next_dial_secs", next_dial_json(status, now));
}

json_t *qe_report_peers(const struct qe_directory *directory, const struct qe_worker_query *query)
{
	const struct qe_config *config = qe_directory_config(directory);
	json_t *list = json_array();

	for (size_t i = 0; i < config->n_peers; i++)
		json_array_append_new(list,
			peer_json(&config->peers[i], known_of(directory, query, i), query->now));
	return json_pack("{s:o}", "peers", list);
}

/* ---- ping ---- */

json_t *qe_report_pong(
	const struct qe_directory *directory, const struct qe_worker_query *query, qe_time rtt)
{
	const struct qe_worker_peer *known = &query->peers[0];
	const struct qe_link_status *link = &known->status.link;
	char label[QE_NAME_MAX + 1];

	qe_directory_label(directory, query->first, label);
	return json_pack("{s:s, s:o, s:o, s:{s:o, s:o}, s:s?, s:s, s:o, s:i}", "peer", label, "id",
		qe_report_id(&known->status.id), "rtt_ms", qe_report_ms(rtt), "path", "local",
		endpoint_json(&link->path.local), "remote", endpoint_json(&link->path.remote),
		"cipher", link->cipher, "key_exchange", known->key_exchange, "key_age_secs",
		seconds_json(qe_time_since(link->established, query->now)), "path_mtu",
		link->path_mtu);
}
