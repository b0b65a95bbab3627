/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The resolver's thread over loopback, with clients and name servers of our own. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/dns.h"
#include "net/addr.h"
#include "plain_dns.h"
#include "random.h"

/* ---- sockets ---- */

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static unsigned port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	return ntohs(address.sin_port);
}

/* UDP and TCP on one port. */
static unsigned bind_both(int *ret_udp, int *ret_tcp)
{
	for (int i = 0; i < 100; i++) {
		int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		int tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct sockaddr_in address = loopback(0);
		unsigned port;

		assert_int_equal(bind(udp, (struct sockaddr *)&address, sizeof(address)), 0);
		port = port_of(udp);
		address = loopback(port);
		if (bind(tcp, (struct sockaddr *)&address, sizeof(address)) == 0 &&
			listen(tcp, 64) == 0) {
			*ret_udp = udp;
			*ret_tcp = tcp;
			return port;
		}
		close(udp);
		close(tcp);
	}
	fail_msg("no free port");
	return 0;
}

static struct qe_endpoint endpoint(unsigned port)
{
	return (struct qe_endpoint){
		.addr = {QE_FAMILY_IPV4, {127, 0, 0, 1}}, .port = (uint16_t)port};
}

/* ---- a name server ---- */

/*
 * a.test           A 192.0.2.1
 * long.test        too long for UDP: 100 addresses by TCP
 * alias.test       CNAME half.test, CNAME a.test and its address; half.test has no AAAA
 * other.test       CNAME a.test, without its address
 * forged.test      first an answer with another id, one to another question, one cut in two
 * all else         NXDOMAIN
 */
struct server {
	int udp, tcp;
	unsigned port;
	atomic_bool stopping, mute;
	atomic_uint asked, by_tcp;
	pthread_t thread;
};

static void add_many(struct plain_message *to, const char *name)
{
	for (uint8_t i = 0; i < 100; i++)
		plain_record(to, 1, name, 1, 60, (uint8_t[]){192, 0, 2, i}, 4);
}

static void make_answer(
	struct plain_message *to, const struct plain_answer *asked, unsigned id, bool tcp)
{
	const char *name = asked->question;
	bool ipv4 = asked->type == 1;

	plain_begin(to, id, 0x8180, name, asked->type);
	if (strcmp(name, "a.test.") == 0 || strcmp(name, "forged.test.") == 0) {
		if (ipv4)
			plain_record(to, 1, name, 1, 60, (uint8_t[]){192, 0, 2, 1}, 4);
	} else if (strcmp(name, "long.test.") == 0) {
		if (tcp)
			add_many(to, name);
		else
			to->data[2] |= 2;
	} else if (strcmp(name, "alias.test.") == 0) {
		plain_alias(to, name, 60, "half.test");
		if (ipv4) {
			plain_alias(to, "half.test", 60, "a.test");
			plain_record(to, 1, "a.test", 1, 60, (uint8_t[]){192, 0, 2, 1}, 4);
		}
	} else if (strcmp(name, "other.test.") == 0) {
		plain_alias(to, name, 60, "a.test");
	} else if (strcmp(name, "half.test.") != 0) {
		to->data[3] |= 3;
		plain_soa(to, "test", 60, 60);
	}
	if (asked->has_edns)
		plain_edns(to, 1232, 0, asked->dnssec);
}

static void send_forgeries(
	const struct server *server, const struct plain_answer *asked, const struct sockaddr_in *to)
{
	struct plain_message message;

	make_answer(&message, asked, asked->id ^ 1, false);
	sendto(server->udp, message.data, message.len, 0, (void *)to, sizeof(*to));
	plain_begin(&message, asked->id, 0x8180, "b.test", asked->type);
	plain_record(&message, 1, "forged.test", 1, 60, (uint8_t[]){6, 6, 6, 6}, 4);
	sendto(server->udp, message.data, message.len, 0, (void *)to, sizeof(*to));
	make_answer(&message, asked, asked->id, false);
	sendto(server->udp, message.data, message.len / 2, 0, (void *)to, sizeof(*to));
}

static void serve_udp(struct server *server)
{
	struct plain_message message;
	struct sockaddr_in from;
	socklen_t size = sizeof(from);
	struct plain_answer asked;
	ssize_t n = recvfrom(server->udp, message.data, sizeof(message.data), 0,
		(struct sockaddr *)&from, &size);

	if (n <= 0)
		return;
	server->asked++;
	if (server->mute || !plain_read(&asked, message.data, (size_t)n))
		return;
	if (strcmp(asked.question, "forged.test.") == 0)
		send_forgeries(server, &asked, &from);
	make_answer(&message, &asked, asked.id, false);
	sendto(server->udp, message.data, message.len, 0, (struct sockaddr *)&from, size);
}

static void serve_tcp(struct server *server)
{
	int fd = accept(server->tcp, nullptr, nullptr);
	struct plain_message message;
	struct plain_answer asked;
	uint8_t head[2];
	ssize_t n;

	server->by_tcp++;
	if (recv(fd, head, 2, MSG_WAITALL) == 2) {
		n = recv(fd, message.data, plain_get_u16(head), MSG_WAITALL);
		if (n > 0 && plain_read(&asked, message.data, (size_t)n)) {
			make_answer(&message, &asked, asked.id, true);
			head[0] = (uint8_t)(message.len >> 8);
			head[1] = (uint8_t)message.len;
			/* In pieces, as a slow network has it. */
			send(fd, head, 1, MSG_NOSIGNAL);
			send(fd, head + 1, 1, MSG_NOSIGNAL);
			send(fd, message.data, message.len, MSG_NOSIGNAL);
		}
	}
	close(fd);
}

static void *serve(void *ctx)
{
	struct server *server = ctx;

	while (!server->stopping) {
		struct pollfd fds[] = {{server->udp, POLLIN, 0}, {server->tcp, POLLIN, 0}};

		poll(fds, 2, 20);
		if (fds[0].revents)
			serve_udp(server);
		if (fds[1].revents)
			serve_tcp(server);
	}
	return nullptr;
}

static void start_server(struct server *server)
{
	*server = (struct server){};
	server->port = bind_both(&server->udp, &server->tcp);
	assert_int_equal(pthread_create(&server->thread, nullptr, serve, server), 0);
}

static void stop_server(struct server *server)
{
	server->stopping = true;
	pthread_join(server->thread, nullptr);
	close(server->udp);
	close(server->tcp);
}

/* ---- the resolver ---- */

struct world {
	struct server server;
	struct qe_dns *dns;
	unsigned port; /* that of this host's side; members have members_port */
	unsigned members_port;
	int bell[2];
	char mark[16]; /* a node that only the latest settings know */
};

static void wake(void *ctx)
{
	struct world *world = ctx;

	(void)!write(world->bell[1], "", 1);
}

static void configure(struct world *world, const struct qe_endpoint *upstream, size_t n)
{
	static const struct qe_addr addrs[] = {
		{QE_FAMILY_IPV4, {100, 64, 0, 1}}, {QE_FAMILY_IPV6, {0xfd, 0x64, [15] = 1}}};
	static unsigned times;
	const struct qe_dns_node nodes[] = {{"laptop", addrs, 2}, {world->mark, addrs, 1}};
	struct qe_dns_settings settings = {.network = "quicether", .nodes = nodes, .n_nodes = 2};

	snprintf(world->mark, sizeof(world->mark), "mark%u", times++);

	memcpy(settings.upstream, upstream, n * sizeof(*upstream));
	memcpy(settings.members_upstream, upstream, n * sizeof(*upstream));
	settings.n_upstream = settings.n_members_upstream = n;
	settings.exit_addrs[0] = addrs[0];
	settings.n_exit_addrs = 1;
	assert_int_equal(qe_dns_configure(world->dns, &settings), QE_OK);
}

static int setup(void **state)
{
	static struct world world;
	struct qe_endpoint upstream;
	int udp, tcp;

	start_server(&world.server);
	assert_int_equal(pipe(world.bell), 0);
	assert_int_equal(qe_dns_new(&world.dns, wake, &world), QE_OK);
	upstream = endpoint(world.server.port);
	configure(&world, &upstream, 1);
	world.port = bind_both(&udp, &tcp);
	assert_int_equal(qe_dns_listen(world.dns, udp, tcp, false), QE_OK);
	world.members_port = bind_both(&udp, &tcp);
	assert_int_equal(qe_dns_listen(world.dns, udp, tcp, true), QE_OK);
	assert_int_equal(qe_dns_start(world.dns), QE_OK);
	*state = &world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	qe_dns_free(world->dns);
	stop_server(&world->server);
	close(world->bell[0]);
	close(world->bell[1]);
	return 0;
}

static int connect_client(unsigned port, int kind)
{
	struct sockaddr_in address = loopback(port);
	struct timeval patience = {.tv_sec = 20};
	int fd = socket(AF_INET, kind, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static struct plain_message answer_bytes;

static void ask(struct plain_answer *ret_answer, unsigned port, const char *name, unsigned type)
{
	int fd = connect_client(port, SOCK_DGRAM);
	unsigned id = (unsigned)random_below(65536);
	struct plain_message question;
	ssize_t n;

	plain_begin(&question, id, 0x0100, name, type);
	assert_int_equal(send(fd, question.data, question.len, 0), question.len);
	n = recv(fd, answer_bytes.data, sizeof(answer_bytes.data), 0);
	assert_true(n > 0);
	assert_true(plain_read(ret_answer, answer_bytes.data, (size_t)n));
	assert_int_equal(ret_answer->id, id);
	assert_string_equal(ret_answer->question, name);
	close(fd);
}

/* And waits until it holds. */
static void reconfigure(struct world *world, const struct qe_endpoint *upstream, size_t n)
{
	struct plain_answer answer;
	char name[64];

	configure(world, upstream, n);
	snprintf(name, sizeof(name), "%s.quicether.internal.", world->mark);
	do
		ask(&answer, world->port, name, 1);
	while (answer.rcode != 0);
}

static void read_stream(int fd, struct plain_answer *ret_answer)
{
	uint8_t head[2];
	ssize_t n;

	assert_int_equal(recv(fd, head, 2, MSG_WAITALL), 2);
	n = recv(fd, answer_bytes.data, plain_get_u16(head), MSG_WAITALL);
	assert_int_equal(n, plain_get_u16(head));
	assert_true(plain_read(ret_answer, answer_bytes.data, (size_t)n));
}

static void send_stream(int fd, unsigned id, const char *name, unsigned type)
{
	struct plain_message question;
	uint8_t head[2];

	plain_begin(&question, id, 0x0100, name, type);
	head[0] = 0;
	head[1] = (uint8_t)question.len;
	assert_int_equal(send(fd, head, 2, MSG_NOSIGNAL), 2);
	assert_int_equal(send(fd, question.data, question.len, MSG_NOSIGNAL), question.len);
}

/* ---- tests ---- */

static void test_own(void **state)
{
	struct world *world = *state;
	struct plain_answer answer;

	ask(&answer, world->port, "Laptop.QuicEther.internal.", 1);
	assert_int_equal(answer.rcode, 0);
	assert_int_equal(answer.n_rrs, 1);
	assert_memory_equal(answer.rrs[0].data, ((uint8_t[]){100, 64, 0, 1}), 4);
	ask(&answer, world->port, "1.0.64.100.in-addr.arpa.", 12);
	assert_int_equal(answer.n_rrs, 1);
	assert_int_equal(answer.rrs[0].type, 12);
	ask(&answer, world->port, "nobody.quicether.internal.", 1);
	assert_int_equal(answer.rcode, 3);
	ask(&answer, world->members_port, "exit-address.quicether.internal.", 1);
	assert_int_equal(answer.n_rrs, 1);
	ask(&answer, world->port, "exit-address.quicether.internal.", 1);
	assert_int_equal(answer.rcode, 3);
	assert_int_equal(world->server.asked, 0);
}

static void test_forwarded(void **state)
{
	struct world *world = *state;
	struct plain_answer answer;
	unsigned asked = world->server.asked;

	for (unsigned i = 0; i < 3; i++) {
		ask(&answer, world->port, "a.test.", 1);
		assert_int_equal(answer.rcode, 0);
		assert_int_equal(answer.n_rrs, 1);
		assert_int_equal(answer.rrs[0].data[3], 1);
	}
	assert_int_equal(world->server.asked, asked + 1);
	ask(&answer, world->port, "none.test.", 1);
	assert_int_equal(answer.rcode, 3);
	ask(&answer, world->members_port, "a.test.", 1);
	assert_int_equal(answer.n_rrs, 1);
	assert_int_equal(world->server.asked, asked + 3);
}

static void test_forged(void **state)
{
	struct world *world = *state;
	struct qe_dns_counts counts;
	struct plain_answer answer;

	ask(&answer, world->port, "forged.test.", 1);
	assert_int_equal(answer.n_rrs, 1);
	assert_memory_equal(answer.rrs[0].data, ((uint8_t[]){192, 0, 2, 1}), 4);
	ask(&answer, world->port, "forged.test.", 1);
	assert_memory_equal(answer.rrs[0].data, ((uint8_t[]){192, 0, 2, 1}), 4);
	ask(&answer, world->port, "b.test.", 1);
	assert_int_equal(answer.rcode, 3);
	do
		qe_dns_count(world->dns, false, &counts);
	while (counts.ignored < 3);
	assert_int_equal(counts.ignored, 3);
}

static void test_long(void **state)
{
	struct world *world = *state;
	struct plain_answer answer;
	int fd = connect_client(world->port, SOCK_STREAM);

	ask(&answer, world->port, "long.test.", 1);
	assert_true(answer.flags & 0x0200);
	assert_int_equal(answer.n_rrs, 0);
	assert_int_equal(world->server.by_tcp, 1);
	/* Two at once, as the C library sends them. */
	send_stream(fd, 7, "long.test.", 1);
	send_stream(fd, 8, "laptop.quicether.internal.", 28);
	read_stream(fd, &answer);
	assert_int_equal(answer.id, 7);
	assert_int_equal(answer.n_rrs, 100);
	read_stream(fd, &answer);
	assert_int_equal(answer.id, 8);
	assert_int_equal(answer.n_rrs, 1);
	close(fd);
}

/* More connections than there are places: the oldest go, the newest are served. */
static void test_many_connections(void **state)
{
	struct world *world = *state;
	struct plain_answer answer;
	int fds[80];

	for (unsigned i = 0; i < 80; i++) {
		fds[i] = connect_client(world->port, SOCK_STREAM);
		if (i % 3 == 0)
			assert_int_equal(send(fds[i], "\0", 1, MSG_NOSIGNAL), 1);
	}
	send_stream(fds[79], 1, "laptop.quicether.internal.", 1);
	read_stream(fds[79], &answer);
	assert_int_equal(answer.n_rrs, 1);
	assert_int_equal(recv(fds[1], answer_bytes.data, 1, 0), 0);
	for (unsigned i = 0; i < 80; i++)
		close(fds[i]);
}

/* The first server says nothing, then is asked last. */
static void test_server_down(void **state)
{
	struct world *world = *state;
	struct qe_endpoint upstream[2];
	struct plain_answer answer;
	struct server mute;

	start_server(&mute);
	mute.mute = true;
	upstream[0] = endpoint(mute.port);
	upstream[1] = endpoint(world->server.port);
	reconfigure(world, upstream, 2);
	ask(&answer, world->port, "a.test.", 1);
	assert_int_equal(answer.n_rrs, 1);
	assert_int_equal(mute.asked, 1);
	ask(&answer, world->port, "c.test.", 1);
	assert_int_equal(answer.rcode, 3);
	assert_int_equal(mute.asked, 1);
	stop_server(&mute);
	/* And now nobody is there, which is told at once, and forgotten when it changes. */
	reconfigure(world, upstream, 1);
	ask(&answer, world->port, "a.test.", 1);
	assert_int_equal(answer.rcode, 2);
	reconfigure(world, upstream + 1, 1);
	ask(&answer, world->port, "a.test.", 1);
	assert_int_equal(answer.rcode, 0);
}

/* A storm of one member is dropped, and the host's side does not feel it. */
static void test_storm(void **state)
{
	struct world *world = *state;
	int fd = connect_client(world->members_port, SOCK_DGRAM);
	struct qe_dns_counts counts;
	struct plain_message question;
	struct plain_answer answer;
	char name[32];

	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "x%u.test", i);
		plain_begin(&question, i, 0x0100, name, 1);
		send(fd, question.data, question.len, 0);
	}
	ask(&answer, world->port, "a.test.", 1);
	assert_int_equal(answer.rcode, 0);
	do
		qe_dns_count(world->dns, true, &counts);
	while (counts.dropped == 0);
	assert_true(counts.forwarded + counts.own < 1000);
	close(fd);
}

static void await(struct world *world, struct qe_resolved *ret_resolved)
{
	struct pollfd bell = {world->bell[0], POLLIN, 0};
	char ring;

	assert_int_equal(poll(&bell, 1, 20000), 1);
	assert_int_equal(read(world->bell[0], &ring, 1), 1);
	assert_true(qe_dns_take_lookup(world->dns, ret_resolved));
}

static void test_lookup(void **state)
{
	static const char *const names[] = {"a.test", "alias.test", "other.test"};
	struct world *world = *state;
	const struct qe_endpoint servers[] = {endpoint(1), endpoint(world->server.port)};
	struct qe_resolved resolved;
	int sockets[2];

	for (unsigned i = 0; i < 3; i++) {
		for (unsigned j = 0; j < 2; j++)
			sockets[j] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
		assert_int_equal(qe_dns_lookup(world->dns, i, names[i], 7844, servers,
					 i == 0 ? nullptr : sockets, 2),
			QE_OK);
		if (i == 0) {
			close(sockets[0]);
			close(sockets[1]);
		}
		await(world, &resolved);
		assert_int_equal(resolved.cookie, i);
		assert_string_equal(resolved.host, names[i]);
		assert_int_equal(resolved.n, 1);
		assert_int_equal(resolved.endpoints[0].port, 7844);
		assert_memory_equal(
			resolved.endpoints[0].addr.bytes, ((uint8_t[]){192, 0, 2, 1}), 4);
	}
	assert_int_equal(
		qe_dns_lookup(world->dns, 9, "none.test", 1, servers + 1, nullptr, 1), QE_OK);
	await(world, &resolved);
	assert_int_equal(resolved.n, 0);
	assert_string_equal(resolved.error, "there is no such name");
	assert_int_equal(qe_dns_lookup(world->dns, 9, "a.test", 1, servers, nullptr, 1), QE_OK);
	await(world, &resolved);
	assert_string_equal(resolved.error, "no name server answers");
	assert_int_equal(
		qe_dns_lookup(world->dns, 9, "no name", 1, servers, nullptr, 1), QE_ERR_SYNTAX);
	assert_int_equal(
		qe_dns_lookup(world->dns, 9, "a.test", 1, servers, nullptr, 0), QE_ERR_RANGE);
}

static void test_unlisten(void **state)
{
	struct world *world = *state;
	int udp, tcp, fd = connect_client(world->port, SOCK_STREAM);
	struct plain_answer answer;

	assert_int_equal(qe_dns_unlisten(world->dns, false), QE_OK);
	assert_true(recv(fd, answer_bytes.data, 1, 0) <= 0);
	close(fd);
	world->port = bind_both(&udp, &tcp);
	assert_int_equal(qe_dns_listen(world->dns, udp, tcp, false), QE_OK);
	ask(&answer, world->port, "a.test.", 1);
	assert_int_equal(answer.rcode, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_forwarded),
		cmocka_unit_test(test_forged),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_many_connections),
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_unlisten),
		cmocka_unit_test(test_server_down),
		cmocka_unit_test(test_storm),
	};

	random_setup(nullptr);
	return cmocka_run_group_tests(tests, setup, teardown);
}
