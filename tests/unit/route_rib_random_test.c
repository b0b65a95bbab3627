/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The RIB against a plain model of the rules in docs/protocol.md, "Routes": a table with a cell for
 * each peer, prefix and kind, all of which is gone through again after each random event. The model
 * shares the arithmetic of damping, which has a test of its own, and nothing else.
 */
#include <string.h>

#include "net/addr.h"
#include "random.h"
#include "route/damping.h"
#include "route/rib.h"

#define ROUNDS 150
#define EVENTS 300
#define PEERS 4
#define PREFIXES 14
#define CELLS (2 * PREFIXES) /* of a peer: one for each prefix and kind */
#define NONE (-1)

static const char *const texts[PREFIXES] = {"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16",
	"10.1.128.0/17", "10.1.128.0/24", "10.1.128.1/32", "10.2.0.0/16", "224.1.0.0/16",
	"127.0.0.1/32", "::/0", "fd00::/8", "fd00:1::/32", "fd00:1::1/128", "fe80::/64"};
static struct qe_prefix prefixes[PREFIXES];

/* ---- the model ---- */

struct cell {
	bool configured, announced, claimed, available, failed;
	uint16_t metric;
	struct damping damping;
	qe_time held_until, better_since;
};

struct speech {
	size_t n;
	struct {
		int prefix;
		bool gateway;
		uint16_t metric;
	} items[20];
};

struct peer {
	bool exists, own[PREFIXES], gateway[PREFIXES], exit, default_gateway;
	bool up, spoke;
	qe_time rtt;
	struct speech speech;
	struct cell cells[PREFIXES][2];
};

struct choice {
	int peer, gateway; /* peer NONE: nothing; PEERS: local */
};

static struct model {
	struct peer peers[PEERS];
	bool local[PREFIXES], forbidden[PREFIXES], anew;
	struct choice choices[PREFIXES]; /* among the peers, whether local or not */
	size_t refused[PEERS];
} model;

static bool inside(int inner, int outer)
{
	return qe_prefix_covers(&prefixes[outer], &prefixes[inner]);
}

static int length_of(int prefix)
{
	return prefixes[prefix].length;
}

static bool is_host(int prefix)
{
	return prefixes[prefix].length == qe_addr_bits(&prefixes[prefix].addr);
}

static bool is_refused(int who, int prefix, bool gateway)
{
	const struct peer *peer = &model.peers[who];
	int grant = NONE;

	if (length_of(prefix) == 0)
		return !gateway || (!peer->exit && !peer->default_gateway);
	if (strstr("224.1.0.0/16 127.0.0.1/32 fe80::/64", texts[prefix]) != nullptr)
		return true;
	for (int i = 0; i < PREFIXES; i++)
		if ((gateway ? peer->gateway[i] : peer->own[i]) && inside(prefix, i) &&
			length_of(i) > grant)
			grant = length_of(i);
	if (grant == NONE)
		return true;
	for (int i = 0; i < PREFIXES; i++) {
		if (!inside(prefix, i))
			continue;
		if (model.forbidden[i] || (model.local[i] && length_of(i) >= grant))
			return true;
		for (int j = 0; j < PEERS; j++)
			if (j != who && model.peers[j].exists && model.peers[j].own[i] &&
				length_of(i) > grant && (i != prefix || !gateway || is_host(i)))
				return true;
	}
	return false;
}

static struct cell *cell_at(int who, int i)
{
	return &model.peers[who].cells[i / 2][i % 2];
}

static void settle_cell(int who, int prefix, int gateway, qe_time now)
{
	struct peer *peer = &model.peers[who];
	struct cell *cell = &peer->cells[prefix][gateway];
	bool claimed = cell->announced || (cell->configured && (gateway || !peer->spoke));
	bool available = claimed && peer->up;

	if (cell->claimed && !claimed)
		damping_add(&cell->damping, now);
	if (cell->available && !available)
		cell->failed = true;
	if (!cell->available && available && cell->failed)
		cell->held_until = now + 10 * QE_SECOND;
	cell->claimed = claimed;
	cell->available = available;
}

static void settle_cells(int who, qe_time now)
{
	for (int i = 0; i < CELLS; i++)
		settle_cell(who, i / 2, i % 2, now);
}

static void judge_peer(int who, qe_time now)
{
	struct peer *peer = &model.peers[who];
	bool said[PREFIXES][2] = {};

	model.refused[who] = 0;
	for (size_t i = 0; i < peer->speech.n; i++) {
		int prefix = peer->speech.items[i].prefix;
		bool gateway = peer->speech.items[i].gateway;
		struct cell *cell = &peer->cells[prefix][gateway];

		if (is_refused(who, prefix, gateway)) {
			model.refused[who]++;
			continue;
		}
		if (said[prefix][gateway])
			continue;
		said[prefix][gateway] = true;
		if (cell->announced && cell->metric != peer->speech.items[i].metric)
			damping_add(&cell->damping, now);
		cell->announced = true;
		cell->metric = peer->speech.items[i].metric;
	}
	for (int i = 0; i < CELLS; i++)
		cell_at(who, i)->announced &= said[i / 2][i % 2];
	settle_cells(who, now);
}

static bool is_usable(int who, int prefix, int gateway)
{
	const struct cell *cell = &model.peers[who].cells[prefix][gateway];

	return cell->claimed && (!cell->damping.suppressed || (gateway && cell->configured));
}

/* Less is better. The round trip is not part of it. */
static unsigned long rank_of(int who, int prefix, int gateway, qe_time now)
{
	const struct cell *cell = &model.peers[who].cells[prefix][gateway];
	bool current = model.choices[prefix].peer == who &&
		       model.choices[prefix].gateway == gateway;
	unsigned long metric = gateway ? 65535 : 0;
	unsigned long reach = !model.peers[who].up ? 2 : cell->held_until > now && !current ? 1 : 0;

	if (cell->announced && !cell->damping.suppressed)
		metric = cell->metric;
	return reach << 32 | (unsigned long)gateway << 16 | metric;
}

static bool is_shorter(qe_time a, qe_time b)
{
	if (a == QE_TIME_NEVER || b == QE_TIME_NEVER)
		return a != QE_TIME_NEVER;
	return b >= a + 5 * QE_MILLISECOND && b / 5 * 4 >= a;
}

static struct choice best_of(int prefix, qe_time now)
{
	struct choice best = {.peer = NONE};

	for (int who = 0; who < PEERS; who++)
		for (int gateway = 0; gateway < 2; gateway++) {
			if (!is_usable(who, prefix, gateway))
				continue;
			if (best.peer == NONE) {
				best = (struct choice){who, gateway};
				continue;
			}
			unsigned long rank = rank_of(who, prefix, gateway, now);
			unsigned long other = rank_of(best.peer, prefix, best.gateway, now);

			if (rank < other || (rank == other && model.peers[who].rtt <
								      model.peers[best.peer].rtt))
				best = (struct choice){who, gateway};
		}
	return best;
}

static void reset_challengers(int prefix)
{
	for (int who = 0; who < PEERS; who++)
		for (int gateway = 0; gateway < 2; gateway++)
			model.peers[who].cells[prefix][gateway].better_since = QE_TIME_NEVER;
}

/* The one that has been clearly closer for ten seconds, if any. */
static int ripe_challenger(int prefix, struct choice current, qe_time now)
{
	unsigned long rank = rank_of(current.peer, prefix, current.gateway, now);
	int ripe = NONE;

	for (int who = 0; who < PEERS; who++) {
		struct cell *cell = &model.peers[who].cells[prefix][current.gateway];

		if (!is_usable(who, prefix, current.gateway) ||
			rank_of(who, prefix, current.gateway, now) != rank ||
			!is_shorter(model.peers[who].rtt, model.peers[current.peer].rtt)) {
			cell->better_since = QE_TIME_NEVER;
			continue;
		}
		if (cell->better_since == QE_TIME_NEVER)
			cell->better_since = now;
		if (now - cell->better_since >= 10 * QE_SECOND &&
			(ripe == NONE || model.peers[who].rtt < model.peers[ripe].rtt))
			ripe = who;
	}
	return ripe;
}

static void choose(int prefix, qe_time now)
{
	struct choice best = best_of(prefix, now), current = model.choices[prefix];

	if (current.peer != NONE && best.peer != NONE &&
		is_usable(current.peer, prefix, current.gateway) &&
		rank_of(current.peer, prefix, current.gateway, now) ==
			rank_of(best.peer, prefix, best.gateway, now)) {
		int other = ripe_challenger(prefix, current, now);

		best = current;
		if (other != NONE)
			best.peer = other;
	}
	model.choices[prefix] = best;
	if (best.peer != current.peer || best.gateway != current.gateway) {
		reset_challengers(prefix);
		if (best.peer != NONE)
			(void)ripe_challenger(prefix, best, now);
	}
}

static void age_cells(qe_time now)
{
	for (int who = 0; who < PEERS; who++)
		for (int i = 0; i < CELLS; i++) {
			struct cell *cell = cell_at(who, i);

			damping_is_suppressed(&cell->damping, now);
			if (!cell->claimed && !cell->configured &&
				damping_forgets(&cell->damping) <= now)
				*cell = (struct cell){.better_since = QE_TIME_NEVER};
		}
}

static void model_run(qe_time now)
{
	for (int who = 0; who < PEERS && model.anew; who++)
		if (model.peers[who].exists && model.peers[who].spoke)
			judge_peer(who, now);
	model.anew = false;
	age_cells(now);
	for (int i = 0; i < PREFIXES; i++)
		choose(i, now);
}

/* ---- what the RIB says ---- */

static struct choice told[PREFIXES];

static int index_of(const struct qe_prefix *prefix)
{
	for (int i = 0; i < PREFIXES; i++)
		if (qe_prefix_compare(&prefixes[i], prefix) == 0)
			return i;
	fail_msg("an unknown prefix");
	return NONE;
}

static struct choice choice_of(const struct qe_route *route)
{
	if (route->next_hop == QE_NEXT_HOP_LOCAL)
		return (struct choice){PEERS, 0};
	return (struct choice){(int)route->peer, route->next_hop == QE_NEXT_HOP_GATEWAY};
}

static void on_changed(void *, const struct qe_prefix *prefix, const struct qe_route *route)
{
	struct choice *choice = &told[index_of(prefix)];
	struct choice now = route != nullptr ? choice_of(route) : (struct choice){.peer = NONE};

	assert_true(now.peer != choice->peer || now.gateway != choice->gateway);
	*choice = now;
}

static void check_choices(void)
{
	for (int i = 0; i < PREFIXES; i++) {
		struct choice expected = model.choices[i];

		if (model.local[i])
			expected = (struct choice){PEERS, 0};
		if (told[i].peer != expected.peer ||
			(expected.peer != NONE && told[i].gateway != expected.gateway))
			fail_msg("%s: peer %d%s, expected %d%s", texts[i], told[i].peer,
				told[i].gateway ? " (gateway)" : "", expected.peer,
				expected.gateway ? " (gateway)" : "");
	}
}

/* As shown to people: the best first and only once, and as it was told. */
static struct {
	int last, best[PREFIXES];
	size_t n;
} shown;

static void on_entry(void *, const struct qe_rib_entry *entry)
{
	int i = index_of(&entry->route.prefix);
	struct choice choice = choice_of(&entry->route);

	assert_non_null(entry->why);
	assert_true(shown.last == NONE ||
		    qe_prefix_compare(&prefixes[shown.last], &entry->route.prefix) <= 0);
	assert_true((entry->state == QE_RIB_BEST) == (shown.last != i && told[i].peer != NONE));
	if (entry->state == QE_RIB_BEST) {
		assert_int_equal(choice.peer, told[i].peer);
		assert_int_equal(choice.gateway, told[i].gateway);
	}
	if (entry->state == QE_RIB_HELD_DOWN)
		assert_true(model.peers[choice.peer].up);
	if (entry->state == QE_RIB_UNREACHABLE)
		assert_false(model.peers[choice.peer].up);
	shown.last = i;
	shown.n++;
}

static void check_shown(const struct qe_rib *rib)
{
	size_t expected = 0;

	shown.last = NONE;
	shown.n = 0;
	for (int i = 0; i < PREFIXES; i++)
		expected += model.local[i];
	for (int who = 0; who < PEERS; who++)
		for (int i = 0; i < CELLS; i++) {
			const struct cell *cell = cell_at(who, i);

			expected += cell->claimed || cell->damping.suppressed;
		}
	assert_int_equal(qe_rib_visit(rib, on_entry, nullptr), QE_OK);
	assert_int_equal(shown.n, expected);
	for (uint32_t who = 0; who < PEERS; who++)
		assert_int_equal(qe_rib_rejected(rib, who), model.refused[who]);
}

/* ---- events, to both ---- */

static void random_set(bool set[PREFIXES], size_t one_in)
{
	for (int i = 0; i < PREFIXES; i++)
		set[i] = length_of(i) > 0 && random_below(one_in) == 0;
}

static size_t list_set(struct qe_prefix to[PREFIXES], const bool set[PREFIXES])
{
	size_t n = 0;

	for (int i = 0; i < PREFIXES; i++)
		if (set[i])
			to[n++] = prefixes[i];
	return n;
}

static void event_grants(struct qe_rib *rib, int who, qe_time now)
{
	struct peer *peer = &model.peers[who];
	struct qe_prefix own[PREFIXES], gateway[PREFIXES];

	if (!peer->exists) {
		*peer = (struct peer){.exists = true, .rtt = QE_TIME_NEVER};
		for (int i = 0; i < CELLS; i++)
			cell_at(who, i)->better_since = QE_TIME_NEVER;
	}
	random_set(peer->own, 4);
	random_set(peer->gateway, 3);
	peer->exit = random_below(2);
	peer->default_gateway = random_below(3) == 0;
	struct qe_rib_peer settings = {.slot = (uint32_t)who,
		.own = own,
		.n_own = list_set(own, peer->own),
		.gateway = gateway,
		.n_gateway = list_set(gateway, peer->gateway),
		.exit = peer->exit,
		.default_gateway = peer->default_gateway};

	assert_int_equal(qe_rib_set_peer(rib, &settings, now), QE_OK);
	for (int i = 0; i < PREFIXES; i++) {
		peer->cells[i][0].configured = peer->own[i];
		peer->cells[i][1].configured = peer->default_gateway && length_of(i) == 0;
	}
	settle_cells(who, now);
	model.anew = true;
}

static void event_remove(struct qe_rib *rib, int who)
{
	qe_rib_remove_peer(rib, (uint32_t)who);
	if (!model.peers[who].exists)
		return;
	model.peers[who] = (struct peer){};
	model.refused[who] = 0;
	model.anew = true;
	for (int i = 0; i < PREFIXES; i++)
		if (model.choices[i].peer == who)
			model.choices[i] = (struct choice){.peer = NONE};
}

static void event_speak(struct qe_rib *rib, int who, qe_time now)
{
	struct peer *peer = &model.peers[who];
	struct qe_announcement list[20];

	peer->speech.n = random_below(20);
	for (size_t i = 0; i < peer->speech.n; i++) {
		peer->speech.items[i].prefix = (int)random_below(PREFIXES);
		peer->speech.items[i].gateway = random_below(3) > 0;
		peer->speech.items[i].metric = (uint16_t)(random_below(8) / 6);
		list[i] = (struct qe_announcement){prefixes[peer->speech.items[i].prefix],
			peer->speech.items[i].gateway, peer->speech.items[i].metric};
	}
	peer->spoke = true;
	assert_int_equal(qe_rib_announce(rib, (uint32_t)who, list, peer->speech.n, 0, now), QE_OK);
	judge_peer(who, now);
}

static void event_down(struct qe_rib *rib, int who, qe_time now)
{
	struct peer *peer = &model.peers[who];
	bool silent = random_below(2);

	qe_rib_peer_down(rib, (uint32_t)who, silent, now);
	peer->up = false;
	if (!silent) {
		peer->spoke = false;
		peer->rtt = QE_TIME_NEVER;
		peer->speech.n = 0;
		model.refused[who] = 0;
		for (int i = 0; i < CELLS; i++)
			cell_at(who, i)->announced = false;
	}
	settle_cells(who, now);
}

static void event_marks(struct qe_rib *rib)
{
	struct qe_prefix list[PREFIXES];

	if (random_below(2)) {
		random_set(model.local, 6);
		assert_int_equal(qe_rib_set_local(rib, list, list_set(list, model.local)), QE_OK);
	} else {
		random_set(model.forbidden, 8);
		assert_int_equal(
			qe_rib_set_forbidden(rib, list, list_set(list, model.forbidden)), QE_OK);
	}
	model.anew = true;
}

static void event(struct qe_rib *rib, qe_time now)
{
	int who = (int)random_below(PEERS);
	struct peer *peer = &model.peers[who];
	size_t what = random_below(40);

	if (what == 0)
		event_marks(rib);
	else if (what == 1)
		event_remove(rib, who);
	else if (what == 2 || !peer->exists)
		event_grants(rib, who, now);
	else if (what < 12)
		event_speak(rib, who, now);
	else if (what < 16)
		event_down(rib, who, now);
	else if (what < 30) {
		qe_rib_peer_up(rib, (uint32_t)who, now);
		peer->up = true;
		settle_cells(who, now);
	} else {
		peer->rtt = (1 + random_below(8)) * 4 * QE_MILLISECOND;
		qe_rib_set_rtt(rib, (uint32_t)who, peer->rtt);
	}
}

/* On to some moment, by way of all those at which the RIB wants to be called. */
static qe_time pass(struct qe_rib *rib, qe_time now)
{
	qe_time until = now + random_below(random_below(4) ? 4 * QE_SECOND : 40 * QE_SECOND);
	qe_time next;

	while ((next = qe_rib_deadline(rib)) <= until) {
		assert_true(next > now);
		now = next;
		model_run(now);
		qe_rib_run(rib, now);
		check_choices();
	}
	model_run(until);
	check_choices();
	return until;
}

static struct qe_rib *start(void)
{
	struct qe_rib_settings settings = {.changed = on_changed, .seed = random_u64()};
	struct qe_rib *rib = nullptr;

	memset(&model, 0, sizeof(model));
	for (int i = 0; i < PREFIXES; i++) {
		assert_int_equal(qe_prefix_parse(&prefixes[i], texts[i]), QE_OK);
		told[i] = model.choices[i] = (struct choice){.peer = NONE};
	}
	assert_int_equal(qe_rib_new(&rib, &settings), QE_OK);
	return rib;
}

static void agrees_with_the_model(void **)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct qe_rib *rib = start();
		qe_time now = random_below(100) * QE_SECOND;

		for (unsigned i = 0; i < EVENTS; i++) {
			for (size_t n = 1 + random_below(3); n > 0; n--)
				event(rib, now);
			model_run(now);
			qe_rib_run(rib, now);
			check_choices();
			check_shown(rib);
			now = pass(rib, now);
		}
		for (uint32_t who = 0; who < PEERS; who++)
			qe_rib_remove_peer(rib, who);
		assert_int_equal(qe_rib_set_local(rib, nullptr, 0), QE_OK);
		assert_int_equal(qe_rib_set_forbidden(rib, nullptr, 0), QE_OK);
		qe_rib_run(rib, now);
		assert_int_equal(qe_rib_counts(rib).prefixes, 0);
		assert_int_equal(qe_rib_counts(rib).candidates, 0);
		assert_int_equal(qe_rib_deadline(rib), QE_TIME_NEVER);
		for (int i = 0; i < PREFIXES; i++)
			assert_int_equal(told[i].peer, NONE);
		qe_rib_free(rib);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_the_model),
	};

	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
