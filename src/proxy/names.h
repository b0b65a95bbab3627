/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Names to addresses, through the tunnel: names of nodes from the configuration, all others from
 * the servers that VPN mode would ask, and never from this host's resolver.
 */
#pragma once

#include "config/config.h"
#include "proxy/stack.h"

struct qe_names;

/* Nothing is owned. */
enum qe_error qe_names_new(struct qe_names **ret_names, struct qe_loop *loop,
	struct qe_stack *stack, const struct qe_config *config);
struct qe_names *qe_names_free(struct qe_names *names); /* after its questions; NULL-safe */

#define QE_NAME_ADDRS_MAX 16

struct qe_question;

/* answered: once, from the loop, unless the question is freed before; it may free the question, to
 * which the addresses belong. n is 0 when there is no such
 * name, or nobody said. QE_ERR_SYNTAX: no domain name; QE_ERR_NOT_FOUND: there is nobody to ask. */
enum qe_error qe_question_new(struct qe_question **ret_question, struct qe_names *names,
	const char *name, void (*answered)(void *ctx, const struct qe_addr *addrs, size_t n),
	void *ctx, qe_time now);
struct qe_question *qe_question_free(struct qe_question *question); /* NULL-safe */
