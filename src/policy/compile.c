/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"
#include "policy/policy.h"

struct resolved {
	bool everybody, everywhere;
	uint32_t *slots;
	struct qe_prefix *prefixes;
	size_t n_slots, n_prefixes;
};

struct qe_policy {
	struct qe_policy_source rules; /* protocols, ports and action are read from copies */
	struct resolved *resolved;
};

struct compiler {
	const struct qe_policy_source *source;
	const struct qe_policy_member *members;
	size_t n_members;
	struct qe_policy *policy;
	struct resolved *to;
	bool as_object;
	size_t depth;
	const struct qe_policy_term *fault;
};

static enum qe_error add_prefix(struct resolved *to, struct qe_prefix prefix)
{
	struct qe_prefix *grown = realloc(to->prefixes, (to->n_prefixes + 1) * sizeof(*grown));

	if (grown == nullptr)
		return -ENOMEM;
	to->prefixes = grown;
	to->prefixes[to->n_prefixes++] = prefix;
	return QE_OK;
}

static enum qe_error add_member(struct compiler *compiler, const struct qe_policy_member *member)
{
	struct resolved *to = compiler->to;

	if (compiler->as_object) {
		for (size_t i = 0; i < member->n_addresses; i++)
			QE_TRY(add_prefix(to, member->addresses[i]));
		return QE_OK;
	}
	uint32_t *grown = realloc(to->slots, (to->n_slots + 1) * sizeof(*grown));
	if (grown == nullptr)
		return -ENOMEM;
	to->slots = grown;
	to->slots[to->n_slots++] = member->slot;
	return QE_OK;
}

static enum qe_error add_term(struct compiler *compiler, const struct qe_policy_term *term);

static enum qe_error add_group(struct compiler *compiler, const struct qe_policy_term *term)
{
	bool found = false;

	if (compiler->depth++ > compiler->source->n_groups) {
		compiler->fault = term;
		return QE_ERR_CONFLICT;
	}
	for (size_t i = 0; i < compiler->source->n_groups; i++) {
		const struct qe_policy_group *group = &compiler->source->groups[i];

		if (strcmp(group->name, term->name) != 0)
			continue;
		found = true;
		for (size_t k = 0; k < group->n_members; k++)
			QE_TRY(add_term(compiler, &group->members[k]));
	}
	for (size_t i = 0; i < compiler->n_members; i++) {
		const struct qe_policy_member *member = &compiler->members[i];

		for (size_t k = 0; k < member->n_groups; k++) {
			if (strcmp(member->groups[k], term->name) != 0)
				continue;
			found = true;
			QE_TRY(add_member(compiler, member));
		}
	}
	compiler->depth--;
	if (!found)
		compiler->fault = term;
	return found ? QE_OK : QE_ERR_NOT_FOUND;
}

static enum qe_error add_node(struct compiler *compiler, const struct qe_policy_term *term)
{
	const struct qe_policy_member *found = nullptr;

	for (size_t i = 0; i < compiler->n_members; i++) {
		const struct qe_policy_member *member = &compiler->members[i];
		bool is_it = term->kind == QE_POLICY_NODE_ID
				     ? qe_node_id_equal(&member->id, &term->id)
				     : member->name && strcmp(member->name, term->name) == 0;

		if (is_it && found) {
			compiler->fault = term;
			return QE_ERR_AMBIGUOUS;
		}
		if (is_it)
			found = member;
	}
	if (found)
		return add_member(compiler, found);
	if (term->kind == QE_POLICY_NODE_ID) {
		struct qe_addr own = qe_node_id_overlay_addr(&term->id);

		return compiler->as_object ? add_prefix(compiler->to, qe_prefix_host(&own)) : QE_OK;
	}
	compiler->fault = term;
	return QE_ERR_NOT_FOUND;
}

static enum qe_error add_term(struct compiler *compiler, const struct qe_policy_term *term)
{
	switch (term->kind) {
	case QE_POLICY_ANY:
		if (compiler->as_object)
			compiler->to->everywhere = true;
		else
			compiler->to->everybody = true;
		return QE_OK;
	case QE_POLICY_GROUP:
		return add_group(compiler, term);
	case QE_POLICY_PREFIX:
		return add_prefix(compiler->to, term->prefix);
	case QE_POLICY_NODE:
	case QE_POLICY_NODE_ID:
		return add_node(compiler, term);
	}
	return QE_ERR_INTERNAL;
}

static enum qe_error copy(void **to, const void *from, size_t size)
{
	if (size == 0)
		return QE_OK;
	*to = malloc(size);
	if (*to == nullptr)
		return -ENOMEM;
	memcpy(*to, from, size);
	return QE_OK;
}

static enum qe_error add_rule(struct compiler *compiler, size_t i, int64_t now)
{
	const struct qe_policy_rule *rule = &compiler->source->rules[i];
	struct qe_policy_rule *own = &compiler->policy->rules.rules[i];

	*own = (struct qe_policy_rule){.action = rule->action, .log = rule->log};
	compiler->policy->rules.n_rules = i + 1;
	compiler->to = &compiler->policy->resolved[i];
	compiler->depth = 0;
	compiler->as_object = false;
	for (size_t k = 0; k < rule->n_subjects; k++)
		QE_TRY(add_term(compiler, &rule->subjects[k]));
	compiler->as_object = true;
	for (size_t k = 0; k < rule->n_objects; k++)
		QE_TRY(add_term(compiler, &rule->objects[k]));
	if (!qe_policy_schedule_holds(rule->schedule, now))
		*compiler->to = (struct resolved){
			.slots = compiler->to->slots, .prefixes = compiler->to->prefixes};
	own->n_protocols = rule->n_protocols;
	QE_TRY(copy((void **)&own->protocols, rule->protocols,
		rule->n_protocols * sizeof(*own->protocols)));
	own->n_ports = rule->n_ports;
	return copy((void **)&own->ports, rule->ports, rule->n_ports * sizeof(*own->ports));
}

enum qe_error qe_policy_compile(struct qe_policy **ret_policy,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, int64_t now, struct qe_policy_fault *ret_fault)
{
	struct compiler compiler = {.source = source, .members = members, .n_members = n_members};
	enum qe_error error = QE_OK;

	if (source->n_rules > QE_POLICY_RULES_MAX || source->n_groups > QE_POLICY_GROUPS_MAX)
		return QE_ERR_FULL;
	compiler.policy = calloc(1, sizeof(*compiler.policy));
	if (compiler.policy == nullptr)
		return -ENOMEM;
	compiler.policy->rules.rules = calloc(source->n_rules + 1, sizeof(struct qe_policy_rule));
	compiler.policy->resolved = calloc(source->n_rules + 1, sizeof(struct resolved));
	if (compiler.policy->rules.rules == nullptr || compiler.policy->resolved == nullptr)
		error = -ENOMEM;
	for (size_t i = 0; error == QE_OK && i < source->n_rules; i++) {
		error = add_rule(&compiler, i, now);
		if (error != QE_OK && compiler.fault && ret_fault)
			*ret_fault = (struct qe_policy_fault){
				QE_POLICY_NO_RULE, (uint32_t)i, compiler.fault};
	}
	if (error != QE_OK) {
		qe_policy_free(compiler.policy);
		return error;
	}
	*ret_policy = compiler.policy;
	return QE_OK;
}

struct qe_policy *qe_policy_free(struct qe_policy *policy)
{
	if (policy == nullptr)
		return nullptr;
	for (size_t i = 0; i < policy->rules.n_rules; i++) {
		free(policy->resolved[i].slots);
		free(policy->resolved[i].prefixes);
	}
	free(policy->resolved);
	qe_policy_source_done(&policy->rules);
	free(policy);
	return nullptr;
}

size_t qe_policy_memory(const struct qe_policy *policy)
{
	return sizeof(*policy) +
	       policy->rules.n_rules * (sizeof(struct qe_policy_rule) + sizeof(struct resolved));
}

static bool matches_subject(const struct resolved *to, uint32_t subject)
{
	bool found = to->everybody;

	for (size_t i = 0; i < to->n_slots; i++)
		found |= to->slots[i] == subject;
	return found;
}

static bool matches_object(const struct resolved *to, const struct qe_addr *addr)
{
	bool found = to->everywhere;

	for (size_t i = 0; i < to->n_prefixes; i++)
		found |= qe_prefix_contains(&to->prefixes[i], addr);
	return found;
}

static bool matches_protocol(
	const struct qe_policy_rule *rule, const struct qe_policy_packet *packet)
{
	uint8_t icmp = packet->destination.family == QE_FAMILY_IPV4 ? 1 : 58;
	bool found = rule->n_protocols == 0;

	for (size_t i = 0; i < rule->n_protocols; i++) {
		uint16_t wanted = rule->protocols[i];

		found |= wanted == QE_POLICY_PROTOCOL_ANY || wanted == packet->protocol ||
			 (wanted == QE_POLICY_PROTOCOL_ICMP && packet->protocol == icmp);
	}
	return found;
}

static bool matches_port(const struct qe_policy_rule *rule, const struct qe_policy_packet *packet)
{
	bool found = rule->n_ports == 0;

	for (size_t i = 0; packet->has_ports && i < rule->n_ports; i++)
		found |= packet->destination_port >= rule->ports[i].first &&
			 packet->destination_port <= rule->ports[i].last;
	return found;
}

void qe_policy_evaluate(const struct qe_policy *policy, const struct qe_policy_packet *packet,
	struct qe_policy_result *ret_result)
{
	*ret_result = (struct qe_policy_result){
		.action = QE_ACTION_DENY, .rule = QE_POLICY_NO_RULE};
	for (size_t i = 0; i < policy->rules.n_rules; i++) {
		const struct qe_policy_rule *rule = &policy->rules.rules[i];

		if (matches_subject(&policy->resolved[i], packet->subject) &&
			matches_object(&policy->resolved[i], &packet->destination) &&
			matches_protocol(rule, packet) && matches_port(rule, packet)) {
			*ret_result = (struct qe_policy_result){
				rule->action, rule->log, (uint32_t)i};
			return;
		}
	}
}
