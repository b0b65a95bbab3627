/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A link, from the first packet to the last.
 *
 * The QUIC profile is set here: BBR, datagrams, one stream, path MTU discovery up to what the TUN's
 * MTU needs, keepalive. What one packet costs matters here as well: qe_link_send runs once for each
 * IP packet, and writes straight into the batch.
 *
 * Invariants: a link is established only when both sides have authenticated one another; nothing
 * of a peer is delivered before. Every connection ID under which packets may arrive has been told
 * to the owner, and is taken back before the link is gone.
 */
#include "quic/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "net/addr.h"
#include "quic/link_internal.h"

constexpr qe_time HANDSHAKE_TIMEOUT = 8 * QE_SECOND;
constexpr qe_time IDLE_TIMEOUT = 60 * QE_SECOND;
constexpr qe_time KEEPALIVE = 20 * QE_SECOND; /* below what NATs keep a UDP binding for */
constexpr uint64_t CONTROL_WINDOW = 64 * 1024;
constexpr size_t PADDED_MIN = NGTCP2_MAX_UDP_PAYLOAD_SIZE;

/* ---- memory of ngtcp2, which holds secrets: wiped when given back ---- */

struct block {
	size_t size;
	alignas(max_align_t) uint8_t data[];
};

static struct block *block_of(void *data)
{
	return (struct block *)((uint8_t *)data - offsetof(struct block, data));
}

static void *wiping_calloc(size_t n, size_t size, void *)
{
	struct block *block;

	if (size != 0 && n > (SIZE_MAX - sizeof(*block)) / size)
		return nullptr;
	block = calloc(1, sizeof(*block) + n * size);
	if (block == nullptr)
		return nullptr;
	block->size = n * size;
	return block->data;
}

static void *wiping_malloc(size_t size, void *)
{
	struct block *block = size <= SIZE_MAX - sizeof(*block) ? malloc(sizeof(*block) + size)
								: nullptr;

	if (block == nullptr)
		return nullptr;
	block->size = size;
	return block->data;
}

static void wiping_free(void *data, void *)
{
	if (data == nullptr)
		return;
	struct block *block = block_of(data);

	qe_wipe(block->data, block->size);
	free(block);
}

static void *wiping_realloc(void *data, size_t size, void *)
{
	void *moved = wiping_malloc(size, nullptr);

	if (moved == nullptr || data == nullptr)
		return moved;
	size_t old = block_of(data)->size;

	memcpy(moved, data, old < size ? old : size);
	wiping_free(data, nullptr);
	return moved;
}

static const ngtcp2_mem wiping_mem = {
	.malloc = wiping_malloc,
	.free = wiping_free,
	.calloc = wiping_calloc,
	.realloc = wiping_realloc,
};

/* ---- addresses ---- */

/* An address left to the system is the wildcard of the family given. */
static ngtcp2_socklen to_sockaddr(
	ngtcp2_sockaddr_union *to, const struct qe_endpoint *endpoint, uint8_t family)
{
	*to = (ngtcp2_sockaddr_union){};
	if (family == QE_FAMILY_IPV4) {
		to->in.sin_family = AF_INET;
		to->in.sin_port = htons(endpoint->port);
		memcpy(&to->in.sin_addr, endpoint->addr.bytes, 4);
		return sizeof(to->in);
	}
	to->in6.sin6_family = AF_INET6;
	to->in6.sin6_port = htons(endpoint->port);
	to->in6.sin6_scope_id = endpoint->scope;
	memcpy(&to->in6.sin6_addr, endpoint->addr.bytes, 16);
	return sizeof(to->in6);
}

static struct qe_endpoint from_sockaddr(const ngtcp2_sockaddr *from)
{
	struct qe_endpoint endpoint = {};

	if (from->sa_family == AF_INET) {
		const ngtcp2_sockaddr_in *in = (const ngtcp2_sockaddr_in *)from;

		endpoint.addr = qe_addr_ipv4((const uint8_t *)&in->sin_addr);
		endpoint.port = ntohs(in->sin_port);
	} else if (from->sa_family == AF_INET6) {
		const ngtcp2_sockaddr_in6 *in6 = (const ngtcp2_sockaddr_in6 *)from;

		endpoint.addr = qe_addr_ipv6((const uint8_t *)&in6->sin6_addr);
		endpoint.port = ntohs(in6->sin6_port);
		endpoint.scope = in6->sin6_scope_id;
	}
	return endpoint;
}

ngtcp2_path link_path_to_ngtcp2(ngtcp2_path_storage *storage, const struct qe_path *path)
{
	uint8_t family = path->remote.addr.family;

	storage->path = (ngtcp2_path){
		.local = {&storage->local_addrbuf.sa,
			to_sockaddr(&storage->local_addrbuf, &path->local, family)},
		.remote = {&storage->remote_addrbuf.sa,
			to_sockaddr(&storage->remote_addrbuf, &path->remote, family)},
	};
	return storage->path;
}

/* The path as the link sees it: a local address that the system chooses is no part of it. */
static struct qe_path normal_path(const struct qe_link *link, const struct qe_path *path)
{
	struct qe_path normal = *path;

	if (!link->pinned_local)
		normal.local = (struct qe_endpoint){};
	return normal;
}

/* Follows what ngtcp2 has written into link->written, which is nearly always the same. */
static const struct qe_path *written_path(struct qe_link *link, struct qe_path *other)
{
	const ngtcp2_path *current = ngtcp2_conn_get_path(link->conn);

	if (ngtcp2_path_eq(&link->written.path, current))
		return &link->path;
	other->remote = from_sockaddr(link->written.path.remote.addr);
	other->local = link->pinned_local ? from_sockaddr(link->written.path.local.addr)
					  : (struct qe_endpoint){};
	return other;
}

static void follow_path(struct qe_link *link)
{
	const ngtcp2_path *current = ngtcp2_conn_get_path(link->conn);
	struct qe_endpoint remote = from_sockaddr(current->remote.addr);

	if (qe_endpoint_equal(&remote, &link->path.remote))
		return;
	link->path.remote = remote;
	if (link->pinned_local)
		link->path.local = from_sockaddr(current->local.addr);
}

/* ---- callbacks: connection IDs, life, datagrams ---- */

static bool add_cid(struct qe_link *link, const uint8_t *data, size_t len)
{
	struct qe_link_context *context = link->context;

	if (link->n_cids == LINK_CIDS_MAX || len > NGTCP2_MAX_CIDLEN)
		return false;
	if (!context->ops->add_cid(context->ops_ctx, link, (struct qe_bytes){data, len}))
		return false;
	struct link_cid *cid = &link->cids[link->n_cids++];

	cid->len = (uint8_t)len;
	memcpy(cid->bytes, data, len);
	return true;
}

static void remove_cid_at(struct qe_link *link, size_t at)
{
	struct qe_link_context *context = link->context;
	struct link_cid cid = link->cids[at];

	link->cids[at] = link->cids[--link->n_cids];
	context->ops->remove_cid(context->ops_ctx, link, (struct qe_bytes){cid.bytes, cid.len});
}

static int get_new_connection_id(
	ngtcp2_conn *, ngtcp2_cid *cid, uint8_t *token, size_t, void *user_data)
{
	struct qe_link *link = user_data;
	const struct qe_cid_keys *keys = &link->context->cids;

	cid->datalen = QE_CID_SIZE;
	if (qe_cid_make(keys, cid->data) != QE_OK ||
		qe_cid_reset_token(keys, token, (struct qe_bytes){cid->data, QE_CID_SIZE}) !=
			QE_OK ||
		!add_cid(link, cid->data, cid->datalen))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static int remove_connection_id(ngtcp2_conn *, const ngtcp2_cid *cid, void *user_data)
{
	struct qe_link *link = user_data;

	for (size_t i = 0; i < link->n_cids; i++) {
		if (link->cids[i].len == cid->datalen &&
			memcmp(link->cids[i].bytes, cid->data, cid->datalen) == 0) {
			remove_cid_at(link, i);
			break;
		}
	}
	return 0;
}

/* Called once on each side: by a server when the client has finished, by a client when the server
 * has said that it knows. */
static int establish(struct qe_link *link)
{
	struct qe_link_context *context = link->context;

	if (!link->authorised)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	if (link->dialled &&
		ngtcp2_conn_open_bidi_stream(link->conn, &link->control.id, nullptr) != 0)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	link->established = true;
	link->established_at = link->now;
	link->next_ready_check = link->now + QE_LINK_PATH_MTU_PATIENCE;
	ngtcp2_conn_set_keep_alive_timeout(link->conn, KEEPALIVE);
	context->ops->established(context->ops_ctx, link);
	return 0;
}

static int handshake_completed(ngtcp2_conn *, void *user_data)
{
	struct qe_link *link = user_data;

	return link->dialled ? 0 : establish(link);
}

static int handshake_confirmed(ngtcp2_conn *, void *user_data)
{
	struct qe_link *link = user_data;

	return link->dialled ? establish(link) : 0;
}

static int recv_datagram(ngtcp2_conn *, uint32_t, const uint8_t *data, size_t len, void *user_data)
{
	struct qe_link *link = user_data;
	struct qe_link_context *context = link->context;

	if (link->established)
		context->ops->datagram(context->ops_ctx, link, (struct qe_bytes){data, len});
	return 0;
}

static int path_validation(ngtcp2_conn *, uint32_t, const ngtcp2_path *, const ngtcp2_path *,
	ngtcp2_path_validation_result result, void *user_data)
{
	struct qe_link *link = user_data;
	struct qe_link_context *context = link->context;

	follow_path(link);
	if (result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS && link->established)
		context->ops->moved(context->ops_ctx, link);
	return 0;
}

static const ngtcp2_callbacks *all_callbacks(void)
{
	static ngtcp2_callbacks callbacks;

	callbacks.get_new_connection_id = get_new_connection_id;
	callbacks.remove_connection_id = remove_connection_id;
	callbacks.handshake_completed = handshake_completed;
	callbacks.handshake_confirmed = handshake_confirmed;
	callbacks.recv_datagram = recv_datagram;
	callbacks.path_validation = path_validation;
	link_crypto_callbacks(&callbacks);
	link_control_callbacks(&callbacks);
	link_reset_callbacks(&callbacks);
	return &callbacks;
}

/* ---- birth ---- */

static uint16_t payload_max(const struct qe_link_context *context)
{
	uint16_t need = context->mtu + QE_LINK_OVERHEAD;

	return need > NGTCP2_MAX_UDP_PAYLOAD_SIZE + 1 ? need : NGTCP2_MAX_UDP_PAYLOAD_SIZE + 1;
}

/* What is tried, best first: all that the TUN can need, then what Ethernet and common tunnels leave
 * (an MTU of 1500 with IPv6, of 1420, 1400 and 1280 with IPv4 and IPv6), and steps between. */
constexpr size_t PROBES_MAX = 12;

static size_t path_mtu_probes(uint16_t *probes, uint16_t max)
{
	static const uint16_t usual[] = {1452, 1412, 1392, 1372, 1352, 1322, 1292, 1252, 1232};
	size_t n = 0;

	probes[n++] = max;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (usual[i] < max)
			probes[n++] = usual[i];
	return n;
}

static void fill_settings(ngtcp2_settings *settings, const struct qe_link_context *context,
	uint16_t probes[static PROBES_MAX], qe_time now)
{
	ngtcp2_settings_default(settings);
	settings->cc_algo = NGTCP2_CC_ALGO_BBR;
	settings->initial_ts = now;
	settings->handshake_timeout = HANDSHAKE_TIMEOUT;
	settings->max_tx_udp_payload_size = payload_max(context);
	settings->pmtud_probeslen = path_mtu_probes(probes, payload_max(context));
	settings->pmtud_probes = probes;
}

static void fill_transport_params(ngtcp2_transport_params *params, bool server)
{
	ngtcp2_transport_params_default(params);
	params->initial_max_data = CONTROL_WINDOW;
	params->initial_max_stream_data_bidi_local = CONTROL_WINDOW;
	params->initial_max_stream_data_bidi_remote = CONTROL_WINDOW;
	params->initial_max_streams_bidi = server ? 1 : 0;
	params->max_idle_timeout = IDLE_TIMEOUT;
	params->active_connection_id_limit = 4;
	params->max_datagram_frame_size = 65535;
}

static enum qe_error new_link(struct qe_link **ret_link, struct qe_link_context *context,
	bool dialled, const struct qe_path *path, qe_time now)
{
	struct qe_link *link = calloc(1, sizeof(*link));

	if (link == nullptr)
		return -ENOMEM;
	link->context = context;
	link->dialled = dialled;
	link->pinned_local = path->local.addr.family != QE_FAMILY_NONE;
	link->path = *path;
	link->started = link->last_input = now;
	link->unanswered_since = link->next_ready_check = QE_TIME_NEVER;
	link_control_init(&link->control);
	ngtcp2_path_storage_zero(&link->written);

	enum qe_error error = qe_tls_new(&link->tls, context->tls, !dialled, &link_tls_ops, link);
	if (error != QE_OK) {
		free(link);
		return error;
	}
	*ret_link = link;
	return QE_OK;
}

static enum qe_error start_client(
	struct qe_link *link, const struct qe_node_id *peer, const ngtcp2_cid *scid, qe_time now)
{
	uint16_t probes[PROBES_MAX];
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_path_storage storage;
	ngtcp2_path path = link_path_to_ngtcp2(&storage, &link->path);
	ngtcp2_cid dcid = {.datalen = QE_KNOCK_SIZE};

	QE_TRY(qe_knock_make(dcid.data, peer));
	fill_settings(&settings, link->context, probes, now);
	fill_transport_params(&params, false);
	if (ngtcp2_conn_client_new(&link->conn, &dcid, scid, &path, NGTCP2_PROTO_VER_V1,
		    all_callbacks(), &settings, &params, &wiping_mem, link) != 0)
		return -ENOMEM;
	return QE_OK;
}

enum qe_error qe_link_dial(struct qe_link **ret_link, struct qe_link_context *context,
	const struct qe_node_id *peer, const struct qe_path *path, qe_time now)
{
	ngtcp2_cid scid = {.datalen = QE_CID_SIZE};
	struct qe_link *link;

	QE_TRY(qe_cid_make(&context->cids, scid.data));
	QE_TRY(new_link(&link, context, true, path, now));
	link->peer = *peer;
	enum qe_error error = add_cid(link, scid.data, scid.datalen)
				      ? start_client(link, peer, &scid, now)
				      : QE_ERR_CONFLICT;

	if (error != QE_OK) {
		qe_link_free(link);
		return error;
	}
	*ret_link = link;
	return QE_OK;
}

static ngtcp2_cid cid_of(struct qe_bytes bytes)
{
	ngtcp2_cid cid;

	ngtcp2_cid_init(&cid, bytes.data, bytes.len);
	return cid;
}

static enum qe_error start_server(struct qe_link *link, const struct qe_first_packet *first,
	const ngtcp2_cid *scid, qe_time now)
{
	uint16_t probes[PROBES_MAX];
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_path_storage storage;
	ngtcp2_path path = link_path_to_ngtcp2(&storage, &link->path);
	ngtcp2_cid client_scid = cid_of(first->scid);

	fill_settings(&settings, link->context, probes, now);
	fill_transport_params(&params, true);
	params.original_dcid_present = 1;
	params.original_dcid = cid_of(first->dcid);
	if (first->validated) {
		settings.token = first->token.data;
		settings.tokenlen = first->token.len;
		settings.token_type = NGTCP2_TOKEN_TYPE_RETRY;
		params.retry_scid_present = 1;
		params.retry_scid = params.original_dcid;
		ngtcp2_cid_init(&params.original_dcid, first->original_dcid, QE_KNOCK_SIZE);
	}
	params.stateless_reset_token_present = 1;
	QE_TRY(qe_cid_reset_token(&link->context->cids, params.stateless_reset_token,
		(struct qe_bytes){scid->data, scid->datalen}));
	if (ngtcp2_conn_server_new(&link->conn, &client_scid, scid, &path, first->version,
		    all_callbacks(), &settings, &params, &wiping_mem, link) != 0)
		return -ENOMEM;
	return QE_OK;
}

enum qe_error qe_link_accept(struct qe_link **ret_link, struct qe_link_context *context,
	const struct qe_first_packet *first, const struct qe_path *path, qe_time now)
{
	ngtcp2_cid scid = {.datalen = QE_CID_SIZE};
	struct qe_link *link;

	QE_TRY(qe_cid_make(&context->cids, scid.data));
	QE_TRY(new_link(&link, context, false, path, now));
	enum qe_error error = QE_ERR_CONFLICT;

	/* The client uses its own choice until it has heard ours. */
	if (add_cid(link, scid.data, scid.datalen) &&
		add_cid(link, first->dcid.data, first->dcid.len))
		error = start_server(link, first, &scid, now);
	if (error != QE_OK) {
		qe_link_free(link);
		return error;
	}
	*ret_link = link;
	return QE_OK;
}

struct qe_link *qe_link_free(struct qe_link *link)
{
	if (link == nullptr)
		return nullptr;
	while (link->n_cids > 0)
		remove_cid_at(link, link->n_cids - 1);
	link_reset_done(link);
	qe_tls_free(link->tls);
	ngtcp2_conn_del(link->conn);
	link_control_done(&link->control);
	qe_wipe(link, sizeof(*link));
	free(link);
	return nullptr;
}

/* ---- packets ---- */

static enum qe_error failed(struct qe_link *link, int failure)
{
	link->failure = failure;
	switch (failure) {
	case NGTCP2_ERR_DRAINING:
	case NGTCP2_ERR_CLOSING:
		link->reason = "closed by the peer";
		return QE_ERR_CLOSED;
	case NGTCP2_ERR_DROP_CONN:
	case NGTCP2_ERR_RETRY:
		return QE_ERR_CLOSED;
	case NGTCP2_ERR_IDLE_CLOSE:
		link->reason = "the peer has fallen silent";
		return QE_ERR_CLOSED;
	case NGTCP2_ERR_HANDSHAKE_TIMEOUT:
		link->reason = "no answer";
		return QE_ERR_CLOSED;
	case NGTCP2_ERR_NOMEM:
		link->reason = "out of memory";
		return -ENOMEM;
	case NGTCP2_ERR_CALLBACK_FAILURE: /* the callback has set the reason */
		return QE_ERR_PROTOCOL;
	case NGTCP2_ERR_CRYPTO:
		if (link->reason == nullptr)
			link->reason = "the TLS handshake failed";
		return QE_ERR_CRYPTO;
	default:
		link->reason = ngtcp2_strerror(failure);
		return QE_ERR_PROTOCOL;
	}
}

enum qe_error qe_link_input(struct qe_link *link, const struct qe_path *path, uint8_t ecn,
	struct qe_bytes packet, qe_time now)
{
	ngtcp2_path_storage storage;
	struct qe_path normal = normal_path(link, path);
	ngtcp2_path from = link_path_to_ngtcp2(&storage, &normal);
	ngtcp2_pkt_info info = {.ecn = ecn};

	link->now = now;
	int rv = ngtcp2_conn_read_pkt(link->conn, &from, &info, packet.data, packet.len, now);

	return rv == 0 ? QE_OK : failed(link, rv);
}

static void note_progress(struct qe_link *link, qe_time now)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info(link->conn, &info);
	if (info.pkt_recv != link->packets_seen) {
		link->packets_seen = info.pkt_recv;
		link->last_input = now;
		link->unanswered_since = QE_TIME_NEVER;
		follow_path(link);
	}
	if (info.bytes_in_flight == 0)
		link->unanswered_since = QE_TIME_NEVER;
	else if (link->unanswered_since == QE_TIME_NEVER)
		link->unanswered_since = now;
	/* TLS has nothing more to say; it is most of what an idle link would weigh. */
	if (link->established && link->tls != nullptr)
		link->tls = qe_tls_free(link->tls);
}

/* Writes one packet with what the link itself has to say; 0 bytes when it has nothing. */
static ngtcp2_ssize write_packet(
	struct qe_link *link, uint8_t *to, size_t size, ngtcp2_pkt_info *info, qe_time now)
{
	ngtcp2_vec vectors[8];
	size_t n = link_control_unsent(&link->control, vectors, 8);
	ngtcp2_ssize taken = -1;
	ngtcp2_ssize len = ngtcp2_conn_writev_stream(link->conn, &link->written.path, info, to,
		size, &taken, NGTCP2_WRITE_STREAM_FLAG_NONE, n > 0 ? link->control.id : -1, vectors,
		n, now);

	if (taken > 0)
		link_control_mark_sent(&link->control, (size_t)taken);
	if (len == NGTCP2_ERR_STREAM_DATA_BLOCKED)
		len = ngtcp2_conn_writev_stream(link->conn, &link->written.path, info, to, size,
			nullptr, NGTCP2_WRITE_STREAM_FLAG_NONE, -1, nullptr, 0, now);
	return len;
}

enum qe_error qe_link_write(struct qe_link *link, struct qe_batch *batch, qe_time now)
{
	size_t size = payload_max(link->context);

	link->now = now;
	note_progress(link, now);
	if (link->probe) /* a keepalive that is due at once is a PING */
		ngtcp2_conn_set_keep_alive_timeout(link->conn, 1);
	for (;;) {
		uint8_t *to = qe_batch_room(batch, size);
		ngtcp2_pkt_info info;
		struct qe_path other;
		ngtcp2_ssize len = write_packet(link, to, size, &info, now);

		if (len < 0)
			return failed(link, (int)len);
		if (len == 0)
			break;
		qe_batch_add(batch, (size_t)len, written_path(link, &other), (uint8_t)info.ecn);
	}
	if (link->probe)
		ngtcp2_conn_set_keep_alive_timeout(link->conn, KEEPALIVE);
	link->probe = false;
	note_progress(link, now);
	return QE_OK;
}

enum qe_error qe_link_send(struct qe_link *link, struct qe_batch *batch, uint8_t context_byte,
	struct qe_bytes packet, qe_time now)
{
	ngtcp2_vec vectors[] = {{&context_byte, 1}, {(uint8_t *)packet.data, packet.len}};
	size_t need = packet.len + QE_LINK_OVERHEAD;
	bool padded = need >= PADDED_MIN;
	size_t size = padded ? need : payload_max(link->context);

	if (packet.len > qe_link_path_mtu(link))
		return qe_link_is_ready(link, now) ? QE_ERR_TOO_BIG : QE_ERR_BLOCKED;
	for (;;) {
		uint8_t *to = qe_batch_room(batch, size);
		ngtcp2_pkt_info info;
		struct qe_path other;
		int accepted = 0;
		ngtcp2_ssize len = ngtcp2_conn_writev_datagram(link->conn, &link->written.path,
			&info, to, size, &accepted,
			padded ? NGTCP2_WRITE_DATAGRAM_FLAG_PADDING
			       : NGTCP2_WRITE_DATAGRAM_FLAG_NONE,
			0, vectors, 2, now);

		if (len < 0)
			return failed(link, (int)len);
		if (len == 0)
			return QE_ERR_BLOCKED;
		qe_batch_add(batch, (size_t)len, written_path(link, &other), (uint8_t)info.ecn);
		if (accepted)
			return QE_OK;
	}
}

enum qe_error qe_link_timer(struct qe_link *link, qe_time now)
{
	int rv = 0;

	link->now = now;
	if (link->next_ready_check <= now)
		link->next_ready_check = QE_TIME_NEVER;
	if (ngtcp2_conn_get_expiry(link->conn) <= now)
		rv = ngtcp2_conn_handle_expiry(link->conn, now);
	return rv == 0 ? QE_OK : failed(link, rv);
}

qe_time qe_link_deadline(const struct qe_link *link)
{
	return qe_time_min(ngtcp2_conn_get_expiry(link->conn), link->next_ready_check);
}

void qe_link_sent(struct qe_link *link, qe_time now)
{
	ngtcp2_conn_update_pkt_tx_time(link->conn, now);
}

void qe_link_close(
	struct qe_link *link, struct qe_batch *batch, enum qe_close_code code, qe_time now)
{
	size_t size = NGTCP2_MAX_UDP_PAYLOAD_SIZE;
	uint8_t *to = qe_batch_room(batch, size);
	ngtcp2_pkt_info info;
	ngtcp2_ccerr error;
	struct qe_path other;

	ngtcp2_ccerr_default(&error);
	if (link->failure == NGTCP2_ERR_CRYPTO && ngtcp2_conn_get_tls_alert(link->conn) != 0)
		ngtcp2_ccerr_set_tls_alert(
			&error, ngtcp2_conn_get_tls_alert(link->conn), nullptr, 0);
	else if (link->failure != 0 && link->failure != NGTCP2_ERR_CALLBACK_FAILURE)
		ngtcp2_ccerr_set_liberr(&error, link->failure, nullptr, 0);
	else
		ngtcp2_ccerr_set_application_error(&error, code, nullptr, 0);
	ngtcp2_ssize len = ngtcp2_conn_write_connection_close(
		link->conn, &link->written.path, &info, to, size, &error, now);

	if (len > 0)
		qe_batch_add(batch, (size_t)len, written_path(link, &other), (uint8_t)info.ecn);
}

void qe_link_probe(struct qe_link *link)
{
	link->probe = link->established;
}

/* ---- what it knows of itself ---- */

bool qe_link_is_dialled(const struct qe_link *link)
{
	return link->dialled;
}

bool qe_link_is_established(const struct qe_link *link)
{
	return link->established;
}

bool qe_link_is_ready(const struct qe_link *link, qe_time now)
{
	if (!link->established)
		return false;
	return qe_link_path_mtu(link) >= link->context->mtu ||
	       qe_time_since(link->established_at, now) >= QE_LINK_PATH_MTU_PATIENCE;
}

qe_time qe_link_unanswered_since(const struct qe_link *link)
{
	return link->unanswered_since;
}

const struct qe_node_id *qe_link_peer(const struct qe_link *link)
{
	return &link->peer;
}

const struct qe_path *qe_link_path(const struct qe_link *link)
{
	return &link->path;
}

uint16_t qe_link_path_mtu(const struct qe_link *link)
{
	size_t payload = ngtcp2_conn_get_path_max_tx_udp_payload_size(link->conn);

	return (uint16_t)(payload - QE_LINK_OVERHEAD);
}

qe_time qe_link_established_at(const struct qe_link *link)
{
	return link->established_at;
}

qe_time qe_link_last_input(const struct qe_link *link)
{
	return link->last_input;
}

qe_time qe_link_probe_timeout(const struct qe_link *link)
{
	return ngtcp2_conn_get_pto(link->conn);
}

const char *qe_link_reason(const struct qe_link *link)
{
	return link->reason != nullptr ? link->reason : "closed";
}

void qe_link_get_status(const struct qe_link *link, struct qe_link_status *ret_status)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info(link->conn, &info);
	*ret_status = (struct qe_link_status){
		.path = link->path,
		.dialled = link->dialled,
		.cipher = qe_suite_name(link->suite),
		.key_exchange = link->key_exchange,
		.established = link->established_at,
		.handshake = qe_time_since(link->started, link->established_at),
		.rtt = info.smoothed_rtt,
		.rtt_min = info.min_rtt == UINT64_MAX ? 0 : info.min_rtt,
		.path_mtu = qe_link_path_mtu(link),
		.cwnd = info.cwnd,
		.lost_packets = info.pkt_lost,
	};
}

void qe_link_set_owner(struct qe_link *link, void *owner)
{
	link->owner = owner;
}

void *qe_link_owner(const struct qe_link *link)
{
	return link->owner;
}
