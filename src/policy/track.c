/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "policy/track.h"

#include "net/packet.h"

#define SECONDS(n) ((uint32_t)((n) * QE_SECOND >> TICK_SHIFT))

const uint32_t track_timeouts[TRACK_STATES] = {
	[TRACK_SYN_SENT] = SECONDS(120),
	[TRACK_SYN_RECEIVED] = SECONDS(60),
	[TRACK_PICKED_UP] = SECONDS(300),
	[TRACK_ESTABLISHED] = SECONDS(5 * 24 * 3600),
	[TRACK_ORIGIN_DONE] = SECONDS(120),
	[TRACK_REPLY_DONE] = SECONDS(120),
	[TRACK_TIME_WAIT] = SECONDS(120),
	[TRACK_RESET] = SECONDS(10),
	[TRACK_UDP_NEW] = SECONDS(30),
	[TRACK_UDP] = SECONDS(180),
	[TRACK_ECHO_NEW] = SECONDS(30),
	[TRACK_ECHO] = SECONDS(30),
	[TRACK_OTHER_NEW] = SECONDS(600),
	[TRACK_OTHER] = SECONDS(600),
	[TRACK_FRAGMENTS] = SECONDS(30),
};

enum : uint8_t { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

/* PLAIN, SYN, SYN_ACK, FIN, RST; first from who began the flow, then from the other side. A bare
 * SYN from the other side would begin a connection against the rules' direction: it is part of the
 * flow only as the simultaneous open of RFC 9293, section 3.5. After a reset the one who began it
 * may go on as if in the middle of a connection, since the reset may have been out of its window:
 * the rules allow that one's packets in any case. */
#define NEXT(a, b, c, d, e) {TRACK_##a, TRACK_##b, TRACK_##c, TRACK_##d, TRACK_##e}

static const uint8_t next_states[TRACK_STATES][2][TRACK_EVENTS] = {
	[TRACK_SYN_SENT] = {NEXT(SYN_SENT, SYN_SENT, SYN_SENT, SYN_SENT, RESET),
		NEXT(SYN_SENT, SYN_RECEIVED, SYN_RECEIVED, SYN_SENT, RESET)},
	[TRACK_SYN_RECEIVED] = {NEXT(ESTABLISHED, SYN_RECEIVED, ESTABLISHED, ORIGIN_DONE, RESET),
		NEXT(SYN_RECEIVED, REFUSE, SYN_RECEIVED, REPLY_DONE, RESET)},
	[TRACK_PICKED_UP] = {NEXT(PICKED_UP, SYN_SENT, PICKED_UP, ORIGIN_DONE, RESET),
		NEXT(ESTABLISHED, REFUSE, SYN_RECEIVED, REPLY_DONE, RESET)},
	[TRACK_ESTABLISHED] = {NEXT(ESTABLISHED, ESTABLISHED, ESTABLISHED, ORIGIN_DONE, RESET),
		NEXT(ESTABLISHED, REFUSE, ESTABLISHED, REPLY_DONE, RESET)},
	[TRACK_ORIGIN_DONE] = {NEXT(ORIGIN_DONE, ORIGIN_DONE, ORIGIN_DONE, ORIGIN_DONE, RESET),
		NEXT(ORIGIN_DONE, REFUSE, ORIGIN_DONE, TIME_WAIT, RESET)},
	[TRACK_REPLY_DONE] = {NEXT(REPLY_DONE, REPLY_DONE, REPLY_DONE, TIME_WAIT, RESET),
		NEXT(REPLY_DONE, REFUSE, REPLY_DONE, REPLY_DONE, RESET)},
	[TRACK_TIME_WAIT] = {NEXT(TIME_WAIT, REOPEN, TIME_WAIT, TIME_WAIT, RESET),
		NEXT(TIME_WAIT, REFUSE, TIME_WAIT, TIME_WAIT, RESET)},
	[TRACK_RESET] = {NEXT(PICKED_UP, REOPEN, RESET, RESET, RESET),
		NEXT(RESET, REFUSE, RESET, RESET, RESET)},
};

enum track_event track_event_of(uint8_t tcp_flags)
{
	if (!(tcp_flags & (FIN | SYN | RST)))
		return TRACK_PLAIN;
	if (tcp_flags & RST)
		return TRACK_RST;
	if (tcp_flags & SYN)
		return tcp_flags & ACK ? TRACK_SYN_ACK : TRACK_SYN;
	return TRACK_FIN;
}

static enum track_state begin_tcp(enum track_event event)
{
	switch (event) {
	case TRACK_PLAIN:
		return TRACK_PICKED_UP;
	case TRACK_SYN:
		return TRACK_SYN_SENT;
	case TRACK_FIN:
		return TRACK_ORIGIN_DONE;
	case TRACK_SYN_ACK: /* an answer to what this node has not seen */
	case TRACK_RST:
	case TRACK_EVENTS:
		break;
	}
	return TRACK_NONE;
}

enum track_state track_begin(uint8_t protocol, enum track_event event)
{
	switch (protocol) {
	case QE_IP_TCP:
		return begin_tcp(event);
	case QE_IP_UDP:
		return TRACK_UDP_NEW;
	case QE_IP_ICMP:
	case QE_IP_ICMPV6:
		return TRACK_ECHO_NEW;
	default:
		return TRACK_OTHER_NEW;
	}
}

enum track_state track_next(enum track_state state, bool reply, enum track_event event)
{
	switch (state) {
	case TRACK_UDP_NEW:
	case TRACK_ECHO_NEW:
	case TRACK_OTHER_NEW:
		return reply ? (enum track_state)(state + 1) : state;
	case TRACK_UDP:
	case TRACK_ECHO:
	case TRACK_OTHER:
	case TRACK_FRAGMENTS:
		return state;
	default:
		return (enum track_state)next_states[state][reply][event];
	}
}

bool track_is_closed(enum track_state state)
{
	return state == TRACK_TIME_WAIT || state == TRACK_RESET;
}
