/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The control thread's part of the gate: it ends what has expired, and tells what the workers have
 * left for it.
 */
#include <stdatomic.h>

#include "policy/gate_internal.h"

constexpr unsigned SWEEPS = 8; /* for the whole table */
constexpr size_t SWEEP_BUCKETS = 64;

static const enum qe_gate_end ends[] = {
	[FLOW_LIVES] = QE_GATE_LIVES,
	[FLOW_EXPIRED] = QE_GATE_EXPIRED,
	[FLOW_CLOSED] = QE_GATE_CLOSED,
	[FLOW_DENIED] = QE_GATE_DENIED,
	[FLOW_EVICTED] = QE_GATE_EVICTED,
	[FLOW_REPLACED] = QE_GATE_REPLACED,
	[FLOW_STOPPED] = QE_GATE_STOPPED,
};

static void tell_flow(
	const struct flow_record *record, qe_time now, const struct qe_gate_sink *sink)
{
	qe_time idle = (qe_time)flow_idle(record->seen, tick_of(now)) << TICK_SHIFT;
	const struct flow_totals *totals = &record->totals;
	struct qe_gate_flow flow = {
		.packet = gate_packet_of_key(&record->key, flow_subject(record->data)),
		.to = totals->to,
		.rule = (uint32_t)record->data,
		.generation = record->generation,
		.end = ends[record->end],
		.started = totals->started,
		.last = qe_time_max(totals->started, qe_time_since(idle, now)),
		.packets = {totals->packets[0], totals->packets[1]},
		.bytes = {totals->bytes[0], totals->bytes[1]},
	};

	if (sink->flow)
		sink->flow(sink->ctx, &flow);
}

static void drain_flows(struct qe_gate *gate, qe_time now, const struct qe_gate_sink *sink)
{
	struct flow_record record;

	if (!gate->records.cells)
		return;
	for (size_t i = 0; i < RECORDS_MAX && queue_pop(&gate->records, &record); i++)
		tell_flow(&record, now, sink);
}

static void drain_verdicts(struct qe_gate *gate, const struct qe_gate_sink *sink)
{
	struct qe_gate_verdict verdict;

	for (size_t i = 0; i < VERDICTS_MAX && queue_pop(&gate->verdicts, &verdict); i++)
		if (sink->verdict)
			sink->verdict(sink->ctx, &verdict);
}

/* In portions that the queue of records has room for. A table that was never used is not read. */
static void sweep(struct qe_gate *gate, size_t n_buckets, qe_time now, bool stop,
	const struct qe_gate_sink *sink)
{
	size_t left = n_buckets;

	if (atomic_load_explicit(&gate->flows.n_flows, memory_order_relaxed) == 0)
		left = 0;
	for (size_t n; left > 0; left -= n) {
		n = left < SWEEP_BUCKETS ? left : SWEEP_BUCKETS;
		flows_sweep(&gate->flows, n, tick_of(now), stop);
		drain_flows(gate, now, sink);
	}
	drain_flows(gate, now, sink);
	drain_verdicts(gate, sink);
	denials_drain(&gate->denials, sink);
}

void qe_gate_sweep(struct qe_gate *gate, qe_time now, const struct qe_gate_sink *sink)
{
	sweep(gate, gate->flows.n_buckets / SWEEPS + 1, now, false, sink);
}

void qe_gate_stop(struct qe_gate *gate, qe_time now, const struct qe_gate_sink *sink)
{
	sweep(gate, gate->flows.n_buckets, now, true, sink);
}

static uint64_t read_counter(const _Atomic(uint64_t) *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

void qe_gate_get_counters(const struct qe_gate *gate, struct qe_gate_counters *ret_counters)
{
	*ret_counters = (struct qe_gate_counters){
		.flows = read_counter(&gate->flows.n_flows),
		.created = read_counter(&gate->flows.created),
		.evicted = read_counter(&gate->flows.evicted),
		.denied = read_counter(&gate->denied),
		.fragments = read_counter(&gate->bad_fragments),
		.lost_verdicts = read_counter(&gate->verdicts.lost),
		.lost_flows = read_counter(&gate->records.lost),
	};
}
