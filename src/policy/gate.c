/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The stateful part of the policy. A packet belongs to a flow (policy/tuple.h), which has states
 * and timeouts (policy/track.h) and stands in a table that all workers share (policy/flows.h).
 * Fragments have a table of their own: a datagram's first fragment is judged as a packet, and the
 * others pass while it is remembered.
 *
 * What the memory gives beyond the rules is one thing only: packets against the direction in which
 * a flow was allowed. In that direction the rules allow each packet anyway, and the table saves
 * asking them. So whatever is lost from it, be it by eviction or in a race between workers, costs
 * replies until the next packet of the one who began; it never lets anything in.
 */
#include "policy/gate.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "policy/gate_internal.h"
#include "policy/tuple.h"

constexpr size_t FRAGMENTS_MAX = 4096;
constexpr unsigned UPDATE_TRIES = 4;

/* One question and its answer. */
struct check {
	struct qe_gate *gate;
	struct qe_gate_cache *cache;
	const struct qe_policy *policy;
	const struct qe_gate_packet *packet;
	uint32_t generation, now;
	qe_time time;
	struct tuple tuple;
	struct qe_policy_result result;
};

/* ---- what is told ---- */

static struct qe_policy_packet policy_packet(const struct check *check)
{
	const struct tuple *tuple = &check->tuple;

	return (struct qe_policy_packet){
		.subject = check->packet->from,
		.source = check->packet->packet->source,
		.destination = check->packet->packet->destination,
		.protocol = tuple->protocol,
		.has_ports = tuple->has_ports,
		.source_port = tuple->source_port,
		.destination_port = tuple->destination_port,
	};
}

/* Whom the packet comes from, or goes to if it is this node's own. */
static uint32_t peer_of(const struct check *check)
{
	return check->packet->from != QE_POLICY_SELF ? check->packet->from : check->packet->to;
}

static void tell_verdict(struct check *check, bool fragment)
{
	struct qe_gate *gate = check->gate;
	struct qe_gate_verdict verdict;

	if (!denials_is_news(
		    &gate->denials, flow_key_hash(&check->tuple.key, gate->seed), check->now))
		return;
	if (!denials_may_tell(&gate->denials, peer_of(check))) {
		atomic_fetch_add_explicit(&gate->verdicts.lost, 1, memory_order_relaxed);
		return;
	}
	verdict = (struct qe_gate_verdict){
		.packet = policy_packet(check),
		.to = check->packet->to,
		.result = check->result,
		.fragment = fragment,
		.generation = check->generation,
		.at = check->time,
	};
	queue_push(&gate->verdicts, &verdict);
}

static void note_denial(struct check *check, bool fragment)
{
	struct qe_gate *gate = check->gate;
	uint64_t packets = check->packet->packets;

	atomic_fetch_add_explicit(&gate->denied, packets, memory_order_relaxed);
	if (fragment)
		atomic_fetch_add_explicit(&gate->bad_fragments, packets, memory_order_relaxed);
	denials_count(
		&gate->denials, check->generation, check->result.rule, peer_of(check), packets);
	tell_verdict(check, fragment);
}

/* Judged by the rules alone. */
static bool judge(struct check *check)
{
	struct qe_policy_packet packet = policy_packet(check);

	qe_policy_evaluate(check->policy, &packet, &check->result);
	if (check->result.action == QE_ACTION_DENY)
		note_denial(check, false);
	else if (check->result.log)
		tell_verdict(check, false);
	return check->result.action == QE_ACTION_ALLOW;
}

static bool deny_fragment(struct check *check)
{
	check->result = (struct qe_policy_result){QE_ACTION_DENY, false, QE_POLICY_NO_RULE};
	note_denial(check, true);
	return false;
}

/* ---- flows ---- */

static uint64_t flow_data(uint32_t subject, uint32_t rule)
{
	return (uint64_t)subject << 32 | rule;
}

struct qe_policy_packet gate_packet_of_key(const struct flow_key *key, uint32_t subject)
{
	struct flow_parts parts = flow_key_parts(key);

	return (struct qe_policy_packet){
		.subject = subject,
		.source = parts.source,
		.destination = parts.destination,
		.protocol = parts.protocol,
		.has_ports = parts.protocol == QE_IP_TCP || parts.protocol == QE_IP_UDP,
		.source_port = parts.source_port,
		.destination_port = parts.destination_port,
	};
}

/* A flow that another policy has allowed: would this one allow its first packet? */
static bool judge_again(struct check *check, struct flow_view *view)
{
	struct flow_key key = view->reply ? flow_key_reverse(&check->tuple.key) : check->tuple.key;
	struct qe_policy_packet packet = gate_packet_of_key(&key, flow_subject(view->data));
	struct qe_policy_result result;
	uint64_t data;

	qe_policy_evaluate(check->policy, &packet, &result);
	if (result.action == QE_ACTION_DENY) {
		flows_remove(&check->gate->flows, view->ref, FLOW_DENIED);
		return false;
	}
	data = flow_data(packet.subject, result.rule);
	flows_set_judged(&check->gate->flows, view, check->generation, data);
	view->data = data;
	return true;
}

static bool find_flow(const struct check *check, struct flow_view *ret_view)
{
	const struct flows *flows = &check->gate->flows;
	const struct qe_gate_cache *cache = check->cache;

	if (cache && cache->from == check->packet->from &&
		memcmp(cache->key, &check->tuple.key, sizeof(cache->key)) == 0 &&
		flows_look(flows, (struct flow_ref){cache->position, cache->version}, cache->reply,
			check->now, ret_view))
		return true;
	return flows_find(flows, &check->tuple.key, check->now, ret_view);
}

static void remember(struct check *check, struct flow_ref ref, bool reply)
{
	struct qe_gate_cache *cache = check->cache;

	flows_add(
		&check->gate->flows, ref, reply, check->packet->packets, check->packet->bytes.len);
	if (!cache || (cache->position == ref.position && cache->version == ref.version &&
			      cache->reply == reply && cache->from == check->packet->from))
		return;
	memcpy(cache->key, &check->tuple.key, sizeof(cache->key));
	cache->from = check->packet->from;
	cache->position = ref.position;
	cache->version = ref.version;
	cache->reply = reply;
}

/* What to do with a packet whose flow is known. */
enum part : uint8_t {
	PART,    /* it is one of its packets */
	STRANGE, /* it is not, and the flow stays as it is */
	INSTEAD, /* it is not, and if the rules allow it, it begins one in the place of that flow */
};

/* The state after the packet; what has ended is not prolonged by what still comes. */
static enum part advance(struct check *check, struct flow_view *view)
{
	enum track_event event = track_event_of(check->tuple.tcp_flags);

	for (unsigned i = 0; i < UPDATE_TRIES; i++) {
		enum track_state state = flow_state(view->life);
		enum track_state next = track_next(state, view->reply, event);

		if (next == TRACK_REOPEN)
			return INSTEAD;
		if (next == TRACK_REFUSE)
			return track_is_closed(state) ? INSTEAD : STRANGE;
		if ((next == state && track_is_closed(state)) ||
			flows_update(&check->gate->flows, view, next, check->now) ||
			!flows_look(&check->gate->flows, view->ref, view->reply, check->now, view))
			break;
	}
	return PART;
}

/* What goes to who began a flow goes to this node if it is this node's. A host behind it may use
 * the address of a peer, and so begin what the peer has not: another one's packets to the peer are
 * no replies to that. */
static bool leads_back(const struct check *check, const struct flow_view *view)
{
	return (check->packet->to == QE_POLICY_SELF) ==
	       (flow_subject(view->data) == QE_POLICY_SELF);
}

static enum part follow(struct check *check, struct flow_view *view)
{
	enum part part;

	if (!view->reply && flow_subject(view->data) != check->packet->from)
		return INSTEAD;
	if (view->reply && !leads_back(check, view))
		return STRANGE;
	if (view->generation != check->generation && !judge_again(check, view))
		return INSTEAD;
	part = advance(check, view);
	if (part != PART)
		return part;
	check->result = (struct qe_policy_result){QE_ACTION_ALLOW, false, (uint32_t)view->data};
	remember(check, view->ref, view->reply);
	return PART;
}

static struct flow_ref begin_flow(struct check *check)
{
	const struct tuple *tuple = &check->tuple;
	struct flow flow = {
		.key = tuple->key,
		.data = flow_data(check->packet->from, check->result.rule),
		.generation = check->generation,
		.state = track_begin(tuple->protocol, track_event_of(tuple->tcp_flags)),
		.started = check->time,
		.to = check->packet->to,
	};
	struct flow_ref ref;

	if (flow.state == TRACK_NONE || flow_key_is_response(&flow.key) ||
		!flows_insert(&check->gate->flows, &flow, check->now, &ref))
		return FLOW_NOWHERE;
	remember(check, ref, false);
	return ref;
}

/* Tells the flow that the packet is part of now. */
static bool check_flow(struct check *check, struct flow_ref *ret_ref, bool *ret_reply)
{
	struct flow_view view;
	enum part part = INSTEAD;
	bool known = find_flow(check, &view);

	if (known)
		part = follow(check, &view);
	if (part == PART) {
		*ret_ref = view.ref;
		*ret_reply = view.reply;
		return true;
	}
	if (!judge(check))
		return false;
	if (part == STRANGE)
		return true;
	if (known)
		flows_remove(&check->gate->flows, view.ref,
			track_is_closed(flow_state(view.life)) ? FLOW_CLOSED : FLOW_REPLACED);
	*ret_ref = begin_flow(check);
	return true;
}

/* An ICMP error about a flow passes, but does not keep the flow alive. */
static bool check_error(struct check *check)
{
	struct flow_view view;

	if (!flows_find(&check->gate->flows, &check->tuple.key, check->now, &view) ||
		(!view.reply && !leads_back(check, &view)) ||
		(view.generation != check->generation && !judge_again(check, &view)))
		return judge(check);
	check->result = (struct qe_policy_result){QE_ACTION_ALLOW, false, (uint32_t)view.data};
	return true;
}

/* ---- fragments ---- */

constexpr uint64_t LINK_REPLY = UINT64_C(1) << 63;

static uint64_t link_make(struct flow_ref ref, bool reply)
{
	return (reply ? LINK_REPLY : 0) | (uint64_t)(ref.position & INT32_MAX) << 32 | ref.version;
}

/* The datagram's other fragments may pass, and are booked to the flow. */
static void expect_fragments(struct check *check, struct flow_ref ref, bool reply)
{
	struct flow fragments = {
		.key = check->tuple.fragments,
		.data = link_make(ref, reply),
		.extra = (uint8_t)check->tuple.units,
		.generation = check->generation,
		.state = TRACK_FRAGMENTS,
	};

	flows_insert(&check->gate->fragments, &fragments, check->now, &ref);
}

/* No more of the datagram passes: no policy that asks has this generation. */
static void expect_no_fragments(struct check *check, const struct flow_view *view)
{
	flows_set_judged(&check->gate->fragments, view, ~check->generation, view->data);
}

static bool check_later_fragment(struct check *check)
{
	struct flows *flows = &check->gate->flows;
	struct flow_view fragments, flow;

	if (!flows_find(&check->gate->fragments, &check->tuple.key, check->now, &fragments) ||
		fragments.reply || fragments.generation != check->generation ||
		check->tuple.units < flow_extra(fragments.life))
		return deny_fragment(check);
	struct flow_ref ref = {
		(uint32_t)(fragments.data >> 32) & INT32_MAX, (uint32_t)fragments.data};
	bool reply = fragments.data & LINK_REPLY;

	check->result = (struct qe_policy_result){QE_ACTION_ALLOW, false, QE_POLICY_NO_RULE};
	if (ref.position == INT32_MAX || !flows_look(flows, ref, reply, check->now, &flow))
		return true;
	check->result.rule = (uint32_t)flow.data;
	flows_add(flows, ref, reply, check->packet->packets, check->packet->bytes.len);
	return true;
}

static bool check_whole(struct check *check, struct flow_ref *ret_ref, bool *ret_reply)
{
	switch (check->tuple.kind) {
	case TUPLE_FLOW:
		return check_flow(check, ret_ref, ret_reply);
	case TUPLE_LONE:
		return judge(check);
	case TUPLE_ERROR:
		return check_error(check);
	case TUPLE_LATER:
		return check_later_fragment(check);
	case TUPLE_BAD:
		break;
	}
	return deny_fragment(check);
}

/* There may have been one before it, and more of the datagram that lay behind its headers: headers
 * that reach further than these would lie under it. */
static void check_first_fragment(struct check *check)
{
	struct flows *fragments = &check->gate->fragments;
	struct flow_ref ref = FLOW_NOWHERE;
	struct flow_view former;
	bool reply = false;
	bool known = flows_find(fragments, &check->tuple.fragments, check->now, &former) &&
		     !former.reply;

	if (known && check->tuple.units > flow_extra(former.life))
		deny_fragment(check);
	else if (!check_whole(check, &ref, &reply)) {
		if (known)
			expect_no_fragments(check, &former);
	} else {
		if (known)
			flows_remove(fragments, former.ref, FLOW_REPLACED);
		expect_fragments(check, ref, reply);
	}
}

static void check_packet(struct check *check)
{
	struct flow_ref ref;
	bool reply;

	if (check->tuple.first_fragment)
		check_first_fragment(check);
	else
		check_whole(check, &ref, &reply);
}

/* ---- the question ---- */

static bool is_plain(const struct qe_packet *packet)
{
	if (packet->fragment)
		return false;
	return packet->protocol == QE_IP_UDP ||
	       (packet->protocol == QE_IP_TCP && track_event_of(packet->tcp_flags) == TRACK_PLAIN);
}

/* One more packet of the flow that was last seen: nothing else needs to be looked at. */
static bool check_cached(struct qe_gate *gate, const struct qe_gate_cache *cache,
	uint32_t generation, const struct qe_gate_packet *asked, uint32_t now,
	struct qe_policy_result *ret_result)
{
	const struct qe_packet *packet = asked->packet;
	struct flow_ref ref = {cache->position, cache->version};
	struct flow_key key, cached;
	uint64_t data;

	if (cache->from != asked->from || !is_plain(packet))
		return false;
	memcpy(&cached, cache->key, sizeof(cached));
	key = flow_key_make(&packet->source, &packet->destination, packet->protocol, FLOW_EITHER,
		packet->source_port, packet->destination_port);
	if (!flow_key_equal(&key, &cached) ||
		!flows_touch(&gate->flows, ref, cache->reply, generation, now, &data))
		return false;
	flows_add(&gate->flows, ref, cache->reply, asked->packets, asked->bytes.len);
	*ret_result = (struct qe_policy_result){QE_ACTION_ALLOW, false, (uint32_t)data};
	return true;
}

enum qe_action qe_gate_check(struct qe_gate *gate, struct qe_gate_cache *cache,
	const struct qe_policy *policy, uint64_t generation, const struct qe_gate_packet *packet,
	qe_time now, struct qe_policy_result *ret_result)
{
	if (policy == nullptr) {
		*ret_result = (struct qe_policy_result){QE_ACTION_ALLOW, false, QE_POLICY_NO_RULE};
		return QE_ACTION_ALLOW;
	}
	if (cache &&
		check_cached(gate, cache, (uint32_t)generation, packet, tick_of(now), ret_result))
		return QE_ACTION_ALLOW;
	struct check check = {
		.gate = gate,
		.cache = cache,
		.policy = policy,
		.packet = packet,
		.generation = (uint32_t)generation,
		.now = tick_of(now),
		.time = now,
	};

	tuple_read(&check.tuple, packet->packet, packet->bytes, packet->from);
	check_packet(&check);
	*ret_result = check.result;
	return check.result.action;
}

/* ---- the gate ---- */

/* From whichever thread ends a flow. */
static void on_flow(void *ctx, const struct flow_record *record)
{
	struct qe_gate *gate = ctx;

	queue_push(&gate->records, record);
}

static enum qe_error prepare(struct qe_gate *gate, const struct qe_gate_settings *settings)
{
	gate->seed = settings->seed;
	QE_TRY(flows_init(&gate->flows, &(struct flows_settings){
						.max = settings->flows_max,
						.seed = settings->seed,
						.tell = settings->account ? on_flow : nullptr,
						.ctx = gate,
					}));
	QE_TRY(flows_init(&gate->fragments, &(struct flows_settings){
						    .max = FRAGMENTS_MAX,
						    .of_fragments = true,
						    .seed = settings->seed,
					    }));
	if (settings->account)
		QE_TRY(queue_init(&gate->records, RECORDS_MAX, sizeof(struct flow_record)));
	return queue_init(&gate->verdicts, VERDICTS_MAX, sizeof(struct qe_gate_verdict));
}

enum qe_error qe_gate_new(struct qe_gate **ret_gate, const struct qe_gate_settings *settings)
{
	struct qe_gate *gate = calloc(1, sizeof(*gate));
	enum qe_error error;

	if (gate == nullptr)
		return (enum qe_error) - ENOMEM;
	error = prepare(gate, settings);
	if (error != QE_OK) {
		qe_gate_free(gate);
		return error;
	}
	*ret_gate = gate;
	return QE_OK;
}

struct qe_gate *qe_gate_free(struct qe_gate *gate)
{
	if (gate == nullptr)
		return nullptr;
	flows_done(&gate->flows);
	flows_done(&gate->fragments);
	queue_done(&gate->records);
	queue_done(&gate->verdicts);
	free(gate);
	return nullptr;
}
