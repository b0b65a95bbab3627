/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* routes and route get: what the daemon knows of ways to prefixes, for people. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"

#define TEXT_SIZE 256
#define ID_SHOWN 12 /* characters of a NodeId in a table: enough to name it by */

/* ---- routes ---- */

/* A name whole, a NodeId as far as it takes. */
static void add_node(struct qe_text *to, json_t *route)
{
	const char *node = qe_get_text(route, "node"), *id = qe_get_text(route, "id");

	if (strcmp(qe_get_text(route, "next_hop"), "local") == 0)
		qe_text_add(to, "this node");
	else
		qe_text_addf(to, "%.*s", strcmp(node, id) ? QE_NAME_MAX : ID_SHOWN, node);
}

static void add_rtt(struct qe_text *to, json_t *route)
{
	if (json_is_real(qe_get(route, "rtt_ms")))
		qe_add_ms(to, qe_get_real(route, "rtt_ms"));
	else
		qe_text_add(to, "-");
}

static void add_route(struct qe_table *table, json_t *route)
{
	char node[TEXT_SIZE] = "", rtt[TEXT_SIZE] = "";
	struct qe_text to_node = qe_text_init(node, sizeof node);
	struct qe_text to_rtt = qe_text_init(rtt, sizeof rtt);

	add_node(&to_node, route);
	add_rtt(&to_rtt, route);
	qe_table_add(table, "%s", qe_get_text(route, "prefix"));
	qe_table_add(table, "%s", qe_get_text(route, "next_hop"));
	qe_table_add(table, "%s", node);
	qe_table_add(table, "%s", qe_get_text(route, "state"));
	qe_table_add(table, "%s", qe_get_text(route, "source"));
	qe_table_add(table, "%" PRIu64, qe_get_uint(route, "metric"));
	qe_table_add(table, "%s", rtt);
	qe_table_add(table, "%s", qe_get_text(route, "host"));
	qe_table_add(table, "%s", qe_get_text(route, "why"));
}

static void print_routes(json_t *routes)
{
	static const char *const head[] = {
		"PREFIX", "NEXT HOP", "NODE", "STATE", "SOURCE", "METRIC", "RTT", "HOST", "WHY"};
	struct qe_table table;
	size_t i;
	json_t *route;

	qe_table_init(&table, head, sizeof head / sizeof *head);
	json_array_foreach(routes, i, route) add_route(&table, route);
	qe_table_print(stdout, &table);
	qe_table_done(&table);
}

static void show_routes(json_t *result)
{
	print_routes(json_object_get(result, "routes"));
}

static void add_refusal(struct qe_table *table, json_t *refusal)
{
	char node[TEXT_SIZE] = "";
	struct qe_text to_node = qe_text_init(node, sizeof node);

	add_node(&to_node, refusal);
	qe_table_add(table, "%s", qe_get_text(refusal, "prefix"));
	qe_table_add(table, "%s", qe_get_text(refusal, "next_hop"));
	qe_table_add(table, "%s", node);
	qe_table_add(table, "%" PRIu64, qe_get_uint(refusal, "metric"));
	qe_table_add(table, "%s", qe_get_text(refusal, "reason"));
}

static void show_rejected(json_t *result)
{
	static const char *const head[] = {"PREFIX", "AS", "ANNOUNCED BY", "METRIC", "REFUSED"};
	json_t *refusals = json_object_get(result, "rejected"), *refusal;
	struct qe_table table;
	size_t i;

	if (json_array_size(refusals) == 0) {
		printf("No peer announces what it may not.\n");
		return;
	}
	qe_table_init(&table, head, sizeof head / sizeof *head);
	json_array_foreach(refusals, i, refusal) add_refusal(&table, refusal);
	qe_table_print(stdout, &table);
	qe_table_done(&table);
}

enum qe_exit qe_command_routes(const struct qe_args *args)
{
	if (qe_args_get(args, "rejected"))
		return qe_call(args, "routes.rejected", nullptr, show_rejected);
	return qe_call(args, "routes", nullptr, show_routes);
}

/* ---- route get ---- */

static void show_link(json_t *link)
{
	char rtt[TEXT_SIZE] = "";
	struct qe_text to_rtt = qe_text_init(rtt, sizeof rtt);

	if (!json_is_object(link)) {
		printf("%-11s%s\n", "Link", "none: it is made when there is something to send");
		return;
	}
	qe_add_ms(&to_rtt, qe_get_real(link, "rtt_ms"));
	printf("%-11s%s, %s, %s, %s\n", "Link", qe_get_text(link, "remote"), rtt,
		qe_get_text(link, "cipher"), qe_get_text(link, "key_exchange"));
}

static void show_policy(json_t *policy)
{
	json_t *answer = json_array_get(qe_get(policy, "answers"), 0);

	if (answer)
		printf("%-11s%s: %s\n", "Policy", qe_get_text(answer, "verdict"),
			qe_get_text(answer, "reason"));
	else
		printf("%-11s%s\n", "Policy", "none: what is routed is allowed");
}

static void show_route(json_t *result)
{
	json_t *route = qe_get(result, "route");
	char node[TEXT_SIZE] = "";
	struct qe_text to_node = qe_text_init(node, sizeof node);
	bool local = strcmp(qe_get_text(route, "next_hop"), "local") == 0;

	if (!json_is_object(route)) {
		printf("%s: no node is known to have it.\n", qe_get_text(result, "address"));
		return;
	}
	add_node(&to_node, route);
	printf("%s goes to %s, by %s\n\n", qe_get_text(result, "address"), node,
		qe_get_text(route, "prefix"));
	printf("%-11s%s (%s)\n", "Next hop", qe_get_text(route, "next_hop"),
		qe_get_text(route, "id"));
	printf("%-11s%s\n", "Why", qe_get_text(route, "why"));
	if (!local)
		show_link(qe_get(result, "link"));
	if (!local)
		printf("%-11s%s\n", "This host", qe_get_text(route, "host"));
	show_policy(qe_get(result, "policy"));
	if (json_array_size(qe_get(result, "candidates")) > 1) {
		printf("\n");
		print_routes(qe_get(result, "candidates"));
	}
}

static json_t *question(const struct qe_args *args)
{
	const char *protocol = qe_args_get(args, "protocol"), *port = qe_args_get(args, "port");
	json_t *params = json_pack(
		"{s:s, s:s*}", "address", args->operands[0], "protocol", protocol);

	if (port)
		json_object_set_new(params, "port", json_integer(strtoll(port, nullptr, 10)));
	return params;
}

enum qe_exit qe_command_route_get(const struct qe_args *args)
{
	const char *port = qe_args_get(args, "port");

	if (port && (!*port || port[strspn(port, "0123456789")] || strlen(port) > 5))
		return qe_fail(args, QE_EXIT_USAGE, "--port: \"%s\" is not a port", port);
	return qe_call(args, "route.get", question(args), show_route);
}
