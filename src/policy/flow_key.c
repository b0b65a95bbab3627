/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/flow_key.h"

constexpr uint64_t KEY_ROLE_MASK = 3 << KEY_ROLE;
constexpr uint64_t KEY_PORTS = UINT64_C(0xffffffff00000000);

struct flow_key flow_key_make_fragments(const struct qe_addr *source,
	const struct qe_addr *destination, uint8_t protocol, uint32_t id, uint32_t subject)
{
	/* Slots have 17 bits at the most, and this node's number is unlike all of them. */
	struct flow_key key = flow_key_make(source, destination, protocol, FLOW_FRAGMENTS, 0, 0);

	key.rest |= (uint64_t)id << 32 | (subject << KEY_SUBJECT);
	return key;
}

static enum flow_role role_of(uint64_t rest)
{
	return (enum flow_role)((rest & KEY_ROLE_MASK) >> KEY_ROLE);
}

bool flow_key_is_response(const struct flow_key *key)
{
	return role_of(key->rest) == FLOW_RESPONSE;
}

static uint64_t reverse_role(uint64_t rest)
{
	enum flow_role role = role_of(rest);

	if (role == FLOW_REQUEST || role == FLOW_RESPONSE)
		return rest ^ KEY_ROLE_MASK;
	return rest;
}

struct flow_key flow_key_reverse(const struct flow_key *key)
{
	uint64_t ports = key->rest >> 32;

	return (struct flow_key){
		.source = {key->destination[0], key->destination[1]},
		.destination = {key->source[0], key->source[1]},
		.rest = (reverse_role(key->rest) & ~KEY_PORTS) |
			(ports >> 16 | (ports & 0xffff) << 16) << 32,
	};
}

static struct qe_addr load_addr(const uint64_t from[static 2], bool ipv6)
{
	struct qe_addr addr = {.family = ipv6 ? QE_FAMILY_IPV6 : QE_FAMILY_IPV4};

	memcpy(addr.bytes, from, ipv6 ? 16 : 4);
	return addr;
}

struct flow_parts flow_key_parts(const struct flow_key *key)
{
	return (struct flow_parts){
		.source = load_addr(key->source, key->rest & KEY_IPV6),
		.destination = load_addr(key->destination, key->rest & KEY_IPV6),
		.protocol = (uint8_t)key->rest,
		.source_port = (uint16_t)(key->rest >> 48),
		.destination_port = (uint16_t)(key->rest >> 32),
	};
}

static uint64_t mix(uint64_t hash, uint64_t secret)
{
	__extension__ typedef unsigned __int128 uint128;
	uint128 product = (uint128)hash * secret;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* An address and a port. The port is part of a factor: added to the address it could be made up for
 * by another address. */
static uint64_t hash_side(const uint64_t addr[static 2], uint16_t port, uint64_t seed)
{
	uint64_t secret = (seed ^ UINT64_C(0xa0761d6478bd642f)) | 1;

	return mix(mix(seed ^ addr[0], secret) ^ addr[1], secret ^ (uint64_t)port << 1);
}

uint64_t flow_key_hash(const struct flow_key *key, uint64_t seed)
{
	uint64_t sides = hash_side(key->source, (uint16_t)(key->rest >> 48), seed) +
			 hash_side(key->destination, (uint16_t)(key->rest >> 32), seed);

	return mix(sides ^ (key->rest & 0xff), seed ^ UINT64_C(0xe7037ed1a0b428db));
}
