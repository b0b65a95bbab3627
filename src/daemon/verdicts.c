/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/verdicts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/node_id.h"
#include "net/addr.h"
#include "node/inspect.h"

struct count {
	uint32_t rule, peer;
	uint64_t packets;
};

struct qe_verdicts {
	struct qe_verdicts_settings settings;
	uint32_t since; /* generation that the rules of now came with */
	struct count *counts;
	size_t n;
};

/* ---- words ---- */

struct node_words {
	const char *name; /* NULL: it has none, or is gone */
	char id[QE_NODE_ID_TEXT_SIZE];
	char label[QE_NAME_MAX + 1];
};

static void describe_node(
	const struct qe_verdicts *verdicts, uint32_t slot, struct node_words *words)
{
	const struct qe_directory *directory = verdicts->settings.directory;
	const struct qe_config_peer *peer = slot == QE_POLICY_SELF
						    ? nullptr
						    : qe_directory_peer(directory, slot);

	*words = (struct node_words){};
	if (slot == QE_POLICY_SELF) {
		words->name = qe_directory_config(directory)->node.name;
		qe_node_id_format(words->id, qe_node_get_id(verdicts->settings.node));
		snprintf(words->label, sizeof(words->label), "%s", words->name);
		return;
	}
	if (peer) {
		words->name = peer->name;
		qe_node_id_format(words->id, &peer->id);
	}
	qe_directory_label(directory, slot, words->label);
}

/* NULL: no rule, or one of a policy that is gone. */
static const char *rule_id(const struct qe_verdicts *verdicts, uint32_t rule, uint32_t generation)
{
	const struct qe_policy_source *source = qe_policy_keeper_source(verdicts->settings.keeper);

	/* The lower halves of counters that go up. */
	if (!source || rule >= source->n_rules || (int32_t)(generation - verdicts->since) < 0)
		return nullptr;
	return source->rules[rule].id;
}

static const char *protocol_name(uint8_t protocol, char to[static 4])
{
	switch (protocol) {
	case QE_IP_TCP:
		return "tcp";
	case QE_IP_UDP:
		return "udp";
	case QE_IP_ICMP:
	case QE_IP_ICMPV6:
		return "icmp";
	default:
		snprintf(to, 4, "%u", protocol);
		return to;
	}
}

/* The members that a flow and a denied packet have in common. */
static json_t *describe(const struct qe_verdicts *verdicts, const struct qe_policy_packet *packet,
	uint32_t to, const char *rule)
{
	struct node_words source, destination;
	char from_text[QE_ADDR_TEXT_SIZE], to_text[QE_ADDR_TEXT_SIZE], number[4];
	json_t *record;

	describe_node(verdicts, packet->subject, &source);
	describe_node(verdicts, to, &destination);
	qe_addr_format(from_text, &packet->source);
	qe_addr_format(to_text, &packet->destination);
	record = json_pack("{s:s?, s:s, s:s?, s:s, s:s, s:s, s:s, s:s?}", "source_node",
		source.name, "source_id", source.id, "destination_node", destination.name,
		"destination_id", destination.id, "source", from_text, "destination", to_text,
		"protocol", protocol_name(packet->protocol, number), "rule", rule);
	if (record && packet->has_ports &&
		(json_object_set_new(record, "source_port", json_integer(packet->source_port)) <
				0 ||
			json_object_set_new(record, "destination_port",
				json_integer(packet->destination_port)) < 0)) {
		json_decref(record);
		return nullptr;
	}
	return record;
}

/* ---- one packet ---- */

static void log_verdict(const struct qe_verdicts *verdicts, const struct qe_gate_verdict *verdict,
	const char *rule, const char *word)
{
	const struct qe_policy_packet *packet = &verdict->packet;
	char from[QE_ADDR_TEXT_SIZE], to[QE_ADDR_TEXT_SIZE], number[4];
	char ports[32] = "";
	struct node_words node;

	describe_node(verdicts, packet->subject, &node);
	qe_addr_format(from, &packet->source);
	qe_addr_format(to, &packet->destination);
	if (packet->has_ports)
		snprintf(ports, sizeof(ports), ", port %u to %u", packet->source_port,
			packet->destination_port);
	qe_log(verdicts->settings.log, QE_LOG_INFO, word, node.label, "%s: %s: %s to %s, %s%s%s%s",
		node.label, word, from, to, protocol_name(packet->protocol, number), ports,
		rule                ? ": rule "
		: verdict->fragment ? ": a fragment by itself"
				    : ": no rule",
		rule ? rule : "");
}

static void take_verdict(void *ctx, const struct qe_gate_verdict *verdict)
{
	struct qe_verdicts *verdicts = ctx;
	const char *rule = rule_id(verdicts, verdict->result.rule, verdict->generation);
	bool denied = verdict->result.action == QE_ACTION_DENY;

	log_verdict(verdicts, verdict, rule, denied ? "denied" : "allowed");
	if (denied && verdicts->settings.audit)
		qe_audit_add(verdicts->settings.audit, "denied",
			describe(verdicts, &verdict->packet, verdict->to, rule));
}

/* ---- flows ---- */

static const char *const ends[] = {
	[QE_GATE_EXPIRED] = "expired",
	[QE_GATE_CLOSED] = "closed",
	[QE_GATE_DENIED] = "denied",
	[QE_GATE_EVICTED] = "evicted",
	[QE_GATE_REPLACED] = "replaced",
	[QE_GATE_STOPPED] = "stopped",
};

static void take_flow(void *ctx, const struct qe_gate_flow *flow)
{
	struct qe_verdicts *verdicts = ctx;
	const char *rule = rule_id(verdicts, flow->rule, flow->generation);
	char started[QE_CLOCK_TEXT_SIZE], last[QE_CLOCK_TEXT_SIZE];
	bool lives = flow->end == QE_GATE_LIVES;
	json_t *record, *rest;

	if (!verdicts->settings.audit)
		return;
	qe_audit_time(started, flow->started);
	qe_audit_time(last, flow->last);
	record = describe(verdicts, &flow->packet, flow->to, rule);
	rest = json_pack("{s:s, s:s, s:s?, s:s?, s:I, s:I, s:I, s:I}", "phase",
		lives ? "start" : "end", "started", started, "ended", lives ? nullptr : last,
		"reason", lives ? nullptr : ends[flow->end], "packets",
		(json_int_t)flow->packets[0], "bytes", (json_int_t)flow->bytes[0], "packets_back",
		(json_int_t)flow->packets[1], "bytes_back", (json_int_t)flow->bytes[1]);
	if (record && (!rest || json_object_update(record, rest) < 0)) {
		json_decref(record);
		record = nullptr;
	}
	json_decref(rest);
	qe_audit_add(verdicts->settings.audit, "flow", record);
}

/* ---- counts ---- */

static struct count *find_count(struct qe_verdicts *verdicts, uint32_t rule, uint32_t peer)
{
	for (size_t i = 0; i < verdicts->n; i++) {
		struct count *count = &verdicts->counts[i];

		if (count->rule == rule && count->peer == peer)
			return count;
	}
	return nullptr;
}

/* The last place is for all that have none of their own. */
static struct count *need_count(struct qe_verdicts *verdicts, uint32_t rule, uint32_t peer)
{
	struct count *count = find_count(verdicts, rule, peer);

	if (count)
		return count;
	if (verdicts->n == QE_VERDICTS_COUNTS_MAX)
		return &verdicts->counts[verdicts->n - 1];
	count = &verdicts->counts[verdicts->n++];
	*count = verdicts->n < QE_VERDICTS_COUNTS_MAX
			 ? (struct count){rule, peer, 0}
			 : (struct count){QE_POLICY_NO_RULE, QE_POLICY_SELF, 0};
	return count;
}

static void take_denied(
	void *ctx, uint32_t generation, uint32_t rule, uint32_t peer, uint64_t packets)
{
	struct qe_verdicts *verdicts = ctx;

	if ((int32_t)(generation - verdicts->since) < 0)
		return;
	need_count(verdicts, rule, peer)->packets += packets;
}

static int compare_counts(const void *a, const void *b)
{
	const struct count *left = a, *right = b;

	return (left->packets < right->packets) - (left->packets > right->packets);
}

static json_t *denied_json(const struct qe_verdicts *verdicts, const struct count *count)
{
	const struct qe_policy_source *source = qe_policy_keeper_source(verdicts->settings.keeper);
	bool has_rule = source && count->rule < source->n_rules;
	struct node_words node;

	describe_node(verdicts, count->peer, &node);
	return json_pack("{s:s?, s:s?, s:s, s:I}", "rule",
		has_rule ? source->rules[count->rule].id : nullptr, "node", node.name, "id",
		node.id, "packets", (json_int_t)count->packets);
}

/* The most denied first. */
static json_t *all_denied_json(const struct qe_verdicts *verdicts)
{
	struct count *sorted = calloc(verdicts->n + 1, sizeof(*sorted));
	json_t *list = sorted ? json_array() : nullptr;

	for (size_t i = 0; sorted && i < verdicts->n; i++)
		sorted[i] = verdicts->counts[i];
	if (list)
		qsort(sorted, verdicts->n, sizeof(*sorted), compare_counts);
	for (size_t i = 0; list && i < verdicts->n; i++)
		json_array_append_new(list, denied_json(verdicts, &sorted[i]));
	free(sorted);
	return list;
}

json_t *qe_verdicts_status(const struct qe_verdicts *verdicts)
{
	const struct qe_policy_keeper *keeper = verdicts->settings.keeper;
	const struct qe_policy_source *source = qe_policy_keeper_source(keeper);
	const struct qe_gate *gate = qe_node_gate(verdicts->settings.node);
	struct qe_gate_counters counters = {};

	if (gate)
		qe_gate_get_counters(gate, &counters);
	return json_pack("{s:s?, s:I, s:{s:I, s:I, s:I}, s:I, s:I, s:o}", "file",
		qe_policy_keeper_file(keeper), "rules", (json_int_t)(source ? source->n_rules : 0),
		"flows", "now", (json_int_t)counters.flows, "created", (json_int_t)counters.created,
		"evicted", (json_int_t)counters.evicted, "denied_packets",
		(json_int_t)counters.denied, "denied_fragments", (json_int_t)counters.fragments,
		"denied", all_denied_json(verdicts));
}

/* ---- life ---- */

enum qe_error qe_verdicts_new(
	struct qe_verdicts **ret_verdicts, const struct qe_verdicts_settings *settings)
{
	struct qe_verdicts *verdicts = calloc(1, sizeof(*verdicts));

	if (!verdicts)
		return -ENOMEM;
	verdicts->settings = *settings;
	verdicts->counts = calloc(QE_VERDICTS_COUNTS_MAX, sizeof(*verdicts->counts));
	if (!verdicts->counts) {
		free(verdicts);
		return -ENOMEM;
	}
	*ret_verdicts = verdicts;
	return QE_OK;
}

struct qe_verdicts *qe_verdicts_free(struct qe_verdicts *verdicts)
{
	if (!verdicts)
		return nullptr;
	free(verdicts->counts);
	free(verdicts);
	return nullptr;
}

struct qe_gate_sink qe_verdicts_sink(struct qe_verdicts *verdicts)
{
	return (struct qe_gate_sink){verdicts, take_verdict, take_flow, take_denied};
}

void qe_verdicts_changed(struct qe_verdicts *verdicts, uint64_t generation)
{
	verdicts->since = (uint32_t)generation;
	verdicts->n = 0;
}
