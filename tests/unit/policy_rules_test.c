/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Compiled policies, with the plain meaning of their rules as the oracle. */
#include <errno.h>

#include "policy_world.h"

#define WORLDS 800
#define PACKETS 200

static void check_packet(const struct world *world, const struct qe_policy *policy,
	const struct qe_policy_packet *packet)
{
	struct qe_policy_result expected = world_evaluate(world, packet), result;

	qe_policy_evaluate(policy, packet, &result);
	assert_int_equal(result.rule, expected.rule);
	assert_int_equal(result.action, expected.action);
	assert_int_equal(result.log, expected.log);
}

static void verdicts_are_those_of_the_plain_rules(void **state)
{
	(void)state;
	for (size_t i = 0; i < WORLDS; i++) {
		struct world world;

		/* Now and then more rules than one word of the summary is for. */
		world_init(&world, i % 100 == 99 ? 6000 : random_below(150));
		struct qe_policy *policy = world_compile(&world);

		for (size_t k = 0; k < (i % 100 == 99 ? PACKETS / 10 : PACKETS); k++) {
			struct qe_policy_packet packet = world_packet(&world);

			check_packet(&world, policy, &packet);
		}
		qe_policy_free(policy);
		world_done(&world);
	}
}

/* ---- without memory ---- */

void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

static size_t until_failure; /* allocations; 0: none fails */

static bool fails(void)
{
	return until_failure > 0 && --until_failure == 0;
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? nullptr : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return fails() ? nullptr : __real_realloc(old, size);
}

static enum qe_error compile_failing(const struct world *world, size_t n, struct qe_policy **policy)
{
	until_failure = n;
	enum qe_error error = qe_policy_compile(
		policy, &world->source, world->members, world->n_members, WORLD_NOW, nullptr);
	until_failure = 0;
	return error;
}

/* Each allocation fails once: what is there is given back, or was not needed. */
static void a_failure_leaves_nothing(void **state)
{
	struct world world;
	size_t failures = 0, n = 1;

	(void)state;
	world_init(&world, 300);
	for (bool failed = true; failed || n < 100; n++) {
		struct qe_policy *policy = nullptr;
		enum qe_error error = compile_failing(&world, n, &policy);

		failed = error != QE_OK;
		failures += failed;
		assert_true(failed == (policy == nullptr));
		assert_true(!failed || error == -ENOMEM);
		qe_policy_free(policy);
	}
	assert_true(failures > 30);
	world_done(&world);
}

/* ---- single rules ---- */

static struct qe_policy_term any = {.kind = QE_POLICY_ANY};

static struct qe_policy *compile_rules(struct qe_policy_rule *rules, size_t n)
{
	struct qe_policy_source source = {.rules = rules, .n_rules = n};
	struct qe_policy *policy;

	assert_int_equal(
		qe_policy_compile(&policy, &source, nullptr, 0, WORLD_NOW, nullptr), QE_OK);
	return policy;
}

static uint32_t rule_for(const struct qe_policy *policy, const char *to, uint8_t protocol, int port)
{
	struct qe_policy_packet packet = {.subject = 1,
		.protocol = protocol,
		.has_ports = port >= 0,
		.destination_port = (uint16_t)port};
	struct qe_policy_result result;

	assert_int_equal(qe_addr_parse(&packet.destination, to), QE_OK);
	qe_policy_evaluate(policy, &packet, &result);
	return result.rule;
}

static struct qe_policy_term prefix_term(const char *text)
{
	struct qe_policy_term term = {.kind = QE_POLICY_PREFIX};

	assert_int_equal(qe_prefix_parse(&term.prefix, text), QE_OK);
	return term;
}

static void no_rules_deny(void **state)
{
	struct qe_policy *policy = compile_rules(nullptr, 0);

	(void)state;
	assert_int_equal(rule_for(policy, "10.0.0.1", 6, 80), QE_POLICY_NO_RULE);
	assert_int_equal(rule_for(policy, "fd51:e700::1", 58, -1), QE_POLICY_NO_RULE);
	qe_policy_free(policy);
}

static void mapped_addresses_are_not_ipv4(void **state)
{
	struct qe_policy_term ten = prefix_term("10.0.0.0/8"), all4 = prefix_term("0.0.0.0/0");
	struct qe_policy_rule rules[] = {
		{.subjects = &any, .n_subjects = 1, .objects = &ten, .n_objects = 1},
		{.subjects = &any, .n_subjects = 1, .objects = &all4, .n_objects = 1},
	};
	struct qe_policy *policy = compile_rules(rules, 2);

	(void)state;
	assert_int_equal(rule_for(policy, "10.0.0.1", 6, 80), 0);
	assert_int_equal(rule_for(policy, "11.0.0.1", 6, 80), 1);
	assert_int_equal(rule_for(policy, "255.255.255.255", 6, 80), 1);
	assert_int_equal(rule_for(policy, "::ffff:10.0.0.1", 6, 80), QE_POLICY_NO_RULE);
	assert_int_equal(rule_for(policy, "::10.0.0.1", 6, 80), QE_POLICY_NO_RULE);
	qe_policy_free(policy);
}

static void ports_match_only_packets_with_ports(void **state)
{
	struct qe_policy_ports all_ports = {0, 65535};
	struct qe_policy_rule rules[] = {
		{.subjects = &any,
			.n_subjects = 1,
			.objects = &any,
			.n_objects = 1,
			.ports = &all_ports,
			.n_ports = 1},
		{.subjects = &any, .n_subjects = 1, .objects = &any, .n_objects = 1},
	};
	struct qe_policy *policy = compile_rules(rules, 2);

	(void)state;
	assert_int_equal(rule_for(policy, "10.0.0.1", 6, 0), 0);
	assert_int_equal(rule_for(policy, "10.0.0.1", 17, 65535), 0);
	assert_int_equal(rule_for(policy, "10.0.0.1", 6, -1), 1);
	assert_int_equal(rule_for(policy, "10.0.0.1", 132, -1), 1);
	qe_policy_free(policy);
}

static void icmp_is_that_of_the_family(void **state)
{
	uint16_t icmp = QE_POLICY_PROTOCOL_ICMP, one = 1;
	struct qe_policy_rule rules[] = {
		{.subjects = &any,
			.n_subjects = 1,
			.objects = &any,
			.n_objects = 1,
			.protocols = &icmp,
			.n_protocols = 1},
		{.subjects = &any,
			.n_subjects = 1,
			.objects = &any,
			.n_objects = 1,
			.protocols = &one,
			.n_protocols = 1},
	};
	struct qe_policy *policy = compile_rules(rules, 2);

	(void)state;
	assert_int_equal(rule_for(policy, "10.0.0.1", 1, -1), 0);
	assert_int_equal(rule_for(policy, "10.0.0.1", 58, -1), QE_POLICY_NO_RULE);
	assert_int_equal(rule_for(policy, "fd00::1", 58, -1), 0);
	assert_int_equal(rule_for(policy, "fd00::1", 1, -1), 1);
	qe_policy_free(policy);
}

/* ---- what is refused ---- */

static enum qe_error compile_fault(
	const struct qe_policy_source *source, struct qe_policy_fault *fault)
{
	const char *const groups[] = {"known"};
	struct qe_policy_member members[] = {
		{.name = "a", .slot = 1, .groups = groups, .n_groups = 1},
		{.name = "twin", .slot = 2, .id = {{1}}},
		{.name = "twin", .slot = 3, .id = {{2}}},
	};
	struct qe_policy *policy;
	enum qe_error error = qe_policy_compile(&policy, source, members, 3, WORLD_NOW, fault);

	if (error == QE_OK)
		qe_policy_free(policy);
	return error;
}

static void unknown_names_are_faults(void **state)
{
	static const struct {
		struct qe_policy_term term;
		enum qe_error error;
	} cases[] = {
		{{.kind = QE_POLICY_NODE, .name = (char *)"a"}, QE_OK},
		{{.kind = QE_POLICY_NODE, .name = (char *)"b"}, QE_ERR_NOT_FOUND},
		{{.kind = QE_POLICY_NODE, .name = (char *)"twin"}, QE_ERR_AMBIGUOUS},
		{{.kind = QE_POLICY_GROUP, .name = (char *)"known"}, QE_OK},
		{{.kind = QE_POLICY_GROUP, .name = (char *)"a"}, QE_ERR_NOT_FOUND},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct qe_policy_term term = cases[i].term;
		struct qe_policy_rule rules[] = {
			{.subjects = &any, .n_subjects = 1, .objects = &any, .n_objects = 1},
			{.subjects = &any, .n_subjects = 1, .objects = &term, .n_objects = 1},
		};
		struct qe_policy_source source = {.rules = rules, .n_rules = 2};
		struct qe_policy_fault fault = {};

		assert_int_equal(compile_fault(&source, &fault), cases[i].error);
		if (cases[i].error == QE_OK)
			continue;
		assert_ptr_equal(fault.term, &term);
		assert_int_equal(fault.rule, 1);
		assert_int_equal(fault.group, QE_POLICY_NO_RULE);
	}
}

static struct qe_policy_term group_term(const char *name)
{
	return (struct qe_policy_term){.kind = QE_POLICY_GROUP, .name = (char *)name};
}

/* "outer" is around a cycle and not on it. */
static void cycles_of_groups_are_faults(void **state)
{
	struct qe_policy_term of_outer = group_term("x"), of_x = group_term("y"),
			      of_y = group_term("x"), of_self = group_term("self");
	struct qe_policy_group cycle[] = {
		{(char *)"outer", &of_outer, 1, {}},
		{(char *)"x", &of_x, 1, {}},
		{(char *)"y", &of_y, 1, {}},
	};
	struct qe_policy_group self = {(char *)"self", &of_self, 1, {}};
	struct qe_policy_fault fault = {};

	(void)state;
	assert_int_equal(
		compile_fault(&(struct qe_policy_source){.groups = cycle, .n_groups = 3}, &fault),
		QE_ERR_CONFLICT);
	assert_ptr_equal(fault.term, &of_x);
	assert_int_equal(fault.group, 1);
	assert_int_equal(fault.rule, QE_POLICY_NO_RULE);
	assert_int_equal(
		compile_fault(&(struct qe_policy_source){.groups = &self, .n_groups = 1}, &fault),
		QE_ERR_CONFLICT);
	assert_ptr_equal(fault.term, &of_self);
}

static void bounds_are_kept(void **state)
{
	struct qe_policy_source source = {.n_rules = QE_POLICY_RULES_MAX + 1};

	(void)state;
	assert_int_equal(compile_fault(&source, nullptr), QE_ERR_FULL);
}

/* The most rules there may be; each names what the others do not, and one that all share. */
static void the_last_rule_counts(void **state)
{
	struct qe_policy_rule *rules = calloc(QE_POLICY_RULES_MAX, sizeof(*rules));
	struct qe_policy_term *terms = calloc(QE_POLICY_RULES_MAX, sizeof(*terms));

	(void)state;
	for (size_t i = 0; i < QE_POLICY_RULES_MAX; i++) {
		terms[i] = prefix_term("10.0.0.0/32");
		terms[i].prefix.addr.bytes[2] = (uint8_t)(i >> 8);
		terms[i].prefix.addr.bytes[3] = (uint8_t)i;
		rules[i] = (struct qe_policy_rule){
			.subjects = &any, .n_subjects = 1, .objects = &terms[i], .n_objects = 1};
	}
	struct qe_policy *policy = compile_rules(rules, QE_POLICY_RULES_MAX);

	assert_int_equal(rule_for(policy, "10.0.0.0", 6, 1), 0);
	assert_int_equal(rule_for(policy, "10.0.63.255", 6, 1), QE_POLICY_RULES_MAX - 1);
	assert_int_equal(rule_for(policy, "10.0.64.0", 6, 1), QE_POLICY_NO_RULE);
	assert_true(qe_policy_memory(policy) < 16 << 20);
	qe_policy_free(policy);
	free(rules);
	free(terms);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts_are_those_of_the_plain_rules),
		cmocka_unit_test(a_failure_leaves_nothing),
		cmocka_unit_test(no_rules_deny),
		cmocka_unit_test(mapped_addresses_are_not_ipv4),
		cmocka_unit_test(ports_match_only_packets_with_ports),
		cmocka_unit_test(icmp_is_that_of_the_family),
		cmocka_unit_test(unknown_names_are_faults),
		cmocka_unit_test(cycles_of_groups_are_faults),
		cmocka_unit_test(bounds_are_kept),
		cmocka_unit_test(the_last_rule_counts),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
