/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One side restarts or goes away: traffic is back within 3 seconds of its return, an absence is
 * noticed, and who waits for a peer that is away does not wear out the network. */
#include "mesh.h"

#include <string.h>

#define BACK_WITHIN (3 * QE_SECOND)
#define GONE_WITHIN (30 * QE_SECOND)

struct traffic {
	struct mesh_flow *there, *back;
	uint64_t there_before, back_before;
};

static bool is_back(void *ctx)
{
	const struct traffic *traffic = ctx;
	return traffic->there->received > traffic->there_before &&
	       traffic->back->received > traffic->back_before;
}

static struct traffic start_traffic(struct mesh_pair *pair)
{
	return (struct traffic){
		.there = mesh_flow_start(pair->a, pair->b, MESH_UDP4, 300, 20 * QE_MILLISECOND),
		.back = mesh_flow_start(pair->b, pair->a, MESH_UDP6, 300, 20 * QE_MILLISECOND)};
}

static void forget_what_came(struct traffic *traffic)
{
	traffic->there_before = traffic->there->received;
	traffic->back_before = traffic->back->received;
}

struct restart {
	const char *name;
	enum mesh_how a, b;
	bool of_b, killed;
	qe_time away;
};

static void restart_one(const struct restart *restart, uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, restart->a, restart->b);
	struct mesh_host *host = restart->of_b ? pair.b : pair.a;
	mesh_pair_start(&pair);
	struct traffic traffic = start_traffic(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, 2 * QE_SECOND), "%s", restart->name);
	mesh_run(pair.mesh, 3 * QE_SECOND + mesh_random_below(pair.mesh, QE_SECOND));

	if (restart->killed)
		mesh_kill(host);
	else
		mesh_close(host);
	mesh_run(pair.mesh, restart->away);
	forget_what_came(&traffic);
	mesh_start(host);
	mesh_check(pair.mesh, mesh_run_until(pair.mesh, is_back, &traffic, BACK_WITHIN), "%s",
		restart->name);
	mesh_run(pair.mesh, GONE_WITHIN); /* what is left of an earlier life */
	mesh_check(pair.mesh, mesh_status(pair.a, 0).n_links == 1, "%s", restart->name);
	mesh_check(pair.mesh, mesh_status(pair.b, 0).n_links == 1, "%s", restart->name);
	mesh_free(pair.mesh);
}

static void is_back_after_a_restart(void **)
{
	static const struct restart restarts[] = {
		{"dialling side, closed", MESH_DIALS, MESH_WAITS, false, false, 0},
		{"dialling side, killed", MESH_DIALS, MESH_WAITS, false, true, 0},
		{"waiting side, closed", MESH_DIALS, MESH_WAITS, true, false, 0},
		{"waiting side, killed", MESH_DIALS, MESH_WAITS, true, true, 0},
		{"dialling side, closed, 1 s", MESH_DIALS, MESH_WAITS, false, false, QE_SECOND},
		{"dialling side, killed, 1 s", MESH_DIALS, MESH_WAITS, false, true, QE_SECOND},
		{"waiting side, closed, 1 s", MESH_DIALS, MESH_WAITS, true, false, QE_SECOND},
		{"waiting side, killed, 1 s", MESH_DIALS, MESH_WAITS, true, true, QE_SECOND},
		{"on demand, waiting side, killed", MESH_KNOWS, MESH_WAITS, true, true, QE_SECOND},
		{"on demand, dialling side, killed", MESH_KNOWS, MESH_WAITS, false, true,
			QE_SECOND},
		{"both dial, closed", MESH_DIALS, MESH_DIALS, true, false, QE_SECOND},
		{"both dial, killed", MESH_DIALS, MESH_DIALS, true, true, QE_SECOND},
		{"both dial, killed for a minute", MESH_DIALS, MESH_DIALS, true, true,
			60 * QE_SECOND},
		{"dialling side, killed for a minute", MESH_DIALS, MESH_WAITS, false, true,
			60 * QE_SECOND},
	};
	for (size_t i = 0; i < sizeof(restarts) / sizeof(restarts[0]); i++)
		for (uint64_t seed = 1; seed <= 5; seed++)
			restart_one(&restarts[i], 100 * i + seed);
}

/* ---- absence ---- */

#define DIALS_MAX 1000

struct dials {
	const struct mesh *mesh;
	const struct mesh_host *host;
	size_t n;
	uint8_t ids[DIALS_MAX][20];
	qe_time at[DIALS_MAX];
};

/* Counts the connection attempts of a host by the destination connection IDs of its Initials. */
static void count_dial(void *ctx, const struct mesh_host *from, struct qe_bytes datagram)
{
	struct dials *dials = ctx;
	if (from != dials->host || datagram.len < 1200 || (datagram.data[0] & 0xf0) != 0xc0)
		return;
	uint8_t id[20] = {};
	memcpy(id, datagram.data + 6, datagram.data[5] <= 20 ? datagram.data[5] : 20);
	for (size_t i = 0; i < dials->n; i++)
		if (memcmp(dials->ids[i], id, sizeof(id)) == 0)
			return;
	mesh_check(dials->mesh, dials->n < DIALS_MAX);
	memcpy(dials->ids[dials->n], id, sizeof(id));
	dials->at[dials->n++] = dials->mesh->now;
}

static void waits_longer_and_longer(void **)
{
	struct mesh_pair pair = mesh_pair_new(7, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_kill(pair.b);
	static struct dials dials;
	dials = (struct dials){.mesh = mesh, .host = pair.a};
	mesh->tap = count_dial;
	mesh->tap_ctx = &dials;
	mesh_run(mesh, 600 * QE_SECOND);
	mesh->tap = nullptr;
	mesh_check(mesh, pair.a->events[QE_EVENT_PEER_DOWN] == 1);
	mesh_check(mesh, pair.a->events[QE_EVENT_DIAL_FAILED] > 0);
	mesh_check(mesh, dials.n >= 10 && dials.n <= 200, "%zu attempts", dials.n);

	qe_time first = dials.at[1] - dials.at[0];
	qe_time last = dials.at[dials.n - 1] - dials.at[dials.n - 2];
	qe_time before = dials.at[dials.n - 2] - dials.at[dials.n - 3];
	mesh_check(mesh, last > 2 * first, "no back-off");
	mesh_check(mesh, last != before, "no jitter");
	print_message("10 minutes without the peer: %zu dials, the last after %.1f s\n", dials.n,
		(double)last / QE_SECOND);

	mesh_start(pair.b);
	mesh_check(mesh, mesh_pair_link(&pair, 2 * last));
	mesh_free(mesh);
}

static bool is_down(void *ctx)
{
	struct mesh_pair *pair = ctx;
	return pair->a->events[QE_EVENT_PEER_DOWN] > 0;
}

/* cut: the path goes instead of the peer, so that nothing ever answers. */
static void notice_absence(bool traffic, bool cut, qe_time within)
{
	struct mesh_pair pair = mesh_pair_new(8, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(mesh, 3 * QE_SECOND);
	if (traffic)
		start_traffic(&pair);
	mesh_run(mesh, QE_SECOND);
	if (cut)
		mesh->wire.cut = true;
	else
		mesh_kill(pair.b);
	qe_time gone = mesh->now;
	mesh_check(mesh, mesh_run_until(mesh, is_down, &pair, within));
	print_message("peer %s, %s traffic: noticed after %.1f s (%s)\n",
		cut ? "cut off" : "killed", traffic ? "with" : "without",
		(double)(mesh->now - gone) / QE_SECOND, pair.a->reason);

	mesh_run(mesh, 20 * QE_SECOND);
	mesh->wire.cut = false;
	if (!cut)
		mesh_start(pair.b);
	mesh_check(mesh, mesh_pair_link(&pair, 30 * QE_SECOND));
	mesh_check(mesh, pair.a->events[QE_EVENT_PEER_UP] == 2);
	mesh_free(mesh);
}

static void notices_a_dead_peer(void **)
{
	notice_absence(true, false, 20 * QE_SECOND);
	notice_absence(true, true, 20 * QE_SECOND);
	notice_absence(false, false, 60 * QE_SECOND);
	notice_absence(false, true, 60 * QE_SECOND);
}

/* A laptop sleeps for a while and wakes: its clock has jumped, its link is long gone. */
static void wake_one(enum mesh_how b, bool sleeps_b, qe_time asleep, uint64_t seed)
{
	struct mesh_pair pair = mesh_pair_new(seed, MESH_DIALS, b);
	struct mesh_host *host = sleeps_b ? pair.b : pair.a;
	mesh_pair_start(&pair);
	struct traffic traffic = start_traffic(&pair);
	mesh_run(pair.mesh, 3 * QE_SECOND + mesh_random_below(pair.mesh, QE_SECOND));
	mesh_sleep(host);
	mesh_run(pair.mesh, asleep);
	mesh_wake(host);
	mesh_run(pair.mesh, 0);
	forget_what_came(&traffic);
	mesh_check(pair.mesh, mesh_run_until(pair.mesh, is_back, &traffic, BACK_WITHIN),
		"asleep for %.0f s", (double)asleep / QE_SECOND);
	mesh_free(pair.mesh);
}

static void is_back_after_sleep(void **)
{
	static const qe_time times[] = {
		QE_SECOND, 5 * QE_SECOND, 40 * QE_SECOND, 400 * QE_SECOND, 3600 * QE_SECOND};
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		wake_one(MESH_WAITS, false, times[i], 10 * i);
		wake_one(MESH_DIALS, false, times[i], 10 * i + 1);
		wake_one(MESH_DIALS, true, times[i], 10 * i + 2);
	}
}

/* One direction of the path is gone: neither links nor dials pile up, and all is well soon after.
 */
static void survives_a_one_way_outage(void **)
{
	for (unsigned i = 0; i < 4; i++) {
		struct mesh_pair pair = mesh_pair_new(
			i, MESH_DIALS, i < 2 ? MESH_WAITS : MESH_DIALS);
		struct mesh *mesh = pair.mesh;
		struct mesh_host *from = i % 2 ? pair.b : pair.a, *to = i % 2 ? pair.a : pair.b;
		mesh_pair_start(&pair);
		struct traffic traffic = start_traffic(&pair);
		mesh_run(mesh, 5 * QE_SECOND);
		mesh_lay(mesh, from, to)->cut = true;
		uint64_t before = pair.a->tx_datagrams + pair.b->tx_datagrams;
		mesh_run(mesh, 60 * QE_SECOND);
		uint64_t sent = pair.a->tx_datagrams + pair.b->tx_datagrams - before;
		mesh_check(mesh, sent < 20000, "%llu datagrams", (unsigned long long)sent);
		mesh_lay(mesh, from, to)->cut = false;
		forget_what_came(&traffic);
		mesh_check(mesh, mesh_run_until(mesh, is_back, &traffic, BACK_WITHIN));
		mesh_run(mesh, GONE_WITHIN);
		mesh_check(mesh, mesh_status(pair.a, 0).n_links == 1);
		mesh_check(mesh, mesh_status(pair.b, 0).n_links == 1);
		mesh_free(mesh);
	}
}

/* The peer is back before it was missed: it does not know the link, and says so. */
static void a_reset_link_is_down_at_once(void **)
{
	struct mesh_pair pair = mesh_pair_new(10, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	mesh_pair_start(&pair);
	mesh_check(mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_flow_start(pair.a, pair.b, MESH_UDP4, 300, 20 * QE_MILLISECOND);
	mesh_run(mesh, QE_SECOND);
	mesh_kill(pair.b);
	mesh_start(pair.b);
	mesh_run(mesh, 100 * QE_MILLISECOND);
	mesh_check(mesh, mesh_counters(pair.b).stateless_resets > 0);
	mesh_check(mesh, pair.a->events[QE_EVENT_PEER_DOWN] == 1);
	mesh_free(mesh);
}

static void a_closed_link_is_down_at_once(void **)
{
	struct mesh_pair pair = mesh_pair_new(9, MESH_DIALS, MESH_WAITS);
	mesh_pair_start(&pair);
	mesh_check(pair.mesh, mesh_pair_link(&pair, QE_SECOND));
	mesh_run(pair.mesh, QE_SECOND);
	mesh_close(pair.b);
	mesh_run(pair.mesh, 15 * QE_MILLISECOND);
	mesh_check(pair.mesh, pair.a->events[QE_EVENT_PEER_DOWN] == 1);
	mesh_free(pair.mesh);
}

static bool has_ended(void *ctx)
{
	const struct mesh_host *host = ctx;
	return host->last.type == QE_EVENT_PEER_DOWN;
}

/* Each connection by itself, though the counters go on. */
static void tells_what_each_connection_carried(void **)
{
	struct mesh_pair pair = mesh_pair_new(70, MESH_DIALS, MESH_WAITS);
	struct mesh *mesh = pair.mesh;
	struct qe_traffic before = {};
	mesh_pair_start(&pair);
	start_traffic(&pair);
	for (unsigned i = 0; i < 3; i++) {
		qe_time since = mesh->now;
		mesh_check(mesh, mesh_pair_link(&pair, 5 * QE_SECOND));
		mesh_run(mesh, (i + 1) * QE_SECOND);
		mesh_close(pair.b);
		mesh_check(mesh, mesh_run_until(mesh, has_ended, pair.a, QE_SECOND));

		struct qe_peer_status status = mesh_status(pair.a, 0);
		struct qe_traffic carried = pair.a->last.traffic;
		mesh_check(mesh, pair.a->last.since >= since &&
					 pair.a->last.time - pair.a->last.since > i * QE_SECOND);
		mesh_check(mesh, carried.tx_packets == status.tx_packets - before.tx_packets);
		mesh_check(mesh, carried.tx_bytes == status.tx_bytes - before.tx_bytes);
		mesh_check(mesh, carried.rx_packets == status.rx_packets - before.rx_packets);
		mesh_check(mesh, carried.rx_bytes == status.rx_bytes - before.rx_bytes);
		mesh_check(mesh, carried.tx_packets > 0 && carried.rx_packets > 0);
		before = (struct qe_traffic){
			status.tx_packets, status.tx_bytes, status.rx_packets, status.rx_bytes};
		mesh_start(pair.b);
	}
	mesh_free(mesh);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_back_after_a_restart),
		cmocka_unit_test(waits_longer_and_longer),
		cmocka_unit_test(notices_a_dead_peer),
		cmocka_unit_test(is_back_after_sleep),
		cmocka_unit_test(survives_a_one_way_outage),
		cmocka_unit_test(a_reset_link_is_down_at_once),
		cmocka_unit_test(a_closed_link_is_down_at_once),
		cmocka_unit_test(tells_what_each_connection_carried),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
