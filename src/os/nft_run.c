/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * nft reads all of its standard input, then sends the kernel one transaction: either all of it
 * holds or nothing has changed. To remove a table that may not be there, it is added first.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/nft_run.h"
#include "os/program.h"

constexpr unsigned patience = 10; /* seconds */

const char *qe_nft_find(void)
{
	static const char *const places[] = {
		"/usr/sbin/nft", "/usr/bin/nft", "/sbin/nft", "/usr/local/sbin/nft"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (access(places[i], X_OK) == 0)
			return places[i];
	}
	return nullptr;
}

bool qe_nft_is_plain(const char *interface)
{
	return interface[0] && strspn(interface, "abcdefghijklmnopqrstuvwxyz"
						 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						 "0123456789_.-") == strlen(interface);
}

static enum qe_error run(FILE *script, FILE *output, struct qe_text *why)
{
	static const char *const words[] = {"nft", "-f", "-", nullptr};
	enum qe_error error = qe_program_run(qe_nft_find(), words, script, output, patience);

	if (error == -EIO)
		qe_program_add_first_line(why, "nft", output);
	return error;
}

enum qe_error qe_nft_begin(FILE **ret_script, struct qe_text *why)
{
	FILE *script;

	if (!qe_nft_find()) {
		qe_text_add(why, "there is no program nft: install nftables");
		return -ENOENT;
	}
	script = qe_program_file("rules");
	if (!script)
		return -ENOMEM;
	*ret_script = script;
	return QE_OK;
}

static void put_set(FILE *script, const char *name, enum qe_family family,
	const struct qe_prefix *prefixes, size_t n)
{
	bool ipv4 = family == QE_FAMILY_IPV4, any = false;
	char text[QE_PREFIX_TEXT_SIZE];

	fprintf(script, "\tset %s%c { type %s; flags interval; auto-merge; ", name,
		ipv4 ? '4' : '6', ipv4 ? "ipv4_addr" : "ipv6_addr");
	for (size_t i = 0; i < n; i++) {
		if (prefixes[i].addr.family != family)
			continue;
		qe_prefix_format(text, &prefixes[i]);
		fprintf(script, "%s%s", any ? ", " : "elements = { ", text);
		any = true;
	}
	fputs(any ? " }; }\n" : "}\n", script);
}

void qe_nft_put_sets(FILE *script, const char *name, const struct qe_prefix *prefixes, size_t n)
{
	put_set(script, name, QE_FAMILY_IPV4, prefixes, n);
	put_set(script, name, QE_FAMILY_IPV6, prefixes, n);
}

enum qe_error qe_nft_commit(FILE *script, char *answer, size_t size, struct qe_text *why)
{
	FILE *output = qe_program_file("answer");
	enum qe_error error = -ENOMEM;

	if (output) {
		error = run(script, output, why);
		rewind(output);
		if (error == QE_OK && answer)
			answer[fread(answer, 1, size - 1, output)] = '\0';
		fclose(output);
	}
	fclose(script);
	return error;
}
