/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * A policy as packets meet it: the rules of a source that hold at a time, with members in place of
 * names. It is immutable and may be asked by any number of threads. The first rule that matches
 * decides; a packet that none matches is denied.
 */
#pragma once

#include "net/addr.h"
#include "policy/source.h"

#define QE_POLICY_SELF (UINT32_MAX - 1) /* this node as a subject */
#define QE_POLICY_NO_RULE UINT32_MAX

struct qe_policy;

/* A node that rules may name. All pointers are the caller's and needed only while compiling. */
struct qe_policy_member {
	const char *name; /* may be NULL */
	struct qe_node_id id;
	uint32_t slot;                     /* below QE_PEERS_MAX, or QE_POLICY_SELF */
	const struct qe_prefix *addresses; /* its own: overlay address and `addresses` */
	size_t n_addresses;
	const char *const *groups; /* that its own configuration puts it into */
	size_t n_groups;
};

/* What a policy could not be compiled for. */
struct qe_policy_fault {
	uint32_t group, rule; /* where it stands: index in the source, or QE_POLICY_NO_RULE */
	const struct qe_policy_term *term; /* in the source */
};

/*
 * Groups of the policy and of the members are one namespace: who is in either is in the group. A
 * NodeId that no member has is a node with its overlay address alone, and no subject.
 * QE_ERR_NOT_FOUND: a name that nobody has; QE_ERR_AMBIGUOUS: that two members have;
 * QE_ERR_CONFLICT: a group that contains itself: with *ret_fault, which may be NULL and is written
 * only then. QE_ERR_FULL: more rules or groups than their maximum; -ENOMEM.
 */
enum qe_error qe_policy_compile(struct qe_policy **ret_policy,
	const struct qe_policy_source *source, const struct qe_policy_member *members,
	size_t n_members, int64_t now, struct qe_policy_fault *ret_fault);
struct qe_policy *qe_policy_free(struct qe_policy *policy);
size_t qe_policy_memory(const struct qe_policy *policy); /* bytes */

struct qe_policy_packet {
	/* Who it is from: a slot or QE_POLICY_SELF; another number is nobody that a rule names. */
	uint32_t subject;
	struct qe_addr source, destination; /* of one family */
	uint8_t protocol;
	bool has_ports; /* TCP or UDP, and not behind the first fragment */
	uint16_t source_port, destination_port;
};

struct qe_policy_result {
	enum qe_action action;
	bool log;
	uint32_t rule; /* index in the source's order, or QE_POLICY_NO_RULE */
};

void qe_policy_evaluate(const struct qe_policy *policy, const struct qe_policy_packet *packet,
	struct qe_policy_result *ret_result);
