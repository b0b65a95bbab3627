/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Any packets through the gate. Input: for each packet a byte that says who sends it and what
 * happens before, two bytes of length, the packet. The rules let this node begin flows and its peer
 * none; so nothing of the peer's passes before this node has sent something, and nothing at all
 * under rules that deny all.
 */
#include <assert.h>
#include <stdlib.h>

#include "policy/gate.h"

#define PEER 7

struct qe_policy {
	bool allow_self;
};

void qe_policy_evaluate(const struct qe_policy *policy, const struct qe_policy_packet *packet,
	struct qe_policy_result *ret_result)
{
	bool allowed = policy->allow_self && packet->subject == QE_POLICY_SELF;

	assert(packet->source.family == packet->destination.family);
	*ret_result = (struct qe_policy_result){
		allowed ? QE_ACTION_ALLOW : QE_ACTION_DENY, true, packet->protocol};
}

enum from : uint8_t { BOTH, PEER_ALONE };

struct run {
	struct qe_gate *gate;
	struct qe_gate_cache caches[2];
	struct qe_policy policy;
	uint64_t generation;
	qe_time now;
};

static bool ask(struct run *run, struct qe_bytes bytes, bool self)
{
	struct qe_packet packet;
	struct qe_gate_packet asked = {
		&packet, bytes, self ? QE_POLICY_SELF : PEER, self ? PEER : QE_POLICY_SELF, 1};
	struct qe_policy_result result;

	if (qe_packet_parse(&packet, bytes) != QE_OK)
		return false;
	return qe_gate_check(run->gate, &run->caches[self], &run->policy, run->generation, &asked,
		       run->now, &result) == QE_ACTION_ALLOW;
}

/* Tells how many packets passed. */
static size_t feed(struct run *run, struct qe_bytes input, enum from from)
{
	struct qe_reader reader = qe_reader_init(input);
	size_t passed = 0;

	while (qe_reader_left(&reader) >= 3) {
		uint8_t control = qe_read_u8(&reader);
		size_t len = qe_read_u16(&reader);
		size_t left = qe_reader_left(&reader);
		struct qe_bytes bytes = qe_read_bytes(&reader, len < left ? len : left);
		bool self = control & 1;

		run->now += (qe_time)(control >> 2 & 31) * QE_SECOND;
		run->generation += control >> 1 & 1;
		if (from == BOTH || !self)
			passed += ask(run, bytes, self);
	}
	return passed;
}

static void on_verdict(void *ctx, const struct qe_gate_verdict *verdict)
{
	(void)ctx;
	assert(verdict->packet.subject == QE_POLICY_SELF || verdict->packet.subject == PEER);
}

static void on_flow(void *ctx, const struct qe_gate_flow *flow)
{
	(void)ctx;
	assert(flow->packet.subject == QE_POLICY_SELF && flow->to == PEER);
	assert(flow->packets[0] > 0 && flow->bytes[0] >= 20);
	assert(flow->started <= flow->last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct qe_gate_settings settings = {.flows_max = 16, .account = true, .seed = len};
	struct qe_gate_sink sink = {.verdict = on_verdict, .flow = on_flow};
	struct run run = {.policy = {true}, .generation = 1, .now = QE_SECOND};
	struct qe_bytes input = {data, len};

	if (qe_gate_new(&run.gate, &settings) != QE_OK)
		abort();
	assert(feed(&run, input, PEER_ALONE) == 0);
	feed(&run, input, BOTH);
	qe_gate_sweep(run.gate, run.now, &sink);
	run.policy.allow_self = false;
	run.generation++;
	assert(feed(&run, input, BOTH) == 0);
	qe_gate_sweep(run.gate, run.now, &sink);
	qe_gate_free(run.gate);
	return 0;
}
