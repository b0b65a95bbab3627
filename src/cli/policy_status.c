/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <inttypes.h>

#include "cli/output.h"

static void add_denied(struct qe_table *table, json_t *denied)
{
	qe_table_add(table, "%s",
		json_is_string(json_object_get(denied, "rule")) ? qe_get_text(denied, "rule")
								: "none that allows it");
	qe_table_add(table, "%s", qe_get_text(denied, "node"));
	qe_table_add(table, "%" PRIu64, qe_get_uint(denied, "packets"));
}

static void show(json_t *result)
{
	static const char *const head[] = {"DENIED BY RULE", "PEER", "PACKETS"};
	json_t *list = json_object_get(result, "denied"), *denied;
	struct qe_table table;
	size_t i;

	if (!json_is_string(json_object_get(result, "file"))) {
		printf("No policy: what is routed is allowed.\n");
		return;
	}
	printf("%-11s%s\n", "File", qe_get_text(result, "file"));
	printf("%-11s%" PRIu64 "\n", "Rules", qe_get_uint(result, "rules"));
	printf("%-11s%" PRIu64 " now, %" PRIu64 " since the start\n", "Flows",
		qe_get_uint(result, "flows.now"), qe_get_uint(result, "flows.created"));
	printf("%-11s%" PRIu64 " packets\n", "Denied", qe_get_uint(result, "denied_packets"));
	if (json_array_size(list) == 0)
		return;
	printf("\n");
	qe_table_init(&table, head, sizeof head / sizeof *head);
	json_array_foreach(list, i, denied) add_denied(&table, denied);
	qe_table_print(stdout, &table);
	qe_table_done(&table);
}

enum qe_exit qe_command_policy_status(const struct qe_args *args)
{
	return qe_call(args, "policy.status", nullptr, show);
}
