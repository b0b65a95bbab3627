/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * nft reads all of its standard input, then sends the kernel one transaction: either all of it
 * holds or nothing has changed. To remove a table that may not be there, it is added first.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/nft_run.h"

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
[[noreturn]] static void become_nft(const char *path, FILE *script, FILE *output)
{
	char *const words[] = {(char[]){"nft"}, (char[]){"-f"}, (char[]){"-"}, nullptr};
	char *const environment[] = {nullptr};

	alarm(patience);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(fileno(script), STDIN_FILENO) >= 0 && dup2(fileno(output), STDOUT_FILENO) >= 0 &&
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

static enum qe_error run(const char *path, FILE *script, FILE *output, struct qe_text *why)
{
	pid_t child;
	int status;

	if (fflush(script) != 0 || ferror(script))
		return -ENOMEM;
	rewind(script);
	child = fork();
	if (child < 0)
		return qe_error_errno();
	if (child == 0)
		become_nft(path, script, output);
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

enum qe_error qe_nft_begin(FILE **ret_script, struct qe_text *why)
{
	FILE *script;

	if (!qe_nft_find()) {
		qe_text_add(why, "there is no program nft: install nftables");
		return -ENOENT;
	}
	script = open_memory("rules");
	if (!script)
		return -ENOMEM;
	*ret_script = script;
	return QE_OK;
}

enum qe_error qe_nft_commit(FILE *script, char *answer, size_t size, struct qe_text *why)
{
	FILE *output = open_memory("answer");
	enum qe_error error = -ENOMEM;

	if (output) {
		error = run(qe_nft_find(), script, output, why);
		rewind(output);
		if (error == QE_OK && answer)
			answer[fread(answer, 1, size - 1, output)] = '\0';
		fclose(output);
	}
	fclose(script);
	return error;
}
