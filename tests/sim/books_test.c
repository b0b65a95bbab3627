/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Conservation: whatever happens, each packet is counted once. Three nodes with short rotation, all
 * kinds of traffic, good and bad, from inside and from outside, on wires that lose, damage, narrow,
 * choke and break, while hosts are closed, killed and moved. After every step the counters of every
 * shard must add up, and agree with what the hosts have seen (mesh_check_books).
 *
 * A link that now and then lies about what it carries (--wrap) stands for a hostile peer.
 */
#include "mesh.h"

#include <string.h>

#include "quic/link.h"

#define HOSTS 3
#define STEPS 300
#define SEEDS 6
#define SEEDS_MAX 100
#define ENDS 12 /* of hop limits: more than look like traceroute */

/* What host 1 forwards to host 2, and what is behind that one but not forwarded. */
#define FORWARDED_4 "192.168.8."
#define FORWARDED_6 "2001:db8:8::"
#define BEHIND_4 "192.168.9."
#define BEHIND_6 "2001:db8:9::"

struct world {
	struct mesh *mesh;
	struct mesh_host *hosts[HOSTS];
	uint8_t caught[MESH_DATAGRAM_MAX]; /* a datagram from some time ago */
	size_t caught_len;
};

static struct mesh *lying; /* NULL: nobody does */
static uint64_t drops[QE_DROP_COUNT], splits, joins, messages, told,
	forwarded; /* of all shards that have ended */

/* ---- a link that lies ---- */

enum qe_error __real_qe_link_send(struct qe_link *link, struct qe_batch *batch,
	uint8_t context_byte, enum qe_ecn ecn, struct qe_bytes packet, qe_time now);
enum qe_error __wrap_qe_link_send(struct qe_link *link, struct qe_batch *batch,
	uint8_t context_byte, enum qe_ecn ecn, struct qe_bytes packet, qe_time now);

enum qe_error __wrap_qe_link_send(struct qe_link *link, struct qe_batch *batch,
	uint8_t context_byte, enum qe_ecn ecn, struct qe_bytes packet, qe_time now)
{
	static uint8_t copy[QE_MTU_MAX];
	if (lying && packet.len <= sizeof(copy) && mesh_chance(lying, 0.02)) {
		memcpy(copy, packet.data, packet.len);
		copy[0] = (uint8_t)mesh_random_below(lying, 2); /* no version of IP */
		context_byte = (uint8_t)mesh_random_below(lying, 6);
		packet.data = copy;
	}
	return __real_qe_link_send(link, batch, context_byte, ecn, packet, now);
}

/* ---- the books ---- */

/* The end of a shard, whose counters go with it. */
static void close_books(const struct mesh_host *host)
{
	struct qe_shard_counters counters = mesh_counters(host);
	for (enum qe_drop drop = 0; drop < QE_DROP_COUNT; drop++)
		drops[drop] += counters.drops[drop];
	splits += counters.split_packets;
	joins += counters.joined_frames;
	messages += counters.icmp_packets;
	told += counters.icmp_tx_packets;
	forwarded += counters.forwarded_packets;
}

static void end_host(struct mesh_host *host, bool in_order)
{
	if (in_order)
		qe_shard_close(host->shard, host->mesh->now);
	close_books(host);
	mesh_kill(host);
}

static void check_all(const struct world *world)
{
	for (size_t i = 0; i < HOSTS; i++)
		mesh_check_books(world->hosts[i]);
}

/* ---- traffic ---- */

static struct mesh_host *any_host(struct world *world)
{
	return world->hosts[mesh_random_below(world->mesh, HOSTS)];
}

static struct mesh_host *another(struct world *world, const struct mesh_host *than)
{
	return world->hosts[(than->index + 1 + mesh_random_below(world->mesh, HOSTS - 1)) % HOSTS];
}

static void start_flow(struct world *world)
{
	struct mesh *mesh = world->mesh;
	struct mesh_host *from = any_host(world);
	enum mesh_kind kind = (enum mesh_kind)mesh_random_below(mesh, 4);
	bool udp = kind == MESH_UDP4 || kind == MESH_UDP6;
	struct mesh_flow *flow = mesh_flow_start(from, another(world, from), kind,
		100 + mesh_random_below(mesh, udp ? 1300 : 1200),
		(1 + mesh_random_below(mesh, 20)) * QE_MILLISECOND);
	if (mesh_chance(mesh, 0.7))
		flow->segments = 1 + (unsigned)mesh_random_below(mesh, 40);
	flow->inner.dont_fragment = mesh_chance(mesh, 0.5);
	flow->limit = udp ? 500 : 500000;
}

static struct qe_addr any_addr(struct world *world, const struct mesh_host *own, bool v6)
{
	static const char *const strange[][2] = {{"224.0.0.251", "ff02::fb"},
		{"172.16.0.1", "2001:db8::1"}, {"100.64.77.77", "fe80::1"},
		{"192.168.7.9", "fd00::1"}, {"0.0.0.0", "::"}, {FORWARDED_4 "9", FORWARDED_6 "9"},
		{BEHIND_4 "9", BEHIND_6 "9"}};
	uint64_t i = mesh_random_below(world->mesh, 13);
	struct qe_addr addr;
	if (i >= 7) {
		const struct mesh_host *host = i >= 11 ? own : any_host(world);
		return v6 ? host->inner6 : host->inner4;
	}
	assert_int_equal(qe_addr_parse(&addr, strange[i][v6]), QE_OK);
	return addr;
}

/* From and to anywhere, of any size, sometimes damaged or cut, with an offload that may be a lie.
 */
static void inject_anything(struct world *world)
{
	static uint8_t packet[65536], payload[65536];
	static const uint8_t protocols[] = {QE_IP_UDP, QE_IP_TCP, 1, 58};
	struct mesh *mesh = world->mesh;
	struct mesh_host *host = any_host(world);
	bool v6 = mesh_chance(mesh, 0.5);
	struct mesh_inner inner = {.source = any_addr(world, host, v6),
		.destination = any_addr(world, host, v6),
		.protocol = protocols[mesh_random_below(mesh, 4)],
		.source_port = 5,
		.destination_port = 6,
		.tcp_flags = (uint8_t)mesh_random(mesh),
		.traffic_class = (uint8_t)mesh_random(mesh),
		.hop_limit = mesh_chance(mesh, 0.2) ? 1 : 64,
		.dont_fragment = mesh_chance(mesh, 0.5)};
	size_t size = mesh_random_below(mesh, mesh_chance(mesh, 0.2) ? 60000 : 1360);
	size_t len = mesh_build(packet, &inner, (struct qe_bytes){payload, size});
	struct qe_offload offload = {};
	struct qe_packet parsed;
	bool sound = false;
	if (mesh_chance(mesh, 0.3))
		offload = (struct qe_offload){.gso = (uint8_t)mesh_random_below(mesh, 4),
			.needs_csum = mesh_chance(mesh, 0.5),
			.gso_size = (uint16_t)mesh_random_below(mesh, 1500),
			.csum_start = v6 ? 40 : 20,
			.csum_offset = inner.protocol == QE_IP_TCP ? 16 : 6};
	if (mesh_chance(mesh, 0.1))
		packet[mesh_random_below(mesh, 40)] = (uint8_t)mesh_random(mesh);
	else if (mesh_chance(mesh, 0.1))
		len = mesh_random_below(mesh, len);
	else
		sound = true;
	/* What parses in spite of its damage would be delivered, with a wrong checksum. */
	if (!sound &&
		qe_packet_parse(&parsed, qe_packet_trim((struct qe_bytes){packet, len})) == QE_OK)
		return;
	bool ends = sound && inner.hop_limit == 1;
	for (unsigned n = ends ? ENDS : 1; n > 0; n--)
		mesh_inject(host, &offload, (struct qe_bytes){packet, len});
	/* And then some that would have gone on. */
	inner.hop_limit = 64;
	if (ends)
		len = mesh_build(packet, &inner, (struct qe_bytes){payload, size});
	for (unsigned n = ends ? ENDS : 0; n > 0; n--)
		mesh_inject(host, &offload, (struct qe_bytes){packet, len});
}

static void on_datagram(void *ctx, const struct mesh_host *from, struct qe_bytes datagram)
{
	struct world *world = ctx;
	if (!mesh_chance(from->mesh, 0.01))
		return;
	memcpy(world->caught, datagram.data, datagram.len);
	world->caught_len = datagram.len;
}

/* Noise, or what was caught before, whole or changed, from an address of nobody. */
static void spoof(struct world *world)
{
	struct mesh *mesh = world->mesh;
	struct qe_endpoint from = {.port = 7};
	struct qe_bytes bytes = {world->caught, world->caught_len};
	assert_int_equal(qe_addr_parse(&from.addr, "203.0.113.5"), QE_OK);
	if (bytes.len == 0)
		return;
	for (uint64_t n = mesh_random_below(mesh, 3); n > 0; n--)
		world->caught[mesh_random_below(mesh, bytes.len)] = (uint8_t)mesh_random(mesh);
	if (mesh_chance(mesh, 0.3))
		bytes.len = 1 + mesh_random_below(mesh, bytes.len);
	mesh_spoof(mesh, &from, any_host(world), bytes);
}

/* ---- trouble ---- */

static void trouble_wire(struct world *world)
{
	static const uint8_t all_marked[4] = {QE_ECN_CE, QE_ECN_CE, QE_ECN_CE, QE_ECN_CE};
	struct mesh *mesh = world->mesh;
	const struct mesh_host *one = any_host(world), *other = another(world, one);
	struct mesh_wire wire = {.delay = 10 * QE_MILLISECOND, .mtu = 1472};
	switch (mesh_random_below(mesh, 8)) {
	case 0:
		wire.loss = 0.1;
		break;
	case 1:
		wire.corruption = 0.1;
		break;
	case 2:
		wire.duplication = 0.2;
		break;
	case 3:
		wire.mtu = 1252 + mesh_random_below(mesh, 200);
		break;
	case 4:
		wire.cut = true;
		break;
	case 5:
		wire.rate = 5'000'000;
		wire.queue = 20000;
		break;
	case 6:
		wire.remark = all_marked;
		break;
	default:
		break;
	}
	mesh_lay_both(mesh, one, other, &wire);
}

static void trouble_host(struct world *world)
{
	struct mesh *mesh = world->mesh;
	struct mesh_host *host = any_host(world);
	switch (mesh_random_below(mesh, 4)) {
	case 0:
		end_host(host, true);
		mesh_start(host);
		break;
	case 1:
		end_host(host, false);
		mesh_start(host);
		break;
	case 2:
		mesh_move(host, mesh_chance(mesh, 0.5));
		break;
	default:
		if (host->asleep)
			mesh_wake(host);
		else
			mesh_sleep(host);
		break;
	}
}

static void take_step(struct world *world)
{
	struct mesh *mesh = world->mesh;
	for (uint64_t n = mesh_random_below(mesh, 8); n > 0; n--)
		inject_anything(world);
	for (uint64_t n = mesh_random_below(mesh, 4); n > 0; n--)
		spoof(world);
	if (mesh_chance(mesh, 0.1))
		start_flow(world);
	if (mesh_chance(mesh, 0.1))
		trouble_wire(world);
	if (mesh_chance(mesh, 0.03))
		trouble_host(world);
	mesh_run(mesh, mesh_random_below(mesh, 100) * QE_MILLISECOND);
	for (size_t i = 0; i < HOSTS; i++)
		mesh_inbox_clear(world->hosts[i]);
}

/* ---- the test ---- */

static struct mesh_peer *peer_of(struct mesh_host *host, const struct mesh_host *other)
{
	size_t i = 0;
	while (host->peers[i].host != other)
		i++;
	return &host->peers[i];
}

/* Host 0 sends all that it knows nothing of to host 1, its default gateway, which forwards some of
 * it to host 2. */
static void add_gateway(struct world *world)
{
	struct mesh_host *one = world->hosts[1], *two = world->hosts[2];
	const struct qe_prefix subnets[] = {mesh_prefix(FORWARDED_4 "0/24"),
		mesh_prefix(FORWARDED_6 "/48"), mesh_prefix(BEHIND_4 "0/24"),
		mesh_prefix(BEHIND_6 "/48")};
	peer_of(world->hosts[0], one)->default_gateway = true;
	memcpy(one->forward, subnets, sizeof(subnets) / 2);
	one->n_forward = 2;
	/* As far as host 1 knows, all of it is host 2's own. */
	memcpy(two->subnets, subnets, sizeof(subnets));
	two->n_subnets = 4;
	struct mesh_peer *there = peer_of(one, two), *back = peer_of(two, one);
	memcpy(there->subnets, subnets, sizeof(subnets));
	there->n_subnets = 4;
	back->gateway[0] = qe_prefix_host(&world->hosts[0]->inner4);
	back->gateway[1] = qe_prefix_host(&world->hosts[0]->inner6);
	back->n_gateway = 2;
}

/* Host 2 lets no ICMP in or out. */
static void add_policy(struct world *world)
{
	static char ids[2][8] = {"no-icmp", "else"};
	static struct qe_policy_term any = {.kind = QE_POLICY_ANY};
	static uint16_t icmp = QE_POLICY_PROTOCOL_ICMP;
	static struct qe_policy_rule rules[] = {
		{.id = ids[0],
			.subjects = &any,
			.n_subjects = 1,
			.objects = &any,
			.n_objects = 1,
			.protocols = &icmp,
			.n_protocols = 1,
			.action = QE_ACTION_DENY},
		{.id = ids[1],
			.subjects = &any,
			.n_subjects = 1,
			.objects = &any,
			.n_objects = 1,
			.action = QE_ACTION_ALLOW},
	};
	static const struct qe_policy_source source = {.rules = rules, .n_rules = 2};
	world->hosts[2]->policy = &source;
}

static struct world open_world(uint64_t seed)
{
	struct world world = {.mesh = mesh_new(seed)};
	for (size_t i = 0; i < HOSTS; i++)
		world.hosts[i] = mesh_host_add(world.mesh);
	for (size_t i = 0; i < HOSTS; i++) {
		world.hosts[i]->rotate = 3 * QE_SECOND;
		for (size_t j = 0; j < HOSTS; j++)
			if (i != j)
				mesh_befriend(world.hosts[i], world.hosts[j],
					i < j ? MESH_DIALS : MESH_KNOWS);
	}
	add_gateway(&world);
	add_policy(&world);
	for (size_t i = 0; i < HOSTS; i++)
		mesh_start(world.hosts[i]);
	return world;
}

static void run_world(uint64_t seed)
{
	struct world world = open_world(seed);
	world.mesh->tap = on_datagram;
	world.mesh->tap_ctx = &world;
	lying = world.mesh;
	for (unsigned i = 0; i < STEPS; i++) {
		take_step(&world);
		check_all(&world);
	}
	lying = nullptr;
	for (size_t i = 0; i < HOSTS; i++)
		end_host(world.hosts[i], true);
	mesh_free(world.mesh);
}

/* The first reason for which nothing has been dropped yet; sim_faults_test and sim_stranger_test
 * have those that are left out here. */
static enum qe_drop first_unseen(void)
{
	enum qe_drop drop = 0;
	while (drop < QE_DROP_HANDSHAKE_LIMIT && drops[drop] > 0)
		drop++;
	return drop;
}

static bool has_seen_all(void)
{
	return first_unseen() == QE_DROP_HANDSHAKE_LIMIT && splits > 0 && joins > 0 &&
	       messages > 0 && told > 0 && forwarded > 0;
}

/* More of it until all has happened: keys, connection IDs and jitter are random indeed. */
static void every_packet_is_counted_once(void **)
{
	for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
		run_world(seed);
		if (seed >= SEEDS && has_seen_all())
			break;
	}
	if (first_unseen() != QE_DROP_HANDSHAKE_LIMIT)
		fail_msg("no packet was dropped as %s", qe_drop_name(first_unseen()));
	assert_true(has_seen_all());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_is_counted_once),
	};
	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
