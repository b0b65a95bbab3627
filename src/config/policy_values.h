/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The values of a policy file, from TOML. Private to this folder. Each function reports what is
 * wrong, with the key under way, and says whether it could read. */
#pragma once

#include "config/diagnostics.h"
#include "config/toml.h"
#include "policy/source.h"

#define QE_POLICY_EVERY_DAY 0x7f

struct qe_policy_key;

struct qe_policy_reader {
	const char *file;
	struct qe_diagnostics *diagnostics;
	enum qe_error error; /* of the system, sticky */
	/* What is being read. */
	const char *section;
	const struct qe_policy_key *key;
};

struct qe_policy_key {
	const char *name; /* NULL ends a table of them */
	bool required;
	const char *expected;
	bool (*read)(struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value);
};

/* The keys of a file, in policy_file.c. */
extern const struct qe_policy_key qe_policy_group_keys[], qe_policy_rule_keys[],
	qe_policy_schedule_keys[], qe_policy_test_keys[];

/* NULL if there is none of that name. */
const struct qe_policy_key *qe_policy_find_key(const struct qe_policy_key *keys, const char *name);
/* All keys of a table; keys: up to the one without a name. */
bool qe_policy_read_table(struct qe_policy_reader *reader, const char *section,
	const struct qe_policy_key *keys, void *to, const struct qe_toml_value *table);

/* These report and return false. */
bool qe_policy_out_of_memory(struct qe_policy_reader *reader);
[[gnu::format(printf, 3, 4)]] bool qe_policy_refuse(struct qe_policy_reader *reader,
	const struct qe_toml_value *value, const char *format, ...);
bool qe_policy_refuse_type(struct qe_policy_reader *reader, const struct qe_toml_value *value);

struct qe_policy_place qe_policy_place_of(struct qe_toml_place place);

/* Which terms a key takes, and how they are written. */
enum qe_terms { QE_TERMS_MEMBER, QE_TERMS_SUBJECT, QE_TERMS_OBJECT, QE_TERMS_FROM, QE_TERMS_TO };

bool qe_policy_read_name(
	struct qe_policy_reader *reader, char **to, const struct qe_toml_value *value);
bool qe_policy_read_term(struct qe_policy_reader *reader, enum qe_terms terms,
	struct qe_policy_term *to, const struct qe_toml_value *value);
bool qe_policy_read_protocol(
	struct qe_policy_reader *reader, uint16_t *to, const struct qe_toml_value *value);
bool qe_policy_read_range(struct qe_policy_reader *reader, struct qe_policy_ports *to,
	const struct qe_toml_value *value);
bool qe_policy_read_action(
	struct qe_policy_reader *reader, enum qe_action *to, const struct qe_toml_value *value);

/* One value, or a list of them that is not empty. *to and *n own what was read, whatever is
 * returned. */
bool qe_policy_read_terms(struct qe_policy_reader *reader, enum qe_terms terms,
	struct qe_policy_term **to, size_t *n, const struct qe_toml_value *value);
bool qe_policy_read_protocols(struct qe_policy_reader *reader, uint16_t **to, size_t *n,
	const struct qe_toml_value *value);
bool qe_policy_read_ports(struct qe_policy_reader *reader, struct qe_policy_ports **to, size_t *n,
	const struct qe_toml_value *value);

bool qe_policy_read_days(
	struct qe_policy_reader *reader, uint8_t *to, const struct qe_toml_value *value);
/* to: a struct qe_policy_schedule. */
bool qe_policy_read_hours(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value);
/* "tue 10:30": minutes since Monday's midnight. */
bool qe_policy_read_week_time(
	struct qe_policy_reader *reader, uint16_t *to, const struct qe_toml_value *value);
bool qe_policy_read_zone(
	struct qe_policy_reader *reader, void *to, const struct qe_toml_value *value);
