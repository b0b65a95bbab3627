/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A link, from the first packet to the last.
 *
 * The QUIC profile is set here: BBR, datagrams, one stream, path MTU discovery up to what the TUN's
 * MTU needs, keepalive. Its packets are in link_packets.c, its keys in link_crypto.c, its control
 * stream in link_control.c.
 *
 * Invariants: a link is established only when both sides have authenticated one another; nothing
 * of a peer is delivered before. Every connection ID under which packets may arrive has been told
 * to the owner, and is taken back before the link is gone.
 */
#include "quic/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/random.h"
#include "net/addr.h"
#include "quic/link_internal.h"

constexpr qe_time HANDSHAKE_TIMEOUT = 8 * QE_SECOND;
constexpr qe_time IDLE_TIMEOUT = 60 * QE_SECOND;
constexpr uint64_t CONTROL_WINDOW = 64 * 1024;

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

/* What carries an IP packet that fits the path must not be too long for the peer: else each such
 * packet would end the link. */
static bool takes_datagrams(struct qe_link *link)
{
	const ngtcp2_transport_params *params = ngtcp2_conn_get_remote_transport_params(link->conn);

	if (params->max_datagram_frame_size >= link_payload_max(link->context))
		return true;
	link->reason = "the peer takes no datagrams of this length";
	return false;
}

/* Called once on each side: by a server when the client has finished, by a client when the server
 * has said that it knows. */
static int establish(struct qe_link *link)
{
	struct qe_link_context *context = link->context;

	if (!link->authorised || !takes_datagrams(link))
		return NGTCP2_ERR_CALLBACK_FAILURE;
	if (link->dialled &&
		ngtcp2_conn_open_bidi_stream(link->conn, &link->control.id, nullptr) != 0)
		return NGTCP2_ERR_CALLBACK_FAILURE;
	link->established = true;
	link->established_at = link->now;
	link->next_ready_check = link->now + QE_LINK_PATH_MTU_PATIENCE;
	ngtcp2_conn_set_keep_alive_timeout(link->conn, LINK_KEEPALIVE);
	context->ops->established(context->ops_ctx, link);
	return 0;
}

static int handshake_completed(ngtcp2_conn *, void *user_data)
{
	struct qe_link *link = user_data;

	link->authenticated = link->authorised;
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

	link->large.received += len > 0 && link_is_large(len - 1);
	/* The accepting side may send before its HANDSHAKE_DONE has come. */
	if (link->authenticated)
		context->ops->datagram(
			context->ops_ctx, link, (struct qe_bytes){data, len}, link->ecn_seen);
	return 0;
}

static int path_validation(ngtcp2_conn *, uint32_t, const ngtcp2_path *, const ngtcp2_path *,
	ngtcp2_path_validation_result result, void *user_data)
{
	struct qe_link *link = user_data;
	struct qe_link_context *context = link->context;

	link_follow_path(link);
	if (result == NGTCP2_PATH_VALIDATION_RESULT_SUCCESS && link->established)
		context->ops->moved(context->ops_ctx, link);
	return 0;
}

static ngtcp2_callbacks all_callbacks(void)
{
	ngtcp2_callbacks callbacks = {};

	callbacks.get_new_connection_id = get_new_connection_id;
	callbacks.remove_connection_id = remove_connection_id;
	callbacks.handshake_completed = handshake_completed;
	callbacks.handshake_confirmed = handshake_confirmed;
	callbacks.recv_datagram = recv_datagram;
	callbacks.path_validation = path_validation;
	link_crypto_callbacks(&callbacks);
	link_control_callbacks(&callbacks);
	link_reset_callbacks(&callbacks);
	return callbacks;
}

/* ---- birth ---- */

uint16_t link_payload_max(const struct qe_link_context *context)
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
	settings->max_tx_udp_payload_size = link_payload_max(context);
	settings->pmtud_probeslen = path_mtu_probes(probes, link_payload_max(context));
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
	ngtcp2_path_storage_zero(&link->input);
	ngtcp2_path_storage_zero(&link->written);
	ngtcp2_path_storage_zero(&link->known);

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
	ngtcp2_callbacks callbacks = all_callbacks();
	ngtcp2_settings settings;
	ngtcp2_transport_params params;
	ngtcp2_path_storage storage;
	ngtcp2_path path = link_path_to_ngtcp2(&storage, &link->path);
	ngtcp2_cid dcid = {.datalen = QE_KNOCK_SIZE};

	QE_TRY(qe_knock_make(dcid.data, link->lane, peer));
	fill_settings(&settings, link->context, probes, now);
	fill_transport_params(&params, false);
	if (ngtcp2_conn_client_new(&link->conn, &dcid, scid, &path, NGTCP2_PROTO_VER_V1, &callbacks,
		    &settings, &params, &link_memory, link) != 0)
		return -ENOMEM;
	return QE_OK;
}

enum qe_error qe_link_dial(struct qe_link **ret_link, struct qe_link_context *context,
	const struct qe_node_id *peer, uint8_t lane, const struct qe_path *path, qe_time now)
{
	ngtcp2_cid scid = {.datalen = QE_CID_SIZE};
	struct qe_link *link;

	QE_TRY(qe_cid_make(&context->cids, scid.data));
	QE_TRY(new_link(&link, context, true, path, now));
	link->peer = *peer;
	link->lane = lane;
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
	ngtcp2_callbacks callbacks = all_callbacks();
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
		    &callbacks, &settings, &params, &link_memory, link) != 0)
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
	link->lane = first->validated ? first->original_dcid[0] : first->dcid.data[0];
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

/* ---- what it knows of itself ---- */

uint8_t qe_link_lane(const struct qe_link *link)
{
	return link->lane;
}

bool qe_link_is_dialled(const struct qe_link *link)
{
	return link->dialled;
}

bool qe_link_is_authenticated(const struct qe_link *link)
{
	return link->authenticated;
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

qe_time qe_link_started_at(const struct qe_link *link)
{
	return link->started;
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
		.path = {.local = link->input_seen.local, .remote = link->path.remote},
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
