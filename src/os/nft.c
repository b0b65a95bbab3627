/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/nft.h"
#include "net/addr.h"
#include "os/nft_run.h"

/* A prefix of length 0 stands for its family, and nft has no such prefix. */
static void put_destination(FILE *to, const struct qe_prefix *prefix)
{
	bool ipv4 = prefix->addr.family == QE_FAMILY_IPV4;
	char text[QE_PREFIX_TEXT_SIZE];

	if (prefix->length == 0) {
		fprintf(to, "meta nfproto %s", ipv4 ? "ipv4" : "ipv6");
		return;
	}
	qe_prefix_format(text, prefix);
	fprintf(to, "%s daddr %s", ipv4 ? "ip" : "ip6", text);
}

static void put_rule(FILE *to, const char *interface, const struct qe_prefix *prefix)
{
	fprintf(to, "\t\tiifname \"%s\" oifname != \"%s\" ", interface, interface);
	put_destination(to, prefix);
	fputs(" masquerade\n", to);
}

static void put_transaction(
	FILE *to, const char *interface, const struct qe_prefix *prefixes, size_t n)
{
	fprintf(to, "table inet quicether_%s\ndelete table inet quicether_%s\n", interface,
		interface);
	if (n == 0)
		return;
	fprintf(to,
		"table inet quicether_%s {\n"
		"\tchain postrouting {\n"
		"\t\ttype nat hook postrouting priority srcnat; policy accept;\n",
		interface);
	for (size_t i = 0; i < n; i++)
		put_rule(to, interface, &prefixes[i]);
	fputs("\t}\n}\n", to);
}

enum qe_error qe_nft_masquerade(
	const char *interface, const struct qe_prefix *prefixes, size_t n, struct qe_text *why)
{
	FILE *script;

	if (!qe_nft_is_plain(interface)) {
		qe_text_addf(why, "no table can be named after interface \"%s\"", interface);
		return QE_ERR_RANGE;
	}
	QE_TRY(qe_nft_begin(&script, why));
	put_transaction(script, interface, prefixes, n);
	return qe_nft_commit(script, nullptr, 0, why);
}
