/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The mark on a program's sockets (os/cgroup.h) says which way it goes. For a program that is to go
 * through the tunnel alone that is a wish: routes may be gone, with the daemon that made them. What
 * holds then is a table of nftables of this program's own, inet quicether_only_PID, which refuses
 * what it would send by any other interface, and plain DNS to what listens on loopback, which
 * would ask in its own name. It is made before the program runs, and outlives it.
 */
#include "os/detour.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/cgroup.h"
#include "os/nft_run.h"
#include "os/own_names.h"
#include "os/process.h"
#include "os/vpn_plan.h"

#define TABLE "inet quicether_only_%d"

/* ---- the table ---- */

/* The process that waits gives its number to all. */
struct run {
	const struct qe_detour *detour;
	struct qe_cgroup *cgroup;
	pid_t pid;
	const struct passwd *user;
};

static void put_table(FILE *to, const char *tunnel, const char *path, pid_t pid)
{
	fprintf(to,
		"table " TABLE " {\n"
		"\tcomment \"quicether only\"\n"
		"\tchain refused {\n"
		"\t\tmeta l4proto tcp counter reject with tcp reset\n"
		"\t\tcounter reject with icmpx admin-prohibited\n"
		"\t}\n"
		"\tchain only {\n"
		"\t\toifname \"%s\" accept\n"
		"\t\toifname != \"lo\" goto refused\n"
		"\t\tmeta l4proto { tcp, udp } th dport 53 goto refused\n"
		"\t}\n"
		"\tchain leaving {\n"
		"\t\ttype filter hook output priority 200; policy accept;\n"
		"\t\tsocket cgroupv2 level 2 \"%s\" goto only\n"
		"\t\tmeta mark %u goto only\n"
		"\t}\n"
		"}\n",
		pid, tunnel, path, QE_VPN_ONLY_MARK);
}

/* In a child: it makes itself a view of the file system in which nft finds the cgroup. */
static enum qe_error set_table(const struct run *run, struct qe_text *why)
{
	char path[QE_CGROUP_PATH_SIZE];
	FILE *script;

	QE_TRY(qe_cgroup_show(run->cgroup));
	QE_TRY(qe_nft_begin(&script, why));
	qe_cgroup_path(run->cgroup, path);
	put_table(script, run->detour->tunnel, path, run->pid);
	return qe_nft_commit(script, nullptr, 0, why);
}

static void remove_table(pid_t pid)
{
	char unheard[200];
	struct qe_text why = qe_text_init(unheard, sizeof(unheard));
	FILE *script;

	if (qe_nft_begin(&script, &why) != QE_OK)
		return;
	fprintf(script, "table " TABLE "\ndelete table " TABLE "\n", pid, pid);
	(void)!qe_nft_commit(script, nullptr, 0, &why);
}

static void leave_to_others(pid_t)
{
}

/* ---- children ---- */

struct report {
	int error;
	char why[300];
};

static enum qe_error hear(int from, struct qe_text *why)
{
	struct report report;
	ssize_t n;

	do
		n = read(from, &report, sizeof(report));
	while (n < 0 && errno == EINTR);
	close(from);
	if (n == 0)
		return QE_OK;
	if (n != sizeof(report))
		return -EIO;
	report.why[sizeof(report.why) - 1] = '\0';
	qe_text_add(why, report.why);
	return (enum qe_error)report.error;
}

/* What the child makes of itself ends with it, or goes on in the program that it becomes. Returns
 * when it has ended or become that, with its error if it says one. */
static enum qe_error in_child(const struct run *run,
	enum qe_error (*act)(const struct run *run, struct qe_text *why), pid_t *ret_child,
	struct qe_text *why)
{
	struct report report = {};
	struct qe_text text = qe_text_init(report.why, sizeof(report.why));
	enum qe_error error;
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return qe_error_errno();
	child = fork();
	if (child == 0) {
		report.error = act(run, &text);
		if (report.error != QE_OK)
			(void)!write(ends[1], &report, sizeof(report));
		_exit(1);
	}
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		return -EAGAIN;
	}
	error = hear(ends[0], why);
	if (error != QE_OK)
		waitpid(child, nullptr, 0);
	else
		*ret_child = child;
	return error;
}

static enum qe_error become_user(const struct passwd *user)
{
	if (initgroups(user->pw_name, user->pw_gid) < 0 || setgid(user->pw_gid) < 0 ||
		setuid(user->pw_uid) < 0)
		return qe_error_errno();
	setenv("HOME", user->pw_dir, 1);
	setenv("USER", user->pw_name, 1);
	setenv("LOGNAME", user->pw_name, 1);
	return QE_OK;
}

static enum qe_error become_program(const struct run *run, struct qe_text *why)
{
	const struct qe_detour *detour = run->detour;
	enum qe_error error;

	QE_TRY(qe_cgroup_enter(run->cgroup));
	if (detour->n_servers > 0)
		QE_TRY(qe_own_names_enter(detour->servers, detour->n_servers, why));
	if (run->user)
		QE_TRY(become_user(run->user));
	execvp(detour->words[0], detour->words);
	error = qe_error_errno();
	qe_text_add_printable(why, detour->words[0]);
	qe_text_addf(why, " cannot be run: %s", qe_error_text(error));
	return error;
}

/* ---- waiting ---- */

static volatile sig_atomic_t running;

static void pass_on(int number)
{
	kill((pid_t)running, number);
}

/* What the terminal sends reaches the program by itself. */
static int wait_for(pid_t child)
{
	const struct sigaction pass = {.sa_handler = pass_on};
	int status = 0;

	running = child;
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	sigaction(SIGTERM, &pass, nullptr);
	sigaction(SIGHUP, &pass, nullptr);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void clean(struct run *run)
{
	if (run->detour->tunnel)
		remove_table(run->pid);
	run->cgroup = qe_cgroup_free(run->cgroup);
}

/* Whoever has started us goes on; the rules stay as long as there is anybody they are for. */
static void clean_when_empty(struct run *run)
{
	pid_t child = qe_cgroup_is_empty(run->cgroup) ? 0 : fork();

	if (child > 0) {
		run->cgroup = qe_cgroup_free(run->cgroup);
		return;
	}
	if (!qe_cgroup_is_empty(run->cgroup)) {
		setsid();
		(void)qe_process_detach();
		qe_cgroup_wait(run->cgroup);
		clean(run);
		_exit(0);
	}
	clean(run);
}

/* ---- together ---- */

static enum qe_error guard(const struct run *run, struct qe_text *why)
{
	pid_t child;

	QE_TRY(in_child(run, set_table, &child, why));
	waitpid(child, nullptr, 0);
	return QE_OK;
}

static enum qe_error start(struct run *run, pid_t *ret_child, struct qe_text *why)
{
	bool only = run->detour->tunnel;

	QE_TRY(qe_cgroup_new(&run->cgroup, only ? "only" : "bypass",
		only ? remove_table : leave_to_others, why));
	QE_TRY(qe_cgroup_mark(run->cgroup, only ? QE_VPN_ONLY_MARK : QE_VPN_MARK, why));
	if (only)
		QE_TRY(guard(run, why));
	return in_child(run, become_program, ret_child, why);
}

static enum qe_error check(struct run *run, struct qe_text *why)
{
	const struct qe_detour *detour = run->detour;

	if (!qe_detour_is_allowed())
		return -EPERM;
	if (detour->tunnel && !qe_nft_is_plain(detour->tunnel))
		return QE_ERR_RANGE;
	run->user = detour->user ? getpwnam(detour->user) : nullptr;
	if (!detour->user || run->user)
		return QE_OK;
	qe_text_add(why, "there is no user ");
	qe_text_add_printable(why, detour->user);
	return -ENOENT;
}

bool qe_detour_is_allowed(void)
{
	return geteuid() == 0;
}

enum qe_error qe_detour_run(const struct qe_detour *detour, int *ret_status, struct qe_text *why)
{
	struct run run = {.detour = detour, .pid = getpid()};
	enum qe_error error;
	pid_t child;

	QE_TRY(check(&run, why));
	error = start(&run, &child, why);
	if (error != QE_OK) {
		if (run.cgroup)
			clean(&run);
		return error;
	}
	*ret_status = wait_for(child);
	clean_when_empty(&run);
	return QE_OK;
}
