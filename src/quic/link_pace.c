/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The pace of a link: a congestion window in four fifths of a round trip, as RFC 9002, section 7.7,
 * has it; and as fast as BBR starts while the window is the widest so far, so that senders inside
 * who are starting, too, do not take a queue here for one on the path. Only IP packets wait for it.
 *
 * ngtcp2 would pace at BBR's estimate of the path's rate, less one per cent; it is never told when
 * packets leave, and so does not. For up to version 1.22 that estimate is the highest rate of the
 * last two round trips, where BBR wants that of two cycles of probing, of up to 63 round trips
 * each: its filter advances with every round trip between two probes. So each one measures what
 * the one before has allowed, less the margin, less what was lost, and the rate falls by 1 to 2 %
 * a round trip until the next probe, with and without loss. A pace well above the estimate measures
 * the path instead. BBR's window, of twice the path's capacity, bounds what does not slow down.
 */
#include "quic/link_internal.h"

constexpr uint64_t MIB = UINT64_C(1) << 20;
constexpr unsigned GAIN_PERCENT = 125;
constexpr unsigned START_GAIN_PERCENT = 277;
/* So much leaves at once, whichever is more. */
constexpr size_t BURST = 14720; /* RFC 9002's initial window */
constexpr qe_time BURST_TIME = QE_MILLISECOND;

static qe_time time_of(const struct link_pace *pace, size_t len)
{
	return len * pace->per_mib / MIB;
}

void link_pace_set(struct qe_link *link, const ngtcp2_conn_info *info)
{
	struct link_pace *pace = &link->pace;
	bool starts = info->cwnd >= pace->widest;

	if (starts)
		pace->widest = info->cwnd;
	pace->per_mib = info->smoothed_rtt * MIB / info->cwnd * 100 /
			(starts ? START_GAIN_PERCENT : GAIN_PERCENT);
	pace->ahead = qe_time_max(BURST_TIME, time_of(pace, BURST));
}

bool link_pace_allows(const struct qe_link *link, qe_time now)
{
	return link->pace.free_at <= now + link->pace.ahead;
}

void link_pace_sent(struct qe_link *link, size_t len)
{
	struct link_pace *pace = &link->pace;

	if (!link->established) /* at a round trip that is only assumed */
		return;
	pace->free_at = qe_time_max(pace->free_at, link->now) + time_of(pace, len);
}

qe_time link_pace_deadline(const struct qe_link *link)
{
	return link_pace_allows(link, link->now) ? QE_TIME_NEVER : link->pace.free_at;
}
