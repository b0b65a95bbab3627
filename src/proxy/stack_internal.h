/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the files of the stack share; nobody else includes lwIP. */
#pragma once

#include <lwip/netif.h>

#include "base/list.h"
#include "proxy/complaint.h"
#include "proxy/stack.h"

/* Something that has news, for after lwIP's work. */
struct news {
	struct qe_list node;
	void (*tell)(struct news *news);
};

struct qe_stack {
	struct qe_loop *loop;
	struct qe_tun *tun;
	struct netif netif;
	struct qe_watch watch;
	struct qe_alarm timer; /* of TCP */
	struct qe_alarm again; /* more packets are there than one turn takes */
	bool is_timer_set;
	bool blocked; /* the tunnel did not take a packet */
	struct qe_list news, streams, dgrams;
	struct qe_stack_counters counters;
	struct qe_addr addrs[1 + LWIP_IPV6_NUM_ADDRESSES];
	size_t n_addrs;
	uint8_t packet[40 + 65535];
};

void stack_has_news(struct qe_stack *stack, struct news *news);
/* From the first TCP connection on, lwIP has to be told the time. */
void stack_start_timer(struct qe_stack *stack);

ip_addr_t stack_to_ip(const struct qe_addr *addr);
struct qe_addr stack_from_ip(const ip_addr_t *ip);
/* Of TCP or UDP; above what other programs are used to. */
uint16_t stack_random_port(void);

/* stream.c */
void streams_tick(struct qe_stack *stack);
void streams_push(struct qe_stack *stack);
void streams_complain(struct qe_stack *stack, const struct qe_complaint *complaint);
bool streams_any(void);

/* dgram.c */
void dgrams_complain(struct qe_stack *stack, const struct qe_complaint *complaint);
