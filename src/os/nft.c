/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The table of a gateway. An exit is a door to the Internet and not to what stands beside it: its
 * peers must not get at the router, printer and metadata service in its own network. That network
 * may be of any addresses, and changes; so what is private anywhere is closed by itself, and the
 * host's networks come from the daemon. What is closed is answered at once.
 *
 * Connections are followed in a zone for each source address of the overlay, for their own
 * direction; in the other all share one, as there is only one set of ports. No peer's packets can
 * belong to another's connection.
 */
#include "os/nft.h"

#include "net/addr.h"
#include "os/nft_run.h"

/* Everything that is not for the Internet: RFC 6890, and what leads to it by way of NAT64, of which
 * 64:ff9b::/96 is the well-known prefix. */
static const char private4[] =
	"0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, "
	"192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";
static const char private6[] =
	"::/96, ::ffff:0:0/96, 64:ff9b::/104, 64:ff9b::a00:0/104, 64:ff9b::6440:0/106, "
	"64:ff9b::7f00:0/104, 64:ff9b::a9fe:0/112, 64:ff9b::ac10:0/108, 64:ff9b::c0a8:0/112, "
	"64:ff9b:1::/48, fc00::/7, fe80::/10, fec0::/10, ff00::/8";

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
	"\t\tfib daddr . iif type local accept\n"
	"\t\tip daddr @named4 accept\n"
	"\t\tip6 daddr @named6 accept\n"
	"\t\tgoto refused\n"
	"\t}\n"
	/* What cannot be followed would leave with an address of the overlay. */
	"\tchain passing {\n"
	"\t\ttype filter hook forward priority filter; policy accept;\n"
	"\t\tct state { established, related } accept\n"
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
	"\tchain refused {\n"
	"\t\tmeta l4proto tcp counter reject with tcp reset\n"
	"\t\tcounter reject with icmpx admin-prohibited\n"
	"\t}\n";

/* ---- what peers get at ---- */

static void put_exit(FILE *to, const struct qe_nft_gateway *gateway)
{
	qe_nft_put_sets(to, "named", gateway->named, gateway->n_named);
	qe_nft_put_sets(to, "networks", gateway->networks, gateway->n_networks);
	fprintf(to,
		"\tset private4 { type ipv4_addr; flags interval; elements = { %s }; }\n"
		"\tset private6 { type ipv6_addr; flags interval; elements = { %s }; }\n"
		"%s",
		private4, private6, exit_chains);
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

enum qe_error qe_nft_set_gateway(
	const char *interface, const struct qe_nft_gateway *gateway, struct qe_text *why)
{
	FILE *script;

	if (!qe_nft_is_plain(interface)) {
		qe_text_addf(why, "no table can be named after interface \"%s\"", interface);
		return QE_ERR_RANGE;
	}
	QE_TRY(qe_nft_begin(&script, why));
	put_transaction(script, interface, gateway);
	return qe_nft_commit(script, nullptr, 0, why);
}
