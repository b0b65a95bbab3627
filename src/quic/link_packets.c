/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Packets of a link: in, out, and at its deadlines. IP packets go out in link_send.c.
 *
 * ECN belongs to the packets inside (RFC 6040), whose senders can act on it; BBR, which rules
 * outside, does next to nothing about it. So ngtcp2 is given no packet info to mark or to judge:
 * what carries an IP packet is marked as that is, everything else Not-ECT.
 */
#include <errno.h>

#include "base/time.h"
#include "quic/link_internal.h"

constexpr uint64_t KEY_UPDATE_PACKETS = UINT64_C(1) << 22;

/* How QUIC carries TLS alerts (RFC 9001, section 4.8). */
constexpr uint64_t HANDSHAKE_FAILURE = NGTCP2_CRYPTO_ERROR | 40;
constexpr uint64_t ACCESS_DENIED = NGTCP2_CRYPTO_ERROR | 49;

/* What the peer says. Before the handshake is done, anybody on the path can say it. */
static const char *closing_reason(const struct qe_link *link)
{
	const ngtcp2_ccerr *said = ngtcp2_conn_get_ccerr(link->conn);

	if (said->type != NGTCP2_CCERR_TYPE_TRANSPORT)
		return "closed by the peer";
	if (said->error_code == HANDSHAKE_FAILURE)
		return "refused: no cipher or no key exchange in common";
	if (said->error_code == ACCESS_DENIED)
		return "refused: the peer does not know this node, or has too many links to it";
	return "closed by the peer";
}

enum qe_error link_failed(struct qe_link *link, int failure)
{
	link->failure = failure;
	switch (failure) {
	case NGTCP2_ERR_DRAINING:
	case NGTCP2_ERR_CLOSING:
		link->reason = closing_reason(link);
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
	case NGTCP2_ERR_CALLBACK_FAILURE: /* a callback that had a reason has set it */
		if (link->reason == nullptr)
			link->reason = "out of memory";
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

enum qe_error qe_link_input(struct qe_link *link, const struct qe_path *path, enum qe_ecn ecn,
	struct qe_bytes packet, qe_time now)
{
	const ngtcp2_path *from = link_input_path(link, path);

	link->now = now;
	link->ecn_seen = ecn;
	int rv = ngtcp2_conn_read_pkt(link->conn, from, nullptr, packet.data, packet.len, now);

	return rv == 0 ? QE_OK : link_failed(link, rv);
}

/* Long before the AEAD's limit (RFC 9001 section 6.6), where ngtcp2 would do it or, if the one
 * before has not been confirmed yet, end the connection. What fails now is tried again. */
static void update_keys_early(struct qe_link *link, uint64_t packets_sent, qe_time now)
{
	if (!link->established || packets_sent - link->key_updated_at < KEY_UPDATE_PACKETS)
		return;
	if (ngtcp2_conn_initiate_key_update(link->conn, now) == 0)
		link->key_updated_at = packets_sent;
}

static void note_progress(struct qe_link *link, qe_time now)
{
	ngtcp2_conn_info info;

	ngtcp2_conn_get_conn_info(link->conn, &info);
	if (info.pkt_recv != link->packets_seen) {
		link->packets_seen = info.pkt_recv;
		link->last_input = now;
		link->unanswered_since = QE_TIME_NEVER;
		link_follow_path(link);
	}
	link->ignored = info.pkt_discarded;
	update_keys_early(link, info.pkt_sent, now);
	link_note_losses(link, &info, now);
	link_pace_set(link, &info);
	if (info.bytes_in_flight == 0)
		link->unanswered_since = QE_TIME_NEVER;
	else if (link->unanswered_since == QE_TIME_NEVER)
		link->unanswered_since = now;
	/* TLS has nothing more to say; it is most of what an idle link would weigh. */
	if (link->established && link->tls != nullptr)
		link->tls = qe_tls_free(link->tls);
}

/* Writes one packet with what the link itself has to say; 0 bytes when it has nothing. */
static ngtcp2_ssize write_packet(struct qe_link *link, uint8_t *to, size_t size, qe_time now)
{
	ngtcp2_vec vectors[8];
	size_t n = link_control_unsent(&link->control, vectors, 8);
	ngtcp2_ssize taken = -1;
	ngtcp2_ssize len = ngtcp2_conn_writev_stream(link->conn, &link->written.path, nullptr, to,
		size, &taken, NGTCP2_WRITE_STREAM_FLAG_NONE, n > 0 ? link->control.id : -1, vectors,
		n, now);

	if (taken > 0)
		link_control_mark_sent(&link->control, (size_t)taken);
	if (len == NGTCP2_ERR_STREAM_DATA_BLOCKED)
		len = ngtcp2_conn_writev_stream(link->conn, &link->written.path, nullptr, to, size,
			nullptr, NGTCP2_WRITE_STREAM_FLAG_NONE, -1, nullptr, 0, now);
	return len;
}

void link_add_to_batch(struct qe_link *link, struct qe_batch *batch, size_t len, enum qe_ecn ecn)
{
	struct qe_path other;

	qe_batch_add(batch, len, link_written_path(link, &other), ecn, link->lane);
	link_pace_sent(link, len);
}

enum qe_error qe_link_write(struct qe_link *link, struct qe_batch *batch, qe_time now)
{
	size_t size = link_payload_max(link->context);
	enum qe_error error;

	link->now = now;
	note_progress(link, now);
	error = link_send_bundle(link, batch, now);
	if (error != QE_OK && error != QE_ERR_BLOCKED)
		return error;
	if (link->probe) /* a keepalive that is due at once is a PING */
		ngtcp2_conn_set_keep_alive_timeout(link->conn, 1);
	for (;;) {
		uint8_t *to = qe_batch_room(batch, size);
		ngtcp2_ssize len = write_packet(link, to, size, now);

		if (len < 0)
			return link_failed(link, (int)len);
		if (len == 0)
			break;
		link_add_to_batch(link, batch, (size_t)len, QE_ECN_NOT_ECT);
	}
	if (link->probe)
		ngtcp2_conn_set_keep_alive_timeout(link->conn, LINK_KEEPALIVE);
	link->probe = false;
	note_progress(link, now);
	return QE_OK;
}

uint64_t qe_link_take_ignored(struct qe_link *link)
{
	uint64_t n = link->ignored - link->told;

	link->told = link->ignored;
	return n;
}

enum qe_error qe_link_timer(struct qe_link *link, qe_time now)
{
	int rv = 0;

	link->now = now;
	if (link->next_ready_check <= now)
		link->next_ready_check = QE_TIME_NEVER;
	if (ngtcp2_conn_get_expiry(link->conn) <= now)
		rv = ngtcp2_conn_handle_expiry(link->conn, now);
	return rv == 0 ? QE_OK : link_failed(link, rv);
}

qe_time qe_link_deadline(const struct qe_link *link)
{
	qe_time at = qe_time_min(ngtcp2_conn_get_expiry(link->conn), link->next_ready_check);

	return qe_time_min(at, link_pace_deadline(link));
}

void qe_link_close(
	struct qe_link *link, struct qe_batch *batch, enum qe_close_code code, qe_time now)
{
	size_t size = NGTCP2_MAX_UDP_PAYLOAD_SIZE;
	uint8_t *to = qe_batch_room(batch, size);
	ngtcp2_ccerr error;
	struct qe_path other;

	if (!link->keyed) /* ngtcp2 would reach for the key all the same */
		return;
	ngtcp2_ccerr_default(&error);
	if (link->failure == NGTCP2_ERR_CRYPTO && ngtcp2_conn_get_tls_alert(link->conn) != 0)
		ngtcp2_ccerr_set_tls_alert(
			&error, ngtcp2_conn_get_tls_alert(link->conn), nullptr, 0);
	else if (link->failure != 0 && link->failure != NGTCP2_ERR_CALLBACK_FAILURE)
		ngtcp2_ccerr_set_liberr(&error, link->failure, nullptr, 0);
	else
		ngtcp2_ccerr_set_application_error(
			&error, link->control_broken ? QE_CLOSE_CONTROL : code, nullptr, 0);
	ngtcp2_ssize len = ngtcp2_conn_write_connection_close(
		link->conn, &link->written.path, nullptr, to, size, &error, now);

	if (len > 0)
		qe_batch_add(batch, (size_t)len, link_written_path(link, &other), QE_ECN_NOT_ECT,
			link->lane);
}

void qe_link_probe(struct qe_link *link)
{
	link->probe = link->established;
}
