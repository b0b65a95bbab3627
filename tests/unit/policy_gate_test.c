/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The gate, case by case: what begins a flow, what belongs to it, and when it ends. */
#include "policy_gate.h"

enum : uint8_t { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

#define TCP 6
#define UDP 17
#define HOURS (3600 * QE_SECOND)

static bool self_may(const struct qe_policy_packet *packet)
{
	return packet->subject == SELF;
}

static bool nobody_may(const struct qe_policy_packet *packet)
{
	(void)packet;
	return false;
}

static bool all_may(const struct qe_policy_packet *packet)
{
	(void)packet;
	return true;
}

static void without_policy_all_passes(void **state)
{
	struct spec spec = spec_of(4, UDP, 2, 1000, 1, 53);
	struct qe_packet packet;
	uint8_t bytes[100];
	struct qe_gate_packet asked = {&packet, {bytes, build(bytes, &spec)}, PEER, SELF, 1};

	(void)state;
	gate_open(nobody_may, false);
	assert_int_equal(qe_packet_parse(&packet, asked.bytes), QE_OK);
	assert_int_equal(
		qe_gate_check(gate, nullptr, nullptr, 1, &asked, now, &result), QE_ACTION_ALLOW);
	assert_int_equal(result.rule, QE_POLICY_NO_RULE);
	assert_int_equal(counters().flows, 0);
	gate_close();
}

static void replies_pass_and_nothing_else(void **state)
{
	(void)state;
	gate_open(self_may, false);
	assert_false(peer_sends(UDP, 53, 1000, 0));
	assert_true(self_sends(UDP, 1000, 53, 0));
	assert_int_equal(result.rule, 53);
	assert_true(peer_sends(UDP, 53, 1000, 0));
	assert_int_equal(result.rule, 53);
	assert_false(peer_sends(UDP, 54, 1000, 0));
	assert_false(peer_sends(UDP, 53, 1001, 0));
	assert_false(peer_sends(UDP, 1000, 53, 0));
	assert_false(peer_sends(TCP, 53, 1000, ACK));
	assert_int_equal(counters().flows, 1);
	assert_int_equal(counters().denied, 5);
	gate_close();
}

static void udp_flows_end(void **state)
{
	(void)state;
	gate_open(self_may, false);
	assert_true(self_sends(UDP, 1000, 53, 0));
	now += 31 * QE_SECOND;
	assert_false(peer_sends(UDP, 53, 1000, 0));
	assert_true(self_sends(UDP, 1000, 53, 0));
	now += 29 * QE_SECOND;
	assert_true(peer_sends(UDP, 53, 1000, 0));
	now += 179 * QE_SECOND;
	assert_true(peer_sends(UDP, 53, 1000, 0));
	now += 181 * QE_SECOND;
	assert_false(peer_sends(UDP, 53, 1000, 0));
	gate_close();
}

static void connect_tcp(void)
{
	assert_true(self_sends(TCP, 1000, 22, SYN));
	assert_true(peer_sends(TCP, 22, 1000, SYN | ACK));
	assert_true(self_sends(TCP, 1000, 22, ACK));
}

static void tcp_connections_live_and_end(void **state)
{
	(void)state;
	gate_open(self_may, false);
	connect_tcp();
	now += 119 * HOURS;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	assert_true(self_sends(TCP, 1000, 22, FIN | ACK));
	now += 100 * QE_SECOND;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	assert_true(peer_sends(TCP, 22, 1000, FIN | ACK));
	now += 100 * QE_SECOND;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	now += 21 * QE_SECOND; /* what is closed is not prolonged */
	assert_false(peer_sends(TCP, 22, 1000, ACK));
	gate_close();
}

static void a_reset_ends_a_connection(void **state)
{
	(void)state;
	gate_open(self_may, false);
	connect_tcp();
	assert_true(peer_sends(TCP, 22, 1000, RST));
	now += 9 * QE_SECOND;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	now += 2 * QE_SECOND;
	assert_false(peer_sends(TCP, 22, 1000, ACK));
	/* One that was no good: the connection goes on. */
	connect_tcp();
	assert_true(peer_sends(TCP, 22, 1000, RST));
	assert_true(self_sends(TCP, 1000, 22, ACK));
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	now += HOURS;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	gate_close();
}

/* The peer may answer, but not begin a connection with the same ports. */
static void a_reply_is_no_syn(void **state)
{
	(void)state;
	gate_open(self_may, false);
	connect_tcp();
	assert_false(peer_sends(TCP, 22, 1000, SYN));
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	assert_true(self_sends(TCP, 1000, 22, FIN | ACK));
	assert_true(peer_sends(TCP, 22, 1000, FIN | ACK));
	assert_false(peer_sends(TCP, 22, 1000, SYN));
	/* But a simultaneous open is one. */
	assert_true(self_sends(TCP, 1001, 22, SYN));
	assert_true(peer_sends(TCP, 22, 1001, SYN));
	assert_true(self_sends(TCP, 1001, 22, SYN | ACK));
	assert_true(peer_sends(TCP, 22, 1001, SYN | ACK));
	gate_close();
}

static void ports_are_used_again(void **state)
{
	(void)state;
	gate_open(self_may, false);
	connect_tcp();
	assert_true(self_sends(TCP, 1000, 22, RST));
	connect_tcp();
	now += HOURS;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	assert_int_equal(counters().flows, 1);
	assert_int_equal(counters().created, 2);
	gate_close();
}

static void connections_are_picked_up(void **state)
{
	(void)state;
	gate_open(self_may, false);
	assert_false(peer_sends(TCP, 22, 1000, ACK));
	assert_true(self_sends(TCP, 1000, 22, ACK));
	now += 299 * QE_SECOND;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	now += 100 * HOURS;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	/* What could be no beginning makes none. */
	assert_true(self_sends(TCP, 2000, 22, RST));
	assert_true(self_sends(TCP, 2001, 22, SYN | ACK));
	assert_int_equal(counters().flows, 1);
	gate_close();
}

static void echo_has_a_direction(void **state)
{
	static const struct {
		unsigned version, request, response;
	} families[] = {{4, 8, 0}, {6, 128, 129}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		unsigned version = families[i].version;
		unsigned request = families[i].request, response = families[i].response;

		gate_open(self_may, false);
		assert_false(icmp_passes(PEER, version, response, 5));
		assert_true(icmp_passes(SELF, version, request, 5));
		assert_true(icmp_passes(PEER, version, response, 5));
		assert_false(icmp_passes(PEER, version, response, 6));
		assert_false(icmp_passes(PEER, version, request, 5));
		assert_true(icmp_passes(SELF, version, response, 7)); /* but it begins nothing */
		assert_false(icmp_passes(PEER, version, request, 7));
		assert_int_equal(counters().flows, 1);
		now += 31 * QE_SECOND;
		assert_false(icmp_passes(PEER, version, response, 5));
		gate_close();
	}
}

/* An error from the peer's side, about a packet of this node to the peer. */
static bool error_passes(unsigned version, unsigned type, const uint8_t *quote, size_t len)
{
	struct spec spec = spec_of(version, 0, 9, 0, 1, 0);
	uint8_t bytes[1000];

	return ask(PEER, bytes, build_icmp(bytes, &spec, type, 0, quote, len)) == QE_ACTION_ALLOW;
}

static void errors_about_a_flow_pass(void **state)
{
	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct spec spec = spec_of(version, UDP, 1, 1000, 2, 53);
		unsigned type = version == 4 ? 3 : 1, redirect = version == 4 ? 5 : 137;
		size_t shortest = (version == 4 ? 20 : 40) + 4;
		uint8_t quote[100], other[100];
		size_t len = build(quote, &spec);

		gate_open(self_may, false);
		assert_false(error_passes(version, type, quote, len));
		assert_true(passes(SELF, &spec));
		assert_true(error_passes(version, type, quote, len));
		assert_true(error_passes(version, type, quote, shortest));
		assert_false(error_passes(version, type, quote, shortest - 1));
		assert_false(error_passes(version, redirect, quote, len));
		spec.source_port++;
		build(other, &spec);
		assert_false(error_passes(version, type, other, len));
		/* It is told to somebody who did not send that. */
		spec = spec_of(version, UDP, 2, 53, 1, 1000);
		assert_true(passes(PEER, &spec));
		build(other, &spec);
		assert_false(error_passes(version, type, other, len));
		now += 181 * QE_SECOND;
		assert_false(error_passes(version, type, quote, len));
		gate_close();
	}
}

static void other_protocols_have_flows(void **state)
{
	(void)state;
	gate_open(self_may, false);
	assert_false(peer_sends(47, 0, 0, 0));
	assert_true(self_sends(47, 0, 0, 0));
	assert_true(peer_sends(47, 0, 0, 0));
	assert_false(peer_sends(50, 0, 0, 0));
	now += 601 * QE_SECOND;
	assert_false(peer_sends(47, 0, 0, 0));
	gate_close();
}

static void a_new_policy_judges_anew(void **state)
{
	(void)state;
	gate_open(self_may, true);
	connect_tcp();
	generation++;
	assert_true(peer_sends(TCP, 22, 1000, ACK)); /* allowed again */
	evaluations = 0;
	assert_true(peer_sends(TCP, 22, 1000, ACK));
	assert_int_equal(evaluations, 0);
	policy.allows = nobody_may;
	generation++;
	assert_false(peer_sends(TCP, 22, 1000, ACK));
	assert_int_equal(counters().flows, 0);
	/* and it stays ended */
	policy.allows = self_may;
	generation++;
	assert_false(peer_sends(TCP, 22, 1000, ACK));
	gate_close();
}

static bool peers_7_and_8_may_differ(const struct qe_policy_packet *packet)
{
	return packet->subject != 8;
}

/* The same addresses and ports from another node: its own rules count. */
static void a_flow_is_one_nodes(void **state)
{
	struct spec there = spec_of(4, UDP, 2, 1000, 1, 53);

	(void)state;
	gate_open(peers_7_and_8_may_differ, false);
	assert_true(passes(7, &there));
	assert_false(passes(8, &there));
	assert_true(passes(9, &there));
	assert_true(passes(7, &there));
	assert_int_equal(counters().flows, 1);
	assert_int_equal(counters().created, 3);
	gate_close();
}

static bool crosses(uint32_t from, uint32_t to, const uint8_t *bytes, size_t len)
{
	struct qe_packet packet;
	struct qe_gate_packet asked = {&packet, {bytes, len}, from, to, 1};

	assert_int_equal(qe_packet_parse(&packet, asked.bytes), QE_OK);
	return qe_gate_check(gate, nullptr, &policy, generation, &asked, now, &result) ==
	       QE_ACTION_ALLOW;
}

/* A host behind this node sends as if it were the peer 8, and the peer 7 would answer that one. */
static void a_borrowed_address_begins_nothing(void **state)
{
	struct spec there = spec_of(4, UDP, 8, 22, 7, 1000), back = spec_of(4, UDP, 7, 1000, 8, 22);
	uint8_t bytes[200], quote[100];
	size_t quote_len = build(quote, &there), len;

	(void)state;
	gate_open(self_may, false);
	assert_true(crosses(SELF, 7, quote, quote_len));
	assert_false(crosses(7, 8, bytes, build(bytes, &back)));
	len = build_icmp(bytes, &back, 3, 0, quote, quote_len);
	assert_false(crosses(7, 8, bytes, len));
	assert_true(crosses(7, SELF, bytes, len));
	assert_true(crosses(7, SELF, bytes, build(bytes, &back)));
	gate_close();
}

static void mapped_addresses_are_not_ipv4(void **state)
{
	struct spec plain = spec_of(4, UDP, 1, 1000, 2, 53),
		    mapped = spec_of(6, UDP, 2, 53, 1, 1000);
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	(void)state;
	gate_open(self_may, false);
	assert_true(passes(SELF, &plain));
	memcpy(mapped.source, prefix, 12);
	memcpy(mapped.source + 12, plain.destination, 4);
	memcpy(mapped.destination, prefix, 12);
	memcpy(mapped.destination + 12, plain.source, 4);
	assert_false(passes(PEER, &mapped));
	gate_close();
}

static void caches_change_nothing(void **state)
{
	struct qe_gate_cache mine = {};

	(void)state;
	gate_open(self_may, false);
	cache = &mine;
	for (unsigned i = 0; i < 3; i++) {
		assert_true(self_sends(UDP, 1000, 53, 0));
		assert_true(self_sends(UDP, 1000, 53, 0));
		assert_true(peer_sends(UDP, 53, 1000, 0));
		assert_true(peer_sends(UDP, 53, 1000, 0));
		assert_false(peer_sends(UDP, 53, 1001, 0));
	}
	now += 181 * QE_SECOND;
	assert_false(peer_sends(UDP, 53, 1000, 0));
	assert_true(self_sends(UDP, 1000, 53, 0));
	generation++;
	policy.allows = nobody_may;
	assert_false(self_sends(UDP, 1000, 53, 0));
	gate_close();
}

/* ---- fragments ---- */

static bool piece(
	uint32_t from, const struct spec *spec, uint32_t id, size_t offset, size_t len, bool more)
{
	uint8_t bytes[2000];

	return ask(from, bytes, build_fragment(bytes, spec, id, offset, len, more)) ==
	       QE_ACTION_ALLOW;
}

static void fragments_follow_their_first(void **state)
{
	static const uint8_t payload[1000];

	(void)state;
	for (unsigned version = 4; version <= 6; version += 2) {
		struct spec there = spec_of(version, UDP, 1, 1000, 2, 53);
		struct spec back = spec_of(version, UDP, 2, 54, 1, 1000);

		there.payload = back.payload = payload;
		there.payload_len = back.payload_len = sizeof(payload);
		gate_open(self_may, false);
		assert_false(piece(SELF, &there, 1, 512, 200, false)); /* before the first */
		assert_true(piece(SELF, &there, 1, 0, 512, true));
		assert_true(piece(SELF, &there, 1, 512, 200, false));
		assert_true(piece(SELF, &there, 1, 512, 200, false));
		assert_false(piece(SELF, &there, 2, 512, 200, false));
		assert_false(piece(PEER, &there, 1, 512, 200, false)); /* not its datagram */
		assert_false(piece(PEER, &back, 1, 0, 512, true));
		assert_false(piece(PEER, &back, 1, 512, 200, false));
		back.source_port = 53;
		assert_true(piece(PEER, &back, 1, 0, 512, true));
		assert_true(piece(PEER, &back, 1, 512, 200, true));
		/* One that is denied takes the place of one that was allowed. */
		back.source_port = 54;
		assert_false(piece(PEER, &back, 1, 0, 512, true));
		assert_false(piece(PEER, &back, 1, 512, 200, true));
		assert_int_equal(counters().fragments, 5);
		now += 31 * QE_SECOND;
		assert_false(piece(SELF, &there, 1, 512, 200, false));
		gate_close();
	}
}

static void fragments_cannot_hide_ports(void **state)
{
	static const uint8_t payload[1000];
	struct spec udp = spec_of(4, UDP, 1, 1000, 2, 53), tcp = spec_of(4, TCP, 1, 1000, 2, 22);

	(void)state;
	udp.payload = tcp.payload = payload;
	udp.payload_len = tcp.payload_len = sizeof(payload);
	gate_open(all_may, false);
	assert_true(piece(SELF, &udp, 1, 0, 8, true));
	assert_true(piece(SELF, &udp, 1, 8, 8, true));
	assert_false(piece(SELF, &tcp, 2, 0, 8, true)); /* RFC 1858: no flags */
	assert_false(piece(SELF, &tcp, 2, 0, 16, true));
	assert_true(piece(SELF, &tcp, 2, 0, 24, true));
	assert_false(piece(SELF, &tcp, 2, 8, 16, true)); /* over the flags */
	assert_false(piece(SELF, &tcp, 2, 16, 16, true));
	assert_true(piece(SELF, &tcp, 2, 24, 16, true));
	udp.version = 6;
	udp.n_ip_options = 8; /* behind the fragment header */
	assert_true(piece(SELF, &udp, 3, 0, 16, true));
	assert_false(piece(SELF, &udp, 3, 8, 16, true));
	assert_true(piece(SELF, &udp, 3, 16, 16, true));
	assert_false(piece(SELF, &udp, 4, 0, 8, true)); /* RFC 7112 */
	assert_int_equal(counters().fragments, 6);
	gate_close();
}

/* A first fragment in which there are others' headers: a receiver would put together once more. */
static bool nested_passes(const uint8_t (*inner)[8], size_t n)
{
	struct spec udp = spec_of(6, UDP, 1, 1000, 2, 53);
	uint8_t whole[100], bytes[100];
	size_t len = build(whole, &udp), at = 40;

	memcpy(bytes, whole, 40);
	bytes[6] = 44;
	memcpy(bytes + at, (uint8_t[8]){44, 0, 0, 1, [7] = 9}, 8);
	at += 8;
	for (size_t i = 0; i < n; i++, at += 8)
		memcpy(bytes + at, inner[i], 8);
	memcpy(bytes + at, whole + 40, len - 40);
	at += len - 40;
	put16(bytes + 4, (unsigned)(at - 40));
	return ask(SELF, bytes, at) == QE_ACTION_ALLOW;
}

static void fragments_hold_no_fragments(void **state)
{
	(void)state;
	gate_open(all_may, false);
	assert_true(nested_passes((const uint8_t[][8]){{17}}, 1)); /* RFC 6946: of one piece */
	assert_false(nested_passes((const uint8_t[][8]){{17, 0, 0, 1}}, 1));
	assert_false(nested_passes((const uint8_t[][8]){{44, 0, 0, 1}, {17}}, 2));
	assert_false(nested_passes((const uint8_t[][8]){{44}, {17, 0, 0, 1}}, 2));
	gate_close();
}

/* What lies behind short headers may be on its way when longer ones come, and lie over these. */
static void headers_do_not_grow(void **state)
{
	static const uint8_t payload[100];
	struct spec brief = spec_of(6, UDP, 1, 1000, 2, 53), longer = brief;

	(void)state;
	brief.payload = longer.payload = payload;
	brief.payload_len = longer.payload_len = sizeof(payload);
	longer.n_ip_options = 8;
	gate_open(all_may, false);
	assert_true(piece(SELF, &brief, 1, 0, 8, true));
	assert_true(piece(SELF, &brief, 1, 8, 8, true));
	assert_false(piece(SELF, &longer, 1, 0, 16, true));
	assert_true(piece(SELF, &brief, 1, 16, 8, true));
	policy.allows = nobody_may;
	generation++;
	assert_false(piece(SELF, &brief, 1, 0, 8, true)); /* ends it, but is no end of that */
	policy.allows = all_may;
	assert_false(piece(SELF, &brief, 1, 16, 8, true));
	assert_false(piece(SELF, &longer, 1, 0, 16, true));
	assert_true(piece(SELF, &brief, 1, 0, 8, true));
	now += 31 * QE_SECOND;
	assert_true(piece(SELF, &longer, 1, 0, 16, true));
	assert_true(piece(SELF, &brief, 1, 0, 8, true));
	gate_close();
}

static void fragments_have_no_replies(void **state)
{
	static const uint8_t payload[100];
	struct spec there = spec_of(6, UDP, 1, 1000, 2, 53), back = spec_of(6, UDP, 2, 53, 1, 1000);

	(void)state;
	there.payload = back.payload = payload;
	there.payload_len = back.payload_len = sizeof(payload);
	gate_open(all_may, false);
	assert_true(piece(SELF, &there, 0x10000, 0, 8, true));
	assert_false(piece(SELF, &back, 1, 8, 8, true));
	gate_close();
}

/* Who begins many datagrams has half of the memory for them at the most. */
static void a_flood_of_fragments_leaves_others(void **state)
{
	static const uint8_t payload[100];
	struct spec own = spec_of(4, UDP, 1, 1000, 2, 53), theirs = spec_of(4, UDP, 2, 0, 1, 53);

	(void)state;
	own.payload = theirs.payload = payload;
	own.payload_len = theirs.payload_len = sizeof(payload);
	gate_open(all_may, false);
	assert_true(piece(SELF, &own, 1, 0, 24, true));
	for (unsigned i = 0; i < 30000; i++) {
		theirs.source_port = 1 + i; /* a flow each */
		assert_true(piece(PEER, &theirs, i, 0, 24, true));
	}
	assert_true(piece(SELF, &own, 1, 24, 24, true));
	gate_close();
}

static void fragments_heed_a_new_policy(void **state)
{
	static const uint8_t payload[1000];
	struct spec udp = spec_of(4, UDP, 1, 1000, 2, 53);

	(void)state;
	udp.payload = payload;
	udp.payload_len = sizeof(payload);
	gate_open(all_may, false);
	assert_true(piece(SELF, &udp, 1, 0, 512, true));
	generation++;
	assert_false(piece(SELF, &udp, 1, 512, 200, true));
	gate_close();
}

/* ---- records ---- */

static struct {
	struct qe_gate_flow flows[16];
	struct qe_gate_verdict verdicts[512];
	size_t n_flows, n_verdicts;
	uint64_t denied, denied_by_7;
} told;

static void on_flow(void *ctx, const struct qe_gate_flow *flow)
{
	(void)ctx;
	told.flows[told.n_flows++ % 16] = *flow;
}

static void on_verdict(void *ctx, const struct qe_gate_verdict *verdict)
{
	(void)ctx;
	told.verdicts[told.n_verdicts++ % 512] = *verdict;
}

static void on_denied(void *ctx, uint32_t of, uint32_t rule, uint32_t peer, uint64_t packets)
{
	(void)ctx;
	assert_int_equal(of, generation);
	assert_int_equal(rule, QE_POLICY_NO_RULE);
	told.denied += packets;
	told.denied_by_7 += peer == PEER ? packets : 0;
}

static void sweep(void)
{
	struct qe_gate_sink sink = {nullptr, on_verdict, on_flow, on_denied};

	memset(&told, 0, sizeof(told));
	for (unsigned i = 0; i < 8; i++)
		qe_gate_sweep(gate, now, &sink);
}

static void flows_are_accounted_for(void **state)
{
	qe_time began, last;

	(void)state;
	gate_open(self_may, true);
	began = now;
	connect_tcp();
	now += 5 * QE_SECOND;
	last = now;
	assert_true(peer_sends(TCP, 22, 1000, RST | ACK));
	now -= 100 * QE_MILLISECOND; /* the worker was ahead of the control thread */
	sweep();
	now = last;
	assert_int_equal(told.n_flows, 1);
	assert_int_equal(told.flows[0].end, QE_GATE_LIVES);
	assert_in_range(told.flows[0].last, last - 100 * QE_MILLISECOND, last);
	assert_int_equal(told.flows[0].packet.source_port, 1000);
	assert_int_equal(told.flows[0].packets[1], 2);
	sweep();
	assert_int_equal(told.n_flows, 0);
	now += 11 * QE_SECOND;
	sweep();
	assert_int_equal(told.n_flows, 1);
	assert_int_equal(told.flows[0].end, QE_GATE_CLOSED);
	assert_int_equal(told.flows[0].packet.subject, SELF);
	assert_int_equal(told.flows[0].packet.protocol, TCP);
	assert_int_equal(told.flows[0].packet.source_port, 1000);
	assert_int_equal(told.flows[0].packet.destination_port, 22);
	assert_int_equal(told.flows[0].packet.source.bytes[3], 1);
	assert_int_equal(told.flows[0].packet.destination.bytes[3], 2);
	assert_int_equal(told.flows[0].to, PEER);
	assert_int_equal(told.flows[0].rule, 22);
	assert_int_equal(told.flows[0].generation, 1);
	assert_int_equal(told.flows[0].packets[0], 2);
	assert_int_equal(told.flows[0].packets[1], 2);
	assert_int_equal(told.flows[0].bytes[0], 80);
	assert_int_equal(told.flows[0].bytes[1], 80);
	assert_int_equal(told.flows[0].started, began);
	assert_in_range(told.flows[0].last, last - 100 * QE_MILLISECOND, last);
	assert_int_equal(counters().flows, 0);
	gate_close();
}

static void a_stop_ends_all_flows(void **state)
{
	struct qe_gate_sink sink = {.flow = on_flow};

	(void)state;
	gate_open(self_may, true);
	for (unsigned i = 0; i < 10; i++)
		assert_true(self_sends(UDP, 1000 + i, 53, 0));
	memset(&told, 0, sizeof(told));
	qe_gate_stop(gate, now, &sink);
	assert_int_equal(told.n_flows, 10);
	assert_int_equal(told.flows[9].end, QE_GATE_STOPPED);
	assert_int_equal(counters().flows, 0);
	gate_close();
}

static void fragments_are_booked_to_their_flow(void **state)
{
	static const uint8_t payload[1000];
	struct spec there = spec_of(4, UDP, 1, 1000, 2, 53), back = spec_of(4, UDP, 2, 53, 1, 1000);

	(void)state;
	there.payload = back.payload = payload;
	there.payload_len = back.payload_len = sizeof(payload);
	gate_open(self_may, true);
	assert_true(piece(SELF, &there, 1, 0, 512, true));
	assert_true(piece(SELF, &there, 1, 512, 200, false));
	assert_true(piece(PEER, &back, 1, 0, 512, true));
	assert_true(piece(PEER, &back, 1, 512, 400, false));
	now += 200 * QE_SECOND;
	sweep();
	assert_int_equal(told.n_flows, 1);
	assert_int_equal(told.flows[0].end, QE_GATE_EXPIRED);
	assert_int_equal(told.flows[0].packets[0], 2);
	assert_int_equal(told.flows[0].bytes[0], 512 + 200 + 40);
	assert_int_equal(told.flows[0].bytes[1], 512 + 400 + 40);
	gate_close();
}

static void denials_are_told_once(void **state)
{
	(void)state;
	gate_open(nobody_may, false);
	for (unsigned i = 0; i < 100; i++)
		assert_false(peer_sends(UDP, 1000, 53, 0));
	assert_false(peer_sends(UDP, 1000, 54, 0));
	assert_false(self_sends(UDP, 1000, 54, 0));
	sweep();
	assert_int_equal(told.n_verdicts, 3);
	assert_int_equal(told.verdicts[0].packet.subject, PEER);
	assert_int_equal(told.verdicts[0].packet.destination_port, 53);
	assert_int_equal(told.verdicts[0].result.action, QE_ACTION_DENY);
	assert_int_equal(told.verdicts[2].to, PEER);
	assert_int_equal(told.denied, 102);
	assert_int_equal(told.denied_by_7, 102);
	assert_false(peer_sends(UDP, 1000, 53, 0));
	sweep();
	assert_int_equal(told.n_verdicts, 0);
	assert_int_equal(told.denied, 1);
	now += 61 * QE_SECOND;
	assert_false(peer_sends(UDP, 1000, 53, 0));
	sweep();
	assert_int_equal(told.n_verdicts, 1);
	gate_close();
}

static void a_flood_of_denials_is_cut(void **state)
{
	struct spec other = spec_of(4, UDP, 9, 1000, 1, 53);

	(void)state;
	gate_open(nobody_may, false);
	for (unsigned port = 1; port <= 5000; port++)
		assert_false(peer_sends(UDP, 1000, port, 0));
	assert_false(passes(PEER + 1, &other));
	sweep();
	assert_in_range(told.n_verdicts, 2, 33);
	assert_int_equal(told.verdicts[told.n_verdicts - 1].packet.subject, PEER + 1);
	assert_int_equal(told.denied, 5001);
	assert_int_equal(counters().denied, 5001);
	gate_close();
}

static void rules_may_log(void **state)
{
	(void)state;
	gate_open(all_may, false);
	policy.log = true;
	connect_tcp();
	sweep();
	assert_int_equal(told.n_verdicts, 1);
	assert_int_equal(told.verdicts[0].result.action, QE_ACTION_ALLOW);
	assert_int_equal(told.verdicts[0].result.rule, 22);
	gate_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_policy_all_passes),
		cmocka_unit_test(replies_pass_and_nothing_else),
		cmocka_unit_test(udp_flows_end),
		cmocka_unit_test(tcp_connections_live_and_end),
		cmocka_unit_test(a_reset_ends_a_connection),
		cmocka_unit_test(a_reply_is_no_syn),
		cmocka_unit_test(ports_are_used_again),
		cmocka_unit_test(connections_are_picked_up),
		cmocka_unit_test(echo_has_a_direction),
		cmocka_unit_test(errors_about_a_flow_pass),
		cmocka_unit_test(other_protocols_have_flows),
		cmocka_unit_test(a_new_policy_judges_anew),
		cmocka_unit_test(a_flow_is_one_nodes),
		cmocka_unit_test(a_borrowed_address_begins_nothing),
		cmocka_unit_test(mapped_addresses_are_not_ipv4),
		cmocka_unit_test(caches_change_nothing),
		cmocka_unit_test(fragments_follow_their_first),
		cmocka_unit_test(fragments_cannot_hide_ports),
		cmocka_unit_test(fragments_hold_no_fragments),
		cmocka_unit_test(headers_do_not_grow),
		cmocka_unit_test(fragments_have_no_replies),
		cmocka_unit_test(a_flood_of_fragments_leaves_others),
		cmocka_unit_test(fragments_heed_a_new_policy),
		cmocka_unit_test(flows_are_accounted_for),
		cmocka_unit_test(a_stop_ends_all_flows),
		cmocka_unit_test(fragments_are_booked_to_their_flow),
		cmocka_unit_test(denials_are_told_once),
		cmocka_unit_test(a_flood_of_denials_is_cut),
		cmocka_unit_test(rules_may_log),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
