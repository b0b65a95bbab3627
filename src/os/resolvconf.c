/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Both programs put what comes from loopback first, and leave out all servers behind one of
 * 127.0.0.0/8, unless they are told otherwise: so that ours is the only one. Whether it is so is
 * looked up afterwards.
 */
#include "os/resolvconf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/program.h"

constexpr unsigned patience = 4; /* seconds */
constexpr char name[] = "lo.quicether";

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

const char *qe_resolvconf_find(void)
{
	static const char *const places[] = {
		"/usr/sbin/resolvconf", "/sbin/resolvconf", "/usr/bin/resolvconf"};
	char real[PATH_MAX];

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (access(places[i], X_OK) == 0 && realpath(places[i], real))
			return ends_with(real, "/resolvectl") ? nullptr : places[i];
	}
	return nullptr;
}

static void write_conf(FILE *to, const struct qe_resolv_conf *conf)
{
	char addr[QE_ADDR_TEXT_SIZE];

	for (size_t i = 0; i < conf->n_servers; i++) {
		qe_addr_format(addr, &conf->servers[i]);
		fprintf(to, "nameserver %s\n", addr);
	}
	if (conf->search[0])
		fprintf(to, "search %s\n", conf->search);
}

static enum qe_error run(const char *verb, const struct qe_resolv_conf *conf, struct qe_text *why)
{
	const char *path = qe_resolvconf_find(), *words[] = {"resolvconf", verb, name, nullptr};
	FILE *input = qe_program_file("resolv.conf"), *output = qe_program_file("answer");
	enum qe_error error = path ? -ENOMEM : -ENOENT;

	if (path && input && output) {
		if (conf)
			write_conf(input, conf);
		error = qe_program_run(path, words, input, output, patience);
		if (error == -EIO && why)
			qe_program_add_first_line(why, "resolvconf", output);
	}
	if (input)
		fclose(input);
	if (output)
		fclose(output);
	return error;
}

enum qe_error qe_resolvconf_add(
	const char *path, const struct qe_resolv_conf *conf, struct qe_text *why)
{
	enum qe_error error = run("-a", conf, why);

	if (error == QE_OK && !qe_resolvconf_holds(path, conf)) {
		qe_text_addf(why, "resolvconf does not write what it is told to %s", path);
		error = -EIO;
	}
	if (error != QE_OK)
		(void)!qe_resolvconf_remove();
	return error;
}

bool qe_resolvconf_holds(const char *path, const struct qe_resolv_conf *conf)
{
	struct qe_resolv_conf now;

	if (qe_resolv_file_read(&now, path) != QE_OK || now.n_servers != conf->n_servers)
		return false;
	for (size_t i = 0; i < now.n_servers; i++) {
		if (!qe_addr_equal(&now.servers[i], &conf->servers[i]))
			return false;
	}
	return true;
}

enum qe_error qe_resolvconf_remove(void)
{
	return run("-d", nullptr, nullptr);
}
