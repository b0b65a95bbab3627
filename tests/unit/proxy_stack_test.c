/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The stack at the end of a cable, whose other end this test holds: it sees each packet, and
 * answers by hand.
 *
 *    stream --- stack 100.64.0.1, fd64::1 === cable === this test, which is 203.0.113.9 and
 * 2001:db8::9
 */
#include "proxy/stack.h"

#include <errno.h>

#include "net/checksum.h"
#include "net/icmp.h"
#include "net_packets.h"
#include "os/clock.h"

#define HOSTILE 100000
#define MTU 1400

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static const struct qe_addr own[] = {
	{QE_FAMILY_IPV4, {100, 64, 0, 1}}, {QE_FAMILY_IPV6, {0xfd, 0x64, [15] = 1}}};
static const struct qe_addr remotes[] = {
	{QE_FAMILY_IPV4, {203, 0, 113, 9}}, {QE_FAMILY_IPV6, {0x20, 1, 0x0d, 0xb8, [15] = 9}}};

static struct lab {
	struct qe_loop *loop;
	struct qe_tun *ends[2];
	struct qe_stack *stack;
	unsigned told;
	enum qe_error dgram_error;
	size_t dgram_len;
} lab;

/* A TCP connection as this test, the other side of it, knows it. */
struct other {
	struct qe_stream *stream;
	struct spec spec; /* of the packets to it, but flags and payload */
	uint32_t first;   /* the stream's first sequence number */
};

static uint8_t bytes[PACKET_MAX];

static int open_lab(void **state)
{
	const struct qe_stack_settings settings = {.addrs = own, .n_addrs = 2, .mtu = MTU};
	struct qe_stack_settings all = settings;

	random_setup(state);
	assert_int_equal(qe_loop_new(&lab.loop), QE_OK);
	assert_int_equal(qe_tun_new_cable(lab.ends), QE_OK);
	all.loop = lab.loop;
	all.tun = lab.ends[1];
	assert_int_equal(qe_stack_new(&lab.stack, &all), QE_OK);
	return 0;
}

static int close_lab(void **)
{
	qe_stack_free(lab.stack);
	qe_tun_free(lab.ends[0]);
	qe_tun_free(lab.ends[1]);
	qe_loop_free(lab.loop);
	return 0;
}

static void ready(void *ctx)
{
	struct lab *told = ctx;

	told->told++;
}

static void turn(void)
{
	qe_loop_turn(lab.loop, qe_clock_now());
}

/* ---- packets, one way and the other ---- */

static void give(const struct spec *spec)
{
	const struct qe_offload offload = {.needs_csum = spec->checksum == CHECKSUM_PARTIAL};
	const size_t len = build(bytes, spec);

	assert_int_equal(qe_tun_write(lab.ends[0], &offload, bytes, len), QE_OK);
	turn();
}

static bool take(struct qe_packet *packet)
{
	struct qe_offload offload;
	size_t len;

	if (qe_tun_read(lab.ends[0], bytes, sizeof(bytes), &offload, &len) != QE_OK)
		return false;
	assert_true(len <= MTU);
	assert_int_equal(qe_packet_parse(packet, (struct qe_bytes){bytes, len}), QE_OK);
	assert_true(!qe_packet_has_checksum(packet) || qe_checksum_transport_valid(bytes, packet));
	return true;
}

static void take_all(void)
{
	struct qe_packet packet;

	while (take(&packet))
		;
}

/* A packet of the remote's to the stack. */
static struct spec spec_to(unsigned version, unsigned protocol)
{
	struct spec spec = {.version = version, .protocol = protocol, .hop_limit = 64};
	const size_t len = version == 4 ? 4 : 16;

	memcpy(spec.source, remotes[version == 6].bytes, len);
	memcpy(spec.destination, own[version == 6].bytes, len);
	return spec;
}

static void answer(struct other *other, uint8_t flags, const uint8_t *payload, size_t len)
{
	struct spec spec = other->spec;

	spec.flags = flags;
	spec.payload = payload;
	spec.payload_len = len;
	spec.checksum = random_below(2) ? CHECKSUM_PARTIAL : CHECKSUM_COMPLETE;
	give(&spec);
	other->spec.sequence += (uint32_t)len + ((flags & (SYN | FIN)) != 0);
}

/* ---- connections ---- */

static struct other begin(unsigned version)
{
	const struct qe_endpoint to = {remotes[version == 6], 80, 0};
	struct other other = {.spec = spec_to(version, 6)};
	struct qe_packet packet;

	take_all();
	assert_int_equal(qe_stream_new(&other.stream, lab.stack, &to, ready, &lab), QE_OK);
	assert_true(take(&packet));
	assert_int_equal(packet.tcp_flags, SYN);
	assert_true(qe_addr_equal(&packet.source, &own[version == 6]));
	assert_true(qe_addr_equal(&packet.destination, &to.addr));
	other.first = qe_load_u32(bytes + packet.transport + 4);
	other.spec.source_port = 80;
	other.spec.destination_port = packet.source_port;
	other.spec.sequence = (uint32_t)random_u64();
	other.spec.acknowledgement = other.first + 1;
	other.spec.window = 65535;
	return other;
}

static struct other connect_to(unsigned version)
{
	static const uint8_t options[] = {2, 4, 5, 0xb4, 1, 3, 3, 7};
	struct other other = begin(version);

	memcpy(other.spec.tcp_options, options, sizeof(options));
	other.spec.n_tcp_options = sizeof(options);
	answer(&other, SYN | ACK, nullptr, 0);
	other.spec.n_tcp_options = 0;
	assert_int_equal(qe_stream_state(other.stream), QE_STREAM_OPEN);
	return other;
}

static void a_stream_carries(void **)
{
	static const uint8_t words[] = "there", back[] = "and back";

	for (unsigned version = 4; version <= 6; version += 2) {
		struct other other = connect_to(version);
		struct qe_packet packet;
		struct qe_bytes here;

		assert_true(take(&packet));
		assert_int_equal(packet.tcp_flags, ACK);
		/* Twice as much as lwIP would: the window is scaled by 2. */
		assert_int_equal(qe_load_u16(bytes + packet.transport + 14), 65535);
		answer(&other, ACK | PSH, words, sizeof(words));
		here = qe_stream_peek(other.stream);
		assert_int_equal(here.len, sizeof(words));
		assert_memory_equal(here.data, words, sizeof(words));
		qe_stream_consume(other.stream, sizeof(words));
		take_all();
		assert_true(qe_stream_room(other.stream) > 100000);
		assert_int_equal(
			qe_stream_write(other.stream, (struct qe_bytes){back, sizeof(back)}),
			QE_OK);
		assert_true(take(&packet));
		assert_int_equal(packet.len - packet.payload, sizeof(back));
		assert_memory_equal(bytes + packet.payload, back, sizeof(back));
		other.spec.acknowledgement += sizeof(back);
		answer(&other, FIN | ACK, nullptr, 0);
		assert_true(qe_stream_ended(other.stream));
		qe_stream_finish(other.stream);
		other.stream = qe_stream_free(other.stream);
	}
}

/* All that was received may lie unread as long as it likes, and no more is asked for. */
static void the_window_holds(void **)
{
	static uint8_t filling[1000];
	struct other other = connect_to(4);
	uint32_t window = 0;
	struct qe_packet packet;
	size_t n = 0;

	for (unsigned i = 0; i < 200; i++) {
		answer(&other, ACK, filling, sizeof(filling));
		while (take(&packet))
			window = 2u * qe_load_u16(bytes + packet.transport + 14);
	}
	assert_true(window < sizeof(filling));
	for (struct qe_bytes here; (here = qe_stream_peek(other.stream)).len > 0;) {
		n += here.len;
		qe_stream_consume(other.stream, here.len);
	}
	assert_true(n > 100000 && n <= QE_STREAM_BUFFER);
	qe_stream_free(other.stream);
}

static void numbers_cannot_be_guessed(void **)
{
	uint32_t last = 0;
	unsigned near = 0, last_port = 0, port_near = 0;

	for (unsigned i = 0; i < 64; i++) {
		struct other other = begin(4);
		const unsigned port = other.spec.destination_port;

		near += other.first - last < 1u << 20;
		port_near += port - last_port < 256;
		assert_true(port >= 16384);
		last = other.first;
		last_port = port;
		qe_stream_free(other.stream);
	}
	assert_true(near < 4 && port_near < 8);
}

/* ---- errors ---- */

static void a_reset_is_a_refusal(void **)
{
	struct other other = begin(4);

	answer(&other, RST | ACK, nullptr, 0);
	assert_int_equal(qe_stream_state(other.stream), QE_STREAM_FAILED);
	assert_int_equal(qe_stream_error(other.stream), -ECONNREFUSED);
	qe_stream_free(other.stream);
	other = connect_to(6);
	answer(&other, RST | ACK, nullptr, 0);
	assert_int_equal(qe_stream_error(other.stream), -ECONNRESET);
	qe_stream_free(other.stream);
}

/* Told about the packet that stands in bytes. */
static void complain(enum qe_icmp_error error, uint32_t changed_sequence)
{
	uint8_t about[PACKET_MAX], message[QE_ICMP_MAX];
	struct qe_packet packet;
	size_t len;

	len = bytes[0] >> 4 == 4 ? qe_load_u16(bytes + 2) : 40u + qe_load_u16(bytes + 4);
	memcpy(about, bytes, len);
	assert_int_equal(qe_packet_parse(&packet, (struct qe_bytes){about, len}), QE_OK);
	qe_store_u32(about + packet.transport + 4,
		qe_load_u32(about + packet.transport + 4) + changed_sequence);
	len = qe_icmp_error(
		message, error, &packet.source, 0, (struct qe_bytes){about, len}, &packet);
	assert_true(len > 0);
	assert_int_equal(qe_tun_write(lab.ends[0], &(struct qe_offload){}, message, len), QE_OK);
	turn();
}

static void errors_on_the_way_are_heard(void **)
{
	static const struct {
		enum qe_icmp_error told;
		enum qe_error heard;
	} rows[] = {
		{QE_ICMP_NO_ROUTE, -ENETUNREACH},
		{QE_ICMP_ADMIN_PROHIBITED, -EACCES},
		{QE_ICMP_TIME_EXCEEDED, -EHOSTUNREACH},
	};

	for (unsigned i = 0; i < 6; i++) {
		struct other other = begin(i % 2 ? 4 : 6);

		complain(rows[i / 2].told, 1);
		assert_int_equal(qe_stream_state(other.stream), QE_STREAM_CONNECTING);
		complain(rows[i / 2].told, 0);
		assert_int_equal(qe_stream_state(other.stream), QE_STREAM_FAILED);
		assert_int_equal(qe_stream_error(other.stream), rows[i / 2].heard);
		qe_stream_free(other.stream);
	}
}

/* ---- datagrams ---- */

static void received(void *ctx, enum qe_error error, struct qe_bytes got)
{
	struct lab *told = ctx;

	told->dgram_error = error;
	told->dgram_len = got.len;
	told->told++;
}

static void datagrams_come_and_go(void **)
{
	static const uint8_t words[] = "what is there";
	const struct qe_endpoint to = {remotes[0], 53, 0};
	struct spec spec = spec_to(4, 17);
	struct qe_dgram *dgram;
	struct qe_packet packet;

	take_all();
	assert_int_equal(qe_dgram_new(&dgram, lab.stack, &to, received, &lab), QE_OK);
	assert_int_equal(qe_dgram_send(dgram, (struct qe_bytes){words, sizeof(words)}), QE_OK);
	assert_true(take(&packet));
	assert_int_equal(packet.destination_port, 53);
	complain(QE_ICMP_NO_ROUTE, 0);
	assert_int_equal(lab.dgram_error, -ENETUNREACH);
	lab.told = 0;
	spec.source_port = 54; /* of somebody else */
	spec.destination_port = packet.source_port;
	spec.payload = words;
	spec.payload_len = sizeof(words);
	give(&spec);
	assert_int_equal(lab.told, 0);
	spec.source_port = 53;
	give(&spec);
	assert_int_equal(lab.told, 1);
	assert_int_equal(lab.dgram_error, QE_OK);
	assert_int_equal(lab.dgram_len, sizeof(words));
	qe_dgram_free(dgram);
}

/* ---- what comes unasked ---- */

static void nobody_listens(void **)
{
	struct spec spec = spec_to(4, 6);
	struct qe_packet packet;

	spec.flags = SYN;
	spec.destination_port = 22;
	spec.source_port = 12345;
	take_all();
	give(&spec);
	assert_true(take(&packet));
	assert_true(packet.tcp_flags & RST);
}

/* Through the door goes nothing that is from the stack itself, for others, a fragment, or no
 * business of the stack's. */
static void the_door_is_narrow(void **)
{
	const uint64_t before = qe_stack_get_counters(lab.stack)->refused;
	struct spec spec = spec_to(4, 6), six = spec_to(6, 6);
	struct qe_packet packet;

	take_all();
	spec.flags = six.flags = SYN;
	memcpy(spec.source, own[0].bytes, 4);
	give(&spec);
	memcpy(spec.source, "\x7f\0\0\1", 4);
	give(&spec);
	spec = spec_to(4, 6);
	spec.destination[3]++;
	give(&spec);
	spec = spec_to(4, 6);
	spec.n_ip_options = 4;
	memset(spec.ip_options, 1, 4);
	give(&spec);
	six.n_ip_options = 8;
	give(&six);
	for (unsigned protocol = 0; protocol < 256; protocol++) {
		spec = spec_to(4, protocol);
		spec.payload = bytes + PACKET_MAX - 64;
		spec.payload_len = 64;
		if (protocol != 6 && protocol != 17)
			give(&spec);
	}
	assert_false(take(&packet));
	assert_int_equal(qe_stack_get_counters(lab.stack)->refused - before, 5 + 254);
}

static uint8_t random_flags(void)
{
	static const uint8_t usual[] = {ACK, ACK | PSH, FIN | ACK, SYN | ACK, SYN, RST, FIN, 0};

	return random_below(8) ? usual[random_below(random_below(4) ? 2 : 8)]
			       : (uint8_t)random_u64();
}

/* Of a connection's other end that does what it likes: overlaps, holes, numbers that were never
 * sent, options of any kind, and now and then a byte that is wrong anywhere. */
static void give_hostile(const struct other *other)
{
	static uint8_t payload[3000];
	struct spec spec = other->spec;
	const struct qe_offload offload = {.needs_csum = true};
	size_t len;

	if (random_below(2))
		spec.sequence += (uint32_t)random_below(6000) - 3000;
	spec.acknowledgement += random_below(4) ? 0 : (uint32_t)random_below(1 << 19) - (1 << 18);
	spec.window = random_below(8) ? 65535 : (unsigned)random_below(65536);
	spec.flags = random_flags();
	if (random_below(8) == 0) {
		spec.n_tcp_options = 4 * (unsigned)random_below(11);
		random_fill(spec.tcp_options, spec.n_tcp_options);
	}
	spec.payload = payload;
	spec.payload_len = random_below(3) ? random_below(1400) : random_below(2);
	spec.checksum = CHECKSUM_PARTIAL;
	len = build(bytes, &spec);
	if (random_below(16) == 0)
		bytes[random_below(len)] = (uint8_t)random_u64();
	(void)!qe_tun_write(lab.ends[0], &offload, bytes, len);
}

/* What the stack expects, and has sent, as its packets say; so what comes next fits, or nearly. */
static void learn(struct other others[8])
{
	struct qe_packet packet;

	while (take(&packet)) {
		for (unsigned i = 0; i < 8; i++) {
			struct spec *spec = &others[i].spec;

			if (!others[i].stream || packet.version != spec->version ||
				packet.source_port != spec->destination_port)
				continue;
			spec->sequence = qe_load_u32(bytes + packet.transport + 8);
			spec->acknowledgement = qe_load_u32(bytes + packet.transport + 4) +
						(packet.len - packet.payload);
		}
	}
}

static void hostile_packets_do_no_harm(void **)
{
	struct other others[8] = {};
	size_t got = 0;

	for (unsigned i = 0; i < HOSTILE; i++) {
		struct other *other = &others[random_below(8)];

		if (!other->stream)
			*other = connect_to(random_below(2) ? 4 : 6);
		give_hostile(other);
		if (random_below(4) == 0)
			turn();
		if (random_below(16) == 0) {
			const size_t len = qe_stream_peek(other->stream).len;

			got += len;
			qe_stream_consume(other->stream, len);
		}
		if (random_below(16) == 0 && qe_stream_room(other->stream) > 100)
			assert_int_equal(
				qe_stream_write(other->stream, (struct qe_bytes){bytes, 100}),
				QE_OK);
		if (random_below(512) == 0)
			qe_stream_finish(other->stream);
		if (qe_stream_state(other->stream) == QE_STREAM_FAILED || random_below(512) == 0) {
			turn();
			other->stream = qe_stream_free(other->stream);
		}
		learn(others);
	}
	for (unsigned i = 0; i < 8; i++)
		qe_stream_free(others[i].stream);
	turn();
	print_message("%zu bytes taken\n", got);
	assert_true(got > HOSTILE);
	a_stream_carries(nullptr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_carries),
		cmocka_unit_test(the_window_holds),
		cmocka_unit_test(numbers_cannot_be_guessed),
		cmocka_unit_test(a_reset_is_a_refusal),
		cmocka_unit_test(errors_on_the_way_are_heard),
		cmocka_unit_test(datagrams_come_and_go),
		cmocka_unit_test(nobody_listens),
		cmocka_unit_test(the_door_is_narrow),
		cmocka_unit_test(hostile_packets_do_no_harm),
	};

	return cmocka_run_group_tests(tests, open_lab, close_lab);
}
