/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the daemon does for the host's resolver, alone, for host_dns_test.py: host_dns FOLDER makes
 * an interface "tunnel", and obeys the lines of its standard input: "set [DOMAIN]", "unset",
 * "state", "end", "die" (without a good-bye). Each is answered by a line that says the state, the
 * method, and whom the host asked before. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "daemon/host_names.h"
#include "os/clock.h"
#include "os/tun.h"

static struct qe_host_names *names;
static bool ends;

static void require(enum qe_error error, const char *what)
{
	if (error == QE_OK)
		return;
	fprintf(stderr, "host_dns: %s: %s\n", what, qe_error_text(error));
	exit(1);
}

static void say(void *)
{
	const struct qe_host_dns_answer *answer = qe_host_names_answer(names);
	char addr[QE_ADDR_TEXT_SIZE];

	printf("%s %s", qe_host_names_state_name(qe_host_names_state(names)),
		qe_host_dns_method_name(answer->method));
	for (size_t i = 0; i < answer->n_upstream; i++) {
		qe_addr_format(addr, &answer->upstream[i]);
		printf(" %s", addr);
	}
	printf("\n");
	fflush(stdout);
}

static void obey(char *line)
{
	char *domain = strchr(line, ' ');

	if (strncmp(line, "set", 3) == 0)
		qe_host_names_set(names, domain ? domain + 1 : nullptr);
	else if (strcmp(line, "unset") == 0)
		qe_host_names_unset(names);
	else if (strcmp(line, "die") == 0)
		raise(SIGKILL);
	else if (strcmp(line, "end") == 0)
		ends = true;
	say(nullptr);
}

static void heard(struct qe_watch *watch, unsigned)
{
	char line[300];
	ssize_t n = read(watch->fd, line, sizeof(line) - 1);

	ends = ends || n <= 0;
	if (n <= 0)
		return;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	obey(line);
}

int main(int argc, char **argv)
{
	struct qe_log log = qe_log_init(QE_LOG_DEBUG);
	struct qe_host_names_settings settings = {.log = &log, .changed = say};
	struct qe_watch input = {STDIN_FILENO, heard};
	char text[400] = "", path[200];
	struct qe_text why = qe_text_init(text, sizeof(text));
	char via[QE_NODE_ID_TEXT_SIZE];
	struct qe_tun *tun;
	bool confined;

	if (argc != 2)
		return 2;
	snprintf(path, sizeof(path), "%s/socket", argv[1]);
	require(qe_helper_new(&settings.helper, "tunnel", path, nullptr, nullptr, &confined),
		"helper");
	require(qe_helper_recover(settings.helper, false, via, &why), "journal");
	require(qe_tun_new(&tun, "tunnel"), "interface");
	require(qe_loop_new(&settings.loop), "loop");
	require(qe_host_names_new(&names, &settings), "names");
	require(qe_loop_add(settings.loop, &input, QE_READABLE), "input");
	printf("ready%s%s\n", text[0] ? ": " : "", text);
	fflush(stdout);
	while (!ends)
		qe_loop_turn(settings.loop, QE_TIME_NEVER);
	qe_host_names_free(names);
	qe_helper_free(settings.helper);
	qe_loop_free(settings.loop);
	qe_tun_free(tun);
	return 0;
}
