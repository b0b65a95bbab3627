/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a policy says, before names mean anything: groups, rules in their order, schedules and
 * tests. It is filled by whoever reads a policy (config/), judged by `policy check`, and compiled
 * into what packets are asked against (policy/policy.h). Plain data: every pointer in it is owned
 * by it and came from malloc, or is NULL where n is 0; qe_policy_source_done() frees all of it.
 */
#pragma once

#include "base/error.h"

#define QE_POLICY_RULES_MAX 16384
#define QE_POLICY_TESTS_MAX 16384
#define QE_POLICY_LIST_MAX 4096   /* items of one list of a rule or group */
#define QE_POLICY_GROUPS_MAX 4096 /* of the policy and of the members together */

struct qe_zone;

struct qe_policy_place {
	uint32_t line, column; /* from 1; 0: it stands in no file */
};

enum qe_action : uint8_t { QE_ACTION_DENY, QE_ACTION_ALLOW };

enum qe_policy_term_kind : uint8_t {
	QE_POLICY_ANY,     /* "*" */
	QE_POLICY_NODE,    /* name */
	QE_POLICY_NODE_ID, /* id */
	QE_POLICY_GROUP,   /* name */
	QE_POLICY_PREFIX   /* prefix; in objects, and in a test's to */
};

/* One word of a list: who a packet is from, or where it goes. As an object, a node or a group
 * stands for the addresses of its own that a node has, not for the subnets behind it. */
struct qe_policy_term {
	enum qe_policy_term_kind kind;
	char *name;
	struct qe_node_id id;
	struct qe_prefix prefix;
	struct qe_policy_place place;
};

struct qe_policy_group {
	char *name;
	struct qe_policy_term *members; /* NODE, NODE_ID, GROUP */
	size_t n_members;
	struct qe_policy_place place;
};

/* A protocol is its number, or one of these. */
#define QE_POLICY_PROTOCOL_ANY 256
#define QE_POLICY_PROTOCOL_ICMP 257 /* ICMP in IPv4, ICMPv6 in IPv6 */

struct qe_policy_ports {
	uint16_t first, last; /* first <= last */
};

/* When a rule holds, by the wall clock of a time zone. */
struct qe_policy_schedule {
	uint8_t days; /* those on which it begins; bit 0: Monday to bit 6: Sunday */
	/* Minutes since midnight, 0 to 1440. From from until before until; where until is not
	 * later, until the next day's. 0 and 1440: the whole day. */
	uint16_t from, until;
	char *zone_name;      /* "Europe/Berlin"; NULL: UTC */
	struct qe_zone *zone; /* NULL: UTC */
};

struct qe_policy_rule {
	char *id;
	struct qe_policy_term *subjects; /* at least one */
	size_t n_subjects;
	struct qe_policy_term *objects; /* at least one */
	size_t n_objects;
	uint16_t *protocols; /* none: any */
	size_t n_protocols;
	/* Destination ports. With any, the rule matches only packets that have ports. */
	struct qe_policy_ports *ports;
	size_t n_ports;
	enum qe_action action;
	bool log;
	struct qe_policy_schedule *schedule; /* NULL: always */
	struct qe_policy_place place;
};

#define QE_POLICY_NO_TIME UINT16_MAX

struct qe_policy_test {
	struct qe_policy_term from; /* NODE, NODE_ID */
	struct qe_policy_term to;   /* NODE, NODE_ID, PREFIX (an address) */
	uint16_t protocol;          /* QE_POLICY_PROTOCOL_ICMP is possible, ANY is not */
	bool has_port;
	uint16_t port;
	/* Minutes since Monday's midnight, by the clocks of each schedule's own zone;
	 * QE_POLICY_NO_TIME: no rule with a schedule holds. */
	uint16_t at;
	enum qe_action expect;
	struct qe_policy_place place;
};

struct qe_policy_source {
	struct qe_policy_group *groups;
	size_t n_groups;
	struct qe_policy_rule *rules; /* the first that matches decides */
	size_t n_rules;
	struct qe_policy_test *tests;
	size_t n_tests;
};

/* Frees what the source owns and makes it empty; the struct itself is the caller's. */
void qe_policy_source_done(struct qe_policy_source *source);

/* Wall time is in seconds since 1970, UTC. schedule may be NULL. */
bool qe_policy_schedule_holds(const struct qe_policy_schedule *schedule, int64_t now);
/* A time after now before which no rule begins or ceases to hold; INT64_MAX: never. The policy is
 * then compiled again. */
int64_t qe_policy_next_change(const struct qe_policy_source *source, int64_t now);
