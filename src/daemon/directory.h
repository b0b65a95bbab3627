/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The configuration in effect, and its peers by the slots that the node has given them. Whoever
 * needs either asks here each time, as a reload replaces the configuration as a whole: nothing that
 * was taken from it may be kept. Control thread.
 */
#pragma once

#include "config/config.h"

struct qe_directory;

/* Takes the configuration, if it succeeds; its peer i has slot i. */
enum qe_error qe_directory_new(struct qe_directory **ret_directory, struct qe_config *config);
struct qe_directory *qe_directory_free(struct qe_directory *directory); /* NULL-safe */

/* Makes room for the next configuration, which the node does not have yet. */
enum qe_error qe_directory_reserve(
	struct qe_directory *directory, const struct qe_config *next, const struct qe_node *node);
/* Takes the next configuration, which room was made for and which the node has now; the one before
 * is the caller's. */
struct qe_config *qe_directory_change(
	struct qe_directory *directory, struct qe_config *next, const struct qe_node *node);

const struct qe_config *qe_directory_config(const struct qe_directory *directory);
/* All slots that there have ever been are below; once room was made for the next configuration, its
 * slots too. */
size_t qe_directory_slots(const struct qe_directory *directory);
/* Of peer i of the configuration. */
size_t qe_directory_slot(const struct qe_directory *directory, size_t i);
/* NULL if there is none in that slot any more. */
const struct qe_config_peer *qe_directory_peer(const struct qe_directory *directory, size_t slot);
/* The slot of the peer whose name or NodeId, or the beginning of it, text is: the whole name of one
 * wins over the beginning of another's NodeId. QE_ERR_NOT_FOUND, QE_ERR_AMBIGUOUS. */
enum qe_error qe_directory_find(
	const struct qe_directory *directory, const char *text, size_t *ret_slot);
/* The peer's name, or its NodeId if it has none. */
void qe_peer_label(char to[static QE_NAME_MAX + 1], const struct qe_config_peer *peer);
/* The name of the peer in the slot; its NodeId if it has none or is gone. */
void qe_directory_label(
	const struct qe_directory *directory, size_t slot, char to[static QE_NAME_MAX + 1]);
