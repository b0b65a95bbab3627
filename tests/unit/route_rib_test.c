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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_counts_until_the_peer_speaks),
		cmocka_unit_test(a_gateway_stands_in_for_a_lost_node),
		cmocka_unit_test(local_comes_first),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
