/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A TCP connection of the stack, with a buffer of its own for what nobody has read yet, as large as
 * the window: what the other side sends in tiny pieces takes no more room.
 *
 * The distribution's lwIP offers windows of 64 KiB: 14 Mbit/s down and 12 up at 20 ms. Its scale
 * factor allows twice that to be announced, and its send queue holds nearly four times as much;
 * both are fields of the connection, and set here: 26 and 55 Mbit/s. It begins every connection's
 * numbers near those of the one before, and its ports likewise: they are made unguessable here (RFC
 * 6528, RFC 6056).
 */
#include <errno.h>
#include <stdlib.h>

#include <lwip/priv/tcp_priv.h>

#include "base/time.h"
#include "crypto/random.h"
#include "proxy/stack_internal.h"

/* What the scale factor allows to announce, 16 bits of it. */
constexpr uint32_t window = 0xffffu << TCP_RCV_SCALE;
static_assert(window <= QE_STREAM_BUFFER);
constexpr uint32_t send_buffer = 245'760; /* about TCP_SND_QUEUELEN segments */
constexpr unsigned port_tries = 32;
constexpr unsigned connections_max = 1024; /* with those that lwIP is still ending */
constexpr unsigned segments_max = 512;     /* out of order, of one connection */
/* Half seconds four times as fast, see stack.c. */
constexpr uint32_t keep_idle = 4 * 240'000;
constexpr uint32_t keep_interval = 4 * 30'000;
constexpr uint32_t keep_count = 4;
constexpr int16_t syn_interval_max = 24; /* 3 s */

struct qe_stream {
	struct qe_stack *stack;
	struct qe_list node; /* of stack->streams */
	struct news news;
	void (*ready)(void *ctx);
	void *ctx;
	struct tcp_pcb *pcb; /* NULL: lwIP is done with it, or never was any more */
	enum qe_stream_state state;
	enum qe_error error;
	uint32_t first; /* the sequence number of the SYN */
	struct qe_endpoint local, remote;
	bool remote_ended, finished;
	/* A ring: n bytes from at on. */
	uint8_t *buffer;
	size_t at, n;
};

static void tell(struct news *news)
{
	struct qe_stream *stream = QE_CONTAINER_OF(news, struct qe_stream, news);

	stream->ready(stream->ctx);
}

static void has_news(struct qe_stream *stream)
{
	stack_has_news(stream->stack, &stream->news);
}

/* lwIP goes on alone with what is left to be done. */
static struct tcp_pcb *detach(struct qe_stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	tcp_arg(pcb, nullptr);
	tcp_recv(pcb, nullptr);
	tcp_sent(pcb, nullptr);
	tcp_err(pcb, nullptr);
	stream->pcb = nullptr;
	return pcb;
}

static void fail(struct qe_stream *stream, enum qe_error error)
{
	stream->state = QE_STREAM_FAILED;
	stream->error = error;
	has_news(stream);
}

/* ---- what lwIP says ---- */

static enum qe_error to_error(err_t error, bool connecting)
{
	if (error == ERR_RST)
		return connecting ? -ECONNREFUSED : -ECONNRESET;
	return -ETIMEDOUT;
}

/* ERR_CLSD: both sides have said all, and know that of each other. */
static void on_error(void *ctx, err_t error)
{
	struct qe_stream *stream = ctx;

	stream->pcb = nullptr;
	if (error != ERR_CLSD)
		fail(stream, to_error(error, stream->state == QE_STREAM_CONNECTING));
	has_news(stream);
}

static err_t on_connected(void *ctx, struct tcp_pcb *pcb, err_t)
{
	struct qe_stream *stream = ctx;

	if (pcb->flags & TF_WND_SCALE) {
		pcb->rcv_wnd = window;
		tcp_update_rcv_ann_wnd(pcb);
	}
	pcb->snd_buf += send_buffer - TCP_SND_BUF;
	pcb->ssthresh = send_buffer;
	stream->state = QE_STREAM_OPEN;
	has_news(stream);
	return ERR_OK;
}

static void append(struct qe_stream *stream, const struct pbuf *chain)
{
	for (const struct pbuf *part = chain; part; part = part->next) {
		const size_t end = (stream->at + stream->n) % QE_STREAM_BUFFER;
		const size_t left = QE_STREAM_BUFFER - end;
		const size_t first = part->len < left ? part->len : left;

		memcpy(stream->buffer + end, part->payload, first);
		memcpy(stream->buffer, (const uint8_t *)part->payload + first, part->len - first);
		stream->n += part->len;
	}
}

static err_t on_end(struct qe_stream *stream)
{
	stream->remote_ended = true;
	/* The connection may be in a state that it leaves without telling. */
	if (stream->finished)
		tcp_close(detach(stream));
	has_news(stream);
	return ERR_OK;
}

static err_t on_received(void *ctx, struct tcp_pcb *, struct pbuf *chain, err_t)
{
	struct qe_stream *stream = ctx;

	if (!chain)
		return on_end(stream);
	/* The window holds a sender to it; that lwIP holds the sender to the window is not for a
	 * stranger to find out. */
	if (chain->tot_len > QE_STREAM_BUFFER - stream->n) {
		pbuf_free(chain);
		tcp_abort(detach(stream));
		fail(stream, -ECONNRESET);
		return ERR_ABRT;
	}
	append(stream, chain);
	pbuf_free(chain);
	has_news(stream);
	return ERR_OK;
}

static err_t on_sent(void *ctx, struct tcp_pcb *, u16_t)
{
	has_news(ctx);
	return ERR_OK;
}

/* ---- connecting ---- */

static bool is_full(void)
{
	unsigned n = 0;

	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		n++;
	return n >= connections_max;
}

static bool bind_to_random_port(struct tcp_pcb *pcb, const ip_addr_t *to)
{
	const ip_addr_t *any = to->type == IPADDR_TYPE_V4 ? IP4_ADDR_ANY : IP6_ADDR_ANY;

	for (unsigned i = 0; i < port_tries; i++)
		if (tcp_bind(pcb, any, stack_random_port()) == ERR_OK)
			return true;
	return false;
}

/* lwIP adds the time to the number of the connection before: for this once, the time is random. */
static void randomize_sequence(struct tcp_pcb *pcb)
{
	const u32_t now = tcp_ticks;

	tcp_ticks = (u32_t)qe_random_u64();
	tcp_next_iss(pcb);
	tcp_ticks = now;
}

static void set_options(struct qe_stream *stream, struct tcp_pcb *pcb)
{
	tcp_arg(pcb, stream);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_error);
	tcp_nagle_disable(pcb);
	ip_set_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = keep_idle;
	pcb->keep_intvl = keep_interval;
	pcb->keep_cnt = keep_count;
}

static enum qe_error connect_to(struct qe_stream *stream)
{
	const ip_addr_t to = stack_to_ip(&stream->remote.addr);
	struct tcp_pcb *pcb = tcp_new_ip_type(to.type);
	err_t error;

	if (!pcb)
		return -ENOMEM;
	if (!bind_to_random_port(pcb, &to)) {
		tcp_close(pcb);
		return QE_ERR_FULL;
	}
	set_options(stream, pcb);
	randomize_sequence(pcb);
	error = tcp_connect(pcb, &to, stream->remote.port, on_connected);
	if (error != ERR_OK) {
		tcp_err(pcb, nullptr);
		tcp_abort(pcb);
		return error == ERR_RTE ? -ENETUNREACH : -ENOMEM;
	}
	stream->pcb = pcb;
	stream->first = pcb->lastack;
	stream->local = (struct qe_endpoint){
		.addr = stack_from_ip(&pcb->local_ip), .port = pcb->local_port};
	stack_start_timer(stream->stack);
	return QE_OK;
}

enum qe_error qe_stream_new(struct qe_stream **ret_stream, struct qe_stack *stack,
	const struct qe_endpoint *to, void (*ready)(void *ctx), void *ctx)
{
	struct qe_stream *stream;
	enum qe_error error;

	if (is_full())
		return QE_ERR_FULL;
	stream = malloc(sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	*stream = (struct qe_stream){
		.stack = stack, .ready = ready, .ctx = ctx, .news.tell = tell, .remote = *to};
	qe_list_init(&stream->node);
	qe_list_init(&stream->news.node);
	stream->buffer = malloc(QE_STREAM_BUFFER);
	error = stream->buffer ? connect_to(stream) : -ENOMEM;
	if (error != QE_OK) {
		qe_stream_free(stream);
		return error;
	}
	qe_list_append(&stack->streams, &stream->node);
	*ret_stream = stream;
	return QE_OK;
}

struct qe_stream *qe_stream_free(struct qe_stream *stream)
{
	if (!stream)
		return nullptr;
	if (stream->pcb && stream->remote_ended && stream->finished)
		tcp_close(detach(stream));
	else if (stream->pcb)
		tcp_abort(detach(stream));
	qe_list_remove(&stream->node);
	qe_list_remove(&stream->news.node);
	free(stream->buffer);
	free(stream);
	return nullptr;
}

/* ---- what it is asked ---- */

enum qe_stream_state qe_stream_state(const struct qe_stream *stream)
{
	return stream->state;
}

enum qe_error qe_stream_error(const struct qe_stream *stream)
{
	return stream->error;
}

struct qe_endpoint qe_stream_local(const struct qe_stream *stream)
{
	return stream->local;
}

struct qe_bytes qe_stream_peek(const struct qe_stream *stream)
{
	const size_t left = QE_STREAM_BUFFER - stream->at;

	return (struct qe_bytes){stream->buffer + stream->at, stream->n < left ? stream->n : left};
}

/* As tcp_recved does, which knows no window but its own. */
static void widen(struct tcp_pcb *pcb, size_t len)
{
	pcb->rcv_wnd += (tcpwnd_size_t)len;
	if (tcp_update_rcv_ann_wnd(pcb) < TCP_WND_UPDATE_THRESHOLD)
		return;
	tcp_ack_now(pcb);
	tcp_output(pcb);
}

void qe_stream_consume(struct qe_stream *stream, size_t len)
{
	stream->at = (stream->at + len) % QE_STREAM_BUFFER;
	stream->n -= len;
	if (stream->pcb && !stream->remote_ended)
		widen(stream->pcb, len);
}

bool qe_stream_ended(const struct qe_stream *stream)
{
	return stream->remote_ended && stream->n == 0;
}

/* So much that it fits the queue of segments, too. */
size_t qe_stream_room(const struct qe_stream *stream)
{
	const struct tcp_pcb *pcb = stream->pcb;
	size_t segments, room;

	if (!pcb || stream->state != QE_STREAM_OPEN || stream->finished ||
		pcb->snd_queuelen + 2 >= TCP_SND_QUEUELEN)
		return 0;
	segments = TCP_SND_QUEUELEN - 2u - pcb->snd_queuelen;
	room = segments * pcb->mss;
	return room < pcb->snd_buf ? room : pcb->snd_buf;
}

enum qe_error qe_stream_write(struct qe_stream *stream, struct qe_bytes bytes)
{
	while (bytes.len > 0) {
		const u16_t len = bytes.len < UINT16_MAX ? (u16_t)bytes.len : UINT16_MAX;

		if (tcp_write(stream->pcb, bytes.data, len, TCP_WRITE_FLAG_COPY) != ERR_OK)
			return -ENOMEM;
		bytes.data += len;
		bytes.len -= len;
	}
	tcp_output(stream->pcb);
	return QE_OK;
}

void qe_stream_finish(struct qe_stream *stream)
{
	if (stream->finished || stream->state != QE_STREAM_OPEN)
		return;
	stream->finished = true;
	if (stream->pcb)
		tcp_shutdown(stream->pcb, 0, 1);
}

/* ---- for all of them ---- */

bool streams_any(void)
{
	return tcp_active_pcbs || tcp_tw_pcbs;
}

/* lwIP gives up after six tries at the same interval; how long is waited is the client's business,
 * and the tunnel may only just be coming up. */
static void keep_trying(struct tcp_pcb *pcb)
{
	if (pcb->nrtx == 0)
		return;
	pcb->nrtx = 0;
	pcb->rto = pcb->rto < syn_interval_max / 2 ? (s16_t)(2 * pcb->rto) : syn_interval_max;
}

/* A window may be filled with segments of one byte each, with holes between. */
static void bound_out_of_order(struct tcp_pcb *pcb)
{
	unsigned n = 0;

	for (const struct tcp_seg *segment = pcb->ooseq; segment; segment = segment->next)
		n++;
	if (n > segments_max)
		tcp_free_ooseq(pcb);
}

void streams_tick(struct qe_stack *stack)
{
	QE_LIST_FOR_EACH (node, &stack->streams) {
		struct qe_stream *stream = QE_CONTAINER_OF(node, struct qe_stream, node);

		if (!stream->pcb)
			continue;
		if (stream->state == QE_STREAM_CONNECTING)
			keep_trying(stream->pcb);
		bound_out_of_order(stream->pcb);
	}
}

/* There is room in the tunnel again. */
void streams_push(struct qe_stack *stack)
{
	for (struct tcp_pcb *pcb = tcp_active_pcbs; pcb && !stack->blocked; pcb = pcb->next)
		tcp_output(pcb);
}

/* Only of a connection that is being made, and about its very first packet: a stranger who does not
 * see the packets ends none (RFC 5927). */
void streams_complain(struct qe_stack *stack, const struct qe_complaint *complaint)
{
	const struct qe_endpoint local = {complaint->source, complaint->source_port, 0};
	const struct qe_endpoint remote = {complaint->destination, complaint->destination_port, 0};

	QE_LIST_FOR_EACH (node, &stack->streams) {
		struct qe_stream *stream = QE_CONTAINER_OF(node, struct qe_stream, node);

		if (complaint->protocol != QE_IP_TCP || !stream->pcb ||
			stream->state != QE_STREAM_CONNECTING ||
			stream->first != complaint->sequence ||
			!qe_endpoint_equal(&stream->local, &local) ||
			!qe_endpoint_equal(&stream->remote, &remote))
			continue;
		tcp_abort(detach(stream));
		fail(stream, complaint->error);
	}
}
