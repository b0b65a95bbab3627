/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <stdlib.h>

#include <lwip/udp.h>

#include "proxy/stack_internal.h"

constexpr unsigned port_tries = 32;

struct qe_dgram {
	struct qe_stack *stack;
	struct qe_list node; /* of stack->dgrams */
	struct news news;
	void (*received)(void *ctx, enum qe_error error, struct qe_bytes bytes);
	void *ctx;
	struct udp_pcb *pcb;
	struct qe_endpoint remote;
	/* One is kept; whoever sends a second before the first was looked at sends in vain. */
	bool has_one;
	enum qe_error error;
	size_t len;
	uint8_t data[QE_DATAGRAM_MAX];
};

static void tell(struct news *news)
{
	struct qe_dgram *dgram = QE_CONTAINER_OF(news, struct qe_dgram, news);
	uint8_t data[QE_DATAGRAM_MAX];
	const struct qe_bytes bytes = {data, dgram->len};

	memcpy(data, dgram->data, dgram->len);
	dgram->has_one = false;
	dgram->received(dgram->ctx, dgram->error, bytes);
}

static void keep(struct qe_dgram *dgram, enum qe_error error, const struct pbuf *packet)
{
	if (dgram->has_one)
		return;
	dgram->has_one = true;
	dgram->error = error;
	dgram->len = packet ? pbuf_copy_partial(packet, dgram->data, sizeof(dgram->data), 0) : 0;
	stack_has_news(dgram->stack, &dgram->news);
}

static void on_received(void *ctx, struct udp_pcb *, struct pbuf *packet, const ip_addr_t *, u16_t)
{
	keep(ctx, QE_OK, packet);
	pbuf_free(packet);
}

static enum qe_error connect_to(struct qe_dgram *dgram)
{
	const ip_addr_t to = stack_to_ip(&dgram->remote.addr);
	const ip_addr_t *any = to.type == IPADDR_TYPE_V4 ? IP4_ADDR_ANY : IP6_ADDR_ANY;
	unsigned tries = 0;

	dgram->pcb = udp_new_ip_type(to.type);
	if (!dgram->pcb)
		return -ENOMEM;
	while (udp_bind(dgram->pcb, any, stack_random_port()) != ERR_OK)
		if (++tries == port_tries)
			return QE_ERR_FULL;
	udp_recv(dgram->pcb, on_received, dgram);
	return udp_connect(dgram->pcb, &to, dgram->remote.port) == ERR_OK ? QE_OK : -ENETUNREACH;
}

enum qe_error qe_dgram_new(struct qe_dgram **ret_dgram, struct qe_stack *stack,
	const struct qe_endpoint *to,
	void (*received)(void *ctx, enum qe_error error, struct qe_bytes bytes), void *ctx)
{
	struct qe_dgram *dgram = malloc(sizeof(*dgram));
	enum qe_error error;

	if (!dgram)
		return -ENOMEM;
	*dgram = (struct qe_dgram){
		.stack = stack, .received = received, .ctx = ctx, .news.tell = tell, .remote = *to};
	qe_list_init(&dgram->node);
	qe_list_init(&dgram->news.node);
	error = connect_to(dgram);
	if (error != QE_OK) {
		qe_dgram_free(dgram);
		return error;
	}
	qe_list_append(&stack->dgrams, &dgram->node);
	*ret_dgram = dgram;
	return QE_OK;
}

struct qe_dgram *qe_dgram_free(struct qe_dgram *dgram)
{
	if (!dgram)
		return nullptr;
	if (dgram->pcb)
		udp_remove(dgram->pcb);
	qe_list_remove(&dgram->node);
	qe_list_remove(&dgram->news.node);
	free(dgram);
	return nullptr;
}

enum qe_error qe_dgram_send(struct qe_dgram *dgram, struct qe_bytes bytes)
{
	struct pbuf *packet = pbuf_alloc(PBUF_TRANSPORT, (u16_t)bytes.len, PBUF_RAM);
	err_t error;

	if (!packet)
		return -ENOMEM;
	memcpy(packet->payload, bytes.data, bytes.len);
	error = udp_send(dgram->pcb, packet);
	pbuf_free(packet);
	return error == ERR_OK ? QE_OK : error == ERR_RTE ? -ENETUNREACH : -EAGAIN;
}

void dgrams_complain(struct qe_stack *stack, const struct qe_complaint *complaint)
{
	const struct qe_endpoint remote = {complaint->destination, complaint->destination_port, 0};

	QE_LIST_FOR_EACH (node, &stack->dgrams) {
		struct qe_dgram *dgram = QE_CONTAINER_OF(node, struct qe_dgram, node);

		if (complaint->protocol == QE_IP_UDP &&
			dgram->pcb->local_port == complaint->source_port &&
			qe_endpoint_equal(&dgram->remote, &remote))
			keep(dgram, complaint->error, nullptr);
	}
}
