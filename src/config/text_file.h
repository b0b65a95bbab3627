/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A whole file in memory, if it is not too large. */
#pragma once

#include "base/bytes.h"

/* QE_ERR_TOO_BIG above max bytes; *ret_text is to be freed. */
enum qe_error qe_text_file_read(char **ret_text, size_t *ret_len, const char *path, size_t max);
