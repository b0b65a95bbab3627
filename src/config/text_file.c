/* SPDX-License-Identifier: Apache-2.0 OR MIT */
#include "config/text_file.h"

#include <stdio.h>
#include <stdlib.h>

enum qe_error qe_text_file_read(char **ret_text, size_t *ret_len, const char *path, size_t max)
{
	FILE *file = fopen(path, "re");

	if (!file)
		return qe_error_errno();
	char *text = malloc(max + 1);
	size_t len = text ? fread(text, 1, max + 1, file) : 0;
	enum qe_error error = !text || ferror(file) ? qe_error_errno()
			      : len > max           ? QE_ERR_TOO_BIG
						    : QE_OK;
	fclose(file);
	if (error != QE_OK) {
		free(text);
		return error;
	}
	*ret_text = text;
	*ret_len = len;
	return QE_OK;
}
