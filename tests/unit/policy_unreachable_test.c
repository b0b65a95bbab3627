/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Rules that no packet reaches, with all packets that may differ as the oracle. */
#include "net/addr.h"
#include "policy/unreachable.h"
#include "policy_world.h"

#define WORLDS 300
#define RULES_MAX 40
#define OTHERS_MAX 300
#define PLACES_MAX 2048
#define SERVICES_MAX 8192

/* Which rules match each of the answers to one question, as bits. */
struct plain {
	uint64_t subjects[WORLD_MEMBERS];
	struct qe_addr places[PLACES_MAX];
	uint64_t objects[PLACES_MAX];
	size_t n_places;
	uint64_t services[2][SERVICES_MAX]; /* IPv4, IPv6 */
	size_t n_services[2];
	uint64_t lasting;
	/* What comes of it. */
	uint64_t matched, reached;
	uint64_t always_with[RULES_MAX]; /* rules that match whatever this one does */
};

/* ---- where a set of rules may begin or end ---- */

static void add_place(struct plain *plain, struct qe_addr addr)
{
	assert_true(plain->n_places < PLACES_MAX);
	plain->places[plain->n_places++] = addr;
}

static void add_prefix(struct plain *plain, const struct qe_prefix *prefix)
{
	struct qe_addr behind = prefix->addr;
	bool wraps = true;

	add_place(plain, prefix->addr);
	for (size_t bit = prefix->length; wraps && bit-- > 0;) {
		behind.bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
		wraps = !(behind.bytes[bit / 8] & 0x80 >> bit % 8);
	}
	if (!wraps)
		add_place(plain, behind);
}

static void add_term(struct plain *plain, const struct qe_policy_term *term)
{
	struct qe_addr own = qe_node_id_overlay_addr(&term->id);
	struct qe_prefix host = qe_prefix_host(&own);

	if (term->kind == QE_POLICY_PREFIX)
		add_prefix(plain, &term->prefix);
	if (term->kind == QE_POLICY_NODE_ID)
		add_prefix(plain, &host);
}

static void find_places(struct plain *plain, const struct world *world)
{
	const struct qe_policy_source *source = &world->source;

	add_place(plain, (struct qe_addr){.family = QE_FAMILY_IPV4});
	add_place(plain, (struct qe_addr){.family = QE_FAMILY_IPV6});
	for (size_t i = 0; i < world->n_members; i++)
		for (size_t k = 0; k < world->members[i].n_addresses; k++)
			add_prefix(plain, &world->members[i].addresses[k]);
	for (size_t i = 0; i < source->n_groups; i++)
		for (size_t k = 0; k < source->groups[i].n_members; k++)
			add_term(plain, &source->groups[i].members[k]);
	for (size_t i = 0; i < source->n_rules; i++)
		for (size_t k = 0; k < source->rules[i].n_objects; k++)
			add_term(plain, &source->rules[i].objects[k]);
}

/* ---- which rules match ---- */

static void add_service(
	struct plain *plain, const struct world *world, size_t family, int protocol, int port)
{
	const struct qe_policy_packet packet = {
		.destination.family = family == 0 ? QE_FAMILY_IPV4 : QE_FAMILY_IPV6,
		.protocol = (uint8_t)protocol,
		.has_ports = port >= 0,
		.destination_port = (uint16_t)port,
	};
	uint64_t rules = 0;
	size_t i = 0;

	for (size_t k = 0; k < world->source.n_rules; k++)
		rules |= (uint64_t)world_matches_service(&world->source.rules[k], &packet) << k;
	while (i < plain->n_services[family] && plain->services[family][i] != rules)
		i++;
	assert_true(i < SERVICES_MAX);
	plain->services[family][i] = rules;
	plain->n_services[family] += i == plain->n_services[family];
}

/* The edges of the ranges that world_ports makes. */
static void find_services(struct plain *plain, const struct world *world)
{
	static const int ports[] = {0, 1, 2, 22, 23, 53, 54, 80, 81, 443, 444, 1024, 1025, 8080,
		8081, 32768, 32769, 65534, 65535};

	for (size_t family = 0; family < 2; family++) {
		for (int protocol = 0; protocol < 256; protocol++)
			add_service(plain, world, family, protocol, -1);
		for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
			add_service(plain, world, family, 6, ports[i]);
			add_service(plain, world, family, 17, ports[i]);
		}
	}
}

static void find_matches(struct plain *plain, const struct world *world)
{
	for (size_t k = 0; k < world->source.n_rules; k++) {
		const struct qe_policy_rule *rule = &world->source.rules[k];

		plain->always_with[k] = UINT64_MAX;
		plain->lasting |= (uint64_t)!rule->schedule << k;
		for (size_t i = 0; i < world->n_members; i++)
			plain->subjects[i] |=
				(uint64_t)world_matches_subject(world, rule, world->members[i].slot)
				<< k;
		for (size_t i = 0; i < plain->n_places; i++)
			plain->objects[i] |=
				(uint64_t)world_matches_object(world, rule, &plain->places[i]) << k;
	}
}

/* ---- all packets ---- */

static void see(struct plain *plain, uint64_t rules)
{
	uint64_t before = 0; /* lasting rules that match, and come first */

	plain->matched |= rules;
	for (size_t k = 0; k < RULES_MAX; k++) {
		uint64_t bit = UINT64_C(1) << k;

		if (!(rules & bit))
			continue;
		plain->always_with[k] &= rules;
		if (before == 0)
			plain->reached |= bit;
		before |= bit & plain->lasting;
	}
}

static void see_all(struct plain *plain, const struct world *world)
{
	for (size_t i = 0; i < plain->n_places; i++) {
		size_t family = plain->places[i].family == QE_FAMILY_IPV4 ? 0 : 1;

		for (size_t k = 0; k < world->n_members; k++) {
			uint64_t rules = plain->objects[i] & plain->subjects[k];

			for (size_t s = 0; rules != 0 && s < plain->n_services[family]; s++)
				see(plain, rules & plain->services[family][s]);
		}
	}
}

/* ---- the comparison ---- */

/* The rules of a world, and between them others that hold at times only: these take nothing for
 * good, but they change where the rules stand in the compiled policy. */
struct diluted {
	struct qe_policy_source source; /* of the world's, but for rules */
	struct qe_policy_source others;
	size_t original[RULES_MAX + OTHERS_MAX]; /* SIZE_MAX: one of the others */
};

static struct qe_policy_rule other_rule(const struct world *world)
{
	struct qe_policy_rule rule = world_rule(world);

	if (!rule.schedule)
		rule.schedule = calloc(1, sizeof(*rule.schedule));
	return rule;
}

static void dilute(struct diluted *diluted, const struct world *world)
{
	size_t n_others = random_below(OTHERS_MAX + 1), n = world->source.n_rules + n_others;
	size_t next = 0;

	*diluted = (struct diluted){.source = world->source};
	diluted->source.rules = calloc(n + 1, sizeof(struct qe_policy_rule));
	diluted->source.n_rules = n;
	diluted->others.rules = calloc(n_others + 1, sizeof(struct qe_policy_rule));
	for (size_t i = 0; i < n; i++) {
		size_t left = world->source.n_rules - next;
		bool other = random_below(n - i) >= left;

		diluted->original[i] = other ? SIZE_MAX : next;
		if (other) {
			diluted->source.rules[i] = other_rule(world);
			diluted->others.rules[diluted->others.n_rules++] = diluted->source.rules[i];
		} else {
			diluted->source.rules[i] = world->source.rules[next++];
		}
	}
}

static void diluted_done(struct diluted *diluted)
{
	free(diluted->source.rules);
	qe_policy_source_done(&diluted->others);
}

struct seen {
	const struct plain *plain;
	const struct diluted *diluted;
	uint64_t unreachable;
};

static void found(void *ctx, const struct qe_policy_shadow *shadow)
{
	struct seen *seen = ctx;
	const struct plain *plain = seen->plain;
	size_t rule = seen->diluted->original[shadow->rule];
	size_t by = seen->diluted->original[shadow->by];

	assert_true(shadow->by < shadow->rule);
	assert_true(by != SIZE_MAX && plain->lasting >> by & 1);
	if (rule == SIZE_MAX)
		return;
	seen->unreachable |= UINT64_C(1) << rule;
	if (shadow->alone)
		assert_true(plain->always_with[rule] >> by & 1);
}

static void rules_are_unreachable_if_no_packet_reaches_them([[maybe_unused]] void **state)
{
	static struct plain plain;
	static struct diluted diluted;
	size_t n_unreachable = 0;

	for (size_t i = 0; i < WORLDS; i++) {
		struct seen seen = {.plain = &plain, .diluted = &diluted};
		struct world world;

		world_init(&world, random_below(RULES_MAX + 1));
		plain = (struct plain){};
		find_places(&plain, &world);
		find_services(&plain, &world);
		find_matches(&plain, &world);
		see_all(&plain, &world);
		dilute(&diluted, &world);
		assert_int_equal(qe_policy_find_unreachable(&diluted.source, world.members,
					 world.n_members, found, &seen),
			QE_OK);
		assert_int_equal(seen.unreachable, plain.matched & ~plain.reached);
		n_unreachable += (size_t)__builtin_popcountll(seen.unreachable);
		diluted_done(&diluted);
		world_done(&world);
	}
	assert_true(n_unreachable > WORLDS / 4);
}

static void count(void *ctx, const struct qe_policy_shadow *shadow)
{
	size_t *n = ctx;

	assert_int_equal(shadow->by, 0);
	assert_true(shadow->alone);
	++*n;
}

/* As many rules as there may be, all of them alike. */
static void a_full_policy_is_searched([[maybe_unused]] void **state)
{
	static struct qe_policy_rule rules[QE_POLICY_RULES_MAX];
	struct qe_policy_term any = {.kind = QE_POLICY_ANY};
	const struct qe_policy_source source = {.rules = rules, .n_rules = QE_POLICY_RULES_MAX};
	const struct qe_policy_member self = {.slot = QE_POLICY_SELF};
	size_t n = 0;

	for (size_t i = 0; i < QE_POLICY_RULES_MAX; i++)
		rules[i] = (struct qe_policy_rule){
			.subjects = &any, .n_subjects = 1, .objects = &any, .n_objects = 1};
	assert_int_equal(qe_policy_find_unreachable(&source, &self, 1, count, &n), QE_OK);
	assert_int_equal(n, QE_POLICY_RULES_MAX - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_unreachable_if_no_packet_reaches_them),
		cmocka_unit_test(a_full_policy_is_searched),
	};
	return cmocka_run_group_tests(tests, random_setup, nullptr);
}
