/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the workers' part of the gate, gate.c, and the control thread's, gate_sweep.c, share. */
#pragma once

#include "policy/flows.h"
#include "policy/gate.h"
#include "policy/journal.h"

constexpr size_t VERDICTS_MAX = 256;
constexpr size_t RECORDS_MAX = 1024;

struct qe_gate {
	struct flows flows, fragments;
	struct queue verdicts, records;
	struct denials denials;
	uint64_t seed;
	_Atomic(uint64_t) denied, bad_fragments;
};

/* Of a flow's data: who began it. */
static inline uint32_t flow_subject(uint64_t data)
{
	return (uint32_t)(data >> 32);
}

/* A flow's first packet. */
struct qe_policy_packet gate_packet_of_key(const struct flow_key *key, uint32_t subject);
