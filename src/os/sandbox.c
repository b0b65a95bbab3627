/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A daemon that parses packets from the Internet keeps no power that it needed only to start. What
 * it holds open stays open: TUN device, UDP socket, control socket, netlink monitor. What stays
 * possible is to use these, to resolve names, and to unlink the control socket.
 *
 * Its helper, which parses nothing of strangers', keeps the right to change the host's network, and
 * may run nft with it.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <link.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/nft_run.h"
#include "os/resolvconf.h"
#include "os/sandbox.h"

/* Since Linux 6.10 and 6.12; older headers lack them. */
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)
#endif

/* As struct landlock_ruleset_attr of the newest headers. */
struct ruleset {
	uint64_t files, net, scopes;
};

/* Folders, for files in them are replaced by new ones: resolv.conf, which may be a link into /run,
 * at each change of network; the resolver's modules and time zones by updates. Of files that are
 * links to elsewhere, what they lead to at the start. The streams of a daemon that goes to the
 * background lead to /dev/null. */
static const struct usable {
	const char *path;
	uint64_t rights;
} usable[] = {
	{"/etc", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/run", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/lib", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/lib64", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/lib", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/lib64", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/share/zoneinfo", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/etc/hosts", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/etc/nsswitch.conf", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/etc/resolv.conf", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
};

#define SETTINGS \
	(LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)

/* To take files away, links too, and make others in their place. */
#define REPLACE \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
		LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM)

#define RUN \
	(LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE)

/* Where resolvconf writes /etc/resolv.conf, which is a shell script that calls others: all that it
 * runs, and where it keeps what it was told. */
static const struct usable resolvconf_usable[] = {
	{"/usr", RUN},
	{"/bin", RUN},
	{"/sbin", RUN},
	{"/lib", RUN},
	{"/lib64", RUN},
	{"/etc", REPLACE | RUN},
	{"/proc", LANDLOCK_ACCESS_FS_READ_FILE},
	{QE_RESOLVCONF_FOLDER,
		REPLACE | RUN | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR},
};

/* The helper's: what nft needs to run, the settings of os/forwarding.c, what os/namespace_lock.c
 * locks, and resolv.conf, for which
 * there is no less than the folder that it is in. */
static const struct usable helper_usable[] = {
	{"/etc", REPLACE},
	{"/run", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/lib", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/lib64", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/lib", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/lib64", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/local/lib", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
	{"/proc/sys/net/ipv4/ip_forward",
		LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE},
	{"/proc/sys/net/ipv4/tcp_fastopen_key", LANDLOCK_ACCESS_FS_READ_FILE},
	{"/proc/sys/net/ipv4/conf", SETTINGS},
	{"/proc/sys/net/ipv6/conf", SETTINGS},
};

/* From here on: no core file and no debugger of the same user gets at the keys in memory. */
static enum qe_error hide_memory(void)
{
	const struct rlimit none = {};

	if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return qe_error_errno();
	return QE_OK;
}

/* From here on: no interface, address or route can be made or changed, no low port bound, no file
 * of another user opened, no module loaded; of all that the helper can do the first, and so can
 * what it starts, and it alone the second. */
static enum qe_error drop_capabilities(bool is_helper)
{
	constexpr unsigned own = CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET;
	constexpr unsigned started = CAPNG_INHERITABLE | CAPNG_AMBIENT;
	capng_select_t all = CAPNG_SELECT_ALL;
	bool changes, binds;

	if (capng_get_caps_process() < 0)
		return -EPERM;
	/* To bound what a program that is started can get takes CAP_SETPCAP, which containers may
	 * lack; the next stage does the same. */
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		all = CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT;
	changes = is_helper && capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN);
	binds = is_helper && capng_have_capability(CAPNG_PERMITTED, CAP_NET_BIND_SERVICE);
	capng_clear(CAPNG_SELECT_ALL);
	if (changes)
		capng_update(CAPNG_ADD, own | started, CAP_NET_ADMIN);
	if (binds)
		capng_update(CAPNG_ADD, own, CAP_NET_BIND_SERVICE);
	return capng_apply(all) == 0 ? QE_OK : -EPERM;
}

/* From here on: no program that is started, be it set-user-ID, gets any of it back. */
static enum qe_error refuse_new_privileges(void)
{
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? qe_error_errno() : QE_OK;
}

static long find_version(void)
{
	return syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

/* All that a version of Landlock can forbid. */
static struct ruleset everything(long version)
{
	struct ruleset all = {.files = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};

	if (version >= 2)
		all.files |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		all.files |= LANDLOCK_ACCESS_FS_TRUNCATE;
	if (version >= 5)
		all.files |= LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (version >= 6)
		all.scopes = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
	return all;
}

static bool allow(int ruleset, int fd, uint64_t rights)
{
	const struct landlock_path_beneath_attr rule = {rights, fd};

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
}

static bool allow_path(int ruleset, const char *path, uint64_t rights)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return true; /* not every host has all of them */
	ok = allow(ruleset, fd, rights);
	close(fd);
	return ok;
}

/* Without those that the kernel does not know, and so does not forbid. */
static uint64_t known_of(uint64_t rights)
{
	return rights & everything(syscall(SYS_landlock_create_ruleset, nullptr, 0,
					   LANDLOCK_CREATE_RULESET_VERSION))
				.files;
}

static bool allow_usable(int ruleset, const struct usable *list, size_t n)
{
	bool ok = true;

	for (size_t i = 0; i < n && ok; i++)
		ok = allow_path(ruleset, list[i].path, known_of(list[i].rights));
	return ok;
}

static uint64_t rights_for(uint8_t uses)
{
	uint64_t rights = 0;

	if (uses & QE_SANDBOX_REMOVE)
		rights |= LANDLOCK_ACCESS_FS_REMOVE_FILE;
	if (uses & QE_SANDBOX_READ)
		rights |= LANDLOCK_ACCESS_FS_READ_FILE;
	if (uses & QE_SANDBOX_WRITE)
		rights |= LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG;
	/* Since version 3; before it is not forbidden. */
	if (uses == QE_SANDBOX_REPLACE &&
		everything(find_version()).files & LANDLOCK_ACCESS_FS_TRUNCATE)
		rights |= LANDLOCK_ACCESS_FS_TRUNCATE;
	return rights;
}

static bool allow_folders(int ruleset, const struct qe_sandbox_folder *folders, size_t n)
{
	bool ok = true;

	for (size_t i = 0; i < n && ok; i++)
		ok = folders[i].fd < 0 ||
		     allow(ruleset, folders[i].fd, rights_for(folders[i].uses));
	return ok;
}

/* What loads programs: ours, and so nft too. */
static int find_loader(struct dl_phdr_info *object, size_t, void *ret_path)
{
	for (size_t i = 0; i < object->dlpi_phnum; i++) {
		if (object->dlpi_phdr[i].p_type == PT_INTERP)
			*(const char **)ret_path = (const char *)(object->dlpi_addr +
								  object->dlpi_phdr[i].p_vaddr);
	}
	return 1; /* the program is the first, and the only one to have it */
}

static bool allow_nft(int ruleset)
{
	constexpr uint64_t run = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE;
	const char *nft = qe_nft_find(), *loader = nullptr;

	dl_iterate_phdr(find_loader, &loader);
	return (!nft || allow_path(ruleset, nft, run)) &&
	       (!loader || allow_path(ruleset, loader, run));
}

static bool allow_resolvconf(int ruleset)
{
	constexpr size_t n = sizeof(resolvconf_usable) / sizeof(resolvconf_usable[0]);

	return !qe_resolvconf_find() || access(QE_RESOLVCONF_FOLDER, F_OK) < 0 ||
	       allow_usable(ruleset, resolvconf_usable, n);
}

/* -1 where the kernel cannot (before Linux 5.13, or without Landlock) or may not (in some
 * containers). */
static int open_ruleset(void)
{
	long version = find_version();
	struct ruleset all = everything(version);

	if (version < 1)
		return -1;
	return (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
}

static bool enforce(int ruleset)
{
	return syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}

/* From here on: no file opened for writing, made, renamed or run; none read but what resolving
 * names takes; none removed; all that but in those folders, as far as it is said of them; no
 * process outside signalled. */
static bool confine_files(const struct qe_sandbox_folder *folders, size_t n)
{
	int ruleset = open_ruleset();
	bool ok;

	if (ruleset < 0)
		return false;
	ok = allow_usable(ruleset, usable, sizeof(usable) / sizeof(usable[0])) &&
	     allow_folders(ruleset, folders, n) && enforce(ruleset);
	close(ruleset);
	return ok;
}

/* From here on the same for the helper, but for nft, which it can run, perhaps resolvconf, the
 * settings, and the files in /etc. */
static bool confine_helper(const struct qe_sandbox_folder *folders, size_t n)
{
	int ruleset = open_ruleset();
	bool ok;

	if (ruleset < 0)
		return false;
	ok = allow_usable(
		     ruleset, helper_usable, sizeof(helper_usable) / sizeof(helper_usable[0])) &&
	     allow_nft(ruleset) && allow_resolvconf(ruleset) &&
	     allow_folders(ruleset, folders, n) && enforce(ruleset);
	close(ruleset);
	return ok;
}

enum qe_error qe_sandbox_open_folder(int *ret_fd, const char *file, bool follow)
{
	char *path = follow ? realpath(file, nullptr) : strdup(file);
	int fd = path ? open(dirname(path), O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	enum qe_error error = fd < 0 ? qe_error_errno() : QE_OK;

	free(path);
	if (error == QE_OK)
		*ret_fd = fd;
	return error;
}

void qe_sandbox_close_folder(int fd)
{
	close(fd);
}

enum qe_error qe_sandbox_enter(
	const struct qe_sandbox_folder *folders, size_t n, bool *ret_confined)
{
	QE_TRY(hide_memory());
	QE_TRY(drop_capabilities(false));
	QE_TRY(refuse_new_privileges());
	*ret_confined = confine_files(folders, n);
	return QE_OK;
}

enum qe_error qe_sandbox_enter_helper(
	const struct qe_sandbox_folder *folders, size_t n, bool *ret_confined)
{
	QE_TRY(hide_memory());
	QE_TRY(drop_capabilities(true));
	QE_TRY(refuse_new_privileges());
	*ret_confined = confine_helper(folders, n);
	return QE_OK;
}
