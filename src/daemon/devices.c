/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include <errno.h>

#include "daemon/advice.h"
#include "daemon/devices.h"
#include "net/addr.h"
#include "os/thread.h"

/* A worker that carries all it can keeps about one more CPU busy, with the kernel's part and the
 * programs that send and receive: with a worker for each CPU nothing was gained. */
constexpr unsigned auto_max = 4;

static unsigned count_workers(const struct qe_config *config)
{
	unsigned pairs = qe_thread_cpus() / 2;

	if (config->performance.workers > 0)
		return config->performance.workers;
	if (config->performance.cpu_affinity.n > 0)
		return (unsigned)config->performance.cpu_affinity.n;
	if (pairs > auto_max)
		return auto_max;
	return pairs > 0 ? pairs : 1;
}

struct qe_devices qe_devices_init(const struct qe_config *config)
{
	return (struct qe_devices){.n = count_workers(config)};
}

/* ---- UDP ---- */

static enum qe_error open_udp(struct qe_devices *devices, const struct qe_config *config)
{
	QE_TRY(qe_udp_new_group(devices->udps, devices->n, &config->network.listen));
	for (unsigned i = 0; i < devices->n; i++)
		QE_TRY(qe_udp_set_dscp(devices->udps[i], (uint8_t)config->network.dscp));
	return QE_OK;
}

enum qe_error qe_devices_open_udp(
	struct qe_devices *devices, const struct qe_config *config, struct qe_text *why)
{
	static const struct qe_advice advice[] = {
		{-EADDRINUSE, "another program uses the port: stop it, or choose another with "
			      "--listen"},
		{-EADDRNOTAVAIL, "this host does not have the address"},
		{-EACCES, "the port is reserved: run as root, or choose one above 1023"},
		{-EAFNOSUPPORT, "this host has no IPv6"},
		{},
	};
	enum qe_error error = open_udp(devices, config);
	char text[QE_ENDPOINT_TEXT_SIZE], where[256];

	if (error == QE_OK)
		return QE_OK;
	qe_endpoint_format(text, &config->network.listen);
	qe_config_where(config, "network.listen", where, sizeof(where));
	qe_text_addf(
		why, "%s: cannot listen on UDP %s: %s", where, text, qe_find_advice(advice, error));
	return error;
}

void qe_devices_close_udp(struct qe_devices *devices)
{
	for (unsigned i = 0; i < devices->n; i++)
		devices->udps[i] = qe_udp_free(devices->udps[i]);
}

/* ---- TUN ---- */

enum qe_error qe_devices_open_tun(
	struct qe_devices *devices, const struct qe_config *config, struct qe_text *why)
{
	static const struct qe_advice advice[] = {
		{-EBUSY, "there is an interface of that name already: choose another with "
			 "--tun-name"},
		{-EPERM, "no permission to make one (CAP_NET_ADMIN is missing): run as root"},
		{-EACCES, "no permission to open /dev/net/tun: run as root"},
		{-ENOENT, "there is no /dev/net/tun: load the module with \"modprobe tun\", or let "
			  "the container have the device"},
		{-ENODEV, "the kernel has no TUN driver: load it with \"modprobe tun\""},
		{-ENXIO, "the kernel has no TUN driver: load it with \"modprobe tun\""},
		{},
	};
	const char *name = config->network.tun_name;
	enum qe_error error = qe_tun_new_queues(devices->tuns, devices->n, name);

	if (error != QE_OK)
		qe_text_addf(why, "TUN interface %s: %s", name, qe_find_advice(advice, error));
	return error;
}

void qe_devices_close_tun(struct qe_devices *devices)
{
	for (unsigned i = 0; i < devices->n; i++)
		devices->tuns[i] = qe_tun_free(devices->tuns[i]);
}
