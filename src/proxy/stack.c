/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * lwIP as the distribution builds it: made for a thread of its own, but without that (tcpip_init)
 * it is a set of functions, which belong to whoever calls them. So nothing is locked here, and its
 * timers do not run by themselves. Of these only TCP's is wanted: nothing is reassembled, and no
 * neighbour is looked for.
 *
 * What comes out of the tunnel passes a door first. Behind it lwIP sees TCP, UDP and echo requests
 * for addresses of its own, whole and without options: its code for fragments, extension headers,
 * neighbours, routers and groups cannot be reached. It must not see a packet from itself either: it
 * would answer by its loopback, which needs the thread.
 */
#include "proxy/stack_internal.h"

#include <errno.h>
#include <stdlib.h>

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/ip4.h>
#include <lwip/ip6.h>
#include <lwip/priv/tcp_priv.h>

#include "crypto/random.h"
#include "net/checksum.h"
#include "os/clock.h"

/* lwIP counts in half seconds, slow for retransmissions of today's networks: told the time four
 * times as fast, its shortest one is after 0.375 s, a delayed acknowledgement comes within 62 ms
 * and a connection is remembered for 30 s. */
constexpr qe_time tick = 62'500 * QE_MICROSECOND;
constexpr unsigned packets_per_turn = 256;
/* What any path carries, so that nobody has to be told that a packet was too big. */
constexpr uint16_t ipv6_mtu = 1280;
enum : uint8_t { echo_request = 8, echo6_request = 128 };

/* ---- addresses ---- */

ip_addr_t stack_to_ip(const struct qe_addr *addr)
{
	ip_addr_t ip = {};

	if (addr->family == QE_FAMILY_IPV4) {
		ip.type = IPADDR_TYPE_V4;
		memcpy(&ip.u_addr.ip4.addr, addr->bytes, 4);
	} else {
		ip.type = IPADDR_TYPE_V6;
		memcpy(ip.u_addr.ip6.addr, addr->bytes, 16);
	}
	return ip;
}

struct qe_addr stack_from_ip(const ip_addr_t *ip)
{
	if (ip->type == IPADDR_TYPE_V4)
		return qe_addr_ipv4((const uint8_t *)&ip->u_addr.ip4.addr);
	return qe_addr_ipv6((const uint8_t *)ip->u_addr.ip6.addr);
}

uint16_t stack_random_port(void)
{
	uint16_t random;

	qe_random(&random, sizeof(random));
	return (uint16_t)(16384 + random % 49152);
}

bool qe_stack_owns(const struct qe_stack *stack, const struct qe_addr *addr)
{
	for (size_t i = 0; i < stack->n_addrs; i++)
		if (qe_addr_equal(&stack->addrs[i], addr))
			return true;
	return false;
}

bool qe_stack_has_family(const struct qe_stack *stack, enum qe_family family)
{
	for (size_t i = 0; i < stack->n_addrs; i++)
		if (stack->addrs[i].family == family)
			return true;
	return false;
}

/* ---- news ---- */

void stack_has_news(struct qe_stack *stack, struct news *news)
{
	qe_list_remove(&news->node);
	qe_list_append(&stack->news, &news->node);
}

/* Whoever is told may free anything, itself too. */
static void tell_news(struct qe_stack *stack)
{
	while (!qe_list_empty(&stack->news)) {
		struct news *news = QE_CONTAINER_OF(stack->news.next, struct news, node);

		qe_list_remove(&news->node);
		news->tell(news);
	}
}

/* ---- out ---- */

/* An error makes lwIP keep a TCP segment, and try again when it is asked to. */
static err_t output(struct netif *netif, struct pbuf *packet)
{
	static const struct qe_offload offload = {.csum_valid = true};
	struct qe_stack *stack = netif->state;
	uint8_t copy[QE_DATAGRAM_MAX];
	const uint8_t *bytes = packet->payload;
	enum qe_error error;

	if (packet->next) {
		if (packet->tot_len > sizeof(copy))
			return ERR_BUF;
		bytes = copy;
		pbuf_copy_partial(packet, copy, packet->tot_len, 0);
	}
	error = qe_tun_write(stack->tun, &offload, bytes, packet->tot_len);
	if (error != QE_OK) {
		stack->blocked = true;
		return ERR_MEM;
	}
	return ERR_OK;
}

static err_t output4(struct netif *netif, struct pbuf *packet, const ip4_addr_t *)
{
	return output(netif, packet);
}

static err_t output6(struct netif *netif, struct pbuf *packet, const ip6_addr_t *)
{
	return output(netif, packet);
}

/* ---- in ---- */

static bool is_for_us(const struct qe_stack *stack, const struct qe_packet *packet)
{
	return !packet->fragment && !packet->options && qe_stack_owns(stack, &packet->destination);
}

static bool is_from_elsewhere(const struct qe_stack *stack, const struct qe_packet *packet)
{
	return !qe_stack_owns(stack, &packet->source) && !qe_addr_is_loopback(&packet->source) &&
	       !qe_addr_is_multicast(&packet->source);
}

/* An ICMP message: errors are heard here, also the node's own, and lwIP answers echo requests. */
static bool is_echo(struct qe_stack *stack, const struct qe_packet *packet, struct qe_bytes bytes)
{
	struct qe_complaint complaint;

	if (bytes.len <= packet->transport)
		return false;
	if (qe_complaint_read(&complaint, packet, bytes)) {
		streams_complain(stack, &complaint);
		dgrams_complain(stack, &complaint);
		return false;
	}
	return bytes.data[packet->transport] ==
	       (packet->protocol == QE_IP_ICMP ? echo_request : echo6_request);
}

static bool is_known(struct qe_stack *stack, const struct qe_packet *packet,
	const struct qe_offload *offload, struct qe_bytes bytes)
{
	switch (packet->protocol) {
	case QE_IP_TCP:
		return true;
	case QE_IP_UDP:
		return offload->gso == QE_GSO_NONE;
	case QE_IP_ICMP:
		return packet->version == 4 && is_echo(stack, packet, bytes);
	case QE_IP_ICMPV6:
		return packet->version == 6 && is_echo(stack, packet, bytes);
	default:
		return false;
	}
}

static bool may_enter(struct qe_stack *stack, const struct qe_packet *packet,
	const struct qe_offload *offload, struct qe_bytes bytes)
{
	return bytes.len <= UINT16_MAX && is_for_us(stack, packet) &&
	       is_known(stack, packet, offload, bytes) && is_from_elsewhere(stack, packet);
}

/* lwIP looks at every checksum; of a super-packet it is that of the whole, which is one TCP segment
 * to it. */
static void take_packet(struct qe_stack *stack, const struct qe_offload *offload, size_t len)
{
	const struct qe_bytes bytes = {stack->packet, len};
	struct qe_packet packet;
	struct pbuf *copy;

	if (qe_packet_parse(&packet, bytes) != QE_OK ||
		!may_enter(stack, &packet, offload, bytes)) {
		stack->counters.refused++;
		return;
	}
	if (offload->needs_csum)
		qe_checksum_transport_complete(stack->packet, &packet);
	copy = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);
	if (!copy)
		return;
	memcpy(copy->payload, stack->packet, len);
	if (ip_input(copy, &stack->netif) != ERR_OK)
		pbuf_free(copy);
}

static void drain(struct qe_stack *stack)
{
	struct qe_offload offload;
	size_t len = 0;

	for (unsigned i = 0; i < packets_per_turn; i++) {
		if (qe_tun_read(stack->tun, stack->packet, sizeof(stack->packet), &offload, &len) !=
			QE_OK)
			return;
		take_packet(stack, &offload, len);
	}
	(void)!qe_loop_set_alarm(stack->loop, &stack->again, qe_clock_now());
}

static void work(struct qe_stack *stack)
{
	drain(stack);
	if (stack->blocked) {
		stack->blocked = false;
		streams_push(stack);
	}
	tell_news(stack);
}

static void readable(struct qe_watch *watch, unsigned)
{
	work(QE_CONTAINER_OF(watch, struct qe_stack, watch));
}

static void read_again(struct qe_alarm *alarm, qe_time)
{
	work(QE_CONTAINER_OF(alarm, struct qe_stack, again));
}

/* ---- time ---- */

static void timer_rings(struct qe_alarm *alarm, qe_time)
{
	struct qe_stack *stack = QE_CONTAINER_OF(alarm, struct qe_stack, timer);

	stack->is_timer_set = false;
	tcp_tmr();
	streams_tick(stack);
	tell_news(stack);
	if (streams_any())
		stack_start_timer(stack);
}

void stack_start_timer(struct qe_stack *stack)
{
	if (!stack->is_timer_set)
		stack->is_timer_set = qe_loop_set_alarm(stack->loop, &stack->timer,
					      qe_clock_now() + tick) == QE_OK;
}

/* ---- life ---- */

static err_t init_netif(struct netif *netif)
{
	netif->name[0] = 'q';
	netif->name[1] = 'e';
	netif->output = output4;
	netif->output_ip6 = output6;
	netif->flags = NETIF_FLAG_LINK_UP;
	return ERR_OK;
}

static void add_addr(struct qe_stack *stack, const struct qe_addr *addr, size_t *n_ipv6)
{
	ip_addr_t ip = stack_to_ip(addr);
	ip4_addr_t host;

	if (addr->family == QE_FAMILY_IPV4) {
		if (qe_stack_has_family(stack, QE_FAMILY_IPV4))
			return;
		IP4_ADDR(&host, 255, 255, 255, 255);
		netif_set_addr(&stack->netif, ip_2_ip4(&ip), &host, ip_2_ip4(IP4_ADDR_ANY));
	} else {
		if (*n_ipv6 == LWIP_IPV6_NUM_ADDRESSES)
			return;
		netif_ip6_addr_set(&stack->netif, (s8_t)*n_ipv6, ip_2_ip6(&ip));
		netif_ip6_addr_set_state(&stack->netif, (s8_t)*n_ipv6, IP6_ADDR_PREFERRED);
		++*n_ipv6;
	}
	stack->addrs[stack->n_addrs++] = *addr;
}

static bool start_interface(struct qe_stack *stack, const struct qe_stack_settings *settings)
{
	size_t n_ipv6 = 0;

	if (!netif_add(&stack->netif, nullptr, nullptr, nullptr, stack, init_netif, ip_input))
		return false;
	stack->netif.mtu = settings->mtu;
	stack->netif.mtu6 = ipv6_mtu;
	stack->netif.ip6_autoconfig_enabled = 0;
	stack->netif.rs_count = 0;
	for (size_t i = 0; i < settings->n_addrs; i++)
		add_addr(stack, &settings->addrs[i], &n_ipv6);
	netif_set_default(&stack->netif);
	netif_set_up(&stack->netif);
	return true;
}

enum qe_error qe_stack_new(struct qe_stack **ret_stack, const struct qe_stack_settings *settings)
{
	static bool is_initialised;
	struct qe_stack *stack = calloc(1, sizeof(*stack));
	enum qe_error error;

	if (!stack)
		return -ENOMEM;
	if (!is_initialised)
		lwip_init();
	is_initialised = true;
	stack->loop = settings->loop;
	stack->tun = settings->tun;
	stack->timer.ring = timer_rings;
	stack->again.ring = read_again;
	stack->watch = (struct qe_watch){qe_tun_fd(settings->tun), readable};
	qe_list_init(&stack->news);
	qe_list_init(&stack->streams);
	qe_list_init(&stack->dgrams);
	if (!start_interface(stack, settings)) {
		free(stack);
		return -ENOMEM;
	}
	error = qe_loop_add(stack->loop, &stack->watch, QE_READABLE | QE_EDGE);
	if (error != QE_OK) {
		qe_stack_free(stack);
		return error;
	}
	*ret_stack = stack;
	return QE_OK;
}

/* What lwIP still has of connections that have ended goes without a word. */
static void forget_connections(void)
{
	while (tcp_active_pcbs)
		tcp_abandon(tcp_active_pcbs, 0);
	while (tcp_tw_pcbs)
		tcp_abandon(tcp_tw_pcbs, 0);
}

struct qe_stack *qe_stack_free(struct qe_stack *stack)
{
	if (!stack)
		return nullptr;
	forget_connections();
	qe_loop_remove(stack->loop, &stack->watch);
	(void)!qe_loop_set_alarm(stack->loop, &stack->timer, QE_TIME_NEVER);
	(void)!qe_loop_set_alarm(stack->loop, &stack->again, QE_TIME_NEVER);
	netif_remove(&stack->netif);
	free(stack);
	return nullptr;
}

const struct qe_stack_counters *qe_stack_get_counters(const struct qe_stack *stack)
{
	return &stack->counters;
}
