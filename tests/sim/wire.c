/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What lies between the hosts: wires that delay, lose, double, damage and reorder, bottlenecks, and
 * NAT boxes. */
#include "mesh.h"

#include <stdlib.h>
#include <string.h>

/* Arrivals are rounded up to this, so that datagrams of one burst come together, as they do from a
 * network card that coalesces interrupts. */
#define ARRIVAL_GRID (50 * QE_MICROSECOND)
#define SINGLY 0.125 /* how often a datagram is handed over alone although more have come */
#define BATCH_SEGMENTS_MAX 64

struct mesh_laid {
	struct mesh_laid *next;
	const struct mesh_host *from, *to;
	struct mesh_wire wire;
	qe_time free_at; /* when the bottleneck has sent what is queued */
};

struct mapping {
	struct mapping *next;
	const struct mesh_host *inside;
	struct qe_endpoint remote;
	uint16_t port;
	qe_time used;
};

struct mesh_nat {
	struct mesh_nat *next;
	struct mesh *mesh;
	struct qe_endpoint outside; /* the address; the port is the forwarded one */
	const struct mesh_host *forwarded;
	qe_time timeout;
	struct mapping *mappings;
	uint64_t n_made;
	uint16_t next_port;
};

struct datagram {
	struct mesh_event event;
	struct qe_endpoint source, destination;
	uint8_t ecn;
	size_t len;
	uint8_t bytes[MESH_DATAGRAM_MAX];
};

struct mesh_batch {
	struct mesh_host *host; /* NULL: empty */
	struct qe_path path;
	uint8_t ecn;
	size_t segment_size, len;
	unsigned n;
	bool ended; /* by a shorter one */
	uint8_t bytes[65536];
};

static bool same(const struct qe_endpoint *a, const struct qe_endpoint *b)
{
	return a->port == b->port && a->addr.family == b->addr.family &&
	       memcmp(a->addr.bytes, b->addr.bytes, sizeof(a->addr.bytes)) == 0;
}

/* ---- NAT ---- */

static struct mapping *live_mapping(
	struct mesh_nat *nat, const struct mesh_host *inside, const struct qe_endpoint *remote)
{
	for (struct mapping *m = nat->mappings; m; m = m->next)
		if (m->inside == inside && same(&m->remote, remote) &&
			qe_time_since(m->used, nat->mesh->now) <= nat->timeout)
			return m;
	return nullptr;
}

static struct mapping *make_mapping(struct mesh_nat *nat, const struct mesh_host *inside,
	const struct qe_endpoint *remote, uint16_t port)
{
	struct mapping *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	*m = (struct mapping){
		.next = nat->mappings, .inside = inside, .remote = *remote, .port = port};
	nat->mappings = m;
	nat->n_made++;
	return m;
}

static struct qe_endpoint nat_out(
	struct mesh_nat *nat, const struct mesh_host *inside, const struct qe_endpoint *remote)
{
	struct mapping *m = live_mapping(nat, inside, remote);
	if (!m)
		m = make_mapping(nat, inside, remote, nat->next_port++);
	m->used = nat->mesh->now;
	struct qe_endpoint outside = nat->outside;
	outside.port = m->port;
	return outside;
}

static const struct mesh_host *nat_in(
	struct mesh_nat *nat, const struct qe_endpoint *remote, uint16_t port)
{
	for (struct mapping *m = nat->mappings; m; m = m->next)
		if (m->port == port && same(&m->remote, remote) &&
			qe_time_since(m->used, nat->mesh->now) <= nat->timeout) {
			m->used = nat->mesh->now;
			return m->inside;
		}
	if (!nat->forwarded || port != nat->outside.port)
		return nullptr;
	make_mapping(nat, nat->forwarded, remote, port)->used = nat->mesh->now;
	return nat->forwarded;
}

struct mesh_nat *mesh_nat_add(struct mesh_host *host, qe_time timeout, bool forwarded)
{
	struct mesh_nat *nat = calloc(1, sizeof(*nat));
	assert_non_null(nat);
	*nat = (struct mesh_nat){.next = host->mesh->nats,
		.mesh = host->mesh,
		.outside = host->at[0],
		.forwarded = forwarded ? host : nullptr,
		.timeout = timeout,
		.next_port = 30000};
	nat->outside.addr.bytes[0] = 203;
	host->mesh->nats = nat;
	host->nat = nat;
	host->at[1] = (struct qe_endpoint){}; /* the box knows IPv4 only */
	return nat;
}

void mesh_nat_rebind(struct mesh_nat *nat)
{
	while (nat->mappings) {
		struct mapping *m = nat->mappings;
		nat->mappings = m->next;
		free(m);
	}
}

uint64_t mesh_nat_mappings(const struct mesh_nat *nat)
{
	return nat->n_made;
}

struct qe_endpoint mesh_reachable_at(const struct mesh_host *host, unsigned family)
{
	if (host->nat && family == QE_FAMILY_IPV4)
		return host->nat->outside;
	return host->at[family == QE_FAMILY_IPV6];
}

/* ---- arrival ---- */

/* The host that a datagram from source reaches at destination, or NULL. */
static struct mesh_host *owner(struct mesh *mesh, const struct qe_endpoint *source,
	const struct qe_endpoint *destination, bool count)
{
	for (size_t i = 0; i < mesh->n_hosts; i++)
		if (!mesh->hosts[i]->nat &&
			same(&mesh->hosts[i]->at[destination->addr.family == QE_FAMILY_IPV6],
				destination))
			return mesh->hosts[i];
	struct qe_endpoint box = *destination;
	for (struct mesh_nat *nat = mesh->nats; nat; nat = nat->next) {
		box.port = nat->outside.port;
		if (!same(&nat->outside, &box))
			continue;
		if (count)
			return (struct mesh_host *)nat_in(nat, source, destination->port);
		for (size_t i = 0; i < mesh->n_hosts; i++) /* any behind it: for the wire */
			if (mesh->hosts[i]->nat == nat)
				return mesh->hosts[i];
	}
	return nullptr;
}

struct mesh_batch *mesh_batch_new(void)
{
	struct mesh_batch *batch = calloc(1, sizeof(*batch));
	assert_non_null(batch);
	return batch;
}

/* Of the datagram that begins there. */
static unsigned worker_of(const struct mesh_batch *batch, size_t at)
{
	size_t left = batch->len - at;
	return qe_datagram_worker(batch->bytes + at,
		left < batch->segment_size ? left : batch->segment_size, batch->host->workers);
}

void mesh_batch_flush(struct mesh *mesh)
{
	struct mesh_batch *batch = mesh->batch;
	if (!batch->host)
		return;
	struct mesh_host *host = batch->host;
	if (!host->shard) {
		batch->host = nullptr;
		return;
	}
	for (size_t at = 0, end; at < batch->len; at = end) {
		unsigned worker = worker_of(batch, at);
		for (end = at; end < batch->len && worker_of(batch, end) == worker;)
			end = batch->len - end < batch->segment_size ? batch->len
								     : end + batch->segment_size;
		qe_shard_udp_input(host->shards[worker], &batch->path, batch->ecn,
			batch->bytes + at, end - at, batch->segment_size, mesh->now);
	}
	batch->host = nullptr;
	host->deadline = mesh->now;
}

static bool joins(const struct mesh_batch *batch, const struct mesh_host *host,
	const struct datagram *datagram)
{
	return batch->host == host && !batch->ended && batch->n < BATCH_SEGMENTS_MAX &&
	       batch->ecn == datagram->ecn && datagram->len <= batch->segment_size &&
	       same(&batch->path.remote, &datagram->source) && batch->len + datagram->len <= 65535;
}

static void arrive(struct mesh *mesh, struct mesh_event *event)
{
	struct datagram *datagram = (struct datagram *)event;
	struct mesh_host *host = owner(mesh, &datagram->source, &datagram->destination, true);
	struct mesh_batch *batch = mesh->batch;
	if (host && host->shard && !host->asleep) {
		host->rx_datagrams++;
		host->rx_bytes += datagram->len;
		if (!joins(batch, host, datagram) || mesh_chance(mesh, SINGLY)) {
			mesh_batch_flush(mesh);
			batch->host = host;
			batch->path = (struct qe_path){
				.local = host
					->at[datagram->destination.addr.family == QE_FAMILY_IPV6],
				.remote = datagram->source};
			batch->ecn = datagram->ecn;
			batch->segment_size = datagram->len;
			batch->len = batch->n = 0;
			batch->ended = false;
		}
		memcpy(batch->bytes + batch->len, datagram->bytes, datagram->len);
		batch->len += datagram->len;
		batch->n++;
		batch->ended = datagram->len < batch->segment_size;
	}
	free(datagram);
}

/* ---- departure ---- */

static struct mesh_laid *laid_between(
	struct mesh *mesh, const struct mesh_host *from, const struct mesh_host *to)
{
	for (struct mesh_laid *laid = mesh->laid; laid; laid = laid->next)
		if (laid->from == from && laid->to == to)
			return laid;
	return nullptr;
}

struct mesh_wire *mesh_lay(
	struct mesh *mesh, const struct mesh_host *from, const struct mesh_host *to)
{
	struct mesh_laid *laid = laid_between(mesh, from, to);
	if (!laid) {
		laid = calloc(1, sizeof(*laid));
		assert_non_null(laid);
		*laid = (struct mesh_laid){
			.next = mesh->laid, .from = from, .to = to, .wire = mesh->wire};
		mesh->laid = laid;
	}
	return &laid->wire;
}

void mesh_lay_both(struct mesh *mesh, const struct mesh_host *a, const struct mesh_host *b,
	const struct mesh_wire *wire)
{
	*mesh_lay(mesh, a, b) = *wire;
	*mesh_lay(mesh, b, a) = *wire;
}

/* When the bottleneck has passed the datagram on; QE_TIME_NEVER if its queue is full. */
static qe_time through_bottleneck(struct mesh *mesh, struct mesh_laid *laid, size_t len)
{
	if (!laid || laid->wire.rate == 0)
		return mesh->now;
	const struct mesh_wire *wire = &laid->wire;
	qe_time free_at = qe_time_max(laid->free_at, mesh->now);
	size_t on_wire = len + 28;
	if ((free_at - mesh->now) / 8 * wire->rate / QE_SECOND + on_wire > wire->queue)
		return QE_TIME_NEVER;
	laid->free_at = free_at + on_wire * 8 * QE_SECOND / wire->rate;
	return laid->free_at;
}

static void damage(struct mesh *mesh, struct datagram *datagram)
{
	for (uint64_t n = 1 + mesh_random_below(mesh, 3); n > 0; n--) {
		uint64_t bit = mesh_random_below(mesh, datagram->len * 8);
		datagram->bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
	}
}

static void put_on_wire(struct mesh *mesh, struct mesh_laid *laid, uint8_t ecn,
	const struct qe_path *path, struct qe_bytes bytes)
{
	const struct mesh_wire *wire = laid ? &laid->wire : &mesh->wire;
	if (wire->cut || bytes.len > wire->mtu || mesh_chance(mesh, wire->loss))
		return;
	qe_time sent = through_bottleneck(mesh, laid, bytes.len);
	if (sent == QE_TIME_NEVER)
		return;

	struct datagram *datagram = malloc(sizeof(*datagram));
	assert_non_null(datagram);
	datagram->event.fire = arrive;
	datagram->source = path->local;
	datagram->destination = path->remote;
	datagram->ecn = wire->remark ? wire->remark[ecn] : ecn;
	datagram->len = bytes.len;
	memcpy(datagram->bytes, bytes.data, bytes.len);
	if (mesh_chance(mesh, wire->corruption))
		damage(mesh, datagram);
	qe_time at = sent + wire->delay + mesh_random_below(mesh, wire->jitter);
	mesh_schedule(mesh, &datagram->event, (at / ARRIVAL_GRID + 1) * ARRIVAL_GRID);
}

void mesh_transmit(
	struct mesh_host *host, const struct qe_path *path, uint8_t ecn, struct qe_bytes bytes)
{
	struct mesh *mesh = host->mesh;
	mesh_check(mesh, bytes.len > 0 && bytes.len <= MESH_DATAGRAM_MAX, "%zu", bytes.len);
	host->tx_datagrams++;
	host->tx_bytes += bytes.len;
	host->tx_ecn[ecn]++;
	if (mesh->tap)
		mesh->tap(mesh->tap_ctx, host, bytes);

	struct qe_path outside = {.local = host->at[path->remote.addr.family == QE_FAMILY_IPV6],
		.remote = path->remote};
	if (!outside.local.addr.family ||
		(path->local.addr.family &&
			!qe_addr_equal(&path->local.addr, &outside.local.addr))) {
		host->unsendable++;
		return;
	}
	if (host->nat && path->remote.addr.family == QE_FAMILY_IPV4)
		outside.local = nat_out(host->nat, host, &path->remote);
	struct mesh_host *to = owner(mesh, &outside.local, &path->remote, false);
	if (!to) {
		mesh->nowhere_datagrams++;
		mesh->nowhere_bytes += bytes.len;
		return;
	}
	struct mesh_laid *laid = laid_between(mesh, host, to);
	const struct mesh_wire *wire = laid ? &laid->wire : &mesh->wire;
	put_on_wire(mesh, laid, ecn, &outside, bytes);
	if (mesh_chance(mesh, wire->duplication))
		put_on_wire(mesh, laid, ecn, &outside, bytes);
}

void mesh_spoof(struct mesh *mesh, const struct qe_endpoint *from, const struct mesh_host *to,
	struct qe_bytes bytes)
{
	struct datagram *datagram = malloc(sizeof(*datagram));
	assert_non_null(datagram);
	mesh_check(mesh, bytes.len <= MESH_DATAGRAM_MAX);
	datagram->event.fire = arrive;
	datagram->source = *from;
	datagram->destination = to->at[from->addr.family == QE_FAMILY_IPV6];
	datagram->ecn = 0;
	datagram->len = bytes.len;
	memcpy(datagram->bytes, bytes.data, bytes.len);
	mesh_schedule(mesh, &datagram->event, mesh->now);
}

/* ---- the end ---- */

void mesh_wires_done(struct mesh *mesh)
{
	for (size_t i = 0; i < mesh->n_heap; i++)
		if (mesh->heap[i]->fire == arrive)
			free(mesh->heap[i]);
	mesh->n_heap = 0;
	for (struct mesh_laid *laid = mesh->laid, *next; laid; laid = next) {
		next = laid->next;
		free(laid);
	}
	for (struct mesh_nat *nat = mesh->nats, *next; nat; nat = next) {
		next = nat->next;
		mesh_nat_rebind(nat);
		free(nat);
	}
	free(mesh->batch);
}
