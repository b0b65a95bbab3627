/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Which announcements are believed. The configuration grants a peer prefixes of its own and
 * prefixes that it may forward for; an announcement must lie in one of the right kind, and the most
 * specific of these is what it stands on. It falls where somebody has a better right: an own prefix
 * of another node, or of this one, that holds the announced one and is more specific than the
 * grant. So who may announce 10.0.0.0/8 cannot take 10.0.1.0/25 from the owner of 10.0.1.0/24. One
 * exception makes gateways a fallback: a subnet of another node, exactly, may be forwarded for.
 */
#include "route/rib_internal.h"

static const struct {
	struct qe_prefix prefix;
	const char *reason;
} never[] = {
	{{{QE_FAMILY_IPV4, {0}}, 8}, "not a unicast prefix"},
	{{{QE_FAMILY_IPV4, {127}}, 8}, "loopback"},
	{{{QE_FAMILY_IPV4, {169, 254}}, 16}, "link-local"},
	{{{QE_FAMILY_IPV4, {224}}, 4}, "multicast"},
	{{{QE_FAMILY_IPV4, {255, 255, 255, 255}}, 32}, "not a unicast prefix"},
	{{{QE_FAMILY_IPV6, {0}}, 128}, "not a unicast prefix"},
	{{{QE_FAMILY_IPV6, {[15] = 1}}, 128}, "loopback"},
	{{{QE_FAMILY_IPV6, {[10] = 0xff, 0xff}}, 96}, "IPv4-mapped"},
	{{{QE_FAMILY_IPV6, {0xfe, 0x80}}, 10}, "link-local"},
	{{{QE_FAMILY_IPV6, {0xff}}, 8}, "multicast"},
};

/* Of the prefix itself, whoever announces it. A default route holds everything, and is of use only
 * for what nobody else claims. */
static const char *never_accepted(const struct qe_prefix *prefix)
{
	struct qe_prefix masked = *prefix;

	if ((prefix->addr.family != QE_FAMILY_IPV4 && prefix->addr.family != QE_FAMILY_IPV6) ||
		prefix->length > qe_addr_bits(&prefix->addr))
		return "not a prefix";
	qe_prefix_mask(&masked);
	if (qe_prefix_compare(&masked, prefix) != 0)
		return "host bits";
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]) && prefix->length > 0; i++)
		if (qe_prefix_overlaps(&never[i].prefix, prefix))
			return never[i].reason;
	return nullptr;
}

/* The length of the most specific grant that the prefix lies in, or -1. */
static int granted(const struct qe_prefix *grants, size_t n, const struct qe_prefix *prefix)
{
	int longest = -1;

	for (size_t i = 0; i < n; i++)
		if (grants[i].length > longest && qe_prefix_covers(&grants[i], prefix))
			longest = grants[i].length;
	return longest;
}

static bool wider(const struct qe_prefix *grants, size_t n, const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < n; i++)
		if (qe_prefix_covers(prefix, &grants[i]))
			return true;
	return false;
}

static bool owned_by_another(const struct destination *destination, const struct rib_peer *peer)
{
	QE_LIST_FOR_EACH (node, &destination->candidates) {
		const struct candidate *candidate = candidate_of(node);

		if (candidate->configured && !candidate->gateway && candidate->peer != peer)
			return true;
	}
	return false;
}

/* What another has at one prefix around the announced one. */
static const char *taken(const struct destination *at, const struct rib_peer *peer,
	const struct qe_announcement *announcement, int grant)
{
	const struct qe_prefix *prefix = &announcement->prefix;
	bool exactly = at->prefix.length == prefix->length;
	bool host = at->prefix.length == qe_addr_bits(&prefix->addr);

	if (at->forbidden)
		return "an underlay address";
	if (at->local && at->prefix.length >= grant)
		return "this node's own";
	if (at->prefix.length <= grant || !owned_by_another(at, peer))
		return nullptr;
	if (exactly && announcement->gateway && !host)
		return nullptr;
	return host ? "the address of another node" : "a subnet of another node";
}

static const char *taken_anywhere(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_announcement *announcement, int grant)
{
	const uint32_t *lengths = rib->lengths[announcement->prefix.addr.family == QE_FAMILY_IPV6];
	struct qe_prefix around = announcement->prefix;

	for (int length = around.length; length >= 0; length--) {
		if (lengths[length] == 0)
			continue;
		around.length = (uint8_t)length;
		qe_prefix_mask(&around);
		const struct destination *at = rib_find(rib, &around);
		const char *reason = at != nullptr ? taken(at, peer, announcement, grant) : nullptr;

		if (reason != nullptr)
			return reason;
	}
	return nullptr;
}

const char *rib_refusal(const struct qe_rib *rib, const struct rib_peer *peer,
	const struct qe_announcement *announcement)
{
	const struct qe_prefix *prefix = &announcement->prefix;
	const struct qe_prefix *grants = announcement->gateway ? peer->gateway : peer->own;
	size_t n = announcement->gateway ? peer->n_gateway : peer->n_own;
	const char *reason = never_accepted(prefix);
	int grant;

	if (reason != nullptr)
		return reason;
	if (prefix->length == 0) {
		bool exit = announcement->gateway && (peer->exit || peer->default_gateway);

		return exit ? nullptr : "a default route without exit";
	}
	grant = granted(grants, n, prefix);
	if (grant < 0)
		return wider(grants, n, prefix) ? "wider than the grant" : "not granted";
	return taken_anywhere(rib, peer, announcement, grant);
}
