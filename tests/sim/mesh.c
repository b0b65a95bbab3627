/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The simulated mesh. Nothing here sleeps or asks a clock: mesh_run takes the earliest of what is
 * scheduled and what the shards wait for, jumps there, fires all that is due, and lets each shard
 * that was given something, or whose deadline has come, run until it wants nothing more. A shard
 * that at one instant wants ever more is a livelock and fails the test.
 *
 * Shards are called exactly as a daemon calls them: datagrams that came together from one sender
 * as one GRO unit (and now and then singly), TUN packets only into the buffer the shard gives.
 */
#include "mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"

#define RUNS_AT_ONCE_MAX 4096

/* ---- chance ---- */

uint64_t mesh_random(struct mesh *mesh)
{
	uint64_t x = mesh->random;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	mesh->random = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

uint64_t mesh_random_below(struct mesh *mesh, uint64_t limit)
{
	return limit == 0 ? 0 : mesh_random(mesh) % limit;
}

bool mesh_chance(struct mesh *mesh, double probability)
{
	return probability > 0 &&
	       (double)(mesh_random(mesh) >> 11) < probability * (double)(UINT64_C(1) << 53);
}

void mesh_fail(const struct mesh *mesh, const char *file, int line, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	print_error("%s:%d: %s (seed %llu, at %.6f s)\n", file, line, text,
		(unsigned long long)mesh->seed, (double)mesh->now / QE_SECOND);
	_fail(file, line);
}

/* ---- the clock ---- */

static bool earlier(const struct mesh_event *a, const struct mesh_event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct mesh_event **a, struct mesh_event **b)
{
	struct mesh_event *was = *a;
	*a = *b;
	*b = was;
}

void mesh_schedule(struct mesh *mesh, struct mesh_event *event, qe_time at)
{
	if (mesh->n_heap == mesh->heap_capacity) {
		mesh->heap_capacity = mesh->heap_capacity ? 2 * mesh->heap_capacity : 64;
		mesh->heap = realloc(mesh->heap, mesh->heap_capacity * sizeof(struct mesh_event *));
		assert_non_null(mesh->heap);
	}
	event->at = qe_time_max(at, mesh->now);
	event->order = mesh->order++;

	struct mesh_event **heap = mesh->heap;
	size_t i = mesh->n_heap++;
	heap[i] = event;
	for (; i > 0 && earlier(heap[i], heap[(i - 1) / 2]); i = (i - 1) / 2)
		swap(&heap[i], &heap[(i - 1) / 2]);
}

static struct mesh_event *take_first(struct mesh *mesh)
{
	struct mesh_event **heap = mesh->heap, *first = heap[0];
	size_t n = --mesh->n_heap;
	heap[0] = heap[n];
	for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
		if (child + 1 < n && earlier(heap[child + 1], heap[child]))
			child++;
		if (!earlier(heap[child], heap[i]))
			break;
		swap(&heap[i], &heap[child]);
	}
	return first;
}

static bool runs(const struct mesh_host *host)
{
	return host->shard && !host->asleep;
}

static qe_time next_instant(const struct mesh *mesh)
{
	qe_time next = mesh->n_heap ? mesh->heap[0]->at : QE_TIME_NEVER;
	for (size_t i = 0; i < mesh->n_hosts; i++)
		if (runs(mesh->hosts[i]))
			next = qe_time_min(next, mesh->hosts[i]->deadline);
	return qe_time_max(next, mesh->now);
}

/* The shards besides the one that reported it know where the peer is from then on. */
static void tell_seen(struct mesh_host *host)
{
	for (size_t n = 0; host->workers > 1 && n < host->n_seen; n++)
		for (unsigned i = 0; i < host->workers; i++)
			(void)!qe_shard_peer_seen(host->shards[i], host->seen[n].peer,
				&host->seen[n].at, host->mesh->now);
	host->n_seen = 0;
}

/* As a daemon's control thread does, but at once. */
static void run_node(struct mesh_host *host)
{
	qe_time now = host->mesh->now;
	while (qe_node_deadline(host->node) <= now)
		qe_node_run(host->node, now);
}

static void let_run(struct mesh_host *host)
{
	struct mesh *mesh = host->mesh;
	for (unsigned runs = 0;; runs++) {
		mesh_check(mesh, runs < RUNS_AT_ONCE_MAX, "host %zu: livelock", host->index);
		bool fed = mesh_tun_feed(host);
		host->deadline = QE_TIME_NEVER;
		for (unsigned i = 0; i < host->workers; i++) {
			qe_shard_run(host->shards[i], mesh->now);
			tell_seen(host);
		}
		uint64_t published = host->published;
		run_node(host);
		host->deadline = host->published > published ? mesh->now
							     : qe_node_deadline(host->node);
		for (unsigned i = 0; i < host->workers; i++)
			host->deadline = qe_time_min(
				host->deadline, qe_shard_deadline(host->shards[i]));
		host->runs++;
		if (!fed && host->deadline > mesh->now && !mesh_tun_is_wanted(host))
			return;
	}
}

static void step(struct mesh *mesh)
{
	while (mesh->n_heap && mesh->heap[0]->at <= mesh->now) {
		struct mesh_event *event = take_first(mesh);
		event->fire(mesh, event);
	}
	mesh_batch_flush(mesh);
	for (size_t i = 0; i < mesh->n_hosts; i++)
		if (runs(mesh->hosts[i]) && mesh->hosts[i]->deadline <= mesh->now)
			let_run(mesh->hosts[i]);
}

void mesh_run(struct mesh *mesh, qe_time duration)
{
	qe_time until = mesh->now + duration;
	for (qe_time next; (next = next_instant(mesh)) <= until;) {
		unsigned steps = next == mesh->now ? 0 : 1;
		mesh->now = next;
		for (; next_instant(mesh) == mesh->now; steps++) {
			mesh_check(mesh, steps < RUNS_AT_ONCE_MAX, "livelock");
			step(mesh);
		}
	}
	mesh->now = until;
}

bool mesh_run_until(struct mesh *mesh, bool (*condition)(void *ctx), void *ctx, qe_time duration)
{
	qe_time until = mesh->now + duration;
	while (!condition(ctx)) {
		if (mesh->now >= until)
			return false;
		qe_time next = qe_time_max(next_instant(mesh), mesh->now + QE_MILLISECOND);
		mesh_run(mesh, qe_time_min(next, until) - mesh->now);
	}
	return true;
}

/* ---- hosts ---- */

static void keep_event(void *ctx, const struct qe_event *event)
{
	static const char *const names[] = {[QE_EVENT_LINK_UP] = "link up",
		[QE_EVENT_LINK_DOWN] = "link down",
		[QE_EVENT_DIAL_FAILED] = "dial failed",
		[QE_EVENT_PEER_MOVED] = "peer moved",
		[QE_EVENT_PEER_UP] = "peer up",
		[QE_EVENT_PEER_DOWN] = "peer down",
		[QE_EVENT_PEER_SILENT] = "peer silent",
		[QE_EVENT_PEER_ANSWERS] = "peer answers",
		[QE_EVENT_PEER_RTT] = "round trip",
		[QE_EVENT_ROUTES] = "routes",
		[QE_EVENT_PONG] = "pong",
		[QE_EVENT_PING_LOST] = "ping lost",
		[QE_EVENT_STRANGER] = "stranger"};
	struct mesh_host *host = ctx;
	mesh_check(host->mesh, event->type < QE_EVENT_COUNT);
	qe_node_take_event(host->node, event, host->mesh->now);
	mesh_check(host->mesh, event->time == host->mesh->now);
	host->events[event->type]++;
	host->event_at[event->type] = event->time;
	if (event->type != QE_EVENT_ROUTES && event->type != QE_EVENT_PEER_RTT) {
		host->last = *event;
		host->last.reason = nullptr;
	}
	if (event->type == QE_EVENT_LINK_UP || event->type == QE_EVENT_PEER_MOVED) {
		mesh_check(host->mesh, host->n_seen < MESH_SEEN_MAX);
		host->seen[host->n_seen++] = (struct mesh_seen){event->peer, event->path.remote};
	}
	if (event->reason)
		snprintf(host->reason, sizeof(host->reason), "%s", event->reason);
	if (getenv("MESH_TRACE"))
		fprintf(stderr, "%12.6f host %zu: %s, peer %zd%s%s%s%s\n",
			(double)event->time / QE_SECOND, host->index, names[event->type],
			(ptrdiff_t)event->peer, event->dialled ? ", dialled" : "",
			event->rotation ? ", rotation" : "", event->reason ? ": " : "",
			event->reason ? event->reason : "");
}

static void send_datagrams(void *ctx, const struct qe_path *path, uint8_t ecn, const uint8_t *data,
	size_t len, size_t segment_size)
{
	struct mesh_host *host = ctx;
	mesh_check(host->mesh, len > 0 && len <= 65535 && segment_size > 0);
	for (size_t at = 0; at < len; at += segment_size) {
		size_t n = len - at < segment_size ? len - at : segment_size;
		mesh_transmit(host, path, ecn, (struct qe_bytes){data + at, n});
	}
}

static void write_tun(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	struct mesh_host *host = ctx;
	host->tun_written += mesh_packets_in(offload, (struct qe_bytes){data, len});
	mesh_tun_write(host, offload, data, len);
}

static void give_addresses(struct mesh_host *host)
{
	static uint16_t last; /* no address is given twice in one program */
	last++;
	uint8_t v4[4] = {10, 1, (uint8_t)(last >> 8), (uint8_t)last};
	uint8_t v6[16] = {0xfd, 1, [6] = (uint8_t)(last >> 8), [7] = (uint8_t)last, [15] = 1};
	host->at[0] = (struct qe_endpoint){.addr = qe_addr_ipv4(v4), .port = MESH_PORT};
	host->at[1] = (struct qe_endpoint){.addr = qe_addr_ipv6(v6), .port = MESH_PORT};
}

struct mesh_host *mesh_host_add_of_type(struct mesh *mesh, enum qe_key_type type)
{
	struct mesh_host *host = calloc(1, sizeof(*host));
	assert_non_null(host);
	mesh->hosts = realloc(mesh->hosts, (mesh->n_hosts + 1) * sizeof(host));
	assert_non_null(mesh->hosts);
	host->mesh = mesh;
	host->index = mesh->n_hosts++;
	mesh->hosts[host->index] = host;

	assert_int_equal(qe_key_generate(&host->key, type), QE_OK);
	host->mtu = 1400;
	host->rotate = 300 * QE_SECOND;
	host->workers = 1;
	host->tun_tail = &host->tun_head;
	host->tun_limit = 64;
	host->inbox_tail = &host->inbox;
	give_addresses(host);
	uint8_t inner4[4] = {
		100, 64, (uint8_t)(host->index >> 8), (uint8_t)(1 + host->index % 256)};
	host->inner4 = qe_addr_ipv4(inner4);
	host->inner6 = qe_node_id_overlay_addr(qe_key_get_id(host->key));
	return host;
}

struct mesh_host *mesh_host_add(struct mesh *mesh)
{
	return mesh_host_add_of_type(mesh, QE_KEY_ED25519);
}

struct mesh_peer *mesh_befriend(struct mesh_host *host, struct mesh_host *other, enum mesh_how how)
{
	host->peers = realloc(host->peers, (host->n_peers + 1) * sizeof(*host->peers));
	assert_non_null(host->peers);
	struct mesh_peer *peer = &host->peers[host->n_peers++];
	*peer = (struct mesh_peer){.host = other,
		.id = *qe_key_get_id(other->key),
		.told = how != MESH_WAITS,
		.dial = how == MESH_DIALS};
	return peer;
}

static void on_published(void *ctx)
{
	struct mesh_host *host = ctx;
	host->published++;
	host->deadline = host->mesh->now;
}

static void on_route(void *ctx, const struct qe_prefix *prefix, const struct qe_route *route)
{
	struct mesh_host *host = ctx;
	mesh_check(host->mesh, !route || qe_prefix_compare(prefix, &route->prefix) == 0);
	host->routes_changed++;
}

static void on_judged(
	void *ctx, size_t, const struct qe_prefix *, bool, uint16_t, const char *reason)
{
	struct mesh_host *host = ctx;
	if (reason)
		host->rejected++;
	else
		host->accepted++;
}

/* ---- policy ---- */

struct member {
	char name[16];
	struct qe_prefix addresses[2];
};

static struct qe_policy_member make_member(
	struct member *member, const struct mesh_host *host, uint32_t slot)
{
	snprintf(member->name, sizeof(member->name), "h%zu", host->index);
	member->addresses[0] = qe_prefix_host(&host->inner4);
	member->addresses[1] = qe_prefix_host(&host->inner6);
	return (struct qe_policy_member){.name = member->name,
		.id = *qe_key_get_id(host->key),
		.slot = slot,
		.addresses = member->addresses,
		.n_addresses = 2};
}

static enum qe_error make_policy(void *ctx, const uint32_t *slots, struct qe_policy **ret_policy)
{
	const struct mesh_host *host = ctx;
	size_t n = host->n_peers;
	struct member *members = calloc(n + 1, sizeof(*members));
	struct qe_policy_member *list = calloc(n + 1, sizeof(*list));
	assert_true(members && list);
	for (size_t i = 0; i < n; i++)
		list[i] = make_member(&members[i], host->peers[i].host, slots[i]);
	list[n] = make_member(&members[n], host, QE_POLICY_SELF);
	enum qe_error error = qe_policy_compile(ret_policy, host->policy, list, n + 1, 0, nullptr);
	free(list);
	free(members);
	return error;
}

void mesh_set_policy(struct mesh_host *host)
{
	struct qe_policy *policy = nullptr;
	uint32_t *slots = calloc(host->n_peers + 1, sizeof(*slots));
	assert_non_null(slots);
	for (size_t i = 0; i < host->n_peers; i++)
		slots[i] = (uint32_t)qe_node_find_peer(host->node, &host->peers[i].id);
	if (host->policy)
		assert_int_equal(make_policy(host, slots, &policy), QE_OK);
	assert_int_equal(qe_node_set_policy(host->node, policy, host->mesh->now), QE_OK);
	free(slots);
}

/* Makes the node, or changes it. */
static enum qe_error configure(struct mesh_host *host)
{
	struct qe_prefix local[2 + MESH_PREFIXES_MAX] = {
		qe_prefix_host(&host->inner4), qe_prefix_host(&host->inner6)};
	memcpy(&local[2], host->subnets, sizeof(host->subnets));
	struct qe_prefix(*prefixes)[1 + MESH_PREFIXES_MAX] = calloc(
		host->n_peers + 1, sizeof(*prefixes));
	struct qe_peer_settings *peers = calloc(host->n_peers + 1, sizeof(*peers));
	assert_true(prefixes && peers);
	for (size_t i = 0; i < host->n_peers; i++) {
		const struct mesh_peer *peer = &host->peers[i];
		prefixes[i][0] = qe_prefix_host(&peer->host->inner4);
		memcpy(&prefixes[i][1], peer->subnets, sizeof(peer->subnets));
		peers[i] = (struct qe_peer_settings){.id = peer->id,
			.prefixes = prefixes[i],
			.n_prefixes = 1 + peer->n_subnets,
			.gateway_prefixes = peer->gateway,
			.n_gateway_prefixes = peer->n_gateway,
			.exit = peer->exit,
			.default_gateway = peer->default_gateway,
			.dial = peer->dial};
	}
	struct qe_node_settings settings = {.key = host->key,
		.mtu = host->mtu,
		.pq = host->pq,
		.cipher = host->cipher,
		.rotate = host->rotate,
		.local = local,
		.n_local = 2 + host->n_subnets,
		.forward = host->forward,
		.n_forward = host->n_forward,
		.metric = host->metric,
		.make_policy = host->policy ? make_policy : nullptr,
		.make_policy_ctx = host,
		.sink = {host, on_published, on_route, on_judged},
		.peers = peers,
		.n_peers = host->n_peers,
		.workers = host->workers};
	enum qe_error error = host->node
				      ? qe_node_reconfigure(host->node, &settings, host->mesh->now)
				      : qe_node_new(&host->node, &settings);
	free(peers);
	free(prefixes);
	return error;
}

struct qe_prefix mesh_prefix(const char *text)
{
	struct qe_prefix prefix;
	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

void mesh_unfriend(struct mesh_host *host, const struct mesh_host *other)
{
	for (size_t i = 0; i < host->n_peers; i++)
		if (host->peers[i].host == other)
			host->peers[i--] = host->peers[--host->n_peers];
}

size_t mesh_slot(const struct mesh_host *host, const struct mesh_host *other)
{
	return qe_node_find_peer(host->node, qe_key_get_id(other->key));
}

static void tell_endpoints(struct mesh_host *host, const struct mesh_peer *peer)
{
	const struct mesh_host *other = peer->host;
	struct qe_endpoint endpoints[2];
	size_t n = 0;
	for (unsigned i = 0; i < 2; i++) {
		unsigned family = i == 0 ? QE_FAMILY_IPV6 : QE_FAMILY_IPV4;
		struct qe_endpoint at = mesh_reachable_at(other, family);
		if (host->at[i == 0].addr.family && at.addr.family)
			endpoints[n++] = at;
	}
	size_t slot = qe_node_find_peer(host->node, &peer->id);
	for (unsigned i = 0; i < host->workers; i++)
		assert_int_equal(qe_shard_set_endpoints(
					 host->shards[i], slot, endpoints, n, host->mesh->now),
			QE_OK);
}

static void tell_all_endpoints(struct mesh_host *host)
{
	for (size_t i = 0; i < host->n_peers; i++)
		if (host->peers[i].told)
			tell_endpoints(host, &host->peers[i]);
}

enum qe_error mesh_reconfigure(struct mesh_host *host)
{
	enum qe_error error = configure(host);
	if (error == QE_OK && !host->asleep)
		tell_all_endpoints(host);
	host->deadline = host->mesh->now;
	return error;
}

/* ---- books ---- */

static struct mesh_books seen_so_far(const struct mesh_host *host)
{
	return (struct mesh_books){
		host->tun_fed, host->tun_written, host->tx_datagrams, host->rx_datagrams};
}

static uint64_t sum_drops(
	const struct qe_shard_counters *counters, enum qe_drop first, enum qe_drop last)
{
	uint64_t sum = 0;
	for (enum qe_drop drop = first; drop <= last; drop++)
		sum += counters->drops[drop];
	return sum;
}

static void check_equal(
	const struct mesh_host *host, const char *what, uint64_t left, uint64_t right)
{
	mesh_check(host->mesh, left == right, "host %zu: %s: %llu, not %llu", host->index, what,
		(unsigned long long)left, (unsigned long long)right);
}

void mesh_check_books(const struct mesh_host *host)
{
	struct qe_shard_counters c = mesh_counters(host);
	struct mesh_books seen = seen_so_far(host), before = host->before;
	uint64_t out = sum_drops(&c, QE_DROP_TUN_MALFORMED, QE_DROP_CLOSED);
	uint64_t in = sum_drops(&c, QE_DROP_DATAGRAM_MALFORMED, QE_DROP_CONGESTION);
	uint64_t udp = sum_drops(&c, QE_DROP_UDP_MALFORMED, QE_DROP_NO_MEMORY);
	check_equal(host, "from the TUN, forwarded, told, or more by splitting",
		c.tun_rx_packets + c.forwarded_packets + c.icmp_tx_packets + c.split_packets,
		c.tx_packets + c.queued_packets + out);
	check_equal(host, "frames", c.rx_frames,
		c.rx_packets + c.forwarded_packets + c.joined_frames + c.waiting_frames + in);
	check_equal(host, "to the TUN", c.tun_tx_packets, c.rx_packets + c.icmp_packets);
	check_equal(host, "datagrams", c.rx_datagrams, c.link_datagrams + c.retries + udp);

	check_equal(host, "read", c.tun_rx_packets, seen.tun_rx_packets - before.tun_rx_packets);
	check_equal(host, "written", c.tun_tx_packets, seen.tun_tx_packets - before.tun_tx_packets);
	check_equal(host, "sent", c.tx_datagrams, seen.tx_datagrams - before.tx_datagrams);
	check_equal(host, "received", c.rx_datagrams, seen.rx_datagrams - before.rx_datagrams);
}

/* ---- start and end ---- */

void mesh_start(struct mesh_host *host)
{
	assert_null(host->shard);
	host->before = seen_so_far(host);
	struct qe_sink sink = {.ctx = host,
		.udp_send = send_datagrams,
		.tun_write = write_tun,
		.event = keep_event};
	assert_int_equal(configure(host), QE_OK);
	for (unsigned i = 0; i < host->workers; i++)
		assert_int_equal(qe_shard_new(&host->shards[i], host->node, (uint8_t)i, &sink,
					 host->mesh->now),
			QE_OK);
	host->shard = host->shards[0];
	tell_all_endpoints(host);
	host->deadline = host->mesh->now;
}

void mesh_kill(struct mesh_host *host)
{
	if (host->shard)
		mesh_check_books(host);
	for (unsigned i = 0; i < QE_WORKERS_MAX; i++)
		host->shards[i] = qe_shard_free(host->shards[i]);
	host->shard = nullptr;
	host->node = qe_node_free(host->node);
	mesh_tun_drain(host);
}

void mesh_close(struct mesh_host *host)
{
	for (unsigned i = 0; i < host->workers; i++)
		qe_shard_close(host->shards[i], host->mesh->now);
	mesh_kill(host);
}

void mesh_sleep(struct mesh_host *host)
{
	host->asleep = true;
}

void mesh_wake(struct mesh_host *host)
{
	host->asleep = false;
	host->deadline = host->mesh->now;
}

void mesh_move(struct mesh_host *host, bool told)
{
	bool had[2] = {host->at[0].addr.family, host->at[1].addr.family};
	give_addresses(host);
	for (unsigned i = 0; i < 2; i++)
		if (!had[i])
			host->at[i] = (struct qe_endpoint){};
	if (told) {
		for (unsigned i = 0; i < host->workers; i++)
			qe_shard_network_changed(host->shards[i], host->mesh->now);
		host->deadline = host->mesh->now;
	}
}

struct qe_peer_status mesh_status(const struct mesh_host *host, size_t peer)
{
	struct qe_peer_status status = {};
	assert_int_equal(qe_shard_peer_status(host->shard, peer, &status), QE_OK);
	return status;
}

struct qe_shard_counters mesh_counters(const struct mesh_host *host)
{
	struct qe_shard_counters sum = {}, one;
	for (unsigned i = 0; i < host->workers; i++) {
		qe_shard_get_counters(host->shards[i], &one);
		qe_shard_counters_add(&sum, &one);
	}
	return sum;
}

bool mesh_linked(const struct mesh_host *host, size_t peer)
{
	return host->shard && mesh_status(host, peer).has_link;
}

/* ---- the mesh ---- */

struct mesh *mesh_new(uint64_t seed)
{
	struct mesh *mesh = calloc(1, sizeof(*mesh));
	assert_non_null(mesh);
	const char *more = getenv("MESH_SEED");
	mesh->seed = seed + (more ? strtoull(more, nullptr, 10) : 0);
	mesh->random = mesh->seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	mesh->now = 1000 * QE_SECOND;
	mesh->batch = mesh_batch_new();
	mesh->wire = (struct mesh_wire){.delay = 10 * QE_MILLISECOND, .mtu = 1472};
	return mesh;
}

struct mesh *mesh_free(struct mesh *mesh)
{
	for (size_t i = 0; i < mesh->n_hosts; i++) {
		struct mesh_host *host = mesh->hosts[i];
		mesh_kill(host);
		mesh_inbox_clear(host);
		qe_key_free(host->key);
		free(host->peers);
		free(host);
	}
	mesh_wires_done(mesh);
	for (size_t i = 0; i < mesh->n_flows; i++)
		mesh_flow_free(mesh->flows[i]);
	free(mesh->flows);
	free(mesh->hosts);
	free(mesh->heap);
	free(mesh);
	return nullptr;
}

struct mesh_pair mesh_pair_of_types(uint64_t seed, enum mesh_how a, enum mesh_how b,
	enum qe_key_type of_a, enum qe_key_type of_b)
{
	struct mesh_pair pair = {.mesh = mesh_new(seed)};
	pair.a = mesh_host_add_of_type(pair.mesh, of_a);
	pair.b = mesh_host_add_of_type(pair.mesh, of_b);
	mesh_befriend(pair.a, pair.b, a);
	mesh_befriend(pair.b, pair.a, b);
	return pair;
}

struct mesh_pair mesh_pair_new(uint64_t seed, enum mesh_how a, enum mesh_how b)
{
	return mesh_pair_of_types(seed, a, b, QE_KEY_ED25519, QE_KEY_ED25519);
}

void mesh_pair_start(struct mesh_pair *pair)
{
	mesh_start(pair->b);
	mesh_start(pair->a);
}

static bool both_linked(void *ctx)
{
	const struct mesh_pair *pair = ctx;
	return mesh_linked(pair->a, 0) && mesh_linked(pair->b, 0);
}

bool mesh_pair_link(struct mesh_pair *pair, qe_time duration)
{
	return mesh_run_until(pair->mesh, both_linked, pair, duration);
}
