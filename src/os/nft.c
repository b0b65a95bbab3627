/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Rules are handed over as JSON (libnftables-json(5)) on standard input. nft reads all of it, then
 * sends the kernel one transaction: either all of it holds or nothing has changed. To remove a
 * table that may not be there, it is added first.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net/addr.h"
#include "os/nft.h"

constexpr unsigned patience = 10; /* seconds */
/* Where NAT has its place among the hooks of the kernel: NF_IP_PRI_NAT_SRC. */
constexpr int priority = 100;

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

/* A name may hold anything but spaces and slashes: what neither nft nor JSON takes literally would
 * make another rule of ours than is meant. */
static bool is_plain(const char *interface)
{
	return interface[0] && strspn(interface, "abcdefghijklmnopqrstuvwxyz"
						 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						 "0123456789_.-") == strlen(interface);
}

/* ---- rules ---- */

static void put_table(FILE *to, const char *verb, const char *interface)
{
	fprintf(to, "{\"%s\":{\"table\":{\"family\":\"inet\",\"name\":\"quicether_%s\"}}}", verb,
		interface);
}

static void put_chain(FILE *to, const char *interface)
{
	fprintf(to,
		",{\"add\":{\"chain\":{\"family\":\"inet\",\"table\":\"quicether_%s\","
		"\"name\":\"postrouting\",\"type\":\"nat\",\"hook\":\"postrouting\",\"prio\":%d,"
		"\"policy\":\"accept\"}}}",
		interface, priority);
}

static void put_match(FILE *to, const char *op, const char *left, const char *right)
{
	fprintf(to, "{\"match\":{\"op\":\"%s\",\"left\":{%s},\"right\":%s}},", op, left, right);
}

/* A prefix of length 0 stands for its family, and nft has no such prefix. */
static void put_destination(FILE *to, const struct qe_prefix *prefix)
{
	bool ipv4 = prefix->addr.family == QE_FAMILY_IPV4;
	char right[QE_ADDR_TEXT_SIZE + 48], addr[QE_ADDR_TEXT_SIZE];

	put_match(to, "==", "\"meta\":{\"key\":\"nfproto\"}", ipv4 ? "\"ipv4\"" : "\"ipv6\"");
	if (prefix->length == 0)
		return;
	qe_addr_format(addr, &prefix->addr);
	snprintf(right, sizeof(right), "{\"prefix\":{\"addr\":\"%s\",\"len\":%u}}", addr,
		prefix->length);
	put_match(to, "==",
		ipv4 ? "\"payload\":{\"protocol\":\"ip\",\"field\":\"daddr\"}"
		     : "\"payload\":{\"protocol\":\"ip6\",\"field\":\"daddr\"}",
		right);
}

static void put_rule(FILE *to, const char *interface, const struct qe_prefix *prefix)
{
	char name[32];

	snprintf(name, sizeof(name), "\"%s\"", interface);
	fprintf(to,
		",{\"add\":{\"rule\":{\"family\":\"inet\",\"table\":\"quicether_%s\","
		"\"chain\":\"postrouting\",\"expr\":[",
		interface);
	put_match(to, "==", "\"meta\":{\"key\":\"iifname\"}", name);
	put_match(to, "!=", "\"meta\":{\"key\":\"oifname\"}", name);
	put_destination(to, prefix);
	fputs("{\"masquerade\":null}]}}}", to);
}

static void put_transaction(
	FILE *to, const char *interface, const struct qe_prefix *prefixes, size_t n)
{
	fputs("{\"nftables\":[", to);
	put_table(to, "add", interface);
	fputc(',', to);
	put_table(to, "delete", interface);
	if (n > 0) {
		fputc(',', to);
		put_table(to, "add", interface);
		put_chain(to, interface);
	}
	for (size_t i = 0; i < n; i++)
		put_rule(to, interface, &prefixes[i]);
	fputs("]}\n", to);
}

/* ---- the program ---- */

/* Memory that can be read and written as a file: neither side can make the other wait. */
static FILE *open_memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	FILE *file = fd < 0 ? nullptr : fdopen(fd, "w+");

	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* The alarm outlives exec. */
[[noreturn]] static void become_nft(const char *path, FILE *input, FILE *output)
{
	char *const words[] = {
		(char[]){"nft"}, (char[]){"-j"}, (char[]){"-f"}, (char[]){"-"}, nullptr};
	char *const environment[] = {nullptr};

	alarm(patience);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(fileno(input), STDIN_FILENO) >= 0 && dup2(fileno(output), STDOUT_FILENO) >= 0 &&
		dup2(fileno(output), STDERR_FILENO) >= 0)
		execve(path, words, environment);
	_exit(127);
}

static void add_first_line(struct qe_text *why, FILE *output)
{
	char line[160] = "";

	rewind(output);
	if (fgets(line, sizeof(line), output))
		line[strcspn(line, "\n")] = '\0';
	qe_text_add(why, line[0] ? "nft: " : "nft failed");
	qe_text_add_printable(why, line);
}

static enum qe_error run(const char *path, FILE *input, FILE *output, struct qe_text *why)
{
	pid_t child;
	int status;

	if (fflush(input) != 0 || ferror(input))
		return -ENOMEM;
	rewind(input);
	child = fork();
	if (child < 0)
		return qe_error_errno();
	if (child == 0)
		become_nft(path, input, output);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return qe_error_errno();
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return QE_OK;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		return -ETIMEDOUT;
	add_first_line(why, output);
	return -EIO;
}

static void close_file(FILE *file)
{
	if (file)
		fclose(file);
}

enum qe_error qe_nft_masquerade(
	const char *interface, const struct qe_prefix *prefixes, size_t n, struct qe_text *why)
{
	const char *path = qe_nft_find();
	enum qe_error error = -ENOMEM;
	FILE *input, *output;

	if (!is_plain(interface)) {
		qe_text_addf(why, "no table can be named after interface \"%s\"", interface);
		return QE_ERR_RANGE;
	}
	if (!path) {
		qe_text_add(why, "there is no program nft: install nftables");
		return -ENOENT;
	}
	input = open_memory("rules");
	output = open_memory("answer");
	if (input && output) {
		put_transaction(input, interface, prefixes, n);
		error = run(path, input, output, why);
	}
	close_file(output);
	close_file(input);
	return error;
}
