/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Any bytes as a policy file, judged against a few nodes. What is taken compiles, and gives the
 * same verdict twice. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "config/policy_load.h"
#include "net/addr.h"

static const char *const groups[] = {"people"};
static const struct qe_prefix addresses[] = {
	{.addr = {.family = QE_FAMILY_IPV4, .bytes = {100, 64, 0, 1}}, .length = 32},
	{.addr = {.family = QE_FAMILY_IPV4, .bytes = {100, 64, 0, 2}}, .length = 32},
};
static const struct qe_policy_member members[] = {
	{.name = "laptop",
		.addresses = &addresses[0],
		.n_addresses = 1,
		.groups = groups,
		.n_groups = 1},
	{.name = "nas", .id = {{1}}, .slot = 1, .addresses = &addresses[1], .n_addresses = 1},
	{.name = "self", .id = {{2}}, .slot = QE_POLICY_SELF},
};

static void evaluate(const struct qe_policy *policy, const struct qe_policy_source *source)
{
	struct qe_policy_packet packet = {
		.subject = 1,
		.source = addresses[1].addr,
		.destination = addresses[0].addr,
		.protocol = 6,
		.has_ports = true,
		.destination_port = 22,
	};
	struct qe_policy_result first, second;

	qe_policy_evaluate(policy, &packet, &first);
	qe_policy_evaluate(policy, &packet, &second);
	assert(first.rule == second.rule && first.action == second.action);
	assert(first.rule == QE_POLICY_NO_RULE || first.rule < source->n_rules);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct qe_policy_findings findings;
	const size_t n = sizeof members / sizeof *members;
	struct qe_policy_source source;
	struct qe_policy *policy;
	int64_t now = len > 0 ? data[0] * INT64_C(3600) : 0;

	if (qe_policy_parse(&source, "fuzz.toml", (struct qe_bytes){data, len}, members, n,
		    &findings) != QE_OK) {
		assert(findings.errors.n > 0);
		return 0;
	}
	assert(findings.errors.n == 0);
	enum qe_error error = qe_policy_compile(&policy, &source, members, n, now, nullptr);
	assert(error == QE_OK);
	assert(qe_policy_next_change(&source, now) > now);
	evaluate(policy, &source);
	qe_policy_free(policy);
	qe_policy_source_done(&source);
	return 0;
}
