/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The table of a gateway. An exit is a door to the Internet and not to what stands beside it: its
 * peers must not get at the router, printer and metadata service in its own network. That network
 * may be of any addresses, and changes; so what is private anywhere is closed by itself, and the
 * host's networks come from the daemon. What is closed is answered at once.
 *
 * Connections are followed in a zone for each source address of the overlay, for their own
 * direction; in the other all share one, as there is only one set of ports. No peer's packets can
 * belong to another's connection. There is one table of all connections for the whole host, the
 * gateway's own too; so each source address may have a part of it.
 */
#include "os/nft.h"

#include "net/addr.h"
#include "os/nft_run.h"

#define IPV4(length, ...) {{QE_FAMILY_IPV4, {__VA_ARGS__}}, length}
#define IPV6(length, ...) {{QE_FAMILY_IPV6, {__VA_ARGS__}}, length}
#define NAT64(length, ...) IPV6(96 + length, 0, 0x64, 0xff, 0x9b, [12] = __VA_ARGS__)

/* What is not for the Internet: RFC 6890, and the same by way of NAT64 with its well-known prefix,
 * 64:ff9b::/96. */
static const struct qe_prefix private[] = {
	IPV4(8, 0),
	IPV4(8, 10),
	IPV4(10, 100, 64),
	IPV4(8, 127),
	IPV4(16, 169, 254),
	IPV4(32, 168, 63, 129, 16), /* what a virtual machine in Azure asks for its secrets */
	IPV4(12, 172, 16),
	IPV4(24, 192, 0, 0),
	IPV4(16, 192, 168),
	IPV4(15, 198, 18),
	IPV4(3, 224),
	IPV6(96, 0),
	IPV6(96, [10] = 0xff, 0xff),
	NAT64(8, 0),
	NAT64(8, 10),
	NAT64(10, 100, 64),
	NAT64(8, 127),
	NAT64(16, 169, 254),
	NAT64(12, 172, 16),
	NAT64(16, 192, 168),
	NAT64(32, 168, 63, 129, 16),
	IPV6(48, 0, 0x64, 0xff, 0x9b, 0, 1),
	IPV6(16, 0x20, 0x02), /* 6to4, to whatever IPv4 address is in it; RFC 7526 deprecates it */
	IPV6(7, 0xfc),
	IPV6(10, 0xfe, 0x80),
	IPV6(10, 0xfe, 0xc0),
	IPV6(8, 0xff),
};

static const char exit_chains[] =
	"\tchain zones {\n"
	"\t\ttype filter hook prerouting priority raw; policy accept;\n"
	"\t\tiifname != $tun accept\n"
	"\t\tmeta nfproto ipv4 ct original zone set jhash ip saddr mod 65535 seed 0x5145 offset 1\n"
	"\t\tmeta nfproto ipv6 ct original zone set jhash ip6 saddr mod 65535 seed 0x5145 offset "
	"1\n"
	"\t}\n"
	/* To the host itself, of which the tunnel's addresses are what peers speak to. */
	"\tchain arriving {\n"
	"\t\ttype filter hook input priority filter; policy accept;\n"
	"\t\tiifname != $tun accept\n"
	"\t\tct state { established, related } accept\n"
	"\t\tct state new jump counted\n"
	"\t\tfib daddr . iif type local accept\n"
	"\t\tip daddr @named4 accept\n"
	"\t\tip6 daddr @named6 accept\n"
	"\t\tgoto refused\n"
	"\t}\n"
	/* What cannot be followed would leave with an address of the overlay. */
	"\tchain passing {\n"
	"\t\ttype filter hook forward priority filter; policy accept;\n"
	"\t\tct state { established, related } accept\n"
	"\t\tiifname $tun ct state new jump counted\n"
	"\t\tiifname $tun jump outward\n"
	"\t\toifname $tun iifname != $tun jump inward\n"
	"\t}\n"
	"\tchain outward {\n"
	"\t\toifname $tun accept\n"
	"\t\tip daddr @named4 accept\n"
	"\t\tip6 daddr @named6 accept\n"
	"\t\tct state invalid counter drop\n"
	"\t\tip daddr @private4 goto refused\n"
	"\t\tip6 daddr @private6 goto refused\n"
	"\t\tip daddr @networks4 goto refused\n"
	"\t\tip6 daddr @networks6 goto refused\n"
	"\t\tfib daddr type != unicast goto refused\n"
	"\t}\n"
	"\tchain inward {\n"
	"\t\tip saddr @named4 accept\n"
	"\t\tip6 saddr @named6 accept\n"
	"\t\tcounter drop\n"
	"\t}\n"
	"\tset followed4 { type ipv4_addr; flags dynamic; size 65535; }\n"
	"\tset followed6 { type ipv6_addr; flags dynamic; size 65535; }\n"
	"\tchain counted {\n"
	"\t\tadd @followed4 { ip saddr ct count over 4096 } counter drop\n"
	"\t\tadd @followed6 { ip6 saddr ct count over 4096 } counter drop\n"
	"\t}\n"
	"\tchain refused {\n"
	"\t\tmeta l4proto tcp counter reject with tcp reset\n"
	"\t\tcounter reject with icmpx admin-prohibited\n"
	"\t}\n";

/* ---- what peers get at ---- */

static void put_exit(FILE *to, const struct qe_nft_gateway *gateway)
{
	qe_nft_put_sets(to, "named", gateway->named, gateway->n_named);
	qe_nft_put_sets(to, "networks", gateway->networks, gateway->n_networks);
	qe_nft_put_sets(to, "private", private, sizeof(private) / sizeof(private[0]));
	fputs(exit_chains, to);
}

bool qe_nft_is_private(const struct qe_prefix *prefix)
{
	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		if (qe_prefix_covers(&private[i], prefix))
			return true;
	}
	return false;
}

/* ---- translation ---- */

/* A prefix of length 0 stands for its family. */
static void put_masquerade(FILE *to, const struct qe_prefix *prefix)
{
	bool ipv4 = prefix->addr.family == QE_FAMILY_IPV4;
	char text[QE_PREFIX_TEXT_SIZE];

	qe_prefix_format(text, prefix);
	if (prefix->length == 0)
		fprintf(to, "\t\tmeta nfproto %s", ipv4 ? "ipv4" : "ipv6");
	else
		fprintf(to, "\t\t%s daddr %s", ipv4 ? "ip" : "ip6", text);
	fputs(" masquerade\n", to);
}

static void put_translation(FILE *to, const struct qe_nft_gateway *gateway)
{
	fputs("\tchain postrouting {\n"
	      "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
	      "\t\tiifname != $tun accept\n"
	      "\t\toifname $tun accept\n",
		to);
	for (size_t i = 0; i < gateway->n_masquerade; i++)
		put_masquerade(to, &gateway->masquerade[i]);
	if (gateway->exit)
		fputs("\t\tip daddr != @named4 masquerade\n"
		      "\t\tip6 daddr != @named6 masquerade\n",
			to);
	fputs("\t}\n", to);
}

/* ---- the table ---- */

static void put_transaction(FILE *to, const char *interface, const struct qe_nft_gateway *gateway)
{
	fprintf(to,
		"define tun = \"%s\"\n"
		"table inet quicether_%s\n"
		"delete table inet quicether_%s\n",
		interface, interface, interface);
	if (!gateway || (!gateway->exit && gateway->n_masquerade == 0))
		return;
	fprintf(to, "table inet quicether_%s {\n\tcomment \"quicether: gateway\"\n", interface);
	if (gateway->exit)
		put_exit(to, gateway);
	put_translation(to, gateway);
	fputs("}\n", to);
}

enum qe_error qe_nft_check_gateway(const char *interface, struct qe_text *why)
{
	if (qe_nft_is_plain(interface))
		return QE_OK;
	qe_text_addf(why, "no table can be named after interface \"%s\"", interface);
	return QE_ERR_RANGE;
}

enum qe_error qe_nft_set_gateway(
	const char *interface, const struct qe_nft_gateway *gateway, struct qe_text *why)
{
	FILE *script;

	QE_TRY(qe_nft_check_gateway(interface, why));
	QE_TRY(qe_nft_begin(&script, why));
	put_transaction(script, interface, gateway);
	return qe_nft_commit(script, nullptr, 0, why);
}
