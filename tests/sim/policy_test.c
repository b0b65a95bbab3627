/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rules where packets meet them: on the way out, on the way in whatever the sender did, and on a
 * gateway; and what a change of the rules or of the peers does to flows that run. */
#include "mesh.h"

#include <string.h>

#include "node/inspect.h"

static struct qe_policy_term any = {.kind = QE_POLICY_ANY};
static char id[] = "rule";
static uint16_t udp = QE_IP_UDP, tcp = QE_IP_TCP;

static struct qe_policy_rule rule(
	struct qe_policy_term *subject, uint16_t *protocol, enum qe_action action)
{
	return (struct qe_policy_rule){.id = id,
		.subjects = subject,
		.n_subjects = 1,
		.objects = &any,
		.n_objects = 1,
		.protocols = protocol,
		.n_protocols = protocol != nullptr,
		.action = action};
}

static struct qe_policy_source only(struct qe_policy_rule *rules, size_t n)
{
	return (struct qe_policy_source){.rules = rules, .n_rules = n};
}

static struct mesh_pair linked_pair(uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, MESH_WAITS);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, 2 * QE_SECOND);
	return pair;
}

/* What came in a second. */
static uint64_t comes(struct mesh_flow *flow)
{
	uint64_t before = flow->received;
	mesh_run(flow->from->mesh, QE_SECOND);
	return flow->received - before;
}

static struct mesh_flow *flow(struct mesh_host *from, struct mesh_host *to, enum mesh_kind kind)
{
	return mesh_flow_start(from, to, kind, 200, 10 * QE_MILLISECOND);
}

static const enum mesh_kind kinds[] = {MESH_UDP4, MESH_UDP6, MESH_TCP4, MESH_TCP6};

/* ---- out, in, through ---- */

static void out_and_in(bool out, uint64_t seed)
{
	struct mesh_pair pair = linked_pair(seed);
	struct qe_policy_rule rules[] = {rule(&any, &tcp, QE_ACTION_ALLOW)};
	struct qe_policy_source source = only(rules, 1);
	struct mesh_host *host = out ? pair.a : pair.b;
	struct mesh_flow *flows[4];
	for (size_t i = 0; i < 4; i++)
		flows[i] = flow(pair.a, pair.b, kinds[i]);
	for (size_t i = 0; i < 4; i++)
		mesh_check(pair.mesh, comes(flows[i]) > 0);
	host->policy = &source;
	mesh_set_policy(host);
	host->deadline = pair.mesh->now;
	mesh_run(pair.mesh, 100 * QE_MILLISECOND);
	for (size_t i = 0; i < 4; i++)
		mesh_check(pair.mesh, (comes(flows[i]) > 0) == (i >= 2), "kind %zu", i);
	struct qe_shard_counters counters = mesh_counters(host);
	mesh_check(pair.mesh, counters.drops[out ? QE_DROP_POLICY_OUT : QE_DROP_POLICY] > 0);
	mesh_check(pair.mesh, counters.drops[out ? QE_DROP_POLICY : QE_DROP_POLICY_OUT] == 0);
	mesh_check(pair.mesh, (counters.icmp_packets > 0) == out, "who sends from here is told");
	mesh_check_books(host);
	mesh_free(pair.mesh);
}

static void rules_hold_both_ways(void **)
{
	out_and_in(true, 1);
	out_and_in(false, 2);
}

static void inject(struct mesh_host *host, struct qe_addr source, struct qe_addr destination,
	uint16_t source_port, uint16_t destination_port)
{
	static uint8_t payload[100], packet[200];
	struct mesh_inner inner = {.source = source,
		.destination = destination,
		.protocol = QE_IP_UDP,
		.source_port = source_port,
		.destination_port = destination_port};
	size_t len = mesh_build(packet, &inner, (struct qe_bytes){payload, sizeof(payload)});
	mesh_check(host->mesh, mesh_inject(host, nullptr, (struct qe_bytes){packet, len}));
	mesh_run(host->mesh, 200 * QE_MILLISECOND);
}

/* b may talk to whom it likes, and nobody to b, but to answer. */
static void replies_are_allowed(void **)
{
	struct mesh_pair pair = mesh_pair_new(3, MESH_DIALS, MESH_WAITS);
	char name[] = "h1";
	struct qe_policy_term self = {.kind = QE_POLICY_NODE, .name = name};
	struct qe_policy_rule rules[] = {rule(&self, nullptr, QE_ACTION_ALLOW)};
	struct qe_policy_source source = only(rules, 1);
	pair.b->policy = &source;
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	inject(pair.a, pair.a->inner6, pair.b->inner6, 53, 5000);
	mesh_check(pair.mesh, pair.b->n_inbox == 0);
	inject(pair.b, pair.b->inner6, pair.a->inner6, 5000, 53);
	mesh_check(pair.mesh, pair.a->n_inbox == 1);
	inject(pair.a, pair.a->inner6, pair.b->inner6, 53, 5000);
	mesh_check(pair.mesh, pair.b->n_inbox == 1, "an answer");
	inject(pair.a, pair.a->inner6, pair.b->inner6, 54, 5000);
	mesh_check(pair.mesh, pair.b->n_inbox == 1, "no answer");
	mesh_check(pair.mesh, mesh_counters(pair.b).drops[QE_DROP_POLICY] == 2);
	mesh_free(pair.mesh);
}

/* a and b know only g, which takes what is for the other, as the rules of g allow; to them a packet
 * is from who owns its source. */
static void a_gateway_asks_its_rules(void **)
{
	struct mesh *mesh = mesh_new(4);
	struct mesh_host *a = mesh_host_add(mesh), *b = mesh_host_add(mesh);
	struct mesh_host *g = mesh_host_add(mesh), *ends[] = {a, b};
	char name[] = "h0";
	struct qe_policy_term from_a = {.kind = QE_POLICY_NODE, .name = name};
	struct qe_policy_rule rules[] = {rule(&from_a, &udp, QE_ACTION_ALLOW)};
	struct qe_policy_source source = only(rules, 1);
	for (size_t i = 0; i < 2; i++) {
		mesh_befriend(ends[i], g, MESH_DIALS)->default_gateway = true;
		mesh_befriend(g, ends[i], MESH_WAITS);
	}
	g->forward[0] = mesh_prefix("100.64.0.0/16");
	g->forward[1] = qe_prefix_host(&a->inner6);
	g->n_forward = 2;
	g->policy = &source;
	mesh_start(g);
	mesh_start(a);
	mesh_start(b);
	mesh_run(mesh, 3 * QE_SECOND);
	for (size_t i = 0; i < 4; i++) {
		mesh_check(mesh, (comes(flow(a, b, kinds[i])) > 0) == (i < 2), "kind %zu", i);
		mesh_check(mesh, comes(flow(b, a, kinds[i])) == 0);
	}
	mesh_check(mesh, mesh_counters(g).forwarded_packets > 0);
	mesh_check(mesh, mesh_counters(g).drops[QE_DROP_POLICY] > 300);
	mesh_check_books(g);
	mesh_free(mesh);
}

/* ---- changes ---- */

static void a_change_reaches_flows_that_run(void **)
{
	struct mesh_pair pair = linked_pair(5);
	struct qe_policy_rule allow[] = {rule(&any, nullptr, QE_ACTION_ALLOW)};
	struct qe_policy_source all = only(allow, 1), nothing = {};
	const struct qe_policy_source *const steps[] = {&all, &nothing, &all, &nothing, nullptr};
	struct mesh_flow *flows[] = {
		flow(pair.a, pair.b, MESH_UDP4), flow(pair.b, pair.a, MESH_TCP6)};
	for (size_t i = 0; i < 5; i++) {
		pair.b->policy = steps[i];
		mesh_set_policy(pair.b);
		mesh_run(pair.mesh, 100 * QE_MILLISECOND);
		for (size_t j = 0; j < 2; j++)
			mesh_check(pair.mesh, (comes(flows[j]) > 0) == (steps[i] != &nothing),
				"step %zu", i);
	}
	uint64_t generation;
	mesh_check(pair.mesh, !qe_node_policy(pair.b->node, &generation) && generation == 6);
	mesh_free(pair.mesh);
}

/* The rules follow the node, not its slot. */
static void a_slot_carries_no_rights(void **)
{
	struct mesh *mesh = mesh_new(6);
	struct mesh_host *a = mesh_host_add(mesh), *b = mesh_host_add(mesh);
	struct mesh_host *c = mesh_host_add(mesh), *others[] = {b, c};
	struct qe_policy_term from_b = {.kind = QE_POLICY_NODE_ID, .id = *qe_key_get_id(b->key)};
	struct qe_policy_rule rules[] = {rule(&from_b, nullptr, QE_ACTION_ALLOW)};
	struct qe_policy_source source = only(rules, 1);
	mesh_befriend(a, b, MESH_WAITS);
	a->policy = &source;
	mesh_start(a);
	for (size_t i = 0; i < 2; i++) {
		mesh_befriend(others[i], a, MESH_DIALS);
		mesh_start(others[i]);
	}
	mesh_run(mesh, 3 * QE_SECOND);
	mesh_check(mesh, comes(flow(b, a, MESH_UDP4)) > 0);
	mesh_unfriend(a, b);
	assert_int_equal(mesh_reconfigure(a), QE_OK);
	mesh_run(mesh, 11 * QE_SECOND);
	mesh_befriend(a, c, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(a), QE_OK);
	mesh_check(mesh, mesh_slot(a, c) == 0);
	mesh_run(mesh, 60 * QE_SECOND);
	mesh_check(mesh, mesh_linked(a, 0));
	mesh_check(mesh, comes(flow(c, a, MESH_UDP4)) == 0);
	mesh_check(mesh, mesh_counters(a).drops[QE_DROP_POLICY] > 0);
	mesh_free(mesh);
}

/* Rules that cannot be compiled leave everything as it was. */
static void bad_rules_change_nothing(void **)
{
	struct mesh_pair pair = linked_pair(7);
	char name[] = "nobody";
	struct qe_policy_term nobody = {.kind = QE_POLICY_NODE, .name = name};
	struct qe_policy_rule rules[] = {rule(&nobody, nullptr, QE_ACTION_ALLOW)};
	struct qe_policy_source source = only(rules, 1);
	struct mesh_flow *there = flow(pair.a, pair.b, MESH_UDP4);
	uint64_t generation;
	pair.b->policy = &source;
	mesh_unfriend(pair.b, pair.a);
	mesh_befriend(pair.b, pair.a, MESH_WAITS);
	assert_int_equal(mesh_reconfigure(pair.b), QE_ERR_NOT_FOUND);
	mesh_check(pair.mesh, !qe_node_policy(pair.b->node, &generation) && generation == 1);
	mesh_check(pair.mesh, comes(there) > 0);
	mesh_free(pair.mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_hold_both_ways),
		cmocka_unit_test(replies_are_allowed),
		cmocka_unit_test(a_gateway_asks_its_rules),
		cmocka_unit_test(a_change_reaches_flows_that_run),
		cmocka_unit_test(a_slot_carries_no_rights),
		cmocka_unit_test(bad_rules_change_nothing),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
