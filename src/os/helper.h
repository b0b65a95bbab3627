/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A process beside the daemon that keeps the one right which a running daemon still needs, that to
 * change the host's network, and does for it the few things below, on one interface. It ends with
 * the daemon, however that ends, and gives the host back as it was. Control thread; each call waits
 * for its answer.
 */
#pragma once

#include "os/nft.h"
#include "os/vpn_plan.h"

#define QE_HELPER_PREFIXES_MAX 1024 /* of one call */

struct qe_helper;
struct qe_host_dns_answer;

/* Call it while there is no other thread. interface: the only one whose addresses and routes it
 * touches; it need not be there yet. socket_path: of the daemon's control socket, beside which the
 * journal stands (os/journal.h), and whose folder is made if it is missing; NULL: none, for tests.
 * forget: called first in the new process, to get rid of what is
 * secret in the memory that it has got; may be NULL. *ret_confined is false where the kernel has no
 * Landlock. */
enum qe_error qe_helper_new(struct qe_helper **ret_helper, const char *interface,
	const char *socket_path, void (*forget)(void *ctx), void *ctx, bool *ret_confined);
/* Says QE_GOODBYE unless something was said, and waits until that is done. NULL-safe. */
struct qe_helper *qe_helper_free(struct qe_helper *helper);
/* Readable when qe_helper_is_alive is worth asking: the process does not end by itself. */
int qe_helper_fd(const struct qe_helper *helper);
bool qe_helper_is_alive(struct qe_helper *helper);

/* How the daemon ends. One that is killed says nothing: then VPN mode's kill switch, its rules,
 * unreachable routes and the resolver stay, if its plan has a kill switch, and all else is undone.
 */
enum qe_goodbye : uint8_t {
	QE_GOODBYE,          /* the host is given back */
	QE_GOODBYE_HOLD,     /* but what blocks stays for the next start */
	QE_GOODBYE_AS_FOUND, /* what stood before this start stays: it has failed */
};
void qe_helper_goodbye(struct qe_helper *helper, enum qe_goodbye goodbye);

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

/* Of which families what no other route is for is sent into the interface, whatever default route
 * the host has, but for packets with QE_VPN_MARK; replaces what was asked for before. -EEXIST:
 * somebody did so. QE_ERR_CONFLICT: VPN mode has its own way. */
enum qe_error qe_helper_take_defaults(struct qe_helper *helper, bool ipv4, bool ipv6);

/* Which families the host is to forward; replaces what was asked for before. What it forwarded
 * anyway is left alone. */
enum qe_error qe_helper_forward(struct qe_helper *helper, bool ipv4, bool ipv6);

/* As qe_nft_set_gateway; replaces. */
enum qe_error qe_helper_gateway(
	struct qe_helper *helper, const struct qe_nft_gateway *gateway, struct qe_text *why);

/* To be called first: undoes what a daemon that is gone has left behind; why says what that was, or
 * is empty. What blocks in VPN mode stays until qe_helper_vpn, if keep says so, or if nobody has
 * ended that mode: ret_via is then the NodeId of its gateway, else empty. -EBUSY: another daemon's
 * helper has the journal; QE_ERR_SYNTAX: it cannot be read. */
enum qe_error qe_helper_recover(struct qe_helper *helper, bool keep,
	char ret_via[static QE_NODE_ID_TEXT_SIZE], struct qe_text *why);

/* What the host is to be in VPN mode, in place of what it is, and without a gap; NULL: as before
 * it, and nothing that was kept stays either. While the interface is not there, or down, a plan
 * blocks what is to go into it. On an error all is as it was before the call, and why
 * says what went wrong. QE_ERR_RANGE: no sound plan; QE_ERR_CONFLICT: somebody else uses the same
 * table, mark or rules; -ENOENT: there is no nft. */
enum qe_error qe_helper_vpn(
	struct qe_helper *helper, const struct qe_vpn_plan *plan, struct qe_text *why);

/* Sockets that the daemon may not make any more. They do not block, and close on exec. */

/* Its packets go beside the tunnel, wherever VPN mode and default routes send the others. */
enum qe_error qe_helper_marked_socket(
	struct qe_helper *helper, enum qe_family family, bool stream, int *ret_fd);
/* Bound to port 53 of QE_HOST_DNS_SERVER, for this host alone; or of an address that the interface
 * has, for what comes by it. With stream it listens. QE_ERR_RANGE: another address; -EADDRINUSE. */
enum qe_error qe_helper_names_socket(
	struct qe_helper *helper, const struct qe_addr *addr, bool stream, int *ret_fd);

/* Names are asked of QE_HOST_DNS_SERVER from now on, see os/host_dns.h, or again, where somebody
 * has changed it. search: a domain that is tried for names without a dot, or NULL. server NULL:
 * asked as they were before; ret is then left alone. *why says each way that failed, even where
 * another one went well. */
enum qe_error qe_helper_set_dns(struct qe_helper *helper, const struct qe_addr *server,
	const char *search, struct qe_host_dns_answer *ret, struct qe_text *why);
/* Whether that is so still; true where the helper does not answer. */
bool qe_helper_has_dns(struct qe_helper *helper);
