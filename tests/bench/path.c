/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * One direction of a path that is long, narrow or bad. A router gives to a queue of netfilter what
 * it would forward; this program says of each packet when it goes on, and whether it does.
 *
 *   path QUEUE [delay=US] [loss=PPM] [late=PPM] [late_by=US] [rate=KBIT] [limit=BYTES] [seed=N]
 *
 * A packet waits until those before it have left at the rate, and is dropped if they are more bytes
 * than the limit; is lost with one chance; is late, which lets others overtake it, with another;
 * and takes the delay. A rate counts IP packets, without Ethernet's part. The same seed loses the
 * same packets of the same sequence.
 *
 * Of a packet only the length is read; it stays in the kernel, which finds it fastest when verdicts
 * come in the order of the queue: so a lost one is dropped when it would have gone on. Arrivals and
 * verdicts are handled in batches, a batch every TICK at most, so the delay is exact to about that.
 *
 * It says "ready"; and what it counted on SIGUSR1 and at the end (SIGTERM).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "../tool.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/pool.h"

constexpr qe_time TICK = 100 * QE_MICROSECOND;
constexpr size_t HELD_MAX = 262'144; /* packets on the way */
constexpr unsigned BATCH = 64;
constexpr int SOCKET_BUFFER = 256 * 1024 * 1024;
constexpr uint32_t IP_HEADER = 20; /* what the kernel copies to us */
constexpr uint64_t MILLION = 1'000'000;

struct held {
	struct qe_timer timer;
	uint32_t id; /* as the kernel counts them, in network byte order */
	bool lost;
};

/* ---- messages ---- */

struct head {
	struct nlmsghdr netlink;
	struct nfgenmsg netfilter;
};

/* A request with one attribute; all values that are used take at most 8 bytes. */
struct request {
	struct head head;
	struct nlattr attribute;
	uint8_t value[8];
};

struct reply {
	_Alignas(struct nlmsghdr) uint8_t bytes[512];
};

enum option { DELAY, LOSS, LATE, LATE_BY, RATE, LIMIT, SEED, N_OPTIONS };

static const struct {
	const char *name;
	uint64_t initial, max;
} options[N_OPTIONS] = {
	[DELAY] = {"delay", 0, 10 * MILLION},
	[LOSS] = {"loss", 0, MILLION},
	[LATE] = {"late", 0, MILLION},
	[LATE_BY] = {"late_by", 1000, 10 * MILLION},
	[RATE] = {"rate", 0, 100 * MILLION}, /* 0: none */
	[LIMIT] = {"limit", MILLION, 1000 * MILLION},
	[SEED] = {"seed", 1, UINT32_MAX},
};

static struct {
	uint64_t options[N_OPTIONS];
	uint16_t queue; /* in network byte order */
	int fd;
	uint64_t random;
	qe_time free_at;  /* when the bottleneck has sent all that it holds */
	qe_time last_due; /* not counting what is late */
	struct qe_pool *packets;
	struct qe_heap held;
	struct request verdicts[BATCH];
	unsigned n_verdicts;
	/* All that came; each of them is held, or is counted as one of the four. */
	uint64_t arrived, passed, lost, dropped, unheld;
	uint64_t late;
} path;

static volatile sig_atomic_t ended, asked;

static struct timespec to_timespec(qe_time time)
{
	return (struct timespec){(time_t)(time / QE_SECOND), (long)(time % QE_SECOND)};
}

static struct request make_request(
	uint16_t type, uint16_t flags, uint16_t attribute, const void *value, size_t size)
{
	struct request request = {
		.head.netlink = {.nlmsg_len = (uint32_t)(offsetof(struct request, value) +
							 NLMSG_ALIGN(size)),
			.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type,
			.nlmsg_flags = NLM_F_REQUEST | flags},
		.head.netfilter = {.nfgen_family = AF_UNSPEC,
			.version = NFNETLINK_V0,
			.res_id = path.queue},
		.attribute = {(uint16_t)(NLA_HDRLEN + size), attribute},
	};

	memcpy(request.value, value, size);
	return request;
}

/* ---- the kernel's queue ---- */

static void configure(uint16_t attribute, const void *value, size_t size, const char *what)
{
	struct request request = make_request(NFQNL_MSG_CONFIG, NLM_F_ACK, attribute, value, size);
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		uint8_t rest[512];
	} answer = {};

	must(send(path.fd, &request, request.head.netlink.nlmsg_len, 0) > 0, what);
	must(recv(path.fd, &answer, sizeof(answer), 0) >= (ssize_t)offsetof(typeof(answer), rest),
		what);
	errno = -answer.error.error;
	must(answer.head.nlmsg_type == NLMSG_ERROR && answer.error.error == 0, what);
}

static void open_queue(void)
{
	struct nfqnl_msg_config_cmd bind_it = {.command = NFQNL_CFG_CMD_BIND};
	struct nfqnl_msg_config_params copy = {htonl(IP_HEADER), NFQNL_COPY_PACKET};
	uint32_t length = htonl(HELD_MAX);
	int size = SOCKET_BUFFER;

	path.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	must(path.fd >= 0, "socket");
	must(setsockopt(path.fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) == 0,
		"SO_RCVBUFFORCE");
	configure(NFQA_CFG_CMD, &bind_it, sizeof(bind_it), "queue");
	configure(NFQA_CFG_PARAMS, &copy, sizeof(copy), "copied length");
	configure(NFQA_CFG_QUEUE_MAXLEN, &length, sizeof(length), "queue length");
}

static void send_verdicts(void)
{
	size_t size = path.n_verdicts * sizeof(struct request);

	if (path.n_verdicts > 0)
		must(send(path.fd, path.verdicts, size, 0) == (ssize_t)size, "verdicts");
	path.n_verdicts = 0;
}

static void decide(uint32_t id, bool accept)
{
	struct nfqnl_msg_verdict_hdr verdict = {htonl(accept ? NF_ACCEPT : NF_DROP), id};

	path.verdicts[path.n_verdicts++] = make_request(
		NFQNL_MSG_VERDICT, 0, NFQA_VERDICT_HDR, &verdict, sizeof(verdict));
	if (path.n_verdicts == BATCH)
		send_verdicts();
}

/* ---- the path ---- */

/* xorshift64*; true with that chance in a million. */
static bool chance(uint64_t of_a_million)
{
	path.random ^= path.random >> 12;
	path.random ^= path.random << 25;
	path.random ^= path.random >> 27;
	return ((path.random * 0x2545f4914f6cdd1d) >> 32) % MILLION < of_a_million;
}

/* Returns when the bottleneck has sent the packet; never, if there is no room in front of it. */
static qe_time pass_bottleneck(uint32_t len, qe_time at)
{
	uint64_t rate = path.options[RATE]; /* in bits per ms */
	qe_time wait = qe_time_since(at, path.free_at);

	if (rate == 0)
		return at;
	if (wait * rate / (8 * QE_MILLISECOND) + len > path.options[LIMIT])
		return QE_TIME_NEVER;
	path.free_at = qe_time_max(at, path.free_at) + len * 8 * QE_MILLISECOND / rate;
	return path.free_at;
}

static void arrive(uint32_t id, uint32_t len, qe_time at)
{
	bool lost = chance(path.options[LOSS]), late = chance(path.options[LATE]);
	qe_time due = pass_bottleneck(len, at);
	struct held *packet = due == QE_TIME_NEVER ? nullptr : qe_pool_take(path.packets);

	path.arrived++;
	if (packet == nullptr) {
		path.dropped += due == QE_TIME_NEVER;
		path.unheld += due != QE_TIME_NEVER;
		decide(id, false);
		return;
	}
	/* Never two at once: the heap would not keep their order. */
	due += path.options[DELAY] * QE_MICROSECOND;
	due = path.last_due = qe_time_max(due, path.last_due + 1);
	if (late) {
		path.late++;
		due += path.options[LATE_BY] * QE_MICROSECOND;
	}
	*packet = (struct held){.id = id, .lost = lost};
	must(qe_heap_set(&path.held, &packet->timer, due) == QE_OK, "heap");
}

static void release(qe_time at)
{
	struct qe_timer *timer;

	while ((timer = qe_heap_pop(&path.held, at)) != nullptr) {
		struct held *packet = QE_CONTAINER_OF(timer, struct held, timer);

		path.lost += packet->lost;
		path.passed += !packet->lost;
		decide(packet->id, !packet->lost);
		qe_pool_give(path.packets, packet);
	}
	send_verdicts();
}

/* ---- arrivals ---- */

static void take_message(const struct nlmsghdr *message, qe_time at)
{
	const uint8_t *next = (const uint8_t *)message + sizeof(struct head);
	const uint8_t *end = (const uint8_t *)message + message->nlmsg_len;
	struct nfqnl_msg_packet_hdr packet = {};
	struct nlattr attribute;
	uint32_t len = 0;

	if (message->nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return;
	for (; end - next >= NLA_HDRLEN; next += NLA_ALIGN(attribute.nla_len)) {
		memcpy(&attribute, next, sizeof(attribute));
		if (attribute.nla_type == NFQA_PACKET_HDR)
			memcpy(&packet, next + NLA_HDRLEN, sizeof(packet));
		else if (attribute.nla_type == NFQA_CAP_LEN)
			memcpy(&len, next + NLA_HDRLEN, sizeof(len));
	}
	arrive(packet.packet_id, ntohl(len), at);
}

static void take_all(void)
{
	static struct reply replies[BATCH];
	static struct iovec parts[BATCH];
	static struct mmsghdr messages[BATCH];
	int n;

	for (unsigned i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){&replies[i], sizeof(replies[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	do {
		qe_time at = now();

		n = recvmmsg(path.fd, messages, BATCH, MSG_DONTWAIT, nullptr);
		must(n >= 0 || errno == EAGAIN || errno == EINTR, "recvmmsg");
		for (int i = 0; i < n; i++)
			take_message((const struct nlmsghdr *)&replies[i], at);
		release(at);
	} while (n == (int)BATCH);
}

/* ---- life ---- */

static void tell(void)
{
	printf("arrived %llu passed %llu lost %llu dropped %llu late %llu unheld %llu\n",
		(unsigned long long)path.arrived, (unsigned long long)path.passed,
		(unsigned long long)path.lost, (unsigned long long)path.dropped,
		(unsigned long long)path.late, (unsigned long long)path.unheld);
	fflush(stdout);
	asked = false;
}

static void caught(int number)
{
	if (number == SIGUSR1)
		asked = true;
	else
		ended = true;
}

/* Signals come while it waits for packets, and only then. Returns the mask for that. */
static sigset_t set_up_signals(void)
{
	static const int numbers[] = {SIGUSR1, SIGTERM, SIGINT};
	sigset_t blocked, waiting;

	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaddset(&blocked, numbers[i]);
		sigaction(numbers[i], &(struct sigaction){.sa_handler = caught}, nullptr);
	}
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	return waiting;
}

/* A router's queue does not wait for the processor, so neither should this one. */
static void become_prompt(void)
{
	prctl(PR_SET_TIMERSLACK, 1);
	if (sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}) < 0)
		perror("sched_setscheduler");
}

static void run(const sigset_t *waiting)
{
	const struct timespec tick = to_timespec(TICK);
	struct pollfd poll = {path.fd, POLLIN, 0};

	while (!ended) {
		qe_time due = qe_heap_next(&path.held);
		struct timespec left = to_timespec(qe_time_since(now(), due));

		ppoll(&poll, 1, due == QE_TIME_NEVER ? nullptr : &left, waiting);
		take_all();
		if (asked)
			tell();
		nanosleep(&tick, nullptr);
	}
	tell();
}

static bool parse_number(uint64_t *ret_value, const char *text, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value > max)
		return false;
	*ret_value = value;
	return true;
}

static bool parse_option(const char *word)
{
	size_t len = strcspn(word, "=");

	for (unsigned i = 0; i < N_OPTIONS; i++)
		if (strlen(options[i].name) == len && strncmp(word, options[i].name, len) == 0)
			return word[len] == '=' &&
			       parse_number(&path.options[i], word + len + 1, options[i].max);
	return false;
}

static bool parse(int argc, char **argv)
{
	uint64_t queue;

	for (unsigned i = 0; i < N_OPTIONS; i++)
		path.options[i] = options[i].initial;
	if (argc < 2 || !parse_number(&queue, argv[1], UINT16_MAX))
		return false;
	for (int i = 2; i < argc; i++)
		if (!parse_option(argv[i]))
			return false;
	path.queue = htons((uint16_t)queue);
	path.random = path.options[SEED] * 0x9e3779b97f4a7c15 + 1; /* not 0, and not alike */
	return true;
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: path QUEUE [delay=US] [loss=PPM] [late=PPM] [late_by=US] "
				"[rate=KBIT] [limit=BYTES] [seed=N]\n");
		return 2;
	}
	qe_heap_init(&path.held);
	must(qe_pool_new(&path.packets, HELD_MAX, sizeof(struct held)) == QE_OK &&
			qe_heap_reserve(&path.held, HELD_MAX) == QE_OK,
		"memory");
	open_queue();
	become_prompt();
	sigset_t waiting = set_up_signals();

	printf("ready\n");
	fflush(stdout);
	run(&waiting);
	return 0;
}
