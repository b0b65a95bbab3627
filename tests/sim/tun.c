/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The TUN devices of the mesh, and the packets inside: built whole, split as a kernel would split
 * them, checked to the last byte and counted. */
#include "mesh.h"

#include <stdlib.h>
#include <string.h>

#include "net/checksum.h"

#define FEED_MAX 16 /* packets read from the device between two runs of the shard */
#define FLOW_PORT 20000
#define GREEDY_INTERVAL (100 * QE_MICROSECOND)
#define UDP_CELL_HEADER 16 /* sequence number, time of injection */

/* ---- packets ---- */

static size_t put_ip(uint8_t *to, const struct mesh_inner *inner, size_t transport_len)
{
	if (inner->source.family == QE_FAMILY_IPV6) {
		memset(to, 0, 40);
		qe_store_u16(to, (uint16_t)(0x6000 | inner->traffic_class << 4));
		qe_store_u16(to + 4, (uint16_t)transport_len);
		to[6] = inner->protocol;
		to[7] = inner->hop_limit ? inner->hop_limit : 64;
		memcpy(to + 8, inner->source.bytes, 16);
		memcpy(to + 24, inner->destination.bytes, 16);
		return 40;
	}
	memset(to, 0, 20);
	to[0] = 0x45;
	to[1] = inner->traffic_class;
	qe_store_u16(to + 2, (uint16_t)(20 + transport_len));
	to[6] = inner->dont_fragment ? 0x40 : 0;
	to[8] = inner->hop_limit ? inner->hop_limit : 64;
	to[9] = inner->protocol;
	memcpy(to + 12, inner->source.bytes, 4);
	memcpy(to + 16, inner->destination.bytes, 4);
	qe_checksum_ipv4_header(to);
	return 20;
}

static size_t put_transport(uint8_t *to, const struct mesh_inner *inner, size_t payload_len)
{
	if (inner->protocol != QE_IP_UDP && inner->protocol != QE_IP_TCP)
		return 0;
	memset(to, 0, 20);
	qe_store_u16(to, inner->source_port);
	qe_store_u16(to + 2, inner->destination_port);
	if (inner->protocol == QE_IP_UDP) {
		qe_store_u16(to + 4, (uint16_t)(8 + payload_len));
		return 8;
	}
	qe_store_u32(to + 4, inner->sequence);
	to[12] = 5 << 4;
	to[13] = inner->tcp_flags;
	qe_store_u16(to + 14, 65535);
	return 20;
}

size_t mesh_build(uint8_t *to, const struct mesh_inner *inner, struct qe_bytes payload)
{
	size_t transport_header = inner->protocol == QE_IP_UDP   ? 8
				  : inner->protocol == QE_IP_TCP ? 20
								 : 0;
	size_t at = put_ip(to, inner, transport_header + payload.len);
	at += put_transport(to + at, inner, payload.len);
	memcpy(to + at, payload.data, payload.len);
	at += payload.len;

	struct qe_packet packet;
	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){to, at}), QE_OK);
	if (transport_header)
		qe_checksum_transport_complete(to, &packet);
	return at;
}

/* ---- the queue that the shard reads from ---- */

bool mesh_inject(struct mesh_host *host, const struct qe_offload *offload, struct qe_bytes bytes)
{
	if (host->tun_waiting >= host->tun_limit || !host->shard || host->asleep)
		return false;
	struct mesh_packet *packet = malloc(sizeof(*packet) + bytes.len);
	assert_non_null(packet);
	packet->next = nullptr;
	packet->offload = offload ? *offload : (struct qe_offload){};
	packet->len = bytes.len;
	memcpy(packet->bytes, bytes.data, bytes.len);
	*host->tun_tail = packet;
	host->tun_tail = &packet->next;
	host->tun_waiting++;
	host->deadline = host->mesh->now; /* the device has become readable */
	return true;
}

static struct mesh_packet *take_waiting(struct mesh_host *host)
{
	struct mesh_packet *packet = host->tun_head;
	host->tun_head = packet->next;
	if (!host->tun_head)
		host->tun_tail = &host->tun_head;
	host->tun_waiting--;
	return packet;
}

uint64_t mesh_packets_in(const struct qe_offload *offload, struct qe_bytes bytes)
{
	struct qe_packet parsed;
	uint64_t n = 0;

	bytes = qe_packet_trim(bytes);
	if (offload->gso == QE_GSO_NONE || offload->gso_size == 0 ||
		qe_packet_parse(&parsed, bytes) != QE_OK)
		return 1;
	for (size_t at = parsed.payload; at < bytes.len; at += offload->gso_size)
		n++;
	return n ? n : 1;
}

/* Of the first that waits. */
static struct qe_shard *tun_shard(const struct mesh_host *host)
{
	return host->shards[qe_packet_worker(
		host->tun_head->bytes, host->tun_head->len, host->workers)];
}

bool mesh_tun_is_wanted(const struct mesh_host *host)
{
	size_t capacity;
	return host->tun_head && qe_shard_tun_buffer(tun_shard(host), &capacity);
}

bool mesh_tun_feed(struct mesh_host *host)
{
	unsigned n = 0;
	for (; host->tun_head && n < FEED_MAX; n++) {
		size_t capacity = 0;
		struct qe_shard *shard = tun_shard(host);
		uint8_t *buffer = qe_shard_tun_buffer(shard, &capacity);
		if (!buffer) {
			host->tun_refused++;
			break;
		}
		struct mesh_packet *packet = take_waiting(host);
		mesh_check(host->mesh, capacity >= 65535);
		host->tun_fed += mesh_packets_in(
			&packet->offload, (struct qe_bytes){packet->bytes, packet->len});
		memcpy(buffer, packet->bytes, packet->len);
		qe_shard_tun_input(shard, &packet->offload, packet->len, host->mesh->now);
		free(packet);
	}
	return n > 0;
}

void mesh_tun_drain(struct mesh_host *host)
{
	while (host->tun_head)
		free(take_waiting(host));
}

void mesh_inbox_clear(struct mesh_host *host)
{
	while (host->inbox) {
		struct mesh_packet *packet = host->inbox;
		host->inbox = packet->next;
		free(packet);
	}
	host->inbox_tail = &host->inbox;
	host->n_inbox = 0;
}

/* ---- flows: what a packet carries, and what came of it ---- */

static uint8_t pattern(uint32_t flow, uint64_t at)
{
	return (uint8_t)((at * 2654435761U + flow * 97) >> 11);
}

static void grow_seen(struct mesh_flow *flow, uint64_t cells)
{
	if (cells <= flow->seen_capacity)
		return;
	uint64_t capacity = cells * 2 + 4096;
	flow->seen = realloc(flow->seen, capacity / 8 + 1);
	assert_non_null(flow->seen);
	memset(flow->seen + (flow->seen_capacity + 7) / 8, 0,
		capacity / 8 + 1 - (flow->seen_capacity + 7) / 8);
	flow->seen_capacity = capacity / 8 * 8;
}

static void mark(struct mesh_flow *flow, uint64_t cell)
{
	uint8_t bit = (uint8_t)(1U << cell % 8);
	if (cell >= flow->sent)
		flow->damaged++;
	else if (flow->seen[cell / 8] & bit)
		flow->duplicates++;
	else {
		flow->seen[cell / 8] |= bit;
		flow->received++;
	}
}

static void note_arrival(struct mesh_flow *flow, uint64_t first, uint64_t n)
{
	qe_time now = flow->from->mesh->now;
	if (first < flow->next)
		flow->reordered += n;
	else
		flow->next = first + n;
	flow->longest_gap = qe_time_max(
		flow->longest_gap, now - qe_time_max(flow->last_received, flow->started));
	flow->last_received = now;
}

static void take_udp(struct mesh_flow *flow, struct qe_bytes payload)
{
	if (payload.len < UDP_CELL_HEADER) {
		flow->damaged++;
		return;
	}
	uint64_t cell = qe_load_u32(payload.data);
	qe_time sent = (qe_time)qe_load_u32(payload.data + 8) << 32 |
		       qe_load_u32(payload.data + 12);
	for (size_t i = UDP_CELL_HEADER; i < payload.len; i++)
		if (payload.data[i] != pattern(flow->index, cell + i)) {
			flow->damaged++;
			return;
		}
	qe_time delay = qe_time_since(sent, flow->from->mesh->now);
	flow->longest_delay = qe_time_max(flow->longest_delay, delay);
	flow->total_delay += delay;
	note_arrival(flow, cell, 1);
	mark(flow, cell);
}

static void take_tcp(struct mesh_flow *flow, uint32_t sequence, struct qe_bytes payload)
{
	note_arrival(flow, sequence, payload.len);
	for (size_t i = 0; i < payload.len; i++)
		if (payload.data[i] == pattern(flow->index, sequence + i))
			mark(flow, sequence + i);
		else
			flow->damaged++;
}

static struct mesh_flow *flow_of(struct mesh_host *host, const struct qe_packet *packet)
{
	unsigned index = packet->destination_port - FLOW_PORT;
	if (packet->destination_port < FLOW_PORT || index >= host->mesh->n_flows)
		return nullptr;
	struct mesh_flow *flow = host->mesh->flows[index];
	return flow->to == host && flow->inner.protocol == packet->protocol ? flow : nullptr;
}

/* ---- what the shard writes ---- */

static void deliver(struct mesh_host *host, const uint8_t *bytes, size_t len)
{
	struct qe_packet packet;
	struct qe_bytes whole = {bytes, len};
	mesh_check(host->mesh, qe_packet_parse(&packet, whole) == QE_OK);
	mesh_check(host->mesh, len <= host->mtu, "%zu", len);
	bool checked = (packet.protocol == QE_IP_UDP || packet.protocol == QE_IP_TCP) &&
		       !packet.fragment;
	mesh_check(host->mesh, !checked || qe_checksum_transport_valid(bytes, &packet));
	host->tun_packets++;

	struct mesh_flow *flow = flow_of(host, &packet);
	struct qe_bytes payload = {bytes + packet.payload, len - packet.payload};
	if (flow)
		flow->marked += qe_packet_ecn(&packet) == QE_ECN_CE;
	if (flow && packet.protocol == QE_IP_UDP) {
		take_udp(flow, payload);
	} else if (flow) {
		take_tcp(flow, qe_load_u32(bytes + packet.transport + 4), payload);
	} else {
		struct mesh_packet *kept = malloc(sizeof(*kept) + len);
		assert_non_null(kept);
		*kept = (struct mesh_packet){.len = len};
		memcpy(kept->bytes, bytes, len);
		*host->inbox_tail = kept;
		host->inbox_tail = &kept->next;
		host->n_inbox++;
	}
}

/* The field holds the pseudo-header's sum and nothing else: that is what the kernel builds on. */
static void check_partial(struct mesh_host *host, const struct qe_offload *offload,
	const struct qe_packet *packet, const uint8_t *bytes)
{
	size_t field = (size_t)offload->csum_start + offload->csum_offset;
	mesh_check(host->mesh, offload->csum_start == packet->transport);
	mesh_check(host->mesh, offload->csum_offset == (packet->protocol == QE_IP_TCP ? 16 : 6));
	uint64_t sum = qe_checksum_pseudo(packet, packet->len - packet->transport);
	mesh_check(host->mesh, qe_load_u16(bytes + field) == qe_checksum_fold(sum));
}

/* Segment number index of a super-packet, from at on. */
static size_t cut_segment(uint8_t *to, const uint8_t *bytes, const struct qe_packet *packet,
	unsigned index, size_t at, size_t size)
{
	size_t len = packet->payload + size;
	bool last = at + size == packet->len;
	memcpy(to, bytes, packet->payload);
	memcpy(to + packet->payload, bytes + at, size);
	if (packet->version == 4) {
		qe_store_u16(to + 2, (uint16_t)len);
		qe_store_u16(to + 4, (uint16_t)(qe_load_u16(bytes + 4) + index));
		qe_checksum_ipv4_header(to);
	} else {
		qe_store_u16(to + 4, (uint16_t)(len - 40));
	}
	uint8_t *transport = to + packet->transport;
	if (packet->protocol == QE_IP_UDP) {
		qe_store_u16(transport + 4, (uint16_t)(len - packet->transport));
	} else {
		qe_store_u32(transport + 4,
			(uint32_t)(qe_load_u32(transport + 4) + at - packet->payload));
		if (!last)
			transport[13] &= (uint8_t)~0x09; /* FIN, PSH */
	}
	return len;
}

static void deliver_completed(struct mesh_host *host, uint8_t *bytes, size_t len)
{
	struct qe_packet packet;
	mesh_check(host->mesh, qe_packet_parse(&packet, (struct qe_bytes){bytes, len}) == QE_OK);
	qe_checksum_transport_complete(bytes, &packet);
	deliver(host, bytes, len);
}

void mesh_tun_write(void *ctx, const struct qe_offload *offload, const uint8_t *data, size_t len)
{
	static uint8_t copy[65536];
	struct mesh_host *host = ctx;
	struct qe_packet packet;
	mesh_check(host->mesh, qe_packet_parse(&packet, (struct qe_bytes){data, len}) == QE_OK,
		"%zu", len);
	host->tun_writes++;
	if (offload->gso == QE_GSO_NONE && !offload->needs_csum) {
		deliver(host, data, len);
		return;
	}
	check_partial(host, offload, &packet, data);
	size_t size = offload->gso == QE_GSO_NONE ? len - packet.payload : offload->gso_size;
	mesh_check(host->mesh, offload->needs_csum && (size > 0 || len == packet.payload));
	size_t at = packet.payload;
	for (unsigned index = 0; at < len || index == 0; index++) {
		size_t n = len - at < size ? len - at : size;
		deliver_completed(host, copy, cut_segment(copy, data, &packet, index, at, n));
		at += n;
	}
}

/* ---- flows: the source ---- */

static void fill_udp(const struct mesh_flow *flow, uint8_t *to, size_t size, uint64_t cell)
{
	qe_time now = flow->from->mesh->now;
	qe_store_u32(to, (uint32_t)cell);
	qe_store_u32(to + 4, 0);
	qe_store_u32(to + 8, (uint32_t)(now >> 32));
	qe_store_u32(to + 12, (uint32_t)now);
	for (size_t i = UDP_CELL_HEADER; i < size; i++)
		to[i] = pattern(flow->index, cell + i);
}

static void make_partial(uint8_t *bytes, size_t len, size_t size, struct qe_offload *ret_offload)
{
	struct qe_packet packet;
	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){bytes, len}), QE_OK);
	qe_checksum_transport_partial(bytes, &packet);
	bool tcp = packet.protocol == QE_IP_TCP;
	uint8_t tcp_gso = packet.version == 4 ? QE_GSO_TCP4 : QE_GSO_TCP6;
	*ret_offload = (struct qe_offload){.gso = tcp ? tcp_gso : QE_GSO_UDP,
		.needs_csum = true,
		.gso_size = (uint16_t)size,
		.hdr_len = packet.payload,
		.csum_start = packet.transport,
		.csum_offset = tcp ? 16 : 6};
}

/* One packet or super-packet into the queue; false if there is no room. */
static bool send_next(struct mesh_flow *flow)
{
	static uint8_t payload[65536], bytes[65536];
	bool udp = flow->inner.protocol == QE_IP_UDP;
	size_t header = (flow->inner.source.family == QE_FAMILY_IPV6 ? 40 : 20) + (udp ? 8 : 20);
	size_t each = udp ? flow->size - header : flow->size, n = each * flow->segments;
	uint64_t cells = udp ? flow->segments : n;
	grow_seen(flow, flow->sent + cells);
	for (size_t i = 0; udp && i < flow->segments; i++)
		fill_udp(flow, payload + i * each, each, flow->sent + i);
	for (size_t i = 0; !udp && i < n; i++)
		payload[i] = pattern(flow->index, flow->sent + i);

	struct mesh_inner inner = flow->inner;
	struct qe_offload offload = {};
	inner.sequence = (uint32_t)flow->sent;
	size_t len = mesh_build(bytes, &inner, (struct qe_bytes){payload, n});
	if (flow->segments > 1)
		make_partial(bytes, len, each, &offload);
	if (!mesh_inject(flow->from, &offload, (struct qe_bytes){bytes, len}))
		return false;
	flow->sent += cells;
	return true;
}

static void flow_tick(struct mesh *mesh, struct mesh_event *event)
{
	struct mesh_flow *flow = (struct mesh_flow *)event;
	if (flow->stopped || flow->sent >= flow->limit)
		return;
	if (flow->interval == 0) {
		while (flow->from->tun_waiting < flow->room && send_next(flow))
			;
	} else if (!send_next(flow)) {
		flow->refused++;
	}
	mesh_schedule(mesh, event, mesh->now + (flow->interval ? flow->interval : GREEDY_INTERVAL));
}

struct mesh_flow *mesh_flow_start(struct mesh_host *from, struct mesh_host *to, enum mesh_kind kind,
	size_t size, qe_time interval)
{
	struct mesh *mesh = from->mesh;
	struct mesh_flow *flow = calloc(1, sizeof(*flow));
	mesh->flows = realloc(mesh->flows, (mesh->n_flows + 1) * sizeof(flow));
	assert_true(flow && mesh->flows);
	bool v6 = kind == MESH_UDP6 || kind == MESH_TCP6;
	bool udp = kind == MESH_UDP4 || kind == MESH_UDP6;
	uint16_t port = (uint16_t)(FLOW_PORT + mesh->n_flows);
	*flow = (struct mesh_flow){.event.fire = flow_tick,
		.from = from,
		.to = to,
		.inner = {.source = v6 ? from->inner6 : from->inner4,
			.destination = v6 ? to->inner6 : to->inner4,
			.protocol = udp ? QE_IP_UDP : QE_IP_TCP,
			.source_port = port,
			.destination_port = port,
			.tcp_flags = 0x10,
			.dont_fragment = true},
		.size = size,
		.segments = 1,
		.interval = interval,
		.room = 4,
		.limit = UINT64_MAX,
		.index = (uint32_t)mesh->n_flows,
		.started = mesh->now};
	mesh->flows[mesh->n_flows++] = flow;
	mesh_schedule(mesh, &flow->event, mesh->now);
	return flow;
}

void mesh_flow_stop(struct mesh_flow *flow)
{
	flow->stopped = true;
}

uint64_t mesh_flow_lost(const struct mesh_flow *flow)
{
	return flow->sent - flow->received;
}

void mesh_flow_check_whole(const struct mesh_flow *flow)
{
	mesh_check(flow->from->mesh, flow->sent > 0);
	mesh_check(flow->from->mesh,
		flow->received == flow->sent && !flow->duplicates && !flow->damaged,
		"sent %llu, received %llu, twice %llu, damaged %llu, refused %llu",
		(unsigned long long)flow->sent, (unsigned long long)flow->received,
		(unsigned long long)flow->duplicates, (unsigned long long)flow->damaged,
		(unsigned long long)flow->refused);
}

void mesh_flow_free(struct mesh_flow *flow)
{
	free(flow->seen);
	free(flow);
}
