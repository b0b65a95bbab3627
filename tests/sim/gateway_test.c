/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packets from one peer to another by way of a third, and what decides about that way.
 *
 *            a  =================  b        a and b own a subnet each, of IPv4 and of IPv6.
 *      10.8.1.0/24                10.8.2.0/24
 *   2001:db8:1::/48              2001:db8:2::/48
 *             \                  /
 *              ======  g  =======           g is a gateway to both subnets, and may have one behind
 *                  10.8.3.0/24              it that is nobody's own.
 *
 * d is there as well for what needs a fourth.
 */
#include "mesh.h"

#include <string.h>

#include "net/icmp.h"
#include "node/node.h"

struct world {
	struct mesh *mesh;
	struct mesh_host *a, *b, *g, *d;
};

static struct qe_addr addr(const char *text)
{
	struct qe_addr addr;
	assert_int_equal(qe_addr_parse(&addr, text), QE_OK);
	return addr;
}

static struct mesh_peer *peer_of(struct mesh_host *host, const struct mesh_host *other)
{
	for (size_t i = 0; i < host->n_peers; i++)
		if (host->peers[i].host == other)
			return &host->peers[i];
	fail();
	return nullptr;
}

static void own(struct mesh_host *host, const char *prefix)
{
	host->subnets[host->n_subnets++] = mesh_prefix(prefix);
}

static void grant(struct mesh_host *host, const struct mesh_host *other, const char *prefix)
{
	struct mesh_peer *peer = peer_of(host, other);
	peer->subnets[peer->n_subnets++] = mesh_prefix(prefix);
}

static void grant_gateway(struct mesh_host *host, const struct mesh_host *other, const char *prefix)
{
	struct mesh_peer *peer = peer_of(host, other);
	peer->gateway[peer->n_gateway++] = mesh_prefix(prefix);
}

static void forward(struct mesh_host *host, const char *prefix)
{
	host->forward[host->n_forward++] = mesh_prefix(prefix);
}

static struct world world_new(uint64_t seed)
{
	struct world w = {.mesh = mesh_new(seed)};
	w.a = mesh_host_add(w.mesh);
	w.b = mesh_host_add(w.mesh);
	w.g = mesh_host_add(w.mesh);
	w.d = mesh_host_add(w.mesh);
	mesh_befriend(w.a, w.b, MESH_DIALS);
	mesh_befriend(w.b, w.a, MESH_DIALS);
	struct mesh_host *ends[] = {w.a, w.b};
	for (size_t i = 0; i < 2; i++) {
		mesh_befriend(ends[i], w.g, MESH_DIALS);
		mesh_befriend(w.g, ends[i], MESH_KNOWS);
	}
	return w;
}

/* Each owns its subnets, and g is a gateway to both. */
static void own_subnets(struct world *w)
{
	static const char *const of_a[] = {"10.8.1.0/24", "2001:db8:1::/48"};
	static const char *const of_b[] = {"10.8.2.0/24", "2001:db8:2::/48"};
	for (size_t i = 0; i < 2; i++) {
		own(w->a, of_a[i]);
		own(w->b, of_b[i]);
		grant(w->b, w->a, of_a[i]);
		grant(w->a, w->b, of_b[i]);
		grant(w->g, w->a, of_a[i]);
		grant(w->g, w->b, of_b[i]);
		forward(w->g, of_a[i]);
		forward(w->g, of_b[i]);
		grant_gateway(w->a, w->g, of_b[i]);
		grant_gateway(w->b, w->g, of_a[i]);
	}
}

static void start(struct world *w)
{
	mesh_start(w->g);
	mesh_start(w->a);
	mesh_start(w->b);
	mesh_run(w->mesh, 5 * QE_SECOND);
}

static struct world world_started(uint64_t seed)
{
	struct world w = world_new(seed);
	own_subnets(&w);
	start(&w);
	return w;
}

/* From one subnet to another. */
static struct mesh_flow *flow(struct mesh_host *from, struct mesh_host *to, enum mesh_kind kind,
	const char *source, const char *destination)
{
	struct mesh_flow *flow = mesh_flow_start(from, to, kind, 400, 5 * QE_MILLISECOND);
	flow->inner.source = addr(source);
	flow->inner.destination = addr(destination);
	return flow;
}

static uint64_t forwarded(const struct mesh_host *host)
{
	return mesh_counters(host).forwarded_packets;
}

static void check_books(const struct world *w)
{
	for (size_t i = 0; i < w->mesh->n_hosts; i++)
		if (w->mesh->hosts[i]->shard)
			mesh_check_books(w->mesh->hosts[i]);
}

/* ---- direct, and by the gateway ---- */

static void direct_is_preferred(void **)
{
	struct world w = world_started(1);
	struct mesh_flow *flows[] = {flow(w.a, w.b, MESH_UDP4, "10.8.1.7", "10.8.2.7"),
		flow(w.b, w.a, MESH_UDP6, "2001:db8:2::7", "2001:db8:1::7")};
	mesh_run(w.mesh, 5 * QE_SECOND);
	for (size_t i = 0; i < 2; i++)
		mesh_flow_stop(flows[i]);
	mesh_run(w.mesh, QE_SECOND);
	for (size_t i = 0; i < 2; i++)
		mesh_flow_check_whole(flows[i]);
	mesh_check(w.mesh, forwarded(w.g) == 0);
	check_books(&w);
	mesh_free(w.mesh);
}

/* The direct path is cut: silent for 2 s, then all goes by the gateway; once it is whole again the
 * flows return to it, but not before it has held for 10 s. */
static void falls_back_and_returns(enum mesh_kind kind, uint64_t seed)
{
	bool v6 = kind == MESH_UDP6 || kind == MESH_TCP6;
	struct world w = world_started(seed);
	struct mesh_flow *there = v6 ? flow(w.a, w.b, kind, "2001:db8:1::7", "2001:db8:2::7")
				     : flow(w.a, w.b, kind, "10.8.1.7", "10.8.2.7");
	struct mesh_flow *back = v6 ? flow(w.b, w.a, kind, "2001:db8:2::7", "2001:db8:1::7")
				    : flow(w.b, w.a, kind, "10.8.2.7", "10.8.1.7");
	mesh_run(w.mesh, 2 * QE_SECOND);
	mesh_check(w.mesh, forwarded(w.g) == 0);
	mesh_lay(w.mesh, w.a, w.b)->cut = mesh_lay(w.mesh, w.b, w.a)->cut = true;
	there->longest_gap = back->longest_gap = 0;
	mesh_run(w.mesh, 30 * QE_SECOND);
	mesh_check(w.mesh, there->longest_gap < 3 * QE_SECOND, "%.2f s",
		(double)there->longest_gap / QE_SECOND);
	mesh_check(w.mesh, back->longest_gap < 3 * QE_SECOND);
	mesh_check(w.mesh, forwarded(w.g) > 8000);

	mesh_lay(w.mesh, w.a, w.b)->cut = mesh_lay(w.mesh, w.b, w.a)->cut = false;
	mesh_run(w.mesh, 5 * QE_SECOND);
	mesh_check(w.mesh, mesh_linked(w.a, mesh_slot(w.a, w.b)));
	uint64_t before = forwarded(w.g);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, forwarded(w.g) > before + 300, "held down");
	mesh_run(w.mesh, 10 * QE_SECOND);
	before = forwarded(w.g);
	uint64_t came = there->received;
	there->longest_gap = back->longest_gap = 0;
	mesh_run(w.mesh, 5 * QE_SECOND);
	mesh_check(w.mesh, forwarded(w.g) == before && there->received > came);
	mesh_check(w.mesh, there->longest_gap < 100 * QE_MILLISECOND);
	check_books(&w);
	mesh_free(w.mesh);
}

static void the_gateway_is_the_fallback(void **)
{
	falls_back_and_returns(MESH_UDP4, 10);
	falls_back_and_returns(MESH_UDP6, 11);
	falls_back_and_returns(MESH_TCP4, 12);
	falls_back_and_returns(MESH_TCP6, 13);
}

/* A peer that is closed in order, or killed, is known to be gone at once. */
static void a_gateway_that_is_gone(void **)
{
	struct world w = world_new(20);
	/* Both g and d are gateways to what is behind b's host. */
	grant_gateway(w.a, w.g, "10.8.3.0/24");
	forward(w.g, "10.8.3.0/24");
	mesh_befriend(w.a, w.d, MESH_DIALS);
	mesh_befriend(w.d, w.a, MESH_KNOWS);
	grant_gateway(w.a, w.d, "10.8.3.0/24");
	forward(w.d, "10.8.3.0/24");
	w.d->metric = 10;
	mesh_start(w.d);
	start(&w);
	struct mesh_flow *to_g = mesh_flow_start(w.a, w.g, MESH_UDP4, 400, 5 * QE_MILLISECOND);
	struct mesh_flow *to_d = mesh_flow_start(w.a, w.d, MESH_UDP4, 400, 5 * QE_MILLISECOND);
	to_g->inner.destination = to_d->inner.destination = addr("10.8.3.9");
	mesh_run(w.mesh, 2 * QE_SECOND);
	/* Whichever flow it is of, it goes to the one with the lower metric. */
	mesh_check(w.mesh, to_g->received > 300 && to_d->received == 0);
	mesh_close(w.g);
	uint64_t before = to_d->received;
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, to_d->received > before + 100);
	mesh_free(w.mesh);
}

/* ---- what is believed ---- */

static void announcements_need_a_grant(void **)
{
	struct world w = world_new(30);
	own(w.b, "10.8.2.0/24");
	own(w.b, "10.9.0.0/16"); /* nobody grants it */
	own(w.b, "10.8.1.0/24"); /* it is a's */
	own(w.a, "10.8.1.0/24");
	forward(w.b, "0.0.0.0/0");
	grant(w.a, w.b, "10.8.2.0/25");
	start(&w);
	mesh_check(w.mesh, w.a->rejected >= 4, "%llu", (unsigned long long)w.a->rejected);
	struct qe_shard_counters before = mesh_counters(w.a);
	static const char *const nowhere[] = {
		"10.8.2.200", "10.9.1.1", "10.8.2.7", "10.8.1.9", "192.0.2.1"};
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct mesh_flow *there = mesh_flow_start(
			w.a, w.b, MESH_UDP4, 100, 5 * QE_MILLISECOND);
		there->inner.destination = addr(nowhere[i]);
		there->limit = 10;
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(w.mesh, there->received == 0, "%s", nowhere[i]);
	}
	mesh_check(w.mesh,
		mesh_counters(w.a).drops[QE_DROP_NO_ROUTE] == before.drops[QE_DROP_NO_ROUTE] + 50);
	mesh_free(w.mesh);
}

/* More specific than the grant is fine, and what is not announced has no route. */
static void what_is_announced_counts(void **)
{
	struct world w = world_new(31);
	own(w.b, "10.8.2.0/25");
	grant(w.a, w.b, "10.8.2.0/24");
	start(&w);
	struct mesh_flow *inside = flow(w.a, w.b, MESH_UDP4, "100.64.0.1", "10.8.2.7");
	struct mesh_flow *outside = flow(w.a, w.b, MESH_UDP4, "100.64.0.1", "10.8.2.207");
	inside->inner.source = outside->inner.source = w.a->inner4;
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, inside->received > 100 && outside->received == 0);
	/* Withdrawn, and announced again. */
	const struct qe_prefix prefix = mesh_prefix("10.8.2.0/25");
	assert_int_equal(qe_node_set_withdrawn(w.b->node, &prefix, 1, w.mesh->now), QE_OK);
	w.b->deadline = w.mesh->now;
	mesh_run(w.mesh, 100 * QE_MILLISECOND);
	uint64_t before = inside->received;
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, inside->received == before);
	assert_int_equal(qe_node_set_withdrawn(w.b->node, nullptr, 0, w.mesh->now), QE_OK);
	w.b->deadline = w.mesh->now;
	mesh_run(w.mesh, 2 * QE_SECOND);
	mesh_check(w.mesh, inside->received > before);
	mesh_free(w.mesh);
}

static void sources_need_a_grant(void **)
{
	struct world w = world_started(32);
	struct {
		const char *source;
		bool passes;
	} rows[] = {
		{"10.8.1.7", true},    /* g forwards for a */
		{"10.8.2.7", false},   /* b's own */
		{"10.8.4.7", false},   /* nobody's, and g is no exit */
		{"100.64.0.3", true},  /* g's own */
		{"100.64.0.1", false}, /* a's address is no part of what g forwards for */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mesh_flow *there = mesh_flow_start(
			w.g, w.b, MESH_UDP4, 100, 5 * QE_MILLISECOND);
		there->inner.source = addr(rows[i].source);
		there->limit = 10;
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(
			w.mesh, there->received == (rows[i].passes ? 10 : 0), "%s", rows[i].source);
	}
	/* An exit may send from what nobody owns, and from nothing else. */
	peer_of(w.b, w.g)->exit = true;
	assert_int_equal(mesh_reconfigure(w.b), QE_OK);
	rows[2].passes = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mesh_flow *there = mesh_flow_start(
			w.g, w.b, MESH_UDP4, 100, 5 * QE_MILLISECOND);
		there->inner.source = addr(rows[i].source);
		there->limit = 10;
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(
			w.mesh, there->received == (rows[i].passes ? 10 : 0), "%s", rows[i].source);
	}
	mesh_free(w.mesh);
}

/* ---- a router's duties ---- */

static size_t inject(struct mesh_host *host, const char *source, const char *destination,
	uint8_t hop_limit, size_t size, bool dont_fragment)
{
	static uint8_t payload[1400], packet[1500];
	struct mesh_inner inner = {.source = addr(source),
		.destination = addr(destination),
		.protocol = QE_IP_UDP,
		.source_port = 5,
		.destination_port = 6,
		.hop_limit = hop_limit,
		.dont_fragment = dont_fragment};
	size_t len = mesh_build(packet, &inner, (struct qe_bytes){payload, size});
	mesh_check(host->mesh, mesh_inject(host, nullptr, (struct qe_bytes){packet, len}));
	return len;
}

static void only_by_the_gateway(struct world *w)
{
	mesh_lay(w->mesh, w->a, w->b)->cut = mesh_lay(w->mesh, w->b, w->a)->cut = true;
	mesh_run(w->mesh, 20 * QE_SECOND);
	mesh_inbox_clear(w->a);
	mesh_inbox_clear(w->b);
}

static void the_hop_limit_ends(void **)
{
	static const char *const ends[][2] = {
		{"10.8.1.7", "10.8.2.7"}, {"2001:db8:1::7", "2001:db8:2::7"}};
	struct world w = world_started(40);
	only_by_the_gateway(&w);
	for (size_t i = 0; i < 2; i++) {
		inject(w.a, ends[i][0], ends[i][1], 2, 100, false);
		inject(w.a, ends[i][0], ends[i][1], 1, 100, false);
		mesh_run(w.mesh, QE_SECOND);
		mesh_check(w.mesh, w.b->n_inbox == 1 && w.a->n_inbox == 1);
		struct qe_packet there, told;
		assert_int_equal(qe_packet_parse(&there,
					 (struct qe_bytes){w.b->inbox->bytes, w.b->inbox->len}),
			QE_OK);
		mesh_check(w.mesh, there.hop_limit == 1);
		assert_int_equal(qe_packet_parse(&told,
					 (struct qe_bytes){w.a->inbox->bytes, w.a->inbox->len}),
			QE_OK);
		mesh_check(w.mesh, told.protocol == (i ? QE_IP_ICMPV6 : QE_IP_ICMP));
		mesh_check(w.mesh, w.a->inbox->bytes[told.transport] == (i ? 3 : 11));
		mesh_check(w.mesh, qe_addr_equal(&told.source, i ? &w.g->inner6 : &w.g->inner4));
		mesh_inbox_clear(w.a);
		mesh_inbox_clear(w.b);
	}
	mesh_check(w.mesh, mesh_counters(w.g).drops[QE_DROP_HOP_LIMIT] == 2);
	mesh_check(w.mesh, mesh_counters(w.g).icmp_tx_packets == 2);
	check_books(&w);
	mesh_free(w.mesh);
}

/* The way from the gateway on is narrower than the way to it. */
static void what_does_not_fit_is_told(void **)
{
	struct world w = world_new(41);
	struct mesh_wire narrow = {.delay = 10 * QE_MILLISECOND, .mtu = 1300};
	own_subnets(&w);
	mesh_lay_both(w.mesh, w.g, w.b, &narrow);
	start(&w);
	only_by_the_gateway(&w);
	inject(w.a, "10.8.1.7", "10.8.2.7", 64, 1370, true);
	inject(w.a, "2001:db8:1::7", "2001:db8:2::7", 64, 1350, true);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, w.a->n_inbox == 2 && w.b->n_inbox == 0);
	mesh_check(w.mesh, mesh_counters(w.g).drops[QE_DROP_TOO_BIG] == 2);
	mesh_inbox_clear(w.a);
	inject(w.a, "10.8.1.7", "10.8.2.7", 64, 1370, false);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, w.b->n_inbox == 2, "in fragments");
	check_books(&w);
	mesh_free(w.mesh);
}

/* A default route, and who is no gateway passes nothing on. */
static void nobody_else_forwards(void **)
{
	struct world w = world_new(42);
	own_subnets(&w);
	w.g->n_forward = 0;
	peer_of(w.a, w.g)->default_gateway = true;
	peer_of(w.a, w.b)->n_subnets = 0;
	start(&w);
	inject(w.a, "10.8.1.7", "10.8.2.7", 64, 100, false);
	inject(w.a, "2001:db8:1::7", "2001:db8:2::7", 64, 100, false);
	inject(w.a, "10.8.1.7", "192.0.2.1", 64, 100, false);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, w.b->n_inbox == 0 && w.g->n_inbox == 0);
	mesh_check(w.mesh, mesh_counters(w.g).drops[QE_DROP_NOT_FORWARDED] == 2);
	mesh_check(w.mesh, mesh_counters(w.g).drops[QE_DROP_NOT_LOCAL] == 1);
	forward(w.g, "0.0.0.0/0");
	assert_int_equal(mesh_reconfigure(w.g), QE_OK);
	inject(w.a, "10.8.1.7", "192.0.2.1", 64, 100, false);
	inject(w.a, "10.8.1.7", "224.0.0.251", 64, 100, false);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, w.g->n_inbox == 1, "to the Internet");
	mesh_free(w.mesh);
}

/* Three gateways that each think that the next one knows the way, in a circle. */
static void circles_are_broken(void **)
{
	struct world w = {.mesh = mesh_new(50)};
	struct mesh_host *ring[3], *end = mesh_host_add(w.mesh);
	for (size_t i = 0; i < 3; i++)
		ring[i] = mesh_host_add(w.mesh);
	mesh_befriend(end, ring[0], MESH_DIALS);
	mesh_befriend(ring[0], end, MESH_KNOWS);
	for (size_t i = 0; i < 3; i++) {
		struct mesh_host *next = ring[(i + 1) % 3];
		mesh_befriend(ring[i], next, MESH_DIALS);
		mesh_befriend(next, ring[i], MESH_KNOWS);
	}
	for (size_t i = 0; i < 3; i++) {
		forward(ring[i], "10.99.0.0/24"); /* what makes it a gateway to the source's */
		forward(ring[i], "100.64.0.0/16");
		peer_of(ring[i], ring[(i + 1) % 3])->default_gateway = true;
		peer_of(ring[i], ring[(i + 2) % 3])->exit = true;
		grant_gateway(ring[i], ring[(i + 2) % 3], "100.64.0.0/16");
	}
	/* The one that knows the source would not take its packets from another without this. */
	struct mesh_peer *last = peer_of(ring[0], ring[2]);
	last->gateway[last->n_gateway++] = qe_prefix_host(&end->inner4);
	peer_of(end, ring[0])->default_gateway = true;
	mesh_start(end);
	for (size_t i = 0; i < 3; i++)
		mesh_start(ring[i]);
	mesh_run(w.mesh, 5 * QE_SECOND);
	uint64_t before = 0, after = 0;
	for (size_t i = 0; i < 3; i++)
		before += forwarded(ring[i]);
	struct mesh_flow *there = mesh_flow_start(end, ring[1], MESH_UDP4, 1000, QE_MILLISECOND);
	there->inner.destination = addr("203.0.113.1");
	mesh_run(w.mesh, 10 * QE_SECOND);
	mesh_flow_stop(there);
	mesh_run(w.mesh, 2 * QE_SECOND);
	for (size_t i = 0; i < 3; i++)
		after += forwarded(ring[i]);
	/* 10,000 packets, of which each would be forwarded 62 times. */
	mesh_check(w.mesh, there->received == 0);
	mesh_check(w.mesh, after - before < 10 * there->sent, "%llu of %llu",
		(unsigned long long)(after - before), (unsigned long long)there->sent);
	print_message("a circle of three: %llu packets were forwarded %llu times\n",
		(unsigned long long)there->sent, (unsigned long long)(after - before));
	uint64_t ended = 0, looped = 0;
	for (size_t i = 0; i < 3; i++) {
		ended += mesh_counters(ring[i]).drops[QE_DROP_HOP_LIMIT];
		looped += mesh_counters(ring[i]).drops[QE_DROP_LOOP];
		mesh_check_books(ring[i]);
	}
	mesh_check(w.mesh, ended > 0 && looped > 0);
	mesh_free(w.mesh);
}

/* Bursts, as super-packets make them, wait for the way on where that is slower. */
static void bursts_are_carried(void **)
{
	struct world w = world_new(60);
	struct mesh_wire slow = {
		.delay = 10 * QE_MILLISECOND, .mtu = 1472, .rate = 50'000'000, .queue = 200'000};
	own_subnets(&w);
	mesh_lay_both(w.mesh, w.g, w.b, &slow);
	start(&w);
	only_by_the_gateway(&w);
	struct mesh_flow *there = mesh_flow_start(w.a, w.b, MESH_TCP4, 1200, 20 * QE_MILLISECOND);
	there->segments = 40;
	there->inner.source = addr("10.8.1.7");
	there->inner.destination = addr("10.8.2.7");
	mesh_run(w.mesh, 10 * QE_SECOND);
	mesh_flow_stop(there);
	mesh_run(w.mesh, 2 * QE_SECOND);
	uint64_t lost = mesh_flow_lost(there);
	mesh_check(w.mesh, lost < there->sent / 100, "%llu of %llu", (unsigned long long)lost,
		(unsigned long long)there->sent);
	check_books(&w);
	mesh_free(w.mesh);
}

/* Peers of g that never start. */
static void befriend_absent(struct world *w, size_t n)
{
	grant_gateway(w->a, w->g, "10.9.0.0/16");
	forward(w->g, "10.9.0.0/16");
	for (size_t i = 0; i < n; i++) {
		struct mesh_host *absent = mesh_host_add(w->mesh);
		char prefix[32];

		snprintf(prefix, sizeof(prefix), "10.9.%zu.0/24", i);
		mesh_befriend(w->g, absent, MESH_KNOWS);
		grant(w->g, absent, prefix);
	}
}

static void send_to_absent(struct world *w, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char destination[32];

		snprintf(destination, sizeof(destination), "10.9.%zu.1", i);
		inject(w->a, "10.8.1.8", destination, 64, 100, false);
	}
}

/* Packets for peers that are not there do not take the room of those that only wait a moment. */
static void the_absent_take_little_room(void **)
{
	constexpr size_t n = 8;
	struct world w = world_new(61);
	struct mesh_wire slow = {
		.delay = 10 * QE_MILLISECOND, .mtu = 1472, .rate = 50'000'000, .queue = 200'000};
	own_subnets(&w);
	befriend_absent(&w, n);
	mesh_lay_both(w.mesh, w.g, w.b, &slow);
	start(&w);
	only_by_the_gateway(&w);
	struct mesh_flow *there = mesh_flow_start(w.a, w.b, MESH_TCP4, 1200, 20 * QE_MILLISECOND);
	there->segments = 40;
	there->inner.source = addr("10.8.1.7");
	there->inner.destination = addr("10.8.2.7");
	for (size_t i = 0; i < 200; i++) {
		send_to_absent(&w, n);
		mesh_run(w.mesh, QE_SECOND / 20);
	}
	mesh_flow_stop(there);
	mesh_run(w.mesh, 8 * QE_SECOND);
	mesh_check(w.mesh, mesh_counters(w.g).drops[QE_DROP_NO_LINK] > 0);
	uint64_t lost = mesh_flow_lost(there);
	mesh_check(w.mesh, lost < there->sent / 200, "%llu of %llu", (unsigned long long)lost,
		(unsigned long long)there->sent);
	check_books(&w);
	mesh_free(w.mesh);
}

/* Two that each take the other for the way: what comes back is not sent back again. */
static void nothing_goes_back(void **)
{
	struct world w = world_new(51);
	peer_of(w.b, w.g)->default_gateway = peer_of(w.g, w.b)->default_gateway = true;
	forward(w.g, "100.64.0.0/16");
	forward(w.b, "100.64.0.0/16");
	start(&w);
	uint64_t before = w.g->tx_bytes;
	for (size_t i = 0; i < 10; i++)
		inject(w.b, "100.64.0.2", "203.0.113.1", 64, 1000, false);
	mesh_run(w.mesh, QE_SECOND);
	mesh_check(w.mesh, mesh_counters(w.g).drops[QE_DROP_LOOP] == 10);
	mesh_check(w.mesh, forwarded(w.g) == 0 && w.g->tx_bytes - before < 2000);
	check_books(&w);
	mesh_free(w.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(direct_is_preferred),
		cmocka_unit_test(the_gateway_is_the_fallback),
		cmocka_unit_test(a_gateway_that_is_gone),
		cmocka_unit_test(announcements_need_a_grant),
		cmocka_unit_test(what_is_announced_counts),
		cmocka_unit_test(sources_need_a_grant),
		cmocka_unit_test(the_hop_limit_ends),
		cmocka_unit_test(what_does_not_fit_is_told),
		cmocka_unit_test(nobody_else_forwards),
		cmocka_unit_test(circles_are_broken),
		cmocka_unit_test(bursts_are_carried),
		cmocka_unit_test(the_absent_take_little_room),
		cmocka_unit_test(nothing_goes_back),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
