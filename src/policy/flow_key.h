/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What flows are told apart by: addresses, protocol, ports or what stands for them; in the
 * direction of a packet. A flow has the key of its first packet, and its replies have the reverse
 * of it.
 */
#pragma once

#include "net/addr.h"

/* Whom a key is of: ICMP echo has different packets for the two directions. */
enum flow_role : uint8_t { FLOW_EITHER, FLOW_REQUEST, FLOW_RESPONSE, FLOW_FRAGMENTS };

struct flow_key {
	uint64_t source[2], destination[2];
	uint64_t rest; /* ports, role, family, protocol */
};

/* The rest: source port 16, destination port 16; of fragments, subject 21; IPv6 1, role 2, protocol
 * 8. */
enum : uint64_t { KEY_IPV6 = 1 << 10 };
constexpr unsigned KEY_ROLE = 8;
constexpr unsigned KEY_SUBJECT = 11;

static inline void flow_key_store_addr(uint64_t to[static 2], const struct qe_addr *addr)
{
	uint32_t ipv4;

	if (addr->family == QE_FAMILY_IPV4) {
		memcpy(&ipv4, addr->bytes, sizeof(ipv4));
		to[0] = ipv4;
		to[1] = 0;
	} else {
		memcpy(to, addr->bytes, 16);
	}
}

/* Both addresses are of one family. */
static inline struct flow_key flow_key_make(const struct qe_addr *source,
	const struct qe_addr *destination, uint8_t protocol, enum flow_role role,
	uint16_t source_port, uint16_t destination_port)
{
	struct flow_key key = {
		.rest = (uint64_t)source_port << 48 | (uint64_t)destination_port << 32 |
			(uint64_t)role << KEY_ROLE | protocol,
	};

	if (source->family == QE_FAMILY_IPV6)
		key.rest |= KEY_IPV6;
	flow_key_store_addr(key.source, source);
	flow_key_store_addr(key.destination, destination);
	return key;
}

/* Of the datagram that fragments belong to; protocol: 0 for IPv6. It has no reverse. */
struct flow_key flow_key_make_fragments(const struct qe_addr *source,
	const struct qe_addr *destination, uint8_t protocol, uint32_t id, uint32_t subject);
/* Of the datagram's rest of a key: a part of the subject that is enough to tell them apart. */
static inline uint32_t flow_key_subject(uint64_t rest)
{
	return (uint32_t)rest >> KEY_SUBJECT;
}

struct flow_key flow_key_reverse(const struct flow_key *key);

static inline bool flow_key_equal(const struct flow_key *a, const struct flow_key *b)
{
	return ((a->source[0] ^ b->source[0]) | (a->source[1] ^ b->source[1]) |
		       (a->destination[0] ^ b->destination[0]) |
		       (a->destination[1] ^ b->destination[1]) | (a->rest ^ b->rest)) == 0;
}

bool flow_key_is_response(const struct flow_key *key);

struct flow_parts {
	struct qe_addr source, destination;
	uint8_t protocol;
	uint16_t source_port, destination_port;
};
struct flow_parts flow_key_parts(const struct flow_key *key);
/* Both directions have the same. Who does not know the seed cannot choose keys that meet. */
uint64_t flow_key_hash(const struct flow_key *key, uint64_t seed);
