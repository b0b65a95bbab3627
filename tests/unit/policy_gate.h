/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A gate, packets to ask it about, and rules that are a function of the test's. The real ones have
 * tests of their own.
 */
#pragma once

#include "net_packets.h"
#include "policy/gate.h"

struct qe_policy {
	bool (*allows)(const struct qe_policy_packet *packet);
	bool log;
};

static _Atomic(uint64_t) evaluations;

void qe_policy_evaluate(const struct qe_policy *policy, const struct qe_policy_packet *packet,
	struct qe_policy_result *ret_result)
{
	bool allowed = policy->allows(packet);

	evaluations++;
	*ret_result = (struct qe_policy_result){
		.action = allowed ? QE_ACTION_ALLOW : QE_ACTION_DENY,
		.log = policy->log,
		.rule = allowed ? packet->destination_port : QE_POLICY_NO_RULE,
	};
}

/* Two nodes, and the addresses of each: 10.0.0.N or fd00::N. */
#define SELF QE_POLICY_SELF
#define PEER 7u

static struct qe_gate *gate;
static struct qe_gate_cache *cache;
static struct qe_policy policy;
static uint64_t generation;
static qe_time now;
static struct qe_policy_result result;

static inline void gate_open(bool (*allows)(const struct qe_policy_packet *packet), bool account)
{
	struct qe_gate_settings settings = {QE_GATE_FLOWS, account, random_u64()};

	policy = (struct qe_policy){.allows = allows};
	generation = 1;
	now = 1000 * QE_SECOND;
	cache = nullptr;
	gate = nullptr;
	assert_int_equal(qe_gate_new(&gate, &settings), QE_OK);
}

static inline void gate_close(void)
{
	gate = qe_gate_free(gate);
	assert_null(gate);
}

static inline enum qe_action ask(uint32_t from, const uint8_t *bytes, size_t len)
{
	struct qe_packet packet;
	struct qe_gate_packet asked = {
		.packet = &packet,
		.bytes = {bytes, len},
		.from = from,
		.to = from == SELF ? PEER : SELF,
		.packets = 1,
	};

	assert_int_equal(qe_packet_parse(&packet, asked.bytes), QE_OK);
	return qe_gate_check(gate, cache, &policy, generation, &asked, now, &result);
}

static inline struct spec spec_of(unsigned version, unsigned protocol, uint8_t from, unsigned port,
	uint8_t to, unsigned to_port)
{
	struct spec spec = {
		.version = version,
		.protocol = protocol,
		.source_port = port,
		.destination_port = to_port,
		.hop_limit = 64,
		.flags = 0x10,
		.checksum = CHECKSUM_COMPLETE,
	};

	memcpy(spec.source,
		version == 4 ? (uint8_t[16]){10, [3] = from} : (uint8_t[16]){0xfd, [15] = from},
		16);
	memcpy(spec.destination,
		version == 4 ? (uint8_t[16]){10, [3] = to} : (uint8_t[16]){0xfd, [15] = to}, 16);
	return spec;
}

static inline bool passes(uint32_t from, const struct spec *spec)
{
	static _Thread_local uint8_t bytes[PACKET_MAX];

	return ask(from, bytes, build(bytes, spec)) == QE_ACTION_ALLOW;
}

/* This node is 1, the peer is 2. */
static inline bool self_sends(unsigned protocol, unsigned port, unsigned to_port, uint8_t flags)
{
	struct spec spec = spec_of(4, protocol, 1, port, 2, to_port);

	spec.flags = flags;
	return passes(SELF, &spec);
}

static inline bool peer_sends(unsigned protocol, unsigned port, unsigned to_port, uint8_t flags)
{
	struct spec spec = spec_of(4, protocol, 2, port, 1, to_port);

	spec.flags = flags;
	return passes(PEER, &spec);
}

/* An ICMP message with the type, identifier and quote given. */
static inline size_t build_icmp(uint8_t *to, const struct spec *like, unsigned type, unsigned id,
	const uint8_t *quote, size_t quote_len)
{
	static _Thread_local uint8_t payload[PACKET_MAX];
	struct spec spec = *like;

	spec.protocol = like->version == 4 ? 1 : 58;
	memset(payload, 0, 8);
	payload[0] = (uint8_t)type;
	put16(payload + 4, id);
	if (quote_len > 0)
		memcpy(payload + 8, quote, quote_len);
	spec.payload = payload;
	spec.payload_len = 8 + quote_len;
	return build(to, &spec);
}

static inline bool icmp_passes(uint32_t from, unsigned version, unsigned type, unsigned id)
{
	struct spec spec = spec_of(version, 0, from == SELF ? 1 : 2, 0, from == SELF ? 2 : 1, 0);
	uint8_t bytes[100];

	return ask(from, bytes, build_icmp(bytes, &spec, type, id, nullptr, 0)) == QE_ACTION_ALLOW;
}

/* A piece of what spec says: offset and len in bytes of what stands behind the IP header. */
static inline size_t build_fragment(
	uint8_t *to, const struct spec *spec, uint32_t id, size_t offset, size_t len, bool more)
{
	static _Thread_local uint8_t whole[PACKET_MAX];
	size_t header = spec->version == 4 ? 20 : 40;

	build(whole, spec);
	memcpy(to, whole, header);
	if (spec->version == 4) {
		put16(to + 2, (unsigned)(header + len));
		put16(to + 4, id);
		put16(to + 6, (unsigned)(offset / 8) | (more ? 0x2000 : 0));
		memcpy(to + header, whole + header + offset, len);
		return header + len;
	}
	put16(to + 4, (unsigned)(8 + len));
	to[6] = 44;
	to[40] = whole[6];
	to[41] = 0;
	put16(to + 42, (unsigned)offset | more);
	put32(to + 44, id);
	memcpy(to + 48, whole + header + offset, len);
	return header + 8 + len;
}

static inline struct qe_gate_counters counters(void)
{
	struct qe_gate_counters counted;

	qe_gate_get_counters(gate, &counted);
	return counted;
}
