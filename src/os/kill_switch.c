/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Routes say where packets go; this table is what holds when they are wrong, or gone. It judges by
 * the interface that a packet leaves by, late among the hooks, when nobody routes it anew any more;
 * never by the address of a peer, which a program could send to as well.
 *
 * What nft does not see is what does not pass the IP stack: ARP, and packet sockets, which take
 * CAP_NET_RAW.
 *
 * Nothing here follows connections, which would cost each packet of the tunnel a look-up, but for
 * the time of a captive portal. So an established connection has no more rights than a new packet:
 * one that began before the table does not outlive it.
 *
 * Replacing: the old table goes and the new one comes in one transaction. The kernel switches all
 * rules over at once.
 */
#include <string.h>

#include "os/kill_switch.h"

#include "net/addr.h"
#include "os/nft_run.h"

#define TABLE "inet quicether_vpn"

/* What of the plan a rule depends on. */
enum fact : uint16_t {
	SYSTEM = 1 << 0, /* all that the host sends is judged, and not only marked programs */
	ALL = 1 << 1,    /* nothing is to leave that no rule lets out */
	PART = 1 << 2,   /* only what is included is to leave by the tunnel alone */
	DNS = 1 << 3,
	ONLY = 1 << 4,
	PORTAL = 1 << 5,
	STRICT = 1 << 6, /* the kill switch is on: either of ALL and PART */
	OWN4 = 1 << 7,   /* the tunnel has addresses of this family */
	OWN6 = 1 << 8,
};

/* Written if all the facts hold. */
struct rule {
	uint16_t facts;
	const char *text; /* NULL stands for those of put_lans */
};

struct chain {
	uint16_t facts;
	const char *head;
	const struct rule *rules;
	size_t n;
};

#define RULES(array) (array), sizeof(array) / sizeof((array)[0])

/* ---- the chains ---- */

/*
 * Every packet of the tunnel passes these twice, inside and outside, so what most packets meet
 * comes first and compares: a look-up in a set takes 70 to 200 ns. nft compares where an anonymous
 * set has one element.
 */

/* A stranger on the same cable who knows the tunnel's address, and sends to it from there, tells by
 * the answers whether it is this host's, and then what connections go through it
 * (CVE-2019-14899). Connection tracking, where it is on, is not to see that either. */
static const struct rule arriving[] = {
	{OWN4, "ip daddr $own4 iifname != $tun iifname != \"lo\" counter drop"},
	{OWN6, "ip6 daddr $own6 iifname != $tun iifname != \"lo\" counter drop"},
};

/* Strict reverse path filtering asks for the way back, which by our rules is the tunnel but for
 * what has the mark; see also net.ipv4.conf.all.src_valid_mark. */
static const struct rule marking[] = {
	{0, "iifname $tun accept"},
	{0, "iifname \"lo\" accept"},
	{0, "fib daddr type local socket mark $beside meta mark set $beside"},
	{PORTAL, "ct mark $beside meta mark set $beside"},
};

/* A program that only the tunnel is for does not use the portal. Each packet is judged anew: once
 * the time is over what has begun ends, too. */
static const struct rule opening[] = {
	{PORTAL, "oifname \"lo\" accept"},
	{PORTAL, "meta mark != $only meta l4proto . th dport @portal meta mark set $beside ct mark "
		 "set $beside"},
};

static const struct rule translating[] = {
	{PORTAL, "oifname { $tun, \"lo\" } accept"},
	{PORTAL | OWN4, "meta mark $beside ip saddr $own4 masquerade"},
	{PORTAL | OWN6, "meta mark $beside ip6 saddr $own6 masquerade"},
};

/* Into the tunnel, as most packets go; names are to be asked there of the plan's servers alone, but
 * by what has the mark, which is accepted before. */
static const struct rule inside[] = {
	{DNS, "th dport 53 meta l4proto { tcp, udp } goto names"},
	{0, "accept"},
};

/* Where the host's own packets may go, and those of others. */
static const struct rule elsewhere[] = {
	{DNS, "th dport 53 meta l4proto { tcp, udp } goto names"},
	{SYSTEM, "oifname $tun accept"},
	{STRICT, "ip daddr @excluded4 accept"},
	{STRICT, "ip6 daddr @excluded6 accept"},
	{STRICT, nullptr},
	{PART, "ip daddr @included4 goto refused"},
	{PART, "ip6 daddr @included6 goto refused"},
	{ALL, "goto refused"},
};

/* Redirects and advertisements are routers', and no business of a host that sends. */
static const struct rule leaving[] = {
	{SYSTEM, "meta mark $beside accept comment \"the tunnel itself, and quicether bypass\""},
	{0, "oifname $tun goto inside"},
	{0, "oifname \"lo\" accept"},
	{ONLY, "meta mark $only goto refused"},
	/* Of such a program's sockets, and late answers to those that are gone. */
	{ONLY | OWN4, "meta mark != $beside ip saddr $own4 goto refused"},
	{ONLY | OWN6, "meta mark != $beside ip6 saddr $own6 goto refused"},
	{ALL, "udp sport 68 udp dport 67 accept comment \"DHCP\""},
	{ALL, "ip6 saddr fe80::/10 ip6 daddr { ff02::1:2, ff05::1:3 } udp sport 546 udp dport 547 "
	      "accept comment \"DHCPv6\""},
	{ALL, "icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert } "
	      "ip6 hoplimit 255 accept comment \"who is on the cable\""},
	{ALL, "icmpv6 type { mld-listener-report, mld-listener-done, mld2-listener-report } "
	      "ip6 hoplimit 1 accept"},
	{0, "goto elsewhere"},
};

/* Containers and virtual machines: their packets are not marked, nor is the way of one to another
 * that of the host. What comes out of the tunnel is the overlay's. */
static const struct rule passing[] = {
	{SYSTEM, "iifname $tun accept"},
	{0, "goto elsewhere"},
};

static const struct rule names[] = {
	{DNS, "oifname $tun ip daddr @servers4 accept"},
	{DNS, "oifname $tun ip6 daddr @servers6 accept"},
	{DNS, "goto refused"},
};

/* Programs fail at once and do not wait. */
static const struct rule refused[] = {
	{0, "meta l4proto tcp counter reject with tcp reset"},
	{0, "counter reject with icmpx admin-prohibited"},
};

static const struct chain chains[] = {
	{0, "chain refused {", RULES(refused)},
	{DNS, "chain names {", RULES(names)},
	{0, "chain inside {", RULES(inside)},
	{0, "chain elsewhere {", RULES(elsewhere)},
	{0, "chain arriving {\n\t\ttype filter hook prerouting priority raw; policy accept;",
		RULES(arriving)},
	{SYSTEM, "chain marking {\n\t\ttype filter hook prerouting priority mangle; policy accept;",
		RULES(marking)},
	{PORTAL, "chain opening {\n\t\ttype route hook output priority mangle; policy accept;",
		RULES(opening)},
	{0, "chain leaving {\n\t\ttype filter hook output priority 200; policy $otherwise;",
		RULES(leaving)},
	{SYSTEM, "chain passing {\n\t\ttype filter hook forward priority 200; policy $otherwise;",
		RULES(passing)},
	{PORTAL,
		"chain translating {\n\t\ttype nat hook postrouting priority srcnat; policy "
		"accept;",
		RULES(translating)},
};

static uint16_t find_facts(const struct qe_vpn_plan *plan)
{
	uint16_t facts = 0;

	for (size_t i = 0; i < plan->n_addresses; i++)
		facts |= plan->addresses[i].family == QE_FAMILY_IPV4 ? OWN4 : OWN6;
	if (plan->only)
		facts |= ONLY;
	if (!plan->system)
		return facts;
	facts |= SYSTEM;
	if (plan->kill_switch)
		facts |= STRICT | (plan->n_include > 0 ? PART : ALL);
	if (plan->dns)
		facts |= DNS;
	if (plan->portal_seconds > 0)
		facts |= PORTAL;
	return facts;
}

/* ---- writing ---- */

static const char *family_word(const struct qe_addr *addr)
{
	return addr->family == QE_FAMILY_IPV4 ? "ip" : "ip6";
}

/* The last comma is nft's to bear. */
static void put_own(FILE *to, enum qe_family family, const struct qe_vpn_plan *plan)
{
	char text[QE_ADDR_TEXT_SIZE];

	fprintf(to, "define own%c = {", family == QE_FAMILY_IPV4 ? '4' : '6');
	for (size_t i = 0; i < plan->n_addresses; i++) {
		if (plan->addresses[i].family != family)
			continue;
		qe_addr_format(text, &plan->addresses[i]);
		fprintf(to, " %s,", text);
	}
	fputs(" }\n", to);
}

static void put_servers(FILE *to, const struct qe_vpn_plan *plan)
{
	struct qe_prefix prefixes[QE_VPN_SERVERS_MAX];

	for (size_t i = 0; i < plan->n_servers; i++)
		prefixes[i] = qe_prefix_host(&plan->servers[i]);
	qe_nft_put_sets(to, "servers", prefixes, plan->n_servers);
}

/* Its time ends it without anybody. */
static void put_portal(FILE *to, unsigned seconds)
{
	static const char *const ports[] = {"tcp . 53", "udp . 53", "tcp . 80", "tcp . 443"};

	fputs("\tset portal { type inet_proto . inet_service; flags timeout; elements = {", to);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		fprintf(to, "%s %s timeout %us", i > 0 ? "," : "", ports[i], seconds);
	fputs(" }; }\n", to);
}

/* 239.255.255.250 is what devices are found by (SSDP), though its scope is wider than the link. */
static void put_multicast(FILE *to, const char *interface)
{
	fprintf(to,
		"\t\toifname \"%s\" ip daddr { 224.0.0.0/24, 239.255.255.250, 255.255.255.255 } "
		"accept\n"
		"\t\toifname \"%s\" ip6 daddr ff02::/16 accept\n",
		interface, interface);
}

static bool is_first_of_interface(const struct qe_vpn_plan *plan, size_t at)
{
	for (size_t i = 0; i < at; i++) {
		if (strcmp(plan->lan[i].interface, plan->lan[at].interface) == 0)
			return false;
	}
	return true;
}

static void put_lans(FILE *to, const struct qe_vpn_plan *plan)
{
	char text[QE_PREFIX_TEXT_SIZE];

	for (size_t i = 0; i < plan->n_lan; i++) {
		const struct qe_vpn_lan *lan = &plan->lan[i];

		qe_prefix_format(text, &lan->prefix);
		fprintf(to, "\t\toifname \"%s\" %s daddr %s accept\n", lan->interface,
			family_word(&lan->prefix.addr), text);
		if (plan->multicast && is_first_of_interface(plan, i))
			put_multicast(to, lan->interface);
	}
}

static void put_chain(
	FILE *to, const struct chain *chain, uint16_t facts, const struct qe_vpn_plan *plan)
{
	fprintf(to, "\t%s\n", chain->head);
	for (size_t i = 0; i < chain->n; i++) {
		const struct rule *rule = &chain->rules[i];

		if ((rule->facts & facts) != rule->facts)
			continue;
		if (rule->text)
			fprintf(to, "\t\t%s\n", rule->text);
		else
			put_lans(to, plan);
	}
	fputs("\t}\n", to);
}

void qe_kill_switch_write(FILE *to, const char *tun, const struct qe_vpn_plan *plan)
{
	uint16_t facts = find_facts(plan);

	fprintf(to,
		"define tun = \"%s\"\n"
		"define beside = %u\n"
		"define only = %u\n"
		"define otherwise = \"%s\"\n",
		tun, QE_VPN_MARK, QE_VPN_ONLY_MARK, facts & ALL ? "drop" : "accept");
	if (facts & OWN4)
		put_own(to, QE_FAMILY_IPV4, plan);
	if (facts & OWN6)
		put_own(to, QE_FAMILY_IPV6, plan);
	fprintf(to,
		"table " TABLE "\n"
		"delete table " TABLE "\n"
		"table " TABLE " {\n"
		"\tcomment \"quicether: VPN mode by way of %s\"\n",
		tun);
	put_servers(to, plan);
	qe_nft_put_sets(to, "excluded", plan->exclude, plan->n_exclude);
	qe_nft_put_sets(to, "included", plan->include, plan->n_include);
	if (facts & PORTAL)
		put_portal(to, plan->portal_seconds);
	for (size_t i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		if ((chains[i].facts & facts) == chains[i].facts)
			put_chain(to, &chains[i], facts, plan);
	}
	fputs("}\n", to);
}

/* ---- the table ---- */

static enum qe_error check_names(
	const char *tun, const struct qe_vpn_plan *plan, struct qe_text *why)
{
	const char *bad = qe_nft_is_plain(tun) ? nullptr : tun;

	for (size_t i = 0; i < plan->n_lan && !bad; i++) {
		if (!qe_nft_is_plain(plan->lan[i].interface))
			bad = plan->lan[i].interface;
	}
	if (!bad)
		return QE_OK;
	qe_text_add(why, "no rule can name interface ");
	qe_text_add_printable(why, bad);
	return QE_ERR_RANGE;
}

enum qe_error qe_kill_switch_set(
	const char *tun, const struct qe_vpn_plan *plan, struct qe_text *why)
{
	FILE *script;

	QE_TRY(check_names(tun, plan, why));
	QE_TRY(qe_nft_begin(&script, why));
	qe_kill_switch_write(script, tun, plan);
	return qe_nft_commit(script, nullptr, 0, why);
}

enum qe_error qe_kill_switch_remove(struct qe_text *why)
{
	FILE *script;

	QE_TRY(qe_nft_begin(&script, why));
	fputs("table " TABLE "\ndelete table " TABLE "\n", script);
	return qe_nft_commit(script, nullptr, 0, why);
}

enum qe_error qe_kill_switch_exists(bool *ret_exists, struct qe_text *why)
{
	char tables[32768];
	FILE *script;

	QE_TRY(qe_nft_begin(&script, why));
	fputs("list tables inet\n", script);
	QE_TRY(qe_nft_commit(script, tables, sizeof(tables), why));
	*ret_exists = strstr(tables, "table " TABLE "\n");
	return QE_OK;
}
