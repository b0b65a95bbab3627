/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Policy with a memory: the verdict for each packet. The rules decide how a flow may begin; its
 * replies, the ICMP errors about it and the fragments of its packets follow. There is one gate for
 * a node, and all of its workers ask it at once; nobody waits. What is to be told of it (denied
 * packets, flows) waits in bounded queues for the control thread.
 */
#pragma once

#include "base/time.h"
#include "net/packet.h"
#include "policy/policy.h"

struct qe_gate;

struct qe_gate_settings {
	size_t flows_max; /* QE_GATE_FLOWS */
	bool account;     /* count packets and bytes, and tell of each flow */
	uint64_t seed;    /* random: so that nobody can choose flows that share a place */
};

#define QE_GATE_FLOWS 65536

enum qe_error qe_gate_new(struct qe_gate **ret_gate, const struct qe_gate_settings *settings);
struct qe_gate *qe_gate_free(struct qe_gate *gate);

struct qe_gate_packet {
	const struct qe_packet *packet;
	struct qe_bytes bytes; /* of the whole packet */
	uint32_t from, to;     /* slots, or QE_POLICY_SELF: who sends it, where it goes */
	uint64_t packets;      /* that a super-packet stands for; else 1 */
};

/* The flow that was last seen on one way, from or to one peer: makes the next packet of it cheap.
 * Starts as zeros; belongs to one thread. */
struct qe_gate_cache {
	uint64_t key[5];
	uint32_t from, position, version;
	bool reply;
};

/* The verdict for a packet from -> to. policy NULL: all is allowed, and nothing is remembered.
 * generation: the policy's, and another one also when a slot comes to mean another peer; a flow
 * that was judged under another one is judged anew, and if it is now denied it ends. cache may be
 * NULL. *ret_result names the rule that allowed the flow; log is true only for the packet that
 * begins it. A fragment whose first one has not come (or that lies over its headers) is denied by
 * QE_POLICY_NO_RULE. */
enum qe_action qe_gate_check(struct qe_gate *gate, struct qe_gate_cache *cache,
	const struct qe_policy *policy, uint64_t generation, const struct qe_gate_packet *packet,
	qe_time now, struct qe_policy_result *ret_result);

/* ---- what the control thread hears of it ---- */

/* A verdict worth telling: a denial, once a minute for each flow; or the begin of a flow that a
 * rule with log allowed. */
struct qe_gate_verdict {
	struct qe_policy_packet packet; /* subject: who sent it */
	uint32_t to;
	struct qe_policy_result result;
	bool fragment;       /* denied as such, not by a rule */
	uint32_t generation; /* of the policy whose rule is named; its lower half */
	qe_time at;
};

enum qe_gate_end : uint8_t {
	QE_GATE_LIVES,    /* it goes on; told once, if it is there when a sweep comes by */
	QE_GATE_EXPIRED,  /* nothing was heard of it for long */
	QE_GATE_CLOSED,   /* by TCP */
	QE_GATE_DENIED,   /* by a new policy */
	QE_GATE_EVICTED,  /* the table was full */
	QE_GATE_REPLACED, /* by one from another node with the same addresses and ports */
	QE_GATE_STOPPED,  /* by qe_gate_stop */
};

/* A flow that has begun, or ended. [0]: from packet.subject; [1]: back. Echo: the ports are its
 * identifier.
 */
struct qe_gate_flow {
	struct qe_policy_packet packet; /* its first one */
	uint32_t to, rule, generation;
	enum qe_gate_end end;
	qe_time started, last;
	uint64_t packets[2], bytes[2];
};

struct qe_gate_sink {
	void *ctx;
	void (*verdict)(void *ctx, const struct qe_gate_verdict *verdict);
	void (*flow)(void *ctx, const struct qe_gate_flow *flow); /* only with account */
	/* Denied since it was last told, by a rule and to or from a peer. QE_POLICY_NO_RULE: the
	 * default, or a fragment. peer QE_POLICY_SELF: for more of them there was no room. */
	void (*denied)(
		void *ctx, uint32_t generation, uint32_t rule, uint32_t peer, uint64_t packets);
};

/* Ends flows that have expired and tells what has gathered; a bounded part of the table with each
 * call, all of it in 8. To be called about once a second. All callbacks may be NULL. */
void qe_gate_sweep(struct qe_gate *gate, qe_time now, const struct qe_gate_sink *sink);
/* Ends all flows, and tells what is left to be told: when no worker asks any more. */
void qe_gate_stop(struct qe_gate *gate, qe_time now, const struct qe_gate_sink *sink);

struct qe_gate_counters {
	uint64_t flows; /* now */
	uint64_t created;
	uint64_t evicted;       /* as the table was full */
	uint64_t denied;        /* packets, with the fragments */
	uint64_t fragments;     /* of these: fragments without a first one, or that hide headers */
	uint64_t lost_verdicts; /* that were not told, as there were too many */
	uint64_t lost_flows;
};

void qe_gate_get_counters(const struct qe_gate *gate, struct qe_gate_counters *ret_counters);
