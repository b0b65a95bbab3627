/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/process.h"

/* A descriptor that can neither be read nor written, as a closed one; it is always to be had. */
void qe_process_fill_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/", O_PATH | O_DIRECTORY);
	}
}

bool qe_process_has_terminal(void)
{
	return isatty(STDERR_FILENO);
}

/* A byte means ready; the end of the pipe without one, that the child is no more. */
static int wait_for_child(pid_t child, int pipe_end)
{
	int status = 0;
	ssize_t n;
	char byte;

	do
		n = read(pipe_end, &byte, 1);
	while (n < 0 && errno == EINTR);
	close(pipe_end);
	if (n == 1)
		return 0;
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

enum qe_error qe_process_background(bool *ret_is_child, int *ret_ready, int *ret_exit_code)
{
	int ends[2];
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return qe_error_errno();
	child = fork();
	if (child < 0) {
		close(ends[0]);
		close(ends[1]);
		return -EAGAIN;
	}
	*ret_is_child = child == 0;
	if (child == 0) {
		close(ends[0]);
		setsid();
		*ret_ready = ends[1];
		return QE_OK;
	}
	close(ends[1]);
	*ret_exit_code = wait_for_child(child, ends[0]);
	return QE_OK;
}

void qe_process_ready(int ready)
{
	(void)!write(ready, "", 1);
	close(ready);
}

/* Only segments that are never written to, so that each page is as in the file; a library that the
 * loader has to patch in its text does not start under the service's MemoryDenyWriteExecute. */
static void shed_segment(uintptr_t base, const ElfW(Phdr) * segment)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t begin = (base + segment->p_vaddr) & ~(page - 1);

	if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
		madvise((void *)begin, base + segment->p_vaddr + segment->p_memsz - begin,
			MADV_DONTNEED);
}

/* Not of the program itself, which has no name here: it is small, and a debugger's breakpoints are
 * pages that no file has. */
static int shed_library(struct dl_phdr_info *object, size_t, void *)
{
	for (size_t i = 0; object->dlpi_name[0] && i < object->dlpi_phnum; i++)
		shed_segment(object->dlpi_addr, &object->dlpi_phdr[i]);
	return 0;
}

void qe_process_shed(void)
{
	dl_iterate_phdr(shed_library, nullptr);
}

void qe_process_notify_manager(void)
{
	static const char state[] = "READY=1";
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	int fd;

	if (!path || path[0] != '/' || strlen(path) >= sizeof(to.sun_path))
		return;
	strcpy(to.sun_path, path);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)!sendto(fd, state, strlen(state), 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}

bool qe_process_detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct stat status;
	bool is_file = fstat(STDERR_FILENO, &status) == 0 && S_ISREG(status.st_mode);

	(void)!chdir("/");
	if (null < 0)
		return is_file;
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (!is_file)
		dup2(null, STDERR_FILENO);
	close(null);
	return is_file;
}

/* The descriptor is left open: the lock is the process's. */
enum qe_error qe_process_lock(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return qe_error_errno();
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return QE_OK;
	const enum qe_error error = qe_error_errno();

	close(fd);
	return error;
}
