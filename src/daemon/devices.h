/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What packets come and go by: the UDP socket and the TUN interface, a socket and a queue for each
 * worker. */
#pragma once

#include "base/text.h"
#include "config/config.h"
#include "os/tun.h"
#include "os/udp.h"

struct qe_devices {
	unsigned n; /* workers */
	struct qe_udp *udps[QE_WORKERS_MAX];
	struct qe_tun *tuns[QE_WORKERS_MAX];
};

/* For as many workers as are configured, or good. */
struct qe_devices qe_devices_init(const struct qe_config *config);

/* What fails is said in why. */
enum qe_error qe_devices_open_udp(
	struct qe_devices *devices, const struct qe_config *config, struct qe_text *why);
void qe_devices_close_udp(struct qe_devices *devices);
enum qe_error qe_devices_open_tun(
	struct qe_devices *devices, const struct qe_config *config, struct qe_text *why);
void qe_devices_close_tun(struct qe_devices *devices);
