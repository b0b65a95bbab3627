/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a policy says must not depend on when it is asked: a reload that is refused at night and
 * taken by day would be a riddle. So a test says at which time of the week it is, and otherwise
 * only the rules that hold always are asked.
 */
#include "policy/tests.h"

#include <errno.h>
#include <stdlib.h>

#include "crypto/node_id.h"
#include "net/packet.h"
#include "policy/nodes.h"

constexpr uint32_t nobody = UINT32_MAX; /* as a subject */

/* ---- the rules of one time ---- */

static bool holds(const struct qe_policy_schedule *schedule, uint16_t at)
{
	constexpr int64_t monday = 4 * 24 * 60 * 60; /* 1970-01-05 */

	if (!schedule)
		return true;
	if (at == QE_POLICY_NO_TIME || at == QE_POLICY_ALL_TIMES)
		return at == QE_POLICY_ALL_TIMES;
	struct qe_policy_schedule local = *schedule;
	local.zone = nullptr;
	return qe_policy_schedule_holds(&local, monday + at * INT64_C(60));
}

enum qe_error qe_policy_compile_for(struct qe_policy **ret_policy, size_t **ret_rules,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, uint16_t at)
{
	struct qe_policy_source some = *source; /* shares all but the array of rules */
	size_t *rules = calloc(source->n_rules + 1, sizeof(*rules));
	enum qe_error error = -ENOMEM;

	some.n_rules = 0;
	some.rules = calloc(source->n_rules + 1, sizeof(*some.rules));
	for (size_t i = 0; rules && some.rules && i < source->n_rules; i++) {
		if (!holds(source->rules[i].schedule, at))
			continue;
		some.rules[some.n_rules] = source->rules[i];
		some.rules[some.n_rules].schedule = nullptr;
		rules[some.n_rules++] = i;
	}
	if (rules && some.rules)
		error = qe_policy_compile(ret_policy, &some, members, n_members, 0, nullptr);
	free(some.rules);
	if (error == QE_OK)
		*ret_rules = rules;
	else
		free(rules);
	return error;
}

/* ---- one packet ---- */

/* What a test asks. */
struct question {
	const struct qe_policy *policy;
	const struct qe_policy_test *test;
	uint32_t subject;
	void (*answer)(void *ctx, const struct qe_addr *to, const struct qe_policy_result *result);
	void *ctx;
};

static bool has_ports(uint16_t protocol)
{
	return protocol == QE_IP_TCP || protocol == QE_IP_UDP;
}

static uint8_t protocol_for(uint16_t protocol, const struct qe_addr *to)
{
	if (protocol != QE_POLICY_PROTOCOL_ICMP)
		return (uint8_t)protocol;
	return to->family == QE_FAMILY_IPV4 ? QE_IP_ICMP : QE_IP_ICMPV6;
}

static void ask_address(const struct question *question, const struct qe_addr *to)
{
	const struct qe_policy_test *test = question->test;
	struct qe_policy_packet packet = {
		.subject = question->subject,
		.source.family = to->family, /* rules do not look at the rest of it */
		.destination = *to,
		.protocol = protocol_for(test->protocol, to),
		.has_ports = has_ports(test->protocol),
		.destination_port = test->port,
	};
	struct qe_policy_result result;

	qe_policy_evaluate(question->policy, &packet, &result);
	question->answer(question->ctx, to, &result);
}

/* A NodeId that nobody here has is a node with its overlay address alone. */
static void ask(struct question *question, const struct qe_policy_nodes *nodes)
{
	const struct qe_policy_test *test = question->test;
	const struct qe_policy_member *from = nullptr, *to = nullptr;
	struct qe_addr overlay;

	question->subject = nobody;
	if (qe_policy_nodes_find(nodes, &test->from, &from) == QE_OK)
		question->subject = from->slot;
	if (test->to.kind == QE_POLICY_PREFIX) {
		ask_address(question, &test->to.prefix.addr);
	} else if (qe_policy_nodes_find(nodes, &test->to, &to) == QE_OK) {
		for (size_t i = 0; i < to->n_addresses; i++)
			ask_address(question, &to->addresses[i].addr);
	} else if (test->to.kind == QE_POLICY_NODE_ID) {
		overlay = qe_node_id_overlay_addr(&test->to.id);
		ask_address(question, &overlay);
	}
}

enum qe_error qe_policy_ask(const struct qe_policy *policy, const struct qe_policy_member *members,
	size_t n_members, const struct qe_policy_test *test,
	void (*answer)(void *ctx, const struct qe_addr *to, const struct qe_policy_result *result),
	void *ctx)
{
	struct question question = {policy, test, nobody, answer, ctx};
	struct qe_policy_nodes nodes;

	QE_TRY(qe_policy_nodes_init(&nodes, members, n_members));
	ask(&question, &nodes);
	qe_policy_nodes_done(&nodes);
	return QE_OK;
}

/* ---- all tests, time by time ---- */

struct run {
	const struct qe_policy_source *source;
	const struct qe_policy_nodes *nodes;
	size_t test;         /* under way */
	const size_t *rules; /* of the policy that is asked */
	void (*failed)(void *ctx, const struct qe_policy_failure *failure);
	void *ctx;
};

static void check_answer(void *ctx, const struct qe_addr *to, const struct qe_policy_result *result)
{
	const struct run *run = ctx;
	struct qe_policy_failure failure = {run->test, *to, *result};

	if (result->action == run->source->tests[run->test].expect)
		return;
	if (result->rule != QE_POLICY_NO_RULE)
		failure.result.rule = (uint32_t)run->rules[result->rule];
	run->failed(run->ctx, &failure);
}

/* Each time that tests ask about, once. */
struct times {
	uint16_t at[QE_POLICY_TEST_TIMES_MAX];
	size_t alike[QE_POLICY_TEST_TIMES_MAX]; /* the first at which the same rules hold */
	size_t n;
};

/* Or n, if it is not there. */
static size_t find_time(const struct times *times, uint16_t at)
{
	size_t i = 0;

	while (i < times->n && times->at[i] != at)
		i++;
	return i;
}

static bool are_alike(const struct qe_policy_source *source, uint16_t a, uint16_t b)
{
	for (size_t i = 0; i < source->n_rules; i++)
		if (holds(source->rules[i].schedule, a) != holds(source->rules[i].schedule, b))
			return false;
	return true;
}

static enum qe_error collect_times(struct times *times, const struct qe_policy_source *source)
{
	times->n = 0;
	for (size_t i = 0; i < source->n_tests; i++) {
		uint16_t at = source->tests[i].at;
		size_t alike = 0;

		if (find_time(times, at) < times->n)
			continue;
		if (times->n == QE_POLICY_TEST_TIMES_MAX)
			return QE_ERR_FULL;
		times->at[times->n] = at;
		while (alike < times->n && !are_alike(source, times->at[alike], at))
			alike++;
		times->alike[times->n++] = alike;
	}
	return QE_OK;
}

/* All tests that ask about a time, or about others that are alike. */
static enum qe_error run_at(struct run *run, const struct qe_policy_member *members,
	size_t n_members, const struct times *times, size_t time)
{
	struct qe_policy *policy;
	size_t *rules;

	QE_TRY(qe_policy_compile_for(
		&policy, &rules, run->source, members, n_members, times->at[time]));
	run->rules = rules;
	for (size_t i = 0; i < run->source->n_tests; i++) {
		struct question question = {
			policy, &run->source->tests[i], nobody, check_answer, run};

		run->test = i;
		if (times->alike[find_time(times, question.test->at)] == time)
			ask(&question, run->nodes);
	}
	qe_policy_free(policy);
	free(rules);
	return QE_OK;
}

enum qe_error qe_policy_run_tests(const struct qe_policy_source *source,
	const struct qe_policy_member *members, size_t n_members,
	void (*failed)(void *ctx, const struct qe_policy_failure *failure), void *ctx)
{
	struct qe_policy_nodes nodes;
	struct run run = {.source = source, .nodes = &nodes, .failed = failed, .ctx = ctx};
	struct times times;
	enum qe_error error = QE_OK;

	QE_TRY(collect_times(&times, source));
	QE_TRY(qe_policy_nodes_init(&nodes, members, n_members));
	for (size_t i = 0; i < times.n && error == QE_OK; i++)
		if (times.alike[i] == i)
			error = run_at(&run, members, n_members, &times, i);
	qe_policy_nodes_done(&nodes);
	return error;
}
