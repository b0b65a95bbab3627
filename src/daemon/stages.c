/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The stages of the daemon's start that take something of the host, and give it back. */
#include "daemon/stages.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "crypto/key.h"
#include "daemon/advice.h"
#include "daemon/host.h"
#include "net/addr.h"
#include "os/clock.h"
#include "os/sandbox.h"
#include "os/thread.h"

constexpr char socket_group[] = "quicether";

/* ---- failing ---- */

static void set_exit_code(struct daemon *daemon, enum qe_error error)
{
	daemon->exit_code = error == -EPERM || error == -EACCES ? 4 : 1;
}

enum qe_error daemon_fail(struct daemon *daemon, enum qe_error error, const char *format, ...)
{
	char message[700];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	qe_log(&daemon->log, QE_LOG_ERROR, "start_failed", nullptr, "%s", message);
	set_exit_code(daemon, error);
	return error;
}

/* ---- the helper ---- */

/* The key is all the secret there is so early. */
static void forget(void *ctx)
{
	struct daemon *daemon = ctx;

	qe_key_free(daemon->key);
}

enum qe_error daemon_start_helper(struct daemon *daemon)
{
	enum qe_error error = qe_router_new(
		&daemon->router, daemon->config, &daemon->log, forget, daemon);

	if (error != QE_OK)
		return daemon_fail(daemon, error,
			"the process that changes the host's network cannot be started: %s",
			qe_error_text(error));
	return QE_OK;
}

void daemon_stop_helper(struct daemon *daemon)
{
	daemon->router = qe_router_free(daemon->router);
}

/* ---- audit log ---- */

enum qe_error daemon_start_audit(struct daemon *daemon)
{
	static const struct qe_advice advice[] = {
		{-ENOENT, "the directory above does not exist: make it, with \"mkdir -p\""},
		{-EACCES, "no permission: run as root, or choose another path"},
		{-EISDIR, "it is a directory: name a file in it"},
		{-ELOOP, "it is a symbolic link: name the file itself"},
		{-EROFS, "the file system cannot be written to"},
		{},
	};
	const char *path = daemon->config->security.audit_log;
	enum qe_error error = path ? qe_audit_new(&daemon->audit, path) : QE_OK;
	char where[256];

	if (error == QE_OK)
		return QE_OK;
	qe_config_where(daemon->config, "security.audit_log", where, sizeof(where));
	return daemon_fail(daemon, error, "%s: %s: %s", where, path, qe_find_advice(advice, error));
}

/* A thread of its own, and so after the sandbox. */
enum qe_error daemon_start_audit_writer(struct daemon *daemon)
{
	enum qe_error error = daemon->audit ? qe_audit_start(daemon->audit) : QE_OK;

	return error == QE_OK ? QE_OK
			      : daemon_fail(daemon, error, "the audit log cannot be written: %s",
					qe_error_text(error));
}

void daemon_stop_audit(struct daemon *daemon)
{
	daemon->audit = qe_audit_free(daemon->audit);
}

/* ---- the host's network ---- */

/* What a daemon before this one has left behind. */
enum qe_error daemon_start_recovery(struct daemon *daemon)
{
	char text[400] = "";
	struct qe_text why = qe_text_init(text, sizeof(text));
	enum qe_error error = qe_router_recover(daemon->router, daemon->vpn_before, &why);

	return error == QE_OK ? QE_OK : daemon_fail(daemon, error, "%s", text);
}

/* What this one has changed; nothing needs the helper after that. */
void daemon_give_back(struct daemon *daemon)
{
	qe_router_give_back(daemon->router, daemon->goodbye);
}

static enum qe_error check_cpus(struct daemon *daemon)
{
	const struct qe_config_list *cpus = &daemon->config->performance.cpu_affinity;
	char where[256];

	for (size_t i = 0; i < cpus->n; i++) {
		if (qe_thread_may_pin(cpus->integers[i]))
			continue;
		qe_config_where(daemon->config, "performance.cpu_affinity", where, sizeof(where));
		return daemon_fail(daemon, QE_ERR_RANGE,
			"%s: CPU %u is none that this process may use", where, cpus->integers[i]);
	}
	return QE_OK;
}

enum qe_error daemon_start_check(struct daemon *daemon)
{
	char why_text[400] = "", where[256];
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	enum qe_error error;

	QE_TRY(check_cpus(daemon));
	error = qe_netlink_new(&daemon->netlink);
	if (error == QE_OK)
		error = qe_host_check(daemon->netlink, daemon->config, &why);
	if (error == QE_OK)
		return QE_OK;
	if (error == QE_ERR_CONFLICT)
		return daemon_fail(daemon, error, "%s", why_text);
	qe_config_where(daemon->config, "network.tun_name", where, sizeof(where));
	if (error == -EBUSY)
		return daemon_fail(daemon, error,
			"%s: there is an interface named %s already: stop what made it, or choose "
			"another name with --tun-name",
			where, daemon->config->network.tun_name);
	return daemon_fail(daemon, error, "the host's addresses and routes cannot be read: %s",
		qe_error_text(error));
}

void daemon_stop_check(struct daemon *daemon)
{
	daemon->netlink = qe_netlink_free(daemon->netlink);
}

/* ---- VPN mode ---- */

static enum qe_error on_set_exit(void *ctx, const struct qe_node_id *exit)
{
	struct daemon *daemon = ctx;

	return qe_reload_exit(&daemon->reload, exit);
}

static void on_vpn(void *ctx, json_t *params)
{
	struct daemon *daemon = ctx;

	qe_rpc_server_notify(daemon->server, "vpn", params);
}

/* Before there is anything by which the host could send into the tunnel, or beside it. */
enum qe_error daemon_start_vpn(struct daemon *daemon)
{
	const struct qe_vpn_settings settings = {
		.directory = daemon->directory,
		.node = daemon->node,
		.loop = daemon->loop,
		.netlink = daemon->netlink,
		.router = daemon->router,
		.log = &daemon->log,
		.audit = daemon->audit,
		.before = daemon->vpn_before,
		.set_exit = on_set_exit,
		.notify = on_vpn,
		.ctx = daemon,
	};
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	/* As much as it takes to set the exit. */
	daemon->reload = (struct qe_reload_parts){.key = daemon->key,
		.node = daemon->node,
		.policy = daemon->policy,
		.n_workers = daemon->devices.n};
	enum qe_error error = qe_vpn_new(&daemon->vpn, &settings, &why);

	return error == QE_OK ? QE_OK : daemon_fail(daemon, error, "VPN mode: %s", why_text);
}

void daemon_stop_vpn(struct daemon *daemon)
{
	daemon->vpn = qe_vpn_free(daemon->vpn, daemon->goodbye);
}

enum qe_error daemon_enter_vpn(struct daemon *daemon)
{
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	enum qe_error error = qe_vpn_start(daemon->vpn, &why);

	return error == QE_OK ? QE_OK : daemon_fail(daemon, error, "VPN mode: %s", why_text);
}

/* ---- the host's network ---- */

enum qe_error daemon_start_udp(struct daemon *daemon)
{
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	enum qe_error error = qe_devices_open_udp(&daemon->devices, daemon->config, &why);

	return error == QE_OK ? QE_OK : daemon_fail(daemon, error, "%s", why_text);
}

void daemon_stop_udp(struct daemon *daemon)
{
	qe_devices_close_udp(&daemon->devices);
}

enum qe_error daemon_start_listener(struct daemon *daemon)
{
	static const struct qe_advice advice[] = {
		{-EADDRINUSE, "a daemon is running there already: \"quicether stop\" ends it"},
		{-EBUSY, "another daemon is being started there: wait for it, then stop it with "
			 "\"quicether stop\""},
		{-EEXIST, "what is there is no socket: remove it, or choose another path"},
		{-EACCES, "no permission: run as root"},
		{-EPERM, "no permission: run as root"},
		{-EROFS, "the file system cannot be written to"},
		{-ENOENT, "the directory above does not exist"},
		{-ENAMETOOLONG, "the path is too long: at most 107 bytes"},
		{},
	};
	const char *path = daemon->config->socket_path;
	enum qe_error error = qe_unix_listener_new(&daemon->listener, path, socket_group);

	if (error != QE_OK)
		return daemon_fail(daemon, error, "control socket %s: %s", path,
			qe_find_advice(advice, error));
	return QE_OK;
}

void daemon_stop_listener(struct daemon *daemon)
{
	daemon->listener = qe_unix_listener_free(daemon->listener);
}

enum qe_error daemon_start_tun(struct daemon *daemon)
{
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	enum qe_error error = qe_devices_open_tun(&daemon->devices, daemon->config, &why);

	return error == QE_OK ? QE_OK : daemon_fail(daemon, error, "%s", why_text);
}

void daemon_stop_tun(struct daemon *daemon)
{
	qe_devices_close_tun(&daemon->devices);
}

static void on_unreachable(void *ctx, const struct qe_prefix *prefixes, size_t n)
{
	struct daemon *daemon = ctx;
	enum qe_error error = qe_node_set_withdrawn(daemon->node, prefixes, n, qe_clock_now());

	if (error != QE_OK)
		qe_log(&daemon->log, QE_LOG_ERROR, "not_withdrawn", nullptr,
			"what cannot be reached is announced all the same: %s",
			qe_error_text(error));
}

enum qe_error daemon_start_router(struct daemon *daemon)
{
	const struct qe_router_sink sink = {on_unreachable, daemon};
	struct qe_addr overlay = qe_node_id_overlay_addr(qe_node_get_id(daemon->node));
	char why_text[400] = "";
	struct qe_text why = qe_text_init(why_text, sizeof(why_text));
	enum qe_error error = qe_router_start(
		daemon->router, daemon->loop, daemon->netlink, &overlay, &sink, &why);

	if (error != QE_OK)
		return daemon_fail(daemon, error, "%s", why_text);
	return QE_OK;
}

void daemon_stop_router(struct daemon *daemon)
{
	qe_router_stop(daemon->router);
}

enum qe_error daemon_start_network(struct daemon *daemon)
{
	enum qe_error error = qe_network_new(&daemon->network, daemon->directory, &daemon->log,
		daemon->loop, daemon->netlink, daemon->router, daemon->vpn);

	if (error != QE_OK)
		return daemon_fail(daemon, error, "the host's network cannot be watched: %s",
			qe_error_text(error));
	return QE_OK;
}

void daemon_stop_network(struct daemon *daemon)
{
	daemon->network = qe_network_free(daemon->network);
}

/* ---- privileges ---- */

/* Folders, for editors put a new file in the place of the former. Those that are not there have
 * nothing to be read. */
static size_t add_folders(struct qe_sandbox_folder *folders, const char *file, uint8_t uses)
{
	size_t n = 0;

	if (file && qe_sandbox_open_folder(&folders[n].fd, file, false) == QE_OK)
		folders[n++].uses = uses;
	if (file && qe_sandbox_open_folder(&folders[n].fd, file, true) == QE_OK)
		folders[n++].uses = uses;
	return n;
}

enum qe_error daemon_start_sandbox(struct daemon *daemon)
{
	struct qe_sandbox_folder folders[8] = {
		{qe_unix_listener_directory(daemon->listener), QE_SANDBOX_REMOVE},
		{daemon->audit ? qe_audit_folder(daemon->audit) : -1, QE_SANDBOX_WRITE},
	};
	const size_t n_own = 2;
	size_t n = n_own + add_folders(&folders[n_own], daemon->config->file, QE_SANDBOX_READ);
	n += add_folders(&folders[n], daemon->config->security.policy_file, QE_SANDBOX_READ);
	bool confined = false;
	enum qe_error error = qe_sandbox_enter(folders, n, &confined);

	while (n > n_own)
		qe_sandbox_close_folder(folders[--n].fd);
	if (error != QE_OK)
		return daemon_fail(
			daemon, error, "privileges cannot be dropped: %s", qe_error_text(error));
	if (!confined)
		qe_log(&daemon->log, QE_LOG_DEBUG, "no_landlock", nullptr,
			"this kernel has no Landlock: files are not out of reach");
	return QE_OK;
}
