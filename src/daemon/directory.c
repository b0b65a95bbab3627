/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "daemon/directory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "crypto/node_id.h"

struct slot {
	struct qe_node_id id; /* of who is in it, or was last */
	size_t index;         /* in the configuration; SIZE_MAX: there is nobody */
};

struct qe_directory {
	struct qe_config *config;
	struct slot *slots;
	size_t n_slots, n_used; /* those beyond n_used have never had anybody */
	size_t *by_index;       /* the slot of each peer of the configuration */
	size_t n_by_index;
};

static enum qe_error grow_slots(struct qe_directory *directory, size_t n)
{
	struct slot *slots;

	if (n <= directory->n_slots)
		return QE_OK;
	slots = qe_array_grow(directory->slots, directory->n_slots, n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	directory->slots = slots;
	while (directory->n_slots < n)
		slots[directory->n_slots++].index = SIZE_MAX;
	return QE_OK;
}

static enum qe_error grow_by_index(struct qe_directory *directory, size_t n)
{
	size_t *by_index;

	if (n <= directory->n_by_index)
		return QE_OK;
	by_index = qe_array_grow(directory->by_index, directory->n_by_index, n, sizeof(*by_index));
	if (!by_index)
		return -ENOMEM;
	directory->by_index = by_index;
	directory->n_by_index = n;
	return QE_OK;
}

/* The node gives a new peer the slot of one that is gone, or the next one. */
enum qe_error qe_directory_reserve(
	struct qe_directory *directory, const struct qe_config *next, const struct qe_node *node)
{
	size_t n_new = 0;

	for (size_t i = 0; i < next->n_peers; i++)
		n_new += qe_node_find_peer(node, &next->peers[i].id) == SIZE_MAX;
	QE_TRY(grow_slots(directory, directory->n_used + n_new));
	return grow_by_index(directory, next->n_peers);
}

static void put(struct qe_directory *directory, size_t i, size_t slot)
{
	directory->by_index[i] = slot;
	directory->slots[slot] = (struct slot){directory->config->peers[i].id, i};
	if (slot >= directory->n_used)
		directory->n_used = slot + 1;
}

struct qe_config *qe_directory_change(
	struct qe_directory *directory, struct qe_config *next, const struct qe_node *node)
{
	struct qe_config *before = directory->config;

	for (size_t i = 0; i < before->n_peers; i++)
		directory->slots[directory->by_index[i]].index = SIZE_MAX;
	directory->config = next;
	for (size_t i = 0; i < next->n_peers; i++)
		put(directory, i, qe_node_find_peer(node, &next->peers[i].id));
	return before;
}

/* ---- questions ---- */

const struct qe_config *qe_directory_config(const struct qe_directory *directory)
{
	return directory->config;
}

size_t qe_directory_slots(const struct qe_directory *directory)
{
	return directory->n_slots;
}

size_t qe_directory_slot(const struct qe_directory *directory, size_t i)
{
	return directory->by_index[i];
}

const struct qe_config_peer *qe_directory_peer(const struct qe_directory *directory, size_t slot)
{
	size_t index = slot < directory->n_slots ? directory->slots[slot].index : SIZE_MAX;

	return index == SIZE_MAX ? nullptr : &directory->config->peers[index];
}

enum qe_error qe_directory_find(
	const struct qe_directory *directory, const char *text, size_t *ret_slot)
{
	const struct qe_config *config = directory->config;
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < config->n_peers; i++) {
		if (config->peers[i].name && strcmp(config->peers[i].name, text) == 0) {
			*ret_slot = directory->by_index[i];
			return QE_OK;
		}
	}
	for (size_t i = 0; i < config->n_peers; i++) {
		if (!qe_node_id_has_prefix(&config->peers[i].id, text))
			continue;
		if (found != SIZE_MAX)
			return QE_ERR_AMBIGUOUS;
		found = directory->by_index[i];
	}
	if (found == SIZE_MAX)
		return QE_ERR_NOT_FOUND;
	*ret_slot = found;
	return QE_OK;
}

void qe_peer_label(char to[static QE_NAME_MAX + 1], const struct qe_config_peer *peer)
{
	static_assert(QE_NAME_MAX + 1 >= QE_NODE_ID_TEXT_SIZE);

	if (peer->name)
		snprintf(to, QE_NAME_MAX + 1, "%s", peer->name);
	else
		qe_node_id_format(to, &peer->id);
}

void qe_directory_label(
	const struct qe_directory *directory, size_t slot, char to[static QE_NAME_MAX + 1])
{
	const struct qe_config_peer *peer = qe_directory_peer(directory, slot);

	if (peer)
		qe_peer_label(to, peer);
	else
		qe_node_id_format(to, &directory->slots[slot].id);
}

/* ---- life ---- */

enum qe_error qe_directory_new(struct qe_directory **ret_directory, struct qe_config *config)
{
	struct qe_directory *directory = calloc(1, sizeof(*directory));

	if (!directory)
		return -ENOMEM;
	if (grow_slots(directory, config->n_peers) != QE_OK ||
		grow_by_index(directory, config->n_peers) != QE_OK) {
		qe_directory_free(directory);
		return -ENOMEM;
	}
	directory->config = config;
	for (size_t i = 0; i < config->n_peers; i++)
		put(directory, i, i);
	*ret_directory = directory;
	return QE_OK;
}

struct qe_directory *qe_directory_free(struct qe_directory *directory)
{
	if (!directory)
		return nullptr;
	qe_config_free(directory->config);
	free(directory->slots);
	free(directory->by_index);
	free(directory);
	return nullptr;
}
