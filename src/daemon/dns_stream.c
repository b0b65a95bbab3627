/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/dns_stream.h"

#include <errno.h>
#include <stdlib.h>

#include "os/socket.h"

constexpr size_t HEAD = 2;

enum qe_error qe_dns_stream_init(struct qe_dns_stream *ret_stream, int fd, size_t limit)
{
	uint8_t *in = malloc(HEAD + limit);

	if (!in) {
		qe_socket_close(fd);
		return -ENOMEM;
	}
	*ret_stream = (struct qe_dns_stream){.fd = fd, .limit = limit, .in = in};
	return QE_OK;
}

void qe_dns_stream_done(struct qe_dns_stream *stream)
{
	qe_socket_close(stream->fd);
	free(stream->in);
	free(stream->out);
	*stream = (struct qe_dns_stream){.fd = -1};
}

/* How many bytes there must be before there is more to know. */
static size_t wanted(const struct qe_dns_stream *stream)
{
	return stream->got < HEAD ? HEAD : HEAD + qe_load_u16(stream->in);
}

enum qe_error qe_dns_stream_receive(struct qe_dns_stream *stream, struct qe_bytes *ret_message)
{
	while (stream->got < wanted(stream)) {
		size_t len, want = wanted(stream);

		if (want > HEAD + stream->limit)
			return QE_ERR_TOO_BIG;
		QE_TRY(qe_socket_receive(
			stream->fd, stream->in + stream->got, want - stream->got, &len));
		stream->got += len;
	}
	*ret_message = (struct qe_bytes){stream->in + HEAD, stream->got - HEAD};
	stream->got = 0;
	return QE_OK;
}

enum qe_error qe_dns_stream_queue(struct qe_dns_stream *stream, struct qe_bytes message)
{
	struct qe_writer writer;

	stream->len = HEAD + message.len;
	stream->sent = 0;
	stream->out = malloc(stream->len);
	if (!stream->out)
		return -ENOMEM;
	writer = qe_writer_init(stream->out, stream->len);
	qe_write_u16(&writer, (uint16_t)message.len);
	qe_write_bytes(&writer, message);
	return QE_OK;
}

enum qe_error qe_dns_stream_flush(struct qe_dns_stream *stream)
{
	while (stream->sent < stream->len) {
		struct qe_bytes left = {stream->out + stream->sent, stream->len - stream->sent};
		size_t sent;

		QE_TRY(qe_socket_send(stream->fd, left, &sent));
		stream->sent += sent;
	}
	free(stream->out);
	stream->out = nullptr;
	stream->len = stream->sent = 0;
	return QE_OK;
}
