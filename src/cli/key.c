/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* keygen and id. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/settings.h"
#include "crypto/key.h"
#include "net/addr.h"

static const char *const types[] = {
	[QE_KEY_ED25519] = "ed25519",
	[QE_KEY_ML_DSA_65] = "ml-dsa-65",
};

static enum qe_exit print_key(
	const struct qe_args *args, const struct qe_key *key, const char *path)
{
	struct qe_addr addr = qe_node_id_overlay_addr(qe_key_get_id(key));
	char id[QE_NODE_ID_TEXT_SIZE], overlay[QE_ADDR_TEXT_SIZE];
	const char *type = types[qe_key_get_type(key)];

	qe_node_id_format(id, qe_key_get_id(key));
	qe_addr_format(overlay, &addr);
	if (qe_args_get(args, "json"))
		return qe_print_json(json_pack("{s:s,s:s,s:s,s:s}", "id", id, "overlay", overlay,
			"type", type, "path", path));
	printf("NodeId   %s\nOverlay  %s\nKey      %s, %s\n", id, overlay, type, path);
	return QE_EXIT_OK;
}

static enum qe_exit parse_type(enum qe_key_type *ret_type, const struct qe_args *args)
{
	const char *given = qe_args_get(args, "type");

	if (!given)
		return QE_EXIT_OK;
	for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
		if (strcmp(given, types[i]) == 0) {
			*ret_type = (enum qe_key_type)i;
			return QE_EXIT_OK;
		}
	return qe_fail(
		args, QE_EXIT_USAGE, "unknown key type %s; expected ed25519 or ml-dsa-65", given);
}

/* The path that was given, or that of the configuration. */
static enum qe_exit find_path(char **ret_path, const struct qe_args *args, const char *given)
{
	if (!given)
		return qe_settings_key_file(ret_path, args);
	if (!given[0])
		return qe_fail(args, QE_EXIT_USAGE, "the path of the key is empty");
	*ret_path = strdup(given);
	return *ret_path ? QE_EXIT_OK : qe_fail(args, QE_EXIT_ERROR, "%s", strerror(ENOMEM));
}

enum qe_exit qe_command_keygen(const struct qe_args *args)
{
	enum qe_key_type type = QE_KEY_ED25519;
	struct qe_key *key;
	char *path = nullptr;

	enum qe_exit code = parse_type(&type, args);
	if (code == QE_EXIT_OK)
		code = find_path(&path, args, qe_args_get(args, "out"));
	if (code != QE_EXIT_OK)
		return code;
	code = qe_settings_make_key(&key, args, type, path);
	if (code == QE_EXIT_OK) {
		code = print_key(args, key, path);
		qe_key_free(key);
	}
	free(path);
	return code;
}

enum qe_exit qe_command_id(const struct qe_args *args)
{
	struct qe_key *key;
	char *path;

	enum qe_exit code = find_path(&path, args, args->n_operands ? args->operands[0] : nullptr);
	if (code != QE_EXIT_OK)
		return code;
	code = qe_settings_load_key(&key, args, path);
	if (code == QE_EXIT_OK) {
		code = print_key(args, key, path);
		qe_key_free(key);
	}
	free(path);
	return code;
}
