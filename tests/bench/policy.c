/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a verdict costs, by the number of rules: a network of 1,000 nodes in 50 groups, with the
 * kinds of rules that operators write (a group to a subnet and port, a node to a node, a group to a
 * group, everybody to a service, some of them denials), and at the end the rule that all else is
 * allowed, which decides of most packets. Nothing in a verdict ends early at a rule that stands
 * before others.
 *
 *   rules         the rules alone
 *   new_flow      with the flow table: a packet that begins a flow
 *   established   with the flow table: a packet of one of 1,000 flows, in turn
 *   same_flow     with the flow table: a packet of the flow whose packet was the last
 *   compile       processor time to compile the rules
 *   memory        of the compiled rules
 *
 * Each round takes all of it in turn with 10 and with 10,000 rules; a figure is the median of many
 * short runs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "os/clock.h"
#include "policy/gate.h"

constexpr size_t nodes = 1000;
constexpr size_t groups = 50;
constexpr size_t packets = 4096;
constexpr size_t flows = 1000;
constexpr size_t runs = 31;
constexpr size_t rules_max = 10'000;

static void must(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "policy: %s\n", what);
	exit(1);
}

static uint64_t random_state = 1;

/* SplitMix64. */
static size_t below(size_t n)
{
	uint64_t z = random_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (size_t)((z ^ z >> 31) % n);
}

/* ---- the network ---- */

static struct {
	struct qe_policy_member members[nodes];
	struct qe_prefix addresses[nodes];
	char names[nodes][8];
	char group_names[groups][8];
	const char *groups[nodes][3];
} net;

static struct qe_addr ipv4(size_t a, size_t b, size_t c)
{
	return qe_addr_ipv4((uint8_t[]){10, (uint8_t)a, (uint8_t)b, (uint8_t)c});
}

static void make_network(void)
{
	for (size_t i = 0; i < groups; i++)
		snprintf(net.group_names[i], sizeof(net.group_names[i]), "g%zu", i);
	for (size_t i = 0; i < nodes; i++) {
		struct qe_addr addr = ipv4(0, i / 256, i % 256);

		snprintf(net.names[i], sizeof(net.names[i]), "n%zu", i);
		net.addresses[i] = qe_prefix_host(&addr);
		for (size_t k = 0; k < 3; k++)
			net.groups[i][k] = net.group_names[below(groups)];
		net.members[i] = (struct qe_policy_member){.name = net.names[i],
			.id = {{(uint8_t)i, (uint8_t)(i >> 8)}},
			.slot = (uint32_t)i,
			.addresses = &net.addresses[i],
			.n_addresses = 1,
			.groups = net.groups[i],
			.n_groups = 3};
	}
}

static struct qe_policy_term node(void)
{
	return (struct qe_policy_term){.kind = QE_POLICY_NODE, .name = net.names[below(nodes)]};
}

static struct qe_policy_term group(void)
{
	return (struct qe_policy_term){
		.kind = QE_POLICY_GROUP, .name = net.group_names[below(groups)]};
}

/* A subnet, or a host of one. */
static struct qe_policy_term subnet(void)
{
	struct qe_policy_term term = {.kind = QE_POLICY_PREFIX};

	term.prefix.addr = ipv4(1 + below(30), below(256), below(2) * below(256));
	term.prefix.length = term.prefix.addr.bytes[3] ? 32 : 24;
	return term;
}

/* ---- its rules ---- */

static struct {
	struct qe_policy_rule rules[rules_max];
	struct qe_policy_term subjects[rules_max], objects[rules_max];
	uint16_t protocols[rules_max];
	struct qe_policy_ports ports[rules_max];
} book;

static struct qe_policy_rule *add_rule(
	size_t i, struct qe_policy_term subject, struct qe_policy_term object)
{
	book.subjects[i] = subject;
	book.objects[i] = object;
	book.rules[i] = (struct qe_policy_rule){.subjects = &book.subjects[i],
		.n_subjects = 1,
		.objects = &book.objects[i],
		.n_objects = 1,
		.protocols = &book.protocols[i],
		.ports = &book.ports[i],
		.action = below(8) ? QE_ACTION_ALLOW : QE_ACTION_DENY};
	return &book.rules[i];
}

static void give_port(struct qe_policy_rule *rule, size_t i)
{
	static const uint16_t known[] = {22, 53, 80, 123, 389, 443, 445, 3389, 5432, 8080};
	uint16_t first = known[below(sizeof(known) / sizeof(known[0]))];
	uint16_t more = below(8) ? 0 : (uint16_t)below(1000);

	book.protocols[i] = below(3) ? QE_IP_TCP : QE_IP_UDP;
	book.ports[i] = (struct qe_policy_ports){first, (uint16_t)(first + more)};
	rule->n_protocols = rule->n_ports = 1;
}

static void write_rule(size_t i)
{
	static const struct qe_policy_term any = {.kind = QE_POLICY_ANY};
	size_t kind = below(100);

	if (kind < 50)
		give_port(add_rule(i, group(), subnet()), i);
	else if (kind < 70)
		give_port(add_rule(i, node(), node()), i);
	else if (kind < 85)
		give_port(add_rule(i, group(), group()), i);
	else if (kind < 95)
		give_port(add_rule(i, any, subnet()), i);
	else
		add_rule(i, node(), subnet());
}

static void write_rules(size_t n_rules)
{
	struct qe_policy_term any = {.kind = QE_POLICY_ANY};

	random_state = n_rules;
	for (size_t i = 0; i + 1 < n_rules; i++)
		write_rule(i);
	add_rule(n_rules - 1, any, any)->action = QE_ACTION_ALLOW;
}

static struct qe_policy *compile_rules(size_t n_rules)
{
	struct qe_policy_source source = {.rules = book.rules, .n_rules = n_rules};
	struct qe_policy *policy;

	must(qe_policy_compile(&policy, &source, net.members, nodes, 0, nullptr) == QE_OK,
		"the rules do not compile");
	return policy;
}

/* ---- packets ---- */

struct traffic {
	uint8_t bytes[packets][28];
	struct qe_packet parsed[packets];
	struct qe_policy_packet asked[packets];
};

/* UDP, from a node to a node or into a subnet. */
static void write_packet(struct traffic *to, size_t i)
{
	static const uint16_t known[] = {22, 53, 80, 443, 5432, 9999};
	uint32_t subject = (uint32_t)below(nodes);
	struct qe_addr destination = below(2) ? net.addresses[below(nodes)].addr
					      : ipv4(1 + below(30), below(256), below(256));
	uint16_t port = known[below(sizeof(known) / sizeof(known[0]))];
	uint8_t *bytes = to->bytes[i];

	bytes[0] = 0x45;
	bytes[3] = 28;
	bytes[25] = 8;
	bytes[8] = 64;
	bytes[9] = QE_IP_UDP;
	memcpy(bytes + 12, net.addresses[subject].addr.bytes, 4);
	memcpy(bytes + 16, destination.bytes, 4);
	qe_store_u16(bytes + 20, (uint16_t)(1024 + i));
	qe_store_u16(bytes + 22, port);
	must(qe_packet_parse(&to->parsed[i], (struct qe_bytes){bytes, 28}) == QE_OK,
		"a packet is none");
	to->asked[i] = (struct qe_policy_packet){.subject = subject,
		.source = to->parsed[i].source,
		.destination = destination,
		.protocol = QE_IP_UDP,
		.has_ports = true,
		.source_port = (uint16_t)(1024 + i),
		.destination_port = port};
}

/* ---- measuring ---- */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

struct subject {
	size_t n_rules;
	struct qe_policy *policy;
	struct qe_gate *gate;
	struct qe_gate_cache cache;
	struct traffic traffic;
	qe_time now;
};

static void tell(const struct subject *subject, const char *measure, const char *unit, double value)
{
	printf("policy\tquicether-%zu-rules\t%s\t%s\t%.6g\n", subject->n_rules, measure, unit,
		value);
}

static void ask_rules(struct subject *subject)
{
	struct qe_policy_result result;

	for (size_t i = 0; i < packets; i++)
		qe_policy_evaluate(subject->policy, &subject->traffic.asked[i], &result);
}

/* About the first n packets, in turn. */
static void ask_gate(struct subject *subject, struct qe_gate_cache *cache, size_t n)
{
	for (size_t i = 0; i < packets; i++) {
		size_t k = i % n;
		struct qe_gate_packet packet = {.packet = &subject->traffic.parsed[k],
			.bytes = {subject->traffic.bytes[k], 28},
			.from = subject->traffic.asked[k].subject,
			.to = QE_POLICY_SELF,
			.packets = 1};
		struct qe_policy_result result;

		qe_gate_check(
			subject->gate, cache, subject->policy, 1, &packet, subject->now, &result);
	}
}

static void ask_for_new_flows(struct subject *subject)
{
	ask_gate(subject, nullptr, packets);
}

static void ask_in_flows(struct subject *subject)
{
	ask_gate(subject, nullptr, flows);
}

static void ask_in_one_flow(struct subject *subject)
{
	ask_gate(subject, &subject->cache, 1);
}

/* The same packets begin new flows then. */
static void let_expire(struct subject *subject)
{
	static const struct qe_gate_sink sink;

	subject->now += 3600 * QE_SECOND;
	for (size_t i = 0; i < 8; i++)
		qe_gate_sweep(subject->gate, subject->now, &sink);
}

static void begin_flows(struct subject *subject)
{
	let_expire(subject);
	ask_in_flows(subject);
}

static void measure(struct subject *subject, const char *name,
	void (*prepare)(struct subject *subject), void (*ask)(struct subject *subject))
{
	double values[runs];

	for (size_t i = 0; i < runs; i++) {
		if (prepare)
			prepare(subject);
		qe_time start = qe_clock_now();
		ask(subject);
		values[i] = (double)(qe_clock_now() - start) / (double)packets;
	}
	qsort(values, runs, sizeof(values[0]), compare);
	tell(subject, name, "ns", values[runs / 2]);
}

static void measure_compiling(const struct subject *subject)
{
	write_rules(subject->n_rules);
	clock_t start = clock();
	struct qe_policy *policy = compile_rules(subject->n_rules);
	double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;

	tell(subject, "compile", "ms", seconds * 1e3);
	qe_policy_free(policy);
}

static void measure_all(struct subject *subject)
{
	measure(subject, "rules", nullptr, ask_rules);
	measure(subject, "new_flow", let_expire, ask_for_new_flows);
	measure(subject, "established", begin_flows, ask_in_flows);
	measure(subject, "same_flow", begin_flows, ask_in_one_flow);
	measure_compiling(subject);
	tell(subject, "memory", "kB", (double)qe_policy_memory(subject->policy) / 1e3);
}

static void init_subject(struct subject *subject, size_t n_rules)
{
	struct qe_gate_settings settings = {.flows_max = QE_GATE_FLOWS, .seed = 1};

	subject->n_rules = n_rules;
	subject->now = QE_SECOND;
	write_rules(n_rules);
	subject->policy = compile_rules(n_rules);
	random_state = 1; /* the same packets for all */
	for (size_t i = 0; i < packets; i++)
		write_packet(&subject->traffic, i);
	must(qe_gate_new(&subject->gate, &settings) == QE_OK, "no gate");
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = {10, rules_max};
	static struct subject subjects[2];
	unsigned long rounds = argc == 2 ? strtoul(argv[1], nullptr, 10) : 0;

	must(rounds >= 1 && rounds <= 1000, "usage: policy ROUNDS");
	make_network();
	for (size_t i = 0; i < 2; i++)
		init_subject(&subjects[i], sizes[i]);
	for (unsigned long round = 0; round < rounds; round++)
		for (size_t i = 0; i < 2; i++)
			measure_all(&subjects[i]);
	for (size_t i = 0; i < 2; i++) {
		qe_gate_free(subjects[i].gate);
		qe_policy_free(subjects[i].policy);
	}
	return 0;
}
