/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A policy asks four questions of a packet: who sends it, where it goes, its protocol, its port.
 * Each rule is a bit. For each question, what can be answered falls into classes, and a class is
 * the set of the rules that the answer fits (policy/rule_set.h). So a verdict is four lookups, and
 * the first bit that four sets have in common; summaries of the sets skip what they do not have in
 * common 64 words of 64 rules at a time. Its cost hardly grows with the rules, and not at all with
 * the size of groups.
 *
 * Compiling finds the classes. Groups are not spelled out rule by rule and member by member: the
 * rules that name a group are one set, and a node's class is the union of the sets of the groups it
 * is in and of what names itself. Where prefixes nest, an inner one's class has the rules of those
 * around it, too.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"
#include "net/packet.h"
#include "policy/names.h"
#include "policy/policy_internal.h"
#include "policy/rule_order.h"

/* A rule names a node (by its number) or a group (the number of nodes plus its own). */
struct mention {
	uint32_t whom, rule;
};

/* A rule names a prefix, or the rules of a class name it as a node's address. */
struct place {
	struct qe_prefix prefix;
	uint32_t rule;  /* or QE_POLICY_NO_RULE */
	uint32_t class; /* or 0 */
};

struct compiler {
	const struct qe_policy_source *source;
	const struct qe_policy_member *members;
	struct names names;
	struct qe_policy *policy;
	struct rule_bits bits; /* for whoever needs some */
	struct mention *mentions;
	size_t n_mentions;
	struct place *places;
	size_t n_places;
	uint32_t *group_classes, *node_classes; /* of the question at hand */
	bool *holds;                            /* the rules that hold now */
};

static void *new_array(size_t n, size_t size)
{
	return calloc(n + 1, size); /* never of size zero: NULL is a failure */
}

static const struct qe_policy_rule *rule_of_bit(const struct compiler *compiler, size_t bit)
{
	return &compiler->source->rules[compiler->policy->order[bit]];
}

static int compare_mentions(const void *a, const void *b)
{
	const struct mention *left = a, *right = b;

	return (left->whom > right->whom) - (left->whom < right->whom);
}

static int compare_places(const void *a, const void *b)
{
	const struct place *left = a, *right = b;

	return qe_prefix_compare(&left->prefix, &right->prefix);
}

/* ---- subjects, and nodes and groups as objects ---- */

static void add_mentions(struct compiler *compiler, enum question question, uint32_t rule,
	const struct qe_policy_term *terms, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct mention *mention = &compiler->mentions[compiler->n_mentions];

		switch (terms[i].kind) {
		case QE_POLICY_ANY:
			rule_bits_add(&compiler->policy->dimensions[question].any, rule);
			break;
		case QE_POLICY_PREFIX:
			assert(question == QUESTION_OBJECT);
			compiler->places[compiler->n_places++] = (struct place){
				.prefix = terms[i].prefix, .rule = rule};
			break;
		case QE_POLICY_GROUP:
		case QE_POLICY_NODE:
		case QE_POLICY_NODE_ID:
			*mention = (struct mention){names_index(&compiler->names, &terms[i]), rule};
			if (terms[i].kind == QE_POLICY_GROUP)
				mention->whom += (uint32_t)compiler->names.n_nodes;
			compiler->n_mentions++;
			break;
		}
	}
}

static void sort_mentions(struct compiler *compiler)
{
	qsort(compiler->mentions, compiler->n_mentions, sizeof(*compiler->mentions),
		compare_mentions);
}

/* The rules of all mentions of one node or group, which stand together from *at on. */
static void unite_mentions(struct compiler *compiler, size_t *at, uint32_t whom)
{
	for (; *at < compiler->n_mentions && compiler->mentions[*at].whom == whom; ++*at)
		rule_bits_add(&compiler->bits, compiler->mentions[*at].rule);
}

static enum qe_error find_group_classes(struct compiler *compiler, struct dimension *dimension)
{
	size_t at = 0;

	while (at < compiler->n_mentions && compiler->mentions[at].whom < compiler->names.n_nodes)
		at++;
	for (size_t i = 0; i < compiler->names.n_groups; i++) {
		rule_bits_clear(&compiler->bits);
		unite_mentions(compiler, &at, (uint32_t)(compiler->names.n_nodes + i));
		QE_TRY(dimension_class(dimension, &compiler->bits, &compiler->group_classes[i]));
	}
	return QE_OK;
}

/* Class by node: what names it, and what names the groups it is in. */
static enum qe_error find_node_classes(struct compiler *compiler, enum question question)
{
	struct dimension *dimension = &compiler->policy->dimensions[question];
	size_t at = 0;

	sort_mentions(compiler);
	QE_TRY(find_group_classes(compiler, dimension));
	for (size_t i = 0; i < compiler->names.n_nodes; i++) {
		size_t n_groups = names_groups(&compiler->names, (uint32_t)i);

		rule_bits_clear(&compiler->bits);
		unite_mentions(compiler, &at, (uint32_t)i);
		for (size_t k = 0; k < n_groups; k++) {
			uint32_t group = compiler->names.found[k];

			dimension_unite(dimension, compiler->group_classes[group], &compiler->bits);
		}
		QE_TRY(dimension_class(dimension, &compiler->bits, &compiler->node_classes[i]));
	}
	return QE_OK;
}

static enum qe_error compile_subjects(struct compiler *compiler)
{
	struct qe_policy *policy = compiler->policy;
	size_t n_members = compiler->names.n_members;

	QE_TRY(find_node_classes(compiler, QUESTION_SUBJECT));
	for (size_t i = 0; i < n_members; i++)
		if (compiler->members[i].slot < QE_PEERS_MAX &&
			compiler->members[i].slot >= policy->n_subjects)
			policy->n_subjects = compiler->members[i].slot + 1;
	policy->subjects = new_array(policy->n_subjects, sizeof(*policy->subjects));
	if (policy->subjects == nullptr)
		return -ENOMEM;
	for (size_t i = 0; i < n_members; i++)
		if (compiler->members[i].slot == QE_POLICY_SELF)
			policy->self = compiler->node_classes[i];
		else if (compiler->members[i].slot < QE_PEERS_MAX)
			policy->subjects[compiler->members[i].slot] = compiler->node_classes[i];
	return QE_OK;
}

/* ---- objects ---- */

static void add_place(struct compiler *compiler, const struct qe_prefix *prefix, uint32_t class)
{
	compiler->places[compiler->n_places++] = (struct place){
		.prefix = *prefix, .rule = QE_POLICY_NO_RULE, .class = class};
}

/* The addresses of nodes join the prefixes that rules name. */
static enum qe_error add_node_places(struct compiler *compiler)
{
	const struct names *names = &compiler->names;
	size_t n = compiler->n_places + names->n_strangers;

	for (size_t i = 0; i < names->n_members; i++)
		n += compiler->members[i].n_addresses;
	struct place *places = realloc(compiler->places, (n + 1) * sizeof(*places));
	if (places == nullptr)
		return -ENOMEM;
	compiler->places = places;
	for (size_t i = 0; i < names->n_members; i++)
		for (size_t k = 0; k < compiler->members[i].n_addresses; k++)
			add_place(compiler, &compiler->members[i].addresses[k],
				compiler->node_classes[i]);
	for (size_t i = 0; i < names->n_strangers; i++) {
		struct qe_addr own = qe_node_id_overlay_addr(&names->strangers[i]);
		struct qe_prefix prefix = qe_prefix_host(&own);

		add_place(compiler, &prefix, compiler->node_classes[names->n_members + i]);
	}
	return QE_OK;
}

/* The prefixes around the place where the walk over the sorted places is, each inside of the one
 * before; the first is the whole family. Of each its last address, and its class. */
struct nests {
	struct {
		address_key last;
		uint32_t class;
	} at[130];
	size_t depth;
};

static address_key last_address(const struct qe_prefix *prefix)
{
	unsigned host_bits = qe_addr_bits(&prefix->addr) - prefix->length;
	address_key ones = host_bits < 128 ? ((address_key)1 << host_bits) - 1 : ~(address_key)0;

	return address_key_of(&prefix->addr) | ones;
}

/* Leaves all that end before an address. */
static void leave_nests(struct nests *nests, struct ranges *ranges, address_key before)
{
	while (nests->depth > 0 && nests->at[nests->depth].last < before) {
		address_key behind = nests->at[nests->depth].last + 1;

		nests->depth--;
		ranges_append(ranges, behind, nests->at[nests->depth].class);
	}
}

/* At the end; what ends with the family's last address has nothing behind it. */
static void leave_all_nests(struct nests *nests, struct ranges *ranges)
{
	leave_nests(nests, ranges, ~(address_key)0);
}

/* Places *at and what follows it with the same prefix. */
static enum qe_error enter_nest(
	struct compiler *compiler, struct nests *nests, struct ranges *ranges, size_t *at)
{
	struct dimension *dimension = &compiler->policy->dimensions[QUESTION_OBJECT];
	const struct qe_prefix prefix = compiler->places[*at].prefix;
	address_key first = address_key_of(&prefix.addr);
	uint32_t class;

	leave_nests(nests, ranges, first);
	rule_bits_clear(&compiler->bits);
	dimension_unite(dimension, nests->at[nests->depth].class, &compiler->bits);
	for (; *at < compiler->n_places &&
		qe_prefix_compare(&compiler->places[*at].prefix, &prefix) == 0;
		++*at) {
		dimension_unite(dimension, compiler->places[*at].class, &compiler->bits);
		if (compiler->places[*at].rule != QE_POLICY_NO_RULE)
			rule_bits_add(&compiler->bits, compiler->places[*at].rule);
	}
	QE_TRY(dimension_class(dimension, &compiler->bits, &class));
	nests->depth++;
	nests->at[nests->depth].last = last_address(&prefix);
	nests->at[nests->depth].class = class;
	ranges_append(ranges, first, class);
	return QE_OK;
}

static enum qe_error compile_objects(struct compiler *compiler)
{
	size_t at = 0;

	QE_TRY(find_node_classes(compiler, QUESTION_OBJECT));
	QE_TRY(add_node_places(compiler));
	qsort(compiler->places, compiler->n_places, sizeof(*compiler->places), compare_places);
	for (size_t family = 0; family < 2; family++) {
		struct ranges *ranges = &compiler->policy->objects[family];
		struct nests nests = {};

		QE_TRY(ranges_init(ranges, compiler->n_places - at));
		while (at < compiler->n_places &&
			family_index(&compiler->places[at].prefix.addr) == family)
			QE_TRY(enter_nest(compiler, &nests, ranges, &at));
		leave_all_nests(&nests, ranges);
	}
	return QE_OK;
}

/* ---- protocols ---- */

static void mention_protocol(
	struct compiler *compiler, size_t family, size_t protocol, uint32_t rule)
{
	compiler->mentions[compiler->n_mentions++] = (struct mention){
		(uint32_t)(family * 256 + protocol), rule};
}

static void add_protocols(struct compiler *compiler, uint32_t i, const struct qe_policy_rule *rule)
{
	bool any = rule->n_protocols == 0;

	for (size_t k = 0; k < rule->n_protocols; k++) {
		uint16_t protocol = rule->protocols[k];
		bool icmp = protocol == QE_POLICY_PROTOCOL_ICMP;

		if (protocol == QE_POLICY_PROTOCOL_ANY) {
			any = true;
			continue;
		}
		assert(icmp || protocol <= UINT8_MAX);
		mention_protocol(compiler, 0, icmp ? QE_IP_ICMP : protocol, i);
		mention_protocol(compiler, 1, icmp ? QE_IP_ICMPV6 : protocol, i);
	}
	if (any)
		rule_bits_add(&compiler->policy->dimensions[QUESTION_PROTOCOL].any, i);
}

static enum qe_error compile_protocols(struct compiler *compiler)
{
	struct dimension *dimension = &compiler->policy->dimensions[QUESTION_PROTOCOL];
	size_t at = 0;

	sort_mentions(compiler);
	while (at < compiler->n_mentions) {
		uint32_t whom = compiler->mentions[at].whom, class;

		rule_bits_clear(&compiler->bits);
		unite_mentions(compiler, &at, whom);
		QE_TRY(dimension_class(dimension, &compiler->bits, &class));
		compiler->policy->protocols[whom / 256][whom % 256] = (uint16_t)class;
	}
	return QE_OK;
}

/* ---- ports ---- */

/* Where a range begins, or the port behind its end. */
struct edge {
	uint32_t port, rule;
	bool begin;
};

static int compare_edges(const void *a, const void *b)
{
	const struct edge *left = a, *right = b;

	return (left->port > right->port) - (left->port < right->port);
}

/* The ranges of one rule may overlap: how many of them are open counts. */
static enum qe_error walk_ports(
	struct compiler *compiler, const struct edge *edges, size_t n, uint32_t *open)
{
	struct dimension *dimension = &compiler->policy->dimensions[QUESTION_PORT];
	uint32_t class = 0;
	size_t at = 0;

	rule_bits_clear(&compiler->bits);
	for (uint32_t port = 0; port <= UINT16_MAX; port++) {
		bool changes = at < n && edges[at].port == port;

		for (; at < n && edges[at].port == port; at++) {
			uint32_t rule = edges[at].rule;

			if (edges[at].begin && open[rule]++ == 0)
				rule_bits_add(&compiler->bits, rule);
			else if (!edges[at].begin && --open[rule] == 0)
				rule_bits_remove(&compiler->bits, rule);
		}
		if (changes)
			QE_TRY(dimension_class(dimension, &compiler->bits, &class));
		if (class > UINT16_MAX)
			return QE_ERR_FULL;
		compiler->policy->ports[port] = (uint16_t)class;
	}
	return QE_OK;
}

static enum qe_error compile_ports(struct compiler *compiler)
{
	const struct qe_policy_source *source = compiler->source;
	size_t n = 0;

	for (size_t i = 0; i < source->n_rules; i++)
		n += 2 * source->rules[i].n_ports;
	struct edge *edges = new_array(n, sizeof(*edges));
	uint32_t *open = new_array(source->n_rules, sizeof(*open));
	enum qe_error error = -ENOMEM;

	n = 0;
	for (uint32_t i = 0; edges && open && i < source->n_rules; i++) {
		const struct qe_policy_rule *rule = rule_of_bit(compiler, i);

		if (compiler->holds[i] && rule->n_ports == 0)
			rule_bits_add(&compiler->policy->dimensions[QUESTION_PORT].any, i);
		for (size_t k = 0; compiler->holds[i] && k < rule->n_ports; k++) {
			edges[n++] = (struct edge){rule->ports[k].first, i, true};
			edges[n++] = (struct edge){rule->ports[k].last + UINT32_C(1), i, false};
		}
	}
	if (edges && open) {
		qsort(edges, n, sizeof(*edges), compare_edges);
		error = walk_ports(compiler, edges, n, open);
	}
	free(edges);
	free(open);
	return error;
}

/* ---- all of it ---- */

/* Room for all that rules mention, question by question. */
static enum qe_error reserve(struct compiler *compiler)
{
	const struct qe_policy_source *source = compiler->source;
	struct qe_policy *policy = compiler->policy;
	size_t mentions = 0, places = 0;

	for (size_t i = 0; i < source->n_rules; i++) {
		const struct qe_policy_rule *rule = &source->rules[i];

		mentions += rule->n_subjects + rule->n_objects + 2 * rule->n_protocols;
		places += rule->n_objects;
	}
	compiler->mentions = new_array(mentions, sizeof(*compiler->mentions));
	compiler->places = new_array(places, sizeof(*compiler->places));
	compiler->group_classes = new_array(
		compiler->names.n_groups, sizeof(*compiler->group_classes));
	compiler->node_classes = new_array(
		compiler->names.n_nodes, sizeof(*compiler->node_classes));
	compiler->holds = new_array(source->n_rules, sizeof(*compiler->holds));
	policy->verdicts = new_array(source->n_rules, sizeof(*policy->verdicts));
	policy->ports = new_array(UINT16_MAX, sizeof(*policy->ports));
	if (!compiler->mentions || !compiler->places || !compiler->group_classes ||
		!compiler->node_classes || !compiler->holds || !policy->verdicts || !policy->ports)
		return -ENOMEM;
	for (size_t i = 0; i < QUESTIONS; i++)
		QE_TRY(dimension_init(&policy->dimensions[i]));
	return QE_OK;
}

/* What all rules that hold answer to one question. */
static void mention_all(struct compiler *compiler, enum question question)
{
	compiler->n_mentions = 0;
	for (uint32_t i = 0; i < compiler->source->n_rules; i++) {
		const struct qe_policy_rule *rule = rule_of_bit(compiler, i);

		if (!compiler->holds[i])
			continue;
		switch (question) {
		case QUESTION_SUBJECT:
			add_mentions(compiler, question, i, rule->subjects, rule->n_subjects);
			break;
		case QUESTION_OBJECT:
			add_mentions(compiler, question, i, rule->objects, rule->n_objects);
			break;
		case QUESTION_PROTOCOL:
			add_protocols(compiler, i, rule);
			break;
		case QUESTION_PORT:
		case QUESTIONS:
			break;
		}
	}
}

static enum qe_error compile(struct compiler *compiler, int64_t now)
{
	const struct qe_policy_source *source = compiler->source;
	struct qe_policy *policy = compiler->policy;

	QE_TRY(reserve(compiler));
	QE_TRY(rule_order_new(&policy->order, source, &compiler->names));
	policy->n_rules = source->n_rules;
	for (size_t i = 0; i < source->n_rules; i++) {
		const struct qe_policy_rule *rule = &source->rules[i];

		policy->verdicts[i] = (struct verdict){rule->action, rule->log};
		compiler->holds[i] = qe_policy_schedule_holds(
			rule_of_bit(compiler, i)->schedule, now);
	}
	mention_all(compiler, QUESTION_SUBJECT);
	QE_TRY(compile_subjects(compiler));
	mention_all(compiler, QUESTION_OBJECT);
	QE_TRY(compile_objects(compiler));
	mention_all(compiler, QUESTION_PROTOCOL);
	QE_TRY(compile_protocols(compiler));
	QE_TRY(compile_ports(compiler));
	for (size_t i = 0; i < QUESTIONS; i++)
		dimension_close(&policy->dimensions[i]);
	return QE_OK;
}

enum qe_error qe_policy_compile(struct qe_policy **ret_policy,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, int64_t now, struct qe_policy_fault *ret_fault)
{
	struct compiler *compiler;

	if (source->n_rules > QE_POLICY_RULES_MAX)
		return QE_ERR_FULL;
	compiler = calloc(1, sizeof(*compiler));
	if (compiler == nullptr)
		return -ENOMEM;
	*compiler = (struct compiler){.source = source, .members = members};
	compiler->policy = calloc(1, sizeof(*compiler->policy));

	enum qe_error error = -ENOMEM;
	if (compiler->policy)
		error = names_init(&compiler->names, source, members, n_members, ret_fault);
	if (error == QE_OK)
		error = compile(compiler, now);
	if (error == QE_OK)
		*ret_policy = compiler->policy;
	else
		qe_policy_free(compiler->policy);
	names_done(&compiler->names);
	free(compiler->mentions);
	free(compiler->places);
	free(compiler->group_classes);
	free(compiler->node_classes);
	free(compiler->holds);
	free(compiler);
	return error;
}

struct qe_policy *qe_policy_free(struct qe_policy *policy)
{
	if (policy == nullptr)
		return nullptr;
	for (size_t i = 0; i < QUESTIONS; i++)
		dimension_done(&policy->dimensions[i]);
	for (size_t i = 0; i < 2; i++)
		ranges_done(&policy->objects[i]);
	free(policy->verdicts);
	free(policy->order);
	free(policy->subjects);
	free(policy->ports);
	free(policy);
	return nullptr;
}

size_t qe_policy_memory(const struct qe_policy *policy)
{
	size_t memory = sizeof(*policy) +
			policy->n_rules * (sizeof(*policy->verdicts) + sizeof(*policy->order)) +
			policy->n_subjects * sizeof(*policy->subjects) +
			(UINT16_MAX + 1) * sizeof(*policy->ports);

	for (size_t i = 0; i < QUESTIONS; i++)
		memory += dimension_memory(&policy->dimensions[i]);
	for (size_t i = 0; i < 2; i++)
		memory += ranges_memory(&policy->objects[i]);
	return memory;
}
