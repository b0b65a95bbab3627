/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Random packets, with all that can be between two hosts, through the gate and through a plain list
 * of flows that is searched from its begin.
 */
#include "policy_gate.h"

#define STEPS 150000
#define PLAIN_MAX 20000

enum : uint8_t { FIN = 1, SYN = 2, RST = 4, ACK = 16 };
enum { TCP = 6, UDP = 17, GRE = 47, ECHO = 1 };
enum kind { WHOLE, FIRST, LATER, ICMP_ERROR };

/* What a packet is, before it is bytes. */
struct tuple {
	unsigned version, protocol;
	uint8_t source, destination; /* last bytes of the addresses */
	unsigned source_port, destination_port;
	bool response; /* of echo, whose identifier is in both ports */
};

struct plain_packet {
	uint32_t from;
	struct tuple tuple;
	enum kind kind;
	unsigned id, offset; /* of a fragment */
	uint8_t flags;
};

struct plain_flow {
	struct tuple tuple;
	uint32_t subject;
	uint64_t generation;
	qe_time seen;
	bool gone, synchronised, established, picked_up, answered, reset, finished[2];
};

struct plain_datagram {
	struct tuple tuple;
	uint32_t from;
	unsigned id, headers;
	uint64_t generation;
	qe_time seen;
	bool gone, over; /* over: nothing more of it passes */
	struct plain_flow *flow;
};

static struct plain_flow flows[PLAIN_MAX];
static struct plain_datagram datagrams[PLAIN_MAX];
static size_t n_flows, n_datagrams;
static uint64_t booked_packets, booked_bytes, rules_seed;

/* ---- the rules: something that has no pattern, and is another under each generation ---- */

static bool rules_allow(uint32_t subject, unsigned protocol, unsigned to, unsigned port)
{
	uint64_t x = rules_seed + generation * 1000003 + subject * 31 + protocol * 7 + to * 5 +
		     port;

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return (x >> 33) % 3 == 0;
}

static bool gate_rules(const struct qe_policy_packet *packet)
{
	unsigned to = packet->destination.bytes[packet->destination.family == 4 ? 3 : 15];
	unsigned protocol = packet->protocol == 58 ? 1 : packet->protocol;

	return rules_allow(
		packet->subject, protocol, to, packet->has_ports ? packet->destination_port : 0);
}

static bool plain_rules(uint32_t subject, const struct tuple *tuple)
{
	bool ports = tuple->protocol == TCP || tuple->protocol == UDP;

	return rules_allow(
		subject, tuple->protocol, tuple->destination, ports ? tuple->destination_port : 0);
}

/* ---- the oracle ---- */

static struct tuple reverse(struct tuple tuple)
{
	struct tuple other = tuple;

	other.source = tuple.destination;
	other.destination = tuple.source;
	other.source_port = tuple.destination_port;
	other.destination_port = tuple.source_port;
	other.response = tuple.protocol == ECHO && !tuple.response;
	return other;
}

static bool same(const struct tuple *a, const struct tuple *b)
{
	return a->version == b->version && a->protocol == b->protocol && a->source == b->source &&
	       a->destination == b->destination && a->source_port == b->source_port &&
	       a->destination_port == b->destination_port && a->response == b->response;
}

static unsigned lifetime(const struct plain_flow *flow)
{
	switch (flow->tuple.protocol) {
	case UDP:
		return flow->answered ? 180 : 30;
	case ECHO:
		return 30;
	case GRE:
		return 600;
	}
	if (flow->reset)
		return 10;
	if (flow->finished[0] || flow->finished[1])
		return 120;
	if (flow->established)
		return 432000;
	if (flow->synchronised)
		return 60;
	return flow->picked_up ? 300 : 120;
}

static bool lives(qe_time seen, unsigned seconds)
{
	const uint64_t tick = UINT64_C(1) << 26;

	return now / tick - seen / tick <= seconds * QE_SECOND / tick;
}

static struct plain_flow *plain_find(const struct tuple *tuple, bool *ret_reply)
{
	struct tuple other = reverse(*tuple);

	for (size_t i = 0; i < n_flows; i++) {
		if (flows[i].gone || !lives(flows[i].seen, lifetime(&flows[i])))
			continue;
		*ret_reply = !same(&flows[i].tuple, tuple);
		if (!*ret_reply || same(&flows[i].tuple, &other))
			return &flows[i];
	}
	return nullptr;
}

static bool still_allowed(struct plain_flow *flow)
{
	if (flow->generation != generation && !plain_rules(flow->subject, &flow->tuple))
		flow->gone = true;
	flow->generation = generation;
	return !flow->gone;
}

static bool is_over(const struct plain_flow *flow)
{
	return flow->reset || (flow->finished[0] && flow->finished[1]);
}

/* What a TCP packet that is part of the flow changes. */
static void plain_tcp(struct plain_flow *flow, bool reply, uint8_t flags)
{
	bool over = is_over(flow), opening = !flow->established && !flow->picked_up &&
					     !flow->synchronised && !flow->finished[0] &&
					     !flow->finished[1];

	if (flags & RST) {
		if (!flow->reset)
			flow->seen = now;
		flow->reset = true;
		return;
	}
	if (flow->reset) {
		if (!reply && !(flags & (SYN | FIN))) {
			*flow = (struct plain_flow){.tuple = flow->tuple,
				.subject = flow->subject,
				.generation = flow->generation,
				.seen = now,
				.picked_up = true};
		}
		return;
	}
	if (over)
		return;
	flow->seen = now;
	if (flags & SYN) {
		if (flow->established || flow->finished[0] || flow->finished[1])
			return;
		if (flow->synchronised && !reply && flags & ACK)
			flow->established = true;
		else if (reply)
			flow->synchronised = true;
		else if (flow->picked_up && !(flags & ACK))
			flow->picked_up = false;
		if (flow->synchronised)
			flow->picked_up = false;
		return;
	}
	if (opening)
		return;
	if (flags & FIN)
		flow->finished[reply] = true;
	else if (flow->finished[0] || flow->finished[1])
		return;
	else if (flow->synchronised ? !reply : reply)
		flow->established = true;
}

static struct plain_flow *plain_begin(const struct plain_packet *packet)
{
	struct plain_flow flow = {.tuple = packet->tuple,
		.subject = packet->from,
		.generation = generation,
		.seen = now};
	uint8_t flags = packet->flags;

	if (packet->tuple.response)
		return nullptr;
	if (packet->tuple.protocol == TCP) {
		if (flags & RST || (flags & SYN && flags & ACK))
			return nullptr;
		flow.picked_up = !(flags & (SYN | FIN));
		flow.finished[0] = flags & FIN && !(flags & SYN);
	}
	assert_true(n_flows < PLAIN_MAX);
	flows[n_flows] = flow;
	return &flows[n_flows++];
}

static void book(const struct plain_flow *flow, size_t len)
{
	if (!flow)
		return;
	booked_packets++;
	booked_bytes += len;
}

static bool plain_flow_passes(
	const struct plain_packet *packet, struct plain_flow **ret_flow, bool *ret_reply)
{
	bool reply = false, tcp = packet->tuple.protocol == TCP;
	bool syn = tcp && packet->flags & SYN && !(packet->flags & (ACK | RST));
	struct plain_flow *flow = plain_find(&packet->tuple, &reply);
	bool mine = flow && (reply || flow->subject == packet->from);

	if (mine && !still_allowed(flow))
		mine = false;
	if (mine && syn && reply &&
		(is_over(flow) || flow->established || flow->picked_up || flow->synchronised ||
			flow->finished[0] || flow->finished[1]))
		mine = false;
	if (mine && syn && !reply && is_over(flow))
		mine = false;
	if (mine) {
		if (tcp)
			plain_tcp(flow, reply, packet->flags);
		else
			flow->seen = now;
		flow->answered |= reply;
		*ret_flow = flow;
		*ret_reply = reply;
		return true;
	}
	if (!plain_rules(packet->from, &packet->tuple))
		return false;
	if (flow && !flow->gone && reply && !is_over(flow))
		return true; /* a stray SYN */
	if (flow)
		flow->gone = true;
	*ret_flow = plain_begin(packet);
	*ret_reply = false;
	return true;
}

static struct plain_datagram *plain_datagram(const struct plain_packet *packet)
{
	for (size_t i = 0; i < n_datagrams; i++) {
		struct plain_datagram *at = &datagrams[i];

		if (!at->gone && at->id == packet->id && at->from == packet->from &&
			at->tuple.version == packet->tuple.version &&
			at->tuple.source == packet->tuple.source &&
			at->tuple.destination == packet->tuple.destination &&
			(at->tuple.version == 6 || at->tuple.protocol == packet->tuple.protocol) &&
			lives(at->seen, 30))
			return at;
	}
	return nullptr;
}

static bool plain_later(const struct plain_packet *packet, size_t len)
{
	struct plain_datagram *datagram = plain_datagram(packet);

	if (!datagram || datagram->over || datagram->generation != generation ||
		packet->offset < datagram->headers)
		return false;
	if (datagram->flow && !datagram->flow->gone &&
		lives(datagram->flow->seen, lifetime(datagram->flow)))
		book(datagram->flow, len);
	return true;
}

/* Of a first fragment, in units of 8. */
static unsigned headers_of(unsigned protocol)
{
	unsigned len = protocol == TCP ? 20 : protocol == UDP ? 8 : 0;

	return (len + 7) / 8 * 8;
}

static bool plain_passes(const struct plain_packet *packet, size_t len)
{
	struct plain_flow *flow = nullptr;
	struct plain_datagram *before = packet->kind == FIRST ? plain_datagram(packet) : nullptr;
	bool reply = false, passes;

	if (packet->kind == LATER)
		return plain_later(packet, len);
	if (packet->kind == ICMP_ERROR) {
		struct tuple error = {packet->tuple.version, ECHO, packet->tuple.destination,
			packet->tuple.source, 0, 0, false};

		flow = plain_find(&packet->tuple, &reply);
		return (flow && still_allowed(flow)) || plain_rules(packet->from, &error);
	}
	if (before && headers_of(packet->tuple.protocol) > before->headers)
		return false;
	passes = plain_flow_passes(packet, &flow, &reply);
	if (passes)
		book(flow, len);
	if (before) {
		before->gone = passes;
		before->over = true;
	}
	if (packet->kind != FIRST || !passes)
		return passes;
	assert_true(n_datagrams < PLAIN_MAX);
	datagrams[n_datagrams++] = (struct plain_datagram){.tuple = packet->tuple,
		.from = packet->from,
		.id = packet->id,
		.headers = headers_of(packet->tuple.protocol),
		.generation = generation,
		.seen = now,
		.flow = flow};
	return true;
}

/* ---- packets ---- */

static struct plain_packet random_plain(void)
{
	static const unsigned protocols[] = {TCP, TCP, TCP, UDP, GRE, ECHO};
	static const uint8_t flags[] = {SYN, SYN | ACK, ACK, ACK, ACK, FIN | ACK, RST, RST | ACK,
		FIN, SYN | FIN, SYN | RST, 0};
	bool out = random_below(2);
	struct plain_packet packet = {
		.from = out ? SELF : PEER + (random_below(8) == 0),
		.tuple =
			{
				.version = random_below(2) ? 4 : 6,
				.protocol = protocols[random_below(6)],
				.source = (uint8_t)(out ? 1 : 2),
				.destination = (uint8_t)(out ? 2 : 1),
			},
		.kind = random_below(4) ? WHOLE : (enum kind)random_below(4),
		.id = (unsigned)random_below(3),
	};

	if (packet.tuple.protocol == TCP || packet.tuple.protocol == UDP) {
		packet.tuple.source_port = (unsigned)random_below(3) + 1;
		packet.tuple.destination_port = (unsigned)random_below(3) + 1;
	} else if (packet.tuple.protocol == ECHO) {
		packet.tuple.source_port = packet.tuple.destination_port = (unsigned)random_below(
			3);
		packet.tuple.response = random_below(2);
	}
	if (packet.tuple.protocol == TCP)
		packet.flags = flags[random_below(12)];
	if (packet.kind == LATER)
		packet.offset = 8 * (1 + (unsigned)random_below(4));
	/* An error goes to who sent what it quotes. */
	if (packet.kind == ICMP_ERROR)
		packet.tuple = reverse(packet.tuple);
	return packet;
}

static struct spec to_spec(const struct plain_packet *packet)
{
	const struct tuple *tuple = &packet->tuple;
	static uint8_t payload[64];
	struct spec spec = spec_of(tuple->version, tuple->protocol, tuple->source,
		tuple->source_port, tuple->destination, tuple->destination_port);

	spec.flags = packet->flags;
	spec.payload = payload;
	spec.payload_len = 64;
	if (tuple->protocol == ECHO) {
		spec.protocol = tuple->version == 4 ? 1 : 58;
		payload[0] = (uint8_t)(tuple->version == 4 ? (tuple->response ? 0 : 8)
							   : 128 + tuple->response);
		put16(payload + 4, tuple->source_port);
	}
	return spec;
}

static size_t to_bytes(uint8_t *to, const struct plain_packet *packet)
{
	struct spec spec = to_spec(packet), error;
	uint8_t quote[200];

	switch (packet->kind) {
	case FIRST:
		return build_fragment(to, &spec, packet->id, 0, 32, true);
	case LATER:
		return build_fragment(to, &spec, packet->id, packet->offset, 16, true);
	case ICMP_ERROR:
		error = spec_of(packet->tuple.version, 0, packet->tuple.destination, 0,
			packet->tuple.source, 0);
		return build_icmp(to, &error, packet->tuple.version == 4 ? 11 : 3, 0, quote,
			build(quote, &spec));
	case WHOLE:
		break;
	}
	return build(to, &spec);
}

static void forget_the_dead(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_datagrams; i++)
		if (!datagrams[i].gone && lives(datagrams[i].seen, 30))
			datagrams[n++] = datagrams[i];
	n_datagrams = n;
}

/* ---- both ---- */

static uint64_t told_packets, told_bytes, told_flows;

static void on_flow(void *ctx, const struct qe_gate_flow *flow)
{
	(void)ctx;
	if (flow->end == QE_GATE_LIVES)
		return;
	told_flows++;
	told_packets += flow->packets[0] + flow->packets[1];
	told_bytes += flow->bytes[0] + flow->bytes[1];
}

static void sweep_all(void)
{
	struct qe_gate_sink sink = {.flow = on_flow};

	for (unsigned i = 0; i < 9; i++)
		qe_gate_sweep(gate, now, &sink);
}

static size_t count_living(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_flows; i++)
		n += !flows[i].gone && lives(flows[i].seen, lifetime(&flows[i]));
	return n;
}

static void pass_time(void)
{
	static const unsigned seconds[] = {
		1, 9, 11, 29, 31, 59, 61, 119, 121, 179, 181, 299, 301, 601};

	if (random_below(20) == 0)
		now += random_below(3 * QE_SECOND);
	if (random_below(300) == 0)
		now += seconds[random_below(14)] * QE_SECOND;
	if (random_below(3000) == 0)
		now += (random_below(2) ? 431999 : 432001) * QE_SECOND;
	if (random_below(200) == 0)
		generation++;
}

static struct qe_gate_cache *random_cache(struct qe_gate_cache *caches)
{
	size_t i = random_below(4);

	return i == 3 ? nullptr : &caches[i];
}

static void the_gate_agrees_with_a_list(void **state)
{
	struct qe_gate_cache caches[3] = {};
	uint8_t bytes[400];

	(void)state;
	gate_open(gate_rules, true);
	rules_seed = random_u64();
	for (unsigned step = 0; step < STEPS; step++) {
		struct plain_packet packet = random_plain();
		size_t len;
		bool expected;

		pass_time();
		len = to_bytes(bytes, &packet);
		cache = random_cache(caches);
		expected = plain_passes(&packet, len);
		if ((ask(packet.from, bytes, len) == QE_ACTION_ALLOW) != expected)
			fail_msg("step %u: kind %d protocol %u flags %#x should %s", step,
				(int)packet.kind, packet.tuple.protocol, packet.flags,
				expected ? "pass" : "not pass");
		if (step % 500 == 499) {
			sweep_all();
			forget_the_dead();
			assert_int_equal(counters().flows, count_living());
		}
		if (n_flows == PLAIN_MAX - 1 || n_datagrams == PLAIN_MAX - 1)
			break;
	}
	now += 432002 * QE_SECOND;
	sweep_all();
	assert_int_equal(counters().flows, 0);
	assert_int_equal(counters().evicted, 0);
	assert_int_equal(counters().lost_flows, 0);
	assert_int_equal(told_flows, n_flows);
	assert_int_equal(told_packets, booked_packets);
	assert_int_equal(told_bytes, booked_bytes);
	gate_close();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_gate_agrees_with_a_list),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
