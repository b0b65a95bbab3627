/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The states of a flow and how long each lasts without a packet: those of Linux' nf_conntrack, with
 * its timeouts, but without its look at sequence numbers.
 */
#pragma once

#include "base/time.h"

/* Time as flows keep it: 67 ms each, so that 32 bits are good for nine years. */
#define TICK_SHIFT 26

static inline uint32_t tick_of(qe_time time)
{
	return (uint32_t)(time >> TICK_SHIFT);
}

enum track_state : uint8_t {
	TRACK_NONE,
	TRACK_SYN_SENT,
	TRACK_SYN_RECEIVED,
	TRACK_PICKED_UP, /* begun in its middle, and nothing has come back yet */
	TRACK_ESTABLISHED,
	TRACK_ORIGIN_DONE, /* who began it has sent its FIN */
	TRACK_REPLY_DONE,  /* the other one has */
	TRACK_TIME_WAIT,   /* both have */
	TRACK_RESET,
	TRACK_UDP_NEW,
	TRACK_UDP,
	TRACK_ECHO_NEW,
	TRACK_ECHO,
	TRACK_OTHER_NEW,
	TRACK_OTHER,
	TRACK_FRAGMENTS,
	TRACK_STATES,
	/* Not states, but what qe_track_next may say instead of one. */
	TRACK_REOPEN, /* a new connection with the old one's addresses and ports */
	TRACK_REFUSE, /* no part of this flow */
};

/* What a packet is to a flow. */
enum track_event : uint8_t {
	TRACK_PLAIN,
	TRACK_SYN,
	TRACK_SYN_ACK,
	TRACK_FIN,
	TRACK_RST,
	TRACK_EVENTS
};

extern const uint32_t track_timeouts[TRACK_STATES]; /* in ticks */

enum track_event track_event_of(uint8_t tcp_flags); /* 0 for all but TCP: TRACK_PLAIN */
/* The state of a flow that begins with such a packet; TRACK_NONE: it does not begin one. */
enum track_state track_begin(uint8_t protocol, enum track_event event);
enum track_state track_next(enum track_state state, bool reply, enum track_event event);
bool track_is_closed(enum track_state state);

/* The other side has agreed to it. */
static inline bool track_is_replied(enum track_state state)
{
	constexpr uint32_t replied = 1u << TRACK_ESTABLISHED | 1u << TRACK_ORIGIN_DONE |
				     1u << TRACK_REPLY_DONE | 1u << TRACK_UDP | 1u << TRACK_ECHO |
				     1u << TRACK_OTHER;

	return replied >> state & 1;
}

/* A plain packet changes nothing. */
static inline bool track_is_steady(enum track_state state, bool reply)
{
	constexpr uint32_t waiting = 1u << TRACK_PICKED_UP | 1u << TRACK_UDP_NEW |
				     1u << TRACK_ECHO_NEW | 1u << TRACK_OTHER_NEW;

	return track_is_replied(state) || (!reply && (waiting >> state & 1));
}
