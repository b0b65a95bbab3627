/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "os/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

FILE *qe_program_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);
	FILE *file = fd < 0 ? nullptr : fdopen(fd, "w+");

	if (fd >= 0 && !file)
		close(fd);
	return file;
}

/* Shell scripts look for others along the path; nothing else of our environment is theirs. It is
 * killed with us: what it has not done by then must not be done later, when somebody may have
 * undone it already. */
[[noreturn]] static void become(
	pid_t parent, const char *path, const char *const *words, FILE *input, FILE *output)
{
	static char where[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *const environment[] = {where, nullptr};
	int in = input ? fileno(input) : open("/dev/null", O_RDONLY);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
		_exit(127);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(fileno(output), STDOUT_FILENO) >= 0 &&
		dup2(fileno(output), STDERR_FILENO) >= 0)
		execve(path, (char *const *)words, environment);
	_exit(127);
}

static bool ends_within(pid_t child, unsigned seconds)
{
	int fd = pidfd_open(child, 0);
	struct pollfd poller = {.fd = fd, .events = POLLIN};
	int ready = 1;

	if (fd < 0)
		return true; /* nothing to wait with: it is believed */
	do
		ready = poll(&poller, 1, (int)seconds * 1000);
	while (ready < 0 && errno == EINTR);
	close(fd);
	return ready != 0;
}

static enum qe_error wait_for(pid_t child, unsigned seconds)
{
	bool ended = ends_within(child, seconds);
	int status;

	/* Of both names of the group, as the child may not have come to make it yet. */
	if (!ended) {
		kill(-child, SIGKILL);
		kill(child, SIGKILL);
	}
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			return qe_error_errno();
	}
	if (!ended)
		return -ETIMEDOUT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? QE_OK : -EIO;
}

enum qe_error qe_program_run(
	const char *path, const char *const *words, FILE *input, FILE *output, unsigned seconds)
{
	pid_t parent = getpid(), child;

	if (input && (fflush(input) != 0 || ferror(input)))
		return -ENOMEM;
	if (input)
		rewind(input);
	child = fork();
	if (child < 0)
		return qe_error_errno();
	if (child == 0)
		become(parent, path, words, input, output);
	return wait_for(child, seconds);
}

void qe_program_add_first_line(struct qe_text *why, const char *name, FILE *output)
{
	char line[160] = "";

	rewind(output);
	if (fgets(line, sizeof(line), output))
		line[strcspn(line, "\n")] = '\0';
	qe_text_addf(why, line[0] ? "%s: " : "%s failed", name);
	qe_text_add_printable(why, line);
}
