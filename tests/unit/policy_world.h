/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Random policies, members and packets, and what a policy means, spelled out: rule by rule, member
 * by member, with nothing shared with the compiler. Addresses, ports and names are few, so that
 * rules overlap, shadow each other, and match.
 */
#pragma once

#include <string.h>

#include "crypto/node_id.h"
#include "policy/policy.h"
#include "random.h"

#define WORLD_MEMBERS 24
#define WORLD_GROUPS 8 /* of the policy; as many more are known from members alone */
#define WORLD_ADDRESSES 4
#define WORLD_NOW INT64_C(1774599600) /* a Friday, 8:20 UTC */

struct world {
	struct qe_policy_source source;
	struct qe_policy_member members[WORLD_MEMBERS];
	size_t n_members;
	char names[WORLD_MEMBERS][8];
	struct qe_prefix addresses[WORLD_MEMBERS][WORLD_ADDRESSES];
	const char *groups[WORLD_MEMBERS][3];
};

static const char *const world_groups[2 * WORLD_GROUPS] = {"g0", "g1", "g2", "g3", "g4", "g5", "g6",
	"g7", "m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7"};

/* ---- parts ---- */

/* 10.x.y.z or 2001:db8::x:y:z of few values; now and then anything else of the family. */
static inline struct qe_addr world_addr(bool ipv4)
{
	struct qe_addr addr = {.family = ipv4 ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6};
	static const uint8_t documentation[4] = {0x20, 0x01, 0x0d, 0xb8};
	size_t last = ipv4 ? 3 : 15;

	if (random_below(40) == 0) {
		random_fill(addr.bytes, last + 1);
		return addr;
	}
	if (ipv4)
		addr.bytes[0] = 10;
	else
		memcpy(addr.bytes, documentation, sizeof(documentation));
	for (size_t i = last - 2; i <= last; i++)
		addr.bytes[i] = (uint8_t)(random_below(4) * (random_below(2) ? 1 : 64));
	return addr;
}

static inline struct qe_prefix world_prefix(bool ipv4)
{
	static const uint8_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 28, 30, 31, 32};
	size_t n = sizeof(lengths);
	uint8_t length = lengths[random_below(n)];
	struct qe_prefix prefix = {.addr = world_addr(ipv4), .length = length};

	if (!ipv4)
		prefix.length = random_below(20) == 0 ? length : (uint8_t)(length + 96);
	qe_prefix_mask(&prefix);
	return prefix;
}

static inline struct qe_policy_term world_node(const struct world *world)
{
	size_t i = random_below(world->n_members);
	struct qe_policy_term term = {.kind = QE_POLICY_NODE_ID, .id = world->members[i].id};

	if (random_below(10) == 0)
		random_fill(&term.id, sizeof(term.id));
	if (world->members[i].name && random_below(2) == 0) {
		term.kind = QE_POLICY_NODE;
		term.name = strdup(world->members[i].name);
	}
	return term;
}

/* first: the least of the policy's groups that may be named; so that none is around itself. */
static inline struct qe_policy_term world_group(size_t first)
{
	return (struct qe_policy_term){.kind = QE_POLICY_GROUP,
		.name = strdup(world_groups[first + random_below(2 * WORLD_GROUPS - first)])};
}

static inline struct qe_policy_term world_term(const struct world *world, bool object)
{
	switch (random_below(object ? 8 : 5)) {
	case 0:
		return (struct qe_policy_term){.kind = QE_POLICY_ANY};
	case 1:
	case 2:
		return world_group(0);
	case 3:
	case 4:
		return world_node(world);
	}
	return (struct qe_policy_term){
		.kind = QE_POLICY_PREFIX, .prefix = world_prefix(random_below(2))};
}

static inline struct qe_policy_ports world_ports(void)
{
	static const uint16_t known[] = {0, 1, 22, 53, 80, 443, 1024, 8080, 32768, 65534, 65535};
	uint16_t a = known[random_below(sizeof(known) / sizeof(known[0]))];
	uint16_t b = known[random_below(sizeof(known) / sizeof(known[0]))];

	if (random_below(2) == 0)
		b = a;
	return (struct qe_policy_ports){a < b ? a : b, a < b ? b : a};
}

static inline uint16_t world_protocol(bool in_rule)
{
	static const uint16_t known[] = {
		QE_POLICY_PROTOCOL_ANY, QE_POLICY_PROTOCOL_ICMP, 6, 17, 6, 17, 1, 58, 47, 132};
	size_t from = in_rule ? 0 : 2;

	if (random_below(20) == 0)
		return (uint16_t)random_below(256);
	return known[from + random_below(sizeof(known) / sizeof(known[0]) - from)];
}

/* ---- a world ---- */

static inline void world_add_member(struct world *world)
{
	size_t i = world->n_members++;
	struct qe_policy_member *member = &world->members[i];

	random_fill(&member->id, sizeof(member->id));
	member->slot = i == 0 ? QE_POLICY_SELF : (uint32_t)(i * i);
	if (random_below(8) != 0) {
		snprintf(world->names[i], sizeof(world->names[i]), "n%zu", i);
		member->name = world->names[i];
	}
	/* The last three bytes are the member's own; the rest may fall into others' prefixes. */
	for (size_t k = 0; k < random_below(WORLD_ADDRESSES + 1); k++) {
		struct qe_addr addr = world_addr(k % 2);
		size_t last = addr.family == QE_FAMILY_IPV4 ? 3 : 15;

		addr.bytes[last - 1] = (uint8_t)k;
		addr.bytes[last] = (uint8_t)(i * 3);
		world->addresses[i][k] = qe_prefix_host(&addr);
		member->n_addresses++;
	}
	member->addresses = world->addresses[i];
	for (size_t k = 0; k < random_below(4); k++)
		world->groups[i][member->n_groups++] = world_groups[random_below(2 * WORLD_GROUPS)];
	member->groups = world->groups[i];
}

/* So that each group is known, whatever rules name. */
static inline void world_know_all_groups(struct world *world)
{
	for (size_t i = WORLD_GROUPS; i < 2 * WORLD_GROUPS; i++) {
		struct qe_policy_member *member = &world->members[i % world->n_members];

		if (member->n_groups == 3)
			member->n_groups = 2;
		world->groups[i % world->n_members][member->n_groups++] = world_groups[i];
	}
}

static inline struct qe_policy_rule world_rule(const struct world *world)
{
	struct qe_policy_rule rule = {
		.action = random_below(2) ? QE_ACTION_ALLOW : QE_ACTION_DENY,
		.log = random_below(2),
		.n_subjects = 1 + random_below(3),
		.n_objects = 1 + random_below(3),
		.n_protocols = random_below(3),
		.n_ports = random_below(2) * random_below(4),
	};

	rule.subjects = calloc(rule.n_subjects, sizeof(*rule.subjects));
	rule.objects = calloc(rule.n_objects, sizeof(*rule.objects));
	rule.protocols = calloc(rule.n_protocols + 1, sizeof(*rule.protocols));
	rule.ports = calloc(rule.n_ports + 1, sizeof(*rule.ports));
	for (size_t i = 0; i < rule.n_subjects; i++)
		rule.subjects[i] = world_term(world, false);
	for (size_t i = 0; i < rule.n_objects; i++)
		rule.objects[i] = world_term(world, true);
	for (size_t i = 0; i < rule.n_protocols; i++)
		rule.protocols[i] = world_protocol(true);
	for (size_t i = 0; i < rule.n_ports; i++)
		rule.ports[i] = world_ports();
	if (random_below(8) == 0) {
		rule.schedule = calloc(1, sizeof(*rule.schedule));
		rule.schedule->days = (uint8_t)random_below(128);
		rule.schedule->until = (uint16_t)(24 * 60);
	}
	return rule;
}

static inline void world_init(struct world *world, size_t n_rules)
{
	struct qe_policy_source *source = &world->source;

	*world = (struct world){};
	for (size_t n = WORLD_GROUPS + random_below(WORLD_MEMBERS - WORLD_GROUPS + 1); n > 0; n--)
		world_add_member(world);
	world_know_all_groups(world);
	source->groups = calloc(WORLD_GROUPS, sizeof(*source->groups));
	source->n_groups = WORLD_GROUPS;
	for (size_t i = 0; i < WORLD_GROUPS; i++) {
		struct qe_policy_group *group = &source->groups[i];

		group->name = strdup(world_groups[i]);
		group->n_members = random_below(4);
		group->members = calloc(group->n_members + 1, sizeof(*group->members));
		for (size_t k = 0; k < group->n_members; k++)
			group->members[k] = random_below(3) ? world_node(world)
							    : world_group(i + 1);
	}
	source->rules = calloc(n_rules + 1, sizeof(*source->rules));
	source->n_rules = n_rules;
	for (size_t i = 0; i < n_rules; i++)
		source->rules[i] = world_rule(world);
}

static inline void world_done(struct world *world)
{
	qe_policy_source_done(&world->source);
}

static inline struct qe_policy *world_compile(const struct world *world)
{
	struct qe_policy *policy;

	assert_int_equal(qe_policy_compile(&policy, &world->source, world->members,
				 world->n_members, WORLD_NOW, nullptr),
		QE_OK);
	return policy;
}

/* An address of a member or any other; at times the member's next neighbour. */
static inline struct qe_addr world_destination(const struct world *world, bool ipv4)
{
	const struct qe_policy_member *member = &world->members[random_below(world->n_members)];
	struct qe_addr addr = world_addr(ipv4);

	if (member->n_addresses > 0 && random_below(2) == 0) {
		const struct qe_addr *own =
			&member->addresses[random_below(member->n_addresses)].addr;

		if ((own->family == QE_FAMILY_IPV4) == ipv4)
			addr = *own;
	}
	addr.bytes[ipv4 ? 3 : 15] ^= random_below(8) == 0;
	return addr;
}

static inline struct qe_policy_packet world_packet(const struct world *world)
{
	bool ipv4 = random_below(2);
	struct qe_policy_packet packet = {
		.subject = world->members[random_below(world->n_members)].slot,
		.source = world_addr(ipv4),
		.destination = world_destination(world, ipv4),
		.protocol = (uint8_t)world_protocol(false),
	};

	if (random_below(20) == 0)
		packet.subject = (uint32_t)random_u64();
	packet.has_ports = (packet.protocol == 6 || packet.protocol == 17) && random_below(8) != 0;
	if (packet.has_ports) {
		struct qe_policy_ports near = world_ports();

		packet.source_port = (uint16_t)random_u64();
		packet.destination_port = (uint16_t)(near.first + random_below(3) - 1);
	}
	return packet;
}

/* ---- what a policy means ---- */

static inline bool world_is_in(
	const struct world *world, const char *group, const struct qe_node_id *id);

static inline const struct qe_policy_member *world_member(
	const struct world *world, const struct qe_node_id *id)
{
	for (size_t i = 0; i < world->n_members; i++)
		if (memcmp(&world->members[i].id, id, sizeof(*id)) == 0)
			return &world->members[i];
	return nullptr;
}

/* Whether a term that is no prefix means the node with this id, a member or not. */
static inline bool world_means(
	const struct world *world, const struct qe_policy_term *term, const struct qe_node_id *id)
{
	const struct qe_policy_member *member = world_member(world, id);

	switch (term->kind) {
	case QE_POLICY_NODE:
		return member && member->name && strcmp(member->name, term->name) == 0;
	case QE_POLICY_NODE_ID:
		return memcmp(&term->id, id, sizeof(*id)) == 0;
	case QE_POLICY_GROUP:
		return world_is_in(world, term->name, id);
	case QE_POLICY_ANY:
	case QE_POLICY_PREFIX:
		break;
	}
	return false;
}

static inline bool world_is_in(
	const struct world *world, const char *group, const struct qe_node_id *id)
{
	const struct qe_policy_member *member = world_member(world, id);
	bool found = false;

	for (size_t i = 0; member && i < member->n_groups; i++)
		found |= strcmp(member->groups[i], group) == 0;
	for (size_t i = 0; i < world->source.n_groups; i++) {
		const struct qe_policy_group *one = &world->source.groups[i];

		for (size_t k = 0; strcmp(one->name, group) == 0 && k < one->n_members; k++)
			found |= world_means(world, &one->members[k], id);
	}
	return found;
}

static inline bool world_matches_subject(
	const struct world *world, const struct qe_policy_rule *rule, uint32_t subject)
{
	bool found = false;

	for (size_t i = 0; i < rule->n_subjects; i++) {
		found |= rule->subjects[i].kind == QE_POLICY_ANY;
		for (size_t k = 0; k < world->n_members; k++)
			found |= world->members[k].slot == subject &&
				 world_means(world, &rule->subjects[i], &world->members[k].id);
	}
	return found;
}

static inline bool world_owns(
	const struct world *world, const struct qe_policy_term *term, const struct qe_addr *addr)
{
	bool found = false;

	for (size_t i = 0; i < world->n_members; i++)
		for (size_t k = 0; k < world->members[i].n_addresses; k++)
			found |= qe_prefix_contains(&world->members[i].addresses[k], addr) &&
				 world_means(world, term, &world->members[i].id);
	return found;
}

static inline bool world_owns_as_stranger(
	const struct world *world, const struct qe_policy_term *term, const struct qe_addr *addr)
{
	struct qe_addr own = qe_node_id_overlay_addr(&term->id);
	bool found = term->kind == QE_POLICY_NODE_ID && !world_member(world, &term->id) &&
		     qe_addr_equal(&own, addr);

	for (size_t i = 0; term->kind == QE_POLICY_GROUP && i < world->source.n_groups; i++) {
		const struct qe_policy_group *group = &world->source.groups[i];

		for (size_t k = 0; strcmp(group->name, term->name) == 0 && k < group->n_members;
			k++)
			found |= world_owns_as_stranger(world, &group->members[k], addr);
	}
	return found;
}

static inline bool world_matches_object(
	const struct world *world, const struct qe_policy_rule *rule, const struct qe_addr *addr)
{
	bool found = false;

	for (size_t i = 0; i < rule->n_objects; i++) {
		const struct qe_policy_term *term = &rule->objects[i];

		found |= term->kind == QE_POLICY_ANY || world_owns(world, term, addr) ||
			 world_owns_as_stranger(world, term, addr) ||
			 (term->kind == QE_POLICY_PREFIX &&
				 qe_prefix_contains(&term->prefix, addr));
	}
	return found;
}

static inline bool world_matches_service(
	const struct qe_policy_rule *rule, const struct qe_policy_packet *packet)
{
	uint8_t icmp = packet->destination.family == QE_FAMILY_IPV4 ? 1 : 58;
	bool protocol = rule->n_protocols == 0, port = rule->n_ports == 0;

	for (size_t i = 0; i < rule->n_protocols; i++)
		protocol |= rule->protocols[i] == QE_POLICY_PROTOCOL_ANY ||
			    rule->protocols[i] == packet->protocol ||
			    (rule->protocols[i] == QE_POLICY_PROTOCOL_ICMP &&
				    packet->protocol == icmp);
	for (size_t i = 0; packet->has_ports && i < rule->n_ports; i++)
		port |= packet->destination_port >= rule->ports[i].first &&
			packet->destination_port <= rule->ports[i].last;
	return protocol && port;
}

static inline struct qe_policy_result world_evaluate(
	const struct world *world, const struct qe_policy_packet *packet)
{
	for (size_t i = 0; i < world->source.n_rules; i++) {
		const struct qe_policy_rule *rule = &world->source.rules[i];

		if (qe_policy_schedule_holds(rule->schedule, WORLD_NOW) &&
			world_matches_service(rule, packet) &&
			world_matches_subject(world, rule, packet->subject) &&
			world_matches_object(world, rule, &packet->destination))
			return (struct qe_policy_result){rule->action, rule->log, (uint32_t)i};
	}
	return (struct qe_policy_result){.action = QE_ACTION_DENY, .rule = QE_POLICY_NO_RULE};
}
