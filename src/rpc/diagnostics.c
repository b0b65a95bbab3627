/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "rpc/diagnostics.h"

static json_t *diagnostic_json(const struct qe_diagnostic *diagnostic)
{
	json_t *json = json_pack("{s:s,s:s}", "where", diagnostic->where, "text", diagnostic->text);

	if (diagnostic->key[0])
		json_object_set_new(json, "key", json_string(diagnostic->key));
	if (diagnostic->line) {
		json_object_set_new(json, "line", json_integer(diagnostic->line));
		json_object_set_new(json, "column", json_integer(diagnostic->column));
	}
	return json;
}

json_t *qe_diagnostics_json(const struct qe_diagnostics *diagnostics)
{
	json_t *json = json_array();

	for (size_t i = 0; i < diagnostics->n; i++)
		json_array_append_new(json, diagnostic_json(&diagnostics->items[i]));
	return json;
}

json_t *qe_diagnostics_answer(const struct qe_diagnostics *diagnostics)
{
	return json_pack("{s:b,s:o,s:I}", "ok", 0, "errors", qe_diagnostics_json(diagnostics),
		"more", (json_int_t)diagnostics->dropped);
}
