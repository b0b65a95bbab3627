/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A process beside the daemon that keeps the one right which a running daemon still needs, that to
 * change the host's network, and does for it the few things below, on one interface. It ends with
 * the daemon, however that ends, and gives the host back as it was. Control thread; each call waits
 * for its answer.
 */
#pragma once

#include "base/text.h"
#include "net/addr.h"

#define QE_HELPER_PREFIXES_MAX 1024 /* of one call */

struct qe_helper;

/* Call it while there is no other thread. interface: the only one whose addresses and routes it
 * touches; it need not be there yet. forget: called first in the new process, to get rid of what is
 * secret in the memory that it has got; may be NULL. *ret_confined is false where the kernel has no
 * Landlock. */
enum qe_error qe_helper_new(struct qe_helper **ret_helper, const char *interface,
	void (*forget)(void *ctx), void *ctx, bool *ret_confined);
/* Waits until the host is as it was. NULL-safe. */
struct qe_helper *qe_helper_free(struct qe_helper *helper);
/* Readable when qe_helper_is_alive is worth asking: the process does not end by itself. */
int qe_helper_fd(const struct qe_helper *helper);
bool qe_helper_is_alive(struct qe_helper *helper);

/* All calls: -EPIPE when the process is gone, -ETIMEDOUT when it does not answer; else as
 * os/netlink.h has it. */

enum qe_error qe_helper_add_addr(
	struct qe_helper *helper, const struct qe_addr *addr, uint8_t length);
enum qe_error qe_helper_remove_addr(
	struct qe_helper *helper, const struct qe_addr *addr, uint8_t length);

/* Routes that lead into the interface. The result is the first error; the others are tried all the
 * same, and ret_errors, if not NULL, has one for each. One that is gone already is no error. */
enum qe_error qe_helper_add_routes(struct qe_helper *helper, const struct qe_prefix *prefixes,
	size_t n, enum qe_error *ret_errors);
enum qe_error qe_helper_remove_routes(struct qe_helper *helper, const struct qe_prefix *prefixes,
	size_t n, enum qe_error *ret_errors);

/* Of which families what no other route is for is sent into the interface, see
 * qe_netlink_take_default; replaces what was asked for before. */
enum qe_error qe_helper_take_defaults(struct qe_helper *helper, bool ipv4, bool ipv6);

/* Which families the host is to forward; replaces what was asked for before. What it forwarded
 * anyway is left alone. */
enum qe_error qe_helper_forward(struct qe_helper *helper, bool ipv4, bool ipv6);

/* As qe_nft_masquerade; replaces. */
enum qe_error qe_helper_masquerade(
	struct qe_helper *helper, const struct qe_prefix *prefixes, size_t n, struct qe_text *why);

/* Sockets that the daemon may not make any more. They do not block, and close on exec. */

/* Its packets go beside the tunnel, wherever VPN mode and default routes send the others. */
enum qe_error qe_helper_marked_socket(
	struct qe_helper *helper, enum qe_family family, bool stream, int *ret_fd);
/* Bound to port 53 of QE_HOST_DNS_SERVER, for this host alone; or of an address that the interface
 * has, for what comes by it. With stream it listens. QE_ERR_RANGE: another address; -EADDRINUSE. */
enum qe_error qe_helper_names_socket(
	struct qe_helper *helper, const struct qe_addr *addr, bool stream, int *ret_fd);
