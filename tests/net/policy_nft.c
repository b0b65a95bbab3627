/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * policy_nft SETS PACKETS
 *
 * Random policies, each also written as rules of nftables, and random packets, judged by both. To
 * be run in a network namespace of its own: packets are written to a TUN device, and the first hook
 * behind it finds their rule, marks them with its number, hands them back through nfnetlink_log and
 * drops them. Which of our packets it was is in its IPv4 identification or its IPv6 flow label.
 *
 * The two know the sender by different means: here it is named, there it is the source address,
 * which each member has of its own. Groups, lists and port ranges are spelled out for nftables, one
 * rule for each object and range. Whole packets and first fragments go through the flow table,
 * which is told each time that the policy is new, and so asks it; later fragments, whose verdict is
 * that of the first, are asked about directly.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/netlink.h>

#include "policy/gate.h"

#include "../tool.h"
#include "../unit/policy_world.h"

#define LOG_GROUP 5
#define TOLD_MAX 256     /* bytes of a packet; none is longer */
#define LATER_MARK 65536 /* of later fragments, while their rule is looked for */

constexpr size_t packets_max = 60000; /* numbers of 16 bits */
constexpr size_t rules_max = 60;
constexpr int patience_ms = 5000;
constexpr int receive_buffer = 32 << 20;

/* ---- the policy for nftables ---- */

static FILE *nft;
static bool first_expression;

static void begin_rule(void)
{
	fputs(",{\"add\":{\"rule\":{\"family\":\"inet\",\"table\":\"policy\",\"chain\":"
	      "\"verdicts\","
	      "\"expr\":[",
		nft);
	first_expression = true;
}

static void next_expression(void)
{
	fputs(first_expression ? "" : ",", nft);
	first_expression = false;
}

static void end_rule(size_t mark)
{
	next_expression();
	fprintf(nft,
		"{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},\"value\":%zu}},"
		"{\"goto\":{\"target\":\"told\"}}]}}}",
		mark);
}

static void begin_match(const char *left)
{
	next_expression();
	fprintf(nft, "{\"match\":{\"op\":\"==\",\"left\":%s,\"right\":", left);
}

static void end_match(void)
{
	fputs("}}", nft);
}

/* The source address by which nftables knows a member, or one that nobody has. */
static struct qe_addr source_of(size_t member, bool ipv4)
{
	uint8_t number = (uint8_t)(member + 1);

	if (ipv4)
		return qe_addr_ipv4((uint8_t[]){172, 16, 0, number});
	return qe_addr_ipv6((uint8_t[16]){0xfd, 0, 0, 5, [15] = number});
}

static void match_address(const char *field, bool ipv4)
{
	char left[80];

	snprintf(left, sizeof(left), "{\"payload\":{\"protocol\":\"%s\",\"field\":\"%s\"}}",
		ipv4 ? "ip" : "ip6", field);
	begin_match(left);
}

/* Whom a rule means as the sender: everybody, or these members. */
struct senders {
	bool everybody, members[WORLD_MEMBERS];
	size_t n;
};

static struct senders find_senders(const struct world *world, const struct qe_policy_rule *rule)
{
	struct senders senders = {};

	for (size_t i = 0; i < rule->n_subjects; i++)
		senders.everybody |= rule->subjects[i].kind == QE_POLICY_ANY;
	for (size_t i = 0; i < world->n_members; i++) {
		senders.members[i] = world_matches_subject(world, rule, world->members[i].slot);
		senders.n += senders.members[i];
	}
	return senders;
}

static void match_senders(const struct senders *senders, bool ipv4)
{
	const char *separator = "{\"set\":[";

	if (senders->everybody)
		return;
	match_address("saddr", ipv4);
	for (size_t i = 0; i < WORLD_MEMBERS; i++) {
		struct qe_addr source = source_of(i, ipv4);
		char text[QE_ADDR_TEXT_SIZE];

		if (!senders->members[i])
			continue;
		qe_addr_format(text, &source);
		fprintf(nft, "%s\"%s\"", separator, text);
		separator = ",";
	}
	fputs("]}", nft);
	end_match();
}

static void match_object(const struct qe_prefix *prefix, bool ipv4)
{
	char text[QE_ADDR_TEXT_SIZE];

	if (prefix->length == 0)
		return;
	qe_addr_format(text, &prefix->addr);
	match_address("daddr", ipv4);
	if (prefix->length == qe_addr_bits(&prefix->addr))
		fprintf(nft, "\"%s\"", text);
	else
		fprintf(nft, "{\"prefix\":{\"addr\":\"%s\",\"len\":%u}}", text, prefix->length);
	end_match();
}

/* Which protocols a rule means; only those with ports if it names some. */
struct protocols {
	bool any, meant[256];
	size_t n;
};

static struct protocols find_protocols(const struct qe_policy_rule *rule, bool ipv4)
{
	struct protocols protocols = {.any = rule->n_protocols == 0};

	for (size_t i = 0; i < rule->n_protocols; i++)
		if (rule->protocols[i] == QE_POLICY_PROTOCOL_ANY)
			protocols.any = true;
		else if (rule->protocols[i] == QE_POLICY_PROTOCOL_ICMP)
			protocols.meant[ipv4 ? 1 : 58] = true;
		else
			protocols.meant[rule->protocols[i]] = true;
	for (size_t i = 0; rule->n_ports > 0 && i < 256; i++)
		protocols.meant[i] = (protocols.any || protocols.meant[i]) && (i == 6 || i == 17);
	protocols.any &= rule->n_ports == 0;
	for (size_t i = 0; i < 256; i++)
		protocols.n += protocols.meant[i];
	return protocols;
}

static void match_protocols(const struct protocols *protocols)
{
	const char *separator = "{\"set\":[";

	if (protocols->any)
		return;
	begin_match("{\"meta\":{\"key\":\"l4proto\"}}");
	for (size_t i = 0; i < 256; i++)
		if (protocols->meant[i]) {
			fprintf(nft, "%s%zu", separator, i);
			separator = ",";
		}
	fputs("]}", nft);
	end_match();
}

/* The kernel's short cut for ports takes them from later fragments, too, which have none. */
static void match_ports(struct qe_policy_ports ports)
{
	begin_match("{\"meta\":{\"key\":\"mark\"}}");
	fputs("0", nft);
	end_match();
	begin_match("{\"payload\":{\"protocol\":\"th\",\"field\":\"dport\"}}");
	if (ports.first == ports.last)
		fprintf(nft, "%u", ports.first);
	else
		fprintf(nft, "{\"range\":[%u,%u]}", ports.first, ports.last);
	end_match();
}

static void mark_later_fragments(const char *matches)
{
	begin_rule();
	fprintf(nft, "%s,{\"mangle\":{\"key\":{\"meta\":{\"key\":\"mark\"}},\"value\":%d}}]}}}",
		matches, LATER_MARK);
}

static void write_rule(const struct world *world, size_t number, const struct qe_prefix *object)
{
	const struct qe_policy_rule *rule = &world->source.rules[number];
	bool ipv4 = object->addr.family == QE_FAMILY_IPV4;
	struct senders senders = find_senders(world, rule);
	struct protocols protocols = find_protocols(rule, ipv4);

	if ((!senders.everybody && senders.n == 0) || (!protocols.any && protocols.n == 0))
		return;
	for (size_t i = 0; i < rule->n_ports || i == 0; i++) {
		begin_rule();
		begin_match("{\"meta\":{\"key\":\"nfproto\"}}");
		fputs(ipv4 ? "\"ipv4\"" : "\"ipv6\"", nft);
		end_match();
		match_senders(&senders, ipv4);
		match_object(object, ipv4);
		match_protocols(&protocols);
		if (rule->n_ports > 0)
			match_ports(rule->ports[i]);
		end_rule(number + 1);
	}
}

/* The overlay address of a node that is no member, if the object means it. */
static void write_stranger(const struct world *world, size_t number,
	const struct qe_policy_term *object, const struct qe_policy_term *node)
{
	struct qe_addr own = qe_node_id_overlay_addr(&node->id);
	struct qe_prefix prefix = qe_prefix_host(&own);

	if (node->kind == QE_POLICY_NODE_ID && !world_member(world, &node->id) &&
		world_means(world, object, &node->id))
		write_rule(world, number, &prefix);
}

static void write_nodes(
	const struct world *world, size_t number, const struct qe_policy_term *object)
{
	for (size_t i = 0; i < world->n_members; i++)
		for (size_t k = 0; k < world->members[i].n_addresses; k++)
			if (world_means(world, object, &world->members[i].id))
				write_rule(world, number, &world->members[i].addresses[k]);
	write_stranger(world, number, object, object);
	for (size_t i = 0; i < world->source.n_groups; i++)
		for (size_t k = 0; k < world->source.groups[i].n_members; k++)
			write_stranger(world, number, object, &world->source.groups[i].members[k]);
}

static void write_object(
	const struct world *world, size_t number, const struct qe_policy_term *object)
{
	static const struct qe_prefix everywhere[] = {
		{.addr.family = QE_FAMILY_IPV4}, {.addr.family = QE_FAMILY_IPV6}};

	switch (object->kind) {
	case QE_POLICY_ANY:
		write_rule(world, number, &everywhere[0]);
		write_rule(world, number, &everywhere[1]);
		break;
	case QE_POLICY_PREFIX:
		write_rule(world, number, &object->prefix);
		break;
	case QE_POLICY_NODE:
	case QE_POLICY_NODE_ID:
	case QE_POLICY_GROUP:
		write_nodes(world, number, object);
		break;
	}
}

static void load(const struct world *world)
{
	nft = popen("nft -j -f -", "w");
	must(nft != nullptr, "nft");
	fputs("{\"nftables\":["
	      "{\"add\":{\"table\":{\"family\":\"inet\",\"name\":\"policy\"}}},"
	      "{\"delete\":{\"table\":{\"family\":\"inet\",\"name\":\"policy\"}}},"
	      "{\"add\":{\"table\":{\"family\":\"inet\",\"name\":\"policy\"}}},"
	      "{\"add\":{\"chain\":{\"family\":\"inet\",\"table\":\"policy\",\"name\":\"told\"}}},"
	      "{\"add\":{\"chain\":{\"family\":\"inet\",\"table\":\"policy\",\"name\":\"verdicts\","
	      "\"type\":\"filter\",\"hook\":\"prerouting\",\"prio\":-500,\"policy\":\"accept\"}}}",
		nft);
	mark_later_fragments("{\"match\":{\"op\":\"!=\",\"left\":{\"&\":[{\"payload\":"
			     "{\"protocol\":\"ip\",\"field\":\"frag-off\"}},8191]},\"right\":0}}");
	mark_later_fragments("{\"match\":{\"op\":\"!=\",\"left\":{\"exthdr\":"
			     "{\"name\":\"frag\",\"field\":\"frag-off\"}},\"right\":0}}");
	for (size_t i = 0; i < world->source.n_rules; i++) {
		const struct qe_policy_rule *rule = &world->source.rules[i];

		for (size_t k = 0; k < rule->n_objects; k++)
			if (qe_policy_schedule_holds(rule->schedule, WORLD_NOW))
				write_object(world, i, &rule->objects[k]);
	}
	begin_rule();
	end_rule(0);
	fprintf(nft,
		",{\"add\":{\"rule\":{\"family\":\"inet\",\"table\":\"policy\",\"chain\":\"told\","
		"\"expr\":[{\"log\":{\"group\":%d,\"snaplen\":%d,\"queue-threshold\":1}},"
		"{\"drop\":null}]}}}]}",
		LOG_GROUP, TOLD_MAX);
	must(pclose(nft) == 0, "nft does not take the rules");
}

/* ---- packets ---- */

struct packet {
	struct qe_policy_packet asked;
	enum { WHOLE, FIRST, LATER } fragment;
	size_t len;
	uint8_t bytes[TOLD_MAX];
};

/* What is taken for an extension header of IPv6, or ends the chain of them. */
static bool is_extension(uint8_t protocol)
{
	static const uint8_t all[] = {0, 43, 44, 50, 51, 59, 60, 135, 139, 140, 253, 254};

	return memchr(all, protocol, sizeof(all)) != nullptr;
}

static size_t write_transport(uint8_t *to, const struct packet *packet)
{
	const struct qe_policy_packet *asked = &packet->asked;
	bool tcp = asked->protocol == 6, udp = asked->protocol == 17;

	random_fill(to, 24);
	if (packet->fragment == LATER)
		return 24;
	if (tcp || udp) {
		qe_store_u16(to, asked->source_port);
		qe_store_u16(to + 2, asked->destination_port);
	}
	if (tcp) {
		to[12] = 5 << 4;
		to[13] = random_below(2) ? 2 : 16; /* SYN or ACK */
	}
	if (udp)
		qe_store_u16(to + 4, 24);
	/* Of ICMP an echo request: errors speak of other packets. */
	if (asked->protocol == 1)
		to[0] = 8;
	if (asked->protocol == 58)
		to[0] = 128;
	return 24;
}

static void write_ipv4(struct packet *packet, uint16_t number)
{
	static const uint16_t fragments[] = {[WHOLE] = 0, [FIRST] = 0x2000, [LATER] = 100};
	uint8_t *bytes = packet->bytes;
	uint32_t sum = 0;

	packet->len = 20 + write_transport(bytes + 20, packet);
	bytes[0] = 0x45;
	qe_store_u16(bytes + 2, (uint16_t)packet->len);
	qe_store_u16(bytes + 4, number);
	qe_store_u16(bytes + 6, fragments[packet->fragment]);
	bytes[8] = 64;
	bytes[9] = packet->asked.protocol;
	memcpy(bytes + 12, packet->asked.source.bytes, 4);
	memcpy(bytes + 16, packet->asked.destination.bytes, 4);
	for (size_t i = 0; i < 20; i += 2)
		sum += qe_load_u16(bytes + i);
	sum = (sum & 0xffff) + (sum >> 16);
	qe_store_u16(bytes + 10, (uint16_t)~(sum + (sum >> 16)));
}

/* An extension header of 8 bytes; *next is where its own number belongs. */
static uint8_t *add_extension(struct packet *packet, uint8_t *next, uint8_t number)
{
	uint8_t *header = packet->bytes + packet->len;

	*next = number;
	memcpy(header, (uint8_t[8]){0, 0, 1, 4}, 8); /* four bytes of padding, as an option */
	packet->len += 8;
	return header;
}

static void write_ipv6(struct packet *packet, uint16_t number)
{
	uint8_t *bytes = packet->bytes, *next = bytes + 6;

	bytes[0] = 0x60;
	qe_store_u16(bytes + 2, number);
	bytes[7] = 64;
	memcpy(bytes + 8, packet->asked.source.bytes, 16);
	memcpy(bytes + 24, packet->asked.destination.bytes, 16);
	packet->len = 40;
	if (random_below(8) == 0)
		next = add_extension(packet, next, 0); /* hop-by-hop options */
	if (packet->fragment != WHOLE) {
		next = add_extension(packet, next, 44);
		qe_store_u16(next + 2, packet->fragment == FIRST ? 1 : 100 << 3);
		qe_store_u16(next + 6, number);
	}
	/* Destination options; a later fragment has none to be seen. */
	for (size_t n = packet->fragment == LATER ? 0 : random_below(8) / 5; n > 0; n--)
		next = add_extension(packet, next, 60);
	*next = packet->asked.protocol;
	packet->len += write_transport(bytes + packet->len, packet);
	qe_store_u16(bytes + 4, (uint16_t)(packet->len - 40));
}

/* What this host takes for its own affair before the first hook is not asked about. */
static bool is_for_the_wire(const struct qe_policy_packet *asked)
{
	const struct qe_addr *to = &asked->destination;

	return !qe_addr_is_multicast(to) && !qe_addr_is_loopback(to) &&
	       !qe_addr_is_unspecified(to) &&
	       (to->family == QE_FAMILY_IPV4 || !is_extension(asked->protocol));
}

/* "::ffff:10.0.0.1" */
static struct qe_addr mapped(struct qe_addr ipv4)
{
	uint8_t bytes[16] = {[10] = 0xff, [11] = 0xff};

	memcpy(bytes + 12, ipv4.bytes, 4);
	return qe_addr_ipv6(bytes);
}

static struct packet make_packet(const struct world *world, uint16_t number)
{
	size_t sender = random_below(world->n_members + 1);
	struct packet packet = {};
	bool stranger = sender == world->n_members;

	do
		packet.asked = world_packet(world);
	while (!is_for_the_wire(&packet.asked));
	if (packet.asked.destination.family == QE_FAMILY_IPV6 && random_below(20) == 0)
		packet.asked.destination = mapped(world_destination(world, true));
	bool ipv4 = packet.asked.destination.family == QE_FAMILY_IPV4;
	bool transport = packet.asked.protocol == 6 || packet.asked.protocol == 17;

	packet.asked.subject = stranger ? QE_PEERS_MAX - 1 : world->members[sender].slot;
	packet.asked.source = source_of(sender, ipv4);
	if (transport && !packet.asked.has_ports)
		packet.fragment = LATER;
	else if (random_below(8) == 0)
		packet.fragment = transport || random_below(2) ? FIRST : LATER;
	if (ipv4)
		write_ipv4(&packet, number);
	else
		write_ipv6(&packet, number);
	return packet;
}

/* ---- our verdict ---- */

static struct qe_policy_result judge(struct qe_gate *gate, const struct qe_policy *policy,
	uint64_t generation, const struct packet *packet)
{
	struct qe_policy_result result;
	struct qe_packet parsed;

	if (packet->fragment == LATER) {
		qe_policy_evaluate(policy, &packet->asked, &result);
		return result;
	}
	struct qe_gate_packet asked = {.packet = &parsed,
		.bytes = {packet->bytes, packet->len},
		.from = packet->asked.subject,
		.to = QE_PEERS_MAX - 2,
		.packets = 1};

	must(qe_packet_parse(&parsed, asked.bytes) == QE_OK, "a packet is none");
	enum qe_action action = qe_gate_check(
		gate, nullptr, policy, generation, &asked, QE_SECOND, &result);
	must(action == result.action, "the flow table says one thing and tells another");
	return result;
}

/* ---- nftables' verdict ---- */

static int open_device(void)
{
	struct ifreq request = {.ifr_name = "policy0"};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK), any = socket(AF_INET, SOCK_DGRAM, 0);

	must(fd >= 0 && any >= 0, "/dev/net/tun");
	request.ifr_flags = IFF_TUN | IFF_NO_PI;
	must(ioctl(fd, TUNSETIFF, &request) == 0, "TUNSETIFF");
	request.ifr_flags = IFF_UP;
	must(ioctl(any, SIOCSIFFLAGS, &request) == 0, "SIOCSIFFLAGS");
	close(any);
	return fd;
}

static int open_log(void)
{
	struct {
		struct nlmsghdr head;
		struct nfgenmsg netfilter;
		struct nlattr attribute;
		struct nfulnl_msg_config_cmd command;
		uint8_t padding[3];
	} bind_group = {
		.head = {.nlmsg_len = sizeof(bind_group) - 3,
			.nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.netfilter = {.version = NFNETLINK_V0, .res_id = htons(LOG_GROUP)},
		.attribute = {sizeof(struct nlattr) + 1, NFULA_CFG_CMD},
		.command = {NFULNL_CFG_CMD_BIND},
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
	} answer = {};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);

	must(fd >= 0, "netlink");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer));
	must(send(fd, &bind_group, sizeof(bind_group), 0) == sizeof(bind_group), "nfnetlink_log");
	must(recv(fd, &answer, sizeof(answer), 0) > 0, "nfnetlink_log");
	errno = -answer.error.error;
	must(answer.error.error == 0, "nfnetlink_log");
	return fd;
}

/* Number of the packet and its mark, from the attributes of a message. */
static bool read_record(const uint8_t *at, size_t len, size_t *ret_number, uint32_t *ret_mark)
{
	bool found = false;

	*ret_mark = 0;
	while (len >= NLA_HDRLEN) {
		struct nlattr attribute;

		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > len)
			break;
		const uint8_t *value = at + NLA_HDRLEN;
		if ((attribute.nla_type & NLA_TYPE_MASK) == NFULA_MARK)
			*ret_mark = qe_load_u32(value);
		if ((attribute.nla_type & NLA_TYPE_MASK) == NFULA_PAYLOAD) {
			*ret_number = qe_load_u16(value + (value[0] >> 4 == 4 ? 4 : 2));
			found = true;
		}
		size_t step = NLA_ALIGN(attribute.nla_len);
		at += step < len ? step : len;
		len -= step < len ? step : len;
	}
	return found;
}

/* Takes what has come; how many verdicts. marks: by number, one more than the rule; UINT32_MAX
 * before. */
static size_t read_marks(int log, uint32_t *marks, size_t n)
{
	static uint8_t buffer[1 << 16];
	struct nlmsghdr *head = (struct nlmsghdr *)(void *)buffer;
	ssize_t len = recv(log, buffer, sizeof(buffer), 0);
	size_t found = 0;

	must(len > 0, "nfnetlink_log");
	for (; NLMSG_OK(head, (size_t)len); head = NLMSG_NEXT(head, len)) {
		size_t number, skip = NLMSG_SPACE(sizeof(struct nfgenmsg));
		uint32_t mark;

		if (head->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET) ||
			!read_record(
				(uint8_t *)head + skip, head->nlmsg_len - skip, &number, &mark) ||
			number >= n || marks[number] != UINT32_MAX)
			continue;
		marks[number] = mark;
		found++;
	}
	return found;
}

/* All packets of a set, a few at a time. */
static void ask_nftables(
	int device, int log, const struct packet *packets, size_t n, uint32_t *marks)
{
	size_t sent = 0, found = 0;

	memset(marks, 0xff, n * sizeof(*marks));
	while (found < n) {
		for (; sent < n && sent < found + 64; sent++)
			must(write(device, packets[sent].bytes, packets[sent].len) ==
					(ssize_t)packets[sent].len,
				"write");
		struct pollfd ready = {.fd = log, .events = POLLIN};
		if (poll(&ready, 1, patience_ms) != 1)
			return;
		found += read_marks(log, marks, n);
	}
}

/* ---- the comparison ---- */

static void explain(size_t set, const struct packet *packet, const struct qe_policy_result *result,
	uint32_t mark)
{
	char source[QE_ADDR_TEXT_SIZE], destination[QE_ADDR_TEXT_SIZE];

	qe_addr_format(source, &packet->asked.source);
	qe_addr_format(destination, &packet->asked.destination);
	printf("set %zu: %s -> %s, protocol %u, port %u%s%s: our rule is %d, that of nftables %d\n",
		set, source, destination, packet->asked.protocol, packet->asked.destination_port,
		packet->fragment == FIRST ? ", first fragment" : "",
		packet->fragment == LATER ? ", later fragment" : "", (int)result->rule,
		mark == UINT32_MAX ? -2 : (int)mark - 1);
}

struct sums {
	size_t packets, allowed, matched, wrong;
};

static void compare_set(int device, int log, size_t set, size_t n, struct sums *sums)
{
	struct qe_gate_settings settings = {.flows_max = 1024, .seed = random_u64()};
	struct packet *packets = calloc(n, sizeof(*packets));
	uint32_t *marks = calloc(n, sizeof(*marks));
	struct qe_gate *gate;
	struct world world;

	must(packets && marks, "calloc");
	must(qe_gate_new(&gate, &settings) == QE_OK, "no flow table");
	world_init(&world, random_below(rules_max));
	struct qe_policy *policy = world_compile(&world);
	load(&world);
	for (size_t i = 0; i < n; i++)
		packets[i] = make_packet(&world, (uint16_t)i);
	ask_nftables(device, log, packets, n, marks);
	for (size_t i = 0; i < n; i++) {
		struct qe_policy_result result = judge(gate, policy, i + 1, &packets[i]);
		bool right = result.rule + 1 == marks[i] &&
			     result.action ==
				     (marks[i] == 0 ? QE_ACTION_DENY
						    : world.source.rules[result.rule].action);

		sums->packets++;
		sums->allowed += result.action == QE_ACTION_ALLOW;
		sums->matched += result.rule != QE_POLICY_NO_RULE;
		sums->wrong += !right;
		if (!right && sums->wrong <= 10)
			explain(set, &packets[i], &result, marks[i]);
	}
	qe_policy_free(policy);
	qe_gate_free(gate);
	world_done(&world);
	free(packets);
	free(marks);
}

int main(int argc, char **argv)
{
	struct sums sums = {};

	if (argc != 3) {
		fputs("usage: policy_nft SETS PACKETS\n", stderr);
		return 2;
	}
	size_t sets = number(argv[1], 1, 1'000'000), packets = number(argv[2], 1, packets_max);
	setvbuf(stdout, nullptr, _IOLBF, 0);
	random_setup(nullptr);
	int device = open_device(), log = open_log();
	for (size_t i = 0; i < sets; i++)
		compare_set(device, log, i, packets, &sums);
	printf("%zu packets: %zu matched a rule, %zu were allowed, %zu disagreements\n",
		sums.packets, sums.matched, sums.allowed, sums.wrong);
	return sums.wrong > 0;
}
