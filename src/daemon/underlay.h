/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The addresses at which peers are reached outside of the tunnel, as far as they are known: no peer
 * may announce one of them, and no route that holds one is given to the host, as what goes there
 * would go round in circles. Control thread.
 */
#pragma once

#include "daemon/directory.h"
#include "daemon/endpoints.h"
#include "daemon/router.h"
#include "os/loop.h"

struct qe_underlay;

/* Nothing is owned. */
enum qe_error qe_underlay_new(struct qe_underlay **ret_underlay, struct qe_node *node,
	const struct qe_directory *directory, const struct qe_endpoints *endpoints,
	struct qe_router *router, struct qe_loop *loop);
struct qe_underlay *qe_underlay_free(struct qe_underlay *underlay); /* NULL-safe */

/* A link to the peer goes there; of no account if an installed route of the overlay does, too. */
void qe_underlay_seen(struct qe_underlay *underlay, size_t slot, const struct qe_addr *addr);
/* Endpoints or peers have changed. */
void qe_underlay_changed(struct qe_underlay *underlay);
