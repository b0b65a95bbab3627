/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Whom the host's programs ask for names: our resolver, while it is wanted. What others change
 * meanwhile is put back, twice and no more, as they may have their reasons; the tunnel needs none
 * of it. Control thread.
 */
#pragma once

#include "daemon/log.h"
#include "os/helper.h"
#include "os/host_dns.h"
#include "os/loop.h"

struct qe_host_names;

/* Nothing is owned. */
struct qe_host_names_settings {
	struct qe_loop *loop;
	struct qe_helper *helper;
	const struct qe_log *log;
	/* State or answer have changed, and not by a call. */
	void (*changed)(void *ctx);
	void *ctx;
};

enum qe_host_names_state : uint8_t {
	QE_HOST_NAMES_OFF,
	QE_HOST_NAMES_OURS,
	QE_HOST_NAMES_THEIRS, /* somebody else has changed it once more, and it is left so */
	QE_HOST_NAMES_FAILED, /* tried again now and then */
};

enum qe_error qe_host_names_new(
	struct qe_host_names **ret_names, const struct qe_host_names_settings *settings);
/* What was changed is the helper's to give back, at its end or before. NULL-safe. */
struct qe_host_names *qe_host_names_free(struct qe_host_names *names);

/* search: a domain, or NULL; copied. What fails is logged, and in the state. */
void qe_host_names_set(struct qe_host_names *names, const char *search);
void qe_host_names_unset(struct qe_host_names *names);

enum qe_host_names_state qe_host_names_state(const struct qe_host_names *names);
/* "off", "ours", ... */
const char *qe_host_names_state_name(enum qe_host_names_state state);
/* By which method, and whom the host asked before; as far as it is known when it failed, too. */
const struct qe_host_dns_answer *qe_host_names_answer(const struct qe_host_names *names);
