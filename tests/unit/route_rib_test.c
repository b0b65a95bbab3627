/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The RIB, told what happens: what is believed, what is used, and when it changes. */
#include <string.h>

#include "net/addr.h"
#include "random.h"
#include "route/rib.h"

/* What is used, as qe_rib_settings.changed tells it. */
#define USED_MAX 4096

static struct used {
	struct qe_route routes[USED_MAX];
	size_t n;
	unsigned changes;
} used;

static struct qe_prefix prefix_of(const char *text)
{
	struct qe_prefix prefix;

	assert_int_equal(qe_prefix_parse(&prefix, text), QE_OK);
	return prefix;
}

static struct qe_route *find_used(const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < used.n; i++)
		if (qe_prefix_compare(&used.routes[i].prefix, prefix) == 0)
			return &used.routes[i];
	return nullptr;
}

static void on_changed(void *, const struct qe_prefix *prefix, const struct qe_route *route)
{
	struct qe_route *old = find_used(prefix);

	used.changes++;
	if (route == nullptr) {
		assert_non_null(old);
		*old = used.routes[--used.n];
		return;
	}
	assert_int_equal(qe_prefix_compare(&route->prefix, prefix), 0);
	if (old == nullptr) {
		assert_true(used.n < USED_MAX);
		old = &used.routes[used.n++];
	}
	*old = *route;
}

static struct {
	unsigned accepted, refused;
} judged;

static void on_judged(void *, uint32_t, const struct qe_announcement *, const char *reason)
{
	judged.accepted += reason == nullptr;
	judged.refused += reason != nullptr;
}

static struct qe_rib *make_rib(void)
{
	struct qe_rib_settings settings = {
		.changed = on_changed, .judged = on_judged, .seed = random_u64()};
	struct qe_rib *rib = nullptr;

	used = (struct used){};
	judged.accepted = judged.refused = 0;
	assert_int_equal(qe_rib_new(&rib, &settings), QE_OK);
	return rib;
}

/* ---- a short way to say things: at most eight prefixes, from strings ---- */

#define NONE UINT32_MAX

static size_t parse_all(struct qe_prefix to[8], const char *const texts[8])
{
	size_t n = 0;

	for (; n < 8 && texts[n] != nullptr; n++)
		to[n] = prefix_of(texts[n]);
	return n;
}

struct grants {
	const char *own[8], *gateway[8];
	bool exit, default_gateway;
};

static void grant(struct qe_rib *rib, uint32_t slot, struct grants grants)
{
	struct qe_prefix own[8], gateway[8];
	struct qe_rib_peer peer = {.slot = slot,
		.own = own,
		.n_own = parse_all(own, grants.own),
		.gateway = gateway,
		.n_gateway = parse_all(gateway, grants.gateway),
		.exit = grants.exit,
		.default_gateway = grants.default_gateway};

	assert_int_equal(qe_rib_set_peer(rib, &peer, 0), QE_OK);
}

struct said {
	const char *prefix;
	bool gateway;
	uint16_t metric;
};

static void announce(
	struct qe_rib *rib, uint32_t slot, const struct said *said, size_t n, qe_time now)
{
	struct qe_announcement list[8];

	assert_true(n <= 8);
	for (size_t i = 0; i < n; i++)
		list[i] = (struct qe_announcement){
			prefix_of(said[i].prefix), said[i].gateway, said[i].metric};
	assert_int_equal(qe_rib_announce(rib, slot, list, n, 0, now), QE_OK);
}

#define ANNOUNCE(rib, slot, now, ...) \
	announce(rib, slot, (struct said[]){__VA_ARGS__}, \
		sizeof((struct said[]){__VA_ARGS__}) / sizeof(struct said), now)

static void set_local(struct qe_rib *rib, const char *text)
{
	struct qe_prefix prefix = prefix_of(text);

	assert_int_equal(qe_rib_set_local(rib, &prefix, 1), QE_OK);
}

static uint32_t user_of(const char *text, enum qe_next_hop next_hop)
{
	struct qe_prefix prefix = prefix_of(text);
	const struct qe_route *route = find_used(&prefix);

	return route != nullptr && route->next_hop == next_hop ? route->peer : NONE;
}

static void assert_used(const char *prefix, enum qe_next_hop next_hop, uint32_t peer)
{
	assert_int_equal(user_of(prefix, next_hop), peer);
}

static void assert_unused(const char *text)
{
	struct qe_prefix prefix = prefix_of(text);

	assert_null(find_used(&prefix));
}

static const qe_time S = QE_SECOND;

/* ---- the choice ---- */

static void a_grant_counts_until_the_peer_speaks(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.own = {"10.1.0.0/16", "100.64.0.1/32"}});
	assert_int_equal(qe_rib_deadline(rib), 0);
	assert_int_equal(used.changes, 0);
	qe_rib_run(rib, 0);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_NODE, 1);
	assert_used("100.64.0.1/32", QE_NEXT_HOP_NODE, 1);
	qe_rib_peer_up(rib, 1, 1 * S);
	ANNOUNCE(rib, 1, 1 * S, {"100.64.0.1/32"}, {"10.1.2.0/24"});
	qe_rib_run(rib, 1 * S);
	assert_unused("10.1.0.0/16");
	assert_used("10.1.2.0/24", QE_NEXT_HOP_NODE, 1);
	assert_used("100.64.0.1/32", QE_NEXT_HOP_NODE, 1);
	assert_int_equal(judged.accepted, 2);
	qe_rib_peer_down(rib, 1, true, 2 * S);
	qe_rib_run(rib, 2 * S);
	assert_unused("10.1.0.0/16");
	qe_rib_peer_down(rib, 1, false, 3 * S);
	qe_rib_run(rib, 3 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_NODE, 1);
	assert_unused("10.1.2.0/24");
	qe_rib_remove_peer(rib, 1);
	qe_rib_run(rib, 4 * S);
	assert_int_equal(used.n, 0);
	assert_int_equal(qe_rib_deadline(rib), QE_TIME_NEVER);
	qe_rib_free(rib);
}

static void a_gateway_stands_in_for_a_lost_node(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.own = {"10.1.0.0/16"}});
	grant(rib, 2, (struct grants){.gateway = {"10.0.0.0/8"}});
	qe_rib_peer_up(rib, 1, 0);
	qe_rib_peer_up(rib, 2, 0);
	ANNOUNCE(rib, 2, 0, {"10.1.0.0/16", true, 5});
	qe_rib_run(rib, 0);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_NODE, 1);
	qe_rib_peer_down(rib, 1, true, 20 * S);
	qe_rib_run(rib, 20 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	qe_rib_peer_up(rib, 1, 30 * S);
	qe_rib_run(rib, 30 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	/* A break starts it again. */
	qe_rib_peer_down(rib, 1, false, 35 * S);
	qe_rib_peer_up(rib, 1, 36 * S);
	assert_int_equal(qe_rib_deadline(rib), 0);
	qe_rib_run(rib, 36 * S);
	assert_int_equal(qe_rib_deadline(rib), 46 * S);
	qe_rib_run(rib, 46 * S - 1);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	qe_rib_run(rib, 46 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_NODE, 1);
	assert_int_equal(used.changes, 3);
	/* Without anything else, the lost node it is. */
	qe_rib_peer_down(rib, 1, false, 50 * S);
	qe_rib_peer_down(rib, 2, false, 50 * S);
	qe_rib_run(rib, 50 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_NODE, 1);
	qe_rib_free(rib);
}

static void local_comes_first(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.own = {"10.1.0.0/16"}});
	set_local(rib, "10.1.0.0/16");
	qe_rib_run(rib, 0);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_LOCAL, 0);
	set_local(rib, "10.2.0.0/16");
	qe_rib_run(rib, 0);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_NODE, 1);
	assert_used("10.2.0.0/16", QE_NEXT_HOP_LOCAL, 0);
	qe_rib_free(rib);
}

static void two_gateways(struct qe_rib *rib, uint16_t metric_1, uint16_t metric_2)
{
	for (uint32_t slot = 1; slot <= 2; slot++) {
		grant(rib, slot, (struct grants){.gateway = {"10.0.0.0/8"}});
		qe_rib_peer_up(rib, slot, 0);
		ANNOUNCE(rib, slot, 0, {"10.1.0.0/16", true, slot == 1 ? metric_1 : metric_2});
	}
	qe_rib_run(rib, 0);
}

static void the_lower_metric_wins_at_once(void **)
{
	struct qe_rib *rib = make_rib();

	two_gateways(rib, 20, 10);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	ANNOUNCE(rib, 1, S, {"10.1.0.0/16", true, 5});
	qe_rib_run(rib, S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	/* A gateway that is silent or gone is no gateway; what it said when silent still holds. */
	qe_rib_peer_down(rib, 1, true, 2 * S);
	qe_rib_run(rib, 2 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	qe_rib_peer_down(rib, 2, false, 3 * S);
	qe_rib_run(rib, 3 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_peer_down(rib, 1, false, 4 * S);
	qe_rib_run(rib, 4 * S);
	assert_unused("10.1.0.0/16");
	qe_rib_peer_up(rib, 1, 5 * S);
	qe_rib_run(rib, 5 * S);
	assert_unused("10.1.0.0/16");
	qe_rib_free(rib);
}

static void a_shorter_round_trip_must_be_clearly_shorter(void **)
{
	const qe_time MS = QE_MILLISECOND;
	struct qe_rib *rib = make_rib();

	two_gateways(rib, 1, 1);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_set_rtt(rib, 1, 20 * MS);
	qe_rib_set_rtt(rib, 2, 17 * MS); /* a fifth would be 16 */
	qe_rib_run(rib, 10 * S);
	assert_int_equal(qe_rib_deadline(rib), QE_TIME_NEVER);
	qe_rib_set_rtt(rib, 1, 12 * MS);
	qe_rib_set_rtt(rib, 2, 8 * MS); /* a third less, but 4 ms */
	qe_rib_run(rib, 20 * S);
	assert_int_equal(qe_rib_deadline(rib), QE_TIME_NEVER);
	qe_rib_set_rtt(rib, 1, 20 * MS);
	qe_rib_run(rib, 30 * S);
	assert_int_equal(qe_rib_deadline(rib), 40 * S);
	/* Not for long enough: it starts again. */
	qe_rib_set_rtt(rib, 2, 30 * MS);
	qe_rib_run(rib, 39 * S);
	qe_rib_set_rtt(rib, 2, 8 * MS);
	qe_rib_run(rib, 40 * S);
	assert_int_equal(qe_rib_deadline(rib), 50 * S);
	qe_rib_run(rib, 50 * S - 1);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_run(rib, 50 * S);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	assert_int_equal(used.changes, 2);
	qe_rib_free(rib);
}

/* Ten times a second, one connection after the other: the standby carries on. */
static void a_flapping_gateway_moves_flows_once(void **)
{
	struct qe_rib *rib = make_rib();

	two_gateways(rib, 1, 2);
	for (qe_time now = S; now < 60 * S; now += S / 10) {
		qe_rib_peer_down(rib, 1, false, now);
		qe_rib_run(rib, now);
		qe_rib_peer_up(rib, 1, now + S / 20);
		ANNOUNCE(rib, 1, now + S / 20, {"10.1.0.0/16", true, 1});
		qe_rib_run(rib, now + S / 20);
		assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	}
	assert_int_equal(used.changes, 2);
	qe_rib_free(rib);
}

static void the_default_gateway_is_the_last_resort(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.default_gateway = true});
	grant(rib, 2, (struct grants){.exit = true});
	qe_rib_run(rib, 0);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 1);
	assert_used("::/0", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_peer_up(rib, 1, 0);
	qe_rib_peer_up(rib, 2, 0);
	ANNOUNCE(rib, 2, 0, {"0.0.0.0/0", true, 65000});
	qe_rib_run(rib, 0);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 2);
	assert_used("::/0", QE_NEXT_HOP_GATEWAY, 1);
	ANNOUNCE(rib, 1, S, {"0.0.0.0/0", true, 100});
	qe_rib_run(rib, S);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_peer_down(rib, 1, false, 2 * S);
	qe_rib_run(rib, 2 * S);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 2);
	assert_used("::/0", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_free(rib);
}

/* ---- what is believed ---- */

static struct {
	struct qe_rib_rejection all[512];
	size_t n;
} rejected;

static void on_rejection(void *, const struct qe_rib_rejection *rejection)
{
	rejected.all[rejected.n++] = *rejection;
}

static const char *reason_for(const struct qe_rib *rib, const char *text)
{
	struct qe_prefix prefix = prefix_of(text);

	rejected.n = 0;
	qe_rib_visit_rejected(rib, on_rejection, nullptr);
	for (size_t i = 0; i < rejected.n; i++)
		if (qe_prefix_compare(&rejected.all[i].announcement.prefix, &prefix) == 0)
			return rejected.all[i].reason;
	return nullptr;
}

static const struct {
	const char *prefix;
	bool gateway;
	const char *reason; /* NULL: believed */
} believed[] = {
	/* Inside the grants, neither wider nor of the other kind. */
	{"10.1.0.0/16", false, nullptr},
	{"10.1.0.0/17", false, nullptr},
	{"10.1.255.255/32", false, nullptr},
	{"fd00:1::/64", false, nullptr},
	{"10.0.0.0/15", false, "wider than the grant"},
	{"10.0.0.0/8", false, "wider than the grant"},
	{"10.2.0.0/16", false, "not granted"},
	{"fd00:2::/64", false, "not granted"},
	{"172.16.1.0/24", false, "not granted"},
	{"10.1.0.0/16", true, "not granted"},
	{"172.16.1.0/24", true, nullptr},
	{"172.16.0.0/12", true, nullptr},
	{"172.0.0.0/8", true, "wider than the grant"},
	/* Default routes: exit is for gateways, and for nothing less than all. */
	{"0.0.0.0/0", true, "a default route without exit"},
	{"::/0", true, "a default route without exit"},
	{"0.0.0.0/0", false, "a default route without exit"},
	{"0.0.0.0/1", true, "not a unicast prefix"},
	{"128.0.0.0/3", true, "not granted"},
	/* Others, who are at 172.16.7.1, 172.16.8.0/24 and 172.16.9.0/24 (this node). */
	{"172.16.7.1/32", true, "the address of another node"},
	{"172.16.7.0/24", true, nullptr},
	{"172.16.8.0/24", true, nullptr},
	{"172.16.8.0/25", true, "a subnet of another node"},
	{"172.16.8.8/32", true, "a subnet of another node"},
	{"172.16.9.0/24", true, "this node's own"},
	{"172.16.9.9/32", true, "this node's own"},
	{"172.16.8.0/23", true, nullptr},
	{"10.1.9.0/24", false, "this node's own"},
	{"10.1.8.0/24", false, "a subnet of another node"},
	{"10.1.7.1/32", false, "the address of another node"},
	/* 172.20.0.1 is the underlay address of a peer, 172.21.0.0/16 an underlay network. */
	{"172.20.0.1/32", true, "an underlay address"},
	{"172.20.0.0/16", true, nullptr},
	{"172.21.1.0/24", true, "an underlay address"},
	/* Never, whatever is granted. */
	{"127.0.0.1/32", true, "loopback"},
	{"126.0.0.0/7", true, "loopback"},
	{"::1/128", true, "loopback"},
	{"169.254.0.0/16", true, "link-local"},
	{"169.254.169.254/32", false, "link-local"},
	{"fe80::/64", true, "link-local"},
	{"fe00::/8", true, "link-local"},
	{"224.0.0.1/32", true, "multicast"},
	{"239.0.0.0/8", true, "multicast"},
	{"ff02::1/128", true, "multicast"},
	{"255.255.255.255/32", true, "not a unicast prefix"},
	{"0.1.0.0/16", true, "not a unicast prefix"},
	{"::/128", true, "not a unicast prefix"},
	{"::ffff:10.1.1.1/128", true, "IPv4-mapped"},
};

static void stage(struct qe_rib *rib)
{
	static const char *const forbidden[8] = {"172.20.0.1/32", "172.21.0.0/16"};
	static const char *const local[8] = {"172.16.9.0/24", "10.1.9.0/24"};
	struct qe_prefix prefixes[8];

	grant(rib, 1,
		(struct grants){
			.own = {"10.1.0.0/16", "fd00:1::/32"}, .gateway = {"172.16.0.0/12"}});
	grant(rib, 2,
		(struct grants){
			.own = {"172.16.7.1/32", "172.16.8.0/24", "10.1.8.0/24", "10.1.7.1/32"}});
	assert_int_equal(
		qe_rib_set_forbidden(rib, prefixes, parse_all(prefixes, forbidden)), QE_OK);
	assert_int_equal(qe_rib_set_local(rib, prefixes, parse_all(prefixes, local)), QE_OK);
	qe_rib_peer_up(rib, 1, 0);
	qe_rib_run(rib, 0);
}

static void believes_what_is_granted(void **)
{
	for (size_t i = 0; i < sizeof(believed) / sizeof(believed[0]); i++) {
		struct qe_rib *rib = make_rib();
		const char *reason, *expected = believed[i].reason;

		stage(rib);
		ANNOUNCE(rib, 1, 0, {believed[i].prefix, believed[i].gateway, 0});
		qe_rib_run(rib, 0);
		reason = reason_for(rib, believed[i].prefix);
		if ((reason == nullptr) != (expected == nullptr) ||
			(reason != nullptr && strcmp(reason, expected) != 0))
			fail_msg("%s%s: %s, expected %s", believed[i].prefix,
				believed[i].gateway ? " (gateway)" : "", reason, expected);
		assert_int_equal(qe_rib_rejected(rib, 1), expected != nullptr);
		assert_int_equal(judged.refused, expected != nullptr);
		assert_int_equal(judged.accepted, expected == nullptr);
		qe_rib_free(rib);
	}
}

/* From prefixes that no honest encoder writes. */
static void refuses_what_is_no_prefix(void **)
{
	static const struct {
		struct qe_prefix prefix;
		const char *reason;
	} rows[] = {
		{{{QE_FAMILY_IPV4, {10, 1, 0, 1}}, 16}, "host bits"},
		{{{QE_FAMILY_IPV6, {0xfd, 0, 0, 1, [15] = 1}}, 127}, "host bits"},
		{{{QE_FAMILY_IPV4, {10, 1}}, 33}, "not a prefix"},
		{{{QE_FAMILY_IPV4, {10, 1}}, 255}, "not a prefix"},
		{{{QE_FAMILY_IPV6, {0xfd}}, 129}, "not a prefix"},
		{{{5, {10, 1}}, 16}, "not a prefix"},
		{{{QE_FAMILY_NONE, {0}}, 0}, "not a prefix"},
		{{{QE_FAMILY_IPV4, {1}}, 0}, "host bits"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct qe_announcement announcement = {rows[i].prefix, i % 2, 0};
		struct qe_rib *rib = make_rib();

		stage(rib);
		assert_int_equal(qe_rib_announce(rib, 1, &announcement, 1, 0, 0), QE_OK);
		qe_rib_run(rib, 0);
		rejected.n = 0;
		qe_rib_visit_rejected(rib, on_rejection, nullptr);
		assert_int_equal(rejected.n, 1);
		assert_string_equal(rejected.all[0].reason, rows[i].reason);
		qe_rib_free(rib);
	}
}

static void exit_is_a_grant(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.exit = true});
	qe_rib_peer_up(rib, 1, 0);
	ANNOUNCE(rib, 1, 0, {"0.0.0.0/0", true, 0}, {"::/0", false, 0}, {"8.0.0.0/8", true, 0});
	qe_rib_run(rib, 0);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 1);
	assert_null(reason_for(rib, "0.0.0.0/0"));
	assert_string_equal(reason_for(rib, "::/0"), "a default route without exit");
	assert_string_equal(reason_for(rib, "8.0.0.0/8"), "not granted");
	qe_rib_free(rib);
}

static void grants_that_change_are_applied_to_what_was_said(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.gateway = {"10.0.0.0/8"}});
	qe_rib_peer_up(rib, 1, 0);
	ANNOUNCE(rib, 1, 0, {"10.1.0.0/16", true, 0}, {"172.16.0.0/16", true, 0});
	qe_rib_run(rib, 0);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	assert_unused("172.16.0.0/16");
	grant(rib, 1, (struct grants){.gateway = {"172.16.0.0/12"}});
	assert_int_equal(qe_rib_deadline(rib), 0);
	qe_rib_run(rib, 0);
	assert_unused("10.1.0.0/16");
	assert_used("172.16.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	/* Somebody else may come to have it, and go. */
	grant(rib, 2, (struct grants){.own = {"172.16.0.0/15"}});
	qe_rib_run(rib, S);
	assert_unused("172.16.0.0/16");
	assert_string_equal(reason_for(rib, "172.16.0.0/16"), "a subnet of another node");
	qe_rib_remove_peer(rib, 2);
	qe_rib_run(rib, S);
	assert_used("172.16.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	assert_int_equal(judged.accepted, 3);
	assert_int_equal(judged.refused, 3);
	/* The same again is not news. */
	ANNOUNCE(rib, 1, 0, {"10.1.0.0/16", true, 0}, {"172.16.0.0/16", true, 0});
	assert_int_equal(judged.accepted + judged.refused, 6);
	qe_rib_free(rib);
}

/* ---- limits and damping ---- */

static struct qe_announcement many[100000];

/* n prefixes of 24 bits in 10.0.0.0/8, and behind it. */
static void announce_many(struct qe_rib *rib, uint32_t slot, size_t from, size_t n, qe_time now)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t at = (uint32_t)(from + i);

		many[i] = (struct qe_announcement){
			{{QE_FAMILY_IPV4,
				 {(uint8_t)(10 + (at >> 16)), (uint8_t)(at >> 8), (uint8_t)at}},
				24},
			true, 0};
	}
	assert_int_equal(qe_rib_announce(rib, slot, many, n, 0, now), QE_OK);
	qe_rib_run(rib, now);
}

static void a_hundred_thousand_prefixes(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.gateway = {"8.0.0.0/5"}});
	qe_rib_peer_up(rib, 1, 0);
	announce_many(rib, 1, 0, 100000, 0);
	assert_int_equal(used.n, 1024);
	assert_int_equal(qe_rib_rejected(rib, 1), 100000 - 1024);
	rejected.n = 0;
	qe_rib_visit_rejected(rib, on_rejection, nullptr);
	assert_int_equal(rejected.n, 256);
	assert_string_equal(rejected.all[0].reason, "too many");
	announce_many(rib, 1, 0, 1024, S);
	assert_int_equal(qe_rib_rejected(rib, 1), 0);
	assert_int_equal(used.n, 1024);
	assert_int_equal(qe_rib_announce(rib, 1, many, 1, 7, S), QE_OK);
	assert_int_equal(qe_rib_rejected(rib, 1), 7);
	assert_int_equal(qe_rib_announce(rib, 2, many, 1, 0, S), QE_ERR_NOT_FOUND);
	qe_rib_free(rib);
}

/* Others each time: what was withdrawn is remembered, and counts. */
static void ever_new_prefixes_are_bounded(void **)
{
	struct qe_rib *rib = make_rib();
	qe_time now = 0;

	grant(rib, 1, (struct grants){.gateway = {"8.0.0.0/5"}});
	qe_rib_peer_up(rib, 1, 0);
	for (size_t i = 0; i < 40; i++, now += S / 10) {
		announce_many(rib, 1, 1000 * i, 1000, now);
		assert_in_range(qe_rib_counts(rib).candidates, 1000, 2050);
	}
	rejected.n = 0;
	qe_rib_visit_rejected(rib, on_rejection, nullptr);
	assert_string_equal(rejected.all[0].reason, "too many changes");
	assert_int_equal(qe_rib_rejected(rib, 1), 1000);
	now += 62 * S;
	announce_many(rib, 1, 0, 0, now);
	announce_many(rib, 1, 70000, 1000, now);
	assert_int_equal(used.n, 1000);
	qe_rib_free(rib);
}

/* With as many remembered as there may be, what is there may stay. */
static void what_was_there_may_stay(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.gateway = {"8.0.0.0/5"}});
	qe_rib_peer_up(rib, 1, 0);
	announce_many(rib, 1, 0, 1000, 0);
	announce_many(rib, 1, 1000, 1000, 0);
	announce_many(rib, 1, 2000, 51, 0);
	assert_int_equal(qe_rib_rejected(rib, 1), 1);
	announce_many(rib, 1, 2000, 50, 0);
	assert_int_equal(qe_rib_rejected(rib, 1), 0);
	announce_many(rib, 1, 1000, 1000, 0);
	assert_int_equal(qe_rib_rejected(rib, 1), 0);
	assert_int_equal(used.n, 1000);
	qe_rib_free(rib);
}

/* The last entry for a prefix that qe_rib_visit shows. */
static struct {
	struct qe_prefix prefix;
	struct qe_rib_entry entry;
	unsigned n;
} seen;

static void on_entry(void *, const struct qe_rib_entry *entry)
{
	if (qe_prefix_compare(&entry->route.prefix, &seen.prefix) != 0)
		return;
	seen.entry = *entry;
	seen.n++;
}

static unsigned see(const struct qe_rib *rib, const char *prefix)
{
	seen.prefix = prefix_of(prefix);
	seen.n = 0;
	assert_int_equal(qe_rib_visit(rib, on_entry, nullptr), QE_OK);
	return seen.n;
}

static void what_flaps_is_damped(void **)
{
	struct qe_rib *rib = make_rib();
	qe_time now = 0;

	grant(rib, 1, (struct grants){.gateway = {"10.0.0.0/8"}});
	qe_rib_peer_up(rib, 1, 0);
	for (; now < 30 * S; now += S / 10) {
		if (now / (S / 10) % 2)
			announce(rib, 1, nullptr, 0, now);
		else
			ANNOUNCE(rib, 1, now, {"10.1.0.0/16", true, 0});
		qe_rib_run(rib, now);
	}
	assert_int_equal(used.changes, 14);
	assert_int_equal(see(rib, "10.1.0.0/16"), 1);
	assert_int_equal(seen.entry.state, QE_RIB_DAMPED);
	ANNOUNCE(rib, 1, now, {"10.1.0.0/16", true, 0}, {"10.2.0.0/16", true, 0});
	qe_rib_run(rib, now);
	assert_unused("10.1.0.0/16");
	assert_used("10.2.0.0/16", QE_NEXT_HOP_GATEWAY, 1);
	assert_int_equal(see(rib, "10.1.0.0/16"), 1);
	assert_string_equal(seen.entry.why, "changed too often");
	qe_time end = now;

	while (user_of("10.1.0.0/16", QE_NEXT_HOP_GATEWAY) == NONE)
		qe_rib_run(rib, end = qe_rib_deadline(rib));
	assert_in_range(end, now + 80 * S, now + 91 * S);
	qe_rib_free(rib);
}

static void a_metric_that_flaps_is_damped(void **)
{
	struct qe_rib *rib = make_rib();

	two_gateways(rib, 10, 11);
	for (unsigned i = 0; i < 100; i++) {
		ANNOUNCE(rib, 1, i * S / 10, {"10.1.0.0/16", true, i % 2 ? 10 : 12});
		qe_rib_run(rib, i * S / 10);
	}
	assert_true(used.changes < 10);
	assert_used("10.1.0.0/16", QE_NEXT_HOP_GATEWAY, 2);
	qe_rib_free(rib);
}

/* It may change its mind about the metric as often as it likes: that is what is damped. */
static void the_default_gateway_stays_when_damped(void **)
{
	struct qe_rib *rib = make_rib();

	grant(rib, 1, (struct grants){.default_gateway = true});
	grant(rib, 2, (struct grants){.exit = true});
	qe_rib_peer_up(rib, 1, 0);
	for (unsigned i = 0; i < 20; i++) {
		if (i % 2)
			announce(rib, 1, nullptr, 0, i * S / 10);
		else
			ANNOUNCE(rib, 1, i * S / 10, {"0.0.0.0/0", true, 1});
		qe_rib_run(rib, i * S / 10);
		assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 1);
	}
	ANNOUNCE(rib, 1, 2 * S, {"0.0.0.0/0", true, 1});
	for (uint16_t metric = 1; metric < 9; metric++)
		ANNOUNCE(rib, 1, 2 * S, {"0.0.0.0/0", true, metric});
	qe_rib_peer_up(rib, 2, 2 * S);
	ANNOUNCE(rib, 2, 2 * S, {"0.0.0.0/0", true, 10});
	qe_rib_run(rib, 2 * S);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 2);
	qe_rib_peer_down(rib, 2, false, 3 * S);
	qe_rib_run(rib, 3 * S);
	assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 1);
	qe_rib_free(rib);
}

/* ---- what is shown ---- */

static void assert_seen(
	struct qe_rib *rib, const char *prefix, enum qe_rib_state state, const char *why)
{
	assert_true(see(rib, prefix) > 0);
	assert_int_equal(seen.entry.state, state);
	assert_string_equal(seen.entry.why, why);
}

static void says_why(void **)
{
	struct qe_rib *rib = make_rib();

	two_gateways(rib, 1, 2);
	assert_int_equal(see(rib, "10.1.0.0/16"), 2);
	assert_seen(rib, "10.1.0.0/16", QE_RIB_STANDBY, "higher metric");
	assert_int_equal(seen.entry.source, QE_RIB_ANNOUNCED);
	assert_int_equal(seen.entry.metric, 2);
	assert_int_equal(seen.entry.rtt, 0);
	qe_rib_remove_peer(rib, 2);
	qe_rib_run(rib, 0);
	assert_seen(rib, "10.1.0.0/16", QE_RIB_BEST, "the only one");
	grant(rib, 3, (struct grants){.own = {"10.1.0.0/16"}});
	qe_rib_run(rib, 0);
	assert_seen(rib, "10.1.0.0/16", QE_RIB_UNREACHABLE, "the peer cannot be reached");
	assert_int_equal(seen.entry.source, QE_RIB_CONFIGURED);
	qe_rib_peer_up(rib, 3, 0);
	qe_rib_run(rib, 0);
	assert_seen(rib, "10.1.0.0/16", QE_RIB_STANDBY, "a direct route is in use");
	qe_rib_peer_down(rib, 3, false, S);
	qe_rib_run(rib, S);
	qe_rib_peer_up(rib, 3, 2 * S);
	qe_rib_run(rib, 2 * S);
	assert_seen(rib, "10.1.0.0/16", QE_RIB_HELD_DOWN, "was lost a short while ago");
	set_local(rib, "10.1.0.0/16");
	qe_rib_run(rib, 30 * S);
	assert_int_equal(see(rib, "10.1.0.0/16"), 2);
	assert_string_equal(seen.entry.why, "this node's own");
	qe_rib_free(rib);
}

/* ---- no memory ---- */

static size_t allocations_left = SIZE_MAX;

void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

void *__wrap_calloc(size_t n, size_t size)
{
	if (allocations_left == 0)
		return nullptr;
	allocations_left--;
	return __real_calloc(n, size);
}

/* Whether all of it could be done. */
static bool say_all(struct qe_rib *rib)
{
	struct qe_prefix own = prefix_of("10.1.0.0/16"), gateway = prefix_of("172.16.0.0/12");
	struct qe_prefix local = prefix_of("10.9.0.0/16"), forbidden = prefix_of("172.20.0.1/32");
	struct qe_announcement list[] = {{prefix_of("10.1.1.0/24"), false, 0},
		{prefix_of("172.16.1.0/24"), true, 1}, {prefix_of("172.20.0.1/32"), true, 1}};
	struct qe_rib_peer peer = {.slot = 1,
		.own = &own,
		.n_own = 1,
		.gateway = &gateway,
		.n_gateway = 1,
		.default_gateway = true};
	bool good = qe_rib_set_local(rib, &local, 1) == QE_OK;

	good &= qe_rib_set_forbidden(rib, &forbidden, 1) == QE_OK;
	good &= qe_rib_set_peer(rib, &peer, 0) == QE_OK;
	qe_rib_peer_up(rib, 1, 0);
	good &= qe_rib_announce(rib, 1, list, 3, 0, 0) == QE_OK;
	qe_rib_run(rib, 0);
	return good;
}

static void what_failed_for_want_of_memory_is_made_good(void **)
{
	bool good = false;

	for (size_t n = 0; !good; n++) {
		struct qe_rib *rib = make_rib();

		allocations_left = n;
		good = say_all(rib) && qe_rib_rejected(rib, 1) == 1;
		allocations_left = SIZE_MAX;
		assert_true(say_all(rib));
		assert_used("10.9.0.0/16", QE_NEXT_HOP_LOCAL, 0);
		assert_used("10.1.1.0/24", QE_NEXT_HOP_NODE, 1);
		assert_used("172.16.1.0/24", QE_NEXT_HOP_GATEWAY, 1);
		assert_used("0.0.0.0/0", QE_NEXT_HOP_GATEWAY, 1);
		assert_int_equal(used.n, 5);
		assert_string_equal(reason_for(rib, "172.20.0.1/32"), "an underlay address");
		qe_rib_free(rib);
		assert_true(n < 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_counts_until_the_peer_speaks),
		cmocka_unit_test(a_gateway_stands_in_for_a_lost_node),
		cmocka_unit_test(local_comes_first),
		cmocka_unit_test(the_lower_metric_wins_at_once),
		cmocka_unit_test(a_shorter_round_trip_must_be_clearly_shorter),
		cmocka_unit_test(a_flapping_gateway_moves_flows_once),
		cmocka_unit_test(the_default_gateway_is_the_last_resort),
		cmocka_unit_test(believes_what_is_granted),
		cmocka_unit_test(refuses_what_is_no_prefix),
		cmocka_unit_test(exit_is_a_grant),
		cmocka_unit_test(grants_that_change_are_applied_to_what_was_said),
		cmocka_unit_test(a_hundred_thousand_prefixes),
		cmocka_unit_test(ever_new_prefixes_are_bounded),
		cmocka_unit_test(what_was_there_may_stay),
		cmocka_unit_test(what_flaps_is_damped),
		cmocka_unit_test(a_metric_that_flaps_is_damped),
		cmocka_unit_test(the_default_gateway_stays_when_damped),
		cmocka_unit_test(says_why),
		cmocka_unit_test(what_failed_for_want_of_memory_is_made_good),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
