/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The control stream of a link: one bidirectional stream, opened by the side that dialled, with
 * messages in both directions, each preceded by its length in two bytes. What was sent is kept
 * until it is acknowledged (ngtcp2 points into it), and what may wait is bounded. A stream of any
 * other kind, its end, its reset, or a message that is too long ends the link.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "quic/link_internal.h"

struct control_chunk {
	struct qe_list place;
	size_t sent, len;
	uint8_t data[];
};

void link_control_init(struct control_stream *control)
{
	*control = (struct control_stream){.id = -1};
	qe_list_init(&control->out);
}

static struct control_chunk *chunk_of(struct qe_list *place)
{
	return QE_CONTAINER_OF(place, struct control_chunk, place);
}

static void free_chunk(struct control_stream *control, struct control_chunk *chunk)
{
	qe_list_remove(&chunk->place);
	control->out_bytes -= chunk->len;
	free(chunk);
}

void link_control_done(struct control_stream *control)
{
	QE_LIST_FOR_EACH (place, &control->out)
		free_chunk(control, chunk_of(place));
}

enum qe_error qe_link_control(struct qe_link *link, struct qe_bytes message)
{
	struct control_stream *control = &link->control;
	size_t len = message.len + 2;
	struct control_chunk *chunk;

	if (message.len == 0 || message.len > QE_LINK_CONTROL_MAX)
		return QE_ERR_RANGE;
	if (!link->established || control->id < 0)
		return QE_ERR_BLOCKED;
	if (control->out_bytes + len > CONTROL_QUEUE_MAX)
		return QE_ERR_FULL;
	chunk = malloc(sizeof(*chunk) + len);
	if (chunk == nullptr)
		return -ENOMEM;
	*chunk = (struct control_chunk){.len = len};
	qe_store_u16(chunk->data, (uint16_t)message.len);
	memcpy(chunk->data + 2, message.data, message.len);
	qe_list_init(&chunk->place);
	qe_list_append(&control->out, &chunk->place);
	control->out_bytes += len;
	return QE_OK;
}

size_t link_control_unsent(
	const struct control_stream *control, ngtcp2_vec *vectors, size_t capacity)
{
	size_t n = 0;

	QE_LIST_FOR_EACH (place, &control->out) {
		struct control_chunk *chunk = chunk_of(place);

		if (n == capacity)
			break;
		if (chunk->sent < chunk->len)
			vectors[n++] = (ngtcp2_vec){
				chunk->data + chunk->sent, chunk->len - chunk->sent};
	}
	return n;
}

void link_control_mark_sent(struct control_stream *control, size_t len)
{
	QE_LIST_FOR_EACH (place, &control->out) {
		struct control_chunk *chunk = chunk_of(place);
		size_t part = chunk->len - chunk->sent < len ? chunk->len - chunk->sent : len;

		chunk->sent += part;
		len -= part;
		if (len == 0)
			break;
	}
}

/* Acknowledged bytes come in order, without gaps. */
static int acked_stream_data_offset(
	ngtcp2_conn *, int64_t, uint64_t offset, uint64_t len, void *user_data, void *)
{
	struct qe_link *link = user_data;
	struct control_stream *control = &link->control;

	QE_LIST_FOR_EACH (place, &control->out) {
		struct control_chunk *chunk = chunk_of(place);

		if (control->acked + chunk->len > offset + len)
			break;
		control->acked += chunk->len;
		free_chunk(control, chunk);
	}
	return 0;
}

static int fail(struct qe_link *link, const char *reason)
{
	link->reason = reason;
	link->control_broken = true;
	return NGTCP2_ERR_CALLBACK_FAILURE;
}

/* Takes as much as belongs to the message under way. Returns how much that was. */
static size_t gather(struct control_stream *control, const uint8_t *data, size_t len)
{
	size_t want = 2;

	if (control->in_len >= 2)
		want += qe_load_u16(control->in);
	size_t part = want - control->in_len < len ? want - control->in_len : len;

	memcpy(control->in + control->in_len, data, part);
	control->in_len += part;
	return part;
}

/* Delivers the message if it is whole. False if it is malformed. */
static bool deliver(struct qe_link *link)
{
	struct control_stream *control = &link->control;
	struct qe_link_context *context = link->context;

	if (control->in_len < 2)
		return true;
	size_t len = qe_load_u16(control->in);

	if (len == 0 || len > QE_LINK_CONTROL_MAX)
		return false;
	if (control->in_len < 2 + len)
		return true;
	control->in_len = 0;
	return context->ops->control(
		context->ops_ctx, link, (struct qe_bytes){control->in + 2, len});
}

static int recv_stream_data(ngtcp2_conn *conn, uint32_t flags, int64_t id, uint64_t,
	const uint8_t *data, size_t len, void *user_data, void *)
{
	struct qe_link *link = user_data;

	if (id != link->control.id)
		return fail(link, "data on a stream that is not the control stream");
	if (flags & NGTCP2_STREAM_DATA_FLAG_FIN)
		return fail(link, "the peer ended the control stream");
	for (size_t at = 0; at < len;) {
		at += gather(&link->control, data + at, len - at);
		if (!deliver(link))
			return fail(link, "a malformed control message");
	}
	ngtcp2_conn_extend_max_stream_offset(conn, id, len);
	ngtcp2_conn_extend_max_offset(conn, len);
	return 0;
}

static int stream_open(ngtcp2_conn *, int64_t id, void *user_data)
{
	struct qe_link *link = user_data;

	if (link->control.id >= 0)
		return fail(link, "a second stream");
	link->control.id = id;
	return 0;
}

static int stream_close(ngtcp2_conn *, uint32_t, int64_t, uint64_t, void *user_data, void *)
{
	return fail(user_data, "the control stream was closed");
}

static int stream_reset(ngtcp2_conn *, int64_t, uint64_t, uint64_t, void *user_data, void *)
{
	return fail(user_data, "the control stream was reset");
}

static int stream_stop_sending(ngtcp2_conn *, int64_t, uint64_t, void *user_data, void *)
{
	return fail(user_data, "the peer reads no control messages");
}

void link_control_callbacks(ngtcp2_callbacks *callbacks)
{
	callbacks->acked_stream_data_offset = acked_stream_data_offset;
	callbacks->recv_stream_data = recv_stream_data;
	callbacks->stream_open = stream_open;
	callbacks->stream_close = stream_close;
	callbacks->stream_reset = stream_reset;
	callbacks->stream_stop_sending = stream_stop_sending;
}
